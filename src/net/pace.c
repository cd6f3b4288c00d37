/* pace.c - one queue of waiting threads per host, and what is seen of the host.
 *
 * Who waits sleeps in poll() on an eventfd of its own and on its cancel, so that stopping is
 * immediate and freeing a slot wakes one thread. The first in the queue goes first, also if it
 * wants two slots: one that wants two would otherwise never see two free at once.
 *
 * Sessions add to counters; a tick of the engine samples them for the host's level (level.c), which
 * is how many slots there are. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
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

#define WANTED_MS     10000 /* that more were wanted counts for so long */
#define SERVES_MS     60000
#define TICK_MIN_MS   100  /* more often there is nothing to see */
#define MESSAGE_BYTES 8192 /* a message costs about as much as so many more bytes of one */
#define RATE_WEIGHT   0.15 /* of the newest half second in the running mean */

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

struct pace_host {
	char *name;
	unsigned port;
	struct pace *pace;
	/* Any thread. */
	atomic_uint_least64_t messages, bytes, answers, answer_ms;
	/* Hold the lock. */
	unsigned slots; /* the ceiling; 0: as the others */
	unsigned used;
	unsigned leaving; /* of them, were told so by pace_over() */
	struct level level;
	int64_t wanted_ms;    /* when more were wanted last; 0 = never */
	int64_t served_ms;    /* when a login succeeded or mail moved last; 0 = never */
	uint32_t strained_by; /* whose trouble was counted last; 0 = nobody's */
	bool news, told;
	/* The last tick's. */
	uint64_t ticked_bytes;
	int64_t ticked_ms;
	double rate;
	unsigned refused;   /* logins in a row */
	int64_t not_before; /* monotonic ms */
	char address[64];   /* ours, when a login was refused last */
	struct given_up *given_up;
	struct compression *compression[2]; /* as a target, as a source; made when asked for */
	struct waiter *queue;               /* the oldest first */
	struct pace_host *next;
};

