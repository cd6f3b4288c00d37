/* fetch.c - open fetches: what was asked, what has come, who gets it.
 *
 * A fetch is an EXAMINE (or SELECT) and one or more UID FETCH commands, sent without waiting; the
 * next folder's may follow at once. An answer belongs to the fetch of the folder that is selected
 * when it comes, and to the UID it names, never to a position. When the EXAMINE failed or showed
 * another UIDVALIDITY, all answers up to the fetch's own tags are thrown away: some servers keep
 * the folder before it selected.
 *
 * A server may tell of one message in several answers. What came without the body is kept until
 * the body comes, and a body without flags or date waits for them, to the end of the fetch. */
#include "connector/imap/imap_private.h"

#include "base/clock.h"
#include "net/pace.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct ready {
	struct ready *next;
	struct message *message;
};

enum {
	PIECES_MAX = 2000,   /* of one fetch */
	VANISHED_MAX = 20000 /* ranges of UIDs, of one fetch */
};

/* A part of what was asked of a message. */
struct piece {
	struct piece *next;
	struct item *item;
	unsigned told;           /* enum fetch_told */
	struct message *message; /* waits for the rest; item is its item then. NULL: not yet here */
};

struct fetch_op {
	struct fetch_op *next;
	const struct folder *folder; /* borrowed until its end */
	struct selection *selection; /* NULL: nothing was asked */
	enum fetch_what what;
	struct uidset asked, seen;
	size_t waiting;            /* commands without an answer */
	struct fetch_since *since; /* borrowed; NULL: all are asked for */
	size_t vanished;           /* ranges that were told */
	bool conditional;          /* mod-sequences are asked for */
	bool told;                 /* its first message has come */
	bool failed;
	struct err err;
	struct ready *first, **last;
	struct piece *pieces;
	size_t piece_count;
};

static void
piece_free(struct piece *piece)
{
	if (piece->message != NULL)
		message_free(&piece->message);
	else
		item_free(&piece->item);
	free(piece);
}

static void
op_free(struct fetch_op *op)
{
	struct ready *next;

	for (struct ready *ready = op->first; ready != NULL; ready = next) {
		next = ready->next;
		message_free(&ready->message);
		free(ready);
	}
	while (op->pieces != NULL) {
		struct piece *piece = op->pieces;

		op->pieces = piece->next;
		piece_free(piece);
	}
	uidset_clear(&op->asked);
	uidset_clear(&op->seen);
	selection_unref(&op->selection);
	free(op);
}

void
fetch_clear(struct session *s)
{
	struct fetch_op *next;

	for (struct fetch_op *op = s->fetch_first; op != NULL; op = next) {
		next = op->next;
		op_free(op);
	}
	s->fetch_first = s->fetch_last = NULL;
}

enum fetch_what
fetch_op_what(const struct fetch_op *op)
{
	return op->what;
}

bool
fetch_keeps(const struct fetch_op *op)
{
	return op->what == FETCH_BODY || op->what == FETCH_WHOLE;
}

bool
fetch_is_oldest(const struct session *s, const struct fetch_op *op)
{
	return s->fetch_first == op;
}

static bool
takes_answers(const struct session *s, const struct fetch_op *op)
{
	return op->waiting > 0 && !op->failed && op->selection == s->current;
}

static bool
wants_body(const struct fetch_op *op)
{
	return op->what > FETCH_META;
}

/* An answer that tells so much is one to this fetch. */
static bool
is_told(const struct fetch_op *op, unsigned told)
{
	switch (op->what) {
	case FETCH_UIDS:
		return true;
	case FETCH_FLAGS:
		return (told & FETCH_TOLD_FLAGS) != 0;
	case FETCH_META:
	case FETCH_BODY:
	case FETCH_WHOLE:
	case FETCH_DIGEST:
	case FETCH_HEAD:
		break;
	}
	return (told & (FETCH_TOLD_DATE | FETCH_TOLD_SIZE)) != 0;
}

bool
fetch_wanting(const struct session *s)
{
	const struct fetch_op *op = s->fetch_first;

	while (op != NULL && !(takes_answers(s, op) && wants_body(op)))
		op = op->next;
	return op != NULL;
}

struct fetch_op *
fetch_wanted(struct session *s, uint32_t uid, bool has_body, unsigned told)
{
	for (struct fetch_op *op = s->fetch_first; op != NULL; op = op->next) {
		if (takes_answers(s, op) && op->what != FETCH_UIDS && has_body == wants_body(op) &&
			(has_body || is_told(op, told)) && uidset_has(&op->asked, uid) &&
			!uidset_has(&op->seen, uid))
			return op;
	}
	return NULL;
}

