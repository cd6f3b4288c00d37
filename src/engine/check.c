/* check.c - preflight and dry run of one account: log in on both sides, read only, and say what
 * would happen. Both sessions refuse to send anything that writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/job.h"

#include "base/banned.h"

#define SPEED_MIN_MS 1000 /* of work: less says nothing about what is to come */

void
check_account_clear(struct check_account *check)
{
	for (size_t i = 0; i < check->folder_count; i++) {
		free(check->folders[i].source);
		free(check->folders[i].target);
		free(check->folders[i].remark);
	}
	free(check->folders);
	for (uint64_t i = 0; i < check->too_large && i < CHECK_LARGE_MAX; i++)
		free(check->large[i].folder);
	free(check->large);
	memset(check, 0, sizeof *check);
}

static void
fill_info(struct job *job, struct check_account *check)
{
	struct session_info info;

	job->main.source.c->info(job->main.source.session, &info);
	snprintf(check->source_login, sizeof check->source_login, "%s", info.login);
	snprintf(check->source_server, sizeof check->source_server, "%s", info.server);
	snprintf(check->source_tls, sizeof check->source_tls, "%s", info.tls);
	snprintf(check->source_offers, sizeof check->source_offers, "%s", info.offers);
	job->main.target.c->info(job->main.target.session, &info);
	snprintf(check->target_login, sizeof check->target_login, "%s", info.login);
	snprintf(check->target_server, sizeof check->target_server, "%s", info.server);
	snprintf(check->target_tls, sizeof check->target_tls, "%s", info.tls);
	snprintf(check->target_offers, sizeof check->target_offers, "%s", info.offers);
}

static char *
safe_dup(const char *text)
{
	struct str s;

	str_init(&s, 0);
	text_sanitize(&s, text, strlen(text));
	return str_take(&s);
}

static void
fill_folders(struct job *job, struct check_account *check)
{
	const struct plan *plan = &job->plan;

	check->folders = xcalloc(plan->count + 1, sizeof *check->folders);
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_folder *pf = &plan->folders[i];
		struct check_folder *f = &check->folders[check->folder_count++];
		f->source = safe_dup(pf->source_name);
		f->messages = pf->source.messages;
		f->bytes = pf->source.size_bytes;
		if (pf->left_out != NULL) {
			f->remark = xstrdup(pf->left_out);
			continue;
		}
		f->target = safe_dup(pf->target_name);
		f->exists = pf->exists;
		f->altered = pf->altered;
		check->messages += pf->source.messages;
		check->bytes += pf->source.size_bytes;
		if (pf->exists && pf->target.messages > 0)
			f->remark = xasprintf("not empty (%u)", (unsigned)pf->target.messages);
	}
}

/* What the ledger has of this account; a user who is new to it has no rows. */
static int
known_rows(struct job *job, struct check_account *check, struct ledger_folder **rows_r,
	size_t *count_r, struct err *err)
{
	if (job->account->id == 0)
		return 0;
	if (ledger_folders(job->ledger, job->account->id, rows_r, count_r, err) < 0)
		return -1;
	for (size_t i = 0; i < *count_r; i++)
		check->known += (*rows_r)[i].counts.by_state[ITEM_LANDED] +
				(*rows_r)[i].counts.by_state[ITEM_VERIFIED];
	return 0;
}

/* What stands against moving this account, if anything does. */
static int
verdict(struct job *job, struct check_account *check, const struct ledger_folder *rows,
	size_t count, struct err *err)
{
	uint64_t room =
		check->quota_limit > check->quota_used ? check->quota_limit - check->quota_used : 0;

	for (size_t i = 0; i < job->plan.work_count; i++)
		if (folders_judge(job, &job->plan.folders[i], rows, count, err) < 0)
			return -1;
	if (check->quota_limit != 0 && check->left_bytes > room)
		return err_set(err, ERR_QUOTA,
			"the target has room for %llu bytes, %llu are left to copy",
			(unsigned long long)room, (unsigned long long)check->left_bytes);
	return 0;
}

/* Each message's size is asked for only where a limit makes it matter. */
static bool
must_list(const struct job *job, const struct check_account *check)
{
	return check->append_limit != 0 ||
	       (check->quota_limit != 0 &&
		       (!left_sizes_told(job) ||
			       check->quota_used + check->bytes > check->quota_limit));
}

/* A mailbox moves no faster than its bytes, nor than its messages. */
static void
foresee_time(struct job *job, struct check_account *check)
{
	struct ledger_speed speed;
	uint64_t ms = 0;

	if (!check->left_known || check->left == 0 ||
		ledger_speed_get(job->ledger, &speed, NULL) < 0 || speed.ms < SPEED_MIN_MS)
		return;
	if (speed.items > 0)
		ms = (uint64_t)((double)check->left * (double)speed.ms / (double)speed.items);
	if (speed.bytes > 0 &&
		(double)check->left_bytes * (double)speed.ms / (double)speed.bytes > (double)ms)
		ms = (uint64_t)((double)check->left_bytes * (double)speed.ms / (double)speed.bytes);
	check->time_s = ms / 1000 + 1;
}

static int
ask_quota(struct job *job, struct check_account *check, struct err *err)
{
	const struct side *target = &job->main.target;
	struct err why = { 0 };

	if ((target->c->caps(target->session) & CAN_QUOTA) == 0 ||
		target->c->quota(target->session, &check->quota_used, &check->quota_limit, &why) ==
			0 ||
		!err_is_link(why.code))
		return 0;
	*err = why;
	return -1;
}

static int
look_into(struct job *job, struct check_account *check, struct err *err)
{
	struct ledger_folder *rows = NULL;
	size_t count = 0;
	int ret = -1;

	if (known_rows(job, check, &rows, &count, err) < 0 || ask_quota(job, check, err) < 0)
		goto out;
	if (!must_list(job, check))
		left_sum(job, check, rows, count);
	else if (left_list(job, check, rows, count, err) < 0)
		goto out;
	foresee_time(job, check);
	ret = verdict(job, check, rows, count, err);
out:
	ledger_folders_free(rows, count);
	return ret;
}

static int
look_at(struct job *job, struct check_account *check, struct err *err)
{
	struct side *target = &job->main.target;

	if (side_open(job, &job->main.source, NULL, err) < 0 ||
		side_open(job, target, NULL, err) < 0)
		return -1;
	target->c->batch_limits(target->session, &job->limits);
	check->append_limit = job->limits.message_max;
	fill_info(job, check);
	if (side_list(&job->main.source, &job->source_folders, err) < 0 ||
		side_list(target, &job->target_folders, err) < 0 || folders_prepare(job, err) < 0)
		return -1;
	fill_folders(job, check);
	return look_into(job, check, err);
}

void
check_account_run(struct job *job)
{
	struct check_account *check = &job->account->check;
	struct err err = { 0 };

	local_state(job->local, job->account, ACCOUNT_SCANNING, NULL);
	check->ok = look_at(job, check, &err) == 0;
	check->err = err;
	if (check->ok)
		memset(&check->err, 0, sizeof check->err);
	lane_close(&job->main);
	folders_clear(job);
	local_state(job->local, job->account, check->ok ? ACCOUNT_DONE : ACCOUNT_FAILED,
		check->ok ? NULL : &err);
}
