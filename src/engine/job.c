/* job.c - one account from its first attempt to its end.
 *
 * An attempt: slots, both sessions, folders, first looks, then the reader thread beside the writer
 * (this thread), second looks, late doubles. An attempt that failed leaves everything as a crash
 * would; the scheduler runs the job again after a while, or the account has failed. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/account_lock.h"
#include "engine/job.h"

#include "base/banned.h"

#define TRIES_MAX 6

static bool
wants_stop(const struct job *job)
{
	return atomic_load(&job->account->control) != CONTROL_GO || local_stopping(job->local);
}

bool
job_stopping(struct job *job)
{
	/* It stays so for this attempt: a resume that comes before its end finds an account that
	 * was not read to its end. */
	if (!atomic_load(&job->stopped) && wants_stop(job))
		atomic_store(&job->stopped, true);
	return atomic_load(&job->stopped);
}

void
job_note(struct job *job, const char *folder, enum event_kind kind, enum err_code code,
	const char *fmt, ...)
{
	static const enum engine_event_kind kinds[] = { ENGINE_NOTE, ENGINE_WARNING, ENGINE_ERROR };
	static const enum log_level levels[] = { LOG_INFO, LOG_WARN, LOG_ERROR };
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!job->readonly)
		ledger_event(job->ledger, job->account->id, folder, kind, code, text);
	log_line(job->log, levels[kind], job->name, folder, "%s", text);
	local_event(job->local, kinds[kind], job->account, folder, code, 0, 0, text);
}

void
job_note_host(struct job *job, enum err_code code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!job->readonly)
		ledger_event(job->ledger, 0, NULL, EVENT_ERROR, code, text);
	local_event(job->local, ENGINE_ERROR, NULL, NULL, code, 0, 0, text);
}

/* A host that took long for a batch once may take as long again for one we did not wait for. */
unsigned
job_settle_wait(struct job *job)
{
	unsigned longest = ledger_host_longest(job->ledger, job->main.target.endpoint.host);
	unsigned wait = job->run->settle_wait_ms;

	return longest < UINT_MAX / 3 && longest * 3 > wait ? longest * 3 : wait;
}

void
job_take_care(struct job *job, enum care care, const char *source_key, uint32_t uid)
{
	struct care_list *c;

	pthread_mutex_lock(&job->lock);
	for (c = job->account->care; c != NULL && strcmp(c->source_key, source_key) != 0;
		c = c->next)
		;
	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->source_key = xstrdup(source_key);
		c->next = job->account->care;
		job->account->care = c;
	}
	uidset_add(&c->uids[care], uid, uid);
	pthread_mutex_unlock(&job->lock);
}

bool
job_takes_care_locked(const struct job *job, enum care care, const char *source_key, uint32_t uid)
{
	bool ret = false;

	for (struct care_list *c = job->account->care; c != NULL; c = c->next)
		ret = ret ||
		      (strcmp(c->source_key, source_key) == 0 && uidset_has(&c->uids[care], uid));
	return ret;
}

bool
job_takes_care(struct job *job, enum care care, const char *source_key, uint32_t uid)
{
	bool ret;

	pthread_mutex_lock(&job->lock);
	ret = job_takes_care_locked(job, care, source_key, uid);
	pthread_mutex_unlock(&job->lock);
	return ret;
}

bool
job_takes_any_care(struct job *job, const char *source_key)
{
	bool ret = false;

	pthread_mutex_lock(&job->lock);
	for (struct care_list *c = job->account->care; c != NULL; c = c->next)
		ret = ret || strcmp(c->source_key, source_key) == 0;
	pthread_mutex_unlock(&job->lock);
	return ret;
}

void
care_list_free(struct care_list **care)
{
	while (*care != NULL) {
		struct care_list *c = *care;
		*care = c->next;
		for (int kind = 0; kind < CARE_KINDS; kind++)
			uidset_clear(&c->uids[kind]);
		free(c->source_key);
		free(c);
	}
}

