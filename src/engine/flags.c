/* flags.c - later rounds: flags that changed at the source, carried to the target.
 *
 * Only where the target is still as we left it: its flags equal those last written, or those about
 * to be written (a run that died in between). What a user changed on the target stays. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

/* The target's answer for one change. */
enum verdict { VERDICT_GONE, VERDICT_WRITE, VERDICT_THERE, VERDICT_TOUCHED, VERDICT_REFUSED };

/* None but those that we meant to write: some the target may not have kept. */
static bool
keywords_within(const char *now, const char *written)
{
	while (now != NULL && *now != '\0') {
		size_t len = strcspn(now, " ");
		char *one = xstrndup(now, len);
		bool ours = keywords_has(written, one);
		free(one);
		if (!ours)
			return false;
		now += len + strspn(now + len, " ");
	}
	return true;
}

/* lost: the target does not keep all keywords. */
static bool
same(const struct item *now, unsigned flags, const char *keywords, bool lost)
{
	return (now->flags & ITEM_FLAGS_ALL) == (flags & ITEM_FLAGS_ALL) &&
	       (lost ? keywords_within(now->keywords, keywords)
		     : keywords_eq(now->keywords, keywords));
}

static enum verdict
judge(const struct flag_change *c, const struct item *now, bool any_keyword)
{
	bool lost = c->keywords_lost || !any_keyword;

	/* Keywords that were refused before are not tried in each round. */
	if (same(now, c->new_flags, c->new_keywords, c->keywords_lost))
		return VERDICT_THERE;
	if (same(now, c->old_flags, c->old_keywords, lost))
		return VERDICT_WRITE;
	return same(now, c->new_flags, c->new_keywords, lost) ? VERDICT_THERE : VERDICT_TOUCHED;
}

static int
by_target_uid(const void *a, const void *b)
{
	const struct flag_change *x = a, *y = b;

	return (x->target_uid > y->target_uid) - (x->target_uid < y->target_uid);
}

static int
look_at_target(struct lane *lane, const struct work *work, const struct uidset *set,
	enum verdict *verdicts, uint64_t *modseqs, struct err *err)
{
	struct side *target = &lane->target;
	struct message *message;
	int ret;

	ret = target->c->fetch_start(target->session, &work->folder->target, set, FETCH_FLAGS, err);
	while (ret == 0 && (ret = target->c->fetch_next(target->session, &message, err)) == 1) {
		struct flag_change key = { .target_uid = message->item->uid };
		struct flag_change *c =
			bsearch(&key, work->changes, work->change_count, sizeof key, by_target_uid);
		if (c != NULL) {
			verdicts[c - work->changes] = judge(c, message->item,
				(target->c->caps(target->session) & CAN_KEYWORDS) != 0);
			modseqs[c - work->changes] = message->item->modseq;
		}
		message_free(&message);
		ret = 0;
	}
	return ret;
}

static int
ask_target(struct lane *lane, const struct work *work, enum verdict *verdicts, uint64_t *modseqs,
	struct err *err)
{
	struct side *target = &lane->target;
	struct uidset set = { 0 };
	bool conditional = (target->c->caps(target->session) & CAN_CHANGES) != 0;
	int ret;

	for (size_t i = 0; i < work->change_count; i++)
		if (work->changes[i].target_uid != 0)
			uidset_add(&set, work->changes[i].target_uid, work->changes[i].target_uid);
	if (set.count == 0)
		return 0;
	ret = look_at_target(lane, work, &set, verdicts, modseqs, err);
	/* It told of mod-sequences and has none: once more without. */
	if (ret < 0 && err->code == ERR_REFUSED && conditional &&
		(target->c->caps(target->session) & CAN_CHANGES) == 0)
		ret = look_at_target(lane, work, &set, verdicts, modseqs, err);
	uidset_clear(&set);
	return ret;
}

