/* sasl.h - what login methods send: pure encoders, no connection. */
#ifndef NET_SASL_H
#define NET_SASL_H

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "net/endpoint.h"

#include <stddef.h>

/* All append to out, which then may hold a secret: the caller ends it with str_wipe(). Its limit
 * bounds what is built (a token of several KB is usual). */

int base64_encode(struct str *out, const void *bytes, size_t len);
/* Strict: whole quads of the alphabet, padding at the end only, no blanks. -1: it is not that;
 * then nothing is added. */
int base64_decode(struct str *out, const char *text, size_t len);

/* Who logs in, as the server is told: "user", "login", or for AUTH_MASTER "user*login". */
int sasl_login_name(struct str *out, const struct endpoint *ep);

/* The responses below are base64, without CRLF; the LOGIN method's are base64_encode() of the name
 * and of the password. 0, or -1 with ERR_PROFILE (a name or secret the method cannot carry),
 * ERR_PROTOCOL (the server's challenge) or ERR_AUTH_MECH (no MD5 in this OpenSSL). */

/* RFC 4616. authzid NULL: the account of authcid. */
int sasl_plain(struct str *out, const char *authzid, const char *authcid,
	const struct secret *password, struct err *err);
/* RFC 2195; challenge: base64 as the server sent it. */
int sasl_cram_md5(struct str *out, const char *user, const struct secret *password,
	const char *challenge, size_t challenge_len, struct err *err);
/* Google's and Microsoft's XOAUTH2. */
int sasl_xoauth2(struct str *out, const char *user, const struct secret *token, struct err *err);
/* RFC 7628, with the GS2 header naming the user. */
int sasl_oauthbearer(struct str *out, const char *user, const char *host, unsigned port,
	const struct secret *token, struct err *err);

#endif
