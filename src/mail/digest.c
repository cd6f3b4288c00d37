/* digest.c - exact and canonical SHA-256 of a message in one pass, and what is odd about it.
 *
 * The pieces may be cut anywhere, so all that is known between two bytes is state: a CR that may
 * still get its LF, the length of the line, and in the header whether the line is kept, dropped,
 * or its name not yet read far enough. Work is done by runs between line ends (memchr).
 *
 * Most messages are canonical as they are. So there is one hash for both until the first byte in
 * which they differ: what is known to be canonical is counted, and the hash follows that count (a
 * few bytes behind what has come: a CR, the beginning of a name). From there on canonical bytes are
 * gathered in a buffer and hashed apart. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/str.h"
#include "mail/digest.h"

#include "base/banned.h"

#define LINE_MAX_BYTES  998 /* RFC 5322, 2.1.1 */
#define CANON_BUF_BYTES 16384
#define NAME_MAX_BYTES  16                   /* the longest of added_fields and its colon fit */
#define LAG_BYTES       (NAME_MAX_BYTES + 1) /* and a CR */

/* What servers add, change or drop on their own (mailbox formats keep flags and UIDs there), so
 * that two copies of one message may differ in them. */
static const char *const added_fields[] = { "Status", "X-Status", "X-Keywords", "X-UID", "X-UIDL",
	"X-IMAP", "X-IMAPbase", "Content-Length", "Lines" };

enum line_fate {
	LINE_OPEN, /* the name may still become one of the list: its bytes wait in `name` */
	LINE_KEEP,
	LINE_DROP
};

enum first_line { FIRST_NAME, FIRST_BLANK, FIRST_DONE };

struct digester {
	EVP_MD_CTX *exact;
	/* Their own only while it says so: */
	EVP_MD_CTX *canonical, *head, *canonical_head;
	bool same; /* the canonical bytes are the exact ones so far; `exact` is the hash of both */
	bool has_head, has_canonical_head;
	uint64_t bytes;           /* taken */
	uint64_t hashed;          /* into `exact` */
	uint64_t canonical_bytes; /* known; not all of them hashed */
	/* The piece being taken, and the bytes before it that are not hashed yet. */
	const char *piece;
	uint64_t piece_at;
	size_t piece_len, lag_len;
	char lag[LAG_BYTES];
	unsigned traits;
	bool in_header;
	size_t pending_cr; /* CRs that end what was seen so far */
	size_t line_len;   /* without its end; not exact above LINE_MAX_BYTES */
	/* Header only. */
	enum line_fate fate; /* of this line, and of the lines folded below it */
	enum first_line first;
	bool first_named; /* the first line has at least one letter of a name */
	bool has_colon;   /* this line, or one that it continues */
	char name[NAME_MAX_BYTES];
	size_t name_len;
	size_t canon_len;
	unsigned char canon[CANON_BUF_BYTES];
};

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* once for all: to look it up costs more than to hash a small message */

static void
fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		BUG("no SHA-256");
}

static EVP_MD_CTX *
hash_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL)
		BUG("no SHA-256");
	return ctx;
}

static void
hash_begin(EVP_MD_CTX *ctx)
{
	pthread_once(&fetched, fetch_sha256);
	if (EVP_DigestInit_ex2(ctx, sha256, NULL) != 1)
		BUG("no SHA-256");
}

static void
hash_add(EVP_MD_CTX *ctx, const void *bytes, size_t len)
{
	if (len > 0 && EVP_DigestUpdate(ctx, bytes, len) != 1)
		BUG("SHA-256 update");
}

/* The hash as it stands. */
static void
hash_copy(EVP_MD_CTX **to, const EVP_MD_CTX *from)
{
	if (*to == NULL)
		*to = hash_new();
	if (EVP_MD_CTX_copy_ex(*to, from) != 1)
		BUG("no copy of a hash");
}

static void
hash_end(EVP_MD_CTX *ctx, unsigned char *digest_r)
{
	unsigned len = 0;

	if (EVP_DigestFinal_ex(ctx, digest_r, &len) != 1 || len != DIGEST_SIZE)
		BUG("SHA-256 end");
}

