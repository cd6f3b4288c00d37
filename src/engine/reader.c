/* reader.c - the source side of a lane: what to fetch, and everything that comes from it.
 *
 * The reader keeps a row of operations in flight (scans and fetches, answered in the order they
 * were sent) and tops it up before it waits, so that the source always has something to do:
 *
 *   folder - scan a window of UIDs -> subtract the ledger -> todo -> fetch sets -> batches -> queue
 *            (scan.c)                 (scan.c)                                      (fill.c)
 *
 * A folder that the ledger does not know, of which nothing is to be left out, is fetched without
 * being scanned: by ranges of UIDs, and behind them a list of its UIDs shows that all came.
 *
 * It owns the source session and the work folders' reader part. A batch leaves for the writer
 * with its intent queued in the ledger. Stop and pause are looked at between operations; what is
 * in flight is bounded by FETCH_WINDOW_BYTES, and by
 * lanes_window() where lanes share. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/reader_private.h"

#include "base/banned.h"

#define SCANS_IN_FLIGHT    8u
#define TODO_AHEAD         20000u /* scanned and not yet asked for, before scanning rests */
#define FETCH_WINDOW_BYTES (64u << 20)
#define FETCH_RANGES       4000u /* in commands without an answer: a socket holds no more of them */
#define FETCHES_IN_FLIGHT  64u
#define SHARE_OPS          (2 * FETCHES_IN_FLIGHT)
#define SPARSE_MOST        2u /* UIDs for each message, so that ranges hold what they should */
#define KEEPALIVE_MS       60000u

static void
op_free(struct op **op)
{
	if (*op == NULL)
		return;
	uidset_clear(&(*op)->set);
	uidset_clear(&(*op)->since.gone);
	for (size_t i = 0; i < (*op)->scanned_count; i++)
		free((*op)->scanned[i].keywords);
	free((*op)->scanned);
	free(*op);
	*op = NULL;
}

void
work_free(void *p)
{
	struct work *work = p;

	if (work == NULL)
		return;
	if (work->batch != NULL)
		for (size_t i = 0; i < work->batch->count; i++)
			if (work->batch->entries[i].body != NULL)
				spool_abandon(work->batch->entries[i].body);
	batch_free(&work->batch);
	for (size_t i = 0; i < work->change_count; i++) {
		free(work->changes[i].old_keywords);
		free(work->changes[i].new_keywords);
	}
	free(work->changes);
	free(work);
}

/* ---- operations ---- */

static int
start_op(struct reader *r, struct op *op, struct err *err)
{
	struct side *source = &r->lane->source;
	const struct folder *folder = &op->folder->source;
	enum fetch_what what = FETCH_META;
	int ret;

	if (op->kind == OP_AT_ONCE || op->kind == OP_FETCH)
		what = op->whole ? FETCH_WHOLE : FETCH_BODY;
	else if (op->kind == OP_UIDS || (op->kind == OP_SCAN && scan_only_listed(op->folder)))
		what = FETCH_UIDS;
	if (op->kind == OP_CHANGES)
		ret = source->c->changes_start(source->session, folder, &op->set, &op->since, err);
	else
		ret = source->c->fetch_start(source->session, folder, &op->set, what, err);
	if (ret < 0) {
		op_free(&op);
		return -1;
	}
	*r->last = op;
	r->last = &op->next;
	r->op_count++;
	r->bytes_in_flight += op->bytes;
	op->ranges = op->set.count;
	r->ranges_in_flight += op->ranges;
	r->spoke_ms = clock_ms();
	return 0;
}

static int
start_scan(struct reader *r, struct work_folder *wf, bool behind, struct err *err)
{
	struct op *op = xcalloc(1, sizeof *op);
	/* The last window has no end: what a server says of UIDNEXT may be old, or too low. */
	bool is_last = wf->scan_uid > wf->scan_end || wf->scan_end - wf->scan_uid < wf->scan_width;
	uint32_t last = is_last ? UINT32_MAX - 1 : wf->scan_uid + wf->scan_width - 1;

	op->kind = OP_SCAN;
	op->folder = wf;
	uidset_add(&op->set, wf->scan_uid, last);
	wf->scan_uid = is_last ? 0 : last + 1;
	wf->scans++;
	op->behind = behind;
	r->scans += !behind;
	part_count(r, wf);
	return start_op(r, op, err);
}

