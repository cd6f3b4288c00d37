/* runner.c - one run from its directories to its report.
 *
 * The order matters: nothing is written before the lock is held, no thread is started before the
 * signals are blocked, and the ledger is closed after the last thread that could write into it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "report/report.h"
#include "runner/control.h"
#include "runner/process_private.h"
#include "runner/runner.h"
#include "base/banned.h"

#define SAME_SECOND_MAX 100 /* run directories of one second */

struct runner {
	const struct profile *profile;
	struct lock *lock;
	char *directory, *report;
	struct log *log;
	struct ledger *ledger;
	struct report_draft *draft;
	struct listener *listener;
	struct engine *engine;
	struct wire_hello hello;
	struct control *control;
};

/* "logs/11212026_094107"; a second run within one second gets "_2". */
static int
make_run_directory(const struct profile *profile, char **path_r, struct err *err)
{
	char *logs = profile->run.log_dir != NULL ? xstrdup(profile->run.log_dir)
						  : path_join(profile->state_dir, "logs");
	char stamp[24], *path = NULL;
	int ret = file_mkdirs(logs, err);

	clock_stamp(stamp, sizeof stamp, clock_now());
	for (unsigned n = 1; ret == 0 && n <= SAME_SECOND_MAX; n++) {
		free(path);
		path = n == 1 ? xasprintf("%s/%s", logs, stamp)
			      : xasprintf("%s/%s_%u", logs, stamp, n);
		if (mkdir(path, 0700) == 0)
			break;
		if (errno != EEXIST || n == SAME_SECOND_MAX)
			ret = err_errno(
				err, ERR_STATE_DIR, errno, "cannot make the directory %s", path);
	}
	free(logs);
	if (ret < 0)
		free(path);
	else
		*path_r = path;
	return ret;
}

static int
open_log(struct runner *runner, struct err *err)
{
	char *path = path_join(runner->directory, "debug.log");
	int ret = 0;

	if (log_open(path, (enum log_level)runner->profile->run.log_level, &runner->log) < 0)
		ret = err_errno(err, ERR_STATE_DIR, errno, "cannot open %s", path);
	free(path);
	return ret;
}

static int
start_engine(struct runner *runner, const struct runner_config *config, struct err *err)
{
	struct engine_config engine = {
		.profile = config->profile,
		.users = config->users,
		.source_admin = config->source_admin,
		.target_admin = config->target_admin,
		.ledger = runner->ledger,
		.log = runner->log,
		.state_dir = config->profile->state_dir,
		.task = TASK_RUN,
		.only = config->only,
		.only_count = config->only_count,
		.rebind = config->rebind,
		.rebind_count = config->rebind_count,
		.jobs = config->jobs,
	};

	if (engine_local_start(&engine, &runner->engine, err) < 0)
		return -1;
	return listener_start(runner->listener, runner->engine, runner->log, err);
}

static int
start_control(struct runner *runner, struct err *err)
{
	struct wire_hello *hello = &runner->hello;
	char *state_path = runner_state_path(runner->profile);
	struct control_config config = {
		.engine = runner->engine,
		.state_dir = runner->profile->state_dir,
		.state_path = state_path,
		.hello = hello,
		.log = runner->log,
	};
	int ret;

	hello->version = WIRE_VERSION;
	hello->pid = (unsigned)getpid();
	if (gethostname(hello->host, sizeof hello->host - 1) < 0)
		hello->host[0] = '\0';
	text_safe(hello->profile, sizeof hello->profile, runner->profile->name);
	text_safe(hello->directory, sizeof hello->directory, runner->directory);
	ret = control_start(&config, &runner->control, err);
	free(state_path);
	return ret;
}

static void
runner_free(struct runner **runner_p)
{
	struct runner *runner = *runner_p;

	control_stop(&runner->control);
	listener_stop(runner->listener);
	engine_close(&runner->engine);
	report_draft_drop(&runner->draft);
	ledger_close(&runner->ledger, NULL);
	log_close(&runner->log);
	listener_free(&runner->listener);
	lock_release(&runner->lock);
	free(runner->directory);
	free(runner->report);
	free(runner);
	*runner_p = NULL;
}

int
runner_start(const struct runner_config *config, struct lock **lock, struct runner **runner_r,
	struct err *err)
{
	struct runner *runner = xcalloc(1, sizeof *runner);

	runner->profile = config->profile;
	runner->lock = *lock;
	*lock = NULL;
	lock_sign(runner->lock);
	/* Before the first thread, which is the ledger's: each inherits the blocked signals. */
	runner->listener = listener_new();
	if (runner_ledger(config->profile, LEDGER_WRITE, config->rebind, config->rebind_count,
		    &runner->ledger, err) < 0 ||
		make_run_directory(config->profile, &runner->directory, err) < 0 ||
		open_log(runner, err) < 0 || start_engine(runner, config, err) < 0 ||
		start_control(runner, err) < 0) {
		runner_free(&runner);
		return -1;
	}
	runner->draft = report_draft_begin(runner->ledger, runner->directory);
	log_line(runner->log, LOG_INFO, NULL, NULL, "profile %s: %s:%u to %s:%u, %zu users",
		config->profile->name, config->profile->source.host, config->profile->source.port,
		config->profile->target.host, config->profile->target.port, config->users->count);
	*runner_r = runner;
	return 0;
}

struct engine *
runner_engine(struct runner *runner)
{
	return runner->engine;
}

const char *
runner_directory(const struct runner *runner)
{
	return runner->directory;
}

/* 0, or -1 with *err: the run is over and durable all the same. */
static int
write_report(
	struct runner *runner, int exit_code, const struct snapshot_totals *totals, struct err *err)
{
	struct report_source source = {
		.ledger = runner->ledger,
		.profile = runner->profile,
		.directory = runner->directory,
		.exit_code = exit_code,
		.error = totals->error,
		.copied_now = totals->copied_now,
		.bytes_now = totals->bytes_now,
		.elapsed_ms = totals->elapsed_ms,
		.now = clock_now(),
	};

	if (ledger_flush(runner->ledger, err) < 0)
		return -1;
	return report_write(&source, runner->directory, &runner->draft, &runner->report, err);
}

int
runner_finish(struct runner **runner_p, char **report_r, struct err *err)
{
	struct runner *runner = *runner_p;
	struct snapshot *last = xcalloc(1, sizeof *last);
	struct err close_err = { 0 };
	int code = engine_local_join(runner->engine);

	engine_snapshot(runner->engine, last);
	if (last->totals.error[0] != '\0')
		err_set(err, ERR_STATE_DIR, "%s", last->totals.error);
	if (write_report(runner, code, &last->totals, &close_err) < 0) {
		log_line(runner->log, LOG_ERROR, NULL, NULL, "report: %s", close_err.text);
		if (code != RUNNER_CANNOT && err != NULL)
			*err = close_err;
		code = RUNNER_CANNOT;
	}
	if (runner->report != NULL)
		engine_local_report(runner->engine, runner->report);
	*report_r = runner->report;
	runner->report = NULL;
	control_stop(&runner->control); /* the last words reach who listens */
	listener_stop(runner->listener);
	engine_close(&runner->engine);
	report_draft_drop(&runner->draft); /* where no report was written */
	if (ledger_close(&runner->ledger, &close_err) < 0 && code != RUNNER_CANNOT) {
		if (err != NULL)
			*err = close_err;
		code = RUNNER_CANNOT;
	}
	free(last);
	runner_free(runner_p);
	return code;
}
