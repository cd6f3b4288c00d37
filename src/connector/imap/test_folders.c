/* test_folders.c - folders listed and made, with a scripted server. */
#include "connector/imap/testscript.h"

#include "base/test.h"

#include "base/banned.h"

static struct script_ends ends;

static void
dump_folders(struct str *out, const struct folder_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct folder *f = &list->folders[i];

		text_sanitize(out, f->key, strlen(f->key));
		str_addf(out, "|");
		folder_show(out, f->parts, f->part_count);
		str_addf(out, "|%s|%x",
			special_use_name(f->use) != NULL ? special_use_name(f->use) : "", f->flags);
		if ((f->flags & FOLDER_STATUS) != 0)
			str_addf(out, "|%u,%u,%u", f->messages, f->uidnext, f->uidvalidity);
		if ((f->flags & FOLDER_SIZE) != 0)
			str_addf(out, ",%llu", (unsigned long long)f->size_bytes);
		if (f->mailboxid != NULL)
			str_addf(out, ",%s", f->mailboxid);
		str_adds(out, "; ");
	}
}

struct list_case {
	const char *name;
	unsigned granted;
	const char *const *lines;
	const char *want;
};

#define LISTS (HAS_LIST_EXTENDED | HAS_LIST_STATUS | HAS_SPECIAL_USE)

static const struct list_case list_cases[] = {
	{ "all in one", LISTS | HAS_STATUS_SIZE | HAS_OBJECTID,
		LINES("C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
		      "UIDVALIDITY "
		      "SIZE))",
			"C LIST \"\" \"*\" RETURN (STATUS (MAILBOXID))",
			"S * LIST (\\Subscribed) \"/\" INBOX",
			"S * STATUS inbox (MESSAGES 3 X-NEW (a (b)) UIDNEXT 4 UIDVALIDITY 5 SIZE "
			"5000000000)",
			"S * STATUS INBOX (MAILBOXID (\x07\xff))",
			"S * LIST (\\Sent \\HasNoChildren) \"/\" {6}", "s Sent M",
			"S  (CHILDINFO (\"SUBSCRIBED\"))",
			"S * LIST (\\Noselect) \"/\" \"a \\\"b\\\"\"",
			"S * STATUS \"Sent M\" (MESSAGES 1)",
			"S * LIST () \"/\" \"a \\\"b\\\"/&AOQ-\"", "S $1 OK",
			"S * STATUS inbox (MAILBOXID (F1))", "S * LIST () \"/\" INBOX", "S $2 OK",
			"C STATUS \"Sent M\" (MESSAGES UIDNEXT UIDVALIDITY SIZE)",
			"C STATUS \"a \\\"b\\\"/&AOQ-\" (MESSAGES UIDNEXT UIDVALIDITY SIZE)",
			"S $4 NO [NOPERM] no",
			"S * STATUS \"Sent M\" (UIDVALIDITY 7 UIDNEXT 8 MESSAGES 1)", "S $3 OK",
			"C EXAMINE \"a \\\"b\\\"/&AOQ-\"", "S $5 NO [NOPERM] no"),
		"INBOX|INBOX|INBOX|74|3,4,5,5000000000,F1; Sent M|Sent M|Sent|50|1,8,7; a \"b\"|a "
		"\"b\"||41; a \"b\"/&AOQ-|a \"b\"/\xc3\xa4||40; ok" },
	{ "advertised and refused", LISTS | HAS_STATUS_SIZE,
		LINES("C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
		      "UIDVALIDITY "
		      "SIZE))",
			"S $1 BAD unknown",
			"C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
			"UIDVALIDITY))",
			"S $2 BAD unknown", "C LIST \"\" \"*\"", "S * LIST () \".\" INBOX",
			"S $3 OK", "C LSUB \"\" \"*\"", "S * LSUB () \".\" INBOX",
			"S * LSUB () \".\" gone", "S * LSUB (\\Noselect) \".\" parent", "S $4 OK",
			"C STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)",
			"S * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 5)", "S $5 OK"),
		"INBOX|INBOX|INBOX|54|0,1,5; gone|gone||5; ok" },
	{ "XLIST", HAS_XLIST,
		LINES("C XLIST \"\" \"*\"", "S * XLIST (\\Inbox) \"/\" \"Posteingang\"",
			"S * XLIST (\\Spam) \"/\" \"[Gmail]/Spam\"",
			"S * XLIST (\\Noselect) \"/\" \"[Gmail]\"", "S $1 OK", "C LSUB \"\" \"*\"",
			"S $2 NO no", "C STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)",
			"C STATUS \"[Gmail]/Spam\" (MESSAGES UIDNEXT UIDVALIDITY)", "S $3 NO x",
			"S $4 NO x", "C EXAMINE \"INBOX\"", "S * 7 EXISTS",
			"S * OK [UIDVALIDITY 9] x", "S * OK [UIDNEXT 8] x", "S $5 OK",
			"C EXAMINE \"[Gmail]/Spam\"", "S $6 OK no numbers at all"),
		"INBOX|INBOX|INBOX|50|7,8,9; [Gmail]/Spam|[Gmail]/Spam|Junk|40; "
		"[Gmail]|[Gmail]||41; "
		"ok" },
	{ "raw names", LISTS,
		LINES("C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
		      "UIDVALIDITY))",
			"S * LIST () NIL NIL",
			"S * STATUS NIL (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 5)",
			"S * LIST () \"/\" \xc3\xa4",
			"S * STATUS \xc3\xa4 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 5)",
			"S * LIST () \"/\" 2024",
			"S * STATUS 2024 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 5)", "S $1 OK"),
		"NIL|NIL||50|0,1,5; \xc3\xa4|\xc3\xa4||50|0,1,5; 2024|2024||50|0,1,5; ok" },
	{ "refused", LISTS,
		LINES("C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
		      "UIDVALIDITY))",
			"S $1 NO [UNAVAILABLE] later"),
		"!unavailable" },
	{ "broken", LISTS,
		LINES("C LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT "
		      "UIDVALIDITY))",
			"S * LIST \"/\" x"),
		"!protocol" },
};

