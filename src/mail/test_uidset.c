/* test_uidset.c - ranges that merge, split, are written in pieces and read back. */
#include <stdlib.h>

#include "base/test.h"
#include "mail/uidset.h"

#include "base/banned.h"

/* The whole set as text. */
static void
check_set(const struct uidset *set, const char *want)
{
	struct str text;

	str_init(&text, 0);
	CHECK_INT(uidset_write(&text, set, 0, 100000), set->count);
	CHECK_STR(str_get(&text), want);
	str_clear(&text);
}

static void
test_add(void)
{
	static const struct {
		uint32_t ranges[5][2];
		const char *want;
	} cases[] = {
		{ { { 0 } }, "" },
		{ { { 1, 1 } }, "1" },
		{ { { 5, 3 } }, "3:5" },
		{ { { 0, 4 } }, "1:4" },
		{ { { 1, 2 }, { 3, 4 } }, "1:4" },
		{ { { 3, 4 }, { 1, 2 } }, "1:4" },
		{ { { 1, 2 }, { 4, 5 } }, "1:2,4:5" },
		{ { { 4, 5 }, { 1, 2 } }, "1:2,4:5" },
		{ { { 1, 2 }, { 4, 5 }, { 3, 3 } }, "1:5" },
		{ { { 10, 20 }, { 12, 15 } }, "10:20" },
		{ { { 12, 15 }, { 10, 20 } }, "10:20" },
		{ { { 1, 1 }, { 3, 3 }, { 5, 5 }, { 7, 7 }, { 2, 6 } }, "1:7" },
		{ { { 1, 1 }, { 5, 5 }, { 9, 9 }, { 4, 20 } }, "1,4:20" },
		{ { { 10, 12 }, { 1, 3 }, { 2, 11 } }, "1:12" },
		{ { { 4294967295U, 4294967295U }, { 4294967293U, 4294967294U } },
			"4294967293:4294967295" },
		{ { { 7, 7 }, { 1, 4294967295U } }, "1:4294967295" },
	};
	size_t i, k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uidset set = { 0 };

		for (k = 0; k < 5; k++)
			uidset_add(&set, cases[i].ranges[k][0], cases[i].ranges[k][1]);
		check_set(&set, cases[i].want);
		uidset_clear(&set);
	}
}

static void
test_remove(void)
{
	struct uidset set = { 0 };

	uidset_remove(&set, 1);
	uidset_add(&set, 1, 9);
	uidset_remove(&set, 5);
	check_set(&set, "1:4,6:9");
	uidset_remove(&set, 5);
	uidset_remove(&set, 0);
	uidset_remove(&set, 10);
	uidset_remove(&set, 1);
	uidset_remove(&set, 9);
	check_set(&set, "2:4,6:8");
	uidset_remove(&set, 7);
	uidset_remove(&set, 6);
	check_set(&set, "2:4,8");
	CHECK_INT(uidset_size(&set), 4);
	CHECK(uidset_has(&set, 4));
	CHECK(!uidset_has(&set, 5));
	CHECK(!uidset_has(&set, 0));
	CHECK(!uidset_has(&set, 9));
	uidset_clear(&set);
}

/* Against a plain table of 200 UIDs, a few thousand random steps. */
static void
test_model(void)
{
	bool model[202] = { false };
	struct uidset set = { 0 };
	unsigned step, seed = 7;
	uint32_t uid;

	for (step = 0; step < 5000; step++) {
		uint32_t a, b, i;

		seed = seed * 1103515245U + 12345U;
		a = 1 + (seed >> 16) % 200;
		b = a + (seed >> 8) % 5;
		if (b > 200)
			b = 200;
		if (step % 3 == 0) {
			uidset_add(&set, b, a);
			for (i = a; i <= b; i++)
				model[i] = true;
		} else {
			uidset_remove(&set, a);
			model[a] = false;
		}
		for (i = 1; i < set.count; i++)
			CHECK(set.ranges[i].first > set.ranges[i - 1].last + 1);
	}
	for (uid = 0; uid <= 201; uid++)
		CHECK_INT(uidset_has(&set, uid), model[uid]);
	uidset_clear(&set);
}

