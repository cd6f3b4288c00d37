/* utf7.c - modified UTF-7, strictly, both ways.
 *
 * Strict means that a name decodes only if encoding the result gives the same bytes again: so
 * the decoded form is safe to compare, and every other form is kept as the server wrote it. The
 * fuzzer holds the two functions to that. */
#include <stdbool.h>
#include <string.h>

#include "mail/utf7.h"
#include "mail/utf8_private.h"

#include "base/banned.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool
is_direct(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

static int
sextet_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == ',' ? 63 : -1;
}

/* Takes one UTF-16 unit; *high holds a first surrogate that waits for its second. */
static int
take_unit(uint32_t unit, uint32_t *high, struct str *out)
{
	char utf8[4];

	if (*high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return -1;
		unit = 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00);
		*high = 0;
	} else if (unit >= 0xd800 && unit <= 0xdbff) {
		*high = unit;
		return 0;
	} else if ((unit >= 0xdc00 && unit <= 0xdfff) || unit == 0 || is_direct(unit)) {
		return -1;
	}
	return str_add(out, utf8, utf8_put(utf8, unit));
}

/* The shifted part behind '&', up to and with its '-'. Returns what follows, or NULL. */
static const unsigned char *
decode_shifted(const unsigned char *p, const unsigned char *end, struct str *out)
{
	uint32_t bits = 0, high = 0;
	unsigned count = 0;

	for (; p < end && *p != '-'; p++) {
		int value = sextet_value(*p);

		if (value < 0)
			return NULL;
		bits = (bits << 6 | (uint32_t)value) & 0xffffff;
		count += 6;
		if (count < 16)
			continue;
		count -= 16;
		if (take_unit(bits >> count & 0xffff, &high, out) < 0)
			return NULL;
	}
	/* No '-', half a pair, a sextet too many, padding that is not zero. */
	if (p == end || high != 0 || count >= 6 || (bits & ((1U << count) - 1)) != 0)
		return NULL;
	return p + 1;
}

int
utf7_decode(const char *name, size_t len, struct str *out)
{
	const unsigned char *p = (const unsigned char *)name, *end = p + len;
	const unsigned char *shift_end = NULL;
	size_t out_len = out->len;

	while (p < end) {
		const unsigned char *run = p;

		while (p < end && is_direct(*p) && *p != '&')
			p++;
		if (p > run && str_add(out, run, (size_t)(p - run)) < 0)
			goto broken;
		if (p == end)
			break;
		if (*p != '&')
			goto broken;
		if (end - p >= 2 && p[1] == '-') {
			if (str_addc(out, '&') < 0)
				goto broken;
			p += 2;
			continue;
		}
		if (p == shift_end) /* out of the shift and at once in again */
			goto broken;
		p = shift_end = decode_shifted(p + 1, end, out);
		if (p == NULL)
			goto broken;
	}
	return 0;
broken:
	str_cut(out, out_len);
	return -1;
}

/* The bits of UTF-16 units on their way into sextets. */
struct shift {
	uint32_t bits;
	unsigned count;
};

static int
put_unit(struct shift *shift, uint32_t unit, struct str *out)
{
	char text[3];
	size_t len = 0;

	shift->bits = shift->bits << 16 | unit;
	for (shift->count += 16; shift->count >= 6; len++) {
		shift->count -= 6;
		text[len] = alphabet[shift->bits >> shift->count & 0x3f];
	}
	return str_add(out, text, len);
}

/* Writes the characters from p on that need the shift; returns what follows, or NULL. */
static const unsigned char *
encode_shifted(const unsigned char *p, const unsigned char *end, struct str *out)
{
	struct shift shift = { 0, 0 };
	int failed = str_addc(out, '&');

	while (p < end && !is_direct(*p)) {
		uint32_t c;
		size_t len = utf8_read(p, end, &c);

		if (len == 0 || c == 0)
			return NULL;
		if (c >= 0x10000) {
			failed |= put_unit(&shift, 0xd800 + ((c - 0x10000) >> 10), out);
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		failed |= put_unit(&shift, c, out);
		p += len;
	}
	if (shift.count > 0)
		failed |= str_addc(out, alphabet[shift.bits << (6 - shift.count) & 0x3f]);
	failed |= str_addc(out, '-');
	return failed != 0 ? NULL : p;
}

int
utf7_encode(const char *utf8, size_t len, struct str *out)
{
	const unsigned char *p = (const unsigned char *)utf8, *end = p + len;
	size_t out_len = out->len;

	while (p != NULL && p < end) {
		const unsigned char *run = p;

		while (p < end && is_direct(*p) && *p != '&')
			p++;
		if (p > run && str_add(out, run, (size_t)(p - run)) < 0)
			p = NULL;
		else if (p < end && *p == '&')
			p = str_add(out, "&-", 2) < 0 ? NULL : p + 1;
		else if (p < end)
			p = encode_shifted(p, end, out);
	}
	if (p == NULL && len > 0) {
		str_cut(out, out_len);
		return -1;
	}
	return 0;
}
