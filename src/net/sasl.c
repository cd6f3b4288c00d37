/* sasl.c - builds the responses of the login methods.
 *
 * Each response is put together in a scratch string that is wiped, then encoded into the caller's.
 * Bytes that a method uses to part its fields are refused inside a field: a user name from a CSV
 * file must not be able to add a field of its own. */
#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "net/sasl.h"

#include "base/banned.h"

#define MESSAGE_LIMIT   ((size_t)64 << 10) /* names and a token */
#define CHALLENGE_LIMIT ((size_t)4 << 10)
#define FIELD_END       '\x01' /* of XOAUTH2 and OAUTHBEARER */

int
base64_encode(struct str *out, const void *bytes, size_t len)
{
	const unsigned char *in = bytes;
	unsigned char quads[(48 / 3) * 4 + 1];
	int ret = 0;

	while (len > 0 && ret == 0) {
		int step = len < 48 ? (int)len : 48;
		int n = EVP_EncodeBlock(quads, in, step);

		ret = str_add(out, quads, (size_t)n);
		in += step;
		len -= (size_t)step;
	}
	OPENSSL_cleanse(quads, sizeof(quads));
	return ret;
}

static bool
is_base64(const char *text, size_t len, size_t padding)
{
	size_t i;

	for (i = 0; i < len - padding; i++) {
		char c = text[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			c != '+' && c != '/')
			return false;
	}
	return true;
}

int
base64_decode(struct str *out, const char *text, size_t len)
{
	size_t padding = 0, at = out->len;
	unsigned char bytes[3];
	int ret = 0;

	if (len == 0)
		return 0;
	if (len % 4 != 0)
		return -1;
	if (text[len - 1] == '=')
		padding = text[len - 2] == '=' ? 2 : 1;
	if (!is_base64(text, len, padding))
		return -1;
	for (; len > 0 && ret == 0; text += 4, len -= 4) {
		size_t n = len == 4 ? 3 - padding : 3;

		/* OpenSSL counts padding as zero bytes. */
		if (EVP_DecodeBlock(bytes, (const unsigned char *)text, 4) != 3)
			ret = -1;
		else
			ret = str_add(out, bytes, n);
	}
	if (ret != 0)
		str_cut(out, at);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ret;
}

int
sasl_login_name(struct str *out, const struct endpoint *ep)
{
	const char *login = ep->login != NULL ? ep->login : ep->user;

	if (ep->auth != AUTH_MASTER)
		return str_adds(out, login);
	return str_addf(
		out, "%s%s%s", ep->user, ep->separator != NULL ? ep->separator : "*", login);
}

/* Encodes the message into out and wipes it. */
static int
finish(struct str *out, struct str *message, struct err *err)
{
	int ret = 0;

	if (message->overflow || base64_encode(out, str_get(message), message->len) != 0)
		ret = err_set(
			err, ERR_PROFILE, "the user name or the secret is too long to log in");
	str_wipe(message);
	return ret;
}

static int
check_field(const char *what, const char *text, struct err *err)
{
	if (strchr(text, FIELD_END) != NULL)
		return err_set(err, ERR_PROFILE, "the %s holds a control character", what);
	return 0;
}

int
sasl_plain(struct str *out, const char *authzid, const char *authcid, const struct secret *password,
	struct err *err)
{
	struct str message;

	str_init(&message, MESSAGE_LIMIT);
	if (authzid != NULL)
		(void)str_adds(&message, authzid);
	(void)str_addc(&message, '\0');
	(void)str_adds(&message, authcid);
	(void)str_addc(&message, '\0');
	(void)str_add(&message, secret_bytes(password), secret_len(password));
	return finish(out, &message, err);
}

int
sasl_cram_md5(struct str *out, const char *user, const struct secret *password,
	const char *challenge, size_t challenge_len, struct err *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0, i;
	struct str text, message;
	int ret;

	str_init(&text, CHALLENGE_LIMIT);
	str_init(&message, MESSAGE_LIMIT);
	if (base64_decode(&text, challenge, challenge_len) != 0) {
		ret = err_set(err, ERR_PROTOCOL, "the CRAM-MD5 challenge is not base64");
	} else if (secret_len(password) > INT_MAX ||
		   HMAC(EVP_md5(), secret_bytes(password), (int)secret_len(password),
			   (const unsigned char *)str_get(&text), text.len, digest,
			   &digest_len) == NULL) {
		ret = err_set(err, ERR_AUTH_MECH, "CRAM-MD5: this system's OpenSSL has no MD5");
	} else {
		(void)str_addf(&message, "%s ", user);
		for (i = 0; i < digest_len; i++)
			(void)str_addf(&message, "%02x", digest[i]);
		ret = finish(out, &message, err);
	}
	OPENSSL_cleanse(digest, sizeof(digest));
	str_clear(&text);
	return ret;
}

/* "auth=Bearer TOKEN", the field that both OAuth methods end with. */
static void
add_bearer(struct str *message, const struct secret *token)
{
	(void)str_adds(message, "auth=Bearer ");
	(void)str_add(message, secret_bytes(token), secret_len(token));
	(void)str_addc(message, FIELD_END);
	(void)str_addc(message, FIELD_END);
}

int
sasl_xoauth2(struct str *out, const char *user, const struct secret *token, struct err *err)
{
	struct str message;

	if (check_field("user name", user, err) != 0 ||
		check_field("token", secret_bytes(token), err) != 0)
		return -1;
	str_init(&message, MESSAGE_LIMIT);
	(void)str_addf(&message, "user=%s%c", user, FIELD_END);
	add_bearer(&message, token);
	return finish(out, &message, err);
}

/* A saslname of RFC 5801: "," and "=" are written as codes. */
static void
add_saslname(struct str *out, const char *name)
{
	for (; *name != '\0'; name++) {
		if (*name == ',')
			(void)str_adds(out, "=2C");
		else if (*name == '=')
			(void)str_adds(out, "=3D");
		else
			(void)str_addc(out, *name);
	}
}

int
sasl_oauthbearer(struct str *out, const char *user, const char *host, unsigned port,
	const struct secret *token, struct err *err)
{
	struct str message;

	if (check_field("user name", user, err) != 0 || check_field("host", host, err) != 0 ||
		check_field("token", secret_bytes(token), err) != 0)
		return -1;
	str_init(&message, MESSAGE_LIMIT);
	(void)str_adds(&message, "n,a=");
	add_saslname(&message, user);
	(void)str_addf(
		&message, ",%chost=%s%cport=%u%c", FIELD_END, host, FIELD_END, port, FIELD_END);
	add_bearer(&message, token);
	return finish(out, &message, err);
}
