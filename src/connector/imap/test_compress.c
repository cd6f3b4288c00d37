/* test_compress.c - when a session asks for compression, and what it does with the answer. */
#include "base/clock.h"
#include "base/test.h"
#include "connector/imap/testscript.h"

#include "base/banned.h"

static struct script_ends ends;

#define LOGGED_IN                                                                                  \
	"S * OK [CAPABILITY IMAP4rev1]", "C LOGIN \"ana\" \"pass\\\"word\"",                       \
		"S $1 OK [CAPABILITY NAMESPACE COMPRESS=DEFLATE] in"
#define NAMES(tag) "C NAMESPACE", "S * NAMESPACE ((\"\" \"/\")) NIL NIL", "S " tag " OK"

static const struct {
	const char *name;
	enum net_compress compress;
	const char *const *lines;
	enum err_code want;
} cases[] = {
	{ "not offered", COMPRESS_YES,
		LINES("S * OK [CAPABILITY IMAP4rev1]", "C LOGIN \"ana\" \"pass\\\"word\"",
			"S $1 OK [CAPABILITY NAMESPACE] in", NAMES("$2")),
		ERR_NONE },
	{ "not wanted", COMPRESS_NO, LINES(LOGGED_IN, NAMES("$2")), ERR_NONE },
	{ "not yet", COMPRESS_AUTO, LINES(LOGGED_IN, NAMES("$2")), ERR_NONE },
	{ "granted", COMPRESS_YES,
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 OK go", "Z", NAMES("$3")), ERR_NONE },
	{ "more comes in one piece with the OK", COMPRESS_YES,
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 OK go", "Z", "S * OK still here",
			"S * NO space is short", NAMES("$3")),
		ERR_NONE },
	{ "refused", COMPRESS_YES,
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 NO [COMPRESSIONACTIVE] TLS does it",
			NAMES("$3")),
		ERR_NONE },
	{ "called malformed", COMPRESS_YES,
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 BAD what", NAMES("$3")), ERR_NONE },
	{ "promised and not done", COMPRESS_YES,
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 OK go", NAMES("$3")), ERR_PROTOCOL },
	{ "goodbye", COMPRESS_YES, LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S * BYE no"), ERR_BYE },
};

/* With all that is asked after it. */
static int
log_in(struct session *s, struct err *err)
{
	return session_start(s, err) == 0 ? session_about(s, err) : -1;
}

static void
test_login(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t chunk = 0; chunk < 3; chunk++) {
			struct endpoint ep = ends.source;
			struct script script;
			struct transport io;
			struct session *s;
			struct err err = { 0 };

			ep.auth = AUTH_LOGIN;
			ep.compress = cases[i].compress;
			script_init(&script, cases[i].lines);
			script.chunk = chunk;
			io = script_transport(&script);
			s = session_new(&ep, &ends.env, &io);
			CHECK_INT(log_in(s, &err), cases[i].want == ERR_NONE ? 0 : -1);
			if (err.code != cases[i].want || script.problem[0] != '\0')
				printf("case: %s (%s)\n", cases[i].name, err.text);
			CHECK_STR(err_name(err.code), err_name(cases[i].want));
			CHECK_STR(script.problem, "");
			session_free(&s);
			script_clear(&script);
		}
	}
}

/* A script that ends within the compressed part: the error of the link, never a crash. */
static void
test_cut(void)
{
	const char *const *lines =
		LINES(LOGGED_IN, "C COMPRESS DEFLATE", "S $2 OK go", "Z", NAMES("$3"));
	uint64_t whole = 0;

	for (uint64_t at = 0; at == 0 || at <= whole; at++) {
		struct endpoint ep = ends.source;
		struct script script;
		struct transport io;
		struct session *s;
		struct err err = { 0 };
		int ret;

		ep.auth = AUTH_LOGIN;
		ep.compress = COMPRESS_YES;
		script_init(&script, lines);
		script.eof_at = at;
		io = script_transport(&script);
		s = session_new(&ep, &ends.env, &io);
		ret = log_in(s, &err);
		if (at == 0)
			whole = script.given;
		if (at == 0 || at == whole)
			CHECK_INT(ret, 0);
		else if (ret != 0)
			CHECK_STR(err_name(err.code), "lost");
		session_free(&s);
		script_clear(&script);
	}
	CHECK(whole > 100);
}

