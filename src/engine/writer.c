/* writer.c - the target side of a job: batches out, results into the ledger.
 *
 * Runs in the thread of its lane that owns the target session. A batch's bytes leave only after its
 * intent is durable. Batches travel in a window; what needs the session for itself (learning UIDs
 * where the server does not tell them, looking whether a refused batch was stored in part, flag
 * changes, second looks) is put aside and done when nothing is in flight.
 *
 * What the target refuses is halved until the bad message stands alone, and that one climbs the
 * ladder of repairs (a streamed one is fetched anew for it, by another attempt); each piece and
 * each repair is an intent of its own, sent before anything new and one after the other, so that
 * the target keeps the source's order. For the same reason nothing overtakes a message of a kind
 * that this target has not yet taken.
 *
 * What a target is known to change by itself (NUL, line ends) is compared with what lies there,
 * so that the ledger says of each row what became of it.
 * What ends without an answer stays in doubt: the next attempt settles it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "engine/job.h"
#include "engine/work_list.h"
#include "mail/ladder.h"

#include "base/banned.h"

#define IDLE_POLL_MS 5
#define STOP_POLL_MS 500
#define KEEPALIVE_MS 60000
#define DISK_RESERVE (64u << 20) /* that a large message leaves free */

struct writer {
	struct job *job;
	struct lane *lane;
	struct list redo;      /* pieces and repairs with their intents, as the source's order is */
	struct list pieces;    /* of the batch being split; come before what is in redo */
	struct list learn;     /* stored, UIDs not told */
	struct list look;      /* refused as a whole: stored in part? */
	struct list compare;   /* stored: as sent? */
	struct list changes;   /* flag changes */
	struct list sent;      /* (clock) of each batch in flight */
	int64_t idle_since;    /* nothing sent or read */
	int64_t waiting_since; /* for the oldest answer */
	int64_t answered_ms;   /* the last answer to a batch */
	unsigned longest_ms;
};

/* ---- results ---- */

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
static void
land(struct writer *w, struct batch *batch, bool close)
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

static void
close_batch(struct writer *w, struct batch *batch)
{
	land(w, batch, true);
}

static void
put_end(struct writer *w, struct work_folder *wf, struct store_entry *entry, enum item_state state,
	unsigned reason, const char *text)
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
static bool
is_bare_no(const struct store_entry *entry)
{
	return entry->state == STORE_REFUSED && entry->err.code == ERR_REFUSED && !entry->once_more;
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
		put_end(w, wf, entry, ITEM_FAILED, why.code, why.text);
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
	if (is_bare_no(entry)) {
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
	put_end(w, wf, entry, ITEM_FAILED, entry->err.code, entry->err.text);
	return 0;
}

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
static int
split(struct writer *w, struct batch *batch, struct err *err)
{
	int ret = split_up(w, batch, err);

	list_prepend(&w->redo, &w->pieces);
	return ret;
}

/* Servers store these otherwise than they were sent (Dovecot 2.3: a bare LF as CRLF, a NUL as
 * 0x80) and say nothing. */
static bool
may_be_changed(const struct store_entry *entry)
{
	return entry->state == STORE_DONE && entry->uid != 0 && entry->steps == 0 &&
	       (entry->message->digests.traits & (TRAIT_NUL | TRAIT_BARE_LF | TRAIT_BARE_CR)) != 0;
}

static bool
any_may_be_changed(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (may_be_changed(&batch->entries[i]))
			return true;
	return false;
}

static void
note_change(struct writer *w, const struct batch *batch, struct store_entry *entry,
	const struct digests *there)
{
	const struct work_folder *wf = batch->owner;
	unsigned char sent[DIGEST_SIZE];

	if (spool_is_ring(entry->message->body))
		spool_digest(entry->message->body, sent);
	else
		memcpy(sent, entry->message->digests.exact, DIGEST_SIZE);
	if (memcmp(sent, there->exact, DIGEST_SIZE) == 0)
		return;
	if (entry->sent == NULL)
		entry->sent = xcalloc(1, sizeof *entry->sent);
	*entry->sent = *there;
	entry->reason = REASON_REPAIRED;
	log_line(w->job->log, LOG_INFO, w->job->name, wf->plan->source_name,
		"uid %u: the target stores it changed", (unsigned)entry->message->item->uid);
}

/* Reads what may have been changed back; the row then has both digests. Nothing is in flight. */
static int
compare(struct writer *w, struct batch *batch, struct err *err)
{
	struct uidset uids = { 0 };
	struct match_found *found;
	size_t count;
	int ret;

	for (size_t i = 0; i < batch->count; i++)
		if (may_be_changed(&batch->entries[i]))
			uidset_add(&uids, batch->entries[i].uid, batch->entries[i].uid);
	if (uids.count == 0)
		return 0;
	ret = look_digests(w->lane, batch->folder, &uids, &found, &count, err);
	for (size_t i = 0; ret == 0 && i < batch->count; i++)
		for (size_t k = 0; k < count && may_be_changed(&batch->entries[i]); k++)
			if (found[k].uid == batch->entries[i].uid) {
				note_change(w, batch, &batch->entries[i], &found[k].digests);
				break;
			}
	if (ret == 0)
		free(found);
	uidset_clear(&uids);
	return ret;
}

static bool
any_bare_no(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (is_bare_no(&batch->entries[i]))
			return true;
	return false;
}

/* From here on nobody else's search may take these for its own. */
static void
note_uids(struct writer *w, const struct batch *batch, bool told)
{
	struct work_folder *wf = batch->owner;

	pthread_mutex_lock(&w->job->lock);
	for (size_t i = 0; i < batch->count; i++) {
		uint32_t uid = batch->entries[i].uid;
		if (batch->entries[i].state != STORE_DONE || uid == 0)
			continue;
		wf->shared += told && uidset_has(&wf->ours, uid);
		uidset_add(&wf->ours, uid, uid);
	}
	pthread_mutex_unlock(&w->job->lock);
}

static bool
all_stored(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].state != STORE_DONE)
			return false;
	return true;
}

