/* test_ladder.c - which step comes next, and what each makes of a message, however it is cut. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/digest.h"
#include "mail/encode_private.h"
#include "mail/item.h"
#include "mail/ladder.h"

#include "base/banned.h"

#define ALL_STEPS   ((1U << LADDER_STEPS) - 1)
#define BIT(step)   (1U << (step))
#define BYTES(s)    s, sizeof(s) - 1
#define MEMORY_POOL ((size_t)1 << 20)

static void
test_names(void)
{
	int step;

	for (step = 0; step < LADDER_STEPS; step++)
		CHECK_INT(ladder_by_name(ladder_name((enum ladder_step)step)), step);
	CHECK_STR(ladder_name(LADDER_8BIT_HEADER), "8bit_header");
	CHECK_STR(ladder_name(LADDER_WRAP), "wrapped");
	CHECK_INT(ladder_by_name("nothing"), -1);
	CHECK_INT(ladder_by_name(""), -1);
}

static void
test_next(void)
{
	static const struct {
		enum ladder_step after;
		unsigned allowed, traits;
		enum ladder_step want;
	} cases[] = {
		{ LADDER_AS_IS, ALL_STEPS, 0, LADDER_WRAP },
		{ LADDER_AS_IS, ALL_STEPS, TRAIT_BARE_LF, LADDER_LINE_ENDS },
		{ LADDER_AS_IS, ALL_STEPS, TRAIT_BARE_CR | TRAIT_NUL, LADDER_LINE_ENDS },
		{ LADDER_LINE_ENDS, ALL_STEPS, TRAIT_BARE_CR | TRAIT_NUL, LADDER_NUL },
		{ LADDER_NUL, ALL_STEPS, TRAIT_BARE_CR | TRAIT_NUL, LADDER_WRAP },
		{ LADDER_AS_IS, ALL_STEPS, TRAIT_8BIT_HEADER | TRAIT_LONG_LINE,
			LADDER_8BIT_HEADER },
		{ LADDER_8BIT_HEADER, ALL_STEPS, TRAIT_LONG_LINE, LADDER_LONG_LINES },
		{ LADDER_LONG_LINES, ALL_STEPS, TRAIT_LONG_LINE, LADDER_WRAP },
		{ LADDER_WRAP, ALL_STEPS, ~0U, LADDER_STEPS },
		{ LADDER_STEPS, ALL_STEPS, ~0U, LADDER_STEPS },
		{ LADDER_AS_IS, 0, ~0U, LADDER_STEPS },
		{ LADDER_AS_IS, BIT(LADDER_AS_IS), ~0U, LADDER_STEPS },
		{ LADDER_AS_IS, BIT(LADDER_NUL), TRAIT_BARE_LF, LADDER_STEPS },
		{ LADDER_AS_IS, BIT(LADDER_NUL), TRAIT_BARE_LF | TRAIT_NUL, LADDER_NUL },
		{ LADDER_AS_IS, BIT(LADDER_WRAP), TRAIT_EMPTY, LADDER_WRAP },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_INT(ladder_next(cases[i].after, cases[i].allowed, cases[i].traits),
			cases[i].want);
}

/* The repaired form; the result is the caller's. */
static char *
apply(struct spool_pool *pool, unsigned steps, int64_t received, const char *message, size_t len,
	size_t *len_r)
{
	struct spool *in = spool_new(pool), *out = spool_new(pool);
	struct err err;
	size_t got = 1, at = 0, size;
	char *result;

	CHECK_INT(spool_write(in, message, len, &err), 0);
	spool_finish(in);
	CHECK_INT(ladder_apply(steps, received, in, out, &err), 0);
	CHECK(spool_is_finished(out));
	size = (size_t)spool_size(out);
	result = malloc(size + 1);
	while (at < size && got > 0) {
		CHECK_INT(spool_read(out, at, result + at, size - at, &got, &err), 0);
		at += got;
	}
	result[at] = '\0';
	*len_r = at;
	spool_unref(&in);
	spool_unref(&out);
	return result;
}