static void
test_list(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(list_cases) / sizeof(list_cases[0]) * 2; i++) {
		const struct list_case *c = &list_cases[i / 2];
		struct folder_list list;
		struct script script;
		struct session *s;
		struct err err = { 0 };

		str_reset(&out);
		script_init(&script, c->lines);
		script.chunk = i % 2;
		s = script_session(&script, &ends.source, &ends.env, c->granted);
		s->namespace_told = true;
		folder_list_init(&list);
		if (imap_folder_list(s, &list, &err) != 0) {
			str_addf(&out, "!%s", err_name(err.code));
		} else {
			dump_folders(&out, &list);
			str_adds(&out, "ok");
		}
		CHECK_STR(script.problem, "");
		CHECK_STR(str_get(&out), c->want);
		folder_list_clear(&list);
		session_free(&s);
		script_clear(&script);
	}
	str_clear(&out);
}

/* LIST lines nobody asked for, beside answers that write into the list. */
static void
test_list_flood(void)
{
	enum { FLOOD = 200 };
	static const char *const before[] = { "C LIST \"\" \"*\"", "S * LIST () \"/\" INBOX",
		"S $1 OK", "C LSUB \"\" \"*\"", "S $2 OK",
		"C STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY)" },
				 *const between[] = { "S $3 NO x", "C EXAMINE \"INBOX\"" },
				 *const after[] = { "S * 7 EXISTS", "S * OK [UIDVALIDITY 9] x",
					 "S * OK [UIDNEXT 8] x", "S $4 OK" };
	const char *lines[6 + 2 + 4 + 2 * FLOOD + 1];
	char flood[FLOOD][40];
	struct folder_list list;
	struct script script;
	struct session *s;
	struct err err = { 0 };
	struct str out;
	size_t n = 0;

	for (size_t i = 0; i < FLOOD; i++)
		snprintf(flood[i], sizeof(flood[i]), "S * LIST () \"/\" flood%zu", i);
	for (size_t i = 0; i < 6; i++)
		lines[n++] = before[i];
	for (size_t i = 0; i < FLOOD; i++)
		lines[n++] = flood[i];
	lines[n++] = between[0];
	lines[n++] = between[1];
	for (size_t i = 0; i < FLOOD; i++)
		lines[n++] = flood[i];
	for (size_t i = 0; i < 4; i++)
		lines[n++] = after[i];
	lines[n] = NULL;
	script_init(&script, lines);
	s = script_session(&script, &ends.source, &ends.env, 0);
	s->namespace_told = true;
	folder_list_init(&list);
	CHECK_INT(imap_folder_list(s, &list, &err), 0);
	str_init(&out, 0);
	dump_folders(&out, &list);
	CHECK_STR(str_get(&out), "INBOX|INBOX|INBOX|50|7,8,9; ");
	CHECK_STR(script.problem, "");
	str_clear(&out);
	folder_list_clear(&list);
	session_free(&s);
	script_clear(&script);
}

/* Names that no server has: refused rather than held, and rather than left out. */
static void
test_list_limits(void)
{
	char name[NAME_BYTES_MAX + 64];

	for (int levels = 0; levels <= 1; levels++) {
		const char *lines[] = { "C LIST \"\" \"*\"", name, NULL };
		size_t len = (size_t)snprintf(name, sizeof(name), "S * LIST () \"/\" x");
		size_t more = levels ? 2 * NAME_LEVELS_MAX : NAME_BYTES_MAX;
		struct folder_list list;
		struct script script;
		struct session *s;
		struct err err = { 0 };

		for (size_t i = 0; i < more; i++)
			name[len + i] = levels && i % 2 == 0 ? '/' : 'x';
		name[len + more] = '\0';
		script_init(&script, lines);
		s = script_session(&script, &ends.source, &ends.env, 0);
		folder_list_init(&list);
		CHECK_INT(imap_folder_list(s, &list, &err), -1);
		CHECK_INT(err.code, ERR_PROTOCOL);
		folder_list_clear(&list);
		session_free(&s);
		script_clear(&script);
	}
}

