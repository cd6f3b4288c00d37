/* bind.c - what a ledger goes with: its two endpoints, and which user went to which account.
 *
 * Another endpoint or another map is refused with the difference named, since rows of one mailbox
 * must not count for another. What the admin names as the same (a host by its new name, a user) is
 * changed in place, so that its rows go on to hold. */
#include "engine/ledger/ledger_private.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static int
rebound_event(struct db *db, uint64_t account, const char *what, const char *was, const char *now,
	struct err *err)
{
	static const char sql[] = "INSERT INTO event(account, run, time, kind, code, text)"
				  " VALUES(?1, 0, ?2, ?3, ?4, ?5)";
	sqlite3_stmt *stmt;
	char *text;
	int ret;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	text = xasprintf("rebound: %s was %s, is now %s", what, was, now);
	bind_u64(stmt, 1, account);
	bind_int(stmt, 2, clock_now());
	bind_int(stmt, 3, EVENT_WARNING);
	bind_int(stmt, 4, ERR_BOUND);
	bind_text(stmt, 5, text);
	ret = db_run(db, stmt, err);
	free(text);
	return ret;
}

/* One value of the binding. */
struct value {
	const char *key, *value;
	const char *host;     /* of its side; NULL: may change */
	const char *accounts; /* moves accounts from one host to another, or NULL */
};

static bool
is_named(const struct ledger_binding *binding, const char *host)
{
	for (size_t i = 0; i < binding->rebind_count; i++)
		if (text_ieq(binding->rebind[i], host))
			return true;
	return false;
}

/* Accounts of the side follow it to its new host; two must not become one. */
static int
move_accounts(struct db *db, const char *sql, const char *was, const char *now, struct err *err)
{
	static const char twice[] =
		"SELECT count(*) FROM account AS a JOIN account AS b ON a.id < b.id AND"
		" (a.target_user = b.target_user AND a.target_host = b.target_host OR"
		" a.source_user = b.source_user AND a.source_host = b.source_host)";
	sqlite3_stmt *stmt;
	int64_t count;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, was);
	bind_text(stmt, 2, now);
	if (db_run(db, stmt, err) < 0 || db_number(db, twice, 0, &count, err) < 0)
		return -1;
	if (count > 0)
		return err_set(err, ERR_BOUND,
			"the ledger has accounts on %s that would be one with those of %s: %s", now,
			was, db->path);
	return 0;
}

/* Against what the ledger has. */
static int
bind_value(struct db *db, const struct ledger_binding *binding, const struct value *v,
	bool readonly, struct err *err)
{
	const char *value = v->value == NULL ? "" : v->value;
	char *was;
	int ret = 0;

	if (meta_get(db, v->key, &was, err) < 0)
		return -1;
	if (was != NULL && text_ieq(was, value))
		goto out;
	if (was != NULL && v->host != NULL && !is_named(binding, v->host))
		ret = err_set(err, ERR_BOUND,
			"the ledger was made with %s %s, the profile now says %s (--rebind %s if "
			"they are the same): %s",
			v->key, was, value, v->host, db->path);
	else if (!readonly)
		ret = meta_put(db, v->key, value, err);
	if (ret == 0 && was != NULL && v->host != NULL && !readonly)
		ret = rebound_event(db, 0, v->key, was, value, err);
	if (ret == 0 && was != NULL && v->accounts != NULL && !readonly)
		ret = move_accounts(db, v->accounts, was, value, err);
out:
	free(was);
	return ret;
}

int
bind_endpoints(
	struct db *db, const struct ledger_binding *b, enum ledger_mode mode, struct err *err)
{
	static const char sources[] = "UPDATE account SET source_host = ?2 WHERE source_host = ?1";
	static const char targets[] = "UPDATE account SET target_host = ?2 WHERE target_host = ?1";
	char source_port[16], target_port[16];
	const struct value values[] = {
		/* A profile may be renamed; what counts is where mail comes from and goes to. */
		{ "profile", b->profile, NULL, NULL },
		{ "source type", b->source_type, b->source_host, NULL },
		{ "source host", b->source_host, b->source_host, sources },
		{ "source port", source_port, b->source_host, NULL },
		{ "target type", b->target_type, b->target_host, NULL },
		{ "target host", b->target_host, b->target_host, targets },
		{ "target port", target_port, b->target_host, NULL },
	};
	bool readonly = mode == LEDGER_READ;
	int before = sqlite3_total_changes(db->handle);
	int ret = 0;

	snprintf(source_port, sizeof(source_port), "%u", b->source_port);
	snprintf(target_port, sizeof(target_port), "%u", b->target_port);
	if (!readonly && db_exec(db, "write", "BEGIN IMMEDIATE", err) < 0)
		return -1;
	for (size_t i = 0; ret == 0 && i < sizeof(values) / sizeof(values[0]); i++)
		ret = bind_value(db, b, &values[i], readonly, err);
	if (readonly)
		return ret;
	if (ret == 0)
		ret = db_exec(db, "write", "COMMIT", err);
	if (ret < 0)
		db_exec(db, "write", "ROLLBACK", NULL);
	else if (mode == LEDGER_WRITE && sqlite3_total_changes(db->handle) != before)
		die_step(DIE_COMMIT);
	return ret;
}

/* Accounts. */

