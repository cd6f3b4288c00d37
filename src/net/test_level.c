/* test_level.c - hosts made up by formula, a clock that is counted on, the level that comes out. */
#include "base/test.h"
#include "net/level.h"

#include "base/banned.h"

#define TICK_MS 500

/* One that gives each connection the same, up to what it can. */
struct host {
	struct level level;
	struct level_look look;
	unsigned demand;    /* connections that would be used */
	unsigned saturates; /* with so many connections all it can get through does; 0 = never */
	unsigned refuses;   /* has no more than this; 0 = any */
	unsigned answer_ms;
	double each; /* bytes a second */
	unsigned refusals;
};

static void
host_init(struct host *host, unsigned ceiling, unsigned jobs)
{
	memset(host, 0, sizeof(*host));
	level_set(&host->level, ceiling, jobs, 1);
	host->level.unit = 1;
	host->demand = ceiling;
	host->each = 1e6;
	host->answer_ms = 100;
	host->look.now_ms = 1000000;
}

static void
tick(struct host *host)
{
	struct level_look *look = &host->look;
	unsigned works;

	look->now_ms += TICK_MS;
	look->used = host->demand < host->level.now ? host->demand : host->level.now;
	look->wanted = host->demand > host->level.now;
	if (host->refuses > 0 && look->used > host->refuses) {
		host->refusals++;
		level_strain(&host->level, LEVEL_LIMIT, look->used, look->now_ms);
		look->used = host->refuses;
	}
	works = look->used;
	if (host->saturates > 0 && works > host->saturates)
		works = host->saturates;
	look->moved += (uint64_t)(works * host->each * TICK_MS / 1000);
	look->answers += works;
	look->answer_ms += (uint64_t)works * host->answer_ms;
	level_step(&host->level, look);
}

static void
seconds(struct host *host, unsigned count)
{
	for (unsigned i = 0; i < count * 1000 / TICK_MS; i++)
		tick(host);
}

/* The highest level of that time. */
static unsigned
highest_in(struct host *host, unsigned count)
{
	unsigned ret = 0;

	for (unsigned i = 0; i < count * 1000 / TICK_MS; i++) {
		tick(host);
		if (host->level.now > ret)
			ret = host->level.now;
	}
	return ret;
}

static void
test_grows_while_it_helps(void)
{
	struct host host;

	host_init(&host, 12, 2);
	CHECK_INT(host.level.now, 2); /* at once */
	seconds(&host, 3);
	CHECK_INT(host.level.now, 2); /* nothing is known yet */
	seconds(&host, 300);
	CHECK_INT(host.level.now, 12);
	CHECK_INT(host.level.why, LEVEL_FINE);
	CHECK(!host.level.shrunk);
}

static void
test_saturates(void)
{
	struct host host;

	host_init(&host, 12, 1);
	host.saturates = 4;
	seconds(&host, 60);
	CHECK_INT(host.level.now, 4);
	CHECK_INT(highest_in(&host, 600), 5); /* tried now and then, taken back */
	seconds(&host, 10);
	CHECK_INT(host.level.now, 4);
	host.saturates = 7; /* the day is over */
	seconds(&host, 180);
	CHECK_INT(host.level.now, 7);
	CHECK_INT(host.level.why, LEVEL_FINE);
}

/* More is not tried where nobody wants it. */
static void
test_wanted(void)
{
	struct host host;

	host_init(&host, 12, 3);
	host.demand = 3;
	seconds(&host, 300);
	CHECK_INT(host.level.now, 3);
	host.demand = 4;
	CHECK_INT(highest_in(&host, 300), 4);
	/* A start is not taken back for want of gain. */
	host_init(&host, 12, 6);
	host.saturates = 2;
	CHECK_INT(highest_in(&host, 300), 7);
	CHECK_INT(host.level.now, 6);
}

static void
test_limit(void)
{
	struct host host;
	unsigned highest;

	host_init(&host, 12, 6);
	host.refuses = 3;
	tick(&host);
	CHECK_INT(host.level.now, 3); /* half, at once */
	CHECK(host.level.shrunk);
	CHECK_INT(host.level.why, LEVEL_LIMIT);
	seconds(&host, 60);
	CHECK_INT(host.level.now, 3);
	CHECK_INT(host.refusals, 2); /* one more was tried */
	highest = highest_in(&host, 3600);
	CHECK_INT(highest, 4);
	CHECK(host.refusals <= 10); /* less and less often */
	host.refuses = 0;
	seconds(&host, 1200);
	CHECK_INT(host.level.now, 12);
	CHECK(!host.level.shrunk);
}

static void
test_one_event_counts_once(void)
{
	struct level level = { .unit = 1 };

	level_set(&level, 12, 12, 1);
	CHECK(level_strain(&level, LEVEL_UNAVAILABLE, 12, 5000));
	CHECK_INT(level.now, 6);
	for (unsigned i = 0; i < 11; i++)
		CHECK(!level_strain(&level, LEVEL_UNAVAILABLE, 12 - i, 5000 + i * 100));
	CHECK_INT(level.now, 6);
	CHECK(level_strain(&level, LEVEL_REFUSED, 6, 5000 + LEVEL_STRAIN_MS));
	CHECK_INT(level.now, 3);
	CHECK_INT(level.why, LEVEL_REFUSED);
	CHECK(level_strain(&level, LEVEL_REFUSED, 3, 15000));
	CHECK_INT(level.now, 1);
	CHECK(!level_strain(&level, LEVEL_REFUSED, 1, 25000)); /* there is nothing below */
	CHECK_INT(level.now, 1);
}

