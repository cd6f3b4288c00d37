/* local.c - the engine in this process: accounts, the workers that take them, commands, events.
 *
 * A worker thread takes the next waiting account and runs one attempt of its job (job.c); an
 * account that has to wait goes back and its worker takes another. The number of workers follows
 * CMD_JOBS. A ticker wakes the screens twice a second. All that a screen sees is copied under one
 * lock. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/job.h"

#include "base/banned.h"

#define TICK_MS      500u
#define SPOOL_MEMORY (28u << 20) /* of all bodies held in memory */
#define SPOOL_ONE    (2048u << 10)

/* ---- events ---- */

void
local_wake(struct local *local)
{
	uint64_t one = 1;

	(void)!write(local->wake_fd, &one, sizeof one);
}

static void
push_event(struct local *local, const struct event *event)
{
	pthread_mutex_lock(&local->lock);
	local->event_seq++;
	local->events[local->event_seq % EVENTS_KEPT] = *event;
	local->events[local->event_seq % EVENTS_KEPT].seq = local->event_seq;
	local->revision++;
	pthread_mutex_unlock(&local->lock);
	local_wake(local);
}

void
local_event(struct local *local, enum engine_event_kind kind, const struct account *account,
	const char *folder, enum err_code code, uint64_t id, uint64_t value, const char *text)
{
	struct event event = { 0 };

	event.kind = kind;
	event.time = clock_now();
	event.code = code;
	event.id = id;
	event.value = value;
	if (account != NULL) {
		event.account = account->id;
		text_safe(event.user, sizeof event.user, account->user->user);
	}
	text_safe(event.folder, sizeof event.folder, folder != NULL ? folder : "");
	text_safe(event.text, sizeof event.text, text != NULL ? text : "");
	push_event(local, &event);
}

static size_t
local_events(struct engine *engine, uint64_t after, struct event *out, size_t max)
{
	struct local *local = (struct local *)(void *)engine;
	size_t n = 0;

	pthread_mutex_lock(&local->lock);
	if (local->event_seq > EVENTS_KEPT && after < local->event_seq - EVENTS_KEPT)
		after = local->event_seq - EVENTS_KEPT;
	while (after < local->event_seq && n < max)
		out[n++] = local->events[++after % EVENTS_KEPT];
	pthread_mutex_unlock(&local->lock);
	return n;
}

void
local_state(struct local *local, struct account *account, enum account_state state,
	const struct err *err)
{
	bool changed;

	pthread_mutex_lock(&local->lock);
	changed = account->state != state;
	account->state = state;
	if (!account_state_open(state) || state == ACCOUNT_STOPPED)
		account->ended_ms = clock_ms();
	if (err != NULL)
		account->err = *err;
	else
		memset(&account->err, 0, sizeof account->err);
	if (!account_state_open(state) && state != ACCOUNT_FAILED) {
		account->progress.found = account->progress.done;
		account->progress.bytes_found = account->progress.bytes_done;
	}
	pthread_mutex_unlock(&local->lock);
	if (changed)
		local_event(local, ENGINE_ACCOUNT, account, NULL,
			err != NULL ? err->code : ERR_NONE, 0, state, account_state_name(state));
}

void
local_fail_run(struct local *local, const struct err *err)
{
	bool first;

	pthread_mutex_lock(&local->lock);
	first = local->run_err.code == ERR_NONE;
	if (first)
		local->run_err = *err;
	local->stopping = true;
	pthread_cond_broadcast(&local->changed);
	pthread_mutex_unlock(&local->lock);
	if (first)
		local_event(local, ENGINE_ERROR, NULL, NULL, err->code, 0, 0, err->text);
}

bool
local_stopping(struct local *local)
{
	return atomic_load(&local->stopping);
}

uint64_t
local_share(struct local *local, uint64_t bytes)
{
	unsigned jobs;

	pthread_mutex_lock(&local->lock);
	jobs = local->jobs < local->account_count ? local->jobs : (unsigned)local->account_count;
	pthread_mutex_unlock(&local->lock);
	return bytes / (jobs > 0 ? jobs : 1);
}

/* ---- workers ---- */