void
fetch_list(struct session *s, uint32_t uid)
{
	for (struct fetch_op *op = s->fetch_first; op != NULL; op = op->next) {
		struct message *message;

		if (op->what != FETCH_UIDS || !takes_answers(s, op) ||
			!uidset_has(&op->asked, uid) || uidset_has(&op->seen, uid))
			continue;
		message = message_new(uid);
		fetch_give(op, &message);
		s->progress = true;
		return;
	}
}

static struct piece **
piece_of(struct fetch_op *op, uint32_t uid)
{
	struct piece **at = &op->pieces;

	while (*at != NULL && (*at)->item->uid != uid)
		at = &(*at)->next;
	return at;
}

static struct piece *
piece_out(struct fetch_op *op, struct piece **at)
{
	struct piece *piece = *at;

	*at = piece->next;
	op->piece_count--;
	return piece;
}

static void
piece_add(struct fetch_op *op, struct item *item, unsigned told, struct message *message)
{
	struct piece **at = &op->pieces;

	while (*at != NULL)
		at = &(*at)->next;
	*at = xcalloc(1, sizeof(**at));
	(*at)->item = item;
	(*at)->told = told;
	(*at)->message = message;
	op->piece_count++;
}

/* What `from` tells and `to` does not know. */
static void
item_merge(struct item *to, unsigned *told, struct item *from, unsigned from_told)
{
	unsigned news = from_told & ~*told;

	if ((news & FETCH_TOLD_FLAGS) != 0) {
		to->flags = from->flags;
		free(to->keywords);
		to->keywords = from->keywords;
		from->keywords = NULL;
	}
	if ((news & FETCH_TOLD_DATE) != 0)
		to->received = from->received;
	if ((news & FETCH_TOLD_SIZE) != 0)
		to->size = from->size;
	*told |= news;
}

void
fetch_add_known(struct fetch_op *op, struct item *item, unsigned *told)
{
	struct piece **at = piece_of(op, item->uid), *piece;

	if (*at == NULL || (*at)->message != NULL)
		return;
	piece = piece_out(op, at);
	item_merge(item, told, piece->item, piece->told);
	piece_free(piece);
}

void
fetch_note(struct session *s, struct item **item, unsigned told)
{
	uint32_t uid = (*item)->uid;

	for (struct fetch_op *op = s->fetch_first; op != NULL && told != 0; op = op->next) {
		struct piece **at, *piece;

		if (op->what == FETCH_UIDS || !takes_answers(s, op) || !uidset_has(&op->asked, uid))
			continue;
		at = piece_of(op, uid);
		if (*at != NULL && (*at)->message != NULL) {
			piece = *at;
			item_merge(piece->item, &piece->told, *item, told);
			if ((piece->told & FETCH_TOLD_NEEDED) != FETCH_TOLD_NEEDED)
				return;
			piece = piece_out(op, at);
			fetch_give(op, &piece->message);
			free(piece);
			return;
		}
		if (uidset_has(&op->seen, uid))
			continue;
		if (*at != NULL) { /* the newer one counts */
			item_merge(*item, &told, (*at)->item, (*at)->told);
			piece_free(piece_out(op, at));
		}
		if (op->piece_count < PIECES_MAX) {
			piece_add(op, *item, told, NULL);
			*item = NULL;
		}
		return;
	}
}

void
fetch_take(struct fetch_op *op, struct message **message, unsigned told)
{
	struct message *m = *message;

	fetch_add_known(op, m->item, &told);
	if (!wants_body(op) || op->piece_count >= PIECES_MAX ||
		(told & FETCH_TOLD_NEEDED) == FETCH_TOLD_NEEDED) {
		fetch_give(op, message);
		return;
	}
	uidset_add(&op->seen, m->item->uid, m->item->uid);
	piece_add(op, m->item, told, m);
	*message = NULL;
}

/* The fetch is over: what was not told will not be. */
static void
give_held(struct fetch_op *op)
{
	for (struct piece **at = &op->pieces; *at != NULL;) {
		struct piece *piece;

		if ((*at)->message == NULL) {
			at = &(*at)->next;
			continue;
		}
		piece = piece_out(op, at);
		fetch_give(op, &piece->message);
		free(piece);
	}
}

void
fetch_give(struct fetch_op *op, struct message **message)
{
	struct ready *ready = xcalloc(1, sizeof(*ready));

	uidset_add(&op->seen, (*message)->item->uid, (*message)->item->uid);
	ready->message = *message;
	*message = NULL;
	*op->last = ready;
	op->last = &ready->next;
}