/* The row of a user on one side; *account_r is zeroed where there is none. */
static int
find_side(struct db *db, const char *sql, const char *user, const char *host,
	struct ledger_account *account_r, struct err *err)
{
	sqlite3_stmt *stmt;
	int ret;

	memset(account_r, 0, sizeof(*account_r));
	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, user);
	bind_text(stmt, 2, host);
	ret = db_step(db, stmt, err);
	if (ret == 1) {
		ret = row_account(db, stmt, account_r, err);
		sqlite3_reset(stmt);
	}
	return ret;
}

static int
find_both(struct db *db, const struct ledger_bind *row, struct ledger_account *source_r,
	struct ledger_account *target_r, struct err *err)
{
	static const char by_source[] = "SELECT " ROW_ACCOUNT_COLUMNS
					" FROM account WHERE source_user = ?1 AND source_host = ?2";
	static const char by_target[] = "SELECT " ROW_ACCOUNT_COLUMNS
					" FROM account WHERE target_user = ?1 AND target_host = ?2";

	memset(target_r, 0, sizeof(*target_r));
	if (find_side(db, by_source, row->source_user, row->source_host, source_r, err) < 0)
		return -1;
	return find_side(db, by_target, row->target_user, row->target_host, target_r, err);
}

static int
write_account(
	struct db *db, struct ledger_bind *row, const struct ledger_account *was, struct err *err)
{
	static const char add[] = "INSERT INTO account(source_user, source_host, target_user,"
				  " target_host) VALUES(?1, ?2, ?3, ?4)";
	static const char change[] = "UPDATE account SET source_user = ?1, source_host = ?2,"
				     " target_user = ?3, target_host = ?4 WHERE id = ?5";
	char *old, *new;
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(db, was == NULL ? add : change, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, row->source_user);
	bind_text(stmt, 2, row->source_host);
	bind_text(stmt, 3, row->target_user);
	bind_text(stmt, 4, row->target_host);
	if (was != NULL)
		bind_u64(stmt, 5, was->id);
	if (db_run(db, stmt, err) < 0)
		return -1;
	if (was == NULL) {
		row->id = (uint64_t)sqlite3_last_insert_rowid(db->handle);
		return 0;
	}
	row->id = was->id;
	old = xasprintf("%s on %s to %s on %s", was->source_user, was->source_host,
		was->target_user, was->target_host);
	new = xasprintf("%s on %s to %s on %s", row->source_user, row->source_host,
		row->target_user, row->target_host);
	ret = rebound_event(db, row->id, "the account", old, new, err);
	free(old);
	free(new);
	return ret;
}

static int
refuse_account(const struct ledger_bind *row, const struct ledger_account *source,
	const struct ledger_account *target, struct err *err)
{
	if (source->id != 0 && target->id != 0)
		return err_set(err, ERR_BOUND,
			"%s went to %s, now to %s, which is the ledger's target of %s",
			row->source_user, source->target_user, row->target_user,
			target->source_user);
	if (source->id != 0)
		return err_set(err, ERR_BOUND,
			"%s went to %s on %s in this ledger, now to %s on %s (--rebind %s if they "
			"are the same mailbox)",
			row->source_user, source->target_user, source->target_host,
			row->target_user, row->target_host, row->source_user);
	return err_set(err, ERR_BOUND,
		"%s is the target of %s on %s in this ledger, now of %s on %s (--rebind %s if they "
		"are the same mailbox)",
		row->target_user, target->source_user, target->source_host, row->source_user,
		row->source_host, row->source_user);
}

/* Against what the ledger has; writes only if told to. *refused: another map. */
static int
bind_account(
	struct db *db, struct ledger_bind *row, bool write, struct err *refused, struct err *err)
{
	struct ledger_account source, target;
	int ret = find_both(db, row, &source, &target, err);

	if (ret == 0 && source.id == target.id && source.id != 0)
		row->id = source.id;
	else if (ret == 0 && source.id != target.id &&
		 !(row->rebind && (source.id == 0 || target.id == 0)))
		refuse_account(row, &source, &target, refused);
	else if (ret == 0 && write)
		ret = write_account(db, row,
			source.id != 0   ? &source
			: target.id != 0 ? &target
					 : NULL,
			err);
	account_clear(&source);
	account_clear(&target);
	return ret;
}

struct bind_all {
	struct ledger_bind *rows;
	size_t count;
	struct err refused; /* code set: nothing was written */
};

static int
apply_accounts(struct ledger *ledger, struct op *op, struct err *err)
{
	struct bind_all *all = ((struct call_op *)op)->context;

	for (int write = 0; write <= 1; write++)
		for (size_t i = 0; i < all->count && all->refused.code == ERR_NONE; i++)
			if (bind_account(
				    &ledger->db, &all->rows[i], write == 1, &all->refused, err) < 0)
				return -1;
	return 0;
}

int
ledger_bind_accounts(struct ledger *ledger, struct ledger_bind *rows, size_t count, struct err *err)
{
	struct bind_all all = { .rows = rows, .count = count };

	for (size_t i = 0; i < count; i++) {
		rows[i].id = 0;
		if (rows[i].source_host == NULL)
			rows[i].source_host = "";
		if (rows[i].target_host == NULL)
			rows[i].target_host = "";
	}
	if (ledger_call(ledger, apply_accounts, &all, err) < 0)
		return -1;
	if (all.refused.code == ERR_NONE)
		return 0;
	if (err != NULL)
		*err = all.refused;
	return -1;
}
