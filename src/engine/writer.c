/* writer.c - the target side of a job: batches out, results into the ledger.
 *
 * Runs in the thread of its lane that owns the target session. A batch's bytes leave only after its
 * intent is durable. Batches travel in a window; what needs the session for itself (learning UIDs
 * where the server does not tell them, looking whether a refused batch was stored in part, flag
 * changes, second looks) is put aside and done when nothing is in flight.
 *
 * What the target refuses is sent again in pieces (results.c), before anything new. For the sake of
 * the order nothing overtakes a message of a kind that this target has not yet taken.
 * What ends without an answer stays in doubt: the next attempt settles it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/writer_private.h"

#include "base/banned.h"

#define IDLE_POLL_MS 5
#define STOP_POLL_MS 500
#define KEEPALIVE_MS 60000

/* ---- answers ---- */

/* Refusals that say nothing against the message: the folder or the account has to wait or end. */
static bool
is_larger(const struct err *err)
{
	switch (err->code) {
	case ERR_CONTENT:
	case ERR_REFUSED:
	case ERR_TOOBIG:
	case ERR_BAD:
		return false;
	default:
		return true;
	}
}

/* A batch came back with an answer for each entry. Takes it. */
static int
answered(struct writer *w, struct batch **batch, struct err *err)
{
	struct batch *b = *batch;
	struct work_folder *wf = b->owner;
	bool refused = false, untold = false;
	int ret = 0;

	if (b->uidvalidity != 0 && wf->target.uidvalidity != 0 &&
		b->uidvalidity != wf->target.uidvalidity)
		return err_set(err, ERR_UIDVALIDITY, "target folder %s has UIDVALIDITY %u, had %u",
			wf->plan->target_name, (unsigned)b->uidvalidity,
			(unsigned)wf->target.uidvalidity);
	aside_note_uids(w, b, true);
	for (size_t i = 0; i < b->count; i++) {
		struct store_entry *entry = &b->entries[i];
		if (entry->state == STORE_REFUSED && is_larger(&entry->err) && ret == 0) {
			*err = entry->err;
			ret = err_context(err, "target folder %s", wf->plan->target_name);
		}
		refused = refused || entry->state == STORE_REFUSED;
		untold = untold || (entry->state == STORE_DONE && entry->uid == 0);
	}
	if (ret < 0 && b->one_command && b->count > 1)
		return ret; /* some servers store a part: settled by the next attempt */
	if (untold) {
		aside_add(w, &w->learn, batch);
		return ret;
	}
	if (ret == 0 && refused && ((b->one_command && b->count > 1) || writer_any_bare_no(b))) {
		aside_add(w, &w->look, batch);
		return 0;
	}
	if (ret == 0 && aside_may_be_changed(b)) {
		list_add_batch(&w->compare, b);
		*batch = NULL;
		return 0;
	}
	writer_close(w, b);
	if (ret == 0 && refused)
		ret = writer_split(w, b, err);
	return ret;
}

static void
note_answer_time(struct writer *w)
{
	struct node node;
	unsigned ms;

	if (!list_take(&w->sent, &node))
		return;
	ms = (unsigned)(clock_ms() -
			(node.sent_ms > w->answered_ms ? node.sent_ms : w->answered_ms));
	w->answered_ms = clock_ms();
	if (ms > w->longest_ms) {
		w->longest_ms = ms;
		ledger_host_answer(w->job->ledger, w->lane->target.endpoint.host, ms);
	}
}

/* After BAD: what was in that batch is sent alone and without LITERAL+ from now on; what was sent
 * so already is at its end. */
static void
note_bad(struct writer *w, const struct batch *batch)
{
	struct work_folder *wf = batch->owner;

	for (size_t i = 0; i < batch->count; i++) {
		struct store_entry *entry = &batch->entries[i];
		if (entry->message == NULL || entry->state != STORE_UNKNOWN)
			continue;
		if (batch->careful && entry->err.code == ERR_BAD)
			writer_put_end(w, wf, entry, ITEM_FAILED, ERR_BAD, entry->err.text);
		else
			job_take_care(
				w->job, CARE_ALONE, wf->source.key, entry->message->item->uid);
	}
	if (batch->careful)
		ledger_result(w->job->ledger, batch->id, wf->row.id, NULL, 0);
}

/* The link is gone: every batch comes back with what is known. True if each had been answered. */
static bool
collect_broken(struct writer *w, const struct err *why)
{
	struct side *target = &w->lane->target;
	struct batch *batch;
	struct err err;
	bool first = true;
	int ret;

	while ((ret = target->c->store_next(target->session, &batch, &err)) != 0) {
		bool done = true, any = false;
		if (ret < 0)
			continue;
		for (size_t i = 0; i < batch->count; i++) {
			done = done && batch->entries[i].state == STORE_DONE &&
			       batch->entries[i].uid != 0;
			any = any || batch->entries[i].state == STORE_DONE;
		}
		if (done)
			writer_close(w, batch);
		else if (why->code == ERR_BAD && first && !any)
			note_bad(w, batch);
		first = first && done;
		drop_batch(&batch);
	}
	return first;
}

