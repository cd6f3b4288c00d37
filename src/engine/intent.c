/* intent.c - a batch as the ledger must know it before its first byte leaves. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/job.h"
#include "mail/ladder.h"

#include "base/banned.h"

static void
fill_entry(struct ledger_entry *to, const struct store_entry *from)
{
	const struct message *message = from->message;
	const struct digests *sent = from->sent != NULL ? from->sent : &message->digests;

	to->uid = message->item->uid;
	to->streaming = spool_is_ring(from->body);
	to->size = from->sent != NULL ? sent->bytes : message->body_bytes;
	to->received_size = message->body_bytes;
	memcpy(to->head, sent->head, DIGEST_SIZE);
	if (to->streaming) {
		memcpy(to->canonical_head, sent->canonical_head, DIGEST_SIZE);
	} else {
		memcpy(to->exact, sent->exact, DIGEST_SIZE);
		memcpy(to->canonical, sent->canonical, DIGEST_SIZE);
		memcpy(to->received_digest, message->digests.exact, DIGEST_SIZE);
	}
	to->received = from->received;
	to->source_received = message->item->received;
	to->flags = from->flags;
	to->keywords = from->keywords;
	to->steps = from->steps;
	to->attempt = from->attempt;
	to->reason = from->reason;
}

int
intend(struct job *job, struct work_folder *wf, struct batch *batch, struct err *err)
{
	struct ledger_batch intent = { 0 };
	int ret;

	intent.folder = wf->row.id;
	intent.uidvalidity = wf->target.uidvalidity;
	intent.intended = clock_now();
	intent.count = batch->count;
	intent.entries = xcalloc(batch->count + 1, sizeof *intent.entries);
	for (size_t i = 0; i < batch->count; i++)
		fill_entry(&intent.entries[i], &batch->entries[i]);
	pthread_mutex_lock(&job->lock);
	intent.bound = batch->bound = wf->bound;
	pthread_mutex_unlock(&job->lock);
	batch->owner = wf;
	ret = ledger_intend(job->ledger, &intent, &batch->id, &batch->ticket, err);
	free(intent.entries);
	return ret;
}

void
intend_not(struct job *job, const struct batch *batch)
{
	const struct work_folder *wf = batch->owner;

	ledger_result(job->ledger, batch->id, wf->row.id, NULL, 0);
}

void
intent_item(const struct job *job, const struct store_entry *entry, enum item_state state,
	unsigned reason, struct ledger_item *item_r)
{
	const struct message *message = entry->message;

	memset(item_r, 0, sizeof *item_r);
	item_r->uid = message->item->uid;
	item_r->state = state;
	item_r->reason = reason;
	item_r->size = message->body_bytes;
	if (spool_is_ring(message->body))
		spool_digest(message->body, item_r->digest);
	else
		memcpy(item_r->digest, message->digests.exact, DIGEST_SIZE);
	if (entry->sent != NULL)
		memcpy(item_r->sent, entry->sent->exact, DIGEST_SIZE);
	item_r->steps = entry->steps;
	item_r->received = message->item->received;
	item_r->flags = entry->flags;
	item_r->keywords = entry->keywords;
	item_r->target_uid = entry->uid;
	item_r->round = job->local->round;
}

void
intent_match_row(const struct store_entry *entry, struct match_row *row_r)
{
	struct ledger_entry e = { 0 };

	fill_entry(&e, entry);
	intent_entry_row(&e, row_r);
}

void
intent_entry_row(const struct ledger_entry *entry, struct match_row *row_r)
{
	memset(row_r, 0, sizeof *row_r);
	row_r->streaming = entry->streaming;
	row_r->size = entry->size;
	memcpy(row_r->exact, entry->exact, DIGEST_SIZE);
	memcpy(row_r->canonical, entry->canonical, DIGEST_SIZE);
	memcpy(row_r->head, entry->head, DIGEST_SIZE);
	memcpy(row_r->canonical_head, entry->canonical_head, DIGEST_SIZE);
	row_r->received = entry->received;
	row_r->flags = entry->flags;
}