/* What a slow link looks like: since the last call so much of it went by. */
static void
pretend(struct session *s, struct script *script, uint64_t bytes, unsigned ms)
{
	script->counts.bytes_in += bytes;
	script->counts.bytes_out += bytes;
	script->counts.line_in += bytes;
	script->counts.line_out += bytes;
	script->counts.waited_ms += ms;
	s->press.looked_ms -= ms;
	s->press.told_ms = 0;
}

#define FETCH(uid)              "C EXAMINE \"INBOX\"", "C UID FETCH " uid " (UID FLAGS INTERNALDATE RFC822.SIZE)"
#define FETCHED(examine, fetch) "S " examine " OK", "S " fetch " OK"

static int
fetch(struct session *s, const struct folder *folder, uint32_t uid, struct err *err)
{
	struct uidset set = { 0 };
	int ret;

	uidset_add(&set, uid, uid);
	ret = imap_fetch_start(s, folder, &set, FETCH_META, err);
	uidset_clear(&set);
	return ret;
}

static int
fetch_end(struct session *s, struct err *err)
{
	struct message *message;
	int ret;

	while ((ret = imap_fetch_next(s, &message, err)) == 1)
		message_free(&message);
	return ret;
}

/* With something in flight a session only says that it wants to rest; the next start behind that
 * asks, and sends nothing else before the answer. */
static void
test_auto_fetch(void)
{
	struct compression *c = compression_new(true);
	struct folder folder = { .key = "INBOX" };
	struct compression_status status;
	struct session_env env = ends.env;
	struct script script;
	struct session *s;
	struct err err = { 0 };

	env.compression = c;
	script_init(&script,
		LINES(FETCH("1"), "S $1 OK", "C UID FETCH 2 (UID FLAGS INTERNALDATE RFC822.SIZE)",
			"S $2 OK", "S $3 OK", "C COMPRESS DEFLATE", "S $4 OK go", "Z",
			"C EXAMINE \"INBOX\"", "C UID FETCH 3 (UID FLAGS INTERNALDATE RFC822.SIZE)",
			"S $5 OK", "S * 1 FETCH (UID 3 RFC822.SIZE 5)", "S $6 OK"));
	s = script_session(&script, &ends.source, &env, HAS_COMPRESS);
	CHECK_INT(compress_login(s, &err), 0);
	CHECK_INT(fetch(s, &folder, 1, &err), 0);
	CHECK(!compress_wants_rest(s));
	pretend(s, &script, 8000000, 5000);
	CHECK_INT(fetch(s, &folder, 2, &err), 0);
	CHECK(compress_wants_rest(s));
	CHECK_INT(fetch_end(s, &err), 0);
	CHECK_INT(fetch_end(s, &err), 0);
	CHECK(!compress_wants_rest(s));
	CHECK_INT(fetch(s, &folder, 3, &err), 0);
	CHECK_INT(fetch_end(s, &err), 0);
	CHECK_STR(script.problem, "");
	CHECK(script_is_done(&script));
	compression_look(c, &status);
	CHECK_STR(status.state, "tried");
	CHECK_INT(status.compressed, 1);
	/* Twice as fast: the host is known for it, and this one goes on as it is. */
	s->press.busy = true;
	pretend(s, &script, 16000000, 5000);
	CHECK_INT(fetch_end(s, &err), 0);
	compression_look(c, &status);
	CHECK_STR(status.state, "better");
	CHECK_INT(status.bytes, 16000000);
	CHECK(!s->press.wanted);
	session_free(&s);
	compression_look(c, &status);
	CHECK_INT(status.sessions, 0);
	script_clear(&script);
	compression_free(&c);
}

