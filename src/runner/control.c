/* control.c - the runner's end of the control socket: any number of screens watch and command.
 *
 * One thread, one poll loop. It looks at the engine ten times a second while somebody listens:
 * events are sent to all, the answer to a command to the one who gave it, and a snapshot, at most
 * four times a second, to those who have read the one before. So a snapshot is replaced by a later
 * one where a screen is slow, and never stands in a queue; answers and events do, and a client with
 * more than 1 MiB unread is disconnected. The engine never waits for any of this. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "runner/control.h"
#include "runner/socket_private.h"
#include "base/banned.h"

#define CLIENTS_MAX    32
#define PENDING_MAX    256 /* commands of one client without an answer */
#define UNREAD_MAX     ((size_t)1 << 20)
#define LOOK_MS        100
#define IDLE_MS        250 /* nobody listens; the log is to have times near the truth */
#define SNAPSHOT_MS    250
#define STATE_MS       2000 /* between two writings of state.json */
#define GREETING_MS    5000
#define FLUSH_MS       2000
#define EVENTS_AT_ONCE 64
#define ROUNDS_MAX     8 /* of so many events before bytes are moved again */

struct pending {
	uint64_t engine_id, client_id;
};

struct client {
	int fd;
	bool greeted, broken; /* broken: does not read, to be dropped */
	bool behind;          /* has not read yet what it was sent before this look */
	int64_t deadline;     /* for its hello */
	struct str in, out;
	uint64_t seq;      /* of the last event it was given */
	uint64_t revision; /* of the last snapshot */
	int64_t next_snapshot;
	uint64_t first_row, row_count; /* asked for */
	struct pending pending[PENDING_MAX];
	size_t pending_count;
};

struct control {
	/* Fixed once control_start() returns. */
	struct control_config config;
	struct cancel *cancel;
	pthread_t thread;
	int dir, listener;
	char *state_path;
	/* The thread's own. */
	struct client *clients[CLIENTS_MAX];
	size_t client_count;
	uint64_t after; /* events up to this were sent on */
	struct snapshot *snapshot;
	struct event *events;
	uint64_t state_revision;
	int64_t next_state;
};

static void
drop_client(struct control *control, size_t i)
{
	struct client *client = control->clients[i];

	close(client->fd);
	str_clear(&client->in);
	str_clear(&client->out);
	free(client);
	control->clients[i] = control->clients[--control->client_count];
}

/* Queues a frame; a client that does not read is marked for its end. */
static void
queue_frame(struct control *control, struct client *client, json_t *frame)
{
	if (client->broken) {
		json_decref(frame);
		return;
	}
	if (wire_put(&client->out, frame) == 0)
		return;
	log_line(control->config.log, LOG_WARN, NULL, NULL,
		"control socket: a client that does not read is disconnected");
	client->broken = true;
}

static void
queue_event(struct control *control, struct client *client, const struct event *event)
{
	struct event own = *event;

	own.seq = ++client->seq;
	queue_frame(control, client, wire_event(&own));
}

/* What a late client missed, as far as the engine still has it; answers were not for it. */
static void
replay_events(struct control *control, struct client *client)
{
	uint64_t after = 0;
	size_t count;

	do {
		count = engine_events(
			control->config.engine, after, control->events, EVENTS_AT_ONCE);
		for (size_t i = 0; i < count && control->events[i].seq <= control->after; i++) {
			if (control->events[i].kind != ENGINE_ANSWER)
				queue_event(control, client, &control->events[i]);
		}
		if (count > 0)
			after = control->events[count - 1].seq;
	} while (count == EVENTS_AT_ONCE && after < control->after);
}

static void
accept_client(struct control *control)
{
	int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	if (fd < 0)
		return;
	if (!socket_peer_ok(fd) || control->client_count == CLIENTS_MAX) {
		log_line(control->config.log, LOG_WARN, NULL, NULL,
			"control socket: a connection was refused");
		close(fd);
		return;
	}
	client = xcalloc(1, sizeof *client);
	client->fd = fd;
	client->deadline = clock_ms() + GREETING_MS;
	client->row_count = SNAPSHOT_ROWS;
	str_init(&client->in, WIRE_FRAME_MAX + 65536 + 4);
	str_init(&client->out, UNREAD_MAX);
	control->clients[control->client_count++] = client;
	queue_frame(control, client, wire_hello(control->config.hello));
}

