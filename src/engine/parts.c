/* parts.c - what is to be fetched next of a folder, and by whom.
 *
 * A folder is fetched in parts: ranges of UIDs where its messages come unseen, sets of UIDs where
 * they were scanned. The lane that has the folder takes one after the other; of a large one any
 * lane that finds no other folder may take some. What the target then holds is in the source's
 * order but for neighbouring parts, and two writers store into one folder at the same time, so
 * nobody may search it for messages of unknown UIDs: such a search keeps the folder whole, or,
 * where it is too late for that, waits for another attempt. */
#include <stdlib.h>
#include <string.h>

#include "engine/reader_private.h"

#include "base/banned.h"

#define SET_BYTES       (16u << 20) /* one fetch aims at no more */
#define SET_MESSAGES    1000u
#define PART_BYTES      (4u << 20) /* likewise, of a folder that may be divided */
#define PARTS_LEAST     16u        /* of any folder, where any is divided */
#define PARTS_AT_ONCE   4u         /* on their way to a lane */
#define MESSAGES_UNTOLD 250u       /* in a range whose bytes nobody told */

/* ---- how large a part is ---- */

/* Several are on their way at once, also where a lane that shares asks for little. */
static uint64_t
most_bytes(const struct job *job, const struct work_folder *wf)
{
	uint64_t most = wf->divisible ? PART_BYTES : SET_BYTES;
	uint64_t share = lanes_share(job) ? lanes_window(job) / PARTS_AT_ONCE + 1 : most;

	return share < most ? share : most;
}

static uint64_t
most_messages(const struct job *job, const struct work_folder *wf)
{
	uint64_t least = wf->source.messages / PARTS_LEAST + 1;

	return wf->divisible && job->run->large_folder == 0 && least < SET_MESSAGES ? least
										    : SET_MESSAGES;
}

static void
measure_ranges(const struct job *job, struct work_folder *wf)
{
	const struct folder *f = &wf->source;
	uint64_t messages = f->messages, bytes = most_bytes(job, wf), width = f->uidnext;
	uint64_t most = most_messages(job, wf);

	if ((f->flags & FOLDER_SIZE) != 0)
		bytes = f->size_bytes;
	else if (messages > MESSAGES_UNTOLD)
		messages = MESSAGES_UNTOLD;
	if (messages > most) {
		bytes = bytes / messages * most;
		messages = most;
	}
	if (bytes > most_bytes(job, wf)) {
		messages = messages * most_bytes(job, wf) / bytes;
		messages = messages > 0 ? messages : 1;
		bytes = most_bytes(job, wf);
	}
	width = width * messages / f->messages;
	wf->at_once_width = width < 1                ? 1
			    : width > UINT32_MAX - 1 ? UINT32_MAX - 1
						     : (uint32_t)width;
	wf->at_once_bytes = bytes;
}

void
part_begin(struct job *job, struct work_folder *wf, bool at_once)
{
	bool divisible = lanes_share(job) && lanes_may_divide(job, wf);

	pthread_mutex_lock(&job->lock);
	wf->divisible = divisible;
	wf->more = divisible && !at_once;
	if (at_once) {
		measure_ranges(job, wf);
		wf->at_once = true;
		wf->at_once_uid = 1;
	}
	pthread_mutex_unlock(&job->lock);
}

/* ---- taking one; the lock is held ---- */

static bool
has_part(const struct work_folder *wf)
{
	return wf->todo_next < wf->todo_count || wf->at_once_uid != 0;
}

/* What has to be asked for again is its own lane's. */
static bool
has_own_part(const struct work_folder *wf)
{
	return wf->again.count > 0 || has_part(wf);
}

/* One that has to be kept whole comes alone. */
static void
cut_set(struct job *job, struct work_folder *wf, struct op *op)
{
	uint64_t bytes = most_bytes(job, wf), messages = most_messages(job, wf);
	size_t n = 0;

	do {
		const struct todo *todo = &wf->todo[wf->todo_next];
		bool whole = job_takes_care_locked(job, CARE_WHOLE, wf->source.key, todo->uid);
		if (whole && n > 0)
			break;
		uidset_add(&op->set, todo->uid, todo->uid);
		op->bytes += todo->size;
		wf->todo_bytes -= todo->size;
		op->whole = whole;
		wf->todo_next++;
		atomic_fetch_sub(&wf->lane->todo_ahead, 1);
		n++;
	} while (!op->whole && wf->todo_next < wf->todo_count && n < messages &&
		 op->bytes + wf->todo[wf->todo_next].size <= bytes);
	if (wf->todo_next == wf->todo_count)
		wf->todo_next = wf->todo_count = 0;
}