/* Half of what it has, where that is less than it may have. */
static void
test_half_of_what_is_used(void)
{
	struct level level = { .unit = 1 };

	level_set(&level, 12, 12, 1);
	CHECK(level_strain(&level, LEVEL_LIMIT, 4, 5000));
	CHECK_INT(level.now, 2);
	/* One that was alone: not all of it is given up at once. */
	level = (struct level){ .unit = 1 };
	level_set(&level, 12, 12, 1);
	CHECK(level_strain(&level, LEVEL_LIMIT, 1, 5000));
	CHECK_INT(level.now, 6);
	CHECK_INT(level.limit, 0);
}

static void
test_recovers(void)
{
	struct host host;

	host_init(&host, 8, 8);
	seconds(&host, 20);
	CHECK(level_strain(&host.level, LEVEL_UNAVAILABLE, 8, host.look.now_ms));
	CHECK_INT(host.level.now, 4);
	seconds(&host, 9);
	CHECK_INT(host.level.now, 4);
	seconds(&host, 2);
	CHECK_INT(host.level.now, 5);
	seconds(&host, 25);
	CHECK_INT(host.level.now, 7); /* just below what was refused, */
	seconds(&host, 120);
	CHECK_INT(host.level.now, 8); /* and that after a while */
	tick(&host);
	CHECK(!host.level.shrunk);
	CHECK_INT(host.level.why, LEVEL_UNAVAILABLE); /* last */
}

static void
test_slow_answers(void)
{
	struct host host;

	host_init(&host, 6, 6);
	seconds(&host, 60);
	host.answer_ms = 390; /* not many times as long */
	seconds(&host, 60);
	CHECK_INT(host.level.now, 6);
	host_init(&host, 6, 6);
	seconds(&host, 60);
	host.answer_ms = 3000; /* and no more gets through */
	seconds(&host, 6);
	CHECK_INT(host.level.now, 6); /* a single time is none */
	seconds(&host, 4);
	CHECK_INT(host.level.now, 5);
	CHECK_INT(host.level.why, LEVEL_SLOW);
	seconds(&host, 600); /* it stays so: then this is what is usual */
	CHECK(host.level.now >= 5);
	host_init(&host, 6, 6);
	seconds(&host, 60);
	host.answer_ms = 3000; /* of larger messages: more gets through */
	host.each = 5e6;
	seconds(&host, 60);
	CHECK_INT(host.level.now, 6);
}

static void
test_ceiling(void)
{
	struct host host;

	host_init(&host, 1, 6);
	CHECK_INT(host.level.now, 1);
	host.demand = 6;
	CHECK_INT(highest_in(&host, 600), 1);
	level_strain(&host.level, LEVEL_LIMIT, 1, host.look.now_ms);
	CHECK_INT(host.level.now, 1);
	CHECK(!host.level.shrunk);
	CHECK_INT(highest_in(&host, 600), 1);
}

/* The profile's jobs are changed while a run goes on. */
static void
test_set(void)
{
	struct level level = { .unit = 1 };

	level_set(&level, 4, 2, 1);
	CHECK_INT(level.now, 2);
	level_set(&level, 12, 6, 1);
	CHECK_INT(level.now, 6);
	level_set(&level, 4, 2, 1);
	CHECK_INT(level.now, 4);
	level_strain(&level, LEVEL_LIMIT, 4, 5000);
	CHECK_INT(level.now, 2);
	level_set(&level, 12, 6, 1); /* not against what the host said */
	CHECK_INT(level.now, 2);
}

/* A job that needs two of one host: by twos, and never less than that. */
static void
test_pairs(void)
{
	struct host host;

	host_init(&host, 12, 4);
	level_set(&host.level, 12, 4, 2);
	host.level.unit = 2;
	for (unsigned i = 0; i < 600; i++) {
		tick(&host);
		CHECK_INT(host.level.now % 2, 0);
	}
	CHECK_INT(host.level.now, 12);
	level_strain(&host.level, LEVEL_LIMIT, 4, host.look.now_ms);
	CHECK_INT(host.level.now, 2);
	level_strain(&host.level, LEVEL_LIMIT, 2, host.look.now_ms + LEVEL_STRAIN_MS);
	CHECK_INT(host.level.now, 2);
}

int
main(void)
{
	RUN(test_grows_while_it_helps);
	RUN(test_saturates);
	RUN(test_wanted);
	RUN(test_limit);
	RUN(test_one_event_counts_once);
	RUN(test_half_of_what_is_used);
	RUN(test_recovers);
	RUN(test_slow_answers);
	RUN(test_ceiling);
	RUN(test_set);
	RUN(test_pairs);
	return test_done();
}
