/* test_text.c - what is equal, what matches, what is a number, what may reach a terminal. */
#include "base/str.h"
#include "base/test.h"

#include "base/banned.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
comparisons_are_ascii(void)
{
	CHECK(text_ieq("INBOX", "inbox"));
	CHECK(!text_ieq("INBOX", "inbo"));
	CHECK(!text_ieq("inbo", "INBOX"));
	CHECK(!text_ieq("\xC3\x84", "\xC3\xA4")); /* umlauts have no case here */
	CHECK(!text_ieq("[", "{"));
	CHECK(text_ieqn("OKx", "oky", 2));
	CHECK(!text_ieqn("OKx", "oky", 3));
	CHECK(text_istarts("Sent Items", "sENT"));
	CHECK(!text_istarts("Se", "sent"));
	CHECK(text_istarts("x", ""));
}

static void
globs(void)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "*", "abc", true },
		{ "a*c", "abbbc", true },
		{ "a*c", "abbbd", false },
		{ "*@acme.example", "Ann@ACME.example", true },
		{ "?nn", "ann", true },
		{ "?nn", "nn", false },
		{ "b?r", "b\xC3\xA4r", true }, /* one character of two bytes */
		{ "b?r", "b\xC3\xA4\xC3\xA4r", false },
		{ "a*b*c", "a-b-b-c", true },
		{ "a*b*c", "a-b-b-c-", false },
		{ "***", "x", true },
		{ "a", "aa", false },
		{ "*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		if (text_glob(cases[i].pattern, cases[i].text) != cases[i].match)
			printf("%s on %s\n", cases[i].pattern, cases[i].text);
		CHECK_INT(text_glob(cases[i].pattern, cases[i].text), cases[i].match);
	}
}

static void
numbers(void)
{
	static const struct {
		const char *text;
		int ret32, ret64;
		unsigned long long value;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "007", 0, 0, 7 },
		{ "4294967295", 0, 0, 4294967295ULL },
		{ "4294967296", -1, 0, 4294967296ULL },
		{ "18446744073709551615", -1, 0, 18446744073709551615ULL },
		{ "18446744073709551616", -1, -1, 0 },
		{ "99999999999999999999", -1, -1, 0 },
		{ "", -1, -1, 0 },
		{ "-1", -1, -1, 0 },
		{ "+1", -1, -1, 0 },
		{ " 1", -1, -1, 0 },
		{ "1 ", -1, -1, 0 },
		{ "0x1", -1, -1, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);
		unsigned long long v64 = 77;
		unsigned v32 = 77;

		CHECK_INT(text_u32(cases[i].text, len, &v32), cases[i].ret32);
		CHECK_INT(text_u64(cases[i].text, len, &v64), cases[i].ret64);
		CHECK(v32 == (cases[i].ret32 == 0 ? (unsigned)cases[i].value : 77));
		CHECK(v64 == (cases[i].ret64 == 0 ? cases[i].value : 77));
	}
	CHECK_INT(text_u32("12x", 2, &(unsigned){ 0 }), 0);
}

static void
utf8_as_rfc_3629_has_it(void)
{
	static const struct {
		const char *bytes;
		bool valid;
	} cases[] = {
		{ "", true },
		{ "plain", true },
		{ "\xC3\xA4 \xE5\x8F\xB0 \xF0\x9F\x93\xA7", true },
		{ "\xF4\x8F\xBF\xBF", true },  /* the last one, U+10FFFF */
		{ "\xF4\x90\x80\x80", false }, /* beyond it */
		{ "\xC0\x80", false },         /* not the shortest form */
		{ "\xC1\xBF", false },
		{ "\xE0\x80\xAF", false },
		{ "\xF0\x80\x80\xAF", false },
		{ "\xED\xA0\x80", false }, /* a surrogate */
		{ "\xEE\x80\x80", true },
		{ "\x80", false },
		{ "\xC3", false },
		{ "\xE5\x8F", false },
		{ "\xC3(", false },
		{ "\xFF", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		CHECK_INT(text_is_utf8(cases[i].bytes, strlen(cases[i].bytes)), cases[i].valid);
	CHECK(text_is_utf8("a\0b", 3));
}

static void
nothing_steers_a_terminal(void)
{
	static const struct {
		const char *bytes, *safe;
	} cases[] = {
		{ "Entw\xC3\xBCrfe \xE5\x8F\xB0", "Entw\xC3\xBCrfe \xE5\x8F\xB0" },
		{ "a\tb\r\nc", "a\\x09b\\x0D\\x0Ac" },
		{ "\x1B[31m\x7F", "\\x1B[31m\\x7F" },
		{ "\xC2\x9B"
		  "31m",
			"\\xC2\\x9B31m" },                 /* C1: CSI in one character */
		{ "x\xE2\x80\xAEy", "x\\xE2\\x80\\xAEy" }, /* right-to-left override */
		{ "\xE2\x80\xA8\xE2\x81\xA7", "\\xE2\\x80\\xA8\\xE2\\x81\\xA7" },
		{ "\xD8\x9C", "\\xD8\\x9C" }, /* Arabic letter mark */
		{ "caf\xE9", "caf\\xE9" },    /* Latin-1 */
		{ "\xF0\x9F\x93", "\\xF0\\x9F\\x93" },
		{ "back\\slash", "back\\slash" },
	};
	char buf[64];

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str out = { 0 };

		text_sanitize(&out, cases[i].bytes, strlen(cases[i].bytes));
		CHECK_STR(str_get(&out), cases[i].safe);
		CHECK_STR(text_safe(buf, sizeof(buf), cases[i].bytes), cases[i].safe);
		str_clear(&out);
	}
}

static void
safe_text_is_cut_between_characters(void)
{
	char buf[8];

	CHECK_STR(text_safe(buf, 8, "12345678"), "1234567");
	CHECK_STR(text_safe(buf, 4, "12\xC3\xA4"), "12");
	CHECK_STR(text_safe(buf, 5, "12\xC3\xA4"), "12\xC3\xA4");
	CHECK_STR(text_safe(buf, 5, "1\x01"), "1");
	CHECK_STR(text_safe(buf, 6, "1\x01"), "1\\x01");
	CHECK_STR(text_safe(buf, 1, "x"), "");
	buf[0] = 'k';
	text_safe(buf, 0, "x");
	CHECK_INT(buf[0], 'k');
}

int
main(void)
{
	RUN(comparisons_are_ascii);
	RUN(globs);
	RUN(numbers);
	RUN(utf8_as_rfc_3629_has_it);
	RUN(nothing_steers_a_terminal);
	RUN(safe_text_is_cut_between_characters);
	return test_done();
}
