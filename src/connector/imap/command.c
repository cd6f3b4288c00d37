/* command.c - what is sent to the server: one writer, one guard.
 *
 * A command is built in session->line and leaves by command_send(); APPEND, which carries bodies,
 * opens with command_open() and writes on. Names are always quoted strings or literals. A literal
 * that may not be sent unasked is a `cut`: what stands before it is flushed, and the rest waits
 * for the server's `+`, or is dropped when the tagged answer comes first.
 *
 * The guard: a session with ep->readonly sends only commands of readonly_rows, whatever calls it.
 */
#include "connector/imap/imap_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The commands that change nothing at a server. FETCH is looked at in fetch_is_harmless(). */
static const char *const readonly_rows[] = { "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS",
	"AUTHENTICATE", "LOGIN", "ID", "ENABLE", "NAMESPACE", "LIST", "XLIST", "LSUB", "STATUS",
	"EXAMINE", "UNSELECT", "FETCH", "UID FETCH", "GETQUOTAROOT", "GETQUOTA", "MYRIGHTS",
	"GETACL", "COMPRESS" };

/* BODY[, BINARY[ and RFC822 would set \Seen (RFC 9051, 6.4.5): only the PEEK forms and the size
 * pass. */
static bool
fetch_is_harmless(const char *args)
{
	for (; *args != '\0'; args++) {
		if (text_istarts(args, "BODY[") || text_istarts(args, "BINARY["))
			return false;
		if (text_istarts(args, "RFC822") && !text_istarts(args, "RFC822.SIZE"))
			return false;
	}
	return true;
}

static int
guard(const struct session *s, struct err *err)
{
	const char *args = str_get(&s->line);

	if (!s->ep->readonly)
		return 0;
	for (size_t i = 0; i < sizeof(readonly_rows) / sizeof(readonly_rows[0]); i++) {
		if (strcmp(readonly_rows[i], s->verb) != 0)
			continue;
		if (strstr(s->verb, "FETCH") == NULL || fetch_is_harmless(args))
			return 0;
	}
	return err_set(err, ERR_READONLY, "a source session was asked to send %s", s->verb);
}

void
command_begin(struct session *s, const char *verb)
{
	str_reset(&s->line);
	s->cut_count = 0;
	s->secret_from = 0;
	s->verb = verb;
	str_addf(&s->line, "%s%u %s", s->tag, s->number + 1, verb);
}

void
command_add(struct session *s, const char *text)
{
	str_adds(&s->line, text);
}

void
command_addf(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(&s->line, fmt, ap);
	va_end(ap);
}

void
command_secret(struct session *s)
{
	s->secret_from = s->line.len;
}

static void
add_cut(struct session *s)
{
	if (s->cut_count == CUTS_MAX)
		BUG("too many literals in one command");
	s->cuts[s->cut_count++] = s->line.len;
}

void
command_literal(struct session *s, uint64_t size, bool wait)
{
	str_adds(&s->line, " {");
	str_addu(&s->line, size);
	str_adds(&s->line, wait ? "}\r\n" : "+}\r\n");
	if (wait)
		add_cut(s);
}

static bool
may_be_quoted(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '\r' || c == '\n' || c == '\0' || c >= 0x80)
			return false;
	}
	return len <= 4000;
}

void
command_string(struct session *s, const char *bytes, size_t len)
{
	bool plus = session_has(s, HAS_LITERAL_PLUS) ||
		    (session_has(s, HAS_LITERAL_MINUS) && len <= 4096);

	if (!may_be_quoted(bytes, len)) {
		command_literal(s, len, !plus);
		str_add(&s->line, bytes, len);
		return;
	}
	str_adds(&s->line, " \"");
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '"' || bytes[i] == '\\')
			str_addc(&s->line, '\\');
		str_addc(&s->line, bytes[i]);
	}
	str_addc(&s->line, '"');
}

static void
trace_line(const struct session *s)
{
	size_t len = s->line.len;

	if (!session_traces(s))
		return;
	if (s->secret_from > 0)
		len = s->secret_from;
	while (len > 0 && strchr(" \r\n", s->line.data[len - 1]) != NULL)
		len--;
	session_log(s, LOG_TRACE, NULL, "C: %.*s%s", (int)len, str_get(&s->line),
		s->secret_from > 0 ? " ***" : "");
}

/* Writing failed. What the server had said before (why it closed, which messages it took) is still
 * worth reading: the connection gives it, then the failure. */
static int
write_failed(struct session *s, const struct err *why, struct err *err)
{
	s->unsent = false;
	while (!s->dead && (wire_buffered(&s->wire) > 0 || s->io.readable(s->io.owner))) {
		if (session_pump(s, NULL) != 0)
			break;
	}
	session_fail(s, why);
	return session_alive(s, err);
}

int
command_bytes(struct session *s, const void *bytes, size_t len, struct err *err)
{
	struct err local = { 0 };

	if (session_alive(s, err) != 0)
		return -1;
	s->unsent = true;
	if (s->io.write(s->io.owner, bytes, len, &local) == 0)
		return 0;
	return write_failed(s, &local, err);
}

int
command_flush(struct session *s, struct err *err)
{
	struct err local = { 0 };

	if (!s->unsent)
		return 0;
	s->unsent = false;
	if (s->io.flush(s->io.owner, &local) == 0)
		return 0;
	return write_failed(s, &local, err);
}

