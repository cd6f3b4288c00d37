/* deflate.c - DEFLATE between a stream's buffer and its connection (RFC 4978).
 *
 * Each direction is one raw stream (RFC 1951) for as long as the connection lives. What is written
 * stays in the compressor until its output fills a buffer, or until the flush, which ends a block
 * so that the other side can inflate all of it. A reader gets what it has room for and no more:
 * a few bytes that would inflate to gigabytes are inflated by and by, under the limits of whoever
 * reads. What costs us work and gives nothing (empty blocks on end) has a limit of its own. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ZLIB_CONST
#include <zlib.h>

#include "net/conn.h"
#include "base/clock.h"
#include "net/gain.h"
#include "net/net_private.h"

#include "base/banned.h"

#define RAW_WINDOW    (-15)              /* raw DEFLATE, 32 KiB: what RFC 4978 asks for */
#define MEMORY_LEVEL  8                  /* zlib's default: 256 KiB for each connection */
#define OUT_BYTES     ((size_t)16 << 10) /* a TLS record */
#define PEEK_BYTES    64
#define NOTHING_BYTES ((uint64_t)64 << 10) /* that may come in a row and inflate to nothing */

struct deflater {
	struct conn *conn;
	z_stream in, out;
	unsigned char *ahead; /* received and not inflated; `in` points into it */
	unsigned char packed[OUT_BYTES];
	unsigned char peek[PEEK_BYTES]; /* inflated by deflater_readable() */
	size_t peek_at, peek_len;
	bool more;        /* the inflater may have output without further input */
	bool ended;       /* the server has ended its stream: not a byte may follow */
	bool unflushed;   /* something lies in the compressor */
	uint64_t nothing; /* bytes since the last that inflated to something */
	uint64_t bytes_in, bytes_out;
	struct err failure; /* of the inflater; the connection keeps its own */
};

struct deflater *
deflater_new(struct conn *conn, const void *ahead, size_t len)
{
	struct deflater *d = xcalloc(1, sizeof(*d));

	if (len > DEFLATE_AHEAD_MAX)
		BUG("too much ahead");
	d->conn = conn;
	d->ahead = xmalloc(DEFLATE_AHEAD_MAX);
	if (len > 0)
		memcpy(d->ahead, ahead, len);
	d->in.next_in = d->ahead;
	d->in.avail_in = (uInt)len;
	d->out.next_out = d->packed;
	d->out.avail_out = OUT_BYTES;
	if (inflateInit2(&d->in, RAW_WINDOW) != Z_OK ||
		deflateInit2(&d->out, Z_BEST_SPEED, Z_DEFLATED, RAW_WINDOW, MEMORY_LEVEL,
			Z_DEFAULT_STRATEGY) != Z_OK)
		BUG("zlib: out of memory");
	return d;
}

void
deflater_free(struct deflater **deflater)
{
	struct deflater *d = *deflater;

	if (d == NULL)
		return;
	(void)inflateEnd(&d->in);
	(void)deflateEnd(&d->out);
	free(d->ahead);
	free(d);
	*deflater = NULL;
}

static int
report(const struct deflater *d, struct err *err)
{
	if (err != NULL)
		*err = d->failure;
	return -1;
}

static int
broken(struct deflater *d, const char *why)
{
	return err_set(&d->failure, ERR_PROTOCOL,
		"%s: the server's compressed stream is broken: %s", conn_name(d->conn), why);
}

/* Reading. */

