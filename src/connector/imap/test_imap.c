/* test_imap.c - messages fetched, stored and flagged with a scripted server: what is sent, what is
 * made of the answers. */
#include "connector/imap/testscript.h"

#include "mail/date.h"

#include <stdlib.h>

#include "base/test.h"

#include "base/banned.h"

static struct script_ends ends;

static void
dump_body(struct str *out, struct spool *body)
{
	char chunk[4096];
	uint64_t at = 0;
	size_t got;
	struct err err = { 0 };

	for (;;) {
		if (spool_read(body, at, chunk, sizeof(chunk), &got, &err) != 0) {
			str_addf(out, "!%s", err_name(err.code));
			return;
		}
		if (got == 0)
			return;
		text_sanitize(out, chunk, got);
		at += got;
	}
}

/* "uid/flags/keywords/received/size/body " */
static void
dump_message(struct str *out, const struct message *message)
{
	const struct item *item = message->item;

	str_addf(out, "%u/%x/%s/", item->uid, item->flags,
		item->keywords != NULL ? item->keywords : "");
	if (item->received != ITEM_DATE_NONE)
		str_addf(out, "%lld", (long long)item->received);
	str_addf(out, "/%llu/", (unsigned long long)item->size);
	if (message->body != NULL) {
		dump_body(out, message->body);
		CHECK_INT(message->digests.bytes, message->body_bytes);
	}
	str_addc(out, ' ');
}

/* All of the oldest fetch: messages, then "." or "!code". */
static int
dump_fetch(struct session *s, struct str *out)
{
	struct message *message = NULL;
	struct err err = { 0 };
	int ret;

	while ((ret = imap_fetch_next(s, &message, &err)) == 1) {
		dump_message(out, message);
		message_free(&message);
	}
	if (ret == 0)
		str_adds(out, ". ");
	else
		str_addf(out, "!%s ", err_name(err.code));
	return ret;
}

struct fetch_case {
	const char *name;
	enum fetch_what what;
	const char *const *lines;
	const char *want; /* of two fetches: UIDs 1:9 of INBOX (UIDVALIDITY 5), then of "B" (any) */
	bool second;
};

#define EXAMINED                                                                                   \
	"C EXAMINE \"INBOX\"", "C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])", \
		"S * 3 EXISTS", "S * OK [UIDVALIDITY 5] valid", "S $1 OK [READ-ONLY] done"
#define EXAMINED_META                                                                              \
	"C EXAMINE \"INBOX\"", "C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE)",             \
		"S * OK [UIDVALIDITY 5] valid", "S $1 OK [READ-ONLY] done"
#define EXAMINE_B                                                                                  \
	"C EXAMINE \"B\"", "C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"
#define DATE "INTERNALDATE \"01-Jan-2024 00:00:00 +0000\""