/* Ready for a message. */
static void
begin(struct digester *d)
{
	hash_begin(d->exact);
	d->same = true;
	d->has_head = d->has_canonical_head = false;
	d->bytes = d->hashed = d->canonical_bytes = d->piece_at = 0;
	d->piece = NULL;
	d->piece_len = d->lag_len = 0;
	d->traits = 0;
	d->in_header = true;
	d->pending_cr = d->line_len = d->name_len = d->canon_len = 0;
	d->fate = LINE_KEEP;
	d->first = FIRST_NAME;
	d->first_named = d->has_colon = false;
}

struct digester *
digester_new(void)
{
	struct digester *d = xcalloc(1, sizeof(*d));

	d->exact = hash_new();
	begin(d);
	return d;
}

void
digester_free(struct digester **digester)
{
	struct digester *d = *digester;

	if (d == NULL)
		return;
	EVP_MD_CTX_free(d->exact);
	EVP_MD_CTX_free(d->canonical);
	EVP_MD_CTX_free(d->head);
	EVP_MD_CTX_free(d->canonical_head);
	free(d);
	*digester = NULL;
}

/* Exact bytes up to there, out of what lags behind and the piece. */
static void
hash_up_to(struct digester *d, uint64_t end)
{
	uint64_t lag_at = d->piece_at - d->lag_len;

	if (d->hashed < end && d->hashed < d->piece_at) {
		uint64_t stop = end < d->piece_at ? end : d->piece_at;

		hash_add(d->exact, d->lag + (d->hashed - lag_at), (size_t)(stop - d->hashed));
		d->hashed = stop;
	}
	if (d->hashed < end) {
		hash_add(d->exact, d->piece + (d->hashed - d->piece_at), (size_t)(end - d->hashed));
		d->hashed = end;
	}
}

/* From here on the canonical bytes are others. */
static void
diverge(struct digester *d)
{
	if (!d->same)
		return;
	hash_up_to(d, d->canonical_bytes);
	hash_copy(&d->canonical, d->exact);
	hash_up_to(d, d->piece_at + d->piece_len);
	d->same = false;
}

/* What the piece ends in and is not known to be canonical waits. */
static void
end_piece(struct digester *d)
{
	char lag[LAG_BYTES];
	size_t len = 0;

	if (d->same) {
		hash_up_to(d, d->canonical_bytes);
		len = (size_t)(d->bytes - d->hashed);
		if (len > LAG_BYTES)
			BUG("a digest lags too far behind");
		for (size_t i = 0; i < len; i++) {
			uint64_t at = d->hashed + i;

			lag[i] = at < d->piece_at ? d->lag[at - (d->piece_at - d->lag_len)]
						  : d->piece[at - d->piece_at];
		}
		memcpy(d->lag, lag, len);
	}
	d->lag_len = len;
	d->piece = NULL;
	d->piece_at = d->bytes;
	d->piece_len = 0;
}

/* A head's hash is that of the whole, stopped where the head ends. The canonical one is made of
 * the exact head alone: whoever sees no more than that has to come to the same. */
static void
canon_hash(struct digester *d, const unsigned char *bytes, size_t len)
{
	uint64_t want = DIGEST_CANONICAL_HEAD_BYTES - d->canonical_bytes;

	if (d->canonical_bytes < DIGEST_CANONICAL_HEAD_BYTES && len >= want) {
		hash_add(d->canonical, bytes, (size_t)want);
		if (!d->has_head)
			hash_copy(&d->canonical_head, d->canonical);
		d->has_canonical_head = !d->has_head;
		hash_add(d->canonical, bytes + want, len - (size_t)want);
	} else {
		hash_add(d->canonical, bytes, len);
	}
	d->canonical_bytes += len;
}

static void
canon_flush(struct digester *d)
{
	if (d->same)
		return;
	canon_hash(d, d->canon, d->canon_len);
	d->canon_len = 0;
}

/* The same bytes as the exact ones at that place. */
static void
canon_count(struct digester *d, size_t len)
{
	uint64_t head = DIGEST_CANONICAL_HEAD_BYTES;

	if (d->canonical_bytes < head && d->canonical_bytes + len >= head && !d->has_head) {
		hash_up_to(d, head);
		hash_copy(&d->canonical_head, d->exact);
		d->has_canonical_head = true;
	}
	d->canonical_bytes += len;
}