/* Inflates what is held: bytes; 0: nothing without further input; -1: the failure is kept. */
static ssize_t
inflate_held(struct deflater *d, void *buf, size_t size)
{
	uInt room = size < DEFLATE_AHEAD_MAX ? (uInt)size : (uInt)DEFLATE_AHEAD_MAX;
	uInt held = d->in.avail_in;
	int ret;

	if (d->ended && held > 0)
		return broken(d, "it goes on behind its end");
	if (d->ended || (held == 0 && !d->more))
		return 0;
	d->in.next_out = buf;
	d->in.avail_out = room;
	ret = inflate(&d->in, Z_SYNC_FLUSH);
	if (ret != Z_OK && ret != Z_STREAM_END && ret != Z_BUF_ERROR)
		return broken(d, d->in.msg != NULL ? d->in.msg : "no DEFLATE");
	d->ended = ret == Z_STREAM_END;
	d->more = d->in.avail_out == 0;
	room -= d->in.avail_out;
	d->nothing = room > 0 ? 0 : d->nothing + (held - d->in.avail_in);
	if (d->nothing > NOTHING_BYTES)
		return broken(d, "it says nothing on and on");
	d->bytes_in += room;
	return (ssize_t)room;
}

/* Gets further input, at least a byte; waits for it. */
static int
take_input(struct deflater *d, struct err *err)
{
	size_t got = 0;

	if (conn_read(d->conn, d->ahead, DEFLATE_AHEAD_MAX, &got, err) != 0)
		return -1;
	d->in.next_in = d->ahead;
	d->in.avail_in = (uInt)got;
	return 0;
}

static size_t
take_peeked(struct deflater *d, void *buf, size_t size)
{
	size_t len = d->peek_len - d->peek_at;

	if (len > size)
		len = size;
	memcpy(buf, d->peek + d->peek_at, len);
	d->peek_at += len;
	return len;
}

int
deflater_read(struct deflater *d, void *buf, size_t size, size_t *got_r, struct err *err)
{
	ssize_t n;

	*got_r = take_peeked(d, buf, size);
	if (*got_r > 0)
		return 0;
	while (d->failure.code == ERR_NONE) {
		n = inflate_held(d, buf, size);
		if (n > 0) {
			*got_r = (size_t)n;
			return 0;
		}
		if (n == 0 && take_input(d, err) != 0)
			return -1;
	}
	return report(d, err);
}

bool
deflater_readable(struct deflater *d, unsigned ms)
{
	int64_t deadline = clock_ms() + ms, left;
	ssize_t n;

	while (d->peek_at == d->peek_len && d->failure.code == ERR_NONE) {
		n = inflate_held(d, d->peek, sizeof(d->peek));
		if (n > 0) {
			d->peek_at = 0;
			d->peek_len = (size_t)n;
		} else if (n == 0) {
			/* Input may inflate to nothing: only bytes or a failure count. */
			left = deadline - clock_ms();
			if (!conn_wait_readable(d->conn, left > 0 ? (unsigned)left : 0))
				return false;
			if (take_input(d, NULL) != 0)
				return true; /* deflater_read() says why */
		}
	}
	return true;
}

/* Writing. */

/* Feeds the compressor; its output leaves whenever the buffer is full, with a flush all of it. */
static int
compress_held(struct deflater *d, int how, struct err *err)
{
	size_t len;
	int ret;

	do {
		ret = deflate(&d->out, how);
		if (ret != Z_OK && ret != Z_BUF_ERROR)
			BUG("zlib cannot deflate");
		len = OUT_BYTES - d->out.avail_out;
		if (len == 0 || (how == Z_NO_FLUSH && d->out.avail_out > 0))
			break;
		if (conn_write(d->conn, d->packed, len, err) != 0)
			return -1;
		d->out.next_out = d->packed;
		d->out.avail_out = OUT_BYTES;
	} while (len == OUT_BYTES || d->out.avail_in > 0);
	return 0;
}

int
deflater_write(struct deflater *d, const void *bytes, size_t len, struct err *err)
{
	const unsigned char *at = bytes;

	while (len > 0) {
		uInt piece = len < UINT_MAX ? (uInt)len : UINT_MAX;

		d->out.next_in = at;
		d->out.avail_in = piece;
		d->unflushed = true;
		if (compress_held(d, Z_NO_FLUSH, err) != 0)
			return -1;
		d->bytes_out += piece;
		at += piece;
		len -= piece;
	}
	return 0;
}