static const struct fetch_case fetch_cases[] = {
	{ "usual", FETCH_BODY,
		LINES(EXAMINED,
			"S * 1 FETCH (UID 1 FLAGS (\\Seen $Work) " DATE " RFC822.SIZE 5 BODY[] {5}",
			"s abcde", "S )",
			"S * 2 FETCH (UID 2 FLAGS () " DATE " RFC822.SIZE 9 BODY[] \"q\\\"q\")",
			"S $2 OK done"),
		"1/1/$Work/1704067200/5/abcde 2/0//1704067200/9/q\"q . ", false },
	{ "any order, UID last, unknown items", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (BODY[] {3}",
			"S a\r\n X-GM-MSGID 12345 (ANNOTATION (/x (y {3}", "s )))",
			"S ))) MODSEQ (5) FLAGS (\\Draft) UID 4)", "S $2 OK done"),
		"!protocol ", false },
	{ "any order, UID last", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (BODY[] {3}", "s abc",
			"S  X-GM-MSGID 12345 ANNOTATION (/x (y {3}", "s )))",
			"S )) MODSEQ (5) SAVEDATE NIL EMAILID (M1) BINARY[1] ~{2}", "s ((",
			"S  FLAGS (\\Draft) UID 4)", "S $2 OK done"),
		"4/10///0/abc . ", false },
	{ "each UID once, only those asked for", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 FLAGS () BODY[] {1}", "s a", "S )",
			"S * 1 FETCH (UID 1 FLAGS () BODY[] {1}", "s b", "S )",
			"S * 1 FETCH (UID 10 FLAGS () BODY[] {1}", "s c", "S )",
			"S * 7 FETCH (FLAGS (\\Seen))", "S * 8 FETCH (UID 3 FLAGS (\\Seen))",
			"S * 8 FETCH (UID 3 FLAGS (\\Seen) BODY[] {1}", "s d", "S )",
			"S $2 OK done"),
		"1/0///0/a 3/1///0/d . ", false },
	{ "noise between", FETCH_BODY,
		LINES(EXAMINED, "S * 5 EXPUNGE", "S * METADATA \"\" (/shared/x {3}", "s ()(", "S )",
			"S * ESEARCH (TAG \"x\") UID ALL 1:3", "S * VANISHED 1:5", "S ",
			"S * OK [WHAT (x ]] huh", "S * NO careful", "S * 6 EXISTS",
			"S * 1 FETCH (UID 2 BODY[] {0}", "S )", "S * LIST (\\x) \"\" foo",
			"S * STATUS x (MESSAGES 1)", "S $2 OK"),
		"2/0///0/ . ", false },
	{ "no body, vanished while fetched", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 FLAGS () BODY[] NIL)",
			"S $2 NO [EXPUNGEISSUED] Some messages were expunged"),
		". ", false },
	{ "NO after some", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 FLAGS () BODY[] {1}", "s a", "S )",
			"S $2 NO [SERVERBUG] Internal error"),
		"1/0///0/a !unavailable ", false },
	{ "BAD", FETCH_BODY, LINES(EXAMINED, "S $2 BAD what"), "!bad ", false },
	{ "another UIDVALIDITY", FETCH_BODY,
		LINES("C EXAMINE \"INBOX\"",
			"C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
			"S * OK [UIDVALIDITY 6] valid", "S $1 OK done",
			"S * 1 FETCH (UID 1 BODY[] {1}", "s a", "S )", "S $2 OK done"),
		"!uidvalidity ", false },
	{ "no such folder, and a server that keeps the old one", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 BODY[] {1}", "s a", "S )", "S $2 OK done",
			EXAMINE_B, "S $3 NO no such mailbox", "S * 1 FETCH (UID 2 BODY[] {1}",
			"s x", "S )", "S $4 OK done"),
		"1/0///0/a . !nofolder ", true },
	{ "two folders at once", FETCH_BODY,
		LINES(EXAMINED, EXAMINE_B, "S * 1 FETCH (UID 1 BODY[] {1}", "s a", "S )",
			"S $2 OK done", "S * OK [CLOSED] x", "S * OK [UIDVALIDITY 77] v", "S $3 OK",
			"S * 1 FETCH (UID 1 BODY[] {1}", "s b", "S )", "S $4 OK done"),
		"1/0///0/a . 1/0///0/b . ", true },
	{ "first folder fails, second stands", FETCH_BODY,
		LINES("C EXAMINE \"INBOX\"",
			"C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
			EXAMINE_B, "S $1 NO [NOPERM] no", "S $2 BAD no folder is selected",
			"S $3 OK", "S * 1 FETCH (UID 1 BODY[] {1}", "s b", "S )", "S $4 OK done"),
		"!perm 1/0///0/b . ", true },
	{ "meta", FETCH_META,
		LINES(EXAMINED_META,
			"S * 1 FETCH (UID 1 FLAGS (a]b caf\xc3\xa9 \\Recent) " DATE
			" RFC822.SIZE 5)",
			"S * 1 FETCH (UID 2 FLAGS (\\Seen))",
			"S * 2 FETCH (RFC822.SIZE NIL INTERNALDATE \"00-Jan-0000 00:00:00 +0000\" "
			"UID 2)",
			"S * 3 FETCH (UID 3 RFC822.SIZE 99999999999999999999 FLAGS NIL "
			"INTERNALDATE NIL)",
			"S $2 OK"),
		"1/0/a]b caf\xc3\xa9/1704067200/5/ 2/1///0/ 3/0///0/ . ", false },
	{ "in pieces", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 FLAGS (\\Seen a) " DATE " RFC822.SIZE 1)",
			"S * 2 FETCH (UID 2 BODY[] {1}", "s b", "S )",
			"S * 1 FETCH (UID 1 BODY[] {1}", "s a", "S )",
			"S * 3 FETCH (UID 3 " DATE " BODY[] {1}", "s c", "S )",
			"S * 2 FETCH (UID 2 FLAGS (b) " DATE ")",
			"S * 4 FETCH (UID 4 FLAGS (\\Seen))",
			"S * 4 FETCH (UID 4 FLAGS (\\Draft) " DATE " BODY[] {1}", "s d", "S )",
			"S * 3 FETCH (UID 3 FLAGS (\\Flagged))",
			"S * 5 FETCH (UID 5 FLAGS (\\Flagged))",
			"S * 1 FETCH (UID 1 FLAGS (\\Flagged))",
			"S * 6 FETCH (UID 6 FLAGS (\\Seen) BODY[] {1}", "s f", "S )", "S $2 OK"),
		"1/1/a/1704067200/1/a 2/0/b/1704067200/0/b 4/10//1704067200/0/d "
		"3/4//1704067200/0/c 6/1///0/f . ",
		false },
	{ "head", FETCH_HEAD,
		LINES("C EXAMINE \"INBOX\"",
			"C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.65536>)",
			"S $1 OK", "S * 1 FETCH (UID 1 BODY[]<0> {2}", "s ab", "S )", "S $2 OK"),
		"!uidvalidity ", false },
	{ "bye", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 FLAGS () " DATE " BODY[] {1}", "s a", "S )",
			"S * 2 FETCH (UID 2 BODY[] {1}", "s b", "S )", "S * BYE shutting down"),
		"1/0//1704067200/0/a !bye ", false },
	{ "foreign tag", FETCH_BODY, LINES(EXAMINED, "S XX1 OK done"), "!protocol ", false },
	{ "tag twice", FETCH_BODY, LINES(EXAMINED, "S $1 OK done"), "!protocol ", false },
	{ "wrong size", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 BODY[] {3}", "s abcd", "S )", "S $2 OK"),
		"!protocol ", false },
	{ "lost within a body", FETCH_BODY,
		LINES(EXAMINED, "S * 1 FETCH (UID 1 BODY[] {30}", "s abcd"), "!lost ", false },
	{ "garbage", FETCH_BODY, LINES(EXAMINED, "S (hello"), "!protocol ", false },
	{ "no status", FETCH_BODY, LINES(EXAMINED, "S $2 MAYBE"), "!protocol ", false },
	{ "UID zero", FETCH_BODY, LINES(EXAMINED, "S * 1 FETCH (UID 0 BODY[] {1}", "s a", "S )"),
		"!protocol ", false },
};

