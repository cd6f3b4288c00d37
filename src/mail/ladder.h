/* ladder.h - how a message is repaired when a target refuses its content, one step after the
 * other; pure: the same bytes in give the same bytes out. */
#ifndef MAIL_LADDER_H
#define MAIL_LADDER_H

#include "base/err.h"
#include "base/spool.h"

/* In the order they are tried; each keeps the ones before it. */
enum ladder_step {
	LADDER_AS_IS,
	LADDER_LINE_ENDS,   /* bare LF and bare CR become CRLF */
	LADDER_NUL,         /* NUL becomes 0x80 (what servers that repair do) */
	LADDER_8BIT_HEADER, /* header bytes over 127: RFC 2047 encoded words (UTF-8 if they are,
			     * else unknown-8bit) in unstructured fields and phrases, "X" elsewhere
			     */
	LADDER_LONG_LINES,  /* lines over 998 bytes folded in the header, broken in the body */
	LADDER_WRAP,        /* the original, base64, as an attachment of a message made here */
	LADDER_STEPS
};

/* "as_is", "line_ends", "nul", "8bit_header", "long_lines", "wrapped": names in profiles and
 * reports. */
const char *ladder_name(enum ladder_step step);
int ladder_by_name(const char *name); /* -1: none */

/* The first step after `after` that `allowed` (a bit per step) has and that changes a message
 * with these traits (enum content_trait); LADDER_STEPS when there is none left. Steps that find
 * nothing to change are passed over; LADDER_WRAP is always a change. */
enum ladder_step ladder_next(enum ladder_step after, unsigned allowed, unsigned traits);

/* Writes the repaired form of `in` (finished) to `out` and finishes it. steps: a bit per step to
 * apply. The wrapper takes Subject, From and Date over where they can be read, and the date of
 * `received`. 0, or -1 with ERR_DISK. */
int ladder_apply(
	unsigned steps, int64_t received, struct spool *in, struct spool *out, struct err *err);

#endif
