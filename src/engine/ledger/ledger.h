/* ledger.h - what was found, what was meant to be sent, what was sent, and where it landed.
 *
 * One ledger per profile. One thread of its own writes; calls marked "queued" return at once and
 * are executed in the order they were made, many in one transaction (group commit); calls marked
 * "reads" use the calling thread's time and see what is committed. Any thread may make any call.
 * Nothing here assumes one file or one process, so that another store can stand behind it.
 *
 * Once a write has failed, every later call fails with ERR_LEDGER (scope run): without a ledger
 * nothing is sent.
 *
 * The tables are described in doc/ledger.md. */
#ifndef ENGINE_LEDGER_LEDGER_H
#define ENGINE_LEDGER_LEDGER_H

#include "base/err.h"
#include "mail/digest.h"
#include "mail/uidset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;

/* The endpoints a ledger was made with; all strings borrowed. */
struct ledger_binding {
	const char *profile;
	const char *source_type, *source_host;
	unsigned source_port;
	const char *target_type, *target_host;
	unsigned target_port;
	/* Sides, by their new host, that may differ from what the ledger was made with. */
	const char *const *rebind;
	size_t rebind_count;
};

enum ledger_mode {
	LEDGER_WRITE, /* creates it (0600) where it is missing */
	LEDGER_READ,  /* read-only, beside a runner; ERR_STATE_DIR when there is none yet */
	LEDGER_MEMORY /* a dry run without a ledger yet: an empty one that leaves nothing behind */
};

/* Errors: ERR_LEDGER (not a ledger, newer version, damaged, read-only, disk full), ERR_BOUND (other
 * endpoints: the text names the difference). binding may be NULL for LEDGER_READ. A side that is
 * rebound takes its accounts along to its new host. */
int ledger_open(const char *path, const struct ledger_binding *binding, enum ledger_mode mode,
	struct ledger **ledger_r, struct err *err);
/* Commits what is queued, checkpoints, closes; NULL is fine. -1 if that failed. */
int ledger_close(struct ledger **ledger, struct err *err);
/* Waits until everything queued so far is durable. */
int ledger_flush(struct ledger *ledger, struct err *err);
/* Waits for one ticket. Blocks for a commit at most. */
int ledger_wait(struct ledger *ledger, uint64_t ticket, struct err *err);
/* The first failure of the ledger thread, if any: -1 with *err. Never blocks. */
int ledger_check(struct ledger *ledger, struct err *err);

/* Runs and rounds. A run is one start of the program; a round goes on over several runs until
 * every account was done in it; the next run then begins a new round. */
int ledger_run_begin(struct ledger *ledger, uint64_t *run_r, unsigned *round_r, struct err *err);
void ledger_run_end(struct ledger *ledger, uint64_t run, int exit_code); /* queued */
struct ledger_run {
	uint64_t id;
	unsigned round;
	int64_t started, ended; /* UTC; ended 0: did not end by itself */
	int exit_code;
};
int ledger_runs(
	struct ledger *ledger, struct ledger_run **runs_r, size_t *count_r, struct err *err);

/* What a round did. It is over when every account came to its end in it. */
struct ledger_round {
	unsigned id;
	int64_t started, ended;          /* UTC; ended: of its last run that ended, 0 = none did */
	unsigned runs, runs_without_end; /* killed, or still at work */
	int64_t worked_s;                /* by the runs that ended */
	uint64_t copied, bytes;          /* items that lie on the target since this round */
	bool over;
};
/* reads; ordered by id; free() the list. */
int ledger_rounds(
	struct ledger *ledger, struct ledger_round **rounds_r, size_t *count_r, struct err *err);

/* Accounts. */
enum account_state {
	ACCOUNT_WAITING,
	ACCOUNT_PROVISIONING,
	ACCOUNT_SCANNING,
	ACCOUNT_COPYING,
	ACCOUNT_SETTLING,
	ACCOUNT_PAUSED,
	ACCOUNT_STOPPED,
	ACCOUNT_SKIPPED, /* by the admin */
	ACCOUNT_DONE,
	ACCOUNT_REMARKS, /* done with remarks */
	ACCOUNT_FAILED,
	ACCOUNT_STATES
};
const char *account_state_name(enum account_state state); /* "copying", "done with remarks" */
bool account_state_open(enum account_state state);

