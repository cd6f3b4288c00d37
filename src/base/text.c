/* text.c - comparing, parsing and defusing short texts; ASCII rules whatever the locale says.
 *
 * What comes from mail is hostile to whatever shows it: safe_piece() decides for one character
 * whether it may pass, and text_sanitize() and text_safe() only differ in where they put it. */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "base/banned.h"

/* The longest output of safe_piece(): a forbidden character of 4 bytes, each as \xNN. */
#define PIECE_BYTES 17

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool
text_ieq(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

bool
text_ieqn(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool
text_istarts(const char *text, const char *prefix)
{
	while (*prefix != '\0') {
		if (lower(*text++) != lower(*prefix++))
			return false;
	}
	return true;
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* Steps over one character; a stray continuation byte counts as one. */
static const char *
next_char(const char *text)
{
	text++;
	while (is_continuation(*text))
		text++;
	return text;
}

/* On a mismatch only the last `*` need be tried longer: an earlier one could not do better. */
bool
text_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (*pattern == '?') {
			pattern++;
			text = next_char(text);
		} else if (*pattern != '\0' && lower(*pattern) == lower(*text)) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

int
text_u64(const char *text, size_t len, unsigned long long *value_r)
{
	unsigned long long value = 0;

	if (len == 0)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)((unsigned char)text[i] - '0');

		if (digit > 9 || value > (ULLONG_MAX - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	*value_r = value;
	return 0;
}

int
text_u32(const char *text, size_t len, unsigned *value_r)
{
	unsigned long long value;

	if (text_u64(text, len, &value) < 0 || value > UINT32_MAX)
		return -1;
	*value_r = (unsigned)value;
	return 0;
}

/* Length of the well-formed character at p and its number, or 0 (RFC 3629, section 4). */
static size_t
utf8_char(const unsigned char *p, size_t len, uint32_t *code_r)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t need;
	uint32_t code;

	if (p[0] < 0x80) {
		*code_r = p[0];
		return 1;
	}
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		need = 2;
	else if ((p[0] & 0xF0) == 0xE0)
		need = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		need = 4;
	else
		return 0;
	if (len < need)
		return 0;
	code = p[0] & (0x7FU >> need);
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3FU);
	}
	if (code < least[need] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return 0;
	*code_r = code;
	return need;
}

bool
text_is_utf8(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t code;

	while (len > 0) {
		size_t n = utf8_char(p, len, &code);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* C0, DEL, C1, the two line separators and what turns the direction of writing. */
static bool
is_dangerous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x061C || code == 0x200E ||
	       code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
	       (code >= 0x2066 && code <= 0x2069);
}

/* Puts the safe form of the first character into out and returns the bytes it took. */
static size_t
safe_piece(const unsigned char *p, size_t len, char out[PIECE_BYTES], size_t *out_len)
{
	uint32_t code = 0;
	size_t n = utf8_char(p, len, &code);

	if (n > 0 && !is_dangerous(code)) {
		memcpy(out, p, n);
		*out_len = n;
		return n;
	}
	if (n == 0)
		n = 1;
	for (size_t i = 0; i < n; i++)
		snprintf(out + i * 4, 5, "\\x%02X", p[i]);
	*out_len = n * 4;
	return n;
}

void
text_sanitize(struct str *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	char piece[PIECE_BYTES];
	size_t piece_len;

	while (len > 0) {
		size_t n = safe_piece(p, len, piece, &piece_len);

		if (str_add(out, piece, piece_len) < 0)
			return;
		p += n;
		len -= n;
	}
}

char *
text_safe(char *buf, size_t size, const char *text)
{
	size_t len = strlen(text), used = 0, piece_len;
	char piece[PIECE_BYTES];

	if (size == 0)
		return buf;
	while (len > 0) {
		size_t n = safe_piece((const unsigned char *)text, len, piece, &piece_len);

		if (used + piece_len >= size)
			break;
		memcpy(buf + used, piece, piece_len);
		used += piece_len;
		text += n;
		len -= n;
	}
	buf[used] = '\0';
	return buf;
}
