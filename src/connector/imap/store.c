/* store.c - batches on their way to the target.
 *
 * A batch is one APPEND with many messages (MULTIAPPEND), or one APPEND per message, sent without
 * waiting where literals may be (LITERAL+, LITERAL- up to 4096 bytes), in step with the server's
 * `+` where not. With unasked literals a server that refuses the arguments reads the body as
 * commands, so: arguments are built from checked values only, and the first BAD, or any tag that is
 * not ours, closes the link before anything else is read or sent. A body that does not come to its
 * announced end closes it too; nothing is ever padded. */
#include "connector/imap/imap_private.h"

#include "base/clock.h"
#include "base/die.h"
#include "mail/date.h"
#include "net/pace.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum {
	BATCH_MESSAGES = 100,
	BATCH_MESSAGES_WAITING = 16, /* where each message costs a round trip anyway */
	BATCH_BYTES = 4 << 20,
	WINDOW_MIN = 8 << 20,
	WINDOW_MAX = 32 << 20,
	WINDOW_PER_MS = 128 << 10, /* of round trip: about 1 Gbit/s */
	LITERAL_MINUS_MAX = 4096,  /* RFC 7888, 5 */
	CHUNK_BYTES = 64 << 10,
	ENTRY_OVERHEAD = 200 /* arguments, as counted in a window */
};

struct store_command {
	size_t first, count; /* entries */
	bool complete;       /* every byte of it was written */
};

struct store_op {
	struct store_op *next;
	struct batch *batch;
	struct selection *selection;
	struct store_command *commands;
	size_t sent, waiting; /* commands */
	uint64_t bytes, memory;
	bool careful;
};

static void
op_free(struct store_op *op)
{
	selection_unref(&op->selection);
	free(op->commands);
	free(op);
}

void
store_clear(struct session *s)
{
	struct store_op *next;

	for (struct store_op *op = s->store_first; op != NULL; op = next) {
		next = op->next;
		batch_free(&op->batch);
		op_free(op);
	}
	s->store_first = s->store_last = NULL;
	s->store_count = 0;
}

static bool
pipelines(const struct session *s)
{
	return session_has(s, HAS_LITERAL_PLUS);
}

/* What may be in flight: two batches where the server is near, and what a fast line holds where it
 * is far. In bytes: a window of so many commands is too small at latency. */
static uint64_t
window_bytes(const struct session *s)
{
	uint64_t window = WINDOW_MIN + (uint64_t)s->rtt_ms * WINDOW_PER_MS;

	return window < WINDOW_MAX ? window : WINDOW_MAX;
}

static uint64_t
in_memory(const struct batch *batch)
{
	uint64_t bytes = 0;
	size_t len;

	for (size_t i = 0; i < batch->count; i++)
		if (!spool_is_ring(batch->entries[i].body) &&
			spool_view(batch->entries[i].body, &len) != NULL)
			bytes += len;
	return bytes + batch->count * MESSAGE_OVERHEAD;
}

static bool
is_full(const struct session *s, uint64_t bytes, uint64_t memory)
{
	if (s->store_first == NULL)
		return false;
	if (s->store_bytes + bytes > window_bytes(s))
		return true;
	return s->env.memory != NULL && s->store_memory + memory > *s->env.memory;
}

void
imap_batch_limits(struct session *s, struct batch_limits *limits_r)
{
	(void)session_about(s, NULL); /* the round trip; a link that is gone says so elsewhere */
	*limits_r = (struct batch_limits){
		.messages = pipelines(s) ? BATCH_MESSAGES : BATCH_MESSAGES_WAITING,
		.bytes = BATCH_BYTES,
		.message_max = s->append_limit,
		.window_bytes = window_bytes(s),
	};
}

size_t
imap_store_pending(const struct session *s)
{
	return s->store_count;
}

bool
imap_store_readable(struct session *s)
{
	/* What else is there, an answer to SELECT for one, is no reason to wait for the batch's. */
	while (s->store_first != NULL && !s->dead && s->store_first->waiting > 0) {
		if (wire_buffered(&s->wire) == 0 && !s->io.readable(s->io.owner))
			return false;
		if (session_pump(s, NULL) != 0)
			break;
	}
	return true;
}

