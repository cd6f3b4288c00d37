/* test_account_lock.c - who is kept off an account, and that a dead owner keeps nobody off. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "engine/account_lock.h"

#include "base/banned.h"

/* An account of this test alone: others may run beside it. */
static char account[64];

static const struct {
	const char *host;
	unsigned port;
	const char *more; /* behind the account's name */
	enum err_code want;
} cases[] = {
	{ "mail.new.example", 993, "@a.example", ERR_LOCKED },
	{ "MAIL.New.example", 993, "@A.Example", ERR_LOCKED },
	{ "mail.new.example", 143, "@a.example", ERR_NONE },
	{ "mail2.new.example", 993, "@a.example", ERR_NONE },
	{ "mail.new.example", 993, "@b.example", ERR_NONE },
	{ "mail.new.example", 993, "", ERR_NONE },
};

static void
test_who_is_kept_off(void)
{
	struct err err;
	int held = -1;
	char *user = xasprintf("%s@a.example", account);

	CHECK_INT(account_lock("mail.new.example", 993, user, &held, &err), 0);
	free(user);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int fd = -1;
		memset(&err, 0, sizeof err);
		user = xasprintf("%s%s", account, cases[i].more);
		if (account_lock(cases[i].host, cases[i].port, user, &fd, &err) == 0)
			close(fd);
		if (err.code != cases[i].want)
			printf("case %zu\n", i);
		CHECK_INT(err.code, cases[i].want);
		CHECK(err.code == ERR_NONE || strstr(err.text, user) != NULL);
		free(user);
	}
	close(held);
}

static void
test_let_go(void)
{
	struct err err;
	int one = -1, two = -1;

	CHECK_INT(account_lock("h", 1, account, &one, &err), 0);
	CHECK_INT(account_lock("h", 1, account, &two, &err), -1);
	close(one);
	CHECK_INT(account_lock("h", 1, account, &two, &err), 0);
	close(two);
}

/* Another process, of another environment (and user, where we may), killed while it holds the lock.
 */
static void
test_a_dead_owner(void)
{
	struct err err = { 0 };
	int told[2], fd = -1, status;
	char byte = '\0';
	pid_t child;

	CHECK_INT(pipe(told), 0);
	child = fork();
	if (child == 0) {
		clearenv();
		if (getuid() == 0 && setuid(65534) < 0)
			_exit(1);
		byte = account_lock("h", 2, account, &fd, &err) == 0 ? 'y' : 'n';
		if (write(told[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	CHECK_INT(read(told[0], &byte, 1), 1);
	CHECK_INT(byte, 'y');
	CHECK_INT(account_lock("h", 2, account, &fd, &err), -1);
	CHECK_INT(err.code, ERR_LOCKED);
	kill(child, SIGKILL);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(account_lock("h", 2, account, &fd, &err), 0);
	close(fd);
	close(told[0]);
	close(told[1]);
}

/* Names are cut to no length: what differs at the end differs. */
static void
test_long_names(void)
{
	char long_name[600];
	struct err err;
	int one = -1, two = -1;

	snprintf(long_name, sizeof long_name, "%s%0500d", account, 1);
	CHECK_INT(account_lock("h", 3, long_name, &one, &err), 0);
	long_name[strlen(long_name) - 1] = '2';
	CHECK_INT(account_lock("h", 3, long_name, &two, &err), 0);
	close(one);
	close(two);
}

int
main(void)
{
	snprintf(account, sizeof account, "test-%ld", (long)getpid());
	RUN(test_who_is_kept_off);
	RUN(test_let_go);
	RUN(test_a_dead_owner);
	RUN(test_long_names);
	return test_done();
}
