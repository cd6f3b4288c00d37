/* settle.c - batches without an answer: what of them lies on the target?
 *
 * All batches in doubt of a folder are settled together, from their lowest bound, before that
 * folder is written again. A server may go on storing what it had received when we died, so a
 * row counts as absent only after a second look, settle_wait later, that finds no further match; a
 * match starts the wait again. Rows whose message may have been there and is gone are held.
 *
 *   first look -> all found: landed
 *              -> some absent: wait, other folders go on -> second look -> ... -> send again, watch
 *
 * Runs in the worker's thread with nothing in flight on the target session. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/job.h"
#include "mail/ladder.h"

#include "base/banned.h"

/* Was found and matched no row. */
struct stray {
	uint64_t size;
	unsigned char canonical_head[DIGEST_SIZE];
};

struct doubt {
	struct doubt *next;           /* of the account's watched ones */
	uint64_t folder;              /* their ledger folder */
	struct ledger_batch *batches; /* owned: borrowed parts of `all` */
	size_t batch_count;
	struct match_row *rows; /* one per entry, batch after batch */
	size_t row_count, matched;
	uint32_t bound;
	struct uidset seen; /* UIDs above the bound that a look has compared */
	uint64_t missing;   /* UIDs given away above the bound that are not there (any more) */
	unsigned looks;
	struct stray *strays;
	size_t stray_count;
	bool other_uidvalidity; /* the target folder has another than the intents knew */
};

void
doubt_free(struct doubt **doubt)
{
	struct doubt *d = *doubt;

	if (d == NULL)
		return;
	ledger_batches_free(d->batches, d->batch_count);
	free(d->rows);
	free(d->strays);
	uidset_clear(&d->seen);
	free(d);
	*doubt = NULL;
}

static struct doubt *
doubt_new(const struct work_folder *wf, struct ledger_batch *batches, size_t count)
{
	struct doubt *d = xcalloc(1, sizeof *d);
	size_t n = 0;

	d->folder = batches[0].folder;
	d->bound = UINT32_MAX;
	d->batches = xcalloc(count, sizeof *d->batches);
	memcpy(d->batches, batches, count * sizeof *d->batches);
	memset(batches, 0, count * sizeof *batches);
	d->batch_count = count;
	for (size_t b = 0; b < count; b++) {
		d->row_count += d->batches[b].count;
		if (d->batches[b].bound < d->bound)
			d->bound = d->batches[b].bound;
		if (d->batches[b].uidvalidity != wf->target.uidvalidity)
			d->other_uidvalidity = true;
	}
	if (d->other_uidvalidity)
		d->bound = 0; /* the old UIDs say nothing: all that lies there is compared */
	d->rows = xcalloc(d->row_count + 1, sizeof *d->rows);
	for (size_t b = 0; b < count; b++)
		for (size_t i = 0; i < d->batches[b].count; i++)
			intent_entry_row(&d->batches[b].entries[i], &d->rows[n++]);
	return d;
}

/* Landed rows of the folder that have no UID are candidates' owners too: they come before the rows
 * in doubt, so that their messages are not taken for ours. Returns how many were added. */
static size_t
add_landed(struct job *job, struct work_folder *wf, struct match_row **rows, size_t count,
	struct err *err)
{
	struct ledger_item *items;
	uint32_t from = 1;
	size_t n, total = count;

	do {
		if (ledger_items(job->ledger, wf->row.id, from, UINT32_MAX, 5000, &items, &n, err) <
			0)
			return SIZE_MAX;
		for (size_t i = 0; i < n; i++) {
			static const unsigned char zero[DIGEST_SIZE];
			struct match_row *row;
			if (items[i].state != ITEM_LANDED || items[i].target_uid != 0)
				continue;
			*rows = xrealloc(*rows, (total + 1) * sizeof **rows);
			row = &(*rows)[total++];
			memset(row, 0, sizeof *row);
			row->exact_only = true;
			memcpy(row->exact,
				memcmp(items[i].sent, zero, DIGEST_SIZE) != 0 ? items[i].sent
									      : items[i].digest,
				DIGEST_SIZE);
			row->received = items[i].received;
			row->flags = items[i].flags;
		}
		if (n > 0)
			from = items[n - 1].uid + 1;
		ledger_items_free(items, n);
	} while (n == 5000);
	return total;
}