struct ledger_account {
	uint64_t id;
	char *source_user, *source_host, *target_user,
		*target_host; /* free by ledger_accounts_free */
	enum account_state state;
	unsigned round;         /* the last one it was done in (or failed) */
	enum err_code reason;   /* of a failed one */
	char *text;             /* what the report says, or NULL */
	int64_t started, ended; /* of its last job */
};
/* An account as the user list has it; strings borrowed, a host NULL = "". */
struct ledger_bind {
	const char *source_user, *source_host, *target_user, *target_host;
	bool rebind; /* the ledger's row of either side is this one, though the other side differs
		      */
	uint64_t id; /* result */
};
/* Finds or makes the rows, all in one commit, and waits for it. ERR_BOUND, and nothing is written,
 * when a source user is there with another target (the text names both), or another source user
 * has the target. */
int ledger_bind_accounts(
	struct ledger *ledger, struct ledger_bind *rows, size_t count, struct err *err);
void ledger_account_state(struct ledger *ledger, uint64_t account, enum account_state state,
	unsigned round, enum err_code reason, const char *text); /* queued */
int ledger_accounts(struct ledger *ledger, struct ledger_account **accounts_r, size_t *count_r,
	struct err *err); /* reads; ordered by id */
void ledger_accounts_free(struct ledger_account *accounts, size_t count);

/* Items end in exactly one of these, with a reason. */
enum item_state {
	ITEM_LANDED = 1,
	ITEM_VERIFIED,
	ITEM_SKIPPED,
	ITEM_FAILED,
	ITEM_HELD,
	ITEM_VANISHED,
	ITEM_ADOPTED,
	ITEM_STATES
};
const char *item_state_name(enum item_state state);
int item_state_by_name(const char *name); /* -1: none */

/* Reason codes: 0..999 are enum err_code; these follow. One table (reason.c) names them all. */
enum item_reason {
	REASON_NONE = 0,
	REASON_SETTLED = 1000, /* found on the target after an unclean end */
	REASON_REPAIRED,       /* the ladder changed it; steps say how */
	REASON_WRAPPED,        /* sent as an attachment */
	REASON_DATE,           /* INTERNALDATE was absurd and taken from a header, or set to now */
	REASON_KEYWORDS,       /* the target did not take (all) its keywords */
	REASON_SINCE,
	REASON_BEFORE,
	REASON_MAX_SIZE,  /* skipped by the profile */
	REASON_EMPTY,     /* a message of no bytes: the target takes none */
	REASON_DOUBT,     /* held: may be on the target or not */
	REASON_ADMIN,     /* resolved by `mailhaul held` */
	REASON_REMATCHED, /* its folder got a new UIDVALIDITY at the source */
	REASON_END
};
const char *reason_name(unsigned reason); /* "settled", "quota"; never NULL */
int reason_by_name(const char *name);     /* -1: none */

/* Folders: one row per source folder and target collection. Counters are kept by the ledger
 * in the transaction that writes the items. */
struct ledger_counts {
	uint64_t found; /* items ever seen at the source */
	uint64_t by_state[ITEM_STATES];
	uint64_t bytes_found, bytes_landed;
	uint64_t gone;     /* on the target, no longer at the source */
	uint64_t repaired; /* landed or verified: repaired or wrapped, or with steps */
};
/* What the server told of a source folder before the last complete pass over it began: while it
 * tells the same, nothing has come, gone or changed there. */
