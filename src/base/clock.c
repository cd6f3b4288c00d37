/* clock.c - the time now, and civil dates counted from days so that no time zone of the process
 * and no 32-bit year can get in. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

#include "base/banned.h"

#define DAY_SECONDS   86400
#define ERA_YEARS     400
#define ERA_DAYS      146097 /* days of 400 years */
#define EPOCH_DAYS    719468 /* from 0000-03-01 to 1970-01-01 */
#define EPOCH_WEEKDAY 4      /* a Thursday */

int64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_tick_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

time_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME_COARSE, &ts);
	return ts.tv_sec;
}

void
clock_sleep_ms(unsigned ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		continue;
}

char *
clock_digits(char *to, int value, unsigned count)
{
	for (unsigned i = count; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + count;
}

/* Millions of them are written: printf() is ten times as slow. */
static void
iso_by_hand(char *to, const struct civil *c)
{
	to = clock_digits(to, c->year, 4);
	*to++ = '-';
	to = clock_digits(to, c->month, 2);
	*to++ = '-';
	to = clock_digits(to, c->day, 2);
	*to++ = 'T';
	to = clock_digits(to, c->hour, 2);
	*to++ = ':';
	to = clock_digits(to, c->minute, 2);
	*to++ = ':';
	to = clock_digits(to, c->second, 2);
	*to++ = 'Z';
	*to = '\0';
}

char *
clock_iso(char *buf, size_t size, time_t t)
{
	struct civil c;

	clock_to_civil(t, &c);
	if (c.year >= 0 && c.year <= 9999 && size > sizeof "0000-00-00T00:00:00Z" - 1) {
		iso_by_hand(buf, &c);
		return buf;
	}
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour,
		c.minute, c.second);
	return buf;
}

char *
clock_stamp(char *buf, size_t size, time_t t)
{
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL || strftime(buf, size, "%m%d%Y_%H%M%S", &tm) == 0)
		snprintf(buf, size, "00000000_000000");
	return buf;
}

/* Quotient rounded down, for b > 0. */
static int64_t
div_floor(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

/* Years are counted from March, so that the leap day is the last of its year. */
int64_t
clock_civil(int year, int month, int day, int hour, int minute, int second)
{
	int64_t y = (int64_t)year - (month <= 2 ? 1 : 0);
	int64_t era = div_floor(y, ERA_YEARS), year_of_era = y - era * ERA_YEARS;
	int64_t month_of_year = month > 2 ? month - 3 : month + 9;
	int64_t day_of_year = (153 * month_of_year + 2) / 5 + day - 1;
	int64_t days = era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
		       day_of_year - EPOCH_DAYS;

	return days * DAY_SECONDS + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
}

void
clock_to_civil(int64_t t, struct civil *c)
{
	int64_t days = div_floor(t, DAY_SECONDS), seconds = t - days * DAY_SECONDS;
	int64_t shifted = days + EPOCH_DAYS, era = div_floor(shifted, ERA_DAYS);
	int64_t day_of_era = shifted - era * ERA_DAYS;
	/* The last day of a 4, 100 and 400 year cycle must not begin a year of its own. */
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
				      day_of_era / (ERA_DAYS - 1)) /
			      365;
	int64_t day_of_year =
		day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
	int64_t month_of_year = (5 * day_of_year + 2) / 153;
	int64_t weekday = (days + EPOCH_WEEKDAY) % 7;

	c->day = (int)(day_of_year - (153 * month_of_year + 2) / 5 + 1);
	c->month = (int)(month_of_year < 10 ? month_of_year + 3 : month_of_year - 9);
	c->year = (int)(era * ERA_YEARS + year_of_era + (c->month <= 2 ? 1 : 0));
	c->hour = (int)(seconds / 3600);
	c->minute = (int)(seconds / 60 % 60);
	c->second = (int)(seconds % 60);
	c->weekday = (int)(weekday < 0 ? weekday + 7 : weekday);
}
