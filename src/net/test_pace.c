/* test_pace.c - slots, back-off the stop after refused logins and at what stands against all. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/test.h"
#include "net/pace.h"

#include "base/banned.h"

#define HOST "imap.example"

static struct endpoint
endpoint(const char *host, unsigned port)
{
	return (struct endpoint){ .host = host, .port = port };
}

/* Workers that enter, count how many are inside, and leave. */
struct crowd {
	struct pace *pace;
	atomic_uint inside, most, done;
};

static void *
run_single(void *arg)
{
	struct crowd *crowd = arg;
	struct err err = { 0 };
	unsigned now, most;
	int i;

	for (i = 0; i < 20; i++) {
		/* The name's case does not make another host. */
		if (pace_enter(crowd->pace, i % 2 ? HOST : "IMAP.Example", 993, NULL, &err) != 0)
			return NULL;
		now = atomic_fetch_add(&crowd->inside, 1) + 1;
		most = atomic_load(&crowd->most);
		while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
			;
		clock_sleep_ms(1);
		atomic_fetch_sub(&crowd->inside, 1);
		pace_leave(crowd->pace, HOST, 993);
	}
	atomic_fetch_add(&crowd->done, 1);
	return NULL;
}

static void
test_slots(void)
{
	struct crowd crowd = { .pace = pace_new(3) };
	pthread_t threads[12];
	size_t i;

	for (i = 0; i < 12; i++)
		pthread_create(&threads[i], NULL, run_single, &crowd);
	for (i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(crowd.done, 12);
	CHECK_INT(crowd.most, 3);
	pace_free(&crowd.pace);
	CHECK(crowd.pace == NULL);
	pace_free(&crowd.pace);
}

/* One thread that enters once. */
struct one {
	struct pace *pace;
	struct cancel *cancel;
	const char *host;
	atomic_int ret; /* 1 while waiting */
	struct err err;
	int64_t entered_ms;
	pthread_t thread;
};

static void *
run_one(void *arg)
{
	struct one *one = arg;
	int ret = pace_enter(one->pace, one->host, 993, one->cancel, &one->err);

	one->entered_ms = clock_ms();
	atomic_store(&one->ret, ret);
	return NULL;
}

static void
one_start(struct one *one, struct pace *pace)
{
	*one = (struct one){ .pace = pace, .host = HOST, .ret = 1, .cancel = cancel_new() };
	pthread_create(&one->thread, NULL, run_one, one);
}

static void
one_join(struct one *one)
{
	pthread_join(one->thread, NULL);
	cancel_free(&one->cancel);
}

static void
test_slots_live(void)
{
	struct pace *pace = pace_new(1);
	struct err err = { 0 };
	struct one one[2];

	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	CHECK_INT(pace_enter(pace, HOST, 143, NULL, &err), 0); /* another port is another host */
	pace_leave(pace, HOST, 143);
	one_start(&one[0], pace);
	one_start(&one[1], pace);
	clock_sleep_ms(30); /* nothing to wait for: they must still be there */
	CHECK_INT(one[0].ret, 1);
	CHECK_INT(one[1].ret, 1);
	pace_set_slots(pace, NULL, 0, 3);
	one_join(&one[0]);
	one_join(&one[1]);
	CHECK_INT(one[0].ret, 0);
	CHECK_INT(one[1].ret, 0);
	/* Fewer: nobody is thrown out, the next waits until there is room. */
	pace_set_slots(pace, HOST, 993, 2);
	one_start(&one[0], pace);
	pace_leave(pace, HOST, 993);
	clock_sleep_ms(30);
	CHECK_INT(one[0].ret, 1);
	pace_leave(pace, HOST, 993);
	one_join(&one[0]);
	CHECK_INT(one[0].ret, 0);
	pace_leave(pace, HOST, 993);
	pace_leave(pace, HOST, 993);
	pace_free(&pace);
}

static void
test_cancel(void)
{
	struct pace *pace = pace_new(1);
	struct err err = { 0 };
	struct one one[2];
	int64_t fired;

	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	one_start(&one[0], pace);
	one_start(&one[1], pace);
	clock_sleep_ms(30);
	fired = clock_ms();
	cancel_fire(one[0].cancel);
	one_join(&one[0]);
	CHECK_INT(one[0].ret, -1);
	CHECK_INT(one[0].err.code, ERR_CANCELLED);
	CHECK(one[0].entered_ms - fired < 100);
	CHECK_INT(one[1].ret, 1);
	pace_leave(pace, HOST, 993);
	one_join(&one[1]); /* who left the queue does not block the next */
	CHECK_INT(one[1].ret, 0);
	pace_leave(pace, HOST, 993);
	pace_free(&pace);
}

static void
test_backoff(void)
{
	struct pace *pace = pace_new(2);
	struct cancel *cancel = cancel_new();
	struct endpoint host = endpoint(HOST, 993);
	struct err err = { 0 };
	int64_t start = clock_ms();

	pace_backoff(pace, HOST, 993, 200);
	pace_backoff(pace, HOST, 993, 10); /* does not shorten it */
	CHECK_INT(pace_enter(pace, "other.example", 993, NULL, &err), 0);
	CHECK(clock_ms() - start < 150);
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	CHECK(clock_ms() - start >= 200);
	/* Who holds a slot waits before it logs in again. */
	start = clock_ms();
	pace_backoff(pace, HOST, 993, 100);
	CHECK_INT(pace_login(pace, &host, NULL, &err), 0);
	CHECK(clock_ms() - start >= 100);
	/* Also where no slot is free. */
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	CHECK_INT(pace_login(pace, &host, NULL, &err), 0);
	pace_backoff(pace, HOST, 993, 60000);
	cancel_fire(cancel);
	CHECK_INT(pace_login(pace, &host, cancel, &err), -1);
	CHECK_INT(err.code, ERR_CANCELLED);
	pace_leave(pace, HOST, 993);
	pace_leave(pace, HOST, 993);
	pace_leave(pace, "other.example", 993);
	cancel_free(&cancel);
	pace_free(&pace);
}

static void
test_auth_failures(void)
{
	struct pace *pace = pace_new(1);
	struct endpoint host = endpoint(HOST, 993);
	struct err err = { 0 }, told = { 0 };
	struct one one;
	int i;

	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	one_start(&one, pace);
	for (i = 0; i < PACE_AUTH_FAILURES - 1; i++)
		CHECK(!pace_auth_failed(pace, HOST, 993, "192.0.2.10", &told));
	pace_auth_ok(pace, HOST, 993); /* in a row, it says */
	for (i = 0; i < PACE_AUTH_FAILURES - 1; i++)
		CHECK(!pace_auth_failed(pace, HOST, 993, "192.0.2.10", &told));
	CHECK_INT(pace_login(pace, &host, NULL, &err), 0);
	clock_sleep_ms(30); /* so that only the next call can wake it */
	CHECK_INT(one.ret, 1);
	CHECK(pace_auth_failed(pace, HOST, 993, NULL, &told));
	one_join(&one); /* also who was waiting is told */
	CHECK_INT(one.ret, -1);
	CHECK_INT(one.err.code, ERR_AUTH);
	CHECK_INT(one.err.scope, SCOPE_HOST); /* not this account's login was refused */
	CHECK_STR(one.err.text, told.text);
	CHECK(!pace_auth_failed(pace, HOST, 993, NULL, &told)); /* it is told once */
	CHECK_STR(one.err.text,
		"imap.example:993: 5 logins in a row were refused, no more are tried, or the "
		"server "
		"may ban this machine. Check the logins; if it is banned, allow 192.0.2.10 there");
	CHECK_INT(pace_login(pace, &host, NULL, &err), -1);
	CHECK_INT(err.code, ERR_AUTH);
	CHECK_INT(pace_enter(pace, "other.example", 993, NULL, &err), 0);
	pace_leave(pace, "other.example", 993);
	pace_leave(pace, HOST, 993);
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), -1);
	pace_auth_ok(pace, HOST, 993);
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	pace_leave(pace, HOST, 993);
	pace_free(&pace);
}

