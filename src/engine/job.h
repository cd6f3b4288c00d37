/* job.h - one user's move: the parts of the engine that work on it share these shapes.
 *
 * A job makes attempts. An attempt opens both sides, plans, settles what an earlier end left in
 * doubt, and copies, over one pair of connections or several (struct lane): the reader's thread
 * owns the source session, the writer's (of the first pair: the worker's own) the target session;
 * between them is a queue of batches whose intents the ledger has. Whatever breaks a link ends the
 * attempt, and the next one begins like after a crash: there is one way back, and it is always the
 * same. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include "base/queue.h"
#include "connector/connector.h"
#include "engine/engine_private.h"
#include "engine/ledger/ledger.h"
#include "engine/match.h"
#include "engine/plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Content that servers are known to refuse. */
#define TRAITS_SUSPECT                                                                             \
	(TRAIT_NUL | TRAIT_BARE_LF | TRAIT_BARE_CR | TRAIT_8BIT_HEADER | TRAIT_NO_HEADER |         \
		TRAIT_BAD_HEADER)

/* How to log in at one side, and the live session with the one thread that owns it. */
struct side {
	bool is_source;
	bool is_further; /* of a lane beside the first */
	const struct connector *c;
	struct endpoint endpoint;
	char *login; /* owned; endpoint.login or NULL */
	struct session *session;
	struct cancel *cancel;
	/* Its last login was refused for the sake of others, whom that host serves: no fault of
	 * this account. */
	bool turned_away;
};

/* A message still to be fetched. */
struct todo {
	uint32_t uid;
	uint64_t size;
};

/* How much of a source folder has to be asked for: see seen.c. */
enum look_at {
	LOOK_ALL,     /* every message's UID, flags, date and size */
	LOOK_CHANGES, /* what is new, what has other flags, what has gone */
	LOOK_NOTHING
};

enum look_known { KNOWN_CHANGES, KNOWN_UIDS, KNOWN_SCAN };

/* A folder at work. */
struct work_folder {
	/* Fixed once the copying starts. */
	const struct plan_folder *plan;
	struct folder source, target; /* the plan's, with the values expected */
	struct ledger_folder row;     /* owned strings; counters as at the attempt's start */
	bool fresh;                   /* the ledger had no row of it, under no UIDVALIDITY */

	/* Its lane's reader's. */
	bool begun;
	/* A folder of which nothing is known yet is fetched by ranges of UIDs, sizes unseen; what
	 * it holds is listed behind that, and what did not come is fetched like any other. */
	bool at_once;
	uint32_t at_once_width; /* of a range */
	uint64_t at_once_bytes; /* likewise, as estimated */

	enum look_at look;
	/* Of LOOK_CHANGES: messages below row.seen.uidnext, and those from there on. */
	enum look_known known_how;
	uint32_t known_uid; /* next to ask for; 0 = nothing */
	uint32_t known_width;
	uint64_t missing;    /* that the server told as gone, and the ledger had as there */
	uint64_t new_listed; /* from row.seen.uidnext on */
	/* Of those that the list of folders counted: were listed, above and below that UID. */
	uint64_t counted_new, counted_known;
	/* Listed, asked for and not given: looked for again in the next round. */
	atomic_bool some_vanished;
	bool strange; /* what was told is not what the ledger knows */

	uint32_t scan_uid; /* next to scan; 0 = nothing to scan */
	uint32_t scan_end; /* the last UID there is, as the server tells */
	uint32_t scan_width;
	unsigned scans;      /* in flight */
	atomic_bool scanned; /* to its end; what was found is fixed then */
	uint64_t new_items, new_bytes, known_items, known_bytes; /* by this scan */
	struct err err; /* the source refuses this folder */

	/* Its lane's writer's; before and after the copying, and what is in doubt: the worker's. */
	int64_t second_look_ms; /* when it is due; 0 = none */
	struct doubt *doubt;    /* what is being settled, or NULL */
	struct doubt *watched;  /* was sent again after a look: looked for at the end */
	bool was_in_doubt;      /* rows were settled by this attempt */
	bool not_carried;       /* flags that a later round has to look at again */

