/* examine.c - `mailhaul check` and `mailhaul run --dry-run`: what stands against a run, and what it
 * would do. Both sides are opened read-only, the ledger is not written, and nothing is left
 * behind.
 *
 * A line per mailbox comes as it ends. What servers are like is told where it differs from all that
 * was told before, and the faults once more at the end: with thousands of mailboxes both would
 * drown otherwise. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "report/format.h"
#include "base/banned.h"

#define LOOK_MS 500

/* What is known of all mailboxes so far. */
struct findings {
	bool *told; /* a flag per account */
	size_t count, done, faults;
	size_t by_code[ERR_CODES];
	uint64_t messages, bytes, known;
	char **servers; /* descriptions that were printed */
	size_t server_count;
};

struct examination {
	const struct profile *profile;
	const struct args *args;
	enum engine_task task;
	struct users users;
	struct secret *source_admin, *target_admin;
	struct ledger *ledger;
	struct engine *engine;
	struct findings findings;
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

/* True for a description that was not printed yet; remembers it. */
static bool
is_news(struct findings *findings, const char *side, const char *server, const char *tls,
	const char *offers)
{
	char *text = xasprintf("%s\n%s\n%s\n%s", side, server, tls, offers);

	for (size_t i = 0; i < findings->server_count; i++) {
		if (strcmp(findings->servers[i], text) == 0) {
			free(text);
			return false;
		}
	}
	findings->servers = xrealloc(
		findings->servers, (findings->server_count + 1) * sizeof *findings->servers);
	findings->servers[findings->server_count++] = text;
	return true;
}

/* The logins stand for those of the other mailboxes. */
static void
put_servers(struct findings *findings, const struct check_account *check)
{
	char limit[FORMAT_SIZE];

	if (check->source_server[0] != '\0' && is_news(findings, "source", check->source_server,
						       check->source_tls, check->source_offers)) {
		put_field("source", check->source_server);
		put_field("source TLS", check->source_tls);
		put_field("source login", check->source_login);
		put_field("source offers", check->source_offers);
	}
	if (check->target_server[0] == '\0' || !is_news(findings, "target", check->target_server,
						       check->target_tls, check->target_offers))
		return;
	put_field("target", check->target_server);
	put_field("target TLS", check->target_tls);
	put_field("target login", check->target_login);
	put_field("target offers", check->target_offers);
	if (check->append_limit != 0)
		put_field(
			"largest message", format_bytes(limit, sizeof limit, check->append_limit));
}

static void
put_sizes(const struct check_account *check)
{
	char size[FORMAT_SIZE], used[FORMAT_SIZE], limit[FORMAT_SIZE];

	printf("  %" PRIu64 " messages, %s", check->messages,
		format_bytes(size, sizeof size, check->bytes));
	if (check->known != 0)
		printf(", %" PRIu64 " of them done before", check->known);
	if (check->quota_limit != 0)
		printf(", quota %s of %s used", format_bytes(used, sizeof used, check->quota_used),
			format_bytes(limit, sizeof limit, check->quota_limit));
	if (check->too_large != 0)
		printf(", %" PRIu64 " larger than the target takes", check->too_large);
	if (check->time_s != 0)
		printf(", about %s at the speed of the last run",
			format_duration(size, sizeof size, (int64_t)check->time_s));
}

static void
put_large(const struct check_account *check)
{
	char size[FORMAT_SIZE];

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
put_verdict(const struct check_account *check)
{
	printf("%s  ", check->ok ? "ok    " : "FAULT ");
	cli_put(stdout, check->user->user);
	fputs(" -> ", stdout);
	cli_put(stdout, check->user->target_user);
	if (check->ok) {
		put_sizes(check);
	} else {
		printf("  %s: ", err_name(check->err.code));
		cli_put(stdout, check->err.text);
	}
	putchar('\n');
}

static void
put_account(struct examination *exam, const struct check_account *check)
{
	struct findings *findings = &exam->findings;
	bool folders = exam->task == TASK_DRY || exam->args->folders;

	put_verdict(check);
	put_servers(findings, check);
	put_large(check);
	for (size_t i = 0; folders && i < check->folder_count; i++)
		put_folder(&check->folders[i]);
	findings->done++;
	findings->messages += check->messages;
	findings->bytes += check->bytes;
	findings->known += check->known;
	if (!check->ok) {
		findings->faults++;
		findings->by_code[check->err.code]++;
	}
}

/* Those that came to their end since the last look. */
static void
put_new(struct examination *exam)
{
	struct findings *findings = &exam->findings;
	struct check_account check;

	for (size_t i = 0; i < findings->count; i++) {
		if (findings->told[i] || !engine_local_check(exam->engine, i, &check))
			continue;
		findings->told[i] = true;
		put_account(exam, &check);
	}
	fflush(stdout);
}

static void
put_faults(const struct examination *exam)
{
	const struct findings *findings = &exam->findings;
	struct check_account check;
	const char *between = ": ";

	printf("\n%zu with a fault", findings->faults);
	for (int code = 0; code < ERR_CODES; code++) {
		if (findings->by_code[code] == 0)
			continue;
		printf("%s%zu %s", between, findings->by_code[code], err_name((enum err_code)code));
		between = ", ";
	}
	putchar('\n');
	if (findings->faults == findings->done)
		return; /* nothing else stands above */
	for (size_t i = 0; i < findings->count; i++) {
		if (engine_local_check(exam->engine, i, &check) && !check.ok)
			put_verdict(&check);
	}
}

static int
put_summary(const struct examination *exam)
{
	const struct findings *findings = &exam->findings;
	char text[FORMAT_SIZE], size[FORMAT_SIZE];

	if (findings->faults != 0 && findings->count > 1)
		put_faults(exam);
	printf("%zu accounts, %zu with a fault; %s messages, %s", findings->count, findings->faults,
		format_count(text, sizeof text, findings->messages),
		format_bytes(size, sizeof size, findings->bytes));
	if (findings->known != 0)
		printf("; %s messages done before",
			format_count(text, sizeof text, findings->known));
	if (findings->done < findings->count)
		printf("; %zu not looked at", findings->count - findings->done);
	fputs("; nothing was written\n", stdout);
	return findings->faults == 0 ? RUNNER_DONE : RUNNER_ACCOUNTS;
}

/* Shows each mailbox as it ends; the exit code of the engine. */
static int
follow(struct examination *exam, struct err *err)
{
	struct pollfd wait = { .fd = engine_wake_fd(exam->engine), .events = POLLIN };
	struct snapshot *snapshot = xcalloc(1, sizeof *snapshot);
	int code;

	do {
		engine_snapshot(exam->engine, snapshot);
		if (exam->findings.told == NULL)
			exam->findings.told = xcalloc(snapshot->totals.accounts + 1, sizeof(bool));
		exam->findings.count = snapshot->totals.accounts;
		put_new(exam);
		if (snapshot->totals.state != RUN_ENDED)
			poll(&wait, 1, LOOK_MS);
	} while (snapshot->totals.state != RUN_ENDED);
	code = engine_local_join(exam->engine);
	put_new(exam);
	if (snapshot->totals.error[0] != '\0')
		err_set(err, ERR_STATE_DIR, "%s", snapshot->totals.error);
	free(snapshot);
	return code;
}

static void
findings_clear(struct findings *findings)
{
	for (size_t i = 0; i < findings->server_count; i++)
		free(findings->servers[i]);
	free(findings->servers);
	free(findings->told);
}

static int
examine(struct examination *exam)
{
	struct err err = { 0 };
	int code = cli_load_users(exam->profile, exam->args->users, &exam->users);

	if (code == 0)
		code = cli_check_only(exam->args, &exam->users);
	if (code == 0)
		code = cli_secrets(exam->profile, &exam->source_admin, &exam->target_admin);
	if (code != 0)
		return code;
	cli_weaknesses(exam->profile);
	if (open_ledger(exam, &err) < 0 || start_engine(exam, &err) < 0)
		return cli_fail(&err);
	code = follow(exam, &err);
	if (err.code != ERR_NONE)
		cli_fail(&err);
	return code == RUNNER_CANNOT ? code : put_summary(exam);
}

int
cli_examine(const struct profile *profile, const struct args *args, enum engine_task task)
{
	struct examination exam = { .profile = profile, .args = args, .task = task };
	int code;

	code = examine(&exam);
	findings_clear(&exam.findings);
	engine_close(&exam.engine);
	ledger_close(&exam.ledger, NULL);
	secret_unref(&exam.source_admin);
	secret_unref(&exam.target_admin);
	users_clear(&exam.users);
	return code;
}