/* What stands against every account of a host: by the same way only. */
static void
test_given_up(void)
{
	struct pace *pace = pace_new(1);
	struct endpoint host = endpoint(HOST, 993), other = endpoint("other.example", 993);
	struct endpoint same = endpoint("IMAP.Example", 993), admin, unchecked = same;
	struct err err = { 0 };
	struct one one;

	host.user = other.user = "ann";
	same.user = same.login = "bob"; /* by the own name, as ann */
	admin = unchecked = same;
	admin.login = "mover";
	unchecked.verify = VERIFY_NO;
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	one_start(&one, pace);
	err_set(&err, ERR_CERT, "the first");
	CHECK(pace_give_up(pace, &host, &err));
	err_set(&err, ERR_AUTH_MECH, "the second");
	CHECK(!pace_give_up(pace, &same, &err));
	CHECK_INT(err.code, ERR_CERT);
	CHECK_STR(err.text, "the first");
	memset(&err, 0, sizeof err);
	CHECK_INT(pace_login(pace, &same, NULL, &err), -1);
	CHECK_STR(err.text, "the first");
	CHECK_INT(err.scope, SCOPE_HOST);
	CHECK_INT(pace_login(pace, &admin, NULL, &err), 0);
	CHECK_INT(pace_login(pace, &unchecked, NULL, &err), 0);
	CHECK_INT(pace_enter2(pace, &other, &same, NULL, &err), -1); /* without waiting */
	CHECK_INT(pace_enter2(pace, &admin, &host, NULL, &err), -1);
	pace_leave(pace, HOST, 993);
	one_join(&one); /* it has not said how it logs in */
	CHECK_INT(one.ret, 0);
	pace_leave(pace, HOST, 993);
	CHECK_INT(pace_enter2(pace, &admin, &other, NULL, &err), 0);
	pace_leave2(pace, &admin, &other);
	pace_forgive(pace);
	CHECK_INT(pace_enter2(pace, &host, &same, NULL, &err), 0);
	pace_leave2(pace, &host, &same);
	pace_free(&pace);
}

