/* lanes.c - further pairs of connections for an account that has much to copy.
 *
 * They use slots of both hosts that no other account waits for. Where the round trip alone would
 * hold one connection up, they are connected while the folders are still being prepared; otherwise
 * one is added at a time while that makes it faster. A folder is copied by one lane from its first
 * message to its last, unless it is so large that lanes without one of their own take parts of it
 * (parts.c); what is in doubt stays with the first lane, whose thread settles it. A lane
 * that cannot be connected is done without; one that fails later ends the attempt, as any link
 * does, and the account goes on without further lanes. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/job.h"

#include "base/banned.h"

#define MESSAGE_BYTES 4096u       /* what a message costs at least, in bytes */
#define UNTOLD_BYTES  20000u      /* of a message, where the server does not tell sizes */
#define WINDOW_BYTES  (8u << 20)  /* a connection carries no more in a round trip, at best */
#define MESSAGE_US    25u         /* a message costs the servers about so much */
#define LOGIN_TRIPS   12u         /* a further lane saves so many, or it comes later */
#define LOOK_BATCHES  16          /* nor sooner than so many have landed: they come in lumps */
#define LOOK_MS       2000        /* how often it is looked whether another one pays */
#define WORTH_MS      5000        /* at the rate of now, left for a lane that comes later */
#define GAIN          1.1         /* what the last one has to have brought */
#define AGAIN_MS      60000       /* before it is tried again */
#define SHARE_BYTES   (16u << 20) /* in flight, of a lane that shares with others */
#define SHARE_ALONE   (48u << 20) /* likewise while no other has come */
#define KEEPALIVE_S   60          /* a session that has nothing to do says NOOP so often */

enum further_state {
	FURTHER_FREE,
	FURTHER_OPENING,
	FURTHER_WAITING,
	FURTHER_COPYING,
	FURTHER_ENDED
};

struct further {
	struct lane lane;
	pthread_t thread;
	enum further_state state; /* hold job->lock, while it has a thread */
};

struct lanes {
	struct further further[LANES_MAX - 1];
	atomic_uint count; /* of those that live, when last looked */
	unsigned most;
	uint64_t window_most; /* half of what one has to do */
	atomic_bool refused;  /* a connection was not made */
	/* Growing: the worker's thread. */
	int64_t looked_ms, no_gain_ms;
	uint64_t looked_work, looked_batches;
	struct further *trial; /* was added and has not shown yet whether it pays; or NULL */
	bool trial_copies;     /* since the last look */
	double rate_before; /* work per ms, at the last look without a trial; 0: there was none */
	/* Shared: hold job->lock. */
	bool go, end;
};

/* What is left of a folder, in bytes, messages counted as at least so many. */
static uint64_t
weight(const struct work_folder *wf)
{
	const struct folder *f = &wf->source;
	uint64_t messages = f->messages, bytes = f->size_bytes, done = 0;

	if (wf->look == LOOK_NOTHING)
		return 0;
	for (int s = 1; s < ITEM_STATES; s++)
		done += wf->row.counts.by_state[s];
	messages -= done < messages ? done : messages;
	if ((f->flags & FOLDER_SIZE) == 0)
		return messages * UNTOLD_BYTES;
	bytes -= wf->row.counts.bytes_landed < bytes ? wf->row.counts.bytes_landed : bytes;
	return bytes > messages * MESSAGE_BYTES ? bytes : messages * MESSAGE_BYTES;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Two lanes share what makes a mailbox large. */
static uint64_t
share_of_large(const struct job *job)
{
	return job->run->large_mailbox / 2 + 1;
}

/* The target tells UIDs, so that nobody has to search while another writes. */
bool
lanes_may_divide(const struct job *job, const struct work_folder *wf)
{
	return wf->look == LOOK_ALL && (job->target_caps & CAN_UIDPLUS) != 0 &&
	       !atomic_load(&job->account->whole_folders) && weight(wf) >= job->run->large_folder;
}

/* So many further ones have something to do. */
static unsigned
most_of_use(const struct job *job)
{
	uint64_t bytes = 0, parts = 0, lanes;

	for (size_t i = 0; i < job->folder_count; i++) {
		uint64_t w = weight(&job->folders[i]);
		bytes += w;
		parts += w > 0;
		if (lanes_may_divide(job, &job->folders[i]))
			parts += w / share_of_large(job);
	}
	lanes = least(parts, least(job->run->mailbox_connections, LANES_MAX));
	if (job->run->large_mailbox > 0)
		lanes = least(lanes, bytes / share_of_large(job));
	return lanes > 1 ? (unsigned)lanes - 1 : 0;
}

static unsigned
round_trip(const struct job *job)
{
	const struct side *sides[] = { &job->main.source, &job->main.target };
	struct session_info info;
	unsigned most = 0;

	for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
		sides[i]->c->info(sides[i]->session, &info);
		most = info.rtt_ms > most ? info.rtt_ms : most;
	}
	return most;
}

