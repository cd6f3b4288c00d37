/* spool.c - the bytes of one message on their way from one thread to another.
 *
 * A kept spool begins in memory. When it passes its own limit or the pool's budget, the writer
 * copies it into an unnamed file and goes on there; it never waits for memory, so that two jobs
 * cannot wait for each other. The writer alone changes the storage: it works on memory and file
 * without the lock and takes it only to show the result (`size`, a new buffer, the descriptor),
 * while readers copy from memory under the lock and read the file, which only grows, without it.
 * As long as one thread alone has it, and once it is finished, nothing is locked.
 *
 * Small ones lie in slabs, one behind the other with their bytes: thousands in a second are made by
 * one thread and given back by another, in the same order, which costs an allocator more than the
 * copying of what is in them.
 *
 * A ring holds a fixed number of bytes; both sides copy under the lock. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spool.h"

#include "base/banned.h"

#define FIRST_BYTES ((size_t)4096)
#define SLAB_BYTES                                                                                 \
	(((size_t)128 << 10) - 64) /* with its head no more than malloc() keeps at hand */
#define SPARE_SLABS 8u

struct spool_pool {
	char *dir;
	size_t memory_bytes, spool_bytes; /* fixed */
	atomic_size_t used;
	atomic_uint refs; /* its owner, each kept spool and each slab in use */
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	struct spool_slab *spare;
	unsigned spares;
};

struct spool_slab {
	struct spool_pool *pool;
	struct spool_slab *next; /* of the spare ones */
	atomic_uint refs;        /* who makes spools in it, and each spool */
	size_t used;
	alignas(max_align_t) unsigned char bytes[];
};

struct spool {
	/* Fixed once made. */
	struct spool_pool *pool; /* NULL: a ring */
	struct spool_slab *slab; /* where it lies; NULL: by itself */
	/* The writer's; shown to readers under `lock`. */
	unsigned char *mem;
	size_t cap; /* of mem; of the ring */
	int fd;     /* -1 while in memory */
	atomic_uint refs;
	atomic_bool finished; /* all bytes are there, and nothing of it changes any more */
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t size;  /* bytes written */
	uint64_t taken; /* ring: bytes read */
	uint64_t total; /* announced; 0 = not known */
	bool failed;    /* `err` says why no more will come */
	bool abandoned; /* ring: the reader said so */
	bool alone;     /* the other side dropped its reference */
	bool shared;    /* had two references unfinished; without it there is nobody to lock out */
	unsigned char digest[SPOOL_DIGEST_BYTES];
	struct err *err;                            /* NULL: none */
	alignas(max_align_t) unsigned char bytes[]; /* in a slab: what `mem` is */
};