static void
forget_seen(struct match_found *found, size_t *count, const struct uidset *seen)
{
	size_t n = 0;

	for (size_t i = 0; i < *count; i++)
		if (!uidset_has(seen, found[i].uid))
			found[n++] = found[i];
	*count = n;
}

/* Landed rows take their messages out of the candidates before the rows in doubt choose. */
static int
take_out_landed(struct job *job, struct work_folder *wf, struct match_found *found, size_t *count,
	struct err *err)
{
	struct match_row *landed = NULL;
	size_t n = add_landed(job, wf, &landed, 0, err), kept = 0;

	if (n == SIZE_MAX) {
		free(landed);
		return -1;
	}
	match_rows(landed, n, found, *count);
	for (size_t i = 0; i < *count; i++)
		if (!found[i].taken)
			found[kept++] = found[i];
	*count = kept;
	free(landed);
	return 0;
}

/* UIDs above the bound that were given away and are not listed, ours that users removed aside: what
 * was there may have been a message in doubt. */
static uint64_t
uids_missing(
	const struct work_folder *wf, uint32_t bound, const struct uidset *listed, uint64_t gone)
{
	uint64_t top = wf->target.uidnext > 0 ? wf->target.uidnext - 1 : 0;
	uint64_t there = uidset_size(listed) + gone;

	if (listed->count > 0 && listed->ranges[listed->count - 1].last > top)
		top = listed->ranges[listed->count - 1].last;
	return top > bound && top - bound > there ? top - bound - there : 0;
}

/* What was matched by its head alone and lies there otherwise than it was sent: how, for the row.
 */
static int
see_whole(struct job *job, struct work_folder *wf, struct err *err)
{
	static const unsigned char zero[DIGEST_SIZE];
	struct doubt *d = wf->doubt;
	struct uidset uids = { 0 };
	struct match_found *found = NULL;
	size_t count = 0;
	int ret = 0;

	for (size_t i = 0; i < d->row_count; i++)
		if (d->rows[i].changed && memcmp(d->rows[i].there, zero, DIGEST_SIZE) == 0)
			uidset_add(&uids, d->rows[i].uid, d->rows[i].uid);
	if (uids.count > 0)
		ret = look_digests(&job->main, &wf->target, &uids, &found, &count, err);
	for (size_t i = 0; ret == 0 && i < d->row_count; i++)
		for (size_t k = 0; k < count && d->rows[i].changed; k++)
			if (found[k].uid == d->rows[i].uid)
				memcpy(d->rows[i].there, found[k].digests.exact, DIGEST_SIZE);
	free(found);
	uidset_clear(&uids);
	return ret;
}

static void
keep_strays(struct doubt *d, const struct match_found *found, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stray *stray;
		if (found[i].taken)
			continue;
		d->strays = xrealloc(d->strays, (d->stray_count + 1) * sizeof *d->strays);
		stray = &d->strays[d->stray_count++];
		stray->size = found[i].size;
		memcpy(stray->canonical_head, found[i].digests.canonical_head, DIGEST_SIZE);
	}
}

