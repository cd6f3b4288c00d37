/* tls.c - TLS by OpenSSL over a non-blocking socket.
 *
 * The bytes go through a BIO of our own: OpenSSL's socket BIO writes without MSG_NOSIGNAL, and a
 * server that hangs up must not end the process by SIGPIPE. The certificate is judged inside the
 * handshake, by a callback, so that a refusal fails closed: no byte of ours follows it. Each
 * connection has a context of its own; nothing is shared between threads and no session is ever
 * resumed, so each certificate is looked at. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "net/net_private.h"

#include "base/banned.h"

#define PIN_SIZE     45  /* base64 of 32 bytes, terminated */
#define NAMES_LIMIT  400 /* of the names a certificate is for, made visible */
#define NAMES_SHOWN  80
#define IO_MAX_BYTES (1 << 20) /* of one SSL_read or SSL_write, whose lengths are int */
#define AHEAD_BYTES  (64 << 10)

struct tls {
	const struct endpoint *ep;
	char *host;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO_METHOD *method;
	bool accepted;      /* the certificate, as ep->verify says */
	bool eof;           /* the socket has ended */
	bool broken;        /* OpenSSL reported a fatal error: SSL_shutdown() is out of place */
	int errnum;         /* of the last recv() or send() that failed for good */
	struct err verdict; /* why the certificate was refused */
};

/* The BIO. */

static int
bio_result(BIO *bio, struct tls *tls, ssize_t n, int retry)
{
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN)
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	else
		tls->errnum = errno;
	return -1;
}

static int
bio_write(BIO *bio, const char *bytes, int len)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = send(tls->fd, bytes, (size_t)len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return bio_result(bio, tls, n, BIO_FLAGS_WRITE);
}

static int
bio_read(BIO *bio, char *buf, int size)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	do
		n = recv(tls->fd, buf, (size_t)size, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		tls->eof = true;
	return bio_result(bio, tls, n, BIO_FLAGS_READ);
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct tls *tls = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return tls->eof ? 1 : 0;
	default:
		return 0;
	}
}

static bool
attach_bio(struct tls *tls)
{
	BIO *bio;

	tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "connection");
	if (tls->method == NULL || BIO_meth_set_write(tls->method, bio_write) != 1 ||
		BIO_meth_set_read(tls->method, bio_read) != 1 ||
		BIO_meth_set_ctrl(tls->method, bio_ctrl) != 1)
		return false;
	bio = BIO_new(tls->method);
	if (bio == NULL)
		return false;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio); /* now the SSL's */
	return true;
}

/* The certificate. */

static void
add_name(struct str *out, const unsigned char *bytes, int len)
{
	if (len <= 0)
		return;
	if (out->len > 0)
		(void)str_adds(out, ", ");
	text_sanitize(out, bytes, (size_t)len);
}

static void
add_address(struct str *out, const ASN1_OCTET_STRING *ip)
{
	char text[INET6_ADDRSTRLEN];
	int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;

	if (ASN1_STRING_length(ip) != 4 && ASN1_STRING_length(ip) != 16)
		return;
	if (inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof(text)) != NULL)
		add_name(out, (const unsigned char *)text, (int)strlen(text));
}

