/* response.c - one response of the server: what it is, and who takes it.
 *
 * Tagged answers go to their command, in whatever order they come. Untagged data goes to the one
 * that collects it; what nobody asked for is passed over. A tag that is not ours means that the
 * server reads our bodies as commands (or is out of step): the link is closed at once. */
#include "connector/imap/imap_private.h"

#include "base/clock.h"
#include "base/die.h"
#include "net/pace.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

struct capability_row {
	const char *name;
	unsigned granted;
};

static const struct capability_row capability_rows[] = {
	{ "LITERAL+", HAS_LITERAL_PLUS },                 /* RFC 7888 */
	{ "LITERAL-", HAS_LITERAL_MINUS },                /* RFC 7888 */
	{ "MULTIAPPEND", HAS_MULTIAPPEND },               /* RFC 3502 */
	{ "UIDPLUS", HAS_UIDPLUS },                       /* RFC 4315 */
	{ "NAMESPACE", HAS_NAMESPACE },                   /* RFC 2342 */
	{ "ID", HAS_ID },                                 /* RFC 2971 */
	{ "SPECIAL-USE", HAS_SPECIAL_USE },               /* RFC 6154 */
	{ "CREATE-SPECIAL-USE", HAS_CREATE_SPECIAL_USE }, /* RFC 6154 */
	{ "LIST-EXTENDED", HAS_LIST_EXTENDED },           /* RFC 5258 */
	{ "LIST-STATUS", HAS_LIST_STATUS },               /* RFC 5819 */
	{ "XLIST", HAS_XLIST },                           /* Gmail, before RFC 6154 */
	{ "STATUS=SIZE", HAS_STATUS_SIZE },               /* RFC 8438 */
	{ "OBJECTID", HAS_OBJECTID },                     /* RFC 8474 */
	{ "CONDSTORE", HAS_CONDSTORE },                   /* RFC 7162 */
	{ "QRESYNC", HAS_CONDSTORE | HAS_QRESYNC },       /* RFC 7162, 3.2.1: implies it */
	{ "ENABLE", HAS_ENABLE },                         /* RFC 5161 */
	{ "QUOTA", HAS_QUOTA },                           /* RFC 9208 */
	{ "SASL-IR", HAS_SASL_IR },                       /* RFC 4959 */
	{ "STARTTLS", HAS_STARTTLS },                     /* RFC 9051, 6.2.1 */
	{ "LOGINDISABLED", HAS_LOGINDISABLED },           /* RFC 9051, 6.2.3 */
	{ "COMPRESS=DEFLATE", HAS_COMPRESS },             /* RFC 4978 */
	{ "AUTH=PLAIN", HAS_AUTH_PLAIN },                 /* RFC 4616 */
	{ "AUTH=CRAM-MD5", HAS_AUTH_CRAM_MD5 },           /* RFC 2195 */
	{ "AUTH=XOAUTH2", HAS_AUTH_XOAUTH2 },             /* Google, Microsoft */
	{ "AUTH=OAUTHBEARER", HAS_AUTH_OAUTHBEARER },     /* RFC 7628 */
};

static void
capability_add(struct session *s, const char *word, size_t len)
{
	static const char limit[] = "APPENDLIMIT="; /* RFC 7889 */
	unsigned long long value;

	if (s->offers.len > 0)
		str_addc(&s->offers, ' ');
	text_sanitize(&s->offers, word, len);
	for (size_t i = 0; i < sizeof(capability_rows) / sizeof(capability_rows[0]); i++) {
		if (strlen(capability_rows[i].name) == len &&
			text_ieqn(capability_rows[i].name, word, len))
			s->granted |= capability_rows[i].granted;
	}
	if (len > sizeof(limit) - 1 && text_ieqn(word, limit, sizeof(limit) - 1) &&
		text_u64(word + sizeof(limit) - 1, len - sizeof(limit) + 1, &value) == 0)
		s->append_limit = value;
}

/* A list of capabilities replaces the one before. */
static void
capabilities_take(struct session *s, const char *text, size_t len)
{
	size_t i = 0, from;

	s->granted = 0;
	s->append_limit = 0;
	s->capability_told = true;
	str_reset(&s->offers);
	while (i < len) {
		if (text[i] == ' ') {
			i++;
			continue;
		}
		for (from = i; i < len && text[i] != ' '; i++)
			;
		capability_add(s, text + from, i - from);
	}
}

static void
take_code(struct session *s, const struct resp_text *resp)
{
	if (resp->code == CODE_CAPABILITY)
		capabilities_take(s, resp->args, resp->args_len);
	else if (resp->code == CODE_ALERT)
		session_log(s, LOG_WARN, NULL, "the server says: %.*s", (int)resp->text_len,
			resp->text);
	else
		selection_code(s, resp);
}

/* In the middle of the work; what is said at the login is told by who opens the session. */
static void
note_patience(const struct session *s, const struct resp_text *resp)
{
	enum err_code code = patience_code(resp);

	if (s->env.host == NULL || !s->logged_in || code == ERR_NONE)
		return;
	pace_strain(s->env.host, s->ep->user, code == ERR_LIMIT ? LEVEL_LIMIT : LEVEL_UNAVAILABLE,
		PACE_LATER);
}