/* Rows are one window for the whole engine: it covers what all clients ask for, as far as a
 * snapshot can; beyond that the last one asked wins. */
static void
ask_rows(struct control *control, const struct client *last)
{
	struct command rows = { .kind = CMD_ROWS };
	uint64_t first = last->first_row, end = first + last->row_count;

	for (size_t i = 0; i < control->client_count; i++) {
		const struct client *client = control->clients[i];
		uint64_t low = client->first_row < first ? client->first_row : first;
		uint64_t high = client->first_row + client->row_count;

		high = high > end ? high : end;
		if (high - low <= SNAPSHOT_ROWS) {
			first = low;
			end = high;
		}
	}
	rows.value = first;
	rows.value2 = end - first;
	engine_send(control->config.engine, &rows);
}

static void
take_rows(
	struct control *control, struct client *client, uint64_t id, const struct command *command)
{
	struct event answer = { .kind = ENGINE_ANSWER, .id = id, .time = clock_now() };

	client->first_row = command->value;
	client->row_count = command->value2 > SNAPSHOT_ROWS ? SNAPSHOT_ROWS : command->value2;
	if (client->first_row > UINT32_MAX) /* no sum of the two overflows */
		client->first_row = UINT32_MAX;
	client->revision = 0; /* the next picture at once */
	ask_rows(control, client);
	queue_event(control, client, &answer);
}

static int
take_frame(struct control *control, struct client *client, const json_t *frame, struct err *err)
{
	struct wire_hello hello;
	struct command command;
	uint64_t id;

	if (!client->greeted) {
		if (wire_get_hello(frame, &hello, err) < 0)
			return -1;
		client->greeted = true;
		replay_events(control, client);
		return 0;
	}
	if (strcmp(wire_type(frame), "command") != 0)
		return err_set(err, ERR_PROTOCOL, "control socket: a frame that is no command");
	if (wire_get_command(frame, &id, &command, err) < 0)
		return -1;
	if (command.kind == CMD_ROWS) {
		take_rows(control, client, id, &command);
		return 0;
	}
	if (client->pending_count == PENDING_MAX)
		return err_set(err, ERR_PROTOCOL, "control socket: too many commands at once");
	client->pending[client->pending_count].client_id = id;
	client->pending[client->pending_count++].engine_id =
		engine_send(control->config.engine, &command);
	return 0;
}

/* False when the client is gone or broke the rules. */
static bool
read_client(struct control *control, struct client *client)
{
	json_t *frame = NULL;
	struct err err = { 0 };
	int ret = socket_read(client->fd, &client->in);

	if (ret <= 0)
		return ret == 0;
	while ((ret = wire_take(&client->in, &frame, &err)) == 1) {
		ret = take_frame(control, client, frame, &err);
		json_decref(frame);
		if (ret < 0)
			break;
	}
	if (ret < 0)
		log_line(control->config.log, LOG_WARN, NULL, NULL, "%s; disconnected", err.text);
	return ret == 0;
}

static void
answer_client(struct control *control, const struct event *answer)
{
	for (size_t i = 0; i < control->client_count; i++) {
		struct client *client = control->clients[i];

		for (size_t j = 0; j < client->pending_count; j++) {
			struct event own = *answer;

			if (client->pending[j].engine_id != answer->id)
				continue;
			own.id = client->pending[j].client_id;
			client->pending[j] = client->pending[--client->pending_count];
			queue_event(control, client, &own);
			return;
		}
	}
}

/* What a job says is in the log already; how accounts and the run fare is not. */
static void
log_event(struct control *control, const struct event *event)
{
	struct log *log = control->config.log;

	if (event->kind == ENGINE_ACCOUNT && event->code != ERR_NONE)
		log_line(log, LOG_WARN, event->user, NULL, "%s: %s", event->text,
			err_name(event->code));
	else if (event->kind == ENGINE_ACCOUNT)
		log_line(log, LOG_INFO, event->user, NULL, "%s", event->text);
	else if (event->kind == ENGINE_ERROR && event->account == 0)
		log_line(log, LOG_ERROR, NULL, NULL, "%s", event->text);
	else if (event->kind == ENGINE_ENDED)
		log_line(log, LOG_INFO, NULL, NULL, "the run has ended, exit code %llu",
			(unsigned long long)event->value);
}

