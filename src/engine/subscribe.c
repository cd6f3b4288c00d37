/* subscribe.c - the subscriptions of the source, carried once: what a user unsubscribes on the
 * target later stays so. Each is an act in the ledger; one that the target refused is tried again
 * by the next run. Runs in the worker's thread, before the copying. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

#define KIND "subscribe"

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
folders_subscribe(struct job *job, struct err *err)
{
	struct folder *folders = xcalloc(job->folder_count + 1, sizeof *folders);
	const struct work_folder **of = xcalloc(job->folder_count + 1, sizeof *of);
	struct err *errs = xcalloc(job->folder_count + 1, sizeof *errs);
	size_t count = 0;
	int ret = 0;

	for (size_t i = 0; i < job->folder_count; i++)
		if (is_wanted(job, &job->folders[i])) {
			of[count] = &job->folders[i];
			folders[count++] = job->folders[i].target;
		}
	if (count > 0)
		ret = job->target.c->subscribe(job->target.session, folders, count, errs, err);
	for (size_t i = 0; ret == 0 && i < count; i++)
		note_result(job, of[i], &errs[i]);
	free(folders);
	free(of);
	free(errs);
	return ret;
}
