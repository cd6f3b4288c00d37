/* spool.h - the bytes of one message: memory up to a limit, then an unnamed file; or a bounded
 * ring through which a message too large to keep passes once. */
#ifndef BASE_SPOOL_H
#define BASE_SPOOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shared by all spools of a process: how much memory they may hold together, and where files go.
 * A spool that would pass the budget goes to its file (a very small one stays in memory all the
 * same); it never waits. Any thread. */
struct spool_pool;

/* So little stays in memory whatever the budget says, since a file for each would cost a descriptor
 * each: who holds many of them has to count. */
#define SPOOL_SMALL_BYTES ((size_t)16384)

struct spool_pool *spool_pool_new(const char *dir, size_t memory_bytes, size_t spool_bytes);
void spool_pool_free(struct spool_pool **pool);

/* One writing thread, and one reading thread at the same time. Held by reference: each of the two
 * holds its own, and when one is left alone with the last reference before the end, its blocking
 * call ends with an error, since nobody will fill or empty the spool any more. */
struct spool;

/* A kept spool: may be read any number of times, from any offset, also while it fills. */
struct spool *spool_new(struct spool_pool *pool);
/* A kept spool whose size is known, as after spool_set_total(). A small one lies in a slab beside
 * those that were made before it and will be given back about when they are: one slab for each row
 * of messages. *slab: NULL at first; one thread's. */
struct spool_slab;
struct spool *spool_new_sized(struct spool_pool *pool, struct spool_slab **slab, uint64_t bytes);
void spool_slab_unref(struct spool_slab **slab); /* its spools live on; NULL is fine */
/* A ring of `ring_bytes`: the writer blocks while it is full, the reader takes each byte once. */
struct spool *spool_new_ring(size_t ring_bytes, uint64_t total_bytes);
struct spool *spool_ref(struct spool *spool);
void spool_unref(struct spool **spool);

/* Writer. 0, or -1 with ERR_DISK, or ERR_CANCELLED when the reader gave the ring up. */
int spool_write(struct spool *spool, const void *bytes, size_t len, struct err *err);
/* Room in memory for all `bytes` of an empty spool whose total was set, to be filled from the front
 * and told by spool_filled(); NULL: there is none, spool_write() goes on in a file. */
unsigned char *spool_room(struct spool *spool, size_t bytes);
void spool_filled(struct spool *spool, size_t len);
void spool_finish(struct spool *spool);                      /* all bytes are there */
void spool_fail(struct spool *spool, const struct err *err); /* no more will come: readers get it */
void spool_set_total(struct spool *spool, uint64_t bytes);   /* known before the end: a literal */

/* What the writer says of all bytes, before spool_finish(): a ring's reader has no second look at
 * them. The meaning is the callers'. */
#define SPOOL_DIGEST_BYTES 32
void spool_set_digest(struct spool *spool, const unsigned char digest[SPOOL_DIGEST_BYTES]);
/* Zero where none was set. */
void spool_digest(struct spool *spool, unsigned char digest[SPOOL_DIGEST_BYTES]);

/* Reader. Blocks until at least one byte, the end or the failure. Returns 0 with *got_r bytes
 * (0 = end), or -1 with the writer's error. For a ring, offset must be where the last read ended.
 */
int spool_read(struct spool *spool, uint64_t offset, void *buf, size_t size, size_t *got_r,
	struct err *err);
/* All bytes where they lie, as long as the caller holds its reference; NULL: not finished, or not
 * in memory. */
const unsigned char *spool_view(struct spool *spool, size_t *len_r);
void spool_abandon(struct spool *spool); /* the reader of a ring leaves: writes fail from now on */
/* Waits until finished or failed. 0, or -1 with the writer's error. */
int spool_wait(struct spool *spool, struct err *err);

bool spool_is_ring(const struct spool *spool);
bool spool_is_finished(struct spool *spool);
uint64_t spool_size(struct spool *spool);  /* bytes written so far; all once finished */
uint64_t spool_total(struct spool *spool); /* as announced, or as finished; 0 = not known */

#endif
