/* endpoint.h - where and how to log in: one side of one account. */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include "base/secret.h"

#include <stdbool.h>

enum net_security { NET_TLS, NET_STARTTLS, NET_NONE };
enum net_verify { VERIFY_YES, VERIFY_NO, VERIFY_PIN };
enum net_compress { COMPRESS_AUTO, COMPRESS_YES, COMPRESS_NO };
enum net_auth {
	AUTH_PLAIN, /* SASL PLAIN; falls back to LOGIN where PLAIN is not offered */
	AUTH_LOGIN, /* the LOGIN command */
	AUTH_CRAM_MD5,
	AUTH_MASTER, /* LOGIN or PLAIN as "user*master" (Dovecot's separator form) */
	AUTH_XOAUTH2,
	AUTH_OAUTHBEARER
};

/* Plain data, borrowed by a session from open to close. Strings may be NULL where said. */
struct endpoint {
	const char *host;
	unsigned port;
	enum net_security security;
	enum net_verify verify;
	const char *pin;     /* VERIFY_PIN: base64 of the SHA-256 of the public key (SPKI) */
	const char *ca_file; /* extra trust anchors (PEM), or NULL: the system's */
	unsigned tls_min;    /* 10, 11, 12, 13 */
	enum net_auth auth;
	const char *user;           /* whose mailbox */
	const char *login;          /* who logs in (the admin), or NULL: the user */
	const char *separator;      /* AUTH_MASTER: "*" */
	struct secret *secret;      /* password or token of who logs in; borrowed */
	unsigned timeout_ms;        /* of each wait for the other side */
	enum net_compress compress; /* after the login, where the server offers it */
	bool readonly;              /* a source: nothing that writes is ever sent */
	bool trace;                 /* protocol trace to the log, secrets removed */
};

#endif
