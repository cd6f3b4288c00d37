/* read.c - what is read, with the caller's time and a connection of the pool.
 *
 * A connection is never kept over a call-back: lists are streamed in pieces, each a transaction of
 * its own, so that a slow reader neither holds back the writer's checkpoints nor needs memory. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define EACH_FOLDERS 256
#define EACH_ITEMS   1000

/* How one list is read: a function per row into an array. */
typedef int row_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err);

/* Steps through the statement. On failure what was read is still in *rows_r, for the caller to
 * free. A row that failed half-way counts, zeroed or owned. */
static int
rows_read(struct db *db, sqlite3_stmt *stmt, row_fn *row, size_t size, void **rows_r,
	size_t *count_r, struct err *err)
{
	char *rows = xcalloc(1, size); /* never NULL, so that NULL is never a list */
	size_t count = 0, cap = 1;
	int ret;

	while ((ret = db_step(db, stmt, err)) == 1) {
		rows = rows_grow(rows, count, &cap, size);
		memset(rows + count * size, 0, size);
		ret = row(db, stmt, rows + count * size, err);
		count++;
		if (ret < 0) {
			sqlite3_reset(stmt);
			break;
		}
	}
	*rows_r = rows;
	*count_r = count;
	return ret;
}

static int
account_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	return row_account(db, stmt, row_r, err);
}

static int
folder_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	return row_folder(db, stmt, row_r, err);
}

static int
item_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	return row_item(db, stmt, row_r, err);
}

int
ledger_accounts(
	struct ledger *ledger, struct ledger_account **accounts_r, size_t *count_r, struct err *err)
{
	static const char sql[] = "SELECT " ROW_ACCOUNT_COLUMNS " FROM account ORDER BY id";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0)
		ret = rows_read(
			db, stmt, account_fn, sizeof(struct ledger_account), &rows, &count, err);
	ledger_return(ledger, &db);
	if (ret < 0) {
		ledger_accounts_free(rows, count);
		return -1;
	}
	*accounts_r = rows;
	*count_r = count;
	return 0;
}

int
ledger_folders(struct ledger *ledger, uint64_t account, struct ledger_folder **folders_r,
	size_t *count_r, struct err *err)
{
	static const char one[] = "SELECT " ROW_FOLDER_COLUMNS " FROM " ROW_FOLDER_TABLES
				  " WHERE folder.account = ?1 ORDER BY folder.id";
	static const char all[] =
		"SELECT " ROW_FOLDER_COLUMNS " FROM " ROW_FOLDER_TABLES " ORDER BY folder.id";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, account == 0 ? all : one, &stmt, err);
	if (ret == 0) {
		if (account != 0)
			bind_u64(stmt, 1, account);
		ret = rows_read(
			db, stmt, folder_fn, sizeof(struct ledger_folder), &rows, &count, err);
	}
	ledger_return(ledger, &db);
	if (ret < 0) {
		ledger_folders_free(rows, count);
		return -1;
	}
	*folders_r = rows;
	*count_r = count;
	return 0;
}

int
items_read(struct ledger *ledger, uint64_t folder, uint32_t first, uint32_t last,
	enum item_state state, bool remarks, size_t max, struct ledger_item **items_r,
	size_t *count_r, struct err *err)
{
	bool few = remarks || state > ITEM_VERIFIED;
	static const char any[] = "SELECT " ROW_ITEM_COLUMNS " FROM " ROW_ITEM_TABLES
				  " WHERE item.folder = ?1 AND item.uid BETWEEN ?2 AND ?3"
				  " AND (?4 = 0 OR item.state = ?4) ORDER BY item.uid LIMIT ?5";
	/* By the index of rows that are not simply landed: of a million there may be three. */
	static const char odd[] = "SELECT " ROW_ITEM_COLUMNS " FROM " ROW_ITEM_TABLES
				  " WHERE item.folder = ?1 AND item.uid BETWEEN ?2 AND ?3"
				  " AND item.state = ?4 AND (item.state > 2 OR item.reason <> 0)"
				  " ORDER BY item.uid LIMIT ?5";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, few ? odd : any, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, folder);
		bind_int(stmt, 2, first);
		bind_int(stmt, 3, last);
		bind_int(stmt, 4, state);
		bind_int(stmt, 5, max == 0 ? -1 : (int64_t)max);
		ret = rows_read(db, stmt, item_fn, sizeof(struct ledger_item), &rows, &count, err);
	}
	ledger_return(ledger, &db);
	if (ret < 0) {
		ledger_items_free(rows, count);
		return -1;
	}
	*items_r = rows;
	*count_r = count;
	return 0;
}

