/* test_blob.c - a batch's entries as bytes: what is written is read, anything else is refused. */
#include "engine/ledger/ledger_private.h"
#include "engine/ledger/test_ledger.h"

#include "base/banned.h"

/* Puts the right checksum behind the bytes, so that what lies in them is looked at. */
static int
decode_summed(const void *bytes, size_t len, struct ledger_entry **entries_r, size_t *count_r)
{
	unsigned char blob[256];
	uint64_t sum = blob_checksum(bytes, len);

	if (len + 8 > sizeof(blob))
		abort();
	memcpy(blob, bytes, len);
	for (unsigned i = 0; i < 8; i++)
		blob[len + i] = (unsigned char)(sum >> 8 * i);
	return blob_decode(blob, len + 8, entries_r, count_r);
}

#define ZEROS       "\0\0\0\0\0\0\0\0\0"
#define BYTES(text) text, sizeof(text) - 1

static void
refusals(void)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
		long count; /* -1: refused */
	} cases[] = {
		{ "no entries", BYTES("\1\0"), 0 },
		{ "one entry", BYTES("\1\1\0\5" ZEROS), 1 },
		{ "keywords", BYTES("\1\1\0\5\0\0\0\0\0\0\0\0\3ab"), 1 },
		{ "empty keywords", BYTES("\1\1\0\5\0\0\0\0\0\0\0\0\1"), 1 },
		{ "no entries, version 2", BYTES("\2\0"), 0 },
		{ "a streaming entry of version 1", BYTES("\1\1\1\5" ZEROS), 1 },
		{ "a streaming entry without its head", BYTES("\2\1\1\5" ZEROS), -1 },
		{ "another version", BYTES("\3\0"), -1 },
		{ "version 0", BYTES("\0\0"), -1 },
		{ "no count", BYTES("\1\x80"), -1 },
		{ "fewer entries than said", BYTES("\1\2\0\5" ZEROS), -1 },
		{ "more bytes than said", BYTES("\1\0\0"), -1 },
		{ "a short entry", BYTES("\1\1\0\5\0\0\0\0\0\0\0\0"), -1 },
		{ "a digest form unknown", BYTES("\1\1\x0c\5" ZEROS), -1 },
		{ "a digest cut", BYTES("\1\1\2\5" ZEROS), -1 },
		{ "keywords cut", BYTES("\1\1\0\5\0\0\0\0\0\0\0\0\4ab"), -1 },
		{ "NUL in keywords", BYTES("\1\1\0\5\0\0\0\0\0\0\0\0\3a\0"), -1 },
		{ "a UID over 32 bits", BYTES("\1\1\0\xff\xff\xff\xff\x1f" ZEROS), -1 },
		{ "a number over 64 bits",
			BYTES("\1\1\0\5\xff\xff\xff\xff\xff\xff\xff\xff\xff\2" ZEROS), -1 },
		{ "a number without end",
			BYTES("\1\1\0\5\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80" ZEROS), -1 },
		{ "a huge count", BYTES("\1\xff\xff\xff\xff\x7f"), -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ledger_entry *entries = NULL;
		size_t count = 0;
		int ret = decode_summed(cases[i].bytes, cases[i].len, &entries, &count);

		if (ret != (cases[i].count < 0 ? -1 : 0) ||
			(ret == 0 && count != (size_t)cases[i].count)) {
			test_failures++;
			printf("%s: returned %d, %zu entries\n", cases[i].what, ret, count);
		}
		blob_entries_free(entries, count);
	}
}

/* A blob cut anywhere, or with any one bit changed, is refused. */
static void
every_bit(void)
{
	struct ledger_entry entries[2] = { { .uid = 7, .size = 4000, .keywords = TEXT("work") },
		{ .uid = 9, .streaming = true, .received = -1 } };
	struct ledger_entry *got = NULL;
	struct str blob;
	size_t count = 0;

	memset(entries[0].exact, 1, DIGEST_SIZE);
	memset(entries[1].head, 2, DIGEST_SIZE);
	memset(entries[1].canonical_head, 3, DIGEST_SIZE);
	str_init(&blob, 0);
	CHECK_INT(blob_encode(&blob, entries, 2), 0);
	CHECK_INT(blob_decode(blob.data, blob.len, &got, &count), 0);
	CHECK_INT(count, 2);
	CHECK_MEM(got[1].head, entries[1].head, DIGEST_SIZE);
	CHECK_MEM(got[1].canonical_head, entries[1].canonical_head, DIGEST_SIZE);
	blob_entries_free(got, count);
	for (size_t len = 0; len < blob.len; len++)
		CHECK_INT(blob_decode(blob.data, len, &got, &count), -1);
	for (size_t bit = 0; bit < blob.len * 8; bit++) {
		blob.data[bit / 8] = (char)(blob.data[bit / 8] ^ 1 << bit % 8);
		CHECK_INT(blob_decode(blob.data, blob.len, &got, &count), -1);
		blob.data[bit / 8] = (char)(blob.data[bit / 8] ^ 1 << bit % 8);
	}
	str_clear(&blob);
}

int
main(void)
{
	RUN(refusals);
	RUN(every_bit);
	return test_done();
}