/* So many pay before it was tried how fast one alone is: a window's bytes are all that a connection
 * carries in a round trip, and that takes longer than the servers need for the messages. */
static unsigned
most_at_once(const struct job *job)
{
	uint64_t bytes = 0, messages = 0, wire_ms, rtt = round_trip(job);

	if (job->run->large_mailbox == 0)
		return LANES_MAX;
	for (size_t i = 0; i < job->folder_count; i++)
		if (job->folders[i].look != LOOK_NOTHING) {
			bytes += weight(&job->folders[i]);
			messages += job->folders[i].source.messages;
		}
	wire_ms = bytes / WINDOW_BYTES * rtt;
	if (rtt == 0 || wire_ms <= messages * MESSAGE_US / 1000)
		return 0;
	return (unsigned)least(wire_ms / (LOGIN_TRIPS * rtt), LANES_MAX);
}

static bool
is_over(const struct job *job, const struct lanes *lanes)
{
	return lanes->end || atomic_load(&job->broken);
}

/* job->lock is held. */
static void
wait_changed(struct job *job)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += KEEPALIVE_S;
	pthread_cond_timedwait(&job->changed, &job->lock, &until);
}

/* Both sessions, of a lane that has nothing in flight, once they have been silent for long enough.
 * The lock is given up for it. */
static int
keep_alive(struct lane *lane, int64_t *spoke_ms, struct err *err)
{
	struct side *sides[] = { &lane->source, &lane->target };
	int ret = 0;

	if (clock_ms() - *spoke_ms < KEEPALIVE_S * 1000)
		return 0;
	pthread_mutex_unlock(&lane->job->lock);
	for (size_t i = 0; i < sizeof sides / sizeof sides[0] && ret == 0; i++)
		ret = sides[i]->c->keepalive(sides[i]->session, err);
	*spoke_ms = clock_ms();
	pthread_mutex_lock(&lane->job->lock);
	return ret;
}

/* Until it may copy; false: it never may. */
static bool
wait_for_go(struct job *job, struct further *f)
{
	struct lanes *lanes = job->lanes;
	int64_t spoke_ms = clock_ms();
	struct err err = { 0 };
	bool go, lives = true;

	pthread_mutex_lock(&job->lock);
	f->state = FURTHER_WAITING;
	while (lives && !lanes->go && !is_over(job, lanes)) {
		wait_changed(job);
		lives = keep_alive(&f->lane, &spoke_ms, &err) == 0;
	}
	go = lives && !is_over(job, lanes);
	f->state = go ? FURTHER_COPYING : FURTHER_ENDED;
	pthread_mutex_unlock(&job->lock);
	return go;
}