static int
start_known(struct reader *r, struct work_folder *wf, struct err *err)
{
	static const enum op_kind kinds[] = {
		[KNOWN_CHANGES] = OP_CHANGES, [KNOWN_UIDS] = OP_UIDS, [KNOWN_SCAN] = OP_SCAN
	};
	struct op *op = xcalloc(1, sizeof *op);
	uint32_t end = wf->row.seen.uidnext - 1;
	bool is_last = end - wf->known_uid < wf->known_width;
	uint32_t last = is_last ? end : wf->known_uid + wf->known_width - 1;

	op->kind = kinds[wf->known_how];
	op->folder = wf;
	op->since.modseq = wf->row.seen.modseq;
	uidset_add(&op->set, wf->known_uid, last);
	wf->known_uid = is_last ? 0 : last + 1;
	wf->scans++;
	r->scans++;
	part_count(r, wf);
	return start_op(r, op, err);
}

/* The list of what came at once leaves behind its last range, while the folder is selected: to open
 * it once more would cost the server more than the list. Not where others still fetch of it: the
 * list is held against what has come. */
static int
start_part(struct reader *r, struct op *op, struct err *err)
{
	struct work_folder *wf = op->folder;
	bool list = op->kind == OP_AT_ONCE && wf->lane == r->lane;

	r->fetches++;
	if (start_op(r, op, err) < 0)
		return -1;
	while (list && wf->scan_uid != 0 && part_may_scan(r, wf))
		if (start_scan(r, wf, true, err) < 0)
			return -1;
	return 0;
}

static bool
in_doubt(struct job *job, const struct work_folder *wf)
{
	bool ret;

	pthread_mutex_lock(&job->lock);
	ret = wf->in_doubt;
	pthread_mutex_unlock(&job->lock);
	return ret;
}

static bool
none_is_too_large(const struct job *job, const struct folder *folder)
{
	return job->limits.message_max == 0 ||
	       ((folder->flags & FOLDER_SIZE) != 0 &&
		       folder->size_bytes <= job->limits.message_max);
}

/* Nothing of it is known, so nothing is in doubt, and no message is left out for its size or date.
 */
bool
reader_may_come_at_once(struct job *job, const struct work_folder *wf)
{
	const struct profile_run *run = job->run;
	const struct folder *f = &wf->source;

	return wf->fresh && (f->flags & FOLDER_STATUS) != 0 && f->uidnext > 1 &&
	       f->uidnext - 1 <= (uint64_t)SPARSE_MOST * f->messages && run->since == INT64_MIN &&
	       run->before == INT64_MAX && run->max_size == 0 && none_is_too_large(job, f) &&
	       !job_takes_any_care(job, f->key);
}

static void
begin_folder(struct job *job, struct work_folder *wf)
{
	const struct folder *f = &wf->source;
	uint64_t width;

	if (wf->err.code != ERR_NONE || wf->begun)
		return;
	wf->begun = true;
	if (wf->was_in_doubt || in_doubt(job, wf))
		wf->look = LOOK_ALL;
	if (wf->look == LOOK_NOTHING) {
		scan_sum_up(wf);
		wf->scanned = true;
		return;
	}
	wf->scan_uid = 1;
	if (wf->look == LOOK_CHANGES) {
		wf->scan_uid = wf->row.seen.uidnext;
		if (f->highestmodseq != wf->row.seen.modseq)
			scan_go_through_known(wf, KNOWN_CHANGES);
	}
	wf->scan_end = UINT32_MAX - 1;
	wf->scan_width = UINT32_MAX - 1;
	if (!(f->flags & FOLDER_STATUS) || f->uidnext == 0)
		return;
	wf->scan_end = f->uidnext - 1;
	width = f->messages <= SCAN_MESSAGES ? f->uidnext
					     : (uint64_t)f->uidnext * SCAN_MESSAGES / f->messages;
	wf->scan_width = width < 1 ? 1 : width > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)width;
	/* Rows that were just settled are not in the counts of the attempt's start. */
	if (f->messages == 0 && scan_rows_of(&wf->row.counts) == 0 && !wf->was_in_doubt &&
		wf->look == LOOK_ALL)
		wf->scan_uid = 0;
	else
		part_begin(job, wf, reader_may_come_at_once(job, wf));
}

/* Until it is known what there is of a folder whose messages come first: what its server said. */
static void
say_expected(struct job *job, const struct work_folder *wf)
{
	if (wf->at_once)
		ledger_folder_found(job->ledger, wf->row.id, wf->source.messages,
			wf->source.size_bytes, wf->row.scanned_round);
}