static void
run_fetch(const struct fetch_case *c, size_t chunk, uint64_t eof_at, struct str *out,
	bool check_script)
{
	struct folder inbox = { .key = "INBOX", .uidvalidity = 5 }, b = { .key = "B" };
	struct uidset set = { .ranges = NULL };
	struct script script;
	struct session *s;
	struct err err = { 0 };
	int ret = 0;

	str_reset(out);
	script_init(&script, c->lines);
	script.chunk = chunk;
	script.eof_at = eof_at;
	s = script_session(&script, &ends.source, &ends.env, 0);
	uidset_add(&set, 1, 9);
	CHECK_INT(imap_fetch_start(s, &inbox, &set, c->what, &err), 0);
	/* The next folder is asked for at once where the script has it at once. */
	if (c->second && strstr(c->name, "keeps") == NULL)
		CHECK_INT(imap_fetch_start(s, &b, &set, c->what, &err), 0);
	ret = dump_fetch(s, out);
	if (c->second && strstr(c->name, "keeps") != NULL &&
		imap_fetch_start(s, &b, &set, c->what, &err) != 0)
		ret = -1;
	if (c->second && !s->dead)
		dump_fetch(s, out);
	if (check_script && (!script_is_done(&script) && !s->dead)) {
		printf("%s: %s\n", c->name, script.problem);
		CHECK(script_is_done(&script));
	}
	(void)ret;
	session_free(&s);
	CHECK(script.closed);
	script_clear(&script);
	uidset_clear(&set);
}

