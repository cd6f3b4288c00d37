/* runner.h - the process around the engine: lock, directories, ledger, signals, report. */
#ifndef RUNNER_RUNNER_H
#define RUNNER_RUNNER_H

#include "base/err.h"
#include "engine/engine_local.h"
#include "runner/lock.h"

#include <stdbool.h>

/* What the exit codes of DESIGN section 8 are called in code. */
enum runner_exit {
	RUNNER_DONE = 0,
	RUNNER_USAGE = 1,
	RUNNER_ITEMS = 2,
	RUNNER_ACCOUNTS = 3,
	RUNNER_STOPPED = 4,
	RUNNER_CANNOT = 5
};
/* The exit code of a command that ended with this error before or beside a run. */
int runner_exit_of(const struct err *err);

/* Files of a profile; allocated. Nothing is made. */
char *runner_ledger_path(const struct profile *profile);
char *runner_lock_path(const struct profile *profile);
char *runner_state_path(const struct profile *profile); /* state.json */

/* Guards secrets: no core files, no ptrace by others of the same user; SIGPIPE ignored. Called
 * once, at the start of main(). */
void runner_harden(void);
/* Undone before the end, when all secrets are gone, so that leak checkers can look. */
void runner_soften(void);

/* Makes the state directory (0700) and takes the profile's lock. ERR_LOCKED, ERR_STATE_DIR. */
int runner_lock(const struct profile *profile, struct lock **lock_r, struct err *err);

/* Opens the ledger; the binding comes from the profile, rebind as in struct ledger_binding.
 * LEDGER_READ: ERR_STATE_DIR where there is none yet. */
int runner_ledger(const struct profile *profile, enum ledger_mode mode, const char *const *rebind,
	size_t rebind_count, struct ledger **ledger_r, struct err *err);

/* All borrowed until runner_finish(), but the lock, which is taken. */
struct runner_config {
	const struct profile *profile;
	const struct users *users;
	struct secret *source_admin, *target_admin; /* NULL where none */
	const char *const *only;
	size_t only_count;
	unsigned jobs;             /* 0: the profile's */
	const char *const *rebind; /* new hosts and users that are those of the ledger */
	size_t rebind_count;
};

struct runner;

/* Starts a run and returns while it works. From here on the calling thread has SIGINT, SIGTERM,
 * SIGHUP and SIGQUIT blocked, and one thread waits for them: the first two stop the run as
 * CMD_STOP does, however often they come; a hang-up does nothing, since the run outlives its
 * terminal; SIGQUIT ends the process at once, as a crash would. */
int runner_start(const struct runner_config *config, struct lock **lock, struct runner **runner_r,
	struct err *err);
struct engine *runner_engine(struct runner *runner);
const char *runner_directory(const struct runner *runner); /* of this run's log and reports */
/* Waits for the end of the run, writes the reports, closes everything. The exit code; *report_r:
 * path of report.txt, to be freed, or NULL. -1 does not occur; *err is set where the code is
 * RUNNER_CANNOT. */
int runner_finish(struct runner **runner, char **report_r, struct err *err);

#endif
