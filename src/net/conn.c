/* conn.c - one connection: every wait has a deadline and watches the cancel.
 *
 * Reading and writing try first and wait only where the socket would block. A writer that has to
 * wait reads as well, into `in`: two peers that both write until the other reads would otherwise
 * stand still for ever. The first failure is kept; what had arrived before it (a server's BYE, for
 * one) can still be read, then every call returns that failure again. */
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/conn.h"
#include "net/net_private.h"

#include "base/banned.h"

#define IN_LIMIT_BYTES ((size_t)4 << 20)  /* read while writing */
#define IN_STEP_BYTES  ((size_t)64 << 10) /* `in` grows from here, and shrinks to it */
#define CLOSE_WAIT_MS  2000               /* for the other side to take what was sent */

/* Bytes received and not yet read: data[start..end). */
struct inbuf {
	char *data;
	size_t start, end, cap;
};

struct conn {
	const struct endpoint *ep;
	const struct cancel *cancel;
	char *host; /* as resolved and verified */
	char *name; /* "host:port", before every error text */
	int fd;
	struct tls *tls; /* NULL in the clear */
	bool lingers;    /* a target: what we close is gone */
	short read_want; /* poll event for which reading waits: POLLIN, under TLS also POLLOUT */
	struct inbuf in;
	struct err failure; /* ERR_NONE while the connection is good */
	uint64_t bytes_in, bytes_out, waited_ms;
};

/* Keeps the first failure, which already names the connection. */
static int
fail(struct conn *conn, const struct err *failure)
{
	if (conn->failure.code == ERR_NONE)
		conn->failure = *failure;
	return -1;
}

static int
fail_with(struct conn *conn, enum err_code code, const char *text)
{
	struct err failure = { 0 };

	err_set(&failure, code, "%s: %s", conn->name, text);
	return fail(conn, &failure);
}

static int
fail_errno(struct conn *conn, int errnum)
{
	struct err failure = { 0 };

	err_errno(&failure, ERR_LOST, errnum, "%s: the connection broke", conn->name);
	return fail(conn, &failure);
}

static int
fail_tls(struct conn *conn, struct err *failure)
{
	err_context(failure, "%s", conn->name);
	return fail(conn, failure);
}

static int
report(const struct conn *conn, struct err *err)
{
	if (err != NULL)
		*err = conn->failure;
	return -1;
}

/* Waits for one of `events`; 0, or -1 with the failure kept. */
static int
wait_until(struct conn *conn, short events, int64_t deadline, short *revents_r)
{
	struct err failure = { 0 };

	switch (net_wait(conn->fd, events, conn->cancel, deadline, revents_r)) {
	case NET_WAIT_READY:
		return 0;
	case NET_WAIT_TIMEOUT:
		err_set(&failure, ERR_TIMEOUT, "%s: no answer for %u s", conn->name,
			(conn->ep->timeout_ms + 999) / 1000);
		return fail(conn, &failure);
	case NET_WAIT_CANCELLED:
		return fail_with(conn, ERR_CANCELLED, "stopped");
	case NET_WAIT_FAILED:
		break;
	}
	return fail_errno(conn, errno);
}

/* A target that has got everything and is still silent is busy itself: not the line's time. */
static bool
waits_for_line(const struct conn *conn, short events)
{
	int unsent = 0;

	if (conn->ep->readonly || (events & POLLOUT) != 0)
		return true;
	return ioctl(conn->fd, SIOCOUTQ, &unsent) == 0 && unsent > 0;
}

static int
wait_for(struct conn *conn, short events, short *revents_r)
{
	bool counts = waits_for_line(conn, events);
	int64_t since = clock_ms();
	int ret = wait_until(conn, events, since + conn->ep->timeout_ms, revents_r);

	if (counts)
		conn->waited_ms += (uint64_t)(clock_ms() - since);
	return ret;
}

/* Reads without waiting: bytes, 0 = would block, -1 = failure kept. */
static ssize_t
try_read(struct conn *conn, void *buf, size_t size)
{
	struct err failure = { 0 };
	ssize_t n;

	conn->read_want = POLLIN;
	if (conn->tls != NULL) {
		n = tls_read(conn->tls, buf, size, &conn->read_want, &failure);
		if (n < 0)
			return fail_tls(conn, &failure);
	} else {
		do
			n = recv(conn->fd, buf, size, 0);
		while (n < 0 && errno == EINTR);
		if (n == 0)
			return fail_with(conn, ERR_LOST, "the other side ended the connection");
		if (n < 0 && errno != EAGAIN)
			return fail_errno(conn, errno);
		if (n < 0)
			n = 0;
	}
	conn->bytes_in += (uint64_t)n;
	return n;
}

