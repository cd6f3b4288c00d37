/* testpeer.h - the other side for this folder's tests: a server of one connection in a thread. */
#ifndef NET_TESTPEER_H
#define NET_TESTPEER_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct peer_cert {
	EVP_PKEY *key;
	X509 *cert;
};

/* What a certificate is made to say. */
struct peer_cert_spec {
	const char *subject; /* common name */
	const char *names;   /* subjectAltName as OpenSSL writes it: "DNS:localhost,IP:127.0.0.1" */
	long from_s, to_s;   /* validity, from now */
	bool ca;
};

/* issuer NULL: self-signed. */
void peer_cert_make(
	struct peer_cert *cert, const struct peer_cert_spec *spec, const struct peer_cert *issuer);
void peer_cert_clear(struct peer_cert *cert);
/* As a PEM file of its own; path_r holds at least 64 bytes. */
void peer_cert_write(const struct peer_cert *cert, char *path_r);
/* What VERIFY_PIN compares; pin_r holds at least 45 bytes. */
void peer_cert_pin(const struct peer_cert *cert, char *pin_r);

struct peer {
	/* Set before peer_start(). */
	void (*serve)(struct peer *peer); /* runs in the thread, once connected */
	const struct peer_cert *cert;     /* for TLS, or NULL */
	bool starttls;                    /* serve() calls peer_tls() itself */
	int max_version;                  /* of TLS; 0 = any */
	int buffer_bytes;                 /* of the sockets; 0 = the system's */
	const char *arg;
	/* Read after peer_stop(). */
	size_t received; /* by peer_recv() and peer_drain() */
	bool tls_refused, reset;
	/* Its own. */
	int listener, fd;
	unsigned port;
	pthread_t thread;
	SSL_CTX *ctx;
	SSL *ssl;
};

void peer_start(struct peer *peer); /* port is set */
/* Waits for the thread; peer_wait() also where it has yet to accept. */
void peer_stop(struct peer *peer);
void peer_wait(struct peer *peer);

/* For serve(). */
bool peer_tls(struct peer *peer); /* the server's handshake */
bool peer_send(struct peer *peer, const void *bytes, size_t len);
size_t peer_recv(struct peer *peer, void *buf, size_t size); /* 0 at the end */
void peer_drain(struct peer *peer);                          /* until the end */
void peer_echo(struct peer *peer);                           /* a serve() */

#endif
