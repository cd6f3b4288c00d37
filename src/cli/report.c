/* report.c - `mailhaul report`: the report as of now, from the ledger. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "report/report.h"
#include "base/banned.h"

static const struct {
	const char *name;
	int (*write)(const struct report_source *source, FILE *out, struct err *err);
} formats[] = {
	{ "txt", report_text },
	{ "csv", report_csv },
	{ "json", report_json },
};

static int
report(const struct args *args)
{
	const char *format = args->format == NULL ? "txt" : args->format;
	struct report_source source = { .exit_code = -1, .now = clock_now() };
	struct profile *profile = NULL;
	struct ledger *ledger = NULL;
	struct err err = { 0 };
	size_t i = 0;
	int code;

	while (i < sizeof formats / sizeof formats[0] && strcmp(formats[i].name, format) != 0)
		i++;
	if (i == sizeof formats / sizeof formats[0])
		return cli_usage("--format takes txt, csv or json, not %s", format);
	code = cli_load_profile(args->words[0], &profile);
	if (code != 0)
		return code;
	code = cli_open_ledger(profile, &ledger);
	if (code == 0) {
		char *lock = runner_lock_path(profile);

		source.running = lock_is_held(lock, NULL);
		free(lock);
		source.ledger = ledger;
		source.profile = profile;
		/* What standard output does not take is told at the end, for every command. */
		if (formats[i].write(&source, stdout, &err) < 0 && err.code != ERR_DISK)
			code = cli_fail(&err);
	}
	ledger_close(&ledger, NULL);
	profile_free(&profile);
	return code;
}

const struct subcommand cmd_report = {
	.name = "report",
	.usage = "PROFILE [--format txt|csv|json]",
	.summary = "what was copied, what not and why",
	.help = "Each run writes the same into its own directory under logs/.\n",
	.options = ARGS_FORMAT,
	.words_min = 1,
	.words_max = 1,
	.run = report,
};