static void *
further_thread(void *p)
{
	struct further *f = p;
	struct lane *lane = &f->lane;
	struct job *job = lane->job;
	struct err err = { 0 };

	if (lane_open(lane, NULL, NULL, &err) < 0) {
		atomic_store(&job->lanes->refused, true);
		if (err.code != ERR_CANCELLED)
			log_line(job->log, LOG_INFO, job->name, NULL,
				"done without a further connection: %s", err.text);
	} else if (wait_for_go(job, f) && lane_copy(lane, &err) < 0 && err.code != ERR_CANCELLED) {
		job->account->one_lane = true;
	}
	lane_close(lane);
	pace_leave2(job->local->pace, &lane->source.endpoint, &lane->target.endpoint);
	pthread_mutex_lock(&job->lock);
	f->state = FURTHER_ENDED;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* So that a stop that is asked for twice cuts it as well. */
static void
publish(struct job *job, const struct lane *lane, unsigned number, bool on)
{
	pthread_mutex_lock(&job->local->lock);
	job->account->cancel[2 * number] = on ? lane->source.cancel : NULL;
	job->account->cancel[2 * number + 1] = on ? lane->target.cancel : NULL;
	pthread_mutex_unlock(&job->local->lock);
}

static enum further_state
state_of(struct job *job, const struct further *f)
{
	enum further_state state;

	pthread_mutex_lock(&job->lock);
	state = f->state;
	pthread_mutex_unlock(&job->lock);
	return state;
}

static unsigned
living(struct job *job)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LANES_MAX - 1; i++) {
		enum further_state state = state_of(job, &job->lanes->further[i]);
		n += state != FURTHER_FREE && state != FURTHER_ENDED;
	}
	return n;
}

/* All have the same part of what one alone may have. */
static void
share_memory(struct job *job, unsigned further)
{
	uint64_t each = least(local_share(job->local, LANES_MEMORY), LANE_MEMORY) / (1 + further);

	job->main.memory = each;
	for (unsigned i = 0; i < LANES_MAX - 1; i++)
		job->lanes->further[i].lane.memory = each;
	job->lanes->count = further;
}

static void
clear_further(struct job *job, struct further *f)
{
	if (state_of(job, f) == FURTHER_FREE)
		return;
	pthread_join(f->thread, NULL);
	publish(job, &f->lane, (unsigned)(f - job->lanes->further) + 1, false);
	lane_clear(&f->lane);
	f->state = FURTHER_FREE;
}

/* There is one: fewer than `most` live. */
static struct further *
free_place(struct job *job)
{
	struct further *f = job->lanes->further;

	while (state_of(job, f) != FURTHER_FREE && state_of(job, f) != FURTHER_ENDED)
		f++;
	clear_further(job, f);
	return f;
}

static struct further *
add_lane(struct job *job)
{
	struct lanes *lanes = job->lanes;
	struct further *f = free_place(job);
	struct pace *pace = job->local->pace;
	unsigned number = (unsigned)(f - lanes->further) + 1;

	lane_init(&f->lane, job);
	if (!pace_try_enter2(pace, &f->lane.source.endpoint, &f->lane.target.endpoint))
		goto fail;
	f->lane.source.is_further = f->lane.target.is_further = true;
	f->state = FURTHER_OPENING;
	publish(job, &f->lane, number, true);
	if (pthread_create(&f->thread, NULL, further_thread, f) != 0) {
		publish(job, &f->lane, number, false);
		pace_leave2(pace, &f->lane.source.endpoint, &f->lane.target.endpoint);
		goto fail;
	}
	share_memory(job, living(job));
	return f;
fail:
	f->state = FURTHER_FREE;
	lane_clear(&f->lane);
	return NULL;
}

void
lanes_begin(struct job *job)
{
	unsigned most, at_once;
	uint64_t all = 0;

	if (job->lanes != NULL || atomic_load(&job->account->one_lane))
		return;
	most = most_of_use(job);
	if (most == 0)
		return;
	job->lanes = xcalloc(1, sizeof *job->lanes);
	job->lanes->most = most;
	for (size_t i = 0; i < job->folder_count; i++)
		all += weight(&job->folders[i]);
	job->lanes->window_most = all / (2 * (most + 1)) + 1;
	at_once = (unsigned)least(most, most_at_once(job));
	for (unsigned n = 0; n < at_once && !atomic_load(&job->lanes->refused); n++)
		if (add_lane(job) == NULL)
			return;
}

bool
lanes_share(const struct job *job)
{
	return job->lanes != NULL;
}

uint64_t
lanes_window(const struct job *job)
{
	return least(job->lanes->window_most, lanes_many(job) ? SHARE_BYTES : SHARE_ALONE);
}

bool
lanes_many(const struct job *job)
{
	return job->lanes != NULL && atomic_load(&job->lanes->count) > 0;
}

