/* date.h - the dates of IMAP and of message headers, as seconds UTC. */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include <stddef.h>
#include <stdint.h>

/* date-time of RFC 9051 ("17-Jul-1996 02:44:25 -0700", day padded with a blank or a zero, blanks
 * around tolerated). 0, or -1 if it is none or a field is out of range. */
int date_parse_imap(const char *text, size_t len, int64_t *time_r);
/* Always "+0000", always 26 characters; buf of at least 32 bytes; returns buf. t must be within
 * years 1..9999. */
char *date_write_imap(char *buf, size_t size, int64_t t);

/* Date of a header (RFC 5322, 3.3 and 4.3: comments, obsolete zones, two-digit years, missing
 * seconds or zone, military zones as -0000). 0 or -1. Locale-blind, length-bound. */
int date_parse_rfc5322(const char *text, size_t len, int64_t *time_r);

/* A date mail can have: from 1970-01-02 to a day from `now`. */
int date_is_sane(int64_t t, int64_t now);

#endif
