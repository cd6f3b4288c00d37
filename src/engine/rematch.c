/* rematch.c - a folder whose UIDVALIDITY is not the ledger's: its rows are found again. Nothing is
 * read as "all gone", nothing is sent again because a number changed.
 *
 * On the source size and date tell a message, where no other row and no other message has the same
 * ones. All that is left is told by digest: sizes may be estimates, and a restored backup may have
 * lost the dates. On the target all rows are found by digest.
 *
 * A folder may hold a million messages: what is kept of each is a few dozen bytes, the ledger's
 * rows are read in windows, and no body is kept. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

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
};

/* What a row is looked for by. */
struct looks {
	uint64_t size;
	int64_t received;
};

/* A message that size and date did not tell. */
struct digested {
	unsigned char digest[DIGEST_SIZE];
	struct present *present;
};

enum pass {
	PASS_LOOKS,  /* alone with its size and date, on both sides */
	PASS_DIGEST, /* by the bytes received */
	PASS_REST    /* landed rows whose bytes are not known: any with their size and date */
};

struct rematch {
	struct job *job;
	struct work_folder *wf;
	const struct ledger_folder *old;
	struct present *list; /* by size, date, UID */
	size_t count;
	struct looks *rows; /* of all the old rows, sorted */
	size_t row_count, row_cap;
	struct digested *digested; /* by digest, date */
	size_t digested_count;
	enum pass pass;
	size_t wanting; /* rows that the pass left over and a later one may find */
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
	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int
by_uid(const void *a, const void *b)
{
	const struct digested *x = a, *y = b;

	return (x->present->uid > y->present->uid) - (x->present->uid < y->present->uid);
}

static int
by_digest(const void *a, const void *b)
{
	const struct digested *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, DIGEST_SIZE);

	return order != 0 ? order : by_present(x->present, y->present);
}

