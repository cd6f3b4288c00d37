/* test_digest.c - the canonical form, the traits, and that cuts never matter. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/test.h"
#include "mail/digest.h"

#include "base/banned.h"

static void
sha256(const void *bytes, size_t len, unsigned char *digest_r)
{
	unsigned size = 0;

	EVP_Digest(bytes, len, digest_r, &size, EVP_sha256(), NULL);
}

/* In pieces of at most `piece` bytes. */
static void
digest(const char *bytes, size_t len, size_t piece, struct digests *digests_r)
{
	struct digester *d = digester_new();
	size_t at;

	for (at = 0; at < len; at += piece)
		digester_add(d, bytes + at, len - at < piece ? len - at : piece);
	digester_end(&d, digests_r);
	CHECK(d == NULL);
}

/* A literal with its length, so that it may hold NULs. */
#define NO_FIELD (TRAIT_NO_HEADER | TRAIT_BAD_HEADER)
#define BYTES(s) s, sizeof(s) - 1

static const struct canonical_case {
	const char *message;
	size_t len;
	const char *canonical;
	size_t canonical_len;
	unsigned traits;
} canonical_cases[] = {
	{ BYTES(""), BYTES(""), TRAIT_EMPTY },
	{ BYTES("A: b\r\n\r\nx\r\n"), BYTES("A: b\r\n\r\nx\r\n"), 0 },
	{ BYTES("A: b\n\nx\n"), BYTES("A: b\r\n\r\nx\r\n"), TRAIT_BARE_LF },
	{ BYTES("A: b\r\rx\r"), BYTES("A: b\r\n\r\nx\r\n"), TRAIT_BARE_CR },
	{ BYTES("A: b\r\n\r\nx"), BYTES("A: b\r\n\r\nx\r\n"), 0 },
	{ BYTES("A: b\r\n\r\nx\r"), BYTES("A: b\r\n\r\nx\r\n"), TRAIT_BARE_CR },
	{ BYTES("A: b"), BYTES("A: b\r\n"), TRAIT_BAD_HEADER },
	{ BYTES("A: b\r\n\r\na\r\r\nb\r\n"), BYTES("A: b\r\n\r\na\r\nb\r\n"), TRAIT_BARE_CR },
	{ BYTES("A: b\r\n\r\n\n\r\n\r"), BYTES("A: b\r\n\r\n\r\n\r\n\r\n"),
		TRAIT_BARE_LF | TRAIT_BARE_CR },
	{ BYTES("A: b\r\n\r\na\0b\0\0c\0\r\n"),
		BYTES("A: b\r\n\r\na\x80"
		      "b\x80\x80"
		      "c\x80\r\n"),
		TRAIT_NUL },
	{ BYTES("A: \0\r\n\r\n"), BYTES("A: \x80\r\n\r\n"), TRAIT_NUL | TRAIT_8BIT_HEADER },
	{ BYTES("A\0: b\r\n\r\n"), BYTES("A\x80: b\r\n\r\n"),
		TRAIT_NUL | TRAIT_8BIT_HEADER | TRAIT_NO_HEADER },
	{ BYTES("A: \xc3\xa4\r\n\r\n"), BYTES("A: \xc3\xa4\r\n\r\n"), TRAIT_8BIT_HEADER },
	{ BYTES("A: a\r\n\r\n\xc3\xa4"), BYTES("A: a\r\n\r\n\xc3\xa4\r\n"), 0 },
	/* Fields that servers add, folded ones with them, only in the header. */
	{ BYTES("A: b\r\nStatus: RO\r\n\r\nStatus: RO\r\n"), BYTES("A: b\r\n\r\nStatus: RO\r\n"),
		0 },
	{ BYTES("X-UID: 7\r\nA: b\r\n\r\n"), BYTES("A: b\r\n\r\n"), 0 },
	{ BYTES("x-keywords: a\r\n b\r\n\tc\r\nA: b\r\n d\r\n\r\n"), BYTES("A: b\r\n d\r\n\r\n"),
		0 },
	{ BYTES("A: b\nX-IMAPBASE: 1 2\n c\nB: c\n"), BYTES("A: b\r\nB: c\r\n"), TRAIT_BARE_LF },
	{ BYTES("X-Status: \r\nX-UIDL: \r\nX-IMAP: \r\nContent-Length: 1\r\n"
		"Lines: 3\r\nX-Keywords:\r\n\r\n"),
		BYTES("\r\n"), 0 },
	{ BYTES("A: b\r\nStatus: \xff\0"), BYTES("A: b\r\n"),
		TRAIT_NUL | TRAIT_8BIT_HEADER | TRAIT_BAD_HEADER },
	{ BYTES("Status: RO"), BYTES(""), TRAIT_BAD_HEADER },
	{ BYTES("Status"), BYTES("Status\r\n"), TRAIT_NO_HEADER | TRAIT_BAD_HEADER },
	{ BYTES("Statusx: a\r\nX-Statu: b\r\nStatus : c\r\nContent-Length2: d\r\n"),
		BYTES("Statusx: a\r\nX-Statu: b\r\nStatus : c\r\nContent-Length2: d\r\n"), 0 },
	{ BYTES("Content-Length-Of-Something-Else: a\r\n"),
		BYTES("Content-Length-Of-Something-Else: a\r\n"), 0 },
	{ BYTES("A: b\r\n Status: x\r\n"), BYTES("A: b\r\n Status: x\r\n"), 0 },
	{ BYTES("A: b\r\n \r\nStatus: x\r\n"), BYTES("A: b\r\n \r\n"), 0 },
	/* No header at all. */
	{ BYTES("\r\nx"), BYTES("\r\nx\r\n"), TRAIT_NO_HEADER },
	{ BYTES("hello\r\n"), BYTES("hello\r\n"), NO_FIELD },
	{ BYTES("hello"), BYTES("hello\r\n"), NO_FIELD },
	{ BYTES(": x\r\n"), BYTES(": x\r\n"), TRAIT_NO_HEADER },
	{ BYTES(" A: x\r\n"), BYTES(" A: x\r\n"), TRAIT_NO_HEADER },
	{ BYTES("From joe Mon Jan 1\r\n"), BYTES("From joe Mon Jan 1\r\n"), NO_FIELD },
	{ BYTES("From joe Mon 1:1\r\n"), BYTES("From joe Mon 1:1\r\n"), TRAIT_NO_HEADER },
	{ BYTES("A : x\r\n"), BYTES("A : x\r\n"), 0 },
	{ BYTES("A\r\n"), BYTES("A\r\n"), NO_FIELD },
	/* A header that is none further down. */
	{ BYTES("A: x\r\nB\r\nC: y\r\n\r\nD\r\n"), BYTES("A: x\r\nB\r\nC: y\r\n\r\nD\r\n"),
		TRAIT_BAD_HEADER },
	{ BYTES("A: x\r\n B\r\n\tC\r\n\r\n"), BYTES("A: x\r\n B\r\n\tC\r\n\r\n"), 0 },
	{ BYTES("A:\r\n B\r\nC"), BYTES("A:\r\n B\r\nC\r\n"), TRAIT_BAD_HEADER },
	{ BYTES("A: x\r\n\r\nB"), BYTES("A: x\r\n\r\nB\r\n"), 0 },
};