uint64_t
lanes_left_of(const struct work_folder *wf)
{
	uint64_t all = weight(wf), last = wf->scan_end;

	if (wf->more)
		return all;
	if (wf->at_once_uid == 0)
		return wf->todo_bytes + MESSAGE_BYTES * (wf->todo_count - wf->todo_next);
	return wf->at_once_uid < last ? all / last * (last - wf->at_once_uid) : 0;
}

/* For a lane that comes now: folders that none has taken, and parts of large ones. */
static uint64_t
left_over(struct job *job)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&job->lock);
	for (size_t i = 0; i < job->folder_count; i++) {
		const struct work_folder *wf = &job->folders[i];
		if (wf->lane == NULL && !wf->in_doubt)
			bytes += weight(wf);
		else if (wf->lane != NULL && wf->divisible)
			bytes += lanes_left_of(wf);
	}
	pthread_mutex_unlock(&job->lock);
	return bytes;
}

/* Since the last look, per ms; messages cost as they do in weight(). */
static double
work_rate(struct job *job, int64_t now)
{
	struct lanes *lanes = job->lanes;
	uint64_t work = atomic_load(&job->landed_bytes) + MESSAGE_BYTES * atomic_load(&job->landed);
	double rate = (double)(work - lanes->looked_work) / (double)(now - lanes->looked_ms);

	lanes->looked_ms = now;
	lanes->looked_work = work;
	lanes->looked_batches = atomic_load(&job->landed_batches);
	return rate;
}