/* The names and addresses a certificate is for; of old ones the common name. */
static void
cert_names(X509 *cert, struct str *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(cert);
	int i, at;

	for (i = 0; i < sk_GENERAL_NAME_num(names) && out->len < NAMES_SHOWN; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(out, ASN1_STRING_get0_data(name->d.dNSName),
				ASN1_STRING_length(name->d.dNSName));
		else if (name->type == GEN_IPADD)
			add_address(out, name->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (out->len == 0 && at >= 0) {
		const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		int len = ASN1_STRING_length(cn);

		add_name(out, ASN1_STRING_get0_data(cn), len < NAMES_SHOWN ? len : NAMES_SHOWN);
	}
	if (out->len > NAMES_SHOWN)
		str_cut(out, NAMES_SHOWN);
}

/* base64 of the SHA-256 of the public key as the certificate encodes it (RFC 7469, 2.4). */
static bool
cert_pin(X509 *cert, char pin[PIN_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned digest_len = 0;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	int ok = len > 0 &&
		 EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	if (!ok || digest_len != 32)
		return false;
	EVP_EncodeBlock((unsigned char *)pin, digest, 32);
	return true;
}

static void
cert_end(const X509 *cert, char *buf, size_t size)
{
	struct tm tm = { 0 };

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		snprintf(buf, size, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	else
		snprintf(buf, size, "never");
}

/* Same key; a pin may carry curl's prefix. */
static bool
pin_matches(const char *want, const char *pin)
{
	static const char prefix[] = "sha256//";

	if (want == NULL)
		return false;
	if (strncmp(want, prefix, sizeof(prefix) - 1) == 0)
		want += sizeof(prefix) - 1;
	return strcmp(want, pin) == 0;
}

/* What a check means to an admin; OpenSSL's words where ours would not be better. */
static const char *
check_text(int code)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ X509_V_ERR_CERT_HAS_EXPIRED, "it has expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID, "it is not valid yet" },
		{ X509_V_ERR_HOSTNAME_MISMATCH, "it is for another host name" },
		{ X509_V_ERR_IP_ADDRESS_MISMATCH, "it is not for this address" },
		{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
			"it is self-signed and not trusted here" },
		{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its root is not trusted here" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "its issuer is not known" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "its issuer is not known" },
		{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "its issuer is not known" },
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].code == code)
			return texts[i].text;
	return X509_verify_cert_error_string(code);
}

static void
refuse(struct tls *tls, X509 *cert, const char *pin, const char *why)
{
	struct str names;
	char end[40];

	str_init(&names, NAMES_LIMIT);
	cert_names(cert, &names);
	cert_end(cert, end, sizeof(end));
	err_set(&tls->verdict, ERR_CERT, "certificate refused: %s; pin %s, ends %s, for %s", why,
		pin, end, names.len > 0 ? str_get(&names) : "no name");
	str_clear(&names);
}

/* A second look at the same chain, with what has been added to the store since. */
static int
verify_again(struct tls *tls, X509_STORE_CTX *store, X509 *cert)
{
	X509_STORE_CTX *again = X509_STORE_CTX_new();
	int code = X509_V_ERR_OUT_OF_MEM;

	if (again != NULL && X509_STORE_CTX_init(again, SSL_CTX_get_cert_store(tls->ctx), cert,
				     X509_STORE_CTX_get0_untrusted(store)) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(again);

		/* As OpenSSL sets up the first one. */
		X509_STORE_CTX_set_default(again, "ssl_server");
		X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(tls->ssl));
		X509_VERIFY_PARAM_set1(param, SSL_get0_param(tls->ssl));
		code = X509_verify_cert(again) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(again);
	}
	X509_STORE_CTX_free(again);
	return code;
}

/* X509_V_OK or the check that failed. The system's certificates are looked up in its directory,
 * by hash; only where that knows no issuer is its one large file read: that takes 25 ms, which
 * each connection would pay. */
static int
verify(struct tls *tls, X509_STORE_CTX *store, X509 *cert)
{
	int code = X509_verify_cert(store) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(store);

	switch (code) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		/* Where there is no such file, the same check fails again. */
		(void)SSL_CTX_set_default_verify_file(tls->ctx);
		code = verify_again(tls, store, cert);
		X509_STORE_CTX_set_error(store, code);
		break;
	default:
		break;
	}
	return code;
}

