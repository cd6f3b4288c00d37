/* openssl.h - the headers of OpenSSL this folder uses. Its type ERR_STATE, which we never need, has
 * the name of one of our error codes and is renamed; include this before base/err.h. */
#ifndef PROFILE_OPENSSL_H
#define PROFILE_OPENSSL_H

#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#undef ERR_STATE

#endif
