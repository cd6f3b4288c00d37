/* session.c - a session's life, its death, and the small commands. */
#include "connector/imap/imap_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

static int
read_transport(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct session *s = owner;

	return s->io.read(s->io.owner, buf, size, got_r, err);
}

/* Tags nobody can foresee: no line of a message can pass for an answer to one of our commands. */
static void
make_tag(char *tag, size_t size)
{
	static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ";
	unsigned char random[5];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, 0, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (unsigned char)letters[random[i] % (sizeof(letters) - 1)];
	snprintf(tag, size, "%.*s", (int)sizeof(random), (const char *)random);
}

struct session *
session_new(const struct endpoint *ep, const struct session_env *env, const struct transport *io)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->ep = ep;
	s->env = *env;
	s->io = *io;
	wire_init(&s->wire, (struct wire_input){ .read = read_transport, .owner = s });
	str_init(&s->line, COMMAND_BUFFER);
	str_init(&s->trace, WIRE_LINE_MAX);
	str_init(&s->offers, 16 << 10);
	str_init(&s->continuation, 64 << 10);
	make_tag(s->tag, sizeof(s->tag));
	/* Room for a login from the start: what grows later would leave copies of it behind. */
	str_addf(&s->line, "%*s", 2 * COMMAND_LINE_MAX, "");
	return s;
}

void
session_free(struct session **session)
{
	struct session *s = *session;

	if (s == NULL)
		return;
	fetch_body_clear(s);
	fetch_clear(s);
	store_clear(s);
	selections_clear(s);
	namespaces_clear(s);
	compress_end(s);
	if (s->io.owner != NULL)
		s->io.close(s->io.owner, s->logging_out ? CLOSE_LEAVE : CLOSE_TAKEN);
	wire_clear(&s->wire);
	digester_free(&s->digester);
	spool_slab_unref(&s->slab);
	free(s->subscribing);
	str_wipe(&s->line);
	str_clear(&s->trace);
	str_clear(&s->offers);
	str_clear(&s->continuation);
	free(s->pending);
	free(s);
	*session = NULL;
}

int
session_fail(struct session *s, const struct err *err)
{
	if (s->dead)
		return -1;
	s->dead = true;
	s->dead_err = *err;
	session_log(s, LOG_DEBUG, NULL, "connection given up: %s", err->text);
	compress_end(s);
	/* At once: what is still in our buffers must not be taken for commands. */
	if (s->io.owner != NULL)
		s->io.close(s->io.owner, CLOSE_AT_ONCE);
	s->io.owner = NULL;
	fetch_body_clear(s);
	return -1;
}

int
session_alive(const struct session *s, struct err *err)
{
	if (!s->dead)
		return 0;
	if (err != NULL)
		*err = s->dead_err;
	return -1;
}

bool
session_has(const struct session *s, unsigned granted)
{
	return (s->granted & granted) == granted;
}

bool
session_is_cyrus(const struct session *s)
{
	return strstr(s->server, "Cyrus") != NULL;
}

bool
session_traces(const struct session *s)
{
	return s->ep->trace && log_wants(s->env.log, LOG_TRACE);
}

void
session_log(const struct session *s, enum log_level level, const char *folder, const char *fmt, ...)
{
	struct str line;
	va_list ap;

	if (!log_wants(s->env.log, level))
		return;
	str_init(&line, 16 << 10);
	va_start(ap, fmt);
	if (str_addv(&line, fmt, ap) != 0)
		str_adds(&line, "(a line too long to show)");
	va_end(ap);
	log_line(s->env.log, level, s->env.account, folder, "%s", str_get(&line));
	str_clear(&line);
}

static void
imap_leave(struct session *s)
{
	struct err ignored = { 0 };

	/* With something in flight a LOGOUT would wait for all of it. */
	if (s == NULL || s->logging_out || s->dead || s->pending_count != 0 || s->body != NULL ||
		cancel_fired(s->env.cancel))
		return;
	command_begin(s, "LOGOUT");
	s->logging_out = command_send(s, answer_done, &s->logout, 0, &ignored) == 0 &&
			 command_flush(s, &ignored) == 0;
}

