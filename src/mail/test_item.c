/* test_item.c - keyword lists, flags from the wire and back to it. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/item.h"

#include "base/banned.h"

static void
test_item_life(void)
{
	struct item *item = item_new(7), *copy, *none = NULL;

	CHECK_INT(item->received, ITEM_DATE_NONE);
	item->flags = ITEM_SEEN | ITEM_DRAFT;
	item->received = 5;
	item->size = 123;
	CHECK_INT(keywords_add(&item->keywords, "work", 4), 0);
	copy = item_dup(item);
	item_free(&item);
	CHECK(item == NULL);
	CHECK_INT(copy->uid, 7);
	CHECK_INT(copy->flags, ITEM_SEEN | ITEM_DRAFT);
	CHECK_INT(copy->received, 5);
	CHECK_INT(copy->size, 123);
	CHECK_STR(copy->keywords, "work");
	item_free(&copy);
	item_free(&none);
}

static void
test_keywords_add(void)
{
	static const struct {
		const char *add[5];
		const char *want;
	} cases[] = {
		{ { "b" }, "b" },
		{ { "b", "a" }, "a b" },
		{ { "a", "b" }, "a b" },
		{ { "a", "c", "b" }, "a b c" },
		{ { "c", "b", "a", "B", "d" }, "a b c d" },
		{ { "Work", "WORK", "work" }, "Work" },
		{ { "ab", "a", "abc" }, "a ab abc" },
		{ { "$Forwarded", "$Junk", "NonJunk" }, "$Forwarded $Junk NonJunk" },
		{ { "\xc3\xa4", "z" }, "z \xc3\xa4" },
		{ { "b", "Z", "A" }, "A b Z" },
	};
	size_t i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *list = NULL;

		for (k = 0; k < 5 && cases[i].add[k] != NULL; k++)
			CHECK_INT(keywords_add(&list, cases[i].add[k], strlen(cases[i].add[k])), 0);
		CHECK_STR(list, cases[i].want);
		free(list);
	}
}

static void
test_keywords_refused(void)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{ "", 0 },
		{ "a b", 3 },
		{ " ", 1 },
		{ "a\t", 2 },
		{ "a\r\n", 3 },
		{ "a\0b", 3 },
		{ "\x7f", 1 },
	};
	char *list = NULL, big[4097];
	size_t i;

	CHECK_INT(keywords_add(&list, "x", 1), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_INT(keywords_add(&list, cases[i].text, cases[i].len), -1);
	memset(big, 'b', sizeof(big));
	CHECK_INT(keywords_add(&list, big, 4097), -1);
	CHECK_INT(keywords_add(&list, big, 4095), -1);
	CHECK_STR(list, "x");
	CHECK_INT(keywords_add(&list, big, 4094), 0);
	CHECK_INT(strlen(list), 4096);
	CHECK_INT(keywords_add(&list, "y", 1), -1);
	CHECK_INT(keywords_add(&list, "X", 1), 0); /* there already */
	free(list);
}

static void
test_keywords_compare(void)
{
	CHECK(keywords_eq(NULL, ""));
	CHECK(keywords_eq("a B", "A b"));
	CHECK(!keywords_eq("a b", "a"));
	CHECK(!keywords_eq(NULL, "a"));
	CHECK(keywords_has("a bc d", "BC"));
	CHECK(keywords_has("a bc d", "d"));
	CHECK(!keywords_has("a bc d", "b"));
	CHECK(!keywords_has("a bc d", "bcd"));
	CHECK(!keywords_has("a bc d", ""));
	CHECK(!keywords_has(NULL, "a"));
}

static void
test_wire(void)
{
	static const struct {
		const char *flag;
		int ret;
		unsigned flags;
		const char *keywords;
	} cases[] = {
		{ "\\Seen", 0, ITEM_SEEN, NULL },
		{ "\\SEEN", 0, ITEM_SEEN, NULL },
		{ "\\answered", 0, ITEM_ANSWERED, NULL },
		{ "\\Flagged", 0, ITEM_FLAGGED, NULL },
		{ "\\Deleted", 0, ITEM_DELETED, NULL },
		{ "\\Draft", 0, ITEM_DRAFT, NULL },
		{ "\\Recent", 1, 0, NULL },
		{ "\\*", 1, 0, NULL },
		{ "\\", 1, 0, NULL },
		{ "\\Seenn", 1, 0, NULL },
		{ "$Forwarded", 0, 0, "$Forwarded" },
		{ "Seen", 0, 0, "Seen" },
		{ "w\xc3\xb6rk", 0, 0, "w\xc3\xb6rk" },
		{ "a b", -1, 0, NULL },
		{ "", -1, 0, NULL },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned flags = 0;
		char *keywords = NULL;
		const char *flag = cases[i].flag;

		CHECK_INT(flags_add_wire(&flags, &keywords, flag, strlen(flag)), cases[i].ret);
		CHECK_INT(flags, cases[i].flags);
		CHECK_STR(keywords, cases[i].keywords);
		free(keywords);
	}
}

static void
test_atoms(void)
{
	static const char *const bad[] = { "", "a b", "a(", "a)", "a{", "a%", "a*", "a\"", "a\\",
		"a]", "\xc3\xa4", "a\x7f", "a\x01" };
	size_t i;

	CHECK(keyword_is_atom("$Forwarded", 10));
	CHECK(keyword_is_atom("a.b-c_d[e}+/'", 13));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!keyword_is_atom(bad[i], strlen(bad[i])));
	CHECK(!keyword_is_atom("a\0", 2));
}

static void
test_write(void)
{
	static const struct {
		unsigned flags;
		const char *keywords, *want;
	} cases[] = {
		{ 0, NULL, "" },
		{ 0, "", "" },
		{ ITEM_SEEN, NULL, "\\Seen" },
		{ ITEM_FLAGS_ALL, NULL, "\\Seen \\Answered \\Flagged \\Deleted \\Draft" },
		{ ITEM_SEEN, "$Forwarded work", "\\Seen $Forwarded work" },
		{ 0, "a (b c] w\xc3\xb6rk z", "a z" },
		{ 0, "(b", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str out;

		str_init(&out, 0);
		flags_write(&out, cases[i].flags, cases[i].keywords);
		CHECK_STR(str_get(&out), cases[i].want);
		str_clear(&out);
	}
}

int
main(void)
{
	RUN(test_item_life);
	RUN(test_keywords_add);
	RUN(test_keywords_refused);
	RUN(test_keywords_compare);
	RUN(test_wire);
	RUN(test_atoms);
	RUN(test_write);
	return test_done();
}
