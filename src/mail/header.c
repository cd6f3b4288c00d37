/* header.c - reads single fields of a message's header, where it may be cut or broken.
 *
 * One pass over the lines; what is no field is passed over with what is folded below it. */
#include <stdbool.h>
#include <string.h>

#include "mail/date.h"
#include "mail/header.h"

#include "base/banned.h"

struct field {
	const char *name, *name_end;
	const char *value, *value_end; /* raw, folded, with its line ends */
	bool cut;                      /* the message's end came before the line's */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Behind the line end, or the end. */
static const char *
line_behind(const char *p, const char *end)
{
	const char *lf = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

	return lf != NULL ? lf + 1 : end;
}

/* The field at *p, which is moved behind it. False at the end of the header. */
static bool
next_field(const char **p, const char *end, struct field *field)
{
	const char *line = *p, *next, *colon;

	if (line == end || *line == '\n' || (*line == '\r' && line + 1 < end && line[1] == '\n'))
		return false;
	next = line_behind(line, end);
	colon = memchr(line, ':', (size_t)(next - line));
	while (next < end && is_blank(*next))
		next = line_behind(next, end);
	field->name = field->name_end = line;
	if (colon != NULL) {
		field->name_end = colon;
		while (field->name_end > line && is_blank(field->name_end[-1]))
			field->name_end--; /* "Name :" is an obsolete form */
	}
	field->value = colon != NULL ? colon + 1 : line;
	field->value_end = next;
	field->cut = next[-1] != '\n';
	*p = next;
	return true;
}

/* Without the line ends and the blanks around it. */
static int
unfold(const struct field *field, struct str *value)
{
	const char *p = field->value, *end = field->value_end;

	while (p < end && (is_blank(*p) || *p == '\r' || *p == '\n'))
		p++;
	while (p < end && (is_blank(end[-1]) || end[-1] == '\r' || end[-1] == '\n'))
		end--;
	while (p < end) {
		const char *next = line_behind(p, end), *stop = next;

		if (stop > p && stop[-1] == '\n')
			stop--;
		if (stop < next && stop > p && stop[-1] == '\r')
			stop--;
		if (str_add(value, p, (size_t)(stop - p)) < 0)
			return -1;
		p = next;
	}
	return 0;
}

static int
find_field(const char *message, size_t len, const char *name, unsigned n, struct field *field)
{
	const char *p = message, *end = message + len;
	size_t name_len = strlen(name);

	while (next_field(&p, end, field))
		if ((size_t)(field->name_end - field->name) == name_len &&
			text_ieqn(field->name, name, name_len) && n-- == 0)
			return 0;
	return -1;
}

int
header_get(const char *message, size_t len, const char *name, unsigned n, struct str *value)
{
	struct field field;

	str_reset(value);
	if (find_field(message, len, name, n, &field) < 0)
		return -1;
	return unfold(&field, value);
}

/* The date of a field's value from `from` on. */
static int
sane_date(const char *from, const char *end, int64_t now, int64_t *time_r)
{
	int64_t t;

	if (date_parse_rfc5322(from, (size_t)(end - from), &t) < 0 || !date_is_sane(t, now))
		return -1;
	*time_r = t;
	return 0;
}

int
header_date(const char *message, size_t len, int64_t now, int64_t *time_r, const char **from_r)
{
	struct field field;

	if (find_field(message, len, "Received", 0, &field) == 0 && !field.cut) {
		const char *semicolon =
			memrchr(field.value, ';', (size_t)(field.value_end - field.value));

		if (semicolon != NULL &&
			sane_date(semicolon + 1, field.value_end, now, time_r) == 0) {
			*from_r = "Received";
			return 0;
		}
	}
	if (find_field(message, len, "Date", 0, &field) == 0 && !field.cut &&
		sane_date(field.value, field.value_end, now, time_r) == 0) {
		*from_r = "Date";
		return 0;
	}
	return -1;
}