static void
test_make(void)
{
	struct folder folders[] = { { .key = "INBOX" }, { .key = "a/b", .delim = '/' },
		{ .key = "old" }, { .key = "\xff\"", .delim = '/' },
		{ .key = "sent", .use = USE_SENT }, { .key = "no" } };
	bool made[6];
	struct err errs[6] = { { 0 } }, err = { 0 };
	struct folder_list list;
	struct script script;
	struct session *s;

	script_init(
		&script, LINES("C CREATE \"a/b\"", "C CREATE \"old\"", "C CREATE {2+}", "= \xff\"",
				 "C CREATE \"sent\" (USE (\\Sent))", "C CREATE \"no\"",
				 "C LIST \"\" \"*\" RETURN (SUBSCRIBED)", "S $1 NO no parent",
				 "S $2 NO [ALREADYEXISTS] is there", "S $3 OK", "S $4 OK",
				 "S $5 NO [NOPERM] no", "S $6 OK", "C LIST \"\" \"a/b\"", "S $7 OK",
				 "C CREATE \"a\"", "S $8 OK", "C CREATE \"a/b\"", "S $9 OK",
				 "C LIST \"\" \"*\" RETURN (SUBSCRIBED)"));
	s = script_session(&script, &ends.target, &ends.env,
		HAS_LITERAL_PLUS | HAS_CREATE_SPECIAL_USE | HAS_LIST_EXTENDED);
	folder_list_init(&list);
	/* The script has nine tags; the last answer does not come. */
	CHECK_INT(imap_folder_make(s, folders, 6, made, errs, &list, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	CHECK_STR(script.problem, "");
	CHECK(made[0] && made[1] && made[2] && made[3] && made[4] && !made[5]);
	CHECK_INT(errs[5].code, ERR_PERM);
	session_free(&s);
	script_clear(&script);
	folder_list_clear(&list);
}

/* The list comes with what was made, and once more where something was made on a second try. */
static void
test_make_and_list(void)
{
	const struct folder sent = { .key = "sent", .use = USE_SENT };
	struct err errs[1] = { { 0 } }, err = { 0 };
	struct folder_list list;
	struct script script;
	struct session *s;
	bool made[1];

	script_init(&script,
		LINES("C CREATE \"sent\" (USE (\\Sent))",
			"C LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT "
			"UIDVALIDITY))",
			"S $1 OK", "S * LIST () \"/\" \"sent\"",
			"S * STATUS \"sent\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)", "S $2 OK",
			"C CREATE \"sent\" (USE (\\Sent))",
			"C LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT "
			"UIDVALIDITY))",
			"S $3 NO [USEATTR] no", "S $4 OK", "C LIST \"\" \"sent\"", "S $5 OK",
			"C CREATE \"sent\"", "S $6 OK",
			"C LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT "
			"UIDVALIDITY))",
			"S * LIST () \"/\" \"sent\"",
			"S * STATUS \"sent\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 8)", "S $7 OK"));
	s = script_session(&script, &ends.target, &ends.env,
		HAS_LITERAL_PLUS | HAS_CREATE_SPECIAL_USE | HAS_LIST_EXTENDED | HAS_LIST_STATUS);
	for (unsigned i = 0; i < 2; i++) {
		folder_list_init(&list);
		CHECK_INT(imap_folder_make(s, &sent, 1, made, errs, &list, &err), 0);
		CHECK(made[0]);
		CHECK_INT(list.count, 1);
		CHECK_INT(list.count == 1 ? list.folders[0].uidvalidity : 0, 7 + i);
		folder_list_clear(&list);
	}
	CHECK_STR(script.problem, "");
	session_free(&s);
	script_clear(&script);
}

/* Nobody waits for SUBSCRIBE before he asks; then all answers are there. */
static void
test_subscribe(void)
{
	const struct folder folders[] = { { .key = "a" }, { .key = "b" } };
	struct err errs[2] = { { 0 } }, err = { 0 };
	struct script script;
	struct session *s;

	script_init(&script,
		LINES("C SUBSCRIBE \"a\"", "C SUBSCRIBE \"b\"", "S $2 NO [NOPERM] no", "S $1 OK"));
	s = script_session(&script, &ends.target, &ends.env, 0);
	CHECK_INT(imap_subscribe_wait(s, &err), 0); /* for nothing */
	CHECK_INT(imap_subscribe_start(s, folders, 2, errs, &err), 0);
	CHECK_INT(imap_subscribe_wait(s, &err), 0);
	CHECK_INT(errs[0].code, ERR_NONE);
	CHECK_INT(errs[1].code, ERR_PERM);
	CHECK_STR(script.problem, "");
	session_free(&s);
	script_clear(&script);
}

int
main(void)
{
	script_ends_init(&ends);
	RUN(test_list);
	RUN(test_list_flood);
	RUN(test_list_limits);
	RUN(test_make);
	RUN(test_make_and_list);
	RUN(test_subscribe);
	script_ends_clear(&ends);
	return test_done();
}