struct pace {
	pthread_mutex_t lock;    /* over all below; never held while waiting */
	unsigned slots;          /* the ceiling of those that have none of their own */
	unsigned jobs;           /* 0: not told */
	struct pace_host *hosts; /* never removed */
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
forget_given_up(struct pace_host *host)
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
	struct pace_host *host, *next;

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

/* From what the profile and the run allow; 2 slots are needed by a job whose hosts are one. */
static void
set_level(const struct pace *pace, struct pace_host *host)
{
	unsigned ceiling = host->slots > 0 ? host->slots : pace->slots;

	level_set(&host->level, ceiling, pace->jobs > 0 ? pace->jobs * host->level.unit : ceiling,
		host->level.unit);
}

static struct pace_host *
host_get(struct pace *pace, const char *name, unsigned port)
{
	struct pace_host *host;

	for (host = pace->hosts; host != NULL; host = host->next)
		if (host->port == port && text_ieq(host->name, name))
			return host;
	host = xcalloc(1, sizeof(*host));
	host->name = xstrdup(name);
	host->port = port;
	host->pace = pace;
	host->level.unit = 1;
	set_level(pace, host);
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
wake_all(const struct pace_host *host)
{
	const struct waiter *waiter;

	for (waiter = host->queue; waiter != NULL; waiter = waiter->next)
		wake(waiter);
}

/* The first that waits for a slot. */
static struct waiter *
queue_head(const struct pace_host *host)
{
	struct waiter *waiter = host->queue;

	while (waiter != NULL && waiter->need == 0)
		waiter = waiter->next;
	return waiter;
}

static void
wake_head(const struct pace_host *host)
{
	const struct waiter *head = queue_head(host);

	if (head != NULL)
		wake(head);
}

static void
queue_add(struct pace_host *host, struct waiter *waiter)
{
	struct waiter **at = &host->queue;

	while (*at != NULL)
		at = &(*at)->next;
	*at = waiter;
}

static void
queue_remove(struct pace_host *host, const struct waiter *waiter)
{
	struct waiter **at = &host->queue;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
}

static bool
has_room(const struct pace_host *host, unsigned need)
{
	unsigned slots = host->level.now;

	/* An idle host takes both accounts of a job, or a limit of 1 would shut it out. */
	return host->used == 0 || (host->used < slots && need <= slots - host->used);
}

/* When it is worth looking again (monotonic ms); 0: now it may go. */
static int64_t
wait_time(const struct pace_host *host, const struct waiter *waiter)
{
	bool over = clock_ms() >= host->not_before;

	if (waiter->need == 0)
		return over ? 0 : host->not_before;
	if (queue_head(host) != waiter || !has_room(host, waiter->need))
		return INT64_MAX;
	return over ? 0 : host->not_before;
}

/* Not this account's login was refused: it stands against the host, which all are told once. */
static int
refuse(const struct pace_host *host, struct err *err)
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
find_given_up(const struct pace_host *host, const struct endpoint *ep)
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
check_host(const struct pace_host *host, const struct waiter *waiter, struct err *err)
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
acquire_locked(struct pace *pace, struct pace_host *host, struct waiter *waiter,
	const struct cancel *cancel, struct err *err)
{
	int64_t until;

	for (;;) {
		if (cancel_fired(cancel))
			return err_set(err, ERR_CANCELLED, "%s:%u: stopped before the login",
				host->name, host->port);
		if (check_host(host, waiter, err) < 0)
			return -1;
		until = wait_time(host, waiter);
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
	struct pace_host *host;
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
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	if (host->used < count)
		BUG("a slot is given back twice");
	host->used -= count;
	host->leaving -= host->leaving < count ? host->leaving : count;
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

/* Both hosts are this one: each job needs two of its slots. */
static void
note_pair(struct pace *pace, const struct endpoint *ep)
{
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, ep->host, ep->port);
	if (host->level.unit == 1) {
		host->level.unit = 2;
		set_level(pace, host);
	}
	pthread_mutex_unlock(&pace->lock);
}

int
pace_enter2(struct pace *pace, const struct endpoint *source, const struct endpoint *target,
	const struct cancel *cancel, struct err *err)
{
	int order = compare(source, target);
	const struct endpoint *first = order < 0 ? source : target;
	const struct endpoint *second = order < 0 ? target : source;
	struct waiter both = { .need = 2, .ways = { source, target } };

	if (order == 0) {
		note_pair(pace, source);
		return acquire(pace, source->host, source->port, both, cancel, err);
	}
	if (acquire_one(pace, first, cancel, err) != 0)
		return -1;
	if (acquire_one(pace, second, cancel, err) == 0)
		return 0;
	release(pace, first->host, first->port, 1);
	return -1;
}

static bool
is_open(const struct pace_host *host)
{
	return host->given_up == NULL && host->refused == 0 && clock_ms() >= host->not_before;
}

/* Room for those who hold some already; where there is none, it was wanted. */
static bool
has_more_room(struct pace_host *host, unsigned need)
{
	bool ret = queue_head(host) == NULL && has_room(host, need);

	if (!ret)
		host->wanted_ms = clock_ms();
	return ret && is_open(host);
}

bool
pace_try_enter2(struct pace *pace, const struct endpoint *source, const struct endpoint *target)
{
	struct pace_host *from, *to;
	bool ret, both;
	unsigned need;

	pthread_mutex_lock(&pace->lock);
	from = host_get(pace, source->host, source->port);
	to = host_get(pace, target->host, target->port);
	need = from == to ? 2 : 1;
	ret = has_more_room(from, need);
	both = from == to || has_more_room(to, need); /* asked in any case: both remember */
	ret = ret && both;
	if (ret) {
		from->used += need;
		to->used += from == to ? 0 : need;
	}
	pthread_mutex_unlock(&pace->lock);
	return ret;
}

/* More than the level and the first that waits leave room for, without those who leave anyway. */
static bool
is_over(const struct pace_host *host)
{
	const struct waiter *head = queue_head(host);
	unsigned stay = host->used - host->leaving;

	return stay + (head != NULL ? head->need : 0) > host->level.now;
}

bool
pace_is_wanted(struct pace *pace, const struct endpoint *ep)
{
	struct pace_host *host;
	bool ret;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, ep->host, ep->port);
	ret = queue_head(host) != NULL || !has_room(host, 1);
	pthread_mutex_unlock(&pace->lock);
	return ret;
}

bool
pace_over(struct pace *pace, const struct endpoint *source, const struct endpoint *target)
{
	struct pace_host *from, *to;
	bool ret;

	pthread_mutex_lock(&pace->lock);
	from = host_get(pace, source->host, source->port);
	to = host_get(pace, target->host, target->port);
	ret = is_over(from) || is_over(to);
	if (ret) {
		from->leaving += from->leaving < from->used;
		to->leaving += to->leaving < to->used;
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

/* With the lock held. */
static void
set_levels(struct pace *pace)
{
	struct pace_host *host;

	for (host = pace->hosts; host != NULL; host = host->next) {
		set_level(pace, host);
		wake_head(host);
	}
}

void
pace_set_slots(struct pace *pace, const char *host, unsigned port, unsigned slots)
{
	if (slots == 0)
		slots = 1;
	pthread_mutex_lock(&pace->lock);
	if (host != NULL)
		host_get(pace, host, port)->slots = slots;
	else
		pace->slots = slots;
	set_levels(pace);
	pthread_mutex_unlock(&pace->lock);
}

void
pace_set_jobs(struct pace *pace, unsigned jobs)
{
	pthread_mutex_lock(&pace->lock);
	pace->jobs = jobs > 0 ? jobs : 1;
	pace->slots = 2 * pace->jobs;
	set_levels(pace);
	pthread_mutex_unlock(&pace->lock);
}

void
pace_backoff(struct pace *pace, const char *name, unsigned port, unsigned ms)
{
	int64_t until = clock_ms() + ms;
	struct pace_host *host;

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
	struct pace_host *host;
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
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, name, port);
	host->refused = 0;
	host->served_ms = clock_ms();
	pthread_mutex_unlock(&pace->lock);
}

bool
pace_give_up(struct pace *pace, const struct endpoint *ep, struct err *err)
{
	const struct given_up *known;
	struct given_up *given_up;
	struct pace_host *host;

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
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	for (host = pace->hosts; host != NULL; host = host->next) {
		host->refused = 0;
		forget_given_up(host);
	}
	pthread_mutex_unlock(&pace->lock);
}

struct pace_host *
pace_host(struct pace *pace, const struct endpoint *ep)
{
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	host = host_get(pace, ep->host, ep->port);
	pthread_mutex_unlock(&pace->lock);
	return host;
}

void
pace_moved(struct pace_host *host, uint64_t messages, uint64_t bytes)
{
	atomic_fetch_add_explicit(&host->messages, messages, memory_order_relaxed);
	atomic_fetch_add_explicit(&host->bytes, bytes, memory_order_relaxed);
}

void
pace_answered(struct pace_host *host, int64_t ms)
{
	atomic_fetch_add_explicit(&host->answers, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(
		&host->answer_ms, (uint64_t)(ms > 0 ? ms : 0), memory_order_relaxed);
}

/* FNV-1a; never 0. */
static uint32_t
hash(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h != 0 ? h : 1;
}

static bool
serves(const struct pace_host *host, int64_t now)
{
	return host->served_ms != 0 && now - host->served_ms < SERVES_MS;
}

/* A host that lets nobody in is down, or knows nobody: fewer connections would not help. Of what
 * may be the trouble of one mailbox, that of each counts once in a row. */
static bool
counts(struct pace_host *host, const char *user, enum level_why why, enum pace_when when)
{
	uint32_t by = hash(user);
	bool same = host->strained_by == by;

	if (why != LEVEL_LIMIT && !serves(host, clock_ms()))
		return false;
	if (when == PACE_AT_LOGIN && (why == LEVEL_LIMIT || why == LEVEL_REFUSED))
		return true;
	host->strained_by = by;
	return !same;
}

void
pace_strain(struct pace_host *host, const char *user, enum level_why why, enum pace_when when)
{
	pthread_mutex_lock(&host->pace->lock);
	if (counts(host, user, why, when) &&
		level_strain(&host->level, why, host->used, clock_ms()))
		host->news = true;
	pthread_mutex_unlock(&host->pace->lock);
}

bool
pace_serves(struct pace_host *host)
{
	bool ret;

	pthread_mutex_lock(&host->pace->lock);
	ret = serves(host, clock_ms());
	pthread_mutex_unlock(&host->pace->lock);
	return ret;
}

/* With the lock held. */
static void
tick(struct pace_host *host, int64_t now)
{
	uint64_t bytes = atomic_load_explicit(&host->bytes, memory_order_relaxed);
	uint64_t messages = atomic_load_explicit(&host->messages, memory_order_relaxed);
	struct level_look look = {
		.now_ms = now,
		.used = host->used,
		.wanted = queue_head(host) != NULL ||
			  (host->wanted_ms != 0 && now - host->wanted_ms < WANTED_MS),
		.moved = bytes + messages * MESSAGE_BYTES,
		.answers = atomic_load_explicit(&host->answers, memory_order_relaxed),
		.answer_ms = atomic_load_explicit(&host->answer_ms, memory_order_relaxed),
	};
	unsigned before = host->level.now;

	if (bytes != host->ticked_bytes)
		host->served_ms = now;
	if (now > host->ticked_ms && host->ticked_ms != 0)
		host->rate += RATE_WEIGHT * ((double)(bytes - host->ticked_bytes) * 1000 /
							    (double)(now - host->ticked_ms) -
						    host->rate);
	host->ticked_bytes = bytes;
	host->ticked_ms = now;
	if (!level_step(&host->level, &look))
		return;
	host->news = host->news || (host->level.now < before && host->level.shrunk);
	wake_head(host);
}

/* With the lock held. */
static void
tell(struct pace_host *host, struct pace_news *news_r)
{
	char name[128];

	news_r->why = host->level.why;
	news_r->first = !host->told;
	snprintf(news_r->text, sizeof(news_r->text),
		"%s:%u: %s (%s); %u connection%s at a time from now on",
		text_safe(name, sizeof(name), host->name), host->port,
		host->level.why == LEVEL_SLOW ? "takes long" : "asked for patience",
		level_why_text(host->level.why), host->level.now, host->level.now == 1 ? "" : "s");
	host->news = false;
	host->told = true;
}

bool
pace_tick(struct pace *pace, struct pace_news *news_r)
{
	int64_t now = clock_ms();
	struct pace_host *host;

	pthread_mutex_lock(&pace->lock);
	for (host = pace->hosts; host != NULL; host = host->next)
		if (now - host->ticked_ms >= TICK_MIN_MS)
			tick(host, now);
	for (host = pace->hosts; host != NULL && !host->news; host = host->next)
		;
	if (host != NULL)
		tell(host, news_r);
	pthread_mutex_unlock(&pace->lock);
	return host != NULL;
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

static unsigned
queue_length(const struct pace_host *host)
{
	unsigned count = 0;

	for (const struct waiter *waiter = host->queue; waiter != NULL; waiter = waiter->next)
		count += waiter->need > 0;
	return count;
}

/* All but what is the compression's; with the lock held. */
static void
fill_line(const struct pace_host *host, struct pace_line *line_r)
{
	int64_t left = host->not_before - clock_ms();

	memset(line_r, 0, sizeof(*line_r));
	text_safe(line_r->host, sizeof(line_r->host), host->name);
	line_r->port = host->port;
	line_r->used = host->used;
	line_r->level = host->level.now;
	line_r->ceiling = host->level.ceiling;
	line_r->waiting = queue_length(host);
	line_r->backoff_ms = left > 0 ? (unsigned)left : 0;
	line_r->bytes_per_s = host->rate;
	line_r->why = host->level.why;
}

size_t
pace_lines(struct pace *pace, struct pace_line *lines_r, size_t max)
{
	struct compression *which[2];
	struct pace_line line;
	const struct pace_host *host;
	size_t count = 0;

	pthread_mutex_lock(&pace->lock);
	host = pace->hosts;
	while (host != NULL) {
		/* Hosts are never removed, so the lock may be let go between two of them. */
		fill_line(host, &line);
		which[0] = host->compression[0];
		which[1] = host->compression[1];
		pthread_mutex_unlock(&pace->lock);
		for (int i = 0; i < 2 && count < max; i++) {
			if (which[i] == NULL)
				continue;
			line.source = i == 1;
			compression_look(which[i], &line.status);
			lines_r[count++] = line;
		}
		pthread_mutex_lock(&pace->lock);
		host = host->next;
	}
	pthread_mutex_unlock(&pace->lock);
	return count;
}