/* 1: one batch was answered, 0: none in flight. */
static int
take_result(struct writer *w, struct err *err)
{
	struct side *target = &w->lane->target;
	struct batch *batch = NULL;
	int ret = target->c->store_next(target->session, &batch, err);

	if (ret < 0) {
		collect_broken(w, err);
		return -1;
	}
	if (ret == 0)
		return 0;
	note_answer_time(w);
	w->idle_since = w->waiting_since = clock_ms();
	ret = answered(w, &batch, err);
	if (batch != NULL)
		drop_batch(&batch);
	return ret < 0 ? -1 : 1;
}

int
writer_take_all(struct writer *w, struct err *err)
{
	int ret;

	while ((ret = take_result(w, err)) == 1)
		;
	return ret;
}

/* ---- sending ---- */

/* Its intent is durable then. What the target has in hand meanwhile keeps its line busy. */
static int
wait_for_intent(struct writer *w, const struct batch *batch, struct err *err)
{
	const struct side *target = &w->lane->target;
	int64_t began;

	if (target->c->store_pending(target->session) > 0)
		return ledger_wait(w->job->ledger, batch->ticket, err);
	began = clock_us();
	if (ledger_wait(w->job->ledger, batch->ticket, err) < 0)
		return -1;
	pthread_mutex_lock(&w->job->local->lock);
	w->job->account->progress.disk_us += (uint64_t)(clock_us() - began);
	pthread_mutex_unlock(&w->job->local->lock);
	return 0;
}

/* An old connection is renewed: some servers end it at an age, in the middle of a message. */
static void
note_age(struct writer *w)
{
	struct job *job = w->job;

	if (job->landed == 0 || atomic_load(&job->restart) || !lane_is_old(w->lane))
		return;
	log_line(job->log, LOG_INFO, job->name, NULL, "the connections are renewed for their age");
	job->restart = true;
}

static int
send_batch(struct writer *w, struct batch **batch, struct err *err)
{
	struct side *target = &w->lane->target;
	int ret;

	if (job_stopping(
		    w->job)) { /* not a byte of it has left: it is found again by the next run */
		intend_not(w->job, *batch);
		drop_batch(batch);
		return 0;
	}
	if (wait_for_intent(w, *batch, err) < 0)
		goto drop;
	while ((ret = target->c->store_start(target->session, batch, err)) == 1)
		if (take_result(w, err) < 0)
			goto drop;
	if (ret < 0) {
		/* A BAD is for the oldest batch without an answer. */
		if (collect_broken(w, err) && err->code == ERR_BAD && *batch != NULL)
			note_bad(w, *batch);
		goto drop;
	}
	if (w->sent.first == NULL)
		w->waiting_since = clock_ms();
	list_add(&w->sent, &(struct node){ .sent_ms = clock_ms() });
	w->idle_since = clock_ms();
	return 0;
drop:
	if (*batch != NULL)
		drop_batch(batch);
	return -1;
}

/* Until nothing is in flight, put aside or to be sent again: one after the other. */
static int
come_to_rest(struct writer *w, struct err *err)
{
	struct node node;

	for (;;) {
		if (writer_take_all(w, err) < 0 || (aside_any(w) && aside_do(w, err) < 0))
			return -1;
		if (!list_take(&w->redo, &node))
			return 0;
		if (send_batch(w, &node.batch, err) < 0)
			return -1;
	}
}

/* Of a kind that this target has not taken yet: it may be refused, repaired and sent again. */
static bool
is_suspect(struct job *job, const struct batch *batch)
{
	unsigned traits = 0;
	bool ret;

	for (size_t i = 0; i < batch->count; i++)
		traits |= batch->entries[i].message->digests.traits;
	pthread_mutex_lock(&job->lock);
	ret = (traits & TRAITS_SUSPECT & ~job->taken_traits) != 0;
	pthread_mutex_unlock(&job->lock);
	return ret;
}

static int
take_work(struct writer *w, struct work **work, struct err *err)
{
	struct batch *batch = (*work)->batch;
	bool suspect;

	if (batch == NULL) {
		list_add(&w->changes, &(struct node){ .work = *work });
		*work = NULL;
		return 0;
	}
	(*work)->batch = NULL;
	work_free(*work);
	*work = NULL;
	/* Without APPENDUID the UIDs are learnt batch by batch, so nothing else may be in flight.
	 */
	if (!(w->job->target_caps & CAN_UIDPLUS) && writer_take_all(w, err) < 0) {
		drop_batch(&batch);
		return -1;
	}
	if (w->learn.first != NULL && aside_do(w, err) < 0) {
		drop_batch(&batch);
		return -1;
	}
	suspect = is_suspect(w->job, batch);
	if (suspect && come_to_rest(w, err) < 0) {
		drop_batch(&batch);
		return -1;
	}
	if (send_batch(w, &batch, err) < 0)
		return -1;
	return suspect ? come_to_rest(w, err) : 0;
}

