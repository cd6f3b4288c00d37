/* attach.c - following a run that another process does. */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "report/report.h"
#include "runner/client.h"
#include "base/banned.h"

#define STARTING_MS 3000 /* between a runner's lock and its socket */
#define RETRY_MS    100

int
cli_try_connect(const struct profile *profile, struct engine **engine_r, struct wire_hello *hello_r,
	struct err *err)
{
	char *lock = runner_lock_path(profile);
	int64_t until = clock_ms() + STARTING_MS;
	struct lock_owner owner;
	int ret;

	while ((ret = engine_client_open(profile->state_dir, engine_r, hello_r, err)) < 0) {
		/* A runner that has the lock and no socket is starting or ending. */
		if (err->code != ERR_STATE_DIR || !lock_is_held(lock, &owner) ||
			clock_ms() >= until)
			break;
		clock_sleep_ms(RETRY_MS);
	}
	free(lock);
	return ret;
}

int
cli_connect(const struct profile *profile, struct engine **engine_r, struct wire_hello *hello_r)
{
	struct err err = { 0 };

	return cli_try_connect(profile, engine_r, hello_r, &err) < 0 ? cli_fail(&err) : RUNNER_DONE;
}

int
cli_attach(const struct profile *profile)
{
	struct engine *engine = NULL;
	struct wire_hello hello;
	struct snapshot *last;
	int code = cli_connect(profile, &engine, &hello);

	if (code != 0)
		return code;
	printf("%s is at work already (process %u on %s); this follows it and starts nothing\n",
		profile->name, hello.pid, hello.host);
	fflush(stdout);
	last = xcalloc(1, sizeof *last);
	if (cli_follow(engine, profile->name, true, last)) {
		code = last->totals.exit_code;
		printf("%s\n", report_exit_text(code));
		if (last->totals.report[0] != '\0')
			printf("report: %s\n", last->totals.report);
	} else {
		fputs("mailhaul: the run is gone before its end; run it again to go on\n", stderr);
		code = RUNNER_STOPPED;
	}
	free(last);
	engine_close(&engine);
	return code;
}