static void
test_write_pieces(void)
{
	struct uidset set = { 0 };
	struct str text;
	size_t at = 0, pieces = 0;
	static const char *const want[] = { "1:3,5,7", "100", "200:300" };

	uidset_add(&set, 1, 3);
	uidset_add(&set, 5, 5);
	uidset_add(&set, 7, 7);
	uidset_add(&set, 100, 100);
	uidset_add(&set, 200, 300);
	str_init(&text, 0);
	CHECK_INT(uidset_write(&text, &set, 0, 2), 0); /* not even one fits */
	while (at < set.count && pieces < 3) {
		str_reset(&text);
		at += uidset_write(&text, &set, at, 7);
		CHECK_STR(str_get(&text), want[pieces]);
		pieces++;
	}
	CHECK_INT(pieces, 3);
	CHECK_INT(uidset_write(&text, &set, 9, 100), 0);
	str_clear(&text);
	uidset_clear(&set);
}

static void
test_expand(void)
{
	static const struct {
		const char *text;
		long count; /* of at most 8 */
		uint32_t uids[8];
	} cases[] = {
		{ "7", 1, { 7 } },
		{ "1:3,7", 4, { 1, 2, 3, 7 } },
		{ "7,1:3", 4, { 7, 1, 2, 3 } },
		{ "5:3", 3, { 3, 4, 5 } },
		{ "4294967294:4294967295", 2, { 4294967294U, 4294967295U } },
		{ "1:8", 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
		{ "1:9", -1, { 0 } },
		{ "1:8,9", -1, { 0 } },
		{ "1:4294967295", -1, { 0 } },
		{ "", -1, { 0 } },
		{ "0", -1, { 0 } },
		{ "0:3", -1, { 0 } },
		{ "1:", -1, { 0 } },
		{ ":1", -1, { 0 } },
		{ "1,", -1, { 0 } },
		{ ",1", -1, { 0 } },
		{ "1,,2", -1, { 0 } },
		{ "1:2:3", -1, { 0 } },
		{ "*", -1, { 0 } },
		{ "1:*", -1, { 0 } },
		{ "4294967296", -1, { 0 } },
		{ "99999999999999999999999", -1, { 0 } },
		{ " 1", -1, { 0 } },
		{ "1 ", -1, { 0 } },
		{ "-1", -1, { 0 } },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t uids[8] = { 0 };
		long count = uidset_expand(cases[i].text, strlen(cases[i].text), uids, 8);

		CHECK_INT(count, cases[i].count);
		if (count > 0)
			CHECK_MEM(uids, cases[i].uids, (size_t)count * sizeof(uids[0]));
	}
}

static void
test_parse(void)
{
	static const struct {
		const char *text;
		int ret;
		const char *set;
	} cases[] = {
		{ "7", 0, "7" },
		{ "9,1:3,2:5", 0, "1:5,9" },
		{ "5:3,4", 0, "3:5" },
		{ "1:4294967295", 0, "1:4294967295" },
		{ "1,3,5,7", 0, "1,3,5,7" },
		{ "1,3,5,7,9", -1, "1,3,5,7" }, /* more than four */
		{ "1,0", -1, "1" },
		{ "1,x", -1, "1" },
		{ "1,", -1, "1" },
		{ "1:", -1, "" },
		{ "1:*", -1, "" },
		{ "4294967296", -1, "" },
		{ "", -1, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uidset set = { 0 };
		struct str out;

		str_init(&out, 100);
		CHECK_INT(
			uidset_parse(&set, cases[i].text, strlen(cases[i].text), 4), cases[i].ret);
		uidset_write(&out, &set, 0, 100);
		CHECK_STR(str_get(&out), cases[i].set);
		str_clear(&out);
		uidset_clear(&set);
	}
}

int
main(void)
{
	RUN(test_add);
	RUN(test_remove);
	RUN(test_model);
	RUN(test_write_pieces);
	RUN(test_expand);
	RUN(test_parse);
	return test_done();
}
