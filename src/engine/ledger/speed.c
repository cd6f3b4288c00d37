/* speed.c - how fast mailboxes were copied by the last run that copied any; three values of meta.
 */
#include "engine/ledger/ledger_private.h"

#include <stdio.h>

#include "base/banned.h"

struct speed_op {
	struct op op;
	struct ledger_speed speed;
};

static int
apply_speed(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] =
		"INSERT OR REPLACE INTO meta(key, value)"
		" VALUES('speed bytes', ?1), ('speed items', ?2), ('speed ms', ?3)";
	const struct ledger_speed *speed = &((struct speed_op *)op)->speed;
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, speed->bytes);
	bind_u64(stmt, 2, speed->items);
	bind_u64(stmt, 3, speed->ms);
	return db_run(&ledger->db, stmt, err);
}

void
ledger_speed_put(struct ledger *ledger, const struct ledger_speed *speed)
{
	struct speed_op *change = op_new(sizeof(*change), 0, apply_speed);
	struct op *op = &change->op;

	change->speed = *speed;
	ledger_send(ledger, &op);
}

int
ledger_speed_get(struct ledger *ledger, struct ledger_speed *speed_r, struct err *err)
{
	static const char sql[] = "SELECT sum(CASE key WHEN 'speed bytes' THEN value ELSE 0 END),"
				  " sum(CASE key WHEN 'speed items' THEN value ELSE 0 END),"
				  " sum(CASE key WHEN 'speed ms' THEN value ELSE 0 END) FROM meta";
	sqlite3_stmt *stmt;
	struct db *db;
	int ret;

	*speed_r = (struct ledger_speed){ .ms = 0 };
	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0 && (ret = db_step(db, stmt, err)) == 1) {
		speed_r->bytes = column_u64(stmt, 0);
		speed_r->items = column_u64(stmt, 1);
		speed_r->ms = column_u64(stmt, 2);
		sqlite3_reset(stmt);
		ret = 0;
	}
	ledger_return(ledger, &db);
	return ret;
}
