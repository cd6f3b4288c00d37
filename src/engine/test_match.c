/* test_match.c - matching of sent messages with found ones: one table.
 *
 * Messages are written in letters: a row "aA" is a message of exact digest a and canonical digest
 * A; found messages likewise, with UIDs 1, 2, 3 ... in their order. The result is written as the
 * UID of each row, "-" = not found. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/test.h"
#include "engine/match.h"

#include "base/banned.h"

#define MOST 8

/* exact, canonical, head and canonical head digest by a letter each; 0 ends a list. */
struct mail {
	char exact, canonical, head, canonical_head;
	unsigned size;
	int64_t received;
	unsigned flags;
	bool streaming, exact_only, head_only;
};

struct match_case {
	const char *name;
	struct mail rows[MOST], found[MOST];
	const char *want;
};

#define MAIL(letter)                                                                               \
	{                                                                                          \
		.exact = letter, .canonical = letter, .head = letter, .size = 10                   \
	}
#define BIG(letter, bytes)                                                                         \
	{                                                                                          \
		.head = letter, .size = bytes, .streaming = true                                   \
	}
#define HEAD(letter, bytes)                                                                        \
	{                                                                                          \
		.head = letter, .size = bytes, .head_only = true                                   \
	}
/* Line ends: as they are sent, and as the target rewrites them. */
#define BIG_LF(letter, bytes)                                                                      \
	{                                                                                          \
		.head = letter, .canonical_head = 'C', .size = bytes, .streaming = true            \
	}
#define HEAD_CRLF(letter, bytes)                                                                   \
	{                                                                                          \
		.head = letter, .canonical_head = 'C', .size = bytes, .head_only = true            \
	}

