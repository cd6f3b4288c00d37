/* sqlite.c - the SQLite ledger: opening, the writing thread and its queue, the reading connections.
 *
 * Every write is an operation in one queue. The writing thread takes all that is queued, runs it
 * in the order queued inside one transaction, and wakes the waiters after the COMMIT: so a ticket
 * is durable only after everything queued before it. What nobody waits for lingers a
 * moment for company: who waits for one intent takes along those behind it. The queue is bounded by
 * bytes: senders wait.
 *
 * Readers have connections of their own (WAL: they never wait for the writer). An empty ledger in
 * memory has one connection for all, under memory_lock. */
#include "engine/ledger/ledger_private.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

#define QUEUE_MAX_BYTES    ((size_t)32 << 20)
#define TRANSACTION_OPS    10000
#define TRANSACTION_MS     200  /* a waiter never waits much longer than this for the disk */
#define SLOW_COMMIT_US     3000 /* a transaction of a slow disk */
#define LINGER_MS          50
#define LINGER_BYTES       (QUEUE_MAX_BYTES / 4)
#define CLOSE_BUSY_MS      500 /* the last checkpoint does not wait long for other programs */
#define THREAD_STACK_BYTES ((size_t)1 << 20)

void *
op_new(size_t size, size_t extra, op_fn *apply)
{
	struct op *op = xcalloc(1, size + extra);

	op->weight = size + extra;
	op->apply = apply;
	return op;
}

size_t
op_text_size(const char *text)
{
	return text == NULL ? 0 : strlen(text) + 1;
}

char *
op_text(char **spare, const char *text)
{
	size_t size = op_text_size(text);
	char *copy = *spare;

	if (text == NULL)
		return NULL;
	memcpy(copy, text, size);
	*spare += size;
	return copy;
}

/* The first failure stays; everyone who waits is told. `lock` is held. */
static void
set_failed(struct ledger *ledger, const struct err *err)
{
	if (!ledger->failed) {
		ledger->failed = true;
		ledger->err = *err;
	}
	pthread_cond_broadcast(&ledger->done);
	pthread_cond_broadcast(&ledger->room);
}

uint64_t
ledger_send(struct ledger *ledger, struct op **op)
{
	uint64_t ticket = 0;
	bool first;
	struct err err;

	pthread_mutex_lock(&ledger->lock);
	if (ledger->mode == LEDGER_READ) {
		err_set(&err, ERR_LEDGER, "the ledger was opened to read only: %s", ledger->path);
		set_failed(ledger, &err);
	}
	while (!ledger->failed && ledger->bytes >= QUEUE_MAX_BYTES)
		pthread_cond_wait(&ledger->room, &ledger->lock);
	if (!ledger->failed) {
		first = ledger->head == NULL;
		ticket = ++ledger->queued;
		(*op)->ticket = ticket;
		ledger->bytes += (*op)->weight;
		ledger->urgent = ledger->urgent || (*op)->urgent;
		*ledger->tail = *op;
		ledger->tail = &(*op)->next;
		*op = NULL;
		/* A thread that lingers already is woken when it shall do so no longer. */
		if (first || ledger->urgent || ledger->bytes >= LINGER_BYTES)
			pthread_cond_signal(&ledger->work);
	}
	pthread_mutex_unlock(&ledger->lock);
	free(*op);
	*op = NULL;
	return ticket;
}

/* Shall what is queued linger no longer, for the sake of who waits for that ticket? If it is queued
 * itself; and on a slow disk if less is durable ahead of it than waits to become so: it would soon
 * be waited for through a whole commit. The lock is held. */
static bool
is_due(const struct ledger *ledger, uint64_t ticket)
{
	uint64_t waiting = ledger->queued - ledger->taken;

	if (waiting == 0 || ticket == 0)
		return false;
	return ticket > ledger->taken ||
	       (ledger->commit_us > SLOW_COMMIT_US && ticket <= ledger->finished &&
		       ledger->finished - ticket < waiting);
}

