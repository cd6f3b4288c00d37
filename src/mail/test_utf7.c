/* test_utf7.c - a name decodes only if it encodes to the same bytes again. */
#include "base/test.h"
#include "mail/utf7.h"

#include "base/banned.h"

static void
test_pairs(void)
{
	static const struct {
		const char *name;
		const char *utf8;
	} cases[] = {
		{ "", "" }, { "INBOX", "INBOX" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
			"~peter/mail/台北/日本語" }, /* RFC 3501, 5.1.3 */
		{ "&Jjo-!", "☺!" }, { "&-", "&" }, { "&-&-", "&&" }, { "A&-B", "A&B" },
		{ "&AOQ-&-&AOQ-", "ä&ä" }, /* "&-" is no shift */
		{ "Entw&APw-rfe", "Entwürfe" }, { "Gel&APY-schte Elemente", "Gelöschte Elemente" },
		{ "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-", "Отправленные" }, { "&2D3cDA-", "🐌" },
		{ "&2D3cDNg93Aw-", "🐌🐌" }, { "x&AAk-y", "x\ty" }, { "&AH8-", "\x7f" },
		{ "+,/-\\\"%*", "+,/-\\\"%*" },
		{ "&,,8-", "\xef\xbf\xbf" }, /* U+FFFF: no character, but well-formed */
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;

		str_init(&out, 0);
		str_adds(&out, ">");
		CHECK_INT(utf7_decode(cases[i].name, strlen(cases[i].name), &out), 0);
		CHECK_STR(str_get(&out) + 1, cases[i].utf8);
		str_cut(&out, 1);
		CHECK_INT(utf7_encode(cases[i].utf8, strlen(cases[i].utf8), &out), 0);
		CHECK_STR(str_get(&out) + 1, cases[i].name);
		str_clear(&out);
	}
}

static void
test_decode_refuses(void)
{
	static const struct {
		const char *name, *why;
	} cases[] = {
		{ "&U,BTFw-&ZeVnLIqe-", "superfluous shift" }, /* RFC 3501, 5.1.3 */
		{ "&", "no end" },
		{ "a&", "no end" },
		{ "&Jjo", "no end" },
		{ "&Jjo!", "no end" },
		{ "&Jjo&-", "no end" },
		{ "&AGE-", "encoded 'a'" },
		{ "&ACY-", "encoded '&'" },
		{ "&ACA-", "encoded blank" },
		{ "&AOQAYQ-", "encoded 'a' behind another" },
		{ "&AAA-", "NUL" },
		{ "&AOR-", "padding bits" },
		{ "&AOQA-", "a sextet too many" },
		{ "&A-", "too short" },
		{ "&AO-", "too short" },
		{ "&AO/k-", "slash" },
		{ "&AO=k-", "sign of another base64" },
		{ "&2D0-", "lone first surrogate" },
		{ "&3Iw-", "lone second surrogate" },
		{ "&2D0AYQ-", "half a pair" },
		{ "&2D3YPQ-", "two first surrogates" },
		{ "Entw\xc3\xbcrfe", "8-bit" },
		{ "\xfc", "8-bit" },
		{ "a\tb", "control character" },
		{ "a\x7f", "control character" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;

		str_init(&out, 0);
		str_adds(&out, "before");
		if (utf7_decode(cases[i].name, strlen(cases[i].name), &out) != -1)
			CHECK_STR(cases[i].why, cases[i].name);
		CHECK_STR(str_get(&out), "before");
		str_clear(&out);
	}
}

static void
test_encode_refuses(void)
{
	static const struct {
		const char *utf8;
		size_t len;
	} cases[] = {
		{ "a\0b", 3 },
		{ "\0", 1 },
		{ "\xff", 1 },
		{ "ab\xc3", 3 },
		{ "\xc0\xaf", 2 },
		{ "\xe0\x80\xaf", 3 },
		{ "\xed\xa0\x80", 3 },
		{ "\xf4\x90\x80\x80", 4 },
		{ "\x80", 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;

		str_init(&out, 0);
		str_adds(&out, "before");
		CHECK_INT(utf7_encode(cases[i].utf8, cases[i].len, &out), -1);
		CHECK_STR(str_get(&out), "before");
		str_clear(&out);
	}
}

/* A limit that is reached in the middle leaves nothing behind. */
static void
test_limit(void)
{
	struct str out;

	str_init(&out, 4);
	CHECK_INT(utf7_decode("abc&AOQ-", 8, &out), -1);
	CHECK_INT(out.len, 0);
	CHECK_INT(utf7_encode("abc\xc3\xa4", 5, &out), -1);
	CHECK_INT(out.len, 0);
	str_clear(&out);
}

int
main(void)
{
	RUN(test_pairs);
	RUN(test_decode_refuses);
	RUN(test_encode_refuses);
	RUN(test_limit);
	return test_done();
}