/* Waiting, or resumed after it had come to a halt. */
static bool
is_ready(const struct account *a)
{
	return atomic_load(&a->control) == CONTROL_GO &&
	       (a->state == ACCOUNT_WAITING || a->state == ACCOUNT_PAUSED ||
		       a->state == ACCOUNT_STOPPED);
}

/* The next account to work on; the lock is held. *wait_r: ms until one may be ready, -1 = none
 * will. */
static struct account *
next_account(struct local *local, int64_t *wait_r)
{
	int64_t now = clock_ms();

	*wait_r = -1;
	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		int64_t wait;
		if (a->taken) {
			*wait_r = *wait_r < 0 || *wait_r > 1000 ? 1000 : *wait_r;
			continue;
		}
		if (a->state == ACCOUNT_PAUSED && !is_ready(a)) {
			*wait_r = *wait_r < 0 || *wait_r > 1000 ? 1000 : *wait_r;
			continue;
		}
		if (!is_ready(a))
			continue;
		wait = a->not_before - now;
		if (wait <= 0)
			return a;
		if (*wait_r < 0 || wait < *wait_r)
			*wait_r = wait;
	}
	return NULL;
}

static void
wait_changed(struct local *local, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&local->changed, &local->lock, &until);
}

static void
run_account(struct local *local, struct account *account)
{
	struct job job;

	memset(&job, 0, sizeof job);
	job.local = local;
	job.account = account;
	job_run(&job);
}

static void *
worker(void *p)
{
	struct local *local = p;
	int64_t wait;

	pthread_mutex_lock(&local->lock);
	for (;;) {
		struct account *account;
		if (local->stopping || local->workers > local->jobs)
			break;
		account = next_account(local, &wait);
		if (account == NULL && wait < 0)
			break;
		if (account == NULL) {
			wait_changed(local, wait);
			continue;
		}
		account->taken = true;
		local->working++;
		pthread_mutex_unlock(&local->lock);
		run_account(local, account);
		pthread_mutex_lock(&local->lock);
		account->taken = false;
		local->working--;
		local->revision++;
		pthread_cond_broadcast(&local->changed);
	}
	local->workers--;
	pthread_cond_broadcast(&local->changed);
	pthread_mutex_unlock(&local->lock);
	return NULL;
}

/* Starts workers up to the number wanted; the lock is held. */
static void
start_workers(struct local *local)
{
	while (local->workers < local->jobs && !local->stopping && !local->ended) {
		if (local->thread_count == local->thread_cap) {
			local->thread_cap = local->thread_cap ? local->thread_cap * 2 : 16;
			local->threads = xrealloc(
				local->threads, local->thread_cap * sizeof *local->threads);
		}
		if (pthread_create(&local->threads[local->thread_count], NULL, worker, local) != 0)
			break;
		local->thread_count++;
		local->workers++;
		if (local->workers >= local->account_count)
			break;
	}
}

static bool
any_needs_look(const struct local *local)
{
	for (size_t i = 0; i < local->account_count; i++) {
		const struct account *a = &local->accounts[i];
		if (a->state == ACCOUNT_REMARKS || a->state == ACCOUNT_SKIPPED ||
			a->progress.failed > 0 || a->progress.held > 0)
			return true;
	}
	return false;
}

/* DESIGN: 0 all done, 2 items, 3 accounts, 4 resumable, 5 cannot work here. The lock is held. */
static int
exit_code(const struct local *local)
{
	bool open = false, failed = false;

	if (local->run_err.code != ERR_NONE)
		return 5;
	for (size_t i = 0; i < local->account_count; i++) {
		open = open || account_state_open(local->accounts[i].state);
		failed = failed || local->accounts[i].state == ACCOUNT_FAILED;
	}
	return open ? 4 : failed ? 3 : any_needs_look(local) ? 2 : 0;
}

/* What was not begun when the run was stopped stays resumable and says so. */
static void
stop_waiting(struct local *local)
{
	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		if (a->state != ACCOUNT_WAITING && a->state != ACCOUNT_PAUSED)
			continue;
		a->state = ACCOUNT_STOPPED;
		if (local->config.task == TASK_RUN)
			ledger_account_state(local->config.ledger, a->id, ACCOUNT_STOPPED,
				local->round, ERR_NONE, NULL);
	}
}

