/* test_format.c - numbers for people, and cells that no spreadsheet runs. */
#include <stdlib.h>

#include "base/test.h"
#include "report/format.h"
#include "base/banned.h"

static void
test_bytes(void)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.0 kB" },
		{ 1234567, "1.2 MB" },
		{ 9940000, "9.9 MB" },
		{ 38200000, "38 MB" },
		{ 999400000, "999 MB" },
		{ 999600000, "1.0 GB" },
		{ UINT64_MAX, "18 EB" },
	};
	char buf[FORMAT_SIZE];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		CHECK_STR(format_bytes(buf, sizeof buf, cases[i].bytes), cases[i].text);
}

static void
test_counts(void)
{
	char buf[FORMAT_SIZE];

	CHECK_STR(format_count(buf, sizeof buf, 0), "0");
	CHECK_STR(format_count(buf, sizeof buf, 999), "999");
	CHECK_STR(format_count(buf, sizeof buf, 1000), "1,000");
	CHECK_STR(format_count(buf, sizeof buf, 1234567), "1,234,567");
	CHECK_STR(format_count(buf, sizeof buf, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void
test_duration(void)
{
	char buf[FORMAT_SIZE];

	CHECK_STR(format_duration(buf, sizeof buf, -1), "-");
	CHECK_STR(format_duration(buf, sizeof buf, 42), "00:42");
	CHECK_STR(format_duration(buf, sizeof buf, 3600 * 2 + 14 * 60 + 7), "02:14:07");
	CHECK_STR(format_duration(buf, sizeof buf, 86400 * 3 + 3600), "3d 01:00");
}

/* 26,081 of 26,089 is not 100 %. */
static void
test_percent(void)
{
	CHECK_INT(format_percent(0, 0), 0);
	CHECK_INT(format_percent(26081, 26089), 99);
	CHECK_INT(format_percent(26089, 26089), 100);
	CHECK_INT(format_percent(UINT64_MAX - 1, UINT64_MAX), 99);
	CHECK_INT(format_percent(1, 3), 33);
}

static void
test_cell(void)
{
	static const struct {
		const char *text, *cell;
	} cases[] = {
		{ "", "" },
		{ NULL, "" },
		{ "INBOX", "INBOX" },
		{ "a,b", "\"a,b\"" },
		{ "a;b", "\"a;b\"" },
		{ "say \"hi\"", "\"say \"\"hi\"\"\"" },
		{ "=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\"" },
		{ "+1", "\"'+1\"" },
		{ "-1", "\"'-1\"" },
		{ "@SUM(A1)", "\"'@SUM(A1)\"" },
		{ " =1", "\"' =1\"" },
		{ "\t=1", "\\x09=1" },
		{ "a\r\nb", "a\\x0D\\x0Ab" },
		{ "\033[31mred", "\\x1B[31mred" },
	};
	struct str out;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		str_init(&out, 0);
		format_cell(&out, cases[i].text);
		CHECK_STR(str_get(&out), cases[i].cell);
		str_clear(&out);
	}
}

int
main(void)
{
	RUN(test_bytes);
	RUN(test_counts);
	RUN(test_duration);
	RUN(test_percent);
	RUN(test_cell);
	return test_done();
}
