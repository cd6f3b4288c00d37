/* rounds.c - what each round did, for the reports. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Rounds with the time of their runs. A run that did not end by itself has no length. */
static int
read_rounds(struct db *db, struct ledger_round **rounds_r, size_t *count_r, struct err *err)
{
	static const char sql[] =
		"SELECT round.id, round.started, max(run.ended), count(run.id),"
		" total(run.ended = 0), total(CASE WHEN run.ended > run.started"
		" THEN run.ended - run.started ELSE 0 END), round.copied, round.bytes FROM round"
		" LEFT JOIN run ON run.round = round.id GROUP BY round.id ORDER BY round.id";
	size_t cap = 0;
	sqlite3_stmt *stmt;
	int ret;

	if (db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	while ((ret = db_step(db, stmt, err)) == 1) {
		struct ledger_round *round;

		*rounds_r = rows_grow(*rounds_r, *count_r, &cap, sizeof **rounds_r);
		round = &(*rounds_r)[(*count_r)++];
		memset(round, 0, sizeof *round);
		round->id = column_unsigned(stmt, 0);
		round->started = sqlite3_column_int64(stmt, 1);
		round->ended = sqlite3_column_int64(stmt, 2);
		round->runs = column_unsigned(stmt, 3);
		round->runs_without_end = column_unsigned(stmt, 4);
		round->worked_s = sqlite3_column_int64(stmt, 5);
		round->copied = column_u64(stmt, 6);
		round->bytes = column_u64(stmt, 7);
	}
	return ret;
}

static int
find_over(struct ledger *ledger, struct ledger_round *rounds, size_t count, struct err *err)
{
	struct ledger_account *accounts = NULL;
	struct ledger_round *last = count > 0 ? &rounds[count - 1] : NULL;
	size_t account_count = 0;

	if (ledger_accounts(ledger, &accounts, &account_count, err) < 0)
		return -1;
	for (size_t i = 0; i + 1 < count; i++)
		rounds[i].over = true;
	if (last != NULL)
		last->over = account_count > 0;
	for (size_t i = 0; i < account_count && last != NULL; i++)
		if (account_state_open(accounts[i].state) || accounts[i].round != last->id)
			last->over = false;
	ledger_accounts_free(accounts, account_count);
	return 0;
}

int
ledger_rounds(
	struct ledger *ledger, struct ledger_round **rounds_r, size_t *count_r, struct err *err)
{
	struct ledger_round *rounds = NULL;
	size_t count = 0;
	struct db *db;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = read_rounds(db, &rounds, &count, err);
	ledger_return(ledger, &db);
	if (ret == 0)
		ret = find_over(ledger, rounds, count, err);
	if (ret < 0) {
		free(rounds);
		return -1;
	}
	*rounds_r = rounds;
	*count_r = count;
	return 0;
}
