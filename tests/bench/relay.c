/* relay.c - a TCP relay on loopback that is as long as a real line: each byte takes a while.
 *
 * usage: relay --target HOST:PORT [--listen PORT] --delay-ms N [--rate BYTES_PER_S]
 *              [--window BYTES]
 *
 * A byte read at t is written at t + N ms, in either direction, so the round trip grows by 2N. What
 * was read and not yet written is in flight: at most --window bytes (4 MiB) for each connection and
 * direction; when they are full the relay stops reading, and the sender waits. A connection thus
 * carries at most a window per N ms. There is no loss and no slow start. --rate is the line's: for
 * each direction of all connections together, which take turns; 1.5 MB/s are 1500000.
 *
 * What a connect() costs. Over a real line a client's connect() returns after one round trip (SYN,
 * SYN and ACK), its ACK reaches the server half a round trip later, and the server's greeting the
 * client at two round trips after it called connect(). A relay in user space cannot hold back the
 * kernel's answer to the SYN: connect() returns at once. All that follows is put where it would
 * have been instead: the target is connected to 3N after the accept, when the ACK would have come;
 * what the client says is taken as said 2N after the accept at the earliest, so it arrives at 3N or
 * later; and the greeting arrives 4N after the accept, as over the line. Only a client that does
 * work of its own between connect() and its first read sees a difference. A target that refuses is
 * reported at 4N, where a line would say so at 2N.
 *
 * The end of a stream and a reset are passed on in their place behind the bytes. A reset drops what
 * was on its way to the side that sent it.
 *
 * Prints "port N" once it listens; SIGTERM and SIGINT end it with status 0.
 *
 * One thread. Each turn of the loop looks at all connections, which are few: sockets are registered
 * once, edge-triggered, and what epoll has said of them is kept in flags. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_DEFAULT (4 << 20)
#define WINDOW_MAX     (1 << 30)
#define READ_MAX       (256 << 10)
#define RATED_READ_MAX (16 << 10)       /* with --rate: small, so that connections take turns */
#define LINE_QUEUE_NS  INT64_C(2000000) /* with --rate: what may wait for the line to be free */
#define MARKS_MAX      16384            /* of a direction; a full list is a full window */
#define DELAY_MAX_MS   60000
#define EVENTS_MAX     64
#define SECOND_NS      INT64_C(1000000000)
#define NEVER          INT64_MAX

enum mark_kind {
	MARK_BYTES,
	MARK_END,   /* the sender has shut its side */
	MARK_RESET, /* the sender has broken the connection */
};

struct mark {
	int64_t due_ns;
	size_t bytes;
	enum mark_kind kind;
};

/* A direction of the line, for --rate. */
struct line {
	int64_t free_ns; /* when all that was read has passed the bottleneck */
};

/* A socket; the flags are what epoll last said, until a call finds otherwise. */
struct side {
	int fd; /* -1: not yet connected */
	bool readable;
	bool writable;
	bool error;
};

/* A direction of a connection: a ring of bytes, and marks that say when they are due. */
struct way {
	struct side *from;
	struct side *to;
	struct way *back; /* the other direction */
	struct line *line;
	char *ring;
	size_t head; /* of the oldest byte */
	size_t used;
	size_t ripe; /* the oldest bytes of these: due, and to be written as soon as may be */
	struct mark *marks;
	size_t mark_head;
	size_t mark_count;
	int64_t not_before_ns; /* what is read earlier counts as read then */
	bool ended;            /* MARK_END or MARK_RESET was set: nothing more is read */
	bool reset;            /* MARK_RESET was set */
	bool done;             /* MARK_END was passed on, or nobody is there to read */
};

struct conn {
	struct conn *next;
	struct side client;
	struct side target;
	struct way up;
	struct way down;
	int64_t connect_ns;
	bool broken; /* a reset was passed on */
};

struct relay {
	int epoll;
	int listener;
	struct sockaddr_storage target;
	socklen_t target_len;
	int64_t delay_ns;
	int64_t rate; /* bytes per second, 0: no limit */
	size_t window;
	struct line up;
	struct line down;
	struct conn *conns; /* in the order in which they are served next */
};

static void
die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* The marks. */

static const struct mark *
first_mark(const struct way *way)
{
	return way->mark_count > 0 ? &way->marks[way->mark_head] : NULL;
}

static void
drop_mark(struct way *way)
{
	way->mark_head = (way->mark_head + 1) % MARKS_MAX;
	way->mark_count--;
}

