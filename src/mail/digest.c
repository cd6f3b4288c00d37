/* digest.c - exact and canonical SHA-256 of a message in one pass, and what is odd about it.
 *
 * The pieces may be cut anywhere, so all that is known between two bytes is state: a CR that may
 * still get its LF, the length of the line, and in the header whether the line is kept, dropped,
 * or its name not yet read far enough. Work is done by runs between line ends (memchr), and the
 * canonical bytes are gathered in a buffer, so that the cost is that of the two hashes. */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/str.h"
#include "mail/digest.h"

#include "base/banned.h"

#define LINE_MAX_BYTES  998 /* RFC 5322, 2.1.1 */
#define CANON_BUF_BYTES 16384
#define NAME_MAX_BYTES  16 /* the longest of added_fields and its colon fit */

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
	EVP_MD_CTX *exact, *canonical, *head;
	EVP_MD_CTX *
		canonical_head; /* NULL until as many bytes were hashed, and where they never are */
	uint64_t bytes;
	uint64_t canonical_bytes; /* hashed */
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

static EVP_MD_CTX *
hash_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		BUG("no SHA-256");
	return ctx;
}

static void
hash_add(EVP_MD_CTX *ctx, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(ctx, bytes, len) != 1)
		BUG("SHA-256 update");
}

/* The hash as it stands. */
static EVP_MD_CTX *
hash_copy(const EVP_MD_CTX *from)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || EVP_MD_CTX_copy_ex(ctx, from) != 1)
		BUG("no copy of a hash");
	return ctx;
}

static void
hash_end(EVP_MD_CTX *ctx, unsigned char *digest_r)
{
	unsigned len = 0;

	if (EVP_DigestFinal_ex(ctx, digest_r, &len) != 1 || len != DIGEST_SIZE)
		BUG("SHA-256 end");
}

struct digester *
digester_new(void)
{
	struct digester *d = xcalloc(1, sizeof(*d));

	d->exact = hash_new();
	d->canonical = hash_new();
	d->in_header = true;
	d->fate = LINE_KEEP;
	d->first = FIRST_NAME;
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

/* A head's hash is that of the whole, stopped where the head ends. The canonical one is made of
 * the exact head alone: whoever sees no more than that has to come to the same. */
static void
canon_hash(struct digester *d, const unsigned char *bytes, size_t len)
{
	uint64_t want = DIGEST_CANONICAL_HEAD_BYTES - d->canonical_bytes;

	if (d->canonical_bytes < DIGEST_CANONICAL_HEAD_BYTES && len >= want) {
		hash_add(d->canonical, bytes, (size_t)want);
		if (d->head == NULL)
			d->canonical_head = hash_copy(d->canonical);
		hash_add(d->canonical, bytes + want, len - (size_t)want);
	} else {
		hash_add(d->canonical, bytes, len);
	}
	d->canonical_bytes += len;
}

static void
canon_flush(struct digester *d)
{
	canon_hash(d, d->canon, d->canon_len);
	d->canon_len = 0;
}

static void
canon_add(struct digester *d, const void *bytes, size_t len)
{
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

/* The same with NULs as 0x80. */
static void
canon_add_text(struct digester *d, const char *text, size_t len)
{
	const char *nul;

	while (len > 0 && (nul = memchr(text, '\0', len)) != NULL) {
		size_t run = (size_t)(nul - text);

		d->traits |= TRAIT_NUL;
		canon_add(d, text, run);
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
	canon_add_text(d, d->name, d->name_len);
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

static void
take_header_text(struct digester *d, const char *text, size_t len)
{
	size_t i;

	if (d->first != FIRST_DONE)
		check_first_line(d, text, len);
	/* A NUL counts: in its repaired form it is 0x80. */
	for (i = 0; i < len && (d->traits & TRAIT_8BIT_HEADER) == 0; i++)
		if ((unsigned char)text[i] >= 0x80 || text[i] == '\0')
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
		canon_add_text(d, text, len);
	else if (len > 0 && memchr(text, '\0', len) != NULL)
		d->traits |= TRAIT_NUL;
}

/* Part of a line, without any of its end; len > 0. */
static void
take_text(struct digester *d, const char *text, size_t len)
{
	if (d->in_header)
		take_header_text(d, text, len);
	else
		canon_add_text(d, text, len);
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
			d->pending_cr++;
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

static void
take_bytes(struct digester *d, const char *p, size_t len)
{
	const char *end = p + len;

	if (len == 0)
		return;
	hash_add(d->exact, p, len);
	d->bytes += len;
	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		take_run(d, p, (size_t)((lf != NULL ? lf : end) - p));
		if (lf == NULL)
			break;
		if (d->pending_cr == 0)
			d->traits |= TRAIT_BARE_LF;
		else if (d->pending_cr > 1)
			d->traits |= TRAIT_BARE_CR;
		d->pending_cr = 0;
		take_line_end(d);
		p = lf + 1;
	}
}

void
digester_add(struct digester *digester, const void *bytes, size_t len)
{
	struct digester *d = digester;
	const char *p = bytes;

	if (d->head == NULL && len >= DIGEST_HEAD_BYTES - d->bytes) {
		size_t part = (size_t)(DIGEST_HEAD_BYTES - d->bytes);

		take_bytes(d, p, part);
		canon_flush(d);
		d->head = hash_copy(d->exact);
		p += part;
		len -= part;
	}
	take_bytes(d, p, len);
}

static void
end_heads(struct digester *d, struct digests *digests_r)
{
	if (d->head != NULL)
		hash_end(d->head, digests_r->head);
	else
		memcpy(digests_r->head, digests_r->exact, DIGEST_SIZE);
	if (d->canonical_head != NULL)
		hash_end(d->canonical_head, digests_r->canonical_head);
	else if (d->head == NULL)
		memcpy(digests_r->canonical_head, digests_r->canonical, DIGEST_SIZE);
	else
		memset(digests_r->canonical_head, 0, DIGEST_SIZE);
}

void
digester_end(struct digester **digester, struct digests *digests_r)
{
	struct digester *d = *digester;

	if (d->pending_cr > 0)
		end_bare_cr(d);
	if (d->line_len > 0) {
		if (d->in_header)
			d->traits |= TRAIT_BAD_HEADER;
		take_line_end(d);
	}
	if (d->bytes == 0)
		d->traits |= TRAIT_EMPTY;
	canon_flush(d);
	hash_end(d->canonical, digests_r->canonical);
	hash_end(d->exact, digests_r->exact);
	end_heads(d, digests_r);
	digests_r->bytes = d->bytes;
	digests_r->traits = d->traits;
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
