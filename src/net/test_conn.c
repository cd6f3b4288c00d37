/* test_conn.c - connections against a server in a thread: what is accepted, what is refused, and
 * that no wait lasts longer than it may. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/testpeer.h"
#include "base/clock.h"
#include "base/test.h"
#include "net/conn.h"

#include "base/banned.h"

#define SHORT_MS 300
#define LONG_MS  20000
#define DAY_S    86400L

/* One root; made once, as each key costs time. */
static struct peer_cert root, good, other_root, foreign, expired, early, elsewhere, self_signed;
static char root_file[64];

static struct endpoint
endpoint(const struct peer *peer, enum net_security security)
{
	return (struct endpoint){ .host = "localhost",
		.port = peer->port,
		.security = security,
		.verify = VERIFY_YES,
		.ca_file = root_file,
		.tls_min = 12,
		.user = "ana",
		.timeout_ms = LONG_MS,
		.readonly = true };
}

static void
expect_echo(struct conn *conn, const char *text)
{
	struct err err = { 0 };
	char buf[100];
	size_t len = 0, got = 0;

	CHECK_INT(conn_write(conn, text, strlen(text), &err), 0);
	while (len < strlen(text) &&
		conn_read(conn, buf + len, sizeof(buf) - len - 1, &got, &err) == 0)
		len += got;
	buf[len] = '\0';
	CHECK_STR(buf, text);
	CHECK_STR(err.text, "");
}

static void
test_plain(void)
{
	struct peer peer = { .serve = peer_echo };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	struct str text;

	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	ep.host = "127.0.0.1";
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	str_init(&text, 0);
	conn_describe(conn, &text);
	CHECK_STR(str_get(&text), "no TLS");
	str_reset(&text);
	conn_local(conn, &text);
	CHECK_STR(str_get(&text), "127.0.0.1");
	str_clear(&text);
	CHECK(!conn_is_tls(conn));
	CHECK(!conn_readable(conn));
	expect_echo(conn, "hello");
	CHECK_INT(conn_bytes_in(conn), 5);
	CHECK_INT(conn_bytes_out(conn), 5);
	conn_close(&conn);
	CHECK(conn == NULL);
	conn_close(&conn);
	peer_stop(&peer);
}

static void
test_tls(void)
{
	struct peer peer = { .serve = peer_echo, .cert = &good };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	struct str text;

	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_STR(err.text, "");
	if (conn == NULL)
		return;
	str_init(&text, 0);
	conn_describe(conn, &text);
	CHECK_STR(str_get(&text), "TLS 1.3, TLS_AES_256_GCM_SHA384, certificate valid");
	str_clear(&text);
	CHECK(conn_is_tls(conn));
	/* Session tickets make the socket readable, but there is no byte for us. */
	CHECK(!conn_wait_readable(conn, 50));
	expect_echo(conn, "hello");
	conn_close(&conn);
	peer_stop(&peer);
}

struct verdict_case {
	const struct peer_cert *cert;
	const char *host;
	enum net_verify verify;
	const char *refused; /* in the text; NULL: accepted */
};

static void
check_verdict(const struct verdict_case *c)
{
	struct peer peer = { .serve = peer_echo, .cert = c->cert };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char pin[64];

	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	ep.host = c->host;
	ep.verify = c->verify;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), c->refused == NULL ? 0 : -1);
	if (c->refused != NULL) {
		peer_cert_pin(c->cert, pin);
		CHECK_INT(err.code, ERR_CERT);
		CHECK(strstr(err.text, pin) != NULL);
		if (strstr(err.text, c->refused) == NULL)
			CHECK_STR(err.text, c->refused);
	} else {
		expect_echo(conn, "hello");
	}
	conn_close(&conn);
	peer_stop(&peer);
	/* Nothing may have been sent to a server that was refused. */
	CHECK_INT(peer.received, c->refused == NULL ? 5 : 0);
	CHECK_INT(peer.tls_refused, c->refused != NULL);
}

