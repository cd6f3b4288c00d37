/* pace.c - one queue of waiting threads per host.
 *
 * Who waits sleeps in poll() on an eventfd of its own and on its cancel, so that stopping is
 * immediate and freeing a slot wakes one thread. The first in the queue goes first, also if it
 * wants two slots: one that wants two would otherwise never see two free at once. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/net_private.h"
#include "net/pace.h"

#include "base/banned.h"

struct waiter {
	unsigned need; /* slots; 0: only the back-off counts, and no place in the queue */
	int fd;        /* eventfd, written to when it is worth looking again; -1 before it waits */
	const struct endpoint *ways[2]; /* how it will log in; NULL: not said */
	struct waiter *next;
};

/* How an account logs in, as far as an error of scope host can depend on it. */
struct way {
	enum net_security security;
	enum net_verify verify;
	enum net_auth auth;
	bool as_other; /* an admin's login opens the mailbox */
};

struct given_up {
	struct way way;
	struct err err;
	struct given_up *next;
};

struct host {
	char *name;
	unsigned port;
	unsigned slots; /* 0: as the others */
	unsigned used;
	unsigned refused;   /* logins in a row */
	int64_t not_before; /* monotonic ms */
	char address[64];   /* ours, when a login was refused last */
	struct given_up *given_up;
	struct compression *compression[2]; /* as a target, as a source; made when asked for */
	struct waiter *queue;               /* the oldest first */
	struct host *next;
};

struct pace {
	pthread_mutex_t lock; /* over all below; never held while waiting */
	unsigned slots;
	struct host *hosts; /* never removed */
};

struct pace *
pace_new(unsigned slots)
{
	struct pace *pace = xcalloc(1, sizeof(*pace));

	pthread_mutex_init(&pace->lock, NULL);
	pace->slots = slots > 0 ? slots : 1;
	return pace;
}

static void
forget_given_up(struct host *host)
{
	struct given_up *each;

	while ((each = host->given_up) != NULL) {
		host->given_up = each->next;
		free(each);
	}
}

void
pace_free(struct pace **pace)
{
	struct host *host, *next;

	if (*pace == NULL)
		return;
	for (host = (*pace)->hosts; host != NULL; host = next) {
		if (host->used > 0 || host->queue != NULL)
			BUG("pace_free while a host is in use");
		next = host->next;
		forget_given_up(host);
		compression_free(&host->compression[0]);
		compression_free(&host->compression[1]);
		free(host->name);
		free(host);
	}
	pthread_mutex_destroy(&(*pace)->lock);
	free(*pace);
	*pace = NULL;
}

/* All below until the public functions: with the lock held. */

static struct host *
host_get(struct pace *pace, const char *name, unsigned port)
{
	struct host *host;

	for (host = pace->hosts; host != NULL; host = host->next)
		if (host->port == port && text_ieq(host->name, name))
			return host;
	host = xcalloc(1, sizeof(*host));
	host->name = xstrdup(name);
	host->port = port;
	host->next = pace->hosts;
	pace->hosts = host;
	return host;
}

static void
wake(const struct waiter *waiter)
{
	static const uint64_t one = 1;

	/* Can fail only where it is readable already. */
	if (waiter->fd >= 0 && write(waiter->fd, &one, sizeof(one)) < 0)
		return;
}

static void
wake_all(const struct host *host)
{
	const struct waiter *waiter;

	for (waiter = host->queue; waiter != NULL; waiter = waiter->next)
		wake(waiter);
}

/* The first that waits for a slot. */
static struct waiter *
queue_head(const struct host *host)
{
	struct waiter *waiter = host->queue;

	while (waiter != NULL && waiter->need == 0)
		waiter = waiter->next;
	return waiter;
}

static void
wake_head(const struct host *host)
{
	const struct waiter *head = queue_head(host);

	if (head != NULL)
		wake(head);
}