static int
list_present(struct rematch *r, struct err *err)
{
	struct side *side = &r->job->main.source;
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

/* No other row has its size and date; it is one of the rows. */
static bool
is_alone(const struct rematch *r, uint64_t size, int64_t received)
{
	const struct looks key = { size, received };
	const struct looks *hit = bsearch(&key, r->rows, r->row_count, sizeof *r->rows, by_looks);

	return hit != NULL && !(hit > r->rows && by_looks(hit - 1, &key) == 0) &&
	       !(hit + 1 < r->rows + r->row_count && by_looks(hit + 1, &key) == 0);
}

/* Reads what is not taken, in one go. */
static int
digest_rest(struct rematch *r, struct err *err)
{
	struct side *side = &r->job->main.source;
	struct uidset set = { 0 };
	struct message *message;
	size_t n = 0;
	int ret = 0;

	r->digested = xcalloc(r->count + 1, sizeof *r->digested);
	for (size_t i = 0; i < r->count; i++)
		if (!r->list[i].taken) {
			r->digested[n++].present = &r->list[i];
			uidset_add(&set, r->list[i].uid, r->list[i].uid);
		}
	qsort(r->digested, n, sizeof *r->digested, by_uid);
	if (n > 0)
		ret = side->c->fetch_start(side->session, &r->wf->source, &set, FETCH_DIGEST, err);
	while (n > 0 && ret == 0 &&
		(ret = side->c->fetch_next(side->session, &message, err)) == 1) {
		struct present uid = { .uid = message->item->uid };
		struct digested key = { .present = &uid }, *hit;
		hit = bsearch(&key, r->digested, n, sizeof key, by_uid);
		if (hit != NULL)
			memcpy(hit->digest, message->digests.exact, DIGEST_SIZE);
		message_free(&message);
		ret = 0;
	}
	uidset_clear(&set);
	qsort(r->digested, n, sizeof *r->digested, by_digest);
	r->digested_count = n;
	return ret;
}

/* Among messages of those bytes one of that date comes first. */
static struct present *
find_digest(struct rematch *r, const struct ledger_item *row)
{
	struct present *any = NULL;
	size_t low = 0, high = r->digested_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(r->digested[middle].digest, row->digest, DIGEST_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < r->digested_count &&
		memcmp(r->digested[low].digest, row->digest, DIGEST_SIZE) == 0;
		low++) {
		struct present *p = r->digested[low].present;
		if (p->taken)
			continue;
		if (p->received == row->received)
			return p;
		if (any == NULL)
			any = p;
	}
	return any;
}

/* Where the row's message is now, or NULL. A landed row whose bytes nobody knows takes what is left
 * with its size and date: sending it again would be the greater harm. */
static struct present *
find_row(struct rematch *r, const struct ledger_item *row)
{
	size_t first, end;

	if (r->pass == PASS_DIGEST)
		return has_digest(row) ? find_digest(r, row) : NULL;
	if (r->pass == PASS_REST && (has_digest(row) || !has_landed(row)))
		return NULL;
	equal_range(r, row->size, row->received, &first, &end);
	if (r->pass == PASS_LOOKS && (end - first != 1 || !is_alone(r, row->size, row->received)))
		return NULL;
	for (size_t i = first; i < end; i++)
		if (!r->list[i].taken)
			return &r->list[i];
	return NULL;
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
	struct present *hit = find_row(r, row);
	uint32_t from = row->uid;

	(void)err;
	if (hit == NULL) {
		r->wanting += has_digest(row) || has_landed(row);
		return 0;
	}
	hit->taken = true;
	row->uid = hit->uid;
	row->gone_round = 0;
	if (row->reason == REASON_NONE)
		row->reason = REASON_REMATCHED;
	ledger_item_move(r->job->ledger, r->old->id, from, r->wf->row.id, row);
	r->again++;
	return 0;
}

static int
run_pass(struct rematch *r, enum pass pass, struct err *err)
{
	r->pass = pass;
	r->wanting = 0;
	if (rows_each(r->job, r->old->id, move_row, r, err) < 0)
		return -1;
	return ledger_flush(r->job->ledger, err);
}

/* Gives each row its message of now. */
static int
rematch_rows(struct rematch *r, struct err *err)
{
	struct uidset moved = { 0 };
	int ret = rows_each(r->job, r->old->id, add_looks, r, err);

	if (r->row_count > 0)
		qsort(r->rows, r->row_count, sizeof *r->rows, by_looks);
	if (ret == 0)
		ret = rows_each(r->job, r->wf->row.id, note_moved, &moved, err);
	if (ret == 0)
		ret = list_present(r, err);
	leave_out(r, &moved);
	uidset_clear(&moved);
	if (ret == 0)
		ret = run_pass(r, PASS_LOOKS, err);
	if (ret == 0 && r->wanting > 0) {
		ret = digest_rest(r, err);
		if (ret == 0)
			ret = run_pass(r, PASS_DIGEST, err);
		if (ret == 0)
			ret = run_pass(r, PASS_REST, err);
	}
	return ret;
}

/* The old row is history: what is left of its items is gone at the source. */
static int
close_old(struct rematch *r, struct err *err)
{
	struct job *job = r->job;
	struct ledger_folder old = *r->old;

	if (rows_mark_gone(job, old.id, job->local->round, err) < 0)
		return -1;
	old.gone_round = job->local->round;
	old.rematch = false;
	ledger_folder_found(job->ledger, old.id, r->row_count - r->again, 0, job->local->round);
	if (ledger_folder_put(job->ledger, &old, err) < 0)
		return -1;
	return ledger_flush(job->ledger, err);
}

int
rematch_source(
	struct job *job, struct work_folder *wf, const struct ledger_folder *old, struct err *err)
{
	struct rematch r = { .job = job, .wf = wf, .old = old };
	int ret = rematch_rows(&r, err);

	if (ret == 0) {
		job_note(job, wf->plan->source_name, EVENT_WARNING, ERR_NONE,
			"UIDVALIDITY at the source is %u, was %u: %zu of %zu known messages found "
			"again",
			(unsigned)wf->source.uidvalidity, (unsigned)old->source_uidvalidity,
			r.again, r.row_count);
		ret = close_old(&r, err);
	}
	free(r.list);
	free(r.rows);
	free(r.digested);
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
	struct side *side = &job->main.target;
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
	if (rows_each(job, wf->row.id, add_landed, &l, err) < 0)
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
