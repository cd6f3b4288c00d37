/* test_header.c - fields found in whole, cut and broken headers, and the date they give. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/header.h"

#include "base/banned.h"

static const char sample[] = "Received: from a\r\n by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
			     "Received: from c\n"
			     "\tby d;\n Sun, 31 Dec 2023 00:00:00 +0000\n"
			     "no field\r\n folded: below it\r\n"
			     "Subject:  one \r\n two\t\r\n"
			     "Empty:\r\n"
			     "Blank : x\r\n"
			     ": nameless\r\n"
			     "DATE: 17 Jul 1996 02:44:25 -0700\r\n"
			     "\r\n"
			     "Body: no field\r\n";

static void
test_get(void)
{
	static const struct {
		const char *name;
		unsigned n;
		const char *want; /* NULL: not there */
	} cases[] = {
		{ "Received", 0, "from a by b; Mon, 1 Jan 2024 00:00:00 +0000" },
		{ "received", 1, "from c\tby d; Sun, 31 Dec 2023 00:00:00 +0000" },
		{ "Received", 2, NULL },
		{ "Subject", 0, "one  two" },
		{ "SUBJECT", 1, NULL },
		{ "Empty", 0, "" },
		{ "Blank", 0, "x" },
		{ "Date", 0, "17 Jul 1996 02:44:25 -0700" },
		{ "folded", 0, NULL },
		{ "no field", 0, NULL },
		{ "Body", 0, NULL },
		{ "Subj", 0, NULL },
		{ "Subject:", 0, NULL },
	};
	struct str value;
	size_t i;

	str_init(&value, 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret = header_get(sample, sizeof(sample) - 1, cases[i].name, cases[i].n, &value);

		CHECK_INT(ret, cases[i].want != NULL ? 0 : -1);
		CHECK_STR(str_get(&value), cases[i].want != NULL ? cases[i].want : "");
	}
	str_clear(&value);
}

/* Every length of the sample, in memory that ends there. */
static void
test_cut(void)
{
	struct str value;
	size_t len;

	str_init(&value, 0);
	for (len = 0; len < sizeof(sample); len++) {
		char *copy = malloc(len > 0 ? len : 1);
		const char *from = "none";
		int64_t t = 0;
		int ret;

		memcpy(copy, sample, len);
		header_get(copy, len, "Date", 0, &value);
		header_get(copy, len, "Subject", 0, &value);
		ret = header_date(copy, len, 1795262400, &t, &from);
		CHECK(ret < 0 || (t == 1704067200 && strcmp(from, "Received") == 0));
		CHECK(ret == 0 || len < 60);
		free(copy);
	}
	CHECK_INT(header_get("Subject: a\r\n b", 14, "Subject", 0, &value), 0);
	CHECK_STR(str_get(&value), "a b");
	CHECK_INT(header_get("Subject: a", 10, "Subject", 0, &value), 0);
	CHECK_STR(str_get(&value), "a");
	CHECK_INT(header_get("Subject", 7, "Subject", 0, &value), -1);
	str_clear(&value);
}

static void
test_limit(void)
{
	struct str value;

	str_init(&value, 4);
	CHECK_INT(header_get("A: 1234\r\n", 9, "A", 0, &value), 0);
	CHECK_STR(str_get(&value), "1234");
	CHECK_INT(header_get("A: 12345\r\n", 10, "A", 0, &value), -1);
	str_clear(&value);
}

static void
test_date(void)
{
	static const struct {
		const char *message;
		int64_t want; /* 0: none */
		const char *from;
	} cases[] = {
		{ "Received: a; b; 1 Jan 2024 00:00:00 +0000\r\nDate: 2 Jan 2024 00:00:00 "
		  "+0000\r\n",
			1704067200, "Received" },
		{ "Date: 2 Jan 2024 00:00:00 +0000\nReceived: a;\n 1 Jan 2024 00:00:00 +0000\n",
			1704067200, "Received" },
		{ "Received: a\r\nDate: 2 Jan 2024 00:00:00 +0000\r\n", 1704153600, "Date" },
		{ "Received: a; nonsense\r\nDate: 2 Jan 2024 00:00:00 +0000\r\n", 1704153600,
			"Date" },
		{ "Received: a; 30 Dec 1899 00:00:00 +0000\r\nDate: 2 Jan 2024 00:00:00 +0000\r\n",
			1704153600, "Date" },
		{ "Received: a; 1 Jan 2030 00:00:00 +0000\r\nDate: 2 Jan 2024 00:00:00 +0000\r\n",
			1704153600, "Date" },
		/* Only the top one: the ones below are other servers' word. */
		{ "Received: a\r\nReceived: b; 1 Jan 2024 00:00:00 +0000\r\n", 0, NULL },
		{ "Date: 2 Jan 2030 00:00:00 +0000\r\n", 0, NULL },
		{ "Date: soon\r\n", 0, NULL },
		{ "Date: 1 Jan 1970 00:00:00 +0000\r\n", 0, NULL },
		{ "Date: 2 Jan 2024 00:00:00 +0000", 0, NULL }, /* cut: 2024 could be 20245 */
		{ "\r\nDate: 2 Jan 2024 00:00:00 +0000\r\n", 0, NULL },
		{ "", 0, NULL },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *from = NULL;
		int64_t t = 0;
		int ret = header_date(
			cases[i].message, strlen(cases[i].message), 1795262400, &t, &from);

		CHECK_INT(ret, cases[i].want != 0 ? 0 : -1);
		CHECK_INT(t, cases[i].want);
		CHECK_STR(from, cases[i].from);
	}
}

int
main(void)
{
	RUN(test_get);
	RUN(test_cut);
	RUN(test_limit);
	RUN(test_date);
	return test_done();
}
