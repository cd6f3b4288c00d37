/* resolve.c - from what stands in a profile to the password itself.
 *
 * Errors name the place, the file or the variable, never what was read from it, and never a
 * command: that may hold a password itself. A command runs in a process group of its own, so that
 * at the deadline it goes with all its children; a helper it leaves behind (an agent) does not
 * keep us waiting, since the end that counts is the command's own, not that of its output. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define SECRET_MAX  65536
#define DEADLINE_MS 10000
#define POLL_MS     20
#define CHUNK_BYTES 4096

extern char **environ;

/* The first line of text; what follows it only a command may have. */
static int
take(const struct str *text, bool first_line, const char *what, struct secret **secret_r,
	struct err *err)
{
	const char *bytes = str_get(text), *end = memchr(bytes, '\n', text->len);
	size_t len = text->len;

	if (end != NULL && (first_line || end == bytes + len - 1)) {
		len = (size_t)(end - bytes);
		if (len > 0 && bytes[len - 1] == '\r')
			len--;
	} else if (end != NULL) {
		return err_set(err, ERR_PROFILE, "%s: more than one line", what);
	}
	if (len == 0)
		return err_set(err, ERR_PROFILE, "%s: it is empty", what);
	if (memchr(bytes, '\0', len) != NULL || memchr(bytes, '\r', len) != NULL)
		return err_set(err, ERR_PROFILE, "%s: a NUL or CR byte in it", what);
	*secret_r = secret_new(bytes, len);
	return 0;
}

static int
from_file(const char *path, const char *what, struct secret **secret_r, struct err *err)
{
	struct str text;
	int ret;

	str_init(&text, SECRET_MAX);
	ret = file_check_private(path, err);
	if (ret == 0)
		ret = file_read(path, &text, err);
	if (ret == 0)
		ret = take(&text, false, path, secret_r, err);
	if (ret < 0)
		err_context(err, "%s", what);
	str_wipe(&text);
	return ret;
}

static int
from_environment(const char *name, const char *what, struct secret **secret_r, struct err *err)
{
	const char *value = getenv(name);

	if (value == NULL || value[0] == '\0')
		return err_set(err, ERR_PROFILE, "%s: the variable %s is %s", what, name,
			value == NULL ? "not set" : "empty");
	*secret_r = secret_new(value, strlen(value));
	return 0;
}

/* Starts `sh -c command` with its output in a pipe. 0, or an errno. */
static int
start(const char *command, int out, pid_t *pid_r)
{
	char shell[] = "sh", flag[] = "-c", *text = xstrdup(command);
	char *argv[] = { shell, flag, text, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	ret = posix_spawn(pid_r, "/bin/sh", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	secret_wipe(text, strlen(text));
	free(text);
	return ret;
}

/* Reads what is there. 1: more may come, 0: the end, -1: too much. */
static int
drain(int fd, struct str *text)
{
	char buf[CHUNK_BYTES];
	ssize_t n;

	for (;;) {
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		if (str_add(text, buf, (size_t)n) < 0)
			break;
	}
	secret_wipe(buf, sizeof(buf));
	if (text->overflow)
		return -1;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 1 : 0;
}

/* Waits for the command's end, reading on. 0 with its status; -1: deadline or too much output. */
static int
wait_for(pid_t pid, int fd, struct str *text, int *status_r)
{
	int64_t deadline = clock_ms() + DEADLINE_MS;
	bool open = true;
	int ret = -1;

	while (ret < 0 && clock_ms() < deadline && !text->overflow) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		pid_t got = waitpid(pid, status_r, WNOHANG);

		if (got == pid)
			ret = 0;
		else if (got < 0 && errno != EINTR)
			return -1; /* somebody else took it: its status is lost */
		if (open)
			open = drain(fd, text) == 1;
		if (ret < 0 && open)
			poll(&p, 1, POLL_MS);
		else if (ret < 0)
			clock_sleep_ms(POLL_MS / 4);
	}
	if (ret < 0) {
		kill(-pid, SIGKILL);
		while (waitpid(pid, status_r, 0) < 0 && errno == EINTR)
			continue;
	}
	return text->overflow ? -1 : ret;
}

static int
from_command(const char *command, const char *what, struct secret **secret_r, struct err *err)
{
	struct str text;
	int pipes[2], status = 0, ret;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_errno(err, ERR_PROFILE, errno, "%s: no pipe", what);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	ret = start(command, pipes[1], &pid);
	close(pipes[1]);
	if (ret != 0) {
		close(pipes[0]);
		return err_errno(err, ERR_PROFILE, ret, "%s: the command cannot be started", what);
	}
	str_init(&text, SECRET_MAX);
	if (wait_for(pid, pipes[0], &text, &status) < 0)
		ret = err_set(err, ERR_PROFILE,
			text.overflow ? "%s: the command wrote too much"
				      : "%s: the command took longer than 10 s",
			what);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		ret = err_set(err, ERR_PROFILE, "%s: the command ended with %s %d", what,
			WIFEXITED(status) ? "exit code" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	else
		ret = take(&text, true, what, secret_r, err);
	close(pipes[0]);
	str_wipe(&text);
	return ret;
}

static int
from_ask(const char *what, profile_ask *ask, void *context, struct secret **secret_r,
	struct err *err)
{
	if (ask == NULL)
		return err_set(err, ERR_PROFILE,
			"%s: it must be asked for, and there is nobody to ask", what);
	if (ask(context, what, secret_r, err) < 0)
		return -1;
	if (secret_len(*secret_r) > 0)
		return 0;
	secret_unref(secret_r);
	return err_set(err, ERR_PROFILE, "%s: it is empty", what);
}

static int
from_sealed(const char *spec, const char *what, profile_ask *ask, void *context,
	struct secret **secret_r, struct err *err)
{
	struct secret *passphrase = NULL;
	char *question = xasprintf("passphrase of %s", what);
	int ret = from_ask(question, ask, context, &passphrase, err);

	if (ret == 0)
		ret = secret_unseal(spec, passphrase, what, secret_r, err);
	secret_unref(&passphrase);
	free(question);
	return ret;
}

int
profile_secret(const char *spec, const char *what, profile_ask *ask, void *context,
	struct secret **secret_r, struct err *err)
{
	const char *kind = option_secret_kind(spec);

	*secret_r = NULL;
	if (strcmp(kind, "file") == 0)
		return from_file(spec + 5, what, secret_r, err);
	if (strcmp(kind, "env") == 0)
		return from_environment(spec + 4, what, secret_r, err);
	if (strcmp(kind, "cmd") == 0)
		return from_command(spec + 4, what, secret_r, err);
	if (strcmp(kind, "enc") == 0)
		return from_sealed(spec, what, ask, context, secret_r, err);
	if (strcmp(kind, "ask") == 0)
		return from_ask(what, ask, context, secret_r, err);
	if (spec[0] == '\0')
		return err_set(err, ERR_PROFILE, "%s: it is empty", what);
	*secret_r = secret_new(spec, strlen(spec));
	return 0;
}
