/* reader_private.h - what the files of the reader share: its operations and its state. All of it
 * belongs to one thread, a lane's reader. */
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
	size_t todo_ahead;
	size_t first_open;   /* of the lane's folders: all before it are read */
	struct batch *batch; /* being filled */
	struct work_folder *batch_folder;
	uint64_t batch_most; /* bytes, unless a message alone has more */
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

#endif
