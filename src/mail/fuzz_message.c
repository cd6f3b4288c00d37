/* fuzz_message.c - what reads whole messages and names: digests do not depend on the cuts, a
 * repaired message has nothing left to repair, and no bytes make any of it fail. */
#include <stdlib.h>
#include <string.h>

#include "mail/digest.h"
#include "mail/folder.h"
#include "mail/header.h"
#include "mail/ladder.h"

#include "base/banned.h"

#define POOL_BYTES   ((size_t)1 << 24)
#define NOW          1795262400
#define REPAIR_STEPS (((1U << LADDER_STEPS) - 1) & ~(1U << LADDER_WRAP))

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* The spool's bytes and what the digester says of them. */
static char *
read_all(struct spool *spool, struct digests *digests_r)
{
	size_t size = (size_t)spool_size(spool), at = 0, got = 1;
	struct digester *d = digester_new();
	char *bytes = malloc(size + 1);
	struct err err;

	check(bytes != NULL);
	while (at < size && got > 0) {
		check(spool_read(spool, at, bytes + at, size - at, &got, &err) == 0);
		at += got;
	}
	check(at == size);
	digester_add(d, bytes, size);
	digester_end(&d, digests_r);
	return bytes;
}

static void
fuzz_digest(const uint8_t *bytes, size_t len, size_t piece)
{
	struct digester *whole = digester_new(), *pieces = digester_new();
	struct digests a, b;
	size_t at;

	digester_add(whole, bytes, len);
	for (at = 0; at < len; at += piece)
		digester_add(pieces, bytes + at, len - at < piece ? len - at : piece);
	digester_end(&whole, &a);
	digester_end(&pieces, &b);
	check(memcmp(a.exact, b.exact, DIGEST_SIZE) == 0);
	check(memcmp(a.canonical, b.canonical, DIGEST_SIZE) == 0);
	check(memcmp(a.head, b.head, DIGEST_SIZE) == 0);
	check(a.traits == b.traits && a.bytes == len);
}

static void
fuzz_ladder(const uint8_t *bytes, size_t len, unsigned steps)
{
	struct spool_pool *pool = spool_pool_new(".", POOL_BYTES, POOL_BYTES);
	struct spool *in = spool_new(pool), *once = spool_new(pool), *twice = spool_new(pool);
	struct digests a, b;
	struct err err;

	check(spool_write(in, bytes, len, &err) == 0);
	spool_finish(in);
	check(ladder_apply(steps, 0, in, once, &err) == 0);
	check(ladder_apply(REPAIR_STEPS, 0, once, twice, &err) == 0);
	free(read_all(once, &a));
	free(read_all(twice, &b));
	check((b.traits & ~(unsigned)(TRAIT_NO_HEADER | TRAIT_BAD_HEADER | TRAIT_EMPTY)) == 0);
	if (steps == REPAIR_STEPS || (steps >> LADDER_WRAP & 1U) != 0)
		check(memcmp(a.exact, b.exact, DIGEST_SIZE) == 0);
	spool_unref(&in);
	spool_unref(&once);
	spool_unref(&twice);
	spool_pool_free(&pool);
}

static void
fuzz_names(const char *text, size_t len, unsigned bits)
{
	struct arena *arena = arena_new();
	struct folder folder = { 0 };
	struct str name;
	bool changed;
	size_t i;

	str_init(&name, 0);
	if (folder_parse(arena, &folder, text, len, '/', "INBOX/", (bits & 1) != 0) == 0) {
		folder_encode(&name, folder.parts, folder.part_count, (bits & 2) != 0 ? '.' : '_',
			"", (bits & 4) != 0, &changed);
		for (i = 0; i < folder.part_count; i++)
			special_use_by_name(folder.parts[i]);
	}
	str_clear(&name);
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct str value;
	const char *from;
	char *copy;
	int64_t t;

	if (len < 2)
		return 0;
	/* The first two bytes choose; a copy of exactly the rest shows a read behind it. */
	copy = malloc(len > 2 ? len - 2 : 1);
	check(copy != NULL);
	memcpy(copy, bytes + 2, len - 2);
	fuzz_digest((const uint8_t *)copy, len - 2, 1 + bytes[1] % 16);
	fuzz_ladder((const uint8_t *)copy, len - 2,
		bytes[0] % 2 == 0 ? REPAIR_STEPS : bytes[0] / 2 % (1U << LADDER_STEPS));
	fuzz_names(copy, len - 2, bytes[1]);
	str_init(&value, 0);
	header_get(copy, len - 2, "Subject", bytes[1] % 3, &value);
	header_date(copy, len - 2, NOW, &t, &from);
	str_clear(&value);
	free(copy);
	return 0;
}
