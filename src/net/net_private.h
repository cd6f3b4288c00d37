/* net_private.h - what conn.c, deflate.c, dial.c, stream.c and tls.c share. */
#ifndef NET_NET_PRIVATE_H
#define NET_NET_PRIVATE_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "net/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* dial.c: waiting, and a connected socket. */

enum net_wait { NET_WAIT_READY, NET_WAIT_TIMEOUT, NET_WAIT_CANCELLED, NET_WAIT_FAILED };

/* Waits until fd has one of `events` (poll's), cancel fires, or clock_ms() reaches deadline.
 * revents_r may be NULL. */
enum net_wait net_wait(
	int fd, short events, const struct cancel *cancel, int64_t deadline, short *revents_r);

/* The host without the brackets of an address literal and without a final dot. Allocated. */
char *net_host(const char *host);
/* True for an IPv4 or IPv6 address, which gets no SNI and is checked as an address. */
bool net_is_address(const char *host);

/* A connected, non-blocking, close-on-exec socket with TCP_NODELAY and keep-alive probes, or -1
 * with *err: ERR_DNS, ERR_CONNECT, ERR_TIMEOUT, ERR_CANCELLED. `name` is host:port for texts. */
int net_dial(const char *host, unsigned port, unsigned timeout_ms, const struct cancel *cancel,
	const char *name, struct err *err);

/* tls.c: OpenSSL on a non-blocking socket that stays the caller's. None of these waits, none
 * raises SIGPIPE. Where they return 0, *want_r is the poll event to wait for. */
struct tls;

/* Borrows ep until tls_free(). `host` as net_host() gave it; copied. NULL with *err. */
struct tls *tls_new(const struct endpoint *ep, const char *host, int fd, struct err *err);
void tls_free(struct tls **tls);
/* 1: done, and the certificate was accepted as ep says; 0: wait; -1 with ERR_TLS, ERR_CERT or
 * ERR_LOST. */
int tls_handshake(struct tls *tls, short *want_r, struct err *err);
/* Bytes moved; 0: wait; -1 with ERR_LOST (also at the orderly end) or ERR_TLS. */
ssize_t tls_read(struct tls *tls, void *buf, size_t size, short *want_r, struct err *err);
ssize_t tls_write(struct tls *tls, const void *bytes, size_t len, short *want_r, struct err *err);
void tls_end(struct tls *tls); /* says that no more will be sent, if that can leave */
void tls_describe(const struct tls *tls, struct str *out);

/* deflate.c: DEFLATE in both directions above a connection (RFC 4978). One thread. The
 * connection's errors are given as it gives them. */
struct conn;
struct deflater;

/* ahead: what was received already of the compressed stream, DEFLATE_AHEAD_MAX bytes at most;
 * copied. The connection is borrowed. */
enum { DEFLATE_AHEAD_MAX = 64 << 10 };
struct deflater *deflater_new(struct conn *conn, const void *ahead, size_t len);
void deflater_free(struct deflater **deflater);
/* What is there, as conn_read(): only as much is inflated as there is room for. ERR_PROTOCOL where
 * it is no DEFLATE, with the server's name. */
int deflater_read(
	struct deflater *deflater, void *buf, size_t size, size_t *got_r, struct err *err);
/* Into the compressor; what does not fit its buffer leaves. */
int deflater_write(struct deflater *deflater, const void *bytes, size_t len, struct err *err);
/* All that was written is the kernel's, and the other side can inflate it. */
int deflater_flush(struct deflater *deflater, struct err *err);
/* True if deflater_read() would return without waiting; waits up to ms for that. */
bool deflater_readable(struct deflater *deflater, unsigned ms);
uint64_t deflater_bytes_in(const struct deflater *deflater);  /* inflated */
uint64_t deflater_bytes_out(const struct deflater *deflater); /* before it was deflated */
/* On bytes like mail's; measured at the first call. Any thread. */
struct gain_speed;
void deflate_speed(struct gain_speed *speed_r);

#endif
