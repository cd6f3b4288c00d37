/* test_stream.c - the buffered stream: what is there is given at once, errors keep their cause. */
#include <stdlib.h>
#include <unistd.h>

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
	char buf[20000];
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

int
main(void)
{
	RUN(test_read_what_is_there);
	RUN(test_write);
	RUN(test_errors);
	RUN(test_starttls);
	return test_done();
}
