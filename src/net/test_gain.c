/* test_gain.c - measurements given, the decision compared. */
#include "base/test.h"
#include "net/gain.h"

#include "base/banned.h"

#define MB 1000000ULL

static const struct {
	const char *name;
	struct gain_sample plain;
	uint64_t zlib;
	bool worth;
} trials[] = {
	{ "2 MB/s, all of it waiting", { 8 * MB, 4000, 3900 }, 40 * MB, true },
	{ "half of what zlib does", { 80 * MB, 4000, 3900 }, 40 * MB, true },
	{ "more than that", { 81 * MB, 4000, 3900 }, 40 * MB, false },
	{ "loopback", { 800 * MB, 4000, 3900 }, 40 * MB, false },
	{ "waiting 60 of 100", { 8 * MB, 4000, 2400 }, 40 * MB, true },
	{ "waiting less: something else is slow", { 8 * MB, 4000, 2399 }, 40 * MB, false },
	{ "too few bytes", { GAIN_BYTES_MIN - 1, 60000, 60000 }, 40 * MB, false },
	{ "just enough", { GAIN_BYTES_MIN, 60000, 60000 }, 40 * MB, true },
	{ "too short", { 8 * MB, GAIN_BUSY_MIN_MS - 1, 2999 }, 40 * MB, false },
	{ "nothing", { 0, 0, 0 }, 40 * MB, false },
	{ "no zlib to speak of", { 8 * MB, 4000, 3900 }, 0, false },
};

static void
test_worth_trying(void)
{
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		if (gain_is_worth_trying(&trials[i].plain, trials[i].zlib) != trials[i].worth)
			printf("%s:\n", trials[i].name);
		CHECK_INT(gain_is_worth_trying(&trials[i].plain, trials[i].zlib), trials[i].worth);
	}
}

static const struct {
	const char *name;
	struct gain_sample plain, packed;
	enum gain_verdict verdict;
} ends[] = {
	{ "twice as fast", { 8 * MB, 4000, 3900 }, { 16 * MB, 4000, 3900 }, GAIN_BETTER },
	{ "a tenth faster", { 10 * MB, 5000, 4900 }, { 11 * MB, 5000, 4900 }, GAIN_BETTER },
	{ "not quite", { 10 * MB, 5000, 4900 }, { 10990000, 5000, 4900 }, GAIN_WORSE },
	{ "slower", { 8 * MB, 4000, 3900 }, { 6 * MB, 4000, 3900 }, GAIN_WORSE },
	{ "no faster, but nobody waits now", { 8 * MB, 4000, 3900 }, { 8 * MB, 4000, 400 },
		GAIN_OPEN },
	{ "faster, and nobody waits now", { 8 * MB, 4000, 3900 }, { 16 * MB, 4000, 400 },
		GAIN_BETTER },
	{ "not long enough", { 8 * MB, 4000, 3900 }, { 8 * MB, 2999, 2900 }, GAIN_OPEN },
	{ "not enough bytes", { 8 * MB, 4000, 3900 }, { GAIN_BYTES_MIN - 1, 9000, 9000 },
		GAIN_OPEN },
	{ "nothing known of before", { 0, 0, 0 }, { 8 * MB, 4000, 3900 }, GAIN_OPEN },
};

static void
test_judge(void)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (gain_judge(&ends[i].plain, &ends[i].packed) != ends[i].verdict)
			printf("%s:\n", ends[i].name);
		CHECK_INT(gain_judge(&ends[i].plain, &ends[i].packed), ends[i].verdict);
	}
}

/* Old measurements fade: a line that becomes slow is seen as slow. */
static void
test_add(void)
{
	const struct gain_sample fast = { 100 * MB, 1000, 100 }, slow = { 1 * MB, 1000, 1000 };
	struct gain_sample sum = { 0, 0, 0 };
	int i;

	for (i = 0; i < 1000; i++)
		gain_add(&sum, &fast);
	CHECK(sum.busy_ms <= GAIN_BUSY_KEPT_MS);
	CHECK_INT(gain_rate(&sum) / 1000000, 100);
	CHECK(!gain_is_worth_trying(&sum, 40 * MB));
	for (i = 0; i < 200; i++)
		gain_add(&sum, &slow);
	CHECK(gain_is_worth_trying(&sum, 40 * MB));
}

static void
test_zlib_rate(void)
{
	const struct gain_speed speed = { 40 * MB, 160 * MB, 25 * MB }, fast = { 40, 30, 50 };

	CHECK_INT(gain_zlib_rate(&speed, false), 40 * MB);
	CHECK_INT(gain_zlib_rate(&speed, true), 25 * MB); /* someone has to deflate it */
	CHECK_INT(gain_zlib_rate(&fast, true), 30);
}

int
main(void)
{
	RUN(test_worth_trying);
	RUN(test_judge);
	RUN(test_add);
	RUN(test_zlib_rate);
	return test_done();
}