static void
test_certificates(void)
{
	static const struct verdict_case cases[] = {
		{ &good, "localhost", VERIFY_YES, NULL },
		{ &good, "localhost.", VERIFY_YES, NULL }, /* the DNS root's dot is not a name's */
		{ &good, "127.0.0.1", VERIFY_YES, NULL },  /* by its IP entry */
		{ &expired, "localhost", VERIFY_YES, "refused: it has expired" },
		{ &early, "localhost", VERIFY_YES, "refused: it is not valid yet" },
		{ &elsewhere, "localhost", VERIFY_YES, "refused: it is for another host name" },
		{ &elsewhere, "localhost", VERIFY_YES, "for mail.example, 192.0.2.7" },
		{ &elsewhere, "127.0.0.1", VERIFY_YES, "refused: it is not for this address" },
		{ &foreign, "localhost", VERIFY_YES, "refused: its issuer is not known" },
		{ &self_signed, "localhost", VERIFY_YES, "refused: it is self-signed" },
		{ &self_signed, "localhost", VERIFY_YES, "for localhost" }, /* its common name */
		{ &expired, "localhost", VERIFY_NO, NULL },
		{ &elsewhere, "localhost", VERIFY_NO, NULL },
		{ &self_signed, "localhost", VERIFY_NO, NULL },
		{ &good, "::ffff:127.0.0.1%1", VERIFY_NO, NULL }, /* a zone is not the server's */
		{ &good, "::ffff:127.0.0.1%1", VERIFY_YES, "refused: it is not for this address" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_verdict(&cases[i]);
}

/* The system's file is found where its directory knows no issuer; ca_file comes on top. */
static void
test_system_trust(void)
{
	struct peer peer = { .serve = peer_echo, .cert = &good };
	struct peer unknown = { .serve = peer_echo, .cert = &foreign };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;

	/* No other thread is alive here and below. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	setenv("SSL_CERT_FILE", root_file, 1);
	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	ep.ca_file = NULL;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_STR(err.text, "");
	conn_close(&conn);
	peer_stop(&peer);
	peer_start(&unknown);
	ep.port = unknown.port;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_CERT);
	peer_stop(&unknown);
	unsetenv("SSL_CERT_FILE"); /* NOLINT(concurrency-mt-unsafe): as above */
}

static void
check_pin(const char *pin, const char *right, bool good_pin)
{
	struct peer peer = { .serve = peer_drain, .cert = &self_signed };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;

	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	ep.host = "127.0.0.1"; /* not in the certificate: the key alone counts */
	ep.verify = VERIFY_PIN;
	ep.pin = pin;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), good_pin ? 0 : -1);
	CHECK_INT(err.code, good_pin ? ERR_NONE : ERR_CERT);
	CHECK(good_pin || strstr(err.text, "not the pinned one") != NULL);
	CHECK(good_pin || strstr(err.text, right) != NULL);
	conn_close(&conn);
	peer_stop(&peer);
	CHECK_INT(peer.tls_refused, !good_pin);
	CHECK_INT(peer.received, 0);
}

static void
test_pin(void)
{
	char right[64], prefixed[80];

	peer_cert_pin(&self_signed, right);
	snprintf(prefixed, sizeof(prefixed), "sha256//%s", right);
	check_pin(right, right, true);
	check_pin(prefixed, right, true);
	check_pin("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", right, false);
	check_pin("", right, false);
	check_pin(NULL, right, false);
}

static void
test_floor(void)
{
	static const struct {
		int server;
		unsigned tls_min;
		const char *got; /* NULL: refused */
	} cases[] = {
		{ TLS1_1_VERSION, 12, NULL }, { TLS1_VERSION, 11, NULL },
		{ TLS1_2_VERSION, 13, NULL }, { TLS1_2_VERSION, 12, "TLS 1.2" },
		{ TLS1_1_VERSION, 11, "TLS 1.1" }, { TLS1_VERSION, 10, "TLS 1.0" },
		{ 0, 13, "TLS 1.3" },
		{ TLS1_1_VERSION, 0, NULL }, /* a floor we do not know is 1.2 */
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peer peer = {
			.serve = peer_echo, .cert = &good, .max_version = cases[i].server
		};
		struct endpoint ep;
		struct err err = { 0 };
		struct conn *conn = NULL;
		struct str text;

		peer_start(&peer);
		ep = endpoint(&peer, NET_TLS);
		ep.tls_min = cases[i].tls_min;
		str_init(&text, 0);
		if (conn_open(&ep, NULL, &conn, &err) == 0) {
			conn_describe(conn, &text);
			str_cut(&text, 7);
			expect_echo(conn, "hello");
		}
		CHECK_STR(str_get(&text), cases[i].got != NULL ? cases[i].got : "");
		CHECK_INT(err.code, cases[i].got != NULL ? ERR_NONE : ERR_TLS);
		if (cases[i].got == NULL)
			CHECK(strstr(err.text, "older than what tls_min allows") != NULL);
		str_clear(&text);
		conn_close(&conn);
		peer_stop(&peer);
	}
}

