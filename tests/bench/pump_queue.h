/* pump_queue.h - between a pair's reader and its writer: bytes in a ring, and the pieces of it that
 * are to be sent.
 *
 * The reader reads into the ring and shows the writer pieces of it; the writer sends them from
 * there and gives them back. */
#ifndef BENCH_PUMP_QUEUE_H
#define BENCH_PUMP_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define READ_BYTES (256 << 10) /* with one call, at most */

enum piece_kind {
	PIECE_FOLDER, /* what follows is of the folder `size` */
	PIECE_START,  /* a message's flags, date and size, and as much of it as there is */
	PIECE_MORE,
	PIECE_FINISH,
};

struct piece {
	char *bytes;
	size_t len;
	size_t size; /* PIECE_START: of the message; PIECE_FOLDER: its number */
	enum piece_kind kind;
};

enum queue_use {
	QUEUE_PASS,   /* on to the writer, while more is read */
	QUEUE_DROP,   /* nobody writes */
	QUEUE_MEMORY, /* nobody takes anything before all is there */
};

struct queue {
	/* Fixed. */
	char *ring;
	size_t ring_bytes;
	struct piece *pieces;
	size_t pieces_max;
	enum queue_use use;
	/* The reader's. */
	size_t fill;         /* where the next byte is read to */
	struct piece *fresh; /* not yet shown to the writer: READ_BYTES have no more of them */
	size_t fresh_count;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t first; /* the oldest piece */
	size_t count;
	size_t freed; /* offset behind the last byte that was sent */
};

/* `queue` is zeroed; it is never cleared: it lives as long as the program. */
void queue_init(struct queue *queue, enum queue_use use);

/* Reader: room for at least as much as is worth a call and at most READ_BYTES, at ring + fill,
 * behind the `kept` last bytes, which may be moved to the ring's start. Waits for the writer. */
size_t queue_room(struct queue *queue, size_t kept);

/* Reader: `len` bytes in the ring are to be sent; what continues the last piece becomes part of it.
 * Of READ_BYTES no more pieces can be made than there is room for. */
void queue_add(struct queue *queue, enum piece_kind kind, char *bytes, size_t len, size_t size);

/* Reader: the writer may have what was added so far. Waits where it has too much. */
void queue_publish(struct queue *queue);

/* Writer: gives back the `count` oldest pieces, which were sent, and waits for others. Returns how
 * many there are; they stay in the queue and are the writer's to read: the reader adds others
 * behind them. */
size_t queue_next(struct queue *queue, size_t count);

#endif
