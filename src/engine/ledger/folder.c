/* folder.c - folder rows and their counters: what is written.
 *
 * Counters change in the transaction that writes the items, by differences. They stand in a table
 * of their own, since a folder's row is long and seldom changes; row 0 of it is the sum of all, so
 * that totals cost the same however many folders there are. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

bool
item_on_target(enum item_state state)
{
	return state == ITEM_LANDED || state == ITEM_VERIFIED || state == ITEM_ADOPTED;
}

static void
round_add(struct ledger *ledger, unsigned round, int64_t copied, int64_t bytes)
{
	struct round_delta *at;
	size_t i = ledger->round_count;

	while (i > 0 && ledger->rounds[i - 1].round != round)
		i--;
	if (i == 0) {
		ledger->rounds = rows_grow(ledger->rounds, ledger->round_count, &ledger->round_cap,
			sizeof(*ledger->rounds));
		i = ++ledger->round_count;
		ledger->rounds[i - 1] = (struct round_delta){ .round = round };
	}
	at = &ledger->rounds[i - 1];
	at->copied += copied;
	at->bytes += bytes;
}

void
delta_item(struct ledger *ledger, struct delta *delta, const struct ledger_item *item, int sign)
{
	bool copied = item->state == ITEM_LANDED || item->state == ITEM_VERIFIED;
	int64_t bytes = sign * (int64_t)(item->size > INT64_MAX ? INT64_MAX : item->size);

	delta->by_state[item->state] += sign;
	if (item_on_target(item->state) && item->gone_round != 0)
		delta->gone += sign;
	if (!copied)
		return;
	delta->bytes_landed += bytes;
	if (item->steps != 0 || item->reason == REASON_REPAIRED || item->reason == REASON_WRAPPED)
		delta->repaired += sign;
	round_add(ledger, item->round, sign, bytes);
}

static int
delta_write(struct ledger *ledger, uint64_t folder, const struct delta *delta, struct err *err)
{
	static const char sql[] =
		"UPDATE folder_count SET found = found + ?2, bytes_found = bytes_found + ?3,"
		" landed = landed + ?4, verified = verified + ?5, skipped = skipped + ?6,"
		" failed = failed + ?7, held = held + ?8, vanished = vanished + ?9,"
		" adopted = adopted + ?10, bytes_landed = bytes_landed + ?11, gone = gone + ?12,"
		" repaired = repaired + ?13 WHERE folder = ?1";
	static const struct delta nothing;
	sqlite3_stmt *stmt;

	if (memcmp(delta, &nothing, sizeof(nothing)) == 0)
		return 0;
	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	bind_int(stmt, 2, delta->found);
	bind_int(stmt, 3, delta->bytes_found);
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		bind_int(stmt, 3 + state, delta->by_state[state]);
	bind_int(stmt, 11, delta->bytes_landed);
	bind_int(stmt, 12, delta->gone);
	bind_int(stmt, 13, delta->repaired);
	return db_run(&ledger->db, stmt, err);
}

int
delta_apply(struct ledger *ledger, uint64_t folder, const struct delta *delta, struct err *err)
{
	struct delta *total = &ledger->total;

	if (delta_write(ledger, folder, delta, err) < 0)
		return -1;
	total->found += delta->found;
	total->bytes_found += delta->bytes_found;
	for (int state = 0; state < ITEM_STATES; state++)
		total->by_state[state] += delta->by_state[state];
	total->bytes_landed += delta->bytes_landed;
	total->gone += delta->gone;
	total->repaired += delta->repaired;
	return 0;
}

static int
rounds_write(struct ledger *ledger, struct err *err)
{
	static const char sql[] =
		"UPDATE round SET copied = copied + ?2, bytes = bytes + ?3 WHERE id = ?1";
	sqlite3_stmt *stmt;

	for (size_t i = 0; i < ledger->round_count; i++) {
		const struct round_delta *round = &ledger->rounds[i];

		if (round->copied == 0 && round->bytes == 0)
			continue;
		if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
			return -1;
		bind_int(stmt, 1, round->round);
		bind_int(stmt, 2, round->copied);
		bind_int(stmt, 3, round->bytes);
		if (db_run(&ledger->db, stmt, err) < 0)
			return -1;
	}
	ledger->round_count = 0;
	return 0;
}

int
delta_finish(struct ledger *ledger, struct err *err)
{
	int ret = delta_write(ledger, 0, &ledger->total, err);

	memset(&ledger->total, 0, sizeof(ledger->total));
	return ret < 0 ? ret : rounds_write(ledger, err);
}

/* ledger_folder_put(): runs in the writing thread on the caller's struct, who waits. */
struct put {
	struct ledger_folder *folder;
	bool missing;
};

