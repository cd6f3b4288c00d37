/* admin.c - the commands of the admin: failed rows go, held rows are resolved.
 *
 * Both look only into folders whose counters say that there is something. An account that loses
 * rows is open again, so that it is never "done" while items have no state. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct command {
	const char *glob;
	enum item_state from; /* rows of this state */
	unsigned reason;      /* and this reason; 0 = any */
	enum item_state as;   /* get this state; 0 = are removed */
	struct ledger_changes changes;
};

/* A folder at work, read before anything is changed. */
struct place {
	uint64_t folder, account;
};

/* The folders that have such rows, of accounts that match. */
static int
find_places(struct db *db, const struct command *command, struct place **places_r, size_t *count_r,
	struct err *err)
{
	static const char failed[] =
		"SELECT folder.id, account.id, account.source_user FROM folder_count"
		" JOIN folder ON folder.id = folder_count.folder"
		" JOIN account ON account.id = folder.account WHERE failed > 0";
	static const char held[] =
		"SELECT folder.id, account.id, account.source_user FROM folder_count"
		" JOIN folder ON folder.id = folder_count.folder"
		" JOIN account ON account.id = folder.account WHERE held > 0";
	size_t cap = 0;
	sqlite3_stmt *stmt;
	int ret;

	*places_r = NULL;
	*count_r = 0;
	if (db_prepare(db, command->from == ITEM_FAILED ? failed : held, &stmt, err) < 0)
		return -1;
	while ((ret = db_step(db, stmt, err)) == 1) {
		const char *user = (const char *)sqlite3_column_text(stmt, 2);
		struct place *place;

		if (command->glob != NULL && (user == NULL || !text_glob(command->glob, user)))
			continue;
		*places_r = rows_grow(*places_r, *count_r, &cap, sizeof(**places_r));
		place = &(*places_r)[(*count_r)++];
		place->folder = column_u64(stmt, 0);
		place->account = column_u64(stmt, 1);
	}
	return ret;
}

/* By the index of odd rows, which needs its condition named. */
#define COMMAND_ROWS                                                                               \
	" WHERE folder = ?1 AND state = ?2 AND (?3 = 0 OR reason = ?3)"                            \
	" AND (state > 2 OR reason <> 0)"

static int
command_prepare(struct db *db, const char *sql, const struct command *command, uint64_t folder,
	sqlite3_stmt **stmt_r, struct err *err)
{
	if (db_prepare(db, sql, stmt_r, err) < 0)
		return -1;
	bind_u64(*stmt_r, 1, folder);
	bind_int(*stmt_r, 2, command->from);
	bind_int(*stmt_r, 3, command->reason);
	return 0;
}

/* What the rows count for, as they are and as they shall be. */
static int
command_delta(struct ledger *ledger, const struct command *command, uint64_t folder,
	struct delta *delta, struct err *err)
{
	static const char sql[] =
		"SELECT steps, size, gone_round, reason, round, uid FROM item" COMMAND_ROWS;
	enum change_kind kind = command->as != 0 ? CHANGE_WRITTEN : CHANGE_REMOVED;
	struct db *db = &ledger->db;
	sqlite3_stmt *stmt;
	int ret;

	if (command_prepare(db, sql, command, folder, &stmt, err) < 0)
		return -1;
	while ((ret = db_step(db, stmt, err)) == 1) {
		struct ledger_item item = { .state = command->from };
		uint32_t uid = column_u32(stmt, 5);

		item.steps = column_unsigned(stmt, 0);
		item.size = column_u64(stmt, 1);
		item.gone_round = column_unsigned(stmt, 2);
		item.reason = column_unsigned(stmt, 3);
		item.round = column_unsigned(stmt, 4);
		delta_item(ledger, delta, &item, -1);
		change_note(ledger, folder, kind, uid, uid);
		item.state = command->as;
		item.reason = REASON_ADMIN;
		if (command->as != 0)
			delta_item(ledger, delta, &item, 1);
	}
	return ret;
}