static const struct match_case cases[] = {
	{ "nothing sent, nothing found", { { 0 } }, { { 0 } }, "" },
	{ "nothing found", { MAIL('a'), MAIL('b') }, { { 0 } }, "--" },
	{ "all found, in another order", { MAIL('a'), MAIL('b'), MAIL('c') },
		{ MAIL('c'), MAIL('a'), MAIL('b') }, "231" },
	{ "mail of others is nobody's", { MAIL('a') }, { MAIL('x'), MAIL('a'), MAIL('y') }, "2" },
	{ "of three equal rows with two found two are matched", { MAIL('a'), MAIL('a'), MAIL('a') },
		{ MAIL('a'), MAIL('x'), MAIL('a') }, "13-" },
	{ "more found than sent: each once", { MAIL('a') }, { MAIL('a'), MAIL('a') }, "1" },
	{ "a rewritten one by its canonical digest", { { .exact = 'a', .canonical = 'A' } },
		{ { .exact = 'z', .canonical = 'A' } }, "1" },
	{ "exact before canonical, whatever the order",
		{ { .exact = 'a', .canonical = 'A' }, { .exact = 'b', .canonical = 'A' } },
		{ { .exact = 'b', .canonical = 'A' }, { .exact = 'q', .canonical = 'A' } }, "21" },
	{ "a landed row knows its exact digest alone",
		{ { .exact = 'a', .canonical = 'A', .exact_only = true },
			{ .exact = 'b', .canonical = 'A' } },
		{ { .exact = 'c', .canonical = 'A' } }, "-1" },
	{ "the date chooses among equals",
		{ { .exact = 'a', .received = 7 }, { .exact = 'a', .received = 5 } },
		{ { .exact = 'a', .received = 5 }, { .exact = 'a', .received = 7 } }, "21" },
	{ "the flags choose where the dates are one",
		{ { .exact = 'a', .flags = 1 }, { .exact = 'a', .flags = 2 } },
		{ { .exact = 'a', .flags = 2 }, { .exact = 'a', .flags = 1 } }, "21" },
	{ "the date counts more than the flags", { { .exact = 'a', .received = 7, .flags = 1 } },
		{ { .exact = 'a', .received = 5, .flags = 1 },
			{ .exact = 'a', .received = 7, .flags = 2 } },
		"2" },
	{ "date and flags only choose: another date is the message all the same",
		{ { .exact = 'a', .received = 7, .flags = 1 } },
		{ { .exact = 'a', .received = 5, .flags = 2 } }, "1" },
	{ "what was sent while it arrived, by size and head",
		{ BIG('h', 100), BIG('h', 200), BIG('k', 100) },
		{ HEAD('h', 200), HEAD('h', 100), HEAD('x', 100) }, "21-" },
	{ "a whole message found may be one that was streamed", { BIG('h', 10) },
		{ { .exact = 'a', .canonical = 'A', .head = 'h', .size = 10 } }, "1" },
	{ "a streamed row does not take what belongs to a whole one", { BIG('a', 10), MAIL('a') },
		{ MAIL('a') }, "-1" },
	{ "a streamed one whose line ends were rewritten, by its canonical head",
		{ BIG_LF('h', 100) }, { HEAD('x', 103), HEAD_CRLF('q', 103) }, "2" },
	{ "... and where the head is as it was and the rest is not", { BIG_LF('h', 100) },
		{ HEAD_CRLF('h', 103) }, "1" },
	{ "... not where the size cannot be", { BIG_LF('h', 100) }, { HEAD_CRLF('q', 300) }, "-" },
	{ "... nor where two messages may be it", { BIG_LF('h', 100) },
		{ HEAD_CRLF('q', 103), HEAD_CRLF('r', 104) }, "-" },
	{ "... nor where it may be either of two rows", { BIG_LF('h', 100), BIG_LF('i', 100) },
		{ HEAD_CRLF('q', 103) }, "--" },
	{ "... but a row that is found by size and head is out of it",
		{ BIG_LF('h', 100), BIG_LF('i', 100) },
		{ HEAD_CRLF('q', 103), HEAD_CRLF('i', 100) }, "12" },
	{ "no canonical head matches none", { BIG('h', 100) }, { HEAD('q', 100) }, "-" },
	{ "a whole row is not matched by a head", { MAIL('a') }, { HEAD('a', 10) }, "-" },
	{ "equal digests of nothing: a head-only find has no digest",
		{ { .exact = 0, .canonical = 0, .size = 10, .received = 3 } }, { HEAD('h', 10) },
		"-" },
};

static size_t
fill(const struct mail *mails, struct match_row *rows, struct match_found *found)
{
	size_t n = 0;

	/* Every mail of the table has a digest or a date. */
	for (; n < MOST && (mails[n].exact || mails[n].head || mails[n].received); n++) {
		const struct mail *m = &mails[n];
		if (rows != NULL) {
			struct match_row *r = &rows[n];
			memset(r, 0, sizeof *r);
			memset(r->exact, m->exact, DIGEST_SIZE);
			memset(r->canonical, m->canonical, DIGEST_SIZE);
			memset(r->head, m->head, DIGEST_SIZE);
			memset(r->canonical_head, m->canonical_head, DIGEST_SIZE);
			r->size = m->size;
			r->received = m->received;
			r->flags = m->flags;
			r->streaming = m->streaming;
			r->exact_only = m->exact_only;
		} else {
			struct match_found *f = &found[n];
			memset(f, 0, sizeof *f);
			f->uid = (uint32_t)n + 1;
			memset(f->digests.exact, m->exact, DIGEST_SIZE);
			memset(f->digests.canonical, m->canonical, DIGEST_SIZE);
			memset(f->digests.head, m->head, DIGEST_SIZE);
			memset(f->digests.canonical_head, m->canonical_head, DIGEST_SIZE);
			f->size = m->size;
			f->received = m->received;
			f->flags = m->flags;
			f->head_only = m->head_only;
		}
	}
	return n;
}

