/* check.c - `mailhaul check`: a verdict per mailbox before anything is moved. */
#include "cli/cli.h"
#include "base/banned.h"

static int
check(const struct args *args)
{
	struct profile *profile = NULL;
	int code = cli_load_profile(args->words[0], &profile);

	if (code == 0)
		code = cli_examine(profile, args, TASK_CHECK);
	profile_free(&profile);
	return code;
}

const struct subcommand cmd_check = {
	.name = "check",
	.usage = "PROFILE [--users FILE] [--only GLOB]... [--jobs N] [--folders]",
	.summary = "log in on both sides, a verdict per mailbox; nothing is written",
	.help = "  --folders  where each folder would land\n",
	.options = ARGS_USERS | ARGS_ONLY | ARGS_JOBS | ARGS_FOLDERS,
	.words_min = 1,
	.words_max = 1,
	.run = check,
};
