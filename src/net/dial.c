/* dial.c - from a host name to a connected socket.
 *
 * Names are resolved by getaddrinfo(), which blocks for as long as the system's resolver allows
 * (doc/net.md); everything after it is poll() on the socket and the cancel eventfd. All addresses
 * are tried in turn and share one deadline: each gets an equal part of what is left, so that a
 * first address whose packets vanish (a broken IPv6 route) leaves time for the next. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net_private.h"

#include "base/banned.h"

#define ADDRESSES_MAX 16 /* of one name; more is a mistake or an attack */

/* A peer that is gone without a word is noticed after a minute of silence and four probes. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4

enum net_wait
net_wait(int fd, short events, const struct cancel *cancel, int64_t deadline, short *revents_r)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events },
		{ .fd = cancel_fd(cancel), .events = POLLIN } };

	for (;;) {
		int64_t left = deadline - clock_ms();
		int n;

		if (left < 0)
			left = 0;
		if (left > INT_MAX)
			left = INT_MAX;
		n = poll(fds, 2, (int)left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return NET_WAIT_FAILED;
		if (fds[1].revents != 0)
			return NET_WAIT_CANCELLED;
		if (fds[0].revents != 0) {
			if (revents_r != NULL)
				*revents_r = fds[0].revents;
			return NET_WAIT_READY;
		}
		if (clock_ms() >= deadline)
			return NET_WAIT_TIMEOUT;
	}
}

char *
net_host(const char *host)
{
	size_t len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
		return xstrndup(host + 1, len - 2);
	if (len > 1 && host[len - 1] == '.')
		len--;
	return xstrndup(host, len);
}

bool
net_is_address(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	/* An IPv6 address may carry a zone ("fe80::1%eth0"); no host name has a colon. */
	return strchr(host, ':') != NULL || inet_pton(AF_INET, host, bytes) == 1;
}

static int
resolve(const char *host, unsigned port, const char *name, struct addrinfo **list_r,
	struct err *err)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV
	};
	char service[16];
	int ret, saved;

	if (!net_is_address(host))
		hints.ai_flags |= AI_ADDRCONFIG;
	snprintf(service, sizeof(service), "%u", port);
	errno = 0;
	ret = getaddrinfo(host, service, &hints, list_r);
	saved = errno;
	switch (ret) {
	case 0:
		return 0;
	case EAI_SYSTEM:
		return err_errno(err, ERR_DNS, saved, "%s: the name cannot be looked up", name);
	case EAI_AGAIN:
		return err_set(err, ERR_DNS, "%s: no name server gave an answer", name);
	default:
		return err_set(err, ERR_DNS, "%s: %s", name, gai_strerror(ret));
	}
}

static void
set_options(int fd)
{
	static const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
			 probes = KEEPALIVE_PROBES;

	/* Each is an improvement only: a kernel that refuses one still gives a connection. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* 0, or an errno value: ETIMEDOUT for our own deadline, ECANCELED for the cancel. */
static int
finish_connect(int fd, const struct cancel *cancel, int64_t deadline)
{
	int error = 0;
	socklen_t len = sizeof(error);

	switch (net_wait(fd, POLLOUT, cancel, deadline, NULL)) {
	case NET_WAIT_READY:
		break;
	case NET_WAIT_TIMEOUT:
		return ETIMEDOUT;
	case NET_WAIT_CANCELLED:
		return ECANCELED;
	case NET_WAIT_FAILED:
		return errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return errno;
	return error;
}

/* The socket, or -1 with an errno value in *error_r. */
static int
connect_one(const struct addrinfo *ai, const struct cancel *cancel, int64_t deadline, int *error_r)
{
	int fd, error = 0;

	fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
	if (fd < 0) {
		*error_r = errno;
		return -1;
	}
	set_options(fd);
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0)
		/* After EINTR the kernel goes on connecting, as after EINPROGRESS. */
		error = errno == EINPROGRESS || errno == EINTR
				? finish_connect(fd, cancel, deadline)
				: errno;
	if (error == 0)
		return fd;
	close(fd);
	*error_r = error;
	return -1;
}

static void
address_text(const struct addrinfo *ai, char *buf, size_t size)
{
	if (getnameinfo(ai->ai_addr, ai->ai_addrlen, buf, (socklen_t)size, NULL, 0,
		    NI_NUMERICHOST) != 0)
		snprintf(buf, size, "?");
}

int
net_dial(const char *host, unsigned port, unsigned timeout_ms, const struct cancel *cancel,
	const char *name, struct err *err)
{
	struct addrinfo *list = NULL, *ai;
	char address[NI_MAXHOST] = "?";
	int64_t deadline;
	int fd = -1, error = 0, left = 0;

	if (cancel_fired(cancel))
		return err_set(err, ERR_CANCELLED, "%s: stopped before connecting", name);
	if (resolve(host, port, name, &list, err) != 0)
		return -1;
	for (ai = list; ai != NULL && left < ADDRESSES_MAX; ai = ai->ai_next)
		left++;
	deadline = clock_ms() + timeout_ms;
	for (ai = list; ai != NULL && left > 0 && fd < 0 && error != ECANCELED; ai = ai->ai_next) {
		int64_t now = clock_ms();

		address_text(ai, address, sizeof(address));
		fd = connect_one(ai, cancel, now + (deadline - now) / left, &error);
		left--;
	}
	freeaddrinfo(list);
	if (fd >= 0)
		return fd;
	if (error == ECANCELED)
		return err_set(err, ERR_CANCELLED, "%s: stopped while connecting", name);
	if (error == ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, "%s: no answer from %s", name, address);
	return err_errno(err, ERR_CONNECT, error, "%s: cannot connect to %s", name, address);
}