/* What lies in the folder is to be searched for this batch: not once another lane has written to
 * it, whose messages may be equal and on their way. What was answered has landed, with its UID if
 * that was told; the rest is left in doubt, and the next attempt settles it and divides no folder.
 */
static void
put_aside(struct writer *w, struct list *list, struct batch **batch)
{
	const struct work_folder *wf = (*batch)->owner;

	if (part_keep_whole(w->job, (*batch)->owner)) {
		list_add_batch(list, *batch);
		*batch = NULL;
		return;
	}
	if (all_stored(*batch)) {
		close_batch(w, *batch);
		return;
	}
	land(w, *batch, false);
	log_line(w->job->log, LOG_INFO, w->job->name, wf->plan->source_name,
		"was divided and has to be searched: begun anew, with whole folders");
	w->job->account->whole_folders = true;
	w->job->restart = true;
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
	note_uids(w, b, true);
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
		put_aside(w, &w->learn, batch);
		return ret;
	}
	if (ret == 0 && refused && ((b->one_command && b->count > 1) || any_bare_no(b))) {
		put_aside(w, &w->look, batch);
		return 0;
	}
	if (ret == 0 && any_may_be_changed(b)) {
		list_add_batch(&w->compare, b);
		*batch = NULL;
		return 0;
	}
	close_batch(w, b);
	if (ret == 0 && refused)
		ret = split(w, b, err);
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
			put_end(w, wf, entry, ITEM_FAILED, ERR_BAD, entry->err.text);
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
			close_batch(w, batch);
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

static int
take_all_results(struct writer *w, struct err *err)
{
	int ret;

	while ((ret = take_result(w, err)) == 1)
		;
	return ret;
}

/* ---- what is done with nothing in flight ---- */

static bool
same_order(struct batch *batch, const struct match_found *found, size_t *at, size_t count)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct store_entry *entry = &batch->entries[i];
		uint64_t size =
			entry->sent != NULL ? entry->sent->bytes : entry->message->body_bytes;
		if (entry->state != STORE_DONE)
			continue;
		if (*at == count || found[*at].size != size)
			return false;
		entry->uid = found[(*at)++].uid;
	}
	return true;
}

/* UIDs by digest; what is not found stays without one. */
static int
learn_by_digest(
	struct writer *w, struct batch *batch, const struct uidset *without, struct err *err)
{
	struct match_found *found;
	struct match_row *rows;
	size_t count;

