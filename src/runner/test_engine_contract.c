/* test_engine_contract.c - what engine.h promises, asked of an engine made up for it, so that every
 * value and every moment can be set: as it is, and behind a control socket. The real engine is
 * asked the same two ways in test_engine_local.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "runner/client.h"
#include "runner/control.h"
#include "runner/fake_engine.h"
#include "base/banned.h"

#define WAIT_MS 10000

/* What the promises are asked of. */
struct bench {
	struct fake_engine *fake;
	struct engine *own;  /* the fake's */
	struct engine *view; /* what a front end has */
	struct control *control;
	struct wire_hello hello;
	char *dir;
};

static bool remote; /* which of the two; set by main() alone */

static void
bench_open(struct bench *bench)
{
	struct control_config config = { .log = NULL };
	char template[] = "/tmp/mailhaul-contract-XXXXXX";
	struct err err = { 0 };

	memset(bench, 0, sizeof *bench);
	bench->fake = fake_engine_new();
	bench->own = bench->view = fake_engine_get(bench->fake);
	if (!remote)
		return;
	bench->dir = xstrdup(mkdtemp(template));
	bench->hello.version = WIRE_VERSION;
	bench->hello.pid = (unsigned)getpid();
	text_safe(bench->hello.profile, sizeof bench->hello.profile, "acme");
	config.engine = bench->own;
	config.state_dir = bench->dir;
	config.hello = &bench->hello;
	CHECK_INT(control_start(&config, &bench->control, &err), 0);
	bench->view = NULL;
	CHECK_INT(engine_client_open(bench->dir, &bench->view, NULL, &err), 0);
	if (bench->view == NULL) {
		printf("no client: %s\n", err.text);
		exit(1);
	}
}

static void
bench_close(struct bench *bench)
{
	if (remote) {
		engine_close(&bench->view);
		CHECK(bench->view == NULL);
		engine_close(&bench->view); /* NULL is fine */
		control_stop(&bench->control);
		CHECK_INT(rmdir(bench->dir), 0); /* the socket is gone with it */
		free(bench->dir);
	}
	engine_close(&bench->own);
	CHECK(bench->own == NULL);
}

/* Waits for news; false when the time is up. */
static bool
await_news(struct engine *engine, int64_t until)
{
	struct pollfd wait = { .fd = engine_wake_fd(engine), .events = POLLIN };
	int64_t left = until - clock_ms();

	return left > 0 && poll(&wait, 1, (int)left) >= 0;
}

static void
await_revision(struct engine *engine, uint64_t revision, struct snapshot *snapshot_r)
{
	int64_t until = clock_ms() + WAIT_MS;
	struct event unused[4];

	do {
		engine_snapshot(engine, snapshot_r);
		engine_events(engine, UINT64_MAX, unused, 4);
	} while (snapshot_r->revision < revision && await_news(engine, until));
	CHECK(snapshot_r->revision >= revision);
}

/* The next `count` events after *after. */
static void
await_events(struct engine *engine, uint64_t *after, struct event *out, size_t count)
{
	int64_t until = clock_ms() + WAIT_MS;
	size_t got = 0;

	do {
		size_t part = engine_events(engine, *after, out + got, count - got);

		got += part;
		if (part > 0)
			*after = out[got - 1].seq;
	} while (got < count && await_news(engine, until));
	CHECK_INT(got, count);
}

