/* rematch.c - a folder whose UIDVALIDITY is not the ledger's: its rows are found again, on the
 * source by size, date and, where that is not unique, digest; on the target by digest. Nothing is
 * read as "all gone", nothing is sent again because a number changed.
 *
 * A folder may hold a million messages: what is kept of each is a few dozen bytes, the ledger's
 * rows are read in windows, and only messages that size and date do not tell apart are read. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

#define WINDOW_ROWS 5000

/* ---- the ledger's rows, a window at a time ---- */

/* 0 to go on, -1 with *err. */
typedef int row_fn(void *context, struct ledger_item *row, struct err *err);

static int
each_row(struct job *job, uint64_t folder, row_fn *fn, void *context, struct err *err)
{
	uint32_t from = 1;
	size_t count;
	int ret = 0;

	do {
		struct ledger_item *rows;
		uint32_t last;
		if (ledger_items(job->ledger, folder, from, UINT32_MAX, WINDOW_ROWS, &rows, &count,
			    err) < 0)
			return -1;
		last = count > 0 ? rows[count - 1].uid : UINT32_MAX;
		for (size_t i = 0; ret == 0 && i < count; i++)
			ret = fn(context, &rows[i], err);
		ledger_items_free(rows, count);
		if (last == UINT32_MAX)
			break;
		from = last + 1;
	} while (ret == 0 && count == WINDOW_ROWS);
	return ret;
}

static bool
has_digest(const struct ledger_item *row)
{
	static const unsigned char zero[DIGEST_SIZE];

	return memcmp(row->digest, zero, DIGEST_SIZE) != 0;
}

static bool
has_landed(const struct ledger_item *row)
{
	return row->state == ITEM_LANDED || row->state == ITEM_VERIFIED ||
	       row->state == ITEM_ADOPTED;
}

/* ---- the source ---- */

/* A message of the folder as it is now. */
struct present {
	uint64_t size;
	int64_t received;
	uint32_t uid;
	bool taken;
	unsigned char *digest; /* owned; NULL: size and date are enough, or it did not come */
};

/* What a row is looked for by. */
struct looks {
	uint64_t size;
	int64_t received;
};

struct rematch {
	struct job *job;
	struct work_folder *wf;
	const struct ledger_folder *old;
	struct present *list; /* by size, date, digest, UID */
	size_t count;
	struct looks *rows; /* all of the old rows, sorted */
	size_t row_count, row_cap;
	bool rest; /* second pass: rows that only size and date can find */
	size_t again;
};

static int
by_looks(const void *a, const void *b)
{
	const struct looks *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return (x->received > y->received) - (x->received < y->received);
}

