/* gain.h - whether compression is worth it: measurements in, a decision out; nothing else. */
#ifndef NET_GAIN_H
#define NET_GAIN_H

#include <stdbool.h>
#include <stdint.h>

enum {
	GAIN_BYTES_MIN = 2 << 20,  /* less than this, or in a shorter time, tells nothing: */
	GAIN_BUSY_MIN_MS = 3000,   /* small mailboxes stay as they are */
	GAIN_BUSY_KEPT_MS = 30000, /* what is older than about this counts less and less */
	GAIN_WAITED_PERCENT =
		60,          /* of the time with work in flight, where the line is what is slow */
	GAIN_ZLIB_TIMES = 2, /* and zlib would have to be so many times faster */
	GAIN_BETTER_PERCENT = 110 /* of the rate before, to count as better */
};

/* What one or more sessions of a host saw. All of it while something was in flight. */
struct gain_sample {
	uint64_t bytes;     /* moved, as the protocol has them */
	uint64_t busy_ms;   /* of all sessions: several at once count each */
	uint64_t waited_ms; /* of that: for the line */
};

/* How fast DEFLATE is, bytes a second of what is not compressed; 0 = cannot be told. */
struct gain_speed {
	uint64_t deflate; /* by us, as we send */
	uint64_t inflate; /* by us, as we read */
	uint64_t server;  /* by a server: zlib's default level on a machine like this one */
};

enum gain_verdict {
	GAIN_OPEN, /* nothing can be said yet */
	GAIN_BETTER,
	GAIN_WORSE /* or no better: it is the server that is slow, or nothing could be compressed */
};

void gain_add(struct gain_sample *sum, const struct gain_sample *news);
bool gain_is_told(const struct gain_sample *sample);
uint64_t gain_rate(const struct gain_sample *sample); /* bytes a second */
/* How slow the slower end of the compressed line would be. */
uint64_t gain_zlib_rate(const struct gain_speed *speed, bool reads);
/* Is the line what these sessions wait for, and slower than zlib? */
bool gain_is_worth_trying(const struct gain_sample *plain, uint64_t zlib_rate);
/* What came of it. */
enum gain_verdict gain_judge(const struct gain_sample *plain, const struct gain_sample *packed);

#endif