static struct snapshot *
made_up_snapshot(size_t rows)
{
	struct snapshot *snapshot = xcalloc(1, sizeof *snapshot);
	struct snapshot_totals *totals = &snapshot->totals;

	totals->state = RUN_WORKING;
	totals->round = 2;
	totals->jobs = 6;
	totals->accounts = rows;
	totals->items_found = UINT64_C(200000000);
	totals->bytes_found = UINT64_C(9007199254740993); /* no double holds it */
	totals->bytes_per_s = 38.25e6;
	totals->eta_s = -1;
	totals->started = 1795257011;
	totals->percent = 41;
	text_safe(totals->error, sizeof totals->error, "none \"yet\" \\ \xC3\xA9");
	snapshot->row_count = rows;
	for (size_t i = 0; i < rows; i++) {
		struct snapshot_row *row = &snapshot->rows[i];

		row->account = i + 1;
		snprintf(row->user, sizeof row->user, "user%zu@acme.example", i);
		text_safe(row->folder, sizeof row->folder,
			"Entw\xC3\xBCrfe/\xE5\x8F\xB0\xE5\x8C\x97");
		text_safe(row->state, sizeof row->state, "copying");
		row->open = i % 2 == 0;
		row->counted = i % 3 == 0;
		row->items_done = i * 7;
		row->bytes_per_s = (double)i / 4;
	}
	snapshot->host_count = 1;
	snapshot->hosts[0] = (struct snapshot_host){ .host = "mail.example",
		.port = 993,
		.source = true,
		.connections = 5,
		.level = 3,
		.ceiling = 12,
		.waiting = 2,
		.backoff_ms = 1500,
		.bytes_per_s = 1.5e6,
		.lowered = "[LIMIT]",
		.compression = "better",
		.compressed_now = 3,
		.begun = 9,
		.compressed = 5,
		.bytes = UINT64_C(9007199254740993),
		.line_bytes = 12 };
	snapshot->work_count = rows;
	memcpy(snapshot->work, snapshot->rows, sizeof snapshot->work);
	return snapshot;
}

static void
test_snapshot_is_whole(void)
{
	struct snapshot *want = made_up_snapshot(SNAPSHOT_ROWS), *got = xcalloc(1, sizeof *got);
	struct bench bench;

	bench_open(&bench);
	CHECK(engine_alive(bench.view));
	fake_engine_show(bench.fake, want);
	await_revision(bench.view, 1, got);
	want->revision = got->revision;
	CHECK_MEM(got, want, sizeof *got);
	free(want);
	free(got);
	bench_close(&bench);
}

/* A row of the longest texts that need the most room as JSON. */
static void
test_largest_snapshot(void)
{
	struct snapshot *want = made_up_snapshot(SNAPSHOT_ROWS), *got = xcalloc(1, sizeof *got);
	struct bench bench;

	for (size_t i = 0; i < SNAPSHOT_ROWS; i++) {
		struct snapshot_row *row = &want->rows[i];

		memset(row->user, '"', sizeof row->user - 1);
		memset(row->target, '\\', sizeof row->target - 1);
		memset(row->folder, '"', sizeof row->folder - 1);
		memset(row->text, '\\', sizeof row->text - 1);
		row->bytes_found = (uint64_t)INT64_MAX;
	}
	memcpy(want->work, want->rows, sizeof want->work);
	bench_open(&bench);
	fake_engine_show(bench.fake, want);
	await_revision(bench.view, 1, got);
	want->revision = got->revision;
	CHECK_MEM(got, want, sizeof *got);
	free(want);
	free(got);
	bench_close(&bench);
}

static void
test_wakes(void)
{
	struct snapshot *snapshot = made_up_snapshot(1);
	struct event note = { .kind = ENGINE_NOTE }, got[2];
	struct pollfd wait = { .events = POLLIN };
	uint64_t after = 0;
	struct bench bench;

	bench_open(&bench);
	wait.fd = engine_wake_fd(bench.view);
	fake_engine_show(bench.fake, snapshot);
	fake_engine_emit(bench.fake, &note);
	await_revision(bench.view, 1, snapshot);
	await_events(bench.view, &after, got, 1);
	CHECK_INT(engine_events(bench.view, after, got, 2), 0);
	CHECK_INT(poll(&wait, 1, 0), 0); /* all was looked at */
	fake_engine_emit(bench.fake, &note);
	CHECK_INT(poll(&wait, 1, WAIT_MS), 1);
	engine_snapshot(bench.view, snapshot);
	CHECK_INT(poll(&wait, 1, 0), 1); /* the event is still to be looked at */
	await_events(bench.view, &after, got, 1);
	free(snapshot);
	bench_close(&bench);
}

