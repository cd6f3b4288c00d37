/* test_control.c - the control socket against peers that break its rules, and against many. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "runner/client.h"
#include "runner/control.h"
#include "runner/fake_engine.h"
#include "runner/socket_private.h"
#include "base/banned.h"

#define WAIT_MS 10000

struct bench {
	struct fake_engine *fake;
	struct engine *engine;
	struct control *control;
	struct wire_hello hello;
	char *dir, *state_path;
};

static void
bench_open(struct bench *bench)
{
	struct control_config config = { .log = NULL };
	char template[] = "/tmp/mailhaul-control-XXXXXX";
	struct err err = { 0 };

	memset(bench, 0, sizeof *bench);
	bench->fake = fake_engine_new();
	bench->engine = fake_engine_get(bench->fake);
	bench->dir = xstrdup(mkdtemp(template));
	bench->state_path = path_join(bench->dir, "state.json");
	bench->hello.version = WIRE_VERSION;
	bench->hello.pid = 4711;
	config.engine = bench->engine;
	config.state_dir = bench->dir;
	config.state_path = bench->state_path;
	config.hello = &bench->hello;
	CHECK_INT(control_start(&config, &bench->control, &err), 0);
}

static void
bench_close(struct bench *bench)
{
	control_stop(&bench->control);
	CHECK_INT(unlink(bench->state_path), 0);
	CHECK_INT(rmdir(bench->dir), 0);
	engine_close(&bench->engine);
	free(bench->state_path);
	free(bench->dir);
}

static int
raw_connect(const struct bench *bench)
{
	struct sockaddr_un address;
	int dir, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(socket_place(bench->dir, &address, &dir, NULL), 0);
	CHECK_INT(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
	close(dir);
	return fd;
}

/* Reads all until the other side closes. False when it did not within the time. */
static bool
closed_by_peer(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int64_t until = clock_ms() + WAIT_MS;
	char bytes[4096];

	while (clock_ms() < until) {
		ssize_t got;

		if (poll(&wait, 1, 100) <= 0)
			continue;
		got = recv(fd, bytes, sizeof bytes, 0);
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			return true;
	}
	return false;
}

static void
send_text(int fd, const char *text)
{
	size_t len = strlen(text);
	unsigned char head[4] = { 0, 0, (unsigned char)(len >> 8), (unsigned char)len };

	CHECK_INT(send(fd, head, 4, MSG_NOSIGNAL), 4);
	CHECK_INT(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define HELLO                                                                                      \
	"{\"type\":\"hello\",\"version\":1,\"pid\":1,\"host\":\"\",\"profile\":\"\","              \
	"\"directory\":\"\"}"

/* Each peer is disconnected, and the next one is served. */
static void
test_broken_peers(void)
{
	static const char *const first[] = {
		"no json",
		"[]",
		"{}",
		"{\"type\":\"hello\"}",
		"{\"type\":\"hello\",\"version\":2}",
		"{\"type\":\"hello\",\"version\":\"1\"}",
		("{\"type\":\"hello\",\"version\":1,\"pid\":-1,\"host\":\"\",\"profile\":\"\","
		 "\"directory\":\"\"}"),
		"{\"type\":\"hello\",\"type\":\"hello\"}",
		"{\"type\":\"hello\",\"version\":1,\"pid\":1,\"host\":\"\\u0000\"}",
		"{\"type\":\"command\",\"id\":1,\"kind\":2}",
	};
	static const char *const second[] = {
		HELLO,
		"{\"type\":\"frob\"}",
		"{\"type\":\"command\"}",
		"{\"type\":\"command\",\"id\":0}",
		("{\"type\":\"command\",\"id\":1,\"kind\":99,\"account\":0,\"glob\":\"\",\"value\":"
		 "0,"
		 "\"value2\":0,\"reason\":0}"),
		("{\"type\":\"command\",\"id\":1,\"kind\":1,\"account\":0,\"glob\":7,\"value\":0,"
		 "\"value2\":0,\"reason\":0}"),
		("{\"type\":\"command\",\"id\":1,\"kind\":1,\"account\":0,\"glob\":\"\","
		 "\"value\":1.5,\"value2\":0,\"reason\":0}"),
	};
	struct bench bench;
	struct engine *engine = NULL;
	struct err err = { 0 };

	bench_open(&bench);
	for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
		int fd = raw_connect(&bench);

		send_text(fd, first[i]);
		CHECK(closed_by_peer(fd));
		close(fd);
	}
	for (size_t i = 0; i < sizeof second / sizeof second[0]; i++) {
		int fd = raw_connect(&bench);

		send_text(fd, HELLO);
		send_text(fd, second[i]);
		CHECK(closed_by_peer(fd));
		close(fd);
	}
	CHECK_INT(fake_engine_commands(bench.fake, NULL, 0), 0);
	CHECK_INT(engine_client_open(bench.dir, &engine, NULL, &err), 0);
	engine_close(&engine);
	bench_close(&bench);
}

static void
test_lengths(void)
{
	static const unsigned char heads[][4] = {
		{ 0, 0, 0, 0 },
		{ 0, 0x10, 0, 1 }, /* one over the limit */
		{ 0xFF, 0xFF, 0xFF, 0xFF },
	};
	struct bench bench;

	bench_open(&bench);
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		int fd = raw_connect(&bench);

		CHECK_INT(send(fd, heads[i], 4, MSG_NOSIGNAL), 4);
		CHECK(closed_by_peer(fd));
		close(fd);
	}
	bench_close(&bench);
}

