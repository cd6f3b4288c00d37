/* common.c - what the subcommands share: errors in one form, loading what they need. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "report/report.h"
#include "base/banned.h"

#define FAULTS_MAX ((size_t)256 * 1024)

void
cli_put(FILE *out, const char *text)
{
	struct str safe;

	if (text == NULL)
		return;
	str_init(&safe, 0);
	text_sanitize(&safe, text, strlen(text));
	fputs(str_get(&safe), out);
	str_clear(&safe);
}

bool
cli_reader_left(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

int
cli_flush(int code)
{
	struct err err = { 0 };
	int saved = 0;

	if (fflush(stdout) != 0)
		saved = errno;
	else if (!ferror(stdout))
		return code;
	/* Who stopped reading has what he wanted. */
	if (cli_reader_left())
		return code;
	if (saved != 0)
		err_errno(&err, ERR_DISK, saved, "the output cannot be written");
	else
		err_set(&err, ERR_DISK, "the output cannot be written");
	cli_fail(&err);
	return code == RUNNER_DONE ? RUNNER_CANNOT : code;
}

int
cli_fail(const struct err *err)
{
	fputs("mailhaul: ", stderr);
	cli_put(stderr, err->text);
	fputc('\n', stderr);
	return runner_exit_of(err);
}

int
cli_usage(const char *fmt, ...)
{
	struct str text;
	va_list ap;

	str_init(&text, 0);
	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	fputs("mailhaul: ", stderr);
	cli_put(stderr, str_get(&text));
	fputc('\n', stderr);
	str_clear(&text);
	return RUNNER_USAGE;
}

/* All faults, one per line; or the first error where there is no list. */
static int
print_faults(const struct str *faults, const struct err *err)
{
	const char *line = str_get(faults), *end;
	struct str one;

	if (*line == '\0')
		return cli_fail(err);
	str_init(&one, 0);
	for (; *line != '\0'; line = *end == '\0' ? end : end + 1) {
		end = line + strcspn(line, "\n");
		str_reset(&one);
		str_add(&one, line, (size_t)(end - line));
		cli_put(stderr, str_get(&one));
		fputc('\n', stderr);
	}
	str_clear(&one);
	return runner_exit_of(err);
}

int
cli_load_profile(const char *name, struct profile **profile_r)
{
	struct err err = { 0 };
	struct str faults;
	int code = 0;

	str_init(&faults, FAULTS_MAX);
	if (profile_load(name, profile_r, &faults, &err) < 0)
		code = print_faults(&faults, &err);
	str_clear(&faults);
	return code;
}

int
cli_check_secrets(const struct profile *profile)
{
	struct err err = { 0 };
	struct str faults;
	int code = 0;

	str_init(&faults, FAULTS_MAX);
	if (profile_check_secrets(profile, &faults, &err) < 0)
		code = print_faults(&faults, &err);
	str_clear(&faults);
	return code;
}

int
cli_load_users(const struct profile *profile, const char *file, struct users *users_r)
{
	struct err err = { 0 };
	struct str faults;
	int code = 0;

	if (file == NULL)
		file = profile->users.file;
	if (file == NULL)
		return cli_usage("profile %s names no user list: give users.file there, or --users",
			profile->name);
	str_init(&faults, FAULTS_MAX);
	if (users_load_csv(file, profile->users.encoding, profile->users.target_user, users_r,
		    &faults, &err) < 0)
		code = print_faults(&faults, &err);
	str_clear(&faults);
	return code;
}

int
cli_check_only(const struct args *args, const struct users *users)
{
	for (size_t i = 0; i < args->only_count; i++) {
		bool any = false;
		for (size_t u = 0; u < users->count && !any; u++)
			any = text_glob(args->only[i], users->rows[u].user);
		if (!any)
			return cli_usage("no user of the list matches --only %s", args->only[i]);
	}
	return 0;
}

static int
side_secret(const struct profile_side *side, struct asker *asker, struct secret **secret_r,
	struct err *err)
{
	char *what;
	int ret;

	*secret_r = NULL;
	if (side->admin_password == NULL)
		return 0;
	what = xasprintf("password of %s at %s",
		side->admin_user == NULL ? "the admin" : side->admin_user, side->host);
	ret = profile_secret(side->admin_password, what, cli_ask, asker, secret_r, err);
	free(what);
	return ret;
}

int
cli_secrets(const struct profile *profile, struct secret **source_r, struct secret **target_r)
{
	struct asker asker = { NULL };
	struct err err = { 0 };
	int code = 0;

	*target_r = NULL;
	if (side_secret(&profile->source, &asker, source_r, &err) < 0 ||
		side_secret(&profile->target, &asker, target_r, &err) < 0) {
		secret_unref(source_r);
		code = cli_fail(&err);
	}
	secret_unref(&asker.passphrase);
	return code;
}

static void
side_weaknesses(const char *name, const struct profile_side *side)
{
	struct str text;

	str_init(&text, 0);
	for (unsigned n = 0; report_weakness(side, n, &text); n++) {
		printf("warning: %s: %s\n", name, str_get(&text));
		str_reset(&text);
	}
	str_clear(&text);
}

void
cli_weaknesses(const struct profile *profile)
{
	side_weaknesses("source", &profile->source);
	side_weaknesses("target", &profile->target);
	fflush(stdout);
}

int
cli_open_ledger(const struct profile *profile, struct ledger **ledger_r)
{
	struct err err = { 0 };

	if (runner_ledger(profile, LEDGER_READ, NULL, 0, ledger_r, &err) < 0)
		return cli_fail(&err);
	return 0;
}
