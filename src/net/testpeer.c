/* testpeer.c - see testpeer.h. It blocks SIGPIPE in its own thread only, so that a test notices if
 * the tested side raises it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/testpeer.h"
#include "base/err.h"

#include "base/banned.h"

static EVP_PKEY *
make_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
	EVP_PKEY *key = NULL;

	if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 ||
		EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1) != 1 ||
		EVP_PKEY_keygen(ctx, &key) != 1)
		BUG("no key");
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (ext == NULL || X509_add_ext(cert, ext, -1) != 1)
		BUG("no extension");
	X509_EXTENSION_free(ext);
}

void
peer_cert_make(
	struct peer_cert *cert, const struct peer_cert_spec *spec, const struct peer_cert *issuer)
{
	X509_NAME *name;

	cert->key = make_key();
	cert->cert = X509_new();
	X509_set_version(cert->cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert->cert), spec->ca ? 1 : 2);
	X509_gmtime_adj(X509_getm_notBefore(cert->cert), spec->from_s);
	X509_gmtime_adj(X509_getm_notAfter(cert->cert), spec->to_s);
	name = X509_get_subject_name(cert->cert);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)spec->subject, -1, -1, 0);
	X509_set_issuer_name(
		cert->cert, issuer != NULL ? X509_get_subject_name(issuer->cert) : name);
	X509_set_pubkey(cert->cert, cert->key);
	if (spec->ca)
		add_extension(cert->cert, NID_basic_constraints, "critical,CA:TRUE");
	if (spec->names != NULL)
		add_extension(cert->cert, NID_subject_alt_name, spec->names);
	if (X509_sign(cert->cert, issuer != NULL ? issuer->key : cert->key, EVP_sha256()) == 0)
		BUG("no certificate");
}

void
peer_cert_clear(struct peer_cert *cert)
{
	X509_free(cert->cert);
	EVP_PKEY_free(cert->key);
	*cert = (struct peer_cert){ 0 };
}

void
peer_cert_write(const struct peer_cert *cert, char *path_r)
{
	FILE *f;
	int fd;

	snprintf(path_r, 64, "/tmp/mailhaul-test-ca.XXXXXX");
	fd = mkstemp(path_r);
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL)
		abort();
	PEM_write_X509(f, cert->cert);
	fclose(f);
}

void
peer_cert_pin(const struct peer_cert *cert, char *pin_r)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned digest_len = 0;
	int len = i2d_PUBKEY(cert->key, &der);

	if (len <= 0 || EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) != 1)
		BUG("no digest");
	EVP_EncodeBlock((unsigned char *)pin_r, digest, 32);
	OPENSSL_free(der);
}

bool
peer_tls(struct peer *peer)
{
	peer->ctx = SSL_CTX_new(TLS_server_method());
	if (peer->max_version != 0) {
		SSL_CTX_set_security_level(peer->ctx, 0);
		SSL_CTX_set_min_proto_version(peer->ctx, 0);
		SSL_CTX_set_max_proto_version(peer->ctx, peer->max_version);
	}
	if (SSL_CTX_use_certificate(peer->ctx, peer->cert->cert) != 1 ||
		SSL_CTX_use_PrivateKey(peer->ctx, peer->cert->key) != 1)
		BUG("no server certificate");
	peer->ssl = SSL_new(peer->ctx);
	SSL_set_fd(peer->ssl, peer->fd);
	peer->tls_refused = SSL_accept(peer->ssl) != 1;
	return !peer->tls_refused;
}

bool
peer_send(struct peer *peer, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = peer->ssl != NULL ? SSL_write(peer->ssl, at, (int)len)
					      : send(peer->fd, at, len, 0);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

size_t
peer_recv(struct peer *peer, void *buf, size_t size)
{
	ssize_t n = peer->ssl != NULL ? SSL_read(peer->ssl, buf, (int)size)
				      : recv(peer->fd, buf, size, 0);

	if (n < 0 && errno == ECONNRESET)
		peer->reset = true;
	if (n <= 0)
		return 0;
	peer->received += (size_t)n;
	return (size_t)n;
}

void
peer_drain(struct peer *peer)
{
	char buf[16384];

	while (peer_recv(peer, buf, sizeof(buf)) > 0)
		;
}

void
peer_echo(struct peer *peer)
{
	char buf[4096];
	size_t n;

	while ((n = peer_recv(peer, buf, sizeof(buf))) > 0 && peer_send(peer, buf, n))
		;
}

static void *
run(void *arg)
{
	struct peer *peer = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	peer->fd = accept(peer->listener, NULL, NULL);
	if (peer->fd < 0)
		return NULL;
	if (peer->cert == NULL || peer->starttls || peer_tls(peer))
		peer->serve(peer);
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->ctx);
	peer->ssl = NULL;
	peer->ctx = NULL;
	close(peer->fd);
	return NULL;
}

void
peer_start(struct peer *peer)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer->buffer_bytes > 0) {
		setsockopt(peer->listener, SOL_SOCKET, SO_SNDBUF, &peer->buffer_bytes,
			sizeof(peer->buffer_bytes));
		setsockopt(peer->listener, SOL_SOCKET, SO_RCVBUF, &peer->buffer_bytes,
			sizeof(peer->buffer_bytes));
	}
	if (peer->listener < 0 || bind(peer->listener, (struct sockaddr *)&in, len) != 0 ||
		listen(peer->listener, 1) != 0 ||
		getsockname(peer->listener, (struct sockaddr *)&in, &len) != 0)
		BUG("no listener");
	peer->port = ntohs(in.sin_port);
	if (pthread_create(&peer->thread, NULL, run, peer) != 0)
		BUG("no thread");
}

void
peer_stop(struct peer *peer)
{
	/* A thread still in accept() comes out of it. */
	shutdown(peer->listener, SHUT_RDWR);
	peer_wait(peer);
}

void
peer_wait(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	close(peer->listener);
}