static void
folder_taken(struct reader *r, struct work_folder *wf)
{
	begin_folder(r->job, wf);
	say_expected(r->job, wf);
	if (part_is_read(r, wf) && wf->err.code == ERR_NONE && !wf->scanned)
		scan_counted(r, wf);
	else if (wf->scanned && lanes_share(r->job))
		scan_tell_counted(r->job);
}

static bool
take_folder(struct reader *r)
{
	struct work_folder *wf = lanes_take(r->lane);

	if (wf != NULL)
		folder_taken(r, wf);
	return wf != NULL;
}

static uint64_t
window_bytes(const struct reader *r)
{
	return lanes_share(r->job) ? lanes_window(r->job) : FETCH_WINDOW_BYTES;
}

static bool
has_room(const struct reader *r)
{
	return r->fetches < FETCHES_IN_FLIGHT &&
	       (r->fetches == 0 || (r->bytes_in_flight < window_bytes(r) &&
					   r->ranges_in_flight < FETCH_RANGES));
}

static int
ask_parts(struct reader *r, struct err *err)
{
	struct op *op;

	while (has_room(r) && (op = part_take(r)) != NULL)
		if (start_part(r, op, err) < 0)
			return -1;
	return 0;
}

static bool
has_room_to_scan(const struct reader *r)
{
	return r->scans < SCANS_IN_FLIGHT &&
	       (atomic_load(&r->lane->todo_ahead) < TODO_AHEAD || r->op_count == 0);
}

/* Fetches in folder order, then scans. */
static int
ask(struct reader *r, struct err *err)
{
	struct lane *lane = r->lane;

	if (ask_parts(r, err) < 0)
		return -1;
	for (size_t i = r->first_open; i < lane->folder_count && has_room_to_scan(r); i++) {
		struct work_folder *wf = lane->folders[i];
		while (wf->known_uid != 0 && r->scans < SCANS_IN_FLIGHT)
			if (start_known(r, wf, err) < 0)
				return -1;
		while (wf->scan_uid != 0 && has_room_to_scan(r) && part_may_scan(r, wf))
			if (start_scan(r, wf, false, err) < 0)
				return -1;
	}
	return 0;
}

/* Where lanes share the folders, each takes no more than is on its way at once. */
static bool
wants_more(struct reader *r)
{
	if (!lanes_share(r->job))
		return true;
	return part_all_asked(r) && r->bytes_in_flight < window_bytes(r) &&
	       r->op_count < SHARE_OPS && r->scans < SCANS_IN_FLIGHT;
}

/* No folder is left for this lane: parts of one that another has. */
static int
help(struct reader *r, struct err *err)
{
	struct op *op = NULL;

	while (lanes_share(r->job) && has_room(r) && wants_more(r) &&
		(op = part_take_of_others(r)) != NULL)
		if (start_part(r, op, err) < 0)
			return -1;
	return 0;
}

/* Fills the row of operations up. */
static int
top_up(struct reader *r, struct err *err)
{
	struct lane *lane = r->lane;

	if (r->first != NULL && lane->source.c->wants_rest(lane->source.session))
		return 0;
	while (r->first_open < lane->folder_count && part_is_read(r, lane->folders[r->first_open]))
		r->first_open++;
	if (ask(r, err) < 0)
		return -1;
	while (wants_more(r) && take_folder(r))
		if (ask(r, err) < 0)
			return -1;
	return help(r, err);
}

static void
put_missing(struct reader *r, const struct op *op, enum item_state state, unsigned reason,
	const char *text)
{
	for (size_t i = 0; i < op->set.count; i++)
		for (uint32_t uid = op->set.ranges[i].first;; uid++) {
			struct item item = { .uid = uid, .received = ITEM_DATE_NONE };
			fill_put_failed(r->job, op->folder, &item, 0, state, reason, text);
			if (uid == op->set.ranges[i].last)
				break;
		}
}

/* What was asked for and did not come. A server may have lost a message that it lists, so gone is
 * only what it does not list any more; the rest is asked for once more, one by one, and has failed
 * when it does not come then. */
static int
end_fetch(struct reader *r, struct op *op, const struct err *refused, struct err *err)
{
	struct op *missing;

	r->fetches--;
	if (op->set.count == 0)
		return 0;
	if (op->single && refused->code != ERR_NONE) {
		put_missing(r, op, ITEM_FAILED, refused->code, refused->text);
		return 0;
	}
	/* The session of another lane may not know yet what its own has seen. */
	if (refused->code != ERR_NONE || r->lane != op->folder->lane) {
		part_again(r, op->folder, &op->set);
		return 0;
	}
	missing = xcalloc(1, sizeof *missing);
	missing->kind = OP_MISSING;
	missing->folder = op->folder;
	missing->single = op->single;
	missing->set = op->set;
	memset(&op->set, 0, sizeof op->set);
	part_count(r, op->folder);
	return start_op(r, missing, err);
}

