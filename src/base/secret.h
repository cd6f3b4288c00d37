/* secret.h - a password or token: wiped when freed, never printed. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes as given (a password may hold any byte but NUL). Immutable and counted by reference, so
 * threads may share one; the last unref wipes it. Kept in memory that is not dumped into core
 * files (MADV_DONTDUMP) where the kernel grants that. */
struct secret;

struct secret *secret_new(const char *bytes, size_t len);
struct secret *secret_ref(struct secret *secret);      /* NULL gives NULL */
void secret_unref(struct secret **secret);             /* sets it NULL; NULL is fine */
const char *secret_bytes(const struct secret *secret); /* terminated; for the wire only */
size_t secret_len(const struct secret *secret);
bool secret_eq(const struct secret *a, const struct secret *b);

/* explicit_bzero for buffers that held one. */
void secret_wipe(void *p, size_t len);

#endif