static void
serve_greeting(struct peer *peer)
{
	peer_send(peer, "* OK hello\r\n", 12);
	peer_drain(peer);
}

static void
test_not_tls(void)
{
	struct peer peer = { .serve = serve_greeting };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;

	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_TLS);
	CHECK(strstr(err.text, "what answers is not TLS") != NULL);
	peer_stop(&peer);
}

static void
test_ca_file_missing(void)
{
	struct peer peer = { .serve = peer_drain };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;

	peer_start(&peer);
	ep = endpoint(&peer, NET_TLS);
	ep.ca_file = "/nonexistent/ca.pem";
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_CERT);
	CHECK(strstr(err.text, "ca_file /nonexistent/ca.pem") != NULL);
	peer_stop(&peer);
}

/* Answers a STARTTLS; arg is what is slipped in behind the answer. */
static void
serve_starttls(struct peer *peer)
{
	char line[64];

	peer_send(peer, "* OK hello\r\n", 12);
	if (peer_recv(peer, line, sizeof(line)) == 0)
		return;
	peer->received = 0;
	if (peer->arg != NULL) {
		peer_send(peer, peer->arg, strlen(peer->arg));
		peer_drain(peer);
		return;
	}
	peer_send(peer, "1 OK\r\n", 6);
	if (peer_tls(peer))
		peer_echo(peer);
}