/* What is in doubt is the worker's. */
static bool
settles(const struct writer *w)
{
	return w->lane == &w->job->main;
}

static int
idle_timeout(struct writer *w)
{
	int64_t due, now = clock_ms(), wait = KEEPALIVE_MS - (now - w->idle_since);

	if (settles(w) && settle_pending(w->job, &due) && due - now < wait)
		wait = due - now;
	if (wait > STOP_POLL_MS)
		wait = STOP_POLL_MS; /* a stop is heard */
	return wait < 0 ? 0 : (int)wait;
}

/* Second looks that are due: they want the session for themselves. */
static int
look_again(struct writer *w, struct err *err)
{
	size_t left;

	if (writer_take_all(w, err) < 0)
		return -1;
	if (aside_any(w) && aside_do(w, err) < 0)
		return -1;
	w->idle_since = clock_ms();
	return settle_continue(w->job, false, &left, err);
}

static bool
look_is_due(const struct writer *w)
{
	int64_t due;

	return settles(w) && settle_pending(w->job, &due) && due <= clock_ms();
}

/* A batch that the target has not answered for half its time: from here on the read itself waits,
 * and has the deadline. */
static bool
answer_is_late(const struct writer *w, size_t pending)
{
	return pending > 0 &&
	       clock_ms() - w->waiting_since > w->lane->target.endpoint.timeout_ms / 2;
}

static int
when_idle(struct writer *w, struct err *err)
{
	struct side *target = &w->lane->target;

	if (clock_ms() - w->idle_since < KEEPALIVE_MS)
		return 0;
	w->idle_since = clock_ms();
	return target->c->keepalive(target->session, err);
}

/* One step: 1 go on, 0 all is done. */
static int
step(struct writer *w, struct err *err)
{
	struct side *target = &w->lane->target;
	size_t pending = target->c->store_pending(target->session);
	struct work *work;
	void *item = NULL;
	int ret;

	if (aside_any(w) || w->redo.first != NULL)
		return come_to_rest(w, err) < 0 ? -1 : 1;
	if (w->job->restart) {
		if (come_to_rest(w, err) < 0)
			return -1;
		return err_set(err, ERR_CANCELLED, "begun anew");
	}
	if (atomic_load(&w->job->broken)) {
		if (writer_take_all(w, err) < 0)
			return -1;
		return err_set(err, ERR_CANCELLED, "another connection has ended the attempt");
	}
	if (pending > 0 &&
		(target->c->store_readable(target->session) || answer_is_late(w, pending)))
		return take_result(w, err) < 0 ? -1 : 1;
	if (look_is_due(w))
		return look_again(w, err) < 0 ? -1 : 1;
	ret = queue_pop(w->lane->queue, &item, pending > 0 ? IDLE_POLL_MS : idle_timeout(w));
	work = item;
	if (ret == 1)
		return take_work(w, &work, err) < 0 ? -1 : 1;
	if (ret == 0 && pending == 0)
		return when_idle(w, err) < 0 ? -1 : 1;
	if (ret == -1 && pending > 0)
		return take_result(w, err) < 0 ? -1 : 1;
	return ret == 0 ? 1 : 0;
}

static void
give_up_unsent(struct writer *w, struct list *list)
{
	struct node node;

	while (list_take(list, &node)) {
		intend_not(w->job, node.batch);
		drop_batch(&node.batch);
	}
}

int
writer_run(struct lane *lane, struct err *err)
{
	struct job *job = lane->job;
	struct writer w = { .job = job, .lane = lane };
	int ret;

	w.longest_ms = ledger_host_longest(job->ledger, lane->target.endpoint.host);
	w.idle_since = clock_ms();
	while ((ret = step(&w, err)) == 1) {
		if (ledger_check(job->ledger, err) < 0) {
			ret = -1;
			break;
		}
		note_age(&w);
		if (!settles(&w))
			continue;
		lanes_look(job);
		/* They were asked for before the batch that was answered. */
		if (w.answered_ms != 0 && subscribe_end(job, err) < 0) {
			ret = -1;
			break;
		}
	}
	give_up_unsent(&w, &w.redo);
	give_up_unsent(&w, &w.pieces);
	list_clear(&w.learn);
	list_clear(&w.look);
	list_clear(&w.compare);
	list_clear(&w.changes);
	list_clear(&w.sent);
	return ret;
}

/* A target that keeps equal messages once tells the same UID for each. */
void
writer_say_shared(struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++)
		if (job->folders[i].shared > 0)
			job_note(job, job->folders[i].plan->source_name, EVENT_NOTE, ERR_NONE,
				"the target keeps equal messages once: %zu have the UID of another",
				job->folders[i].shared);
}
