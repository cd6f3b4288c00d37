/* test_clock.c - civil dates over ten thousand years, and waits that end when told. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/test.h"

#include "base/banned.h"

static void
known_dates(void)
{
	static const struct {
		int64_t t;
		struct civil c;
		const char *iso;
	} cases[] = {
		{ 0, { 1970, 1, 1, 0, 0, 0, 4 }, "1970-01-01T00:00:00Z" },
		{ -1, { 1969, 12, 31, 23, 59, 59, 3 }, "1969-12-31T23:59:59Z" },
		{ 951782400, { 2000, 2, 29, 0, 0, 0, 2 }, "2000-02-29T00:00:00Z" },
		{ 1795254067, { 2026, 11, 21, 9, 41, 7, 6 }, "2026-11-21T09:41:07Z" },
		{ 2147483648, { 2038, 1, 19, 3, 14, 8, 2 }, "2038-01-19T03:14:08Z" },
		{ 4107542400, { 2100, 3, 1, 0, 0, 0, 1 }, "2100-03-01T00:00:00Z" },
		{ 253402300799, { 9999, 12, 31, 23, 59, 59, 5 }, "9999-12-31T23:59:59Z" },
		{ -62167219200, { 0, 1, 1, 0, 0, 0, 6 }, "0000-01-01T00:00:00Z" },
	};
	char buf[24];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct civil *w = &cases[i].c;
		struct civil c;

		CHECK_INT(clock_civil(w->year, w->month, w->day, w->hour, w->minute, w->second),
			cases[i].t);
		clock_to_civil(cases[i].t, &c);
		CHECK_MEM(&c, w, sizeof(c));
		CHECK_STR(clock_iso(buf, sizeof(buf), cases[i].t), cases[i].iso);
	}
}

/* Each day of the years 0 to 9999 goes there and back, and follows the one before. */
static void
every_day_of_ten_thousand_years(void)
{
	int64_t first = clock_civil(0, 1, 1, 0, 0, 0), end = clock_civil(10000, 1, 1, 0, 0, 0);
	struct civil before, c;
	int wrong = 0;

	clock_to_civil(first - 86400, &before);
	for (int64_t t = first; t < end; t += 86400) {
		clock_to_civil(t, &c);
		wrong += clock_civil(c.year, c.month, c.day, 0, 0, 0) != t;
		wrong += c.weekday != (before.weekday + 1) % 7;
		wrong += c.day != before.day + 1 && (c.day != 1 || before.day < 28);
		before = c;
	}
	CHECK_INT(wrong, 0);
	CHECK_INT((end - first) / 86400, 3652425);
}

static void
stamp_is_local_time(void)
{
	char buf[24];

	setenv("TZ", "UTC0", 1);
	tzset();
	CHECK_STR(clock_stamp(buf, sizeof(buf), 1795254067), "11212026_094107");
}

static void
monotonic_time_goes_on(void)
{
	int64_t before = clock_ms();

	clock_sleep_ms(15);
	CHECK(clock_ms() - before >= 15);
	CHECK(clock_now() > 1700000000);
}

static void *
fire(void *cancel)
{
	cancel_fire(cancel);
	return NULL;
}

static void
cancel_ends_a_wait_and_stays(void)
{
	struct cancel *cancel = cancel_new();
	struct pollfd pfd = { .fd = cancel_fd(cancel), .events = POLLIN };
	int64_t before = clock_ms();
	pthread_t thread;

	CHECK(!cancel_fired(cancel));
	CHECK(!cancel_wait(cancel, 10));
	CHECK(clock_ms() - before >= 10);
	CHECK_INT(poll(&pfd, 1, 0), 0);
	CHECK_INT(pthread_create(&thread, NULL, fire, cancel), 0);
	CHECK(cancel_wait(cancel, 30000));
	CHECK(clock_ms() - before < 20000);
	pthread_join(thread, NULL);
	cancel_fire(cancel);
	CHECK(cancel_fired(cancel));
	CHECK_INT(poll(&pfd, 1, 0), 1);
	CHECK_INT(poll(&pfd, 1, 0), 1);
	CHECK(cancel_wait(cancel, 0));
	cancel_free(&cancel);
	CHECK(cancel == NULL);
	cancel_free(&cancel);
}

static void
no_cancel_is_never_fired(void)
{
	CHECK(!cancel_fired(NULL));
	CHECK_INT(cancel_fd(NULL), -1);
	CHECK(!cancel_wait(NULL, 5));
}

/* Behind, never ahead: a sum of what was waited cannot come out of nothing. */
static void
ticks_are_behind(void)
{
	for (int i = 0; i < 1000; i++) {
		int64_t before = clock_tick_ms(), now = clock_ms(), after = clock_tick_ms();

		CHECK(before <= now && before <= after);
	}
}

int
main(void)
{
	RUN(known_dates);
	RUN(every_day_of_ten_thousand_years);
	RUN(stamp_is_local_time);
	RUN(monotonic_time_goes_on);
	RUN(cancel_ends_a_wait_and_stays);
	RUN(no_cancel_is_never_fired);
	RUN(ticks_are_behind);
	return test_done();
}
