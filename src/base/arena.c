/* arena.c - blocks that are handed out piece by piece and freed together.
 *
 * A piece larger than a quarter of a block gets a block of its own, put behind the current one, so
 * that the room left in the current one is still used. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"

#include "base/banned.h"

#define BLOCK_BYTES ((size_t)16384)
#define ALIGNMENT   _Alignof(max_align_t)

struct block {
	struct block *next;
	size_t used, cap;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct block *first; /* the current one */
	size_t size;
};

struct arena *
arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void
arena_free(struct arena **arena)
{
	if (*arena == NULL)
		return;
	for (struct block *b = (*arena)->first, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(*arena);
	*arena = NULL;
}

/* A zeroed block; the current one stays first when the new one is for a single piece. */
static struct block *
block_add(struct arena *arena, size_t cap, bool single)
{
	struct block *b = xcalloc(1, sizeof(*b) + cap);

	b->cap = cap;
	if (single && arena->first != NULL) {
		b->next = arena->first->next;
		arena->first->next = b;
	} else {
		b->next = arena->first;
		arena->first = b;
	}
	return b;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	struct block *b = arena->first;
	size_t room;
	void *p;

	if (size > SIZE_MAX / 2)
		BUG("arena piece too large");
	room = size > 0 ? (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
	if (room > BLOCK_BYTES / 4)
		b = block_add(arena, room, true);
	else if (b == NULL || b->cap - b->used < room)
		b = block_add(arena, BLOCK_BYTES, false);
	p = b->bytes + b->used;
	b->used += room;
	arena->size += size;
	return p;
}

char *
arena_strdup(struct arena *arena, const char *s)
{
	return arena_strndup(arena, s, strlen(s));
}

char *
arena_strndup(struct arena *arena, const char *s, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

char *
arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap, again;
	char *text;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		BUG("a format that cannot be printed");
	text = arena_alloc(arena, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}

size_t
arena_size(const struct arena *arena)
{
	return arena->size;
}