/* The last range has no end, as the last window of a scan has none. */
static void
cut_range(struct work_folder *wf, struct op *op)
{
	bool is_last = wf->at_once_uid > wf->scan_end ||
		       wf->scan_end - wf->at_once_uid < wf->at_once_width;
	uint32_t last = is_last ? UINT32_MAX - 1 : wf->at_once_uid + wf->at_once_width - 1;

	op->kind = OP_AT_ONCE;
	op->bytes = wf->at_once_bytes;
	uidset_add(&op->set, wf->at_once_uid, last);
	wf->at_once_uid = is_last ? 0 : last + 1;
}

static void
count_out(const struct reader *r, struct work_folder *wf)
{
	wf->ops++;
	if (r->lane != wf->lane) {
		wf->away++;
		wf->divided = true;
	}
}

static struct op *
take(const struct reader *r, struct work_folder *wf)
{
	struct op *op = xcalloc(1, sizeof *op);

	op->kind = OP_FETCH;
	op->folder = wf;
	if (wf->again.count > 0 && r->lane == wf->lane) {
		uint32_t uid = wf->again.ranges[0].first;
		op->single = true;
		op->whole = job_takes_care_locked(r->job, CARE_WHOLE, wf->source.key, uid);
		uidset_add(&op->set, uid, uid);
		uidset_remove(&wf->again, uid);
	} else if (wf->todo_next < wf->todo_count) {
		cut_set(r->job, wf, op);
	} else {
		cut_range(wf, op);
	}
	count_out(r, wf);
	return op;
}

struct op *
part_take(const struct reader *r)
{
	const struct lane *lane = r->lane;
	struct op *op = NULL;

	pthread_mutex_lock(&r->job->lock);
	for (size_t i = r->first_open; i < lane->folder_count && op == NULL; i++)
		if (has_own_part(lane->folders[i]))
			op = take(r, lane->folders[i]);
	pthread_mutex_unlock(&r->job->lock);
	return op;
}

static bool
is_of_others(const struct lane *lane, const struct work_folder *wf)
{
	return wf->divisible && wf->lane != NULL && wf->lane != lane;
}

struct op *
part_take_of_others(const struct reader *r)
{
	struct job *job = r->job;
	struct work_folder *best = NULL;
	struct op *op = NULL;

	if (r->lane->leaves)
		return NULL;
	pthread_mutex_lock(&job->lock);
	for (size_t i = 0; i < job->folder_count; i++) {
		struct work_folder *wf = &job->folders[i];
		if (is_of_others(r->lane, wf) && has_part(wf) &&
			(best == NULL || lanes_left_of(wf) > lanes_left_of(best)))
			best = wf;
	}
	if (best != NULL)
		op = take(r, best);
	pthread_mutex_unlock(&job->lock);
	return op;
}

/* ---- what comes of them ---- */

void
part_count(const struct reader *r, struct work_folder *wf)
{
	pthread_mutex_lock(&r->job->lock);
	count_out(r, wf);
	pthread_mutex_unlock(&r->job->lock);
}

