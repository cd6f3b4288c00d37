/* items.c - items and batches: what is written.
 *
 * Rows are first tried as new, several at a time, which they nearly always are. A row that says a
 * message lies on the target is never replaced by one that says otherwise. What few rows have lies
 * aside: keyword lists are interned, texts have a table of their own. */
#include "engine/ledger/ledger_private.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/item.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int
delta_row(struct ledger *ledger, sqlite3_stmt *stmt, int at, struct delta *delta, int sign,
	struct err *err)
{
	int64_t state = sqlite3_column_int64(stmt, at);
	struct ledger_item item = { .state = (enum item_state)state };

	if (state < ITEM_LANDED || state >= ITEM_STATES)
		return db_damaged(&ledger->db, "an item without a state", err);
	item.reason = column_unsigned(stmt, at + 1);
	item.steps = column_unsigned(stmt, at + 2);
	item.size = column_u64(stmt, at + 3);
	item.gone_round = column_unsigned(stmt, at + 4);
	item.round = column_unsigned(stmt, at + 5);
	delta_item(ledger, delta, &item, sign);
	return 0;
}

/* The id of a keyword list: 0 for none. Lists come in runs, so the last one is kept. */
static int
intern(struct ledger *ledger, const char *keywords, int64_t *id_r, struct err *err)
{
	static const char get[] = "SELECT id FROM keywords WHERE list = ?1";
	static const char put[] = "INSERT INTO keywords(list) VALUES(?1)";
	struct db *db = &ledger->db;
	sqlite3_stmt *stmt;
	int ret;

	*id_r = 0;
	if (keywords == NULL || keywords[0] == '\0')
		return 0;
	if (ledger->keywords != NULL && strcmp(ledger->keywords, keywords) == 0) {
		*id_r = ledger->keywords_id;
		return 0;
	}
	if (db_prepare(db, get, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, keywords);
	ret = db_step(db, stmt, err);
	if (ret == 1) {
		*id_r = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	} else if (ret == 0) {
		if (db_prepare(db, put, &stmt, err) < 0)
			return -1;
		bind_text(stmt, 1, keywords);
		ret = db_run(db, stmt, err);
		*id_r = sqlite3_last_insert_rowid(db->handle);
	}
	if (ret < 0)
		return -1;
	free(ledger->keywords);
	ledger->keywords = xstrdup(keywords);
	ledger->keywords_id = *id_r;
	return 0;
}

static void
bind_keywords(sqlite3_stmt *stmt, int at, int64_t id)
{
	if (id == 0)
		bind_text(stmt, at, NULL);
	else
		bind_int(stmt, at, id);
}

#define ITEM_INTO                                                                                  \
	" INTO item(folder, uid, state, reason, size, digest, sent, steps, received, flags,"       \
	" keywords, target_uid, round, gone_round) VALUES"
#define ITEM_ROW    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define ITEM_PLACES 14

/* `at`: the place before its first. */
static int
bind_item(struct ledger *ledger, sqlite3_stmt *stmt, int at, uint64_t folder,
	const struct ledger_item *item, struct err *err)
{
	int64_t keywords;

	if (item->state < ITEM_LANDED || item->state >= ITEM_STATES)
		BUG("an item without a state");
	if (intern(ledger, item->keywords, &keywords, err) < 0)
		return -1;
	bind_u64(stmt, at + 1, folder);
	bind_int(stmt, at + 2, item->uid);
	bind_int(stmt, at + 3, item->state);
	bind_int(stmt, at + 4, item->reason);
	bind_u64(stmt, at + 5, item->size);
	bind_digest(stmt, at + 6, item->digest);
	bind_digest(stmt, at + 7, item->sent);
	bind_int(stmt, at + 8, item->steps);
	if (item->received == ITEM_DATE_NONE)
		bind_text(stmt, at + 9, NULL);
	else
		bind_int(stmt, at + 9, item->received);
	bind_int(stmt, at + 10, item->flags);
	bind_keywords(stmt, at + 11, keywords);
	bind_int(stmt, at + 12, item->target_uid);
	bind_int(stmt, at + 13, item->round);
	bind_int(stmt, at + 14, item->gone_round);
	return 0;
}

static int
write_item(struct ledger *ledger, const char *sql, uint64_t folder, const struct ledger_item *item,
	struct err *err)
{
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0 ||
		bind_item(ledger, stmt, 0, folder, item, err) < 0)
		return -1;
	return db_run(&ledger->db, stmt, err);
}

