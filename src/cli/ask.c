/* ask.c - a question for a password on the terminal.
 *
 * Echo is off while the password is typed, so a signal must not end the process in between: those
 * that would are blocked, looked for five times a second, and delivered once the terminal is as it
 * was. Runs before any thread is started. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "base/banned.h"

#define PASSWORD_MAX 1024
#define LOOK_MS      200

enum typed { TYPED_MORE, TYPED_END, TYPED_STOP, TYPED_TOO_LONG };

struct typing {
	char bytes[PASSWORD_MAX];
	size_t len;
};

static enum typed
take_byte(struct typing *typing, char byte)
{
	switch (byte) {
	case '\r':
	case '\n':
		return TYPED_END;
	case 3: /* Ctrl-C; the terminal sends bytes, not signals, meanwhile */
		return TYPED_STOP;
	case 4: /* Ctrl-D */
		return typing->len == 0 ? TYPED_STOP : TYPED_END;
	case 8:
	case 127: /* a whole character, not its last byte */
		while (typing->len > 0 &&
			((unsigned char)typing->bytes[--typing->len] & 0xC0) == 0x80)
			;
		return TYPED_MORE;
	case 21: /* Ctrl-U */
		typing->len = 0;
		return TYPED_MORE;
	}
	if (typing->len == sizeof typing->bytes)
		return TYPED_TOO_LONG;
	typing->bytes[typing->len++] = byte;
	return TYPED_MORE;
}

static bool
signal_waits(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return false;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		if (sigismember(&pending, numbers[i]) == 1)
			return true;
	}
	return false;
}

static enum typed
read_line(int fd, struct typing *typing)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	enum typed typed = TYPED_MORE;
	ssize_t got;
	char byte;

	while (typed == TYPED_MORE) {
		if (signal_waits())
			return TYPED_STOP;
		if (poll(&wait, 1, LOOK_MS) <= 0)
			continue;
		got = read(fd, &byte, 1);
		if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
			return TYPED_STOP;
		if (got == 1)
			typed = take_byte(typing, byte);
	}
	secret_wipe(&byte, 1);
	return typed;
}

static void
put_text(int fd, const char *text)
{
	size_t len = strlen(text);

	/* A terminal that takes no question gives no answer either. */
	if (write(fd, text, len) != (ssize_t)len)
		return;
}

/* The question comes after the echo went: who answers it at once, as a script does, is not shown.
 */
static enum typed
ask_silently(int fd, const char *question, struct typing *typing)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	struct termios before, silent;
	sigset_t block, old;
	enum typed typed;

	if (tcgetattr(fd, &before) < 0)
		return TYPED_STOP;
	sigemptyset(&block);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		sigaddset(&block, numbers[i]);
	sigprocmask(SIG_BLOCK, &block, &old);
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
	silent.c_cc[VMIN] = 1;
	silent.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSAFLUSH, &silent) < 0) {
		typed = TYPED_STOP;
	} else {
		put_text(fd, question);
		typed = read_line(fd, typing);
		tcsetattr(fd, TCSAFLUSH, &before);
		put_text(fd, "\n");
	}
	sigprocmask(SIG_SETMASK, &old, NULL); /* what waited ends the process here */
	return typed;
}

static int
ask_terminal(const char *what, struct secret **secret_r, struct err *err)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct typing typing = { .len = 0 };
	enum typed typed;
	char safe[200], question[sizeof safe + 2];

	*secret_r = NULL;
	text_safe(safe, sizeof safe, what);
	snprintf(question, sizeof question, "%s: ", safe);
	if (fd < 0)
		return err_set(err, ERR_PROFILE,
			"%s: it is to be asked for, and there is no terminal", safe);
	typed = ask_silently(fd, question, &typing);
	close(fd);
	if (typed == TYPED_END && typing.len > 0)
		*secret_r = secret_new(typing.bytes, typing.len);
	secret_wipe(&typing, sizeof typing);
	if (typed == TYPED_TOO_LONG)
		return err_set(err, ERR_PROFILE, "%s: longer than %d bytes", safe, PASSWORD_MAX);
	if (*secret_r == NULL)
		return err_set(err, ERR_CANCELLED, "%s: none was given", safe);
	return 0;
}

int
cli_ask(void *context, const char *what, struct secret **secret_r, struct err *err)
{
	struct asker *asker = context;

	/* One passphrase seals all secrets of a profile; it is asked for once. */
	if (asker == NULL || strncmp(what, "passphrase", strlen("passphrase")) != 0)
		return ask_terminal(what, secret_r, err);
	if (asker->passphrase == NULL && ask_terminal(what, &asker->passphrase, err) < 0)
		return -1;
	*secret_r = secret_ref(asker->passphrase);
	return 0;
}