/* For the next preflight. Mailboxes of which nothing was new tell nothing. */
static void
keep_speed(struct local *local)
{
	struct ledger_speed speed = { 0 };

	for (size_t i = 0; i < local->account_count; i++) {
		const struct progress *p = &local->accounts[i].progress;
		if (p->copied_now == 0)
			continue;
		speed.bytes += p->bytes_now;
		speed.items += p->copied_now;
		speed.ms += p->copy_ms;
	}
	if (speed.ms > 0)
		ledger_speed_put(local->config.ledger, &speed);
}

static enum err_code
code_of(enum level_why why)
{
	switch (why) {
	case LEVEL_UNAVAILABLE:
		return ERR_UNAVAILABLE;
	case LEVEL_REFUSED:
		return ERR_CONNECT;
	case LEVEL_BYE:
		return ERR_BYE;
	case LEVEL_SLOW:
		return ERR_TIMEOUT;
	case LEVEL_FINE:
	case LEVEL_LIMIT:
		break;
	}
	return ERR_LIMIT;
}

/* Hosts that asked for patience: the screens are told once of each, the log every time. */
static void
tell_pace_news(struct local *local)
{
	struct pace_news news;

	while (pace_tick(local->pace, &news)) {
		log_line(local->config.log, LOG_WARN, NULL, NULL, "%s", news.text);
		if (!news.first)
			continue;
		if (local->config.task == TASK_RUN)
			ledger_event(local->config.ledger, 0, NULL, EVENT_WARNING,
				code_of(news.why), news.text);
		local_event(local, ENGINE_WARNING, NULL, NULL, code_of(news.why), 0, 0, news.text);
	}
}

/* What became of compression and of the level, per host and direction. */
static void
log_lines(const struct local *local)
{
	struct pace_line lines[SNAPSHOT_HOSTS];
	size_t count = pace_lines(local->pace, lines, SNAPSHOT_HOSTS);

	for (size_t i = 0; i < count; i++) {
		const struct compression_status *status = &lines[i].status;

		log_line(local->config.log, LOG_INFO, NULL, NULL,
			"compression %s %s:%u: %" PRIu64 " of %" PRIu64 " connections, %" PRIu64
			" bytes as %" PRIu64,
			lines[i].source ? "from" : "to", lines[i].host, lines[i].port,
			status->compressed, status->begun, status->bytes, status->line_bytes);
		log_line(local->config.log, LOG_INFO, NULL, NULL,
			"connections %s %s:%u: %u at a time, at most %u%s%s",
			lines[i].source ? "from" : "to", lines[i].host, lines[i].port,
			lines[i].level, lines[i].ceiling,
			lines[i].why != LEVEL_FINE ? "; lowered last for " : "",
			level_why_text(lines[i].why));
	}
}

static void *
ticker(void *p)
{
	struct local *local = p;
	int64_t last = clock_ms(), now;

	pthread_mutex_lock(&local->lock);
	while (local->workers > 0) {
		wait_changed(local, TICK_MS);
		now = clock_ms();
		if (now - last < TICK_MS)
			continue;
		local_rates(local, (double)(now - last) / 1000);
		last = now;
		pthread_mutex_unlock(&local->lock);
		tell_pace_news(local);
		local_wake(local);
		pthread_mutex_lock(&local->lock);
	}
	if (local->stopping)
		stop_waiting(local);
	local->ended = true;
	local->exit_code = exit_code(local);
	pthread_cond_broadcast(&local->changed);
	pthread_mutex_unlock(&local->lock);
	tell_pace_news(local);
	log_lines(local);
	if (local->config.task == TASK_RUN) {
		keep_speed(local);
		ledger_run_end(local->config.ledger, local->run, local->exit_code);
	}
	local_event(local, ENGINE_ENDED, NULL, NULL, ERR_NONE, 0, (uint64_t)local->exit_code, "");
	return NULL;
}

/* ---- commands ---- */

