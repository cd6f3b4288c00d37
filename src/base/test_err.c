/* test_err.c - the error table is complete, doc/errors.md tells the same, texts are safe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "base/test.h"

#include "base/banned.h"

static const char *const scopes[] = { "item", "batch", "folder", "account", "host", "run" };
static const char *const retries[] = { "never", "now", "wait" };

static void
names_are_unique_and_found_again(void)
{
	for (int i = 1; i < ERR_CODES; i++) {
		const char *name = err_name((enum err_code)i);

		CHECK(name != NULL && name[0] != '\0');
		CHECK_INT(err_by_name(name), i);
	}
	CHECK_INT(err_by_name("none"), ERR_NONE);
	CHECK_INT(err_by_name("no such"), ERR_NONE);
	CHECK_STR(err_name(ERR_CODES), "internal");
}

static void
table_gives_scope_and_retry(void)
{
	static const struct {
		enum err_code code;
		enum err_scope scope;
		enum err_retry retry;
		bool link;
	} cases[] = {
		{ ERR_AUTH, SCOPE_ACCOUNT, RETRY_NEVER, false },
		{ ERR_LOST, SCOPE_ACCOUNT, RETRY_WAIT, true },
		{ ERR_BAD, SCOPE_BATCH, RETRY_NOW, true },
		{ ERR_CERT, SCOPE_HOST, RETRY_NEVER, false },
		{ ERR_QUOTA, SCOPE_ACCOUNT, RETRY_WAIT, false },
		{ ERR_CONTENT, SCOPE_ITEM, RETRY_NEVER, false },
		{ ERR_NOTEMPTY, SCOPE_FOLDER, RETRY_NEVER, false },
		{ ERR_LEDGER, SCOPE_RUN, RETRY_NEVER, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { .wait_ms = 7 };

		CHECK_INT(err_set(&err, cases[i].code, "x"), -1);
		CHECK_INT(err.code, cases[i].code);
		CHECK_INT(err.scope, cases[i].scope);
		CHECK_INT(err.retry, cases[i].retry);
		CHECK_INT(err.wait_ms, 0);
		CHECK_INT(err_is_link(cases[i].code), cases[i].link);
	}
}

static void
texts_are_safe_and_cut_at_a_character(void)
{
	struct err err;
	char text[300];

	err_set(&err, ERR_REFUSED, "%s in %d\x1b[2J", "INBOX", 7);
	CHECK_STR(err.text, "INBOX in 7\\x1B[2J");
	memset(text, 'a', 238);
	memcpy(text + 238, "\xC3\xA4\xC3\xA4", 5); /* 238 bytes, then two of two bytes each */
	err_set(&err, ERR_NAME, "%s", text);
	CHECK_INT(strlen(err.text), 238);
	CHECK_INT(err_set(NULL, ERR_NAME, "%s", text), -1);
}

static void
context_and_errno_are_put_in_line(void)
{
	struct err err;

	CHECK_INT(err_errno(&err, ERR_DISK, ENOSPC, "writing %s", "a"), -1);
	CHECK_STR(err.text, "writing a: No space left on device");
	CHECK_INT(err_context(&err, "user %s", "ann"), -1);
	CHECK_STR(err.text, "user ann: writing a: No space left on device");
	CHECK_INT(err.code, ERR_DISK);
	CHECK_INT(err_context(NULL, "x"), -1);
	CHECK_INT(err_errno(NULL, ERR_DISK, ENOSPC, "x"), -1);
}

/* Every code has one row "| `name` | scope | retry | meaning |", and no row is of another. */
static void
document_agrees_with_the_table(void)
{
	const char *srcdir = getenv("srcdir");
	char *path = xasprintf("%s/doc/errors.md", srcdir != NULL ? srcdir : ".");
	char line[512], name[64], scope[64], retry[64], want[ERR_CODES][64], got[ERR_CODES][64];
	FILE *f = fopen(path, "re");
	int rows = 0;

	CHECK(f != NULL);
	memset(got, 0, sizeof(got));
	for (int i = 1; i < ERR_CODES; i++) {
		struct err err;

		err_set(&err, (enum err_code)i, "x");
		snprintf(want[i], sizeof(want[i]), "%s %s", scopes[err.scope], retries[err.retry]);
	}
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		enum err_code code;

		if (sscanf(line, "| `%60[^`]` | %60s | %60s |", name, scope, retry) != 3)
			continue;
		code = err_by_name(name);
		if (code == ERR_NONE)
			printf("doc/errors.md lists an unknown code: %s\n", name);
		CHECK(code != ERR_NONE);
		CHECK_STR(got[code], "");
		snprintf(got[code], sizeof(got[code]), "%.30s %.30s", scope, retry);
		rows++;
	}
	for (int i = 1; i < ERR_CODES; i++)
		CHECK_STR(got[i], want[i]);
	CHECK_INT(rows, ERR_CODES - 1);
	if (f != NULL)
		fclose(f);
	free(path);
}

static void
small_allocations(void)
{
	char *a = xstrdup("one"), *b = xstrndup("two", 2), *c = xasprintf("%d", 3);
	unsigned char *zeros = xcalloc(2, 3);

	CHECK_STR(a, "one");
	CHECK_STR(b, "tw");
	CHECK_STR(c, "3");
	CHECK_MEM(zeros, "\0\0\0\0\0\0", 6);
	a = xrealloc(a, 100);
	CHECK_STR(a, "one");
	free(a);
	free(b);
	free(c);
	free(zeros);
	a = xmalloc(0);
	CHECK(a != NULL);
	free(a);
}

int
main(void)
{
	RUN(names_are_unique_and_found_again);
	RUN(table_gives_scope_and_retry);
	RUN(texts_are_safe_and_cut_at_a_character);
	RUN(context_and_errno_are_put_in_line);
	RUN(document_agrees_with_the_table);
	RUN(small_allocations);
	return test_done();
}
