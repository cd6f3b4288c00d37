/* err.c - what every error is called and costs, and the small allocations that abort.
 *
 * One table holds name, scope and retry of each code, so that a layer that sets an error decides
 * only what happened. A single place may know better (a BAD inside a login, say) and change scope
 * or retry after err_set(); the table is what holds otherwise. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#include "base/banned.h"

/* Room for a whole message before it is made safe and cut to the error's own length. */
#define FORMAT_BYTES 1024
#define CACHED_BYTES ((size_t)1032)

struct row {
	const char *name;
	enum err_scope scope;
	enum err_retry retry;
	bool link;
};

static const struct row rows[ERR_CODES] = {
	[ERR_NONE] = { "none", SCOPE_ITEM, RETRY_NEVER, false },
	/* Nothing can be done here until the admin acts. */
	[ERR_USAGE] = { "usage", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_PROFILE] = { "profile", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_STATE_DIR] = { "state", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_LEDGER] = { "ledger", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_DISK] = { "disk", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_BOUND] = { "bound", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_CANCELLED] = { "cancelled", SCOPE_RUN, RETRY_NEVER, false },
	/* The way to the server: a new connection, after a while, usually does it. */
	[ERR_DNS] = { "dns", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_CONNECT] = { "connect", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_TLS] = { "tls", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_TIMEOUT] = { "timeout", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_LOST] = { "lost", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_BYE] = { "bye", SCOPE_ACCOUNT, RETRY_WAIT, true },
	[ERR_PROTOCOL] = { "protocol", SCOPE_ACCOUNT, RETRY_WAIT, true },
	/* The connection is closed, since the server may have taken a body for commands; the same
	 * items go again one by one. */
	[ERR_BAD] = { "bad", SCOPE_BATCH, RETRY_NOW, true },
	/* True of every account on that host. */
	[ERR_CERT] = { "cert", SCOPE_HOST, RETRY_NEVER, false },
	[ERR_AUTH_MECH] = { "auth_mech", SCOPE_HOST, RETRY_NEVER, false },
	[ERR_PRIVACY] = { "privacy", SCOPE_HOST, RETRY_NEVER, false },
	/* A refused login is not tried again: it would lock the account. */
	[ERR_AUTH] = { "auth", SCOPE_ACCOUNT, RETRY_NEVER, false },
	[ERR_AUTH_EXPIRED] = { "auth_expired", SCOPE_ACCOUNT, RETRY_NEVER, false },
	[ERR_LOCKED] = { "locked", SCOPE_ACCOUNT, RETRY_NEVER, false },
	/* The server says later, or the admin can make room meanwhile. */
	[ERR_UNAVAILABLE] = { "unavailable", SCOPE_ACCOUNT, RETRY_WAIT, false },
	[ERR_INUSE] = { "inuse", SCOPE_ACCOUNT, RETRY_WAIT, false },
	[ERR_LIMIT] = { "limit", SCOPE_ACCOUNT, RETRY_WAIT, false },
	[ERR_QUOTA] = { "quota", SCOPE_ACCOUNT, RETRY_WAIT, false },
	/* One folder. NOFOLDER waits: it can be made again. */
	[ERR_PERM] = { "perm", SCOPE_FOLDER, RETRY_NEVER, false },
	[ERR_NOFOLDER] = { "nofolder", SCOPE_FOLDER, RETRY_WAIT, false },
	[ERR_EXISTS] = { "exists", SCOPE_FOLDER, RETRY_NEVER, false },
	[ERR_NAME] = { "name", SCOPE_FOLDER, RETRY_NEVER, false },
	[ERR_UIDVALIDITY] = { "uidvalidity", SCOPE_FOLDER, RETRY_NEVER, false },
	[ERR_COLLISION] = { "collision", SCOPE_FOLDER, RETRY_NEVER, false },
	[ERR_NOTEMPTY] = { "notempty", SCOPE_FOLDER, RETRY_NEVER, false },
	/* One item. */
	[ERR_REFUSED] = { "refused", SCOPE_ITEM, RETRY_NEVER, false },
	[ERR_TOOBIG] = { "toobig", SCOPE_ITEM, RETRY_NEVER, false },
	[ERR_CONTENT] = { "content", SCOPE_ITEM, RETRY_NEVER, false },
	[ERR_VANISHED] = { "vanished", SCOPE_ITEM, RETRY_NEVER, false },
	/* A mistake of ours: stop before it does harm. */
	[ERR_READONLY] = { "readonly", SCOPE_RUN, RETRY_NEVER, false },
	[ERR_INTERNAL] = { "internal", SCOPE_RUN, RETRY_NEVER, false },
};

static const struct row *
row_of(enum err_code code)
{
	return (unsigned)code < ERR_CODES ? &rows[code] : &rows[ERR_INTERNAL];
}

static void
fill(struct err *err, enum err_code code, const char *text)
{
	const struct row *row = row_of(code);

	err->code = (unsigned)code < ERR_CODES ? code : ERR_INTERNAL;
	err->scope = row->scope;
	err->retry = row->retry;
	err->wait_ms = 0;
	text_safe(err->text, sizeof(err->text), text);
}

int
err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	char text[FORMAT_BYTES];
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fill(err, code, text);
	return -1;
}

int
err_errno(struct err *err, enum err_code code, int errnum, const char *fmt, ...)
{
	char text[FORMAT_BYTES], whole[FORMAT_BYTES], reason[128];
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%.800s: %s", text,
		strerror_r(errnum, reason, sizeof(reason)));
	fill(err, code, whole);
	return -1;
}

int
err_context(struct err *err, const char *fmt, ...)
{
	char prefix[FORMAT_BYTES], whole[FORMAT_BYTES];
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%.700s: %s", prefix, err->text);
	text_safe(err->text, sizeof(err->text), whole);
	return -1;
}

const char *
err_name(enum err_code code)
{
	return row_of(code)->name;
}

enum err_code
err_by_name(const char *name)
{
	for (unsigned i = 1; i < ERR_CODES; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return (enum err_code)i;
	}
	return ERR_NONE;
}

bool
err_is_link(enum err_code code)
{
	return row_of(code)->link;
}

bool
err_is_final(const struct err *err)
{
	return !err_is_link(err->code) && err->retry == RETRY_NEVER;
}

void
bug_at(const char *file, int line, const char *what)
{
	fprintf(stderr, "mailhaul: bug at %s:%d: %s\n", file, line, what);
	abort();
}

/* Never NULL, also for a size of 0. */
static void *
checked(void *p)
{
	if (p == NULL) {
		fputs("mailhaul: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *
xmalloc(size_t size)
{
	return checked(malloc(size > 0 ? size : 1));
}

/* glibc's calloc() passes by the cache that each thread has of small blocks just freed. */
void *
xcalloc(size_t count, size_t size)
{
	size_t bytes;

	if (count == 0 || size == 0)
		count = size = 1;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > CACHED_BYTES)
		return checked(calloc(count, size));
	return memset(checked(malloc(bytes)), 0, bytes);
}

void *
xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size > 0 ? size : 1));
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t len)
{
	char *copy = xmalloc(len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	return checked(len < 0 ? NULL : text);
}