static void
add_mark(struct way *way, enum mark_kind kind, size_t bytes, int64_t due_ns)
{
	way->marks[(way->mark_head + way->mark_count) % MARKS_MAX] = (struct mark){
		.due_ns = due_ns,
		.bytes = bytes,
		.kind = kind,
	};
	way->mark_count++;
}

static int64_t
due(const struct relay *relay, const struct way *way, int64_t now)
{
	return (now > way->not_before_ns ? now : way->not_before_ns) + relay->delay_ns;
}

/* The bytes pass a line of `rate` one after another, then they take the delay. */
static int64_t
due_rated(const struct relay *relay, struct way *way, size_t bytes, int64_t now)
{
	struct line *line = way->line;

	if (line->free_ns < now)
		line->free_ns = now;
	line->free_ns += (int64_t)bytes * SECOND_NS / relay->rate;
	return due(relay, way, line->free_ns);
}

static void
set_end(const struct relay *relay, struct way *way, enum mark_kind kind, int64_t now)
{
	way->ended = true;
	way->reset = kind == MARK_RESET;
	add_mark(way, kind, 0, due(relay, way, now));
}

/* In. */

/* Room for the two marks of an end and a reset stays. */
static bool
has_room(const struct relay *relay, const struct way *way)
{
	return way->used < relay->window && way->mark_count < MARKS_MAX - 2;
}

static bool
wants_to_read(const struct relay *relay, const struct way *way)
{
	return way->from->readable && !way->ended && has_room(relay, way);
}

static bool
line_is_busy(const struct relay *relay, const struct way *way, int64_t now)
{
	return relay->rate > 0 && way->line->free_ns > now + LINE_QUEUE_NS;
}

/* The piece of the ring to read into: never across its end. */
static char *
free_piece(const struct relay *relay, struct way *way, size_t *size_r)
{
	size_t most = relay->rate > 0 ? RATED_READ_MAX : READ_MAX, tail, size;

	if (way->used == 0)
		way->head = 0; /* few pages that stay in the cache */
	tail = (way->head + way->used) % relay->window;
	size = tail < way->head ? way->head - tail : relay->window - tail;
	*size_r = size < most ? size : most;
	return way->ring + tail;
}

static void
read_some(struct relay *relay, struct way *way, int64_t now)
{
	size_t size = 0;
	char *piece = free_piece(relay, way, &size);
	ssize_t n = recv(way->from->fd, piece, size, 0);

	if (n > 0) {
		way->used += (size_t)n;
		add_mark(way, MARK_BYTES, (size_t)n,
			relay->rate > 0 ? due_rated(relay, way, (size_t)n, now)
					: due(relay, way, now));
	} else if (n == 0)
		set_end(relay, way, MARK_END, now);
	else if (errno == EAGAIN)
		way->from->readable = false;
	else if (errno != EINTR)
		set_end(relay, way, MARK_RESET, now);
}

static void
take_in(struct relay *relay, struct way *way, int64_t now)
{
	while (wants_to_read(relay, way) && !line_is_busy(relay, way, now)) {
		read_some(relay, way, now);
		if (relay->rate > 0)
			break; /* the next one's turn */
	}
	/* After the end of a stream a reset is seen by nothing but this. */
	if (way->from->error && way->ended && !way->reset)
		set_end(relay, way, MARK_RESET, now);
}

/* Out. */

/* Nobody reads any more: what was meant for it is dropped, and the sender learns it a while later.
 */
static void
fail_write(const struct relay *relay, struct way *way, int64_t now)
{
	way->used = 0;
	way->ripe = 0;
	way->mark_count = 0;
	way->ended = true;
	way->done = true;
	if (!way->back->reset)
		set_end(relay, way->back, MARK_RESET, now);
}

static void
write_ripe(struct relay *relay, struct way *way, int64_t now)
{
	while (way->ripe > 0 && way->to->writable) {
		size_t first = relay->window - way->head;
		struct iovec iov[2] = {
			{ way->ring + way->head, way->ripe < first ? way->ripe : first },
			{ way->ring, way->ripe < first ? 0 : way->ripe - first },
		};
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = iov[1].iov_len > 0 ? 2 : 1 };
		ssize_t n = sendmsg(way->to->fd, &msg, MSG_NOSIGNAL);

		if (n >= 0) {
			way->head = (way->head + (size_t)n) % relay->window;
			way->used -= (size_t)n;
			way->ripe -= (size_t)n;
		} else if (errno == EAGAIN)
			way->to->writable = false;
		else if (errno != EINTR)
			fail_write(relay, way, now);
	}
}

