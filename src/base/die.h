/* die.h - the crash tests' hook: dies at the N-th step of a kind. */
#ifndef BASE_DIE_H
#define BASE_DIE_H

/* A step is a place where a crash could lose or double something. */
enum die_kind {
	DIE_COMMIT,     /* a ledger transaction has become durable */
	DIE_FIRST_BYTE, /* the first byte of a batch was handed to the kernel */
	DIE_LAST_BYTE,  /* the last byte of a batch was handed to the kernel */
	DIE_REPLY,      /* a tagged reply of either side was read, and not yet acted upon */
	DIE_KINDS
};

/* Counts the step. If MAILHAUL_DIE_AT is "kind:N" ("commit:3", "first-byte:1", "last-byte:2",
 * "reply:7") and this is it: the process ends at once by SIGKILL to itself. If
 * MAILHAUL_DIE_COUNT names a file, die_report() writes the counts there, a "kind N" per line.
 * Nothing else reads these variables. Any thread. */
void die_step(enum die_kind kind);
void die_report(void);

#endif
