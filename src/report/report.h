/* report.h - what became of every item, from the ledger: for people, for programs, for auditors.
 *
 * Reads the ledger and nothing else, so that a report can be drawn at any time, also beside a
 * runner. Everything is written as it is read: no report grows with the number of items in
 * memory. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/err.h"
#include "engine/ledger/ledger.h"
#include "profile/profile.h"

#include <stdio.h>
#include <time.h>

/* All borrowed. */
struct report_source {
	struct ledger *ledger;
	const struct profile *profile;
	const char *directory; /* of the run, named in the report; NULL: none */
	int exit_code;         /* of this run; -1: as the ledger says */
	bool running;          /* exit_code -1: a run is at work now */
	const char *error;     /* what ended the run, or NULL */
	uint64_t copied_now, bytes_now, elapsed_ms; /* by this run; elapsed 0: not known */
	time_t now;
};

/* Each writes to `out` and returns 0, or -1 with ERR_LEDGER, or ERR_DISK when out refused. */
int report_text(const struct report_source *source, FILE *out, struct err *err);
int report_csv(
	const struct report_source *source, FILE *out, struct err *err); /* a row per folder */
int report_json(const struct report_source *source, FILE *out, struct err *err);
/* What has changed since the manifest before it, which its first line names: a line per folder and
 * per item. The last line has the number of items and the SHA-256 of all lines before it. */
int report_manifest(const struct report_source *source, FILE *out, struct err *err);

/* The manifest of a run that is at work, as a file that has no name yet: a thread of its own writes
 * what is committed, so that report_write() has little left to do. Begun once the run is in the
 * ledger, and over before the ledger is closed. `ledger` is borrowed; NULL where it cannot be. */
struct report_draft;
struct report_draft *report_draft_begin(struct ledger *ledger, const char *dir);
void report_draft_drop(struct report_draft **draft); /* NULL is fine */

/* All four into `dir`, 0600, each under a temporary name until whole. *path_r: of report.txt,
 * to be freed. Goes on with the others when one fails; the first error is given. draft: of that
 * directory, is taken; NULL inside is fine. */
int report_write(const struct report_source *source, const char *dir, struct report_draft **draft,
	char **path_r, struct err *err);

/* Appends the n-th way (from 0) in which the profile lets this side's connection be weaker than the
 * default: "the connection is not encrypted (security = none)". False: no n-th. */
bool report_weakness(const struct profile_side *side, unsigned n, struct str *text);

/* "all done and every item settled" ...: what an exit code says. */
const char *report_exit_text(int exit_code);

#endif
