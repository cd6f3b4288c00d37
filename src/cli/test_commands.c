/* test_commands.c - the table of subcommands agrees with itself and with the manual page. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/test.h"
#include "cli/cli.h"
#include "base/banned.h"

#define PAGE_MAX ((size_t)1 << 20)

static const struct {
	unsigned bit;
	const char *shown;
} options[] = {
	{ ARGS_USERS, "--users FILE" },
	{ ARGS_ONLY, "--only GLOB" },
	{ ARGS_DRY_RUN, "--dry-run" },
	{ ARGS_DETACH, "--detach" },
	{ ARGS_JOBS, "--jobs N" },
	{ ARGS_JSON, "--json" },
	{ ARGS_REASON, "--reason CODE" },
	{ ARGS_AS, "--as landed|send|skip" },
	{ ARGS_FORMAT, "--format txt|csv|json" },
	{ ARGS_FOLDERS, "--folders" },
	{ ARGS_REBIND, "--rebind NAME" },
};

/* The usage line shows the options that are taken, and no others. */
static void
test_usage_shows_options(void)
{
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		const struct subcommand *command = cli_commands[i];

		CHECK(cli_find(command->name) == command);
		CHECK(command->words_min <= command->words_max);
		CHECK(command->words_max <= ARGS_WORDS);
		for (size_t j = 0; j < sizeof options / sizeof options[0]; j++) {
			bool taken = (command->options & options[j].bit) != 0;
			bool shown = strstr(command->usage, options[j].shown) != NULL;

			CHECK_INT(shown, taken);
		}
	}
	CHECK(cli_find("frob") == NULL);
}

static void
test_names_are_reserved(void)
{
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		bool reserved = false;

		for (size_t j = 0; cli_reserved[j] != NULL; j++)
			reserved = reserved || strcmp(cli_reserved[j], cli_commands[i]->name) == 0;
		CHECK(reserved);
	}
}

/* The page's text without its marks: "\-" is "-", and fonts are let be. */
static char *
page_text(void)
{
	const char *srcdir = getenv("srcdir");
	char *path = path_join(srcdir == NULL ? "." : srcdir, "doc/mailhaul.1.in");
	struct str raw, plain;
	struct err err = { 0 };

	str_init(&raw, PAGE_MAX);
	str_init(&plain, PAGE_MAX);
	CHECK_INT(file_read(path, &raw, &err), 0);
	for (const char *p = str_get(&raw); *p != '\0'; p++) {
		if (p[0] != '\\')
			str_addc(&plain, *p);
		else if (p[1] == 'f' && p[2] != '\0')
			p += 2;
	}
	str_clear(&raw);
	free(path);
	return str_take(&plain);
}

static void
test_page_has_each(void)
{
	char *page = page_text();

	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		char *line = xasprintf(
			"\n.B mailhaul %s %s\n", cli_commands[i]->name, cli_commands[i]->usage);

		CHECK(strstr(page, line) != NULL);
		if (strstr(page, line) == NULL)
			printf("  not in doc/mailhaul.1.in:%s", line);
		free(line);
	}
	free(page);
}

int
main(void)
{
	RUN(test_usage_shows_options);
	RUN(test_names_are_reserved);
	RUN(test_page_has_each);
	return test_done();
}
