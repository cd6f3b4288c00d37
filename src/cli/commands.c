/* commands.c - the table of subcommands; a new one is one file and one line here. */
#include <string.h>

#include "cli/cli.h"
#include "base/banned.h"

const struct subcommand *const cli_commands[] = {
	&cmd_run,
	&cmd_check,
	&cmd_status,
	&cmd_stop,
	&cmd_pause,
	&cmd_resume,
	&cmd_skip,
	&cmd_set,
	&cmd_retry,
	&cmd_held,
	&cmd_report,
	&cmd_list,
	&cmd_profile,
	NULL,
};

const char *const cli_reserved[] = { "run", "check", "status", "stop", "pause", "resume", "skip",
	"set", "retry", "held", "report", "list", "profile", "help", "users", "verify", "undo",
	"4d2kms", NULL };

const struct subcommand *
cli_find(const char *name)
{
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		if (strcmp(cli_commands[i]->name, name) == 0)
			return cli_commands[i];
	}
	return NULL;
}
