/* engine.h - all a front end may call: commands in, snapshots and events out.
 *
 * Two implementations with one contract (and one contract test): in the same process
 * (engine_local.h) and over a runner's control socket (runner/client.h). Any thread may call
 * anything; nothing here waits for the network, nothing engine-side ever waits for a front end. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

enum command_kind {
	CMD_PAUSE, /* matching accounts end the batch in flight and wait */
	CMD_RESUME,
	CMD_STOP,  /* matching accounts end what is in flight and stay resumable; all: the run ends
		    */
	CMD_SKIP,  /* matching accounts that are not done are skipped by the admin */
	CMD_RETRY, /* failed items (of `reason`) of matching accounts are tried again */
	CMD_JOBS,  /* value: mailboxes at a time, from now on */
	CMD_ROWS,  /* which rows the snapshots shall carry: value = first, value2 = how many */
	CMD_PING   /* nothing; the answer shows that the engine is there */
};

struct command {
	enum command_kind kind;
	uint64_t account; /* 0: by glob */
	char glob[256];   /* "" = all; matched against the source user */
	uint64_t value, value2;
	unsigned reason;
};

enum run_state { RUN_IDLE, RUN_STARTING, RUN_WORKING, RUN_PAUSED, RUN_STOPPING, RUN_ENDED };

/* One account as the screen shows it. Names are sanitized already. */
struct snapshot_row {
	uint64_t account;
	char user[128], target[128];
	char folder[128]; /* now at work, or "" */
	char state[24];   /* account_state_name() */
	bool open;        /* not ended */
	bool failed;
	char text[240];                   /* why it failed or waits, or "" */
	uint64_t items_found, items_done; /* done: rows with an end state */
	uint64_t items_copied, items_skipped, items_failed, items_held;
	uint64_t bytes_found, bytes_done;
	bool counted;       /* found is complete: every folder was scanned */
	double bytes_per_s; /* lately */
};

struct snapshot_totals {
	enum run_state state;
	unsigned round, jobs, working;
	uint64_t accounts, accounts_done, accounts_failed, accounts_open;
	uint64_t accounts_unknown; /* open, and not looked at yet: items_found lacks theirs */
	uint64_t items_found, items_done, items_copied, items_skipped, items_failed, items_held,
		items_vanished;
	uint64_t copied_now; /* in this run */
	uint64_t bytes_found, bytes_done, bytes_now;
	double bytes_per_s, items_per_s; /* lately */
	int64_t eta_s;                   /* -1: not known, or nothing moves */
	int64_t started;                 /* UTC */
	uint64_t elapsed_ms;
	uint64_t
		disk_ms; /* in which lines to targets lay idle for the ledger's disk, in this run */
	unsigned percent; /* 100 only when every account and row has its end; see forecast.h */
	int exit_code;    /* RUN_ENDED: as the process will say */
	char error[240];  /* of the run, or "" */
	char report[512]; /* path of report.txt once written, or "" */
};

/* A host, in the direction of the mail. What is not of compression is of both directions. */
struct snapshot_host {
	char host[128];
	unsigned port;
	bool source;          /* mail comes from it; else goes to it */
	unsigned connections; /* held now */
	unsigned level;       /* of them at a time, as the host can bear */
	unsigned ceiling;     /* the most, as the profile says */
	unsigned waiting;     /* mailboxes that wait for one */
	unsigned backoff_ms;  /* until the next login */
	double bytes_per_s;   /* lately */
	char lowered[32];     /* why its level was lowered last, or "" */
	char compression[24]; /* "", "tried", "better", "not better", "refused" */
	unsigned compressed_now;
	uint64_t begun, compressed; /* connections so far, and those of them that were compressed */
	uint64_t bytes, line_bytes; /* of the compressed ones: mail, and what it was on the line */
};

#define SNAPSHOT_HOSTS 16 /* more hosts than that are not shown */
#define SNAPSHOT_ROWS  256
struct snapshot {
	uint64_t revision; /* grows with every change */
	struct snapshot_totals totals;
	uint64_t first_row; /* index of rows[0] among all accounts, in user-list order */
	size_t row_count;
	struct snapshot_row rows[SNAPSHOT_ROWS];
	/* Those at work wherever they stand in the list, in its order; as far as there is room also
	 * those begun that pause or wait, and those that came to their end within the last seconds.
	 * None that has a worker is missing. */
	size_t work_count;
	struct snapshot_row work[SNAPSHOT_ROWS];
	size_t host_count;
	struct snapshot_host hosts[SNAPSHOT_HOSTS];
};

enum engine_event_kind {
	ENGINE_ANSWER, /* to a command: `id` is engine_send()'s; code ERR_NONE = done */
	ENGINE_NOTE,
	ENGINE_WARNING,
	ENGINE_ERROR,
	ENGINE_ACCOUNT, /* an account changed its state: text = the state's name */
	ENGINE_ENDED    /* the run is over; value = exit code */
};

struct event {
	uint64_t seq; /* 1, 2, 3 ...; a gap = events dropped */
	uint64_t id;  /* ENGINE_ANSWER */
	int64_t time; /* UTC */
	enum engine_event_kind kind;
	uint64_t account; /* 0 = of the run */
	enum err_code code;
	uint64_t value;
	char user[128], folder[128], text[240];
};

/* The two implementations. */
struct engine_ops {
	uint64_t (*send)(struct engine *engine, const struct command *command);
	void (*snapshot)(struct engine *engine, struct snapshot *snapshot_r);
	size_t (*events)(struct engine *engine, uint64_t after, struct event *out, size_t max);
	int (*wake_fd)(const struct engine *engine);
	bool (*alive)(const struct engine *engine);
	void (*close)(struct engine **engine);
};
struct engine {
	const struct engine_ops *ops;
};

/* Returns the id that the answer event will carry. */
uint64_t engine_send(struct engine *engine, const struct command *command);
/* The latest picture; struct snapshot is large: keep it on the heap. */
void engine_snapshot(struct engine *engine, struct snapshot *snapshot_r);
/* Events with seq > after, oldest first, at most max. What nobody fetched in time is dropped,
 * answers never. */
size_t engine_events(struct engine *engine, uint64_t after, struct event *out, size_t max);
/* Readable when either has news; reading it is engine_snapshot()'s and engine_events()'s business.
 */
int engine_wake_fd(const struct engine *engine);
/* False once the other side is gone (socket) or the engine ended and was joined (local). */
bool engine_alive(const struct engine *engine);
/* Lets go; a run goes on behind a socket; a local engine is stopped first. NULL is fine. */
void engine_close(struct engine **engine);

#endif
