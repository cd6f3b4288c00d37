/* test_stream.c - the buffered stream: what is there is given at once, errors keep their cause. */
#include <stdlib.h>
#include <unistd.h>

#define ZLIB_CONST
#include <zlib.h>

#include "net/testpeer.h"
#include "base/err.h"
#include "base/test.h"
#include "net/stream.h"

#include "base/banned.h"

#define SHORT_MS 300
#define LONG_MS  20000

static struct stream *
open_stream(struct peer *peer, unsigned timeout_ms, struct endpoint *ep)
{
	struct err err = { 0 };
	struct stream *stream = NULL;

	peer_start(peer);
	*ep = (struct endpoint){ .host = "127.0.0.1",
		.port = peer->port,
		.security = NET_NONE,
		.verify = VERIFY_NO,
		.tls_min = 12,
		.user = "ana",
		.timeout_ms = timeout_ms };
	CHECK_INT(stream_open(ep, NULL, &stream, &err), 0);
	CHECK_STR(err.text, "");
	return stream;
}

static void
serve_text(struct peer *peer)
{
	peer_send(peer, peer->arg, strlen(peer->arg));
	peer_drain(peer);
}

/* A large read must not wait for more than has come. */
static void
test_read_what_is_there(void)
{
	struct peer peer = { .serve = serve_text, .arg = "* OK hello\r\n" };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream = open_stream(&peer, LONG_MS, &ep);
	char buf[100000];
	size_t got = 0;

	CHECK(stream_readable(stream, LONG_MS));
	CHECK_INT(stream_read(stream, buf, 4, &got, &err), 0);
	CHECK_INT(got, 4);
	CHECK_MEM(buf, "* OK", 4);
	CHECK(stream_readable(stream, 0));
	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(got, 8);
	CHECK_MEM(buf, " hello\r\n", 8);
	CHECK(!stream_readable(stream, 0));
	CHECK_INT(conn_bytes_in(stream_conn(stream)), 12);
	stream_close(&stream);
	CHECK(stream == NULL);
	stream_close(&stream);
	peer_wait(&peer);
}

static void
test_write(void)
{
	struct peer peer = { .serve = peer_echo };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream = open_stream(&peer, LONG_MS, &ep);
	size_t sizes[] = { 1, 16383, 1, 16384, 16385, 3, 40000 }, i, j, sent = 0, got = 0, back = 0;
	size_t wrong = 0;
	char buf[40000];

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (j = 0; j < sizes[i]; j++)
			buf[j] = (char)((sent + j) % 251);
		CHECK_INT(stream_write(stream, buf, sizes[i], &err), 0);
		sent += sizes[i];
	}
	CHECK_INT(stream_write(stream, "", 0, &err), 0);
	CHECK_INT(stream_flush(stream, &err), 0);
	CHECK_INT(conn_bytes_out(stream_conn(stream)), sent);
	while (back < sent && stream_read(stream, buf, 777, &got, &err) == 0) {
		for (j = 0; j < got; j++)
			wrong += buf[j] != (char)((back + j) % 251);
		back += got;
	}
	CHECK_INT(back, sent);
	CHECK_INT(wrong, 0);
	/* Not flushed, not sent. */
	CHECK_INT(stream_write(stream, "x", 1, &err), 0);
	CHECK_INT(conn_bytes_out(stream_conn(stream)), sent);
	stream_close(&stream);
	peer_wait(&peer);
	CHECK_INT(peer.received, sent);
}

static void
serve_bye(struct peer *peer)
{
	peer_send(peer, "* BYE\r\n", 7);
}

