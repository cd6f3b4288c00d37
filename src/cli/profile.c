/* profile.c - `mailhaul profile`: writes, checks and shows profiles. */
#include <string.h>

#include "cli/cli.h"
#include "base/banned.h"

static int
check(const struct args *args)
{
	struct profile *profile = NULL;
	struct users users = { 0 };
	int code = cli_load_profile(args->words[1], &profile);

	if (code != 0)
		return code;
	if (profile->users.file != NULL)
		code = cli_load_users(profile, NULL, &users);
	if (code == 0) {
		printf("%s: no faults, %zu users\n", profile->path, users.count);
	}
	users_clear(&users);
	profile_free(&profile);
	return code;
}

static const struct {
	const char *name;
	int (*run)(const struct args *args);
} actions[] = {
	{ "check", check },
};

static int
profile_command(const struct args *args)
{
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		if (strcmp(actions[i].name, args->words[0]) == 0)
			return actions[i].run(args);
	}
	return cli_usage("profile takes new, show, check or encrypt, not %s", args->words[0]);
}

const struct subcommand cmd_profile = {
	.name = "profile",
	.usage = "new|show|check|encrypt NAME",
	.summary = "write a sample profile, show one, check one with its user list",
	.help = "",
	.options = 0,
	.words_min = 2,
	.words_max = 2,
	.run = profile_command,
};
