/* fetch_read.c - one FETCH response: its items in any order, its body on the way to a spool.
 *
 * The body is kept until the whole response was read, so that what came after a wrong size is not
 * taken for a message. One that is too large to keep passes through a ring: it is given out with
 * its first bytes, the reading stops there, and goes on with the next call; the ring ends well only
 * when the response does. A ring needs all that is told of the message to stand before the body. */
#include "connector/imap/imap_private.h"

#include "mail/date.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum {
	CHUNK_BYTES = 64 << 10,
	SPOOL_ROOM_MAX = 16 << 20,
	DRAIN_MAX = 16 << 20 /* of a body nobody wants any more: read on, or close */
};

struct fetch_body {
	struct item *item;
	unsigned told; /* enum fetch_told */
	bool has_body, is_nil;
	uint64_t body_bytes;
	struct spool *spool;       /* kept, or the ring */
	struct digests digests;    /* of what has passed; of a ring: of its head */
	struct digester *digester; /* of a ring, all that has passed */
	bool given;                /* as a ring */
	bool left;                 /* its reader has gone */
	unsigned outer;            /* depth outside of the item list */
};

static void
body_free(struct fetch_body *body)
{
	item_free(&body->item);
	spool_unref(&body->spool);
	digester_free(&body->digester);
	free(body);
}

void
fetch_body_clear(struct session *s)
{
	struct fetch_body *body = s->body;
	struct err closed = { 0 };

	if (body == NULL)
		return;
	s->body = NULL;
	err_set(&closed, ERR_LOST, "the source session was closed within a message");
	if (body->spool != NULL && body->given)
		spool_fail(body->spool, s->dead ? &s->dead_err : &closed);
	body_free(body);
}

static int
read_flags(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type == WIRE_NIL)
		return 0;
	if (token.type != WIRE_OPEN)
		return err_set(err, ERR_PROTOCOL, "the server sent FLAGS without a list");
	body->item->flags = 0;
	free(body->item->keywords);
	body->item->keywords = NULL;
	for (;;) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type == WIRE_CLOSE)
			break;
		if (token.type == WIRE_OPEN || token.type == WIRE_EOL)
			return err_set(err, ERR_PROTOCOL, "the server sent broken FLAGS");
		flags_add_wire(&body->item->flags, &body->item->keywords, token.text, token.len);
	}
	body->told |= FETCH_TOLD_FLAGS;
	return 0;
}

static int
read_scalar(struct session *s, const char *name, struct wire_token *token, struct err *err)
{
	if (wire_next(&s->wire, false, token, err) != 0)
		return -1;
	if (token->type == WIRE_OPEN || token->type == WIRE_CLOSE || token->type == WIRE_EOL)
		return err_set(err, ERR_PROTOCOL, "the server sent %s without a value", name);
	return 0;
}

static int
read_date(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token token;
	int64_t when;

	if (read_scalar(s, "INTERNALDATE", &token, err) != 0)
		return -1;
	if (token.type != WIRE_NIL && date_parse_imap(token.text, token.len, &when) == 0)
		body->item->received = when;
	body->told |= FETCH_TOLD_DATE;
	return 0;
}

static int
read_number(struct session *s, struct fetch_body *body, bool is_uid, struct err *err)
{
	struct wire_token token;
	uint64_t size;

	if (read_scalar(s, is_uid ? "UID" : "RFC822.SIZE", &token, err) != 0)
		return -1;
	if (is_uid) {
		if (wire_u32(&token, &body->item->uid) != 0 || body->item->uid == 0)
			return err_set(err, ERR_PROTOCOL, "the server sent a UID that is none");
		return 0;
	}
	/* A size that is none is no size: it is a hint only. */
	body->told |= FETCH_TOLD_SIZE;
	if (token.type != WIRE_NIL && wire_u64(&token, &size) == 0)
		body->item->size = size;
	return 0;
}

static struct digester *
digester_of(struct session *s)
{
	if (s->digester == NULL)
		s->digester = digester_new();
	return s->digester;
}

/* "(12345)". One that is none is not known. */
static int
read_modseq(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token token;
	uint64_t modseq;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_OPEN) {
		if (token.type == WIRE_CLOSE || token.type == WIRE_EOL)
			return err_set(err, ERR_PROTOCOL, "the server sent MODSEQ without a value");
		return 0;
	}
	for (;;) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type == WIRE_CLOSE)
			return 0;
		if (token.type == WIRE_OPEN || token.type == WIRE_EOL)
			return err_set(err, ERR_PROTOCOL, "the server sent a broken MODSEQ");
		if (token.type == WIRE_ATOM && wire_u64(&token, &modseq) == 0 &&
			modseq <= INT64_MAX)
			body->item->modseq = modseq;
	}
}