static void
op_fail(struct fetch_op *op, const struct err *err)
{
	if (op->failed)
		return;
	op->failed = true;
	op->err = *err;
}

void
fetch_selected(struct session *s, struct selection *selection)
{
	struct err err = { 0 };

	for (struct fetch_op *op = s->fetch_first; op != NULL; op = op->next) {
		if (op->selection != selection)
			continue;
		if (selection->state == SELECTION_FAILED)
			op_fail(op, &selection->err);
		else if (selection_check(selection, op->folder, &err) != 0)
			op_fail(op, &err);
	}
}

static void
fetch_done(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	struct fetch_op *op = command->owner;
	struct err err = { 0 };
	enum err_code code = refusal_code(REFUSED_FOLDER, resp);

	op->waiting--;
	/* What it said until now was taken for news of the folder before: it is lost, and more may
	 * be out of order. */
	if (op->selection->state == SELECTION_SENT) {
		err_set(&err, ERR_PROTOCOL, "the server answered UID FETCH before it opened %s",
			op->folder->key);
		session_fail(s, &err);
		return;
	}
	/* Expunged by someone else meanwhile: those just do not come. */
	if (status == REPLY_OK || (status == REPLY_NO && code == ERR_VANISHED && op->since == NULL))
		return;
	/* What it advertises and does not do, or not for this folder, is not asked for again. */
	if (op->conditional) {
		s->no_modseq = s->no_modseq || status == REPLY_BAD;
		code = ERR_REFUSED;
	} else if (status == REPLY_BAD) {
		code = ERR_BAD;
	}
	err_set(&err, code, "%s: UID FETCH: %.*s", op->folder->key, (int)resp->text_len,
		resp->text);
	op_fail(op, &err);
}

/* Of a fetch for changes that the selected folder's answers go to. */
static struct fetch_op *
since_wanted(const struct session *s)
{
	struct fetch_op *op = s->fetch_first;

	while (op != NULL && !(takes_answers(s, op) && op->since != NULL))
		op = op->next;
	return op;
}

/* Commands of one folder may be in flight beside each other, each for UIDs of its own; the set says
 * which it is for. */
static void
add_vanished(struct session *s, const struct uidset *uids)
{
	for (struct fetch_op *op = s->fetch_first; op != NULL; op = op->next) {
		if (!takes_answers(s, op) || op->since == NULL)
			continue;
		for (size_t i = 0; i < uids->count; i++) {
			if (op->vanished++ < VANISHED_MAX)
				uidset_add(&op->since->gone, uids->ranges[i].first,
					uids->ranges[i].last);
			else
				op->since->told = false;
		}
	}
}

int
fetch_take_vanished(struct session *s, struct err *err)
{
	struct fetch_op *op = since_wanted(s);
	struct wire_token token;
	struct uidset uids = { 0 };
	bool earlier = false;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type == WIRE_OPEN) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		earlier = token.type == WIRE_ATOM && wire_is(&token, "EARLIER");
		while (token.type != WIRE_CLOSE) {
			if (token.type == WIRE_EOL || token.type == WIRE_OPEN)
				return err_set(
					err, ERR_PROTOCOL, "the server sent a broken VANISHED");
			if (wire_next(&s->wire, false, &token, err) != 0)
				return -1;
		}
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
	}
	/* One that is going just now is told by the next pass. */
	if (op != NULL && earlier && token.type == WIRE_ATOM) {
		s->progress = true;
		if (uidset_parse(&uids, token.text, token.len, VANISHED_MAX) != 0)
			op->since->told = false;
		add_vanished(s, &uids);
		uidset_clear(&uids);
	}
	return token.type == WIRE_EOL ? 0 : wire_skip_rest(&s->wire, err);
}

