/* profile.c - `mailhaul profile`: writes, checks and shows profiles, and seals their passwords. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "profile/option.h"
#include "base/banned.h"

#define SAMPLE_MAX ((size_t)256 * 1024)

static int
make_directory(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int ret;

	/* The place for named profiles is made; a path is the admin's own business. */
	if (slash == NULL || slash == path || access(path, F_OK) == 0)
		return 0;
	dir = xstrndup(path, (size_t)(slash - path));
	ret = access(dir, F_OK) == 0 ? 0 : file_mkdirs(dir, err);
	free(dir);
	return ret;
}

static int
write_sample(const char *path, struct err *err)
{
	struct str sample;
	FILE *file;
	int ret = 0;

	if (make_directory(path, err) < 0)
		return -1;
	file = file_create(path, false, err);
	if (file == NULL)
		return -1;
	str_init(&sample, SAMPLE_MAX);
	profile_sample(&sample);
	fwrite(str_get(&sample), 1, sample.len, file);
	str_clear(&sample);
	if (fflush(file) != 0)
		ret = err_errno(err, ERR_PROFILE, errno, "cannot write %s", path);
	fclose(file);
	return ret;
}

/* A path has a slash or ends in .ini, as profile_load() takes it. */
static bool
is_name(const char *name)
{
	size_t len = strlen(name);

	return strchr(name, '/') == NULL && (len < 4 || strcmp(name + len - 4, ".ini") != 0);
}

static int
new_profile(const char *name)
{
	struct err err = { 0 };
	char *path = profile_path(name, &err);
	int code = RUNNER_DONE;

	if (path == NULL)
		return cli_fail(&err);
	if (access(path, F_OK) == 0) {
		code = cli_usage("%s is there already", path);
	} else if ((is_name(name) && !profile_name_ok(name, cli_reserved, &err)) ||
		   write_sample(path, &err) < 0) {
		code = cli_fail(&err);
	} else {
		fputs("written: ", stdout);
		cli_put(stdout, path);
		fputs("\nfill in hosts, logins and the user list; then: mailhaul profile check ",
			stdout);
		cli_put(stdout, name);
		putchar('\n');
	}
	free(path);
	return code;
}

static int
show(const char *name)
{
	struct profile *profile = NULL;
	struct str text;
	int code = cli_load_profile(name, &profile);

	if (code != 0)
		return code;
	str_init(&text, SAMPLE_MAX);
	profile_show(profile, &text, true);
	fwrite(str_get(&text), 1, text.len, stdout);
	str_clear(&text);
	/* A comment: what is printed can be loaded as it is. */
	fputs("; state in force: ", stdout);
	cli_put(stdout, profile->state_dir);
	putchar('\n');
	profile_free(&profile);
	return code;
}

/* All faults in one pass: those of the passwords' places and those of the list. */
static int
check(const char *name)
{
	struct profile *profile = NULL;
	struct users users = { 0 };
	int code = cli_load_profile(name, &profile), list = 0;

	if (code != 0)
		return code;
	code = cli_check_secrets(profile);
	if (profile->users.file != NULL)
		list = cli_load_users(profile, NULL, &users);
	if (code == 0)
		code = list;
	if (code == 0) {
		cli_put(stdout, profile->path);
		printf(": no faults, %zu users\n", users.count);
	}
	users_clear(&users);
	profile_free(&profile);
	return code;
}

/* Asked for twice: a passphrase mistyped once would lock the passwords away. */
static int
new_passphrase(struct secret **passphrase_r, struct err *err)
{
	struct secret *again = NULL;
	int ret = 0;

	if (cli_ask(NULL, "new passphrase", passphrase_r, err) < 0)
		return -1;
	if (cli_ask(NULL, "the same passphrase again", &again, err) < 0)
		ret = -1;
	else if (!secret_eq(*passphrase_r, again))
		ret = err_set(err, ERR_PROFILE, "the two passphrases differ; nothing was changed");
	secret_unref(&again);
	return ret;
}

static int
seal(const struct profile *profile, const char *section, const char *plain,
	const struct secret *passphrase, struct err *err)
{
	struct secret *secret = secret_new(plain, strlen(plain));
	struct str sealed;
	int ret;

	str_init(&sealed, 0);
	ret = profile_encrypt(secret, passphrase, &sealed, err);
	if (ret == 0)
		ret = profile_set(profile->path, section, "admin_password", str_get(&sealed), err);
	if (ret == 0)
		printf("[%s] admin_password is encrypted now\n", section);
	str_clear(&sealed);
	secret_unref(&secret);
	return ret;
}

static bool
is_plain(const char *spec)
{
	return spec != NULL && strcmp(option_secret_kind(spec), "plain") == 0;
}

static int
encrypt(const char *name)
{
	struct profile *profile = NULL;
	struct secret *passphrase = NULL;
	struct err err = { 0 };
	int code = cli_load_profile(name, &profile);
	const char *source, *target;

	if (code != 0)
		return code;
	source = profile->source.admin_password;
	target = profile->target.admin_password;
	if (!is_plain(source) && !is_plain(target)) {
		printf("%s holds no plain password\n", profile->name);
	} else if (new_passphrase(&passphrase, &err) < 0 ||
		   (is_plain(source) && seal(profile, "source", source, passphrase, &err) < 0) ||
		   (is_plain(target) && seal(profile, "target", target, passphrase, &err) < 0)) {
		code = cli_fail(&err);
	}
	secret_unref(&passphrase);
	profile_free(&profile);
	return code;
}

static const struct {
	const char *name;
	int (*run)(const char *name);
} actions[] = {
	{ "new", new_profile },
	{ "show", show },
	{ "check", check },
	{ "encrypt", encrypt },
};

static int
profile_command(const struct args *args)
{
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		if (strcmp(actions[i].name, args->words[0]) == 0)
			return actions[i].run(args->words[1]);
	}
	return cli_usage("profile takes new, show, check or encrypt, not %s", args->words[0]);
}

const struct subcommand cmd_profile = {
	.name = "profile",
	.usage = "new|show|check|encrypt NAME",
	.summary = "write a sample profile, show one, check one, encrypt its passwords",
	.help = "  new      writes a commented sample to start from\n"
		"  show     prints every option as it counts, passwords only as their kind, and "
		"where\n"
		"           the state lies\n"
		"  check    names all faults of the profile, of its user list, and of the files "
		"and\n"
		"           variables that hold its passwords; runs no command and asks nobody\n"
		"  encrypt  replaces plain admin passwords by enc:..., under a passphrase\n",
	.options = 0,
	.words_min = 2,
	.words_max = 2,
	.run = profile_command,
};
