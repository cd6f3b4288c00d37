/* pump.h - what the parts of the pump share: options, pairs of connections, what their threads tell
 * one another.
 *
 * pump_options.c reads the command line, pump.c starts the threads and reports, pump_reader.c and
 * pump_writer.c are what the two threads of a pair do, pump_queue.c lies between them. Any surprise
 * ends the program (session.h). */
#ifndef BENCH_PUMP_H
#define BENCH_PUMP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pump_queue.h"
#include "session.h"

#define PAIRS_MAX 64

enum mode { MODE_COPY, MODE_READ, MODE_WRITE };

struct options {
	struct addrinfo *source;
	struct addrinfo *target;
	const char *user;
	const char *password;
	enum mode mode;
	unsigned pairs;
	size_t batch_messages;
	size_t batch_bytes;
	SSL_CTX *tls; /* NULL: none */
};

struct pump;

struct pair {
	unsigned id;
	struct pump *pump;
	struct queue queue;
	struct wire source;
	struct wire target;
	pthread_t reader;
	pthread_t writer;
	/* The reader's, read when it has ended. */
	size_t messages;
	uint64_t bytes;
};

struct pump {
	struct options opt;
	struct pair *pairs;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool listed; /* the source */
	bool made;   /* the folders of the target; with one pair: their CREATEs are sent */
	/* The first pair's reader's until `listed`, then fixed. */
	struct folder *folders; /* with several pairs largest first */
	size_t folder_count;
	char delimiter;
	/* The first pair's writer's until `made`, then fixed. */
	char target_delimiter;
};

/* Usage and status 2 where the command line is wrong. */
struct options parse_options(int argc, char **argv);

double now_seconds(void);

/* Sets `what`, one of the pump's, for all who wait for it. */
void announce(struct pump *pump, bool *what);
void wait_for(struct pump *pump, const bool *what);

/* The threads of a pair; `arg` is the struct pair. Each opens its connection, and returns NULL when
 * all is read, or written and answered. The first pair's reader lists the source, its writer makes
 * the folders of the target. */
void *run_reader(void *arg);
void *run_writer(void *arg);

/* The floor of the target: makes the folders, then writes what the queue holds, with a connection
 * of its own. Returns when it began to open that one. */
double write_again(struct pair *pair);

#endif