static void
run_case(const struct match_case *c)
{
	struct match_row rows[MOST];
	struct match_found found[MOST];
	size_t row_count = fill(c->rows, rows, NULL), found_count = fill(c->found, NULL, found);
	size_t matched = match_rows(rows, row_count, found, found_count), counted = 0, taken = 0;
	char text[MOST + 1] = "";

	for (size_t i = 0; i < row_count; i++) {
		text[i] = rows[i].uid == 0 ? '-' : (char)('0' + rows[i].uid);
		counted += rows[i].uid != 0;
	}
	for (size_t i = 0; i < found_count; i++) {
		CHECK_INT(found[i].uid, i + 1); /* neither array is reordered */
		taken += found[i].taken;
	}
	if (strcmp(text, c->want) != 0)
		printf("case %s:\n", c->name);
	CHECK_STR(text, c->want);
	CHECK_INT(matched, counted);
	CHECK_INT(taken, counted);
}

static void
table(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_case(&cases[i]);
}

/* A match says whether the target has other bytes, and which. */
static void
changed(void)
{
	static const struct {
		struct mail row, found;
		bool changed;
		char there;
	} changes[] = {
		{ MAIL('a'), MAIL('a'), false, 'a' },
		{ { .exact = 'a', .canonical = 'A' }, { .exact = 'b', .canonical = 'A' }, true,
			'b' },
		{ BIG('h', 100), HEAD('h', 100), false, 0 },
		{ BIG_LF('h', 100), HEAD_CRLF('q', 103), true, 0 },
		{ BIG_LF('h', 100),
			{ .exact = 'b', .canonical = 'B', .canonical_head = 'C', .size = 103 },
			true, 'b' },
	};

	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct mail rows[MOST] = { changes[i].row }, founds[MOST] = { changes[i].found };
		struct match_row row[MOST];
		struct match_found found[MOST];
		unsigned char there[DIGEST_SIZE];

		memset(there, changes[i].there, DIGEST_SIZE);
		fill(rows, row, NULL);
		fill(founds, NULL, found);
		CHECK_INT(match_rows(row, 1, found, 1), 1);
		CHECK_INT(row[0].changed, changes[i].changed);
		CHECK_MEM(row[0].there, there, DIGEST_SIZE);
	}
}

/* What one call matched stays matched: the next call may add rows' luck, not take it. */
static void
again(void)
{
	struct match_row rows[2];
	struct match_found first[1], second[1];
	const struct mail mails[MOST] = { MAIL('a'), MAIL('a') }, one[MOST] = { MAIL('a') };

	CHECK_INT(fill(mails, rows, NULL), 2);
	CHECK_INT(fill(one, NULL, first), 1);
	CHECK_INT(fill(one, NULL, second), 1);
	second[0].uid = 9;
	CHECK_INT(match_rows(rows, 2, first, 1), 1);
	CHECK_INT(match_rows(rows, 2, second, 1), 1);
	CHECK_INT(rows[0].uid, 1);
	CHECK_INT(rows[1].uid, 9);
}

/* Whole folders: many equal ones among many different ones. */
static void
many(void)
{
	enum { COUNT = 20000 };
	struct match_row *rows = xcalloc(COUNT, sizeof *rows);
	struct match_found *found = xcalloc(COUNT, sizeof *found);
	size_t wrong = 0;

	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t digest = i % 100 == 0 ? 0 : i, other = (i * 7919) % COUNT;
		memcpy(rows[i].exact, &digest, sizeof digest);
		rows[i].received = i;
		digest = other % 100 == 0 ? 0 : other;
		memcpy(found[i].digests.exact, &digest, sizeof digest);
		found[i].received = other;
		found[i].uid = i + 1;
	}
	CHECK_INT(match_rows(rows, COUNT, found, COUNT), COUNT);
	for (uint32_t i = 0; i < COUNT; i++)
		wrong += rows[i].received != found[rows[i].uid - 1].received;
	CHECK_INT(wrong, 0); /* the date chose among the equal ones */
	free(rows);
	free(found);
}

int
main(void)
{
	RUN(table);
	RUN(changed);
	RUN(again);
	RUN(many);
	return test_done();
}