/* Compares what is new above the bound with the rows still unmatched. */
static int
look(struct job *job, struct work_folder *wf, size_t *fresh_r, struct err *err)
{
	struct doubt *d = wf->doubt;
	struct uidset ours = { 0 }, listed = { 0 }, skip = { 0 };
	struct match_found *found = NULL;
	size_t count = 0, before = d->matched;
	uint64_t without = 0, gone = 0;
	int ret = -1;

	if (ledger_flush(job->ledger, err) < 0 ||
		ledger_target_uids(job->ledger, job->account->id, wf->target.key, d->bound, &ours,
			&without, err) < 0)
		goto out;
	for (size_t i = 0; i < ours.count; i++)
		uidset_add(&skip, ours.ranges[i].first, ours.ranges[i].last);
	for (size_t i = 0; i < d->seen.count; i++)
		uidset_add(&skip, d->seen.ranges[i].first, d->seen.ranges[i].last);
	if (look_above(&job->main, &wf->target, d->bound, &skip, LOOK_DIGESTS, &found, &count,
		    &listed, err) < 0)
		goto out;
	forget_seen(found, &count, &d->seen);
	for (size_t i = 0; i < count; i++)
		uidset_add(&d->seen, found[i].uid, found[i].uid);
	if (without > 0 && take_out_landed(job, wf, found, &count, err) < 0)
		goto out;
	d->matched += match_rows(d->rows, d->row_count, found, count);
	*fresh_r = d->matched - before;
	if (see_whole(job, wf, err) < 0)
		goto out;
	keep_strays(d, found, count);
	/* UIDs that were given away and are not there: expunged by someone, or never used. */
	for (size_t i = 0; i < ours.count; i++)
		for (uint32_t uid = ours.ranges[i].first;; uid++) {
			gone += !uidset_has(&listed, uid);
			if (uid == ours.ranges[i].last)
				break;
		}
	d->missing = 0;
	d->missing = uids_missing(wf, d->bound, &listed, gone);
	d->looks++;
	ret = 0;
out:
	free(found);
	uidset_clear(&ours);
	uidset_clear(&listed);
	uidset_clear(&skip);
	return ret;
}

static void
entry_item(const struct job *job, const struct ledger_entry *e, enum item_state state,
	unsigned reason, uint32_t uid, struct ledger_item *item)
{
	memset(item, 0, sizeof *item);
	item->uid = e->uid;
	item->state = state;
	item->reason = reason;
	item->size = e->received_size;
	memcpy(item->digest, e->received_digest, DIGEST_SIZE);
	if (e->steps != 0)
		memcpy(item->sent, e->exact, DIGEST_SIZE);
	item->steps = e->steps;
	item->received = e->source_received;
	item->flags = e->flags;
	item->keywords = e->keywords;
	item->target_uid = uid;
	item->round = job->local->round;
}

/* A row that was found: its reason says first what became of the bytes. */
static void
landed_item(const struct job *job, const struct ledger_entry *e, const struct match_row *row,
	struct ledger_item *item)
{
	unsigned reason = e->reason != REASON_NONE ? e->reason : REASON_SETTLED;

	if (e->steps & (1u << LADDER_WRAP))
		reason = REASON_WRAPPED;
	else if (e->steps != 0 || row->changed)
		reason = REASON_REPAIRED;
	entry_item(job, e, ITEM_LANDED, reason, row->uid, item);
	if (row->changed)
		memcpy(item->sent, row->there, DIGEST_SIZE);
}

/* What lies there may be a message sent while it arrived, although nothing proves it: its canonical
 * head is that of more than one, or was not to be known and the size may be that of rewritten line
 * ends. */
static bool
may_be_stray(const struct doubt *d, const struct ledger_entry *e)
{
	static const unsigned char zero[DIGEST_SIZE];
	bool known = memcmp(e->canonical_head, zero, DIGEST_SIZE) != 0;

	for (size_t i = 0; e->streaming && i < d->stray_count; i++) {
		const struct stray *stray = &d->strays[i];
		if (known && memcmp(stray->canonical_head, e->canonical_head, DIGEST_SIZE) == 0)
			return true;
		if (!known && stray->size > e->size && stray->size - e->size <= e->size / 4)
			return true;
	}
	return false;
}

/* What became of a folder's doubts. */
struct ends {
	size_t found, absent, held;
	uint32_t top; /* UID */
};

/* Rows found have landed, as many as may have been there and are gone are held, the others are free
 * to be sent again. */
