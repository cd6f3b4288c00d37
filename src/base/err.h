/* err.h - one error: what happened, what it costs, whether trying again can help. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* What happened. The table in err.c gives each its name (as in reports), scope and retry;
 * doc/errors.md lists them. */
enum err_code {
	ERR_NONE = 0,
	ERR_USAGE,        /* command line */
	ERR_PROFILE,      /* profile, CSV or another file of the admin's */
	ERR_STATE_DIR,    /* state directory, lock */
	ERR_LEDGER,       /* the ledger cannot be read or written */
	ERR_DISK,         /* no room or no right to write a spool or a report */
	ERR_BOUND,        /* the ledger belongs to other endpoints or another account map */
	ERR_CANCELLED,    /* stopped by the admin */
	ERR_DNS,          /* name does not resolve */
	ERR_CONNECT,      /* refused, unreachable */
	ERR_TLS,          /* handshake failed */
	ERR_CERT,         /* certificate refused */
	ERR_TIMEOUT,      /* deadline passed */
	ERR_LOST,         /* the connection ended */
	ERR_BYE,          /* the server ended the connection and said so */
	ERR_PROTOCOL,     /* the answer breaks the protocol or a limit of ours */
	ERR_BAD,          /* the server calls our command malformed */
	ERR_AUTH,         /* login refused */
	ERR_AUTH_MECH,    /* the login method asked for is not offered */
	ERR_AUTH_EXPIRED, /* password or token has expired */
	ERR_PRIVACY,      /* the server wants TLS first */
	ERR_UNAVAILABLE,  /* [UNAVAILABLE], [SERVERBUG]: try later */
	ERR_INUSE,        /* [INUSE] */
	ERR_LIMIT,        /* [LIMIT] */
	ERR_QUOTA,        /* [OVERQUOTA] */
	ERR_PERM,         /* [NOPERM] */
	ERR_NOFOLDER,     /* [TRYCREATE], [NONEXISTENT] */
	ERR_EXISTS,       /* [ALREADYEXISTS] */
	ERR_NAME,         /* the folder name cannot be had on the target */
	ERR_REFUSED,      /* NO without a code that says more */
	ERR_TOOBIG,       /* larger than the target takes */
	ERR_CONTENT,      /* the target refuses this content */
	ERR_VANISHED,     /* the item is no longer at the source */
	ERR_UIDVALIDITY,  /* another UIDVALIDITY than the ledger's */
	ERR_COLLISION,    /* two source folders would land in one target folder */
	ERR_NOTEMPTY,     /* target folder not empty and existing = refuse */
	ERR_READONLY,     /* BUG guard: a source session was asked to write */
	ERR_LOCKED,       /* another run works on it */
	ERR_INTERNAL,
	ERR_CODES /* their number */
};

/* The smallest thing given up. */
enum err_scope { SCOPE_ITEM, SCOPE_BATCH, SCOPE_FOLDER, SCOPE_ACCOUNT, SCOPE_HOST, SCOPE_RUN };

/* Can the same call help again? */
enum err_retry { RETRY_NEVER, RETRY_NOW, RETRY_WAIT };

struct err {
	enum err_code code;
	enum err_scope scope;
	enum err_retry retry;
	unsigned wait_ms; /* RETRY_WAIT: what the server asked for, 0 = our own back-off */
	char text[240];   /* one line, UTF-8, names the object, never a secret */
};

/* Fills *err from the code's table row and the text (cut at a character, control bytes made
 * visible). Always returns -1, so that callers can `return err_set(...)`. err may be NULL. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with ": strerror(errnum)" behind the text. */
int err_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the text of a filled error; returns -1. */
int err_context(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "quota", "auth" ...: the reason code of reports and of `retry --reason`. Never NULL. */
const char *err_name(enum err_code code);

/* The code of a name, or ERR_NONE. */
enum err_code err_by_name(const char *name);

/* True for errors after which the connection is closed and the account goes on with a new one. */
bool err_is_link(enum err_code code);

/* No further attempt makes it good. */
bool err_is_final(const struct err *err);

/* A condition that cannot be: prints where, aborts. */
_Noreturn void bug_at(const char *file, int line, const char *what);
#define BUG(what) bug_at(__FILE__, __LINE__, (what))

/* Small allocations that abort when memory is gone. A size from the network is held to a named
 * limit by the caller first. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
