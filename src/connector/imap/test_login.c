/* test_login.c - from the greeting to the namespace, with a scripted server. */
#include "connector/imap/testscript.h"

#include <stdlib.h>

#include "base/test.h"

#include "base/banned.h"

static struct script_ends ends;

struct login_case {
	const char *name;
	enum net_auth auth;
	const char *login;
	enum net_security security;
	const char *const *lines;
	enum err_code want;
};

#define AFTER "C NAMESPACE", "S * NAMESPACE ((\"\" \"/\")) NIL NIL", "S $2 OK"

static const struct login_case login_cases[] = {
	{ "PLAIN", AUTH_PLAIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi",
			"C AUTHENTICATE PLAIN AGFuYQBwYXNzIndvcmQ=",
			"S $1 OK [CAPABILITY NAMESPACE] in", AFTER),
		ERR_NONE },
	{ "PLAIN as admin, no SASL-IR", AUTH_PLAIN, "root", NET_NONE,
		LINES("S * OK hi", "C CAPABILITY", "S * CAPABILITY IMAP4rev1 AUTH=PLAIN", "S $1 OK",
			"C AUTHENTICATE PLAIN", "S +", "= YW5hAHJvb3QAcGFzcyJ3b3Jk",
			"S * CAPABILITY NAMESPACE", "S $2 OK", "C NAMESPACE",
			"S * NAMESPACE NIL NIL NIL", "S $3 OK"),
		ERR_NONE },
	{ "LOGIN", AUTH_PLAIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1]", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 OK in", "C CAPABILITY", "S * CAPABILITY IMAP4rev1", "S $2 OK",
			"C LIST \"\" \"\"", "S * LIST (\\Noselect) \".\" \"\"", "S $3 OK"),
		ERR_NONE },
	{ "master", AUTH_MASTER, "root", NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1]", "C LOGIN \"ana*root\" \"pass\\\"word\"",
			"S $1 OK [CAPABILITY NAMESPACE] in", AFTER),
		ERR_NONE },
	{ "PREAUTH", AUTH_PLAIN, NULL, NET_NONE,
		LINES("S * PREAUTH hi", "C CAPABILITY", "S * CAPABILITY NAMESPACE", "S $1 OK",
			AFTER),
		ERR_NONE },
	{ "PREAUTH before STARTTLS", AUTH_PLAIN, NULL, NET_STARTTLS, LINES("S * PREAUTH hi"),
		ERR_PRIVACY },
	{ "no STARTTLS", AUTH_PLAIN, NULL, NET_STARTTLS, LINES("S * OK [CAPABILITY IMAP4rev1] hi"),
		ERR_PRIVACY },
	{ "STARTTLS", AUTH_PLAIN, NULL, NET_STARTTLS,
		LINES("S * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi", "C STARTTLS",
			"S $1 OK", "C CAPABILITY", "S * CAPABILITY IMAP4rev1", "S $2 OK",
			"C LOGIN \"ana\" \"pass\\\"word\"", "S $3 OK [CAPABILITY NAMESPACE]",
			"C NAMESPACE", "S $4 OK"),
		ERR_NONE },
	{ "bytes before the handshake", AUTH_PLAIN, NULL, NET_STARTTLS,
		LINES("S * OK [CAPABILITY IMAP4rev1 STARTTLS] hi", "C STARTTLS",
			"S $1 OK\r\n* OK more"),
		ERR_PROTOCOL },
	{ "LOGINDISABLED", AUTH_PLAIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi"), ERR_PRIVACY },
	{ "LOGIN cannot open another's mailbox", AUTH_LOGIN, "root", NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi"), ERR_AUTH_MECH },
	{ "mechanism not offered", AUTH_CRAM_MD5, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi"), ERR_AUTH_MECH },
	{ "wrong password", AUTH_LOGIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 NO [AUTHENTICATIONFAILED] no"),
		ERR_AUTH },
	{ "expired", AUTH_LOGIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 NO [EXPIRED] no"),
		ERR_AUTH_EXPIRED },
	{ "later", AUTH_LOGIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 NO [UNAVAILABLE] no"),
		ERR_UNAVAILABLE },
	{ "BAD login", AUTH_LOGIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 BAD no"),
		ERR_AUTH },
	{ "BYE in the greeting", AUTH_LOGIN, NULL, NET_NONE, LINES("S * BYE [LIMIT] too many"),
		ERR_LIMIT },
	{ "no IMAP", AUTH_LOGIN, NULL, NET_NONE, LINES("S 220 mail ESMTP"), ERR_PROTOCOL },
	{ "nothing", AUTH_LOGIN, NULL, NET_NONE, LINES("s * O"), ERR_LOST },
	{ "XOAUTH2 refused with a challenge", AUTH_XOAUTH2, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hi", "C AUTHENTICATE XOAUTH2",
			"S + ", "= dXNlcj1hbmEBYXV0aD1CZWFyZXIgcGFzcyJ3b3JkAQE=",
			"S + eyJzdGF0dXMiOiI0MDEifQ==", "= ", "S $1 NO no"),
		ERR_AUTH },
	{ "no such user is a refused login", AUTH_LOGIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1] hi", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 NO [NONEXISTENT] user does not exist"),
		ERR_AUTH },
	{ "challenges without end", AUTH_PLAIN, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi", "C AUTHENTICATE PLAIN", "S + ",
			"= AGFuYQBwYXNzIndvcmQ=", "S + more", "= *", "S + more", "= *", "S + more"),
		ERR_PROTOCOL },
	{ "CRAM-MD5", AUTH_CRAM_MD5, NULL, NET_NONE,
		LINES("S * OK [CAPABILITY IMAP4rev1 AUTH=CRAM-MD5] hi", "C AUTHENTICATE CRAM-MD5",
			"S + PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"= YW5hIDU1YWQ5ZDU2ZmRlZjg0MTgxZThlZDQxYzMwYTQ3MzRi", "S $1 NO no"),
		ERR_AUTH },
};