/* op->set has lost what the server still lists; op->scanned has it. */
static void
end_missing(struct reader *r, struct op *op, const struct err *refused)
{
	if (refused->code != ERR_NONE) {
		put_missing(r, op, ITEM_FAILED, refused->code, refused->text);
		return;
	}
	if (op->set.count > 0)
		op->folder->some_vanished = true;
	put_missing(r, op, ITEM_VANISHED, ERR_VANISHED, "");
	uidset_clear(&op->set);
	for (size_t i = 0; i < op->scanned_count; i++)
		uidset_add(&op->set, op->scanned[i].uid, op->scanned[i].uid);
	if (op->single)
		put_missing(r, op, ITEM_FAILED, ERR_REFUSED,
			"the source lists this message and does not give it");
	else
		part_again(r, op->folder, &op->set);
}

static void
say_folder(struct job *job, const struct work_folder *wf)
{
	struct progress *p = &job->account->progress;

	pthread_mutex_lock(&job->local->lock);
	text_safe(p->folder, sizeof p->folder, wf->plan->source_name);
	pthread_mutex_unlock(&job->local->lock);
}

static bool
is_scan(const struct op *op)
{
	return op->kind == OP_SCAN || op->kind == OP_CHANGES || op->kind == OP_UIDS;
}

/* An error of the operation alone: the folder is named, or its messages are asked for one by one. A
 * folder that is no longer there while its messages are fetched ends the attempt, since none of
 * them is to be had. */
static int
op_refused(struct op *op, struct err *refused, struct err *err)
{
	/* What it cannot tell is asked for in another way. */
	if (op->kind == OP_CHANGES && refused->code == ERR_REFUSED)
		return 0;
	if (err_is_link(refused->code) || refused->code == ERR_UIDVALIDITY ||
		(refused->code == ERR_NOFOLDER && !is_scan(op)) || refused->code == ERR_CANCELLED ||
		refused->scope >= SCOPE_ACCOUNT) {
		*err = *refused;
		return err_context(err, "folder %s", op->folder->plan->source_name);
	}
	return 0;
}

/* The source does not let this folder be read: the others go on, the account cannot be done. */
static void
give_up_folder(struct reader *r, struct op *op, const struct err *refused)
{
	struct work_folder *wf = op->folder;

	wf->scans--;
	r->scans -= !op->behind;
	wf->scan_uid = wf->known_uid = 0;
	part_no_more(r, wf);
	if (wf->err.code == ERR_NONE) {
		wf->err = *refused;
		job_note(r->job, wf->plan->source_name, EVENT_ERROR, refused->code, "%s",
			refused->text);
	}
}

static void
end_at_once(struct reader *r, struct op *op, const struct err *refused)
{
	r->fetches--;
	if (refused->code != ERR_NONE)
		part_scan_instead(r, op->folder);
}

/* This server, or this folder, does not tell of changes after all. */
static void
give_up_changes(struct reader *r, struct op *op)
{
	op->folder->scans--;
	r->scans -= !op->behind;
	op->folder->strange = true;
	scan_window_ended(r, op->folder);
}

static int
end_op(struct reader *r, struct op *op, const struct err *refused, struct err *err)
{
	if (op->kind == OP_FETCH)
		return end_fetch(r, op, refused, err);
	if (op->kind == OP_MISSING)
		end_missing(r, op, refused);
	else if (op->kind == OP_AT_ONCE)
		end_at_once(r, op, refused);
	else if (refused->code == ERR_NONE)
		return scan_end(r, op, err);
	else if (op->kind == OP_CHANGES && refused->code == ERR_REFUSED)
		give_up_changes(r, op);
	else
		give_up_folder(r, op, refused);
	return 0;
}

