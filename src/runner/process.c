/* process.c - what guards a process that holds passwords, and the thread that hears signals. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runner/process_private.h"
#include "runner/runner.h"
#include "base/banned.h"

struct listener {
	/* Fixed once started. */
	sigset_t signals, before;
	struct engine *engine;
	struct log *log;
	pthread_t thread;
};

void
runner_harden(void)
{
	struct rlimit none = { 0, 0 }, files;

	/* Each is a guard of its own; a kernel that refuses one is no reason not to work. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Two connections and some spool files for each of many mailboxes at a time. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

void
runner_soften(void)
{
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int
runner_exit_of(const struct err *err)
{
	switch (err->code) {
	case ERR_NONE:
		return RUNNER_DONE;
	case ERR_USAGE:
	case ERR_PROFILE:
		return RUNNER_USAGE;
	case ERR_CANCELLED:
		return RUNNER_STOPPED;
	default: /* of some 40 codes, only these say how a whole command ends */
		return RUNNER_CANNOT;
	}
}

static void *
listen_thread(void *context)
{
	struct listener *listener = context;
	struct command stop = { .kind = CMD_STOP };
	int number;

	for (;;) {
		if (sigwait(&listener->signals, &number) != 0)
			continue;
		switch (number) {
		case SIGINT:
		case SIGTERM:
			log_line(listener->log, LOG_INFO, NULL, NULL, "stopped by a signal (%d)",
				number);
			engine_send(listener->engine, &stop);
			break;
		case SIGQUIT:
			_exit(RUNNER_STOPPED);
		case SIGUSR1: /* of listener_stop() */
			return NULL;
		case SIGHUP: /* the terminal is gone; the run goes on */
			log_line(listener->log, LOG_INFO, NULL, NULL, "the terminal hung up");
			break;
		}
	}
}

struct listener *
listener_new(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 };
	struct listener *listener = xcalloc(1, sizeof *listener);

	sigemptyset(&listener->signals);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		sigaddset(&listener->signals, numbers[i]);
	/* Inherited by every thread that is started from here on. */
	pthread_sigmask(SIG_BLOCK, &listener->signals, &listener->before);
	return listener;
}

int
listener_start(struct listener *listener, struct engine *engine, struct log *log, struct err *err)
{
	int ret;

	listener->log = log;
	listener->engine = engine;
	ret = pthread_create(&listener->thread, NULL, listen_thread, listener);
	if (ret != 0) {
		listener->engine = NULL;
		return err_errno(err, ERR_STATE_DIR, ret, "no thread for signals");
	}
	return 0;
}

void
listener_stop(struct listener *listener)
{
	if (listener == NULL || listener->engine == NULL)
		return;
	pthread_kill(listener->thread, SIGUSR1);
	pthread_join(listener->thread, NULL);
	listener->engine = NULL;
}

void
listener_free(struct listener **listener)
{
	const struct timespec now = { 0, 0 };

	if (*listener == NULL)
		return;
	listener_stop(*listener);
	/* A second Ctrl-C that came during the last words has had what it asked for. */
	while (sigtimedwait(&(*listener)->signals, NULL, &now) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &(*listener)->before, NULL);
	free(*listener);
	*listener = NULL;
}
