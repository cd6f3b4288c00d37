/* left.c - what of an account is still to be copied, found out without copying.
 *
 * `check` asks for it to the message: each folder's sizes are listed and compared with the ledger's
 * rows, so that it can name what the target will not take. A run only wants to know whether a quota
 * is in its way: there the numbers that the folders came with must do. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/job.h"

#include "base/banned.h"

#define LISTS_AHEAD  8    /* folders asked for and not yet read */
#define ROWS_AT_ONCE 2000 /* of the ledger */

struct listing {
	struct job *job;
	struct check_account *check;
	/* Of the folder that is being read. */
	const struct plan_folder *folder;
	struct uidset ended; /* not sent by the next run */
	struct uidset there; /* and no message to worry about, however large */
	uint64_t messages, bytes, all_bytes;
};

unsigned
left_out_reason(const struct profile_run *run, int64_t received, uint64_t size)
{
	if (received != ITEM_DATE_NONE) {
		if (received < run->since)
			return REASON_SINCE;
		if (received >= run->before)
			return REASON_BEFORE;
	}
	return run->max_size != 0 && size > run->max_size ? REASON_MAX_SIZE : REASON_NONE;
}

static void
add_row(struct listing *l, const struct ledger_item *item)
{
	/* These are looked at anew by each run. */
	if (item->state == ITEM_VANISHED ||
		(item->state == ITEM_SKIPPED && item->reason >= REASON_SINCE &&
			item->reason <= REASON_MAX_SIZE))
		return;
	uidset_add(&l->ended, item->uid, item->uid);
	if (item->state != ITEM_FAILED)
		uidset_add(&l->there, item->uid, item->uid);
}

