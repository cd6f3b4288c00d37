/* scan.h - the lines of a profile, before iniparser sees them. */
#ifndef PROFILE_SCAN_H
#define PROFILE_SCAN_H

#include "base/str.h"
#include "profile/faults.h"

#include <stdbool.h>
#include <stddef.h>

#define SCAN_FILE_MAX    ((size_t)1 << 20)
#define SCAN_LINE_MAX    1020 /* iniparser's buffer of 1,024 holds two bounds, the end and a NUL */
#define SCAN_ENTRIES_MAX 1000 /* keys; iniparser's search is linear in their number */

struct scan_entry {
	char *section, *key; /* lower case */
	unsigned line;
	size_t value_at, value_len; /* in the file's bytes: the value with its quotes, no comment */
	bool quoted;                /* the whole value is in quotes */
	bool commented;             /* a comment stands behind it */
	bool faulty;                /* its value is told as a fault already */
};

struct scan_section {
	char *name; /* lower case */
	unsigned line;
};

struct scan {
	struct scan_entry *entries;
	size_t entry_count;
	struct scan_section *sections;
	size_t section_count;
	struct str clean; /* what iniparser is given: the sound lines, see scan.c */
};

/* Looks at the bytes of a profile; every fault of form is added to `faults`. */
void scan_bytes(const char *bytes, size_t len, struct faults *faults, struct scan *scan_r);
void scan_clear(struct scan *scan);

/* NULL: not there. */
const struct scan_entry *scan_find(const struct scan *scan, const char *section, const char *key);
/* 0: not there. */
unsigned scan_section_line(const struct scan *scan, const char *section);

/* iniparser cuts values at quotes, `;` and `#`, so the clean copy holds control bytes in their
 * place (which no sound line has). Puts the signs back, in place. */
void scan_decode(char *value);

#endif