/* In pieces of any size it comes to the same. */
static void
check_canonical(const struct canonical_case *c)
{
	unsigned char exact[DIGEST_SIZE], canonical[DIGEST_SIZE];

	sha256(c->message, c->len, exact);
	sha256(c->canonical, c->canonical_len, canonical);
	for (size_t piece = 1; piece <= c->len + 1; piece++) {
		struct digests got;

		digest(c->message, c->len, piece, &got);
		if (memcmp(got.canonical, canonical, DIGEST_SIZE) != 0)
			printf("case %zu, pieces of %zu\n", (size_t)(c - canonical_cases), piece);
		CHECK_MEM(got.exact, exact, DIGEST_SIZE);
		CHECK_MEM(got.canonical, canonical, DIGEST_SIZE);
		CHECK_MEM(got.head, exact, DIGEST_SIZE);
		CHECK_INT(got.traits, c->traits);
		CHECK_INT(got.bytes, c->len);
	}
}

static void
test_canonical(void)
{
	for (size_t i = 0; i < sizeof(canonical_cases) / sizeof(canonical_cases[0]); i++)
		check_canonical(&canonical_cases[i]);
}

static const char sample[] = "X-UID: 17\r\nReceived: from a\r\n by b; Mon, 1 Jan 2024\n"
			     "Status: RO\r\n O\r\nSubject: Gr\xc3\xbc\xc3\x9f\x65\r\n\r\n"
			     "one\ntwo\rthree\r\r\nfour\0five\r\n\r\n\nStatus: x\nlast\r";