static void
test_repairs(void)
{
	static const struct {
		unsigned steps;
		const char *message;
		size_t len;
		const char *want;
		size_t want_len;
	} cases[] = {
		{ 0, BYTES("A: \xff\0\n\r\rx"), BYTES("A: \xff\0\n\r\rx") },
		{ BIT(LADDER_AS_IS), BYTES("\n"), BYTES("\n") },
		{ ALL_STEPS ^ BIT(LADDER_WRAP), BYTES(""), BYTES("") },
		{ BIT(LADDER_LINE_ENDS), BYTES("A: b\nB: c\r\r\nx\r\r\ny\n\nz"),
			BYTES("A: b\r\nB: c\r\n\r\nx\r\n\r\ny\r\n\r\nz") },
		{ BIT(LADDER_LINE_ENDS), BYTES("A: b\r"), BYTES("A: b\r\n") },
		{ BIT(LADDER_LINE_ENDS), BYTES("A: \0\xff\r\n"), BYTES("A: \0\xff\r\n") },
		{ BIT(LADDER_NUL), BYTES("A: \0b\n\n\0x\0\0"),
			BYTES("A: \x80"
			      "b\n\n\x80x\x80\x80") },
		{ BIT(LADDER_8BIT_HEADER), BYTES("Subject: caf\xc3\xa9\n\n\xc3\xa9\0\n"),
			BYTES("Subject: =?UTF-8?B?Y2Fmw6k=?=\n\n\xc3\xa9\0\n") },
		{ BIT(LADDER_8BIT_HEADER),
			BYTES("A: b\r\nDate: \xe9\0\r\n \xe9\r\nSubject: \xe9\r\n\r\n\xe9"),
			BYTES("A: b\r\nDate: XX\r\n X\r\nSubject: "
			      "=?unknown-8bit?B?6Q==?=\r\n\r\n\xe9") },
		{ BIT(LADDER_8BIT_HEADER), BYTES("Subject: \xc3\xa9"),
			BYTES("Subject: =?UTF-8?B?w6k=?=") },
		{ BIT(LADDER_8BIT_HEADER), BYTES("no field \xc3\xa9\r\nA: \xc3\xa9\r\n"),
			BYTES("no field XX\r\nA: =?UTF-8?B?w6k=?=\r\n") },
		{ BIT(LADDER_8BIT_HEADER) | BIT(LADDER_NUL) | BIT(LADDER_LINE_ENDS),
			BYTES("Subject: a\0\n\nx\0\n"),
			BYTES("Subject: =?unknown-8bit?B?YYA=?=\r\n\r\nx\x80\r\n") },
	};
	struct spool_pool *pool = spool_pool_new(".", MEMORY_POOL, MEMORY_POOL);
	size_t i, len;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = apply(pool, cases[i].steps, 0, cases[i].message, cases[i].len, &len);

		if (len != cases[i].want_len || memcmp(got, cases[i].want, len) != 0)
			printf("case %zu: %s\n", i, got);
		CHECK_INT(len, cases[i].want_len);
		CHECK_MEM(got, cases[i].want, len < cases[i].want_len ? len : cases[i].want_len);
		free(got);
	}
	spool_pool_free(&pool);
}

