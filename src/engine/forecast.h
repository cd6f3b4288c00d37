/* forecast.h - how far a run is and how long it may still take, without guessing better than known.
 *
 * Pure arithmetic over what each account tells of itself; snapshot.c feeds it. */
#ifndef ENGINE_FORECAST_H
#define ENGINE_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

/* What one account has, and has done. */
struct forecast_account {
	bool open;    /* not at its end */
	bool looked;  /* this run has asked the source what is there */
	bool counted; /* every folder was listed: found and its bytes are complete */
	uint64_t items_found, items_done, bytes_found, bytes_done;
};

/* Zeroed before the first account is added. */
struct forecast {
	uint64_t accounts, open;
	uint64_t unknown;     /* open, and nobody has looked at them yet */
	uint64_t sized;       /* open or moved, with a size that is known */
	double whole, done;   /* cost of the sized ones; a cost is a number of bytes */
	double unknown_least; /* of the unknown ones, as far as earlier rounds tell */
	double shares;        /* sum of the part of each account that is done, 0..1 */
	double items, bytes;  /* still to do in open accounts */
};

void forecast_add(struct forecast *forecast, const struct forecast_account *account);

/* 0..99. While accounts are unknown each counts for the mean of the sized ones, and no more is
 * shown than the mean part done of all accounts: a few large ones at their end say little about
 * those that nobody has looked at. It falls when a mailbox turns out larger than those before. */
unsigned forecast_percent(const struct forecast *forecast);

/* Seconds: the longer of the two forecasts, by bytes and by messages. 0 when nothing is open; -1,
 * not known, while an open account is unknown or nothing moves. */
int64_t forecast_eta(const struct forecast *forecast, double items_per_s, double bytes_per_s);

#endif
