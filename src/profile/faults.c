/* faults.c - collects what is wrong with a file, so that one look at it finds everything.
 *
 * The list has a fixed size: a file of a million faulty rows costs no more than one of 200. The
 * rows kept are the first ones found; they are sorted by place only at the end, because the same
 * file is looked at more than once (its lines, then its values, then what contradicts what). */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/faults.h"

#include "base/banned.h"

#define TEXT_MAX 480 /* bytes of one fault */
#define WORD_MAX 40  /* longer words are not compared */

void
faults_init(struct faults *faults, const char *file)
{
	faults->file = file;
	faults->count = 0;
}

void
faults_clear(struct faults *faults)
{
	size_t kept = faults->count < FAULTS_MAX ? faults->count : FAULTS_MAX;

	for (size_t i = 0; i < kept; i++)
		free(faults->list[i].text);
	faults->count = 0;
}

void
faults_add(struct faults *faults, unsigned line, unsigned column, const char *fmt, ...)
{
	char text[TEXT_MAX];
	struct str safe;
	va_list ap;

	if (faults->count++ >= FAULTS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_init(&safe, 0);
	text_sanitize(&safe, text, strlen(text));
	faults->list[faults->count - 1] = (struct fault){
		.line = line,
		.column = column,
		.order = faults->count,
		.text = str_take(&safe),
	};
}

static int
by_place(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
write_fault(struct str *out, const char *file, const struct fault *fault)
{
	text_sanitize(out, file, strlen(file));
	if (fault->line > 0)
		str_addf(out, ":%u", fault->line);
	if (fault->column > 0)
		str_addf(out, ":%u", fault->column);
	str_addf(out, ": %s", fault->text);
}

int
faults_finish(struct faults *faults, struct str *out, struct err *err)
{
	size_t kept = faults->count < FAULTS_MAX ? faults->count : FAULTS_MAX;
	struct str first;

	if (faults->count == 0)
		return 0;
	qsort(faults->list, kept, sizeof(faults->list[0]), by_place);
	str_init(&first, 0);
	write_fault(&first, faults->file, &faults->list[0]);
	err_set(err, ERR_PROFILE, "%s", str_get(&first));
	str_clear(&first);
	for (size_t i = 0; out != NULL && i < kept; i++) {
		write_fault(out, faults->file, &faults->list[i]);
		str_addc(out, '\n');
	}
	if (out != NULL && faults->count > kept) {
		text_sanitize(out, faults->file, strlen(faults->file));
		str_addf(out, ": and %zu more faults\n", faults->count - kept);
	}
	faults_clear(faults);
	return -1;
}

/* Letters to change, add, leave out or swap with the next to make one word of the other. */
static unsigned
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned char rows[3][WORD_MAX + 1];
	unsigned char *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= lb; j++)
		last[j] = (unsigned char)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned char *turn = before;

		now[0] = (unsigned char)i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = text_ieqn(a + i - 1, b + j - 1, 1);
			int best = last[j - 1] + (same ? 0 : 1);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && text_ieqn(a + i - 1, b + j - 2, 1) &&
				text_ieqn(a + i - 2, b + j - 1, 1) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = (unsigned char)best;
		}
		before = last;
		last = now;
		now = turn;
	}
	return last[lb];
}

const char *
faults_nearest(const char *word, const void *names, size_t count, size_t stride)
{
	size_t len = strlen(word);
	unsigned limit = len < 4 ? 1 : len < 8 ? 2 : 3;
	const char *best = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const char *name;
		unsigned d;

		memcpy(&name, (const char *)names + i * stride, sizeof(name));
		if (name == NULL || strlen(name) > WORD_MAX)
			continue;
		d = distance(word, name);
		if (d <= limit && d < strlen(name)) {
			best = name;
			limit = d == 0 ? 0 : d - 1;
			if (d <= 1)
				break;
		}
	}
	return best;
}
