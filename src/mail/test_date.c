/* test_date.c - dates read and written, refusals, and what no mail can have. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/date.h"

#include "base/banned.h"

#define NONE INT64_MIN

static void
test_imap(void)
{
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{ "17-Jul-1996 02:44:25 -0700", 837596665 },
		{ "01-Jan-1970 00:00:00 +0000", 0 },
		{ " 1-Jan-1970 00:00:00 +0000", 0 },
		{ "1-Jan-1970 00:00:00 +0000", 0 },
		{ "  01-Jan-1970 00:00:00 +0000  ", 0 },
		{ "01-JAN-1970 01:00:00 +0100", 0 },
		{ "31-Dec-1969 23:59:59 +0000", -1 },
		{ "30-Dec-1899 00:00:00 +0000", -2209161600 },
		{ "29-Feb-2024 12:00:00 +0000", 1709208000 },
		{ "29-Feb-2000 00:00:00 +0000", 951782400 },
		{ "31-Dec-2016 23:59:60 +0000", 1483228800 }, /* a leap second */
		{ "01-Jan-0001 00:00:00 +0000", -62135596800 },
		{ "31-Dec-9999 23:59:59 +0000", 253402300799 },
		{ "01-Jan-2024 00:00:00 -2359", 1704153540 },
		/* Refused. */
		{ "", NONE },
		{ "01-Jan-0001 00:00:00 +0001", NONE },
		{ "31-Dec-9999 23:59:59 -0001", NONE },
		{ "29-Feb-2023 00:00:00 +0000", NONE },
		{ "29-Feb-1900 00:00:00 +0000", NONE },
		{ "31-Apr-2024 00:00:00 +0000", NONE },
		{ "00-Jan-2024 00:00:00 +0000", NONE },
		{ "01-Foo-2024 00:00:00 +0000", NONE },
		{ "01-Jan-0000 00:00:00 +0000", NONE },
		{ "01-Jan-2024 24:00:00 +0000", NONE },
		{ "01-Jan-2024 00:60:00 +0000", NONE },
		{ "01-Jan-2024 00:00:61 +0000", NONE },
		{ "01-Jan-2024 00:00:00 +2400", NONE },
		{ "01-Jan-2024 00:00:00 +0060", NONE },
		{ "01-Jan-2024 00:00:00 0000", NONE },
		{ "01-Jan-2024 00:00:00 GMT", NONE },
		{ "01-Jan-2024 00:00:00", NONE },
		{ "01 Jan 2024 00:00:00 +0000", NONE },
		{ "01-Jan-2024 00:00:00 +00000", NONE },
		{ "001-Jan-2024 00:00:00 +0000", NONE },
		{ "01-Jan-24 00:00:00 +0000", NONE },
		{ "0x-Jan-2024 00:00:00 +0000", NONE },
		{ "\"01-Jan-2024 00:00:00 +0000\"", NONE },
		{ "                          ", NONE },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t t = NONE;
		int ret = date_parse_imap(cases[i].text, strlen(cases[i].text), &t);

		if (t != cases[i].want)
			printf("%s\n", cases[i].text);
		CHECK_INT(t, cases[i].want);
		CHECK_INT(ret, cases[i].want == NONE ? -1 : 0);
	}
}

static void
test_write(void)
{
	static const struct {
		int64_t t;
		const char *want;
	} cases[] = {
		{ 837596665, "17-Jul-1996 09:44:25 +0000" },
		{ 0, "01-Jan-1970 00:00:00 +0000" },
		{ -1, "31-Dec-1969 23:59:59 +0000" },
		{ 1709208000, "29-Feb-2024 12:00:00 +0000" },
		{ -62135596800, "01-Jan-0001 00:00:00 +0000" },
		{ 253402300799, "31-Dec-9999 23:59:59 +0000" },
		{ INT64_MIN, "01-Jan-0001 00:00:00 +0000" }, /* out of range: the nearest */
		{ INT64_MAX, "31-Dec-9999 23:59:59 +0000" },
	};
	char buf[32];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(date_write_imap(buf, sizeof(buf), cases[i].t), cases[i].want);
}