static void
canon_add(struct digester *d, const void *bytes, size_t len)
{
	if (d->same) {
		canon_count(d, len);
		return;
	}
	if (len > CANON_BUF_BYTES - d->canon_len)
		canon_flush(d);
	if (len > CANON_BUF_BYTES / 4) { /* long enough to be hashed where it lies */
		canon_flush(d);
		canon_hash(d, bytes, len);
		return;
	}
	memcpy(d->canon + d->canon_len, bytes, len);
	d->canon_len += len;
}

/* The same with NULs as 0x80. may_hold_nul: false where it is known to have none. */
static void
canon_add_text(struct digester *d, const char *text, size_t len, bool may_hold_nul)
{
	const char *nul;

	while (may_hold_nul && len > 0 && (nul = memchr(text, '\0', len)) != NULL) {
		size_t run = (size_t)(nul - text);

		d->traits |= TRAIT_NUL;
		canon_add(d, text, run);
		diverge(d);
		canon_add(d, "\x80", 1);
		text += run + 1;
		len -= run + 1;
	}
	canon_add(d, text, len);
}

/* A name followed by a colon, blanks between them tolerated: anything else is no header field. */
static void
check_first_line(struct digester *d, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len && d->first != FIRST_DONE; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == ':' && d->first_named) {
			d->first = FIRST_DONE;
		} else if ((c == ' ' || c == '\t') && d->first_named) {
			d->first = FIRST_BLANK;
		} else if (c > ' ' && c < 0x7f && c != ':' && d->first == FIRST_NAME) {
			d->first_named = true;
		} else {
			d->traits |= TRAIT_NO_HEADER;
			d->first = FIRST_DONE;
		}
	}
}

static bool
is_added_field(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(added_fields) / sizeof(added_fields[0]); i++)
		if (strlen(added_fields[i]) == len && text_ieqn(name, added_fields[i], len))
			return true;
	return false;
}

/* The bytes that waited belong to a line that is kept. */
static void
keep_line(struct digester *d)
{
	d->fate = LINE_KEEP;
	canon_add_text(d, d->name, d->name_len, true);
	d->name_len = 0;
}

/* Reads on in the name of an open line; returns how many bytes it took. */
static size_t
read_name(struct digester *d, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len && d->fate == LINE_OPEN; i++) {
		if (text[i] == ':' && is_added_field(d->name, d->name_len)) {
			d->fate = LINE_DROP;
			d->name_len = 0;
			diverge(d);
			return i + 1;
		}
		if (text[i] == ':' || d->name_len == NAME_MAX_BYTES) {
			keep_line(d);
			return i;
		}
		d->name[d->name_len++] = text[i];
	}
	return i;
}

/* Eight bytes at a time. */
static bool
has_8bit_or_nul(const char *text, size_t len)
{
	const uint64_t low = 0x0101010101010101U, high = low << 7;
	uint64_t found = 0, word;
	size_t i = 0;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		found |= word | (word - low);
	}
	for (; i < len; i++)
		found |= (unsigned char)text[i] >= 0x80 || text[i] == '\0' ? high : 0;
	return (found & high) != 0;
}

static void
take_header_text(struct digester *d, const char *text, size_t len)
{
	bool odd = has_8bit_or_nul(text, len);

	if (d->first != FIRST_DONE)
		check_first_line(d, text, len);
	/* A NUL counts: in its repaired form it is 0x80. */
	if (odd)
		d->traits |= TRAIT_8BIT_HEADER;
	if (d->line_len == 0 && text[0] != ' ' && text[0] != '\t') {
		d->fate = LINE_OPEN; /* else folded: as the line above */
		d->has_colon = false;
	}
	d->has_colon = d->has_colon || memchr(text, ':', len) != NULL;
	if (d->fate == LINE_OPEN) {
		size_t taken = read_name(d, text, len);

		text += taken;
		len -= taken;
	}
	if (d->fate == LINE_KEEP)
		canon_add_text(d, text, len, odd);
	else if (odd && len > 0 && memchr(text, '\0', len) != NULL)
		d->traits |= TRAIT_NUL;
}

/* Part of a line, without any of its end; len > 0. */
static void
take_text(struct digester *d, const char *text, size_t len)
{
	if (d->in_header)
		take_header_text(d, text, len);
	else
		canon_add_text(d, text, len, true);
	if (len > LINE_MAX_BYTES - d->line_len) {
		d->traits |= TRAIT_LONG_LINE;
		d->line_len = LINE_MAX_BYTES;
	} else {
		d->line_len += len;
	}
}

