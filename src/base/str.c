/* str.c - byte strings under a hard limit.
 *
 * Memory grows by doubling. The old block is wiped rather than given to realloc(), because a
 * command line with a password in it is built in a struct str like any other and str_wipe() could
 * not reach the blocks it has grown out of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#include "base/banned.h"

#define FIRST_BYTES 64

static size_t
limit_of(const struct str *s)
{
	return s->limit != 0 ? s->limit : STR_LIMIT_DEFAULT;
}

void
str_init(struct str *s, size_t limit)
{
	*s = (struct str){ .limit = limit };
}

void
str_clear(struct str *s)
{
	free(s->data);
	*s = (struct str){ .limit = s->limit };
}

void
str_wipe(struct str *s)
{
	if (s->data != NULL)
		explicit_bzero(s->data, s->cap);
	str_clear(s);
}

void
str_reset(struct str *s)
{
	s->overflow = false;
	str_cut(s, 0);
}

/* A block of memory for `more` bytes and the NUL, or the limit refuses. */
static int
grow(struct str *s, size_t more)
{
	size_t limit = limit_of(s), cap;
	char *data;

	if (s->len > limit || more > limit - s->len) {
		s->overflow = true;
		return -1;
	}
	cap = s->cap > 0 ? s->cap : limit < FIRST_BYTES ? limit + 1 : FIRST_BYTES;
	while (cap <= s->len + more)
		cap = cap > limit / 2 ? limit + 1 : cap * 2;
	data = xmalloc(cap);
	if (s->data != NULL) {
		memcpy(data, s->data, s->len + 1);
		explicit_bzero(s->data, s->cap);
		free(s->data);
	} else {
		data[0] = '\0';
	}
	s->data = data;
	s->cap = cap;
	return 0;
}

/* Makes room for `more` bytes and the NUL, or refuses. No block is larger than the limit allows. */
static inline int
reserve(struct str *s, size_t more)
{
	return more < s->cap - s->len ? 0 : grow(s, more);
}

int
str_add(struct str *s, const void *bytes, size_t len)
{
	if (reserve(s, len) < 0)
		return -1;
	if (len > 0)
		memcpy(s->data + s->len, bytes, len);
	s->len += len;
	s->data[s->len] = '\0';
	return 0;
}

int
str_adds(struct str *s, const char *text)
{
	return str_add(s, text, strlen(text));
}

int
str_addc(struct str *s, char c)
{
	if (reserve(s, 1) < 0)
		return -1;
	s->data[s->len++] = c;
	s->data[s->len] = '\0';
	return 0;
}

int
str_addu(struct str *s, unsigned long long value)
{
	char digits[20]; /* of 2^64 - 1 */
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return str_add(s, digits + at, sizeof(digits) - at);
}

int
str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = str_addv(s, fmt, ap);
	va_end(ap);
	return ret;
}

int
str_addv(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0) {
		s->overflow = true;
		return -1;
	}
	if (reserve(s, (size_t)len) < 0)
		return -1;
	vsnprintf(s->data + s->len, (size_t)len + 1, fmt, ap);
	s->len += (size_t)len;
	return 0;
}

void
str_cut(struct str *s, size_t len)
{
	if (s->data != NULL && len <= s->len) {
		s->len = len;
		s->data[len] = '\0';
	}
}

const char *
str_get(const struct str *s)
{
	return s->data != NULL ? s->data : "";
}

char *
str_take(struct str *s)
{
	char *text = s->data != NULL ? s->data : xstrdup("");

	*s = (struct str){ .limit = s->limit };
	return text;
}