/* ---- an attempt ---- */

static void
show_state(struct job *job, enum account_state state)
{
	local_state(job->local, job->account, state, NULL);
	ledger_account_state(
		job->ledger, job->account->id, state, job->local->round, ERR_NONE, NULL);
}

static void
load_progress(struct job *job)
{
	struct ledger_counts c = { 0 };
	struct progress *p = &job->account->progress;
	struct err err;

	if (ledger_totals(job->ledger, job->account->id, &c, &err) < 0)
		return;
	pthread_mutex_lock(&job->local->lock);
	p->before = c;
	p->done = 0;
	for (int s = 1; s < ITEM_STATES; s++)
		p->done += c.by_state[s];
	p->copied = c.by_state[ITEM_LANDED] + c.by_state[ITEM_VERIFIED];
	p->skipped = c.by_state[ITEM_SKIPPED];
	p->failed = c.by_state[ITEM_FAILED];
	p->held = c.by_state[ITEM_HELD];
	p->vanished = c.by_state[ITEM_VANISHED];
	p->bytes_done = c.bytes_landed;
	if (p->found < c.found)
		p->found = c.found;
	if (p->bytes_found < c.bytes_found)
		p->bytes_found = c.bytes_found;
	pthread_mutex_unlock(&job->local->lock);
}

static int
open_main(struct job *job, struct err *err)
{
	const struct side *target = &job->main.target;

	if (lane_open(&job->main, &job->source_folders, &job->target_folders, err) < 0)
		return -1;
	job->target_caps = target->c->caps(target->session);
	target->c->batch_limits(target->session, &job->limits);
	if (job->limits.messages > job->run->batch_messages)
		job->limits.messages = job->run->batch_messages;
	if (job->limits.bytes > job->run->batch_bytes)
		job->limits.bytes = job->run->batch_bytes;
	return 0;
}

static int
copy(struct job *job, struct err *err)
{
	int64_t began = clock_ms();
	size_t left = 0;
	int ret;

	lanes_go(job);
	ret = lane_copy(&job->main, err);
	lanes_end(job);
	writer_say_shared(job);
	pthread_mutex_lock(&job->local->lock);
	job->account->progress.copy_ms += (uint64_t)(clock_ms() - began);
	pthread_mutex_unlock(&job->local->lock);
	if (atomic_load(&job->broken)) {
		*err = job->broke;
		ret = -1;
	}
	do
		ret = ret == 0 && !job_stopping(job) ? settle_continue(job, true, &left, err) : ret;
	while (ret == 0 && left > 0 && !job_stopping(job));
	if (ret == 0 && !job_stopping(job))
		ret = settle_watch(job, err);
	return ret;
}

/* Told beforehand, since hours may lie between: the quota can be raised while we copy, and an
 * account that meets it waits. Once in a run: what lets it fail must not keep an account from its
 * mail. */
static int
foresee_quota(struct job *job, struct err *err)
{
	const struct side *target = &job->main.target;
	uint64_t left = left_at_most(job), used = 0, limit = 0;
	struct err why = { 0 };

	if (left == 0 || job->account->quota_asked || (job->target_caps & CAN_QUOTA) == 0)
		return 0;
	job->account->quota_asked = true;
	if (target->c->quota(target->session, &used, &limit, &why) < 0) {
		if (!err_is_link(why.code) && why.code != ERR_CANCELLED)
			return 0; /* this server does not tell */
		*err = why;
		return -1;
	}
	if (limit != 0 && left > (limit > used ? limit - used : 0))
		job_note(job, NULL, EVENT_WARNING, ERR_QUOTA,
			"the target's quota has room for %llu bytes, and up to %llu are left to "
			"copy",
			(unsigned long long)(limit > used ? limit - used : 0),
			(unsigned long long)left);
	return 0;
}