static void
take_line_end(struct digester *d)
{
	if (d->in_header) {
		if (d->first != FIRST_DONE) { /* it ended before its colon */
			d->traits |= TRAIT_NO_HEADER;
			d->first = FIRST_DONE;
		}
		if (d->line_len > 0 && !d->has_colon)
			d->traits |= TRAIT_BAD_HEADER;
		if (d->fate == LINE_OPEN && d->line_len > 0)
			keep_line(d);
		if (d->line_len == 0) {
			d->in_header = false;
			d->fate = LINE_KEEP;
		}
	}
	if (d->fate == LINE_KEEP)
		canon_add(d, "\r\n", 2);
	d->line_len = 0;
}

/* The CRs that were waiting had no LF behind them: each ends a line. */
static void
end_bare_cr(struct digester *d)
{
	d->traits |= TRAIT_BARE_CR;
	diverge(d);
	for (; d->pending_cr > 0; d->pending_cr--)
		take_line_end(d);
}

/* Bytes without an LF. */
static void
take_run(struct digester *d, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end) {
		const char *cr;

		if (*p == '\r') {
			if (++d->pending_cr > 1)
				diverge(d);
			p++;
			continue;
		}
		if (d->pending_cr > 0)
			end_bare_cr(d);
		cr = memchr(p, '\r', (size_t)(end - p));
		if (cr == NULL)
			cr = end;
		take_text(d, p, (size_t)(cr - p));
		p = cr;
	}
}

/* Blocks of that many bytes are looked at at once, and a line may reach over so many without its
 * end: it is short enough then wherever it begins and ends. */
#define BLOCK_BYTES     128
#define OPEN_BLOCKS_MAX ((LINE_MAX_BYTES / BLOCK_BYTES) - 2)

/* A vector of the compiler's, on any machine. */
#define VECTOR_BYTES 16
typedef signed char vector __attribute__((vector_size(VECTOR_BYTES)));
#define TIMES_4(c)  (c), (c), (c), (c)
#define TIMES_16(c) TIMES_4(c), TIMES_4(c), TIMES_4(c), TIMES_4(c)

static bool
any_set(vector v)
{
	uint64_t half[2];

	memcpy(half, &v, sizeof(half));
	return (half[0] | half[1]) != 0;
}

/* Has the block a NUL, an LF without a CR before it, or a CR (also just before the block) without
 * an LF behind it? */
static inline bool
is_odd(const char *block, bool *has_end_r)
{
	static const vector lf = { TIMES_16('\n') }, cr = { TIMES_16('\r') };
	vector here, before, end, odd = { 0 }, ends = { 0 }, nul = { 0 };

	for (size_t i = 0; i < BLOCK_BYTES; i += VECTOR_BYTES) {
		memcpy(&here, block + i, VECTOR_BYTES);
		memcpy(&before, block + i - 1, VECTOR_BYTES);
		end = here == lf;
		odd |= (end ^ (before == cr)) | (here == nul);
		ends |= end;
	}
	*has_end_r = any_set(ends);
	return any_set(odd);
}

/* Whole lines as they should be (no NUL, each ends in CRLF, no other CR or LF, none too long), by
 * blocks: no branch depends on where the lines end. Comes to its end earlier than need be, but
 * never behind a byte that is not as it should be. */
static size_t
proper_blocks(const char *p, const char *end)
{
	const char *at = p + 1, *last = NULL;
	unsigned open = 0;
	bool ends;

	if (p == end || *p == '\n' || *p == '\0')
		return 0;
	for (; end - at >= BLOCK_BYTES && open <= OPEN_BLOCKS_MAX; at += BLOCK_BYTES) {
		if (is_odd(at, &ends))
			break;
		open = ends ? 0 : open + 1;
		if (ends)
			last = at;
	}
	if (last == NULL)
		return 0;
	for (at = last + BLOCK_BYTES - 1; *at != '\n'; at--)
		continue;
	return (size_t)(at + 1 - p);
}

/* The same, line by line. Nearly all of nearly every body. */
static size_t
proper_lines(const char *p, const char *end)
{
	const char *from = p, *lf;

	p += proper_blocks(p, end);
	while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL && lf > p &&
		lf - p <= LINE_MAX_BYTES && memchr(p, '\r', (size_t)(lf - p)) == lf - 1 &&
		memchr(p, '\0', (size_t)(lf - p)) == NULL)
		p = lf + 1;
	return (size_t)(p - from);
}