static int
take_bye(struct session *s, const struct resp_text *resp, struct err *err)
{
	struct err bye = { 0 };
	enum err_code code = refusal_code(REFUSED_OTHER, resp);

	if (s->logging_out)
		return 0;
	note_patience(s, resp);
	/* Of a login the reason counts ("too many connections"); later the link has just ended. */
	if (s->logged_in || (code != ERR_LIMIT && code != ERR_UNAVAILABLE && code != ERR_INUSE))
		code = ERR_BYE;
	err_set(&bye, code, "the server said goodbye: %.*s", (int)resp->text_len, resp->text);
	session_fail(s, &bye);
	return session_alive(s, err);
}

/* "* OK", "* NO", "* BAD", "* BYE", "* PREAUTH" */
static int
take_status(struct session *s, const char *word, struct err *err)
{
	struct wire_token line;
	struct resp_text resp;
	struct err bad = { 0 };

	if (wire_rest(&s->wire, &line, err) != 0)
		return -1;
	resp_text_parse(line.text, line.len, &resp);
	take_code(s, &resp);
	if (text_ieq(word, "BYE"))
		return take_bye(s, &resp, err);
	if (text_ieq(word, "NO") || text_ieq(word, "BAD"))
		session_log(
			s, LOG_DEBUG, NULL, "the server remarks: %.*s", (int)line.len, line.text);
	if (!text_ieq(word, "BAD") || s->store_first == NULL)
		return 0;
	/* With bodies on their way this may be an answer to a line of a body. */
	err_set(&bad, ERR_BAD, "the server does not understand: %.*s", (int)resp.text_len,
		resp.text);
	session_fail(s, &bad);
	return session_alive(s, err);
}

/* ("name" "Dovecot" ...) or NIL */
static int
take_id(struct session *s, struct err *err)
{
	char name[48] = "", version[32] = "", key[24] = "";
	struct wire_token token;
	bool value = false;

	do {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type != WIRE_STRING && token.type != WIRE_NIL && token.type != WIRE_ATOM)
			continue;
		if (!value)
			snprintf(key, sizeof(key), "%s", token.text);
		else if (token.type != WIRE_NIL && text_ieq(key, "name"))
			text_safe(name, sizeof(name), token.text);
		else if (token.type != WIRE_NIL && text_ieq(key, "version"))
			text_safe(version, sizeof(version), token.text);
		value = !value;
	} while (token.type != WIRE_EOL);
	if (name[0] != '\0')
		snprintf(s->server, sizeof(s->server), "%s%s%s", name,
			version[0] != '\0' ? " " : "", version);
	return 0;
}

static int
take_capability(struct session *s, struct err *err)
{
	struct wire_token line;

	if (wire_rest(&s->wire, &line, err) != 0)
		return -1;
	capabilities_take(s, line.text, line.len);
	return 0;
}

/* "* 12 EXISTS", "* 3 FETCH (...)" */
static int
take_numbered(struct session *s, uint32_t number, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type == WIRE_ATOM && wire_is(&token, "FETCH"))
		return fetch_read(s, err);
	if (token.type == WIRE_ATOM && wire_is(&token, "EXISTS"))
		selection_exists(s, number);
	return token.type == WIRE_EOL ? 0 : wire_skip_rest(&s->wire, err);
}

static int
take_untagged(struct session *s, struct err *err)
{
	static const char *const statuses[] = { "OK", "NO", "BAD", "BYE", "PREAUTH" };
	struct wire_token token;
	uint32_t number;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type == WIRE_EOL)
		return 0;
	if (token.type == WIRE_ATOM && wire_u32(&token, &number) == 0)
		return take_numbered(s, number, err);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (wire_is(&token, statuses[i]))
			return take_status(s, statuses[i], err);
	}
	if (wire_is(&token, "CAPABILITY"))
		return take_capability(s, err);
	if (wire_is(&token, "LIST") || wire_is(&token, "XLIST"))
		return listing_take_list(s, false, err);
	if (wire_is(&token, "LSUB"))
		return listing_take_list(s, true, err);
	if (wire_is(&token, "STATUS"))
		return listing_take_status(s, err);
	if (wire_is(&token, "NAMESPACE"))
		return listing_take_namespace(s, err);
	if (wire_is(&token, "ID"))
		return take_id(s, err);
	if (wire_is(&token, "QUOTA"))
		return quota_take(s, err);
	if (wire_is(&token, "VANISHED"))
		return fetch_take_vanished(s, err);
	return wire_skip_rest(&s->wire, err);
}

static enum reply_status
status_of(const struct wire_token *token)
{
	if (wire_is(token, "OK"))
		return REPLY_OK;
	if (wire_is(token, "NO"))
		return REPLY_NO;
	return wire_is(token, "BAD") ? REPLY_BAD : REPLY_NONE;
}