struct spool_pool *
spool_pool_new(const char *dir, size_t memory_bytes, size_t spool_bytes)
{
	struct spool_pool *pool = xcalloc(1, sizeof(*pool));

	pool->dir = xstrdup(dir);
	pool->memory_bytes = memory_bytes;
	pool->spool_bytes = spool_bytes;
	pool->refs = 1;
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

void
spool_pool_free(struct spool_pool **pool)
{
	struct spool_pool *p = *pool;
	struct spool_slab *slab;

	*pool = NULL;
	if (p == NULL || atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	while ((slab = p->spare) != NULL) {
		p->spare = slab->next;
		free(slab);
	}
	pthread_mutex_destroy(&p->lock);
	free(p->dir);
	free(p);
}

static struct spool_pool *
pool_ref(struct spool_pool *pool)
{
	atomic_fetch_add(&pool->refs, 1);
	return pool;
}

static bool
pool_reserve(struct spool_pool *pool, size_t bytes, bool small)
{
	size_t used = atomic_load(&pool->used);

	do {
		if (!small && (used > pool->memory_bytes || bytes > pool->memory_bytes - used))
			return false;
	} while (!atomic_compare_exchange_weak(&pool->used, &used, used + bytes));
	return true;
}

static void
pool_release(struct spool_pool *pool, size_t bytes)
{
	atomic_fetch_sub(&pool->used, bytes);
}

static struct spool_slab *
slab_new(struct spool_pool *pool)
{
	struct spool_slab *slab;

	pthread_mutex_lock(&pool->lock);
	slab = pool->spare;
	if (slab != NULL) {
		pool->spare = slab->next;
		pool->spares--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (slab == NULL)
		slab = xmalloc(sizeof(*slab) + SLAB_BYTES);
	slab->pool = pool_ref(pool);
	slab->next = NULL;
	slab->used = 0;
	atomic_init(&slab->refs, 1);
	return slab;
}

void
spool_slab_unref(struct spool_slab **slab)
{
	struct spool_slab *s = *slab;
	struct spool_pool *pool;

	*slab = NULL;
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	pool = s->pool;
	pthread_mutex_lock(&pool->lock);
	if (pool->spares < SPARE_SLABS) {
		s->next = pool->spare;
		pool->spare = s;
		pool->spares++;
		s = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	free(s);
	spool_pool_free(&pool);
}

static void
spool_init(struct spool *spool)
{
	memset(spool, 0, sizeof(*spool));
	spool->fd = -1;
	atomic_init(&spool->refs, 1);
	pthread_mutex_init(&spool->lock, NULL);
	pthread_cond_init(&spool->changed, NULL);
}

static struct spool *
spool_make(void)
{
	struct spool *spool = xmalloc(sizeof(*spool));

	spool_init(spool);
	return spool;
}

struct spool *
spool_new(struct spool_pool *pool)
{
	struct spool *spool = spool_make();

	spool->pool = pool_ref(pool);
	return spool;
}

struct spool *
spool_new_sized(struct spool_pool *pool, struct spool_slab **slab, uint64_t bytes)
{
	const size_t align = alignof(max_align_t);
	struct spool *spool;
	size_t need;

	if (bytes > SPOOL_SMALL_BYTES || bytes > pool->spool_bytes) {
		spool = spool_new(pool);
		spool->total = bytes;
		return spool;
	}
	need = (sizeof(*spool) + (size_t)bytes + align - 1) / align * align;
	if (*slab != NULL && atomic_load(&(*slab)->refs) == 1)
		(*slab)->used = 0; /* all that lay in it is gone */
	if (*slab != NULL && need > SLAB_BYTES - (*slab)->used)
		spool_slab_unref(slab);
	if (*slab == NULL)
		*slab = slab_new(pool);
	spool = (struct spool *)(void *)((*slab)->bytes + (*slab)->used);
	(*slab)->used += need;
	atomic_fetch_add(&(*slab)->refs, 1);
	spool_init(spool);
	spool->pool = pool_ref(pool);
	spool->slab = *slab;
	spool->mem = spool->bytes;
	spool->cap = (size_t)bytes;
	spool->total = bytes;
	(void)pool_reserve(pool, spool->cap, true);
	return spool;
}

struct spool *
spool_new_ring(size_t ring_bytes, uint64_t total_bytes)
{
	struct spool *spool = spool_make();

	spool->cap = ring_bytes > 0 ? ring_bytes : 1;
	spool->mem = xmalloc(spool->cap);
	spool->total = total_bytes;
	return spool;
}

/* All bytes are there: nothing of it changes any more, and nothing of it is locked. */
static bool
is_done(const struct spool *s)
{
	return atomic_load_explicit(&s->finished, memory_order_acquire);
}

struct spool *
spool_ref(struct spool *spool)
{
	if (spool == NULL)
		return NULL;
	if (!is_done(spool)) {
		pthread_mutex_lock(&spool->lock);
		spool->shared = true;
		spool->alone = false;
		atomic_fetch_add(&spool->refs, 1);
		pthread_mutex_unlock(&spool->lock);
	} else {
		atomic_fetch_add(&spool->refs, 1);
	}
	return spool;
}

static void
free_memory(struct spool *s, unsigned char *mem)
{
	if (s->slab == NULL || mem != s->bytes)
		free(mem);
}

static void
spool_destroy(struct spool *spool)
{
	struct spool_slab *slab = spool->slab;

	if (spool->fd >= 0)
		close(spool->fd);
	if (spool->pool != NULL) {
		pool_release(spool->pool, spool->cap);
		spool_pool_free(&spool->pool);
	}
	free_memory(spool, spool->mem);
	free(spool->err);
	pthread_cond_destroy(&spool->changed);
	pthread_mutex_destroy(&spool->lock);
	if (slab != NULL)
		spool_slab_unref(&slab);
	else
		free(spool);
}

/* One of several who may still wait for each other. False: it is finished. */
static bool
unref_unfinished(struct spool *s)
{
	unsigned refs;

	pthread_mutex_lock(&s->lock);
	if (is_done(s)) {
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	refs = atomic_fetch_sub(&s->refs, 1) - 1;
	if (refs == 1) {
		/* Whoever holds the last reference is alone: nobody will fill or empty it. */
		s->alone = true;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	if (refs == 0)
		spool_destroy(s);
	return true;
}

void
spool_unref(struct spool **spool)
{
	struct spool *s = *spool;

	if (s == NULL)
		return;
	*spool = NULL;
	if (!is_done(s) && unref_unfinished(s))
		return;
	if (atomic_fetch_sub(&s->refs, 1) == 1)
		spool_destroy(s);
}

/* An unnamed file: it cannot be left behind, whatever ends us. */
static int
open_unnamed(const char *dir, struct err *err)
{
	char *path;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), saved;

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return err_errno(err, ERR_DISK, errno, "spool file in %s", dir);
	path = path_join(dir, "spool.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	saved = errno;
	if (fd >= 0)
		unlink(path);
	free(path);
	if (fd < 0)
		return err_errno(err, ERR_DISK, saved, "spool file in %s", dir);
	return fd;
}

static int
write_at(int fd, const unsigned char *bytes, size_t len, uint64_t offset, struct err *err)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return err_errno(err, ERR_DISK, errno, "writing a spool file");
		if (n > 0) {
			bytes += n;
			offset += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Moves what is in memory into a file. Only the writer changes mem, so it is read unlocked. */
static int
move_to_file(struct spool *s, struct err *err)
{
	int fd = open_unnamed(s->pool->dir, err);
	unsigned char *mem = s->mem;
	size_t cap = s->cap;

	if (fd < 0)
		return -1;
	if (write_at(fd, mem, (size_t)s->size, 0, err) < 0) {
		close(fd);
		return -1;
	}
	pthread_mutex_lock(&s->lock);
	s->fd = fd;
	s->mem = NULL;
	s->cap = 0;
	pthread_mutex_unlock(&s->lock);
	free_memory(s, mem);
	pool_release(s->pool, cap);
	return 0;
}

/* Makes room in memory for `need` bytes in all; false means: go on in a file. */
static bool
grow_memory(struct spool *s, uint64_t need)
{
	size_t limit = s->pool->spool_bytes, cap = s->cap > 0 ? s->cap : FIRST_BYTES;
	unsigned char *mem, *old;

	if (need > limit || s->total > limit)
		return false;
	if (need <= s->cap)
		return true;
	if (s->total >= need)
		cap = (size_t)s->total;
	while (cap < need)
		cap *= 2;
	if (cap > limit)
		cap = limit;
	if (!pool_reserve(s->pool, cap - s->cap, cap <= SPOOL_SMALL_BYTES))
		return false;
	mem = malloc(cap);
	if (mem == NULL) {
		pool_release(s->pool, cap - s->cap);
		return false;
	}
	if (s->size > 0)
		memcpy(mem, s->mem, (size_t)s->size);
	pthread_mutex_lock(&s->lock);
	old = s->mem;
	s->mem = mem;
	s->cap = cap;
	pthread_mutex_unlock(&s->lock);
	free_memory(s, old);
	return true;
}

unsigned char *
spool_room(struct spool *spool, size_t bytes)
{
	if (spool->pool == NULL || spool->fd >= 0 || spool->size != 0 || bytes == 0 ||
		!grow_memory(spool, bytes))
		return NULL;
	return spool->mem;
}

void
spool_filled(struct spool *spool, size_t len)
{
	if (!spool->shared) {
		spool->size += len;
		return;
	}
	pthread_mutex_lock(&spool->lock);
	spool->size += len;
	pthread_cond_broadcast(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
}

static int
write_kept(struct spool *s, const unsigned char *bytes, size_t len, struct err *err)
{
	/* Only this thread changes fd, size and mem, so it may read them without the lock. The
	 * new bytes lie beyond `size`, where no reader looks yet. */
	if (s->fd < 0) {
		if (grow_memory(s, s->size + len))
			memcpy(s->mem + s->size, bytes, len);
		else if (move_to_file(s, err) < 0)
			return -1;
	}
	if (s->fd >= 0 && write_at(s->fd, bytes, len, s->size, err) < 0)
		return -1;
	pthread_mutex_lock(&s->lock);
	s->size += len;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* Copies into the ring what fits now, in up to two pieces; `lock` is held. */
static size_t
ring_put(struct spool *s, const unsigned char *bytes, size_t len)
{
	size_t room = s->cap - (size_t)(s->size - s->taken), at = (size_t)(s->size % s->cap);
	size_t first;

	if (len > room)
		len = room;
	first = len < s->cap - at ? len : s->cap - at;
	memcpy(s->mem + at, bytes, first);
	if (len > first)
		memcpy(s->mem, bytes + first, len - first);
	s->size += len;
	return len;
}

static int
write_ring(struct spool *s, const unsigned char *bytes, size_t len, struct err *err)
{
	bool gone;

	pthread_mutex_lock(&s->lock);
	while (len > 0 && !s->abandoned && !s->alone) {
		size_t n = ring_put(s, bytes, len);

		bytes += n;
		len -= n;
		if (n > 0)
			pthread_cond_broadcast(&s->changed);
		else
			pthread_cond_wait(&s->changed, &s->lock);
	}
	gone = s->abandoned || s->alone;
	pthread_mutex_unlock(&s->lock);
	if (gone)
		return err_set(err, ERR_CANCELLED, "the reader of a message gave it up");
	return 0;
}

int
spool_write(struct spool *spool, const void *bytes, size_t len, struct err *err)
{
	bool failed;

	pthread_mutex_lock(&spool->lock);
	failed = spool->failed;
	if (failed && err != NULL)
		*err = *spool->err;
	if (is_done(spool))
		BUG("writing to a spool that has ended");
	pthread_mutex_unlock(&spool->lock);
	if (failed)
		return -1;
	if (len == 0)
		return 0;
	if (spool->pool == NULL)
		return write_ring(spool, bytes, len, err);
	return write_kept(spool, bytes, len, err);
}

/* Gives back the memory that doubling took too much of; `lock` is held. Returns the bytes. */
static size_t
trim_memory(struct spool *s)
{
	size_t spare = s->cap - (size_t)s->size;
	unsigned char *mem;

	if (s->mem == NULL || s->slab != NULL || s->size == 0 || spare < FIRST_BYTES / 4)
		return 0;
	mem = realloc(s->mem, (size_t)s->size);
	if (mem == NULL)
		return 0;
	s->mem = mem;
	s->cap = (size_t)s->size;
	return spare;
}

void
spool_set_digest(struct spool *spool, const unsigned char digest[SPOOL_DIGEST_BYTES])
{
	pthread_mutex_lock(&spool->lock);
	memcpy(spool->digest, digest, SPOOL_DIGEST_BYTES);
	pthread_mutex_unlock(&spool->lock);
}

void
spool_digest(struct spool *spool, unsigned char digest[SPOOL_DIGEST_BYTES])
{
	pthread_mutex_lock(&spool->lock);
	memcpy(digest, spool->digest, SPOOL_DIGEST_BYTES);
	pthread_mutex_unlock(&spool->lock);
}

/* Returns the bytes of memory that are free again. */
static size_t
finish(struct spool *s)
{
	size_t spare = 0;

	if (s->failed)
		return 0;
	s->total = s->size;
	if (s->pool != NULL && s->fd < 0)
		spare = trim_memory(s);
	atomic_store_explicit(&s->finished, true, memory_order_release);
	return spare;
}

void
spool_finish(struct spool *spool)
{
	size_t spare;

	if (!spool->shared) {
		spare = finish(spool);
	} else {
		pthread_mutex_lock(&spool->lock);
		spare = finish(spool);
		pthread_cond_broadcast(&spool->changed);
		pthread_mutex_unlock(&spool->lock);
	}
	if (spare > 0)
		pool_release(spool->pool, spare);
}

void
spool_fail(struct spool *spool, const struct err *err)
{
	pthread_mutex_lock(&spool->lock);
	if (!spool->failed && !is_done(spool)) {
		spool->failed = true;
		spool->err = xcalloc(1, sizeof(*spool->err));
		if (err != NULL)
			*spool->err = *err;
		else
			err_set(spool->err, ERR_INTERNAL, "a message ended without a reason");
	}
	pthread_cond_broadcast(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
}

void
spool_set_total(struct spool *spool, uint64_t bytes)
{
	pthread_mutex_lock(&spool->lock);
	spool->total = bytes;
	pthread_mutex_unlock(&spool->lock);
}

/* The failure, or that nobody is left to write; `lock` is held. */
static int
ended_badly(const struct spool *s, struct err *err)
{
	if (s->failed) {
		if (err != NULL)
			*err = *s->err;
		return -1;
	}
	return err_set(err, ERR_INTERNAL, "the writer of a message left it unfinished");
}

/* Blocks until there are bytes behind `offset`, or there never will be; `lock` is held. */
static int
wait_for_bytes(struct spool *s, uint64_t offset, struct err *err)
{
	while (s->size <= offset && !is_done(s) && !s->failed && atomic_load(&s->refs) > 1)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->failed || (s->size <= offset && !is_done(s)))
		return ended_badly(s, err);
	return 0;
}

/* Copies out what the ring holds, in up to two pieces; `lock` is held. */
static void
ring_get(struct spool *s, unsigned char *buf, size_t len)
{
	size_t at = (size_t)(s->taken % s->cap);
	size_t first = len < s->cap - at ? len : s->cap - at;

	memcpy(buf, s->mem + at, first);
	if (len > first)
		memcpy(buf + first, s->mem, len - first);
	s->taken += len;
	pthread_cond_broadcast(&s->changed);
}

static int
read_at(int fd, uint64_t offset, unsigned char *buf, size_t len, size_t *got_r, struct err *err)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, ERR_DISK, errno, "reading a spool file");
	if (n == 0)
		return err_set(err, ERR_DISK, "a spool file is shorter than what was written");
	*got_r = (size_t)n;
	return 0;
}

int
spool_read(struct spool *spool, uint64_t offset, void *buf, size_t size, size_t *got_r,
	struct err *err)
{
	uint64_t left;
	int fd, ret;

	if (size == 0)
		BUG("reading nothing from a spool");
	pthread_mutex_lock(&spool->lock);
	if (spool->pool == NULL && offset != spool->taken) {
		pthread_mutex_unlock(&spool->lock);
		return err_set(err, ERR_INTERNAL, "a ring was read out of order");
	}
	ret = wait_for_bytes(spool, offset, err);
	left = ret == 0 && spool->size > offset ? spool->size - offset : 0;
	if (left < size)
		size = (size_t)left;
	fd = spool->fd;
	if (size > 0 && spool->pool == NULL)
		ring_get(spool, buf, size);
	else if (size > 0 && fd < 0)
		memcpy(buf, spool->mem + offset, size);
	pthread_mutex_unlock(&spool->lock);
	if (ret < 0)
		return -1;
	if (size > 0 && fd >= 0)
		return read_at(fd, offset, buf, size, got_r, err);
	*got_r = size;
	return 0;
}

const unsigned char *
spool_view(struct spool *spool, size_t *len_r)
{
	/* Once finished, neither the bytes nor their place changes any more. */
	if (!is_done(spool) || spool->pool == NULL || spool->fd >= 0 || spool->size == 0)
		return NULL;
	*len_r = (size_t)spool->size;
	return spool->mem;
}

void
spool_abandon(struct spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->abandoned = true;
	pthread_cond_broadcast(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
}

int
spool_wait(struct spool *spool, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&spool->lock);
	while (!is_done(spool) && !spool->failed && atomic_load(&spool->refs) > 1)
		pthread_cond_wait(&spool->changed, &spool->lock);
	if (!is_done(spool))
		ret = ended_badly(spool, err);
	pthread_mutex_unlock(&spool->lock);
	return ret;
}

bool
spool_is_ring(const struct spool *spool)
{
	return spool->pool == NULL;
}

bool
spool_is_finished(struct spool *spool)
{
	return is_done(spool);
}

uint64_t
spool_size(struct spool *spool)
{
	uint64_t size;

	if (is_done(spool))
		return spool->size;
	pthread_mutex_lock(&spool->lock);
	size = spool->size;
	pthread_mutex_unlock(&spool->lock);
	return size;
}

uint64_t
spool_total(struct spool *spool)
{
	uint64_t total;

	if (is_done(spool))
		return spool->total;
	pthread_mutex_lock(&spool->lock);
	total = spool->total;
	pthread_mutex_unlock(&spool->lock);
	return total;
}