static void
imap_close(struct session **session, bool patient)
{
	struct session *s = *session;
	struct err ignored = { 0 };

	imap_leave(s);
	if (patient && s != NULL && s->logging_out && answer_wait(s, &s->logout, &ignored) == 0)
		s->logging_out = false; /* closed when it has closed */
	session_free(session);
}

static int
imap_open(const struct endpoint *ep, const struct session_env *env, struct session **session_r,
	struct err *err)
{
	struct transport io;
	struct session *s;

	if (transport_open(ep, env, &io, err) != 0)
		return -1;
	s = session_new(ep, env, &io);
	if (session_start(s, err) != 0) {
		imap_close(&s, false);
		return -1;
	}
	*session_r = s;
	return 0;
}

static unsigned
imap_caps(const struct session *s)
{
	unsigned caps = 0;

	if (session_has(s, HAS_UIDPLUS))
		caps |= CAN_UIDPLUS;
	if (session_has(s, HAS_MULTIAPPEND) && session_has(s, HAS_LITERAL_PLUS))
		caps |= CAN_MULTI;
	if (session_has(s, HAS_LITERAL_PLUS))
		caps |= CAN_PIPELINE;
	if (session_has(s, HAS_STATUS_SIZE))
		caps |= CAN_STATUS_SIZE;
	if (session_has(s, HAS_QUOTA))
		caps |= CAN_QUOTA;
	if (session_has(s, HAS_OBJECTID))
		caps |= CAN_MAILBOXID;
	if (s->keywords_welcome)
		caps |= CAN_KEYWORDS;
	if (session_has(s, HAS_CREATE_SPECIAL_USE))
		caps |= CAN_SPECIAL_USE;
	if (session_has(s, HAS_CONDSTORE) && !s->no_modseq)
		caps |= CAN_CHANGES;
	return caps;
}

static void
imap_info(const struct session *s, struct session_info *info_r)
{
	const struct endpoint *ep = s->ep;
	struct str tls;

	*info_r = (struct session_info){ .rtt_ms = s->rtt_ms };
	text_safe(info_r->server, sizeof(info_r->server), s->server);
	text_safe(info_r->offers, sizeof(info_r->offers), str_get(&s->offers));
	str_init(&tls, 0);
	if (s->io.owner != NULL)
		s->io.describe(s->io.owner, &tls);
	text_safe(info_r->tls, sizeof(info_r->tls), str_get(&tls));
	str_clear(&tls);
	if (ep->login != NULL && strcmp(ep->login, ep->user) != 0)
		snprintf(info_r->login, sizeof(info_r->login), "%.70s (as %.70s)", ep->user,
			ep->login);
	else
		snprintf(info_r->login, sizeof(info_r->login), "%.150s", ep->user);
}

/* Whatever the server answers, it lives. */
static int
imap_keepalive(struct session *s, struct err *err)
{
	struct answer answer = { .status = REPLY_NONE };

	command_begin(s, "NOOP");
	if (command_send(s, answer_done, &answer, 0, err) != 0)
		return -1;
	return answer_wait(s, &answer, err);
}

const struct connector imap_connector = {
	.name = "imap",
	.open = imap_open,
	.close = imap_close,
	.caps = imap_caps,
	.info = imap_info,
	.folder_list = imap_folder_list,
	.folder_place = imap_folder_place,
	.folder_make = imap_folder_make,
	.subscribe_start = imap_subscribe_start,
	.subscribe_wait = imap_subscribe_wait,
	.fetch_start = imap_fetch_start,
	.changes_start = imap_changes_start,
	.fetch_next = imap_fetch_next,
	.batch_limits = imap_batch_limits,
	.store_start = imap_store_start,
	.store_next = imap_store_next,
	.store_pending = imap_store_pending,
	.store_readable = imap_store_readable,
	.flags_set = imap_flags_set,
	.quota = imap_quota,
	.keepalive = imap_keepalive,
	.wants_rest = compress_wants_rest,
};