/* The body of `bytes` into a new kept spool, straight into its memory where there is room, or only
 * through the digester. */
static int
keep_body(struct session *s, struct fetch_body *body, uint64_t bytes, bool keep, struct err *err)
{
	struct digester *digester = digester_of(s);
	unsigned char chunk[CHUNK_BYTES], *room = NULL;
	size_t got, at = 0;
	int ret;

	if (keep) {
		body->spool = spool_new_sized(s->env.pool, &s->slab, bytes);
		room = bytes <= SPOOL_ROOM_MAX ? spool_room(body->spool, (size_t)bytes) : NULL;
	}
	do {
		unsigned char *to = room != NULL ? room + at : chunk;

		ret = wire_literal_read(
			&s->wire, to, room != NULL ? (size_t)bytes - at : sizeof(chunk), &got, err);
		if (ret != 0 || got == 0)
			break;
		digester_add(digester, to, got);
		at += got;
		if (room != NULL)
			spool_filled(body->spool, got);
		else if (keep)
			ret = spool_write(body->spool, chunk, got, err);
	} while (ret == 0);
	digester_take(digester, &body->digests);
	if (ret == 0 && keep)
		spool_finish(body->spool);
	return ret;
}

static void
keep_string(struct session *s, struct fetch_body *body, const struct wire_token *token)
{
	struct err ignored = { 0 };

	body->spool = spool_new(s->env.pool);
	digester_add(digester_of(s), token->text, token->len);
	digester_take(s->digester, &body->digests);
	if (spool_write(body->spool, token->text, token->len, &ignored) == 0)
		spool_finish(body->spool);
	else
		spool_fail(body->spool, &ignored);
}

static struct message *
make_message(struct fetch_body *body)
{
	struct message *message = message_new(0);

	*message->item = *body->item;
	body->item->keywords = NULL; /* taken */
	message->body_bytes = body->body_bytes;
	message->digests = body->digests;
	message->body = body->spool != NULL ? spool_ref(body->spool) : NULL;
	return message;
}

/* Gives the message out with its first bytes in a ring. */
static int
start_ring(struct session *s, struct fetch_body *body, struct fetch_op *op, struct err *err)
{
	struct digester *digester = digester_new();
	unsigned char chunk[CHUNK_BYTES];
	size_t got, head = 0;
	struct message *message;
	int ret = 0;

	body->digester = digester_new();
	body->spool = spool_new_ring(s->env.ring_bytes, body->body_bytes);
	while (head < DIGEST_HEAD_BYTES && ret == 0) {
		size_t want = DIGEST_HEAD_BYTES - head;

		ret = wire_literal_read(
			&s->wire, chunk, want < sizeof(chunk) ? want : sizeof(chunk), &got, err);
		if (ret != 0 || got == 0)
			break;
		head += got;
		digester_add(digester, chunk, got);
		digester_add(body->digester, chunk, got);
		ret = spool_write(body->spool, chunk, got, err);
	}
	digester_end(&digester, &body->digests);
	if (ret != 0)
		return -1;
	body->digests.bytes = body->body_bytes;
	body->given = true;
	s->progress = true;
	message = make_message(body);
	fetch_give(op, &message);
	return 0;
}

/* 1: given out, to be continued. */
static int
read_literal(struct session *s, struct fetch_body *body, uint64_t bytes, struct err *err)
{
	struct fetch_op *op = NULL;

	if (body->item->uid != 0)
		op = fetch_wanted(s, body->item->uid, true, body->told);
	if (body->has_body || (op == NULL && (body->item->uid != 0 || !fetch_wanting(s))))
		return wire_literal_skip(&s->wire, err);
	body->has_body = true;
	body->body_bytes = bytes;
	if (op != NULL)
		fetch_add_known(op, body->item, &body->told);
	if (bytes <= s->env.stream_limit || op == NULL || !s->fetching || !fetch_is_oldest(s, op) ||
		fetch_op_what(op) != FETCH_BODY ||
		(body->told & FETCH_TOLD_NEEDED) != FETCH_TOLD_NEEDED ||
		s->env.ring_bytes < (size_t)2 * DIGEST_HEAD_BYTES)
		return keep_body(s, body, bytes, op == NULL || fetch_keeps(op), err);
	return start_ring(s, body, op, err) != 0 ? -1 : 1;
}

static int
read_body(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, true, &token, err) != 0)
		return -1;
	switch (token.type) {
	case WIRE_LITERAL:
		return read_literal(s, body, token.literal, err);
	case WIRE_STRING:
	case WIRE_ATOM:
		if (!body->has_body && fetch_wanting(s)) {
			body->has_body = true;
			body->body_bytes = token.len;
			keep_string(s, body, &token);
		}
		return 0;
	case WIRE_NIL:
		body->is_nil = true;
		return 0;
	case WIRE_OPEN:
	case WIRE_CLOSE:
	case WIRE_EOL:
		break;
	}
	return err_set(err, ERR_PROTOCOL, "the server sent BODY[] without a body");
}