static int
read_rows(struct listing *l, const struct ledger_folder *row, struct err *err)
{
	struct ledger_item *items = NULL;
	uint32_t first = 1, last = 0;
	size_t count = 0;

	do {
		if (ledger_items(l->job->ledger, row->id, first, UINT32_MAX, ROWS_AT_ONCE, &items,
			    &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++)
			add_row(l, &items[i]);
		last = count > 0 ? items[count - 1].uid : UINT32_MAX;
		ledger_items_free(items, count);
		first = last + 1;
	} while (last != UINT32_MAX);
	return 0;
}

static void
note_large(struct listing *l, const struct item *item)
{
	struct check_account *check = l->check;
	struct check_large *large;
	struct str name;

	if (check->too_large++ >= CHECK_LARGE_MAX)
		return;
	check->large = xrealloc(check->large, (size_t)check->too_large * sizeof *check->large);
	large = &check->large[check->too_large - 1];
	str_init(&name, 0);
	text_sanitize(&name, l->folder->source_name, strlen(l->folder->source_name));
	large->folder = str_take(&name);
	large->uid = item->uid;
	large->size = item->size;
}

static void
take_message(struct listing *l, const struct item *item)
{
	uint64_t limit = l->check->append_limit;

	l->all_bytes += item->size;
	if (left_out_reason(l->job->run, item->received, item->size) != REASON_NONE)
		return;
	if (limit != 0 && item->size > limit) {
		if (!uidset_has(&l->there, item->uid))
			note_large(l, item);
		return;
	}
	if (uidset_has(&l->ended, item->uid))
		return;
	l->messages++;
	l->bytes += item->size;
}

/* rows: of the source folder under any UIDVALIDITY. Those under another one are looked for by size
 * and date when the run comes to it; here they count by their sums. */
static int
begin_folder(struct listing *l, const struct plan_folder *pf, const struct ledger_folder *rows,
	size_t row_count, uint64_t *before_r, struct err *err)
{
	l->folder = pf;
	l->messages = l->bytes = l->all_bytes = *before_r = 0;
	uidset_clear(&l->ended);
	uidset_clear(&l->there);
	for (size_t i = 0; i < row_count; i++) {
		if (strcmp(rows[i].source_key, pf->source.key) != 0 || rows[i].gone_round != 0)
			continue;
		if (rows[i].source_uidvalidity != pf->source.uidvalidity)
			*before_r += rows[i].counts.bytes_landed;
		else if (read_rows(l, &rows[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Takes the answer for the folder that was asked for first. */
static int
read_folder(struct listing *l, size_t index, const struct ledger_folder *rows, size_t row_count,
	struct err *err)
{
	const struct side *source = &l->job->main.source;
	const struct plan_folder *pf = &l->job->plan.folders[index];
	struct message *message = NULL;
	uint64_t before;
	int ret;

	if (begin_folder(l, pf, rows, row_count, &before, err) < 0)
		return -1;
	while ((ret = source->c->fetch_next(source->session, &message, err)) == 1) {
		take_message(l, message->item);
		message_free(&message);
	}
	l->check->left += l->messages;
	l->check->left_bytes += l->bytes > before ? l->bytes - before : 0;
	if ((pf->source.flags & FOLDER_SIZE) == 0) { /* now it is known */
		l->check->folders[index].bytes = l->all_bytes;
		l->check->bytes += l->all_bytes;
	}
	return ret;
}

static uint64_t
ended_items(const struct ledger_counts *counts)
{
	uint64_t ended = 0;

	for (int s = 1; s < ITEM_STATES; s++)
		ended += counts->by_state[s];
	return ended;
}

/* Bytes of a folder that need not be copied any more, as far as its sums tell. */
static uint64_t
known_bytes(const struct ledger_counts *counts)
{
	uint64_t ended = ended_items(counts);
	uint64_t bytes = ended == counts->found ? counts->bytes_found : counts->bytes_landed;

	if (counts->gone >= ended)
		return 0;
	return (uint64_t)((double)bytes * (double)(ended - counts->gone) / (double)ended);
}

static int
ask_folder(const struct side *source, const struct plan_folder *pf, struct err *err)
{
	struct uidset all = { 0 };
	int ret;

	uidset_add(&all, 1, UINT32_MAX);
	ret = source->c->fetch_start(source->session, &pf->source, &all, FETCH_META, err);
	uidset_clear(&all);
	return ret;
}

int
left_list(struct job *job, struct check_account *check, const struct ledger_folder *rows,
	size_t row_count, struct err *err)
{
	struct listing l = { .job = job, .check = check };
	size_t asked = 0, ahead = 0;
	int ret = 0;

	for (size_t at = 0; ret == 0 && at < job->plan.work_count; at++) {
		for (; asked < job->plan.work_count && ahead < LISTS_AHEAD && ret == 0; asked++) {
			if (job->plan.folders[asked].source.messages == 0)
				continue;
			ret = ask_folder(&job->main.source, &job->plan.folders[asked], err);
			ahead++;
		}
		if (ret < 0 || job->plan.folders[at].source.messages == 0)
			continue;
		ret = read_folder(&l, at, rows, row_count, err);
		ahead--;
	}
	uidset_clear(&l.ended);
	uidset_clear(&l.there);
	check->left_known = ret == 0;
	return ret;
}

bool
left_sizes_told(const struct job *job)
{
	for (size_t i = 0; i < job->plan.work_count; i++)
		if (job->plan.folders[i].source.messages != 0 &&
			(job->plan.folders[i].source.flags & FOLDER_SIZE) == 0)
			return false;
	return true;
}

void
left_sum(const struct job *job, struct check_account *check, const struct ledger_folder *rows,
	size_t row_count)
{
	const struct profile_run *run = job->run;

	if (run->since != INT64_MIN || run->before != INT64_MAX || run->max_size != 0 ||
		!left_sizes_told(job))
		return;
	for (size_t i = 0; i < job->plan.work_count; i++) {
		const struct folder *folder = &job->plan.folders[i].source;
		uint64_t items = 0, bytes = 0;
		for (size_t r = 0; r < row_count; r++) {
			if (strcmp(rows[r].source_key, folder->key) != 0 || rows[r].gone_round != 0)
				continue;
			items += ended_items(&rows[r].counts) - rows[r].counts.gone;
			bytes += known_bytes(&rows[r].counts);
		}
		check->left += folder->messages > items ? folder->messages - items : 0;
		check->left_bytes += folder->size_bytes > bytes ? folder->size_bytes - bytes : 0;
	}
	check->left_known = true;
}

/* What the profile leaves out is in it until it was found once, and so is what failed. */
uint64_t
left_at_most(const struct job *job)
{
	uint64_t left = 0;

	for (size_t i = 0; i < job->folder_count; i++) {
		const struct work_folder *wf = &job->folders[i];
		uint64_t known = known_bytes(&wf->row.counts);
		if (wf->look == LOOK_NOTHING) /* whatever sizes the server estimates */
			continue;
		left += wf->source.size_bytes > known ? wf->source.size_bytes - known : 0;
	}
	return left;
}
