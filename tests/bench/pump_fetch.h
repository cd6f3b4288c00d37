/* pump_fetch.h - a message on its way from one command to another: what a FETCH response says
 * before the body, and what an APPEND does. */
#ifndef BENCH_PUMP_FETCH_H
#define BENCH_PUMP_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#define FETCH_FLAGS_MAX 4096
#define APPEND_HEAD_MAX (FETCH_FLAGS_MAX + 128)

/* Of a FETCH response; what is pointed to lies in its line. */
struct head {
	const char *flags;
	size_t flags_len;
	const char *date;
	size_t date_len;
	size_t size;
	bool has_body;
};

/* Takes "* 12 FETCH (..." apart, a line without its end, which a line feed follows. False for any
 * other line, and for one that only tells of flags; a FETCH of another shape ends the program. */
bool fetch_parse(const char *line, size_t len, struct head *head);

/* What precedes the message in an APPEND. Returns its length, at most APPEND_HEAD_MAX; it is always
 * less than that of the line that `head` was read from. */
size_t fetch_write_append(char *to, const struct head *head);

#endif
