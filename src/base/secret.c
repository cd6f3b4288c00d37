/* secret.c - passwords and tokens: one copy, shared by reference, wiped at the end.
 *
 * The pages that hold one are left out of core files. They are ordinary heap pages: a page of its
 * own for each of some ten thousand passwords would cost more memory than all the rest, and that
 * a neighbour is missing from a core file harms nobody. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/secret.h"

#include "base/banned.h"

struct secret {
	atomic_uint refs;
	size_t len;
	char bytes[]; /* terminated */
};

static void
keep_from_core(const void *p, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = (uintptr_t)p / page * page;

	/* Refused by an old kernel or a full map table; the wiping still holds then. */
	(void)madvise((void *)start, (uintptr_t)p + len - start, MADV_DONTDUMP);
}

struct secret *
secret_new(const char *bytes, size_t len)
{
	struct secret *secret = xmalloc(sizeof(*secret) + len + 1);

	keep_from_core(secret, sizeof(*secret) + len + 1);
	atomic_init(&secret->refs, 1);
	secret->len = len;
	if (len > 0)
		memcpy(secret->bytes, bytes, len);
	secret->bytes[len] = '\0';
	return secret;
}

struct secret *
secret_ref(struct secret *secret)
{
	if (secret != NULL)
		atomic_fetch_add(&secret->refs, 1);
	return secret;
}

void
secret_unref(struct secret **secret)
{
	struct secret *s = *secret;

	*secret = NULL;
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	secret_wipe(s, sizeof(*s) + s->len + 1);
	free(s);
}

const char *
secret_bytes(const struct secret *secret)
{
	return secret->bytes;
}

size_t
secret_len(const struct secret *secret)
{
	return secret->len;
}

bool
secret_eq(const struct secret *a, const struct secret *b)
{
	unsigned char differs = 0;

	if (a == NULL || b == NULL)
		return a == b;
	if (a->len != b->len)
		return false;
	/* All bytes are looked at, so that the time tells nothing about the first that differs. */
	for (size_t i = 0; i < a->len; i++)
		differs |= (unsigned char)((unsigned char)a->bytes[i] ^ (unsigned char)b->bytes[i]);
	return differs == 0;
}

void
secret_wipe(void *p, size_t len)
{
	if (p != NULL)
		explicit_bzero(p, len);
}