static void
test_rfc5322(void)
{
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{ "Wed, 17 Jul 1996 02:44:25 -0700", 837596665 },
		{ "17 Jul 1996 02:44:25 -0700", 837596665 },
		{ "Wed,17 Jul 1996 02:44:25 -0700 (PDT)", 837596665 },
		{ " \r\n Wed, 17 Jul\r\n\t1996 02:44:25 PDT\r\n", 837596665 },
		{ "17 July 1996 02:44:25 -0700", 837596665 },
		{ "17 Jul 96 02:44:25 -0700", 837596665 },
		{ "17 Jul 096 02:44:25 -0700", 837596665 },
		{ "17-Jul-1996 02:44:25 -0700", 837596665 },
		{ "Wed Jul 17 09:44:25 1996", 837596665 },
		{ "Wed Jul 17 02:44:25 PDT 1996", 837596665 },
		{ "17 Jul 1996 09:44:25 GMT", 837596665 },
		{ "17 Jul 1996 09:44:25 UT", 837596665 },
		{ "17 Jul 1996 09:44:25 Z", 837596665 },
		{ "17 Jul 1996 09:44:25 A", 837596665 },    /* military: -0000 */
		{ "17 Jul 1996 09:44:25 CEST", 837596665 }, /* unknown: -0000 */
		{ "17 Jul 1996 09:44:25", 837596665 },
		{ "17 Jul 1996 02:44:25 GMT-0700", 837596665 },
		{ "17 Jul 1996 02:44:25 -07:00", 837596665 },
		{ "17 Jul 1996 02:44:25 -0700 and a remark, 99 of it", 837596665 },
		{ "17 Jul 1996 02:44:25 EST", 837589465 },
		{ "17 Jul 1996 02:44 -0700", 837596640 },
		{ "17(c(d)\\)(e)) Jul (x) 1996 (y) 02 : (z) 44 : 25 -0700", 837596665 },
		{ "(unclosed at the end) 17 Jul 1996 02:44:25 -0700 (((", 837596665 },
		{ "1 Jan 49 00:00:00 +0000", 2493072000 },
		{ "1 Jan 50 00:00:00 +0000", -631152000 },
		{ "1 Jan 1970 0:00:00 +0000", 0 },
		{ "Montag, 1 Jan 1970 00:00:00 +0000", 0 },
		{ "Mon, 31 Dec 2016 23:59:60 +0000", 1483228800 },
		/* Refused. */
		{ "", NONE },
		{ "(17 Jul 1996 02:44:25 -0700", NONE },
		{ "Wed, 17 Jul 1996", NONE },
		{ "17 Jul 02:44:25 -0700", NONE },
		{ "Jul 1996 02:44:25 -0700", NONE },
		{ "17 1996 02:44:25 -0700", NONE },
		{ "17 Jul 1996 02:44:25 +25000", NONE },
		{ "17 Jul 1996 02:44:25 +070", NONE },
		{ "17 Jul 1996 02:44:25 +2500", NONE },
		{ "17 Jul 1996 02:44:25 PM", NONE },
		{ "17 Jul 1996 02:44:61 +0000", NONE },
		{ "17 Jul 1996 24:44:25 +0000", NONE },
		{ "99 Jan 2024 99:99:99 +9999", NONE },
		{ "1 Jan 4294967297 00:00:00 +0000", NONE },
		{ "1 Jan 99999999999999999999 00:00:00 +0000", NONE },
		{ "1 Jan 10000 00:00:00 +0000", NONE },
		{ "1 Jan 7 00:00:00 +0000", NONE },
		{ "1 Jan 0000 00:00:00 +0000", NONE },
		{ "30 Feb 2024 00:00:00 +0000", NONE },
		{ "2024 Jan 1 00:00:00 +0000", NONE },
		{ "17 Jux 1996 02:44:25 +0000", NONE },
		{ "17 Jul 1996 02:44:25:00 +0000", NONE },
		{ "17 Jul 1996 02:44: +0000", NONE },
		{ "17 Jul 1996 02:44:25 03:00", NONE },
		{ "two words 17 Jul 1996 02:44:25 +0000", NONE },
		{ "17 Jul 1996 02:44:25 ? +0000", NONE },
		{ "\xff\xfe", NONE },
		{ "0", NONE },
		{ "-1", NONE },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t t = NONE;
		int ret = date_parse_rfc5322(cases[i].text, strlen(cases[i].text), &t);

		if (t != cases[i].want)
			printf("%s\n", cases[i].text);
		CHECK_INT(t, cases[i].want);
		CHECK_INT(ret, cases[i].want == NONE ? -1 : 0);
	}
}

/* Depth costs nothing, and a long field is cut. */
static void
test_rfc5322_deep(void)
{
	static const char date[] = "17 Jul 1996 02:44:25 -0700";
	size_t depth = 1000, big = 1000000;
	char *text = malloc(big + sizeof(date));
	int64_t t = NONE;

	memset(text, '(', depth);
	memset(text + depth, ')', depth);
	memcpy(text + 2 * depth, date, sizeof(date));
	CHECK_INT(date_parse_rfc5322(text, 2 * depth + sizeof(date) - 1, &t), 0);
	CHECK_INT(t, 837596665);
	memset(text, '(', big);
	memcpy(text + big, date, sizeof(date));
	CHECK_INT(date_parse_rfc5322(text, big + sizeof(date) - 1, &t), -1);
	free(text);
}

static void
test_sane(void)
{
	int64_t now = 1795262400; /* 2026-11-21 */

	CHECK(date_is_sane(now, now));
	CHECK(date_is_sane(now + 86400, now));
	CHECK(!date_is_sane(now + 86401, now));
	CHECK(date_is_sane(86400, now));
	CHECK(!date_is_sane(86399, now));
	CHECK(!date_is_sane(0, now));
	CHECK(!date_is_sane(-2209161600, now));
	CHECK(!date_is_sane(INT64_MIN, now));
	CHECK(!date_is_sane(INT64_MAX, now));
}

int
main(void)
{
	RUN(test_imap);
	RUN(test_write);
	RUN(test_rfc5322);
	RUN(test_rfc5322_deep);
	RUN(test_sane);
	return test_done();
}
