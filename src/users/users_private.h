/* users_private.h - what the files of this folder share. */
#ifndef USERS_USERS_PRIVATE_H
#define USERS_USERS_PRIVATE_H

#include "base/str.h"
#include "profile/faults.h"
#include "users/users.h"

#include <stdbool.h>
#include <stddef.h>

#define CSV_FILE_MAX    ((size_t)64 << 20)
#define CSV_TEXT_MAX    (3 * CSV_FILE_MAX) /* decoded */
#define CSV_RECORD_MAX  65536              /* bytes of one row */
#define CSV_COLUMNS_MAX 32
#define CSV_ROWS_MAX    1000000

/* charset.c: the file's bytes as UTF-8 without a mark. encoding: NULL or "auto", or a name of
 * iconv's. Adds faults; -1: nothing can be read from it. */
int charset_decode(const char *bytes, size_t len, const char *encoding, struct faults *faults,
	struct str *text_r);

/* csv.c: rows of cells, RFC 4180. */
struct csv {
	const char *bytes;
	size_t len, at;
	unsigned line;     /* where `at` is */
	size_t line_start; /* its first byte */
	unsigned unclosed; /* quotes that were opened and not closed */
	char separator;
	struct faults *faults; /* NULL: nobody is told */
};

struct csv_cell {
	struct str text; /* may hold a password: wiped */
	unsigned line, column;
};

struct csv_record {
	struct csv_cell cells[CSV_COLUMNS_MAX];
	size_t count; /* also of those beyond the last kept */
	unsigned line;
	bool faulty; /* told; its cells are not to be used */
	bool stray;  /* a cell without quotes around it has one within */
};

/* Finds the separator by the first rows. */
void csv_init(struct csv *csv, const char *bytes, size_t len, struct faults *faults);
void csv_record_init(struct csv_record *record);
void csv_record_clear(struct csv_record *record);
/* 1: the next row, 0: the end. */
int csv_next(struct csv *csv, struct csv_record *record);

/* users.c: all of users_load_csv() but the file. -1: faults were added; *users_r has the sound
 * rows, to be cleared. */
int users_parse(const char *bytes, size_t len, const char *encoding, const char *target_pattern,
	struct faults *faults, struct users *users_r);

#endif