static int
write_text(struct ledger *ledger, uint64_t folder, const struct ledger_item *item, struct err *err)
{
	static const char sql[] =
		"INSERT OR REPLACE INTO item_text(folder, uid, text) VALUES(?1, ?2, ?3)";
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, item->uid);
	bind_text(stmt, 3, item->text);
	return db_run(&ledger->db, stmt, err);
}

static int
remove_text(struct ledger *ledger, uint64_t folder, uint32_t first, uint32_t last, struct err *err)
{
	static const char sql[] =
		"DELETE FROM item_text WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3";
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, first);
	bind_int(stmt, 3, last);
	return db_run(&ledger->db, stmt, err);
}

/* The row is there: takes its place where that is allowed. 1: written. */
static int
replace_item(struct ledger *ledger, uint64_t folder, const struct ledger_item *item,
	struct delta *delta, struct err *err)
{
	static const char get[] =
		"SELECT " ITEM_DELTA_COLUMNS " FROM item WHERE folder = ?1 AND uid = ?2";
	static const char put[] = "REPLACE" ITEM_INTO ITEM_ROW;
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(&ledger->db, get, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, item->uid);
	ret = db_step(&ledger->db, stmt, err);
	if (ret <= 0)
		return ret;
	if (item_on_target((enum item_state)sqlite3_column_int(stmt, 0)) &&
		!item_on_target(item->state)) {
		sqlite3_reset(stmt);
		return 0;
	}
	ret = delta_row(ledger, stmt, 0, delta, -1, err);
	sqlite3_reset(stmt);
	if (ret < 0 || write_item(ledger, put, folder, item, err) < 0 ||
		remove_text(ledger, folder, item->uid, item->uid, err) < 0)
		return -1;
	return 1;
}

/* What goes along with a row that was written. */
static int
note_item(struct ledger *ledger, uint64_t folder, const struct ledger_item *item,
	struct delta *delta, struct err *err)
{
	delta_item(ledger, delta, item, 1);
	change_note(ledger, folder, CHANGE_WRITTEN, item->uid, item->uid);
	return item->text == NULL ? 0 : write_text(ledger, folder, item, err);
}

static int
put_item(struct ledger *ledger, uint64_t folder, const struct ledger_item *item,
	struct delta *delta, struct err *err)
{
	static const char put[] = "INSERT OR IGNORE" ITEM_INTO ITEM_ROW;
	int ret;

	if (write_item(ledger, put, folder, item, err) < 0)
		return -1;
	if (sqlite3_changes(ledger->db.handle) == 0) {
		ret = replace_item(ledger, folder, item, delta, err);
		if (ret <= 0)
			return ret;
	}
	return note_item(ledger, folder, item, delta, err);
}

#define PIECE_ROWS 8

/* 1: written. 0: a row of one of them is there, and none was written. */
static int
put_piece(struct ledger *ledger, uint64_t folder, const struct ledger_item *items,
	struct delta *delta, struct err *err)
{
	static const char put[] = "INSERT" ITEM_INTO ITEM_ROW "," ITEM_ROW "," ITEM_ROW "," ITEM_ROW
				  "," ITEM_ROW "," ITEM_ROW "," ITEM_ROW "," ITEM_ROW;
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(&ledger->db, put, &stmt, err) < 0)
		return -1;
	for (int i = 0; i < PIECE_ROWS; i++)
		if (bind_item(ledger, stmt, i * ITEM_PLACES, folder, &items[i], err) < 0)
			return -1;
	ret = db_try(&ledger->db, stmt, err);
	for (int i = 0; ret == 1 && i < PIECE_ROWS; i++)
		if (note_item(ledger, folder, &items[i], delta, err) < 0)
			return -1;
	return ret;
}

