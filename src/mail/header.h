/* header.h - the few header fields a migrator reads. */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/str.h"

#include <stdint.h>

/* Unfolded value of the n-th field of that name (0 = the topmost), in the first `len` bytes of a
 * message, which may end anywhere: a value that the end cuts is given as far as it goes. value is
 * replaced. 0, or -1: not there, or longer than value's limit. Line ends may be CRLF or LF. */
int header_get(const char *message, size_t len, const char *name, unsigned n, struct str *value);

/* The date for a message whose INTERNALDATE is absurd: behind the last ";" of the top Received,
 * else Date; only if date_is_sane() and the line is whole. 0 with *from_r = "Received" or "Date";
 * or -1. */
int header_date(const char *message, size_t len, int64_t now, int64_t *time_r, const char **from_r);

#endif