static void
test_fetch(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(fetch_cases) / sizeof(fetch_cases[0]); i++) {
		static const size_t chunks[] = { 0, 1, 2, 7 };

		for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
			run_fetch(&fetch_cases[i], chunks[k], 0, &out, true);
			if (strcmp(str_get(&out), fetch_cases[i].want) != 0)
				printf("case: %s\n", fetch_cases[i].name);
			CHECK_STR(str_get(&out), fetch_cases[i].want);
		}
	}
	str_clear(&out);
}

/* The link ends after each byte: an error each time, and never a message cut short. */
static void
test_fetch_ended_at_every_byte(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < 5; i++) {
		for (uint64_t end = 1; end < 1000; end++) {
			run_fetch(&fetch_cases[i], 0, end, &out, false);
			if (strcmp(str_get(&out), fetch_cases[i].want) == 0)
				break;
			CHECK(strchr(str_get(&out), '!') != NULL);
			CHECK(strstr(str_get(&out), "/abcd ") == NULL);
		}
	}
	str_clear(&out);
}

/* Storing. */

static struct batch *
make_batch(const struct folder *folder, const char *const *bodies, const char *keywords)
{
	struct batch *batch = batch_new(4);
	struct err err = { 0 };

	batch->folder = folder;
	for (size_t i = 0; bodies[i] != NULL; i++) {
		struct message *m = message_new((uint32_t)i + 1);

		m->item->flags = i == 0 ? ITEM_SEEN : 0;
		m->item->received = 1704067200;
		if (keywords != NULL)
			m->item->keywords = xstrdup(keywords);
		m->body_bytes = strlen(bodies[i]);
		m->body = spool_new(ends.env.pool);
		CHECK_INT(spool_write(m->body, bodies[i], strlen(bodies[i]), &err), 0);
		spool_finish(m->body);
		batch_add(batch, &m);
	}
	return batch;
}

/* "D12 R:quota U " and so on, one per entry; "k" when keywords were dropped. */
static void
dump_batch(struct str *out, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct store_entry *e = &batch->entries[i];

		str_addc(out, "PDRU"[e->state]);
		if (e->uid != 0)
			str_addf(out, "%u", e->uid);
		if (e->state == STORE_REFUSED)
			str_addf(out, ":%s", err_name(e->err.code));
		if (e->keywords_dropped)
			str_addc(out, 'k');
		str_addc(out, ' ');
	}
	str_addf(out, "v%u%s; ", batch->uidvalidity, batch->one_command ? " one" : "");
}

struct store_case {
	const char *name;
	unsigned granted;
	const char *keywords;
	const char *const *bodies;
	const char *const *lines;
	const char *want;
	bool careful;
};

#define FAST (HAS_LITERAL_PLUS | HAS_MULTIAPPEND | HAS_UIDPLUS)
#define ARGS " \"01-Jan-2024 00:00:00 +0000\""
#define MULTI_TWO                                                                                  \
	"C SELECT \"Ar \\\"x\\\"\"", "C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3+}",            \
		"= one" ARGS " {3+}", "= two"

