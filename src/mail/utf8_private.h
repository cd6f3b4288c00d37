/* utf8_private.h - one character of UTF-8 at a time, for the files of this folder. */
#ifndef MAIL_UTF8_PRIVATE_H
#define MAIL_UTF8_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

/* Reads the character at p (p < end). Returns its length in bytes, or 0 for what is not
 * well-formed: overlong forms, surrogates, over U+10FFFF, cut at the end. */
static inline size_t
utf8_read(const unsigned char *p, const unsigned char *end, uint32_t *c_r)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len, i;
	uint32_t c;

	if (*p < 0x80) {
		*c_r = *p;
		return 1;
	}
	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	len = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
	if ((size_t)(end - p) < len)
		return 0;
	c = *p & (0x7fU >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*c_r = c;
	return len;
}

/* Writes a character of at most U+10FFFF; buf holds 4 bytes; returns the length. */
static inline size_t
utf8_put(char *buf, uint32_t c)
{
	if (c < 0x80) {
		buf[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		buf[0] = (char)(0xc0 | c >> 6);
		buf[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		buf[0] = (char)(0xe0 | c >> 12);
		buf[1] = (char)(0x80 | (c >> 6 & 0x3f));
		buf[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	buf[0] = (char)(0xf0 | c >> 18);
	buf[1] = (char)(0x80 | (c >> 12 & 0x3f));
	buf[2] = (char)(0x80 | (c >> 6 & 0x3f));
	buf[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

#endif