struct ledger_seen {
	uint32_t uidnext;  /* 0: there was no such pass */
	uint32_t messages; /* in it */
	uint64_t modseq;   /* HIGHESTMODSEQ; 0: not told, so flags may have changed */
	uint32_t settings; /* of the pass: a fingerprint */
};
struct ledger_folder {
	uint64_t id, account;
	char *source_key;  /* raw bytes of the server's name */
	char *source_name; /* path shown with "/" */
	uint32_t source_uidvalidity;
	char *source_mailboxid; /* or NULL */
	char *target_key, *target_name;
	uint32_t target_uidvalidity;
	uint32_t target_bound;   /* first bound: no message of ours lies at or below it */
	uint32_t target_foreign; /* messages that lay there before */
	char *renamed_from;      /* shown name it had, or NULL */
	unsigned gone_round;     /* the round in which it was gone at the source; 0 = there */
	unsigned scanned_round;  /* the last round in which it was scanned to its end */
	bool rematch; /* the folder of its name has another UIDVALIDITY: its items are looked for
			 there */
	struct ledger_seen seen;
	struct ledger_counts counts;
};
/* Inserts (id 0) or updates all but the counters; waits until durable. folder->id is filled. Of
 * `seen` only uidnext 0 is written: the folder has to be looked at again. */
int ledger_folder_put(struct ledger *ledger, struct ledger_folder *folder, struct err *err);
/* Inserts them all in one transaction; the same otherwise. */
int ledger_folders_new(
	struct ledger *ledger, struct ledger_folder *const *folders, size_t count, struct err *err);
/* reads; all rows of the account, ordered by id (account 0: all accounts). */
int ledger_folders(struct ledger *ledger, uint64_t account, struct ledger_folder **folders_r,
	size_t *count_r, struct err *err);
void ledger_folders_free(struct ledger_folder *folders, size_t count);
void ledger_folder_clear(struct ledger_folder *folder); /* frees the strings of one */
/* Queued. Sets (does not add to) what was found; see struct ledger_counts. round: scanned_round. */
void ledger_folder_found(struct ledger *ledger, uint64_t folder, uint64_t found,
	uint64_t bytes_found, unsigned round);

/* Queued, behind all results of the pass. Not written where an item of the folder has no end yet,
 * or a batch of it no answer. Rows that are removed, or moved from one folder to another, take it
 * back.
 */
void ledger_folder_seen(struct ledger *ledger, uint64_t folder, const struct ledger_seen *seen);

/* Items. Strings owned by whoever holds the struct. */
struct ledger_item {
	uint32_t uid; /* at the source, under the folder row's UIDVALIDITY */
	enum item_state state;
	unsigned reason;
	uint64_t size;                     /* bytes received */
	unsigned char digest[DIGEST_SIZE]; /* SHA-256 of the bytes received; zero when none were */
	unsigned char sent[DIGEST_SIZE];   /* of the bytes sent, where repaired; else zero */
	unsigned steps;                    /* ladder, a bit each */
	int64_t received;                  /* as at the source; ITEM_DATE_NONE */
	unsigned flags;                    /* as last written to the target */
	char *keywords;                    /* likewise; NULL = none */
	uint32_t target_uid;               /* 0 = not known */
	unsigned round;
	unsigned gone_round; /* 0 = still at the source when last looked */
	char *text;          /* for failed, held: what the report says; else NULL */
};
/* Queued. Inserts rows. A row of the same UID is replaced, unless it says that the item lies on
 * the target (landed, verified, adopted) and the new one does not. Copies all. */
void ledger_items_put(
	struct ledger *ledger, uint64_t folder, const struct ledger_item *items, size_t count);
/* Queued. The row of `from` goes and this one comes, in one transaction. */
void ledger_item_move(struct ledger *ledger, uint64_t from, uint32_t from_uid, uint64_t to,
	const struct ledger_item *item);
/* reads; rows with first <= uid <= last, ascending, at most max (0 = all). */
int ledger_items(struct ledger *ledger, uint64_t folder, uint32_t first, uint32_t last, size_t max,
	struct ledger_item **items_r, size_t *count_r, struct err *err);
void ledger_items_free(struct ledger_item *items, size_t count);
/* Queued. */
void ledger_items_remove(struct ledger *ledger, uint64_t folder, const struct uidset *uids);
void ledger_items_gone(
	struct ledger *ledger, uint64_t folder, const struct uidset *uids, unsigned round);