static int
attempt(struct job *job, struct err *err)
{
	show_state(job, ACCOUNT_SCANNING);
	/* What an attempt before this one still had queued decides what is in doubt. */
	if (ledger_flush(job->ledger, err) < 0 || open_main(job, err) < 0 ||
		folders_prepare(job, err) < 0)
		return -1;
	load_progress(job);
	if (foresee_quota(job, err) < 0 || settle_begin(job, err) < 0 ||
		ledger_flush(job->ledger, err) < 0)
		return -1;
	if (job_stopping(job))
		return subscribe_end(job, err);
	show_state(job, ACCOUNT_COPYING);
	if (copy(job, err) < 0 || subscribe_end(job, err) < 0)
		return -1;
	if (!job_stopping(job) && !job->restart)
		seen_keep(job);
	return ledger_flush(job->ledger, err);
}

/* ---- its end ---- */

static struct err *
folder_error(struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++)
		if (job->folders[i].err.code != ERR_NONE)
			return &job->folders[i].err;
	return NULL;
}

static void
end_as(struct job *job, enum account_state state, const struct err *err)
{
	local_state(job->local, job->account, state, err);
	if (job->readonly)
		return;
	ledger_account_state(job->ledger, job->account->id, state, job->local->round,
		err != NULL ? err->code : ERR_NONE, err != NULL ? err->text : NULL);
}

static bool
all_scanned(const struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++)
		if (!job->folders[i].scanned)
			return false;
	return true;
}

static void
end_done(struct job *job)
{
	struct ledger_counts c = { 0 };
	struct err *folder = folder_error(job);
	uint64_t batches = 0, items = 0, ended = 0;
	struct err err = { 0 };

	load_progress(job);
	if (ledger_totals(job->ledger, job->account->id, &c, &err) < 0 ||
		ledger_open_batches(job->ledger, job->account->id, &batches, &items, &err) < 0) {
		end_as(job, ACCOUNT_FAILED, &err);
		return;
	}
	for (int s = 1; s < ITEM_STATES; s++)
		ended += c.by_state[s];
	if (folder != NULL) {
		end_as(job, ACCOUNT_FAILED, folder);
	} else if (!all_scanned(job)) {
		err_set(&err, ERR_INTERNAL, "a folder was not read to its end");
		end_as(job, ACCOUNT_FAILED, &err);
	} else if (batches != 0 || ended != c.found) {
		err_set(&err, ERR_INTERNAL,
			"the sums do not agree: %llu found, %llu ended, %llu in doubt",
			(unsigned long long)c.found, (unsigned long long)ended,
			(unsigned long long)items);
		end_as(job, ACCOUNT_FAILED, &err);
	} else if (job->remarks || job->account->remarks ||
		   c.by_state[ITEM_FAILED] + c.by_state[ITEM_HELD] > 0) {
		end_as(job, ACCOUNT_REMARKS, NULL);
	} else {
		end_as(job, ACCOUNT_DONE, NULL);
	}
}

static enum account_state
stopped_state(const struct job *job)
{
	switch (atomic_load(&job->account->control)) {
	case CONTROL_PAUSE:
		return ACCOUNT_PAUSED;
	case CONTROL_SKIP:
		return ACCOUNT_SKIPPED;
	case CONTROL_STOP:
		return ACCOUNT_STOPPED;
	default: /* resumed meanwhile */
		return local_stopping(job->local) ? ACCOUNT_STOPPED : ACCOUNT_WAITING;
	}
}

/* How long to wait before the next attempt; -1: there is none. */
static int64_t
wait_before_next(const struct err *err, unsigned tries)
{
	if (err_is_final(err) || tries > TRIES_MAX)
		return -1;
	if (err->wait_ms != 0)
		return err->wait_ms;
	if (err->retry == RETRY_NOW && tries <= 2)
		return 50;
	return tries > 6 ? 32000 : (int64_t)250 << tries;
}

