/* engine_private.h - the engine in this process: accounts, workers, what screens may see. */
#ifndef ENGINE_ENGINE_PRIVATE_H
#define ENGINE_ENGINE_PRIVATE_H

#include "base/cancel.h"
#include "base/spool.h"
#include "engine/engine_local.h"
#include "net/pace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct care_list;
struct doubt;

enum control { CONTROL_GO, CONTROL_PAUSE, CONTROL_STOP, CONTROL_SKIP };

/* What a job tells of itself; a screen's row is made from it. */
struct progress {
	char folder[128];
	struct ledger_counts before; /* of the ledger when the job began */
	uint64_t found, bytes_found; /* estimate from STATUS until `counted` */
	bool looked;                 /* this run has made that estimate */
	bool counted;
	uint64_t done, copied, skipped, failed, held, vanished,
		bytes_done;             /* rows, before included */
	uint64_t copied_now, bytes_now; /* by this run */
	uint64_t copy_ms;               /* it was copied for, in this run */
	uint64_t disk_us;               /* a target's line lay idle for the ledger, in this run */
	unsigned failed_now;
};

#define LANES_MAX 8 /* pairs of connections of one account */
/* Bytes in flight to the targets that lie in memory: of all accounts at work, of one. */
#define LANES_MEMORY (18u << 20)
#define LANE_MEMORY  (17u << 19)

struct account {
	/* Fixed once engine_local_start() returns. */
	uint64_t id;
	const struct user *user;
	size_t index;
	/* Any thread. */
	atomic_int control; /* enum control */
	/* Shared: hold local->lock. */
	enum account_state state;
	struct err err;                       /* why it failed or waits */
	int64_t not_before;                   /* clock_ms() of the next attempt */
	unsigned tries;                       /* attempts in a row that brought nothing */
	bool again;                           /* a retry came while a worker had it */
	bool taken;                           /* a worker has it */
	bool quota_asked;                     /* in this run; its worker's */
	struct cancel *cancel[2 * LANES_MAX]; /* of its live sessions, or NULL */
	struct care_list *care;               /* the job's; see job.h */
	bool left_out_told;                   /* in this run; its worker's */
	atomic_bool one_lane;                 /* a further connection failed in this run */
	atomic_bool whole_folders; /* one that was divided had to be searched in this run */
	bool remarks;              /* of an attempt, that no later one would come to again */
	struct doubt *watched;     /* between attempts, the job's: see settle.c */
	struct progress progress;
	int64_t ended_ms;  /* clock_ms() of its last end; 0 = none */
	double rate_bytes; /* lately */
	uint64_t rate_last;
	struct check_account check;
};

#define EVENTS_KEPT  1024
#define ANSWERS_KEPT 256

struct local {
	struct engine base;
	/* Fixed. */
	struct engine_config config;
	struct spool_pool *pool;
	struct pace *pace;
	uint64_t run;
	unsigned round;
	struct account *accounts;
	size_t account_count;
	int wake_fd;
	pthread_t ticker;
	int64_t started_ms;
	int64_t started;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned jobs, workers, working;
	pthread_t *threads;
	size_t thread_count, thread_cap;
	atomic_bool stopping; /* written under the lock, read anywhere */
	bool ended, joined;
	int exit_code;
	struct err run_err; /* ends the run: ledger, disk */
	uint64_t revision;
	size_t first_row, row_count;
	double rate_bytes, rate_items;
	uint64_t rate_bytes_last, rate_items_last;
	char report[512];
	/* Events: a ring; answers in a list of their own. */
	struct event events[EVENTS_KEPT];
	uint64_t event_seq; /* of the newest */
	uint64_t next_command;
};

/* local.c */
void local_event(struct local *local, enum engine_event_kind kind, const struct account *account,
	const char *folder, enum err_code code, uint64_t id, uint64_t value, const char *text);
void local_state(struct local *local, struct account *account, enum account_state state,
	const struct err *err);
void local_fail_run(struct local *local, const struct err *err);
void local_wake(struct local *local);
bool local_stopping(struct local *local);
uint64_t local_share(struct local *local, uint64_t bytes); /* of one of the jobs at work */

/* snapshot.c */
void local_snapshot(struct engine *engine, struct snapshot *snapshot_r);
void local_rates(struct local *local, double seconds);

/* job.c */
void care_list_free(struct care_list **care);

/* settle.c */
void watched_free(struct doubt **watched);

/* check.c */
struct job;
void check_account_run(struct job *job);
void check_account_clear(struct check_account *check);

#endif
