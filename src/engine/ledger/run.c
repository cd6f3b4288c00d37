/* run.c - runs, rounds, accounts, acts, events and hosts: what is written. */
#include "engine/ledger/ledger_private.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Runs and rounds. */

struct begin {
	uint64_t run;
	unsigned round;
};

/* A round goes on while an account is open, or closed in an earlier round only. */
static int
round_goes_on(struct db *db, int64_t round, bool *goes_on_r, struct err *err)
{
	static const char sql[] = "SELECT state, round FROM account";
	sqlite3_stmt *stmt;
	bool any = false;
	int ret;

	*goes_on_r = false;
	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	while ((ret = db_step(db, stmt, err)) == 1) {
		enum account_state state = (enum account_state)sqlite3_column_int(stmt, 0);

		any = true;
		if (account_state_open(state) || sqlite3_column_int64(stmt, 1) != round)
			*goes_on_r = true;
	}
	/* A round nobody was in is not over. */
	*goes_on_r = *goes_on_r || !any;
	return ret;
}

static int
apply_begin(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char add_round[] = "INSERT INTO round(id, started) VALUES(?1, ?2)";
	static const char add_run[] = "INSERT INTO run(round, started) VALUES(?1, ?2)";
	struct begin *begin = ((struct call_op *)op)->context;
	struct db *db = &ledger->db;
	sqlite3_stmt *stmt;
	int64_t round;
	bool goes_on = false;

	if (db_number(db, "SELECT max(id) FROM round", 0, &round, err) < 0)
		return -1;
	if (round > 0 && round_goes_on(db, round, &goes_on, err) < 0)
		return -1;
	if (!goes_on) {
		if (db_prepare(db, add_round, &stmt, err) < 0)
			return -1;
		bind_int(stmt, 1, ++round);
		bind_int(stmt, 2, clock_now());
		if (db_run(db, stmt, err) < 0)
			return -1;
	}
	if (db_prepare(db, add_run, &stmt, err) < 0)
		return -1;
	bind_int(stmt, 1, round);
	bind_int(stmt, 2, clock_now());
	if (db_run(db, stmt, err) < 0)
		return -1;
	begin->round = (unsigned)round;
	begin->run = ledger->run = (uint64_t)sqlite3_last_insert_rowid(db->handle);
	return 0;
}

int
ledger_run_begin(struct ledger *ledger, uint64_t *run_r, unsigned *round_r, struct err *err)
{
	struct begin begin = { 0 };

	if (ledger_call(ledger, apply_begin, &begin, err) < 0)
		return -1;
	*run_r = begin.run;
	*round_r = begin.round;
	return 0;
}

struct end_op {
	struct op op;
	uint64_t run;
	int64_t ended;
	int exit_code;
};

