/* test_memory.c - arenas hand out zeroed, aligned memory; secrets are shared and compared. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/secret.h"
#include "base/test.h"

#include "base/banned.h"

static void
arena_pieces_are_apart_aligned_and_zeroed(void)
{
	static const size_t sizes[] = { 0, 1, 7, 16, 100, 4096, 5000, 16384, 100000, 3 };
	struct arena *arena = arena_new();
	unsigned char *pieces[100];
	size_t total = 0;

	for (size_t i = 0; i < 100; i++) {
		size_t size = sizes[i % 10];

		pieces[i] = arena_alloc(arena, size);
		CHECK_INT((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < size; k++)
			CHECK_INT(pieces[i][k], 0);
		memset(pieces[i], (int)i + 1, size);
		total += size;
	}
	for (size_t i = 0; i < 100; i++) {
		for (size_t k = 0; k < sizes[i % 10]; k++)
			CHECK_INT(pieces[i][k], i + 1);
	}
	CHECK_INT(arena_size(arena), total);
	arena_free(&arena);
	CHECK(arena == NULL);
	arena_free(&arena);
}

static void
arena_texts(void)
{
	struct arena *arena = arena_new();
	char long_text[20001];

	memset(long_text, 'x', 20000);
	long_text[20000] = '\0';
	CHECK_STR(arena_strdup(arena, "one"), "one");
	CHECK_STR(arena_strndup(arena, "three", 3), "thr");
	CHECK_STR(arena_printf(arena, "%d of %s", 3, "x"), "3 of x");
	CHECK_STR(arena_printf(arena, "%s", long_text), long_text);
	CHECK_STR(arena_strdup(arena, ""), "");
	arena_free(&arena);
}

static void
secrets_are_shared_and_compared(void)
{
	struct secret *a = secret_new("p\xFFss", 4), *b = secret_new("p\xFFss", 4), *c,
		      *none = NULL;

	CHECK_STR(secret_bytes(a), "p\xFFss");
	CHECK_INT(secret_len(a), 4);
	CHECK(secret_eq(a, b));
	c = secret_ref(a);
	CHECK(c == a);
	secret_unref(&a);
	CHECK(a == NULL);
	CHECK_STR(secret_bytes(c), "p\xFFss");
	secret_unref(&b);
	b = secret_new("p\xFFsS", 4);
	CHECK(!secret_eq(c, b));
	secret_unref(&b);
	b = secret_new("", 0);
	CHECK_STR(secret_bytes(b), "");
	CHECK(!secret_eq(c, b));
	CHECK(!secret_eq(c, NULL));
	CHECK(secret_eq(NULL, NULL));
	CHECK(secret_ref(NULL) == NULL);
	secret_unref(&b);
	secret_unref(&c);
	secret_unref(&none);
}

static void
wiping_leaves_zeros(void)
{
	char buf[4] = { 'a', 'b', 'c', 'd' };

	secret_wipe(buf, 3);
	CHECK_MEM(buf, "\0\0\0d", 4);
	secret_wipe(NULL, 3);
}

int
main(void)
{
	RUN(arena_pieces_are_apart_aligned_and_zeroed);
	RUN(arena_texts);
	RUN(secrets_are_shared_and_compared);
	RUN(wiping_leaves_zeros);
	return test_done();
}