int
ledger_items(struct ledger *ledger, uint64_t folder, uint32_t first, uint32_t last, size_t max,
	struct ledger_item **items_r, size_t *count_r, struct err *err)
{
	return items_read(ledger, folder, first, last, 0, false, max, items_r, count_r, err);
}

/* Batches. */

static int
batch_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	struct ledger_batch *batch = row_r;
	const void *bytes;
	size_t len;

	batch->id = column_u64(stmt, 0);
	batch->folder = column_u64(stmt, 1);
	batch->uidvalidity = column_u32(stmt, 2);
	batch->bound = column_u32(stmt, 3);
	batch->intended = sqlite3_column_int64(stmt, 4);
	bytes = sqlite3_column_blob(stmt, 6);
	len = (size_t)sqlite3_column_bytes(stmt, 6);
	if (bytes == NULL || blob_decode(bytes, len, &batch->entries, &batch->count) < 0 ||
		batch->count != column_u64(stmt, 5))
		return db_damaged(db, "a batch on its way", err);
	return 0;
}

static int
leave_out_landed(struct ledger *ledger, struct ledger_batch *batch, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct ledger_entry *entry = &batch->entries[i];
		struct ledger_item *item;
		size_t count;
		bool landed;

		if (ledger_items(ledger, batch->folder, entry->uid, entry->uid, 1, &item, &count,
			    err) < 0)
			return -1;
		landed = count == 1 && item_on_target(item->state);
		ledger_items_free(item, count);
		if (!landed) {
			struct ledger_entry swap = batch->entries[kept];
			batch->entries[kept++] = *entry;
			*entry = swap; /* all are freed in the end */
		}
	}
	for (size_t i = kept; i < batch->count; i++)
		free(batch->entries[i].keywords);
	batch->count = kept;
	return 0;
}

int
ledger_doubts(struct ledger *ledger, uint64_t account, struct ledger_batch **batches_r,
	size_t *count_r, struct err *err)
{
	static const char sql[] =
		"SELECT batch.id, batch.folder, uidvalidity, bound, intended, items, entries"
		" FROM batch JOIN folder ON folder.id = batch.folder"
		" WHERE folder.account = ?1 ORDER BY batch.folder, batch.id";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, account);
		ret = rows_read(
			db, stmt, batch_fn, sizeof(struct ledger_batch), &rows, &count, err);
	}
	ledger_return(ledger, &db);
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = leave_out_landed(ledger, &((struct ledger_batch *)rows)[i], err);
	if (ret < 0) {
		ledger_batches_free(rows, count);
		return -1;
	}
	*batches_r = rows;
	*count_r = count;
	return 0;
}

int
ledger_open_batches(struct ledger *ledger, uint64_t account, uint64_t *batches_r, uint64_t *items_r,
	struct err *err)
{
	static const char all[] = "SELECT count(*), total(items) FROM batch";
	static const char one[] =
		"SELECT count(*), total(items) FROM batch JOIN folder ON folder.id = batch.folder"
		" WHERE folder.account = ?1";
	sqlite3_stmt *stmt;
	struct db *db;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, account == 0 ? all : one, &stmt, err);
	if (ret == 0) {
		if (account != 0)
			bind_u64(stmt, 1, account);
		ret = db_step(db, stmt, err);
	}
	if (ret == 1) {
		*batches_r = column_u64(stmt, 0);
		*items_r = column_u64(stmt, 1);
		sqlite3_reset(stmt);
	}
	ledger_return(ledger, &db);
	return ret < 0 ? -1 : 0;
}

/* What lies on the target. */

static int
target_uids(struct db *db, uint64_t account, const char *target_key, uint32_t bound,
	struct uidset *uids, uint64_t *without_r, struct err *err)
{
	static const char sql[] =
		"SELECT item.target_uid FROM folder JOIN item ON item.folder = folder.id"
		" WHERE folder.account = ?1 AND folder.target_key = ?2 AND item.state IN (1, 2, 7)"
		" AND (item.target_uid > ?3 OR item.target_uid = 0) ORDER BY item.target_uid";
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, account);
	bind_text(stmt, 2, target_key);
	bind_int(stmt, 3, bound);
	while ((ret = db_step(db, stmt, err)) == 1) {
		uint32_t uid = column_u32(stmt, 0);

		if (uid == 0)
			(*without_r)++;
		else
			uidset_add(uids, uid, uid);
	}
	return ret;
}

int
ledger_target_uids(struct ledger *ledger, uint64_t account, const char *target_key, uint32_t bound,
	struct uidset *uids_r, uint64_t *without_r, struct err *err)
{
	struct uidset uids = { 0 };
	uint64_t without = 0;
	struct db *db;
	int ret;

