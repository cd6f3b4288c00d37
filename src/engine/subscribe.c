/* subscribe.c - the subscriptions of the source, carried once: what a user unsubscribes on the
 * target later stays so. Each is an act in the ledger; one that the target refused is tried again
 * by the next run. Runs in the worker's thread; the answers come while it copies. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

#define KIND "subscribe"

struct subscribing {
	struct folder *folders; /* as the connector wants them */
	const struct work_folder **of;
	struct err *errs;
	size_t count;
};

static bool
is_wanted(struct job *job, const struct work_folder *wf)
{
	unsigned how = job->config->profile->folders.subscriptions;

	if (how == SUBSCRIBE_NONE ||
		(how == SUBSCRIBE_COPY && !(wf->source.flags & FOLDER_SUBSCRIBED)))
		return false;
	return ledger_act_state(job->ledger, job->account->id, KIND, wf->target.key) != ACT_DONE;
}

static void
note_result(struct job *job, const struct work_folder *wf, const struct err *refused)
{
	bool existed = (wf->target.flags & FOLDER_SUBSCRIBED) != 0;

	ledger_act(job->ledger, job->account->id, KIND, wf->target.key,
		refused->code == ERR_NONE ? ACT_DONE : ACT_FAILED, existed,
		refused->code == ERR_NONE ? NULL : refused->text);
	if (refused->code == ERR_NONE)
		return;
	job->remarks = true;
	job_note(job, wf->plan->source_name, EVENT_WARNING, refused->code,
		"not subscribed on the target: %s", refused->text);
}

int
subscribe_begin(struct job *job, struct err *err)
{
	struct subscribing *sub = xcalloc(1, sizeof *sub);

	job->subscribing = sub;
	sub->folders = xcalloc(job->folder_count + 1, sizeof *sub->folders);
	sub->of = xcalloc(job->folder_count + 1, sizeof *sub->of);
	sub->errs = xcalloc(job->folder_count + 1, sizeof *sub->errs);
	for (size_t i = 0; i < job->folder_count; i++)
		if (is_wanted(job, &job->folders[i])) {
			sub->of[sub->count] = &job->folders[i];
			sub->folders[sub->count++] = job->folders[i].target;
		}
	if (sub->count == 0)
		return 0;
	return job->main.target.c->subscribe_start(
		job->main.target.session, sub->folders, sub->count, sub->errs, err);
}

int
subscribe_end(struct job *job, struct err *err)
{
	struct subscribing *sub = job->subscribing;

	if (sub->count > 0 && job->main.target.c->subscribe_wait(job->main.target.session, err) < 0)
		return -1;
	for (size_t i = 0; i < sub->count; i++)
		note_result(job, sub->of[i], &sub->errs[i]);
	sub->count = 0;
	return 0;
}

/* With the session closed: its answers would go here. */
void
subscribe_clear(struct job *job)
{
	struct subscribing *sub = job->subscribing;

	if (sub == NULL)
		return;
	free(sub->folders);
	free(sub->of);
	free(sub->errs);
	free(sub);
	job->subscribing = NULL;
}
