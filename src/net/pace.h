/* pace.h - how hard each host may be worked: slots, a level of them that follows what the host can
 * bear (level.h), back-off, and where it is left alone: after refused logins, or since what stands
 * against it stands against every account. */
#ifndef NET_PACE_H
#define NET_PACE_H

#include "base/cancel.h"
#include "base/err.h"
#include "net/compression.h"
#include "net/endpoint.h"
#include "net/level.h"

/* One per process, any thread. A host is a name and a port, compared without regard to case. */
struct pace;
/* One host of it, for those who see how it fares: the pace's own, for as long as it lives. */
struct pace_host;

/* So many logins in a row may be refused by a host before no more are tried: ban lists such as
 * fail2ban's count to about this. */
#define PACE_AUTH_FAILURES 5

/* slots: how many connections one host may have at the same time, at least 1. */
struct pace *pace_new(unsigned slots);
void pace_free(struct pace **pace); /* nobody may hold or wait for a slot; NULL is fine */
/* The ceiling, from now on; who is above the new number keeps its slot. host NULL: all hosts for
 * which none was set by name. */
void pace_set_slots(struct pace *pace, const char *host, unsigned port, unsigned slots);
/* So many accounts are worked on at a time, from now on: each may have a connection of a host
 * without delay, as far as the host's ceiling allows and it has not asked for patience; what is
 * beyond that has to prove useful. The ceiling of hosts for which none was set by name becomes two
 * for each. Before that call all that a ceiling allows is granted at once. */
void pace_set_jobs(struct pace *pace, unsigned jobs);

/* Blocks until the host has a slot below its level, its back-off is over and nobody came earlier.
 *   returns  0 and the slot is held until pace_leave(); or -1 with ERR_CANCELLED, or at once, scope
 *            host, ERR_AUTH where logins are no longer tried */
int pace_enter(struct pace *pace, const char *host, unsigned port, const struct cancel *cancel,
	struct err *err);
void pace_leave(struct pace *pace, const char *host, unsigned port);

/* Both slots of a job, taken in one order by all (host name, then port; both at once where they
 * are one host), so that jobs never wait for each other in a ring. Two accounts may always enter
 * a host that nobody uses, also if its limit is 1. All or none. Fails at once, too, with the error
 * of a host that was given up for this way to log in. */
int pace_enter2(struct pace *pace, const struct endpoint *source, const struct endpoint *target,
	const struct cancel *cancel, struct err *err);
void pace_leave2(struct pace *pace, const struct endpoint *source, const struct endpoint *target);
/* Further slots for a job that holds some: of both hosts, at once or not at all. Not while another
 * account waits for one of them, or a back-off lasts. True: both are held until pace_leave2().
 * False: it is remembered that more were wanted, which lets a level rise. */
bool pace_try_enter2(
	struct pace *pace, const struct endpoint *source, const struct endpoint *target);
/* Asked now and then by who holds further slots: true when one of the hosts has more connections
 * than its level, or an account waits for a first one. Who is told so gives its further slots back
 * as soon as it can (pace_leave2()). */
bool pace_over(struct pace *pace, const struct endpoint *source, const struct endpoint *target);

/* True: whoever gets the slot that is given back next makes the host full again. */
bool pace_is_wanted(struct pace *pace, const struct endpoint *ep);

/* Before each login of one who holds a slot: waits out the back-off. Returns as pace_enter2(). */
int pace_login(
	struct pace *pace, const struct endpoint *ep, const struct cancel *cancel, struct err *err);
/* The host asked for patience ([UNAVAILABLE], [LIMIT]): nobody logs in to it for ms from now. Never
 * shortens a longer one. */
void pace_backoff(struct pace *pace, const char *host, unsigned port, unsigned ms);

/* What sessions see of their host; any thread, no lock but of pace_strain(). */
struct pace_host *pace_host(struct pace *pace, const struct endpoint *ep);
/* Mail that was read from it, or that it has acknowledged. */
void pace_moved(struct pace_host *host, uint64_t messages, uint64_t bytes);
/* A command with mail was answered, after so long a wait. */
void pace_answered(struct pace_host *host, int64_t ms);
/* The host asked for patience, and its level may shrink. user: whose session saw it; what stays the
 * trouble of one mailbox counts once. at_login: before or at the login, where a limit or a refused
 * connection counts in any case; all but a limit only where other logins succeed. */
enum pace_when { PACE_AT_LOGIN, PACE_LATER };
void pace_strain(struct pace_host *host, const char *user, enum level_why why, enum pace_when when);
/* A login there succeeded, or mail moved, within the last minute: who is refused one is refused for
 * the sake of others. */
bool pace_serves(struct pace_host *host);
/* Now and then, from one thread: samples what was seen, lets levels rise, wakes who may enter.
 * True: a host's level has shrunk since the last call; *news_r says so. Call again until false. */
struct pace_news {
	enum level_why why;
	bool first; /* of this host */
	char text[240];
};
bool pace_tick(struct pace *pace, struct pace_news *news_r);

/* What came of a login. address: ours, as conn_local() gives it, for the text; may be NULL. True
 * for the refusal after which no more are tried; *told_r is then what all others will be told. */
bool pace_auth_failed(struct pace *pace, const char *host, unsigned port, const char *address,
	struct err *told_r);
/* A login succeeded: the count starts anew. */
void pace_auth_ok(struct pace *pace, const char *host, unsigned port);
/* An error of scope host: every account that logs in there the same way (security, verification,
 * method, by its own name or another's) would meet it, and is told so without a connection. Of
 * several, the first stays, and *err becomes it; true for the first. */
bool pace_give_up(struct pace *pace, const struct endpoint *ep, struct err *err);
/* What is known of compression to and from a host; the pace's own, for as long as it lives. */
struct compression *pace_compression(struct pace *pace, const struct endpoint *ep);
/* Those in use so far, at most max: a host and a direction. */
struct pace_line {
	char host[128];
	unsigned port;
	bool source;
	/* Of the host, in both directions. */
	unsigned used, level, ceiling;
	unsigned waiting;    /* for a slot */
	unsigned backoff_ms; /* that are left */
	double bytes_per_s;  /* lately */
	enum level_why why;  /* its level shrank last; LEVEL_FINE: never */
	struct compression_status status;
};
size_t pace_lines(struct pace *pace, struct pace_line *lines_r, size_t max);
/* The admin says to try again: all refused logins and given up hosts are forgotten. */
void pace_forgive(struct pace *pace);

#endif
