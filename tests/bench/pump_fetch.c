/* pump_fetch.c - a message on its way from one command to another: what a FETCH response says
 * before the body, and what an APPEND does. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pump_fetch.h"
#include "session.h"

#define DATE_MAX 40
#define ITEM_MAX (UINT32_C(1) << 31)

static const char *
take_number(const char *at, size_t *number_r)
{
	size_t number = 0;

	for (; *at >= '0' && *at <= '9' && number < ITEM_MAX; at++)
		number = 10 * number + (size_t)(*at - '0');
	*number_r = number;
	return at;
}

/* `at` is behind "FETCH ("; the line's end stops each comparison. NULL is a surprise. */
static const char *
take_item(const char *at, const char *end, struct head *head)
{
	const char *stop;
	size_t number;

	if (begins(at, (size_t)(end - at), "UID "))
		return take_number(at + 4, &number);
	if (begins(at, (size_t)(end - at), "FLAGS (")) {
		stop = memchr(at, ')', (size_t)(end - at));
		head->flags = at + 7;
		head->flags_len = stop != NULL ? (size_t)(stop - head->flags) : 0;
		return stop != NULL ? stop + 1 : NULL;
	}
	if (begins(at, (size_t)(end - at), "INTERNALDATE \"")) {
		head->date = at + 14;
		stop = memchr(head->date, '"', (size_t)(end - head->date));
		head->date_len = stop != NULL ? (size_t)(stop - head->date) : 0;
		return stop != NULL ? stop + 1 : NULL;
	}
	if (begins(at, (size_t)(end - at), "BODY[] {")) {
		at = take_number(at + 8, &head->size);
		head->has_body = true;
		return *at == '}' ? at + 1 : NULL;
	}
	return NULL;
}

bool
fetch_parse(const char *line, size_t len, struct head *head)
{
	const char *end = line + len, *at;
	size_t number;

	at = take_number(line + 2, &number);
	if (at == line + 2 || !begins(at, (size_t)(end - at), " FETCH ("))
		return false;
	at += strlen(" FETCH (");
	while (at != NULL && at < end && *at != ')') {
		at = take_item(at, end, head);
		if (at != NULL && at < end && *at == ' ')
			at++;
	}
	if (at == end && head->has_body && head->flags != NULL && head->date != NULL)
		return true;
	if (at == NULL || head->has_body)
		die_of_line("source", "FETCH", line, len);
	return false;
}

static size_t
copy_flags(char *to, const struct head *head)
{
	const char *at = head->flags, *end = at + head->flags_len;
	size_t len = 0;

	while (at < end) {
		const char *stop = memchr(at, ' ', (size_t)(end - at));
		size_t part = (size_t)((stop != NULL ? stop : end) - at);

		if (part != strlen("\\Recent") || strncasecmp(at, "\\Recent", part) != 0) {
			if (len > 0)
				to[len++] = ' ';
			memcpy(to + len, at, part);
			len += part;
		}
		at += part + 1;
	}
	return len;
}

size_t
fetch_write_append(char *to, const struct head *head)
{
	size_t len = 2;

	if (head->flags_len > FETCH_FLAGS_MAX || head->date_len > DATE_MAX ||
		head->size >= ITEM_MAX)
		die("source: a message with flags, date or size beyond all limits");
	memcpy(to, " (", 2);
	len += copy_flags(to + len, head);
	len += (size_t)snprintf(to + len, APPEND_HEAD_MAX - len, ") \"%.*s\" {%zu+}\r\n",
		(int)head->date_len, head->date, head->size);
	return len;
}
