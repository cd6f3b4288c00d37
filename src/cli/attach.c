/* attach.c - following a run that another process does. */
#include <stdlib.h>
#include <string.h>

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
	if (ret < 0 && err->code == ERR_STATE_DIR && lock_is_held(lock, &owner)) {
		memset(err, 0, sizeof *err);
		err_set(err, ERR_LOCKED,
			"a run is starting or ending (process %ld) and does not listen; nothing "
			"was done, try again in a moment",
			owner.pid);
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

/* The run at work has its own; silence would look like consent. */
static void
say_ignored(const struct args *args)
{
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{ "--users", args->users != NULL },
		{ "--only", args->only_count != 0 },
		{ "--jobs", args->jobs != 0 },
		{ "--rebind", args->rebind_count != 0 },
	};
	const char *before = "ignored, since the run at work has its own: ";

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		if (!options[i].given)
			continue;
		printf("%s%s", before, options[i].name);
		before = ", ";
	}
	if (before[0] == ',')
		putchar('\n');
	if (args->jobs != 0) {
		fputs("its number of mailboxes at a time: mailhaul set ", stdout);
		cli_put(stdout, args->words[0]);
		printf(" jobs=%u\n", args->jobs);
	}
}

static int
follow(struct engine *engine, const struct profile *profile)
{
	struct snapshot *last = xcalloc(1, sizeof *last);
	int code = RUNNER_STOPPED;

	if (cli_follow(engine, profile->name, true, last)) {
		code = last->totals.exit_code;
		printf("%s\n", report_exit_text(code));
		if (last->totals.report[0] != '\0')
			printf("report: %s\n", last->totals.report);
	} else {
		fputs("mailhaul: the run is gone before its end; run it again to go on\n", stderr);
	}
	free(last);
	return code;
}

int
cli_attach(const struct profile *profile, const struct args *args)
{
	struct engine *engine = NULL;
	struct wire_hello hello;
	int code = cli_connect(profile, &engine, &hello);

	if (code != 0)
		return code;
	printf("%s is at work already (process %u on %s); this ", profile->name, hello.pid,
		hello.host);
	fputs(args->detach ? "starts nothing; follow it with: mailhaul run "
			   : "follows it and starts nothing; Ctrl-C leaves it at work, what stops "
			     "it is: mailhaul stop ",
		stdout);
	cli_put(stdout, args->words[0]);
	putchar('\n');
	say_ignored(args);
	fflush(stdout);
	if (!args->detach)
		code = follow(engine, profile);
	engine_close(&engine);
	return code;
}
