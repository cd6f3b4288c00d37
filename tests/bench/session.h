/* session.h - an IMAP session of the pump: connection, TLS, lines, login, the list of folders.
 *
 * Nothing here returns an error: a yardstick that meets a surprise has no result, so the program
 * ends with a line on stderr and status 1. Any thread may call; a wire is one thread's. */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#define FOLDERS_MAX  100000
#define NAME_MAX_LEN 1000 /* bytes of a folder's name */
#define LINE_MAX_LEN 65536

/* A connection; one thread's. */
struct wire {
	const char *name; /* for messages */
	int fd;
	SSL *ssl;
	BIO *records; /* TLS: made and not yet sent */
	size_t sent;  /* bytes of these */
	char *line;   /* what was read and is not yet taken as a line */
	size_t line_at;
	size_t line_end;
};

struct folder {
	char *name; /* as the source spells it, without quotes */
	unsigned long messages;
	unsigned pair; /* whose it is */
};

/* A list of folders in the making. */
struct list {
	struct folder *folders;
	size_t count;
	size_t size;
	char delimiter;
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* `line` is shown without what a terminal would obey. */
void die_of_line(const char *name, const char *what, const char *line, size_t len)
	__attribute__((noreturn));

/* Zeroed; of alloc_pages() the pages come as they are touched, and they are not given back. */
void *alloc(size_t size);
void *alloc_pages(size_t size);

/* name    borrowed for as long as the wire is open
 * ctx     NULL: no TLS; else a handshake that trusts whom it meets
 * blocks  until it stands */
void wire_open(struct wire *wire, const char *name, const struct addrinfo *where, SSL_CTX *ctx);
void wire_close(struct wire *wire); /* one that was never opened is fine */

/* Waits for POLLIN, POLLOUT or both; returns what poll() did. */
int wait_io(const struct wire *wire, int events);

/* Never waits. Returns the bytes taken, 0 when the socket takes none; with TLS some of them may be
 * records that has_unsent() knows of and send_records() sends, which is false while some are left.
 */
size_t send_some(struct wire *wire, struct iovec *iov, size_t count);
bool has_unsent(const struct wire *wire);
bool send_records(struct wire *wire);
void skip_sent(struct iovec **iov, size_t *count, size_t n);

/* Waits until all is sent, and reads nothing meanwhile: for what a socket holds. */
void send_text(struct wire *wire, char *text, size_t len);

/* What there is, 0 for nothing; with `wait` at least a byte. */
size_t recv_some(struct wire *wire, char *buf, size_t size, bool wait);

/* The next line without its end, valid until the next call; false when it is not yet there. */
bool next_line(struct wire *wire, bool wait, char **line_r, size_t *len_r);

bool begins(const char *line, size_t len, const char *with);

/* A quoted string of any bytes but line ends. Returns its length. */
size_t quote(char *to, size_t size, const char *name);

/* Takes the greeting, sends the login and `command` right behind it, and waits for the login's OK.
 */
void log_in(struct wire *wire, const char *user, const char *password, const char *command);

/* Reads the answer of a LIST with the tag M; free_folders() its folders. */
struct list read_list(struct wire *wire);
void free_folders(struct folder *folders, size_t count);

#endif