	_Static_assert(ITEM_LANDED == 1 && ITEM_VERIFIED == 2 && ITEM_ADOPTED == 7,
		"the states in the query");
	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = target_uids(db, account, target_key, bound, &uids, &without, err);
	ledger_return(ledger, &db);
	if (ret < 0) {
		uidset_clear(&uids);
		return -1;
	}
	*uids_r = uids;
	*without_r = without;
	return 0;
}

/* Runs, acts, events, hosts, totals. */

static int
run_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	struct ledger_run *run = row_r;

	(void)db;
	(void)err;
	run->id = column_u64(stmt, 0);
	run->round = column_unsigned(stmt, 1);
	run->started = sqlite3_column_int64(stmt, 2);
	run->ended = sqlite3_column_int64(stmt, 3);
	run->exit_code = sqlite3_column_int(stmt, 4);
	return 0;
}

int
ledger_runs(struct ledger *ledger, struct ledger_run **runs_r, size_t *count_r, struct err *err)
{
	static const char sql[] =
		"SELECT id, round, started, ended, exit_code FROM run ORDER BY id";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0)
		ret = rows_read(db, stmt, run_fn, sizeof(struct ledger_run), &rows, &count, err);
	ledger_return(ledger, &db);
	if (ret < 0) {
		free(rows);
		return -1;
	}
	*runs_r = rows;
	*count_r = count;
	return 0;
}

int
ledger_act_state(struct ledger *ledger, uint64_t account, const char *kind, const char *key)
{
	static const char sql[] =
		"SELECT state FROM act WHERE account = ?1 AND kind = ?2 AND key = ?3";
	sqlite3_stmt *stmt;
	struct db *db;
	int state = -1;

	if (ledger_borrow(ledger, &db, NULL) < 0)
		return -1;
	if (db_prepare(db, sql, &stmt, NULL) == 0) {
		bind_u64(stmt, 1, account);
		bind_text(stmt, 2, kind);
		bind_text(stmt, 3, key);
		if (db_step(db, stmt, NULL) == 1) {
			state = sqlite3_column_int(stmt, 0);
			sqlite3_reset(stmt);
		}
	}
	ledger_return(ledger, &db);
	return state < ACT_PLANNED || state > ACT_HELD ? -1 : state;
}

static int
event_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	struct ledger_event *event = row_r;
	int64_t kind = sqlite3_column_int64(stmt, 4), code = sqlite3_column_int64(stmt, 5);

	if (kind < EVENT_NOTE || kind > EVENT_ERROR || code < 0 || code >= ERR_CODES)
		return db_damaged(db, "an event without a kind", err);
	event->id = column_u64(stmt, 0);
	event->account = column_u64(stmt, 1);
	event->run = column_u64(stmt, 2);
	event->time = sqlite3_column_int64(stmt, 3);
	event->kind = (enum event_kind)kind;
	event->code = (enum err_code)code;
	event->folder = column_strdup(stmt, 6);
	event->text = column_strdup(stmt, 7);
	return 0;
}

#define EVENT_COLUMNS "id, account, run, time, kind, code, folder, text"

int
ledger_account_events(struct ledger *ledger, uint64_t account, int64_t since, size_t max,
	struct ledger_event **events_r, size_t *count_r, struct err *err)
{
	static const char sql[] =
		"SELECT " EVENT_COLUMNS " FROM (SELECT " EVENT_COLUMNS " FROM event"
		" WHERE account = ?1 AND time >= ?2 ORDER BY id DESC LIMIT ?3) ORDER BY id";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, account);
		bind_int(stmt, 2, since);
		bind_int(stmt, 3, (int64_t)max);
		ret = rows_read(
			db, stmt, event_fn, sizeof(struct ledger_event), &rows, &count, err);
	}
	ledger_return(ledger, &db);
	if (ret < 0) {
		ledger_events_free(rows, count);
		return -1;
	}
	*events_r = rows;
	*count_r = count;
	return 0;
}

int
ledger_events(struct ledger *ledger, uint64_t account, uint64_t after, size_t max,
	struct ledger_event **events_r, size_t *count_r, struct err *err)
{
	static const char one[] = "SELECT " EVENT_COLUMNS
				  " FROM event WHERE id > ?1 AND account = ?3 ORDER BY id LIMIT ?2";
	static const char all[] =
		"SELECT " EVENT_COLUMNS " FROM event WHERE id > ?1 ORDER BY id LIMIT ?2";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	size_t count = 0;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, account == 0 ? all : one, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, after);
		bind_int(stmt, 2, max == 0 ? -1 : (int64_t)max);
		if (account != 0)
			bind_u64(stmt, 3, account);
		ret = rows_read(
			db, stmt, event_fn, sizeof(struct ledger_event), &rows, &count, err);
	}
	ledger_return(ledger, &db);
	if (ret < 0) {
		ledger_events_free(rows, count);
		return -1;
	}
	*events_r = rows;
	*count_r = count;
	return 0;
}