/* Called by OpenSSL with the server's chain; 1 accepts it. */
static int
judge(X509_STORE_CTX *store, void *arg)
{
	struct tls *tls = arg;
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	const char *why = NULL;
	char pin[PIN_SIZE];
	int code;

	if (cert == NULL || !cert_pin(cert, pin)) {
		err_set(&tls->verdict, ERR_CERT, "the certificate cannot be read");
		return 0;
	}
	switch (tls->ep->verify) {
	case VERIFY_YES:
		code = verify(tls, store, cert);
		if (code != X509_V_OK)
			why = check_text(code);
		break;
	case VERIFY_PIN:
		if (!pin_matches(tls->ep->pin, pin))
			why = "its key is not the pinned one";
		break;
	case VERIFY_NO:
		break;
	}
	if (why != NULL) {
		refuse(tls, cert, pin, why);
		if (X509_STORE_CTX_get_error(store) == X509_V_OK)
			X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	tls->accepted = true;
	return 1;
}

/* Setting up. */

static int
floor_version(unsigned tls_min)
{
	switch (tls_min) {
	case 10:
		return TLS1_VERSION;
	case 11:
		return TLS1_1_VERSION;
	case 13:
		return TLS1_3_VERSION;
	default:
		return TLS1_2_VERSION;
	}
}

static bool
configure_context(struct tls *tls)
{
	int floor = floor_version(tls->ep->tls_min);

	SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
	if (floor < TLS1_2_VERSION) {
		/* Asked for in the profile: servers that speak nothing newer sign with SHA-1 and
		 * do not know RFC 5746. */
		SSL_CTX_set_security_level(tls->ctx, 0);
		SSL_CTX_set_options(tls->ctx, SSL_OP_LEGACY_SERVER_CONNECT);
	}
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					   SSL_MODE_RELEASE_BUFFERS);
	/* Else a record of at most 16 KiB is two calls to the kernel: its head, its body. What is
	 * ahead of the reader lies in the SSL, so reads are tried before anybody waits. */
	SSL_CTX_set_read_ahead(tls->ctx, 1);
	SSL_CTX_set_default_read_buffer_len(tls->ctx, AHEAD_BYTES);
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(tls->ctx, judge, tls);
	return SSL_CTX_set_min_proto_version(tls->ctx, floor) == 1 &&
	       SSL_CTX_set_max_proto_version(tls->ctx, 0) == 1;
}

static int
load_trust(struct tls *tls, struct err *err)
{
	if (tls->ep->verify != VERIFY_YES)
		return 0;
	if (SSL_CTX_set_default_verify_dir(tls->ctx) != 1)
		return err_set(err, ERR_CERT, "the system's trusted certificates cannot be read");
	if (tls->ep->ca_file != NULL &&
		SSL_CTX_load_verify_locations(tls->ctx, tls->ep->ca_file, NULL) != 1)
		return err_set(err, ERR_CERT, "no certificate can be read from ca_file %s",
			tls->ep->ca_file);
	return 0;
}

/* Whom the certificate must name, and the name the server is asked by (RFC 6066: never an
 * address). */
static bool
set_peer(struct tls *tls)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);

	/* An intermediate or the server's own certificate in ca_file is an anchor too. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	if (net_is_address(tls->host)) { /* a zone ("fe80::1%eth0") is ours alone */
		char *address = xstrndup(tls->host, strcspn(tls->host, "%"));
		bool set = X509_VERIFY_PARAM_set1_ip_asc(param, address) == 1;

		free(address);
		return set;
	}
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1 &&
	       SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
}

struct tls *
tls_new(const struct endpoint *ep, const char *host, int fd, struct err *err)
{
	struct tls *tls = xcalloc(1, sizeof(*tls));

	tls->ep = ep;
	tls->host = xstrdup(host);
	tls->fd = fd;
	ERR_clear_error();
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->ctx == NULL || !configure_context(tls)) {
		err_set(err, ERR_TLS, "OpenSSL cannot be set up");
		goto fail;
	}
	if (load_trust(tls, err) != 0)
		goto fail;
	tls->ssl = SSL_new(tls->ctx);
	if (tls->ssl == NULL || !attach_bio(tls) || !set_peer(tls)) {
		err_set(err, ERR_TLS, "OpenSSL cannot be set up for this host");
		goto fail;
	}
	SSL_set_connect_state(tls->ssl);
	return tls;
fail:
	ERR_clear_error();
	tls_free(&tls);
	return NULL;
}