static void
test_encode_field(void)
{
	static const struct {
		const char *field, *want;
	} cases[] = {
		/* Text. */
		{ "Subject: Gr\xc3\xbc\xc3\x9f\x65\r\n", "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n" },
		{ "Subject:\xc3\xa9\r\n", "Subject: =?UTF-8?B?w6k=?=\r\n" },
		{ "Subject: a \xc3\xa9 \xc3\xa9 b\r\n", "Subject: a =?UTF-8?B?w6kgw6k=?= b\r\n" },
		{ "Subject: a\r\n \xc3\xa9\r\n", "Subject: a =?UTF-8?B?w6k=?=\r\n" },
		{ "Subject: =?utf-8?q?x?= \xc3\xa9 =?utf-8?q?y?=\r\n",
			"Subject: =?utf-8?q?x?= =?UTF-8?B?IMOpIA==?= =?utf-8?q?y?=\r\n" },
		{ "X-Any: \xe9 a\n", "X-Any: =?unknown-8bit?B?6Q==?= a\n" },
		{ "Subject: \xc3\xa9  \r\n", "Subject: =?UTF-8?B?w6k=?=\r\n" },
		{ "Subject: plain words that are so long that they need a fold somewhere here "
		  "\xc3\xa9\r\n",
			"Subject: plain words that are so long that they need a fold somewhere "
			"here\r\n =?UTF-8?B?w6k=?=\r\n" },
		{ "Subject: "
		  "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		  "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		  "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\r\n",
			"Subject: =?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6k=?="
			"\r\n =?UTF-8?B?w6nDqcOpw6nDqcOpw6k=?=\r\n" },
		/* Addresses. */
		{ "From: J\xc3\xb6rg <j@x>\r\n", "From: =?UTF-8?B?SsO2cmc=?= <j@x>\r\n" },
		{ "From: \"M, J\xc3\xb6rg\"<j@x>\r\n", "From: =?UTF-8?B?TSwgSsO2cmc=?= <j@x>\r\n" },
		{ "To: a@b (J\xc3\xb6rg), \"q \\\" \xc3\xb6\" <c@d>,e@f\r\n",
			"To: a@b (=?UTF-8?B?SsO2cmc=?=), =?UTF-8?B?cSAiIMO2?= <c@d>,e@f\r\n" },
		{ "Cc: J\xc3\xb6rg M\xc3\xbcller <j\xc3\xb6@x>, k\xc3\xb6@y\r\n",
			"Cc: =?UTF-8?B?SsO2cmcgTcO8bGxlcg==?= <jXX@x>, kXX@y\r\n" },
		{ "To: \"j\xc3\xb6\"@x\r\n", "To: \"jXX\"@x\r\n" },
		{ "To: Gr\xc3\xb6\xc3\x9f\x65: a@b;\r\n",
			"To: =?UTF-8?B?R3LDtsOfZQ==?= : a@b;\r\n" },
		{ "To: (((\xc3\xb6)))) \xc3\xb6 \"unclosed \xc3\xb6\r\n",
			"To: (((=?UTF-8?B?w7Y=?=)))) =?UTF-8?B?w7YgdW5jbG9zZWQgw7Y=?=\r\n" },
		{ "To: <\xc3\xb6\r\n", "To: <XX\r\n" },
		/* Of a fixed form. */
		{ "Received: by \xc3\xb6;\r\n\tdate\r\n", "Received: by XX;\r\n\tdate\r\n" },
		{ "Content-Type: text/plain; name=\"\xe9\"\r\n",
			"Content-Type: text/plain; name=\"X\"\r\n" },
		{ "List-Unsubscribe: <\xe9>\n", "List-Unsubscribe: <X>\n" },
		{ "N\xc3\xb6: x\r\n", "NXX: x\r\n" },
		{ "no colon \xe9\r\n", "no colon X\r\n" },
		{ ": \xe9", ": X" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;

		str_init(&out, 0);
		CHECK_INT(encode_field(&out, cases[i].field, strlen(cases[i].field)), 0);
		CHECK_STR(str_get(&out), cases[i].want);
		CHECK(!encode_is_needed(str_get(&out), out.len));
		str_clear(&out);
	}
}

/* No line is over 998 bytes. */
static void
check_lines(const char *text, size_t len)
{
	const char *p = text, *end = text + len;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf != NULL ? lf : end;

		CHECK(stop - p <= 999);
		p = stop + 1;
	}
}