unsigned
ledger_host_longest(struct ledger *ledger, const char *host)
{
	static const char sql[] = "SELECT longest_ms FROM host WHERE name = ?1";
	sqlite3_stmt *stmt;
	struct db *db;
	unsigned ms = 0;

	if (ledger_borrow(ledger, &db, NULL) < 0)
		return 0;
	if (db_prepare(db, sql, &stmt, NULL) == 0) {
		bind_text(stmt, 1, host);
		if (db_step(db, stmt, NULL) == 1) {
			ms = column_unsigned(stmt, 0);
			sqlite3_reset(stmt);
		}
	}
	ledger_return(ledger, &db);
	return ms;
}

int
ledger_totals(
	struct ledger *ledger, uint64_t account, struct ledger_counts *counts_r, struct err *err)
{
	static const char all[] = "SELECT " ROW_COUNT_COLUMNS " FROM folder_count WHERE folder = 0";
	static const char one[] =
		"SELECT sum(found), sum(bytes_found), sum(landed), sum(verified), sum(skipped),"
		" sum(failed), sum(held), sum(vanished), sum(adopted), sum(bytes_landed), "
		"sum(gone),"
		" sum(repaired) FROM " ROW_FOLDER_TABLES " WHERE folder.account = ?1";
	sqlite3_stmt *stmt;
	struct db *db;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, account == 0 ? all : one, &stmt, err);
	if (ret == 0) {
		if (account != 0)
			bind_u64(stmt, 1, account);
		ret = db_step(db, stmt, err);
		if (ret == 0)
			ret = db_damaged(db, "the sums are missing", err);
	}
	if (ret == 1) {
		row_counts(stmt, 0, counts_r);
		sqlite3_reset(stmt);
	}
	ledger_return(ledger, &db);
	return ret < 0 ? -1 : 0;
}

/* ledger_each_item() */

struct each {
	struct ledger *ledger;
	enum item_state state;
	bool remarks; /* of it, those that have a reason */
	ledger_item_fn *fn;
	void *context;
	struct ledger_account account; /* that of the folder at hand */
};

#define EACH_STATE                                                                                 \
	" AND CASE ?1 WHEN 0 THEN landed + verified + skipped + failed + held + vanished"          \
	" + adopted WHEN 1 THEN landed WHEN 2 THEN verified WHEN 3 THEN skipped"                   \
	" WHEN 4 THEN failed WHEN 5 THEN held WHEN 6 THEN vanished ELSE adopted END > 0"

/* The next folders behind (account, folder), without those that have no such item. Two texts, since
 * "any account, or this one" would be no use of the index: each account would cost a look at the
 * folders of all. */
static int
each_folders(struct each *each, uint64_t account, const struct ledger_folder *after,
	struct ledger_folder **folders_r, size_t *count_r, struct err *err)
{
	static const char one[] = "SELECT " ROW_FOLDER_COLUMNS " FROM " ROW_FOLDER_TABLES
				  " WHERE folder.account = ?4 AND folder.id > ?2" EACH_STATE
				  " ORDER BY folder.id LIMIT ?3";
	static const char all[] = "SELECT " ROW_FOLDER_COLUMNS " FROM " ROW_FOLDER_TABLES
				  " WHERE (folder.account, folder.id) > (?4, ?2)" EACH_STATE
				  " ORDER BY folder.account, folder.id LIMIT ?3";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	int ret;

	*folders_r = NULL;
	*count_r = 0;
	if (ledger_borrow(each->ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, account == 0 ? all : one, &stmt, err);
	if (ret == 0) {
		bind_int(stmt, 1, each->state);
		bind_u64(stmt, 2, after->id);
		bind_int(stmt, 3, EACH_FOLDERS);
		bind_u64(stmt, 4, account == 0 ? after->account : account);
		ret = rows_read(
			db, stmt, folder_fn, sizeof(struct ledger_folder), &rows, count_r, err);
	}
	ledger_return(each->ledger, &db);
	*folders_r = rows;
	return ret;
}

/* The row of that id; without it the ledger is damaged, as `missing` says. */
static int
read_one(struct ledger *ledger, const char *sql, uint64_t id, row_fn *fn, const char *missing,
	void *row_r, struct err *err)
{
	sqlite3_stmt *stmt;
	struct db *db;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, id);
		ret = db_step(db, stmt, err);
		if (ret == 0)
			ret = db_damaged(db, missing, err);
	}
	if (ret == 1) {
		ret = fn(db, stmt, row_r, err);
		sqlite3_reset(stmt);
	}
	ledger_return(ledger, &db);
	return ret;
}