/* Every way to cut the sample into three. */
static void
test_cuts(void)
{
	struct digests whole, got;
	size_t len = sizeof(sample) - 1, a, b;

	digest(sample, len, len, &whole);
	CHECK_INT(whole.traits, TRAIT_NUL | TRAIT_BARE_LF | TRAIT_BARE_CR | TRAIT_8BIT_HEADER);
	for (a = 0; a <= len; a++) {
		for (b = a; b <= len; b++) {
			struct digester *d = digester_new();

			digester_add(d, sample, a);
			digester_add(d, sample + a, b - a);
			digester_add(d, sample + b, len - b);
			digester_end(&d, &got);
			CHECK_MEM(got.exact, whole.exact, DIGEST_SIZE);
			CHECK_MEM(got.canonical, whole.canonical, DIGEST_SIZE);
			CHECK_MEM(got.head, whole.head, DIGEST_SIZE);
			CHECK_INT(got.traits, whole.traits);
			CHECK_INT(got.bytes, whole.bytes);
		}
	}
}

static void
test_long_lines(void)
{
	static const struct {
		size_t letters;
		unsigned traits;
	} cases[] = { { 998, 0 }, { 999, TRAIT_LONG_LINE }, { 5000, TRAIT_LONG_LINE } };
	size_t i, piece;

	for (i = 0; i < 3; i++) {
		size_t n = cases[i].letters;
		char *text = xmalloc(n + 64);
		struct digests got;

		memcpy(text, "A: b\r\n\r\n", 8);
		memset(text + 8, 'x', n);
		memcpy(text + 8 + n, "\r\nxx\r\n", 6);
		for (piece = 1; piece < 1100; piece += 7) {
			digest(text, n + 14, piece, &got);
			CHECK_INT(got.traits, cases[i].traits);
		}
		free(text);
	}
}

static void
check_as_byte_by_byte(const char *text, size_t len)
{
	struct digests whole, bytes;

	digest(text, len, len, &whole);
	digest(text, len, 1, &bytes);
	CHECK_MEM(whole.exact, bytes.exact, DIGEST_SIZE);
	CHECK_MEM(whole.canonical, bytes.canonical, DIGEST_SIZE);
	CHECK_INT(whole.traits, bytes.traits);
}

/* Bodies are looked at in blocks: one odd byte at each place of a few, and lines about as long as
 * they may be, beginning at each. */
static void
test_blocks(void)
{
	static const char odd[] = { '\0', '\r', '\n', 'x' };
	char text[4096];
	size_t head = 8, len = 1200, i, k, n;
	struct digests got;

	memcpy(text, "A: b\r\n\r\n", head);
	for (i = head; i < len; i++)
		text[i] = i % 50 == 0 ? '\r' : i % 50 == 1 ? '\n' : 'a';
	digest(text, len, len, &got);
	CHECK_INT(got.traits, 0);
	for (i = head; i < head + 600; i++) {
		char saved = text[i];

		for (k = 0; k < sizeof(odd); k++) {
			text[i] = odd[k];
			check_as_byte_by_byte(text, len);
		}
		text[i] = saved;
	}
	memset(text + len, 'a', sizeof(text) - len);
	for (i = 0; i < 140; i++) {
		for (n = 994; n <= 1002; n++) {
			memset(text + head, 'a', len);
			memcpy(text + head + i, "\r\n", 2);
			memcpy(text + head + i + 2 + n, "\r\n", 2);
			check_as_byte_by_byte(text, head + i + n + 300);
		}
	}
}

