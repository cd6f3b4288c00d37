/* login.c - from the greeting to a session that may work.
 *
 * Capabilities are read again after STARTTLS and after the login: what was said before is worth
 * nothing (RFC 9051, 6.2.1), and servers grant more to those they know. */
#include "connector/imap/imap_private.h"
#include "base/clock.h"
#include "net/sasl.h"

#include <string.h>

#include "base/banned.h"

static int
ask_capability(struct session *s, struct err *err)
{
	struct answer answer = { .status = REPLY_NONE };

	if (s->capability_told)
		return 0;
	command_begin(s, "CAPABILITY");
	if (command_run(s, &answer, err) != 0)
		return -1;
	if (answer.status != REPLY_OK)
		return answer_err(&answer, err, "CAPABILITY");
	return 0;
}

/* Nothing that was said before the handshake holds: anybody may have said it. */
static void
forget_plain(struct session *s)
{
	s->granted = 0;
	s->capability_told = false;
	str_reset(&s->offers);
	namespaces_clear(s);
	s->namespace_told = false;
	s->delim = '\0';
	s->append_limit = 0;
	s->no_mailboxid = s->no_mailboxid || session_is_cyrus(s); /* which only spares a question */
	s->server[0] = '\0';
	s->continued = false;
	str_reset(&s->continuation);
}

static int
start_tls(struct session *s, struct err *err)
{
	struct answer answer = { .status = REPLY_NONE };

	if (s->preauth)
		return err_set(
			err, ERR_PRIVACY, "the server logs in before STARTTLS could be asked for");
	if (!session_has(s, HAS_STARTTLS))
		return err_set(err, ERR_PRIVACY, "the server does not offer STARTTLS");
	command_begin(s, "STARTTLS");
	if (command_run(s, &answer, err) != 0)
		return -1;
	if (answer.status != REPLY_OK)
		return err_set(
			err, ERR_TLS, "the server offers STARTTLS and refuses it: %s", answer.text);
	if (wire_buffered(&s->wire) > 0)
		return err_set(
			err, ERR_PROTOCOL, "the server spoke between STARTTLS and the handshake");
	if (s->io.starttls(s->io.owner, err) != 0)
		return -1;
	forget_plain(s);
	return ask_capability(s, err);
}

static bool
has_other_login(const struct endpoint *ep)
{
	return ep->login != NULL && strcmp(ep->login, ep->user) != 0;
}

struct mechanism {
	enum net_auth auth;
	const char *name;
	unsigned granted;
	bool initial; /* speaks first: SASL-IR saves a round trip */
};

static const struct mechanism mechanisms[] = {
	{ AUTH_PLAIN, "PLAIN", HAS_AUTH_PLAIN, true },
	{ AUTH_MASTER, "PLAIN", HAS_AUTH_PLAIN, true },
	{ AUTH_CRAM_MD5, "CRAM-MD5", HAS_AUTH_CRAM_MD5, false },
	{ AUTH_XOAUTH2, "XOAUTH2", HAS_AUTH_XOAUTH2, true },
	{ AUTH_OAUTHBEARER, "OAUTHBEARER", HAS_AUTH_OAUTHBEARER, true },
};

/* The first response to the server, base64. */
static int
respond(struct session *s, struct str *out, struct err *err)
{
	const struct endpoint *ep = s->ep;
	struct str name;
	int ret = -1;

	str_init(&name, 1024);
	if (sasl_login_name(&name, ep) != 0)
		err_set(err, ERR_AUTH, "the login name is too long");
	else if (ep->auth == AUTH_PLAIN)
		ret = sasl_plain(out, has_other_login(ep) ? ep->user : NULL, str_get(&name),
			ep->secret, err);
	else if (ep->auth == AUTH_MASTER)
		ret = sasl_plain(out, NULL, str_get(&name), ep->secret, err);
	else if (ep->auth == AUTH_CRAM_MD5)
		ret = sasl_cram_md5(out, ep->user, ep->secret, str_get(&s->continuation),
			s->continuation.len, err);
	else if (ep->auth == AUTH_XOAUTH2)
		ret = sasl_xoauth2(out, ep->user, ep->secret, err);
	else
		ret = sasl_oauthbearer(out, ep->user, ep->host, ep->port, ep->secret, err);
	str_clear(&name);
	return ret;
}

/* A challenge after our response is a refusal with details: it is answered, so that the tagged NO
 * comes (XOAUTH2: an empty line; OAUTHBEARER: a lone ^A, RFC 7628, 3.2.3; else: given up). */
static const char *
last_words(enum net_auth auth)
{
	if (auth == AUTH_XOAUTH2)
		return "";
	return auth == AUTH_OAUTHBEARER ? "AQ==" : "*";
}

static int
answer_challenge(struct session *s, bool *responded, unsigned challenges, struct err *err)
{
	struct str out;
	int ret;

	s->continued = false;
	if (challenges > CHALLENGES_MAX)
		return err_set(err, ERR_PROTOCOL, "the server asks on and on at the login");
	if (*responded)
		return command_reply(s, last_words(s->ep->auth), err);
	*responded = true;
	str_init(&out, 48 << 10);
	ret = respond(s, &out, err);
	if (ret == 0)
		ret = command_reply(s, str_get(&out), err);
	str_wipe(&out);
	return ret;
}

static int
login_end(const struct session *s, const struct answer *answer, const char *how, struct err *err)
{
	if (answer->status == REPLY_OK)
		return 0;
	if (answer->status == REPLY_BAD)
		return err_set(err, ERR_AUTH,
			"login of %s by %s: the server calls it malformed: %s", s->ep->user, how,
			answer->text);
	return err_set(
		err, answer->refused, "login of %s by %s: %s", s->ep->user, how, answer->text);
}