/* APPENDUID's "uidvalidity uid-set" (RFC 4315, 3): the UIDs in the order of the messages. */
static void
take_appenduid(struct session *s, struct batch *batch, const struct store_command *command,
	const struct resp_text *resp)
{
	const char *blank = memchr(resp->args, ' ', resp->args_len);
	uint32_t *uids;
	unsigned uidvalidity;
	size_t at;
	long got;

	if (blank == NULL)
		return;
	at = (size_t)(blank - resp->args) + 1;
	if (text_u32(resp->args, at - 1, &uidvalidity) != 0)
		return;
	uids = xcalloc(command->count, sizeof(*uids));
	got = uidset_expand(resp->args + at, resp->args_len - at, uids, command->count);
	if (got == (long)command->count) {
		batch->uidvalidity = uidvalidity;
		for (size_t i = 0; i < command->count; i++)
			batch->entries[command->first + i].uid = uids[i];
	} else {
		session_log(s, LOG_WARN, batch->folder->key,
			"APPENDUID does not fit %zu messages: %.*s", command->count,
			(int)resp->args_len, resp->args);
	}
	free(uids);
}

static void
set_entries(struct batch *batch, const struct store_command *command, enum store_state state,
	const struct err *err)
{
	for (size_t i = 0; i < command->count; i++) {
		struct store_entry *entry = &batch->entries[command->first + i];

		entry->state = state;
		if (err != NULL)
			entry->err = *err;
	}
}

/* After this the server may be reading a body as commands. */
static void
fail_at_once(struct session *s, enum err_code code, const char *what, const struct resp_text *resp)
{
	struct err err = { 0 };

	err_set(&err, code, "APPEND: %s: %.*s", what, (int)resp->text_len, resp->text);
	session_fail(s, &err);
}

static void
append_done(struct session *s, const struct command *pending, enum reply_status status,
	const struct resp_text *resp)
{
	struct store_op *op = pending->owner;
	struct store_command *command = &op->commands[pending->index];
	const char *key = op->batch->folder->key;
	struct err err = { 0 };
	enum err_code code = refusal_code(REFUSED_APPEND, resp);

	if (status == REPLY_OK && !command->complete) {
		fail_at_once(s, ERR_PROTOCOL, "the server takes what it has not got", resp);
		return;
	}
	if (status == REPLY_BAD && (command->complete || !op->careful)) {
		fail_at_once(s, ERR_BAD, "the server calls it malformed", resp);
		return;
	}
	op->waiting--;
	if (status == REPLY_OK) {
		set_entries(op->batch, command, STORE_DONE, NULL);
		if (resp->code == CODE_APPENDUID)
			take_appenduid(s, op->batch, command, resp);
		return;
	}
	/* BAD in place of a `+`: no byte of the body left, all is in step. */
	err_set(&err, status == REPLY_BAD ? ERR_REFUSED : code, "%s: APPEND: %.*s", key,
		(int)resp->text_len, resp->text);
	set_entries(op->batch, command, STORE_REFUSED, &err);
}

/* The announced size of an entry's body; waits for it where nobody has said. */
static int
entry_size(struct store_entry *entry, uint64_t *size_r, struct err *err)
{
	if (entry->body == NULL)
		BUG("a message without a body");
	*size_r = spool_total(entry->body);
	if (*size_r > 0)
		return 0;
	if (spool_wait(entry->body, err) != 0)
		return -1;
	*size_r = spool_size(entry->body);
	return 0;
}

static bool
must_wait(const struct session *s, const struct store_op *op, uint64_t size)
{
	if (op->careful)
		return true;
	if (session_has(s, HAS_LITERAL_PLUS))
		return false;
	return !session_has(s, HAS_LITERAL_MINUS) || size > LITERAL_MINUS_MAX;
}

static bool
is_multi(const struct session *s, const struct store_op *op)
{
	return op->batch->count > 1 && !op->careful && pipelines(s) &&
	       session_has(s, HAS_MULTIAPPEND);
}

static void
add_arguments(
	struct session *s, const struct store_op *op, struct store_entry *entry, uint64_t size)
{
	char *keywords = flags_keep(op->selection, entry->keywords, &entry->keywords_dropped);
	char date[32];
	struct str flags;

	str_init(&flags, COMMAND_LINE_MAX);
	flags_write(&flags, entry->flags & ITEM_FLAGS_ALL, keywords);
	if (flags.len > 0) {
		command_add(s, " (");
		command_add(s, str_get(&flags));
		command_add(s, ")");
	}
	if (entry->received != ITEM_DATE_NONE) {
		command_add(s, " \"");
		command_add(s, date_write_imap(date, sizeof(date), entry->received));
		command_add(s, "\"");
	}
	command_literal(s, size, must_wait(s, op, size));
	str_clear(&flags);
	free(keywords);
}