	/* Shared: hold job->lock. */
	struct lane *lane; /* has taken it; or NULL */
	bool in_doubt;     /* the reader leaves it alone */
	uint32_t bound;    /* no message of an intent made from now on lies at or below it */
	/* UIDs that this attempt's messages have on the target. Who searches the folder reads them
	 * without the lock, after part_keep_whole(). */
	struct uidset ours;
	size_t shared; /* messages that share their UID there with another one */
	/* What is to be fetched of it, and by whom: parts.c. */
	bool divisible;       /* by any lane */
	bool divided;         /* other lanes have taken some */
	bool more;            /* there will be more than there is now */
	unsigned ops, away;   /* operations in flight; those of other lanes */
	uint32_t at_once_uid; /* where the next range begins; 0 = all were asked for */
	bool at_once_failed;  /* a range was refused: all is scanned */
	struct uidset given;  /* came at once */
	struct todo *todo;    /* scanned, not yet asked for; ascending */
	size_t todo_count, todo_next, todo_cap;
	uint64_t todo_bytes;
	struct uidset again; /* refused within a set: asked for once more, one by one */
};

/* A change of flags to be carried to the target. */
struct flag_change {
	uint32_t uid, target_uid;
	unsigned old_flags, new_flags;
	char *old_keywords, *new_keywords;
	bool keywords_lost; /* the target did not take its keywords */
};

/* What the reader hands to the writer: a batch, or flag changes of one folder. */
struct work {
	struct work_folder *folder;
	struct batch *batch; /* or NULL */
	struct flag_change *changes;
	size_t change_count;
};
void work_free(void *work);

/* Messages of a source folder that cannot go as all others do. The list is the account's, since it
 * outlives the attempt; hold job->lock. */
enum care {
	CARE_ALONE, /* its batch was answered with BAD: alone, with synchronising literals */
	CARE_WHOLE, /* refused while it was streamed: kept whole, so that it can be repaired */
	CARE_KINDS
};
struct care_list {
	char *source_key;
	struct uidset uids[CARE_KINDS];
	struct care_list *next;
};

/* A pair of connections that copies: its reader's thread owns the source session, its writer's the
 * target session, and between them is a queue. Folders are taken one after the other, each by one
 * lane unless it is very large, so that the target keeps the order of the source. */
struct lane {
	struct job *job;
	struct side source, target;
	int64_t opened_ms;
	_Atomic uint64_t memory; /* bounds the bytes in memory that the target has not answered */
	struct queue *queue;
	struct reader *reader; /* reader.c */

	/* The reader's: what it has taken. */
	struct work_folder **folders;
	size_t folder_count, folder_cap;
	atomic_bool leaves;       /* a further lane that takes no more: its slots are wanted back */
	atomic_size_t todo_ahead; /* of its folders, scanned and not yet asked for */

	/* Shared: hold job->lock. */
	bool stop_reading;     /* the writer wants the reader to end */
	struct err reader_err; /* code ERR_NONE: none */
};

struct job {
	/* Fixed once it runs. */
	struct local *local;
	struct account *account;
	const struct engine_config *config;
	const struct profile_run *run;
	struct ledger *ledger;
	struct log *log;
	const char *name; /* the source user, for log lines */
	bool readonly;    /* dry run or check: nothing is written on either side */

	struct lane main;           /* its writer is the worker's thread */
	struct lanes *lanes;        /* further ones, or NULL: lanes.c */
	struct batch_limits limits; /* of the target session */
	unsigned target_caps;

	/* This attempt's, fixed while the reader runs. */
	struct folder_list source_folders, target_folders;
	struct plan plan;
	struct work_folder *folders;
	size_t folder_count;
	struct subscribing *subscribing; /* subscribe.c */

	atomic_bool stopped;     /* this attempt ends early; see job_stopping() */
	atomic_bool broken;      /* a lane has failed: all come to rest */
	atomic_bool restart;     /* this attempt comes to rest and another follows at once */
	atomic_bool remarks;     /* something was refused that is no item: not simply done */
	_Atomic uint64_t landed; /* by this attempt; tells whether an attempt got on */
	_Atomic uint64_t landed_bytes;
	_Atomic uint64_t landed_batches;

	/* Shared: hold `lock`, never across network, disk or drawing. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct err broke;      /* why it is broken */
	size_t next_folder;    /* all before it are taken */
	unsigned taken_traits; /* content the target has taken before (enum content_trait) */
};