static bool
matches(const struct account *account, const struct command *command)
{
	if (command->account != 0)
		return account->id == command->account;
	return command->glob[0] == '\0' || text_glob(command->glob, account->user->user);
}

static void
cut_account(struct account *account)
{
	for (int s = 0; s < 2 * LANES_MAX; s++)
		if (account->cancel[s] != NULL)
			cancel_fire(account->cancel[s]);
}

/* The lock is held. Asked a second time, a stop does not wait for answers. */
static void
control(struct local *local, struct account *account, enum control to)
{
	if (account->taken && (to == CONTROL_STOP || to == CONTROL_SKIP) &&
		atomic_load(&account->control) == (int)to)
		cut_account(account);
	if ((account->state == ACCOUNT_PAUSED || account->state == ACCOUNT_STOPPED) &&
		to == CONTROL_GO && !account->taken) {
		account->state = ACCOUNT_WAITING;
		account->not_before = 0;
	}
	if (!account_state_open(account->state))
		return;
	if (atomic_load(&account->control) == CONTROL_STOP && to == CONTROL_PAUSE)
		return;
	atomic_store(&account->control, to);
	if (account->taken || to == CONTROL_GO)
		return;
	account->state = to == CONTROL_PAUSE  ? ACCOUNT_PAUSED
			 : to == CONTROL_SKIP ? ACCOUNT_SKIPPED
					      : ACCOUNT_STOPPED;
	if (local->config.task == TASK_RUN)
		ledger_account_state(local->config.ledger, account->id, account->state,
			local->round, ERR_NONE, NULL);
}

/* A second stop of everything does not wait for answers: sessions are cut, what was unanswered
 * stays in doubt and is settled by the next run. */
static void
cut_sessions(struct local *local)
{
	for (size_t i = 0; i < local->account_count; i++)
		cut_account(&local->accounts[i]);
}

/* How many accounts it was for. */
static uint64_t
command_accounts(struct local *local, const struct command *command, struct err *err)
{
	bool all = command->account == 0 && command->glob[0] == '\0';
	uint64_t count = 0;

	if (command->kind == CMD_STOP && all) {
		if (local->stopping)
			cut_sessions(local);
		local->stopping = true;
		return local->account_count;
	}
	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		if (!matches(a, command))
			continue;
		count++;
		control(local, a,
			command->kind == CMD_PAUSE  ? CONTROL_PAUSE
			: command->kind == CMD_STOP ? CONTROL_STOP
			: command->kind == CMD_SKIP ? CONTROL_SKIP
						    : CONTROL_GO);
	}
	if (count == 0 && !all)
		err_set(err, ERR_USAGE, "no mailbox of this run matches %s", command->glob);
	return count;
}

/* A retry for one reason leaves alone what failed for others: above all no refused login is tried
 * again for the sake of something else. */
static bool
is_retried(const struct account *a, const struct command *command)
{
	if (!matches(a, command))
		return false;
	return a->state != ACCOUNT_FAILED || command->reason == 0 ||
	       (unsigned)a->err.code == command->reason;
}

/* Whether the reason is one that hosts are given up for. */
static bool
is_of_hosts(unsigned reason)
{
	struct err err;

	if (reason == 0 || reason == ERR_AUTH || reason == ERR_AUTH_EXPIRED)
		return true;
	err_set(&err, (enum err_code)reason, "-");
	return err.scope == SCOPE_HOST;
}

/* Failed items go from the ledger; accounts that had ended are worked on again. */
static int
command_retry(struct local *local, const struct command *command, struct ledger_changes *changes_r,
	struct err *err)
{
	const char *glob = command->glob[0] != '\0' ? command->glob : NULL;
	bool ended;

	for (size_t i = 0; command->account != 0 && i < local->account_count; i++)
		if (local->accounts[i].id == command->account)
			glob = local->accounts[i].user->user;

