/* status.c - `mailhaul status`: what is going on, from the run at work, or else from the ledger. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "report/format.h"
#include "report/report.h"
#include "runner/client.h"
#include "base/banned.h"

struct sums {
	struct ledger_counts counts;
	uint64_t states[ACCOUNT_STATES];
	uint64_t accounts, doubt;
	struct ledger_run last; /* zeroed when there is none */
};

static void
print_json(json_t *object)
{
	json_dumpf(object, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(object);
}

static void
print_rows(const struct snapshot *snapshot)
{
	char done[FORMAT_SIZE], found[FORMAT_SIZE], rate[FORMAT_SIZE];

	for (size_t i = 0; i < snapshot->work_count; i++) {
		const struct snapshot_row *row = &snapshot->work[i];

		if (!cli_at_work(row))
			continue;
		fputs("  ", stdout);
		cli_put(stdout, row->user);
		printf("  %s  ", row->state);
		cli_put(stdout, row->folder);
		printf("  %s/%s%s  %s/s", format_count(done, sizeof done, row->items_done),
			format_count(found, sizeof found, row->items_found),
			row->counted ? "" : "+",
			format_bytes(rate, sizeof rate, (uint64_t)row->bytes_per_s));
		if (row->text[0] != '\0') {
			fputs("  ", stdout);
			cli_put(stdout, row->text);
		}
		putchar('\n');
	}
}

static void
print_compression(const struct snapshot_host *host)
{
	char bytes[FORMAT_SIZE], became[FORMAT_SIZE];

	if (host->compressed == 0 && host->compression[0] == '\0')
		return;
	printf("; compression%s%s: %u connections now, %" PRIu64 " of %" PRIu64 " so far",
		host->compression[0] != '\0' ? " " : "", host->compression, host->compressed_now,
		host->compressed, host->begun);
	if (host->line_bytes > 0)
		printf(", %s as %s (%.1f : 1)", format_bytes(bytes, sizeof bytes, host->bytes),
			format_bytes(became, sizeof became, host->line_bytes),
			(double)host->bytes / (double)host->line_bytes);
}

static void
print_hosts(const struct snapshot *snapshot)
{
	char rate[FORMAT_SIZE];

	for (size_t i = 0; i < snapshot->host_count; i++) {
		const struct snapshot_host *host = &snapshot->hosts[i];

		printf("  %s ", host->source ? "from" : "to");
		cli_put(stdout, host->host);
		printf(":%u: %u connections, %u at a time (at most %u), %s/s", host->port,
			host->connections, host->level, host->ceiling,
			format_bytes(rate, sizeof rate, (uint64_t)host->bytes_per_s));
		if (host->waiting > 0)
			printf(", %u waiting", host->waiting);
		if (host->backoff_ms > 0)
			printf(", no login for %u s", (host->backoff_ms + 999) / 1000);
		if (host->lowered[0] != '\0') {
			fputs("; lowered last for ", stdout);
			cli_put(stdout, host->lowered);
		}
		print_compression(host);
		putchar('\n');
	}
}

static void
print_running(const struct profile *profile, const struct wire_hello *hello,
	const struct snapshot *snapshot)
{
	struct str line;

	printf("%s: %s, process %u on ", profile->name, wire_run_state(snapshot->totals.state),
		hello->pid);
	cli_put(stdout, hello->host);
	printf(", round %u, %u of %u workers\n", snapshot->totals.round, snapshot->totals.working,
		snapshot->totals.jobs);
	str_init(&line, 0);
	cli_totals(&snapshot->totals, &line);
	printf("%s\n", str_get(&line) + strspn(str_get(&line), " "));
	str_clear(&line);
	if (snapshot->totals.disk_ms > 0)
		printf("  lines to the target waited %.1f s for the disk of the ledger\n",
			(double)snapshot->totals.disk_ms / 1000);
	print_rows(snapshot);
	print_hosts(snapshot);
}

static int
load_sums(struct ledger *ledger, struct sums *sums, struct err *err)
{
	struct ledger_account *accounts = NULL;
	struct ledger_run *runs = NULL;
	size_t count = 0;
	uint64_t batches;

	if (ledger_totals(ledger, 0, &sums->counts, err) < 0 ||
		ledger_open_batches(ledger, 0, &batches, &sums->doubt, err) < 0 ||
		ledger_runs(ledger, &runs, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (runs[i].id >= sums->last.id)
			sums->last = runs[i];
	}
	free(runs);
	if (ledger_accounts(ledger, &accounts, &count, err) < 0)
		return -1;
	sums->accounts = count;
	for (size_t i = 0; i < count; i++)
		sums->states[accounts[i].state]++;
	ledger_accounts_free(accounts, count);
	return 0;
}

static void
idle_json(const struct profile *profile, const struct sums *sums)
{
	json_t *object = json_object(), *states = json_object(), *items = json_object();

	json_object_set_new(object, "running", json_false());
	json_object_set_new(object, "profile", json_string(profile->name));
	json_object_set_new(object, "round", json_integer(sums->last.round));
	json_object_set_new(object, "run", json_integer((json_int_t)sums->last.id));
	/* Null: it did not end by itself. */
	json_object_set_new(object, "exit_code",
		sums->last.ended != 0 ? json_integer(sums->last.exit_code) : json_null());
	for (int state = 0; state < ACCOUNT_STATES; state++)
		json_object_set_new(states, account_state_name((enum account_state)state),
			json_integer((json_int_t)sums->states[state]));
	json_object_set_new(object, "accounts", states);
	json_object_set_new(items, "found", json_integer((json_int_t)sums->counts.found));
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		json_object_set_new(items, item_state_name((enum item_state)state),
			json_integer((json_int_t)sums->counts.by_state[state]));
	json_object_set_new(items, "in_doubt", json_integer((json_int_t)sums->doubt));
	json_object_set_new(object, "items", items);
	print_json(object);
}

static void
idle_text(const struct profile *profile, const struct sums *sums)
{
	const struct ledger_counts *counts = &sums->counts;
	char when[24];

	printf("%s: no run is at work\n", profile->name);
	if (sums->last.id != 0) {
		printf("last run: %" PRIu64 " of round %u, started %s: ", sums->last.id,
			sums->last.round, clock_iso(when, sizeof when, sums->last.started));
		puts(report_exit_text(sums->last.ended != 0 ? sums->last.exit_code : -1));
	}
	printf("accounts: %" PRIu64, sums->accounts);
	for (int state = 0; state < ACCOUNT_STATES; state++) {
		if (sums->states[state] != 0)
			printf(", %" PRIu64 " %s", sums->states[state],
				account_state_name((enum account_state)state));
	}
	printf("\nitems: %" PRIu64 " found", counts->found);
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++) {
		if (counts->by_state[state] != 0)
			printf(", %" PRIu64 " %s", counts->by_state[state],
				item_state_name((enum item_state)state));
	}
	if (sums->doubt != 0)
		printf(", %" PRIu64 " in doubt", sums->doubt);
	putchar('\n');
}

static int
idle_status(const struct profile *profile, bool json)
{
	struct sums sums = { .accounts = 0 };
	struct ledger *ledger = NULL;
	struct err err = { 0 };
	int code = cli_open_ledger(profile, &ledger);

	if (code != 0)
		return code;
	if (load_sums(ledger, &sums, &err) < 0)
		code = cli_fail(&err);
	else if (json)
		idle_json(profile, &sums);
	else
		idle_text(profile, &sums);
	ledger_close(&ledger, NULL);
	return code;
}

/* It has the lock and does not listen. */
static int
changing_status(const struct profile *profile, bool json)
{
	static const char state[] = "starting or ending";
	char *lock = runner_lock_path(profile);
	struct lock_owner owner;
	json_t *object;

	lock_is_held(lock, &owner);
	free(lock);
	if (!json) {
		printf("%s: a run is %s (process %ld)\n", profile->name, state, owner.pid);
		return RUNNER_DONE;
	}
	object = json_object();
	json_object_set_new(object, "running", json_true());
	json_object_set_new(object, "profile", json_string(profile->name));
	json_object_set_new(object, "state_name", json_string(state));
	json_object_set_new(object, "pid", json_integer(owner.pid));
	print_json(object);
	return RUNNER_DONE;
}

static int
running_status(const struct profile *profile, bool json)
{
	struct snapshot *snapshot;
	struct engine *engine = NULL;
	struct wire_hello hello;
	json_t *object;
	struct err err = { 0 };

	if (cli_try_connect(profile, &engine, &hello, &err) < 0) {
		if (err.code == ERR_LOCKED)
			return changing_status(profile, json);
		/* It ended between our looks: the ledger tells. */
		return err.code == ERR_STATE_DIR ? idle_status(profile, json) : cli_fail(&err);
	}
	snapshot = xcalloc(1, sizeof *snapshot);
	engine_snapshot(engine, snapshot);
	if (json) {
		object = wire_snapshot(snapshot, 0, SNAPSHOT_ROWS);
		json_object_set_new(object, "running", json_true());
		json_object_set_new(object, "pid", json_integer(hello.pid));
		json_object_set_new(object, "profile", json_string(hello.profile));
		json_object_set_new(object, "directory", json_string(hello.directory));
		print_json(object);
	} else {
		print_running(profile, &hello, snapshot);
	}
	free(snapshot);
	engine_close(&engine);
	return RUNNER_DONE;
}

static int
status(const struct args *args)
{
	struct profile *profile = NULL;
	int code = cli_load_profile(args->words[0], &profile);
	char *lock;

	if (code != 0)
		return code;
	lock = runner_lock_path(profile);
	if (lock_is_held(lock, NULL))
		code = running_status(profile, args->json);
	else
		code = idle_status(profile, args->json);
	free(lock);
	profile_free(&profile);
	return code;
}

const struct subcommand cmd_status = {
	.name = "status",
	.usage = "PROFILE [--json]",
	.summary = "what is going on, from the run at work or from the ledger",
	.help = "",
	.options = ARGS_JSON,
	.words_min = 1,
	.words_max = 1,
	.run = status,
};
