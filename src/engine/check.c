/* check.c - preflight and dry run of one account: log in on both sides, read only, and say what
 * would happen. Both sessions refuse to send anything that writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/job.h"

#include "base/banned.h"

void
check_account_clear(struct check_account *check)
{
	for (size_t i = 0; i < check->folder_count; i++) {
		free(check->folders[i].source);
		free(check->folders[i].target);
		free(check->folders[i].remark);
	}
	free(check->folders);
	memset(check, 0, sizeof *check);
}

static void
fill_info(struct job *job, struct check_account *check)
{
	struct session_info info;

	job->source.c->info(job->source.session, &info);
	snprintf(check->source_login, sizeof check->source_login, "%s", info.login);
	snprintf(check->source_server, sizeof check->source_server, "%s", info.server);
	snprintf(check->source_tls, sizeof check->source_tls, "%s", info.tls);
	snprintf(check->source_offers, sizeof check->source_offers, "%s", info.offers);
	job->target.c->info(job->target.session, &info);
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

/* Messages larger than the target takes; asked for in one listing per folder. */
static int
count_large(struct job *job, struct check_account *check, struct err *err)
{
	struct side *source = &job->source;
	struct message *message;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < job->plan.work_count; i++) {
		struct uidset all = { 0 };
		if (job->plan.folders[i].source.messages == 0)
			continue;
		uidset_add(&all, 1, UINT32_MAX);
		ret = source->c->fetch_start(
			source->session, &job->plan.folders[i].source, &all, FETCH_META, err);
		uidset_clear(&all);
		while (ret == 0 &&
			(ret = source->c->fetch_next(source->session, &message, err)) == 1) {
			check->too_large += message->item->size > check->append_limit;
			message_free(&message);
			ret = 0;
		}
	}
	return ret;
}

static int
known_rows(struct job *job, struct check_account *check, struct err *err)
{
	struct ledger_counts counts = { 0 };

	if (job->account->id == 0)
		return 0;
	if (ledger_totals(job->ledger, job->account->id, &counts, err) < 0)
		return -1;
	check->known = counts.by_state[ITEM_LANDED] + counts.by_state[ITEM_VERIFIED];
	return 0;
}

/* What stands against moving this account, if anything does. */
static int
verdict(struct job *job, struct check_account *check, struct err *err)
{
	for (size_t i = 0; i < job->plan.work_count; i++) {
		const struct plan_folder *pf = &job->plan.folders[i];
		if (check->known == 0 && pf->exists && pf->target.messages > 0 &&
			job->run->existing == EXISTING_REFUSE)
			return err_set(err, ERR_NOTEMPTY,
				"target folder %s holds %u messages that are not from here; "
				"existing = "
				"add in [run] would add to them",
				pf->target_name, (unsigned)pf->target.messages);
	}
	if (check->quota_limit != 0 && check->known == 0 &&
		check->quota_used + check->bytes > check->quota_limit)
		return err_set(err, ERR_QUOTA,
			"the target has room for %llu bytes, the source holds %llu",
			(unsigned long long)(check->quota_limit > check->quota_used
						     ? check->quota_limit - check->quota_used
						     : 0),
			(unsigned long long)check->bytes);
	return 0;
}

static int
look_at(struct job *job, struct check_account *check, struct err *err)
{
	struct side *target = &job->target;

	if (side_open(job, &job->source, err) < 0 || side_open(job, target, err) < 0)
		return -1;
	target->c->batch_limits(target->session, &job->limits);
	check->append_limit = job->limits.message_max;
	fill_info(job, check);
	if (folders_prepare(job, err) < 0)
		return -1;
	fill_folders(job, check);
	if (known_rows(job, check, err) < 0)
		return -1;
	if ((target->c->caps(target->session) & CAN_QUOTA) &&
		target->c->quota(target->session, &check->quota_used, &check->quota_limit, err) <
			0 &&
		err_is_link(err->code))
		return -1;
	if (job->config->task == TASK_DRY && check->append_limit != 0 &&
		count_large(job, check, err) < 0)
		return -1;
	return verdict(job, check, err);
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
	side_close(&job->source);
	side_close(&job->target);
	folders_clear(job);
	local_state(job->local, job->account, check->ok ? ACCOUNT_DONE : ACCOUNT_FAILED,
		check->ok ? NULL : &err);
}
