/* compression.h - what is known of compression to one host in one direction, for a run. */
#ifndef NET_COMPRESSION_H
#define NET_COMPRESSION_H

#include "net/gain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any thread; each call takes its own lock and waits for nothing, except that once in a process a
 * tenth of a second goes into measuring zlib. The host is found by pace.h, which owns it. */
struct compression;

struct compression *compression_new(bool reads); /* we read from it: a source */
void compression_free(struct compression **compression);

/* One session's part; the session's own, zeroed at first. */
struct compression_part {
	bool on;    /* it is compressed */
	bool trial; /* its outcome decides for the host */
};

/* A session has logged in. True: it should compress at once (then compression_is_on() or
 * compression_refused() follows). `always`: the profile says so. */
bool compression_begin(struct compression *compression, struct compression_part *part, bool always);
/* Adds what it saw, which is zeroed. True: it should compress as soon as nothing is in flight.
 * why_r: when something was decided the reason, for the log; else "". */
bool compression_tell(struct compression *compression, struct compression_part *part,
	struct gain_sample *news, char *why_r, size_t size);
void compression_is_on(struct compression *compression, struct compression_part *part);
/* The server would not. No session of this host tries again by itself. */
void compression_refused(struct compression *compression, struct compression_part *part);
/* Of a compressed session, since the last such call: bytes, and what they were on the line. */
void compression_count(struct compression *compression, uint64_t bytes, uint64_t line_bytes);
void compression_end(struct compression *compression, struct compression_part *part);

struct compression_status {
	unsigned sessions;          /* that are compressed now */
	uint64_t begun, compressed; /* sessions so far, and those of them that were compressed */
	uint64_t bytes, line_bytes; /* of the compressed ones */
	const char *state;          /* "", "tried", "better", "not better", "refused" */
};
void compression_look(struct compression *compression, struct compression_status *status_r);

#endif
