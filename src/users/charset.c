/* charset.c - makes UTF-8 of whatever a spreadsheet wrote.
 *
 * A mark at the beginning decides between UTF-8 and UTF-16 when no code page is named. Nothing is
 * guessed beyond that: a file that is not UTF-8 could be in any of a dozen code pages, and a wrong
 * guess would change passwords. UTF-8 is passed on to the byte. */
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "users/users_private.h"

#include "base/banned.h"

#define CHUNK_BYTES 65536
#define MARK        "\xEF\xBB\xBF"

static bool
begins(const char *bytes, size_t len, const char *with, size_t n)
{
	return len >= n && memcmp(bytes, with, n) == 0;
}

static unsigned
lines_in(const char *bytes, size_t len)
{
	unsigned lines = 1;
	const char *p = bytes;

	while (len > 0 && (p = memchr(p, '\n', len - (size_t)(p - bytes))) != NULL) {
		lines++;
		p++;
	}
	return lines;
}

/* iconv stopped at in: says where, in the lines of what came out so far. */
static void
fault_stop(int why, const char *in, size_t left, const char *encoding, struct faults *faults,
	const struct str *out)
{
	unsigned line = lines_in(str_get(out), out->len);

	if (why == EILSEQ && left > 0)
		faults_add(faults, line, 0, "the byte 0x%02X is no letter of %s",
			(unsigned char)in[0], encoding);
	else
		faults_add(faults, line, 0, "the file ends within a letter of %s", encoding);
}

static int
convert(const char *bytes, size_t len, const char *encoding, struct faults *faults, struct str *out)
{
	/* "//IGNORE" and its like would drop letters of passwords in silence. */
	iconv_t cd = strchr(encoding, '/') == NULL ? iconv_open("UTF-8", encoding) : (iconv_t)-1;
	char *buf, *in = (char *)(uintptr_t)bytes; /* iconv() does not write there */
	size_t left = len;
	int ret = 0;

	if (cd == (iconv_t)-1) {
		faults_add(faults, 0, 0, "%s is not a code page that iconv knows", encoding);
		return -1;
	}
	buf = xmalloc(CHUNK_BYTES);
	for (bool flush = left == 0; ret == 0; flush = left == 0) {
		char *to = buf;
		size_t room = CHUNK_BYTES;
		/* At the end without input: some code pages hold their last letter back, in case
		 * an accent follows. */
		size_t got = iconv(cd, flush ? NULL : &in, &left, &to, &room);
		int why = errno;

		if (str_add(out, buf, (size_t)(to - buf)) < 0) {
			faults_add(faults, 0, 0, "the file is too large");
			ret = -1;
		} else if (got == (size_t)-1 && why != E2BIG) {
			fault_stop(why, in, left, encoding, faults, out);
			ret = -1;
		} else if (flush) {
			break;
		}
	}
	secret_wipe(buf, CHUNK_BYTES);
	free(buf);
	iconv_close(cd);
	return ret;
}

/* Each line that is not UTF-8, with its first byte that is not. */
static void
check_utf8(const char *bytes, size_t len, struct faults *faults)
{
	size_t at = 0;
	unsigned line = 0;

	if (text_is_utf8(bytes, len))
		return;
	while (at < len) {
		const char *end = memchr(bytes + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - bytes) - at : len - at;

		line++;
		if (!text_is_utf8(bytes + at, n))
			faults_add(faults, line, 0,
				"the line is not UTF-8: save the file as UTF-8, or name its code "
				"page "
				"([users] encoding)");
		at += n + 1;
	}
}

int
charset_decode(const char *bytes, size_t len, const char *encoding, struct faults *faults,
	struct str *text_r)
{
	bool named = encoding != NULL && !text_ieq(encoding, "auto");
	bool utf8 = !named || text_ieq(encoding, "utf-8") || text_ieq(encoding, "utf8");
	size_t skip = begins(bytes, len, MARK, 3) ? 3 : 0;

	if (!named && begins(bytes, len, "\xFF\xFE", 2))
		return convert(bytes + 2, len - 2, "UTF-16LE", faults, text_r);
	if (!named && begins(bytes, len, "\xFE\xFF", 2))
		return convert(bytes + 2, len - 2, "UTF-16BE", faults, text_r);
	if (!utf8 && skip > 0) {
		faults_add(faults, 1, 0, "the file begins with the mark of UTF-8, encoding is %s",
			encoding);
		return -1;
	}
	if (!utf8) {
		if (convert(bytes, len, encoding, faults, text_r) < 0)
			return -1;
		if (begins(str_get(text_r), text_r->len, MARK, 3)) {
			memmove(text_r->data, text_r->data + 3, text_r->len - 3);
			str_cut(text_r, text_r->len - 3);
		}
		return 0;
	}
	if (len >= 2 && (bytes[0] == '\0') != (bytes[1] == '\0')) {
		faults_add(faults, 1, 0,
			"the file looks like UTF-16 without its mark: name it, [users] encoding = "
			"%s",
			bytes[0] == '\0' ? "UTF-16BE" : "UTF-16LE");
		return -1;
	}
	check_utf8(bytes + skip, len - skip, faults);
	if (str_add(text_r, bytes + skip, len - skip) < 0) {
		faults_add(faults, 0, 0, "the file is too large");
		return -1;
	}
	return 0;
}