int
ledger_wait(struct ledger *ledger, uint64_t ticket, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&ledger->lock);
	if (!ledger->urgent && is_due(ledger, ticket)) {
		ledger->urgent = true;
		pthread_cond_signal(&ledger->work);
	}
	/* Also after a failure: an operation may point into its caller's frame. */
	while (ledger->finished < ticket)
		pthread_cond_wait(&ledger->done, &ledger->lock);
	if (ledger->failed) {
		if (err != NULL)
			*err = ledger->err;
		ret = -1;
	}
	pthread_mutex_unlock(&ledger->lock);
	return ret;
}

int
ledger_call(struct ledger *ledger, op_fn *apply, void *context, struct err *err)
{
	struct call_op *call = op_new(sizeof(*call), 0, apply);
	struct op *op = &call->op;

	call->context = context;
	op->urgent = true;
	return ledger_wait(ledger, ledger_send(ledger, &op), err);
}

int
ledger_flush(struct ledger *ledger, struct err *err)
{
	uint64_t ticket;

	pthread_mutex_lock(&ledger->lock);
	ticket = ledger->queued;
	pthread_mutex_unlock(&ledger->lock);
	return ledger_wait(ledger, ticket, err);
}

int
ledger_check(struct ledger *ledger, struct err *err)
{
	return ledger_wait(ledger, 0, err);
}

/* The writing thread. */

static void
linger(struct ledger *ledger)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)LINGER_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!ledger->urgent && !ledger->closing && ledger->bytes < LINGER_BYTES)
		if (pthread_cond_timedwait(&ledger->work, &ledger->lock, &until) == ETIMEDOUT)
			break;
}

/* All that is queued; NULL when the ledger is being closed and nothing is left. */
static struct op *
take_all(struct ledger *ledger)
{
	struct op *ops;

	pthread_mutex_lock(&ledger->lock);
	while (ledger->head == NULL && !ledger->closing)
		pthread_cond_wait(&ledger->work, &ledger->lock);
	if (!ledger->failed)
		linger(ledger);
	ops = ledger->head;
	ledger->head = NULL;
	ledger->tail = &ledger->head;
	ledger->urgent = false;
	ledger->taken = ledger->queued;
	pthread_mutex_unlock(&ledger->lock);
	return ops;
}

/* Runs operations until one of the limits; *at is the first that was not run. */
static int
run_some(struct ledger *ledger, struct op **at, struct err *err)
{
	int64_t end = clock_ms() + TRANSACTION_MS;

	if (db_exec(&ledger->db, "write", "BEGIN IMMEDIATE", err) < 0)
		return -1;
	for (unsigned n = 0; *at != NULL && n < TRANSACTION_OPS; n++) {
		if ((*at)->apply(ledger, *at, err) < 0)
			return -1;
		*at = (*at)->next;
		if (clock_ms() >= end)
			break;
	}
	if (delta_finish(ledger, err) < 0 || change_finish(ledger, err) < 0 ||
		db_exec(&ledger->db, "write", "COMMIT", err) < 0)
		return -1;
	if (ledger->mode == LEDGER_WRITE)
		die_step(DIE_COMMIT);
	return 0;
}

/* One transaction off the front of *ops. After a failure nothing is run any more. */
static void
commit_some(struct ledger *ledger, struct op **ops)
{
	struct op *at = *ops, *next;
	struct err err = { 0 };
	int64_t began = clock_us();
	size_t bytes = 0;
	uint64_t last = 0;

	if (ledger->mode == LEDGER_MEMORY)
		pthread_mutex_lock(&ledger->memory_lock);
	if (!ledger->dead && run_some(ledger, &at, &err) < 0) {
		db_exec(&ledger->db, "write", "ROLLBACK", NULL);
		ledger->dead = true;
	}
	if (ledger->mode == LEDGER_MEMORY)
		pthread_mutex_unlock(&ledger->memory_lock);
	if (ledger->dead)
		at = NULL;
	for (struct op *op = *ops; op != at; op = next) {
		next = op->next;
		bytes += op->weight;
		last = op->ticket;
		free(op);
	}
	*ops = at;
	pthread_mutex_lock(&ledger->lock);
	ledger->bytes -= bytes;
	ledger->commit_us = clock_us() - began;
	ledger->finished = last;
	if (ledger->dead)
		set_failed(ledger, &err);
	pthread_cond_broadcast(&ledger->done);
	pthread_cond_broadcast(&ledger->room);
	pthread_mutex_unlock(&ledger->lock);
}