static void
test_long_lines(void)
{
	struct spool_pool *pool = spool_pool_new(".", MEMORY_POOL, MEMORY_POOL);
	struct str in, want;
	size_t i, len;
	char *got;

	str_init(&in, 0);
	str_init(&want, 0);
	/* Header: folded before blanks, a giant word inside. Body: broken behind blanks, else
	 * between characters. */
	str_adds(&in, "Short: x\r\nWords:");
	str_adds(&want, "Short: x\r\nWords:");
	for (i = 0; i < 400; i++) {
		str_adds(&in, " abcd");
		str_adds(&want, i == 198 || i == 397 ? "\r\n abcd" : " abcd");
	}
	str_adds(&in, "\r\nGiant: ");
	str_adds(&want, "\r\nGiant:\r\n ");
	for (i = 0; i < 1500; i++) {
		str_adds(&in, "g");
		str_adds(&want, i == 997 ? "\r\n g" : "g");
	}
	str_adds(&in, "\r\n\r\n");
	str_adds(&want, "\r\n\r\n");
	for (i = 0; i < 300; i++) {
		str_adds(&in, "word ");
		str_adds(&want, i == 199 ? "\r\nword " : "word ");
	}
	str_adds(&in, "\r\n");
	str_adds(&want, "\r\n");
	str_adds(&in, "a");
	str_adds(&want, "a");
	for (i = 0; i < 700; i++) {
		str_adds(&in, "\xc3\xa9");
		str_adds(&want, i == 498 ? "\r\n\xc3\xa9" : "\xc3\xa9");
	}
	got = apply(pool, BIT(LADDER_LONG_LINES), 0, in.data, in.len, &len);
	CHECK_INT(len, want.len);
	CHECK_STR(got, want.data);
	check_lines(got, len);
	free(got);
	str_clear(&in);
	str_clear(&want);
	spool_pool_free(&pool);
}

/* A field over the limit of what is gathered: substituted, nothing lost, line ends kept. */
static void
test_giant_field(void)
{
	static const size_t sizes[] = { 65520, 65534, 65535, 65536, 65537, 200000 };
	struct spool_pool *pool = spool_pool_new(".", MEMORY_POOL, MEMORY_POOL);
	size_t i, k, len;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *text = malloc(sizes[i] + 64), *got;
		size_t at = 0;

		memcpy(text, "Received: ", 10);
		for (at = 10; at < sizes[i]; at++)
			text[at] = at % 70 == 67   ? '\r'
				   : at % 70 == 68 ? '\n'
				   : at % 70 == 69 ? ' '
						   : '\xe9';
		while ((unsigned char)text[at - 1] != 0xe9)
			at--;
		memcpy(text + at, "\r\nA: \xe9\r\n\r\n\xe9", 12);
		at += 11;
		got = apply(pool, BIT(LADDER_8BIT_HEADER), 0, text, at, &len);
		for (k = 0; k < at - 11; k++)
			if (text[k] == '\xe9')
				text[k] = 'X';
		CHECK(len > at);
		CHECK_MEM(got, text, at - 11);
		CHECK_STR(got + at - 11, "\r\nA: =?unknown-8bit?B?6Q==?=\r\n\r\n\xe9");
		free(got);
		free(text);
	}
	spool_pool_free(&pool);
}