static int
put_row(struct ledger *ledger, const char *sql, const struct ledger_folder *f, struct err *err)
{
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, f->account);
	bind_text(stmt, 2, f->source_key);
	bind_text(stmt, 3, f->source_name);
	bind_int(stmt, 4, f->source_uidvalidity);
	bind_text(stmt, 5, f->source_mailboxid);
	bind_text(stmt, 6, f->target_key);
	bind_text(stmt, 7, f->target_name);
	bind_int(stmt, 8, f->target_uidvalidity);
	bind_int(stmt, 9, f->target_bound);
	bind_int(stmt, 10, f->target_foreign);
	bind_text(stmt, 11, f->renamed_from);
	bind_int(stmt, 12, f->gone_round);
	bind_int(stmt, 13, f->scanned_round);
	bind_int(stmt, 14, f->rematch);
	if (f->id != 0) {
		bind_u64(stmt, 15, f->id);
		bind_int(stmt, 16, f->seen.uidnext != 0);
		change_note(ledger, f->id, CHANGE_FOLDER, 0, 0);
	}
	return db_run(&ledger->db, stmt, err);
}

static int
put_new(struct ledger *ledger, struct ledger_folder *folder, struct err *err)
{
	static const char insert[] =
		"INSERT INTO folder(account, source_key, source_name, source_uidvalidity,"
		" source_mailboxid, target_key, target_name, target_uidvalidity, target_bound,"
		" target_foreign, renamed_from, gone_round, scanned_round, rematch)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
	static const char count[] = "INSERT INTO folder_count(folder) VALUES(?1)";
	sqlite3_stmt *stmt;

	if (put_row(ledger, insert, folder, err) < 0 ||
		db_prepare(&ledger->db, count, &stmt, err) < 0)
		return -1;
	folder->id = (uint64_t)sqlite3_last_insert_rowid(ledger->db.handle);
	change_note(ledger, folder->id, CHANGE_FOLDER, 0, 0);
	bind_u64(stmt, 1, folder->id);
	return db_run(&ledger->db, stmt, err);
}

static int
apply_put(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char update[] =
		"UPDATE folder SET account = ?1, source_key = ?2, source_name = ?3,"
		" source_uidvalidity = ?4, source_mailboxid = ?5, target_key = ?6,"
		" target_name = ?7, target_uidvalidity = ?8, target_bound = ?9,"
		" target_foreign = ?10, renamed_from = ?11, gone_round = ?12,"
		" scanned_round = ?13, rematch = ?14,"
		" seen_uidnext = CASE WHEN ?16 THEN seen_uidnext ELSE 0 END WHERE id = ?15";
	struct put *put = ((struct call_op *)op)->context;

	if (put->folder->id == 0)
		return put_new(ledger, put->folder, err);
	if (put_row(ledger, update, put->folder, err) < 0)
		return -1;
	put->missing = sqlite3_changes(ledger->db.handle) == 0;
	return 0;
}

