/* client.c - engine.h over a runner's control socket.
 *
 * A thread of its own moves the bytes; the calls only look at what has come and queue what shall
 * go, so that none of them waits for the other process. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "runner/client.h"
#include "runner/socket_private.h"
#include "base/banned.h"

#define OPEN_MS      5000
#define UNSENT_MAX   ((size_t)1 << 20)
#define EVENTS_KEPT  2048
#define EVENTS_SPARE 512 /* room made at once when all are taken */

struct client {
	struct engine base;
	/* Fixed once engine_client_open() returns. */
	int fd;
	int wake; /* eventfd: news for the caller */
	int kick; /* eventfd: something to send, or the end */
	pthread_t thread;
	struct wire_hello hello;
	atomic_bool gone; /* the other side */
	/* The thread's own. */
	struct str in;
	struct snapshot *incoming;
	/* Shared: hold `lock`, never while waiting. */
	pthread_mutex_t lock;
	bool closing;
	struct str out;
	uint64_t next_id;
	struct snapshot *snapshot;
	bool has_snapshot;
	bool new_snapshot, new_events; /* not looked at yet; wake is readable while one is */
	struct event *events;
	size_t event_count;
	uint64_t last_seq;
};

static struct client *
client_of(struct engine *engine)
{
	return (struct client *)(void *)engine;
}

static const struct client *
client_of_const(const struct engine *engine)
{
	return (const struct client *)(const void *)engine;
}

/* An eventfd that is full is readable: that is all it is for. */
static void
signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN)
		BUG("an eventfd that cannot be written");
}

static void
drain_fd(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
		BUG("an eventfd that cannot be read");
}

/* Makes room by letting go the oldest that are no answers; answers only when nothing else is. */
static void
drop_events(struct client *client)
{
	size_t kept = 0, dropped = 0;

	for (size_t i = 0; i < client->event_count; i++) {
		if (dropped < EVENTS_SPARE && client->events[i].kind != ENGINE_ANSWER)
			dropped++;
		else
			client->events[kept++] = client->events[i];
	}
	if (kept == EVENTS_KEPT) {
		kept -= EVENTS_SPARE;
		memmove(client->events, client->events + EVENTS_SPARE,
			kept * sizeof *client->events);
	}
	client->event_count = kept;
}

/* Locked. */
static void
add_event(struct client *client, const struct event *event)
{
	if (client->event_count == EVENTS_KEPT)
		drop_events(client);
	client->events[client->event_count++] = *event;
	client->last_seq = event->seq;
	client->new_events = true;
	signal_fd(client->wake);
}

static int
take_frame(struct client *client, const json_t *frame, struct err *err)
{
	const char *type = wire_type(frame);
	struct event event;
	int ret = 0;

	if (strcmp(type, "snapshot") == 0) {
		ret = wire_get_snapshot(frame, client->incoming, err);
		pthread_mutex_lock(&client->lock);
		if (ret == 0) {
			struct snapshot *old = client->snapshot;

			client->snapshot = client->incoming;
			client->incoming = old;
			client->has_snapshot = client->new_snapshot = true;
			signal_fd(client->wake);
		}
		pthread_mutex_unlock(&client->lock);
		return ret;
	}
	if (strcmp(type, "event") != 0)
		return err_set(err, ERR_PROTOCOL, "control socket: an unknown kind of frame");
	if (wire_get_event(frame, &event, err) < 0)
		return -1;
	pthread_mutex_lock(&client->lock);
	if (event.seq <= client->last_seq)
		ret = err_set(err, ERR_PROTOCOL, "control socket: events out of order");
	else
		add_event(client, &event);
	pthread_mutex_unlock(&client->lock);
	return ret;
}

/* False at the end of the connection, or when the other side broke the rules. */
static bool
read_frames(struct client *client)
{
	json_t *frame = NULL;
	int ret = socket_read(client->fd, &client->in);

	if (ret <= 0)
		return ret == 0;
	while ((ret = wire_take(&client->in, &frame, NULL)) == 1) {
		ret = take_frame(client, frame, NULL);
		json_decref(frame);
		if (ret < 0)
			break;
	}
	return ret == 0;
}

/* True while the thread shall go on. */
static bool
write_frames(struct client *client, bool *more_r)
{
	bool ok;

	pthread_mutex_lock(&client->lock);
	ok = socket_write(client->fd, &client->out) == 0 && !client->closing;
	*more_r = client->out.len > 0;
	pthread_mutex_unlock(&client->lock);
	return ok;
}

static void *
client_thread(void *context)
{
	struct client *client = context;
	struct pollfd polled[2];
	bool more = false;

	for (;;) {
		polled[0] = (struct pollfd){ .fd = client->kick, .events = POLLIN };
		polled[1] = (struct pollfd){ .fd = client->fd,
			.events = more ? POLLIN | POLLOUT : POLLIN };
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			break;
		if ((polled[0].revents & POLLIN) != 0)
			drain_fd(client->kick);
		if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_frames(client))
			break;
		if (!write_frames(client, &more))
			break;
	}
	pthread_mutex_lock(&client->lock);
	atomic_store(&client->gone, true);
	client->new_events = client->new_snapshot = true;
	signal_fd(client->wake);
	pthread_mutex_unlock(&client->lock);
	return NULL;
}

static uint64_t
client_send(struct engine *engine, const struct command *command)
{
	struct client *client = client_of(engine);
	uint64_t id;

	pthread_mutex_lock(&client->lock);
	id = ++client->next_id;
	/* No room: the runner has not read for a megabyte of commands; it is as good as gone. */
	if (wire_put(&client->out, wire_command(id, command)) < 0)
		client->closing = true;
	signal_fd(client->kick);
	pthread_mutex_unlock(&client->lock);
	return id;
}

