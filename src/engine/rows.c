/* rows.c - the ledger's rows of one folder, a window at a time: there may be a million. */
#include "engine/job.h"

#include "base/banned.h"

#define WINDOW_ROWS 5000

int
rows_each(struct job *job, uint64_t folder, row_fn *fn, void *context, struct err *err)
{
	uint32_t from = 1, last;
	size_t count;
	int ret = 0;

	do {
		struct ledger_item *rows;
		if (ledger_items(job->ledger, folder, from, UINT32_MAX, WINDOW_ROWS, &rows, &count,
			    err) < 0)
			return -1;
		last = count > 0 ? rows[count - 1].uid : UINT32_MAX;
		for (size_t i = 0; ret == 0 && i < count; i++)
			ret = fn(context, &rows[i], err);
		ledger_items_free(rows, count);
		from = last + 1;
	} while (ret == 0 && count == WINDOW_ROWS && last != UINT32_MAX);
	return ret;
}

struct marking {
	struct job *job;
	uint64_t folder;
	unsigned round;
	uint32_t first, last;
	size_t rows;
};

static void
mark(struct marking *m)
{
	struct uidset uids = { 0 };

	if (m->rows == 0)
		return;
	uidset_add(&uids, m->first, m->last);
	ledger_items_gone(m->job->ledger, m->folder, &uids, m->round);
	uidset_clear(&uids);
	m->rows = 0;
}

static int
mark_row(void *context, struct ledger_item *row, struct err *err)
{
	struct marking *m = context;

	(void)err;
	if (m->rows == 0)
		m->first = row->uid;
	m->last = row->uid;
	if (++m->rows == WINDOW_ROWS)
		mark(m);
	return 0;
}

/* In pieces, so that other jobs' commits do not wait for all of it. */
int
rows_mark_gone(struct job *job, uint64_t folder, unsigned round, struct err *err)
{
	struct marking m = { .job = job, .folder = folder, .round = round };

	if (rows_each(job, folder, mark_row, &m, err) < 0)
		return -1;
	mark(&m);
	return 0;
}