/* One that has not brought what it should takes no more, and ends with what it has. */
static void
dismiss(struct job *job, struct further *f)
{
	log_line(job->log, LOG_INFO, job->name, NULL,
		"a further connection makes it no faster, and is given up");
	pthread_mutex_lock(&job->lock);
	f->lane.leaves = true;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

/* The first look after it has begun to copy begins the time in which it has to show its worth.
 * False: it is not yet known. */
static bool
judge_trial(struct job *job, double rate, int64_t now)
{
	struct lanes *lanes = job->lanes;
	enum further_state state = state_of(job, lanes->trial);
	bool copies = state != FURTHER_OPENING;

	if (state == FURTHER_ENDED) {
		lanes->no_gain_ms = now;
		lanes->trial = NULL;
		return true;
	}
	if (!copies || !lanes->trial_copies) {
		lanes->trial_copies = copies;
		return false;
	}
	if (rate < lanes->rate_before * GAIN) {
		dismiss(job, lanes->trial);
		lanes->no_gain_ms = now;
	}
	lanes->trial = NULL;
	return true;
}

void
lanes_look(struct job *job)
{
	struct lanes *lanes = job->lanes;
	int64_t now;
	unsigned further;
	double rate, before;

	if (lanes == NULL || job_stopping(job) || atomic_load(&job->broken) ||
		atomic_load(&job->restart))
		return;
	now = clock_ms();
	if (lanes->looked_ms == 0) {
		if (atomic_load(&job->landed_batches) > 0) /* what went before is the start */
			(void)work_rate(job, now);
		return;
	}
	if (now - lanes->looked_ms < LOOK_MS ||
		atomic_load(&job->landed_batches) < lanes->looked_batches + LOOK_BATCHES)
		return;
	rate = work_rate(job, now);
	further = living(job);
	if (further != lanes->count)
		share_memory(job, further);
	if (lanes->trial != NULL && !judge_trial(job, rate, now))
		return;
	before = lanes->rate_before;
	lanes->rate_before = rate;
	if (before == 0) /* a pipeline that fills up is faster from look to look */
		return;
	if (further >= lanes->most || atomic_load(&lanes->refused) ||
		(lanes->no_gain_ms != 0 && now - lanes->no_gain_ms < AGAIN_MS) || rate <= 0 ||
		(double)left_over(job) < rate * WORTH_MS)
		return;
	lanes->no_gain_ms = 0;
	lanes->trial = add_lane(job);
	lanes->trial_copies = false;
}

static bool
may_take(const struct lane *lane, const struct work_folder *wf)
{
	return wf->lane == NULL && (lane == &lane->job->main || !wf->in_doubt);
}

/* The lock is held. The first lane keeps to the order of the plan, further ones take the largest:
 * who is left with it at the end works alone. */
static struct work_folder *
choose(const struct lane *lane)
{
	struct job *job = lane->job;
	struct work_folder *best = NULL;
	uint64_t most = 0;

	for (size_t i = job->next_folder; i < job->folder_count; i++) {
		struct work_folder *wf = &job->folders[i];
		if (!may_take(lane, wf))
			continue;
		if (lane == &job->main)
			return wf;
		if (best == NULL || weight(wf) > most) {
			best = wf;
			most = weight(wf);
		}
	}
	return best;
}

static void
add_folder(struct lane *lane, struct work_folder *wf)
{
	if (lane->folder_count == lane->folder_cap) {
		lane->folder_cap = lane->folder_cap ? lane->folder_cap * 2 : 64;
		lane->folders = xrealloc(lane->folders, lane->folder_cap * sizeof *lane->folders);
	}
	lane->folders[lane->folder_count++] = wf;
}

/* A further lane whose host can bear fewer, or has a mailbox waiting: it ends with what it has. */
static bool
has_to_leave(struct lane *lane)
{
	if (lane != &lane->job->main && !lane->leaves &&
		pace_over(lane->job->local->pace, &lane->source.endpoint, &lane->target.endpoint))
		lane->leaves = true;
	return lane->leaves;
}

struct work_folder *
lanes_take(struct lane *lane)
{
	struct job *job = lane->job;
	struct work_folder *wf;

	if (has_to_leave(lane))
		return NULL;
	pthread_mutex_lock(&job->lock);
	while (job->next_folder < job->folder_count && job->folders[job->next_folder].lane != NULL)
		job->next_folder++;
	wf = choose(lane);
	if (wf != NULL)
		wf->lane = lane;
	pthread_mutex_unlock(&job->lock);
	if (wf != NULL)
		add_folder(lane, wf);
	return wf;
}

struct work_folder *
lanes_take_ahead(struct lane *lane)
{
	struct job *job = lane->job;

	for (size_t i = 0; i < job->folder_count; i++) {
		struct work_folder *wf = &job->folders[i];
		if (wf->lane != NULL || !reader_may_come_at_once(job, wf))
			continue;
		wf->lane = lane;
		add_folder(lane, wf);
		return wf;
	}
	return NULL;
}

void
lanes_go(struct job *job)
{
	if (job->lanes == NULL)
		return;
	pthread_mutex_lock(&job->lock);
	job->lanes->go = true;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static bool
any_works(const struct lanes *lanes)
{
	for (unsigned i = 0; i < LANES_MAX - 1; i++)
		if (lanes->further[i].state != FURTHER_FREE &&
			lanes->further[i].state != FURTHER_ENDED)
			return true;
	return false;
}

/* The first lane has nothing left to copy, and may wait for hours for one that has. */
static void
wait_for_others(struct job *job)
{
	int64_t spoke_ms = clock_ms();
	struct err err = { 0 };

	pthread_mutex_lock(&job->lock);
	while (any_works(job->lanes)) {
		wait_changed(job);
		/* What was asked for and is not wanted any more lies before an answer. Who needs
		 * them next finds out whether they live. */
		if (!atomic_load(&job->broken) && !job_stopping(job))
			(void)keep_alive(&job->main, &spoke_ms, &err);
	}
	pthread_mutex_unlock(&job->lock);
}

void
lanes_end(struct job *job)
{
	struct lanes *lanes = job->lanes;

	if (lanes == NULL)
		return;
	pthread_mutex_lock(&job->lock);
	lanes->end = true;
	for (unsigned i = 0; i < LANES_MAX - 1; i++)
		if (lanes->further[i].state == FURTHER_OPENING) {
			cancel_fire(lanes->further[i].lane.source.cancel);
			cancel_fire(lanes->further[i].lane.target.cancel);
		}
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
	wait_for_others(job);
	for (unsigned i = 0; i < LANES_MAX - 1; i++)
		clear_further(job, &lanes->further[i]);
	free(lanes);
	job->lanes = NULL;
}