/* In pieces while all of them are new: a statement costs about as much as three rows. */
static int
put_items(struct ledger *ledger, uint64_t folder, const struct ledger_item *items, size_t count,
	struct delta *delta, struct err *err)
{
	size_t i = 0;
	int ret = 1;

	while (ret == 1 && count - i >= PIECE_ROWS) {
		ret = put_piece(ledger, folder, &items[i], delta, err);
		if (ret < 0)
			return -1;
		if (ret == 1)
			i += PIECE_ROWS;
	}
	for (; i < count; i++)
		if (put_item(ledger, folder, &items[i], delta, err) < 0)
			return -1;
	return 0;
}

/* What a range of rows adds to the counters, times sign. What is taken off changes. */
static int
delta_range(struct ledger *ledger, uint64_t folder, const struct uid_range *range,
	struct delta *delta, int sign, enum change_kind kind, struct err *err)
{
	static const char sql[] = "SELECT " ITEM_DELTA_COLUMNS ", uid"
				  " FROM item WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3";
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, range->first);
	bind_int(stmt, 3, range->last);
	while ((ret = db_step(&ledger->db, stmt, err)) == 1) {
		uint32_t uid = column_u32(stmt, 6);

		if (delta_row(ledger, stmt, 0, delta, sign, err) < 0) {
			sqlite3_reset(stmt);
			return -1;
		}
		if (sign < 0)
			change_note(ledger, folder, kind, uid, uid);
	}
	return ret;
}

static int
remove_range(struct ledger *ledger, uint64_t folder, const struct uid_range *range,
	struct delta *delta, struct err *err)
{
	static const char sql[] = "DELETE FROM item WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3";
	sqlite3_stmt *stmt;

	if (delta_range(ledger, folder, range, delta, -1, CHANGE_REMOVED, err) < 0 ||
		remove_text(ledger, folder, range->first, range->last, err) < 0 ||
		folder_unsee(ledger, folder, err) < 0 ||
		db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, range->first);
	bind_int(stmt, 3, range->last);
	return db_run(&ledger->db, stmt, err);
}

/* ledger_items_put(), ledger_result(), ledger_item_move(): the items, the batch they end and the
 * row that they replace (0: none). */
struct items_op {
	struct op op;
	uint64_t folder, batch, from;
	struct uid_range from_uid;
	size_t count;
	struct ledger_item items[];
};

static int
remove_batch(struct ledger *ledger, uint64_t batch, struct err *err)
{
	static const char sql[] = "DELETE FROM batch WHERE id = ?1";
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, batch);
	return db_run(&ledger->db, stmt, err);
}

static int
apply_items(struct ledger *ledger, struct op *op, struct err *err)
{
	struct items_op *put = (struct items_op *)op;
	struct delta delta = { 0 };

	if (put_items(ledger, put->folder, put->items, put->count, &delta, err) < 0)
		return -1;
	if (put->batch != 0 && remove_batch(ledger, put->batch, err) < 0)
		return -1;
	if (delta_apply(ledger, put->folder, &delta, err) < 0)
		return -1;
	if (put->from == 0)
		return 0;
	memset(&delta, 0, sizeof(delta));
	if (folder_unsee(ledger, put->folder, err) < 0 ||
		remove_range(ledger, put->from, &put->from_uid, &delta, err) < 0)
		return -1;
	return delta_apply(ledger, put->from, &delta, err);
}

static struct items_op *
items_op_new(uint64_t folder, const struct ledger_item *items, size_t count)
{
	struct items_op *put;
	size_t extra = count * sizeof(*items);
	char *spare;

	for (size_t i = 0; i < count; i++)
		extra += op_text_size(items[i].keywords) + op_text_size(items[i].text);
	put = op_new(sizeof(*put), extra, apply_items);
	put->folder = folder;
	put->count = count;
	spare = (char *)&put->items[count];
	for (size_t i = 0; i < count; i++) {
		put->items[i] = items[i];
		put->items[i].keywords = op_text(&spare, items[i].keywords);
		put->items[i].text = op_text(&spare, items[i].text);
	}
	return put;
}