static void
end_rows(struct job *job, struct doubt *d, struct ends *ends_r)
{
	uint64_t hold = d->other_uidvalidity ? UINT64_MAX : d->missing;
	size_t n = 0;

	for (size_t b = 0; b < d->batch_count; b++) {
		struct ledger_batch *batch = &d->batches[b];
		struct ledger_item *items = xcalloc(batch->count + 1, sizeof *items);
		size_t k = 0;
		for (size_t i = 0; i < batch->count; i++, n++) {
			const struct ledger_entry *e = &batch->entries[i];
			uint32_t uid = d->rows[n].uid;
			if (uid != 0) {
				landed_item(job, e, &d->rows[n], &items[k++]);
				ends_r->found++;
				ends_r->top = uid > ends_r->top ? uid : ends_r->top;
			} else if (hold > 0 || may_be_stray(d, e)) {
				entry_item(job, e, ITEM_HELD, REASON_DOUBT, 0, &items[k++]);
				hold -= hold > 0;
				ends_r->held++;
			} else {
				ends_r->absent++;
			}
		}
		ledger_result(job->ledger, batch->id, batch->folder, items, k);
		free(items);
	}
}

static void
say_ends(struct job *job, const struct work_folder *wf, const struct ends *ends)
{
	struct progress *p = &job->account->progress;

	pthread_mutex_lock(&job->local->lock);
	p->done += ends->found + ends->held;
	p->copied += ends->found;
	p->held += ends->held;
	pthread_mutex_unlock(&job->local->lock);
	job->landed += ends->found;
	if (ends->held > 0)
		job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
			"%zu messages may be on the target, or have been there: held", ends->held);
	log_line(job->log, LOG_INFO, job->name, wf->plan->source_name,
		"settled: %zu found, %zu absent, %zu held, after %u looks", ends->found,
		ends->absent, ends->held, wf->doubt->looks);
}

/* The end of a folder's doubts. */
static int
finish(struct job *job, struct work_folder *wf, struct err *err)
{
	struct ends ends = { 0 };

	end_rows(job, wf->doubt, &ends);
	say_ends(job, wf, &ends);
	if (ends.absent > 0) {
		doubt_free(&wf->watched);
		wf->watched = wf->doubt;
		wf->doubt = NULL;
	} else {
		doubt_free(&wf->doubt);
	}
	wf->second_look_ms = 0;
	/* The reader subtracts what the ledger holds: it may begin only when these rows are there.
	 */
	if (ledger_flush(job->ledger, err) < 0)
		return -1;
	pthread_mutex_lock(&job->lock);
	wf->in_doubt = false;
	if (ends.top > wf->bound)
		wf->bound = ends.top;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
	return 0;
}

static struct work_folder *
folder_by_row(struct job *job, uint64_t row)
{
	for (size_t i = 0; i < job->folder_count; i++)
		if (job->folders[i].row.id == row)
			return &job->folders[i];
	return NULL;
}

static int
first_look(struct job *job, struct work_folder *wf, struct err *err)
{
	size_t fresh;

	if (look(job, wf, &fresh, err) < 0)
		return err_context(err, "target folder %s", wf->plan->target_name);
	if (wf->doubt->matched == wf->doubt->row_count)
		return finish(job, wf, err);
	wf->second_look_ms = clock_ms() + job_settle_wait(job);
	pthread_mutex_lock(&job->lock);
	wf->in_doubt = true;
	pthread_mutex_unlock(&job->lock);
	return 0;
}

/* A second look finds nothing new: over. It finds some: the server is still at it, wait again. */
static int
second_look(struct job *job, struct work_folder *wf, struct err *err)
{
	size_t fresh = 0;

	if (look(job, wf, &fresh, err) < 0)
		return err_context(err, "target folder %s", wf->plan->target_name);
	if (fresh > 0 && wf->doubt->matched < wf->doubt->row_count) {
		wf->second_look_ms = clock_ms() + job_settle_wait(job);
		return 0;
	}
	return finish(job, wf, err);
}

