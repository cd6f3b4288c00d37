/* fuzz_batch.c - what decodes as a batch encodes again, and that decodes to the same bytes. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check(const void *bytes, size_t len)
{
	struct ledger_entry *entries = NULL, *again = NULL;
	struct str first, second;
	size_t count = 0;

	if (blob_decode(bytes, len, &entries, &count) < 0)
		return;
	str_init(&first, BLOB_MAX_BYTES);
	str_init(&second, BLOB_MAX_BYTES);
	if (blob_encode(&first, entries, count) < 0)
		abort();
	blob_entries_free(entries, count);
	if (blob_decode(first.data, first.len, &again, &count) < 0 ||
		blob_encode(&second, again, count) < 0)
		abort();
	blob_entries_free(again, count);
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	str_clear(&first);
	str_clear(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	unsigned char *summed = xmalloc(len + 8);
	uint64_t sum = blob_checksum(bytes, len);

	check(bytes, len);
	/* With the right checksum, or nothing would ever be looked at. */
	if (len > 0)
		memcpy(summed, bytes, len);
	for (unsigned i = 0; i < 8; i++)
		summed[len + i] = (unsigned char)(sum >> 8 * i);
	check(summed, len + 8);
	free(summed);
	return 0;
}