static int
send_fetches(struct session *s, struct fetch_op *op, struct err *err)
{
	static const char *const items[] = {
		[FETCH_UIDS] = "(UID)",
		[FETCH_FLAGS] = "(UID FLAGS)",
		[FETCH_META] = "(UID FLAGS INTERNALDATE RFC822.SIZE)",
		[FETCH_BODY] = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
		[FETCH_WHOLE] = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
		[FETCH_DIGEST] = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
		[FETCH_HEAD] = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.65536>)",
	};
	size_t wrote, from = 0;
	struct str set;
	int ret = 0;

	str_init(&set, COMMAND_LINE_MAX);
	while (from < op->asked.count && ret == 0) {
		str_reset(&set);
		wrote = uidset_write(&set, &op->asked, from, COMMAND_LINE_MAX - 200);
		if (wrote == 0)
			BUG("a UID range does not fit a command");
		from += wrote;
		command_begin(s, "UID FETCH");
		command_addf(s, " %s %s", str_get(&set),
			op->conditional && op->since == NULL ? "(UID FLAGS MODSEQ)"
							     : items[op->what]);
		if (op->since != NULL)
			command_addf(s, " (CHANGEDSINCE %llu%s)",
				(unsigned long long)op->since->modseq,
				op->since->told ? " VANISHED" : "");
		op->waiting++;
		ret = command_send(s, fetch_done, op, 0, err);
	}
	str_clear(&set);
	return ret;
}

static void
op_append(struct session *s, struct fetch_op *op)
{
	if (s->fetch_last != NULL)
		s->fetch_last->next = op;
	else
		s->fetch_first = op;
	s->fetch_last = op;
}

static int
start(struct session *s, const struct folder *folder, const struct uidset *set,
	enum fetch_what what, struct fetch_since *since, struct err *err)
{
	struct fetch_op *op, *last = s->fetch_last;
	struct selection *selection = NULL;
	/* A new view of the folder, unless fetches of it are on their way. */
	bool reuse = last != NULL && last->selection != NULL && last->selection == s->sent;

	compress_look(s, true);
	if (session_alive(s, err) != 0 || compress_at_rest(s, err) != 0)
		return -1;
	if (set->count > 0 && selection_send(s, folder, reuse, &selection, err) != 0)
		return -1;
	op = xcalloc(1, sizeof(*op));
	op->folder = folder;
	op->selection = selection;
	op->what = what;
	op->since = since;
	op->conditional = since != NULL ||
			  (what == FETCH_FLAGS && !s->no_modseq && session_has(s, HAS_CONDSTORE));
	op->last = &op->first;
	if (since != NULL)
		since->told = s->enabling;
	for (size_t i = 0; i < set->count; i++)
		uidset_add(&op->asked, set->ranges[i].first, set->ranges[i].last);
	op_append(s, op);
	if (selection != NULL && selection->state != SELECTION_SENT)
		fetch_selected(s, selection);
	if (send_fetches(s, op, err) != 0)
		return -1;
	return command_flush(s, err);
}

int
imap_fetch_start(struct session *s, const struct folder *folder, const struct uidset *set,
	enum fetch_what what, struct err *err)
{
	return start(s, folder, set, what, NULL, err);
}

int
imap_changes_start(struct session *s, const struct folder *folder, const struct uidset *set,
	struct fetch_since *since, struct err *err)
{
	return start(s, folder, set, FETCH_FLAGS, since, err);
}

static int
op_end(struct session *s, struct err *err)
{
	struct fetch_op *op = s->fetch_first;
	int ret = 0;

	s->fetch_first = op->next;
	if (s->fetch_first == NULL)
		s->fetch_last = NULL;
	if (op->failed) {
		ret = -1;
		if (err != NULL)
			*err = op->err;
	}
	op_free(op);
	return ret;
}

/* The first message of a fetch is there, after a wait; or another one, as a whole or, of a ring,
 * its head. */
static void
tell_host(const struct session *s, struct fetch_op *op, const struct message *message,
	int64_t waited_ms)
{
	if (s->env.host == NULL || op->what < FETCH_BODY || op->what > FETCH_DIGEST)
		return;
	if (!op->told) {
		op->told = true;
		pace_answered(s->env.host, waited_ms);
	}
	pace_moved(s->env.host, 1, message->body_bytes);
}

int
imap_fetch_next(struct session *s, struct message **message_r, struct err *err)
{
	struct fetch_op *op = s->fetch_first;
	struct ready *ready;
	int64_t since;
	int ret;

	compress_look(s, false);
	if (op == NULL)
		return session_alive(s, err);
	since = op->told ? 0 : clock_ms();
	while (op->first == NULL && op->waiting > 0) {
		s->fetching = true;
		ret = session_pump(s, err);
		s->fetching = false;
		if (ret != 0)
			return -1;
	}
	if (op->first == NULL)
		give_held(op);
	if (op->first == NULL)
		return op_end(s, err);
	ready = op->first;
	op->first = ready->next;
	if (op->first == NULL)
		op->last = &op->first;
	*message_r = ready->message;
	tell_host(s, op, ready->message, op->told ? 0 : clock_ms() - since);
	free(ready);
	return 1;
}
