/* examine.c - `mailhaul check` and `mailhaul run --dry-run`: what stands against a run, and what it
 * would do. Both sides are opened read-only, the ledger is not written, and nothing is left
 * behind. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "report/format.h"
#include "base/banned.h"

struct examination {
	const struct profile *profile;
	const struct args *args;
	enum engine_task task;
	struct users users;
	struct secret *source_admin, *target_admin;
	struct ledger *ledger;
	struct engine *engine;
};

/* The ledger says what is copied already; a profile that never ran has none. */
static int
open_ledger(struct examination *exam, struct err *err)
{
	char *path = runner_ledger_path(exam->profile);
	struct stat st;
	enum ledger_mode mode = stat(path, &st) == 0 ? LEDGER_READ : LEDGER_MEMORY;

	free(path);
	return runner_ledger(exam->profile, mode, NULL, 0, &exam->ledger, err);
}

static int
start_engine(struct examination *exam, struct err *err)
{
	struct stat st;
	bool there = stat(exam->profile->state_dir, &st) == 0;
	struct engine_config config = {
		.profile = exam->profile,
		.users = &exam->users,
		.source_admin = exam->source_admin,
		.target_admin = exam->target_admin,
		.ledger = exam->ledger,
		/* Nothing is spooled here, so a profile that never ran needs no directory. */
		.state_dir = there ? exam->profile->state_dir : "/tmp",
		.task = exam->task,
		.only = exam->args->only,
		.only_count = exam->args->only_count,
		.jobs = exam->args->jobs,
	};

	return engine_local_start(&config, &exam->engine, err);
}

static void
put_field(const char *label, const char *text)
{
	if (text[0] == '\0')
		return;
	printf("    %-15s ", label);
	cli_put(stdout, text);
	putchar('\n');
}

static void
put_folder(const struct check_folder *folder)
{
	char size[FORMAT_SIZE];

	fputs("    ", stdout);
	cli_put(stdout, folder->source);
	fputs(" -> ", stdout);
	cli_put(stdout, folder->target == NULL ? "(left out)" : folder->target);
	printf("  %" PRIu64 " messages, %s", folder->messages,
		format_bytes(size, sizeof size, folder->bytes));
	if (folder->target != NULL && !folder->exists)
		fputs(", new", stdout);
	if (folder->altered)
		fputs(", name altered", stdout);
	if (folder->remark != NULL) {
		fputs(", ", stdout);
		cli_put(stdout, folder->remark);
	}
	putchar('\n');
}

static void
put_sizes(const struct check_account *check)
{
	char size[FORMAT_SIZE], used[FORMAT_SIZE], limit[FORMAT_SIZE];

	printf("    %-15s %" PRIu64 " messages, %s", "to move", check->messages,
		format_bytes(size, sizeof size, check->bytes));
	if (check->known != 0)
		printf(", %" PRIu64 " of them done before", check->known);
	putchar('\n');
	if (check->time_s != 0)
		printf("    %-15s about %s at the speed of the last run\n", "time",
			format_duration(size, sizeof size, (int64_t)check->time_s));
	if (check->quota_limit != 0)
		printf("    %-15s %s of %s used\n", "target quota",
			format_bytes(used, sizeof used, check->quota_used),
			format_bytes(limit, sizeof limit, check->quota_limit));
	if (check->append_limit != 0)
		printf("    %-15s %s; %" PRIu64 " messages are larger\n", "largest message",
			format_bytes(limit, sizeof limit, check->append_limit), check->too_large);
	for (uint64_t i = 0; i < check->too_large && i < CHECK_LARGE_MAX; i++) {
		printf("    %-15s ", i == 0 ? "too large" : "");
		cli_put(stdout, check->large[i].folder);
		printf(", UID %" PRIu32 ", %s\n", check->large[i].uid,
			format_bytes(size, sizeof size, check->large[i].size));
	}
	if (check->too_large > CHECK_LARGE_MAX)
		printf("    %-15s and %" PRIu64 " more\n", "", check->too_large - CHECK_LARGE_MAX);
}

static void
put_account(const struct examination *exam, const struct check_account *check)
{
	bool folders = exam->task == TASK_DRY || exam->args->folders;

	printf("%s  ", check->ok ? "ok    " : "FAULT ");
	cli_put(stdout, check->user->user);
	fputs(" -> ", stdout);
	cli_put(stdout, check->user->target_user);
	if (!check->ok) {
		printf("  %s: ", err_name(check->err.code));
		cli_put(stdout, check->err.text);
	}
	putchar('\n');
	put_field("source", check->source_server);
	put_field("source TLS", check->source_tls);
	put_field("source login", check->source_login);
	put_field("source offers", check->source_offers);
	put_field("target", check->target_server);
	put_field("target TLS", check->target_tls);
	put_field("target login", check->target_login);
	put_field("target offers", check->target_offers);
	if (check->ok)
		put_sizes(check);
	for (size_t i = 0; folders && i < check->folder_count; i++)
		put_folder(&check->folders[i]);
}

static int
print_checks(const struct examination *exam)
{
	size_t count = 0, faults = 0;
	const struct check_account *checks = engine_local_checks(exam->engine, &count);
	uint64_t messages = 0, bytes = 0, known = 0;
	char text[FORMAT_SIZE], size[FORMAT_SIZE];

	for (size_t i = 0; i < count; i++) {
		put_account(exam, &checks[i]);
		messages += checks[i].messages;
		bytes += checks[i].bytes;
		known += checks[i].known;
		if (!checks[i].ok)
			faults++;
	}
	printf("%zu accounts, %zu with a fault; %s messages, %s", count, faults,
		format_count(text, sizeof text, messages), format_bytes(size, sizeof size, bytes));
	if (known != 0)
		printf("; %s messages done before", format_count(text, sizeof text, known));
	fputs("; nothing was written\n", stdout);
	return faults == 0 ? RUNNER_DONE : RUNNER_ACCOUNTS;
}

static int
examine(struct examination *exam)
{
	struct snapshot *last;
	struct err err = { 0 };
	int code = cli_load_users(exam->profile, exam->args->users, &exam->users);

	if (code == 0)
		code = cli_check_only(exam->args, &exam->users);
	if (code == 0)
		code = cli_secrets(exam->profile, &exam->source_admin, &exam->target_admin);
	if (code != 0)
		return code;
	if (open_ledger(exam, &err) < 0 || start_engine(exam, &err) < 0)
		return cli_fail(&err);
	code = engine_local_join(exam->engine);
	last = xcalloc(1, sizeof *last);
	engine_snapshot(exam->engine, last);
	if (last->totals.error[0] != '\0') {
		err_set(&err, ERR_STATE_DIR, "%s", last->totals.error);
		cli_fail(&err);
	}
	free(last);
	if (code != RUNNER_CANNOT)
		code = print_checks(exam);
	return code;
}

int
cli_examine(const struct profile *profile, const struct args *args, enum engine_task task)
{
	struct examination exam = { .profile = profile, .args = args, .task = task };
	int code;

	code = examine(&exam);
	engine_close(&exam.engine);
	ledger_close(&exam.ledger, NULL);
	secret_unref(&exam.source_admin);
	secret_unref(&exam.target_admin);
	users_clear(&exam.users);
	return code;
}