static void
send_event(struct control *control, const struct event *event)
{
	/* What the engine dropped leaves a gap in every client's numbers too. */
	uint64_t dropped = event->seq - control->after - 1;

	control->after = event->seq;
	log_event(control, event);
	for (size_t i = 0; i < control->client_count; i++)
		control->clients[i]->seq += control->clients[i]->greeted ? dropped : 0;
	if (event->kind == ENGINE_ANSWER) {
		answer_client(control, event);
		return;
	}
	for (size_t i = 0; i < control->client_count; i++) {
		if (control->clients[i]->greeted)
			queue_event(control, control->clients[i], event);
	}
}

/* A bounded number at a time, so that bytes leave in between, however fast events come. */
static void
send_events(struct control *control)
{
	size_t count, rounds = 0;

	do {
		count = engine_events(
			control->config.engine, control->after, control->events, EVENTS_AT_ONCE);
		for (size_t i = 0; i < count; i++)
			send_event(control, &control->events[i]);
	} while (count == EVENTS_AT_ONCE && ++rounds < ROUNDS_MAX);
}

/* Who is behind gets no picture until it has caught up; events queued in the same look are no
 * reason to wait. */
static void
mark_behind(struct control *control)
{
	for (size_t i = 0; i < control->client_count; i++)
		control->clients[i]->behind = control->clients[i]->out.len > 0;
}

static void
send_snapshots(struct control *control, int64_t now)
{
	bool fresh = false;

	for (size_t i = 0; i < control->client_count; i++) {
		struct client *client = control->clients[i];

		if (!client->greeted || client->behind || now < client->next_snapshot)
			continue;
		if (!fresh)
			engine_snapshot(control->config.engine, control->snapshot);
		fresh = true;
		if (client->revision == control->snapshot->revision + 1)
			continue;
		/* One more than its number, so that 0 means none. */
		client->revision = control->snapshot->revision + 1;
		client->next_snapshot = now + SNAPSHOT_MS;
		queue_frame(control, client,
			wire_snapshot(control->snapshot, client->first_row, client->row_count));
	}
}

/* For lists of profiles: what the run was doing lately, readable without a word to it. */
static void
write_state(struct control *control)
{
	const struct wire_hello *hello = control->config.hello;
	char when[24], *text;
	json_t *state;

	engine_snapshot(control->config.engine, control->snapshot);
	if (control->snapshot->revision + 1 == control->state_revision)
		return;
	control->state_revision = control->snapshot->revision + 1;
	state = wire_totals(&control->snapshot->totals);
	json_object_set_new(state, "version", json_integer(WIRE_VERSION));
	json_object_set_new(state, "profile", json_string(hello->profile));
	json_object_set_new(state, "pid", json_integer(hello->pid));
	json_object_set_new(state, "directory", json_string(hello->directory));
	json_object_set_new(
		state, "updated", json_string(clock_iso(when, sizeof when, clock_now())));
	text = json_dumps(state, JSON_INDENT(1));
	json_decref(state);
	if (text == NULL)
		return;
	/* A full disk is the ledger's to tell; this file is a courtesy. */
	(void)file_write_atomic(control->state_path, text, strlen(text), NULL);
	free(text);
}