static void
test_errors(void)
{
	struct peer silent = { .serve = peer_drain }, bye = { .serve = serve_bye };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream = open_stream(&silent, SHORT_MS, &ep);
	static char buf[100000]; /* more than is buffered */
	size_t got = 0;

	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK_INT(stream_write(stream, buf, sizeof(buf), &err), -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	stream_close(&stream);
	peer_wait(&silent);

	stream = open_stream(&bye, LONG_MS, &ep);
	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(got, 7);
	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	err = (struct err){ 0 };
	CHECK_INT(stream_write(stream, "x", 1, &err), 0); /* into the buffer */
	CHECK_INT(stream_flush(stream, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	stream_close(&stream);
	peer_wait(&bye);
	ep.port = bye.port;
	CHECK_INT(stream_open(&ep, NULL, &stream, &err), -1);
	CHECK_INT(err.code, ERR_CONNECT);
}

static void
serve_starttls(struct peer *peer)
{
	char line[64];

	peer_send(peer, peer->arg, strlen(peer->arg));
	if (peer_recv(peer, line, 1) == 1 && peer_tls(peer))
		peer_echo(peer);
}

static void
check_starttls(const struct peer_cert *cert, const char *answer, bool good)
{
	struct peer peer = {
		.serve = serve_starttls, .cert = cert, .starttls = true, .arg = answer
	};
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream = open_stream(&peer, LONG_MS, &ep);
	char buf[64];
	size_t got = 0;

	ep.security = NET_STARTTLS;
	/* The reader takes one line of what lies in the buffer. */
	CHECK_INT(stream_read(stream, buf, 6, &got, &err), 0);
	CHECK_INT(stream_write(stream, "S", 1, &err), 0);
	CHECK_INT(stream_flush(stream, &err), 0);
	CHECK_INT(stream_starttls(stream, &err), good ? 0 : -1);
	CHECK_INT(err.code, good ? ERR_NONE : ERR_PROTOCOL);
	if (good) {
		CHECK_INT(stream_write(stream, "echo", 4, &err), 0);
		CHECK_INT(stream_flush(stream, &err), 0);
		CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), 0);
		CHECK_INT(got, 4);
		CHECK_MEM(buf, "echo", 4);
		CHECK(conn_is_tls(stream_conn(stream)));
	}
	stream_close(&stream);
	peer_wait(&peer);
}

static void
test_starttls(void)
{
	const struct peer_cert_spec spec = { "localhost", NULL, -3600, 3600, false };
	struct peer_cert cert;

	peer_cert_make(&cert, &spec, NULL);
	check_starttls(&cert, "1 OK\r\n", true);
	check_starttls(&cert, "1 OK\r\n* PREAUTH\r\n", false);
	peer_cert_clear(&cert);
}

/* The other side of a compressed stream. */

static size_t
pack(const void *bytes, size_t len, int how, void *packed, size_t room)
{
	z_stream z = { .next_in = bytes, .avail_in = (uInt)len };
	size_t ret;

	if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		BUG("zlib");
	z.next_out = packed;
	z.avail_out = (uInt)room;
	(void)deflate(&z, how);
	ret = room - z.avail_out;
	(void)deflateEnd(&z);
	return ret;
}

/* Answers each compressed line with itself, compressed. */
static void
serve_packed_echo(struct peer *peer)
{
	z_stream in = { .next_in = NULL }, out = { .next_in = NULL };
	unsigned char got[4096], plain[65536], packed[70000];
	size_t n;

	if (inflateInit2(&in, -15) != Z_OK ||
		deflateInit2(&out, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		BUG("zlib");
	while ((n = peer_recv(peer, got, sizeof(got))) > 0) {
		in.next_in = got;
		in.avail_in = (uInt)n;
		do {
			in.next_out = plain;
			in.avail_out = sizeof(plain);
			(void)inflate(&in, Z_SYNC_FLUSH);
			out.next_in = plain;
			out.avail_in = (uInt)(sizeof(plain) - in.avail_out);
			out.next_out = packed;
			out.avail_out = sizeof(packed);
			if (out.avail_in > 0)
				(void)deflate(&out, Z_SYNC_FLUSH);
			peer_send(peer, packed, sizeof(packed) - out.avail_out);
		} while (in.avail_out == 0);
	}
	(void)inflateEnd(&in);
	(void)deflateEnd(&out);
}

static void
test_compressed(void)
{
	struct peer peer = { .serve = serve_packed_echo };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream = open_stream(&peer, LONG_MS, &ep);
	struct stream_counts counts;
	static char buf[200000], back[200000];
	size_t got = 0, at, wrong = 0;

	CHECK_INT(stream_compress(stream, NULL, 0, &err), 0);
	CHECK(!stream_readable(stream, 0));
	/* Small pieces are one flush; nothing leaves before it. */
	for (at = 0; at < 1000; at++)
		CHECK_INT(stream_write(stream, "NOOP\r\n", 6, &err), 0);
	CHECK_INT(conn_bytes_out(stream_conn(stream)), 0);
	CHECK_INT(stream_flush(stream, &err), 0);
	CHECK(conn_bytes_out(stream_conn(stream)) > 0);
	CHECK(conn_bytes_out(stream_conn(stream)) < 200);
	got = conn_bytes_out(stream_conn(stream));
	CHECK_INT(stream_flush(stream, &err), 0); /* nothing new, not a byte */
	CHECK_INT(conn_bytes_out(stream_conn(stream)), got);
	for (at = 0; at < 6000; at += got) {
		CHECK(stream_readable(stream, LONG_MS));
		CHECK_INT(stream_read(stream, back + at, sizeof(back) - at, &got, &err), 0);
	}
	for (at = 0; at < 6000; at++)
		wrong += back[at] != "NOOP\r\n"[at % 6];
	CHECK_INT(wrong, 0);
	CHECK(!stream_readable(stream, 0));
	/* What cannot be compressed, and more than any buffer holds. */
	for (at = 0; at < sizeof(buf); at++)
		buf[at] = (char)((at * at * 2654435761U) >> 13);
	CHECK_INT(stream_write(stream, buf, sizeof(buf), &err), 0);
	CHECK_INT(stream_flush(stream, &err), 0);
	for (at = 0; at < sizeof(buf) && stream_read(stream, back + at, 777, &got, &err) == 0;
		at += got)
		;
	CHECK_INT(at, sizeof(buf));
	CHECK_MEM(back, buf, sizeof(buf));
	stream_count(stream, &counts);
	CHECK_INT(counts.bytes_in, sizeof(buf) + 6000);
	CHECK_INT(counts.bytes_out, sizeof(buf) + 6000);
	CHECK_INT(counts.line_in, conn_bytes_in(stream_conn(stream)));
	/* Not flushed, not sent. */
	CHECK_INT(stream_write(stream, buf, 100, &err), 0);
	got = counts.line_out;
	stream_close(&stream);
	peer_wait(&peer);
	CHECK_INT(peer.received, got);
}

/* The peer sends these bytes, then ends, or goes on listening where its text begins with +. */
static unsigned char sent[300000];
static size_t sent_len;

static void
serve_sent(struct peer *peer)
{
	peer_send(peer, sent, sent_len);
	if (peer->arg != NULL)
		peer_drain(peer);
}

/* Reads to the end: the bytes; *err_r: why it ended. */
static size_t
read_sent(const char *ahead, size_t len, struct err *err_r)
{
	struct peer peer = { .serve = serve_sent };
	struct endpoint ep;
	struct stream *stream = open_stream(&peer, LONG_MS, &ep);
	size_t got = 0, whole = 0;
	char buf[20000];

	*err_r = (struct err){ 0 };
	if (stream_compress(stream, ahead, len, err_r) == 0)
		while (stream_read(stream, buf, sizeof(buf), &got, err_r) == 0)
			whole += got;
	CHECK(stream_readable(stream, 0)); /* the error, without waiting */
	stream_close(&stream);
	peer_wait(&peer);
	return whole;
}

static void
test_compressed_cut(void)
{
	static const char text[] = "* OK hello, hello, hello and once more hello\r\n* BYE\r\n";
	unsigned char whole[200];
	size_t len = pack(text, sizeof(text) - 1, Z_SYNC_FLUSH, whole, sizeof(whole)), at;
	struct err err;

	/* Wherever it ends, what was whole is read, then the end. */
	for (at = 0; at <= len; at++) {
		memcpy(sent, whole, at);
		sent_len = at;
		CHECK(read_sent(NULL, 0, &err) <= sizeof(text) - 1);
		CHECK_INT(err.code, ERR_LOST);
	}
	/* Wherever the caller had read to when he turned it on. */
	for (at = 0; at <= len; at++) {
		memcpy(sent, whole + at, len - at);
		sent_len = len - at;
		CHECK_INT(read_sent((const char *)whole, at, &err), sizeof(text) - 1);
		CHECK_INT(err.code, ERR_LOST);
	}
	/* A wrong byte anywhere: an end, never more than there was room for. */
	for (at = 0; at < len; at++) {
		memcpy(sent, whole, len);
		sent[at] ^= 0x55;
		sent_len = len;
		(void)read_sent(NULL, 0, &err);
		CHECK(err.code == ERR_PROTOCOL || err.code == ERR_LOST);
	}
}

static void
test_compressed_broken(void)
{
	unsigned char whole[200];
	struct err err;

	memcpy(sent, "* OK not compressed at all\r\n", 28);
	sent_len = 28;
	CHECK_INT(read_sent(NULL, 0, &err), 0);
	CHECK_INT(err.code, ERR_PROTOCOL);
	CHECK(strstr(err.text, "127.0.0.1:") != NULL);
	CHECK(strstr(err.text, "compressed stream is broken") != NULL);
	/* An end of the stream is an end. */
	sent_len = pack("hello", 5, Z_FINISH, whole, sizeof(whole));
	memcpy(sent, whole, sent_len);
	CHECK_INT(read_sent(NULL, 0, &err), 5);
	CHECK_INT(err.code, ERR_LOST);
	sent[sent_len++] = 'x';
	CHECK_INT(read_sent(NULL, 0, &err), 5);
	CHECK_INT(err.code, ERR_PROTOCOL);
	/* Empty blocks without end. */
	for (sent_len = 0; sent_len + 5 <= sizeof(sent); sent_len += 5)
		memcpy(sent + sent_len, "\0\0\0\xFF\xFF", 5);
	CHECK_INT(read_sent(NULL, 0, &err), 0);
	CHECK_INT(err.code, ERR_PROTOCOL);
	CHECK(strstr(err.text, "on and on") != NULL);
}

/* A few bytes that would become 64 MiB: what is asked for comes, and no more is made of it. */
static void
test_bomb(void)
{
	struct peer peer = { .serve = serve_sent, .arg = "+" };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream;
	struct stream_counts counts;
	static unsigned char zeros[64 << 20];
	char buf[1000];
	size_t got = 0;

	sent_len = pack(zeros, sizeof(zeros), Z_SYNC_FLUSH, sent, sizeof(sent));
	CHECK(sent_len < 100000);
	stream = open_stream(&peer, LONG_MS, &ep);
	CHECK_INT(stream_compress(stream, NULL, 0, &err), 0);
	CHECK(stream_readable(stream, LONG_MS));
	stream_count(stream, &counts);
	CHECK(counts.bytes_in <= 64);
	for (int i = 0; i < 5; i++)
		CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), 0);
	stream_count(stream, &counts);
	CHECK(counts.bytes_in < 200000);
	stream_abort(&stream);
	peer_wait(&peer);
}

/* A BYE that came before the link broke is read, compressed or not. */
static void
test_compressed_bye(void)
{
	struct peer peer = { .serve = serve_sent };
	struct endpoint ep;
	struct err err = { 0 };
	struct stream *stream;
	char buf[1000];
	size_t got = 0, i;

	sent_len = pack("* BYE\r\n", 7, Z_SYNC_FLUSH, sent, sizeof(sent));
	stream = open_stream(&peer, LONG_MS, &ep);
	CHECK_INT(stream_compress(stream, NULL, 0, &err), 0);
	peer_wait(&peer);
	for (i = 0; i < 100 && stream_write(stream, "x", 1, &err) == 0 &&
		    stream_flush(stream, &err) == 0;
		i++)
		;
	CHECK_INT(err.code, ERR_LOST);
	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(got, 7);
	CHECK_INT(stream_read(stream, buf, sizeof(buf), &got, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	stream_close(&stream);
}

int
main(void)
{
	RUN(test_read_what_is_there);
	RUN(test_write);
	RUN(test_errors);
	RUN(test_starttls);
	RUN(test_compressed);
	RUN(test_compressed_cut);
	RUN(test_compressed_broken);
	RUN(test_bomb);
	RUN(test_compressed_bye);
	return test_done();
}
