/* schema.c - the tables and their versions.
 *
 * PRAGMA application_id tells a ledger from another program's database, PRAGMA user_version is the
 * version of its tables. Each version is reached from the one before by one script, in one
 * transaction with the new number, so that a crash leaves the old version or the new one. The
 * tables are described for people in doc/ledger.md. */
#include "engine/ledger/ledger_private.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SCHEMA_APPLICATION 0x4d48414c /* "MHAL" */

/* Hosts are compared without case, names of users and folders byte by byte. */
static const char version_1[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
	"CREATE TABLE round(id INTEGER PRIMARY KEY, started INTEGER NOT NULL);"
	"CREATE TABLE run(id INTEGER PRIMARY KEY, round INTEGER NOT NULL,"
	" started INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0,"
	" exit_code INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE account(id INTEGER PRIMARY KEY, source_user TEXT NOT NULL,"
	" source_host TEXT NOT NULL COLLATE NOCASE, target_user TEXT NOT NULL,"
	" target_host TEXT NOT NULL COLLATE NOCASE, state INTEGER NOT NULL DEFAULT 0,"
	" round INTEGER NOT NULL DEFAULT 0, reason INTEGER NOT NULL DEFAULT 0, text TEXT,"
	" started INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX account_source ON account(source_user, source_host);"
	"CREATE INDEX account_target ON account(target_user, target_host);"
	"CREATE TABLE folder(id INTEGER PRIMARY KEY, account INTEGER NOT NULL, source_key TEXT,"
	" source_name TEXT, source_uidvalidity INTEGER NOT NULL, source_mailboxid TEXT,"
	" target_key TEXT, target_name TEXT, target_uidvalidity INTEGER NOT NULL,"
	" target_bound INTEGER NOT NULL, target_foreign INTEGER NOT NULL, renamed_from TEXT,"
	" gone_round INTEGER NOT NULL, scanned_round INTEGER NOT NULL, watch INTEGER NOT NULL);"
	"CREATE INDEX folder_account ON folder(account);"
	/* A table of its own: it is written with every batch. The row of folder 0 is the sum. */
	"CREATE TABLE folder_count(folder INTEGER PRIMARY KEY,"
	" found INTEGER NOT NULL DEFAULT 0, bytes_found INTEGER NOT NULL DEFAULT 0,"
	" landed INTEGER NOT NULL DEFAULT 0, verified INTEGER NOT NULL DEFAULT 0,"
	" skipped INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,"
	" held INTEGER NOT NULL DEFAULT 0, vanished INTEGER NOT NULL DEFAULT 0,"
	" adopted INTEGER NOT NULL DEFAULT 0, bytes_landed INTEGER NOT NULL DEFAULT 0,"
	" gone INTEGER NOT NULL DEFAULT 0, repaired INTEGER NOT NULL DEFAULT 0);"
	"INSERT INTO folder_count(folder) VALUES(0);"
	/* The one table that grows with the mail: nothing in it that few rows need. */
	"CREATE TABLE item(folder INTEGER NOT NULL, uid INTEGER NOT NULL, state INTEGER NOT NULL,"
	" reason INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB, sent BLOB,"
	" steps INTEGER NOT NULL, received INTEGER, flags INTEGER NOT NULL, keywords INTEGER,"
	" target_uid INTEGER NOT NULL, round INTEGER NOT NULL, gone_round INTEGER NOT NULL,"
	" PRIMARY KEY(folder, uid)) WITHOUT ROWID;"
	"CREATE TABLE item_text(folder INTEGER NOT NULL, uid INTEGER NOT NULL, text TEXT NOT NULL,"
	" PRIMARY KEY(folder, uid)) WITHOUT ROWID;"
	"CREATE TABLE keywords(id INTEGER PRIMARY KEY, list TEXT NOT NULL UNIQUE);"
	/* AUTOINCREMENT: an id that was in a log shall not come back with another batch. */
	"CREATE TABLE batch(id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL,"
	" uidvalidity INTEGER NOT NULL, bound INTEGER NOT NULL, intended INTEGER NOT NULL,"
	" items INTEGER NOT NULL, entries BLOB NOT NULL);"
	"CREATE TABLE act(account INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,"
	" state INTEGER NOT NULL, existed INTEGER NOT NULL, reason TEXT,"
	" PRIMARY KEY(account, kind, key)) WITHOUT ROWID;"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, account INTEGER NOT NULL,"
	" run INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" code INTEGER NOT NULL, folder TEXT, text TEXT);"
	"CREATE INDEX event_account ON event(account);"
	"CREATE TABLE host(name TEXT PRIMARY KEY COLLATE NOCASE, longest_ms INTEGER NOT NULL)"
	" WITHOUT ROWID;";

/* A column that nothing used becomes one that something needs. */
static const char version_2[] = "ALTER TABLE folder RENAME COLUMN watch TO rematch;"
				"UPDATE folder SET rematch = 0;";

/* What lets a later pass ask for what has changed and no more, and a report be drawn without a walk
 * over all items. What is in the ledger already counts as changed: no manifest of the chain has it.
 * The index has the few rows that are not simply landed. */
