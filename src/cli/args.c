/* args.c - the words and options behind a subcommand, by one table. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/args.h"
#include "profile/profile.h"
#include "base/banned.h"

#define SHOWN_MAX 120 /* bytes of a wrong word that an error repeats */

struct option_row {
	const char *name; /* without the dashes */
	enum args_option bit;
	bool takes_value;
};

static const struct option_row option_rows[] = {
	{ "users", ARGS_USERS, true },
	{ "only", ARGS_ONLY, true },
	{ "dry-run", ARGS_DRY_RUN, false },
	{ "detach", ARGS_DETACH, false },
	{ "jobs", ARGS_JOBS, true },
	{ "json", ARGS_JSON, false },
	{ "reason", ARGS_REASON, true },
	{ "as", ARGS_AS, true },
	{ "format", ARGS_FORMAT, true },
	{ "folders", ARGS_FOLDERS, false },
	{ "rebind", ARGS_REBIND, true },
};

static int
wrong_word(struct err *err, const char *what, const char *word)
{
	char safe[SHOWN_MAX];

	return err_set(err, ERR_USAGE, "%s %s", what, text_safe(safe, sizeof safe, word));
}

static int
wrong_jobs(struct err *err, const char *value)
{
	char safe[SHOWN_MAX];

	return err_set(err, ERR_USAGE, "--jobs takes a number from 1 to %d, not %s",
		PROFILE_JOBS_MAX, text_safe(safe, sizeof safe, value));
}

static const struct option_row *
find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
		if (strlen(option_rows[i].name) == len &&
			memcmp(option_rows[i].name, name, len) == 0)
			return &option_rows[i];
	}
	return NULL;
}

/* The array's strings are argv's; only the array itself is ours. */
static void
add_word(const char ***words, size_t *count, const char *word)
{
	*words = xrealloc(*words, (*count + 1) * sizeof **words);
	(*words)[(*count)++] = word;
}

static int
set_option(struct args *args, enum args_option bit, const char *value, struct err *err)
{
	switch (bit) {
	case ARGS_USERS:
		args->users = value;
		break;
	case ARGS_ONLY:
		add_word(&args->only, &args->only_count, value);
		break;
	case ARGS_DRY_RUN:
		args->dry_run = true;
		break;
	case ARGS_DETACH:
		args->detach = true;
		break;
	case ARGS_JOBS:
		if (text_u32(value, strlen(value), &args->jobs) < 0 || args->jobs == 0 ||
			args->jobs > PROFILE_JOBS_MAX)
			return wrong_jobs(err, value);
		break;
	case ARGS_JSON:
		args->json = true;
		break;
	case ARGS_REASON:
		args->reason = value;
		break;
	case ARGS_AS:
		args->as = value;
		break;
	case ARGS_FORMAT:
		args->format = value;
		break;
	case ARGS_FOLDERS:
		args->folders = true;
		break;
	case ARGS_REBIND:
		add_word(&args->rebind, &args->rebind_count, value);
		break;
	}
	return 0;
}

/* Takes the option at argv[*at] and its value. */
static int
take_option(int argc, char **argv, int *at, unsigned options, struct args *args, struct err *err)
{
	const char *word = argv[*at], *name = word + 2, *equals = strchr(name, '=');
	const struct option_row *row;
	const char *value = equals == NULL ? NULL : equals + 1;

	row = find_option(name, equals == NULL ? strlen(name) : (size_t)(equals - name));
	if (row == NULL)
		return wrong_word(err, "there is no option", word);
	if ((options & row->bit) == 0)
		return err_set(err, ERR_USAGE, "this command does not take --%s", row->name);
	if (!row->takes_value && value != NULL)
		return err_set(err, ERR_USAGE, "--%s takes no value", row->name);
	if (row->takes_value && value == NULL) {
		if (*at + 1 >= argc)
			return err_set(err, ERR_USAGE, "--%s needs a value", row->name);
		value = argv[++*at];
	}
	if (row->takes_value && value[0] == '\0')
		return err_set(err, ERR_USAGE, "--%s needs a value", row->name);
	return set_option(args, row->bit, value, err);
}

int
args_parse(int argc, char **argv, unsigned options, struct args *args_r, struct err *err)
{
	bool words_only = false;

	memset(args_r, 0, sizeof *args_r);
	for (int i = 0; i < argc; i++) {
		if (!words_only && strcmp(argv[i], "--") == 0) {
			words_only = true;
		} else if (!words_only &&
			   (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			args_r->help = true;
		} else if (!words_only && strncmp(argv[i], "--", 2) == 0) {
			if (take_option(argc, argv, &i, options, args_r, err) < 0)
				goto failed;
		} else if (!words_only && argv[i][0] == '-' && argv[i][1] != '\0') {
			wrong_word(err, "there is no option", argv[i]);
			goto failed;
		} else if (args_r->word_count == ARGS_WORDS) {
			wrong_word(err, "one word too many:", argv[i]);
			goto failed;
		} else {
			args_r->words[args_r->word_count++] = argv[i];
		}
	}
	return 0;
failed:
	args_clear(args_r);
	return -1;
}

void
args_clear(struct args *args)
{
	free(args->only);
	args->only = NULL;
	args->only_count = 0;
	free(args->rebind);
	args->rebind = NULL;
	args->rebind_count = 0;
}
