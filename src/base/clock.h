/* clock.h - deadlines in monotonic ms, civil time without the process's time zone. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

int64_t clock_ms(void); /* CLOCK_MONOTONIC; for deadlines and durations */
int64_t clock_us(void); /* the same in microseconds, for what is short and often */
/* The same up to a tick of the kernel ago (4 ms or so), at a tenth of the cost: for what is added
 * up over many messages. Never mixed with clock_ms(). */
int64_t clock_tick_ms(void);
time_t clock_now(void); /* wall time, up to a tick ago, as time() */
void clock_sleep_ms(unsigned ms);

/* UTC -> "2026-11-21T09:41:07Z"; buf of at least 24 bytes; returns buf. */
char *clock_iso(char *buf, size_t size, time_t t);
/* `count` digits of a value that has no more; returns what follows them. */
char *clock_digits(char *to, int value, unsigned count);
/* Local time -> "11212026_094107", the name of a log directory. */
char *clock_stamp(char *buf, size_t size, time_t t);

/* Days-based, right for all years 0..9999. month 1..12. */
int64_t clock_civil(int year, int month, int day, int hour, int minute, int second);
struct civil {
	int year, month, day, hour, minute, second, weekday; /* weekday 0 = Sunday */
};
void clock_to_civil(int64_t t, struct civil *c);

#endif
