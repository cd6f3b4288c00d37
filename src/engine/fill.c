/* fill.c - what the reader fetches becomes batches of one folder, each with its intent, and leaves
 * for the writer. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/reader_private.h"
#include "mail/date.h"
#include "mail/header.h"

#include "base/banned.h"

#define BATCHES_IN_FLIGHT 6u               /* fit into the memory of a lane */
#define HOLD_UP_MS        (10 * 60 * 1000) /* a writer that takes nothing for so long */

/* ---- handing over ---- */

int
fill_hand_over(struct reader *r, struct work **work, uint64_t weight, struct err *err)
{
	int ret = queue_push(r->lane->queue, *work, weight, HOLD_UP_MS);

	if (ret == 1) {
		*work = NULL;
		return 0;
	}
	if ((*work)->batch != NULL)
		intend_not(r->job, (*work)->batch);
	work_free(*work);
	*work = NULL;
	if (ret == 0)
		return err_set(err, ERR_TIMEOUT, "the target took nothing for ten minutes");
	return err_set(err, ERR_CANCELLED, "the target side has ended");
}

/* The intent is queued here; the writer waits for its ticket before the first byte leaves. */
int
fill_flush(struct reader *r, struct err *err)
{
	struct job *job = r->job;
	struct work *work;
	int ret;

	if (r->batch == NULL)
		return 0;
	ret = intend(job, r->batch_folder, r->batch, err);
	work = xcalloc(1, sizeof *work);
	work->folder = r->batch_folder;
	work->batch = r->batch;
	r->batch = NULL;
	if (ret < 0) {
		work_free(work);
		return -1;
	}
	return fill_hand_over(
		r, &work, work->batch->bytes + work->batch->count * MESSAGE_OVERHEAD, err);
}

/* ---- one message ---- */

/* INTERNALDATE where it is one mail can have, else a date of the header, else now. */
static void
choose_date(struct store_entry *entry)
{
	int64_t now = clock_now(), received = entry->message->item->received;
	unsigned char *head;
	size_t got = 0, len = 0;
	const char *from;

	entry->received = received;
	if (received != ITEM_DATE_NONE && date_is_sane(received, now))
		return;
	entry->received = now;
	entry->reason = REASON_DATE;
	if (spool_is_ring(entry->body))
		return;
	head = xmalloc(DIGEST_HEAD_BYTES);
	while (len < DIGEST_HEAD_BYTES &&
		spool_read(entry->body, len, head + len, DIGEST_HEAD_BYTES - len, &got, NULL) ==
			0 &&
		got > 0)
		len += got;
	(void)header_date((const char *)head, len, now, &entry->received, &from);
	free(head);
}

/* Content that servers are known to refuse travels alone until this target has taken it once, so
 * that a refusal costs its neighbours neither a second sending nor their place in the order. */
static bool
travels_alone(struct job *job, const struct message *message, const char *source_key)
{
	unsigned traits = message->digests.traits & TRAITS_SUSPECT;
	bool alone = false;

	if (traits != 0) {
		pthread_mutex_lock(&job->lock);
		alone = (traits & ~job->taken_traits) != 0;
		pthread_mutex_unlock(&job->lock);
	}
	return alone || spool_is_ring(message->body) ||
	       job_takes_care(job, CARE_ALONE, source_key, message->item->uid);
}

void
fill_put_failed(struct job *job, struct work_folder *wf, const struct item *item, uint64_t size,
	enum item_state state, unsigned reason, const char *text)
{
	struct ledger_item row = { 0 };

	row.uid = item->uid;
	row.state = state;
	row.reason = reason;
	row.size = size;
	row.received = item->received;
	row.flags = item->flags;
	row.round = job->local->round;
	row.text = xstrdup(text);
	ledger_items_put(job->ledger, wf->row.id, &row, 1);
	free(row.text);
	pthread_mutex_lock(&job->local->lock);
	job->account->progress.done++;
	if (state == ITEM_FAILED) {
		job->account->progress.failed++;
		job->account->progress.failed_now++;
	} else if (state == ITEM_SKIPPED) {
		job->account->progress.skipped++;
	} else if (state == ITEM_VANISHED) {
		job->account->progress.vanished++;
	}
	pthread_mutex_unlock(&job->local->lock);
}

int
fill_add(struct reader *r, struct work_folder *wf, struct message **message, struct err *err)
{
	struct job *job = r->job;
	const struct batch_limits *limits = &job->limits;
	uint64_t bytes = (*message)->body_bytes;
	bool alone, streaming;
	struct store_entry *entry;

	if ((*message)->body == NULL) {
		fill_put_failed(job, wf, (*message)->item, 0, ITEM_FAILED, ERR_PROTOCOL,
			"the source gives no body");
		message_free(message);
		return 0;
	}
	alone = travels_alone(job, *message, wf->source.key);
	streaming = spool_is_ring((*message)->body);

	if (limits->message_max != 0 && bytes > limits->message_max) {
		fill_put_failed(job, wf, (*message)->item, bytes, ITEM_FAILED, ERR_TOOBIG,
			"larger than the target takes");
		spool_abandon((*message)->body);
		message_free(message);
		return 0;
	}
	if (bytes ==
		0) { /* servers refuse it, and some lose their place over a literal of no bytes */
		fill_put_failed(job, wf, (*message)->item, 0, ITEM_SKIPPED, REASON_EMPTY,
			"a message of no bytes");
		message_free(message);
		return 0;
	}
	if (r->batch != NULL &&
		(r->batch_folder != wf || alone || r->batch_alone ||
			r->batch->count >= limits->messages ||
			r->batch->bytes + bytes > r->batch_most) &&
		fill_flush(r, err) < 0) {
		message_free(message);
		return -1;
	}
	if (r->batch == NULL) {
		r->batch = batch_new(alone ? 1 : limits->messages);
		r->batch->folder = &wf->target;
		r->batch_folder = wf;
		r->batch_alone = alone;
		r->batch_most = r->lane->memory / BATCHES_IN_FLIGHT;
		if (r->batch_most > limits->bytes)
			r->batch_most = limits->bytes;
		r->batch->careful =
			job_takes_care(job, CARE_ALONE, wf->source.key, (*message)->item->uid);
	}
	entry = batch_add(r->batch, message);
	choose_date(entry);
	return streaming ? fill_flush(r, err) : 0;
}