static void
bring_out(struct relay *relay, struct conn *conn, struct way *way, int64_t now)
{
	const struct mark *mark;

	if (way->to->fd < 0)
		return;
	for (mark = first_mark(way);
		mark != NULL && mark->kind == MARK_BYTES && mark->due_ns <= now;
		mark = first_mark(way)) {
		way->ripe += mark->bytes;
		drop_mark(way);
	}
	write_ripe(relay, way, now);
	for (mark = first_mark(way);
		way->ripe == 0 && mark != NULL && mark->kind != MARK_BYTES && mark->due_ns <= now;
		mark = first_mark(way)) {
		if (mark->kind == MARK_RESET)
			conn->broken = true;
		else
			shutdown(way->to->fd, SHUT_WR);
		way->done = true;
		drop_mark(way);
	}
}

static bool
way_is_over(const struct way *way)
{
	return way->done && way->mark_count == 0; /* a reset may follow the end */
}

/* Connections. */

static void
watch(const struct relay *relay, struct side *side)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = side,
	};
	int one = 1;

	setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, side->fd, &event) != 0)
		die("epoll_ctl");
}

static void
way_init(const struct relay *relay, struct way *way, struct side *from, struct side *to,
	struct way *back, struct line *line)
{
	/* Pages come as they are touched. */
	size_t marks = MARKS_MAX * sizeof(*way->marks);
	char *place = mmap(NULL, marks + relay->window, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (place == MAP_FAILED)
		die("mmap");
	*way = (struct way){
		.from = from,
		.to = to,
		.back = back,
		.line = line,
		.marks = (void *)place,
		.ring = place + marks,
	};
}

static void
way_clear(const struct relay *relay, struct way *way)
{
	munmap(way->marks, MARKS_MAX * sizeof(*way->marks) + relay->window);
}

static void
conn_new(struct relay *relay, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int64_t now = now_ns();

	if (conn == NULL)
		die("calloc");
	conn->client.fd = fd;
	conn->target.fd = -1;
	way_init(relay, &conn->up, &conn->client, &conn->target, &conn->down, &relay->up);
	way_init(relay, &conn->down, &conn->target, &conn->client, &conn->up, &relay->down);
	conn->up.not_before_ns = now + 2 * relay->delay_ns;
	conn->connect_ns = now + 3 * relay->delay_ns;
	conn->next = relay->conns;
	relay->conns = conn;
	watch(relay, &conn->client);
}

static void
conn_free(const struct relay *relay, struct conn *conn)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	struct side *sides[2] = { &conn->client, &conn->target };
	int i;

