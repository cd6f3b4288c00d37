/* test_engine_local.c - the engine itself, asked as a front end asks it: in this process, and
 * behind a control socket. Its source answers no connection, so that nothing ends by itself. */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "engine/engine_local.h"
#include "runner/client.h"
#include "runner/control.h"
#include "runner/runner.h"
#include "base/banned.h"

#define WAIT_MS 20000

struct bench {
	char *dir, *path;
	int closed; /* a port that is taken and refuses */
	struct profile *profile;
	struct users users;
	struct ledger *ledger;
	struct engine *own, *view;
	struct control *control;
	struct wire_hello hello;
};

static bool remote, many; /* set by main() alone */

static unsigned
refusing_port(int *fd_r)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof address;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*fd_r = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(*fd_r, (const struct sockaddr *)&address, sizeof address), 0);
	CHECK_INT(getsockname(*fd_r, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

static void
write_file(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);

	CHECK_INT(file_write_atomic(path, text, strlen(text), NULL), 0);
	free(path);
}

/* More than a window of rows. */
#define MANY 600

static void
write_users(const char *dir)
{
	struct str list;

	str_init(&list, 0);
	str_adds(&list, "ana@a;x;Ana\nbo@a;y;Bo\n");
	for (unsigned i = 2; many && i < MANY; i++)
		str_addf(&list, "user%u@a;z;\n", i);
	write_file(dir, "users.csv", str_get(&list));
	str_clear(&list);
}

static void
load(struct bench *bench)
{
	unsigned port = refusing_port(&bench->closed);
	char *text =
		xasprintf("[source]\ntype = imap\nhost = 127.0.0.1\nport = %u\nsecurity = none\n"
			  "[target]\ntype = imap\nhost = 127.0.0.1\nport = %u\n"
			  "security = none\n[users]\nfrom = csv\nfile = users.csv\n"
			  "[run]\nstate_dir = %s/state\n",
			port, port, bench->dir);
	struct err err = { 0 };

	write_file(bench->dir, "acme.ini", text);
	write_users(bench->dir);
	bench->path = path_join(bench->dir, "acme.ini");
	CHECK_INT(profile_load(bench->path, &bench->profile, NULL, &err), 0);
	CHECK_INT(users_load_csv(bench->profile->users.file, NULL, NULL, &bench->users, NULL, &err),
		0);
	CHECK_INT(file_mkdirs(bench->profile->state_dir, &err), 0);
	CHECK_INT(runner_ledger(bench->profile, LEDGER_WRITE, NULL, 0, &bench->ledger, &err), 0);
	if (err.code != ERR_NONE)
		printf("%s\n", err.text);
	free(text);
}

static void
bench_open(struct bench *bench)
{
	char template[] = "/tmp/mailhaul-local-XXXXXX";
	struct engine_config config = { .task = TASK_RUN, .jobs = 2 };
	struct control_config control = { .log = NULL };
	struct err err = { 0 };

	memset(bench, 0, sizeof *bench);
	bench->dir = xstrdup(mkdtemp(template));
	load(bench);
	config.profile = bench->profile;
	config.users = &bench->users;
	config.ledger = bench->ledger;
	config.state_dir = bench->profile->state_dir;
	CHECK_INT(engine_local_start(&config, &bench->own, &err), 0);
	bench->view = bench->own;
	if (!remote)
		return;
	bench->hello.version = WIRE_VERSION;
	control.engine = bench->own;
	control.state_dir = bench->profile->state_dir;
	control.hello = &bench->hello;
	CHECK_INT(control_start(&control, &bench->control, &err), 0);
	CHECK_INT(engine_client_open(bench->profile->state_dir, &bench->view, NULL, &err), 0);
}

static void
bench_close(struct bench *bench)
{
	char *remove;

	if (remote)
		engine_close(&bench->view);
	control_stop(&bench->control);
	engine_close(&bench->own);
	CHECK_INT(ledger_close(&bench->ledger, NULL), 0);
	users_clear(&bench->users);
	profile_free(&bench->profile);
	close(bench->closed);
	remove = xasprintf("rm -rf '%s'", bench->dir);
	CHECK_INT(system(remove), 0);
	free(remove);
	free(bench->path);
	free(bench->dir);
}

/* Waits for an event of this kind (and id, where not 0). */
static bool
await_event(struct engine *engine, enum engine_event_kind kind, uint64_t id, struct event *event_r)
{
	struct pollfd wait = { .fd = engine_wake_fd(engine), .events = POLLIN };
	int64_t until = clock_ms() + WAIT_MS;
	uint64_t after = 0;

	while (clock_ms() < until) {
		if (engine_events(engine, after, event_r, 1) == 0) {
			poll(&wait, 1, 20);
			continue;
		}
		CHECK(event_r->seq > after);
		after = event_r->seq;
		if (event_r->kind == kind && (id == 0 || event_r->id == id))
			return true;
	}
	return false;
}

static void
test_answers_and_stops(void)
{
	struct snapshot *snapshot = xcalloc(1, sizeof *snapshot);
	struct command command = { .kind = CMD_PING };
	struct event event;
	int64_t until = clock_ms() + WAIT_MS;
	struct bench bench;
	int code;

	bench_open(&bench);
	CHECK(engine_alive(bench.view));
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	CHECK_INT(event.code, ERR_NONE);
	command.kind = CMD_JOBS;
	command.value = 1;
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	CHECK_INT(event.code, ERR_NONE);
	do {
		engine_snapshot(bench.view, snapshot);
		clock_sleep_ms(10);
	} while ((snapshot->totals.jobs != 1 || snapshot->row_count != 2) && clock_ms() < until);
	CHECK_INT(snapshot->totals.jobs, 1);
	CHECK_INT(snapshot->totals.accounts, 2);
	CHECK_INT(snapshot->row_count, 2);
	CHECK_STR(snapshot->rows[0].user, "ana@a");
	CHECK_STR(snapshot->rows[1].user, "bo@a");
	CHECK(snapshot->totals.percent < 100);
	command.kind = CMD_STOP;
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	CHECK(await_event(bench.view, ENGINE_ENDED, 0, &event));
	code = engine_local_join(bench.own);
	CHECK_INT(code, RUNNER_STOPPED);
	CHECK_INT(event.value, code);
	engine_local_report(bench.own, "/x/report.txt");
	control_stop(&bench.control);
	until = clock_ms() + WAIT_MS;
	while (engine_alive(bench.view) && clock_ms() < until)
		clock_sleep_ms(10);
	CHECK(!engine_alive(bench.view));
	engine_snapshot(bench.view, snapshot);
	CHECK_INT(snapshot->totals.state, RUN_ENDED);
	CHECK_INT(snapshot->totals.exit_code, code);
	CHECK_STR(snapshot->totals.report, "/x/report.txt");
	CHECK(snapshot->totals.percent < 100);
	free(snapshot);
	bench_close(&bench);
}

static void
test_pause_and_resume(void)
{
	struct snapshot *snapshot = xcalloc(1, sizeof *snapshot);
	struct command command = { .kind = CMD_PAUSE, .glob = "a*" };
	int64_t until = clock_ms() + WAIT_MS;
	struct event event;
	struct bench bench;

	bench_open(&bench);
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	CHECK_INT(event.code, ERR_NONE);
	do {
		engine_snapshot(bench.view, snapshot);
		clock_sleep_ms(10);
	} while (strcmp(snapshot->rows[0].state, "paused") != 0 && clock_ms() < until);
	CHECK_STR(snapshot->rows[0].state, "paused");
	CHECK(strcmp(snapshot->rows[1].state, "paused") != 0);
	command.kind = CMD_RESUME;
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	do {
		engine_snapshot(bench.view, snapshot);
		clock_sleep_ms(10);
	} while (strcmp(snapshot->rows[0].state, "paused") == 0 && clock_ms() < until);
	CHECK(strcmp(snapshot->rows[0].state, "paused") != 0);
	free(snapshot);
	bench_close(&bench);
}

static bool
is_in_work(const struct snapshot *snapshot, const char *user)
{
	for (size_t i = 0; i < snapshot->work_count; i++) {
		if (strcmp(snapshot->work[i].user, user) == 0)
			return true;
	}
	return false;
}

/* What is begun is seen wherever it stands in the list; with most mailboxes unknown nothing is
 * said about the end. */
static void
test_many_accounts(void)
{
	struct snapshot *snapshot = xcalloc(1, sizeof *snapshot);
	struct command command = { .kind = CMD_PAUSE, .glob = "user599@a" };
	int64_t until = clock_ms() + WAIT_MS;
	struct event event;
	struct bench bench;

	many = true;
	bench_open(&bench);
	CHECK(await_event(bench.view, ENGINE_ANSWER, engine_send(bench.view, &command), &event));
	do {
		engine_snapshot(bench.view, snapshot);
		clock_sleep_ms(10);
	} while (!is_in_work(snapshot, "user599@a") && clock_ms() < until);
	CHECK(is_in_work(snapshot, "user599@a"));
	CHECK(!is_in_work(snapshot, "user598@a"));
	CHECK_INT(snapshot->row_count, SNAPSHOT_ROWS);
	CHECK_INT(snapshot->totals.accounts_unknown, MANY);
	CHECK_INT(snapshot->totals.percent, 0);
	CHECK_INT(snapshot->totals.eta_s, -1);
	free(snapshot);
	bench_close(&bench);
	many = false;
}

static void
run_all(void)
{
	printf("%s\n", remote ? "over the control socket" : "in this process");
	RUN(test_answers_and_stops);
	RUN(test_pause_and_resume);
	RUN(test_many_accounts);
}

int
main(void)
{
	run_all();
	remote = true;
	run_all();
	return test_done();
}