/* Writes all changes that end in the flags of changes[first] with one command. What has changed on
 * the target since it was looked at has a mod-sequence above all that were told then, and is left
 * as it is by a server that keeps them. A refusal is a remark: new mail does not wait for it, and
 * the next round tries again. */
static int
write_group(struct lane *lane, const struct work *work, enum verdict *verdicts,
	const uint64_t *modseqs, size_t first, struct err *err)
{
	const struct flag_change *f = &work->changes[first];
	enum verdict verdict = VERDICT_THERE;
	struct job *job = lane->job;
	struct uidset set = { 0 }, modified = { 0 };
	uint64_t since = 0;
	bool all_told = true;
	int ret;

	for (size_t i = first; i < work->change_count; i++) {
		const struct flag_change *c = &work->changes[i];
		if (verdicts[i] != VERDICT_WRITE || c->new_flags != f->new_flags ||
			!keywords_eq(c->new_keywords, f->new_keywords))
			continue;
		uidset_add(&set, c->target_uid, c->target_uid);
		all_told = all_told && modseqs[i] != 0;
		since = modseqs[i] > since ? modseqs[i] : since;
	}
	ret = lane->target.c->flags_set(lane->target.session, &work->folder->target, &set,
		f->new_flags, f->new_keywords, all_told ? since : 0, &modified, err);
	if (ret < 0 && (err->code == ERR_BAD || !err_is_link(err->code)) &&
		err->code != ERR_CANCELLED) {
		job_note(job, work->folder->plan->source_name, EVENT_WARNING, err->code,
			"new flags of %llu messages are not carried: %s",
			(unsigned long long)uidset_size(&set), err->text);
		job->remarks = true;
		verdict = VERDICT_REFUSED;
		ret = 0;
	}
	for (size_t i = first; i < work->change_count; i++)
		if (verdicts[i] == VERDICT_WRITE && uidset_has(&set, work->changes[i].target_uid))
			verdicts[i] = uidset_has(&modified, work->changes[i].target_uid)
					      ? VERDICT_TOUCHED
					      : verdict;
	uidset_clear(&set);
	uidset_clear(&modified);
	return ret;
}

int
flags_apply(struct lane *lane, struct work *work, struct err *err)
{
	enum verdict *verdicts = xcalloc(work->change_count + 1, sizeof *verdicts);
	uint64_t *modseqs = xcalloc(work->change_count + 1, sizeof *modseqs);
	size_t touched = 0, gone = 0;
	struct job *job = lane->job;
	int ret;

	qsort(work->changes, work->change_count, sizeof *work->changes, by_target_uid);
	ret = ask_target(lane, work, verdicts, modseqs, err);
	for (size_t i = 0; ret == 0 && i < work->change_count; i++)
		if (verdicts[i] == VERDICT_WRITE)
			ret = write_group(lane, work, verdicts, modseqs, i, err);
	for (size_t i = 0; ret == 0 && i < work->change_count; i++) {
		const struct flag_change *c = &work->changes[i];
		touched += verdicts[i] == VERDICT_TOUCHED;
		gone += verdicts[i] == VERDICT_GONE;
		/* The next round is to be told of them once more. */
		work->folder->not_carried = work->folder->not_carried ||
					    verdicts[i] == VERDICT_TOUCHED ||
					    verdicts[i] == VERDICT_REFUSED;
		if (verdicts[i] == VERDICT_THERE)
			ledger_item_flags(job->ledger, work->folder->row.id, c->uid, c->new_flags,
				c->new_keywords);
	}
	if (ret == 0 && touched > 0)
		job_note(job, work->folder->plan->source_name, EVENT_NOTE, ERR_NONE,
			"%zu messages have other flags at the source, and were changed on the "
			"target "
			"too: left as they are there",
			touched);
	if (ret == 0 && gone > 0)
		log_line(job->log, LOG_INFO, job->name, work->folder->plan->source_name,
			"%zu messages with new flags are no longer where they landed", gone);
	free(verdicts);
	free(modseqs);
	return ret;
}