/* The body did not come as announced: the link is closed, the server has half a literal. */
static int
body_broke(struct session *s, const struct err *cause, struct err *err)
{
	struct err lost = { 0 };

	err_set(&lost, ERR_LOST, "closed by us within a message: %s", cause->text);
	session_fail(s, cause->code == ERR_DISK || cause->code == ERR_CANCELLED ? cause : &lost);
	return session_alive(s, err);
}

static int
copy_body(struct session *s, struct store_entry *entry, uint64_t size, struct err *err)
{
	/* Of a ring nobody but its reader sees all bytes: we complete its digests. */
	bool digest = spool_is_ring(entry->body) && entry->message != NULL &&
		      entry->message->body == entry->body;
	struct digester *digester = digest ? digester_new() : NULL;
	unsigned char chunk[CHUNK_BYTES];
	struct err cause = { 0 };
	uint64_t at = 0;
	size_t got;
	int ret = 0;

	err_set(&cause, ERR_PROTOCOL, "its body is not of the announced size");
	for (;;) {
		if (spool_read(entry->body, at, chunk, sizeof(chunk), &got, &cause) != 0) {
			ret = body_broke(s, &cause, err);
			break;
		}
		if (got == 0 || got > size - at) {
			if (got > 0 || at != size)
				ret = body_broke(s, &cause, err);
			break;
		}
		if (digester != NULL)
			digester_add(digester, chunk, got);
		ret = command_bytes(s, chunk, got, err);
		if (ret != 0)
			break;
		at += got;
	}
	if (digester != NULL && ret == 0)
		digester_end(&digester, &entry->message->digests);
	digester_free(&digester);
	return ret;
}

static int
write_body(struct session *s, struct store_entry *entry, uint64_t size, struct err *err)
{
	size_t whole;
	const unsigned char *view = spool_view(entry->body, &whole);

	if (view != NULL && whole == size)
		return command_bytes(s, view, whole, err);
	return copy_body(s, entry, size, err);
}

static int
first_byte(struct session *s, struct store_op *op, struct err *err)
{
	if (op->sent != 1)
		return 0;
	if (command_flush(s, err) != 0)
		return -1;
	die_step(DIE_FIRST_BYTE);
	return 0;
}

/* One APPEND with entries from..from+count. */
static int
send_append(struct session *s, struct store_op *op, size_t from, size_t count, struct err *err)
{
	struct store_command *command = &op->commands[op->sent];
	struct batch *batch = op->batch;
	uint32_t number = 0;
	uint64_t size;
	int ret;

	*command = (struct store_command){ .first = from, .count = count };
	for (size_t i = 0; i < count; i++) {
		struct store_entry *entry = &batch->entries[from + i];

		if (entry_size(entry, &size, err) != 0)
			return s->dead || op->sent == 0 ? -1 : body_broke(s, err, err);
		if (i == 0) {
			command_begin(s, "APPEND");
			command_string(s, batch->folder->key, strlen(batch->folder->key));
			add_arguments(s, op, entry, size);
			op->sent++;
			op->waiting++;
			ret = command_open(s, append_done, op, op->sent - 1, &number, err);
			if (ret >= 0 && first_byte(s, op, err) != 0)
				return -1;
		} else {
			add_arguments(s, op, entry, size);
			ret = command_more(s, number, err);
		}
		if (ret < 0)
			return -1;
		if (ret == 1) /* refused before its body: nothing more of it */
			return 0;
		if (session_traces(s))
			session_log(
				s, LOG_TRACE, NULL, "C: {%llu bytes}", (unsigned long long)size);
		if (write_body(s, entry, size, err) != 0)
			return -1;
	}
	command->complete = true;
	return command_end(s, err);
}

static int
send_batch(struct session *s, struct store_op *op, struct err *err)
{
	struct batch *batch = op->batch;

	if (is_multi(s, op)) {
		batch->one_command = true;
		if (send_append(s, op, 0, batch->count, err) != 0)
			return -1;
	} else {
		for (size_t i = 0; i < batch->count; i++) {
			if (send_append(s, op, i, 1, err) != 0)
				return -1;
		}
	}
	if (command_flush(s, err) != 0)
		return -1;
	die_step(DIE_LAST_BYTE);
	return 0;
}

static bool
has_keywords(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->entries[i].keywords != NULL && batch->entries[i].keywords[0] != '\0')
			return true;
	}
	return false;
}

/* SELECT, and for keywords on a server not known to take new ones, what it says of them. */
static int
select_target(struct session *s, struct store_op *op, struct err *err)
{
	if (selection_send(s, op->batch->folder, true, &op->selection, err) != 0)
		return -1;
	if (!has_keywords(op->batch) || s->keywords_welcome)
		return 0;
	return selection_wait(s, op->selection, true, err);
}