static void
take_bytes(struct digester *d, const char *p, size_t len)
{
	const char *end = p + len;

	if (len == 0)
		return;
	d->piece = p;
	d->piece_len = len;
	d->bytes += len;
	if (!d->same)
		hash_up_to(d, d->bytes);
	while (p < end) {
		const char *lf;

		if (!d->in_header && d->same && d->line_len == 0 && d->pending_cr == 0) {
			size_t proper = proper_lines(p, end);

			canon_count(d, proper);
			p += proper;
			if (p == end)
				break;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		take_run(d, p, (size_t)((lf != NULL ? lf : end) - p));
		if (lf == NULL)
			break;
		if (d->pending_cr == 0) {
			d->traits |= TRAIT_BARE_LF;
			diverge(d);
		} else if (d->pending_cr > 1) {
			d->traits |= TRAIT_BARE_CR;
		}
		d->pending_cr = 0;
		take_line_end(d);
		p = lf + 1;
	}
	end_piece(d);
}

void
digester_add(struct digester *digester, const void *bytes, size_t len)
{
	struct digester *d = digester;
	const char *p = bytes;

	if (!d->has_head && len >= DIGEST_HEAD_BYTES - d->bytes) {
		size_t part = (size_t)(DIGEST_HEAD_BYTES - d->bytes);

		take_bytes(d, p, part);
		canon_flush(d);
		hash_copy(&d->head, d->exact);
		hash_add(d->head, d->lag, d->lag_len);
		d->has_head = true;
		p += part;
		len -= part;
	}
	take_bytes(d, p, len);
}

static void
end_heads(struct digester *d, struct digests *digests_r)
{
	if (d->has_head)
		hash_end(d->head, digests_r->head);
	else
		memcpy(digests_r->head, digests_r->exact, DIGEST_SIZE);
	if (d->has_canonical_head)
		hash_end(d->canonical_head, digests_r->canonical_head);
	else if (!d->has_head)
		memcpy(digests_r->canonical_head, digests_r->canonical, DIGEST_SIZE);
	else
		memset(digests_r->canonical_head, 0, DIGEST_SIZE);
}

void
digester_take(struct digester *d, struct digests *digests_r)
{
	if (d->pending_cr > 0)
		end_bare_cr(d);
	if (d->line_len > 0) {
		if (d->in_header)
			d->traits |= TRAIT_BAD_HEADER;
		diverge(d);
		take_line_end(d);
	}
	if (d->bytes == 0)
		d->traits |= TRAIT_EMPTY;
	canon_flush(d);
	if (d->same && d->canonical_bytes != d->bytes)
		BUG("canonical bytes are missing");
	if (!d->same)
		hash_end(d->canonical, digests_r->canonical);
	hash_end(d->exact, digests_r->exact);
	if (d->same)
		memcpy(digests_r->canonical, digests_r->exact, DIGEST_SIZE);
	end_heads(d, digests_r);
	digests_r->bytes = d->bytes;
	digests_r->traits = d->traits;
	begin(d);
}

void
digester_end(struct digester **digester, struct digests *digests_r)
{
	digester_take(*digester, digests_r);
	digester_free(digester);
}

struct digest_sum {
	EVP_MD_CTX *ctx;
};

struct digest_sum *
digest_sum_new(void)
{
	struct digest_sum *sum = xcalloc(1, sizeof(*sum));

	sum->ctx = hash_new();
	hash_begin(sum->ctx);
	return sum;
}

void
digest_sum_add(struct digest_sum *sum, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(sum->ctx, bytes, len) != 1)
		BUG("SHA-256");
}

void
digest_sum_get(const struct digest_sum *sum, unsigned char digest_r[DIGEST_SIZE])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned len = DIGEST_SIZE;

	if (copy == NULL || EVP_MD_CTX_copy_ex(copy, sum->ctx) != 1 ||
		EVP_DigestFinal_ex(copy, digest_r, &len) != 1)
		BUG("SHA-256");
	EVP_MD_CTX_free(copy);
}

void
digest_sum_free(struct digest_sum **sum)
{
	if (*sum == NULL)
		return;
	EVP_MD_CTX_free((*sum)->ctx);
	free(*sum);
	*sum = NULL;
}
