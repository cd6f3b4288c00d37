/* fuzz_wire.c - a server that sends anything: whole sessions fed from the fuzzer's bytes.
 *
 * The first byte chooses what the session is doing, the second how the bytes are cut; the rest is
 * what the server says. Tags are A1, A2 and so on, so that the fuzzer can answer. Beside not
 * crashing: a session that failed stays failed, each UID comes at most once for each fetch, and
 * every entry of a batch comes back with a state. */
#include "connector/imap/imap_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 90000 }; /* below the ring's size: nobody reads it meanwhile */

struct feed {
	const uint8_t *bytes;
	size_t len, at, chunk;
};

static int
feed_read(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct feed *feed = owner;
	size_t n = feed->len - feed->at;

	if (n == 0)
		return err_set(err, ERR_LOST, "the end");
	if (n > size)
		n = size;
	if (feed->chunk > 0 && n > feed->chunk)
		n = feed->chunk;
	memcpy(buf, feed->bytes + feed->at, n);
	feed->at += n;
	*got_r = n;
	return 0;
}

static int
feed_write(void *owner, const void *bytes, size_t len, struct err *err)
{
	(void)owner;
	(void)bytes;
	(void)len;
	(void)err;
	return 0;
}

static int
feed_nothing(void *owner, struct err *err)
{
	(void)owner;
	(void)err;
	return 0;
}

static int
feed_compress(void *owner, const void *ahead, size_t len, struct err *err)
{
	struct feed *feed = owner;

	(void)ahead;
	(void)err;
	feed->at -= len; /* the bytes mean the same: what is tested is the exchange */
	return 0;
}

static void
feed_count(void *owner, struct stream_counts *counts_r)
{
	const struct feed *feed = owner;

	*counts_r = (struct stream_counts){ .bytes_in = feed->at, .line_in = feed->at };
}

static bool
feed_readable(void *owner)
{
	const struct feed *feed = owner;

	return feed->at < feed->len;
}

static void
feed_describe(void *owner, struct str *out)
{
	(void)owner;
	str_adds(out, "feed");
}

static void
feed_close(void *owner, enum closing how)
{
	(void)owner;
	(void)how;
}

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
drain_fetch(struct session *s)
{
	struct message *kept[64], *message;
	size_t count = 0;
	struct uidset seen = { .ranges = NULL };
	struct err err = { 0 };
	int ret;

	while ((ret = imap_fetch_next(s, &message, &err)) == 1) {
		must(!uidset_has(&seen, message->item->uid));
		uidset_add(&seen, message->item->uid, message->item->uid);
		must(message->item->uid >= 1 && message->item->uid <= 20);
		if (count < 64)
			kept[count++] = message;
		else
			message_free(&message);
	}
	must(ret == 0 || err.code != ERR_NONE);
	for (size_t i = 0; i < count; i++) {
		if (kept[i]->body != NULL && spool_wait(kept[i]->body, &err) == 0)
			must(spool_size(kept[i]->body) == kept[i]->body_bytes);
		message_free(&kept[i]);
	}
	uidset_clear(&seen);
}

static void
do_fetch(struct session *s)
{
	static const struct folder a = { .key = "A", .uidvalidity = 1 }, b = { .key = "B" };
	struct uidset set = { .ranges = NULL };
	struct err err = { 0 };

	uidset_add(&set, 1, 20);
	if (imap_fetch_start(s, &a, &set, FETCH_BODY, &err) == 0 &&
		imap_fetch_start(s, &a, &set, FETCH_META, &err) == 0 &&
		imap_fetch_start(s, &b, &set, FETCH_HEAD, &err) == 0) {
		drain_fetch(s);
		drain_fetch(s);
		drain_fetch(s);
	}
	uidset_clear(&set);
}

static void
do_changes(struct session *s)
{
	static const struct folder a = { .key = "A", .uidvalidity = 1 };
	struct fetch_since since = { .modseq = 5 };
	struct uidset set = { .ranges = NULL }, modified = { .ranges = NULL };
	struct err err = { 0 };

	uidset_add(&set, 1, 20);
	if (imap_changes_start(s, &a, &set, &since, &err) == 0)
		drain_fetch(s);
	if (imap_fetch_start(s, &a, &set, FETCH_FLAGS, &err) == 0)
		drain_fetch(s);
	if (imap_fetch_start(s, &a, &set, FETCH_UIDS, &err) == 0)
		drain_fetch(s);
	if (!s->ep->readonly)
		(void)imap_flags_set(s, &a, &set, ITEM_SEEN, NULL, 7, &modified, &err);
	must(since.gone.count <= 20000 && modified.count <= 20000);
	uidset_clear(&since.gone);
	uidset_clear(&modified);
	uidset_clear(&set);
}