	if (look_above(w->lane, batch->folder, batch->bound, without, LOOK_DIGESTS, &found, &count,
		    NULL, err) < 0)
		return -1;
	rows = xcalloc(batch->count + 1, sizeof *rows);
	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].state == STORE_DONE)
			intent_match_row(&batch->entries[i], &rows[i]);
	match_rows(rows, batch->count, found, count);
	for (size_t i = 0; i < batch->count; i++)
		batch->entries[i].uid = rows[i].uid;
	free(rows);
	free(found);
	return 0;
}

/* A server without UIDPLUS: the UIDs above the bound, in the order sent if the sizes say so. */
static int
learn_uids(struct writer *w, struct batch *batch, struct err *err)
{
	struct work_folder *wf = batch->owner;
	struct match_found *found;
	size_t count, at = 0;
	int ret = 0;

	if (look_above(w->lane, batch->folder, batch->bound, &wf->ours, LOOK_META, &found, &count,
		    NULL, err) < 0)
		return -1;
	if (!same_order(batch, found, &at, count) || at != count)
		ret = learn_by_digest(w, batch, &wf->ours, err);
	note_uids(w, batch, false);
	free(found);
	return ret;
}

/* Was a part of a refused batch stored all the same? What was is landed. */
static int
look_for_part(struct writer *w, struct batch *batch, struct err *err)
{
	struct work_folder *wf = batch->owner;
	struct match_found *found;
	struct match_row *rows;
	size_t count;

	if (look_above(w->lane, batch->folder, batch->bound, &wf->ours, LOOK_DIGESTS, &found,
		    &count, NULL, err) < 0)
		return -1;
	rows = xcalloc(batch->count + 1, sizeof *rows);
	for (size_t i = 0; i < batch->count; i++)
		intent_match_row(&batch->entries[i], &rows[i]);
	match_rows(rows, batch->count, found, count);
	for (size_t i = 0; i < batch->count; i++)
		if (rows[i].uid != 0) {
			batch->entries[i].uid = rows[i].uid;
			batch->entries[i].state = STORE_DONE;
		}
	note_uids(w, batch, false);
	free(rows);
	free(found);
	return 0;
}

static bool
has_aside(const struct writer *w)
{
	return w->learn.first != NULL || w->look.first != NULL || w->compare.first != NULL ||
	       w->changes.first != NULL;
}

/* The batch's UIDs are known: compared, closed, what was refused of it split. */
static int
finish_aside(struct writer *w, struct batch *batch, struct err *err)
{
	bool refused = false;

	if (compare(w, batch, err) < 0)
		return -1;
	close_batch(w, batch);
	for (size_t i = 0; i < batch->count; i++)
		refused = refused || batch->entries[i].state == STORE_REFUSED;
	return refused ? split(w, batch, err) : 0;
}

static int
do_aside(struct writer *w, struct err *err)
{
	int ret = take_all_results(w, err);
	struct node node;

	while (ret == 0 && list_take(&w->learn, &node)) {
		ret = learn_uids(w, node.batch, err);
		if (ret == 0 && any_bare_no(node.batch))
			ret = look_for_part(w, node.batch, err);
		if (ret == 0)
			ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->look, &node)) {
		ret = look_for_part(w, node.batch, err);
		if (ret == 0)
			ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->compare, &node)) {
		ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->changes, &node)) {
		ret = flags_apply(w->lane, node.work, err);
		work_free(node.work);
	}
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
		if (take_all_results(w, err) < 0 || (has_aside(w) && do_aside(w, err) < 0))
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
	if (!(w->job->target_caps & CAN_UIDPLUS) && take_all_results(w, err) < 0) {
		drop_batch(&batch);
		return -1;
	}
	if (w->learn.first != NULL && do_aside(w, err) < 0) {
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

	if (take_all_results(w, err) < 0)
		return -1;
	if (has_aside(w) && do_aside(w, err) < 0)
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

	if (has_aside(w) || w->redo.first != NULL)
		return come_to_rest(w, err) < 0 ? -1 : 1;
	if (w->job->restart) {
		if (come_to_rest(w, err) < 0)
			return -1;
		return err_set(err, ERR_CANCELLED, "begun anew");
	}
	if (atomic_load(&w->job->broken)) {
		if (take_all_results(w, err) < 0)
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
