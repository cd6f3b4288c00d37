/* ledger_private.h - what the files of the SQLite ledger share.
 *
 * db.c       one connection: statements kept by their text, errors made clear
 * schema.c   the tables, their versions, the endpoints a ledger is bound to
 * sqlite.c   opening, the writing thread and its queue, the pool of reading connections
 * run.c      runs, rounds, accounts, acts, events, hosts: what is written
 * folder.c   folders and their counters
 * items.c    items and batches: what is written
 * changes.c  what has changed since the last manifest
 * admin.c    the commands of the admin
 * read.c, rows.c  what is read
 * blob.c     a batch's entries as one blob
 * reason.c   the names of states and reasons */
#ifndef ENGINE_LEDGER_LEDGER_PRIVATE_H
#define ENGINE_LEDGER_LEDGER_PRIVATE_H

#include "engine/ledger/ledger.h"

#include <pthread.h>
#include <sqlite3.h>

#define DB_STATEMENTS 96 /* different statements one connection keeps */

/* One connection; one thread at a time. */
struct db {
	sqlite3 *handle;
	const char *path; /* for texts; borrowed */
	struct {
		const char *sql;
		sqlite3_stmt *stmt;
	} kept[DB_STATEMENTS];
	size_t kept_count;
};

enum db_access { DB_READ, DB_WRITE, DB_MEMORY };

int db_open(struct db *db, const char *path, enum db_access access, struct err *err);
void db_close(struct db *db);
/* Fills *err from what SQLite says: the cause first, then the path. Returns -1. */
int db_fail(struct db *db, int rc, const char *doing, struct err *err);
/* "damaged" with a text of ours. Returns -1. */
int db_damaged(const struct db *db, const char *what, struct err *err);
/* doing: "open", "write", for the text. */
int db_exec(struct db *db, const char *doing, const char *sql, struct err *err);
/* The statement of `sql`, which must be a constant: it is known again by its address. Reset, with
 * no values bound. The db owns it. */
int db_prepare(struct db *db, const char *sql, sqlite3_stmt **stmt_r, struct err *err);
/* 1 a row, 0 the end (the statement is reset), -1 failure (likewise). */
int db_step(struct db *db, sqlite3_stmt *stmt, struct err *err);
/* Steps to the end, ignoring rows. */
int db_run(struct db *db, sqlite3_stmt *stmt, struct err *err);
/* One that gives no rows. 1: done; 0: a row of that key is there, and nothing was done; -1. */
int db_try(struct db *db, sqlite3_stmt *stmt, struct err *err);
/* A value of the table meta; *value_r, the caller's, is NULL where it was not noted. */
int meta_get(struct db *db, const char *key, char **value_r, struct err *err);
int meta_put(struct db *db, const char *key, const char *value, struct err *err);
/* The first column of the first row; fallback where there is none or it is NULL. */
int db_number(struct db *db, const char *sql, int64_t fallback, int64_t *value_r, struct err *err);

/* Values. What is bound must live until the statement is run. A failure is a BUG. */
void bind_int(sqlite3_stmt *stmt, int at, int64_t value);
void bind_u64(sqlite3_stmt *stmt, int at, uint64_t value);    /* held to INT64_MAX */
void bind_text(sqlite3_stmt *stmt, int at, const char *text); /* NULL is fine */
void bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t len);
void bind_digest(sqlite3_stmt *stmt, int at, const unsigned char *digest); /* zero as NULL */
uint64_t column_u64(sqlite3_stmt *stmt, int at);                           /* negative as 0 */
unsigned column_unsigned(sqlite3_stmt *stmt, int at);                      /* held to UINT_MAX */
uint32_t column_u32(sqlite3_stmt *stmt, int at);
char *column_strdup(sqlite3_stmt *stmt, int at); /* NULL for NULL */

/* schema.c. Creates or migrates (writer), or only checks (reader). */
int schema_open(struct db *db, enum db_access access, struct err *err);

/* bind.c. Against what the ledger was made with; noted where it is new. */
int bind_endpoints(struct db *db, const struct ledger_binding *binding, enum ledger_mode mode,
	struct err *err);