/* Takes one answer of the oldest operation. */
static int
take_answer(struct reader *r, struct err *err)
{
	struct side *source = &r->lane->source;
	struct op *op = r->first;
	struct message *message = NULL;
	struct err refused = { 0 };
	int ret = source->c->fetch_next(source->session, &message, &refused);

	if (ret == 1 && is_scan(op)) {
		scan_add(op, message->item);
		message_free(&message);
		return 0;
	}
	if (ret == 1 && op->kind == OP_MISSING) {
		scan_add(op, message->item);
		uidset_remove(&op->set, message->item->uid);
		message_free(&message);
		return 0;
	}
	if (ret == 1 && op->kind == OP_AT_ONCE && !part_given(r, op->folder, message)) {
		message_free(&message);
		return 0;
	}
	if (ret == 1) {
		uidset_remove(&op->set, message->item->uid);
		return fill_add(r, op->folder, &message, err);
	}
	r->first = op->next;
	if (r->first == NULL)
		r->last = &r->first;
	r->op_count--;
	r->bytes_in_flight -= op->bytes;
	r->ranges_in_flight -= op->ranges;
	if (ret < 0)
		ret = op_refused(op, &refused, err);
	if (ret == 0)
		ret = end_op(r, op, &refused, err);
	part_ended(r, op->folder);
	op_free(&op);
	return ret;
}

/* Nothing in flight and nothing to start now: a folder in doubt may become free, other lanes may
 * end their parts of ours or have some of theirs for us. 1 = go on, 0 = all is done. */
static int
wait_for_parts(struct reader *r, struct err *err)
{
	struct job *job = r->job;
	struct timespec until;
	enum part_wait wait;

	pthread_mutex_lock(&job->lock);
	wait = part_wait(r);
	if (wait == PART_LATER && !r->lane->stop_reading) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++; /* a stop is heard */
		pthread_cond_timedwait(&job->changed, &job->lock, &until);
	}
	pthread_mutex_unlock(&job->lock);
	if (wait == PART_NONE)
		return 0;
	if (clock_ms() - r->spoke_ms < KEEPALIVE_MS)
		return 1;
	r->spoke_ms = clock_ms();
	if (r->lane->source.c->keepalive(r->lane->source.session, err) < 0)
		return -1;
	return 1;
}

static bool
must_stop(const struct lane *lane)
{
	struct job *job = lane->job;
	bool stop;

	pthread_mutex_lock(&job->lock);
	stop = lane->stop_reading;
	pthread_mutex_unlock(&job->lock);
	return stop || job_stopping(job);
}

static int
read_all(struct reader *r, struct err *err)
{
	struct work_folder *said = NULL;
	size_t in_flight = SIZE_MAX;
	int ret;

	for (;;) {
		if (must_stop(r->lane))
			return 0;
		/* Only what has come to its end leaves something new to be asked for. */
		if (r->op_count != in_flight && top_up(r, err) < 0)
			return -1;
		in_flight = r->first != NULL ? r->op_count : SIZE_MAX;
		if (r->first == NULL) {
			if (fill_flush(r, err) < 0)
				return -1;
			ret = wait_for_parts(r, err);
			if (ret <= 0)
				return ret;
			continue;
		}
		if (said != r->first->folder) {
			said = r->first->folder;
			say_folder(r->job, said);
		}
		if (take_answer(r, err) < 0)
			return -1;
	}
}

void
reader_new(struct lane *lane)
{
	struct reader *r = xcalloc(1, sizeof *r);

	r->job = lane->job;
	r->lane = lane;
	r->last = &r->first;
	atomic_store(&lane->todo_ahead, 0);
	lane->reader = r;
}

void
reader_free(struct lane *lane)
{
	struct reader *r = lane->reader;

	if (r == NULL)
		return;
	batch_free(&r->batch);
	while (r->first != NULL) {
		struct op *op = r->first;
		r->first = op->next;
		op_free(&op);
	}
	free(r);
	lane->reader = NULL;
}

int
reader_ahead(struct lane *lane, struct err *err)
{
	struct reader *r = lane->reader;
	struct work_folder *wf;

	while (has_room(r) && wants_more(r) && (wf = lanes_take_ahead(lane)) != NULL) {
		begin_folder(r->job, wf);
		if (ask_parts(r, err) < 0)
			return -1;
	}
	return 0;
}

void *
reader_thread(void *p)
{
	struct lane *lane = p;
	struct job *job = lane->job;
	struct reader *r = lane->reader;
	struct err err = { 0 };

	for (size_t i = 0; i < lane->folder_count; i++)
		folder_taken(r, lane->folders[i]);
	while (!lanes_share(job) && take_folder(r))
		;
	scan_tell_counted(job);
	if (read_all(r, &err) < 0) {
		pthread_mutex_lock(&job->lock);
		lane->reader_err = err;
		pthread_mutex_unlock(&job->lock);
	}
	if (r->batch != NULL) { /* whole messages that were read are worth sending */
		struct err late = { 0 };
		(void)fill_flush(r, &late);
	}
	queue_close(lane->queue);
	return NULL;
}