static void
op_append(struct session *s, struct store_op *op)
{
	if (s->store_last != NULL)
		s->store_last->next = op;
	else
		s->store_first = op;
	s->store_last = op;
	s->store_count++;
	s->store_bytes += op->bytes;
	s->store_memory += op->memory;
}

/* Everything that was sent, and is not known, is in doubt. */
static void
mark_unknown(struct store_op *op, const struct err *err)
{
	struct batch *batch = op->batch;

	for (size_t i = 0; i < batch->count; i++) {
		if (batch->entries[i].state != STORE_PENDING)
			continue;
		batch->entries[i].state = STORE_UNKNOWN;
		batch->entries[i].err = *err;
	}
}

int
imap_store_start(struct session *s, struct batch **batch, struct err *err)
{
	uint64_t bytes = (*batch)->bytes + (*batch)->count * ENTRY_OVERHEAD;
	uint64_t memory = in_memory(*batch);
	struct store_op *op;

	compress_look(s, true);
	if (session_alive(s, err) != 0)
		return -1;
	if (is_full(s, bytes, memory) || (s->store_first != NULL && compress_wants_rest(s)))
		return 1;
	if (compress_at_rest(s, err) != 0)
		return -1;
	op = xcalloc(1, sizeof(*op));
	op->batch = *batch;
	op->bytes = bytes;
	op->memory = memory;
	op->careful = (*batch)->careful;
	op->commands = xcalloc((*batch)->count + 1, sizeof(*op->commands));
	if (select_target(s, op, err) != 0) {
		op_free(op);
		return -1;
	}
	if (op->selection->state == SELECTION_OPEN) {
		struct err changed = { 0 };

		/* Known before a byte of it leaves: nothing is sent. */
		if (selection_check(op->selection, (*batch)->folder, &changed) != 0) {
			for (size_t i = 0; i < (*batch)->count; i++) {
				(*batch)->entries[i].state = STORE_REFUSED;
				(*batch)->entries[i].err = changed;
			}
			op_append(s, op);
			*batch = NULL;
			return 0;
		}
	}
	if (send_batch(s, op, err) != 0) {
		if (s->dead && op->sent > 0)
			mark_unknown(op, &s->dead_err);
		op_free(op);
		return -1;
	}
	op_append(s, op);
	*batch = NULL;
	return 0;
}

/* Keywords that left with the SELECT and turn out not to be kept. */
static void
note_dropped_keywords(struct store_op *op)
{
	for (size_t i = 0; i < op->batch->count; i++) {
		struct store_entry *entry = &op->batch->entries[i];
		bool dropped = false;

		free(flags_keep(op->selection, entry->keywords, &dropped));
		if (dropped)
			entry->keywords_dropped = true;
	}
}

/* What the server has acknowledged, and how long it was waited for. */
static void
tell_host(const struct session *s, const struct batch *batch, int64_t waited_ms)
{
	uint64_t messages = 0, bytes = 0;

	if (s->env.host == NULL)
		return;
	for (size_t i = 0; i < batch->count; i++) {
		const struct store_entry *entry = &batch->entries[i];

		if (entry->state != STORE_DONE || entry->body == NULL)
			continue;
		messages++;
		bytes += spool_total(entry->body);
	}
	pace_moved(s->env.host, messages, bytes);
	pace_answered(s->env.host, waited_ms);
}

int
imap_store_next(struct session *s, struct batch **batch_r, struct err *err)
{
	struct store_op *op = s->store_first;
	int64_t since;

	compress_look(s, false);
	if (op == NULL)
		return 0;
	if (s->dead && !s->death_told) {
		s->death_told = true;
		return session_alive(s, err);
	}
	since = clock_ms();
	while (!s->dead && op->waiting > 0) {
		if (session_pump(s, err) != 0) {
			s->death_told = true;
			return -1;
		}
	}
	if (op->waiting > 0)
		mark_unknown(op, &s->dead_err);
	else
		tell_host(s, op->batch, clock_ms() - since);
	if (op->batch->uidvalidity == 0)
		op->batch->uidvalidity = op->selection->uidvalidity;
	note_dropped_keywords(op);
	s->store_first = op->next;
	if (s->store_first == NULL)
		s->store_last = NULL;
	s->store_count--;
	s->store_bytes -= op->bytes;
	s->store_memory -= op->memory;
	*batch_r = op->batch;
	op_free(op);
	return 1;
}
