/* reader_private.h - what the files of the reader share: its operations and its state. What
 * parts.c keeps aside, all of it belongs to one thread, a lane's reader. */
#ifndef ENGINE_READER_PRIVATE_H
#define ENGINE_READER_PRIVATE_H

#include "engine/job.h"

#define SCAN_MESSAGES 5000u /* a window aims at that many */

enum op_kind {
	OP_SCAN,
	OP_AT_ONCE,
	OP_CHANGES, /* of known messages: flags that have changed, what has gone */
	OP_UIDS,    /* which of the known messages are there */
	OP_FETCH,
	OP_MISSING /* asked for and not given: are they still listed? */
};

struct scanned {
	uint32_t uid;
	uint64_t size;
	int64_t received;
	unsigned flags;
	char *keywords;
};

struct op {
	struct op *next;
	enum op_kind kind;
	struct work_folder *folder;
	struct uidset set; /* asked for; OP_FETCH: less what has come */
	size_t ranges;     /* as asked for */
	uint64_t bytes;
	bool single; /* asked for alone after a refusal */
	bool whole;  /* kept, however large */
	bool behind; /* a list behind its folder's last range: not counted as a scan */
	struct scanned *scanned;
	size_t scanned_count, scanned_cap;
	struct fetch_since since; /* OP_CHANGES */
};

struct reader {
	struct job *job;
	struct lane *lane;
	struct op *first, **last;
	size_t op_count, scans, fetches;
	uint64_t bytes_in_flight;
	size_t ranges_in_flight;
	size_t first_open;   /* of the lane's folders: all before it are read */
	struct batch *batch; /* being filled */
	struct work_folder *batch_folder;
	uint64_t batch_most; /* bytes of the one being filled, unless a message alone has more */
	bool batch_alone;
	int64_t spoke_ms; /* with the source */
};

/* fill.c: messages into batches, batches to the writer. */
/* Blocks while the queue is full. Takes *work in any case. */
int fill_hand_over(struct reader *r, struct work **work, uint64_t weight, struct err *err);
/* The batch being filled leaves, if there is one. */
int fill_flush(struct reader *r, struct err *err);
/* Takes the message. */
int fill_add(struct reader *r, struct work_folder *wf, struct message **message, struct err *err);
void fill_put_failed(struct job *job, struct work_folder *wf, const struct item *item,
	uint64_t size, enum item_state state, unsigned reason, const char *text);

/* scan.c: what was listed against what the ledger has. */
void scan_add(struct op *op, const struct item *item);
/* All of op was listed. */
int scan_end(struct reader *r, struct op *op, struct err *err);
/* A window of the folder has come to its end, whatever came of it. */
void scan_window_ended(struct reader *r, struct work_folder *wf);
/* All of the folder is known now. */
void scan_counted(struct reader *r, struct work_folder *wf);
void scan_tell_counted(struct job *job);
void scan_sum_up(struct work_folder *wf);
uint64_t scan_rows_of(const struct ledger_counts *counts);
bool scan_only_listed(const struct work_folder *wf);
void scan_go_through_known(struct work_folder *wf, enum look_known how);

/* parts.c: what is to be fetched of a folder. All lock. */
/* A folder whose parts are to be taken now: scanned first, or at once. */
void part_begin(struct job *job, struct work_folder *wf, bool at_once);
/* The next part of the lane's folders, as an operation that counts as on its way, or NULL: there is
 * none now. */
struct op *part_take(const struct reader *r);
/* Likewise of a folder that another lane has. */
struct op *part_take_of_others(const struct reader *r);
/* An operation that is no part; part_ended() for each. */
void part_count(const struct reader *r, struct work_folder *wf);
void part_ended(const struct reader *r, struct work_folder *wf);
/* In a folder that was not scanned. False: had come before. */
bool part_given(const struct reader *r, struct work_folder *wf, const struct message *message);
/* To be asked for once more, by the lane that has the folder. */
void part_again(const struct reader *r, struct work_folder *wf, const struct uidset *set);
/* A range was refused. */
void part_scan_instead(const struct reader *r, struct work_folder *wf);
void part_add_todo(const struct reader *r, struct work_folder *wf, uint32_t uid, uint64_t size);
/* All of it is scanned, or cannot be. */
void part_no_more(const struct reader *r, struct work_folder *wf);
/* A folder is scanned when it is not in doubt, and what came at once has come. */
bool part_may_scan(const struct reader *r, const struct work_folder *wf);
bool part_is_read(const struct reader *r, const struct work_folder *wf);
/* All that may be asked for now of the lane's folders is. */
bool part_all_asked(const struct reader *r);
/* What a reader with nothing on its way has to expect; job->lock is held. */
enum part_wait { PART_NONE, PART_LATER, PART_READY };
enum part_wait part_wait(const struct reader *r);

#endif
