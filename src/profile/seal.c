/* seal.c - a password that may lie in a profile: AES-256-GCM under a key from a passphrase.
 *
 * "enc:v1:" and the base64 of salt, nonce, ciphertext and tag. The key is scrypt's (RFC 7914) of
 * the passphrase and a salt of its own each time, so a nonce is never used twice with one key.
 * Version 1 fixes the costs: 16 MB of memory, so that a runner on a small host can afford it. The
 * prefix is authenticated as well; another version cannot be read as this one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "profile/profile_private.h"

#include "base/banned.h"

#define PREFIX      "enc:v1:"
#define SALT_BYTES  16
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define KEY_BYTES   32
#define EXTRA_BYTES (SALT_BYTES + NONCE_BYTES + TAG_BYTES)
#define PLAIN_MAX   600 /* sealed, it still fits a line of a profile */
#define SEALED_MAX  (EXTRA_BYTES + PLAIN_MAX)
#define TEXT_MAX    ((SEALED_MAX + 2) / 3 * 4)

#define SCRYPT_N      (1U << 14)
#define SCRYPT_R      8
#define SCRYPT_P      5
#define SCRYPT_MEMORY (64U << 20)

static int
make_key(const struct secret *passphrase, const unsigned char *salt, unsigned char *key)
{
	return EVP_PBE_scrypt(secret_bytes(passphrase), secret_len(passphrase), salt, SALT_BYTES,
		       SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_MEMORY, key, KEY_BYTES) == 1
		       ? 0
		       : -1;
}

/* Turns `in` into `out` of the same length, and makes or checks the tag. */
static int
run_cipher(bool seal, const unsigned char *key, const unsigned char *nonce, const unsigned char *in,
	size_t len, unsigned char *out, unsigned char *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, rest = 0;
	bool good;

	good = ctx != NULL &&
	       EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
	       EVP_CipherUpdate(
		       ctx, NULL, &n, (const unsigned char *)PREFIX, (int)strlen(PREFIX)) == 1 &&
	       EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1;
	if (good && !seal)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1;
	good = good && EVP_CipherFinal_ex(ctx, out + n, &rest) == 1;
	if (good && seal)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return good && (size_t)n + (size_t)rest == len ? 0 : -1;
}

int
profile_encrypt(const struct secret *secret, const struct secret *passphrase, struct str *out,
	struct err *err)
{
	unsigned char sealed[SEALED_MAX], key[KEY_BYTES];
	unsigned char text[TEXT_MAX + 1];
	size_t len = secret_len(secret);
	int ret;

	if (len == 0 || len > PLAIN_MAX)
		return err_set(err, ERR_PROFILE,
			"only a password of 1 to %d bytes can be encrypted: put it into a file "
			"(file:PATH)",
			PLAIN_MAX);
	if (secret_len(passphrase) == 0)
		return err_set(err, ERR_PROFILE, "the passphrase is empty");
	if (RAND_bytes(sealed, SALT_BYTES + NONCE_BYTES) != 1)
		return err_set(err, ERR_INTERNAL, "no random numbers from OpenSSL");
	ret = make_key(passphrase, sealed, key);
	if (ret == 0)
		ret = run_cipher(true, key, sealed + SALT_BYTES,
			(const unsigned char *)secret_bytes(secret), len,
			sealed + SALT_BYTES + NONCE_BYTES, sealed + SALT_BYTES + NONCE_BYTES + len);
	secret_wipe(key, sizeof(key));
	if (ret < 0)
		return err_set(err, ERR_INTERNAL, "OpenSSL cannot encrypt");
	EVP_EncodeBlock(text, sealed, (int)(EXTRA_BYTES + len));
	str_addf(out, PREFIX "%s", (const char *)text);
	return 0;
}

/* The bytes of a sealed text; 0: not of that form. EVP_DecodeBlock() would take blanks and does
 * not count the padding off. */
static size_t
decode(const char *spec, unsigned char out[TEXT_MAX])
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len, body, pad;

	if (strncmp(spec, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	spec += strlen(PREFIX);
	len = strlen(spec);
	body = strspn(spec, letters);
	pad = strspn(spec + body, "=");
	if (len == 0 || len > TEXT_MAX || len % 4 != 0 || pad > 2 || body + pad != len)
		return 0;
	if (EVP_DecodeBlock(out, (const unsigned char *)spec, (int)len) != (int)(len / 4 * 3))
		return 0;
	len = len / 4 * 3 - pad;
	return len > EXTRA_BYTES && len <= SEALED_MAX ? len : 0;
}

bool
secret_is_sealed(const char *spec)
{
	unsigned char sealed[TEXT_MAX];

	return decode(spec, sealed) > 0;
}

int
secret_unseal(const char *spec, const struct secret *passphrase, const char *what,
	struct secret **secret_r, struct err *err)
{
	unsigned char sealed[TEXT_MAX], plain[PLAIN_MAX], key[KEY_BYTES];
	size_t len = decode(spec, sealed);
	int ret;

	if (len == 0)
		return err_set(
			err, ERR_PROFILE, "%s: this is not what `profile encrypt` writes", what);
	len -= EXTRA_BYTES;
	ret = make_key(passphrase, sealed, key);
	if (ret == 0)
		ret = run_cipher(false, key, sealed + SALT_BYTES, sealed + SALT_BYTES + NONCE_BYTES,
			len, plain, sealed + SALT_BYTES + NONCE_BYTES + len);
	if (ret == 0 && memchr(plain, '\0', len) != NULL)
		ret = -1;
	if (ret == 0)
		*secret_r = secret_new((const char *)plain, len);
	secret_wipe(key, sizeof(key));
	secret_wipe(plain, sizeof(plain));
	if (ret < 0)
		return err_set(err, ERR_PROFILE,
			"%s: the passphrase is wrong, or the text was changed", what);
	return 0;
}
