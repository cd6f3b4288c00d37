/* results.c - what the target answered, into the ledger; what it refused, in pieces and repaired.
 *
 * What is refused is halved until the bad message stands alone, and that one climbs the ladder of
 * repairs (a streamed one is fetched anew for it, by another attempt); each piece and each repair
 * is an intent of its own, sent before anything new and one after the other, so that the target
 * keeps the source's order. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/writer_private.h"
#include "mail/ladder.h"

#include "base/banned.h"

#define DISK_RESERVE (64u << 20) /* that a large message leaves free */

static unsigned
landed_reason(const struct store_entry *entry)
{
	if (entry->steps & (1u << LADDER_WRAP))
		return REASON_WRAPPED;
	if (entry->steps != 0)
		return REASON_REPAIRED;
	if (entry->reason != REASON_NONE)
		return entry->reason;
	return entry->keywords_dropped ? REASON_KEYWORDS : REASON_NONE;
}

static void
count_results(struct job *job, const struct ledger_item *items, size_t count)
{
	struct progress *p = &job->account->progress;

	pthread_mutex_lock(&job->local->lock);
	for (size_t i = 0; i < count; i++) {
		p->done++;
		if (items[i].state == ITEM_LANDED) {
			p->copied++;
			p->copied_now++;
			p->bytes_done += items[i].size;
			p->bytes_now += items[i].size;
		} else if (items[i].state == ITEM_FAILED) {
			p->failed++;
			p->failed_now++;
		} else if (items[i].state == ITEM_SKIPPED) {
			p->skipped++;
		}
	}
	pthread_mutex_unlock(&job->local->lock);
}

/* Writes the rows of its entries that came to an end; closes the batch's intent with them, or
 * leaves the rest of it in doubt. */
void
writer_land(struct writer *w, struct batch *batch, bool close)
{
	struct job *job = w->job;
	struct work_folder *wf = batch->owner;
	struct ledger_item *items = xcalloc(batch->count + 1, sizeof *items);
	uint32_t top = 0;
	unsigned traits = 0;
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct store_entry *entry = &batch->entries[i];
		if (entry->message == NULL || entry->state != STORE_DONE)
			continue;
		intent_item(job, entry, ITEM_LANDED, landed_reason(entry), &items[n++]);
		if (entry->uid > top)
			top = entry->uid;
		if (entry->steps == 0)
			traits |= entry->message->digests.traits;
	}
	if (close)
		ledger_result(job->ledger, batch->id, wf->row.id, items, n);
	else
		ledger_items_put(job->ledger, wf->row.id, items, n);
	pthread_mutex_lock(&job->lock);
	if (top > wf->bound)
		wf->bound = top;
	job->taken_traits |= traits;
	pthread_mutex_unlock(&job->lock);
	job->landed += n;
	for (size_t i = 0; i < n; i++)
		bytes += items[i].size;
	job->landed_bytes += bytes;
	job->landed_batches++;
	count_results(job, items, n);
	free(items);
}

void
writer_close(struct writer *w, struct batch *batch)
{
	writer_land(w, batch, true);
}

void
writer_put_end(struct writer *w, struct work_folder *wf, struct store_entry *entry,
	enum item_state state, unsigned reason, const char *text)
{
	struct ledger_item item;

	intent_item(w->job, entry, state, reason, &item);
	item.text = text[0] != '\0' ? xstrdup(text) : NULL;
	ledger_items_put(w->job->ledger, wf->row.id, &item, 1);
	count_results(w->job, &item, 1);
	free(item.text);
	w->job->landed++;
	if (state == ITEM_FAILED)
		log_line(w->job->log, LOG_WARN, w->job->name, wf->plan->source_name,
			"uid %u failed: %s", (unsigned)item.uid, text);
}

/* Puts entries [from, to) of the batch into one of their own, with its intent. */
static int
new_piece(struct writer *w, struct batch *batch, size_t from, size_t to, struct err *err)
{
	struct work_folder *wf = batch->owner;
	struct batch *piece = batch_new(to - from);

	piece->folder = batch->folder;
	piece->careful = batch->careful;
	for (size_t i = from; i < to; i++) {
		struct store_entry *entry = &batch->entries[i];
		if (entry->message == NULL || entry->state == STORE_DONE)
			continue;
		entry->attempt++;
		entry->state = STORE_PENDING;
		piece->bytes += entry->message->body_bytes;
		piece->entries[piece->count++] = *entry;
		memset(entry, 0, sizeof *entry);
	}
	if (piece->count == 0) {
		batch_free(&piece);
		return 0;
	}
	if (intend(w->job, wf, piece, err) < 0) {
		drop_batch(&piece);
		return -1;
	}
	list_add_batch(&w->pieces, piece);
	return 0;
}

static int
digest_spool(struct spool *spool, struct digests *digests_r, struct err *err)
{
	struct digester *digester = digester_new();
	unsigned char buf[16384];
	uint64_t offset = 0;
	size_t got;

	do {
		if (spool_read(spool, offset, buf, sizeof buf, &got, err) < 0) {
			digester_free(&digester);
			return -1;
		}
		digester_add(digester, buf, got);
		offset += got;
	} while (got > 0);
	digester_end(&digester, digests_r);
	return 0;
}