static int
apply_end(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "UPDATE run SET ended = ?2, exit_code = ?3 WHERE id = ?1";
	const struct end_op *end = (struct end_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, end->run);
	bind_int(stmt, 2, end->ended);
	bind_int(stmt, 3, end->exit_code);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_run_end(struct ledger *ledger, uint64_t run, int exit_code)
{
	struct end_op *end = op_new(sizeof(*end), 0, apply_end);
	struct op *op = &end->op;

	end->run = run;
	end->ended = clock_now();
	end->exit_code = exit_code;
	ledger_send(ledger, &op);
}

/* Accounts. */

struct state_op {
	struct op op;
	uint64_t account;
	enum account_state state;
	unsigned round;
	enum err_code reason;
	int64_t now;
	char *text;
	char spare[];
};

static int
apply_state(struct ledger *ledger, struct op *op, struct err *err)
{
	/* started: the first active state after an end. round: of the last end. */
	static const char sql[] =
		"UPDATE account SET state = ?2, reason = ?3, text = ?4,"
		" round = CASE WHEN ?5 THEN ?6 ELSE round END,"
		" started = CASE WHEN ?7 AND (started = 0 OR ended <> 0) THEN ?8 ELSE started END,"
		" ended = CASE WHEN ?7 THEN 0 WHEN ?9 THEN ?8 ELSE ended END WHERE id = ?1";
	const struct state_op *state = (struct state_op *)op;
	bool closed = !account_state_open(state->state);
	bool active = state->state >= ACCOUNT_PROVISIONING && state->state <= ACCOUNT_SETTLING;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, state->account);
	bind_int(stmt, 2, state->state);
	bind_int(stmt, 3, state->reason);
	bind_text(stmt, 4, state->text);
	bind_int(stmt, 5, closed);
	bind_int(stmt, 6, state->round);
	bind_int(stmt, 7, active);
	bind_int(stmt, 8, state->now);
	bind_int(stmt, 9, closed || state->state == ACCOUNT_STOPPED);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_account_state(struct ledger *ledger, uint64_t account, enum account_state state,
	unsigned round, enum err_code reason, const char *text)
{
	struct state_op *change = op_new(sizeof(*change), op_text_size(text), apply_state);
	struct op *op = &change->op;
	char *spare = change->spare;

	change->account = account;
	change->state = state;
	change->round = round;
	change->reason = reason;
	change->now = clock_now();
	change->text = op_text(&spare, text);
	ledger_send(ledger, &op);
}

/* Acts. */

struct act_op {
	struct op op;
	uint64_t account;
	enum act_state state;
	bool existed;
	char *kind, *key, *reason;
	char spare[];
};

static int
apply_act(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "INSERT OR REPLACE INTO act(account, kind, key, state, existed,"
				  " reason) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
	const struct act_op *act = (struct act_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, act->account);
	bind_text(stmt, 2, act->kind);
	bind_text(stmt, 3, act->key);
	bind_int(stmt, 4, act->state);
	bind_int(stmt, 5, act->existed);
	bind_text(stmt, 6, act->reason);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_act(struct ledger *ledger, uint64_t account, const char *kind, const char *key,
	enum act_state state, bool existed, const char *reason)
{
	size_t extra = op_text_size(kind) + op_text_size(key) + op_text_size(reason);
	struct act_op *act = op_new(sizeof(*act), extra, apply_act);
	struct op *op = &act->op;
	char *spare = act->spare;

	act->account = account;
	act->state = state;
	act->existed = existed;
	act->kind = op_text(&spare, kind);
	act->key = op_text(&spare, key);
	act->reason = op_text(&spare, reason);
	ledger_send(ledger, &op);
}

/* Events. */

struct event_op {
	struct op op;
	uint64_t account;
	int64_t time;
	enum event_kind kind;
	enum err_code code;
	char *folder, *text;
	char spare[];
};

static int
apply_event(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "INSERT INTO event(account, run, time, kind, code, folder, text)"
				  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
	const struct event_op *event = (struct event_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, event->account);
	bind_u64(stmt, 2, ledger->run);
	bind_int(stmt, 3, event->time);
	bind_int(stmt, 4, event->kind);
	bind_int(stmt, 5, event->code);
	bind_text(stmt, 6, event->folder);
	bind_text(stmt, 7, event->text);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_event(struct ledger *ledger, uint64_t account, const char *folder, enum event_kind kind,
	enum err_code code, const char *text)
{
	size_t extra = op_text_size(folder) + op_text_size(text);
	struct event_op *event = op_new(sizeof(*event), extra, apply_event);
	struct op *op = &event->op;
	char *spare = event->spare;

	event->account = account;
	event->time = clock_now();
	event->kind = kind;
	event->code = code;
	event->folder = op_text(&spare, folder);
	event->text = op_text(&spare, text);
	ledger_send(ledger, &op);
}

/* Hosts. */

struct host_op {
	struct op op;
	unsigned ms;
	char name[];
};

static int
apply_host(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "INSERT INTO host(name, longest_ms) VALUES(?1, ?2)"
				  " ON CONFLICT(name) DO UPDATE SET"
				  " longest_ms = max(longest_ms, excluded.longest_ms)";
	const struct host_op *host = (struct host_op *)op;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_text(stmt, 1, host->name);
	bind_int(stmt, 2, host->ms);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_host_answer(struct ledger *ledger, const char *host, unsigned ms)
{
	struct host_op *answer = op_new(sizeof(*answer), op_text_size(host), apply_host);
	struct op *op = &answer->op;
	char *spare = answer->name;

	answer->ms = ms;
	op_text(&spare, host);
	ledger_send(ledger, &op);
}
