/* report_private.h - what the writers of this folder share. */
#ifndef REPORT_REPORT_PRIVATE_H
#define REPORT_REPORT_PRIVATE_H

#include "base/str.h"
#include "report/report.h"

/* Sums of an account or of everything. */
struct report_sums {
	struct ledger_counts counts;
	uint64_t copied;  /* landed + verified */
	uint64_t settled; /* rows with an end state: all seven together */
	uint64_t open;    /* found and without an end state yet */
	uint64_t surplus; /* rows with an end state that were never found: a fault */
	uint64_t doubt;   /* in batches without an answer */
};

/* One account as the reports tell of it. */
struct report_account {
	const struct ledger_account *row; /* borrowed */
	struct ledger_folder *folders;
	size_t folder_count;
	struct report_sums sums;
};

int report_account_load(struct ledger *ledger, const struct ledger_account *row,
	struct report_account *account_r, struct err *err);
void report_account_clear(struct report_account *account);
void report_sums_add(struct report_sums *into, const struct report_sums *from);
/* The sums of one folder's counters. */
void report_sums_of(const struct ledger_counts *counts, struct report_sums *sums_r);
/* Skipped by the profile's own rules: no need to look at it. */
bool report_reason_wanted(unsigned reason);
/* Whether the account has items of that state that need a look, found out without a walk over them:
 * a profile may skip a million. 1, 0, or -1. */
int report_has_problems(struct ledger *ledger, const struct report_account *account,
	enum item_state state, struct err *err);
/* The manifest, and what confirms it once it is in its place. */
struct report_chain {
	char sha256[DIGEST_SIZE * 2 + 1]; /* of the whole file */
	uint64_t up_to;                   /* for ledger_manifest_done() */
};
int report_manifest_chain(const struct report_source *source, FILE *out,
	struct report_chain *chain_r, struct err *err);
/* The same in pieces: each call of manifest_more() writes what was committed since the one before
 * it, and what has changed again gets another line. After a failure only manifest_free(). Both are
 * borrowed. */
struct manifest;
struct manifest *manifest_new(struct ledger *ledger, FILE *out);
int manifest_more(struct manifest *manifest, struct err *err);
int manifest_end(struct manifest *manifest, struct report_chain *chain_r, struct err *err);
void manifest_free(struct manifest **manifest); /* NULL is fine */
/* The draft is to become whole, now; does not wait for it. NULL is fine. */
void draft_end(struct report_draft *draft);
/* Waits for that, and names it, in the place of what has the name. True: done, durable but for the
 * name. False: there is none, and the manifest has yet to be written. Either way it is freed. */
bool draft_take(struct report_draft **draft, const char *path, struct report_chain *chain_r);
/* ERR_DISK when writing to `out` failed so far. */
int report_check(FILE *out, struct err *err);
/* The last run; zeroed when there is none. */
int report_last_run(struct ledger *ledger, struct ledger_run *run_r, struct err *err);
/* Calls fn for each account with everything loaded; stops at the first failure. */
typedef int report_account_fn(void *context, const struct report_account *account, struct err *err);
int report_each_account(
	struct ledger *ledger, report_account_fn *fn, void *context, struct err *err);

/* The section of rounds. */
int report_text_rounds(const struct report_source *source, FILE *out, struct err *err);
/* The round that the next one will be like: the last later one that is over; NULL = none yet. */
const struct ledger_round *report_forecast(const struct ledger_round *rounds, size_t count);
/* How the last run ended, or that it did not: for people. */
const char *report_end_text(const struct report_source *source, const struct ledger_run *run);
/* Its exit code; -1: there is none. */
int report_end_code(const struct report_source *source, const struct ledger_run *run);

/* Appends the names of the ladder's steps in `steps` (a bit each): "nul, line_ends". */
void report_steps(struct str *out, unsigned steps);

#endif