/* The next step of the ladder for a message that was refused alone; false: there is none. */
static int
repair(struct writer *w, struct store_entry *entry, bool *repaired_r, struct err *err)
{
	unsigned allowed = w->job->run->ladder;
	enum ladder_step last = LADDER_AS_IS, next;
	struct spool *body;

	*repaired_r = false;
	if (entry->err.code == ERR_REFUSED) /* which may have nothing to do with the content */
		allowed &= ~(1u << LADDER_WRAP);
	for (int step = 0; step < LADDER_STEPS; step++)
		if (entry->steps & (1u << step))
			last = (enum ladder_step)step;
	next = ladder_next(last, allowed, entry->message->digests.traits);
	if (next == LADDER_STEPS || spool_is_ring(entry->body))
		return 0;
	entry->steps |= 1u << next;
	body = spool_new(w->job->local->pool);
	if (ladder_apply(next == LADDER_WRAP ? 1u << LADDER_WRAP : entry->steps, entry->received,
		    entry->message->body, body, err) < 0) {
		spool_unref(&body);
		return -1;
	}
	if (entry->sent == NULL)
		entry->sent = xcalloc(1, sizeof *entry->sent);
	spool_unref(&entry->body);
	entry->body = body;
	*repaired_r = true;
	return digest_spool(body, entry->sent, err);
}

/* A NO that names no reason, to a message that was not yet sent once more for it. */
bool
writer_is_bare_no(const struct store_entry *entry)
{
	return entry->state == STORE_REFUSED && entry->err.code == ERR_REFUSED && !entry->once_more;
}

bool
writer_any_bare_no(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (writer_is_bare_no(&batch->entries[i]))
			return true;
	return false;
}

/* Nothing is left of a message that was sent while it arrived. If there is room for it and for a
 * repaired copy, this attempt comes to rest and the next one fetches it anew and keeps it; then it
 * is refused like any other. */
static void
fetch_anew(struct writer *w, struct work_folder *wf, struct store_entry *entry)
{
	uint64_t room = file_free_bytes(w->job->config->state_dir);
	uint64_t bytes = entry->message->body_bytes;
	struct err why = entry->err;

	if (room < DISK_RESERVE || (room - DISK_RESERVE) / 2 < bytes) {
		err_context(&why, "not repaired for want of room in the state directory");
		writer_put_end(w, wf, entry, ITEM_FAILED, why.code, why.text);
		return;
	}
	log_line(w->job->log, LOG_INFO, w->job->name, wf->plan->source_name,
		"uid %u was refused while it was streamed and is fetched anew: %s",
		(unsigned)entry->message->item->uid, why.text);
	job_take_care(w->job, CARE_WHOLE, wf->source.key, entry->message->item->uid);
	w->job->restart = true;
}

/* A message that was refused alone: repaired and sent again, or at its end. */
static int
climb(struct writer *w, struct batch *batch, size_t at, struct err *err)
{
	struct store_entry *entry = &batch->entries[at];
	struct work_folder *wf = batch->owner;
	bool repaired = false;

	if (spool_is_ring(entry->body) &&
		(entry->err.code == ERR_CONTENT || entry->err.code == ERR_REFUSED)) {
		fetch_anew(w, wf, entry);
		return 0;
	}
	/* A bare NO may be a hiccup of the target: once more as it is. */
	if (writer_is_bare_no(entry)) {
		entry->once_more = true;
		return new_piece(w, batch, at, at + 1, err);
	}
	/* Dovecot 2.3 welcomes any keyword and refuses one that is too long. */
	if (entry->err.code == ERR_REFUSED && entry->keywords != NULL) {
		free(entry->keywords);
		entry->keywords = NULL;
		entry->keywords_dropped = true;
		return new_piece(w, batch, at, at + 1, err);
	}
	if (entry->err.code != ERR_TOOBIG && entry->err.code != ERR_BAD &&
		repair(w, entry, &repaired, err) < 0)
		return -1;
	if (repaired)
		return new_piece(w, batch, at, at + 1, err);
	writer_put_end(w, wf, entry, ITEM_FAILED, entry->err.code, entry->err.text);
	return 0;
}

static int
split_up(struct writer *w, struct batch *batch, struct err *err)
{
	size_t refused = 0, middle, seen = 0;

	for (size_t i = 0; i < batch->count; i++)
		refused += batch->entries[i].state == STORE_REFUSED;
	if (refused == 1 || !batch->one_command) {
		for (size_t i = 0; i < batch->count; i++)
			if (batch->entries[i].state == STORE_REFUSED && climb(w, batch, i, err) < 0)
				return -1;
		return 0;
	}
	for (middle = 0; seen < refused / 2; middle++)
		seen += batch->entries[middle].state == STORE_REFUSED;
	if (new_piece(w, batch, 0, middle, err) < 0)
		return -1;
	return new_piece(w, batch, middle, batch->count, err);
}

/* Sends what was refused again in smaller pieces, or repaired. The intent is closed before. */
int
writer_split(struct writer *w, struct batch *batch, struct err *err)
{
	int ret = split_up(w, batch, err);

	list_prepend(&w->redo, &w->pieces);
	return ret;
}