static void
test_login(void)
{
	for (size_t i = 0; i < sizeof(login_cases) / sizeof(login_cases[0]); i++) {
		const struct login_case *c = &login_cases[i];
		struct endpoint ep = ends.source;
		struct transport io;
		struct script script;
		struct session *s;
		struct err err = { 0 };

		ep.auth = c->auth;
		ep.login = c->login;
		ep.security = c->security;
		script_init(&script, c->lines);
		io = script_transport(&script);
		s = session_new(&ep, &ends.env, &io);
		CHECK_INT(session_start(s, &err) == 0 ? session_about(s, &err) : -1,
			c->want == ERR_NONE ? 0 : -1);
		if (err.code != c->want || script.problem[0] != '\0')
			printf("case: %s (%s)\n", c->name, err.text);
		CHECK_STR(err_name(err.code), err_name(c->want));
		CHECK_STR(script.problem, "");
		CHECK(strstr(err.text, "pass\"word") == NULL);
		session_free(&s);
		script_clear(&script);
	}
}

/* What a man in the middle said before the handshake is forgotten. */
static void
test_starttls_forgets(void)
{
	struct endpoint ep = ends.source;
	struct transport io;
	struct script script;
	struct session *s;
	struct err err = { 0 };

	ep.auth = AUTH_LOGIN;
	ep.security = NET_STARTTLS;
	script_init(&script,
		LINES("S * OK [CAPABILITY IMAP4rev1 STARTTLS] hi", "C STARTTLS",
			"S * NAMESPACE ((\"evil\" \"x\")) NIL NIL", "S * LIST () \"x\" INBOX",
			"S * ID (\"name\" \"Cyrus\")", "S $1 OK", "C CAPABILITY",
			"S * CAPABILITY IMAP4rev1", "S $2 OK", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $3 OK [CAPABILITY IMAP4rev1]", "C LIST \"\" \"\"",
			"S * LIST (\\Noselect) \".\" \"\"", "S $4 OK"));
	io = script_transport(&script);
	s = session_new(&ep, &ends.env, &io);
	CHECK_INT(session_start(s, &err), 0);
	CHECK_INT(session_about(s, &err), 0);
	CHECK_STR(script.problem, "");
	CHECK_INT(s->namespace_count, 1);
	CHECK_STR(s->namespaces[0].prefix, "");
	CHECK_INT(s->delim, '.');
	CHECK_STR(s->server, "");
	session_free(&s);
	script_clear(&script);
}

/* A personal namespace told without the delimiter at its end. */
static void
test_namespace_prefix(void)
{
	static const struct {
		const char *prefix;
		char delim;
		const char *key, *want; /* of what the server lists */
		const char *placed;     /* where "Sent" goes */
	} cases[] = {
		{ "INBOX", '.', "INBOX.Sent.2020", "Sent/2020", "INBOX.Sent" },
		{ "INBOX.", '.', "INBOX.Sent", "Sent", "INBOX.Sent" },
		{ "Mail", '/', "Mail/Sent", "Sent", "Mail/Sent" },
		{ "", '/', "Sent", "Sent", "Sent" },
	};
	const char *const sent[] = { "Sent" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = xasprintf("S * LIST () \"%c\" \"%s\"", cases[i].delim, cases[i].key);
		const char *lines[] = { "C LIST \"\" \"*\"", line, "S $1 OK", "C LSUB \"\" \"*\"",
			"S $2 BAD", NULL };
		struct folder_list list;
		struct folder folder;
		struct script script;
		struct session *s;
		struct err err = { 0 };
		struct str shown;
		bool changed;

		script_init(&script, lines);
		s = script_session(&script, &ends.source, &ends.env, 0);
		s->namespace_told = true;
		namespaces_clear(s);
		namespace_add(s, cases[i].prefix, strlen(cases[i].prefix), cases[i].delim,
			SPACE_PERSONAL);
		folder_list_init(&list);
		(void)imap_folder_list(s, &list, &err); /* the script ends before its STATUS */
		str_init(&shown, 0);
		CHECK_INT(list.count, 1);
		folder_show(&shown, list.folders[0].parts, list.folders[0].part_count);
		CHECK_STR(str_get(&shown), cases[i].want);
		CHECK_INT(imap_folder_place(s, list.arena, sent, 1, &folder, &changed, &err), 0);
		CHECK_STR(folder.key, cases[i].placed);
		str_clear(&shown);
		folder_list_clear(&list);
		session_free(&s);
		script_clear(&script);
		free(line);
	}
}

int
main(void)
{
	script_ends_init(&ends);
	RUN(test_login);
	RUN(test_starttls_forgets);
	RUN(test_namespace_prefix);
	script_ends_clear(&ends);
	return test_done();
}
