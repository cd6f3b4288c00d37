/* blob.c - a batch's entries as one compact blob: written once, read after a crash.
 *
 *   version (1) | count | entries | FNV-1a of all before it (8 bytes, little-endian)
 *
 * Numbers are varints (7 bits a byte, low ones first), dates zigzagged. An entry begins with a byte
 * of flags: which digests follow, and which equal the exact one. A streaming one has a canonical
 * head behind them; version 1 had none. What is read back decides whether a message is sent again,
 * so a blob that is damaged anywhere is refused as a whole. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"
#include "base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BLOB_VERSION     2
#define BLOB_SUM_BYTES   8
#define ENTRY_MIN_BYTES  11 /* flags and ten numbers of a byte */
#define VARINT_MAX_BYTES 10

/* How one digest is written: two bits for each but the exact one. */
enum digest_form { FORM_ZERO, FORM_OWN, FORM_EXACT, FORM_UNKNOWN };
enum {
	ENTRY_STREAMING = 1,
	ENTRY_EXACT = 2,
	SHIFT_CANONICAL = 2,
	SHIFT_HEAD = 4,
	SHIFT_RECEIVED = 6
};

static const unsigned char zero[DIGEST_SIZE];

uint64_t
blob_checksum(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t sum = 0xcbf29ce484222325U;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3U;
	return sum;
}

static void
put_number(struct str *out, uint64_t value)
{
	while (value >= 0x80) {
		str_addc(out, (char)(unsigned char)(value | 0x80));
		value >>= 7;
	}
	str_addc(out, (char)value);
}

static void
put_date(struct str *out, int64_t date)
{
	put_number(out, (uint64_t)date << 1 ^ (date < 0 ? UINT64_MAX : 0));
}

static enum digest_form
form_of(const unsigned char *digest, const unsigned char *exact)
{
	if (memcmp(digest, zero, DIGEST_SIZE) == 0)
		return FORM_ZERO;
	return memcmp(digest, exact, DIGEST_SIZE) == 0 ? FORM_EXACT : FORM_OWN;
}

static void
put_digest(struct str *out, enum digest_form form, const unsigned char *digest)
{
	if (form == FORM_OWN)
		str_add(out, digest, DIGEST_SIZE);
}

static void
put_entry(struct str *out, const struct ledger_entry *entry)
{
	enum digest_form exact = form_of(entry->exact, zero);
	enum digest_form canonical = form_of(entry->canonical, entry->exact);
	enum digest_form head = form_of(entry->head, entry->exact);
	enum digest_form received = form_of(entry->received_digest, entry->exact);
	unsigned flags = (entry->streaming ? ENTRY_STREAMING : 0) |
			 (exact == FORM_OWN ? ENTRY_EXACT : 0) |
			 (unsigned)canonical << SHIFT_CANONICAL | (unsigned)head << SHIFT_HEAD |
			 (unsigned)received << SHIFT_RECEIVED;
	size_t len = entry->keywords == NULL ? 0 : strlen(entry->keywords);

	str_addc(out, (char)(unsigned char)flags);
	put_digest(out, exact, entry->exact);
	put_digest(out, canonical, entry->canonical);
	put_digest(out, head, entry->head);
	put_digest(out, received, entry->received_digest);
	if (entry->streaming)
		str_add(out, entry->canonical_head, DIGEST_SIZE);
	put_number(out, entry->uid);
	put_number(out, entry->size);
	put_number(out, entry->received_size);
	put_date(out, entry->received);
	put_date(out, entry->source_received);
	put_number(out, entry->flags);
	put_number(out, entry->steps);
	put_number(out, entry->attempt);
	put_number(out, entry->reason);
	put_number(out, entry->keywords == NULL ? 0 : len + 1);
	str_add(out, entry->keywords == NULL ? "" : entry->keywords, len);
}

int
blob_encode(struct str *out, const struct ledger_entry *entries, size_t count)
{
	uint64_t sum;

	if (count > BLOB_MAX_ENTRIES)
		return -1;
	str_addc(out, BLOB_VERSION);
	put_number(out, count);
	for (size_t i = 0; i < count; i++)
		put_entry(out, &entries[i]);
	sum = blob_checksum(out->data, out->len);
	for (int i = 0; i < BLOB_SUM_BYTES; i++)
		str_addc(out, (char)(unsigned char)(sum >> 8 * i));
	return out->overflow ? -1 : 0;
}

/* What is left to read; `bad` once something did not fit. */
struct cursor {
	const unsigned char *at, *end;
	unsigned version;
	bool bad;
};

static uint64_t
get_number(struct cursor *cursor, uint64_t max)
{
	uint64_t value = 0;

	for (int i = 0; i < VARINT_MAX_BYTES && cursor->at < cursor->end; i++) {
		uint64_t bits = *cursor->at & 0x7f;

		/* The tenth byte has room for one bit. */
		if (i == VARINT_MAX_BYTES - 1 && bits > 1)
			break;
		value |= bits << 7 * i;
		if ((*cursor->at++ & 0x80) != 0)
			continue;
		if (value > max)
			break;
		return value;
	}
	cursor->bad = true;
	return 0;
}

