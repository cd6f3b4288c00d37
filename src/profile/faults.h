/* faults.h - all that is wrong with a file of the admin's, as one list in the file's order. */
#ifndef PROFILE_FAULTS_H
#define PROFILE_FAULTS_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define FAULTS_MAX 200 /* kept; the rest is counted */

struct fault {
	unsigned line, column; /* 0 = of the whole file, of the whole line */
	size_t order;          /* in which it was found */
	char *text;
};

struct faults {
	const char *file; /* as shown; borrowed */
	struct fault list[FAULTS_MAX];
	size_t count; /* found, kept or not */
};

void faults_init(struct faults *faults, const char *file);
void faults_clear(struct faults *faults);

/* "file:line:column: text"; the text is made safe for a terminal. It must not hold a secret. */
void faults_add(struct faults *faults, unsigned line, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Returns 0 when there are none, or -1 with all of them in *out, a line each (out may be NULL),
 * and the first in *err (ERR_PROFILE). Empties the list. */
int faults_finish(struct faults *faults, struct str *out, struct err *err);

/* The name in `names` (count of them, `stride` bytes from one `const char *` to the next) that
 * `word` was probably meant to be, or NULL. */
const char *faults_nearest(const char *word, const void *names, size_t count, size_t stride);

#endif