static int
by_present(const void *a, const void *b)
{
	const struct present *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (x->received != y->received)
		return x->received < y->received ? -1 : 1;
	if ((x->digest == NULL) != (y->digest == NULL))
		return x->digest == NULL ? 1 : -1;
	if (x->digest != NULL && memcmp(x->digest, y->digest, DIGEST_SIZE) != 0)
		return memcmp(x->digest, y->digest, DIGEST_SIZE);
	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int
by_uid(const void *a, const void *b)
{
	const struct present *const *x = a, *const *y = b;

	return ((*x)->uid > (*y)->uid) - ((*x)->uid < (*y)->uid);
}

static int
list_present(struct rematch *r, struct err *err)
{
	struct side *side = &r->job->source;
	struct uidset all = { 0 };
	struct message *message;
	size_t cap = 0;
	int ret;

	uidset_add(&all, 1, UINT32_MAX);
	ret = side->c->fetch_start(side->session, &r->wf->source, &all, FETCH_META, err);
	uidset_clear(&all);
	while (ret == 0 && (ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		struct present *p;
		if (r->count == cap) {
			cap = cap ? cap * 2 : 256;
			r->list = xrealloc(r->list, cap * sizeof *r->list);
		}
		p = &r->list[r->count++];
		memset(p, 0, sizeof *p);
		p->uid = message->item->uid;
		p->size = message->item->size;
		p->received = message->item->received;
		message_free(&message);
		ret = 0;
	}
	if (r->count > 0)
		qsort(r->list, r->count, sizeof *r->list, by_present);
	return ret;
}

/* [*first_r, *end_r) of the messages with that size and date. */
static void
equal_range(
	const struct rematch *r, uint64_t size, int64_t received, size_t *first_r, size_t *end_r)
{
	const struct looks key = { size, received };
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct looks at = { r->list[middle].size, r->list[middle].received };
		if (by_looks(&at, &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first_r = low;
	while (low < r->count && r->list[low].size == size && r->list[low].received == received)
		low++;
	*end_r = low;
}

static size_t
rows_like(const struct rematch *r, uint64_t size, int64_t received)
{
	const struct looks key = { size, received };
	const struct looks *hit;
	size_t n = 1;

	hit = r->row_count == 0 ? NULL
				: bsearch(&key, r->rows, r->row_count, sizeof *r->rows, by_looks);
	if (hit == NULL)
		return 0;
	for (const struct looks *p = hit; p > r->rows && by_looks(p - 1, &key) == 0; p--)
		n++;
	for (const struct looks *p = hit + 1; p < r->rows + r->row_count && by_looks(p, &key) == 0;
		p++)
		n++;
	return n;
}

/* Messages that size and date do not tell apart, and that a row may be: sorted by UID. */
static struct present **
ambiguous(struct rematch *r, size_t *count_r)
{
	struct present **asked = NULL;
	size_t end, n = 0, cap = 0;

	for (size_t first = 0; first < r->count; first = end) {
		const struct present *p = &r->list[first];
		size_t rows = rows_like(r, p->size, p->received);
		for (end = first; end < r->count && r->list[end].size == p->size &&
				  r->list[end].received == p->received;
			end++)
			;
		if (rows == 0 || (rows == 1 && end - first == 1))
			continue;
		for (size_t i = first; i < end; i++) {
			if (n == cap) {
				cap = cap ? cap * 2 : 256;
				asked = xrealloc(asked, cap * sizeof *asked);
			}
			asked[n++] = &r->list[i];
		}
	}
	if (n > 0)
		qsort(asked, n, sizeof *asked, by_uid);
	*count_r = n;
	return asked;
}

/* Reads those, all in one go. */
static int
digest_ambiguous(struct rematch *r, struct err *err)
{
	struct side *side = &r->job->source;
	struct uidset set = { 0 };
	struct message *message;
	size_t count;
	struct present **asked = ambiguous(r, &count);
	int ret = 0;

	for (size_t i = 0; i < count; i++)
		uidset_add(&set, asked[i]->uid, asked[i]->uid);
	if (count > 0)
		ret = side->c->fetch_start(side->session, &r->wf->source, &set, FETCH_DIGEST, err);
	while (count > 0 && ret == 0 &&
		(ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		struct present key = { .uid = message->item->uid }, *wanted = &key, **hit;
		hit = bsearch(&wanted, asked, count, sizeof *asked, by_uid);
		if (hit != NULL && (*hit)->digest == NULL) {
			(*hit)->digest = xmalloc(DIGEST_SIZE);
			memcpy((*hit)->digest, message->digests.exact, DIGEST_SIZE);
		}
		message_free(&message);
		ret = 0;
	}
	uidset_clear(&set);
	free(asked);
	if (r->count > 0)
		qsort(r->list, r->count, sizeof *r->list, by_present);
	return ret;
}

/* The first free one of [first, end) with that digest (NULL: whatever it has). */
static struct present *
free_one(struct rematch *r, size_t first, size_t end, const unsigned char *digest)
{
	if (digest != NULL) { /* those that have one come first, in its order */
		size_t high = end;
		while (first < high) {
			size_t middle = first + (high - first) / 2;
			const unsigned char *at = r->list[middle].digest;
			if (at != NULL && memcmp(at, digest, DIGEST_SIZE) < 0)
				first = middle + 1;
			else
				high = middle;
		}
	}
	for (size_t i = first; i < end; i++) {
		struct present *p = &r->list[i];
		if (digest != NULL &&
			(p->digest == NULL || memcmp(p->digest, digest, DIGEST_SIZE) != 0))
			break;
		if (!p->taken)
			return p;
	}
	return NULL;
}

/* Where the row's message is now, or 0. Alone with its size and date it is taken as it is. A row
 * without a digest that is not alone waits for the rest: as it has landed, sending it again would
 * be the greater harm. */
static uint32_t
find_row(struct rematch *r, const struct ledger_item *row)
{
	struct present *hit = NULL;
	size_t first, end;
	bool alone;

	equal_range(r, row->size, row->received, &first, &end);
	alone = end - first == 1 && rows_like(r, row->size, row->received) == 1;
	if (alone || (r->rest && has_landed(row)))
		hit = free_one(r, first, end, NULL);
	else if (has_digest(row))
		hit = free_one(r, first, end, row->digest);
	if (hit == NULL)
		return 0;
	hit->taken = true;
	return hit->uid;
}

static int
add_looks(void *context, struct ledger_item *row, struct err *err)
{
	struct rematch *r = context;

	(void)err;
	if (r->row_count == r->row_cap) {
		r->row_cap = r->row_cap ? r->row_cap * 2 : 256;
		r->rows = xrealloc(r->rows, r->row_cap * sizeof *r->rows);
	}
	r->rows[r->row_count].size = row->size;
	r->rows[r->row_count++].received = row->received;
	return 0;
}

/* An earlier start of this that was cut off has given this message to a row already. */
static int
note_moved(void *context, struct ledger_item *row, struct err *err)
{
	(void)err;
	uidset_add(context, row->uid, row->uid);
	return 0;
}

static void
leave_out(struct rematch *r, const struct uidset *moved)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		if (!uidset_has(moved, r->list[i].uid))
			r->list[n++] = r->list[i];
	r->count = n;
}

static int
move_row(void *context, struct ledger_item *row, struct err *err)
{
	struct rematch *r = context;
	bool waits = !has_digest(row) && has_landed(row);
	uint32_t uid;

	(void)err;
	if (r->rest && !waits)
		return 0;
	uid = find_row(r, row);
	if (uid != 0) {
		uint32_t from = row->uid;
		row->uid = uid;
		row->gone_round = 0;
		if (row->reason == REASON_NONE)
			row->reason = REASON_REMATCHED;
		ledger_item_move(r->job->ledger, r->old->id, from, r->wf->row.id, row);
		r->again++;
	} else if (row->gone_round == 0 && (r->rest || !waits)) {
		struct uidset gone = { 0 };
		uidset_add(&gone, row->uid, row->uid);
		ledger_items_gone(r->job->ledger, r->old->id, &gone, r->job->local->round);
		uidset_clear(&gone);
	}
	return 0;
}

/* Fills both lists and gives each row its message of now. */
static int
rematch_rows(struct rematch *r, struct err *err)
{
	struct uidset moved = { 0 };
	int ret = each_row(r->job, r->old->id, add_looks, r, err);

	if (r->row_count > 0)
		qsort(r->rows, r->row_count, sizeof *r->rows, by_looks);
	if (ret == 0)
		ret = each_row(r->job, r->wf->row.id, note_moved, &moved, err);
	if (ret == 0)
		ret = list_present(r, err);
	leave_out(r, &moved);
	uidset_clear(&moved);
	if (ret == 0)
		ret = digest_ambiguous(r, err);
	if (ret == 0)
		ret = each_row(r->job, r->old->id, move_row, r, err);
	if (ret == 0)
		ret = ledger_flush(r->job->ledger, err);
	r->rest = true;
	if (ret == 0)
		ret = each_row(r->job, r->old->id, move_row, r, err);
	return ret;
}

int
rematch_source(
	struct job *job, struct work_folder *wf, const struct ledger_folder *old, struct err *err)
{
	struct rematch r = { .job = job, .wf = wf, .old = old };
	struct ledger_folder stale;
	int ret = -1;

	if (rematch_rows(&r, err) < 0)
		goto out;
	job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
		"UIDVALIDITY at the source is %u, was %u: %zu of %zu known messages found again",
		(unsigned)wf->source.uidvalidity, (unsigned)old->source_uidvalidity, r.again,
		r.row_count);
	stale = *old;
	stale.gone_round = job->local->round;
	wf->row.rematch = 0;
	ledger_folder_found(job->ledger, old->id, r.row_count - r.again, 0, job->local->round);
	if (ledger_folder_put(job->ledger, &stale, err) < 0 ||
		ledger_folder_put(job->ledger, &wf->row, err) < 0)
		goto out;
	ret = ledger_flush(job->ledger, err);
out:
	for (size_t i = 0; i < r.count; i++)
		free(r.list[i].digest);
	free(r.list);
	free(r.rows);
	return ret;
}

/* ---- the target ---- */

/* A row that lies on the target, or should. */
struct landed {
	unsigned char digest[DIGEST_SIZE]; /* as sent */
	int64_t received;
	uint32_t uid; /* at the source */
	uint32_t target_uid, was;
	unsigned flags;
};

struct landed_rows {
	struct landed *rows; /* by digest */
	size_t count, cap;
};

static int
add_landed(void *context, struct ledger_item *row, struct err *err)
{
	static const unsigned char zero[DIGEST_SIZE];
	struct landed_rows *l = context;
	struct landed *to;

	(void)err;
	if (row->state != ITEM_LANDED && row->state != ITEM_VERIFIED)
		return 0;
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 256;
		l->rows = xrealloc(l->rows, l->cap * sizeof *l->rows);
	}
	to = &l->rows[l->count++];
	memcpy(to->digest, memcmp(row->sent, zero, DIGEST_SIZE) != 0 ? row->sent : row->digest,
		DIGEST_SIZE);
	to->received = row->received;
	to->uid = row->uid;
	to->was = row->target_uid;
	to->target_uid = 0;
	to->flags = row->flags;
	return 0;
}

static int
by_landed(const void *a, const void *b)
{
	const struct landed *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, DIGEST_SIZE);

	if (order != 0)
		return order;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* The row that this message of the target is: among equal ones date and flags choose. */
static struct landed *
row_of_message(struct landed_rows *l, const struct message *message)
{
	struct landed key = { 0 }, *best = NULL;
	size_t low = 0, high = l->count;
	int best_score = -1;

	memcpy(key.digest, message->digests.exact, DIGEST_SIZE);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (by_landed(&l->rows[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < l->count && memcmp(l->rows[low].digest, key.digest, DIGEST_SIZE) == 0; low++) {
		struct landed *row = &l->rows[low];
		int score = (row->received == message->item->received ? 2 : 0) +
			    (row->flags == message->item->flags ? 1 : 0);
		if (row->target_uid == 0 && score > best_score) {
			best = row;
			best_score = score;
		}
		if (best_score == 3)
			break;
	}
	return best;
}

/* The whole folder passes and is digested. *matched_r: rows that were found. */
static int
match_landed(struct job *job, const struct folder *folder, struct landed_rows *l, size_t *matched_r,
	struct err *err)
{
	struct side *side = &job->target;
	struct uidset all = { 0 };
	struct message *message;
	int ret;

	*matched_r = 0;
	if (l->count == 0)
		return 0;
	uidset_add(&all, 1, UINT32_MAX);
	ret = side->c->fetch_start(side->session, folder, &all, FETCH_DIGEST, err);
	uidset_clear(&all);
	while (ret == 0 && (ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		struct landed *row = row_of_message(l, message);
		if (row != NULL) {
			row->target_uid = message->item->uid;
			(*matched_r)++;
		}
		message_free(&message);
		ret = 0;
	}
	return ret;
}

/* The target folder has another UIDVALIDITY. Landed rows stay done and get the UIDs of now where
 * their message is found; a folder that holds none of them was emptied or made anew, and that is
 * for the admin to judge. */
int
rematch_target(struct job *job, struct work_folder *wf, uint32_t new_uidvalidity, struct err *err)
{
	struct landed_rows l = { 0 };
	size_t matched;
	int ret = -1;

	wf->target.uidvalidity = new_uidvalidity;
	if (each_row(job, wf->row.id, add_landed, &l, err) < 0)
		goto out;
	if (l.count > 0)
		qsort(l.rows, l.count, sizeof *l.rows, by_landed);
	if (match_landed(job, &wf->target, &l, &matched, err) < 0)
		goto out;
	if (l.count > 0 && matched == 0) {
		err_set(err, ERR_UIDVALIDITY,
			"target folder %s has UIDVALIDITY %u, had %u, and holds none of the %zu "
			"messages "
			"that went into it: emptied or made anew there",
			wf->plan->target_name, (unsigned)new_uidvalidity,
			(unsigned)wf->row.target_uidvalidity, l.count);
		goto out;
	}
	for (size_t i = 0; i < l.count; i++)
		if (l.rows[i].was != l.rows[i].target_uid)
			ledger_item_target(
				job->ledger, wf->row.id, l.rows[i].uid, l.rows[i].target_uid);
	job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
		"UIDVALIDITY of the target folder is %u, was %u: %zu of %zu messages found there",
		(unsigned)new_uidvalidity, (unsigned)wf->row.target_uidvalidity, matched, l.count);
	wf->row.target_uidvalidity = new_uidvalidity;
	ret = ledger_folder_put(job->ledger, &wf->row, err);
out:
	free(l.rows);
	return ret;
}
