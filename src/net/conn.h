/* conn.h - one TCP connection, in the clear or under TLS, that can be cancelled and never waits
 * for ever. The only place that touches sockets and OpenSSL's SSL. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "net/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One thread at a time. Every wait is a poll() on the socket and the cancel
 * eventfd with the endpoint's timeout as deadline: a wait that sees no byte move for that long is
 * ERR_TIMEOUT, a fired cancel ERR_CANCELLED, the other side's end ERR_LOST. */
struct conn;

/* Resolves, connects (all addresses in turn, TCP_NODELAY, keep-alive probes), and for NET_TLS
 * shakes hands and verifies as the endpoint says (chain, host name or address, floor, pin). A
 * target's socket (not ep->readonly) gets SO_LINGER 0, so that nothing more leaves our kernel after
 * our death; a clean conn_close() first waits for the data to be taken (shutdown). ep and cancel
 * are borrowed until close. Errors: ERR_DNS, ERR_CONNECT, ERR_TLS, ERR_CERT (text says which check
 * failed and shows the certificate's names, its end, and its SPKI pin as base64), ERR_TIMEOUT,
 * ERR_CANCELLED. */
int conn_open(const struct endpoint *ep, const struct cancel *cancel, struct conn **conn_r,
	struct err *err);
/* The handshake after STARTTLS was granted. Bytes already received and not yet read are an
 * injection: ERR_PROTOCOL. */
int conn_starttls(struct conn *conn, struct err *err);
void conn_close(struct conn **conn); /* NULL is fine */
/* At once: nothing is said any more, and of a target what has not left our kernel never does. */
void conn_abort(struct conn **conn);
/* After a goodbye with nothing in flight: conn_close() waits for nothing, the kernel delivers. */
void conn_leave(struct conn *conn);

/* At least one byte, or -1. From our input buffer first. */
int conn_read(struct conn *conn, void *buf, size_t size, size_t *got_r, struct err *err);
/* All bytes. While the socket takes none, what the other side sends is read into the input buffer
 * (at most 4 MiB), so that two peers that both write cannot lock each other. */
int conn_write(struct conn *conn, const void *bytes, size_t len, struct err *err);
/* True if conn_read() would give a byte or an error without waiting. */
bool conn_readable(struct conn *conn);
/* Waits up to ms for that. */
bool conn_wait_readable(struct conn *conn, unsigned ms);

uint64_t conn_bytes_in(const struct conn *conn);
uint64_t conn_bytes_out(const struct conn *conn);
/* How long reads and writes have waited for the line: of a source while nothing came, of a target
 * while the other side had not taken what we sent. What a server needs for itself is in it only
 * as far as nobody can tell it from the line. */
uint64_t conn_waited_ms(const struct conn *conn);
const char *conn_name(const struct conn *conn); /* "host:port" */
/* "TLS 1.3, TLS_AES_256_GCM_SHA384, certificate valid" or "no TLS"; for people. */
void conn_describe(const struct conn *conn, struct str *out);
bool conn_is_tls(const struct conn *conn);
/* Our own address on this connection, as the server sees it unless a router translates. */
void conn_local(const struct conn *conn, struct str *out);

#endif