	pthread_mutex_lock(&local->lock);
	ended = local->ended;
	pthread_mutex_unlock(&local->lock);
	if (ended)
		return err_set(err, ERR_STATE_DIR, "the run has ended; retry is for the next one");
	if (ledger_retry(local->config.ledger, glob, command->reason, changes_r, err) < 0)
		return -1;
	if (is_of_hosts(command->reason))
		pace_forgive(local->pace);
	pthread_mutex_lock(&local->lock);
	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		if (!is_retried(a, command))
			continue;
		a->again = a->again || (a->taken && changes_r->items > 0);
		if (a->taken || (a->state != ACCOUNT_REMARKS && a->state != ACCOUNT_FAILED))
			continue;
		a->state = ACCOUNT_WAITING;
		a->not_before = 0;
		a->tries = 0;
		atomic_store(&a->control, CONTROL_GO);
	}
	start_workers(local);
	pthread_mutex_unlock(&local->lock);
	return 0;
}

static void
set_jobs(struct local *local, uint64_t jobs)
{
	local->jobs = jobs < 1 ? 1 : jobs > PROFILE_JOBS_MAX ? PROFILE_JOBS_MAX : (unsigned)jobs;
	pace_set_jobs(local->pace, local->jobs);
	start_workers(local);
}

static uint64_t
local_send(struct engine *engine, const struct command *command)
{
	struct local *local = (struct local *)(void *)engine;
	struct err err = { 0 };
	struct ledger_changes retried = { 0 };
	uint64_t id, changed = 0;
	char text[96] = "";

	pthread_mutex_lock(&local->lock);
	id = ++local->next_command;
	switch (command->kind) {
	case CMD_PAUSE:
	case CMD_RESUME:
	case CMD_STOP:
	case CMD_SKIP:
		changed = command_accounts(local, command, &err);
		break;
	case CMD_JOBS:
		set_jobs(local, command->value);
		break;
	case CMD_ROWS:
		local->first_row = (size_t)command->value;
		local->row_count =
			command->value2 > SNAPSHOT_ROWS ? SNAPSHOT_ROWS : (size_t)command->value2;
		break;
	case CMD_RETRY:
	case CMD_PING:
		break;
	}
	pthread_cond_broadcast(&local->changed);
	pthread_mutex_unlock(&local->lock);
	if (command->kind == CMD_RETRY && command_retry(local, command, &retried, &err) == 0) {
		changed = retried.items + retried.accounts;
		snprintf(text, sizeof text,
			"%" PRIu64 " failed items and %" PRIu64 " failed accounts are tried again",
			retried.items, retried.accounts);
	}
	if (err.code != ERR_NONE)
		local_event(local, ENGINE_ANSWER, NULL, NULL, err.code, id, 0, err.text);
	else
		local_event(local, ENGINE_ANSWER, NULL, NULL, ERR_NONE, id, changed, text);
	return id;
}

/* ---- start and end ---- */

static int
local_wake_fd(const struct engine *engine)
{
	return ((const struct local *)(const void *)engine)->wake_fd;
}

static bool
local_alive(const struct engine *engine)
{
	return !((const struct local *)(const void *)engine)->joined;
}

static void
free_local(struct local *local)
{
	for (size_t i = 0; i < local->account_count; i++) {
		care_list_free(&local->accounts[i].care);
		watched_free(&local->accounts[i].watched);
		check_account_clear(&local->accounts[i].check);
	}
	free(local->accounts);
	free(local->threads);
	if (local->wake_fd >= 0)
		close(local->wake_fd);
	pace_free(&local->pace);
	spool_pool_free(&local->pool);
	pthread_cond_destroy(&local->changed);
	pthread_mutex_destroy(&local->lock);
	free(local);
}

static void
local_close(struct engine **engine)
{
	struct local *local = (struct local *)(void *)*engine;
	struct command stop = { .kind = CMD_STOP };

	if (!local->joined) {
		local_send(*engine, &stop);
		engine_local_join(*engine);
	}
	free_local(local);
	*engine = NULL;
}

static const struct engine_ops local_ops = {
	.send = local_send,
	.snapshot = local_snapshot,
	.events = local_events,
	.wake_fd = local_wake_fd,
	.alive = local_alive,
	.close = local_close,
};

static bool
is_wanted(const struct engine_config *config, const char *user)
{
	for (size_t i = 0; i < config->only_count; i++)
		if (text_glob(config->only[i], user))
			return true;
	return config->only_count == 0;
}