static int
take_tagged(struct session *s, const struct wire_token *tag, struct err *err)
{
	struct command command;
	struct wire_token token;
	struct resp_text resp = { .args = "", .text = "" };
	enum reply_status status;
	char shown[40];

	text_safe(shown, sizeof(shown), tag->text);
	if (command_take(s, tag->text, tag->len, &command) != 0)
		return err_set(err, ERR_PROTOCOL,
			"the server answered \"%s\", which is no command of ours", shown);
	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	status = status_of(&token);
	if (status == REPLY_NONE)
		return err_set(err, ERR_PROTOCOL,
			"the server's answer to %s is neither OK, NO nor BAD", command.verb);
	/* wire_next() leaves the line's end unread after an atom, so there is a rest. */
	if (wire_rest(&s->wire, &token, err) != 0)
		return -1;
	resp_text_parse(token.text, token.len, &resp);
	take_code(s, &resp);
	if (status != REPLY_OK)
		note_patience(s, &resp);
	die_step(DIE_REPLY);
	s->progress = true;
	command.done(s, &command, status, &resp);
	return s->dead ? session_alive(s, err) : 0;
}

static int
take_response(struct session *s, struct err *err)
{
	struct wire_token token;

	if (wire_begin(&s->wire, err) != 0 || wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_ATOM)
		return err_set(err, ERR_PROTOCOL, "the server sent a line that is no response");
	if (wire_is(&token, "*"))
		return take_untagged(s, err);
	if (!wire_is(&token, "+"))
		return take_tagged(s, &token, err);
	if (wire_rest(&s->wire, &token, err) != 0)
		return -1;
	s->continued = true;
	str_reset(&s->continuation);
	if (str_add(&s->continuation, token.text, token.len) != 0)
		return err_set(err, ERR_PROTOCOL, "the server sent a challenge that is too long");
	return 0;
}

static void
trace_response(struct session *s)
{
	size_t len = s->trace.len;

	if (s->wire.trace == NULL)
		return;
	while (len > 0 && (s->trace.data[len - 1] == '\n' || s->trace.data[len - 1] == '\r'))
		len--;
	session_log(s, LOG_TRACE, NULL, "S: %.*s", (int)len, str_get(&s->trace));
	str_reset(&s->trace);
}

/* Any line keeps the link's own deadline away; this one is for servers that talk on and on and do
 * not answer. Only time spent waiting counts. */
static int
note_talk(struct session *s, int64_t since, struct err *err)
{
	if (s->progress || s->pending_count == 0) {
		s->talked_ms = 0;
		return 0;
	}
	s->talked_ms += clock_tick_ms() - since;
	if (s->ep->timeout_ms == 0 || s->talked_ms <= (int64_t)TALK_TIMEOUTS * s->ep->timeout_ms)
		return 0;
	return err_set(err, ERR_TIMEOUT, "the server talks, and has not answered %s for %lld s",
		s->pending[s->pending_first].verb, (long long)(s->talked_ms / 1000));
}

int
session_pump(struct session *s, struct err *err)
{
	int64_t since = clock_tick_ms();
	struct err local = { 0 };
	int ret;

	if (session_alive(s, err) != 0 || command_flush(s, err) != 0)
		return -1;
	s->wire.trace = session_traces(s) ? &s->trace : NULL;
	s->progress = false;
	ret = s->body != NULL ? fetch_read_rest(s, &local) : take_response(s, &local);
	if (ret == 0)
		ret = note_talk(s, since, &local);
	if (ret == 0) {
		if (s->body == NULL)
			trace_response(s);
		return 0;
	}
	session_fail(s, &local);
	return session_alive(s, err);
}

/* What it calls itself, until ID says better. */
static void
server_from_greeting(struct session *s)
{
	const char *line = str_get(&s->wire.text);
	struct resp_text resp;

	line += line[0] == ' ' ? 1 : 0;
	resp_text_parse(line, strlen(line), &resp);
	text_safe(s->server, sizeof(s->server), resp.text);
}

int
session_greeting(struct session *s, struct err *err)
{
	struct wire_token token;
	struct err local = { 0 };
	int ret = -1;

	s->wire.trace = session_traces(s) ? &s->trace : NULL;
	if (wire_begin(&s->wire, &local) != 0 || wire_next(&s->wire, false, &token, &local) != 0)
		goto out;
	if (token.type != WIRE_ATOM || !wire_is(&token, "*")) {
		err_set(&local, ERR_PROTOCOL, "this is no IMAP server: it greets with \"%s\"",
			token.text);
		goto out;
	}
	if (wire_next(&s->wire, false, &token, &local) != 0)
		goto out;
	s->preauth = wire_is(&token, "PREAUTH");
	if (!s->preauth && !wire_is(&token, "OK") && !wire_is(&token, "BYE")) {
		err_set(&local, ERR_PROTOCOL, "this is no IMAP server: it greets with \"%s\"",
			token.text);
		goto out;
	}
	ret = take_status(s, wire_is(&token, "BYE") ? "BYE" : "OK", &local);
	if (ret == 0)
		server_from_greeting(s);
	trace_response(s);
out:
	if (ret == 0)
		return 0;
	session_fail(s, &local);
	return session_alive(s, err);
}
