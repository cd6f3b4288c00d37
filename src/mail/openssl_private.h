/* openssl_private.h - OpenSSL's hashes and base64. Its type ERR_STATE has the name of one of our
 * error codes; renamed while its headers are read, neither sees the other. */
#ifndef MAIL_OPENSSL_PRIVATE_H
#define MAIL_OPENSSL_PRIVATE_H

#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#endif