/* The head is the first 64 KiB, whatever the pieces; a canonical form longer than the buffer. */
static void
test_head(void)
{
	static const size_t lens[] = { 65535, 65536, 65537, 300000 };
	static const size_t pieces[] = { 1000, 65535, 65536, 65537, 300000 };
	size_t i, k, n;

	for (i = 0; i < 4; i++) {
		size_t len = lens[i], canonical_len = 0;
		char *text = xmalloc(len), *canonical = xmalloc(2 * len + 2);
		unsigned char want[3][DIGEST_SIZE];

		for (n = 0; n < len; n++)
			text[n] = n % 71 == 70 ? '\n' : (char)('a' + n % 26);
		memcpy(text, "A: b\n\n", 6);
		for (n = 0; n < len; n++) {
			if (text[n] == '\n')
				canonical[canonical_len++] = '\r';
			canonical[canonical_len++] = text[n];
		}
		if (text[len - 1] != '\n') {
			memcpy(canonical + canonical_len, "\r\n", 2);
			canonical_len += 2;
		}
		sha256(text, len, want[0]);
		sha256(canonical, canonical_len, want[1]);
		sha256(text, len < DIGEST_HEAD_BYTES ? len : DIGEST_HEAD_BYTES, want[2]);
		for (k = 0; k < 5; k++) {
			struct digests got;

			digest(text, len, pieces[k], &got);
			CHECK_MEM(got.exact, want[0], DIGEST_SIZE);
			CHECK_MEM(got.canonical, want[1], DIGEST_SIZE);
			CHECK_MEM(got.head, want[2], DIGEST_SIZE);
			CHECK_INT(got.bytes, len);
		}
		free(text);
		free(canonical);
	}
}

/* Whoever sees a message whole or its head alone, with line ends as sent or as a server rewrote
 * them, in whatever pieces, comes to the same canonical head. */
static void
check_canonical_head(size_t line)
{
	static const size_t lens[] = { 1000, 32000, 40000, 65536, 66000, 300000 };
	static const size_t pieces[] = { 777, 4096, 16384, 65536, 300000 };
	static const unsigned char zero[DIGEST_SIZE];
	struct digests got, want;
	size_t i, n;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i], crlf_len = 0, head;
		char *text = xmalloc(len), *crlf = xmalloc(2 * len);

		for (n = 0; n < len; n++)
			text[n] =
				n % line == line - 1 || n == len - 1 ? '\n' : (char)('a' + n % 26);
		memcpy(text, "A: b\n\n", 6);
		for (n = 0; n < len; n++) {
			if (text[n] == '\n')
				crlf[crlf_len++] = '\r';
			crlf[crlf_len++] = text[n];
		}
		digest(text, len, len, &want);
		CHECK(memcmp(want.canonical_head, zero, DIGEST_SIZE) != 0);
		for (n = 0; n < sizeof(pieces) / sizeof(pieces[0]); n++) {
			head = len < DIGEST_HEAD_BYTES ? len : DIGEST_HEAD_BYTES;
			digest(text, head, pieces[n], &got);
			CHECK_MEM(got.canonical_head, want.canonical_head, DIGEST_SIZE);
			digest(crlf, crlf_len, pieces[n], &got);
			CHECK_MEM(got.canonical_head, want.canonical_head, DIGEST_SIZE);
			head = crlf_len < DIGEST_HEAD_BYTES ? crlf_len : DIGEST_HEAD_BYTES;
			digest(crlf, head, pieces[n], &got);
			CHECK_MEM(got.canonical_head, want.canonical_head, DIGEST_SIZE);
		}
		text[len < 20000 ? len - 2 : 20000] ^= 3;
		digest(text, len, len, &got);
		CHECK(memcmp(got.canonical_head, want.canonical_head, DIGEST_SIZE) != 0);
		free(text);
		free(crlf);
	}
}