static void
do_list(struct session *s)
{
	struct folder_list list, after;
	struct err err = { 0 };
	uint64_t used, limit;
	bool made[1];
	struct err errs[1];

	folder_list_init(&list);
	if (imap_folder_list(s, &list, &err) == 0) {
		for (size_t i = 0; i < list.count; i++)
			must(list.folders[i].key[0] != '\0');
		(void)imap_quota(s, &used, &limit, &err);
		folder_list_init(&after);
		if (list.count > 0)
			(void)imap_folder_make(s, list.folders, 1, made, errs, &after, &err);
		folder_list_clear(&after);
		if (list.count > 0 &&
			imap_subscribe_start(s, list.folders, list.count, NULL, &err) == 0)
			(void)imap_subscribe_wait(s, &err);
	}
	folder_list_clear(&list);
}

static struct batch *
two_messages(struct spool_pool *pool, const struct folder *folder)
{
	struct batch *batch = batch_new(2);
	struct err err = { 0 };

	batch->folder = folder;
	for (unsigned i = 0; i < 2; i++) {
		struct message *m = message_new(i + 1);

		m->item->keywords = i == 0 ? xstrdup("red") : NULL;
		m->body = spool_new(pool);
		(void)spool_write(m->body, "A: b\r\n\r\n", 8, &err);
		spool_finish(m->body);
		m->body_bytes = 8;
		batch_add(batch, &m);
	}
	return batch;
}

static void
do_store(struct session *s, struct spool_pool *pool)
{
	static const struct folder a = { .key = "A", .uidvalidity = 1 };
	struct batch *batch;
	struct err err = { 0 };
	int ret;

	for (unsigned i = 0; i < 2; i++) {
		batch = two_messages(pool, &a);
		if (imap_store_start(s, &batch, &err) != 0)
			batch_free(&batch);
	}
	while ((ret = imap_store_next(s, &batch, &err)) != 0) {
		must(ret > 0 || s->dead);
		if (ret < 0)
			continue;
		for (size_t i = 0; i < batch->count; i++)
			must(batch->entries[i].state != STORE_PENDING);
		batch_free(&batch);
	}
}

static void
run(struct session *s, unsigned what, struct spool_pool *pool)
{
	struct err err = { 0 };

	switch (what % 4) {
	case 0:
		if (what & 32)
			do_changes(s);
		else
			do_fetch(s);
		break;
	case 1:
		do_list(s);
		break;
	case 2:
		do_store(s, pool);
		break;
	default:
		if (session_start(s, &err) == 0)
			do_list(s);
	}
	if (s->dead)
		must(session_pump(s, &err) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spool_pool *pool;
	struct feed feed;
	struct endpoint ep = { .host = "h",
		.port = 143,
		.security = NET_NONE,
		.user = "u",
		.auth = AUTH_CRAM_MD5,
		.separator = "*" };
	struct session_env env = { .stream_limit = 1000, .ring_bytes = 1 << 18 };
	struct transport io = { feed_read, feed_write, feed_nothing, feed_readable, feed_nothing,
		feed_compress, feed_count, feed_describe, feed_close, &feed };
	struct session *s;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	feed = (struct feed){ .bytes = data + 2, .len = size - 2, .chunk = data[1] % 16 };
	pool = spool_pool_new("/tmp", 1 << 20, 1 << 18);
	env.pool = pool;
	ep.secret = secret_new("p", 1);
	ep.readonly = data[0] % 4 == 0 && (data[0] & 128) == 0;
	if (data[0] & 32)
		ep.compress = COMPRESS_YES;
	if (data[0] & 64)
		ep.auth = AUTH_PLAIN;
	s = session_new(&ep, &env, &io);
	snprintf(s->tag, sizeof(s->tag), "A");
	if (data[0] % 4 != 3) {
		s->granted = HAS_LITERAL_PLUS | HAS_MULTIAPPEND | HAS_UIDPLUS | HAS_LIST_EXTENDED |
			     HAS_LIST_STATUS | HAS_QUOTA | HAS_CONDSTORE | HAS_QRESYNC | HAS_ENABLE;
		if (data[0] & 16)
			s->granted = HAS_XLIST;
		namespace_add(s, "", 0, '/', SPACE_PERSONAL);
	}
	run(s, data[0], pool);
	session_free(&s);
	secret_unref(&ep.secret);
	spool_pool_free(&pool);
	return 0;
}
