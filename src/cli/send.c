/* send.c - `mailhaul stop`, `pause`, `resume`, `skip` and `set`: commands to a run at work. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "base/banned.h"

#define ANSWER_MS      30000
#define EVENTS_AT_ONCE 64

/* Waits for the answer that carries the id. False when none came. */
static bool
await_answer(struct engine *engine, uint64_t id, struct event *answer_r)
{
	struct event *events = xcalloc(EVENTS_AT_ONCE, sizeof *events);
	struct pollfd wait = { .fd = engine_wake_fd(engine), .events = POLLIN };
	int64_t until = clock_ms() + ANSWER_MS;
	uint64_t after = 0;
	bool found = false, alive = true;

	while (!found && alive && clock_ms() < until) {
		size_t count;

		alive = engine_alive(engine);
		count = engine_events(engine, after, events, EVENTS_AT_ONCE);
		for (size_t i = 0; i < count && !found; i++) {
			after = events[i].seq;
			found = events[i].kind == ENGINE_ANSWER && events[i].id == id;
			if (found)
				*answer_r = events[i];
		}
		/* The clock bounds this too: pictures wake it as well, and nobody looks at them. */
		if (!found && alive && count == 0)
			poll(&wait, 1, 100);
	}
	free(events);
	return found;
}

int
cli_command(struct engine *engine, const struct command *command)
{
	struct event answer;
	struct err err = { 0 };

	if (!await_answer(engine, engine_send(engine, command), &answer)) {
		fputs("mailhaul: the run did not answer\n", stderr);
		return RUNNER_CANNOT;
	}
	if (answer.code == ERR_NONE) {
		if (answer.text[0] != '\0')
			printf("%s\n", answer.text);
		return RUNNER_DONE;
	}
	err_set(&err, answer.code, "%s",
		answer.text[0] == '\0' ? err_name(answer.code) : answer.text);
	return cli_fail(&err);
}

/* The same command for each glob, or once for all accounts. */
int
cli_command_only(struct engine *engine, struct command *command, const struct args *args)
{
	int code = RUNNER_DONE;

	if (args->only_count == 0)
		return cli_command(engine, command);
	for (size_t i = 0; i < args->only_count && code == RUNNER_DONE; i++) {
		if (strlen(args->only[i]) >= sizeof command->glob)
			return cli_usage(
				"--only takes %zu bytes at most", sizeof command->glob - 1);
		text_safe(command->glob, sizeof command->glob, args->only[i]);
		code = cli_command(engine, command);
	}
	return code;
}

static int
send_to_run(const struct args *args, struct command *command, const char *done)
{
	struct profile *profile = NULL;
	struct engine *engine = NULL;
	int code = cli_load_profile(args->words[0], &profile);

	if (code != 0)
		return code;
	code = cli_connect(profile, &engine, NULL);
	if (code == 0)
		code = cli_command_only(engine, command, args);
	if (code == 0)
		printf("%s: %s\n", profile->name, done);
	engine_close(&engine);
	profile_free(&profile);
	return code;
}

static int
stop(const struct args *args)
{
	struct command command = { .kind = CMD_STOP };

	return send_to_run(args, &command,
		"stopping; what is on its way is ended first, run it again to go on");
}

static int
pause_run(const struct args *args)
{
	struct command command = { .kind = CMD_PAUSE };

	return send_to_run(args, &command, "pausing");
}

static int
resume(const struct args *args)
{
	struct command command = { .kind = CMD_RESUME };

	return send_to_run(args, &command, "going on");
}

static int
skip(const struct args *args)
{
	struct command command = { .kind = CMD_SKIP };

	if (args->only_count == 0)
		return cli_usage("skip needs --only GLOB: which mailboxes shall be left out");
	return send_to_run(args, &command, "skipped");
}

static int
set(const struct args *args)
{
	struct command command = { .kind = CMD_JOBS };
	const char *word = args->words[1];
	unsigned jobs;

	if (strncmp(word, "jobs=", 5) != 0)
		return cli_usage("set takes jobs=N, not %s", word);
	if (text_u32(word + 5, strlen(word + 5), &jobs) < 0 || jobs == 0 || jobs > PROFILE_JOBS_MAX)
		return cli_usage(
			"jobs takes a number from 1 to %d, not %s", PROFILE_JOBS_MAX, word + 5);
	command.value = jobs;
	return send_to_run(args, &command, "set");
}

const struct subcommand cmd_stop = {
	.name = "stop",
	.usage = "PROFILE [--only GLOB]...",
	.summary = "end the run, or some mailboxes of it; what is on its way is ended first",
	.help = "",
	.options = ARGS_ONLY,
	.words_min = 1,
	.words_max = 1,
	.run = stop,
};

const struct subcommand cmd_pause = {
	.name = "pause",
	.usage = "PROFILE [--only GLOB]...",
	.summary = "let mailboxes wait after the batch in flight",
	.help = "",
	.options = ARGS_ONLY,
	.words_min = 1,
	.words_max = 1,
	.run = pause_run,
};

const struct subcommand cmd_resume = {
	.name = "resume",
	.usage = "PROFILE [--only GLOB]...",
	.summary = "go on with paused mailboxes",
	.help = "",
	.options = ARGS_ONLY,
	.words_min = 1,
	.words_max = 1,
	.run = resume,
};

const struct subcommand cmd_skip = {
	.name = "skip",
	.usage = "PROFILE --only GLOB...",
	.summary = "leave mailboxes out of this run",
	.help = "",
	.options = ARGS_ONLY,
	.words_min = 1,
	.words_max = 1,
	.run = skip,
};

const struct subcommand cmd_set = {
	.name = "set",
	.usage = "PROFILE jobs=N",
	.summary = "mailboxes at a time, from now on",
	.help = "",
	.options = 0,
	.words_min = 2,
	.words_max = 2,
	.run = set,
};