/* A fast link, and one that mostly waits for something else, are left alone. */
static void
test_auto_never(void)
{
	static const struct {
		uint64_t bytes;
		unsigned ms;
	} links[] = { { UINT64_C(4000000000), 5000 }, { 8000000, 2000 }, { 1000000, 60000 } };

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct compression *c = compression_new(true);
		struct folder folder = { .key = "INBOX" };
		struct session_env env = ends.env;
		struct script script;
		struct session *s;
		struct err err = { 0 };

		env.compression = c;
		script_init(&script,
			LINES(FETCH("1"), FETCHED("$1", "$2"), FETCH("2"), FETCHED("$3", "$4")));
		s = script_session(&script, &ends.source, &env, HAS_COMPRESS);
		CHECK_INT(compress_login(s, &err), 0);
		CHECK_INT(fetch(s, &folder, 1, &err), 0);
		pretend(s, &script, links[i].bytes, links[i].ms);
		CHECK_INT(fetch_end(s, &err), 0);
		CHECK_INT(fetch(s, &folder, 2, &err), 0);
		CHECK_INT(fetch_end(s, &err), 0);
		CHECK(script_is_done(&script));
		CHECK_STR(script.problem, "");
		session_free(&s);
		script_clear(&script);
		compression_free(&c);
	}
}

static struct batch *
make_batch(const struct folder *folder)
{
	struct batch *batch = batch_new(1);
	struct message *message = message_new(1);
	struct err err = { 0 };
	struct store_entry *entry;

	message->item->received = ITEM_DATE_NONE;
	message->body = spool_new(ends.env.pool);
	CHECK_INT(spool_write(message->body, "hello", 5, &err), 0);
	spool_finish(message->body);
	message->body_bytes = 5;
	batch->folder = folder;
	entry = batch_add(batch, &message);
	entry->received = ITEM_DATE_NONE;
	return batch;
}

/* A store says that the window is full until all is answered, then asks. */
static void
test_auto_store(void)
{
	struct compression *c = compression_new(false);
	struct folder folder = { .key = "INBOX" };
	struct session_env env = ends.env;
	struct script script;
	struct session *s;
	struct err err = { 0 };
	struct batch *one = make_batch(&folder), *two = make_batch(&folder), *back = NULL;

	env.compression = c;
	script_init(&script, LINES("C SELECT \"INBOX\"", "C APPEND \"INBOX\" {5+}", "= hello",
				     "S $1 OK", "S $2 OK", "C COMPRESS DEFLATE", "S $3 OK go", "Z",
				     "C APPEND \"INBOX\" {5+}", "= hello", "S $4 OK"));
	s = script_session(&script, &ends.target, &env, HAS_COMPRESS | HAS_LITERAL_PLUS);
	CHECK_INT(compress_login(s, &err), 0);
	CHECK_INT(imap_store_start(s, &one, &err), 0);
	pretend(s, &script, 8000000, 5000);
	CHECK_INT(imap_store_start(s, &two, &err), 1);
	CHECK(two != NULL);
	CHECK_INT(imap_store_next(s, &back, &err), 1);
	batch_free(&back);
	CHECK_INT(imap_store_start(s, &two, &err), 0);
	CHECK_INT(imap_store_next(s, &back, &err), 1);
	CHECK_INT(back->entries[0].state, STORE_DONE);
	batch_free(&back);
	CHECK_STR(script.problem, "");
	CHECK(script_is_done(&script));
	session_free(&s);
	script_clear(&script);
	compression_free(&c);
}

int
main(void)
{
	script_ends_init(&ends);
	RUN(test_login);
	RUN(test_cut);
	RUN(test_auto_fetch);
	RUN(test_auto_never);
	RUN(test_auto_store);
	script_ends_clear(&ends);
	return test_done();
}