void
tls_free(struct tls **tls)
{
	if (*tls == NULL)
		return;
	SSL_free((*tls)->ssl);
	SSL_CTX_free((*tls)->ctx);
	BIO_meth_free((*tls)->method);
	free((*tls)->host);
	free(*tls);
	*tls = NULL;
}

/* Moving bytes. */

static int
protocol_error(const struct tls *tls, struct err *err)
{
	unsigned long code = ERR_peek_error();
	const char *reason = ERR_reason_error_string(code);
	bool hello = !SSL_is_init_finished(tls->ssl);
	const char *during = hello ? "TLS handshake failed" : "TLS failed";

	if (ERR_GET_LIB(code) == ERR_LIB_SSL && hello) {
		switch (ERR_GET_REASON(code)) {
		case SSL_R_WRONG_VERSION_NUMBER:
			return err_set(err, ERR_TLS,
				"%s: what answers is not TLS; is this port for STARTTLS or no TLS?",
				during);
		case SSL_R_UNSUPPORTED_PROTOCOL:
		case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
			return err_set(err, ERR_TLS,
				"%s: the server's TLS is older than what tls_min allows", during);
		default:
			break;
		}
	}
	return err_set(err, ERR_TLS, "%s: %s", during, reason != NULL ? reason : "no reason given");
}

/* 0 with *want_r, or -1. */
static int
outcome(struct tls *tls, int ret, short *want_r, struct err *err)
{
	int what = SSL_get_error(tls->ssl, ret);

	switch (what) {
	case SSL_ERROR_WANT_READ:
		*want_r = POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		*want_r = POLLOUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return err_set(err, ERR_LOST, "the other side ended the connection");
	default:
		break;
	}
	tls->broken = true;
	if (tls->verdict.code != ERR_NONE)
		*err = tls->verdict;
	else if (tls->errnum != 0)
		err_errno(err, ERR_LOST, tls->errnum, "the connection broke");
	else if (tls->eof)
		err_set(err, ERR_LOST, "the other side ended the connection%s",
			SSL_is_init_finished(tls->ssl) ? "" : " during the TLS handshake");
	else
		protocol_error(tls, err);
	ERR_clear_error();
	return -1;
}

int
tls_handshake(struct tls *tls, short *want_r, struct err *err)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(tls->ssl);
	if (ret != 1)
		return outcome(tls, ret, want_r, err);
	if (!tls->accepted) /* a cipher without certificates: never offered, never taken */
		return err_set(err, ERR_CERT, "the server showed no certificate");
	return 1;
}

ssize_t
tls_read(struct tls *tls, void *buf, size_t size, short *want_r, struct err *err)
{
	int n;

	ERR_clear_error();
	n = SSL_read(tls->ssl, buf, size < IO_MAX_BYTES ? (int)size : IO_MAX_BYTES);
	return n > 0 ? n : outcome(tls, n, want_r, err);
}

ssize_t
tls_write(struct tls *tls, const void *bytes, size_t len, short *want_r, struct err *err)
{
	int n;

	ERR_clear_error();
	n = SSL_write(tls->ssl, bytes, len < IO_MAX_BYTES ? (int)len : IO_MAX_BYTES);
	return n > 0 ? n : outcome(tls, n, want_r, err);
}

void
tls_end(struct tls *tls)
{
	if (tls->broken || !SSL_is_init_finished(tls->ssl))
		return;
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

void
tls_describe(const struct tls *tls, struct str *out)
{
	const char *version = SSL_get_version(tls->ssl);

	if (strcmp(version, "TLSv1") == 0)
		version = "TLSv1.0";
	if (strncmp(version, "TLSv", 4) == 0)
		str_addf(out, "TLS %s", version + 4);
	else
		str_adds(out, version);
	str_addf(out, ", %s, ", SSL_get_cipher_name(tls->ssl));
	switch (tls->ep->verify) {
	case VERIFY_YES:
		str_adds(out, "certificate valid");
		break;
	case VERIFY_PIN:
		str_adds(out, "key pinned");
		break;
	case VERIFY_NO:
		str_adds(out, "certificate not checked");
		break;
	}
}
