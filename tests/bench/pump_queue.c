/* pump_queue.c - between a pair's reader and its writer: bytes in a ring, and the pieces of it that
 * are to be sent. */
#include <stdint.h>
#include <string.h>

#include "pump_queue.h"
#include "session.h"

#define RING_BYTES    (8 << 20)
#define RING_PIECES   65536
#define MEMORY_BYTES  (INT64_C(64) << 30) /* address space for QUEUE_MEMORY */
#define MEMORY_PIECES (INT64_C(1) << 26)
#define READ_MIN      (64 << 10) /* less room than this is not worth a call */

void
queue_init(struct queue *queue, enum queue_use use)
{
	bool memory = use == QUEUE_MEMORY;

	queue->ring_bytes = memory ? (size_t)MEMORY_BYTES : RING_BYTES;
	queue->pieces_max = memory ? (size_t)MEMORY_PIECES : RING_PIECES;
	queue->ring = alloc_pages(queue->ring_bytes);
	queue->pieces = alloc_pages(queue->pieces_max * sizeof(*queue->pieces));
	queue->fresh = alloc_pages(READ_BYTES * sizeof(*queue->fresh));
	queue->use = use;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
}

static void
wait_change(struct queue *queue)
{
	pthread_cond_wait(&queue->changed, &queue->lock);
}

void
queue_publish(struct queue *queue)
{
	size_t i;

	if (queue->fresh_count == 0 || queue->use == QUEUE_DROP) {
		queue->fresh_count = 0;
		return;
	}
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < queue->fresh_count; i++) {
		while (queue->count == queue->pieces_max) {
			if (queue->use == QUEUE_MEMORY)
				die("too many messages for --mode write");
			wait_change(queue);
		}
		queue->pieces[(queue->first + queue->count++) % queue->pieces_max] =
			queue->fresh[i];
	}
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	queue->fresh_count = 0;
}

void
queue_add(struct queue *queue, enum piece_kind kind, char *bytes, size_t len, size_t size)
{
	struct piece *last = &queue->fresh[queue->fresh_count];

	if (kind == PIECE_MORE && queue->fresh_count > 0 &&
		last[-1].bytes + last[-1].len == bytes) {
		last[-1].len += len;
		return;
	}
	*last = (struct piece){ .bytes = bytes, .len = len, .size = size, .kind = kind };
	queue->fresh_count++;
}

/* An idle ring begins at its start anew, so that a writer that keeps up finds it in the processor's
 * cache. */
size_t
queue_room(struct queue *queue, size_t kept)
{
	size_t room = 0;

	pthread_mutex_lock(&queue->lock);
	while (room == 0) {
		bool wrap = false;

		if (queue->count == 0) {
			queue->freed = 0;
			room = queue->ring_bytes - kept;
			wrap = true;
		} else if (queue->fill >= queue->freed) {
			room = queue->ring_bytes - queue->fill;
			wrap = room < READ_MIN;
			if (wrap)
				room = queue->freed > kept + READ_MIN ? queue->freed - kept - 1 : 0;
		} else if (queue->freed - queue->fill > READ_MIN)
			room = queue->freed - queue->fill - 1;
		if (room > 0 && wrap) {
			memmove(queue->ring, queue->ring + queue->fill - kept, kept);
			queue->fill = kept;
		}
		if (room == 0 && queue->use == QUEUE_MEMORY)
			die("too much mail for --mode write");
		if (room == 0)
			wait_change(queue);
	}
	pthread_mutex_unlock(&queue->lock);
	return room < READ_BYTES ? room : READ_BYTES;
}

size_t
queue_next(struct queue *queue, size_t count)
{
	size_t i, there;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		const struct piece *piece = &queue->pieces[(queue->first + i) % queue->pieces_max];

		if (piece->len > 0)
			queue->freed = (size_t)(piece->bytes + piece->len - queue->ring);
	}
	queue->first = (queue->first + count) % queue->pieces_max;
	queue->count -= count;
	if (count > 0)
		pthread_cond_signal(&queue->changed);
	while (queue->count == 0)
		wait_change(queue);
	there = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return there;
}