void ledger_item_flags(
	struct ledger *ledger, uint64_t folder, uint32_t uid, unsigned flags, const char *keywords);
void ledger_item_target(struct ledger *ledger, uint64_t folder, uint32_t uid, uint32_t target_uid);
/* reads; target UIDs above `bound` of rows in the folder that have landed, as a set, and how many
 * landed rows have none. For all ledger folders of the account with this target_key. */
int ledger_target_uids(struct ledger *ledger, uint64_t account, const char *target_key,
	uint32_t bound, struct uidset *uids_r, uint64_t *without_r, struct err *err);

/* Rows for lists and reports, streamed: fn returns 0 to go on. state 0 = any. */
typedef int ledger_item_fn(void *context, const struct ledger_account *account,
	const struct ledger_folder *folder, const struct ledger_item *item);
int ledger_each_item(struct ledger *ledger, uint64_t account, enum item_state state,
	ledger_item_fn *fn, void *context, struct err *err);

/* How many items of the account are in that state, by reason; state as for ledger_each_item(), not
 * landed or verified. reads; free() the list. */
struct ledger_reason {
	unsigned reason;
	uint64_t count;
};
int ledger_reasons(struct ledger *ledger, uint64_t account, enum item_state state,
	struct ledger_reason **reasons_r, size_t *count_r, struct err *err);
/* As ledger_each_item(): landed items that have a reason. */
int ledger_each_remark(struct ledger *ledger, uint64_t account, ledger_item_fn *fn, void *context,
	struct err *err);

/* What has changed since the last manifest that was confirmed, in the order of folders (of very
 * many changes, of each piece of them, a later one being the newer): the folder (item NULL, uid 0),
 * an item as it is now, or an item that is no more (item NULL). fn returns 0 to go on. *up_to_r is
 * for ledger_manifest_done(), and as `after` of a later call it leaves out what this one told; 0:
 * tell all. reads. */
typedef int ledger_change_fn(void *context, const struct ledger_account *account,
	const struct ledger_folder *folder, uint32_t uid, const struct ledger_item *item);
int ledger_each_change(struct ledger *ledger, uint64_t after, ledger_change_fn *fn, void *context,
	uint64_t *up_to_r, struct err *err);
/* A manifest: its file's name and the SHA-256 of all its bytes, in hex. Empty: none yet. */
struct ledger_manifest {
	char name[96];
	char sha256[DIGEST_SIZE * 2 + 1];
};
int ledger_manifest_last(
	struct ledger *ledger, struct ledger_manifest *last_r, struct err *err); /* reads */
/* The manifest with all changes up to there is in its place; waits until durable. */
int ledger_manifest_done(struct ledger *ledger, const struct ledger_manifest *manifest,
	uint64_t up_to, struct err *err);

/* Batches: the intents. A row exists from the intent until its result. */
struct ledger_entry {
	uint32_t uid;
	bool streaming; /* sent while it arrived: only size and heads are known */
	uint64_t size;  /* of the bytes to be sent */
	unsigned char exact[DIGEST_SIZE], canonical[DIGEST_SIZE],
		head[DIGEST_SIZE];                  /* to be sent */
	unsigned char canonical_head[DIGEST_SIZE];  /* likewise, where streaming; else zero */
	unsigned char received_digest[DIGEST_SIZE]; /* of the bytes received */
	uint64_t received_size;
	int64_t received;        /* the date sent */
	int64_t source_received; /* the date the source has */
	unsigned flags;
	char *keywords;
	unsigned steps, attempt, reason;
};
struct ledger_batch {
	uint64_t id, folder;         /* ledger folder */
	uint32_t uidvalidity, bound; /* of the target folder */
	int64_t intended;            /* wall time */
	struct ledger_entry *entries;
	size_t count;
};
/* Queued: records that the batch is about to be sent; read back after a crash. *ticket_r for
 * ledger_wait(): durable before the first byte leaves; it is that call which makes haste. Copies
 * all. batch->id is ignored, *id_r is the new one at once. */
int ledger_intend(struct ledger *ledger, const struct ledger_batch *batch, uint64_t *id_r,
	uint64_t *ticket_r, struct err *err);
