/* run.c - `mailhaul run`: starts a run here, or in a process of its own, or follows the one that
 * is at work already.
 *
 * The lock comes first: who does not get it asks for no password and reads no list. Passwords are
 * resolved before the fork of --detach, so that they travel in memory and nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "report/report.h"
#include "base/banned.h"

/* All a run needs; filled before anything starts. */
struct start {
	struct profile *profile;
	struct users users;
	struct secret *source_admin, *target_admin;
	struct lock *lock;
	const struct args *args;
};

/* What the detached process tells the one that started it. */
struct hello {
	int code;       /* 0: it is at work */
	char text[512]; /* the error, or the run's directory */
};

static void
start_clear(struct start *start)
{
	lock_release(&start->lock);
	secret_unref(&start->source_admin);
	secret_unref(&start->target_admin);
	users_clear(&start->users);
	profile_free(&start->profile);
}

static int
begin(struct start *start, struct runner **runner_r, struct err *err)
{
	struct runner_config config = {
		.profile = start->profile,
		.users = &start->users,
		.source_admin = start->source_admin,
		.target_admin = start->target_admin,
		.only = start->args->only,
		.only_count = start->args->only_count,
		.jobs = start->args->jobs,
		.rebind = start->args->rebind,
		.rebind_count = start->args->rebind_count,
	};

	return runner_start(&config, &start->lock, runner_r, err);
}

/* Waits for the end of the run and says where the report lies. */
static int
finish(struct runner **runner)
{
	struct err err = { 0 };
	char *report = NULL;
	int code = runner_finish(runner, &report, &err);

	if (err.code != ERR_NONE)
		cli_fail(&err);
	printf("%s\n", report_exit_text(code));
	if (report != NULL) {
		fputs("report: ", stdout);
		cli_put(stdout, report);
		putchar('\n');
	}
	free(report);
	return code;
}

static int
run_here(struct start *start)
{
	struct runner *runner = NULL;
	struct snapshot *last;
	struct err err = { 0 };

	if (begin(start, &runner, &err) < 0)
		return cli_fail(&err);
	last = xcalloc(1, sizeof *last);
	cli_follow(runner_engine(runner), start->profile->name, false, last);
	free(last);
	return finish(&runner);
}

/* Nothing of the terminal is left to the run. */
static void
leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

static void
say_hello(int fd, const struct hello *hello)
{
	/* Nobody there any more: the run does not mind. */
	if (write(fd, hello, sizeof *hello) != (ssize_t)sizeof *hello)
		return;
}

static int
run_detached(struct start *start, int tell)
{
	struct hello hello = { 0 };
	struct runner *runner = NULL;
	struct err err = { 0 };

	leave_terminal();
	if (begin(start, &runner, &err) < 0) {
		hello.code = runner_exit_of(&err);
		text_safe(hello.text, sizeof hello.text, err.text);
		say_hello(tell, &hello);
		close(tell);
		return hello.code;
	}
	text_safe(hello.text, sizeof hello.text, runner_directory(runner));
	say_hello(tell, &hello);
	close(tell);
	return finish(&runner);
}

static int
hear_hello(const struct start *start, int fd, pid_t child)
{
	struct hello hello = { 0 };
	char *at = (char *)&hello;
	size_t got = 0;

	while (got < sizeof hello) {
		ssize_t part = read(fd, at + got, sizeof hello - got);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			break;
		got += (size_t)part;
	}
	if (got < sizeof hello) {
		fputs("mailhaul: the run ended before it had started\n", stderr);
		return RUNNER_CANNOT;
	}
	hello.text[sizeof hello.text - 1] = '\0';
	if (hello.code != 0) {
		fprintf(stderr, "mailhaul: %s\n", hello.text);
		return hello.code;
	}
	printf("%s: at work (process %ld), log and report in %s\nfollow it with: mailhaul run ",
		start->profile->name, (long)child, hello.text);
	cli_put(stdout, start->args->words[0]);
	fputs("; stop it with: mailhaul stop ", stdout);
	cli_put(stdout, start->args->words[0]);
	putchar('\n');
	return RUNNER_DONE;
}

static int
detach(struct start *start)
{
	int tell[2], code;
	pid_t child;

	if (pipe2(tell, O_CLOEXEC) < 0) {
		perror("mailhaul: pipe");
		return RUNNER_CANNOT;
	}
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(tell[0]);
		return run_detached(start, tell[1]);
	}
	close(tell[1]);
	if (child < 0) {
		perror("mailhaul: fork");
		close(tell[0]);
		return RUNNER_CANNOT;
	}
	/* The child has the lock now; ours must not outlive it. */
	lock_release(&start->lock);
	code = hear_hello(start, tell[0], child);
	close(tell[0]);
	return code;
}

/* --rebind names what the profile or the list has now, so that nobody rebinds by habit. */
static int
check_rebind(const struct start *start)
{
	const struct profile *profile = start->profile;

	for (size_t i = 0; i < start->args->rebind_count; i++) {
		const char *name = start->args->rebind[i];
		bool known = text_ieq(name, profile->source.host) ||
			     text_ieq(name, profile->target.host);

		for (size_t k = 0; !known && k < start->users.count; k++)
			known = strcmp(name, start->users.rows[k].user) == 0;
		if (!known)
			return cli_usage("--rebind takes the new host's name, %s or %s, or a user "
					 "of the list, not %s",
				profile->source.host, profile->target.host, name);
	}
	return 0;
}

static int
start_run(struct start *start)
{
	struct err err = { 0 };
	int code;

	if (runner_lock(start->profile, &start->lock, &err) < 0) {
		if (err.code == ERR_LOCKED)
			return cli_attach(start->profile, start->args);
		return cli_fail(&err);
	}
	code = cli_load_users(start->profile, start->args->users, &start->users);
	if (code == 0)
		code = cli_check_only(start->args, &start->users);
	if (code == 0)
		code = check_rebind(start);
	if (code == 0)
		code = cli_secrets(start->profile, &start->source_admin, &start->target_admin);
	if (code != 0)
		return code;
	cli_weaknesses(start->profile);
	return start->args->detach ? detach(start) : run_here(start);
}

static int
run(const struct args *args)
{
	struct start start = { .args = args };
	int code = cli_load_profile(args->words[0], &start.profile);

	if (code != 0)
		return code;
	if (args->dry_run)
		code = cli_examine(start.profile, args, TASK_DRY);
	else
		code = start_run(&start);
	start_clear(&start);
	return code;
}

const struct subcommand cmd_run = {
	.name = "run",
	.usage = "PROFILE [--users FILE] [--only GLOB]... [--dry-run] [--detach] [--jobs N] "
		 "[--rebind NAME]...",
	.summary = "move the mail; go on where the last run ended",
	.help = "  --users FILE  this user list instead of the profile's\n"
		"  --only GLOB   only source users that match, such as 'a*@acme.example'\n"
		"  --dry-run     log in, map the folders and count; nothing is written\n"
		"  --detach      run in a process of its own; this one returns once it works\n"
		"  --jobs N      mailboxes at a time\n"
		"  --rebind NAME the ledger is to go with this new host of the profile, or with\n"
		"                what the list now says of this source user\n"
		"When a run is at work already, it is followed and nothing is started; with\n"
		"--detach that is said, and no more. Ctrl-C stops a run that was started here, in\n"
		"order, and leaves one at work that is only followed.\n",
	.options = ARGS_USERS | ARGS_ONLY | ARGS_DRY_RUN | ARGS_DETACH | ARGS_JOBS | ARGS_REBIND,
	.words_min = 1,
	.words_max = 1,
	.run = run,
};