/* Whoever waits for a slot when the host is given up is told at once. */
static void *
run_waiting(void *arg)
{
	struct one *one = arg;
	struct endpoint source = endpoint(HOST, 993), target = endpoint("other.example", 993);

	source.user = target.user = "ann";
	atomic_store(&one->ret, pace_enter2(one->pace, &source, &target, one->cancel, &one->err));
	return NULL;
}

static void
test_given_up_while_waiting(void)
{
	struct one one = { .pace = pace_new(1), .cancel = cancel_new(), .ret = 1 };
	struct endpoint host = endpoint(HOST, 993);
	struct err err = { 0 };

	host.user = "bob";
	CHECK_INT(pace_enter(one.pace, HOST, 993, NULL, &err), 0);
	pthread_create(&one.thread, NULL, run_waiting, &one);
	clock_sleep_ms(30); /* so that only the next call can wake it */
	CHECK_INT(one.ret, 1);
	err_set(&err, ERR_PRIVACY, "in clear");
	CHECK(pace_give_up(one.pace, &host, &err));
	one_join(&one);
	CHECK_INT(one.ret, -1);
	CHECK_INT(one.err.code, ERR_PRIVACY);
	pace_leave(one.pace, HOST, 993);
	pace_free(&one.pace);
}

/* Further slots are given of both hosts or of none, and never before one who waits. */
static void
test_try_enter2(void)
{
	struct pace *pace = pace_new(3);
	struct endpoint a = endpoint(HOST, 993), b = endpoint("other.example", 993);
	struct err err = { 0 };
	struct one one;

	pace_set_slots(pace, "other.example", 993, 2);
	CHECK_INT(pace_enter2(pace, &a, &b, NULL, &err), 0);
	CHECK(pace_try_enter2(pace, &a, &b));
	CHECK(!pace_try_enter2(pace, &a, &b)); /* b is full */
	CHECK(!pace_try_enter2(pace, &a, &a)); /* would take two of a, where one is left */
	CHECK_INT(pace_enter(pace, HOST, 993, NULL, &err), 0);
	one_start(&one, pace);
	clock_sleep_ms(30); /* now it waits */
	CHECK(pace_is_wanted(pace, &a));
	CHECK(pace_is_wanted(pace, &b)); /* nobody waits, but it is full */
	pace_set_slots(pace, HOST, 993, 4);
	one_join(&one);
	pace_leave2(pace, &a, &b);
	CHECK(!pace_is_wanted(pace, &b));
	pace_backoff(pace, HOST, 993, 60000);
	CHECK(!pace_try_enter2(pace, &a, &b));
	pace_leave(pace, HOST, 993);
	pace_leave(pace, HOST, 993);
	pace_leave2(pace, &a, &b);
	pace_free(&pace);
}