/* A frame that comes byte by byte is a frame; one that never ends ends its sender's turn. */
static void
test_partial_frames(void)
{
	const char *text = HELLO;
	size_t len = strlen(text);
	char frame[256] = { 0, 0, 0, (char)len };
	struct str in;
	json_t *object = NULL;
	struct err err = { 0 };
	struct bench bench;
	int fd;

	memcpy(frame + 4, text, len);
	str_init(&in, WIRE_FRAME_MAX);
	for (size_t i = 0; i < len + 4; i++) {
		CHECK_INT(wire_take(&in, &object, &err), 0);
		str_add(&in, frame + i, 1);
	}
	str_add(&in, frame, 10); /* and the beginning of the next */
	CHECK_INT(wire_take(&in, &object, &err), 1);
	CHECK_STR(wire_type(object), "hello");
	CHECK_INT(in.len, 10);
	json_decref(object);
	CHECK_INT(wire_take(&in, &object, &err), 0);
	str_clear(&in);

	bench_open(&bench);
	fd = raw_connect(&bench);
	CHECK_INT(send(fd, frame, 20, MSG_NOSIGNAL), 20);
	CHECK(closed_by_peer(fd)); /* no hello in time */
	close(fd);
	bench_close(&bench);
}

/* A client that does not read is let go of; the engine and the others do not notice. */
static void
test_slow_client(void)
{
	struct event note = { .kind = ENGINE_NOTE };
	struct engine *engine = NULL;
	struct err err = { 0 };
	struct bench bench;
	int64_t until = clock_ms() + 2 * WAIT_MS;
	struct pollfd hangup = { .events = 0 };
	int fd;

	bench_open(&bench);
	memset(note.text, 'x', sizeof note.text - 1);
	memset(note.user, 'y', sizeof note.user - 1);
	memset(note.folder, 'z', sizeof note.folder - 1);
	fd = raw_connect(&bench);
	hangup.fd = fd;
	send_text(fd, HELLO);
	CHECK_INT(engine_client_open(bench.dir, &engine, NULL, &err), 0);
	while (clock_ms() < until && poll(&hangup, 1, 0) == 0) {
		for (size_t i = 0; i < FAKE_EVENTS; i++)
			fake_engine_emit(bench.fake, &note);
		clock_sleep_ms(1);
	}
	CHECK((hangup.revents & POLLHUP) != 0);
	CHECK(engine_alive(engine)); /* the other client has read all the while */
	close(fd);
	engine_close(&engine);
	bench_close(&bench);
}

static void
test_answers_go_to_their_client(void)
{
	struct command ping = { .kind = CMD_PING };
	struct engine *engines[2] = { NULL };
	struct event got[8];
	int64_t until = clock_ms() + WAIT_MS;
	struct err err = { 0 };
	struct bench bench;
	size_t counts[2];

	bench_open(&bench);
	for (size_t i = 0; i < 2; i++)
		CHECK_INT(engine_client_open(bench.dir, &engines[i], NULL, &err), 0);
	for (size_t i = 0; i < 3; i++)
		engine_send(engines[0], &ping);
	engine_send(engines[1], &ping);
	do {
		for (size_t i = 0; i < 2; i++)
			counts[i] = engine_events(engines[i], 0, got, 8);
	} while ((counts[0] < 3 || counts[1] < 1) && clock_ms() < until);
	CHECK_INT(counts[0], 3);
	CHECK_INT(counts[1], 1);
	CHECK_INT(got[0].id, 1); /* its own number, not the engine's */
	CHECK_INT(got[0].seq, 1);
	for (size_t i = 0; i < 2; i++)
		engine_close(&engines[i]);
	bench_close(&bench);
}