static void
test_canonical_head(void)
{
	static const size_t lines[] = { 3, 70, 4097, 6500, 20000 };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check_canonical_head(lines[i]);
}

/* A head of which too little counts tells nothing of a message that goes on. */
static void
test_no_canonical_head(void)
{
	static const unsigned char zero[DIGEST_SIZE];
	size_t len = 2 * DIGEST_HEAD_BYTES;
	char *text = xmalloc(len);
	struct digests got;

	memset(text, '\r', len);
	memcpy(text, "A: b\r\n\r\n", 8);
	text[DIGEST_HEAD_BYTES + 10] = '\n';
	memset(text + DIGEST_HEAD_BYTES + 11, 'x', len - DIGEST_HEAD_BYTES - 11);
	digest(text, len, 1000, &got);
	CHECK(memcmp(got.canonical_head, zero, DIGEST_SIZE) == 0);
	CHECK(memcmp(got.canonical, zero, DIGEST_SIZE) != 0);
	free(text);
}

static void
test_free(void)
{
	struct digester *d = digester_new();

	digester_add(d, "A: b", 4);
	digester_free(&d);
	CHECK(d == NULL);
	digester_free(&d);
}

/* One digester for one message after the other, odd and plain ones. */
static void
test_take(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} messages[] = { { BYTES("A: b\r\n\r\nx\r\n") }, { BYTES("A: b\n\nx\r") },
		{ BYTES("A: b\r\n\r\nx\r\n") }, { BYTES("Lines: 3\r\nA: b\r\n\r\n\0") },
		{ BYTES("Lin") }, { BYTES("") }, { BYTES("A: b\r\n\r\nx\r\n") } };
	struct digester *d = digester_new();

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct digests alone = { 0 }, taken = { 0 };

		digest(messages[i].bytes, messages[i].len, 2, &alone);
		for (size_t at = 0; at < messages[i].len; at++)
			digester_add(d, messages[i].bytes + at, 1);
		digester_take(d, &taken);
		CHECK_MEM(&taken, &alone, sizeof(alone));
	}
	digester_free(&d);
}

/* Bytes that make a message canonical or not, at random: in pieces as in one. */
static void
test_random(void)
{
	static const char *const parts[] = { "A", "b: c", ":", "\r", "\n", "\r\n", "\r\n",
		"\r\n\r\n", " ", "Status", "X-UID: 1", "Lines:", "\xc3",
		"a longer line of text here", "\r\r\n" };
	static char message[3 * DIGEST_HEAD_BYTES];
	uint32_t state = 1;

	for (int round = 0; round < 300; round++) {
		struct digests whole = { 0 }, cut = { 0 };
		size_t len = 0, want = round % 20 == 0 ? 2 * DIGEST_HEAD_BYTES : 300;

		while (len < want) {
			const char *part;

			state = state * 1664525 + 1013904223;
			part = parts[(state >> 16) % (sizeof(parts) / sizeof(parts[0]))];
			if ((state >> 8) % 4 != 0 && round % 2 == 0)
				part = "a plain line: of text\r\n";
			memcpy(message + len, part, strlen(part));
			len += strlen(part);
			if ((state >> 4) % 64 == 0 && round % 3 == 0)
				message[len++] = '\0';
		}
		digest(message, len, len, &whole);
		for (size_t piece = 1; piece < 40; piece += 6) {
			digest(message, len, piece, &cut);
			CHECK_MEM(&cut, &whole, sizeof(whole));
		}
	}
}

int
main(void)
{
	RUN(test_canonical);
	RUN(test_take);
	RUN(test_random);
	RUN(test_cuts);
	RUN(test_long_lines);
	RUN(test_blocks);
	RUN(test_head);
	RUN(test_canonical_head);
	RUN(test_no_canonical_head);
	RUN(test_free);
	return test_done();
}