static void
test_commands_arrive(void)
{
	static const struct command sent[] = {
		{ CMD_PAUSE, 0, "a*@acme.example", 0, 0, 0 },
		{ CMD_RESUME, 7, "", 0, 0, 0 },
		{ CMD_JOBS, 0, "", 12, 0, 0 },
		{ CMD_RETRY, 0, "*", 0, 0, 1001 },
		{ CMD_PING, 0, "", INT64_MAX, 3, 0 },
		{ CMD_STOP, 0, "", 0, 0, 0 },
	};
	const size_t count = sizeof sent / sizeof sent[0];
	struct command got[FAKE_COMMANDS];
	struct event answers[6];
	uint64_t after = 0, ids[6];
	struct bench bench;

	bench_open(&bench);
	for (size_t i = 0; i < count; i++)
		ids[i] = engine_send(bench.view, &sent[i]);
	await_events(bench.view, &after, answers, count);
	CHECK_INT(fake_engine_commands(bench.fake, got, FAKE_COMMANDS), count);
	for (size_t i = 0; i < count; i++) {
		CHECK_INT(answers[i].kind, ENGINE_ANSWER);
		CHECK_INT(answers[i].id, ids[i]);
		CHECK_INT(answers[i].code, ERR_NONE);
		CHECK_INT(got[i].kind, sent[i].kind);
		CHECK_INT(got[i].account, sent[i].account);
		CHECK_STR(got[i].glob, sent[i].glob);
		CHECK_INT(got[i].value, sent[i].value);
		CHECK_INT(got[i].value2, sent[i].value2);
		CHECK_INT(got[i].reason, sent[i].reason);
	}
	bench_close(&bench);
}

static void
test_refusal_is_answered(void)
{
	struct command skip = { .kind = CMD_SKIP, .glob = "nobody" };
	struct event answer;
	uint64_t after = 0, id;
	struct bench bench;

	bench_open(&bench);
	fake_engine_answer(bench.fake, ERR_USAGE, "no mailbox of this run matches nobody");
	id = engine_send(bench.view, &skip);
	await_events(bench.view, &after, &answer, 1);
	CHECK_INT(answer.id, id);
	CHECK_INT(answer.code, ERR_USAGE);
	CHECK_STR(answer.text, "no mailbox of this run matches nobody");
	bench_close(&bench);
}

static void
test_events_in_order(void)
{
	struct event event = { .kind = ENGINE_ACCOUNT,
		.time = 1795257011,
		.account = 3,
		.code = ERR_QUOTA,
		.value = 5 },
		     got[20];
	uint64_t after = 0;
	struct bench bench;

	bench_open(&bench);
	text_safe(event.user, sizeof event.user, "ana@acme.example");
	text_safe(event.folder, sizeof event.folder, "INBOX");
	for (size_t i = 0; i < 20; i++) {
		snprintf(event.text, sizeof event.text, "event %zu", i);
		fake_engine_emit(bench.fake, &event);
	}
	await_events(bench.view, &after, got, 20);
	for (size_t i = 0; i < 20; i++) {
		char text[32];

		snprintf(text, sizeof text, "event %zu", i);
		CHECK_INT(got[i].seq, i + 1);
		CHECK_STR(got[i].text, text);
		CHECK_INT(got[i].account, 3);
		CHECK_INT(got[i].code, ERR_QUOTA);
		CHECK_STR(got[i].user, "ana@acme.example");
		CHECK_STR(got[i].folder, "INBOX");
		CHECK_INT(got[i].time, 1795257011);
	}
	CHECK_INT(engine_events(bench.view, 17, got, 20), 3);
	CHECK_INT(got[0].seq, 18);
	CHECK_INT(engine_events(bench.view, 0, got, 2), 2);
	CHECK_INT(got[1].seq, 2);
	bench_close(&bench);
}

