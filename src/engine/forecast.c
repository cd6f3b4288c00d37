/* forecast.c - how far a run is and how long it may still take, without guessing better than known.
 */
#include "engine/forecast.h"

#include "base/banned.h"

#define ITEM_COST     1000 /* bytes that a message costs besides its own: a round trip's share */
#define SLOWEST_ITEMS 0.1  /* per second; below both of these nothing moves */
#define SLOWEST_BYTES 1.0

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Servers without STATUS=SIZE tell messages but no bytes before the listing is complete: until then
 * the messages to come are taken to be as large as those that came. */
static double
likely_bytes(const struct forecast_account *a, uint64_t items)
{
	double known = (double)larger(a->bytes_found, a->bytes_done), likely;

	if (a->counted || !a->open || a->items_done == 0)
		return known;
	likely = (double)a->bytes_done * (double)items / (double)a->items_done;
	return likely > known ? likely : known;
}

static double
cost(double items, double bytes)
{
	return bytes + items * ITEM_COST;
}

void
forecast_add(struct forecast *forecast, const struct forecast_account *a)
{
	uint64_t items = larger(a->items_found, a->items_done);
	double bytes = likely_bytes(a, items), whole = cost((double)items, bytes);
	double done = cost((double)a->items_done, (double)a->bytes_done);

	forecast->accounts++;
	forecast->open += a->open;
	if (a->open && !a->looked) {
		/* What earlier rounds did is no part of this one: nothing of it counts as done. */
		forecast->unknown++;
		forecast->unknown_least += whole;
		return;
	}
	forecast->shares += !a->open ? 1 : whole > 0 ? done / whole : 0;
	if (!a->open && items == 0)
		return; /* left out, or failed before anything was known: no measure for others */
	forecast->sized++;
	forecast->whole += whole;
	forecast->done += done;
	if (a->open) {
		forecast->items += (double)(items - a->items_done);
		forecast->bytes += bytes - (double)a->bytes_done;
	}
}

unsigned
forecast_percent(const struct forecast *f)
{
	double whole = f->whole, by_cost, by_accounts;

	if (f->unknown > 0) {
		double likely = f->sized > 0 ? f->whole / (double)f->sized * (double)f->unknown : 0;

		whole += likely > f->unknown_least ? likely : f->unknown_least;
	}
	if (f->accounts == 0 || whole <= 0)
		return 0;
	by_cost = f->done * 100 / whole;
	by_accounts = f->shares * 100 / (double)f->accounts;
	if (f->unknown > 0 && by_accounts < by_cost)
		by_cost = by_accounts;
	return by_cost > 99 ? 99 : (unsigned)by_cost;
}

int64_t
forecast_eta(const struct forecast *f, double items_per_s, double bytes_per_s)
{
	double by_items, by_bytes;

	if (f->open == 0)
		return 0;
	if (f->unknown > 0 || (items_per_s < SLOWEST_ITEMS && bytes_per_s < SLOWEST_BYTES))
		return -1;
	by_items = items_per_s >= SLOWEST_ITEMS ? f->items / items_per_s : 0;
	by_bytes = bytes_per_s >= SLOWEST_BYTES ? f->bytes / bytes_per_s : 0;
	return (int64_t)(by_items > by_bytes ? by_items : by_bytes) + 1;
}