/* Rows in doubt of a folder that is not planned any more cannot be looked for: they are held. */
static void
hold_orphans(struct job *job, const struct ledger_batch *batch)
{
	struct ledger_item *items = xcalloc(batch->count + 1, sizeof *items);

	for (size_t i = 0; i < batch->count; i++)
		entry_item(job, &batch->entries[i], ITEM_HELD, REASON_DOUBT, 0, &items[i]);
	ledger_result(job->ledger, batch->id, batch->folder, items, batch->count);
	free(items);
	if (batch->count > 0)
		job_note(job, NULL, EVENT_WARNING, ERR_NONE,
			"%zu messages in doubt belong to a folder that is no longer moved: held",
			batch->count);
}

/* Takes the account's batches of that ledger folder. */
static int
take_doubts(struct job *job, const struct work_folder *wf, struct doubt **doubt_r, struct err *err)
{
	struct ledger_batch *batches;
	size_t count, first = 0, end;

	*doubt_r = NULL;
	if (ledger_doubts(job->ledger, job->account->id, &batches, &count, err) < 0)
		return -1;
	while (first < count && batches[first].folder != wf->row.id)
		first++;
	for (end = first; end < count && batches[end].folder == wf->row.id; end++)
		;
	if (end > first)
		*doubt_r = doubt_new(wf, &batches[first], end - first);
	ledger_batches_free(batches, count);
	return 0;
}

static int
wait_until(struct job *job, int64_t due, struct err *err)
{
	while (clock_ms() < due)
		if (job_stopping(job) || cancel_wait(job->main.target.cancel, 50))
			return err_set(err, ERR_CANCELLED, "stopped");
	return 0;
}

int
settle_stale(struct job *job, const struct ledger_folder *row, const struct folder *target,
	struct err *err)
{
	struct plan_folder plan = { .source_name = row->source_name,
		.target_name = row->target_name };
	struct work_folder wf = { .plan = &plan, .row = *row, .target = *target };
	int ret = take_doubts(job, &wf, &wf.doubt, err);

	if (ret == 0 && wf.doubt != NULL)
		ret = first_look(job, &wf, err);
	while (ret == 0 && wf.second_look_ms != 0) {
		ret = wait_until(job, wf.second_look_ms, err);
		if (ret == 0)
			ret = second_look(job, &wf, err);
	}
	doubt_free(&wf.doubt);
	doubt_free(&wf.watched);
	return ret;
}

static void
take_watched(struct job *job)
{
	struct doubt *d;

	while ((d = job->account->watched) != NULL) {
		struct work_folder *wf = folder_by_row(job, d->folder);
		job->account->watched = d->next;
		d->next = NULL;
		if (wf != NULL && wf->watched == NULL && !d->other_uidvalidity &&
			d->batches[0].uidvalidity == wf->target.uidvalidity)
			wf->watched = d;
		else
			doubt_free(&d);
	}
}