/* Jobs begin at once, further connections are allowed by the level, and what is over it is told so,
 * each once. */
static void
test_level(void)
{
	struct endpoint a = endpoint(HOST, 993), b = endpoint("other.example", 993);
	struct pace *pace = pace_new(1);
	struct pace_news news;
	struct err err = { 0 };

	pace_set_jobs(pace, 4);
	pace_set_slots(pace, "other.example", 993, 3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(pace_enter2(pace, &a, &b, NULL, &err), 0);
	CHECK(!pace_try_enter2(pace, &a, &b)); /* the ceiling of b */
	pace_set_slots(pace, "other.example", 993, 10);
	CHECK(pace_try_enter2(pace, &a, &b));
	CHECK(!pace_try_enter2(pace, &a, &b)); /* two for each job are allowed, and not yet tried */
	CHECK(!pace_over(pace, &a, &b));
	CHECK(!pace_tick(pace, &news));
	pace_auth_ok(pace, "other.example", 993);
	pace_strain(pace_host(pace, &b), "ann", LEVEL_UNAVAILABLE, PACE_LATER);
	CHECK(pace_over(pace, &a, &b));
	CHECK(pace_over(pace, &a, &b));
	CHECK(!pace_over(pace, &a, &b)); /* two of four are enough */
	pace_leave2(pace, &a, &b);
	pace_leave2(pace, &a, &b);
	CHECK(!pace_over(pace, &a, &b));
	CHECK(pace_tick(pace, &news));
	CHECK(news.first);
	CHECK_STR(news.text, "other.example:993: asked for patience ([UNAVAILABLE]); 2 connections "
			     "at a time from now on");
	CHECK(!pace_tick(pace, &news));
	CHECK(!pace_try_enter2(pace, &a, &b));
	pace_leave2(pace, &a, &b);
	pace_leave2(pace, &a, &b);
	pace_free(&pace);
}

/* An account that waits for its first connection has more right to one than who has several. */
static void
test_over_for_who_waits(void)
{
	struct endpoint source = endpoint(HOST, 993), target = endpoint("other.example", 993);
	struct one one = { .pace = pace_new(2), .cancel = cancel_new(), .ret = 1 };
	struct err err = { 0 };

	CHECK_INT(pace_enter2(one.pace, &source, &target, NULL, &err), 0);
	CHECK(pace_try_enter2(one.pace, &source, &target));
	CHECK(!pace_over(one.pace, &source, &target));
	pthread_create(&one.thread, NULL, run_waiting, &one);
	while (!pace_over(one.pace, &source, &target))
		clock_sleep_ms(1);
	CHECK(!pace_over(one.pace, &source, &target)); /* one goes already */
	pace_leave2(one.pace, &source, &target);
	pthread_join(one.thread, NULL);
	CHECK_INT(atomic_load(&one.ret), 0);
	pace_leave2(one.pace, &source, &target);
	pace_leave2(one.pace, &source, &target);
	cancel_free(&one.cancel);
	pace_free(&one.pace);
}

/* What is one mailbox's trouble, and a host that serves nobody, lower nothing; a limit does. */
static void
test_strain(void)
{
	struct endpoint a = endpoint(HOST, 993);
	struct pace *pace = pace_new(8);
	struct pace_host *host = pace_host(pace, &a);
	struct pace_news news;

	pace_strain(host, "ann", LEVEL_REFUSED, PACE_AT_LOGIN);
	pace_strain(host, "ann", LEVEL_BYE, PACE_AT_LOGIN);
	CHECK(!pace_tick(pace, &news)); /* it is down */
	CHECK(!pace_serves(host));
	pace_auth_ok(pace, HOST, 993);
	CHECK(pace_serves(host));
	pace_strain(host, "ann", LEVEL_BYE, PACE_AT_LOGIN);
	CHECK(pace_tick(pace, &news));
	CHECK_INT(news.why, LEVEL_BYE);
	pace_free(&pace);

	pace = pace_new(8);
	host = pace_host(pace, &a);
	pace_strain(host, "ann", LEVEL_LIMIT, PACE_AT_LOGIN);
	CHECK(pace_tick(pace, &news));
	CHECK_INT(news.why, LEVEL_LIMIT);
	CHECK(strstr(news.text, "[LIMIT]); 4 connections") != NULL);
	pace_free(&pace);
}

/* Jobs whose source is the other's target, and jobs within one host. */
struct pair {
	struct pace *pace;
	struct endpoint source, target;
	atomic_uint *done;
};

static void *
run_pair(void *arg)
{
	struct pair *pair = arg;
	struct err err = { 0 };
	int i;

	for (i = 0; i < 200; i++) {
		if (pace_enter2(pair->pace, &pair->source, &pair->target, NULL, &err) != 0)
			return NULL;
		pace_leave2(pair->pace, &pair->source, &pair->target);
	}
	atomic_fetch_add(pair->done, 1);
	return NULL;
}

static void
check_pairs(unsigned slots)
{
	static const struct {
		const char *source, *target;
	} hosts[] = { { "a", "b" }, { "b", "a" }, { "a", "a" }, { "A", "a" }, { "b", "c" },
		{ "c", "a" }, { "b", "b" }, { "B", "A" } };
	struct pace *pace = pace_new(slots);
	atomic_uint done = 0;
	struct pair pairs[8];
	pthread_t threads[8];
	size_t i;

	for (i = 0; i < 8; i++) {
		pairs[i] = (struct pair){ pace, endpoint(hosts[i].source, 993),
			endpoint(hosts[i].target, 993), &done };
		pthread_create(&threads[i], NULL, run_pair, &pairs[i]);
	}
	for (i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(done, 8);
	pace_free(&pace);
}

static void
test_no_ring(void)
{
	check_pairs(1);
	check_pairs(2);
	check_pairs(3);
}

/* Of two, the first is given back when the second cannot be had. */
static void
test_all_or_none(void)
{
	struct pace *pace = pace_new(1);
	struct endpoint a = endpoint("a", 993), b = endpoint("b", 993), b2 = endpoint("b", 143);
	struct err err = { 0 };
	int i;

	for (i = 0; i < PACE_AUTH_FAILURES; i++)
		pace_auth_failed(pace, "b", 993, NULL, &err);
	CHECK_INT(pace_enter2(pace, &a, &b, NULL, &err), -1);
	CHECK_INT(err.code, ERR_AUTH);
	CHECK(strstr(err.text, "allow this machine's address there") != NULL);
	CHECK_INT(pace_enter2(pace, &b2, &a, NULL, &err), 0); /* a was free again */
	pace_leave2(pace, &b2, &a);
	pace_free(&pace);
}

int
main(void)
{
	RUN(test_slots);
	RUN(test_slots_live);
	RUN(test_cancel);
	RUN(test_backoff);
	RUN(test_auth_failures);
	RUN(test_given_up);
	RUN(test_given_up_while_waiting);
	RUN(test_try_enter2);
	RUN(test_level);
	RUN(test_over_for_who_waits);
	RUN(test_strain);
	RUN(test_no_ring);
	RUN(test_all_or_none);
	return test_done();
}