static const struct store_case store_cases[] = {
	{ "multi", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S * OK [UIDVALIDITY 9] x", "S $1 OK",
			"S $2 OK [APPENDUID 9 4:5] done"),
		"D4 D5 v9 one; 0", false },
	{ "order of APPENDUID", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 OK", "S $2 OK [APPENDUID 9 7,3] done"), "D7 D3 v9 one; 0",
		false },
	{ "APPENDUID that does not fit", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S * OK [UIDVALIDITY 9] x", "S $1 OK",
			"S $2 OK [APPENDUID 9 7] done"),
		"D D v9 one; 0", false },
	{ "refused as a whole", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S * OK [UIDVALIDITY 9] x", "S $1 OK", "S $2 NO [OVERQUOTA] full"),
		"R:quota R:quota v9 one; 0", false },
	{ "content", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 OK", "S $2 NO Message contains NUL characters"),
		"R:content R:content v0 one; 0", false },
	{ "tags in another order", HAS_LITERAL_PLUS, NULL, LINES("one", "two"),
		LINES("C SELECT \"Ar \\\"x\\\"\"",
			"C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3+}", "= one",
			"C APPEND \"Ar \\\"x\\\"\"" ARGS " {3+}", "= two", "S $3 NO [TOOBIG] no",
			"S $1 OK", "S $2 OK [APPENDUID 9 4]"),
		"D4 R:toobig v9; 0", false },
	{ "BAD closes at once", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 OK", "S $2 BAD arguments"), "-bad; U U v0 one; 0", false },
	{ "a tag of the body's", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 OK", "S one BAD what"), "-protocol; U U v0 one; 0", false },
	{ "untagged BAD", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 OK", "S * BAD what"), "-bad; U U v0 one; 0", false },
	{ "lost", FAST, NULL, LINES("one", "two"), LINES(MULTI_TWO, "S $1 OK"),
		"-lost; U U v0 one; 0", false },
	{ "synchronising", 0, NULL, LINES("one", "two"),
		LINES("C SELECT \"Ar \\\"x\\\"\"", "C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3}",
			"S $1 OK", "S + go", "= one", "C APPEND \"Ar \\\"x\\\"\"" ARGS " {3}",
			"S $2 OK", "S $3 NO [TOOBIG] no"),
		"D R:toobig v0; 0", false },
	{ "careful", FAST, NULL, LINES("one", "two"),
		LINES("C SELECT \"Ar \\\"x\\\"\"", "C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3}",
			"S $1 OK", "S $2 BAD arguments", "C APPEND \"Ar \\\"x\\\"\"" ARGS " {3}",
			"S + ", "= two", "S $3 OK [APPENDUID 9 4]"),
		"R:refused D4 v9; 0", true },
	{ "OK before the body", 0, NULL, LINES("one"),
		LINES("C SELECT \"Ar \\\"x\\\"\"", "C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3}",
			"S $1 OK", "S $2 OK done"),
		"start-protocol; U ", false },
	{ "LITERAL-", HAS_LITERAL_MINUS, NULL, LINES("one"),
		LINES("C SELECT \"Ar \\\"x\\\"\"",
			"C APPEND \"Ar \\\"x\\\"\" (\\Seen)" ARGS " {3+}", "= one", "S $1 OK",
			"S $2 OK"),
		"D v0; 0", false },
	{ "keywords wait for PERMANENTFLAGS", FAST, "$Work caf\xc3\xa9 red", LINES("one"),
		LINES("C SELECT \"Ar \\\"x\\\"\"", "S * FLAGS (\\Seen)",
			"S * OK [PERMANENTFLAGS (\\Seen \\Draft RED)] x",
			"C APPEND \"Ar \\\"x\\\"\" (\\Seen red)" ARGS " {3+}", "= one", "S $1 OK",
			"S $2 OK"),
		"Dk v0; 0", false },
	{ "keywords welcome", FAST, "$Work red", LINES("one"),
		LINES("C SELECT \"Ar \\\"x\\\"\"", "S * OK [PERMANENTFLAGS (\\Seen \\*)] x",
			"C APPEND \"Ar \\\"x\\\"\" (\\Seen $Work red)" ARGS " {3+}", "= one",
			"S $1 OK", "S $2 OK"),
		"D v0; 0", false },
	{ "no such folder", FAST, NULL, LINES("one", "two"),
		LINES(MULTI_TWO, "S $1 NO [NONEXISTENT] none", "S $2 NO [TRYCREATE] none"),
		"R:nofolder R:nofolder v0 one; 0", false },
};

static void
run_store(const struct store_case *c, size_t chunk, struct str *out)
{
	struct folder folder = { .key = "Ar \"x\"" };
	struct batch *batch = make_batch(&folder, c->bodies, c->keywords);
	struct script script;
	struct session *s;
	struct err err = { 0 };
	int ret;

	str_reset(out);
	batch->careful = c->careful;
	script_init(&script, c->lines);
	script.chunk = chunk;
	s = script_session(&script, &ends.target, &ends.env, c->granted);
	ret = imap_store_start(s, &batch, &err);
	if (ret != 0) {
		str_addf(out, "start-%s; ", err_name(err.code));
		str_addf(out, "%c ", "PDRU"[batch->entries[0].state]);
		batch_free(&batch);
	} else {
		while ((ret = imap_store_next(s, &batch, &err)) != 0) {
			if (ret < 0) {
				str_addf(out, "-%s; ", err_name(err.code));
				CHECK(script.closed && script.at_once);
				continue;
			}
			dump_batch(out, batch);
			batch_free(&batch);
		}
		str_addc(out, '0');
	}
	if (script.problem[0] != '\0')
		printf("%s: %s\n", c->name, script.problem);
	CHECK_STR(script.problem, "");
	session_free(&s);
	script_clear(&script);
}

static void
test_store(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(store_cases) / sizeof(store_cases[0]); i++) {
		for (size_t chunk = 0; chunk < 3; chunk++) {
			run_store(&store_cases[i], chunk, &out);
			if (strcmp(str_get(&out), store_cases[i].want) != 0)
				printf("case: %s\n", store_cases[i].name);
			CHECK_STR(str_get(&out), store_cases[i].want);
		}
	}
	str_clear(&out);
}

/* A body that does not come to its end: the link is closed, and what left is in doubt. */
static void
test_store_broken_body(void)
{
	struct folder folder = { .key = "A" };
	struct script script;
	struct session *s;
	struct err err = { 0 }, why = { 0 };
	struct batch *batch = batch_new(1);
	struct message *m = message_new(1);

	m->item->received = 0;
	m->body_bytes = 300000;
	m->body = spool_new_ring(1 << 18, 300000);
	CHECK_INT(spool_write(m->body, "abc", 3, &err), 0);
	err_set(&why, ERR_LOST, "the source has gone");
	spool_fail(m->body, &why);
	batch->folder = &folder;
	batch_add(batch, &m);
	script_init(&script, LINES("C SELECT \"A\"", "S $1 OK"));
	s = script_session(&script, &ends.target, &ends.env, FAST);
	CHECK_INT(imap_store_start(s, &batch, &err), -1);
	CHECK_INT(err.code, ERR_LOST);
	CHECK_INT(batch->entries[0].state, STORE_UNKNOWN);
	CHECK(script.closed && script.at_once);
	CHECK(strstr(str_get(&script.out), "abc\r\n") == NULL);
	batch_free(&batch);
	session_free(&s);
	script_clear(&script);
}

/* A source never writes, whatever calls it. */
static void
test_readonly(void)
{
	struct folder folder = { .key = "A" };
	struct uidset set = { .ranges = NULL };
	struct batch *batch = make_batch(&folder, LINES("one"), NULL);
	struct script script;
	struct session *s;
	struct err err = { 0 }, errs[1];
	bool made[1];

	uidset_add(&set, 1, 2);
	script_init(&script, LINES("C EXAMINE \"A\"", "S $1 OK"));
	s = script_session(&script, &ends.source, &ends.env, FAST);
	CHECK_INT(imap_store_start(s, &batch, &err), -1);
	CHECK_INT(err.code, ERR_READONLY);
	CHECK_INT(batch->entries[0].state, STORE_PENDING);
	err.code = ERR_NONE;
	CHECK_INT(imap_flags_set(s, &folder, &set, 0, NULL, 0, NULL, &err), -1);
	CHECK_INT(err.code, ERR_READONLY);
	err.code = ERR_NONE;
	CHECK_INT(imap_folder_make(s, &folder, 1, made, errs, NULL, &err), -1);
	CHECK_INT(err.code, ERR_READONLY);
	err.code = ERR_NONE;
	CHECK_INT(imap_subscribe_start(s, &folder, 1, errs, &err), -1);
	CHECK_INT(err.code, ERR_READONLY);
	command_begin(s, "UID FETCH");
	command_add(s, " 1 (UID BODY[])");
	CHECK_INT(command_send(s, answer_done, NULL, 0, &err), -1);
	command_begin(s, "UID FETCH");
	command_add(s, " 1 RFC822");
	CHECK_INT(command_send(s, answer_done, NULL, 0, &err), -1);
	CHECK_STR(script.problem, "");
	CHECK(strstr(str_get(&script.out), "APPEND") == NULL);
	batch_free(&batch);
	uidset_clear(&set);
	session_free(&s);
	script_clear(&script);
}

static void
test_flags_set(void)
{
	struct folder folder = { .key = "A", .uidvalidity = 5 };
	struct uidset set = { .ranges = NULL };
	struct script script;
	struct session *s;
	struct err err = { 0 };

	uidset_add(&set, 1, 2);
	uidset_add(&set, 9, 9);
	script_init(&script,
		LINES("C SELECT \"A\"", "S * OK [UIDVALIDITY 5] x",
			"S * OK [PERMANENTFLAGS (\\Seen a)] x", "S $1 OK",
			"C UID STORE 1:2,9 FLAGS.SILENT (\\Seen A)", "S * 3 FETCH (FLAGS ())",
			"S $2 OK", "C UID STORE 1:2,9 FLAGS.SILENT ()", "S $3 NO [LIMIT] x"));
	s = script_session(&script, &ends.target, &ends.env, 0);
	CHECK_INT(imap_flags_set(s, &folder, &set, ITEM_SEEN, "A b", 0, NULL, &err), 0);
	CHECK_INT(imap_flags_set(s, &folder, &set, 0, NULL, 0, NULL, &err), -1);
	CHECK_INT(err.code, ERR_LIMIT);
	folder.uidvalidity = 6; /* other messages: nothing is sent */
	CHECK_INT(imap_flags_set(s, &folder, &set, 0, NULL, 0, NULL, &err), -1);
	CHECK_INT(err.code, ERR_UIDVALIDITY);
	CHECK(script_is_done(&script));
	CHECK_STR(script.problem, "");
	uidset_clear(&set);
	session_free(&s);
	script_clear(&script);
}

/* STORE with UNCHANGEDSINCE: what was changed meanwhile is named, what cannot be read names all. */
static void
test_flags_set_unchanged(void)
{
	static const struct {
		const char *answer;
		uint64_t modified;
		uint32_t uid;
	} cases[] = {
		{ "S $2 OK [MODIFIED 2,9] some", 2, 9 },
		{ "S $2 NO [MODIFIED 9] one", 1, 9 },
		{ "S $2 OK [MODIFIED 9:x] what", 3, 1 },
		{ "S $2 OK done", 0, 0 },
	};
	struct folder folder = { .key = "A", .uidvalidity = 5 };
	struct uidset set = { .ranges = NULL };

	uidset_add(&set, 1, 2);
	uidset_add(&set, 9, 9);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct uidset modified = { .ranges = NULL };
		struct script script;
		struct session *s;
		struct err err = { 0 };

		script_init(&script,
			LINES("C SELECT \"A\"", "S * OK [UIDVALIDITY 5] x", "S $1 OK",
				"C UID STORE 1:2,9 (UNCHANGEDSINCE 77) FLAGS.SILENT (\\Seen)",
				"S * 3 FETCH (MODSEQ (78))", cases[i].answer));
		s = script_session(&script, &ends.target, &ends.env, HAS_CONDSTORE);
		CHECK_INT(
			imap_flags_set(s, &folder, &set, ITEM_SEEN, NULL, 77, &modified, &err), 0);
		CHECK_INT(uidset_size(&modified), cases[i].modified);
		CHECK(cases[i].uid == 0 || uidset_has(&modified, cases[i].uid));
		CHECK(script_is_done(&script));
		CHECK_STR(script.problem, "");
		uidset_clear(&modified);
		session_free(&s);
		script_clear(&script);
	}
	uidset_clear(&set);
}

