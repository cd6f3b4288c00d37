/* session.c - an IMAP session of the pump: connection, TLS, lines, login, the list of folders.
 *
 * TLS records are made in memory and sent by us, many with one call. With TLS the socket never
 * waits: SSL_read() has no flag for a single call that shall not. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include "session.h"

#define TLS_BYTES (128 << 10) /* made into records at once */

void
die(const char *format, ...)
{
	va_list args;

	flockfile(stderr);
	fputs("pump: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(1);
}

void
die_of_line(const char *name, const char *what, const char *line, size_t len)
{
	char text[240];
	size_t i;

	for (i = 0; i < len && i < sizeof(text) - 1; i++)
		text[i] = (char)(line[i] >= 32 && line[i] < 127 ? line[i] : '?');
	text[i] = '\0';
	die("%s: %s: %s", name, what, text);
}

void *
alloc(size_t size)
{
	void *place = calloc(1, size);

	if (place == NULL)
		die("out of memory");
	return place;
}

void *
alloc_pages(size_t size)
{
	void *place = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (place == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return place;
}

/* Connections. */

int
wait_io(const struct wire *wire, int events)
{
	struct pollfd pfd = { .fd = wire->fd, .events = (short)events };

	while (poll(&pfd, 1, -1) < 0) {
		if (errno != EINTR)
			die("%s: poll: %s", wire->name, strerror(errno));
	}
	return pfd.revents;
}

bool
has_unsent(const struct wire *wire)
{
	return wire->ssl != NULL && BIO_pending(wire->records) > 0;
}

bool
send_records(struct wire *wire)
{
	char *bytes = NULL;
	long len = BIO_get_mem_data(wire->records, &bytes);

	while (wire->sent < (size_t)len) {
		ssize_t n = send(wire->fd, bytes + wire->sent, (size_t)len - wire->sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno != EINTR)
			die("%s: %s", wire->name, strerror(errno));
		wire->sent += n > 0 ? (size_t)n : 0;
	}
	wire->sent = 0;
	(void)BIO_reset(wire->records);
	return true;
}

/* OpenSSL writes one record at a time; they are made in memory, so that many leave at once. */
static size_t
send_tls(struct wire *wire, const struct iovec *iov, size_t count)
{
	char plain[TLS_BYTES];
	size_t len = 0, i;

	if (!send_records(wire))
		return 0;
	for (i = 0; i < count && len < sizeof(plain); i++) {
		size_t room = sizeof(plain) - len;
		size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(plain + len, iov[i].iov_base, part);
		len += part;
	}
	if (SSL_write(wire->ssl, plain, (int)len) != (int)len)
		die("%s: TLS: %s", wire->name, ERR_reason_error_string(ERR_get_error()));
	(void)send_records(wire);
	return len;
}

size_t
send_some(struct wire *wire, struct iovec *iov, size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n;

	if (wire->ssl != NULL)
		return send_tls(wire, iov, count);
	do
		n = sendmsg(wire->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		die("%s: %s", wire->name, strerror(errno));
	return n < 0 ? 0 : (size_t)n;
}

void
skip_sent(struct iovec **iov, size_t *count, size_t n)
{
	while (*count > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

void
send_text(struct wire *wire, char *text, size_t len)
{
	struct iovec one = { text, len }, *iov = &one;
	size_t count = 1;

	while (count > 0 || has_unsent(wire)) {
		size_t n = count > 0 ? send_some(wire, iov, count) : 0;

		skip_sent(&iov, &count, n);
		if (count == 0 && wire->ssl != NULL)
			(void)send_records(wire);
		if (n == 0 && (count > 0 || has_unsent(wire)))
			(void)wait_io(wire, POLLOUT);
	}
}

/* As recv(): 0 is the end, -1 with EAGAIN nothing yet. */
static ssize_t
recv_tls(struct wire *wire, char *buf, size_t size)
{
	size_t got = 0;
	int n = 1, error;

	ERR_clear_error();
	while (got < size && n > 0) {
		n = SSL_read(wire->ssl, buf + got, (int)(size - got));
		got += n > 0 ? (size_t)n : 0;
	}
	if (got > 0)
		return (ssize_t)got; /* what ended the loop is met again */
	error = SSL_get_error(wire->ssl, n);
	if (error == SSL_ERROR_SSL)
		die("%s: TLS: %s", wire->name, ERR_reason_error_string(ERR_get_error()));
	if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && errno == 0))
		return 0;
	if (error == SSL_ERROR_WANT_READ)
		errno = EAGAIN;
	return -1;
}

size_t
recv_some(struct wire *wire, char *buf, size_t size, bool wait)
{
	for (;;) {
		ssize_t n = wire->ssl != NULL ? recv_tls(wire, buf, size)
					      : recv(wire->fd, buf, size, wait ? 0 : MSG_DONTWAIT);

		if (n > 0)
			return (size_t)n;
		if (n == 0)
			die("%s: the server has closed the connection", wire->name);
		if (errno == EAGAIN && !wait)
			return 0;
		if (errno == EAGAIN)
			(void)wait_io(wire, POLLIN);
		else if (errno != EINTR)
			die("%s: %s", wire->name, strerror(errno));
	}
}

static void
start_tls(struct wire *wire, SSL_CTX *ctx)
{
	int ret;

	ERR_clear_error();
	wire->ssl = SSL_new(ctx);
	wire->records = BIO_new(BIO_s_mem());
	if (wire->ssl == NULL || wire->records == NULL)
		die("out of memory");
	SSL_set_bio(wire->ssl, BIO_new_socket(wire->fd, BIO_NOCLOSE), wire->records);
	do {
		bool more;

		ret = SSL_connect(wire->ssl);
		more = ret != 1;
		if (more && SSL_get_error(wire->ssl, ret) != SSL_ERROR_WANT_READ)
			die("%s: TLS: %s", wire->name, ERR_reason_error_string(ERR_get_error()));
		while (!send_records(wire))
			(void)wait_io(wire, POLLOUT);
		if (more)
			(void)wait_io(wire, POLLIN);
	} while (ret != 1);
}

void
wire_open(struct wire *wire, const char *name, const struct addrinfo *where, SSL_CTX *ctx)
{
	int one = 1;

	wire->name = name;
	wire->line = alloc(LINE_MAX_LEN);
	wire->fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (wire->fd < 0 || connect(wire->fd, where->ai_addr, where->ai_addrlen) != 0)
		die("%s: %s", name, strerror(errno));
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (ctx == NULL)
		return;
	/* SSL_read() has no flag for a single call that shall not wait. */
	if (ioctl(wire->fd, FIONBIO, &one) != 0)
		die("%s: %s", name, strerror(errno));
	start_tls(wire, ctx);
}

void
wire_close(struct wire *wire)
{
	if (wire->line == NULL)
		return;
	SSL_free(wire->ssl);
	close(wire->fd);
	free(wire->line);
	*wire = (struct wire){ .fd = -1 };
}

bool
next_line(struct wire *wire, bool wait, char **line_r, size_t *len_r)
{
	char *start = wire->line + wire->line_at, *end;

	while ((end = memchr(start, '\n', wire->line_end - wire->line_at)) == NULL) {
		size_t n;

		memmove(wire->line, start, wire->line_end - wire->line_at);
		wire->line_end -= wire->line_at;
		wire->line_at = 0;
		start = wire->line;
		if (wire->line_end == LINE_MAX_LEN)
			die_of_line(wire->name, "a line too long", start, LINE_MAX_LEN);
		n = recv_some(
			wire, wire->line + wire->line_end, LINE_MAX_LEN - wire->line_end, wait);
		if (n == 0)
			return false;
		wire->line_end += n;
	}
	wire->line_at = (size_t)(end + 1 - wire->line);
	*line_r = start;
	*len_r = (size_t)(end - start);
	if (*len_r > 0 && start[*len_r - 1] == '\r')
		(*len_r)--;
	return true;
}

/* The beginning of a session. */

bool
begins(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

size_t
quote(char *to, size_t size, const char *name)
{
	size_t len = 0;

	to[len++] = '"';
	for (; *name != '\0' && len + 4 < size; name++) {
		if (*name == '"' || *name == '\\')
			to[len++] = '\\';
		to[len++] = *name;
	}
	to[len++] = '"';
	to[len] = '\0';
	return len;
}

void
log_in(struct wire *wire, const char *user, const char *password, const char *command)
{
	char text[8192], name[2100], secret[2100], *line;
	size_t len;
	int n;

	(void)next_line(wire, true, &line, &len);
	if (!begins(line, len, "* OK"))
		die_of_line(wire->name, "greeting", line, len);
	quote(name, sizeof(name), user);
	quote(secret, sizeof(secret), password);
	n = snprintf(text, sizeof(text), "L LOGIN %s %s\r\n%s", name, secret, command);
	send_text(wire, text, (size_t)n);
	do
		(void)next_line(wire, true, &line, &len);
	while (begins(line, len, "* "));
	if (!begins(line, len, "L OK"))
		die_of_line(wire->name, "login", line, len);
}

/* One quoted string or atom. */
static char *
take_word(char **at)
{
	char *from = *at, *to = *at, *word = *at;

	if (*from != '"') {
		*at += strcspn(from, " ");
		if (**at != '\0')
			*(*at)++ = '\0';
		return word;
	}
	for (from++; *from != '"' && *from != '\0'; from++) {
		if (*from == '\\' && from[1] != '\0')
			from++;
		*to++ = *from;
	}
	if (*from == '"')
		from++;
	*at = *from == ' ' ? from + 1 : from;
	*to = '\0';
	return word;
}

static void
add_folder(const struct wire *wire, struct list *list, const char *name)
{
	if (list->count == list->size) {
		list->size = list->size == 0 ? 64 : 2 * list->size;
		list->folders = realloc(list->folders, list->size * sizeof(*list->folders));
	}
	if (list->folders == NULL || list->count == FOLDERS_MAX)
		die("%s: too many folders", wire->name);
	if (strlen(name) > NAME_MAX_LEN)
		die_of_line(wire->name, "a name too long", name, strlen(name));
	list->folders[list->count] = (struct folder){ .name = strdup(name) };
	if (list->folders[list->count++].name == NULL)
		die("out of memory");
}

void
free_folders(struct folder *folders, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(folders[i].name);
	free(folders);
}

/* (ATTRIBUTES) "DELIMITER" NAME, where the name may be a literal, which is the next line then. */
static void
take_list_line(struct wire *wire, struct list *list, char *at)
{
	const char *attributes = at;
	char *end = strstr(at, ") "), *word;
	size_t len;

	if (end == NULL)
		die_of_line(wire->name, "LIST", at, strlen(at));
	*end = '\0';
	at = end + 2;
	word = take_word(&at);
	if (strcmp(word, "NIL") != 0)
		list->delimiter = *word;
	if (strcasestr(attributes, "\\Noselect") != NULL ||
		strcasestr(attributes, "\\NonExistent") != NULL)
		at = NULL;
	if (at != NULL && *at != '{') {
		add_folder(wire, list, take_word(&at));
		return;
	}
	if (at == NULL)
		return;
	(void)next_line(wire, true, &word, &len);
	word[len] = '\0';
	add_folder(wire, list, word);
}

static void
take_status_line(struct list *list, char *at)
{
	const char *name = take_word(&at), *count = strstr(at, "MESSAGES ");
	size_t i;

	/* It follows the LIST line of its folder, or all of them. */
	for (i = list->count; i-- > 0 && count != NULL;) {
		if (strcmp(list->folders[i].name, name) == 0) {
			list->folders[i].messages = strtoul(count + strlen("MESSAGES "), NULL, 10);
			return;
		}
	}
}

struct list
read_list(struct wire *wire)
{
	struct list list = { .delimiter = '/' };
	char *line;
	size_t len;

	for (;;) {
		(void)next_line(wire, true, &line, &len);
		line[len] = '\0'; /* where the line's end was */
		if (begins(line, len, "* LIST ("))
			take_list_line(wire, &list, line + strlen("* LIST ("));
		else if (begins(line, len, "* STATUS "))
			take_status_line(&list, line + strlen("* STATUS "));
		else if (begins(line, len, "M OK"))
			return list;
		else if (!begins(line, len, "* ") || begins(line, len, "* BYE"))
			die_of_line(wire->name, "LIST", line, len);
	}
}