static void *
writer_main(void *context)
{
	struct ledger *ledger = context;
	struct op *ops;

	while ((ops = take_all(ledger)) != NULL)
		while (ops != NULL)
			commit_some(ledger, &ops);
	return NULL;
}

/* Reading connections. */

static int
reader_open(struct ledger *ledger, struct db **db_r, struct err *err)
{
	struct db *db = xmalloc(sizeof(*db));

	if (db_open(db, ledger->path, DB_READ, err) < 0) {
		free(db);
		return -1;
	}
	if (schema_open(db, DB_READ, err) < 0) {
		db_close(db);
		free(db);
		return -1;
	}
	*db_r = db;
	return 0;
}

int
ledger_borrow(struct ledger *ledger, struct db **db_r, struct err *err)
{
	const size_t max = sizeof(ledger->pool) / sizeof(ledger->pool[0]);
	bool open = false;

	if (ledger_check(ledger, err) < 0)
		return -1;
	if (ledger->mode == LEDGER_MEMORY) {
		pthread_mutex_lock(&ledger->memory_lock);
		*db_r = &ledger->db;
		return 0;
	}
	*db_r = NULL;
	pthread_mutex_lock(&ledger->pool_lock);
	while (ledger->pool_idle == 0 && ledger->pool_open == max)
		pthread_cond_wait(&ledger->pool_free, &ledger->pool_lock);
	if (ledger->pool_idle > 0) {
		*db_r = ledger->pool[--ledger->pool_idle];
	} else {
		ledger->pool_open++;
		open = true;
	}
	pthread_mutex_unlock(&ledger->pool_lock);
	if (!open || reader_open(ledger, db_r, err) == 0)
		return 0;
	pthread_mutex_lock(&ledger->pool_lock);
	ledger->pool_open--;
	pthread_cond_signal(&ledger->pool_free);
	pthread_mutex_unlock(&ledger->pool_lock);
	return -1;
}

void
ledger_return(struct ledger *ledger, struct db **db)
{
	if (ledger->mode == LEDGER_MEMORY) {
		*db = NULL;
		pthread_mutex_unlock(&ledger->memory_lock);
		return;
	}
	pthread_mutex_lock(&ledger->pool_lock);
	ledger->pool[ledger->pool_idle++] = *db;
	*db = NULL;
	pthread_cond_signal(&ledger->pool_free);
	pthread_mutex_unlock(&ledger->pool_lock);
}

/* Opening and closing. */

/* The directory's entry shall survive a power cut as well. */
static int
sync_directory(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL   ? xstrdup(".")
		    : slash == path ? xstrdup("/")
				    : xstrndup(path, (size_t)(slash - path));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0 || fsync(fd) < 0)
		ret = err_errno(
			err, ERR_LEDGER, errno, "cannot sync the ledger's directory %s", dir);
	if (fd >= 0)
		close(fd);
	free(dir);
	return ret;
}

/* Makes the file with its mode, so that it never was wider; SQLite gives -wal and -shm the mode of
 * the file. One that is there is not opened here: closing it would drop SQLite's locks on it. */
static int
create_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_errno(err, ERR_LEDGER, errno, "cannot create the ledger %s", path);
	close(fd);
	return sync_directory(path, err);
}

/* A missing ledger is not a broken one. */
static int
check_there(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return 0;
	if (errno == ENOENT)
		return err_set(err, ERR_STATE_DIR, "there is no ledger yet: %s", path);
	return err_errno(err, ERR_LEDGER, errno, "cannot open the ledger %s", path);
}

static int
open_writer(struct ledger *ledger, struct err *err)
{
	enum db_access access = ledger->mode == LEDGER_WRITE ? DB_WRITE : DB_MEMORY;
	int64_t last;

	if (access == DB_WRITE && create_file(ledger->path, err) < 0)
		return -1;
	if (db_open(&ledger->db, ledger->path, access, err) < 0 ||
		schema_open(&ledger->db, access, err) < 0)
		return -1;
	if (db_number(&ledger->db, "SELECT seq FROM sqlite_sequence WHERE name = 'batch'", 0, &last,
		    err) < 0)
		return -1;
	ledger->next_batch = (uint64_t)last + 1;
	if (db_number(&ledger->db, "SELECT max(stamp) FROM change", 0, &last, err) < 0)
		return -1;
	ledger->stamp = (uint64_t)last + 1;
	return 0;
}

