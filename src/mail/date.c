/* date.c - dates of IMAP, strictly, and of message headers, as far as their words allow.
 *
 * The header parser is written by hand: libetpan's takes day 99 and hour 99, wraps a year of
 * eleven digits, keeps two-digit years as they are, and recurses once per "(" of a comment
 * (measured: doc/mail.md). Ours is one loop over words and numbers with a counter for comments. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/date.h"

#include "base/banned.h"

#define DAY_SECONDS     86400
#define NUMBER_DIGITS   9
#define HEADER_DATE_MAX 4096 /* bytes of a field looked at */
#define UNSET           (-1)
#define FIRST_SECOND    INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define LAST_SECOND     INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static const char months[12][10] = { "January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December" };

struct date {
	int year, month, day, hour, minute, second;
	int zone; /* seconds east */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* 1..12 by the first three letters or more of its English name; 0: none. */
static int
month_by_name(const char *word, size_t len)
{
	int i;

	for (i = 0; i < 12; i++)
		if (len >= 3 && text_ieqn(word, months[i], 3) && len <= strlen(months[i]) &&
			text_ieqn(word + 3, months[i] + 3, len - 3))
			return i + 1;
	return 0;
}

static int
days_in_month(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* A second of 60 is a leap second: the first one of the next minute. */
static int
date_finish(const struct date *date, int64_t *time_r)
{
	int64_t t;

	if (date->year < 1 || date->year > 9999 || date->month < 1 || date->month > 12 ||
		date->day < 1 || date->day > days_in_month(date->year, date->month) ||
		date->hour < 0 || date->hour > 23 || date->minute < 0 || date->minute > 59 ||
		date->second < 0 || date->second > 60)
		return -1;
	t = clock_civil(
		    date->year, date->month, date->day, date->hour, date->minute, date->second) -
	    date->zone;
	/* The zone may lead out of the years that can be written. */
	if (t < FIRST_SECOND || t > LAST_SECOND)
		return -1;
	*time_r = t;
	return 0;
}

/* Exactly `count` digits. */
static int
fixed_number(const char *p, size_t count)
{
	int value = 0;

	for (; count > 0; count--, p++) {
		if (!is_digit(*p))
			return UNSET;
		value = value * 10 + (*p - '0');
	}
	return value;
}

/* "+hhmm" of exactly four digits, from behind the sign. */
static int
zone_seconds(char sign, const char *digits, int *zone_r)
{
	int hours = fixed_number(digits, 2), minutes = fixed_number(digits + 2, 2);

	if (hours < 0 || minutes < 0 || hours > 23 || minutes > 59)
		return -1;
	*zone_r = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
	return 0;
}

int
date_parse_imap(const char *text, size_t len, int64_t *time_r)
{
	struct date date = { 0 };

	while (len > 0 && *text == ' ') {
		text++;
		len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (len == 25) { /* a day of one digit, its pad gone with the blanks */
		date.day = fixed_number(text, 1);
		text += 1;
	} else if (len == 26) {
		date.day = fixed_number(text, 2);
		text += 2;
	} else {
		return -1;
	}
	/* -Mmm-yyyy hh:mm:ss +zzzz */
	if (text[0] != '-' || text[4] != '-' || text[9] != ' ' || text[12] != ':' ||
		text[15] != ':' || text[18] != ' ' || (text[19] != '+' && text[19] != '-'))
		return -1;
	date.month = month_by_name(text + 1, 3);
	date.year = fixed_number(text + 5, 4);
	date.hour = fixed_number(text + 10, 2);
	date.minute = fixed_number(text + 13, 2);
	date.second = fixed_number(text + 16, 2);
	if (zone_seconds(text[19], text + 20, &date.zone) < 0)
		return -1;
	return date_finish(&date, time_r);
}

char *
date_write_imap(char *buf, size_t size, int64_t t)
{
	struct civil c;
	char *at;

	clock_to_civil(t < FIRST_SECOND ? FIRST_SECOND : t > LAST_SECOND ? LAST_SECOND : t, &c);
	if (size < sizeof "01-Jan-0001 00:00:00 +0000")
		BUG("no room for a date");
	at = clock_digits(buf, c.day, 2);
	*at++ = '-';
	memcpy(at, months[c.month - 1], 3);
	at[3] = '-';
	at = clock_digits(at + 4, c.year, 4);
	*at++ = ' ';
	at = clock_digits(at, c.hour, 2);
	*at++ = ':';
	at = clock_digits(at, c.minute, 2);
	*at++ = ':';
	at = clock_digits(at, c.second, 2);
	memcpy(at, " +0000", sizeof " +0000");
	return buf;
}

/* Where a header's date is being read, and what it gave so far. */
struct reader {
	const char *p, *end;
	struct date date;
	bool words; /* a word before the day was passed over */
	bool zone;
};

/* Passes blanks, line ends and comments (RFC 5322, 3.2.2), however deep. */
static void
skip_blanks(struct reader *r)
{
	size_t depth = 0;

	for (; r->p < r->end; r->p++) {
		char c = *r->p;

		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0 && r->p + 1 < r->end)
			r->p++;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
}

static int
read_number(struct reader *r, size_t *digits_r)
{
	int value = 0;

	for (*digits_r = 0; r->p < r->end && is_digit(*r->p); r->p++) {
		if (++*digits_r > NUMBER_DIGITS)
			return UNSET;
		value = value * 10 + (*r->p - '0');
	}
	return value;
}

/* ":" minute [":" second], the hour being read. */
static int
read_time(struct reader *r, int hour, size_t digits)
{
	if (r->date.hour != UNSET || digits > 2)
		return -1;
	r->date.hour = hour;
	r->p++;
	skip_blanks(r);
	r->date.minute = read_number(r, &digits);
	if (digits != 2)
		return -1;
	skip_blanks(r);
	if (r->p == r->end || *r->p != ':')
		return 0;
	r->p++;
	skip_blanks(r);
	r->date.second = read_number(r, &digits);
	return digits == 2 ? 0 : -1;
}

/* RFC 5322, 4.3: two digits are 1950..2049, three count from 1900. */
static int
full_year(int year, size_t digits)
{
	if (digits == 2)
		return year < 50 ? year + 2000 : year + 1900;
	return digits == 3 ? year + 1900 : digits == 1 ? UNSET : year;
}

static int
take_number(struct reader *r)
{
	size_t digits;
	int value = read_number(r, &digits);

	if (value < 0)
		return -1;
	skip_blanks(r);
	if (r->p < r->end && *r->p == ':')
		return read_time(r, value, digits);
	if (r->date.day == UNSET && digits <= 2)
		r->date.day = value;
	else if (r->date.day != UNSET && r->date.month != UNSET && r->date.year == UNSET)
		return (r->date.year = full_year(value, digits)) == UNSET ? -1 : 0;
	else
		return -1;
	return 0;
}

/* "+hhmm", also "+hh:mm". */
static int
take_offset(struct reader *r)
{
	char digits[4], sign = *r->p++;
	size_t count = 0;

	if (r->date.hour == UNSET)
		return -1;
	while (r->p < r->end && (is_digit(*r->p) || (count == 2 && *r->p == ':'))) {
		if (*r->p != ':') {
			if (count == sizeof(digits))
				return -1;
			digits[count++] = *r->p;
		}
		r->p++;
	}
	if (count != sizeof(digits))
		return -1;
	r->zone = true;
	return zone_seconds(sign, digits, &r->date.zone);
}

/* RFC 5322, 4.3: the zones of North America; all others, the military ones too, are -0000. */
static int
zone_by_name(const char *word, size_t len)
{
	static const struct {
		char name[4];
		int hours;
	} zones[] = { { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 },
		{ "MDT", -6 }, { "PST", -8 }, { "PDT", -7 } };
	size_t i;

	for (i = 0; len == 3 && i < sizeof(zones) / sizeof(zones[0]); i++)
		if (text_ieqn(word, zones[i].name, 3))
			return zones[i].hours * 3600;
	return 0;
}

static int
take_word(struct reader *r)
{
	const char *word = r->p;
	size_t len;
	int month;

	while (r->p < r->end && is_alpha(*r->p))
		r->p++;
	len = (size_t)(r->p - word);
	month = month_by_name(word, len);
	if (month != 0 && r->date.month == UNSET) {
		r->date.month = month;
		return 0;
	}
	if (r->date.hour != UNSET) {
		/* A clock of twelve hours is no date of RFC 5322, and would be wrong by half a
		 * day. */
		if (len == 2 && (text_ieqn(word, "AM", 2) || text_ieqn(word, "PM", 2)))
			return -1;
		if (!r->zone)
			r->date.zone = zone_by_name(word, len);
		return 0;
	}
	if (r->words || r->date.day != UNSET || r->date.month != UNSET)
		return -1;
	r->words = true; /* the day of the week */
	return 0;
}

static bool
is_complete(const struct date *date)
{
	return date->day != UNSET && date->month != UNSET && date->year != UNSET &&
	       date->hour != UNSET;
}

int
date_parse_rfc5322(const char *text, size_t len, int64_t *time_r)
{
	struct reader r = { .p = text,
		.end = text + (len < HEADER_DATE_MAX ? len : HEADER_DATE_MAX),
		.date = { UNSET, UNSET, UNSET, UNSET, UNSET, 0, 0 } };

	for (;;) {
		int ret = -1;

		skip_blanks(&r);
		if (r.p == r.end || (r.zone && is_complete(&r.date)))
			break; /* what follows a whole date is somebody's remark */
		if (is_digit(*r.p)) {
			ret = take_number(&r);
		} else if (is_alpha(*r.p)) {
			ret = take_word(&r);
		} else if (*r.p == '+' || (*r.p == '-' && r.date.hour != UNSET)) {
			ret = take_offset(&r);
		} else if (*r.p == ',' || *r.p == '-') { /* "17-Jul-1996" is seen, too */
			r.p++;
			ret = 0;
		}
		if (ret < 0)
			return -1;
	}
	if (!is_complete(&r.date))
		return -1;
	return date_finish(&r.date, time_r);
}

int
date_is_sane(int64_t t, int64_t now)
{
	return t >= DAY_SECONDS && t - DAY_SECONDS <= now;
}