/* Moves bytes both ways; those who are gone are dropped. */
static void
serve_clients(struct control *control, const struct pollfd *polled, size_t count, int64_t now)
{
	/* Backwards, since dropping moves the last one into the gap. */
	for (size_t i = count; i-- > 0;) {
		struct client *client = control->clients[i];
		bool keep = !client->broken && (client->greeted || now < client->deadline);

		if (keep && (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			keep = read_client(control, client);
		if (!keep || client->broken || socket_write(client->fd, &client->out) < 0)
			drop_client(control, i);
	}
}

static void
look_once(struct control *control)
{
	struct pollfd polled[CLIENTS_MAX + 2];
	size_t count = control->client_count;
	int64_t now;

	polled[0] = (struct pollfd){ .fd = cancel_fd(control->cancel), .events = POLLIN };
	polled[1] = (struct pollfd){ .fd = control->listener, .events = POLLIN };
	for (size_t i = 0; i < count; i++) {
		polled[i + 2].fd = control->clients[i]->fd;
		polled[i + 2].events = control->clients[i]->out.len > 0 ? POLLIN | POLLOUT : POLLIN;
		polled[i + 2].revents = 0;
	}
	poll(polled, (nfds_t)(count + 2), count > 0 ? LOOK_MS : IDLE_MS);
	now = clock_ms();
	mark_behind(control);
	send_events(control);
	send_snapshots(control, now);
	serve_clients(control, polled + 2, count, now);
	if ((polled[1].revents & POLLIN) != 0)
		accept_client(control);
	if (control->state_path != NULL && now >= control->next_state) {
		control->next_state = now + STATE_MS;
		write_state(control);
	}
}

/* The end of the run, and where its report lies, reach those who read. */
static void
flush_clients(struct control *control)
{
	int64_t until = clock_ms() + FLUSH_MS;
	bool unread = true;

	engine_snapshot(
		control->config.engine, control->snapshot); /* its number, for the test below */
	while (unread && clock_ms() < until) {
		struct pollfd none[CLIENTS_MAX];

		unread = false;
		memset(none, 0, sizeof none);
		mark_behind(control);
		send_events(control);
		send_snapshots(control, INT64_MAX - SNAPSHOT_MS);
		serve_clients(control, none, control->client_count, clock_ms());
		for (size_t i = 0; i < control->client_count; i++) {
			if (control->clients[i]->out.len > 0 ||
				(control->clients[i]->greeted &&
					control->clients[i]->revision !=
						control->snapshot->revision + 1))
				unread = true;
		}
		if (unread)
			clock_sleep_ms(10);
	}
}

static void *
control_thread(void *context)
{
	struct control *control = context;

	while (!cancel_fired(control->cancel))
		look_once(control);
	flush_clients(control);
	if (control->state_path != NULL)
		write_state(control);
	while (control->client_count > 0)
		drop_client(control, control->client_count - 1);
	return NULL;
}

static int
bind_socket(struct control *control, struct err *err)
{
	struct sockaddr_un address;

	if (socket_place(control->config.state_dir, &address, &control->dir, err) < 0)
		return -1;
	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listener < 0)
		return err_errno(err, ERR_STATE_DIR, errno, "no control socket");
	/* Before bind(), which gives the file this mode: it is never open to others. */
	if (fchmod(control->listener, 0600) < 0 ||
		(unlinkat(control->dir, SOCKET_NAME, 0) < 0 && errno != ENOENT) ||
		bind(control->listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
		listen(control->listener, CLIENTS_MAX) < 0)
		return err_errno(err, ERR_STATE_DIR, errno, "cannot make the control socket in %s",
			control->config.state_dir);
	return 0;
}

static void
control_free(struct control **control_p)
{
	struct control *control = *control_p;

	if (control->listener >= 0)
		close(control->listener);
	if (control->dir >= 0) {
		unlinkat(control->dir, SOCKET_NAME, 0);
		close(control->dir);
	}
	cancel_free(&control->cancel);
	free(control->snapshot);
	free(control->events);
	free(control->state_path);
	free(control);
	*control_p = NULL;
}

int
control_start(const struct control_config *config, struct control **control_r, struct err *err)
{
	struct control *control = xcalloc(1, sizeof *control);
	int ret;

	control->config = *config;
	if (config->state_path != NULL)
		control->state_path = xstrdup(config->state_path);
	control->dir = control->listener = -1;
	control->cancel = cancel_new();
	control->snapshot = xcalloc(1, sizeof *control->snapshot);
	control->events = xcalloc(EVENTS_AT_ONCE, sizeof *control->events);
	if (bind_socket(control, err) < 0) {
		control_free(&control);
		return -1;
	}
	ret = pthread_create(&control->thread, NULL, control_thread, control);
	if (ret != 0) {
		control_free(&control);
		return err_errno(err, ERR_STATE_DIR, ret, "no thread for the control socket");
	}
	*control_r = control;
	return 0;
}

void
control_stop(struct control **control)
{
	if (*control == NULL)
		return;
	cancel_fire((*control)->cancel);
	pthread_join((*control)->thread, NULL);
	control_free(control);
}