static void
queue_add(struct host *host, struct waiter *waiter)
{
	struct waiter **at = &host->queue;

	while (*at != NULL)
		at = &(*at)->next;
	*at = waiter;
}

static void
queue_remove(struct host *host, const struct waiter *waiter)
{
	struct waiter **at = &host->queue;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
}

static bool
has_room(const struct pace *pace, const struct host *host, unsigned need)
{
	unsigned slots = host->slots > 0 ? host->slots : pace->slots;

	/* An idle host takes both accounts of a job, or a limit of 1 would shut it out. */
	return host->used == 0 || (host->used < slots && need <= slots - host->used);
}

/* When it is worth looking again (monotonic ms); 0: now it may go. */
static int64_t
wait_time(const struct pace *pace, const struct host *host, const struct waiter *waiter)
{
	bool over = clock_ms() >= host->not_before;

	if (waiter->need == 0)
		return over ? 0 : host->not_before;
	if (queue_head(host) != waiter || !has_room(pace, host, waiter->need))
		return INT64_MAX;
	return over ? 0 : host->not_before;
}

/* Not this account's login was refused: it stands against the host, which all are told once. */
static int
refuse(const struct host *host, struct err *err)
{
	err_set(err, ERR_AUTH,
		"%s:%u: %d logins in a row were refused, no more are tried, or the server may ban "
		"this machine. Check the logins; if it is banned, allow %s there",
		host->name, host->port,
		PACE_AUTH_FAILURES, /* one text, also when some were on their way */
		host->address[0] != '\0' ? host->address : "this machine's address");
	err->scope = SCOPE_HOST;
	return -1;
}

static struct way
way_of(const struct endpoint *ep)
{
	return (struct way){ .security = ep->security,
		.verify = ep->verify,
		.auth = ep->auth,
		.as_other = ep->login != NULL && strcmp(ep->login, ep->user) != 0 };
}

static const struct given_up *
find_given_up(const struct host *host, const struct endpoint *ep)
{
	struct way way = way_of(ep);
	const struct given_up *each;

	for (each = host->given_up; each != NULL; each = each->next)
		if (each->way.security == way.security && each->way.verify == way.verify &&
			each->way.auth == way.auth && each->way.as_other == way.as_other)
			break;
	return each;
}

/* -1 where it is of no use to log in, or to wait for it. */
static int
check_host(const struct host *host, const struct waiter *waiter, struct err *err)
{
	const struct given_up *given_up;

	for (int i = 0; i < 2; i++) {
		if (waiter->ways[i] == NULL)
			continue;
		given_up = find_given_up(host, waiter->ways[i]);
		if (given_up != NULL) {
			*err = given_up->err;
			return -1;
		}
	}
	return host->refused >= PACE_AUTH_FAILURES ? refuse(host, err) : 0;
}

/* Sleeps without the lock. */
static void
sleep_until(
	struct pace *pace, const struct waiter *waiter, const struct cancel *cancel, int64_t until)
{
	uint64_t count;