/* What has changed since a mod-sequence: one line of the server's, and what is made of it. */
static void
test_changes(void)
{
	static const struct {
		const char *line, *end;
		uint64_t gone; /* UIDs */
		bool told;
		enum err_code code;
	} cases[] = {
		{ "S * VANISHED (EARLIER) 1:5,9,40", "S $3 OK", 7, true, ERR_NONE },
		{ "S * VANISHED (EARLIER) 40,9,1:5", "S $3 OK", 7, true, ERR_NONE },
		{ "S * VANISHED 3", "S $3 OK", 0, true, ERR_NONE }, /* just now */
		{ "S * VANISHED (EARLIER) 0", "S $3 OK", 0, false, ERR_NONE },
		{ "S * VANISHED (EARLIER) 4:99999999999", "S $3 OK", 0, false, ERR_NONE },
		{ "S * VANISHED (EARLIER)", "S $3 OK", 0, true, ERR_NONE },
		{ "S * 1 FETCH (UID 2 FLAGS () MODSEQ (99999999999999999999))", "S $3 OK", 0, true,
			ERR_NONE },
		{ "S * 1 FETCH (UID 2 MODSEQ 7 FLAGS (\\Seen))", "S $3 OK", 0, true, ERR_NONE },
		{ "S * OK x", "S $3 BAD what", 0, true, ERR_REFUSED },
		{ "S * OK x", "S $3 NO [NOMODSEQ] what", 0, true, ERR_REFUSED },
		{ "S * OK x", "S $3 NO [EXPUNGEISSUED] what", 0, true, ERR_REFUSED },
	};
	static const struct folder folder = { .key = "A", .uidvalidity = 5 };
	struct uidset set = { .ranges = NULL };

	uidset_add(&set, 1, 50);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fetch_since since = { .modseq = 12 };
		struct message *message = NULL;
		struct script script;
		struct session *s;
		struct err err = { 0 };
		unsigned count = 0;
		int ret;

		script_init(&script,
			LINES("C ENABLE QRESYNC", "C EXAMINE \"A\"",
				"C UID FETCH 1:50 (UID FLAGS) (CHANGEDSINCE 12 "
				"VANISHED)",
				"S * ENABLED QRESYNC", "S $1 OK", "S * OK [UIDVALIDITY 5] x",
				"S $2 OK", cases[i].line,
				"S * 3 FETCH (UID 7 FLAGS (\\Seen a) MODSEQ (13))", cases[i].end));
		s = script_session(
			&script, &ends.source, &ends.env, HAS_CONDSTORE | HAS_QRESYNC | HAS_ENABLE);
		CHECK_INT(imap_changes_start(s, &folder, &set, &since, &err), 0);
		while ((ret = imap_fetch_next(s, &message, &err)) == 1) {
			count += message->item->uid == 7 && message->item->flags == ITEM_SEEN &&
				 message->item->modseq == 13;
			message_free(&message);
		}
		CHECK_INT(ret, cases[i].code == ERR_NONE ? 0 : -1);
		CHECK_INT(err.code, cases[i].code);
		CHECK_INT(count, 1);
		CHECK_INT(uidset_size(&since.gone), cases[i].gone);
		CHECK_INT(since.told, cases[i].told);
		CHECK(script_is_done(&script));
		CHECK_STR(script.problem, "");
		uidset_clear(&since.gone);
		session_free(&s);
		script_clear(&script);
	}
	uidset_clear(&set);
}

