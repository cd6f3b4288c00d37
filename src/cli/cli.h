/* cli.h - what the subcommands share. Only this folder writes to stdout and stderr. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/args.h"
#include "engine/engine_local.h"
#include "engine/ledger/ledger.h"
#include "profile/profile.h"
#include "runner/runner.h"
#include "runner/wire.h"
#include "users/users.h"

#include <stdio.h>

/* One per subcommand; commands.c has the table. */
struct subcommand {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line */
	const char *help;    /* more lines, or "" */
	unsigned options;    /* enum args_option */
	size_t words_min, words_max;
	int (*run)(const struct args *args); /* returns the exit code */
};

extern const struct subcommand cmd_run, cmd_check, cmd_status, cmd_stop, cmd_pause, cmd_resume,
	cmd_skip, cmd_set, cmd_retry, cmd_held, cmd_report, cmd_list, cmd_profile;

extern const struct subcommand *const cli_commands[]; /* NULL at the end */
const struct subcommand *cli_find(const char *name);  /* NULL: no such */
/* Names that are commands, or will be, and so no profiles; NULL at the end. */
extern const char *const cli_reserved[];

/* Prints "mailhaul: TEXT" to stderr; the exit code that goes with it. */
int cli_fail(const struct err *err);
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* True when nobody reads standard output any more: `report | head`. */
bool cli_reader_left(void);
/* Writes what standard output still holds. A result that could not be printed is no result: that is
 * said, and the code is not 0 then. */
int cli_flush(int code);
/* Text of others to a stream, made safe for a terminal. NULL prints nothing. */
void cli_put(FILE *out, const char *text);

/* Each prints its own errors, all of them, and returns 0 or the exit code. */
int cli_load_profile(const char *name, struct profile **profile_r);
int cli_check_secrets(const struct profile *profile);
int cli_load_users(const struct profile *profile, const char *file, struct users *users_r);
/* A glob of --only that matches nobody is a mistake, not a run without mailboxes. */
int cli_check_only(const struct args *args, const struct users *users);
/* The admin passwords of both sides; asks on the terminal where the profile says so. */
int cli_secrets(const struct profile *profile, struct secret **source_r, struct secret **target_r);
int cli_open_ledger(const struct profile *profile, struct ledger **ledger_r);

/* The context of cli_ask(): a passphrase is kept for the next question; may be NULL. */
struct asker {
	struct secret *passphrase;
};
/* Asks on /dev/tty without echo; the terminal is put back on every way out. See profile_ask. */
int cli_ask(void *context, const char *what, struct secret **secret_r, struct err *err);

/* Shows the engine at work until its run has ended or it is gone: an updating block on a terminal,
 * lines elsewhere. remote: behind a socket; waits for the report's path too. *last_r gets the last
 * picture. False if the engine went away before the end of its run. */
bool cli_follow(struct engine *engine, const char *profile, bool remote, struct snapshot *last_r);

/* The runner at work on the profile; waits for one that is just starting. -1: ERR_STATE_DIR, there
 * is none (any more); ERR_LOCKED, it is starting or ending and does not listen; others as
 * engine_client_open(). */
int cli_try_connect(const struct profile *profile, struct engine **engine_r,
	struct wire_hello *hello_r, struct err *err);
/* Connects to the run at work, waiting a moment for one that is just starting; prints its error. */
int cli_connect(
	const struct profile *profile, struct engine **engine_r, struct wire_hello *hello_r);
/* Sends and waits for the answer, which it prints; the exit code. The second: once per --only. */
int cli_command(struct engine *engine, const struct command *command);
int cli_command_only(struct engine *engine, struct command *command, const struct args *args);
/* Says that a run is at work and which options are not for it; follows it to its end, but for
 * --detach. */
int cli_attach(const struct profile *profile, const struct args *args);
/* A line for each way in which a side's connection is weaker than the default. */
void cli_weaknesses(const struct profile *profile);

/* Of the rows in snapshot.work: not one that has just come to its end. */
bool cli_at_work(const struct snapshot_row *row);
/* The line of totals, as progress shows it. */
void cli_totals(const struct snapshot_totals *totals, struct str *line);

/* What TASK_DRY and TASK_CHECK found, for people. */
int cli_examine(const struct profile *profile, const struct args *args, enum engine_task task);

#endif
