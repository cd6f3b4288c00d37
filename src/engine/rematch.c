/* rematch.c - a folder whose UIDVALIDITY is not the ledger's: its rows are found again, on the
 * source by size, date and, where that is not unique, digest; on the target by digest. Nothing is
 * read as "all gone", nothing is sent again because a number changed. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

/* A message of the folder as it is now. */
struct present {
	uint32_t uid;
	uint64_t size;
	int64_t received;
	bool taken, digested;
	unsigned char digest[DIGEST_SIZE];
};

static int
by_size_date_uid(const void *a, const void *b)
{
	const struct present *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (x->received != y->received)
		return x->received < y->received ? -1 : 1;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int
list_present(struct side *side, const struct folder *folder, struct present **list_r,
	size_t *count_r, struct err *err)
{
	struct present *list = NULL;
	size_t count = 0, cap = 0;
	struct uidset all = { 0 };
	struct message *message;
	int ret;

	uidset_add(&all, 1, UINT32_MAX);
	ret = side->c->fetch_start(side->session, folder, &all, FETCH_META, err);
	uidset_clear(&all);
	while (ret == 0 && (ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		if (count == cap) {
			cap = cap ? cap * 2 : 256;
			list = xrealloc(list, cap * sizeof *list);
		}
		memset(&list[count], 0, sizeof *list);
		list[count].uid = message->item->uid;
		list[count].size = message->item->size;
		list[count++].received = message->item->received;
		message_free(&message);
		ret = 0;
	}
	if (ret < 0) {
		free(list);
		return -1;
	}
	if (count > 0)
		qsort(list, count, sizeof *list, by_size_date_uid);
	*list_r = list;
	*count_r = count;
	return 0;
}

/* [first_r, end_r) of the messages with that size and date. */
static void
equal_range(const struct present *list, size_t count, uint64_t size, int64_t received,
	size_t *first_r, size_t *end_r)
{
	struct present key = { .size = size, .received = received };
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (by_size_date_uid(&list[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first_r = low;
	while (low < count && list[low].size == size && list[low].received == received)
		low++;
	*end_r = low;
}

static int
digest_range(struct side *side, const struct folder *folder, struct present *list, size_t first,
	size_t end, struct err *err)
{
	struct uidset set = { 0 };
	struct message *message;
	int ret;

	for (size_t i = first; i < end; i++)
		if (!list[i].digested)
			uidset_add(&set, list[i].uid, list[i].uid);
	if (set.count == 0)
		return 0;
	ret = side->c->fetch_start(side->session, folder, &set, FETCH_DIGEST, err);
	while (ret == 0 && (ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		for (size_t i = first; i < end; i++)
			if (list[i].uid == message->item->uid) {
				memcpy(list[i].digest, message->digests.exact, DIGEST_SIZE);
				list[i].digested = true;
			}
		message_free(&message);
		ret = 0;
	}
	uidset_clear(&set);
	return ret;
}

/* Where the row's message is now, or 0. Alone with its size and date it is taken as it is. */
static int
find_row(struct job *job, const struct folder *folder, struct present *list, size_t count,
	const struct ledger_item *row, bool row_alone, uint32_t *uid_r, struct err *err)
{
	static const unsigned char zero[DIGEST_SIZE];
	size_t first, end;

	*uid_r = 0;
	equal_range(list, count, row->size, row->received, &first, &end);
	if (end - first == 1 && row_alone && !list[first].taken) {
		list[first].taken = true;
		*uid_r = list[first].uid;
		return 0;
	}
	if (first == end || memcmp(row->digest, zero, DIGEST_SIZE) == 0)
		return 0;
	if (digest_range(&job->source, folder, list, first, end, err) < 0)
		return -1;
	for (size_t i = first; i < end; i++)
		if (!list[i].taken && list[i].digested &&
			memcmp(list[i].digest, row->digest, DIGEST_SIZE) == 0) {
			list[i].taken = true;
			*uid_r = list[i].uid;
			return 0;
		}
	return 0;
}

static int
row_order(const void *a, const void *b)
{
	const struct ledger_item *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (x->received != y->received)
		return x->received < y->received ? -1 : 1;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

static bool
is_same(const struct ledger_item *a, const struct ledger_item *b)
{
	return a->size == b->size && a->received == b->received;
}

/* rows are in row_order. */
static bool
is_alone(const struct ledger_item *rows, size_t count, size_t at)
{
	return !(at > 0 && is_same(&rows[at - 1], &rows[at])) &&
	       !(at + 1 < count && is_same(&rows[at + 1], &rows[at]));
}

static int
move_row(struct job *job, struct work_folder *wf, const struct ledger_folder *old,
	struct ledger_item *row, uint32_t uid)
{
	struct uidset from = { 0 };

	uidset_add(&from, row->uid, row->uid);
	if (uid != 0) {
		row->uid = uid;
		row->gone_round = 0;
		if (row->reason == REASON_NONE)
			row->reason = REASON_REMATCHED;
		ledger_items_put(job->ledger, wf->row.id, row, 1);
		ledger_items_remove(job->ledger, old->id, &from);
	} else if (row->gone_round == 0) {
		ledger_items_gone(job->ledger, old->id, &from, job->local->round);
	}
	uidset_clear(&from);
	return uid != 0;
}

int
rematch_source(
	struct job *job, struct work_folder *wf, const struct ledger_folder *old, struct err *err)
{
	struct ledger_item *rows = NULL;
	struct present *list = NULL;
	size_t row_count = 0, count = 0, again = 0;
	struct ledger_folder *stale;
	int ret = -1;

	if (ledger_items(job->ledger, old->id, 1, UINT32_MAX, 0, &rows, &row_count, err) < 0 ||
		list_present(&job->source, &wf->source, &list, &count, err) < 0)
		goto out;
	if (row_count > 0)
		qsort(rows, row_count, sizeof *rows, row_order);
	for (size_t i = 0; i < row_count; i++) {
		uint32_t uid;
		if (find_row(job, &wf->source, list, count, &rows[i], is_alone(rows, row_count, i),
			    &uid, err) < 0)
			goto out;
		again += move_row(job, wf, old, &rows[i], uid);
	}
	job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
		"UIDVALIDITY at the source is %u, was %u: %zu of %zu known messages found again",
		(unsigned)wf->source.uidvalidity, (unsigned)old->source_uidvalidity, again,
		row_count);
	stale = xcalloc(1, sizeof *stale);
	*stale = *old;
	stale->gone_round = job->local->round;
	ret = ledger_folder_put(job->ledger, stale, err);
	free(stale);
	if (ret == 0) {
		ledger_folder_found(job->ledger, old->id, row_count - again, 0, job->local->round);
		ret = ledger_flush(job->ledger, err);
	}
out:
	ledger_items_free(rows, row_count);
	free(list);
	return ret;
}

/* ---- the target ---- */

static int
landed_rows(struct job *job, const struct work_folder *wf, struct ledger_item **items_r,
	size_t *items_count_r, struct match_row **rows_r, struct err *err)
{
	static const unsigned char zero[DIGEST_SIZE];
	struct ledger_item *items;
	struct match_row *rows;
	size_t count;

	if (ledger_items(job->ledger, wf->row.id, 1, UINT32_MAX, 0, &items, &count, err) < 0)
		return -1;
	rows = xcalloc(count + 1, sizeof *rows);
	for (size_t i = 0; i < count; i++) {
		bool there = items[i].state == ITEM_LANDED || items[i].state == ITEM_VERIFIED;
		bool sent = memcmp(items[i].sent, zero, DIGEST_SIZE) != 0;
		rows[i].exact_only = true;
		rows[i].received = items[i].received;
		rows[i].flags = items[i].flags;
		if (there)
			memcpy(rows[i].exact, sent ? items[i].sent : items[i].digest, DIGEST_SIZE);
	}
	*items_r = items;
	*items_count_r = count;
	*rows_r = rows;
	return 0;
}

/* The target folder has another UIDVALIDITY. Landed rows stay done and get the UIDs of now where
 * their message is found; a folder that holds none of them was emptied or made anew, and that is
 * for the admin to judge. */
int
rematch_target(struct job *job, struct work_folder *wf, uint32_t new_uidvalidity, struct err *err)
{
	struct ledger_item *items = NULL;
	struct match_row *rows = NULL;
	struct match_found *found = NULL;
	size_t item_count = 0, count = 0, matched, landed = 0;
	int ret = -1;

	wf->target.uidvalidity = new_uidvalidity;
	if (landed_rows(job, wf, &items, &item_count, &rows, err) < 0)
		goto out;
	for (size_t i = 0; i < item_count; i++)
		landed += items[i].state == ITEM_LANDED || items[i].state == ITEM_VERIFIED;
	if (landed > 0 &&
		look_above(job, &wf->target, 0, NULL, LOOK_DIGESTS, &found, &count, NULL, err) < 0)
		goto out;
	matched = match_rows(rows, item_count, found, count);
	if (landed > 0 && matched == 0) {
		err_set(err, ERR_UIDVALIDITY,
			"target folder %s has UIDVALIDITY %u, had %u, and holds none of the %zu "
			"messages "
			"that went into it: emptied or made anew there",
			wf->plan->target_name, (unsigned)new_uidvalidity,
			(unsigned)wf->row.target_uidvalidity, landed);
		goto out;
	}
	for (size_t i = 0; i < item_count; i++)
		if (items[i].target_uid != rows[i].uid)
			ledger_item_target(job->ledger, wf->row.id, items[i].uid, rows[i].uid);
	job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
		"UIDVALIDITY of the target folder is %u, was %u: %zu of %zu messages found there",
		(unsigned)new_uidvalidity, (unsigned)wf->row.target_uidvalidity, matched, landed);
	wf->row.target_uidvalidity = new_uidvalidity;
	ret = ledger_folder_put(job->ledger, &wf->row, err);
out:
	ledger_items_free(items, item_count);
	free(rows);
	free(found);
	return ret;
}