/* Changes to counters that wait for the end of an operation. */
struct delta {
	int64_t found, bytes_found;
	int64_t by_state[ITEM_STATES];
	int64_t bytes_landed, gone, repaired;
};

/* What an open transaction adds to a round. */
struct round_delta {
	unsigned round;
	int64_t copied, bytes;
};

/* What it has changed of a folder. */
enum change_kind { CHANGE_FOLDER, CHANGE_WRITTEN, CHANGE_REMOVED, CHANGE_KINDS };
struct changes {
	uint64_t folder;
	bool row;
	struct uidset uids[CHANGE_KINDS];
};

/* Runs in the writing thread inside a transaction. -1: the ledger has failed. */
struct op;
typedef int op_fn(struct ledger *ledger, struct op *op, struct err *err);

/* An operation on its way to the writing thread: one block of memory, its payload behind it. */
struct op {
	struct op *next;
	uint64_t ticket;
	size_t weight;
	bool urgent; /* someone waits: do not linger for company */
	op_fn *apply;
};

/* One whose caller waits: it works on what lies in the caller's frame. */
struct call_op {
	struct op op;
	void *context;
};

struct ledger {
	/* Fixed once ledger_open() returns. */
	char *path;
	enum ledger_mode mode;
	pthread_t thread;
	/* The writing thread's. In LEDGER_MEMORY the readers use db as well, under memory_lock. */
	struct db db;
	bool dead;          /* a write has failed */
	uint64_t run;       /* the current one; 0 before ledger_run_begin() */
	struct delta total; /* of the open transaction; goes to the row of all folders */
	/* Of the open transaction as well: what rounds have copied, and what has changed. */
	struct round_delta *rounds;
	size_t round_count, round_cap;
	struct changes *changes;
	size_t change_count, change_cap;
	uint64_t stamp; /* of its rows of `change` */
	char *keywords; /* the list last interned, and its id */
	int64_t keywords_id;
	pthread_mutex_t memory_lock;
	/* Shared: hold `lock`, never across the disk. */
	pthread_mutex_t lock;
	pthread_cond_t work; /* there is something to write, or a reason to hurry */
	pthread_cond_t room; /* the queue got shorter */
	pthread_cond_t done; /* tickets were finished */
	struct op *head, **tail;
	size_t bytes;      /* of operations queued or at work */
	uint64_t queued;   /* the last ticket given */
	uint64_t taken;    /* the last ticket that the thread has taken */
	uint64_t finished; /* the last ticket committed, or dropped after a failure */
	int64_t commit_us; /* the last commit */
	bool urgent, closing, failed;
	struct err err; /* the first failure */
	uint64_t next_batch;
	/* Reading connections: hold `pool_lock`, never across the disk. */
	pthread_mutex_t pool_lock;
	pthread_cond_t pool_free;
	struct db *pool[8];
	size_t pool_idle, pool_open;
};

/* A block for an operation of `size` bytes (struct op first) with `extra` bytes behind it. */
void *op_new(size_t size, size_t extra, op_fn *apply);
size_t op_text_size(const char *text);         /* with its end; 0 for NULL */
char *op_text(char **spare, const char *text); /* copies to *spare and moves that on */
/* Takes the operation. Blocks while the queue is full. The ticket, or 0: the ledger has failed. */
uint64_t ledger_send(struct ledger *ledger, struct op **op);
/* Sends a struct call_op and waits until it is durable. */
int ledger_call(struct ledger *ledger, op_fn *apply, void *context, struct err *err);

/* A connection to read with; never two at a time in one thread. */
int ledger_borrow(struct ledger *ledger, struct db **db_r, struct err *err);
void ledger_return(struct ledger *ledger, struct db **db);

/* items.c: reads an item's columns for the counters; see ITEM_DELTA_COLUMNS. */
#define ITEM_DELTA_COLUMNS "state, reason, steps, size, gone_round, round"
int delta_row(struct ledger *ledger, sqlite3_stmt *stmt, int at, struct delta *delta, int sign,
	struct err *err);

/* folder.c */
void delta_item(
	struct ledger *ledger, struct delta *delta, const struct ledger_item *item, int sign);