static void
end_failed(struct job *job, const struct err *err, bool got_on)
{
	struct account *account = job->account;
	int64_t wait;

	if (err->scope == SCOPE_RUN && err->code != ERR_CANCELLED) {
		end_as(job, ACCOUNT_STOPPED, err);
		local_fail_run(job->local, err);
		return;
	}
	if (job_stopping(job)) {
		end_as(job, stopped_state(job), err);
		return;
	}
	pthread_mutex_lock(&job->local->lock);
	account->tries = got_on ? 1 : account->tries + 1;
	if (account->tries > TRIES_MAX &&
		(job->main.source.turned_away || job->main.target.turned_away))
		account->tries = TRIES_MAX;
	wait = wait_before_next(err, account->tries);
	account->not_before = wait < 0 ? 0 : clock_ms() + wait;
	pthread_mutex_unlock(&job->local->lock);
	if (wait < 0) {
		if (err->scope == SCOPE_HOST) /* job_note_host() has told it */
			log_line(job->log, LOG_ERROR, job->name, NULL, "%s", err->text);
		else
			job_note(job, NULL, EVENT_ERROR, err->code, "%s", err->text);
		end_as(job, ACCOUNT_FAILED, err);
		return;
	}
	job_note(job, NULL, EVENT_WARNING, err->code, "%s; tried again in %lld ms", err->text,
		(long long)wait);
	end_as(job, ACCOUNT_WAITING, err);
}

static void
publish_cancels(struct job *job, bool on)
{
	pthread_mutex_lock(&job->local->lock);
	job->account->cancel[0] = on ? job->main.source.cancel : NULL;
	job->account->cancel[1] = on ? job->main.target.cancel : NULL;
	pthread_mutex_unlock(&job->local->lock);
}

/* A retry came while the account was at work: what it took out of the ledger may have been passed
 * already. */
static bool
take_again(struct job *job)
{
	bool again;

	pthread_mutex_lock(&job->local->lock);
	again = job->account->again;
	job->account->again = false;
	pthread_mutex_unlock(&job->local->lock);
	return again;
}

static void
run_attempt(struct job *job, struct err *err)
{
	const struct endpoint *ep = &job->main.target.endpoint;
	uint64_t landed = job->landed;
	struct err *folder;
	int lock = -1, ret;

	ret = account_lock(ep->host, ep->port, ep->user, &lock, err);
	if (ret == 0)
		ret = attempt(job, err);
	lanes_end(job);
	lane_close(&job->main);
	folder = folder_error(job);
	if (job->restart && job->landed > landed) {
		pthread_mutex_lock(&job->local->lock);
		job->account->tries = 0; /* it got on */
		pthread_mutex_unlock(&job->local->lock);
	}
	if (ret < 0 && !job->restart)
		end_failed(job, err, job->landed > landed);
	else if (job_stopping(job))
		end_as(job, stopped_state(job), NULL);
	else if (job->restart || take_again(job))
		end_as(job, ACCOUNT_WAITING, NULL);
	else if (folder != NULL && folder->retry != RETRY_NEVER)
		end_failed(job, folder, job->landed > landed);
	else
		end_done(job);
	settle_keep_watched(job);
	reader_free(&job->main);
	folders_clear(job);
	if (lock >= 0)
		close(lock);
}

void
job_run(struct job *job)
{
	struct pace *pace = job->local->pace;
	struct err err = { 0 };

	job->config = &job->local->config;
	job->run = &job->config->profile->run;
	job->ledger = job->config->ledger;
	job->log = job->config->log;
	job->name = job->account->user->user;
	job->readonly = job->config->task != TASK_RUN;
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	lane_init(&job->main, job);
	publish_cancels(job, true);
	if (pace_enter2(pace, &job->main.source.endpoint, &job->main.target.endpoint,
		    job->main.target.cancel, &err) < 0) {
		if (job->readonly)
			job->account->check.err = err;
		end_failed(job, &err, false);
	} else {
		if (job->readonly)
			check_account_run(job);
		else
			run_attempt(job, &err);
		pace_leave2(pace, &job->main.source.endpoint, &job->main.target.endpoint);
	}
	publish_cancels(job, false);
	lane_clear(&job->main);
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
}