/* What nobody fetched in time is dropped, and the numbers show it; an answer is not. */
static void
test_dropped_events_show(void)
{
	struct event note = { .kind = ENGINE_NOTE }, got[FAKE_EVENTS * 4];
	struct command ping = { .kind = CMD_PING };
	const size_t many = FAKE_EVENTS * 3;
	uint64_t id, last = 0;
	size_t count = 0, answers = 0;
	int64_t until = clock_ms() + WAIT_MS;
	struct bench bench;

	bench_open(&bench);
	id = engine_send(bench.view, &ping);
	for (size_t i = 0; i < many; i++)
		fake_engine_emit(bench.fake, &note);
	do {
		count = engine_events(bench.view, 0, got, FAKE_EVENTS * 4);
		answers = 0;
		for (size_t i = 0; i < count; i++)
			answers += got[i].kind == ENGINE_ANSWER && got[i].id == id;
		last = count == 0 ? 0 : got[count - 1].seq;
	} while ((last < many + 1 || answers == 0) && await_news(bench.view, until));
	CHECK_INT(last, many + 1);
	CHECK_INT(answers, 1);
	bench_close(&bench);
}

static void
test_rows_window(void)
{
	struct snapshot *snapshot = made_up_snapshot(100);
	struct command rows = { .kind = CMD_ROWS, .value = 40, .value2 = 3 };
	int64_t until = clock_ms() + WAIT_MS;
	struct bench bench;

	bench_open(&bench);
	fake_engine_show(bench.fake, snapshot);
	engine_send(bench.view, &rows);
	do {
		engine_snapshot(bench.view, snapshot);
	} while (snapshot->row_count != 3 && await_news(bench.view, until));
	CHECK_INT(snapshot->first_row, 40);
	CHECK_INT(snapshot->row_count, 3);
	CHECK_STR(snapshot->rows[0].user, "user40@acme.example");
	CHECK_STR(snapshot->rows[2].user, "user42@acme.example");
	free(snapshot);
	bench_close(&bench);
}

/* The last picture and the last event come before the engine is gone. */
static void
test_end_is_told(void)
{
	struct snapshot *snapshot = made_up_snapshot(2);
	struct event end = { .kind = ENGINE_ENDED, .value = 2 }, got;
	int64_t until = clock_ms() + WAIT_MS;
	uint64_t after = 0;
	struct bench bench;

	bench_open(&bench);
	snapshot->totals.state = RUN_ENDED;
	snapshot->totals.exit_code = 2;
	text_safe(snapshot->totals.report, sizeof snapshot->totals.report, "/x/report.txt");
	fake_engine_show(bench.fake, snapshot);
	fake_engine_emit(bench.fake, &end);
	fake_engine_end(bench.fake);
	control_stop(&bench.control); /* a runner's end; nothing where there is no socket */
	while (engine_alive(bench.view) && await_news(bench.view, until))
		engine_snapshot(bench.view, snapshot);
	CHECK(!engine_alive(bench.view));
	engine_snapshot(bench.view, snapshot);
	CHECK_INT(snapshot->totals.state, RUN_ENDED);
	CHECK_INT(snapshot->totals.exit_code, 2);
	CHECK_STR(snapshot->totals.report, "/x/report.txt");
	await_events(bench.view, &after, &got, 1);
	CHECK_INT(got.kind, ENGINE_ENDED);
	CHECK_INT(got.value, 2);
	free(snapshot);
	bench_close(&bench);
}

static void
run_all(void)
{
	printf("%s\n", remote ? "over the control socket" : "in this process");
	RUN(test_snapshot_is_whole);
	RUN(test_largest_snapshot);
	RUN(test_wakes);
	RUN(test_commands_arrive);
	RUN(test_refusal_is_answered);
	RUN(test_events_in_order);
	RUN(test_dropped_events_show);
	RUN(test_rows_window);
	RUN(test_end_is_told);
}

int
main(void)
{
	run_all();
	remote = true;
	run_all();
	return test_done();
}
