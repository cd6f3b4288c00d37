/* test_sasl.c - login responses against the examples of their documents. */
#include <stdlib.h>

#include "base/test.h"
#include "net/sasl.h"

#include "base/banned.h"

static struct secret *
secret(const char *text)
{
	return secret_new(text, strlen(text));
}

static void
check_base64(const char *plain, const char *code)
{
	struct str out;

	str_init(&out, 0);
	(void)str_adds(&out, "before ");
	CHECK_INT(base64_decode(&out, code, strlen(code)), plain != NULL ? 0 : -1);
	CHECK_STR(str_get(&out) + 7, plain != NULL ? plain : "");
	str_reset(&out);
	if (plain != NULL) {
		CHECK_INT(base64_encode(&out, plain, strlen(plain)), 0);
		CHECK_STR(str_get(&out), code);
	}
	str_clear(&out);
}

static void
test_base64(void)
{
	static const struct {
		const char *plain, *code; /* plain NULL: refused */
	} cases[] = {
		{ "", "" }, /* RFC 4648, 10 */
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "0123456789012345678901234567890123456789012345678",
			"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3OA==" },
		{ NULL, "Zg" },
		{ NULL, "Z" },
		{ NULL, "Zg=" },
		{ NULL, "====" },
		{ NULL, "Z===" },
		{ NULL, "Zg==Zg==" },
		{ NULL, "Zm9v\r\n" },
		{ NULL, " Zm9" },
		{ NULL, "Zm9v    " },
		{ NULL, "Zm-_" },
		{ NULL, "Zm\xc3\xa4" },
	};
	struct str out;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_base64(cases[i].plain, cases[i].code);
	str_init(&out, 4);
	CHECK_INT(base64_encode(&out, "four", 4), -1);
	CHECK_INT(base64_decode(&out, "Zm9vYmFy", 8), -1);
	CHECK_INT(out.len, 0);
	str_clear(&out);
}

static void
test_login_name(void)
{
	static const struct {
		struct endpoint ep;
		const char *name;
	} cases[] = {
		{ { .user = "ana", .auth = AUTH_PLAIN }, "ana" },
		{ { .user = "ana", .login = "admin", .auth = AUTH_PLAIN }, "admin" },
		{ { .user = "ana", .login = "admin", .auth = AUTH_MASTER, .separator = "*" },
			"ana*admin" },
		{ { .user = "ana", .login = "admin", .auth = AUTH_MASTER, .separator = "/" },
			"ana/admin" },
		{ { .user = "ana", .login = "admin", .auth = AUTH_MASTER }, "ana*admin" },
	};
	struct str out;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		str_init(&out, 0);
		CHECK_INT(sasl_login_name(&out, &cases[i].ep), 0);
		CHECK_STR(str_get(&out), cases[i].name);
		str_clear(&out);
	}
}

static void
test_plain(void)
{
	static const struct {
		const char *authzid, *authcid, *password, *code;
	} cases[] = {
		/* RFC 4616, 4: "tim", then "Kurt" for "Ursel" */
		{ NULL, "tim", "tanstaaftanstaaf", "AHRpbQB0YW5zdGFhZnRhbnN0YWFm" },
		{ "Ursel", "Kurt", "xipj3plmq", "VXJzZWwAS3VydAB4aXBqM3BsbXE=" },
		/* RFC 4959, 3: "test" for "test" */
		{ "test", "test", "test", "dGVzdAB0ZXN0AHRlc3Q=" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret *password = secret(cases[i].password);
		struct err err = { 0 };
		struct str out;

		str_init(&out, 0);
		CHECK_INT(sasl_plain(&out, cases[i].authzid, cases[i].authcid, password, &err), 0);
		CHECK_STR(str_get(&out), cases[i].code);
		str_wipe(&out);
		secret_unref(&password);
	}
}

static void
test_cram_md5(void)
{
	/* RFC 2195, 2 */
	static const char challenge[] = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
	static const char answer[] = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
	struct secret *password = secret("tanstaaftanstaaf");
	struct err err = { 0 };
	struct str out;

	str_init(&out, 0);
	CHECK_INT(sasl_cram_md5(&out, "tim", password, challenge, strlen(challenge), &err), 0);
	CHECK_STR(str_get(&out), answer);
	str_reset(&out);
	CHECK_INT(sasl_cram_md5(&out, "tim", password, "not base64", 10, &err), -1);
	CHECK_INT(err.code, ERR_PROTOCOL);
	CHECK_INT(out.len, 0);
	/* An empty challenge is odd, but an answer to it is defined. */
	CHECK_INT(sasl_cram_md5(&out, "tim", password, "", 0, &err), 0);
	str_wipe(&out);
	secret_unref(&password);
}

static void
test_xoauth2(void)
{
	/* As Google's description of the method gives it. */
	static const char code[] =
		"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmd"
		"DRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
	struct secret *token = secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
	struct secret *bad = secret("token\x01user=boss");
	struct err err = { 0 };
	struct str out;

	str_init(&out, 0);
	CHECK_INT(sasl_xoauth2(&out, "someuser@example.com", token, &err), 0);
	CHECK_STR(str_get(&out), code);
	str_reset(&out);
	CHECK_INT(sasl_xoauth2(&out, "ana\x01", token, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK_INT(sasl_xoauth2(&out, "ana", bad, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK_INT(out.len, 0);
	str_wipe(&out);
	secret_unref(&token);
	secret_unref(&bad);
}

static void
test_oauthbearer(void)
{
	/* RFC 7628, 4.1 */
	static const char code[] =
		"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9"
		"QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
	static const char plain[] = "n,a=a=3Db=2Cc,\x01host=h\x01port=993\x01"
				    "auth=Bearer t\x01\x01";
	struct secret *token = secret("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
	struct secret *bare = secret("t");
	struct err err = { 0 };
	struct str out, decoded;

	str_init(&out, 0);
	str_init(&decoded, 0);
	CHECK_INT(
		sasl_oauthbearer(&out, "user@example.com", "server.example.com", 143, token, &err),
		0);
	CHECK_STR(str_get(&out), code);
	str_reset(&out);
	CHECK_INT(sasl_oauthbearer(&out, "a=b,c", "h", 993, bare, &err), 0);
	CHECK_INT(base64_decode(&decoded, str_get(&out), out.len), 0);
	CHECK_STR(str_get(&decoded), plain);
	str_reset(&out);
	CHECK_INT(sasl_oauthbearer(&out, "a\x01", "h", 993, bare, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	str_wipe(&out);
	str_wipe(&decoded);
	secret_unref(&token);
	secret_unref(&bare);
}

static void
test_too_long(void)
{
	size_t len = (size_t)70 << 10;
	char *bytes = malloc(len);
	struct secret *token;
	struct err err = { 0 };
	struct str out;

	if (bytes == NULL)
		return;
	memset(bytes, 'x', len);
	token = secret_new(bytes, len);
	str_init(&out, 0);
	CHECK_INT(sasl_plain(&out, NULL, "ana", token, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK_INT(out.len, 0);
	str_wipe(&out);
	secret_unref(&token);
	free(bytes);
}

int
main(void)
{
	RUN(test_base64);
	RUN(test_login_name);
	RUN(test_plain);
	RUN(test_cram_md5);
	RUN(test_xoauth2);
	RUN(test_oauthbearer);
	RUN(test_too_long);
	return test_done();
}