/* A server that talks and does not answer: time spent waiting for it is counted, an answer ends the
 * count. */
static void
test_talks_on(void)
{
	struct answer answer = { .status = REPLY_NONE };
	struct script script;
	struct session *s;
	struct err err = { 0 };

	script_init(&script, LINES("C NOOP", "S * OK still here", "S * 3 EXISTS", "S $1 OK",
				     "C NOOP", "S * OK still here"));
	s = script_session(&script, &ends.source, &ends.env, 0);
	command_begin(s, "NOOP");
	CHECK_INT(command_send(s, answer_done, &answer, 0, &err), 0);
	s->talked_ms = TALK_TIMEOUTS * ends.source.timeout_ms - 500;
	CHECK_INT(session_pump(s, &err), 0);
	CHECK(s->talked_ms > 0);
	CHECK_INT(answer_wait(s, &answer, &err), 0);
	CHECK_INT(s->talked_ms, 0);
	command_begin(s, "NOOP");
	CHECK_INT(command_send(s, answer_done, &answer, 0, &err), 0);
	s->talked_ms = TALK_TIMEOUTS * ends.source.timeout_ms + 1;
	CHECK_INT(session_pump(s, &err), -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK(strstr(err.text, "NOOP") != NULL);
	session_free(&s);
	script_clear(&script);
}

int
main(void)
{
	script_ends_init(&ends);
	RUN(test_fetch);
	RUN(test_fetch_ended_at_every_byte);
	RUN(test_store);
	RUN(test_store_broken_body);
	RUN(test_readonly);
	RUN(test_flags_set);
	RUN(test_flags_set_unchanged);
	RUN(test_changes);
	RUN(test_talks_on);
	script_ends_clear(&ends);
	return test_done();
}
