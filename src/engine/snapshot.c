/* snapshot.c - what a screen may see of a run: a copy, made under the lock, nothing more. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/engine_private.h"
#include "engine/forecast.h"

#include "base/banned.h"

#define RATE_WEIGHT 0.3  /* of the newest second in the running mean */
#define ENDED_MS    5000 /* an account that ended stays among those at work */

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

/* Ended lately: who shows lines of ends finds the last numbers of the account here. */
static bool
ended_lately(const struct account *account, int64_t now)
{
	return account->ended_ms != 0 && now - account->ended_ms < ENDED_MS;
}

/* Begun, and not at its end: a pause, or a wait before another attempt. */
static bool
is_begun(const struct account *account)
{
	return account_state_open(account->state) && account->state != ACCOUNT_WAITING &&
	       account->state != ACCOUNT_STOPPED;
}

/* Without the lock: pace has its own. */
static void
fill_hosts(const struct local *local, struct snapshot *s)
{
	struct pace_line lines[SNAPSHOT_HOSTS];

	s->host_count = pace_lines(local->pace, lines, SNAPSHOT_HOSTS);
	for (size_t i = 0; i < s->host_count; i++) {
		const struct compression_status *status = &lines[i].status;
		struct snapshot_host *host = &s->hosts[i];

		text_safe(host->host, sizeof host->host, lines[i].host);
		host->port = lines[i].port;
		host->source = lines[i].source;
		host->connections = lines[i].used;
		host->level = lines[i].level;
		host->ceiling = lines[i].ceiling;
		host->waiting = lines[i].waiting;
		host->backoff_ms = lines[i].backoff_ms;
		host->bytes_per_s = lines[i].bytes_per_s;
		text_safe(host->lowered, sizeof host->lowered, level_why_text(lines[i].why));
		text_safe(host->compression, sizeof host->compression, status->state);
		host->compressed_now = status->sessions;
		host->begun = status->begun;
		host->compressed = status->compressed;
		host->bytes = status->bytes;
		host->line_bytes = status->line_bytes;
	}
}

/* The host whose level keeps others waiting, if it is one of this account's. */
static const struct snapshot_host *
full_host(const struct local *local, const struct account *account, const struct snapshot *s)
{
	const struct profile *profile = local->config.profile;
	const struct user *user = account->user;
	const char *names[] = {
		user->target_host != NULL ? user->target_host : profile->target.host,
		user->source_host != NULL ? user->source_host : profile->source.host,
	};
	unsigned ports[] = { profile->target.port, profile->source.port };

	for (size_t i = 0; i < s->host_count; i++) {
		const struct snapshot_host *host = &s->hosts[i];

		if (host->waiting > 0 && text_ieq(host->host, names[host->source]) &&
			host->port == ports[host->source])
			return host;
	}
	return NULL;
}

/* A worker has it and it has no connection yet: the row says what it waits for. */
static void
tell_waiting(const struct local *local, const struct account *account, const struct snapshot *s,
	struct snapshot_row *row)
{
	const struct snapshot_host *host;
	char text[sizeof row->text];

	if (!account->taken || account->state != ACCOUNT_WAITING)
		return;
	host = full_host(local, account, s);
	if (host == NULL)
		return;
	snprintf(text, sizeof text, "waits for a connection to %s:%u, which may have %u at a time",
		host->host, host->port, host->level);
	memcpy(row->text, text, sizeof row->text);
}

/* Rows of those a worker has come first when there is no room for all, and keep the list's order.
 */
static void
fill_work(const struct local *local, struct snapshot *s)
{
	int64_t now = clock_ms();
	size_t room = local->working < SNAPSHOT_ROWS ? SNAPSHOT_ROWS - local->working : 0;

	for (size_t i = 0; i < local->account_count && s->work_count < SNAPSHOT_ROWS; i++) {
		const struct account *account = &local->accounts[i];

		if (!account->taken) {
			if (room == 0 || (!is_begun(account) && !ended_lately(account, now)))
				continue;
			room--;
		}
		fill_row(account, &s->work[s->work_count]);
		tell_waiting(local, account, s, &s->work[s->work_count++]);
	}
}

static void
add_forecast(const struct account *account, struct forecast *forecast)
{
	const struct progress *p = &account->progress;
	struct forecast_account one = {
		.open = account_state_open(account->state),
		.looked = p->looked,
		.counted = p->counted,
		.items_found = p->found,
		.items_done = p->done,
		.bytes_found = p->bytes_found,
		.bytes_done = p->bytes_done,
	};

	forecast_add(forecast, &one);
}

/* Totals are filled. */
static void
fill_forecast(const struct local *local, struct snapshot_totals *t)
{
	struct forecast forecast = { 0 };
	bool all = t->accounts_open == 0 && t->accounts_failed == 0 && t->items_held == 0;

	for (size_t i = 0; i < local->account_count; i++)
		add_forecast(&local->accounts[i], &forecast);
	t->accounts_unknown = forecast.unknown;
	t->percent = local->ended && all ? 100 : forecast_percent(&forecast);
	/* A run that is paused or stopping has no end in sight, though bytes may still move. */
	t->eta_s = forecast_eta(&forecast, t->items_per_s, t->bytes_per_s);
	if (t->state == RUN_PAUSED || t->state == RUN_STOPPING)
		t->eta_s = -1;
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
	uint64_t drained, disk_us = 0;

	memset(s, 0, sizeof *s);
	(void)!read(local->wake_fd, &drained, sizeof drained);
	fill_hosts(local, s);
	pthread_mutex_lock(&local->lock);
	s->revision = local->revision;
	for (size_t i = 0; i < local->account_count; i++)
		add_account(&local->accounts[i], t);
	s->first_row = local->first_row < local->account_count ? local->first_row : 0;
	for (size_t i = s->first_row; i < local->account_count && s->row_count < local->row_count;
		i++) {
		fill_row(&local->accounts[i], &s->rows[s->row_count]);
		tell_waiting(local, &local->accounts[i], s, &s->rows[s->row_count++]);
	}
	fill_work(local, s);
	t->state = run_state(local);
	t->round = local->round;
	t->jobs = local->jobs;
	t->working = local->working;
	t->bytes_per_s = local->rate_bytes;
	t->items_per_s = local->rate_items;
	t->started = local->started;
	t->elapsed_ms = (uint64_t)(clock_ms() - local->started_ms);
	for (size_t i = 0; i < local->account_count; i++)
		disk_us += local->accounts[i].progress.disk_us;
	t->disk_ms = disk_us / 1000;
	fill_forecast(local, t);
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