/* An account that came to its end in this round is not worked on again in it; failed ones, those
 * with remarks, and those that an earlier run left out are. */
static void
recall_state(struct local *local, struct account *account, const struct ledger_account *rows,
	size_t count)
{
	account->state = ACCOUNT_WAITING;
	for (size_t i = 0; i < count; i++) {
		const struct ledger_account *row = &rows[i];
		struct ledger_counts c = { 0 };
		struct progress *p = &account->progress;
		if (row->id != account->id)
			continue;
		if (ledger_totals(local->config.ledger, row->id, &c, NULL) == 0) {
			p->before = c;
			for (int s = 1; s < ITEM_STATES; s++)
				p->done += c.by_state[s];
			p->found = c.found;
			p->copied = c.by_state[ITEM_LANDED] + c.by_state[ITEM_VERIFIED];
			p->skipped = c.by_state[ITEM_SKIPPED];
			p->failed = c.by_state[ITEM_FAILED];
			p->held = c.by_state[ITEM_HELD];
			p->vanished = c.by_state[ITEM_VANISHED];
			p->bytes_done = c.bytes_landed;
			p->bytes_found = c.bytes_found;
		}
		/* Who is named on the command line is worked on again in any case. */
		if (row->round == local->round && !account_state_open(row->state) &&
			row->state != ACCOUNT_FAILED && row->state != ACCOUNT_REMARKS &&
			row->state != ACCOUNT_SKIPPED && local->config.only_count == 0)
			account->state = row->state;
	}
}

static bool
is_in_list(const struct local *local, const struct ledger_account *row)
{
	const struct users *users = local->config.users;

	for (size_t i = 0; i < users->count; i++)
		if (strcmp(users->rows[i].user, row->source_user) == 0)
			return true;
	return false;
}