static int64_t
get_date(struct cursor *cursor)
{
	uint64_t value = get_number(cursor, UINT64_MAX);

	return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

static const unsigned char *
get_bytes(struct cursor *cursor, uint64_t len)
{
	const unsigned char *at = cursor->at;

	if (cursor->bad || len > (uint64_t)(cursor->end - cursor->at)) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += len;
	return at;
}

static void
get_digest(
	struct cursor *cursor, unsigned form, const unsigned char *exact, unsigned char *digest_r)
{
	const unsigned char *bytes = NULL;

	switch ((enum digest_form)(form & 3)) {
	case FORM_ZERO:
		return;
	case FORM_OWN:
		bytes = get_bytes(cursor, DIGEST_SIZE);
		break;
	case FORM_EXACT:
		bytes = exact;
		break;
	case FORM_UNKNOWN:
		cursor->bad = true;
		break;
	}
	if (bytes != NULL)
		memcpy(digest_r, bytes, DIGEST_SIZE);
}

static void
get_keywords(struct cursor *cursor, struct ledger_entry *entry)
{
	uint64_t len = get_number(cursor, BLOB_MAX_BYTES);
	const unsigned char *bytes;

	if (len == 0)
		return;
	bytes = get_bytes(cursor, len - 1);
	if (bytes == NULL)
		return;
	if (memchr(bytes, 0, (size_t)len - 1) != NULL)
		cursor->bad = true;
	else
		entry->keywords = xstrndup((const char *)bytes, (size_t)len - 1);
}

static void
get_entry(struct cursor *cursor, struct ledger_entry *entry)
{
	const unsigned char *first = get_bytes(cursor, 1);
	unsigned flags = first == NULL ? 0 : *first;

	entry->streaming = (flags & ENTRY_STREAMING) != 0;
	get_digest(cursor, (flags & ENTRY_EXACT) != 0 ? FORM_OWN : FORM_ZERO, zero, entry->exact);
	get_digest(cursor, flags >> SHIFT_CANONICAL, entry->exact, entry->canonical);
	get_digest(cursor, flags >> SHIFT_HEAD, entry->exact, entry->head);
	get_digest(cursor, flags >> SHIFT_RECEIVED, entry->exact, entry->received_digest);
	if (entry->streaming && cursor->version > 1)
		get_digest(cursor, FORM_OWN, zero, entry->canonical_head);
	entry->uid = (uint32_t)get_number(cursor, UINT32_MAX);
	entry->size = get_number(cursor, UINT64_MAX);
	entry->received_size = get_number(cursor, UINT64_MAX);
	entry->received = get_date(cursor);
	entry->source_received = get_date(cursor);
	entry->flags = (unsigned)get_number(cursor, UINT_MAX);
	entry->steps = (unsigned)get_number(cursor, UINT_MAX);
	entry->attempt = (unsigned)get_number(cursor, UINT_MAX);
	entry->reason = (unsigned)get_number(cursor, UINT_MAX);
	get_keywords(cursor, entry);
}

static bool
sum_is_right(const unsigned char *bytes, size_t len)
{
	uint64_t sum = 0;

	for (int i = BLOB_SUM_BYTES - 1; i >= 0; i--)
		sum = sum << 8 | bytes[len - BLOB_SUM_BYTES + (size_t)i];
	return sum == blob_checksum(bytes, len - BLOB_SUM_BYTES);
}

int
blob_decode(const void *bytes, size_t len, struct ledger_entry **entries_r, size_t *count_r)
{
	struct cursor cursor = { .at = bytes };
	struct ledger_entry *entries;
	size_t count;

	if (len < 2 + BLOB_SUM_BYTES || len > BLOB_MAX_BYTES || !sum_is_right(bytes, len))
		return -1;
	cursor.end = cursor.at + len - BLOB_SUM_BYTES;
	cursor.version = *cursor.at++;
	if (cursor.version < 1 || cursor.version > BLOB_VERSION)
		return -1;
	count = (size_t)get_number(&cursor, BLOB_MAX_ENTRIES);
	if (cursor.bad || count > (size_t)(cursor.end - cursor.at) / ENTRY_MIN_BYTES)
		return -1;
	entries = xcalloc(count + 1, sizeof(*entries));
	for (size_t i = 0; i < count && !cursor.bad; i++)
		get_entry(&cursor, &entries[i]);
	if (cursor.bad || cursor.at != cursor.end) {
		blob_entries_free(entries, count);
		return -1;
	}
	*entries_r = entries;
	*count_r = count;
	return 0;
}

void
blob_entries_free(struct ledger_entry *entries, size_t count)
{
	for (size_t i = 0; entries != NULL && i < count; i++)
		free(entries[i].keywords);
	free(entries);
}