static void
test_late_client_sees_events(void)
{
	struct event note = { .kind = ENGINE_WARNING, .text = "disk is slow" }, got[4];
	struct engine *engines[2] = { NULL };
	int64_t until = clock_ms() + WAIT_MS;
	struct err err = { 0 };
	struct bench bench;

	bench_open(&bench);
	CHECK_INT(engine_client_open(bench.dir, &engines[0], NULL, &err), 0);
	fake_engine_emit(bench.fake, &note);
	while (engine_events(engines[0], 0, got, 4) == 0 && clock_ms() < until)
		clock_sleep_ms(5);
	CHECK_INT(engine_client_open(bench.dir, &engines[1], NULL, &err), 0);
	while (engine_events(engines[1], 0, got, 4) == 0 && clock_ms() < until)
		clock_sleep_ms(5);
	CHECK_STR(got[0].text, "disk is slow");
	for (size_t i = 0; i < 2; i++)
		engine_close(&engines[i]);
	bench_close(&bench);
}

static void
test_private(void)
{
	struct bench bench;
	struct engine *engine = NULL;
	struct wire_hello hello;
	struct err err = { 0 };
	struct stat st;
	char *path;

	bench_open(&bench);
	path = path_join(bench.dir, "control");
	CHECK_INT(lstat(path, &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_INT(engine_client_open(bench.dir, &engine, &hello, &err), 0);
	CHECK_INT(hello.pid, 4711);
	engine_close(&engine);
	free(path);
	bench_close(&bench);
}

static void
test_nobody_there(void)
{
	char template[] = "/tmp/mailhaul-control-XXXXXX";
	char *dir = xstrdup(mkdtemp(template)), *path = path_join(dir, "control");
	struct engine *engine = NULL;
	struct err err = { 0 };
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), at;

	CHECK_INT(engine_client_open(dir, &engine, NULL, &err), -1);
	CHECK_INT(err.code, ERR_STATE_DIR);
	CHECK_STR(err.text, "no run is at work");
	/* What a killed runner leaves. */
	CHECK_INT(socket_place(dir, &address, &at, &err), 0);
	CHECK_INT(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	close(at);
	CHECK_INT(engine_client_open(dir, &engine, NULL, &err), -1);
	CHECK_STR(err.text, "no run is at work");
	unlink(path);
	rmdir(dir);
	free(path);
	free(dir);
}

/* A path far longer than sun_path. */
static void
test_long_path(void)
{
	char template[] = "/tmp/mailhaul-control-XXXXXX";
	char *dir = xstrdup(mkdtemp(template)), *deep;
	struct control_config config = { .log = NULL };
	struct wire_hello hello = { .version = WIRE_VERSION };
	struct fake_engine *fake = fake_engine_new();
	struct engine *own = fake_engine_get(fake), *engine = NULL;
	struct control *control = NULL;
	struct err err = { 0 };

	deep = xasprintf("%s/%0200d", dir, 7);
	CHECK_INT(mkdir(deep, 0700), 0);
	config.engine = own;
	config.state_dir = deep;
	config.hello = &hello;
	CHECK_INT(control_start(&config, &control, &err), 0);
	CHECK_INT(engine_client_open(deep, &engine, NULL, &err), 0);
	engine_close(&engine);
	control_stop(&control);
	engine_close(&own);
	rmdir(deep);
	rmdir(dir);
	free(deep);
	free(dir);
}

int
main(void)
{
	RUN(test_broken_peers);
	RUN(test_lengths);
	RUN(test_partial_frames);
	RUN(test_slow_client);
	RUN(test_answers_go_to_their_client);
	RUN(test_late_client_sees_events);
	RUN(test_private);
	RUN(test_nobody_there);
	RUN(test_long_path);
	return test_done();
}
