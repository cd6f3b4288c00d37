/* snapshot.c - what a screen may see of a run: a copy, made under the lock, nothing more. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/engine_private.h"

#include "base/banned.h"

#define RATE_WEIGHT 0.3 /* of the newest second in the running mean */

static void
fill_row(const struct account *account, struct snapshot_row *row)
{
	const struct progress *p = &account->progress;

	memset(row, 0, sizeof *row);
	row->account = account->id;
	text_safe(row->user, sizeof row->user, account->user->user);
	text_safe(row->target, sizeof row->target, account->user->target_user);
	snprintf(row->folder, sizeof row->folder, "%s", account->taken ? p->folder : "");
	snprintf(row->state, sizeof row->state, "%s", account_state_name(account->state));
	row->open = account_state_open(account->state);
	row->failed = account->state == ACCOUNT_FAILED;
	text_safe(row->text, sizeof row->text,
		account->err.code != ERR_NONE ? account->err.text : "");
	row->items_found = p->found > p->done ? p->found : p->done;
	row->items_done = p->done;
	row->items_copied = p->copied;
	row->items_skipped = p->skipped;
	row->items_failed = p->failed;
	row->items_held = p->held;
	row->bytes_found = p->bytes_found > p->bytes_done ? p->bytes_found : p->bytes_done;
	row->bytes_done = p->bytes_done;
	row->counted = p->counted;
	row->bytes_per_s = account->rate_bytes;
}

static void
add_account(const struct account *account, struct snapshot_totals *t)
{
	const struct progress *p = &account->progress;

	t->accounts++;
	t->accounts_open += account_state_open(account->state);
	t->accounts_failed += account->state == ACCOUNT_FAILED;
	t->accounts_done += account->state == ACCOUNT_DONE || account->state == ACCOUNT_REMARKS;
	t->items_found += p->found > p->done ? p->found : p->done;
	t->items_done += p->done;
	t->items_copied += p->copied;
	t->items_skipped += p->skipped;
	t->items_failed += p->failed;
	t->items_held += p->held;
	t->items_vanished += p->vanished;
	t->copied_now += p->copied_now;
	t->bytes_found += p->bytes_found > p->bytes_done ? p->bytes_found : p->bytes_done;
	t->bytes_done += p->bytes_done;
	t->bytes_now += p->bytes_now;
}

/* The longer of the two forecasts, by bytes and by messages. */
static int64_t
eta(const struct snapshot_totals *t)
{
	double items = (double)(t->items_found - t->items_done);
	double bytes = (double)(t->bytes_found - t->bytes_done), by_items, by_bytes;

	if (t->accounts_open == 0)
		return 0;
	if (t->items_per_s < 0.1 && t->bytes_per_s < 1)
		return -1;
	by_items = t->items_per_s >= 0.1 ? items / t->items_per_s : 0;
	by_bytes = t->bytes_per_s >= 1 ? bytes / t->bytes_per_s : 0;
	return (int64_t)(by_items > by_bytes ? by_items : by_bytes) + 1;
}

static unsigned
percent(const struct local *local, const struct snapshot_totals *t)
{
	uint64_t whole =
		t->bytes_found + t->items_found * 1000; /* a message costs about a kilobyte */
	uint64_t done = t->bytes_done + t->items_done * 1000;
	unsigned p = whole == 0 ? 0 : (unsigned)((double)done * 100.0 / (double)whole);

	if (local->ended && t->accounts_open == 0 && t->accounts_failed == 0 && t->items_held == 0)
		return 100;
	return p > 99 ? 99 : p;
}

static enum run_state
run_state(const struct local *local)
{
	bool any = false, paused = false;

	if (local->ended)
		return RUN_ENDED;
	if (local->stopping)
		return RUN_STOPPING;
	for (size_t i = 0; i < local->account_count; i++) {
		enum account_state state = local->accounts[i].state;
		any = any || (account_state_open(state) && state != ACCOUNT_PAUSED &&
				     state != ACCOUNT_STOPPED);
		paused = paused || state == ACCOUNT_PAUSED;
	}
	return !any && paused ? RUN_PAUSED : RUN_WORKING;
}

void
local_snapshot(struct engine *engine, struct snapshot *s)
{
	struct local *local = (struct local *)(void *)engine;
	struct snapshot_totals *t = &s->totals;
	uint64_t drained;

	memset(s, 0, sizeof *s);
	(void)!read(local->wake_fd, &drained, sizeof drained);
	pthread_mutex_lock(&local->lock);
	s->revision = local->revision;
	for (size_t i = 0; i < local->account_count; i++)
		add_account(&local->accounts[i], t);
	s->first_row = local->first_row < local->account_count ? local->first_row : 0;
	for (size_t i = s->first_row; i < local->account_count && s->row_count < local->row_count;
		i++)
		fill_row(&local->accounts[i], &s->rows[s->row_count++]);
	t->state = run_state(local);
	t->round = local->round;
	t->jobs = local->jobs;
	t->working = local->working;
	t->bytes_per_s = local->rate_bytes;
	t->items_per_s = local->rate_items;
	t->started = local->started;
	t->elapsed_ms = (uint64_t)(clock_ms() - local->started_ms);
	t->eta_s = eta(t);
	t->percent = percent(local, t);
	t->exit_code = local->exit_code;
	if (local->run_err.code != ERR_NONE)
		snprintf(t->error, sizeof t->error, "%s", local->run_err.text);
	snprintf(t->report, sizeof t->report, "%s", local->report);
	pthread_mutex_unlock(&local->lock);
}

/* Running means; the lock is held by the caller. */
void
local_rates(struct local *local, double seconds)
{
	uint64_t bytes = 0, items = 0;

	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		double now = (double)(a->progress.bytes_now - a->rate_last) / seconds;
		a->rate_last = a->progress.bytes_now;
		a->rate_bytes += RATE_WEIGHT * (now - a->rate_bytes);
		bytes += a->progress.bytes_now;
		items += a->progress.copied_now;
	}
	local->rate_bytes += RATE_WEIGHT * ((double)(bytes - local->rate_bytes_last) / seconds -
						   local->rate_bytes);
	local->rate_items += RATE_WEIGHT * ((double)(items - local->rate_items_last) / seconds -
						   local->rate_items);
	local->rate_bytes_last = bytes;
	local->rate_items_last = items;
	local->revision++;
}