static void
check_starttls(const char *answer, bool take_first, enum err_code code)
{
	struct peer peer = {
		.serve = serve_starttls, .cert = &good, .starttls = true, .arg = answer
	};
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char buf[64];
	size_t got = 0;

	peer_start(&peer);
	ep = endpoint(&peer, NET_STARTTLS);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_INT(conn_read(conn, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(conn_write(conn, "1 STARTTLS\r\n", 12, &err), 0);
	CHECK_INT(conn_read(conn, buf, 6, &got, &err), 0);
	CHECK_MEM(buf, "1 OK\r\n", 6);
	if (take_first) /* the injected bytes lie in our buffer, not in the kernel's */
		CHECK(conn_wait_readable(conn, LONG_MS));
	CHECK_INT(conn_starttls(conn, &err), code == ERR_NONE ? 0 : -1);
	CHECK_INT(err.code, code);
	if (code == ERR_NONE) {
		CHECK(conn_is_tls(conn));
		expect_echo(conn, "secret");
	} else {
		/* And it stays refused. */
		CHECK_INT(conn_write(conn, "x", 1, &err), -1);
		CHECK_INT(err.code, ERR_PROTOCOL);
	}
	conn_close(&conn);
	peer_stop(&peer);
	CHECK_INT(peer.received, code == ERR_NONE ? 6 : 0);
}

static void
test_starttls(void)
{
	check_starttls(NULL, false, ERR_NONE);
	check_starttls("1 OK\r\n* PREAUTH\r\n", false, ERR_PROTOCOL);
	check_starttls("1 OK\r\n* PREAUTH\r\n", true, ERR_PROTOCOL);
	check_starttls("1 OK\r\nx", false, ERR_PROTOCOL);
}

static void
check_silent(enum net_security security)
{
	struct peer peer = { .serve = peer_drain };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	int64_t start = clock_ms();
	char buf[16];
	size_t got;
	int ret;

	peer_start(&peer);
	ep = endpoint(&peer, security);
	ep.timeout_ms = SHORT_MS;
	ret = conn_open(&ep, NULL, &conn, &err);
	if (security == NET_NONE) {
		CHECK_INT(ret, 0);
		CHECK(!conn_wait_readable(conn, 20));
		ret = conn_read(conn, buf, sizeof(buf), &got, &err);
	}
	CHECK_INT(ret, -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK(clock_ms() - start >= SHORT_MS);
	CHECK(clock_ms() - start < 10L * SHORT_MS);
	conn_close(&conn);
	peer_stop(&peer);
}

static void
test_silent(void)
{
	check_silent(NET_NONE);
	check_silent(NET_TLS); /* in the handshake */
}

/* A listener whose queue is full: the kernel drops what knocks. */
static void
test_connect_timeout(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	struct peer peer = { 0 };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL, *filler[3] = { NULL };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t i;

	CHECK_INT(bind(listener, (struct sockaddr *)&in, len), 0);
	CHECK_INT(listen(listener, 0), 0);
	CHECK_INT(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	peer.port = ntohs(in.sin_port);
	ep = endpoint(&peer, NET_NONE);
	ep.host = "127.0.0.1";
	ep.timeout_ms = SHORT_MS;
	for (i = 0; i < 3; i++)
		(void)conn_open(&ep, NULL, &filler[i], &err);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK(strstr(err.text, "no answer from 127.0.0.1") != NULL);
	for (i = 0; i < 3; i++)
		conn_close(&filler[i]);
	close(listener);
}

struct stopper {
	struct cancel *cancel;
	pthread_t thread;
	int64_t fired_ms;
};

static void *
run_stopper(void *arg)
{
	struct stopper *stopper = arg;

	clock_sleep_ms(100);
	stopper->fired_ms = clock_ms();
	cancel_fire(stopper->cancel);
	return NULL;
}

/* Reads nothing, so that a writer comes to a stop; waits for the other side to leave. */
static void
serve_deaf(struct peer *peer)
{
	struct pollfd pfd = { .fd = peer->fd, .events = POLLRDHUP };

	poll(&pfd, 1, LONG_MS);
}

static void
check_cancel(enum net_security security, bool writing)
{
	struct peer peer = { .serve = writing ? serve_deaf : peer_drain };
	struct stopper stopper = { .cancel = cancel_new() };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	size_t len = (size_t)64 << 20, got;
	char *bytes = xcalloc(1, len);
	int ret;

	peer_start(&peer);
	ep = endpoint(&peer, security);
	ep.readonly = false;
	pthread_create(&stopper.thread, NULL, run_stopper, &stopper);
	ret = conn_open(&ep, stopper.cancel, &conn, &err);
	if (ret == 0)
		ret = writing ? conn_write(conn, bytes, len, &err)
			      : conn_read(conn, bytes, 1, &got, &err);
	pthread_join(stopper.thread, NULL);
	CHECK_INT(ret, -1);
	CHECK_INT(err.code, ERR_CANCELLED);
	CHECK(clock_ms() - stopper.fired_ms < 100);
	/* Closing does not wait either. */
	conn_close(&conn);
	CHECK(clock_ms() - stopper.fired_ms < 200);
	peer_stop(&peer);
	CHECK_INT(conn_open(&ep, stopper.cancel, &conn, &err), -1);
	CHECK_INT(err.code, ERR_CANCELLED);
	cancel_free(&stopper.cancel);
	free(bytes);
}

static void
test_cancel(void)
{
	check_cancel(NET_NONE, false);
	check_cancel(NET_NONE, true);
	check_cancel(NET_TLS, false); /* in the handshake */
}

#define FLOOD_BYTES ((size_t)3 << 20)
#define BODY_BYTES  ((size_t)16 << 20)

/* Writes a lot before it reads anything. */
static void
serve_flood(struct peer *peer)
{
	char *bytes = xcalloc(1, FLOOD_BYTES);
	size_t i;

	for (i = 0; i < FLOOD_BYTES; i++)
		bytes[i] = (char)(i % 251);
	peer_send(peer, bytes, FLOOD_BYTES);
	free(bytes);
	peer_drain(peer);
}

static void
check_flood(const struct peer_cert *cert)
{
	struct peer peer = { .serve = serve_flood, .cert = cert, .buffer_bytes = 32768 };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char *body = xcalloc(1, BODY_BYTES);
	size_t len = 0, got = 0, i, wrong = 0;

	peer_start(&peer);
	ep = endpoint(&peer, cert != NULL ? NET_TLS : NET_NONE);
	ep.readonly = false;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_INT(conn_write(conn, body, BODY_BYTES, &err), 0);
	while (len < FLOOD_BYTES && conn_read(conn, body, 10000, &got, &err) == 0) {
		for (i = 0; i < got; i++)
			wrong += body[i] != (char)((len + i) % 251);
		len += got;
	}
	CHECK_INT(len, FLOOD_BYTES);
	CHECK_INT(wrong, 0);
	CHECK_INT(conn_bytes_in(conn), FLOOD_BYTES);
	CHECK_INT(conn_bytes_out(conn), BODY_BYTES);
	conn_close(&conn);
	peer_stop(&peer);
	CHECK_INT(peer.received, BODY_BYTES);
	free(body);
}

static void
test_both_write(void)
{
	check_flood(NULL);
	check_flood(&good);
}

/* Never reads, never stops writing. */
static void
serve_endless(struct peer *peer)
{
	static const char bytes[4096];

	while (peer_send(peer, bytes, sizeof(bytes)))
		;
}

static void
test_input_limit(void)
{
	struct peer peer = { .serve = serve_endless, .buffer_bytes = 32768 };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char *body = xcalloc(1, BODY_BYTES);

	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	ep.timeout_ms = SHORT_MS;
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_INT(conn_write(conn, body, BODY_BYTES, &err), -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK_INT(conn_bytes_in(conn), (size_t)4 << 20);
	conn_close(&conn);
	peer_stop(&peer);
	free(body);
}

static void
serve_bye(struct peer *peer)
{
	peer_send(peer, "* BYE bored\r\n", 13);
}

static void
check_end(const struct peer_cert *cert)
{
	struct peer peer = { .serve = serve_bye, .cert = cert };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char buf[64];
	size_t got = 0;
	int tries;

	peer_start(&peer);
	ep = endpoint(&peer, cert != NULL ? NET_TLS : NET_NONE);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	peer_wait(&peer);
	/* Writing into it fails sooner or later, but never by a signal. */
	for (tries = 0; tries < 1000 && conn_write(conn, "x", 1, &err) == 0; tries++)
		clock_sleep_ms(1);
	CHECK_INT(err.code, ERR_LOST);
	/* What was said before can still be read. */
	err = (struct err){ 0 };
	CHECK(conn_readable(conn));
	if (conn_read(conn, buf, sizeof(buf), &got, &err) == 0)
		CHECK_MEM(buf, "* BYE bored\r\n", got);
	else
		CHECK_STR(err.text, "the BYE");
	CHECK_INT(got, 13);
	CHECK_INT(conn_read(conn, buf, sizeof(buf), &got, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	CHECK_INT(conn_write(conn, "x", 1, &err), -1);
	conn_close(&conn);
}

static void
test_end(void)
{
	struct peer peer = { .serve = serve_bye };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char buf[64];
	size_t got = 0;

	check_end(NULL);
	check_end(&good);
	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_INT(conn_read(conn, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(conn_read(conn, buf, sizeof(buf), &got, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	CHECK(strstr(err.text, "localhost:") == err.text);
	conn_close(&conn);
	peer_stop(&peer);
}

static void
test_unreachable(void)
{
	struct peer peer = { .serve = peer_drain };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;

	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	ep.host = "127.0.0.1";
	peer_stop(&peer); /* nobody listens there any more */
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_CONNECT);
	CHECK(strstr(err.text, "Connection refused") != NULL);
	ep.host = "not..a.name";
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), -1);
	CHECK_INT(err.code, ERR_DNS);
	CHECK(strstr(err.text, "not..a.name:") == err.text);
	CHECK(conn == NULL);
}

static void
on_signal(int number)
{
	(void)number;
}

static void
serve_signals(struct peer *peer)
{
	pthread_t reader;
	int i;

	memcpy(&reader, peer->arg, sizeof(reader));
	for (i = 0; i < 20; i++) {
		pthread_kill(reader, SIGUSR1);
		clock_sleep_ms(5);
	}
	peer_send(peer, "done", 4);
	peer_drain(peer);
}

static void
test_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART: EINTR */
	pthread_t self = pthread_self();
	char arg[sizeof(self)];
	struct peer peer = { .serve = serve_signals, .arg = arg };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	char buf[16];
	size_t got = 0;

	memcpy(arg, &self, sizeof(self));
	sigaction(SIGUSR1, &action, NULL);
	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	CHECK_INT(conn_read(conn, buf, sizeof(buf), &got, &err), 0);
	CHECK_INT(got, 4);
	conn_close(&conn);
	peer_stop(&peer);
}

/* Takes its time, so that most lies in the writer's kernel when it closes. */
static void
serve_slow(struct peer *peer)
{
	clock_sleep_ms(200);
	peer_drain(peer);
}

static void
check_close(const struct peer_cert *cert, bool stop, bool at_once)
{
	struct peer peer = { .serve = serve_slow, .cert = cert };
	struct cancel *cancel = cancel_new();
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	size_t len = (size_t)512 << 10;
	char *body = xcalloc(1, len);

	peer_start(&peer);
	ep = endpoint(&peer, cert != NULL ? NET_TLS : NET_NONE);
	ep.readonly = false;
	CHECK_INT(conn_open(&ep, cancel, &conn, &err), 0);
	CHECK_INT(conn_write(conn, body, len, &err), 0);
	if (stop)
		cancel_fire(cancel);
	if (at_once)
		conn_abort(&conn);
	else
		conn_close(&conn);
	CHECK(conn == NULL);
	peer_wait(&peer);
	if (!stop && !at_once) {
		CHECK_INT(peer.received, len);
		CHECK(!peer.reset);
	} else {
		CHECK(peer.reset);
	}
	cancel_free(&cancel);
	free(body);
}

static void
test_close(void)
{
	check_close(NULL, false, false); /* a good end: all of it arrives */
	check_close(&good, false, false);
	check_close(NULL, true, false); /* a stopped one: a reset, nothing leaves later */
	check_close(NULL, false, true); /* and one we no longer trust */
}

/* select() would write beyond its set. */
static void
test_many_descriptors(void)
{
	struct rlimit limit = { 0 };
	struct peer peer = { .serve = peer_echo };
	struct endpoint ep;
	struct err err = { 0 };
	struct conn *conn = NULL;
	int fds[1100], n = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < 2048)
		return;
	limit.rlim_cur = 2048;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (n < 1100 && (fds[n] = dup(0)) >= 0)
		n++;
	peer_start(&peer);
	ep = endpoint(&peer, NET_NONE);
	CHECK_INT(conn_open(&ep, NULL, &conn, &err), 0);
	expect_echo(conn, "hello");
	conn_close(&conn);
	peer_stop(&peer);
	while (n > 0)
		close(fds[--n]);
}

static void
make_certificates(void)
{
	const struct peer_cert_spec ca = { "Test Root", NULL, -DAY_S, 30 * DAY_S, true };
	const struct peer_cert_spec other = { "Other Root", NULL, -DAY_S, 30 * DAY_S, true };
	const struct peer_cert_spec ok = { "test", "DNS:localhost,IP:127.0.0.1", -DAY_S, DAY_S,
		false };
	const struct peer_cert_spec old = { "test", "DNS:localhost", -2 * DAY_S, -DAY_S, false };
	const struct peer_cert_spec young = { "test", "DNS:localhost", DAY_S, 2 * DAY_S, false };
	const struct peer_cert_spec away = { "test", "DNS:mail.example,IP:192.0.2.7", -DAY_S, DAY_S,
		false };
	const struct peer_cert_spec alone = { "localhost", NULL, -DAY_S, DAY_S, false };

	peer_cert_make(&root, &ca, NULL);
	peer_cert_make(&other_root, &other, NULL);
	peer_cert_make(&good, &ok, &root);
	peer_cert_make(&foreign, &ok, &other_root);
	peer_cert_make(&expired, &old, &root);
	peer_cert_make(&early, &young, &root);
	peer_cert_make(&elsewhere, &away, &root);
	peer_cert_make(&self_signed, &alone, NULL);
	peer_cert_write(&root, root_file);
}

static void
clear_certificates(void)
{
	struct peer_cert *all[] = { &root, &good, &other_root, &foreign, &expired, &early,
		&elsewhere, &self_signed };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		peer_cert_clear(all[i]);
	unlink(root_file);
}

int
main(void)
{
	make_certificates();
	RUN(test_plain);
	RUN(test_tls);
	RUN(test_certificates);
	RUN(test_system_trust);
	RUN(test_pin);
	RUN(test_floor);
	RUN(test_not_tls);
	RUN(test_ca_file_missing);
	RUN(test_starttls);
	RUN(test_silent);
	RUN(test_connect_timeout);
	RUN(test_cancel);
	RUN(test_both_write);
	RUN(test_input_limit);
	RUN(test_end);
	RUN(test_unreachable);
	RUN(test_signals);
	RUN(test_close);
	RUN(test_many_descriptors);
	clear_certificates();
	return test_done();
}
