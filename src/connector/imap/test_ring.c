/* test_ring.c - a message too large to keep, on its way through a ring: the source's thread pumps
 * while the target's stores; and what happens when one of the two goes. */
#include "connector/imap/testscript.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/test.h"

#include "base/banned.h"

enum { LARGE_BYTES = 3 << 20 };

#define FETCHED                                                                                    \
	"C EXAMINE \"INBOX\"", "C UID FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])", \
		"S * OK [UIDVALIDITY 5] valid", "S $1 OK [READ-ONLY] done"
enum { AT_HEAD = 4, AT_BODY, AT_CLOSE }; /* lines behind FETCHED */

static const struct folder inbox = { .key = "INBOX", .uidvalidity = 5 },
			   target_folder = { .key = "A" };
static struct endpoint source_ep, target_ep;
static struct session_env env;

static void
set_up(struct spool_pool *pool)
{
	source_ep = (struct endpoint){ .host = "mail.example",
		.port = 143,
		.user = "ana",
		.separator = "*",
		.readonly = true };
	target_ep = source_ep;
	target_ep.readonly = false;
	env = (struct session_env){ .pool = pool, .stream_limit = 1 << 20, .ring_bytes = 1 << 18 };
}

/* "s " and `size` letters: a line of a script, the body behind its first two bytes. */
static char *
make_body(size_t size)
{
	char *body = xmalloc(size + 3);

	body[0] = 's';
	body[1] = ' ';
	for (size_t i = 0; i < size; i++)
		body[i + 2] = (char)('a' + i % 26);
	body[size + 2] = '\0';
	return body;
}

static void
digest_of(const char *bytes, size_t len, struct digests *digests_r)
{
	struct digester *digester = digester_new();

	digester_add(digester, bytes, len);
	digester_end(&digester, digests_r);
}

static struct session *
start_fetch(struct script *script, const char *const *lines, struct message **message_r)
{
	struct uidset set = { .ranges = NULL };
	struct session *s;
	struct err err = { 0 };

	uidset_add(&set, 1, 9);
	script_init(script, lines);
	s = script_session(script, &source_ep, &env, 0);
	CHECK_INT(imap_fetch_start(s, &inbox, &set, FETCH_BODY, &err), 0);
	CHECK_INT(imap_fetch_next(s, message_r, &err), 1);
	CHECK(spool_is_ring((*message_r)->body));
	uidset_clear(&set);
	return s;
}

struct pour {
	struct batch *batch;
	struct script script;
	struct session *s;
	int ret;
	struct err err;
};

static void *
pour_thread(void *arg)
{
	struct pour *pour = arg;

	pour->ret = imap_store_start(pour->s, &pour->batch, &pour->err);
	if (pour->ret == 0)
		pour->ret = imap_store_next(pour->s, &pour->batch, &pour->err);
	return NULL;
}

/* cut: the source dies within the literal. */
static void
check_pour(struct session *source, struct pour *pour, const struct digests *digests, bool cut)
{
	struct message *message = NULL;
	const struct digests *got;
	struct err err = { 0 };
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, pour_thread, pour), 0);
	CHECK_INT(imap_fetch_next(source, &message, &err), cut ? -1 : 0);
	pthread_join(thread, NULL);
	CHECK_INT(pour->ret, cut ? -1 : 1);
	CHECK_INT(pour->batch->entries[0].state, cut ? STORE_UNKNOWN : STORE_DONE);
	CHECK_STR(pour->script.problem, "");
	if (cut) {
		CHECK_INT(err.code, ERR_LOST);
		CHECK_INT(pour->err.code, ERR_LOST);
		CHECK(pour->script.closed && pour->script.at_once);
		return;
	}
	CHECK_INT(pour->batch->entries[0].uid, 4);
	got = &pour->batch->entries[0].message->digests;
	CHECK_MEM(got->exact, digests->exact, DIGEST_SIZE);
	CHECK_MEM(got->canonical, digests->canonical, DIGEST_SIZE);
	CHECK_MEM(got->head, digests->head, DIGEST_SIZE);
	CHECK_INT(got->bytes, digests->bytes);
	CHECK_INT(got->traits, digests->traits);
}

