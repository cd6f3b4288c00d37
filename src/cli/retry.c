/* retry.c - `mailhaul retry` and `mailhaul held`: what the admin decides about single items. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "runner/client.h"
#include "base/banned.h"

typedef int change_fn(struct ledger *ledger, const char *glob, unsigned value,
	struct ledger_changes *changes_r, struct err *err);

/* Calls fn for each glob, or once with NULL, and adds up the rows it changed. */
static int
for_globs(struct ledger *ledger, const struct args *args, unsigned value, change_fn *fn,
	struct ledger_changes *total_r, struct err *err)
{
	size_t count = args->only_count == 0 ? 1 : args->only_count;
	struct ledger_changes changed = { 0 };

	memset(total_r, 0, sizeof *total_r);
	for (size_t i = 0; i < count; i++) {
		if (fn(ledger, args->only_count == 0 ? NULL : args->only[i], value, &changed, err) <
			0)
			return -1;
		total_r->items += changed.items;
		total_r->accounts += changed.accounts;
	}
	return 0;
}

/* Changes the ledger while no run is at work: under the profile's lock. Takes the lock. */
static int
change_ledger(const struct profile *profile, const struct args *args, struct lock **lock,
	unsigned value, change_fn *fn, const char *what)
{
	struct ledger *ledger = NULL;
	struct err err = { 0 };
	struct ledger_changes changed = { 0 };
	int ret = runner_ledger(profile, LEDGER_READ, NULL, 0, &ledger, &err);

	/* Looked at first, so that a profile that never ran gets no ledger by this. */
	ledger_close(&ledger, NULL);
	if (ret == 0)
		ret = runner_ledger(profile, LEDGER_WRITE, NULL, 0, &ledger, &err);
	if (ret == 0)
		ret = for_globs(ledger, args, value, fn, &changed, &err);
	if (ledger_close(&ledger, ret == 0 ? &err : NULL) < 0)
		ret = -1;
	lock_release(lock);
	if (ret < 0)
		return cli_fail(&err);
	printf("%s: %" PRIu64 " items", profile->name, changed.items);
	if (fn == ledger_retry)
		printf(" and %" PRIu64 " accounts", changed.accounts);
	printf(" %s\n", what);
	return RUNNER_DONE;
}

static int
send_retry(const struct profile *profile, const struct args *args, unsigned reason)
{
	struct command command = { .kind = CMD_RETRY, .reason = reason };
	struct engine *engine = NULL;
	int code = cli_connect(profile, &engine, NULL);

	if (code == 0)
		code = cli_command_only(engine, &command, args);
	engine_close(&engine);
	return code;
}

static int
retry(const struct args *args)
{
	struct profile *profile = NULL;
	struct lock *lock = NULL;
	struct err err = { 0 };
	int reason = 0, code;

	if (args->reason != NULL)
		reason = reason_by_name(args->reason);
	if (reason < 0)
		return cli_usage("there is no reason %s; the report names them", args->reason);
	code = cli_load_profile(args->words[0], &profile);
	if (code != 0)
		return code;
	if (runner_lock(profile, &lock, &err) == 0)
		code = change_ledger(profile, args, &lock, (unsigned)reason, ledger_retry,
			"will be tried again by the next run");
	else if (err.code == ERR_LOCKED)
		code = send_retry(profile, args, (unsigned)reason);
	else
		code = cli_fail(&err);
	profile_free(&profile);
	return code;
}

static int
resolve(struct ledger *ledger, const char *glob, unsigned value, struct ledger_changes *changes_r,
	struct err *err)
{
	return ledger_resolve_held(ledger, glob, (enum item_state)value, changes_r, err);
}

static int
held(const struct args *args)
{
	static const struct {
		const char *name, *what;
		unsigned state;
	} ways[] = {
		{ "landed", "are taken for landed", ITEM_LANDED },
		{ "send", "will be sent by the next run", 0 },
		{ "skip", "are skipped", ITEM_SKIPPED },
	};
	struct profile *profile = NULL;
	struct lock *lock = NULL;
	struct err err = { 0 };
	size_t way = 0;
	int code;

	if (args->as == NULL || args->only_count == 0)
		return cli_usage("usage: mailhaul held %s", cmd_held.usage);
	while (way < sizeof ways / sizeof ways[0] && strcmp(ways[way].name, args->as) != 0)
		way++;
	if (way == sizeof ways / sizeof ways[0])
		return cli_usage("--as takes landed, send or skip, not %s", args->as);
	code = cli_load_profile(args->words[0], &profile);
	if (code != 0)
		return code;
	if (runner_lock(profile, &lock, &err) == 0) {
		code = change_ledger(
			profile, args, &lock, ways[way].state, resolve, ways[way].what);
	} else {
		code = cli_fail(&err);
		if (err.code == ERR_LOCKED)
			fputs("mailhaul: held items are resolved between runs; stop it first\n",
				stderr);
	}
	profile_free(&profile);
	return code;
}

const struct subcommand cmd_retry = {
	.name = "retry",
	.usage = "PROFILE [--only GLOB]... [--reason CODE]",
	.summary = "try failed items and accounts again, in the run at work or in the next one",
	.help = "  --reason CODE  only those that failed for this reason, such as quota\n",
	.options = ARGS_ONLY | ARGS_REASON,
	.words_min = 1,
	.words_max = 1,
	.run = retry,
};

const struct subcommand cmd_held = {
	.name = "held",
	.usage = "PROFILE --as landed|send|skip --only GLOB...",
	.summary = "say what became of items that may be on the target or not",
	.help = "  landed  they are there\n"
		"  send    they are not: the next run sends them\n"
		"  skip    leave them\n"
		"See them with: mailhaul list PROFILE held\n",
	.options = ARGS_ONLY | ARGS_AS,
	.words_min = 1,
	.words_max = 1,
	.run = held,
};