static int
authenticate(struct session *s, const struct mechanism *mechanism, struct err *err)
{
	struct answer answer = { .refusal = REFUSED_LOGIN };
	bool responded = false;
	unsigned challenges = 0;
	struct str out;
	int ret = 0;

	command_begin(s, "AUTHENTICATE");
	command_addf(s, " %s", mechanism->name);
	if (mechanism->initial && session_has(s, HAS_SASL_IR)) {
		str_init(&out, 48 << 10);
		ret = respond(s, &out, err);
		command_add(s, " ");
		command_secret(s);
		command_add(s, str_get(&out));
		str_wipe(&out);
		responded = true;
	}
	if (ret != 0 || command_send(s, answer_done, &answer, 0, err) != 0)
		return -1;
	while (answer.status == REPLY_NONE) {
		if (session_pump(s, err) != 0)
			return -1;
		if (s->continued && answer_challenge(s, &responded, ++challenges, err) != 0)
			return -1;
	}
	return login_end(s, &answer, mechanism->name, err);
}

static int
login_command(struct session *s, struct err *err)
{
	struct answer answer = { .refusal = REFUSED_LOGIN };
	const struct endpoint *ep = s->ep;
	struct str name;

	if (session_has(s, HAS_LOGINDISABLED))
		return err_set(err, s->ep->security == NET_NONE ? ERR_PRIVACY : ERR_AUTH_MECH,
			"the server has the LOGIN command switched off");
	if (ep->auth != AUTH_MASTER && has_other_login(ep))
		return err_set(err, ERR_AUTH_MECH,
			"LOGIN as %s would open its own mailbox, not that of %s: auth must be "
			"plain or master",
			ep->login, ep->user);
	str_init(&name, 1024);
	command_begin(s, "LOGIN");
	if (sasl_login_name(&name, ep) == 0)
		command_string(s, str_get(&name), name.len);
	str_clear(&name);
	command_secret(s);
	command_string(s, secret_bytes(ep->secret), secret_len(ep->secret));
	if (command_send(s, answer_done, &answer, 0, err) != 0 || answer_wait(s, &answer, err) != 0)
		return -1;
	return login_end(s, &answer, "LOGIN", err);
}

int
imap_login(struct session *s, struct err *err)
{
	const struct endpoint *ep = s->ep;

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		const struct mechanism *m = &mechanisms[i];

		if (m->auth != ep->auth)
			continue;
		if (m->auth == AUTH_CRAM_MD5 && has_other_login(ep))
			return err_set(err, ERR_AUTH_MECH,
				"CRAM-MD5 cannot open the mailbox of %s as %s", ep->user,
				ep->login);
		if (session_has(s, m->granted))
			return authenticate(s, m, err);
		if (m->auth != AUTH_PLAIN && m->auth != AUTH_MASTER)
			return err_set(
				err, ERR_AUTH_MECH, "the server does not offer AUTH=%s", m->name);
	}
	return login_command(s, err); /* asked for, or in the place of PLAIN */
}

/* A round trip is as long as the shortest answer, since servers think. */
static void
note_rtt(struct session *s, int64_t since_ms)
{
	unsigned ms = (unsigned)(clock_ms() - since_ms);

	if (s->rtt_ms == 0 || ms < s->rtt_ms)
		s->rtt_ms = ms;
}

/* What a session needs to know before it works. It is not waited for here: the list of folders,
 * which nearly always comes next, leaves with it. */
static int
ask_about(struct session *s, struct err *err)
{
	struct about *about = &s->about;

	about->asked_ms = clock_ms();
	about->waiting = true;
	about->id.status = REPLY_OK;
	/* Without NAMESPACE the empty LIST tells the delimiter (RFC 9051, 6.3.9). */
	if (session_has(s, HAS_NAMESPACE)) {
		command_begin(s, "NAMESPACE");
	} else {
		command_begin(s, "LIST");
		command_add(s, " \"\" \"\"");
	}
	if (command_send(s, answer_done, &about->names, 0, err) != 0)
		return -1;
	if (!session_has(s, HAS_ID))
		return 0;
	about->id.status = REPLY_NONE;
	command_begin(s, "ID");
	command_add(s, " (\"name\" \"mailhaul\")");
	return command_send(s, answer_done, &about->id, 0, err);
}

int
session_about(struct session *s, struct err *err)
{
	struct about *about = &s->about;

	if (!about->waiting)
		return session_alive(s, err);
	if (answer_wait(s, &about->names, err) != 0 || answer_wait(s, &about->id, err) != 0)
		return -1;
	about->waiting = false;
	note_rtt(s, about->asked_ms);
	if (namespace_personal(s)->prefix == NULL)
		namespace_add(s, "", 0, s->delim, SPACE_PERSONAL);
	return 0;
}

int
session_start(struct session *s, struct err *err)
{
	if (session_greeting(s, err) != 0)
		return -1;
	if (!s->preauth && ask_capability(s, err) != 0)
		return -1;
	if (s->ep->security == NET_STARTTLS && start_tls(s, err) != 0)
		return -1;
	if (!s->preauth) {
		int64_t asked_ms = clock_ms();
		s->capability_told = false;
		if (imap_login(s, err) != 0)
			return -1;
		note_rtt(s, asked_ms);
	}
	if (ask_capability(s, err) != 0)
		return -1;
	s->logged_in = true;
	if (compress_login(s, err) != 0)
		return -1;
	return ask_about(s, err);
}