/* Until the server's `+` (0), or its answer to the command (1). */
static int
wait_for_plus(struct session *s, uint32_t number, struct err *err)
{
	s->continued = false;
	while (!s->continued) {
		if (!command_waits(s, number))
			return 1;
		if (session_pump(s, err) != 0)
			return -1;
	}
	s->continued = false;
	return 0;
}

int
command_more(struct session *s, uint32_t number, struct err *err)
{
	size_t from = 0;
	int ret;

	trace_line(s);
	for (size_t i = 0; i < s->cut_count; i++) {
		if (command_bytes(s, s->line.data + from, s->cuts[i] - from, err) != 0)
			return -1;
		from = s->cuts[i];
		ret = wait_for_plus(s, number, err);
		if (ret != 0)
			return ret;
	}
	if (from < s->line.len &&
		command_bytes(s, s->line.data + from, s->line.len - from, err) != 0)
		return -1;
	str_reset(&s->line);
	s->cut_count = 0;
	return 0;
}

int
command_end(struct session *s, struct err *err)
{
	return command_bytes(s, "\r\n", 2, err);
}

static void
pending_add(struct session *s, const struct command *command)
{
	if (s->pending_first + s->pending_count == s->pending_cap) {
		if (s->pending_first > s->pending_count) {
			memmove(s->pending, s->pending + s->pending_first,
				s->pending_count * sizeof(*s->pending));
		} else {
			size_t cap = s->pending_cap > 0 ? s->pending_cap * 2 : 64;
			struct command *bigger = xcalloc(cap, sizeof(*bigger));

			if (s->pending_count > 0)
				memcpy(bigger, s->pending + s->pending_first,
					s->pending_count * sizeof(*bigger));
			free(s->pending);
			s->pending = bigger;
			s->pending_cap = cap;
		}
		s->pending_first = 0;
	}
	s->pending[s->pending_first + s->pending_count++] = *command;
}

/* Position in `pending`, or -1. */
static long
pending_find(const struct session *s, uint32_t number)
{
	for (size_t i = 0; i < s->pending_count; i++) {
		if (s->pending[s->pending_first + i].number == number)
			return (long)i;
	}
	return -1;
}

bool
command_waits(const struct session *s, uint32_t number)
{
	return pending_find(s, number) >= 0;
}

int
command_take(struct session *s, const char *tag, size_t len, struct command *command_r)
{
	size_t prefix = strlen(s->tag), at;
	unsigned number;
	long found;

	if (len <= prefix || memcmp(tag, s->tag, prefix) != 0 ||
		text_u32(tag + prefix, len - prefix, &number) != 0)
		return -1;
	found = pending_find(s, number);
	if (found < 0)
		return -1;
	at = s->pending_first + (size_t)found;
	*command_r = s->pending[at];
	if (found == 0)
		s->pending_first++;
	else
		memmove(s->pending + at, s->pending + at + 1,
			(s->pending_count - (size_t)found - 1) * sizeof(*s->pending));
	s->pending_count--;
	return 0;
}

int
command_open(struct session *s, command_done *done, void *owner, size_t index, uint32_t *number_r,
	struct err *err)
{
	struct command command = { .verb = s->verb, .done = done, .owner = owner, .index = index };
	int ret;

	if (session_alive(s, err) != 0 || guard(s, err) != 0)
		return -1;
	if (s->line.overflow)
		return err_set(err, ERR_NAME, "a %s command would be over %d bytes", s->verb,
			(int)COMMAND_BUFFER);
	command.number = ++s->number;
	*number_r = command.number;
	pending_add(s, &command);
	ret = command_more(s, command.number, err);
	if (s->secret_from > 0)
		secret_wipe(s->line.data, s->line.cap);
	return ret;
}

int
command_send(struct session *s, command_done *done, void *owner, size_t index, struct err *err)
{
	uint32_t number;
	int ret;

	str_adds(&s->line, "\r\n");
	ret = command_open(s, done, owner, index, &number, err);
	return ret < 0 ? -1 : 0;
}

int
command_reply(struct session *s, const char *text, struct err *err)
{
	if (session_traces(s))
		session_log(s, LOG_TRACE, NULL, "C: ***");
	if (command_bytes(s, text, strlen(text), err) != 0 || command_end(s, err) != 0)
		return -1;
	return command_flush(s, err);
}

void
answer_done(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	struct answer *answer = command->owner;

	(void)s;
	answer->status = status;
	answer->code = resp->code;
	answer->code_error = resp->error;
	answer->refused = refusal_code(answer->refusal, resp);
	snprintf(answer->text, sizeof(answer->text), "%.*s", (int)resp->text_len, resp->text);
}

int
answer_wait(struct session *s, const struct answer *answer, struct err *err)
{
	while (answer->status == REPLY_NONE) {
		if (session_pump(s, err) != 0)
			return -1;
	}
	return 0;
}

int
answer_err(const struct answer *answer, struct err *err, const char *what)
{
	if (answer->status == REPLY_BAD)
		return err_set(err, ERR_BAD, "%s: %s", what, answer->text);
	return err_set(err, answer->refused, "%s: %s", what, answer->text);
}

int
command_run(struct session *s, struct answer *answer, struct err *err)
{
	const char *verb = s->verb;

	answer->status = REPLY_NONE;
	if (command_send(s, answer_done, answer, 0, err) != 0)
		return -1;
	if (answer_wait(s, answer, err) != 0)
		return -1;
	return answer->status == REPLY_BAD ? answer_err(answer, err, verb) : 0;
}
