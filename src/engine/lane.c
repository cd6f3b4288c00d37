/* lane.c - one pair of connections of a job: opened on both sides at once, copied with by two
 * threads, closed. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/job.h"

#include "base/banned.h"

#define QUEUE_BATCHES 64
#define QUEUE_BYTES   (2u << 20) /* or a quarter of what may be in flight */

void
lane_init(struct lane *lane, struct job *job)
{
	memset(lane, 0, sizeof *lane);
	lane->job = job;
	lane->memory = local_share(job->local, LANES_MEMORY);
	if (lane->memory > LANE_MEMORY)
		lane->memory = LANE_MEMORY;
	side_init(job, &lane->source, true);
	side_init(job, &lane->target, false);
}

void
lane_clear(struct lane *lane)
{
	side_clear(&lane->source);
	side_clear(&lane->target);
	free(lane->folders);
	memset(lane, 0, sizeof *lane);
}

struct opening {
	struct lane *lane;
	struct side *side;
	struct folder_list *folders; /* or NULL */
	struct err err;
	int ret;
};

static void *
open_one(void *p)
{
	struct opening *o = p;

	o->ret = side_open(o->lane->job, o->side, &o->lane->memory, &o->err);
	/* It leaves with what the connector asks right after the login. */
	if (o->ret == 0 && o->folders != NULL)
		o->ret = side_list(o->side, o->folders, &o->err);
	return NULL;
}

/* One side would wait for the other, and it is some round trips. Of two errors the final one
 * counts: a login that was refused is not tried again because the other side was silent. */
int
lane_open(struct lane *lane, struct folder_list *source_r, struct folder_list *target_r,
	struct err *err)
{
	struct opening source = { .lane = lane, .side = &lane->source, .folders = source_r };
	struct opening target = { .lane = lane, .side = &lane->target, .folders = target_r };
	pthread_t thread;

	lane->opened_ms = clock_ms();
	if (pthread_create(&thread, NULL, open_one, &source) != 0)
		return err_set(err, ERR_INTERNAL, "no thread for the source");
	open_one(&target);
	pthread_join(thread, NULL);
	if (source.ret < 0 || target.ret < 0) {
		bool of_target = source.ret == 0 || (target.ret < 0 && err_is_final(&target.err) &&
							    !err_is_final(&source.err));
		*err = of_target ? target.err : source.err;
		return -1;
	}
	return 0;
}

bool
lane_is_old(const struct lane *lane)
{
	const struct profile *profile = lane->job->config->profile;
	unsigned ages[] = { profile->source.connection_age_ms, profile->target.connection_age_ms };
	int64_t age = clock_ms() - lane->opened_ms;

	return (ages[0] != 0 && age >= ages[0]) || (ages[1] != 0 && age >= ages[1]);
}

void
lane_close(struct lane *lane)
{
	struct pace *pace = lane->job->local->pace;

	/* A server may not let the next one in before it has seen this one go. */
	side_close(&lane->source, pace_is_wanted(pace, &lane->source.endpoint));
	side_close(&lane->target, pace_is_wanted(pace, &lane->target.endpoint));
}

static void
stop_reader(struct lane *lane)
{
	struct job *job = lane->job;

	pthread_mutex_lock(&job->lock);
	lane->stop_reading = true;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

/* What the reader handed over and nobody sent. */
static void
discard_queue(struct lane *lane)
{
	struct work *work;
	void *item;

	while (queue_pop(lane->queue, &item, 0) == 1) {
		work = item;
		if (work->batch != NULL)
			intend_not(lane->job, work->batch);
		work_free(work);
	}
}

/* The first failure is the attempt's. */
static void
break_off(struct job *job, const struct err *err)
{
	pthread_mutex_lock(&job->lock);
	if (!atomic_load(&job->broken))
		job->broke = *err;
	atomic_store(&job->broken, true);
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

/* The writer's error comes first: it is why the reader was cancelled. */
int
lane_copy(struct lane *lane, struct err *err)
{
	pthread_t reader;
	int ret;

	lane->stop_reading = false;
	memset(&lane->reader_err, 0, sizeof lane->reader_err);
	lane->queue = queue_new(QUEUE_BATCHES,
		lane->memory / 4 < QUEUE_BYTES ? (size_t)lane->memory / 4 : QUEUE_BYTES, work_free);
	if (lane->reader == NULL)
		reader_new(lane);
	if (pthread_create(&reader, NULL, reader_thread, lane) != 0) {
		if (lane == &lane->job->main)
			BUG("no thread");
		reader_free(lane);
		queue_free(&lane->queue);
		return err_set(err, ERR_CANCELLED, "no thread for a further connection");
	}
	ret = writer_run(lane, err);
	stop_reader(lane);
	if (ret < 0) {
		queue_close(lane->queue);
		cancel_fire(lane->source.cancel);
		discard_queue(lane);
	}
	pthread_join(reader, NULL);
	reader_free(lane);
	queue_free(&lane->queue);
	if (ret == 0 && lane->reader_err.code != ERR_NONE) {
		*err = lane->reader_err;
		ret = -1;
	}
	if (ret < 0)
		break_off(lane->job, err);
	return ret;
}
