/* test_forecast.c - percent and time to go: never better than what is known allows. */
#include "base/test.h"
#include "engine/forecast.h"
#include "base/banned.h"

#define MB ((uint64_t)1000000)

static void
add(struct forecast *f, uint64_t count, struct forecast_account account)
{
	for (uint64_t i = 0; i < count; i++)
		forecast_add(f, &account);
}

static const struct forecast_account waiting = { .open = true };
static const struct forecast_account moved = { .counted = true,
	.looked = true,
	.items_found = 100,
	.items_done = 100,
	.bytes_found = 10 * MB,
	.bytes_done = 10 * MB };
static const struct forecast_account half = { .open = true,
	.looked = true,
	.counted = true,
	.items_found = 100,
	.items_done = 50,
	.bytes_found = 10 * MB,
	.bytes_done = 5 * MB };
static const struct forecast_account giant = {
	.open = true, .looked = true, .items_found = 1000000, .bytes_found = 100000 * MB
};

/* More accounts than workers: those that nobody looked at count for as much as the others. */
static void
test_many_accounts(void)
{
	struct forecast f = { 0 };

	add(&f, 615, moved);
	add(&f, 3379, waiting);
	add(&f, 6, half);
	CHECK_INT(forecast_percent(&f), 15);
	CHECK_INT(forecast_eta(&f, 100, 1e6), -1);
	/* An end that is large says nothing about those to come. */
	add(&f, 1, giant);
	CHECK(forecast_percent(&f) <= 15);
	CHECK_INT(forecast_eta(&f, 100, 1e6), -1);
}

/* One large mailbox that is done first is not the whole of the work. */
static void
test_large_one_first(void)
{
	struct forecast_account large = giant;
	struct forecast f = { 0 };

	large.open = false;
	large.items_done = large.items_found;
	large.bytes_done = large.bytes_found;
	add(&f, 1, large);
	add(&f, 99, half);
	add(&f, 100, waiting);
	CHECK_INT(forecast_percent(&f), 25); /* (1 + 99 / 2) of 200 */
}

/* A later round begins at nothing, whatever the rounds before have copied. */
static void
test_later_round(void)
{
	struct forecast_account before = moved, now = moved;
	struct forecast f = { 0 };

	before.open = true;
	before.looked = before.counted = false;
	now.open = true;
	now.items_found += 10;
	add(&f, 10, before);
	CHECK_INT(forecast_percent(&f), 0);
	add(&f, 10, now);
	CHECK(forecast_percent(&f) <= 50);
}

/* Bytes that the source has not told yet are not taken for nothing. */
static void
test_without_sizes(void)
{
	struct forecast_account blind = { .open = true,
		.looked = true,
		.items_found = 1000,
		.items_done = 100,
		.bytes_done = 100 * MB };
	struct forecast f = { 0 };

	add(&f, 1, blind);
	CHECK_INT(forecast_percent(&f), 10);
	CHECK_INT(forecast_eta(&f, 1, 1e6), 901); /* 900 MB to go */
}

static void
test_all_known(void)
{
	struct forecast f = { 0 };

	CHECK_INT(forecast_percent(&f), 0);
	CHECK_INT(forecast_eta(&f, 0, 0), 0);
	add(&f, 1, half);
	CHECK_INT(forecast_percent(&f), 50);
	CHECK_INT(forecast_eta(&f, 10, 1e6), 6);
	CHECK_INT(forecast_eta(&f, 0, 0), -1); /* nothing moves */
	add(&f, 3, moved);
	CHECK_INT(forecast_percent(&f), 87);
	/* What failed is not waited for, and all at their end is not 100 by itself. */
	f = (struct forecast){ 0 };
	add(&f, 2, moved);
	add(&f, 1, (struct forecast_account){ .open = false });
	CHECK_INT(forecast_percent(&f), 99);
	CHECK_INT(forecast_eta(&f, 0, 0), 0);
}

int
main(void)
{
	RUN(test_many_accounts);
	RUN(test_large_one_first);
	RUN(test_later_round);
	RUN(test_without_sizes);
	RUN(test_all_known);
	return test_done();
}