static const char version_3[] =
	"ALTER TABLE folder ADD COLUMN seen_uidnext INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE folder ADD COLUMN seen_messages INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE folder ADD COLUMN seen_modseq INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE folder ADD COLUMN seen_settings INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE round ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE round ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"UPDATE round SET"
	" copied = (SELECT count(*) FROM item WHERE item.round = round.id AND state IN (1, 2)),"
	" bytes = (SELECT CAST(total(size) AS INTEGER) FROM item WHERE item.round = round.id"
	" AND state IN (1, 2));"
	"CREATE TABLE change(folder INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" first INTEGER NOT NULL, last INTEGER NOT NULL, stamp INTEGER NOT NULL,"
	" PRIMARY KEY(folder, kind, first, last)) WITHOUT ROWID;"
	"INSERT INTO change(folder, kind, first, last, stamp) SELECT id, 0, 0, 0, 1 FROM folder;"
	"INSERT INTO change(folder, kind, first, last, stamp)"
	" SELECT id, 1, 1, 4294967295, 1 FROM folder;"
	"CREATE INDEX item_odd ON item(folder, state, reason)"
	" WHERE state > 2 OR reason <> 0;";

/* Changes in the order in which they were made, so that a manifest can be written while there come
 * more. */
static const char version_4[] =
	"ALTER TABLE change RENAME TO change_3;"
	"CREATE TABLE change(stamp INTEGER NOT NULL, folder INTEGER NOT NULL,"
	" kind INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
	" PRIMARY KEY(stamp, folder, kind, first, last)) WITHOUT ROWID;"
	"INSERT INTO change(stamp, folder, kind, first, last)"
	" SELECT stamp, folder, kind, first, last FROM change_3;"
	"DROP TABLE change_3;";

/* migrations[n] leads from version n to n + 1. */
static const char *const migrations[] = { version_1, version_2, version_3, version_4 };
#define SCHEMA_VERSION ((int64_t)(sizeof(migrations) / sizeof(migrations[0])))

struct version {
	int64_t application, number, tables;
};

static int
version_get(struct db *db, struct version *version_r, struct err *err)
{
	if (db_number(db, "PRAGMA application_id", 0, &version_r->application, err) < 0 ||
		db_number(db, "PRAGMA user_version", 0, &version_r->number, err) < 0)
		return -1;
	return db_number(db, "SELECT count(*) FROM sqlite_master", 0, &version_r->tables, err);
}

static bool
version_is_new(const struct version *version)
{
	return version->application == 0 && version->number == 0 && version->tables == 0;
}

/* Before anything is written: a file of another program stays as it is. */
static int
version_check(struct db *db, const struct version *version, enum db_access access, struct err *err)
{
	if (version_is_new(version)) {
		if (access == DB_READ)
			return err_set(err, ERR_STATE_DIR, "there is no ledger yet: %s is empty",
				db->path);
		return 0;
	}
	if (version->application != SCHEMA_APPLICATION)
		return err_set(err, ERR_LEDGER, "not a ledger: %s is another program's database",
			db->path);
	if (version->number > SCHEMA_VERSION)
		return err_set(err, ERR_LEDGER,
			"the ledger is from a newer mailhaul (version %lld, this one knows %lld): "
			"%s",
			(long long)version->number, (long long)SCHEMA_VERSION, db->path);
	if (version->number < 1)
		return db_damaged(db, "it has no version", err);
	if (access == DB_READ && version->number < SCHEMA_VERSION)
		return err_set(err, ERR_LEDGER,
			"the ledger is from an older mailhaul; the next run brings it up to date: "
			"%s",
			db->path);
	return 0;
}

static int
wal_on(struct db *db, struct err *err)
{
	sqlite3_stmt *stmt;
	const unsigned char *mode;
	int ret;

	if (db_prepare(db, "PRAGMA journal_mode = WAL", &stmt, err) < 0)
		return -1;
	ret = db_step(db, stmt, err);
	if (ret < 0)
		return -1;
	mode = sqlite3_column_text(stmt, 0);
	if (mode == NULL || strcmp((const char *)mode, "wal") != 0)
		ret = err_set(
			err, ERR_LEDGER, "the ledger's file system takes no WAL: %s", db->path);
	else
		ret = 0;
	sqlite3_reset(stmt);
	return ret;
}

static int
migrate(struct db *db, enum db_access access, struct err *err)
{
	struct version version;
	char set[96];

	if (db_exec(db, "write", "BEGIN EXCLUSIVE", err) < 0)
		return -1;
	/* Read again: another process may have been here before the lock was ours. */
	if (version_get(db, &version, err) < 0 || version_check(db, &version, access, err) < 0)
		goto failed;
	for (int64_t at = version.number; at < SCHEMA_VERSION; at++)
		if (db_exec(db, "write", migrations[at], err) < 0)
			goto failed;
	snprintf(set, sizeof(set), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		SCHEMA_APPLICATION, (int)SCHEMA_VERSION);
	if (db_exec(db, "write", set, err) < 0 || db_exec(db, "write", "COMMIT", err) < 0)
		goto failed;
	if (access != DB_MEMORY)
		die_step(DIE_COMMIT);
	return 0;
failed:
	db_exec(db, "write", "ROLLBACK", NULL);
	return -1;
}

int
schema_open(struct db *db, enum db_access access, struct err *err)
{
	struct version version;

	if (version_get(db, &version, err) < 0 || version_check(db, &version, access, err) < 0)
		return -1;
	if (access == DB_READ)
		return db_exec(
			db, "open", "PRAGMA query_only = ON; PRAGMA cache_size = -4096", err);
	if (access == DB_WRITE) {
		if (sqlite3_db_readonly(db->handle, "main") == 1)
			return err_set(err, ERR_LEDGER, "the ledger is read-only: %s", db->path);
		if (wal_on(db, err) < 0 ||
			db_exec(db, "open",
				"PRAGMA synchronous = FULL; PRAGMA cache_size = -4096;"
				"PRAGMA journal_size_limit = 67108864",
				err) < 0)
			return -1;
	}
	return version.number == SCHEMA_VERSION ? 0 : migrate(db, access, err);
}