	pthread_mutex_unlock(&pace->lock);
	(void)net_wait(waiter->fd, POLLIN, cancel, until, NULL);
	/* Non-blocking: it may also have been the time or the cancel. */
	if (read(waiter->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		BUG("a waiting thread's eventfd");
	pthread_mutex_lock(&pace->lock);
}

static int
acquire_locked(struct pace *pace, struct host *host, struct waiter *waiter,
	const struct cancel *cancel, struct err *err)
{
	int64_t until;

	for (;;) {
		if (cancel_fired(cancel))
			return err_set(err, ERR_CANCELLED, "%s:%u: stopped before the login",
				host->name, host->port);
		if (check_host(host, waiter, err) < 0)
			return -1;
		until = wait_time(pace, host, waiter);
		if (until == 0)
			break;
		if (waiter->fd < 0)
			waiter->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (waiter->fd < 0)
			return err_errno(err, ERR_INTERNAL, errno, "%s:%u: cannot wait for a slot",
				host->name, host->port);
		sleep_until(pace, waiter, cancel, until);
	}
	host->used += waiter->need;
	return 0;
}

static int
acquire(struct pace *pace, const char *name, unsigned port, struct waiter waiter,
	const struct cancel *cancel, struct err *err)
{
	struct host *host;
	int ret;

	waiter.fd = -1;
	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	queue_add(host, &waiter);
	ret = acquire_locked(pace, host, &waiter, cancel, err);
	queue_remove(host, &waiter);
	wake_head(host); /* there may be room for the next as well */
	pthread_mutex_unlock(&pace->lock);
	if (waiter.fd >= 0)
		close(waiter.fd);
	return ret;
}

/* The slot of one side of a job. */
static int
acquire_one(
	struct pace *pace, const struct endpoint *ep, const struct cancel *cancel, struct err *err)
{
	struct waiter waiter = { .need = 1, .ways = { ep } };

	return acquire(pace, ep->host, ep->port, waiter, cancel, err);
}

static void
release(struct pace *pace, const char *name, unsigned port, unsigned count)
{
	struct host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	if (host->used < count)
		BUG("a slot is given back twice");
	host->used -= count;
	wake_head(host);
	pthread_mutex_unlock(&pace->lock);
}

int
pace_enter(struct pace *pace, const char *host, unsigned port, const struct cancel *cancel,
	struct err *err)
{
	return acquire(pace, host, port, (struct waiter){ .need = 1 }, cancel, err);
}

void
pace_leave(struct pace *pace, const char *host, unsigned port)
{
	release(pace, host, port, 1);
}

int
pace_login(
	struct pace *pace, const struct endpoint *ep, const struct cancel *cancel, struct err *err)
{
	struct waiter waiter = { .need = 0, .ways = { ep } };

	return acquire(pace, ep->host, ep->port, waiter, cancel, err);
}

static int
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* The order in which all jobs take slots; 0 for what host_get() takes for one host. */
static int
compare(const struct endpoint *a, const struct endpoint *b)
{
	const char *p = a->host, *q = b->host;

	while (*p != '\0' && lower(*p) == lower(*q)) {
		p++;
		q++;
	}
	if (lower(*p) != lower(*q))
		return lower(*p) < lower(*q) ? -1 : 1;
	return (a->port > b->port) - (a->port < b->port);
}

int
pace_enter2(struct pace *pace, const struct endpoint *source, const struct endpoint *target,
	const struct cancel *cancel, struct err *err)
{
	int order = compare(source, target);
	const struct endpoint *first = order < 0 ? source : target;
	const struct endpoint *second = order < 0 ? target : source;
	struct waiter both = { .need = 2, .ways = { source, target } };

	if (order == 0)
		return acquire(pace, source->host, source->port, both, cancel, err);
	if (acquire_one(pace, first, cancel, err) != 0)
		return -1;
	if (acquire_one(pace, second, cancel, err) == 0)
		return 0;
	release(pace, first->host, first->port, 1);
	return -1;
}

static bool
is_idle_enough(const struct pace *pace, const struct host *host, unsigned need)
{
	return queue_head(host) == NULL && has_room(pace, host, need) && host->given_up == NULL &&
	       host->refused == 0 && clock_ms() >= host->not_before;
}

bool
pace_try_enter2(struct pace *pace, const struct endpoint *source, const struct endpoint *target)
{
	struct host *from, *to;
	unsigned need;
	bool ret;

	pthread_mutex_lock(&pace->lock);
	from = host_get(pace, source->host, source->port);
	to = host_get(pace, target->host, target->port);
	need = from == to ? 2 : 1;
	ret = is_idle_enough(pace, from, need) && is_idle_enough(pace, to, need);
	if (ret) {
		from->used += need;
		to->used += from == to ? 0 : need;
	}
	pthread_mutex_unlock(&pace->lock);
	return ret;
}

void
pace_leave2(struct pace *pace, const struct endpoint *source, const struct endpoint *target)
{
	release(pace, source->host, source->port, 1);
	release(pace, target->host, target->port, 1);
}

void
pace_set_slots(struct pace *pace, const char *host, unsigned port, unsigned slots)
{
	const struct host *each;

	if (slots == 0)
		slots = 1;
	pthread_mutex_lock(&pace->lock);
	if (host != NULL)
		host_get(pace, host, port)->slots = slots;
	else
		pace->slots = slots;
	for (each = pace->hosts; each != NULL; each = each->next)
		wake_head(each);
	pthread_mutex_unlock(&pace->lock);
}

void
pace_backoff(struct pace *pace, const char *name, unsigned port, unsigned ms)
{
	int64_t until = clock_ms() + ms;
	struct host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	if (host->not_before < until)
		host->not_before = until; /* who sleeps already looks again at the old time */
	pthread_mutex_unlock(&pace->lock);
}

bool
pace_auth_failed(
	struct pace *pace, const char *name, unsigned port, const char *address, struct err *told_r)
{
	struct host *host;
	bool last;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	host->refused++;
	if (address != NULL)
		snprintf(host->address, sizeof(host->address), "%s", address);
	last = host->refused == PACE_AUTH_FAILURES;
	if (last) {
		refuse(host, told_r);
		wake_all(host);
	}
	pthread_mutex_unlock(&pace->lock);
	return last;
}

void
pace_auth_ok(struct pace *pace, const char *name, unsigned port)
{
	pthread_mutex_lock(&pace->lock);
	host_get(pace, name, port)->refused = 0;
	pthread_mutex_unlock(&pace->lock);
}

bool
pace_give_up(struct pace *pace, const struct endpoint *ep, struct err *err)
{
	const struct given_up *known;
	struct given_up *given_up;
	struct host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, ep->host, ep->port);
	known = find_given_up(host, ep);
	if (known != NULL) {
		*err = known->err;
	} else {
		given_up = xcalloc(1, sizeof(*given_up));
		given_up->way = way_of(ep);
		given_up->err = *err;
		given_up->next = host->given_up;
		host->given_up = given_up;
		wake_all(host);
	}
	pthread_mutex_unlock(&pace->lock);
	return known == NULL;
}

void
pace_forgive(struct pace *pace)
{
	struct host *host;

	pthread_mutex_lock(&pace->lock);
	for (host = pace->hosts; host != NULL; host = host->next) {
		host->refused = 0;
		forget_given_up(host);
	}
	pthread_mutex_unlock(&pace->lock);
}

struct compression *
pace_compression(struct pace *pace, const struct endpoint *ep)
{
	struct compression **at;

	pthread_mutex_lock(&pace->lock);
	at = &host_get(pace, ep->host, ep->port)->compression[ep->readonly];
	if (*at == NULL)
		*at = compression_new(ep->readonly);
	pthread_mutex_unlock(&pace->lock);
	return *at;
}

size_t
pace_lines(struct pace *pace, struct pace_line *lines_r, size_t max)
{
	struct compression *which[2];
	const struct host *host;
	size_t count = 0;

	pthread_mutex_lock(&pace->lock);
	host = pace->hosts;
	while (host != NULL) {
		/* Hosts are never removed, so the lock may be let go between two of them. */
		which[0] = host->compression[0];
		which[1] = host->compression[1];
		pthread_mutex_unlock(&pace->lock);
		for (int i = 0; i < 2 && count < max; i++) {
			if (which[i] == NULL)
				continue;
			text_safe(lines_r[count].host, sizeof(lines_r[count].host), host->name);
			lines_r[count].port = host->port;
			lines_r[count].source = i == 1;
			compression_look(which[i], &lines_r[count++].status);
		}
		pthread_mutex_lock(&pace->lock);
		host = host->next;
	}
	pthread_mutex_unlock(&pace->lock);
	return count;
}
