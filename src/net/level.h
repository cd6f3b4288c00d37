/* level.h - how many connections a host may have at a time: what is seen of it goes in, a number
 * comes out; no clock, no lock, no thread. */
#ifndef NET_LEVEL_H
#define NET_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
	LEVEL_WINDOW_MS = 4000,      /* throughput is measured over this, */
	LEVEL_WINDOW_MAX_MS = 16000, /* or, where answers are few, over up to this */
	LEVEL_SETTLE_MS = 1000,      /* new connections are not at work at once */
	LEVEL_GAIN_PERCENT = 105,    /* of the rate before: more connections have helped */
	LEVEL_REST_MS = 60000,       /* after they have not: until it is tried again */
	LEVEL_TRIAL_MS = 60000,      /* a trial that nobody makes use of for so long is none */
	LEVEL_STRAIN_MS = 3000,      /* what many connections see of one event counts once */
	LEVEL_RECOVER_MS = 10000, /* between two steps back up after the host asked for patience */
	LEVEL_LIMIT_MS = 60000, /* what was refused is not tried again for so long, and twice as */
	LEVEL_LIMIT_MAX_MS = 960000, /* long after each time it is refused again, up to this */
	LEVEL_SLOW_TIMES = 4,        /* as long as is usual of this host: too long */
	LEVEL_SLOW_MIN_MS = 1000,    /* shorter waits never count as too long */
	LEVEL_SLOW_WINDOWS = 2,      /* in a row */
	LEVEL_USUAL_WINDOWS = 16     /* about so many make what is usual */
};

/* Why a level is lower than it was. */
enum level_why {
	LEVEL_FINE,
	LEVEL_LIMIT,       /* [LIMIT], or words to that effect */
	LEVEL_UNAVAILABLE, /* [UNAVAILABLE], [THROTTLED] */
	LEVEL_REFUSED,     /* a connection refused, or not answered */
	LEVEL_BYE,         /* a login that the host ended */
	LEVEL_SLOW         /* answers take many times as long as before, and no more gets through */
};
const char *level_why_text(enum level_why why); /* "" for LEVEL_FINE */

/* Read by its owner, written by level_*() only. */
struct level {
	unsigned now;     /* connections at a time */
	unsigned ceiling; /* never more */
	unsigned start;   /* granted without a trial, and not taken back for want of gain */
	unsigned unit; /* connections that come together: 1, or 2 where a job needs two of them */
	enum level_why why; /* the last time it shrank; stays */
	bool shrunk;        /* it has not come back to where it was since */

	/* After it shrank. */
	unsigned before; /* where it was */
	unsigned limit;  /* so many were too many; 0 = none known, or long ago */
	int64_t limit_until;
	unsigned limit_ms; /* how long that counts */
	int64_t strained_ms, recover_ms;
	bool strained;

	/* Trials of more. */
	unsigned from; /* the last step up came from there; 0 = none */
	int64_t grown_ms;
	bool trial; /* what it brings is still being measured, against: */
	double rate_before;
	int64_t rest_until;

	/* The window being measured. */
	struct {
		bool begun;
		int64_t since_ms;
		uint64_t moved, answers, answer_ms; /* at its begin */
		unsigned looks, wanted;
		uint64_t used; /* sum of all looks */
	} window;
	double usual_answer_ms, usual_rate;
	unsigned windows, slow;
};

/* One look at a host, some of a second after the one before. */
struct level_look {
	int64_t now_ms;
	unsigned used;      /* connections it has */
	bool wanted;        /* somebody would like more */
	uint64_t moved;     /* all so far, in bytes; a message counts as some kilobytes more */
	uint64_t answers;   /* so far: commands with mail that were answered */
	uint64_t answer_ms; /* so far: waited for them */
};

/* All at least 1; again at any time. */
void level_set(struct level *level, unsigned ceiling, unsigned start, unsigned unit);
/* The host had `used` connections, the refused one among them. True: it is lower now. */
bool level_strain(struct level *level, enum level_why why, unsigned used, int64_t now_ms);
/* True: it is another now. */
bool level_step(struct level *level, const struct level_look *look);

#endif