static int
start_thread(struct ledger *ledger, struct err *err)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	rc = pthread_create(&ledger->thread, &attr, writer_main, ledger);
	pthread_attr_destroy(&attr);
	return rc == 0 ? 0 : err_errno(err, ERR_INTERNAL, rc, "cannot start the ledger's thread");
}

static struct ledger *
ledger_new(const char *path, enum ledger_mode mode)
{
	struct ledger *ledger = xcalloc(1, sizeof(*ledger));
	pthread_condattr_t attr;

	ledger->path = xstrdup(mode == LEDGER_MEMORY ? "(in memory)" : path);
	ledger->mode = mode;
	ledger->tail = &ledger->head;
	pthread_mutex_init(&ledger->lock, NULL);
	pthread_mutex_init(&ledger->memory_lock, NULL);
	pthread_mutex_init(&ledger->pool_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ledger->work, &attr);
	pthread_cond_init(&ledger->room, &attr);
	pthread_cond_init(&ledger->done, &attr);
	pthread_cond_init(&ledger->pool_free, &attr);
	pthread_condattr_destroy(&attr);
	return ledger;
}

static void
ledger_free(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->pool_idle; i++) {
		db_close(ledger->pool[i]);
		free(ledger->pool[i]);
	}
	db_close(&ledger->db);
	pthread_cond_destroy(&ledger->pool_free);
	pthread_cond_destroy(&ledger->done);
	pthread_cond_destroy(&ledger->room);
	pthread_cond_destroy(&ledger->work);
	pthread_mutex_destroy(&ledger->pool_lock);
	pthread_mutex_destroy(&ledger->memory_lock);
	pthread_mutex_destroy(&ledger->lock);
	free(ledger->keywords);
	free(ledger->rounds);
	change_clear(ledger);
	free(ledger->changes);
	free(ledger->path);
	free(ledger);
}

int
ledger_open(const char *path, const struct ledger_binding *binding, enum ledger_mode mode,
	struct ledger **ledger_r, struct err *err)
{
	struct ledger *ledger = ledger_new(path, mode);
	struct db *db = NULL;
	int ret;

	if (mode == LEDGER_READ) {
		ret = check_there(path, err);
		if (ret == 0)
			ret = ledger_borrow(ledger, &db, err);
	} else {
		ret = open_writer(ledger, err);
	}
	if (ret == 0 && binding != NULL)
		ret = bind_endpoints(mode == LEDGER_READ ? db : &ledger->db, binding, mode, err);
	if (db != NULL)
		ledger_return(ledger, &db);
	if (ret == 0 && mode != LEDGER_READ)
		ret = start_thread(ledger, err);
	if (ret < 0) {
		ledger_free(ledger);
		return -1;
	}
	*ledger_r = ledger;
	return 0;
}

int
ledger_close(struct ledger **ledger, struct err *err)
{
	struct ledger *l = *ledger;
	int ret = 0, rc;

	if (l == NULL)
		return 0;
	*ledger = NULL;
	if (l->mode != LEDGER_READ) {
		pthread_mutex_lock(&l->lock);
		l->closing = true;
		pthread_cond_signal(&l->work);
		pthread_mutex_unlock(&l->lock);
		pthread_join(l->thread, NULL);
		ret = ledger_check(l, err);
	}
	if (l->pool_idle != l->pool_open)
		BUG("the ledger is closed while somebody reads");
	if (ret == 0 && l->mode == LEDGER_WRITE) {
		/* Rows are safe in the WAL; whoever still reads may keep it from being emptied. */
		sqlite3_busy_timeout(l->db.handle, CLOSE_BUSY_MS);
		rc = sqlite3_wal_checkpoint_v2(
			l->db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED)
			ret = db_fail(&l->db, rc, "write", err);
	}
	ledger_free(l);
	return ret;
}