void
ledger_items_put(
	struct ledger *ledger, uint64_t folder, const struct ledger_item *items, size_t count)
{
	struct op *op;

	if (count == 0)
		return;
	op = &items_op_new(folder, items, count)->op;
	ledger_send(ledger, &op);
}

void
ledger_item_move(struct ledger *ledger, uint64_t from, uint32_t from_uid, uint64_t to,
	const struct ledger_item *item)
{
	struct items_op *put = items_op_new(to, item, 1);
	struct op *op = &put->op;

	put->from = from;
	put->from_uid.first = put->from_uid.last = from_uid;
	ledger_send(ledger, &op);
}

void
ledger_result(struct ledger *ledger, uint64_t batch, uint64_t folder,
	const struct ledger_item *items, size_t count)
{
	struct items_op *put = items_op_new(folder, items, count);
	struct op *op = &put->op;

	put->batch = batch;
	ledger_send(ledger, &op);
}

/* ledger_intend() */
struct intend_op {
	struct op op;
	uint64_t id, folder;
	uint32_t uidvalidity, bound;
	int64_t intended;
	size_t items, len;
	unsigned char bytes[];
};

static int
apply_intend(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] =
		"INSERT INTO batch(id, folder, uidvalidity, bound, intended, items, entries)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
	const struct intend_op *intend = (struct intend_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, intend->id);
	bind_u64(stmt, 2, intend->folder);
	bind_int(stmt, 3, intend->uidvalidity);
	bind_int(stmt, 4, intend->bound);
	bind_int(stmt, 5, intend->intended);
	bind_u64(stmt, 6, intend->items);
	bind_blob(stmt, 7, intend->bytes, intend->len);
	return db_run(&ledger->db, stmt, err);
}

int
ledger_intend(struct ledger *ledger, const struct ledger_batch *batch, uint64_t *id_r,
	uint64_t *ticket_r, struct err *err)
{
	struct intend_op *intend;
	struct op *op;
	struct str blob;
	uint64_t id, ticket;

	str_init(&blob, BLOB_MAX_BYTES);
	if (blob_encode(&blob, batch->entries, batch->count) < 0) {
		str_clear(&blob);
		return err_set(err, ERR_INTERNAL,
			"a batch of %zu items is too large for the ledger", batch->count);
	}
	intend = op_new(sizeof(*intend), blob.len, apply_intend);
	memcpy(intend->bytes, blob.data, blob.len);
	intend->len = blob.len;
	str_clear(&blob);
	intend->folder = batch->folder;
	intend->uidvalidity = batch->uidvalidity;
	intend->bound = batch->bound;
	intend->intended = batch->intended;
	intend->items = batch->count;
	op = &intend->op;
	pthread_mutex_lock(&ledger->lock);
	id = intend->id = ledger->next_batch++;
	pthread_mutex_unlock(&ledger->lock);
	ticket = ledger_send(ledger, &op);
	if (ticket == 0)
		return ledger_check(ledger, err);
	*id_r = id;
	*ticket_r = ticket;
	return 0;
}

/* ledger_items_remove(), ledger_items_gone() */
struct set_op {
	struct op op;
	uint64_t folder;
	unsigned round;
	size_t count;
	struct uid_range ranges[];
};

static void
send_set(struct ledger *ledger, uint64_t folder, const struct uidset *uids, unsigned round,
	op_fn *apply)
{
	size_t extra = uids->count * sizeof(uids->ranges[0]);
	struct set_op *set;
	struct op *op;

	if (uids->count == 0)
		return;
	set = op_new(sizeof(*set), extra, apply);
	memcpy(set->ranges, uids->ranges, extra);
	set->folder = folder;
	set->round = round;
	set->count = uids->count;
	op = &set->op;
	ledger_send(ledger, &op);
}

