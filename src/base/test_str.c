/* test_str.c - limits hold, growth keeps the bytes, nothing is added in part. */
#include <stdlib.h>

#include "base/str.h"
#include "base/test.h"

#include "base/banned.h"

static void
additions_keep_all_bytes(void)
{
	struct str s = { 0 };
	char want[3000];

	CHECK_STR(str_get(&s), "");
	for (int i = 0; i < 1000; i++) {
		CHECK_INT(str_addc(&s, (char)('a' + i % 26)), 0);
		want[i] = (char)('a' + i % 26);
	}
	want[1000] = '\0';
	CHECK_STR(str_get(&s), want);
	str_reset(&s);
	CHECK_STR(str_get(&s), "");
	CHECK_INT(str_add(&s, "a\0b", 3), 0);
	CHECK_INT(str_addf(&s, "%d-%s", 42, "x"), 0);
	CHECK_INT(str_adds(&s, "end"), 0);
	CHECK_INT(str_addu(&s, 0), 0);
	CHECK_INT(str_addu(&s, 18446744073709551615ULL), 0);
	CHECK_INT(s.len, 31);
	CHECK_MEM(s.data, "a\0b42-xend018446744073709551615", 32);
	str_cut(&s, 2);
	CHECK_INT(s.len, 2);
	str_cut(&s, 5); /* longer: nothing happens */
	CHECK_INT(s.len, 2);
	str_wipe(&s);
	CHECK(s.data == NULL);
}

static void
limit_refuses_whole_additions(void)
{
	struct str s;

	str_init(&s, 8);
	CHECK_INT(str_adds(&s, "12345"), 0);
	CHECK_INT(str_adds(&s, "6789"), -1);
	CHECK(s.overflow);
	CHECK_STR(str_get(&s), "12345");
	CHECK_INT(str_adds(&s, "678"), 0);
	CHECK_INT(str_addc(&s, '9'), -1);
	CHECK_INT(str_addf(&s, "%s", "9"), -1);
	CHECK_INT(str_add(&s, "", 0), 0);
	CHECK_STR(str_get(&s), "12345678");
	str_reset(&s);
	CHECK(!s.overflow);
	CHECK_INT(str_addf(&s, "%08d", 1), 0);
	CHECK_STR(str_get(&s), "00000001");
	str_clear(&s);
	CHECK_INT(s.limit, 8);
}

static void
default_limit_is_a_mebibyte(void)
{
	static char block[65536];
	struct str s = { 0 };

	for (int i = 0; i < 16; i++)
		CHECK_INT(str_add(&s, block, sizeof(block)), 0);
	CHECK_INT(str_addc(&s, 'x'), -1);
	CHECK_INT(s.len, STR_LIMIT_DEFAULT);
	str_clear(&s);
	CHECK_INT(str_add(&s, block, (size_t)-1), -1);
	str_clear(&s);
}

static void
take_gives_the_text_away(void)
{
	struct str s = { 0 };
	char *text = str_take(&s);

	CHECK_STR(text, "");
	free(text);
	str_adds(&s, "x");
	text = str_take(&s);
	CHECK_STR(text, "x");
	CHECK_STR(str_get(&s), "");
	free(text);
}

int
main(void)
{
	RUN(additions_keep_all_bytes);
	RUN(limit_refuses_whole_additions);
	RUN(default_limit_is_a_mebibyte);
	RUN(take_gives_the_text_away);
	return test_done();
}