/* A user that was taken out of the list keeps no round open. */
static int
skip_removed(struct local *local, struct err *err)
{
	struct ledger *ledger = local->config.ledger;
	struct ledger_account *rows = NULL;
	struct ledger_run *runs = NULL;
	size_t count = 0, run_count = 0;
	unsigned round = 0;

	if (ledger_runs(ledger, &runs, &run_count, err) < 0)
		return -1;
	for (size_t i = 0; i < run_count; i++)
		round = runs[i].round > round ? runs[i].round : round;
	free(runs);
	if (ledger_accounts(ledger, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!is_in_list(local, &rows[i]) &&
			(account_state_open(rows[i].state) || rows[i].round != round))
			ledger_account_state(ledger, rows[i].id, ACCOUNT_SKIPPED, round, ERR_NONE,
				"no longer in the user list");
	ledger_accounts_free(rows, count);
	return ledger_flush(ledger, err);
}

static bool
is_rebound(const struct engine_config *config, const char *user)
{
	for (size_t i = 0; i < config->rebind_count; i++)
		if (strcmp(config->rebind[i], user) == 0)
			return true;
	return false;
}

/* The ledger's rows of the accounts; new ones are made. */
static int
bind_to_ledger(struct local *local, struct err *err)
{
	const struct engine_config *config = &local->config;
	const struct profile *profile = config->profile;
	struct ledger_bind *rows = xcalloc(local->account_count + 1, sizeof *rows);
	int ret;

	for (size_t i = 0; i < local->account_count; i++) {
		const struct user *u = local->accounts[i].user;
		rows[i].source_user = u->user;
		rows[i].source_host =
			u->source_host != NULL ? u->source_host : profile->source.host;
		rows[i].target_user = u->target_user;
		rows[i].target_host =
			u->target_host != NULL ? u->target_host : profile->target.host;
		rows[i].rebind = is_rebound(config, u->user);
	}
	ret = ledger_bind_accounts(config->ledger, rows, local->account_count, err);
	for (size_t i = 0; ret == 0 && i < local->account_count; i++)
		local->accounts[i].id = rows[i].id;
	free(rows);
	return ret;
}

static int
bind_accounts(struct local *local, struct err *err)
{
	const struct engine_config *config = &local->config;
	struct ledger_account *rows = NULL;
	size_t count = 0;

	if (config->task == TASK_RUN && bind_to_ledger(local, err) < 0)
		return -1;
	if (ledger_accounts(config->ledger, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < local->account_count; i++) {
		struct account *a = &local->accounts[i];
		for (size_t r = 0; a->id == 0 && r < count; r++)
			if (strcmp(rows[r].source_user, a->user->user) == 0)
				a->id = rows[r].id;
		if (config->task == TASK_RUN)
			recall_state(local, a, rows, count);
	}
	ledger_accounts_free(rows, count);
	return 0;
}

static void
init_accounts(struct local *local)
{
	const struct users *users = local->config.users;

	local->accounts = xcalloc(users->count + 1, sizeof *local->accounts);
	for (size_t i = 0; i < users->count; i++) {
		struct account *a = &local->accounts[local->account_count];
		if (!is_wanted(&local->config, users->rows[i].user))
			continue;
		a->user = &users->rows[i];
		a->index = local->account_count++;
		a->state = ACCOUNT_WAITING;
		atomic_init(&a->control, CONTROL_GO);
	}
}

static void
init_pace(struct local *local)
{
	const struct profile *p = local->config.profile;

	local->pace = pace_new(1);
	pace_set_jobs(local->pace, local->jobs);
	if (p->source.connections != 0)
		pace_set_slots(local->pace, p->source.host, p->source.port, p->source.connections);
	if (p->target.connections != 0)
		pace_set_slots(local->pace, p->target.host, p->target.port, p->target.connections);
}

int
engine_local_start(const struct engine_config *config, struct engine **engine_r, struct err *err)
{
	struct local *local = xcalloc(1, sizeof *local);

	local->base.ops = &local_ops;
	local->config = *config;
	local->started_ms = clock_ms();
	local->started = clock_now();
	local->jobs = config->jobs != 0 ? config->jobs : config->profile->run.jobs;
	local->row_count = SNAPSHOT_ROWS;
	pthread_mutex_init(&local->lock, NULL);
	pthread_cond_init(&local->changed, NULL);
	local->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	local->pool = spool_pool_new(config->state_dir, SPOOL_MEMORY, SPOOL_ONE);
	init_pace(local);
	init_accounts(local);
	if ((config->task == TASK_RUN && skip_removed(local, err) < 0) ||
		(config->task == TASK_RUN &&
			ledger_run_begin(config->ledger, &local->run, &local->round, err) < 0) ||
		bind_accounts(local, err) < 0) {
		free_local(local);
		return -1;
	}
	pthread_mutex_lock(&local->lock);
	start_workers(local);
	if (pthread_create(&local->ticker, NULL, ticker, local) != 0)
		BUG("no thread");
	pthread_mutex_unlock(&local->lock);
	*engine_r = &local->base;
	return 0;
}

int
engine_local_join(struct engine *engine)
{
	struct local *local = (struct local *)(void *)engine;

	if (local->joined)
		return local->exit_code;
	pthread_join(local->ticker, NULL);
	for (size_t i = 0; i < local->thread_count; i++)
		pthread_join(local->threads[i], NULL);
	local->joined = true;
	return local->exit_code;
}

void
engine_local_report(struct engine *engine, const char *path)
{
	struct local *local = (struct local *)(void *)engine;

	pthread_mutex_lock(&local->lock);
	text_safe(local->report, sizeof local->report, path);
	local->revision++;
	pthread_mutex_unlock(&local->lock);
	local_wake(local);
}

bool
engine_local_check(struct engine *engine, size_t index, struct check_account *check_r)
{
	struct local *local = (struct local *)(void *)engine;
	const struct account *account;
	bool ended;

	if (index >= local->account_count)
		return false;
	account = &local->accounts[index];
	/* The worker wrote its findings before it told the end, under this lock. */
	pthread_mutex_lock(&local->lock);
	ended = !account_state_open(account->state);
	if (ended) {
		*check_r = account->check;
		check_r->user = account->user;
		if (!check_r->ok && check_r->err.code == ERR_NONE)
			check_r->err = account->err;
	}
	pthread_mutex_unlock(&local->lock);
	return ended;
}