static int
apply_remove(struct ledger *ledger, struct op *op, struct err *err)
{
	struct set_op *set = (struct set_op *)op;
	struct delta delta = { 0 };

	for (size_t i = 0; i < set->count; i++)
		if (remove_range(ledger, set->folder, &set->ranges[i], &delta, err) < 0)
			return -1;
	return delta_apply(ledger, set->folder, &delta, err);
}

static int
apply_gone(struct ledger *ledger, struct op *op, struct err *err)
{
	/* The round in which it was first missed stays; round 0: it is there again. */
	static const char sql[] = "UPDATE item SET gone_round = ?4 WHERE folder = ?1"
				  " AND uid BETWEEN ?2 AND ?3 AND (gone_round = 0) = (?4 <> 0)";
	struct set_op *set = (struct set_op *)op;
	struct delta delta = { 0 };
	sqlite3_stmt *stmt;

	for (size_t i = 0; i < set->count; i++) {
		const struct uid_range *range = &set->ranges[i];

		if (delta_range(ledger, set->folder, range, &delta, -1, CHANGE_WRITTEN, err) < 0 ||
			db_prepare(&ledger->db, sql, &stmt, err) < 0)
			return -1;
		bind_u64(stmt, 1, set->folder);
		bind_int(stmt, 2, range->first);
		bind_int(stmt, 3, range->last);
		bind_int(stmt, 4, set->round);
		if (db_run(&ledger->db, stmt, err) < 0 ||
			delta_range(ledger, set->folder, range, &delta, 1, CHANGE_WRITTEN, err) < 0)
			return -1;
	}
	return delta_apply(ledger, set->folder, &delta, err);
}

void
ledger_items_remove(struct ledger *ledger, uint64_t folder, const struct uidset *uids)
{
	send_set(ledger, folder, uids, 0, apply_remove);
}

void
ledger_items_gone(struct ledger *ledger, uint64_t folder, const struct uidset *uids, unsigned round)
{
	send_set(ledger, folder, uids, round, apply_gone);
}

/* ledger_item_flags(), ledger_item_target() */
struct item_op {
	struct op op;
	uint64_t folder;
	uint32_t uid, target_uid;
	unsigned flags;
	char *keywords;
	char text[];
};

static int
apply_flags(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] =
		"UPDATE item SET flags = ?3, keywords = ?4 WHERE folder = ?1 AND uid = ?2";
	const struct item_op *item = (struct item_op *)op;
	sqlite3_stmt *stmt;
	int64_t keywords;

	if (intern(ledger, item->keywords, &keywords, err) < 0 ||
		db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, item->folder);
	bind_int(stmt, 2, item->uid);
	bind_int(stmt, 3, item->flags);
	bind_keywords(stmt, 4, keywords);
	change_note(ledger, item->folder, CHANGE_WRITTEN, item->uid, item->uid);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_item_flags(
	struct ledger *ledger, uint64_t folder, uint32_t uid, unsigned flags, const char *keywords)
{
	struct item_op *item = op_new(sizeof(*item), op_text_size(keywords), apply_flags);
	struct op *op = &item->op;
	char *spare = item->text;

	item->folder = folder;
	item->uid = uid;
	item->flags = flags;
	item->keywords = op_text(&spare, keywords);
	ledger_send(ledger, &op);
}

static int
apply_target(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "UPDATE item SET target_uid = ?3 WHERE folder = ?1 AND uid = ?2";
	const struct item_op *item = (struct item_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, item->folder);
	bind_int(stmt, 2, item->uid);
	bind_int(stmt, 3, item->target_uid);
	change_note(ledger, item->folder, CHANGE_WRITTEN, item->uid, item->uid);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_item_target(struct ledger *ledger, uint64_t folder, uint32_t uid, uint32_t target_uid)
{
	struct item_op *item = op_new(sizeof(*item), 0, apply_target);
	struct op *op = &item->op;

	item->folder = folder;
	item->uid = uid;
	item->target_uid = target_uid;
	ledger_send(ledger, &op);
}
