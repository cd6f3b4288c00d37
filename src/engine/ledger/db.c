/* db.c - one SQLite connection: statements kept by their text, errors made clear.
 *
 * Nothing outside this folder sees SQLite's types. Statements are prepared once per connection and
 * found again by the address of their constant text. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define DB_BUSY_MS 10000 /* another program may hold a lock that long (an admin's sqlite3) */

/* SQLite's result codes in the words of the admin. */
static const char *
cause_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return "disk full";
	case SQLITE_READONLY:
		return "read-only";
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "locked by another program";
	case SQLITE_CORRUPT:
		return "damaged";
	case SQLITE_NOTADB:
		return "not a ledger";
	case SQLITE_CANTOPEN:
		return "cannot be opened";
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return "permission denied";
	case SQLITE_IOERR:
		return "I/O error";
	default:
		return "refused";
	}
}

int
db_fail(struct db *db, int rc, const char *doing, struct err *err)
{
	const char *cause = cause_of(rc);
	int class = rc & 0xff;
	int errnum = 0;

	if (db->handle != NULL && (class == SQLITE_IOERR || class == SQLITE_CANTOPEN))
		errnum = sqlite3_system_errno(db->handle);
	if (errnum != 0)
		return err_errno(err, ERR_LEDGER, errnum, "cannot %s the ledger (%s) %s", doing,
			cause, db->path);
	return err_set(err, ERR_LEDGER, "cannot %s the ledger (%s) %s: %s (SQLite %d)", doing,
		cause, db->path,
		db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc), rc);
}

int
db_damaged(const struct db *db, const char *what, struct err *err)
{
	return err_set(err, ERR_LEDGER, "the ledger is damaged (%s): %s", what, db->path);
}

int
db_exec(struct db *db, const char *doing, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : db_fail(db, rc, doing, err);
}

static pthread_once_t configured = PTHREAD_ONCE_INIT;

/* Sums of memory that nobody reads, under one lock for all threads, at each allocation. */
static void
configure(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int
db_open(struct db *db, const char *path, enum db_access access, struct err *err)
{
	int flags = access == DB_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc;

	pthread_once(&configured, configure);
	memset(db, 0, sizeof(*db));
	db->path = path;
	if (access == DB_MEMORY)
		flags |= SQLITE_OPEN_CREATE;
	rc = sqlite3_open_v2(access == DB_MEMORY ? ":memory:" : path, &db->handle,
		flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK) {
		db_fail(db, rc, "open", err);
		db_close(db);
		return -1;
	}
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	/* The schema of a file from elsewhere is as foreign as its rows. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (db_exec(db, "open",
		    "PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;"
		    "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
		    err) < 0) {
		db_close(db);
		return -1;
	}
	return 0;
}

void
db_close(struct db *db)
{
	for (size_t i = 0; i < db->kept_count; i++)
		sqlite3_finalize(db->kept[i].stmt);
	db->kept_count = 0;
	if (db->handle != NULL && sqlite3_close(db->handle) != SQLITE_OK)
		BUG("a statement of the ledger is still open");
	db->handle = NULL;
}

int
db_prepare(struct db *db, const char *sql, sqlite3_stmt **stmt_r, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	for (size_t i = 0; i < db->kept_count; i++) {
		if (db->kept[i].sql == sql) {
			sqlite3_clear_bindings(db->kept[i].stmt);
			*stmt_r = db->kept[i].stmt;
			return 0;
		}
	}
	if (db->kept_count == DB_STATEMENTS)
		BUG("too many statements");
	rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (rc != SQLITE_OK)
		return db_fail(db, rc, "read", err);
	db->kept[db->kept_count].sql = sql;
	db->kept[db->kept_count].stmt = stmt;
	db->kept_count++;
	*stmt_r = stmt;
	return 0;
}

int
db_step(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		db_fail(db, rc, sqlite3_stmt_readonly(stmt) ? "read" : "write", err);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
db_run(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	int ret;

	do
		ret = db_step(db, stmt, err);
	while (ret == 1);
	return ret;
}

int
db_try(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	int rc = sqlite3_step(stmt);

	bool is_there = rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE ||
			rc == SQLITE_CONSTRAINT_ROWID;

	if (rc != SQLITE_DONE && !is_there)
		db_fail(db, rc, "write", err);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 1 : is_there ? 0 : -1;
}

int
db_number(struct db *db, const char *sql, int64_t fallback, int64_t *value_r, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int ret;

	*value_r = fallback;
	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	ret = db_step(db, stmt, err);
	if (ret == 1) {
		if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
			*value_r = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return ret < 0 ? -1 : 0;
}

void
bind_int(sqlite3_stmt *stmt, int at, int64_t value)
{
	if (sqlite3_bind_int64(stmt, at, value) != SQLITE_OK)
		BUG("bind_int");
}

void
bind_u64(sqlite3_stmt *stmt, int at, uint64_t value)
{
	bind_int(stmt, at, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void
bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	if (sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) != SQLITE_OK)
		BUG("bind_text");
}

void
bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t len)
{
	if (sqlite3_bind_blob64(stmt, at, bytes, len, SQLITE_STATIC) != SQLITE_OK)
		BUG("bind_blob");
}

void
bind_digest(sqlite3_stmt *stmt, int at, const unsigned char *digest)
{
	static const unsigned char zero[DIGEST_SIZE];

	if (memcmp(digest, zero, DIGEST_SIZE) == 0)
		bind_text(stmt, at, NULL);
	else
		bind_blob(stmt, at, digest, DIGEST_SIZE);
}

uint64_t
column_u64(sqlite3_stmt *stmt, int at)
{
	int64_t value = sqlite3_column_int64(stmt, at);

	return value < 0 ? 0 : (uint64_t)value;
}

unsigned
column_unsigned(sqlite3_stmt *stmt, int at)
{
	uint64_t value = column_u64(stmt, at);

	return value > UINT_MAX ? UINT_MAX : (unsigned)value;
}

uint32_t
column_u32(sqlite3_stmt *stmt, int at)
{
	uint64_t value = column_u64(stmt, at);

	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

char *
column_strdup(sqlite3_stmt *stmt, int at)
{
	const unsigned char *text = sqlite3_column_text(stmt, at);

	return text == NULL ? NULL : xstrdup((const char *)text);
}

int
meta_get(struct db *db, const char *key, char **value_r, struct err *err)
{
	static const char sql[] = "SELECT value FROM meta WHERE key = ?1";
	sqlite3_stmt *stmt;
	int ret;

	*value_r = NULL;
	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, key);
	ret = db_step(db, stmt, err);
	if (ret == 1) {
		*value_r = column_strdup(stmt, 0);
		sqlite3_reset(stmt);
	}
	return ret < 0 ? -1 : 0;
}

int
meta_put(struct db *db, const char *key, const char *value, struct err *err)
{
	static const char sql[] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)";
	sqlite3_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, key);
	bind_text(stmt, 2, value);
	return db_run(db, stmt, err);
}