static void
pour_large(bool cut)
{
	char *body = make_body(LARGE_BYTES), *head, *want = xasprintf("= %s", body + 2);
	const char *source_lines[] = { FETCHED, NULL, body, cut ? NULL : "S )", "S $2 OK", NULL };
	const char *target_lines[] = { "C SELECT \"A\"", "S $1 OK",
		"C APPEND \"A\" (\\Seen) \"01-Jan-2024 00:00:00 +0000\" {3145728+}", want,
		"S $2 OK [APPENDUID 9 4]", NULL };
	struct script script;
	struct session *source;
	struct message *message = NULL;
	struct pour pour = { .ret = 0 };
	struct digests digests;

	digest_of(body + 2, LARGE_BYTES, &digests);
	if (cut)
		body[LARGE_BYTES / 2] = '\0';
	head = xasprintf(
		"S * 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \"01-Jan-2024 00:00:00 +0000\" "
		"RFC822.SIZE 1 BODY[] {%d}",
		LARGE_BYTES);
	source_lines[AT_HEAD] = head;
	source = start_fetch(&script, source_lines, &message);
	CHECK_INT(message->body_bytes, LARGE_BYTES);
	CHECK_MEM(message->digests.head, digests.head, DIGEST_SIZE);
	script_init(&pour.script, target_lines);
	pour.s = script_session(&pour.script, &target_ep, &env, HAS_LITERAL_PLUS | HAS_UIDPLUS);
	pour.batch = batch_new(1);
	pour.batch->folder = &target_folder;
	batch_add(pour.batch, &message);
	check_pour(source, &pour, &digests, cut);
	batch_free(&pour.batch);
	session_free(&source);
	session_free(&pour.s);
	script_clear(&script);
	script_clear(&pour.script);
	free(body);
	free(head);
	free(want);
}

static void
test_through(void)
{
	pour_large(false);
}

static void
test_source_dies(void)
{
	pour_large(true);
}

/* The reader of a ring leaves: a little more is read on, a lot closes the source. */
static void
test_reader_leaves(void)
{
	char *body = make_body(LARGE_BYTES);
	const char *lines[] = { FETCHED, NULL, body, "S )", "S $2 OK", NULL };
	struct script script;
	struct session *s;
	struct message *message = NULL;
	struct err err = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		char *head = xasprintf("S * 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {%d}",
			i == 0 ? LARGE_BYTES : 2000000000);

		lines[AT_HEAD] = head;
		s = start_fetch(&script, lines, &message);
		spool_abandon(message->body);
		message_free(&message);
		CHECK_INT(imap_fetch_next(s, &message, &err), i == 0 ? 0 : -1);
		CHECK_INT(s->dead, i == 1);
		session_free(&s);
		script_clear(&script);
		free(head);
	}
	free(body);
}

/* Closed within a message: its reader learns it, and does not wait for ever. */
static void
test_session_closed(void)
{
	char *body = make_body(LARGE_BYTES), byte;
	const char *lines[] = { FETCHED,
		"S * 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3145728}", body, "S )",
		"S $2 OK", NULL };
	struct script script;
	struct message *message = NULL;
	struct session *s = start_fetch(&script, lines, &message);
	struct err err = { 0 };
	uint64_t at = 0;
	size_t got;

	session_free(&s);
	while (spool_read(message->body, at, &byte, 1, &got, &err) == 0 && got > 0)
		at += got;
	CHECK_INT(err.code, ERR_LOST);
	CHECK(at <= DIGEST_HEAD_BYTES);
	message_free(&message);
	script_clear(&script);
	free(body);
}

int
main(void)
{
	struct spool_pool *pool = spool_pool_new("/tmp", 1 << 20, 1 << 16);

	set_up(pool);
	RUN(test_through);
	RUN(test_source_dies);
	RUN(test_reader_leaves);
	RUN(test_session_closed);
	spool_pool_free(&pool);
	return test_done();
}