	for (i = 0; i < 2; i++) {
		if (sides[i]->fd < 0)
			continue;
		if (conn->broken)
			setsockopt(sides[i]->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(sides[i]->fd);
	}
	way_clear(relay, &conn->up);
	way_clear(relay, &conn->down);
	free(conn);
}

static void
accept_all(struct relay *relay)
{
	int fd;

	while ((fd = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		conn_new(relay, fd);
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		die("accept4");
}

/* A refusal, also one at once, comes to light at the first read. */
static void
connect_target(struct relay *relay, struct conn *conn)
{
	conn->target.fd =
		socket(relay->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->target.fd < 0)
		die("socket");
	if (connect(conn->target.fd, (struct sockaddr *)&relay->target, relay->target_len) != 0 &&
		errno != EINPROGRESS) {
		conn->target.readable = true;
		conn->target.error = true;
	}
	watch(relay, &conn->target);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When `way` must be looked at again if epoll says nothing of it. */
static int64_t
way_wakes(const struct relay *relay, const struct way *way, int64_t now)
{
	int64_t at = NEVER;

	if (wants_to_read(relay, way))
		at = line_is_busy(relay, way, now) ? way->line->free_ns - LINE_QUEUE_NS : now;
	if (way->ripe == 0 && way->mark_count > 0 && way->to->fd >= 0)
		at = earlier(at, first_mark(way)->due_ns);
	return at;
}

/* Moves all that can be moved; returns when the next byte is due. */
static int64_t
serve(struct relay *relay)
{
	int64_t now = now_ns(), wake = NEVER;
	struct conn **at = &relay->conns, *first = NULL, *conn;

	while ((conn = *at) != NULL) {
		if (conn->target.fd < 0 && conn->connect_ns <= now)
			connect_target(relay, conn);
		take_in(relay, &conn->up, now);
		take_in(relay, &conn->down, now);
		bring_out(relay, conn, &conn->up, now);
		bring_out(relay, conn, &conn->down, now);
		if (conn->broken || (way_is_over(&conn->up) && way_is_over(&conn->down))) {
			*at = conn->next;
			conn_free(relay, conn);
			continue;
		}
		if (conn->target.fd < 0)
			wake = earlier(wake, conn->connect_ns);
		wake = earlier(wake, way_wakes(relay, &conn->up, now));
		wake = earlier(wake, way_wakes(relay, &conn->down, now));
		at = &conn->next;
	}
	/* Who was first is last the next time. */
	first = relay->conns;
	if (first != NULL && first->next != NULL) {
		relay->conns = first->next;
		first->next = NULL;
		*at = first;
	}
	return wake;
}

static void
note(const struct epoll_event *event)
{
	struct side *side = event->data.ptr;

	if ((event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		side->readable = true;
	if ((event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		side->writable = true;
	if ((event->events & EPOLLERR) != 0)
		side->error = true;
}

static void
run(struct relay *relay)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int64_t wake = serve(relay);
		int64_t left = wake == NEVER ? 0 : wake - now_ns();
		struct timespec ts = { 0 };
		int i, n;

		if (left > 0) {
			ts.tv_sec = left / SECOND_NS;
			ts.tv_nsec = left % SECOND_NS;
		}
		n = epoll_pwait2(
			relay->epoll, events, EVENTS_MAX, wake == NEVER ? NULL : &ts, NULL);
		if (n < 0 && errno != EINTR)
			die("epoll_pwait2");
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr == relay)
				accept_all(relay);
			else
				note(&events[i]);
		}
	}
}

/* Start. */

static void
on_signal(int number)
{
	(void)number;
	_exit(0); /* there is nothing to put in order */
}

static void
resolve(struct relay *relay, char *target)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char *colon = strrchr(target, ':');
	int ret;

	if (colon == NULL) {
		fprintf(stderr, "relay: --target is HOST:PORT\n");
		exit(2);
	}
	*colon = '\0';
	ret = getaddrinfo(target, colon + 1, &hints, &found);
	if (ret != 0) {
		fprintf(stderr, "relay: %s: %s\n", target, gai_strerror(ret));
		exit(1);
	}
	memcpy(&relay->target, found->ai_addr, found->ai_addrlen);
	relay->target_len = found->ai_addrlen;
	freeaddrinfo(found);
}

static unsigned
listen_at(struct relay *relay, unsigned port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = relay };
	socklen_t len = sizeof(address);
	int one = 1;

	relay->epoll = epoll_create1(EPOLL_CLOEXEC);
	relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (relay->epoll < 0 || relay->listener < 0)
		die("socket");
	setsockopt(relay->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(relay->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(relay->listener, 1024) != 0 ||
		getsockname(relay->listener, (struct sockaddr *)&address, &len) != 0 ||
		epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->listener, &event) != 0)
		die("listen");
	return ntohs(address.sin_port);
}

static int64_t
number(const char *text, int64_t min, int64_t max)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
		fprintf(stderr, "relay: %s is not a number from %lld to %lld\n", text,
			(long long)min, (long long)max);
		exit(2);
	}
	return value;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "target", required_argument, NULL, 't' },
		{ "listen", required_argument, NULL, 'l' },
		{ "delay-ms", required_argument, NULL, 'd' },
		{ "rate", required_argument, NULL, 'r' },
		{ "window", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct relay relay = { .delay_ns = -1, .window = WINDOW_DEFAULT };
	struct sigaction ending = { .sa_handler = on_signal };
	unsigned port = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			resolve(&relay, optarg);
		else if (c == 'l')
			port = (unsigned)number(optarg, 0, 65535);
		else if (c == 'd')
			relay.delay_ns = number(optarg, 0, DELAY_MAX_MS) * 1000000;
		else if (c == 'r')
			relay.rate = number(optarg, 1, INT64_C(100) * SECOND_NS);
		else if (c == 'w')
			relay.window = (size_t)number(optarg, 1, WINDOW_MAX);
		else
			exit(2);
	}
	if (relay.target_len == 0 || relay.delay_ns < 0 || optind != argc) {
		fprintf(stderr, "usage: relay --target HOST:PORT [--listen PORT] --delay-ms N "
				"[--rate BYTES_PER_S] [--window BYTES]\n");
		exit(2);
	}
	sigaction(SIGTERM, &ending, NULL);
	sigaction(SIGINT, &ending, NULL);
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* the usual 50 us are a part of a short delay */
	printf("port %u\n", listen_at(&relay, port));
	fflush(stdout);
	run(&relay);
	return 0;
}