void
part_ended(const struct reader *r, struct work_folder *wf)
{
	struct job *job = r->job;

	pthread_mutex_lock(&job->lock);
	wf->ops--;
	wf->away -= r->lane != wf->lane;
	if (wf->divisible || wf->divided) /* there may be more of it now, or all of it has come */
		pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

bool
part_given(const struct reader *r, struct work_folder *wf, const struct message *message)
{
	uint32_t uid = message->item->uid;
	bool is_new;

	pthread_mutex_lock(&r->job->lock);
	is_new = !uidset_has(&wf->given, uid);
	if (is_new) {
		uidset_add(&wf->given, uid, uid);
		wf->new_items++;
		wf->new_bytes += message->body_bytes;
	}
	pthread_mutex_unlock(&r->job->lock);
	return is_new;
}

void
part_again(const struct reader *r, struct work_folder *wf, const struct uidset *set)
{
	pthread_mutex_lock(&r->job->lock);
	for (size_t i = 0; i < set->count; i++)
		uidset_add(&wf->again, set->ranges[i].first, set->ranges[i].last);
	pthread_mutex_unlock(&r->job->lock);
}

void
part_scan_instead(const struct reader *r, struct work_folder *wf)
{
	pthread_mutex_lock(&r->job->lock);
	wf->at_once_failed = true;
	wf->at_once_uid = 0;
	wf->more = wf->divisible;
	pthread_mutex_unlock(&r->job->lock);
}

void
part_add_todo(const struct reader *r, struct work_folder *wf, uint32_t uid, uint64_t size)
{
	struct job *job = r->job;

	pthread_mutex_lock(&job->lock);
	if (wf->todo_next > 1000 && wf->todo_next > wf->todo_count / 2) {
		wf->todo_count -= wf->todo_next;
		memmove(wf->todo, wf->todo + wf->todo_next, wf->todo_count * sizeof *wf->todo);
		wf->todo_next = 0;
	}
	if (wf->todo_count == wf->todo_cap) {
		wf->todo_cap = wf->todo_cap ? wf->todo_cap * 2 : 256;
		wf->todo = xrealloc(wf->todo, wf->todo_cap * sizeof *wf->todo);
	}
	wf->todo[wf->todo_count].uid = uid;
	wf->todo[wf->todo_count++].size = size;
	wf->todo_bytes += size;
	atomic_fetch_add(&wf->lane->todo_ahead, 1);
	pthread_mutex_unlock(&job->lock);
}

void
part_no_more(const struct reader *r, struct work_folder *wf)
{
	pthread_mutex_lock(&r->job->lock);
	wf->more = false;
	if (wf->divisible)
		pthread_cond_broadcast(&r->job->changed);
	pthread_mutex_unlock(&r->job->lock);
}

/* ---- where a folder stands ---- */

static bool
may_scan(const struct work_folder *wf)
{
	return !wf->in_doubt && wf->at_once_uid == 0 && (!wf->at_once || wf->away == 0);
}

bool
part_may_scan(const struct reader *r, const struct work_folder *wf)
{
	bool ret;

	pthread_mutex_lock(&r->job->lock);
	ret = may_scan(wf);
	pthread_mutex_unlock(&r->job->lock);
	return ret;
}

bool
part_is_read(const struct reader *r, const struct work_folder *wf)
{
	bool ret;

	if (wf->scan_uid != 0 || wf->known_uid != 0)
		return false;
	pthread_mutex_lock(&r->job->lock);
	ret = wf->ops == 0 && !has_own_part(wf);
	pthread_mutex_unlock(&r->job->lock);
	return ret;
}

/* Is there something of it that may be asked for now? */
static bool
is_ready(const struct work_folder *wf)
{
	return has_own_part(wf) || wf->known_uid != 0 || (wf->scan_uid != 0 && may_scan(wf));
}

bool
part_all_asked(const struct reader *r)
{
	bool ret = true;

	pthread_mutex_lock(&r->job->lock);
	for (size_t i = r->first_open; i < r->lane->folder_count && ret; i++)
		ret = !is_ready(r->lane->folders[i]);
	pthread_mutex_unlock(&r->job->lock);
	return ret;
}

enum part_wait
part_wait(const struct reader *r)
{
	const struct lane *lane = r->lane;
	const struct job *job = r->job;
	bool left = false;

	for (size_t i = r->first_open; i < lane->folder_count; i++) {
		const struct work_folder *wf = lane->folders[i];
		if (is_ready(wf))
			return PART_READY;
		left = left || wf->scan_uid != 0 || wf->away > 0;
	}
	for (size_t i = 0; i < job->folder_count && !lane->leaves; i++) {
		const struct work_folder *wf = &job->folders[i];
		if (wf->lane == NULL && (lane == &job->main || !wf->in_doubt))
			return PART_READY;
		if (is_of_others(lane, wf) && has_part(wf))
			return PART_READY;
		left = left || wf->lane == NULL || (is_of_others(lane, wf) && wf->more);
	}
	return left ? PART_LATER : PART_NONE;
}

bool
part_keep_whole(struct job *job, struct work_folder *wf)
{
	bool ret;

	pthread_mutex_lock(&job->lock);
	ret = !wf->divided;
	if (ret)
		wf->divisible = false;
	pthread_mutex_unlock(&job->lock);
	return ret;
}
