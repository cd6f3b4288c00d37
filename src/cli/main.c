/* main.c - the command line: finds the subcommand and runs it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/die.h"
#include "cli/cli.h"
#include "base/banned.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

static int
print_help(FILE *out)
{
	fputs("mailhaul moves the mail of an organisation from one server to another, exactly "
	      "once.\n\n",
		out);
	for (size_t i = 0; cli_commands[i] != NULL; i++)
		fprintf(out, "  mailhaul %-8s %s\n           %-8s %s\n", cli_commands[i]->name,
			cli_commands[i]->usage, "", cli_commands[i]->summary);
	fputs("  mailhaul help SUBCOMMAND\n  mailhaul --version | --help\n\n"
	      "PROFILE is a name, kept as ~/.config/mailhaul/NAME.ini, or a path.\n"
	      "Exit: 0 all done; 1 usage or profile; 2 some items or accounts need a look;\n"
	      "3 some accounts failed; 4 stopped, run again to go on; 5 cannot work here.\n",
		out);
	return RUNNER_DONE;
}

static int
print_command_help(const struct subcommand *command)
{
	printf("usage: mailhaul %s %s\n%s\n", command->name, command->usage, command->summary);
	if (command->help[0] != '\0')
		printf("\n%s", command->help);
	return RUNNER_DONE;
}

static int
help(int argc, char **argv)
{
	const struct subcommand *command;

	if (argc == 0)
		return print_help(stdout);
	if (argc > 1)
		return cli_usage("help takes one subcommand");
	command = cli_find(argv[0]);
	if (command == NULL)
		return cli_usage("there is no command %s; see mailhaul --help", argv[0]);
	return print_command_help(command);
}

static int
run_command(const struct subcommand *command, int argc, char **argv)
{
	struct args args;
	struct err err = { 0 };
	int code;

	if (args_parse(argc, argv, command->options, &args, &err) < 0)
		return cli_usage(
			"%s: %s; see mailhaul help %s", command->name, err.text, command->name);
	if (args.help)
		code = print_command_help(command);
	else if (args.word_count < command->words_min)
		code = cli_usage("usage: mailhaul %s %s", command->name, command->usage);
	else if (args.word_count > command->words_max)
		code = cli_usage("%s: one word too many: %s; see mailhaul help %s", command->name,
			args.words[command->words_max], command->name);
	else
		code = command->run(&args);
	args_clear(&args);
	return code;
}

/* A profile in the place of a command is what a screen would take; there is none yet. */
static int
no_command(const char *word)
{
	char *path = profile_path(word, NULL);
	struct stat st;
	bool there = path != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode);

	free(path);
	if (there)
		return cli_usage("%s is a profile, not a command: mailhaul status %s, or "
				 "mailhaul run %s",
			word, word, word);
	return cli_usage("there is no command %s; see mailhaul --help", word);
}

static int
dispatch(int argc, char **argv)
{
	const struct subcommand *command;

	if (argc < 2) {
		print_help(stderr);
		return RUNNER_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("mailhaul %s\n", PACKAGE_VERSION);
		return RUNNER_DONE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_help(stdout);
	if (strcmp(argv[1], "help") == 0)
		return help(argc - 2, argv + 2);
	command = cli_find(argv[1]);
	if (command == NULL)
		return no_command(argv[1]);
	return run_command(command, argc - 2, argv + 2);
}

int
main(int argc, char **argv)
{
	int code;

#ifdef __GLIBC__
	/* One for each of many threads would keep what messages of the past have needed. */
	mallopt(M_ARENA_MAX, 2);
#endif
	/* Only how wide characters are; numbers and dates stay as programs expect them. */
	setlocale(LC_CTYPE, "");
	runner_harden();
	code = cli_flush(dispatch(argc, argv));
	runner_soften();
	die_report();
	return code;
}