/* job.c */
/* Runs one account to an end, a wait or a stop. On return the account's state is set. */
void job_run(struct job *job);
bool job_stopping(struct job *job); /* the admin wants it to pause, stop or be skipped */
void job_note(struct job *job, const char *folder, enum event_kind kind, enum err_code code,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* An error that is no account's own: of the run, and told once. */
void job_note_host(struct job *job, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
unsigned job_settle_wait(struct job *job);
void job_take_care(struct job *job, enum care care, const char *source_key, uint32_t uid);
bool job_takes_care(struct job *job, enum care care, const char *source_key, uint32_t uid);
/* Likewise, job->lock is held. */
bool job_takes_care_locked(
	const struct job *job, enum care care, const char *source_key, uint32_t uid);
bool job_takes_any_care(struct job *job, const char *source_key);

/* side.c */
void side_init(struct job *job, struct side *side, bool source);
/* Logs in as the host's pace allows: waits out its back-off, and does not try where logins are
 * not tried any more. What comes of it counts for all accounts of that host. */
int side_open(struct job *job, struct side *side, const _Atomic uint64_t *memory, struct err *err);
/* All its folders, into a list that is empty or not yet made. */
int side_list(struct side *side, struct folder_list *list, struct err *err);
void side_close(struct side *side, bool patient);
void side_clear(struct side *side);

/* folders.c: the ledger's rows of the planned folders, renames, new UIDVALIDITYs. */
int folders_prepare(struct job *job, struct err *err);
/* What is there and not ours is refused, or left alone and added to, as the profile says; a folder
 * of ours that is gone is not made again. rows: the ledger's, of this account: a folder that it has
 * is ours, and so is one that another of its folders went into. */
int folders_judge(const struct job *job, const struct plan_folder *pf,
	const struct ledger_folder *rows, size_t count, struct err *err);
void folders_clear(struct job *job);

/* seen.c: what of a source folder has to be asked for. */
/* By what the server told of it and what the ledger remembers; to be taken back by seen_look_all()
 * where something else speaks against it. */
enum look_at seen_look(
	const struct job *job, const struct folder *now, const struct ledger_folder *row);
/* The same numbers as before the last complete pass. */
bool seen_unchanged(const struct folder *now, const struct ledger_seen *seen);
/* Writes down for all folders that were read to their end what the list of folders told of them;
 * after all work of the attempt was handed to the ledger. */
void seen_keep(struct job *job);

/* left.c: what is still to be copied. */
/* Why the profile leaves a message out, or REASON_NONE. */
unsigned left_out_reason(const struct profile_run *run, int64_t received, uint64_t size);
/* Lists all planned folders of the source: fills left, left_bytes, too_large, large, and the bytes
 * of folders that came without. rows: the ledger's, of this account. */
int left_list(struct job *job, struct check_account *check, const struct ledger_folder *rows,
	size_t row_count, struct err *err);
/* left and left_bytes without asking, by the numbers that the folders came with; not known where
 * the profile leaves messages out by date or size, or sizes are not told. */
void left_sum(const struct job *job, struct check_account *check, const struct ledger_folder *rows,
	size_t row_count);
bool left_sizes_told(const struct job *job); /* of all planned folders */
/* Bytes, by the numbers that the folders came with, which some servers do not tell; after
 * folders_prepare(). */
uint64_t left_at_most(const struct job *job);

/* subscribe.c: all asked for before the first message goes; the answers are taken with others, or
 * at the end. */
int subscribe_begin(struct job *job, struct err *err);
int subscribe_end(struct job *job, struct err *err);
void subscribe_clear(struct job *job);

/* lane.c */
/* Both sides, not connected. */
void lane_init(struct lane *lane, struct job *job);
void lane_clear(struct lane *lane);
/* Logs in on both sides at once; lists (NULL: not asked for): all folders of each. */
int lane_open(
	struct lane *lane, struct folder_list *source, struct folder_list *target, struct err *err);
void lane_close(struct lane *lane);
bool lane_is_old(const struct lane *lane); /* older than one of its sides wants connections to be */
/* Copies until no folder is left for it, by this thread and one of its own. What fails breaks the
 * attempt, and so does what has broken it: then -1. */
int lane_copy(struct lane *lane, struct err *err);

/* lanes.c: further lanes for an account with much to copy, in slots that nobody else wants. */
/* Begins to connect them; after the folders have their plan and source. */
void lanes_begin(struct job *job);
/* True: a lane takes no more than keeps it busy, since others may want some. */
bool lanes_share(const struct job *job);
/* True: there are others now. */
bool lanes_many(const struct job *job);
/* Bytes that a lane which shares asks for at once. */
uint64_t lanes_window(const struct job *job);
/* Now and then by the worker's thread, while it copies: adds one if that seems to pay. */
void lanes_look(struct job *job);
/* The next folder, or NULL: none is left for this lane. By its reader's thread. */
struct work_folder *lanes_take(struct lane *lane);
/* Likewise one that may come at once, for the first lane, before any may copy. */
struct work_folder *lanes_take_ahead(struct lane *lane);
/* True: it is so large that lanes without a folder of their own take parts of it. */
bool lanes_may_divide(const struct job *job, const struct work_folder *wf);
/* What is not asked for yet, in bytes; job->lock is held. */
uint64_t lanes_left_of(const struct work_folder *wf);
void lanes_go(struct job *job);  /* they may copy; what is not connected yet follows */
void lanes_end(struct job *job); /* waits for all; those that do not copy yet never do */

/* reader.c */
/* Makes the lane's reader; freed by reader_free(), which closes nothing: what was asked for is
 * still on its way. */
void reader_new(struct lane *lane);
void reader_free(struct lane *lane);
/* Asks for the first messages of folders that the ledger does not know, before the target is ready
 * for them. By the worker's thread, which leaves the source session alone afterwards. */
int reader_ahead(struct lane *lane, struct err *err);
void *reader_thread(void *lane); /* closes the queue at its end */
bool reader_may_come_at_once(struct job *job, const struct work_folder *wf);

/* parts.c */
/* No other lane takes parts of it any more. False: one has. */
bool part_keep_whole(struct job *job, struct work_folder *wf);

/* intent.c */
/* Queues the intent of a batch for that folder, with the bound of now; fills id, ticket, bound. */
int intend(struct job *job, struct work_folder *wf, struct batch *batch, struct err *err);
/* Takes the intent back: not a byte of the batch has left. */
void intend_not(struct job *job, const struct batch *batch);
/* The ledger's row of a message of a batch; strings are borrowed from the entry. */
void intent_item(const struct job *job, const struct store_entry *entry, enum item_state state,
	unsigned reason, struct ledger_item *item_r);
/* What the writer sent, as the matching wants it. */
void intent_match_row(const struct store_entry *entry, struct match_row *row_r);
void intent_entry_row(const struct ledger_entry *entry, struct match_row *row_r);

/* writer.c */
/* Sends what the reader hands over until the queue is closed and empty. Any thread's error ends it;
 * a link error leaves what was unanswered in doubt. */
int writer_run(struct lane *lane, struct err *err);
void writer_say_shared(struct job *job); /* after the end of all lanes */

/* look.c: what lies on the target, by the writer's thread with nothing in flight. */
enum look_what { LOOK_META, LOOK_DIGESTS };
/* Messages of the target folder with UID > above, without those in `without` (NULL = none),
 * ascending. listed_r (may be NULL): all UIDs above, the left out ones too. */
int look_above(struct lane *lane, const struct folder *folder, uint32_t above,
	const struct uidset *without, enum look_what what, struct match_found **found_r,
	size_t *count_r, struct uidset *listed_r, struct err *err);

/* The digests of those UIDs, ascending; what is not there (any more) is not among them. */
int look_digests(struct lane *lane, const struct folder *folder, const struct uidset *uids,
	struct match_found **found_r, size_t *count_r, struct err *err);

/* settle.c */
/* Batches in doubt of a ledger folder that is not worked on under its old terms any more (gone, or
 * with another UIDVALIDITY at the source): both looks at its target folder, waited for here. */
int settle_stale(struct job *job, const struct ledger_folder *row, const struct folder *target,
	struct err *err);
/* First look at every folder with batches in doubt. */
int settle_begin(struct job *job, struct err *err);
/* Second looks that are due (all = wait for those that are not). *left_r: folders still waiting. */
int settle_continue(struct job *job, bool wait, size_t *left_r, struct err *err);
/* Late doubles of folders whose absent rows were sent again. */
int settle_watch(struct job *job, struct err *err);
/* True while folders wait for their second look; *due_r: clock_ms() of the next. */
bool settle_pending(const struct job *job, int64_t *due_r);
void doubt_free(struct doubt **doubt);
void settle_keep_watched(struct job *job);

/* flags.c */
int flags_apply(struct lane *lane, struct work *work, struct err *err);

/* rows.c: the ledger's rows of a folder, in windows. */
/* 0 to go on, -1 with *err. The row is borrowed; it may be changed. */
typedef int row_fn(void *context, struct ledger_item *row, struct err *err);
int rows_each(struct job *job, uint64_t folder, row_fn *fn, void *context, struct err *err);
/* All rows: gone at the source in that round (0: there again). */
int rows_mark_gone(struct job *job, uint64_t folder, unsigned round, struct err *err);

/* rematch.c */
int rematch_source(
	struct job *job, struct work_folder *wf, const struct ledger_folder *old, struct err *err);
int rematch_target(
	struct job *job, struct work_folder *wf, uint32_t new_uidvalidity, struct err *err);

#endif