/* Queued: in one transaction the items' end states and the end of the batch row. Items of the batch
 * that are not named have no state and will be found and sent again (they were surely not stored).
 */
void ledger_result(struct ledger *ledger, uint64_t batch, uint64_t folder,
	const struct ledger_item *items, size_t count);
/* reads; the account's batches without a result, ordered by folder, id. Of a batch that was
 * answered in part, items whose rows say that they lie on the target are left out. */
int ledger_doubts(struct ledger *ledger, uint64_t account, struct ledger_batch **batches_r,
	size_t *count_r, struct err *err);
void ledger_batches_free(struct ledger_batch *batches, size_t count);

/* Acts (subscriptions, later provisioning, rights, letters). Queued. */
enum act_state { ACT_PLANNED, ACT_DOING, ACT_DONE, ACT_FAILED, ACT_HELD };
void ledger_act(struct ledger *ledger, uint64_t account, const char *kind, const char *key,
	enum act_state state, bool existed, const char *reason);
/* reads: the state, or -1 where there is no such row. */
int ledger_act_state(struct ledger *ledger, uint64_t account, const char *kind, const char *key);

/* What the admin should know: repaired dates, renames, late doubles, collisions, gone folders. */
enum event_kind { EVENT_NOTE, EVENT_WARNING, EVENT_ERROR };
struct ledger_event {
	uint64_t id, account, run; /* account 0: of the run */
	int64_t time;
	enum event_kind kind;
	enum err_code code;
	char *folder, *text; /* folder may be NULL */
};
void ledger_event(struct ledger *ledger, uint64_t account, const char *folder, enum event_kind kind,
	enum err_code code, const char *text); /* queued; of the current run */
int ledger_events(struct ledger *ledger, uint64_t account, uint64_t after, size_t max,
	struct ledger_event **events_r, size_t *count_r, struct err *err); /* account 0: all */
/* reads; of one account, not before `since`: the newest `max` of them, oldest first. */
int ledger_account_events(struct ledger *ledger, uint64_t account, int64_t since, size_t max,
	struct ledger_event **events_r, size_t *count_r, struct err *err);
void ledger_events_free(struct ledger_event *events, size_t count);

/* Totals; reads, cheap (counters). account 0: all. */
int ledger_totals(
	struct ledger *ledger, uint64_t account, struct ledger_counts *counts_r, struct err *err);
/* Open batches of the account (0: all): rows in doubt. */
int ledger_open_batches(struct ledger *ledger, uint64_t account, uint64_t *batches_r,
	uint64_t *items_r, struct err *err);

/* Commands of the admin; each waits until durable and tells what it changed. account_glob matches
 * source_user (NULL = all). A closed account that loses rows waits again. */
struct ledger_changes {
	uint64_t items;
	uint64_t accounts; /* that had failed as a whole */
};
/* Failed rows go, and accounts that failed are open again; reason 0 = any. */
int ledger_retry(struct ledger *ledger, const char *account_glob, unsigned reason,
	struct ledger_changes *changes_r, struct err *err);
/* as: ITEM_LANDED, ITEM_SKIPPED; 0 = send again */
int ledger_resolve_held(struct ledger *ledger, const char *account_glob, enum item_state as,
	struct ledger_changes *changes_r, struct err *err);

/* The longest answer to a batch a host ever took (ms), for settle_wait. */
void ledger_host_answer(struct ledger *ledger, const char *host, unsigned ms); /* queued */
unsigned ledger_host_longest(struct ledger *ledger, const char *host);         /* 0 = not known */

/* What the last run that copied anything brought while its mailboxes were at work, their times
 * added up: so the speed of one mailbox beside others. ms 0: no run has copied yet. */
struct ledger_speed {
	uint64_t bytes, items, ms;
};
void ledger_speed_put(struct ledger *ledger, const struct ledger_speed *speed); /* queued */
int ledger_speed_get(
	struct ledger *ledger, struct ledger_speed *speed_r, struct err *err); /* reads */

#endif
