/* openssl.h - the headers of OpenSSL we use. Its type ERR_STATE, which we never need, has the name
 * of one of our error codes and is renamed; include this before base/err.h. */
#ifndef NET_OPENSSL_H
#define NET_OPENSSL_H

#define ERR_STATE openssl_err_state
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
