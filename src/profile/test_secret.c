/* test_secret.c - every way a password is named, and what goes wrong on it; sealed passwords. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "profile/profile_private.h"

#include "base/banned.h"

struct test_case {
	const char *spec;
	const char *want;  /* the secret, or NULL */
	const char *fault; /* what the error says then */
};

/* Answers with the context's text; "" is an empty answer. */
static int
answer(void *context, const char *what, struct secret **secret_r, struct err *err)
{
	const char *text = context;

	if (text == NULL)
		return err_set(err, ERR_CANCELLED, "no answer for %s", what);
	*secret_r = secret_new(text, strlen(text));
	return 0;
}

static void
check_case(const struct test_case *c)
{
	struct secret *secret = NULL;
	struct err err = { .text = "" };
	int ret = profile_secret(c->spec, "[source] admin_password", NULL, NULL, &secret, &err);

	CHECK_INT(ret, c->want != NULL ? 0 : -1);
	CHECK_STR(secret != NULL ? secret_bytes(secret) : NULL, c->want);
	CHECK_STR(err.text, c->fault != NULL ? c->fault : "");
	if (ret < 0)
		CHECK_INT(err.code, ERR_PROFILE);
	secret_unref(&secret);
}

#define CHECK_ALL(cases)                                                                           \
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)                            \
	check_case(&(cases)[i])

#define PLACE "[source] admin_password: "

static void
reads_plain_ones_and_the_environment(void)
{
	static const struct test_case cases[] = {
		{ "pa:ss word", "pa:ss word", NULL },
		{ "", NULL, PLACE "it is empty" },
		{ "env:TEST_SECRET", "from env", NULL },
		{ "env:TEST_EMPTY", NULL, PLACE "the variable TEST_EMPTY is empty" },
		{ "env:TEST_NONE", NULL, PLACE "the variable TEST_NONE is not set" },
		{ "ask", NULL, PLACE "it must be asked for, and there is nobody to ask" },
	};

	setenv("TEST_SECRET", "from env", 1);
	setenv("TEST_EMPTY", "", 1);
	unsetenv("TEST_NONE");
	CHECK_ALL(cases);
}

static void
asks(void)
{
	struct secret *secret;
	struct err err;
	char text[] = "typed", empty[] = "";

	CHECK_INT(profile_secret("ask", "x", answer, text, &secret, &err), 0);
	CHECK_STR(secret_bytes(secret), "typed");
	secret_unref(&secret);
	CHECK_INT(profile_secret("ask", "x", answer, empty, &secret, &err), -1);
	CHECK_STR(err.text, "x: it is empty");
	CHECK_INT(profile_secret("ask", "x", answer, NULL, &secret, &err), -1);
	CHECK_INT(err.code, ERR_CANCELLED);
	CHECK(secret == NULL);
}

struct file_case {
	const char *bytes;
	size_t len;
	mode_t mode;
	const char *want;
	const char *fault; /* a part of the error */
};
#define TEXT(s) (s), sizeof(s) - 1

