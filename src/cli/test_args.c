/* test_args.c - what the command line takes and what it refuses, by name. */
#include <stdlib.h>

#include "base/test.h"
#include "cli/args.h"
#include "base/banned.h"

#define WORDS 8

static int
count_words(char *const *words)
{
	int count = 0;

	while (count < WORDS && words[count] != NULL)
		count++;
	return count;
}

static void
test_refused(void)
{
	static const struct {
		const char *words[WORDS];
		const char *text;
	} cases[] = {
		{ { "acme", "--frob" }, "there is no option --frob" },
		{ { "acme", "-x" }, "there is no option -x" },
		{ { "acme", "--json" }, "this command does not take --json" },
		{ { "acme", "--dry-run=yes" }, "--dry-run takes no value" },
		{ { "acme", "--users" }, "--users needs a value" },
		{ { "acme", "--users=" }, "--users needs a value" },
		{ { "acme", "--jobs", "0" }, "--jobs takes a number from 1 to 256, not 0" },
		{ { "acme", "--jobs=six" }, "--jobs takes a number from 1 to 256, not six" },
		{ { "acme", "--jobs=-1" }, "--jobs takes a number from 1 to 256, not -1" },
		{ { "acme", "--jobs=257" }, "--jobs takes a number from 1 to 256, not 257" },
		{ { "a", "b", "c", "d" }, "one word too many: d" },
		{ { "acme", "--\033[2J" }, "there is no option --\\x1B[2J" },
	};
	struct args args;
	struct err err;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *words[WORDS];

		for (size_t j = 0; j < WORDS; j++)
			words[j] = cases[i].words[j] == NULL ? NULL : xstrdup(cases[i].words[j]);
		CHECK_INT(args_parse(count_words(words), words,
				  ARGS_USERS | ARGS_JOBS | ARGS_DRY_RUN, &args, &err),
			-1);
		CHECK_INT(err.code, ERR_USAGE);
		CHECK_STR(err.text, cases[i].text);
		for (size_t j = 0; j < WORDS; j++)
			free(words[j]);
	}
}

static void
test_taken(void)
{
	char one[] = "--only", two[] = "a*", three[] = "acme", four[] = "--only=b@*",
	     five[] = "--jobs=12", six[] = "--detach", seven[] = "--", eight[] = "--odd";
	char *words[] = { one, two, three, four, five, six, seven, eight };
	struct args args;
	struct err err;

	CHECK_INT(args_parse(8, words, ARGS_ONLY | ARGS_JOBS | ARGS_DETACH, &args, &err), 0);
	CHECK_INT(args.word_count, 2);
	CHECK_STR(args.words[0], "acme");
	CHECK_STR(args.words[1], "--odd");
	CHECK_INT(args.only_count, 2);
	CHECK_STR(args.only[0], "a*");
	CHECK_STR(args.only[1], "b@*");
	CHECK_INT(args.jobs, 12);
	CHECK(args.detach);
	CHECK(!args.dry_run);
	args_clear(&args);
}

static void
test_help(void)
{
	char one[] = "-h";
	char *words[] = { one };
	struct args args;
	struct err err;

	CHECK_INT(args_parse(1, words, 0, &args, &err), 0);
	CHECK(args.help);
	CHECK_INT(args_parse(0, NULL, 0, &args, &err), 0);
	CHECK(!args.help);
}

int
main(void)
{
	RUN(test_refused);
	RUN(test_taken);
	RUN(test_help);
	return test_done();
}