static bool
is_whole_body(const struct wire_token *name)
{
	return wire_is(name, "BODY[]") || wire_is(name, "RFC822") || wire_is(name, "BINARY[]") ||
	       (name->len > 7 && text_ieqn(name->text, "BODY[]<", 7));
}

/* 0: the list has ended; 1: stopped behind the first bytes of a ring. */
static int
read_items(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token name;
	int ret = 0;

	while (ret == 0) {
		if (wire_item_name(&s->wire, &name, err) != 0)
			return -1;
		if (name.type == WIRE_CLOSE && s->wire.depth == body->outer)
			return 0;
		if (name.type != WIRE_ATOM && name.type != WIRE_NIL)
			return err_set(err, ERR_PROTOCOL, "the server sent a broken FETCH");
		if (wire_is(&name, "UID"))
			ret = read_number(s, body, true, err);
		else if (wire_is(&name, "FLAGS"))
			ret = read_flags(s, body, err);
		else if (wire_is(&name, "INTERNALDATE"))
			ret = read_date(s, body, err);
		else if (wire_is(&name, "RFC822.SIZE"))
			ret = read_number(s, body, false, err);
		else if (wire_is(&name, "MODSEQ"))
			ret = read_modseq(s, body, err);
		else if (is_whole_body(&name))
			ret = read_body(s, body, err);
		else
			ret = wire_skip_value(&s->wire, err);
	}
	return ret;
}

/* The response was read to its end. */
static void
deliver(struct session *s, struct fetch_body *body)
{
	struct message *message;
	struct fetch_op *op = NULL;

	s->progress = s->progress || body->given;
	if (body->given) {
		struct digests whole;
		digester_end(&body->digester, &whole);
		spool_set_digest(body->spool, whole.exact);
		spool_finish(body->spool);
		return;
	}
	if (body->item->uid == 0)
		return;
	if (body->is_nil)
		session_log(s, LOG_DEBUG, NULL, "UID %u: the server has no body", body->item->uid);
	op = fetch_wanted(s, body->item->uid, body->has_body, body->told);
	if (op == NULL) {
		if (!body->has_body)
			fetch_list(s, body->item->uid);
		if (!body->has_body)
			fetch_note(s, &body->item, body->told);
		return;
	}
	s->progress = true;
	message = make_message(body);
	if (!fetch_keeps(op))
		spool_unref(&message->body); /* kept before its UID was known */
	fetch_take(op, &message, body->told);
}

static int
end_response(struct session *s, struct fetch_body *body, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_EOL)
		return err_set(err, ERR_PROTOCOL, "the server sent more behind a FETCH");
	deliver(s, body);
	return 0;
}

int
fetch_read(struct session *s, struct err *err)
{
	struct fetch_body *body;
	struct wire_token token;
	int ret;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_OPEN)
		return err_set(err, ERR_PROTOCOL, "the server sent a FETCH without a list");
	body = xcalloc(1, sizeof(*body));
	body->item = item_new(0);
	body->item->received = ITEM_DATE_NONE;
	body->outer = s->wire.depth - 1;
	ret = read_items(s, body, err);
	if (ret == 1) {
		s->body = body;
		return 0;
	}
	if (ret == 0)
		ret = end_response(s, body, err);
	body_free(body);
	return ret;
}

/* The rest of a ring's literal; blocks while the ring is full. */
static int
pump_ring(struct session *s, struct fetch_body *body, struct err *err)
{
	unsigned char chunk[CHUNK_BYTES];
	struct err local = { 0 };
	size_t got;

	for (;;) {
		if (wire_literal_read(&s->wire, chunk, sizeof(chunk), &got, err) != 0)
			return -1;
		if (got == 0)
			return 0;
		digester_add(body->digester, chunk, got);
		if (body->left)
			continue;
		if (spool_write(body->spool, chunk, got, &local) == 0)
			continue;
		body->left = true;
		if (s->wire.literal_left > DRAIN_MAX)
			return err_set(err, ERR_LOST,
				"closed by us: the rest of a large message is not wanted any more");
	}
}

int
fetch_read_rest(struct session *s, struct err *err)
{
	struct fetch_body *body = s->body;
	int ret = pump_ring(s, body, err);

	if (ret == 0)
		ret = read_items(s, body, err);
	if (ret == 0)
		ret = end_response(s, body, err);
	if (ret != 0) {
		if (ret > 0)
			err_set(err, ERR_PROTOCOL, "the server sent two bodies in one FETCH");
		spool_fail(body->spool, err);
	}
	s->body = NULL;
	body_free(body);
	return ret == 0 ? 0 : -1;
}