/* Adds to the folder's counters and, at the end of the transaction, to the sums. */
int delta_apply(struct ledger *ledger, uint64_t folder, const struct delta *delta, struct err *err);
int delta_finish(struct ledger *ledger, struct err *err);
bool item_on_target(enum item_state state);
/* The folder has to be looked at again, whatever its numbers say. */
int folder_unsee(struct ledger *ledger, uint64_t folder, struct err *err);

/* changes.c: what the next manifest has to list; written with the transaction. */
void change_note(struct ledger *ledger, uint64_t folder, enum change_kind kind, uint32_t first,
	uint32_t last);
int change_finish(struct ledger *ledger, struct err *err);
void change_clear(struct ledger *ledger);

/* blob.c: a batch's entries as bytes, with a version and a checksum. */
#define BLOB_MAX_BYTES   ((size_t)64 << 20)
#define BLOB_MAX_ENTRIES 1000000
struct str;
int blob_encode(struct str *out, const struct ledger_entry *entries, size_t count);
/* -1: damaged. */
int blob_decode(const void *bytes, size_t len, struct ledger_entry **entries_r, size_t *count_r);
void blob_entries_free(struct ledger_entry *entries, size_t count);
uint64_t blob_checksum(const void *bytes, size_t len);

/* rows.c: one row of a table as a struct. */
int row_item(struct db *db, sqlite3_stmt *stmt, struct ledger_item *item_r, struct err *err);
#define ROW_ITEM_COLUMNS                                                                           \
	"item.uid, item.state, item.reason, item.size, item.digest, item.sent, item.steps, "       \
	"item.received, item.flags, keywords.list, item.target_uid, item.round, "                  \
	"item.gone_round, item_text.text"
#define ROW_ITEM_TABLES                                                                            \
	"item LEFT JOIN keywords ON keywords.id = item.keywords "                                  \
	"LEFT JOIN item_text ON item_text.folder = item.folder AND item_text.uid = item.uid"
int row_folder(struct db *db, sqlite3_stmt *stmt, struct ledger_folder *folder_r, struct err *err);
#define ROW_FOLDER_COLUMNS                                                                         \
	"folder.id, folder.account, source_key, source_name, source_uidvalidity, "                 \
	"source_mailboxid, target_key, target_name, target_uidvalidity, target_bound, "            \
	"target_foreign, renamed_from, gone_round, scanned_round, rematch, seen_uidnext, "         \
	"seen_messages, seen_modseq, seen_settings, " ROW_COUNT_COLUMNS
#define ROW_FOLDER_TABLES "folder JOIN folder_count ON folder_count.folder = folder.id"
#define ROW_FOLDER_COUNTS 19 /* where the counters begin among the columns */
#define ROW_COUNT_COLUMNS                                                                          \
	"found, bytes_found, landed, verified, skipped, failed, held, vanished, adopted, "         \
	"bytes_landed, gone, repaired"
void row_counts(sqlite3_stmt *stmt, int at, struct ledger_counts *counts_r);
int row_account(
	struct db *db, sqlite3_stmt *stmt, struct ledger_account *account_r, struct err *err);
#define ROW_ACCOUNT_COLUMNS                                                                        \
	"id, source_user, source_host, target_user, target_host, state, round, reason, text, "     \
	"started, ended"
void account_clear(struct ledger_account *account);
void item_clear(struct ledger_item *item);
/* Makes room for one more at *rows (element size given); returns the new array. */
void *rows_grow(void *rows, size_t count, size_t *cap, size_t size);

/* Rows of an account's folders, and items: see ledger_each_item(). */
int account_read(
	struct ledger *ledger, uint64_t id, struct ledger_account *account_r, struct err *err);
int folder_read(
	struct ledger *ledger, uint64_t id, struct ledger_folder *folder_r, struct err *err);

/* read.c: as ledger_items(), of one state (0 = any); remarks: of it, those that have a reason. */
int items_read(struct ledger *ledger, uint64_t folder, uint32_t first, uint32_t last,
	enum item_state state, bool remarks, size_t max, struct ledger_item **items_r,
	size_t *count_r, struct err *err);

#endif