int
deflater_flush(struct deflater *d, struct err *err)
{
	if (!d->unflushed)
		return 0;
	if (compress_held(d, Z_SYNC_FLUSH, err) != 0)
		return -1;
	d->unflushed = false;
	return 0;
}

uint64_t
deflater_bytes_in(const struct deflater *d)
{
	return d->bytes_in;
}

uint64_t
deflater_bytes_out(const struct deflater *d)
{
	return d->bytes_out;
}

/* How fast zlib is. */

#define SPEED_BYTES ((size_t)1 << 20)

static struct gain_speed speed;

/* Like mail: words in lines, and as much base64. */
static void
make_mail(unsigned char *mail)
{
	static const char base64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char *const words[] = { "the ", "meeting ", "of ", "and ", "please ", "we ",
		"invoice ", "to ", "attached ", "on ", "Received: from ", "mail.example ", "for ",
		"<div style=\"", "> ", "with ", "you ", "regards, ", "100 ", "Tuesday " };
	uint32_t random = 1;
	size_t at = 0, len, line = 0;

	while (at < SPEED_BYTES) {
		bool text = (at >> 14) % 2 == 0;
		const char *piece;

		random = random * 1664525 + 1013904223;
		piece = text ? words[(random >> 16) % (sizeof(words) / sizeof(words[0]))]
			     : &base64[(random >> 16) % 64];
		len = text ? strlen(piece) : 1;
		if (line + len > 76) {
			piece = "\r\n";
			len = 2;
			line = 0;
		} else {
			line += len;
		}
		if (len > SPEED_BYTES - at)
			len = SPEED_BYTES - at;
		memcpy(mail + at, piece, len);
		at += len;
	}
}

/* Of this thread's processor time: how busy the machine is just now says nothing of zlib. */
static int64_t
cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t
rate_since(int64_t start_us)
{
	int64_t us = cpu_us() - start_us;

	return SPEED_BYTES * 1000000 / (uint64_t)(us > 0 ? us : 1);
}

/* Bytes a second; *len_r: what it became. */
static uint64_t
time_deflate(int level, const unsigned char *mail, unsigned char *packed, size_t *len_r)
{
	z_stream z = { .next_in = mail, .avail_in = SPEED_BYTES };
	int64_t start;

	if (deflateInit2(&z, level, Z_DEFLATED, RAW_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		BUG("zlib: out of memory");
	z.next_out = packed;
	z.avail_out = 2 * SPEED_BYTES;
	start = cpu_us();
	(void)deflate(&z, Z_FINISH);
	*len_r = 2 * SPEED_BYTES - z.avail_out;
	(void)deflateEnd(&z);
	return rate_since(start);
}

static uint64_t
time_inflate(const unsigned char *packed, size_t len, unsigned char *mail)
{
	z_stream z = { .next_in = packed, .avail_in = (uInt)len };
	int64_t start;

	if (inflateInit2(&z, RAW_WINDOW) != Z_OK)
		BUG("zlib: out of memory");
	z.next_out = mail;
	z.avail_out = SPEED_BYTES;
	start = cpu_us();
	(void)inflate(&z, Z_FINISH);
	(void)inflateEnd(&z);
	return rate_since(start);
}

static void
measure(void)
{
	unsigned char *mail = xmalloc(SPEED_BYTES), *packed = xmalloc(2 * SPEED_BYTES);
	size_t len;

	make_mail(mail);
	speed.server = time_deflate(Z_DEFAULT_COMPRESSION, mail, packed, &len);
	speed.deflate = time_deflate(Z_BEST_SPEED, mail, packed, &len);
	speed.inflate = time_inflate(packed, len, mail);
	free(mail);
	free(packed);
}

void
deflate_speed(struct gain_speed *speed_r)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, measure);
	*speed_r = speed;
}