/* Locked. */
static void
looked(struct client *client)
{
	if (!client->new_snapshot && !client->new_events)
		drain_fd(client->wake);
}

static void
client_snapshot(struct engine *engine, struct snapshot *snapshot_r)
{
	struct client *client = client_of(engine);

	pthread_mutex_lock(&client->lock);
	*snapshot_r = *client->snapshot;
	client->new_snapshot = false;
	looked(client);
	pthread_mutex_unlock(&client->lock);
}

static size_t
client_events(struct engine *engine, uint64_t after, struct event *out, size_t max)
{
	struct client *client = client_of(engine);
	size_t count = 0, i;

	pthread_mutex_lock(&client->lock);
	for (i = 0; i < client->event_count && count < max; i++) {
		if (client->events[i].seq > after)
			out[count++] = client->events[i];
	}
	if (i == client->event_count) {
		client->new_events = false;
		looked(client);
	}
	pthread_mutex_unlock(&client->lock);
	return count;
}

static int
client_wake_fd(const struct engine *engine)
{
	return client_of_const(engine)->wake;
}

static bool
client_alive(const struct engine *engine)
{
	return !atomic_load(&client_of_const(engine)->gone);
}

static void
client_free(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	if (client->wake >= 0)
		close(client->wake);
	if (client->kick >= 0)
		close(client->kick);
	str_clear(&client->in);
	str_clear(&client->out);
	pthread_mutex_destroy(&client->lock);
	free(client->snapshot);
	free(client->incoming);
	free(client->events);
	free(client);
}

static void
client_close(struct engine **engine)
{
	struct client *client = client_of(*engine);

	pthread_mutex_lock(&client->lock);
	client->closing = true;
	signal_fd(client->kick);
	pthread_mutex_unlock(&client->lock);
	pthread_join(client->thread, NULL);
	client_free(client);
	*engine = NULL;
}

static const struct engine_ops client_ops = {
	.send = client_send,
	.snapshot = client_snapshot,
	.events = client_events,
	.wake_fd = client_wake_fd,
	.alive = client_alive,
	.close = client_close,
};

static int
connect_socket(struct client *client, const char *state_dir, struct err *err)
{
	struct sockaddr_un address;
	int dir, ret;

	if (socket_place(state_dir, &address, &dir, err) < 0)
		return -1;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret = client->fd < 0
		      ? -1
		      : connect(client->fd, (const struct sockaddr *)&address, sizeof address);
	if (ret < 0 && (errno == ENOENT || errno == ECONNREFUSED))
		ret = err_set(err, ERR_STATE_DIR, "no run is at work");
	else if (ret < 0)
		ret = err_errno(err, ERR_STATE_DIR, errno, "cannot reach the run");
	else if (!socket_peer_ok(client->fd))
		ret = err_set(
			err, ERR_PERM, "the control socket in %s is another user's", state_dir);
	close(dir);
	return ret;
}

/* Reads until there is a frame. */
static int
await_frame(struct client *client, int64_t deadline, json_t **frame_r, struct err *err)
{
	struct pollfd wait = { .fd = client->fd, .events = POLLIN };
	int ret;

	while ((ret = wire_take(&client->in, frame_r, err)) == 0) {
		int64_t left = deadline - clock_ms();

		if (left <= 0)
			return err_set(err, ERR_TIMEOUT, "the run at work does not answer");
		poll(&wait, 1, (int)left);
		if (socket_read(client->fd, &client->in) < 0)
			return err_set(err, ERR_STATE_DIR, "the run is just ending");
	}
	return ret < 0 ? -1 : 0;
}

static int
greet(struct client *client, struct err *err)
{
	struct wire_hello own = { .version = WIRE_VERSION, .pid = (unsigned)getpid() };
	int64_t deadline = clock_ms() + OPEN_MS;
	json_t *frame = NULL;
	int ret;

	if (await_frame(client, deadline, &frame, err) < 0)
		return -1;
	ret = wire_get_hello(frame, &client->hello, err);
	json_decref(frame);
	if (ret < 0)
		return -1;
	if (wire_put(&client->out, wire_hello(&own)) < 0 ||
		socket_write(client->fd, &client->out) < 0 || client->out.len > 0)
		return err_set(err, ERR_STATE_DIR, "the run is just ending");
	while (!client->has_snapshot) {
		if (await_frame(client, deadline, &frame, err) < 0)
			return -1;
		ret = take_frame(client, frame, err);
		json_decref(frame);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int
engine_client_open(const char *state_dir, struct engine **engine_r, struct wire_hello *hello_r,
	struct err *err)
{
	struct client *client = xcalloc(1, sizeof *client);
	int ret;

	client->base.ops = &client_ops;
	client->fd = -1;
	client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	client->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&client->lock, NULL);
	str_init(&client->in, WIRE_FRAME_MAX + 65536 + 4);
	str_init(&client->out, UNSENT_MAX);
	client->snapshot = xcalloc(1, sizeof *client->snapshot);
	client->incoming = xcalloc(1, sizeof *client->incoming);
	client->events = xcalloc(EVENTS_KEPT, sizeof *client->events);
	if (client->wake < 0 || client->kick < 0)
		ret = err_errno(err, ERR_STATE_DIR, errno, "no eventfd");
	else
		ret = connect_socket(client, state_dir, err);
	if (ret == 0)
		ret = greet(client, err);
	if (ret == 0) {
		int failed = pthread_create(&client->thread, NULL, client_thread, client);

		if (failed != 0)
			ret = err_errno(
				err, ERR_STATE_DIR, failed, "no thread for the control socket");
	}
	if (ret < 0) {
		client_free(client);
		return -1;
	}
	if (hello_r != NULL)
		*hello_r = client->hello;
	*engine_r = &client->base;
	return 0;
}
