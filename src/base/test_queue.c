/* test_queue.c - order, both bounds, time-outs, and that nobody waits for ever. */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/queue.h"
#include "base/test.h"

#include "base/banned.h"

static int *
number(int n)
{
	int *item = xmalloc(sizeof(*item));

	*item = n;
	return item;
}

/* Takes one and returns its number, or what queue_pop() said. */
static int
pop_number(struct queue *q, int timeout_ms)
{
	void *item = NULL;
	int ret = queue_pop(q, &item, timeout_ms);

	if (ret == 1) {
		ret = 1000 + *(int *)item;
		free(item);
	}
	return ret;
}

static void
order_and_both_bounds(void)
{
	struct queue *q = queue_new(3, 100, free);
	int *extra = number(9);
	int64_t before = clock_ms();

	CHECK_INT(pop_number(q, 0), 0);
	CHECK_INT(queue_push(q, number(1), 500, 0), 1); /* heavier than all, but alone */
	CHECK_INT(queue_push(q, extra, 0, 20), 0);
	CHECK(clock_ms() - before >= 20);
	CHECK_INT(pop_number(q, 0), 1001);
	CHECK_INT(queue_push(q, number(2), 60, 0), 1);
	CHECK_INT(queue_push(q, number(3), 30, 0), 1);
	CHECK_INT(queue_push(q, extra, 11, 0), 0); /* the weight */
	CHECK_INT(queue_push(q, number(4), 9, 0), 1);
	CHECK_INT(queue_push(q, extra, 1, 0), 0); /* the number */
	CHECK_INT(queue_count(q), 3);
	CHECK_INT(pop_number(q, 0), 1002);
	CHECK_INT(pop_number(q, 0), 1003);
	CHECK_INT(pop_number(q, 0), 1004);
	CHECK_INT(pop_number(q, 10), 0);
	free(extra);
	queue_free(&q);
	CHECK(q == NULL);
	queue_free(&q);
}

static void
closed_queue_drains(void)
{
	struct queue *q = queue_new(9, 9, free);
	int *extra = number(9);

	queue_push(q, number(1), 1, 0);
	queue_push(q, number(2), 1, 0);
	queue_close(q);
	CHECK_INT(queue_push(q, extra, 1, -1), -1);
	CHECK_INT(pop_number(q, -1), 1001);
	CHECK_INT(pop_number(q, -1), 1002);
	CHECK_INT(pop_number(q, -1), -1);
	free(extra);
	queue_free(&q);
}

static void
dropped_queue_is_empty(void)
{
	struct queue *q = queue_new(9, 9, free);

	queue_push(q, number(1), 1, 0);
	queue_push(q, number(2), 1, 0);
	queue_drop(q);
	CHECK_INT(queue_count(q), 0);
	CHECK_INT(pop_number(q, -1), -1);
	queue_free(&q);
	q = queue_new(9, 9, free);
	queue_push(q, number(3), 1, 0); /* freed with the queue */
	queue_free(&q);
}

#define MANY 20000

static void *
push_many(void *arg)
{
	struct queue *q = arg;

	for (int i = 0; i < MANY; i++) {
		if (queue_push(q, number(i), (uint64_t)(i % 7), -1) != 1)
			return NULL;
	}
	return q;
}

static void
two_senders_two_takers_lose_nothing(void)
{
	struct queue *q = queue_new(5, 12, free);
	pthread_t senders[2];
	unsigned *seen = xcalloc(MANY, sizeof(*seen));
	void *ret;

	for (int i = 0; i < 2; i++)
		pthread_create(&senders[i], NULL, push_many, q);
	for (int i = 0; i < 2 * MANY; i++) {
		int n = pop_number(q, 30000);

		CHECK(n >= 1000);
		if (n >= 1000)
			seen[n - 1000]++;
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(senders[i], &ret);
		CHECK(ret == q);
	}
	for (int i = 0; i < MANY; i++)
		CHECK_INT(seen[i], 2);
	CHECK_INT(queue_count(q), 0);
	free(seen);
	queue_free(&q);
}

static void *
push_one(void *arg)
{
	int *item = number(2), ret = queue_push(arg, item, 1, -1);

	if (ret != 1)
		free(item);
	return (void *)(intptr_t)ret;
}

static void *
pop_one(void *arg)
{
	return (void *)(intptr_t)pop_number(arg, -1);
}

static void
closing_wakes_who_waits(void)
{
	struct queue *full = queue_new(1, 1, free), *empty = queue_new(1, 1, free);
	pthread_t sender, taker;
	void *ret;

	queue_push(full, number(1), 1, 0);
	pthread_create(&sender, NULL, push_one, full);
	pthread_create(&taker, NULL, pop_one, empty);
	clock_sleep_ms(20); /* either order must end; this makes the waiting one likely */
	queue_drop(full);
	queue_close(empty);
	pthread_join(sender, &ret);
	CHECK_INT((intptr_t)ret, -1);
	pthread_join(taker, &ret);
	CHECK_INT((intptr_t)ret, -1);
	queue_free(&full);
	queue_free(&empty);
}

/* Long before half of what is queued was taken. */
static void
a_slow_taker_keeps_nobody_for_long(void)
{
	struct queue *q = queue_new(64, 1000, free);
	pthread_t sender;
	int taken = 0;
	void *ret;

	for (int i = 0; i < 64; i++)
		CHECK_INT(queue_push(q, number(1), 1, 0), 1);
	pthread_create(&sender, NULL, push_one, q);
	while (taken < 32 && pthread_tryjoin_np(sender, &ret) != 0) {
		CHECK(pop_number(q, 0) > 0);
		taken++;
		clock_sleep_ms(100);
	}
	if (taken == 32)
		pthread_join(sender, &ret);
	CHECK(taken < 32);
	CHECK_INT((intptr_t)ret, 1);
	queue_free(&q);
}

int
main(void)
{
	RUN(order_and_both_bounds);
	RUN(closed_queue_drains);
	RUN(dropped_queue_is_empty);
	RUN(two_senders_two_takers_lose_nothing);
	RUN(closing_wakes_who_waits);
	RUN(a_slow_taker_keeps_nobody_for_long);
	return test_done();
}