static void
test_wrap(void)
{
	static const struct {
		const char *message;
		size_t len;
		int64_t received;
		const char *header, *base64;
	} cases[] = {
		{ BYTES("From: J\xc3\xb6rg <j@x>\nSubject: h\xc3\xa9\0\x01llo\r\nDate: 17 Jul 1996 "
			"02:44:25 -0700\r\n\r\n\0"),
			5,
			"From: =?UTF-8?B?SsO2cmc=?= <j@x>\r\n"
			"Subject: =?UTF-8?B?aMOp?=  llo\r\n"
			"Date: Wed, 17 Jul 1996 09:44:25 +0000\r\n",
			"RnJvbTogSsO2cmcgPGpAeD4KU3ViamVjdDogaMOpAAFsbG8NCkRhdGU6IDE3IEp1bCAxOTk2ID"
			"Ay\r\n"
			"OjQ0OjI1IC0wNzAwDQoNCgA=\r\n" },
		{ BYTES("hello"), 1704067200,
			"From: \"Unknown sender\" <unknown@sender.invalid>\r\n"
			"Subject: (no subject)\r\n"
			"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n",
			"aGVsbG8=\r\n" },
		{ BYTES(""), ITEM_DATE_NONE,
			"From: \"Unknown sender\" <unknown@sender.invalid>\r\n"
			"Subject: (no subject)\r\n"
			"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n",
			"" },
		{ BYTES("Subject: a\rBcc: evil@x\r\nDate: never\r\n\r\n"), 1704067200,
			"From: \"Unknown sender\" <unknown@sender.invalid>\r\n"
			"Subject: a Bcc: evil@x\r\n"
			"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n",
			"U3ViamVjdDogYQ1CY2M6IGV2aWxAeA0KRGF0ZTogbmV2ZXINCg0K\r\n" },
	};
	static const char middle[] =
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"=_mailhaul_wrapped_message\"\r\n"
		"\r\n"
		"--=_mailhaul_wrapped_message\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"The mail server refused this message as it was; the attached file original.eml "
		"is\r\n"
		"the original message, unchanged.\r\n"
		"\r\n"
		"--=_mailhaul_wrapped_message\r\n"
		"Content-Type: application/octet-stream; name=\"original.eml\"\r\n"
		"Content-Disposition: attachment; filename=\"original.eml\"\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"\r\n";
	struct spool_pool *pool = spool_pool_new(".", MEMORY_POOL, MEMORY_POOL);
	size_t i, len;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str want;
		char *got = apply(
			pool, ALL_STEPS, cases[i].received, cases[i].message, cases[i].len, &len);

		str_init(&want, 0);
		str_addf(&want, "%s%s%s\r\n--=_mailhaul_wrapped_message--\r\n", cases[i].header,
			middle, cases[i].base64);
		CHECK_STR(got, str_get(&want));
		CHECK_INT(len, want.len);
		str_clear(&want);
		free(got);
	}
	spool_pool_free(&pool);
}

/* Random hostile messages: after all steps but the wrapper nothing is left to take offence at,
 * twice gives the same, and a second time changes nothing. */
static void
test_random(void)
{
	static const char alphabet[] = "\r\n\r\n  \t:\"(<>@,;=?\\AaSubject\xc3\xa9\xe9x";
	struct spool_pool *pool = spool_pool_new(".", MEMORY_POOL, MEMORY_POOL);
	unsigned seed = 11, round;

	for (round = 0; round < 2000; round++) {
		char text[3000];
		size_t len = round % (sizeof(text) - 9), i, len1, len2, len3;
		unsigned steps = ALL_STEPS ^ BIT(LADDER_WRAP);
		char *one, *two, *three;
		struct digester *d = digester_new();
		struct digests digests;

		memcpy(text, round % 2 == 0 ? "Subject: " : "Cc: x, \xc3\xa9", 9);
		for (i = 9; i < len + 9; i++) {
			seed = seed * 1103515245U + 12345U;
			text[i] = alphabet[(seed >> 16) % (round % 3 == 0 ? sizeof(alphabet) : 29)];
		}
		one = apply(pool, steps, 0, text, len + 9, &len1);
		two = apply(pool, steps, 0, text, len + 9, &len2);
		three = apply(pool, steps, 0, one, len1, &len3);
		CHECK_INT(len1, len2);
		CHECK_MEM(one, two, len1);
		CHECK_INT(len1, len3);
		CHECK_MEM(one, three, len1 < len3 ? len1 : len3);
		digester_add(d, one, len1);
		digester_end(&d, &digests);
		CHECK_INT(digests.traits & ~(unsigned)(TRAIT_NO_HEADER | TRAIT_BAD_HEADER), 0);
		check_lines(one, len1);
		free(one);
		free(two);
		free(three);
	}
	spool_pool_free(&pool);
}

int
main(void)
{
	RUN(test_names);
	RUN(test_next);
	RUN(test_repairs);
	RUN(test_encode_field);
	RUN(test_long_lines);
	RUN(test_giant_field);
	RUN(test_wrap);
	RUN(test_random);
	return test_done();
}