static int
change_rows(struct db *db, struct command *command, uint64_t folder, struct err *err)
{
	static const char remove_texts[] = "DELETE FROM item_text WHERE folder = ?1 AND uid IN"
					   " (SELECT uid FROM item" COMMAND_ROWS ")";
	static const char remove[] = "DELETE FROM item" COMMAND_ROWS;
	static const char change[] = "UPDATE item SET state = ?4, reason = ?5" COMMAND_ROWS;
	sqlite3_stmt *stmt;

	if (command_prepare(db, remove_texts, command, folder, &stmt, err) < 0 ||
		db_run(db, stmt, err) < 0)
		return -1;
	if (command_prepare(db, command->as == 0 ? remove : change, command, folder, &stmt, err) <
		0)
		return -1;
	if (command->as != 0) {
		bind_int(stmt, 4, command->as);
		bind_int(stmt, 5, REASON_ADMIN);
	}
	return db_run(db, stmt, err);
}

/* A closed account waits again; one at work is left to its job. */
static int
reopen(struct db *db, uint64_t account, struct err *err)
{
	static const char sql[] = "UPDATE account SET state = ?2, reason = 0, text = NULL"
				  " WHERE id = ?1 AND state IN (?3, ?4, ?5)";
	sqlite3_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, account);
	bind_int(stmt, 2, ACCOUNT_WAITING);
	bind_int(stmt, 3, ACCOUNT_DONE);
	bind_int(stmt, 4, ACCOUNT_REMARKS);
	bind_int(stmt, 5, ACCOUNT_FAILED);
	return db_run(db, stmt, err);
}

static int
command_place(
	struct ledger *ledger, struct command *command, const struct place *place, struct err *err)
{
	struct delta delta = { 0 };
	uint64_t rows;

	if (command_delta(ledger, command, place->folder, &delta, err) < 0)
		return -1;
	rows = (uint64_t)-delta.by_state[command->from];
	if (rows == 0)
		return 0;
	command->changes.items += rows;
	if (change_rows(&ledger->db, command, place->folder, err) < 0 ||
		delta_apply(ledger, place->folder, &delta, err) < 0)
		return -1;
	if (command->as != 0)
		return 0;
	return folder_unsee(ledger, place->folder, err) < 0
		       ? -1
		       : reopen(&ledger->db, place->account, err);
}

/* Accounts that failed as a whole are tried again as well. */
static int
retry_accounts(struct ledger *ledger, struct command *command, struct err *err)
{
	static const char sql[] = "SELECT id, source_user FROM account WHERE state = ?1"
				  " AND (?2 = 0 OR reason = ?2)";
	struct db *db = &ledger->db;
	uint64_t *ids = NULL;
	size_t count = 0, cap = 0;
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_int(stmt, 1, ACCOUNT_FAILED);
	bind_int(stmt, 2, command->reason);
	while ((ret = db_step(db, stmt, err)) == 1) {
		const char *user = (const char *)sqlite3_column_text(stmt, 1);

		if (command->glob != NULL && (user == NULL || !text_glob(command->glob, user)))
			continue;
		ids = rows_grow(ids, count, &cap, sizeof(*ids));
		ids[count++] = column_u64(stmt, 0);
	}
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = reopen(db, ids[i], err);
	command->changes.accounts += count;
	free(ids);
	return ret;
}

static int
apply_command(struct ledger *ledger, struct op *op, struct err *err)
{
	struct command *command = ((struct call_op *)op)->context;
	struct place *places = NULL;
	size_t count = 0;
	int ret = 0;

	/* First, since the rows below may open an account that failed. */
	if (command->from == ITEM_FAILED)
		ret = retry_accounts(ledger, command, err);
	if (ret == 0)
		ret = find_places(&ledger->db, command, &places, &count, err);
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = command_place(ledger, command, &places[i], err);
	free(places);
	return ret;
}

static int
run_command(struct ledger *ledger, struct command *command, struct ledger_changes *changes_r,
	struct err *err)
{
	if (ledger_call(ledger, apply_command, command, err) < 0)
		return -1;
	*changes_r = command->changes;
	return 0;
}

int
ledger_retry(struct ledger *ledger, const char *account_glob, unsigned reason,
	struct ledger_changes *changes_r, struct err *err)
{
	struct command command = { .glob = account_glob, .from = ITEM_FAILED, .reason = reason };

	return run_command(ledger, &command, changes_r, err);
}

int
ledger_resolve_held(struct ledger *ledger, const char *account_glob, enum item_state as,
	struct ledger_changes *changes_r, struct err *err)
{
	struct command command = { .glob = account_glob, .from = ITEM_HELD, .as = as };

	if (as != 0 && as != ITEM_LANDED && as != ITEM_SKIPPED)
		return err_set(err, ERR_USAGE, "held items can be landed, skipped or sent again");
	return run_command(ledger, &command, changes_r, err);
}