static void
reads_files(void)
{
	static const struct file_case cases[] = {
		{ TEXT("secret\n"), 0600, "secret", NULL },
		{ TEXT("secret\r\n"), 0400, "secret", NULL },
		{ TEXT("secret"), 0600, "secret", NULL },
		{ TEXT(" s;e#\" \n"), 0600, " s;e#\" ", NULL },
		{ TEXT("secret\n\n"), 0600, NULL, "more than one line" },
		{ TEXT("a\nb\n"), 0600, NULL, "more than one line" },
		{ TEXT("\n"), 0600, NULL, "it is empty" },
		{ TEXT(""), 0600, NULL, "it is empty" },
		{ TEXT("a\0b\n"), 0600, NULL, "a NUL or CR byte" },
		{ TEXT("secret\n"), 0640, NULL, "chmod 600" },
		{ TEXT("secret\n"), 0604, NULL, "chmod 600" },
	};
	char path[] = "/tmp/test_secret.XXXXXX", *spec;
	struct secret *secret;
	struct err err;
	int fd = mkstemp(path);

	close(fd);
	spec = xasprintf("file:%s", path);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct file_case *c = &cases[i];

		CHECK_INT(file_write_atomic(path, c->bytes, c->len, &err), 0);
		CHECK_INT(chmod(path, c->mode), 0);
		CHECK_INT(profile_secret(spec, "x", NULL, NULL, &secret, &err),
			c->want != NULL ? 0 : -1);
		CHECK_STR(secret != NULL ? secret_bytes(secret) : NULL, c->want);
		if (c->fault != NULL)
			CHECK(strstr(err.text, c->fault) != NULL && strstr(err.text, path) != NULL);
		secret_unref(&secret);
	}
	unlink(path);
	CHECK_INT(profile_secret(spec, "x", NULL, NULL, &secret, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	free(spec);
}

static void
runs_commands(void)
{
	static const struct test_case cases[] = {
		{ "cmd:printf 'a b\\nsecond line\\n'", "a b", NULL },
		{ "cmd:printf 'no line end'", "no line end", NULL },
		{ "cmd:echo \"$TEST_SECRET\" | tr a-z A-Z", "FROM ENV", NULL },
		{ "cmd:cat; echo x", "x", NULL }, /* its input is empty */
		{ "cmd:echo S3CRET; exit 3", NULL, PLACE "the command ended with exit code 3" },
		{ "cmd:echo S3CRET; kill -9 $$", NULL, PLACE "the command ended with signal 9" },
		{ "cmd:true", NULL, PLACE "it is empty" },
		{ "cmd:echo; echo S3CRET", NULL, PLACE "it is empty" },
		{ "cmd:/does/not/exist 2>&1", NULL, PLACE "the command ended with exit code 127" },
		{ "cmd:head -c 200000 /dev/zero", NULL, PLACE "the command wrote too much" },
		/* what it leaves behind does not keep us waiting, although it holds the pipe */
		{ "cmd:sleep 30 & echo done", "done", NULL },
	};
	int64_t start = clock_ms();

	setenv("TEST_SECRET", "from env", 1);
	CHECK_ALL(cases);
	CHECK(clock_ms() - start < 8000);
}

/* A command that does not end goes at its deadline, with its children. */
static void
kills_a_command_at_its_deadline(void)
{
	char path[] = "/tmp/test_secret.XXXXXX", *spec;
	struct secret *secret;
	struct str text;
	struct err err;
	int64_t start = clock_ms();
	unsigned child = 0;
	int fd = mkstemp(path);

	close(fd);
	str_init(&text, 0);
	spec = xasprintf("cmd:sleep 60 & echo $! >%s; echo S3CRET; wait", path);
	CHECK_INT(profile_secret(spec, "x", NULL, NULL, &secret, &err), -1);
	CHECK_STR(err.text, "x: the command took longer than 10 s");
	CHECK(secret == NULL);
	CHECK(clock_ms() - start >= 9900 && clock_ms() - start < 15000);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_INT(text_u32(str_get(&text), text.len > 0 ? text.len - 1 : 0, &child), 0);
	for (unsigned i = 0; i < 100 && child > 0 && kill((pid_t)child, 0) == 0; i++) {
		char *stat_path = xasprintf("/proc/%u/stat", child);
		struct str state;
		bool zombie;

		str_init(&state, 0);
		zombie = file_read(stat_path, &state, &err) < 0 ||
			 strstr(str_get(&state), ") Z") != NULL;
		str_clear(&state);
		free(stat_path);
		if (zombie)
			child = 0; /* dead, and nobody has asked for it */
		else
			clock_sleep_ms(20);
	}
	CHECK(child == 0 || kill((pid_t)child, 0) < 0);
	unlink(path);
	free(spec);
	str_clear(&text);
}

static void
seals_and_opens(void)
{
	struct secret *pass = secret_new("correct horse", 13),
		      *plain = secret_new("s;#\" \xC3\xA4", 7);
	struct secret *secret;
	struct str one, two;
	struct err err;
	char good[] = "correct horse", bad[] = "wrong horse", empty[] = "";

	str_init(&one, 0);
	str_init(&two, 0);
	CHECK_INT(profile_encrypt(plain, pass, &one, &err), 0);
	CHECK_INT(profile_encrypt(plain, pass, &two, &err), 0);
	CHECK(strncmp(str_get(&one), "enc:v1:", 7) == 0);
	CHECK(strcmp(str_get(&one), str_get(&two)) != 0); /* its own salt and nonce each time */
	CHECK_INT(profile_secret(str_get(&one), "x", answer, good, &secret, &err), 0);
	CHECK_STR(secret_bytes(secret), "s;#\" \xC3\xA4");
	secret_unref(&secret);
	CHECK_INT(profile_secret(str_get(&one), "x", answer, bad, &secret, &err), -1);
	CHECK_STR(err.text, "x: the passphrase is wrong, or the text was changed");
	CHECK_INT(profile_secret(str_get(&one), "x", answer, empty, &secret, &err), -1);
	CHECK_STR(err.text, "passphrase of x: it is empty");
	CHECK_INT(profile_secret(str_get(&one), "x", NULL, NULL, &secret, &err), -1);
	/* a changed letter anywhere */
	for (size_t i = 7; i + 2 < one.len; i += 17) {
		char *text = xstrdup(str_get(&one));

		text[i] = text[i] == 'A' ? 'B' : 'A';
		CHECK_INT(profile_secret(text, "x", answer, good, &secret, &err), -1);
		free(text);
	}
	secret_unref(&pass);
	secret_unref(&plain);
	str_clear(&one);
	str_clear(&two);
}

/* What was sealed once must open for ever. Made by another implementation (Python's hashlib.scrypt
 * and AESGCM of its cryptography package) with salt 00..0f and nonce 10..1b. */
static void
opens_what_was_sealed_before(void)
{
	char pass[] = "correct horse";
	struct secret *secret;
	struct err err;

	CHECK_INT(profile_secret("enc:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGynNpi+xXERzKWBPaxJ+"
				 "I6BUU+fmUiGJvQQkgCVgEw==",
			  "x", answer, pass, &secret, &err),
		0);
	CHECK_STR(secret != NULL ? secret_bytes(secret) : NULL, "battery staple");
	secret_unref(&secret);
}

static void
refuses_what_is_not_sealed(void)
{
	static const char *const cases[] = {
		"enc:",
		"enc:v1:",
		"enc:v2:AAAA",
		"enc:v1:AAAA",
		"enc:v1:AAA",
		"enc:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", /* 44: empty
											*/
		"enc:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA AAAA",
		"enc:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=AAAA",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK(!secret_is_sealed(cases[i]));
}

static void
seals_only_what_fits_a_line(void)
{
	struct secret *pass = secret_new("p", 1), *none = secret_new("", 0);
	char *bytes = xcalloc(1, 700);
	struct secret *secret;
	struct str out;
	struct err err;

	memset(bytes, 'x', 699);
	str_init(&out, 0);
	secret = secret_new(bytes, 600);
	CHECK_INT(profile_encrypt(secret, pass, &out, &err), 0);
	CHECK(out.len + strlen("admin_password = ") < SCAN_LINE_MAX);
	CHECK(secret_is_sealed(str_get(&out)));
	CHECK_INT(profile_encrypt(secret, none, &out, &err), -1);
	secret_unref(&secret);
	secret = secret_new(bytes, 601);
	CHECK_INT(profile_encrypt(secret, pass, &out, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK_INT(profile_encrypt(none, pass, &out, &err), -1);
	secret_unref(&secret);
	secret_unref(&pass);
	secret_unref(&none);
	str_clear(&out);
	free(bytes);
}

int
main(void)
{
	RUN(reads_plain_ones_and_the_environment);
	RUN(asks);
	RUN(reads_files);
	RUN(runs_commands);
	RUN(kills_a_command_at_its_deadline);
	RUN(seals_and_opens);
	RUN(opens_what_was_sealed_before);
	RUN(refuses_what_is_not_sealed);
	RUN(seals_only_what_fits_a_line);
	return test_done();
}