int
account_read(struct ledger *ledger, uint64_t id, struct ledger_account *account_r, struct err *err)
{
	static const char sql[] = "SELECT " ROW_ACCOUNT_COLUMNS " FROM account WHERE id = ?1";

	return read_one(ledger, sql, id, account_fn, "a folder without an account", account_r, err);
}

int
folder_read(struct ledger *ledger, uint64_t id, struct ledger_folder *folder_r, struct err *err)
{
	static const char sql[] =
		"SELECT " ROW_FOLDER_COLUMNS " FROM " ROW_FOLDER_TABLES " WHERE folder.id = ?1";

	return read_one(ledger, sql, id, folder_fn, "a change of a folder that is not there",
		folder_r, err);
}

static int
each_account(struct each *each, uint64_t account, struct err *err)
{
	if (each->account.id == account)
		return 0;
	account_clear(&each->account);
	return account_read(each->ledger, account, &each->account, err);
}

/* 1: the call-back has had enough. */
static int
each_folder(struct each *each, const struct ledger_folder *folder, struct err *err)
{
	struct ledger_item *items;
	size_t count = EACH_ITEMS;
	uint32_t first = 1;
	int ret = each_account(each, folder->account, err);

	while (ret == 0 && count == EACH_ITEMS && first != 0) {
		if (items_read(each->ledger, folder->id, first, UINT32_MAX, each->state,
			    each->remarks, EACH_ITEMS, &items, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count && ret == 0; i++) {
			ret = each->fn(each->context, &each->account, folder, &items[i]) != 0;
			first = items[i].uid + 1; /* 0 behind the last UID there can be */
		}
		ledger_items_free(items, count);
	}
	return ret;
}

static int
each_item(struct each *each, uint64_t account, struct err *err)
{
	struct ledger_folder after = { 0 };
	struct ledger_folder *folders = NULL;
	size_t count;
	int ret;

	do {
		ret = each_folders(each, account, &after, &folders, &count, err);
		for (size_t i = 0; i < count && ret == 0; i++) {
			ret = each_folder(each, &folders[i], err);
			after.account = folders[i].account;
			after.id = folders[i].id;
		}
		ledger_folders_free(folders, count);
	} while (ret == 0 && count > 0);
	account_clear(&each->account);
	return ret < 0 ? -1 : 0;
}

int
ledger_each_item(struct ledger *ledger, uint64_t account, enum item_state state, ledger_item_fn *fn,
	void *context, struct err *err)
{
	struct each each = { ledger, state, false, fn, context, { 0 } };

	return each_item(&each, account, err);
}

int
ledger_each_remark(
	struct ledger *ledger, uint64_t account, ledger_item_fn *fn, void *context, struct err *err)
{
	struct each each = { ledger, ITEM_LANDED, true, fn, context, { 0 } };

	return each_item(&each, account, err);
}

static int
reason_fn(struct db *db, sqlite3_stmt *stmt, void *row_r, struct err *err)
{
	struct ledger_reason *reason = row_r;

	(void)db;
	(void)err;
	reason->reason = column_unsigned(stmt, 0);
	reason->count = column_u64(stmt, 1);
	return 0;
}

int
ledger_reasons(struct ledger *ledger, uint64_t account, enum item_state state,
	struct ledger_reason **reasons_r, size_t *count_r, struct err *err)
{
	/* Out of the index alone, and the planner is not to begin with it. */
	static const char sql[] =
		"SELECT item.reason, count(*) FROM folder CROSS JOIN item"
		" ON item.folder = folder.id AND item.state = ?2"
		" AND (item.state > 2 OR item.reason <> 0)"
		" WHERE folder.account = ?1 GROUP BY item.reason ORDER BY item.reason";
	sqlite3_stmt *stmt;
	struct db *db;
	void *rows = NULL;
	int ret;

	*count_r = 0;
	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, account);
		bind_int(stmt, 2, state);
		ret = rows_read(
			db, stmt, reason_fn, sizeof(struct ledger_reason), &rows, count_r, err);
	}
	ledger_return(ledger, &db);
	if (ret < 0) {
		free(rows);
		return -1;
	}
	*reasons_r = rows;
	return 0;
}
