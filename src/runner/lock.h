/* lock.h - one runner per profile: a kernel lock that dies with its owner. */
#ifndef RUNNER_LOCK_H
#define RUNNER_LOCK_H

#include "base/err.h"

#include <stdbool.h>

/* Held by an open file description: it passes to a child by fork, and ends when the last process
 * that has it ends, in whatever way. */
struct lock;

/* Who wrote into the file last; for show only, nothing is decided by it. */
struct lock_owner {
	long pid; /* 0 = not told */
	char host[65];
};

/* Takes the lock on the file `path` (made 0600 where missing, never removed). Does not wait:
 * ERR_LOCKED, with the owner in the text, while another process has it. ERR_STATE_DIR: no file. */
int lock_take(const char *path, struct lock **lock_r, struct err *err);
/* Writes this process into the file, for show. */
void lock_sign(struct lock *lock);
/* Lets go in this process; a child that inherited the lock keeps it. NULL is fine. */
void lock_release(struct lock **lock);
/* True while any process holds it; takes nothing. owner_r may be NULL. */
bool lock_is_held(const char *path, struct lock_owner *owner_r);

#endif