/* Writes without waiting, likewise; under TLS *want_r says what for to wait. */
static ssize_t
try_write(struct conn *conn, const void *bytes, size_t len, short *want_r)
{
	struct err failure = { 0 };
	ssize_t n;

	*want_r = POLLOUT;
	if (conn->tls != NULL) {
		n = tls_write(conn->tls, bytes, len, want_r, &failure);
		if (n < 0)
			return fail_tls(conn, &failure);
	} else {
		do
			n = send(conn->fd, bytes, len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN)
			return fail_errno(conn, errno);
		if (n < 0)
			n = 0;
	}
	conn->bytes_out += (uint64_t)n;
	return n;
}

/* The input buffer. */

static size_t
in_len(const struct conn *conn)
{
	return conn->in.end - conn->in.start;
}

/* Makes room behind `end`; false when the limit is reached. */
static bool
in_room(struct inbuf *in)
{
	if (in->end < in->cap)
		return true;
	if (in->start > 0) {
		memmove(in->data, in->data + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
		return true;
	}
	if (in->cap >= IN_LIMIT_BYTES)
		return false;
	in->cap = in->cap == 0 ? IN_STEP_BYTES : in->cap * 2;
	in->data = xrealloc(in->data, in->cap);
	return true;
}

static size_t
in_take(struct inbuf *in, void *buf, size_t size)
{
	size_t len = in->end - in->start;

	if (len > size)
		len = size;
	memcpy(buf, in->data + in->start, len);
	in->start += len;
	if (in->start < in->end)
		return len;
	in->start = in->end = 0;
	if (in->cap > IN_STEP_BYTES) {
		free(in->data);
		*in = (struct inbuf){ 0 };
	}
	return len;
}

/* Takes what has arrived into the buffer, once: bytes, 0 = nothing there or no room, -1 = the
 * failure is kept. */
static ssize_t
in_fill(struct conn *conn)
{
	struct inbuf *in = &conn->in;
	ssize_t n;

	if (!in_room(in))
		return 0;
	n = try_read(conn, in->data + in->end, in->cap - in->end);
	if (n > 0)
		in->end += (size_t)n;
	return n;
}

int
conn_read(struct conn *conn, void *buf, size_t size, size_t *got_r, struct err *err)
{
	if (size == 0)
		BUG("conn_read of no bytes");
	if (conn->failure.code == ERR_NONE && cancel_fired(conn->cancel))
		fail_with(conn, ERR_CANCELLED, "stopped");
	if (in_len(conn) > 0 && conn->failure.code != ERR_CANCELLED) {
		*got_r = in_take(&conn->in, buf, size);
		return 0;
	}
	while (conn->failure.code == ERR_NONE) {
		ssize_t n = try_read(conn, buf, size);

		if (n > 0) {
			*got_r = (size_t)n;
			return 0;
		}
		if (n == 0)
			(void)wait_for(conn, conn->read_want, NULL);
	}
	return report(conn, err);
}

/* Waits until writing may go on, taking in what arrives meanwhile. */
static int
wait_to_write(struct conn *conn, short want)
{
	short events = want, revents = 0;

	/* When reading waits for room to write (TLS), asking for POLLIN would only spin. */
	if (conn->read_want == POLLIN && in_room(&conn->in))
		events |= POLLIN;
	if (wait_for(conn, events, &revents) != 0)
		return -1;
	conn->read_want = POLLIN;
	if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && in_fill(conn) < 0)
		return -1;
	return 0;
}

int
conn_write(struct conn *conn, const void *bytes, size_t len, struct err *err)
{
	const char *at = bytes;

	if (conn->failure.code == ERR_NONE && cancel_fired(conn->cancel))
		fail_with(conn, ERR_CANCELLED, "stopped");
	while (len > 0 && conn->failure.code == ERR_NONE) {
		short want = POLLOUT;
		ssize_t n = try_write(conn, at, len, &want);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (n == 0) {
			(void)wait_to_write(conn, want);
		} else if (conn->failure.code == ERR_LOST) {
			/* Why it hung up may lie in the socket: a BYE. */
			while (in_fill(conn) > 0)
				;
		}
	}
	return conn->failure.code == ERR_NONE ? 0 : report(conn, err);
}

bool
conn_wait_readable(struct conn *conn, unsigned ms)
{
	int64_t deadline = clock_ms() + ms;

	for (;;) {
		if (in_len(conn) > 0 || conn->failure.code != ERR_NONE)
			return true;
		/* Under TLS the socket may be readable without a byte for us: try. */
		if (in_fill(conn) != 0)
			return true;
		switch (net_wait(conn->fd, conn->read_want, conn->cancel, deadline, NULL)) {
		case NET_WAIT_TIMEOUT:
			return false;
		case NET_WAIT_READY:
			break;
		case NET_WAIT_CANCELLED:
		case NET_WAIT_FAILED:
			return true; /* conn_read() says which, without waiting */
		}
	}
}

bool
conn_readable(struct conn *conn)
{
	return conn_wait_readable(conn, 0);
}

/* Opening. */

