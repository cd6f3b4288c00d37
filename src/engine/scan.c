/* scan.c - what the source listed, against the ledger's rows of the same UIDs: what is new, what
 * has other flags, what has gone.
 *
 * Of a folder that was read to its end before (LOOK_CHANGES) only the UIDs from the UIDNEXT of then
 * on are scanned; of those below the server tells which have other flags and which have gone. Where
 * it does not tell the latter, and the counts say that some have, the UIDs that are there are
 * listed. An answer that does not fit what the ledger knows makes the rest of the folder be scanned
 * as well. */
#include <stdlib.h>
#include <string.h>

#include "engine/reader_private.h"

#include "base/banned.h"

#define CHANGES_MESSAGES 50000u /* likewise, where few of them are told of */
#define SIZE_IS_WRONG    4 /* times: what a server's estimate is not; less is fetched and seen */

static int
by_uid(const void *a, const void *b)
{
	const struct scanned *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

uint64_t
scan_rows_of(const struct ledger_counts *counts)
{
	uint64_t rows = 0;

	for (int s = 1; s < ITEM_STATES; s++)
		rows += counts->by_state[s];
	return rows;
}

static void
scan_new(struct reader *r, struct work_folder *wf, const struct scanned *s, bool known)
{
	struct job *job = r->job;
	unsigned reason = left_out_reason(job->run, s->received, s->size);
	struct item item = { .uid = s->uid, .received = s->received, .flags = s->flags };

	if (!known) {
		wf->new_items++;
		wf->new_bytes += s->size;
	}
	if (reason != REASON_NONE)
		fill_put_failed(job, wf, &item, s->size, ITEM_SKIPPED, reason, "");
	else if (job->limits.message_max != 0 && s->size / SIZE_IS_WRONG > job->limits.message_max)
		fill_put_failed(job, wf, &item, s->size, ITEM_FAILED, ERR_TOOBIG,
			"larger than the target takes");
	else
		part_add_todo(r, wf, s->uid, s->size);
}

static bool
is_there(enum item_state state)
{
	return state == ITEM_LANDED || state == ITEM_VERIFIED || state == ITEM_ADOPTED;
}

/* It lies on the target and has other flags than those last written there. */
static void
compare_flags(struct reader *r, const struct scanned *s, const struct ledger_item *item,
	struct work *changes)
{
	struct flag_change *change;

	if (!is_there(item->state) || !r->job->run->flag_changes ||
		(item->flags == s->flags && keywords_eq(item->keywords, s->keywords)))
		return;
	changes->changes =
		xrealloc(changes->changes, (changes->change_count + 1) * sizeof *changes->changes);
	change = &changes->changes[changes->change_count++];
	memset(change, 0, sizeof *change);
	change->uid = s->uid;
	change->target_uid = item->target_uid;
	change->old_flags = item->flags;
	change->new_flags = s->flags;
	change->old_keywords = item->keywords != NULL ? xstrdup(item->keywords) : NULL;
	change->new_keywords = s->keywords != NULL ? xstrdup(s->keywords) : NULL;
	change->keywords_lost = item->reason == REASON_KEYWORDS;
}

static void
mark_back(struct reader *r, const struct work_folder *wf, const struct ledger_item *item)
{
	struct uidset back = { 0 };

	if (item->gone_round == 0)
		return;
	uidset_add(&back, item->uid, item->uid);
	ledger_items_gone(r->job->ledger, wf->row.id, &back, 0);
	uidset_clear(&back);
}

/* A message the ledger knows: new flags, a filter that was taken back, one that came back. */
static void
scan_known(struct reader *r, struct work_folder *wf, const struct scanned *s,
	const struct ledger_item *item, struct work *changes)
{
	if (item->state == ITEM_VANISHED ||
		(item->state == ITEM_SKIPPED && item->reason >= REASON_SINCE &&
			item->reason <= REASON_MAX_SIZE &&
			left_out_reason(r->job->run, s->received, s->size) == REASON_NONE)) {
		struct uidset set = { 0 };
		uidset_add(&set, s->uid, s->uid);
		ledger_items_remove(r->job->ledger, wf->row.id, &set);
		uidset_clear(&set);
		scan_new(r, wf, s, true);
		return;
	}
	mark_back(r, wf, item);
	compare_flags(r, s, item, changes);
}

/* One of the known messages was told of in the folder; NULL: the ledger does not know it. */
static void
known_told(struct reader *r, struct work_folder *wf, const struct ledger_item *item)
{
	if (item == NULL || item->state == ITEM_VANISHED)
		wf->strange = true;
	else
		mark_back(r, wf, item);
}

static bool
was_given(const struct work_folder *wf, uint32_t uid)
{
	return wf->at_once && uidset_has(&wf->given, uid);
}

/* Merges a window's answer (sorted) with the ledger's rows of the same UIDs. What was given before
 * it was scanned is counted, and may have its row by now. */
static int
merge_window(struct reader *r, struct op *op, struct work *changes, struct err *err)
{
	struct work_folder *wf = op->folder;
	uint32_t first = op->set.ranges[0].first, last = op->set.ranges[op->set.count - 1].last;
	bool uids = op->kind == OP_UIDS;
	struct uidset gone = { 0 };
	size_t at = 0;
	int ret = -1;

	for (;;) {
		struct ledger_item *rows;
		size_t count;
		uint32_t up_to = last;
		if (ledger_items(
			    r->job->ledger, wf->row.id, first, last, 2000, &rows, &count, err) < 0)
			goto out;
		if (count == 2000)
			up_to = rows[count - 1].uid;
		for (size_t i = 0; i <= count; i++) {
			uint32_t row_uid = i < count ? rows[i].uid : 0;
			for (; at < op->scanned_count && op->scanned[at].uid <= up_to &&
				(i == count || op->scanned[at].uid < row_uid);
				at++)
				if (uids)
					known_told(r, wf, NULL);
				else if (!was_given(wf, op->scanned[at].uid))
					scan_new(r, wf, &op->scanned[at], false);
			if (i == count)
				break;
			if (was_given(wf, row_uid)) {
				at += at < op->scanned_count && op->scanned[at].uid == row_uid;
				continue;
			}
			wf->known_items += !uids;
			wf->known_bytes += uids ? 0 : rows[i].size;
			if (at == op->scanned_count || op->scanned[at].uid != row_uid) {
				if (rows[i].gone_round == 0)
					uidset_add(&gone, row_uid, row_uid);
			} else if (uids) {
				known_told(r, wf, &rows[i]);
				at++;
			} else {
				scan_known(r, wf, &op->scanned[at++], &rows[i], changes);
			}
		}
		ledger_items_free(rows, count);
		if (up_to >= last)
			break;
		first = up_to + 1;
	}
	if (gone.count > 0)
		ledger_items_gone(r->job->ledger, wf->row.id, &gone, r->job->local->round);
	ret = 0;
out:
	uidset_clear(&gone);
	return ret;
}

/* The ledger's rows of the messages told of as changed: few of many, so not the whole window. */
static int
merge_changed(struct reader *r, struct op *op, struct work *changes, struct err *err)
{
	struct work_folder *wf = op->folder;
	size_t end;

	for (size_t at = 0; at < op->scanned_count; at = end) {
		uint32_t first = op->scanned[at].uid, last = first;
		struct ledger_item *rows;
		size_t count, row = 0;

		for (end = at + 1; end < op->scanned_count && end - at < 1000 &&
				   op->scanned[end].uid == last + 1;
			end++)
			last++;
		if (ledger_items(r->job->ledger, wf->row.id, first, last, 0, &rows, &count, err) <
			0)
			return -1;
		for (; at < end; at++) {
			bool known = row < count && rows[row].uid == op->scanned[at].uid;

			known_told(r, wf, known ? &rows[row] : NULL);
			if (known)
				compare_flags(r, &op->scanned[at], &rows[row++], changes);
		}
		ledger_items_free(rows, count);
	}
	return 0;
}

/* Of the UIDs that the server says are there no more, those that the ledger has as there. The
 * server may name any UID: only what was asked for is looked up. */
static int
merge_vanished(struct reader *r, struct op *op, struct err *err)
{
	uint32_t low = op->set.ranges[0].first, high = op->set.ranges[0].last;
	const struct uidset *told = &op->since.gone;
	struct uidset gone = { 0 };
	int ret = 0;

	for (size_t i = 0; i < told->count && ret == 0; i++) {
		uint32_t first = told->ranges[i].first, last = told->ranges[i].last;
		size_t count = 2000;

		first = first < low ? low : first;
		last = last > high ? high : last;
		while (first <= last && count == 2000 && ret == 0) {
			struct ledger_item *rows;

			ret = ledger_items(r->job->ledger, op->folder->row.id, first, last, 2000,
				&rows, &count, err);
			if (ret < 0)
				break;
			for (size_t k = 0; k < count; k++) {
				if (rows[k].gone_round == 0)
					uidset_add(&gone, rows[k].uid, rows[k].uid);
				first = rows[k].uid + 1;
			}
			ledger_items_free(rows, count);
		}
	}
	if (ret == 0 && gone.count > 0)
		ledger_items_gone(r->job->ledger, op->folder->row.id, &gone, r->job->local->round);
	op->folder->missing += uidset_size(&gone);
	uidset_clear(&gone);
	return ret;
}

/* A pass over changes found what it found beside all that the ledger had. */
void
scan_sum_up(struct work_folder *wf)
{
	if (wf->look == LOOK_ALL)
		return;
	wf->known_items = scan_rows_of(&wf->row.counts);
	wf->known_bytes = wf->row.counts.bytes_found;
}

void
scan_tell_counted(struct job *job)
{
	struct progress *p = &job->account->progress;
	uint64_t found = 0, bytes = 0;

	for (size_t i = 0; i < job->folder_count; i++) {
		const struct work_folder *f = &job->folders[i];
		if (!f->scanned)
			return;
		found += f->known_items + f->new_items;
		bytes += f->known_bytes + f->new_bytes;
	}
	pthread_mutex_lock(&job->local->lock);
	p->counted = true;
	p->found = found;
	p->bytes_found = bytes;
	pthread_mutex_unlock(&job->local->lock);
}

/* Its messages are fetched without having been scanned; what is there is only listed. */
bool
scan_only_listed(const struct work_folder *wf)
{
	return wf->at_once && !wf->at_once_failed;
}

static void
merge_list(struct reader *r, struct op *op)
{
	for (size_t i = 0; i < op->scanned_count; i++)
		if (!was_given(op->folder, op->scanned[i].uid))
			scan_new(r, op->folder, &op->scanned[i], false);
}

void
scan_counted(struct reader *r, struct work_folder *wf)
{
	struct job *job = r->job;

	scan_sum_up(wf);
	wf->scanned = true;
	part_no_more(r, wf);
	ledger_folder_found(job->ledger, wf->row.id, wf->known_items + wf->new_items,
		wf->known_bytes + wf->new_bytes, job->local->round);
	scan_tell_counted(job);
}

/* The known messages are gone through, in windows: all that is told of them, or whether they are
 * there. */
void
scan_go_through_known(struct work_folder *wf, enum look_known how)
{
	const struct ledger_seen *seen = &wf->row.seen;
	uint32_t aim = how == KNOWN_SCAN ? SCAN_MESSAGES : CHANGES_MESSAGES;
	uint64_t width = seen->messages <= aim ? seen->uidnext
					       : (uint64_t)seen->uidnext * aim / seen->messages;

	wf->known_how = how;
	wf->counted_known = 0;
	wf->known_uid = seen->uidnext > 1 ? 1 : 0;
	wf->known_width = width < 1 ? 1 : width > UINT32_MAX ? UINT32_MAX : (uint32_t)width;
}

/* More messages were there than the counts leave room for, and the server did not tell which of
 * them have gone. */
static bool
some_are_missing(const struct work_folder *wf)
{
	return (uint64_t)wf->row.seen.messages + wf->new_listed >
	       (uint64_t)wf->source.messages + wf->missing;
}

/* Not every UID since then was told of, and no deletion was: what is missing may be new and not
 * told while a known one has gone, so that the counts agree. */
static bool
has_holes(const struct work_folder *wf)
{
	return wf->missing == 0 && wf->source.uidnext > wf->row.seen.uidnext &&
	       wf->counted_new < wf->source.uidnext - wf->row.seen.uidnext;
}

/* All that was asked has been answered: is there more to ask? */
static void
folder_answered(struct reader *r, struct work_folder *wf)
{
	if (wf->look == LOOK_CHANGES && wf->strange) {
		log_line(r->job->log, LOG_INFO, r->job->name, wf->plan->source_name,
			"what the server tells of changes is not what is known: all is read");
		wf->look = LOOK_ALL;
		scan_go_through_known(wf, KNOWN_SCAN);
	} else if (wf->look == LOOK_CHANGES && wf->known_how != KNOWN_UIDS &&
		   (some_are_missing(wf) || has_holes(wf))) {
		scan_go_through_known(wf, KNOWN_UIDS);
	}
	if (wf->known_uid == 0)
		scan_counted(r, wf);
}

void
scan_window_ended(struct reader *r, struct work_folder *wf)
{
	if (wf->scan_uid == 0 && wf->known_uid == 0 && wf->scans == 0 && wf->err.code == ERR_NONE)
		folder_answered(r, wf);
}

static void
count_listed(const struct op *op)
{
	struct work_folder *wf = op->folder;

	for (size_t i = 0; i < op->scanned_count; i++) {
		bool counted = op->scanned[i].uid < wf->source.uidnext;

		if (op->scanned[i].uid < wf->row.seen.uidnext) {
			wf->counted_known += counted;
		} else {
			wf->new_listed++;
			wf->counted_new += counted;
		}
	}
}

int
scan_end(struct reader *r, struct op *op, struct err *err)
{
	struct work *changes = xcalloc(1, sizeof *changes);
	int ret = 0;

	changes->folder = op->folder;
	op->folder->scans--;
	r->scans -= !op->behind;
	if (op->scanned_count > 1)
		qsort(op->scanned, op->scanned_count, sizeof *op->scanned, by_uid);
	if (op->kind == OP_CHANGES)
		ret = merge_changed(r, op, changes, err) < 0 ? -1 : merge_vanished(r, op, err);
	else if (scan_only_listed(op->folder))
		merge_list(r, op);
	else
		ret = merge_window(r, op, changes, err);
	if (op->kind != OP_CHANGES)
		count_listed(op);
	if (ret < 0) {
		work_free(changes);
		return -1;
	}
	if (changes->change_count > 0)
		ret = fill_hand_over(
			r, &changes, changes->change_count * sizeof *changes->changes, err);
	else
		work_free(changes);
	if (ret == 0)
		scan_window_ended(r, op->folder);
	return ret;
}

void
scan_add(struct op *op, const struct item *item)
{
	struct scanned *s;

	if (!uidset_has(&op->set, item->uid))
		return;
	if (op->scanned_count == op->scanned_cap) {
		op->scanned_cap = op->scanned_cap ? op->scanned_cap * 2 : 256;
		op->scanned = xrealloc(op->scanned, op->scanned_cap * sizeof *op->scanned);
	}
	s = &op->scanned[op->scanned_count++];
	s->uid = item->uid;
	s->size = item->size;
	s->received = item->received;
	s->flags = item->flags;
	s->keywords = item->keywords != NULL ? xstrdup(item->keywords) : NULL;
}