int
settle_begin(struct job *job, struct err *err)
{
	struct ledger_batch *batches;
	size_t count, end;
	int ret = 0;

	take_watched(job);
	if (ledger_flush(job->ledger, err) < 0 ||
		ledger_doubts(job->ledger, job->account->id, &batches, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && ret == 0; i = end) {
		struct work_folder *wf = folder_by_row(job, batches[i].folder);
		for (end = i + 1; end < count && batches[end].folder == batches[i].folder; end++)
			;
		if (wf == NULL) {
			for (size_t k = i; k < end; k++)
				hold_orphans(job, &batches[k]);
			continue;
		}
		wf->doubt = doubt_new(wf, &batches[i], end - i);
		wf->was_in_doubt = true;
		ret = first_look(job, wf, err);
	}
	ledger_batches_free(batches, count);
	return ret;
}

bool
settle_pending(const struct job *job, int64_t *due_r)
{
	bool any = false;

	for (size_t i = 0; i < job->folder_count; i++) {
		int64_t due = job->folders[i].second_look_ms;
		if (due == 0)
			continue;
		if (!any || due < *due_r)
			*due_r = due;
		any = true;
	}
	return any;
}

int
settle_continue(struct job *job, bool wait, size_t *left_r, struct err *err)
{
	int64_t due = 0;

	while (wait && settle_pending(job, &due) && due > clock_ms() && !job_stopping(job))
		if (cancel_wait(job->main.target.cancel, 100))
			return err_set(err, ERR_CANCELLED, "stopped");
	for (size_t i = 0; i < job->folder_count; i++) {
		struct work_folder *wf = &job->folders[i];
		if (wf->second_look_ms != 0 && wf->second_look_ms <= clock_ms() &&
			second_look(job, wf, err) < 0)
			return -1;
	}
	*left_r = 0;
	for (size_t i = 0; i < job->folder_count; i++)
		*left_r += job->folders[i].second_look_ms != 0;
	return 0;
}

/* A message that arrived late: it lies there twice if it was sent again. If it was held, this is
 * what it was held for. */
static int
found_late(struct job *job, struct work_folder *wf, const struct ledger_entry *e,
	const struct match_row *row, struct err *err)
{
	struct ledger_item *item, landed;
	size_t items;

	if (ledger_items(job->ledger, wf->row.id, e->uid, e->uid, 1, &item, &items, err) < 0)
		return -1;
	if (items == 1 && item->state == ITEM_HELD) {
		landed_item(job, e, row, &landed);
		ledger_items_put(job->ledger, wf->row.id, &landed, 1);
		job_note(job, wf->plan->source_name, EVENT_NOTE, ERR_NONE,
			"source UID %u was held and arrived late, as UID %u", (unsigned)e->uid,
			(unsigned)row->uid);
	} else if (items == 1) {
		job->account->remarks = true;
		job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
			"late double: source UID %u lies on the target as UID %u and UID %u",
			(unsigned)e->uid, (unsigned)item->target_uid, (unsigned)row->uid);
	}
	ledger_items_free(item, items);
	return 0;
}

static int
watch_folder(struct job *job, struct work_folder *wf, struct err *err)
{
	struct doubt *d = wf->watched;
	struct uidset ours = { 0 };
	struct match_found *found = NULL;
	size_t count = 0;
	uint64_t without;
	int ret = -1;

	if (ledger_flush(job->ledger, err) < 0 ||
		ledger_target_uids(job->ledger, job->account->id, wf->target.key, d->bound, &ours,
			&without, err) < 0 ||
		look_above(&job->main, &wf->target, d->bound, &ours, LOOK_DIGESTS, &found, &count,
			NULL, err) < 0)
		goto out;
	forget_seen(found, &count, &d->seen);
	match_rows(d->rows, d->row_count, found, count);
	ret = 0;
	for (size_t b = 0, n = 0; b < d->batch_count; b++)
		for (size_t i = 0; ret == 0 && i < d->batches[b].count; i++, n++)
			if (d->rows[n].uid != 0 && !uidset_has(&d->seen, d->rows[n].uid))
				ret = found_late(
					job, wf, &d->batches[b].entries[i], &d->rows[n], err);
out:
	free(found);
	uidset_clear(&ours);
	return ret;
}

/* An attempt that ends early leaves what it watched to the next one. */
void
settle_keep_watched(struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++) {
		struct doubt *d = job->folders[i].watched;
		if (d == NULL)
			continue;
		job->folders[i].watched = NULL;
		d->next = job->account->watched;
		job->account->watched = d;
	}
}

void
watched_free(struct doubt **watched)
{
	while (*watched != NULL) {
		struct doubt *d = *watched;
		*watched = d->next;
		doubt_free(&d);
	}
}

int
settle_watch(struct job *job, struct err *err)
{
	for (size_t i = 0; i < job->folder_count; i++) {
		if (job->folders[i].watched != NULL && watch_folder(job, &job->folders[i], err) < 0)
			return -1;
		doubt_free(&job->folders[i].watched);
	}
	return 0;
}