static int
handshake(struct conn *conn)
{
	int64_t deadline = clock_ms() + conn->ep->timeout_ms;
	struct err failure = { 0 };

	conn->tls = tls_new(conn->ep, conn->host, conn->fd, &failure);
	if (conn->tls == NULL)
		return fail_tls(conn, &failure);
	for (;;) {
		short want = POLLIN;
		int done = tls_handshake(conn->tls, &want, &failure);

		if (done > 0)
			return 0;
		if (done < 0)
			return fail_tls(conn, &failure);
		/* One deadline for all of it: a server that drips bytes gains nothing. */
		if (wait_until(conn, want, deadline, NULL) != 0)
			return -1;
	}
}

static void
set_linger(struct conn *conn)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (conn->ep->readonly)
		return;
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	conn->lingers = true;
}

int
conn_open(const struct endpoint *ep, const struct cancel *cancel, struct conn **conn_r,
	struct err *err)
{
	struct conn *conn = xcalloc(1, sizeof(*conn));
	int ret = -1;

	conn->ep = ep;
	conn->cancel = cancel;
	conn->read_want = POLLIN;
	conn->host = net_host(ep->host);
	conn->name = xasprintf(
		strchr(conn->host, ':') != NULL ? "[%s]:%u" : "%s:%u", conn->host, ep->port);
	conn->fd = net_dial(conn->host, ep->port, ep->timeout_ms, cancel, conn->name, err);
	if (conn->fd < 0)
		goto out;
	set_linger(conn);
	if (ep->security == NET_TLS && handshake(conn) != 0) {
		report(conn, err);
		goto out;
	}
	*conn_r = conn;
	conn = NULL;
	ret = 0;
out:
	conn_close(&conn);
	return ret;
}

int
conn_starttls(struct conn *conn, struct err *err)
{
	char byte;

	if (conn->tls != NULL)
		BUG("STARTTLS inside TLS");
	if (conn->failure.code != ERR_NONE)
		return report(conn, err);
	/* A client speaks first in TLS: whatever is here was put in by someone else, to be taken
	 * for the server's words under TLS (CVE-2011-0411 and its kin). */
	if (in_len(conn) > 0 || recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		fail_with(
			conn, ERR_PROTOCOL, "the server spoke between STARTTLS and the handshake");
		return report(conn, err);
	}
	return handshake(conn) == 0 ? 0 : report(conn, err);
}

/* Closing. */

/* With SO_LINGER 0 close() throws away what the other side has not taken. So after a good end wait
 * until it has taken all: it closes too, or everything is acknowledged. */
static void
wait_taken(struct conn *conn)
{
	int64_t deadline = clock_ms() + CLOSE_WAIT_MS;
	char waste[4096];
	int unsent = 0;
	ssize_t n;

	if (shutdown(conn->fd, SHUT_WR) != 0)
		return;
	while (net_wait(conn->fd, POLLIN, conn->cancel, deadline, NULL) == NET_WAIT_READY) {
		n = recv(conn->fd, waste, sizeof(waste), 0);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			break;
	}
	if (ioctl(conn->fd, SIOCOUTQ, &unsent) == 0 && unsent == 0)
		conn_leave(conn);
}

void
conn_leave(struct conn *conn)
{
	static const struct linger off = { 0 };

	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	conn->lingers = false;
}

void
conn_close(struct conn **conn_p)
{
	struct conn *conn = *conn_p;

	if (conn == NULL)
		return;
	if (conn->fd >= 0) {
		bool healthy = conn->failure.code == ERR_NONE && !cancel_fired(conn->cancel);

		if (healthy && conn->tls != NULL)
			tls_end(conn->tls);
		if (healthy && conn->lingers)
			wait_taken(conn);
		close(conn->fd);
	}
	tls_free(&conn->tls);
	free(conn->in.data);
	free(conn->host);
	free(conn->name);
	free(conn);
	*conn_p = NULL;
}

void
conn_abort(struct conn **conn_p)
{
	if (*conn_p != NULL && (*conn_p)->failure.code == ERR_NONE)
		err_set(&(*conn_p)->failure, ERR_LOST, "closed by us");
	conn_close(conn_p);
}

/* For people. */

uint64_t
conn_bytes_in(const struct conn *conn)
{
	return conn->bytes_in;
}

uint64_t
conn_bytes_out(const struct conn *conn)
{
	return conn->bytes_out;
}

uint64_t
conn_waited_ms(const struct conn *conn)
{
	return conn->waited_ms;
}

const char *
conn_name(const struct conn *conn)
{
	return conn->name;
}

void
conn_describe(const struct conn *conn, struct str *out)
{
	if (conn->tls != NULL)
		tls_describe(conn->tls, out);
	else
		(void)str_adds(out, "no TLS");
}

bool
conn_is_tls(const struct conn *conn)
{
	return conn->tls != NULL;
}

void
conn_local(const struct conn *conn, struct str *out)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char text[NI_MAXHOST];

	if (getsockname(conn->fd, (struct sockaddr *)&address, &len) == 0 &&
		getnameinfo((struct sockaddr *)&address, len, text, sizeof(text), NULL, 0,
			NI_NUMERICHOST) == 0)
		(void)str_adds(out, text);
}