int
ledger_folder_put(struct ledger *ledger, struct ledger_folder *folder, struct err *err)
{
	struct put put = { .folder = folder };

	if (ledger_call(ledger, apply_put, &put, err) < 0)
		return -1;
	if (put.missing)
		return err_set(err, ERR_INTERNAL, "the ledger has no folder %llu (%s)",
			(unsigned long long)folder->id, folder->source_name);
	return 0;
}

/* ledger_folders_new() */
struct put_new {
	struct ledger_folder *const *folders;
	size_t count;
};

static int
apply_put_new(struct ledger *ledger, struct op *op, struct err *err)
{
	struct put_new *put = ((struct call_op *)op)->context;

	for (size_t i = 0; i < put->count; i++)
		if (put_new(ledger, put->folders[i], err) < 0)
			return -1;
	return 0;
}

int
ledger_folders_new(
	struct ledger *ledger, struct ledger_folder *const *folders, size_t count, struct err *err)
{
	struct put_new put = { .folders = folders, .count = count };

	return count == 0 ? 0 : ledger_call(ledger, apply_put_new, &put, err);
}

int
folder_unsee(struct ledger *ledger, uint64_t folder, struct err *err)
{
	static const char sql[] =
		"UPDATE folder SET seen_uidnext = 0 WHERE id = ?1 AND seen_uidnext <> 0";
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, folder);
	return db_run(&ledger->db, stmt, err);
}

struct seen_op {
	struct op op;
	uint64_t folder;
	struct ledger_seen seen;
};

/* The last word is the ledger's: what it holds at this point of the queue is all that came of the
 * pass. */
static int
apply_seen(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] =
		"UPDATE folder SET seen_uidnext = ?2, seen_messages = ?3, seen_modseq = ?4,"
		" seen_settings = ?5 WHERE id = ?1"
		" AND NOT EXISTS (SELECT 1 FROM batch WHERE folder = ?1)"
		" AND EXISTS (SELECT 1 FROM folder_count WHERE folder = ?1 AND found ="
		" landed + verified + skipped + failed + held + vanished + adopted)";
	const struct seen_op *seen = (struct seen_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, seen->folder);
	bind_int(stmt, 2, seen->seen.uidnext);
	bind_int(stmt, 3, seen->seen.messages);
	bind_u64(stmt, 4, seen->seen.modseq);
	bind_int(stmt, 5, seen->seen.settings);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_folder_seen(struct ledger *ledger, uint64_t folder, const struct ledger_seen *seen)
{
	struct seen_op *op = op_new(sizeof(*op), 0, apply_seen);
	struct op *sent = &op->op;

	op->folder = folder;
	op->seen = *seen;
	ledger_send(ledger, &sent);
}

struct found_op {
	struct op op;
	uint64_t folder, found, bytes_found;
	unsigned round;
};

static int
apply_found(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char get[] = "SELECT found, bytes_found FROM folder_count WHERE folder = ?1";
	static const char put[] = "UPDATE folder SET scanned_round = ?2 WHERE id = ?1";
	const struct found_op *found = (struct found_op *)op;
	struct delta delta = { 0 };
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(&ledger->db, get, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, found->folder);
	ret = db_step(&ledger->db, stmt, err);
	if (ret <= 0)
		return ret;
	delta.found = (int64_t)found->found - sqlite3_column_int64(stmt, 0);
	delta.bytes_found = (int64_t)found->bytes_found - sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	if (delta_apply(ledger, found->folder, &delta, err) < 0 ||
		db_prepare(&ledger->db, put, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, found->folder);
	bind_int(stmt, 2, found->round);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_folder_found(struct ledger *ledger, uint64_t folder, uint64_t found, uint64_t bytes_found,
	unsigned round)
{
	struct found_op *op = op_new(sizeof(*op), 0, apply_found);
	struct op *sent = &op->op;

	op->folder = folder;
	op->found = found > INT64_MAX ? INT64_MAX : found;
	op->bytes_found = bytes_found > INT64_MAX ? INT64_MAX : bytes_found;
	op->round = round;
	ledger_send(ledger, &sent);
}
