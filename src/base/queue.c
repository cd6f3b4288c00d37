/* queue.c - a bounded queue of pointers between threads.
 *
 * Bounded by number and by weight, so that many small and few large items are held alike. Items
 * left over are freed outside the lock, since freeing one may take another lock. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/queue.h"

#include "base/banned.h"

#define LOOK_MS 1000

struct entry {
	struct entry *next;
	void *item;
	uint64_t weight;
};

struct queue {
	/* Fixed once queue_new() returns. */
	size_t max_items;
	uint64_t max_weight;
	void (*free_item)(void *item);
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t not_full, not_empty;
	struct entry *first, **end;
	size_t count;
	uint64_t weight;
	bool closed;
};

struct queue *
queue_new(size_t max_items, uint64_t max_weight, void (*free_item)(void *item))
{
	struct queue *q = xcalloc(1, sizeof(*q));
	pthread_condattr_t attr;

	q->max_items = max_items;
	q->max_weight = max_weight;
	q->free_item = free_item;
	q->end = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->not_full, &attr);
	pthread_cond_init(&q->not_empty, &attr);
	pthread_condattr_destroy(&attr);
	return q;
}

void
queue_free(struct queue **queue)
{
	struct queue *q = *queue;

	if (q == NULL)
		return;
	queue_drop(q);
	pthread_cond_destroy(&q->not_full);
	pthread_cond_destroy(&q->not_empty);
	pthread_mutex_destroy(&q->lock);
	free(q);
	*queue = NULL;
}

static struct timespec
deadline_in(int timeout_ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout_ms / 1000;
	ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* Waits once; false when the time is over. */
static bool
wait_on(struct queue *q, pthread_cond_t *cond, int timeout_ms, const struct timespec *deadline)
{
	if (timeout_ms < 0)
		return pthread_cond_wait(cond, &q->lock) == 0;
	return timeout_ms > 0 && pthread_cond_timedwait(cond, &q->lock, deadline) != ETIMEDOUT;
}

/* Waits for room, which those who take away tell only when there is much: looks for it once a
 * second all the same, so that a slow one does not keep a sender for half a queue. False when the
 * time is over. */
static bool
wait_for_room(struct queue *q, int timeout_ms, const struct timespec *deadline)
{
	struct timespec soon = deadline_in(LOOK_MS);
	bool is_last =
		timeout_ms >= 0 &&
		(soon.tv_sec > deadline->tv_sec ||
			(soon.tv_sec == deadline->tv_sec && soon.tv_nsec >= deadline->tv_nsec));

	if (is_last || timeout_ms == 0)
		return wait_on(q, &q->not_full, timeout_ms, deadline);
	pthread_cond_timedwait(&q->not_full, &q->lock, &soon);
	return true;
}

/* Never true of an empty queue: one item may always enter. */
static bool
is_full(const struct queue *q, uint64_t weight)
{
	return q->count > 0 && (q->count >= q->max_items || q->weight >= q->max_weight ||
				       weight > q->max_weight - q->weight);
}

int
queue_push(struct queue *queue, void *item, uint64_t weight, int timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms > 0 ? timeout_ms : 0);
	struct entry *entry;
	int ret = 1;

	pthread_mutex_lock(&queue->lock);
	while (!queue->closed && is_full(queue, weight)) {
		if (!wait_for_room(queue, timeout_ms, &deadline)) {
			ret = 0;
			break;
		}
	}
	if (queue->closed)
		ret = -1;
	else if (!is_full(queue, weight))
		ret = 1; /* room came with the last tick */
	if (ret == 1) {
		entry = xmalloc(sizeof(*entry));
		*entry = (struct entry){ .item = item, .weight = weight };
		*queue->end = entry;
		queue->end = &entry->next;
		queue->count++;
		queue->weight += weight;
	}
	pthread_mutex_unlock(&queue->lock);
	/* Who is woken while we hold the lock would only wait for it. */
	if (ret == 1)
		pthread_cond_signal(&queue->not_empty);
	return ret;
}

/* Takes the oldest entry off the list. */
static struct entry *
take_first(struct queue *q)
{
	struct entry *entry = q->first;

	q->first = entry->next;
	if (q->first == NULL)
		q->end = &q->first;
	q->count--;
	q->weight -= entry->weight;
	return entry;
}

/* Who waits for room is woken when half of it is free: each wake-up is worth a few items then. What
 * is heavier than that half is looked at after each pop from there on. */
static bool
has_much_room(const struct queue *q)
{
	return q->count <= q->max_items / 2 && q->weight <= q->max_weight / 2;
}

int
queue_pop(struct queue *queue, void **item_r, int timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms > 0 ? timeout_ms : 0);
	struct entry *entry = NULL;
	bool room = false;
	int ret = 0;

	pthread_mutex_lock(&queue->lock);
	while (queue->first == NULL && !queue->closed) {
		if (!wait_on(queue, &queue->not_empty, timeout_ms, &deadline))
			break;
	}
	if (queue->first != NULL) {
		entry = take_first(queue);
		ret = 1;
		room = has_much_room(queue);
	} else if (queue->closed) {
		ret = -1;
	}
	pthread_mutex_unlock(&queue->lock);
	/* All, since the room may be enough for a light item and not for a heavy one. */
	if (room)
		pthread_cond_broadcast(&queue->not_full);
	if (entry != NULL) {
		*item_r = entry->item;
		free(entry);
	}
	return ret;
}

void
queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->not_full);
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

void
queue_drop(struct queue *queue)
{
	struct entry *list;

	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	list = queue->first;
	queue->first = NULL;
	queue->end = &queue->first;
	queue->count = 0;
	queue->weight = 0;
	pthread_cond_broadcast(&queue->not_full);
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
	while (list != NULL) {
		struct entry *next = list->next;

		if (queue->free_item != NULL)
			queue->free_item(list->item);
		free(list);
		list = next;
	}
}

size_t
queue_count(struct queue *queue)
{
	size_t count;

	pthread_mutex_lock(&queue->lock);
	count = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return count;
}
