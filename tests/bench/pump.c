/* pump.c - a bare mail pump: how fast two IMAP servers let one mailbox be copied.
 *
 * usage: pump --source HOST:PORT --target HOST:PORT --user NAME [--pairs N] [--tls]
 *             [--mode copy|read|write] [--batch-messages N] [--batch-bytes N]
 *
 * The yardstick of the benchmarks. It keeps no ledger and makes no promise: whoever runs it twice
 * has the mail twice. The password of both sides is in the environment variable PUMP_PASSWORD; with
 * --tls both ports speak TLS from the first byte, and no certificate is looked at. The servers need
 * LITERAL+ and MULTIAPPEND, for --pairs above one LIST-STATUS, too.
 *
 *   copy   all folders of the source to the target, which is made to have them
 *   read   the floor of the source: all is read and dropped
 *   write  the floor of the target: all mail is read into memory and the folders are made, untimed;
 *          then a new connection writes it
 *
 * One line of JSON on stdout: "seconds" is the wall time of the timed part, which begins before its
 * first connect() and ends with the last answer, so logins are part of it in every mode; "cpu" and
 * "peak_kb" are the whole process's. Any NO, BAD or surprise ends it with status 1.
 *
 * Two threads for each pair of connections. The reader asks for many folders ahead (EXAMINE and one
 * UID FETCH for each) and reads into a ring of bytes; what precedes a body there is overwritten in
 * place by what must precede it in an APPEND. So a message is one piece of the ring, which the
 * writer passes on without another copy, and before it has arrived as a whole. Nothing but TCP
 * holds the writer back: any number of commands may be unanswered. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "session.h"

#define PAIRS_MAX    64
#define LINE_MAX_LEN 65536
#define FLAGS_MAX    4096
#define ITEM_MAX     (UINT32_C(1) << 31)

#define RING_BYTES    (8 << 20)
#define RING_PIECES   65536
#define MEMORY_BYTES  (INT64_C(64) << 30) /* address space for --mode write */
#define MEMORY_PIECES (INT64_C(1) << 26)
#define READ_BYTES    (256 << 10)
#define READ_MIN      (64 << 10) /* less room than this is not worth a call */
#define AHEAD_BYTES                                                                                \
	(48 << 10)         /* of commands the source has not yet answered: they fit a socket       \
			    */
#define TAKE_PIECES    256 /* the writer takes at most so many at once, */
#define TAKE_BYTES     (512 << 10) /* and no more when it has this much */
#define UNREAD_ANSWERS 32          /* commands after which the target's answers are looked at */

enum mode { MODE_COPY, MODE_READ, MODE_WRITE };

struct options {
	struct addrinfo *source;
	struct addrinfo *target;
	const char *user;
	const char *password;
	enum mode mode;
	unsigned pairs;
	size_t batch_messages;
	size_t batch_bytes;
	SSL_CTX *tls; /* NULL: none */
};

enum piece_kind {
	PIECE_FOLDER, /* what follows is of the folder `size` */
	PIECE_START,  /* a message's flags, date and size, and as much of it as there is */
	PIECE_MORE,
	PIECE_FINISH,
};

struct piece {
	char *bytes;
	size_t len;
	size_t size; /* PIECE_START: of the message; PIECE_FOLDER: its number */
	enum piece_kind kind;
};

/* Between reader and writer: bytes in a ring, and the pieces of it that are to be sent. */
struct queue {
	/* Fixed. */
	char *ring;
	size_t ring_bytes;
	struct piece *pieces;
	size_t pieces_max;
	bool discard; /* --mode read */
	bool memory;  /* --mode write: nobody takes anything before all is there */
	/* The reader's. */
	size_t fill;         /* where the next byte is read to */
	struct piece *fresh; /* not yet shown to the writer: READ_BYTES have no more of them */
	size_t fresh_count;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t first; /* the oldest piece */
	size_t count;
	size_t freed; /* offset behind the last byte that was sent */
};

struct pump;

struct pair {
	unsigned id;
	struct pump *pump;
	struct queue queue;
	struct wire source;
	struct wire target;
	pthread_t reader;
	pthread_t writer;
	/* The reader's, read when it has ended. */
	size_t messages;
	uint64_t bytes;
};

struct pump {
	struct options opt;
	struct pair *pairs;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool listed; /* the source */
	bool made;   /* the folders of the target; with one pair: their CREATEs are sent */
	/* The first pair's reader's until `listed`, then fixed. */
	struct folder *folders; /* with several pairs largest first */
	size_t folder_count;
	char delimiter;
	/* The first pair's writer's until `made`, then fixed. */
	char target_delimiter;
};

static double
now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The queue. */

static void
queue_init(struct queue *queue, enum mode mode)
{
	queue->ring_bytes = mode == MODE_WRITE ? (size_t)MEMORY_BYTES : RING_BYTES;
	queue->pieces_max = mode == MODE_WRITE ? (size_t)MEMORY_PIECES : RING_PIECES;
	queue->ring = alloc_pages(queue->ring_bytes);
	queue->pieces = alloc_pages(queue->pieces_max * sizeof(*queue->pieces));
	queue->fresh = alloc_pages(READ_BYTES * sizeof(*queue->fresh));
	queue->memory = mode == MODE_WRITE;
	queue->discard = mode == MODE_READ;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
}

static void
wait_change(struct queue *queue)
{
	pthread_cond_wait(&queue->changed, &queue->lock);
}

/* Reader: the writer may have what was found so far. */
static void
publish(struct queue *queue)
{
	size_t i;

	if (queue->fresh_count == 0 || queue->discard) {
		queue->fresh_count = 0;
		return;
	}
	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < queue->fresh_count; i++) {
		while (queue->count == queue->pieces_max) {
			if (queue->memory)
				die("too many messages for --mode write");
			wait_change(queue);
		}
		queue->pieces[(queue->first + queue->count++) % queue->pieces_max] =
			queue->fresh[i];
	}
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	queue->fresh_count = 0;
}

static void
add_piece(struct queue *queue, enum piece_kind kind, char *bytes, size_t len, size_t size)
{
	struct piece *last = &queue->fresh[queue->fresh_count];

	if (kind == PIECE_MORE && queue->fresh_count > 0 &&
		last[-1].bytes + last[-1].len == bytes) {
		last[-1].len += len;
		return;
	}
	*last = (struct piece){ .bytes = bytes, .len = len, .size = size, .kind = kind };
	queue->fresh_count++;
}

/* Reader: room for at least READ_MIN bytes behind the `kept` last ones, which may be moved to the
 * ring's start. An idle ring begins there anew, so that a writer that keeps up finds it in the
 * processor's cache. */
static size_t
find_room(struct queue *queue, size_t kept)
{
	size_t room = 0;

	pthread_mutex_lock(&queue->lock);
	while (room == 0) {
		bool wrap = false;

		if (queue->count == 0) {
			queue->freed = 0;
			room = queue->ring_bytes - kept;
			wrap = true;
		} else if (queue->fill >= queue->freed) {
			room = queue->ring_bytes - queue->fill;
			wrap = room < READ_MIN;
			if (wrap)
				room = queue->freed > kept + READ_MIN ? queue->freed - kept - 1 : 0;
		} else if (queue->freed - queue->fill > READ_MIN)
			room = queue->freed - queue->fill - 1;
		if (room > 0 && wrap) {
			memmove(queue->ring, queue->ring + queue->fill - kept, kept);
			queue->fill = kept;
		}
		if (room == 0 && queue->memory)
			die("too much mail for --mode write");
		if (room == 0)
			wait_change(queue);
	}
	pthread_mutex_unlock(&queue->lock);
	return room < READ_BYTES ? room : READ_BYTES;
}

/* The reader. */

struct stream {
	struct pair *pair;
	size_t kept;       /* the ring's last bytes: a line that is not yet whole */
	size_t body_left;  /* of the message that is arriving */
	size_t asked;      /* folder to ask for next */
	size_t folder;     /* folder that is answered */
	size_t shown;      /* folder that the queue was told of; FOLDERS_MAX: none */
	size_t unanswered; /* bytes of commands */
};

static size_t
next_folder(const struct pair *pair, size_t from)
{
	while (from < pair->pump->folder_count && pair->pump->folders[from].pair != pair->id)
		from++;
	return from;
}

static size_t
write_request(char *to, size_t size, const struct pair *pair, size_t folder)
{
	char name[2 * NAME_MAX_LEN + 4];

	quote(name, sizeof(name), pair->pump->folders[folder].name);
	return (size_t)snprintf(to, size,
		"E%zu EXAMINE %s\r\nF%zu UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])\r\n",
		folder, name, folder);
}

/* Asks for as many folders as AHEAD_BYTES allow. */
static void
ask_ahead(struct stream *stream)
{
	struct pair *pair = stream->pair;
	char text[AHEAD_BYTES + 4096];
	size_t len = 0;

	while (stream->asked < pair->pump->folder_count && stream->unanswered < AHEAD_BYTES) {
		size_t n = write_request(text + len, sizeof(text) - len, pair, stream->asked);

		len += n;
		stream->unanswered += n;
		stream->asked = next_folder(pair, stream->asked + 1);
	}
	if (len > 0)
		send_text(&pair->source, text, len);
}

static void
end_folder(struct stream *stream)
{
	char text[4096];

	stream->unanswered -= write_request(text, sizeof(text), stream->pair, stream->folder);
	stream->folder = next_folder(stream->pair, stream->folder + 1);
	if (stream->unanswered < AHEAD_BYTES / 2)
		ask_ahead(stream);
}

/* E12 OK, F12 OK. */
static void
take_tagged(struct stream *stream, const char *line, size_t len)
{
	char want[32];

	snprintf(want, sizeof(want), "%c%zu OK", line[0], stream->folder);
	if ((line[0] != 'E' && line[0] != 'F') || !begins(line, len, want))
		die_of_line("source", "an answer", line, len);
	if (line[0] == 'F')
		end_folder(stream);
}

/* What a FETCH response says before the body. */
struct head {
	const char *flags;
	size_t flags_len;
	const char *date;
	size_t date_len;
	size_t size;
	bool has_body;
};

static const char *
take_number(const char *at, size_t *number_r)
{
	size_t number = 0;

	for (; *at >= '0' && *at <= '9' && number < ITEM_MAX; at++)
		number = 10 * number + (size_t)(*at - '0');
	*number_r = number;
	return at;
}

/* `at` is behind "FETCH ("; the line's end stops each comparison. NULL is a surprise. */
static const char *
take_item(const char *at, const char *end, struct head *head)
{
	const char *stop;
	size_t number;

	if (begins(at, (size_t)(end - at), "UID "))
		return take_number(at + 4, &number);
	if (begins(at, (size_t)(end - at), "FLAGS (")) {
		stop = memchr(at, ')', (size_t)(end - at));
		head->flags = at + 7;
		head->flags_len = stop != NULL ? (size_t)(stop - head->flags) : 0;
		return stop != NULL ? stop + 1 : NULL;
	}
	if (begins(at, (size_t)(end - at), "INTERNALDATE \"")) {
		head->date = at + 14;
		stop = memchr(head->date, '"', (size_t)(end - head->date));
		head->date_len = stop != NULL ? (size_t)(stop - head->date) : 0;
		return stop != NULL ? stop + 1 : NULL;
	}
	if (begins(at, (size_t)(end - at), "BODY[] {")) {
		at = take_number(at + 8, &head->size);
		head->has_body = true;
		return *at == '}' ? at + 1 : NULL;
	}
	return NULL;
}

/* "* 12 FETCH (...": false for any other line, and for one that only tells of flags. */
static bool
parse_fetch(const char *line, size_t len, struct head *head)
{
	const char *end = line + len, *at;
	size_t number;

	at = take_number(line + 2, &number);
	if (at == line + 2 || !begins(at, (size_t)(end - at), " FETCH ("))
		return false;
	at += strlen(" FETCH (");
	while (at != NULL && at < end && *at != ')') {
		at = take_item(at, end, head);
		if (at != NULL && at < end && *at == ' ')
			at++;
	}
	if (at == end && head->has_body && head->flags != NULL && head->date != NULL)
		return true;
	if (at == NULL || head->has_body)
		die_of_line("source", "FETCH", line, len);
	return false;
}

static size_t
copy_flags(char *to, const struct head *head)
{
	const char *at = head->flags, *end = at + head->flags_len;
	size_t len = 0;

	while (at < end) {
		const char *stop = memchr(at, ' ', (size_t)(end - at));
		size_t part = (size_t)((stop != NULL ? stop : end) - at);

		if (part != strlen("\\Recent") || strncasecmp(at, "\\Recent", part) != 0) {
			if (len > 0)
				to[len++] = ' ';
			memcpy(to + len, at, part);
			len += part;
		}
		at += part + 1;
	}
	return len;
}

/* Writes what precedes the message in an APPEND into the place of what preceded it here, which is
 * always longer. */
static void
start_message(struct stream *stream, const struct head *head, char *body)
{
	struct queue *queue = &stream->pair->queue;
	char text[FLAGS_MAX + 128];
	size_t len = 2;

	if (head->flags_len > FLAGS_MAX || head->date_len > 40 || head->size >= ITEM_MAX)
		die("source: a message with flags, date or size beyond all limits");
	memcpy(text, " (", 2);
	len += copy_flags(text + len, head);
	len += (size_t)snprintf(text + len, sizeof(text) - len, ") \"%.*s\" {%zu+}\r\n",
		(int)head->date_len, head->date, head->size);
	if (stream->shown != stream->folder)
		add_piece(queue, PIECE_FOLDER, NULL, 0, stream->folder);
	stream->shown = stream->folder;
	memcpy(body - len, text, len);
	add_piece(queue, PIECE_START, body - len, len, head->size);
	stream->body_left = head->size;
	stream->pair->messages++;
	stream->pair->bytes += head->size;
}

/* `next` is behind the line's end. */
static void
take_line(struct stream *stream, const char *line, size_t len, char *next)
{
	struct head head = { 0 };

	if (begins(line, len, "* ")) {
		if (parse_fetch(line, len, &head))
			start_message(stream, &head, next);
		else if (begins(line, len, "* BYE") || begins(line, len, "* NO") ||
			 begins(line, len, "* BAD"))
			die_of_line("source", "surprise", line, len);
	} else if (len != 1 || *line != ')') /* else the end of a FETCH response */
		take_tagged(stream, line, len);
}

/* Takes the `len` bytes from `at` on apart; a line that is not whole is kept. */
static void
take_bytes(struct stream *stream, char *at, size_t len)
{
	char *end = at + len;

	while (at < end) {
		char *line_end;

		if (stream->body_left > 0) {
			size_t part = (size_t)(end - at);

			if (part > stream->body_left)
				part = stream->body_left;
			add_piece(&stream->pair->queue, PIECE_MORE, at, part, 0);
			stream->body_left -= part;
			at += part;
			continue;
		}
		line_end = memchr(at, '\n', (size_t)(end - at));
		if (line_end == NULL)
			break;
		len = (size_t)(line_end - at);
		if (len > 0 && at[len - 1] == '\r')
			len--;
		take_line(stream, at, len, line_end + 1);
		at = line_end + 1;
	}
	stream->kept = (size_t)(end - at);
	if (stream->kept > LINE_MAX_LEN)
		die_of_line("source", "a line too long", at, stream->kept);
}

/* All folders of this pair's share. */
static void
read_folders(struct pair *pair)
{
	struct queue *queue = &pair->queue;
	struct stream stream = { .pair = pair, .shown = FOLDERS_MAX };

	stream.asked = stream.folder = next_folder(pair, 0);
	ask_ahead(&stream);
	while (stream.folder < pair->pump->folder_count) {
		size_t room = find_room(queue, stream.kept);
		size_t kept = stream.kept;
		char *to = queue->ring + queue->fill;
		size_t n = recv_some(&pair->source, to, room, true);

		queue->fill += n;
		take_bytes(&stream, to - kept, kept + n);
		publish(queue);
	}
	add_piece(queue, PIECE_FINISH, NULL, 0, 0);
	publish(queue);
}

static int
larger_first(const void *a, const void *b)
{
	const struct folder *one = a, *other = b;

	return (one->messages < other->messages) - (one->messages > other->messages);
}

/* The largest folder left goes to the pair that has the least. */
static void
share_out(struct pump *pump)
{
	unsigned long load[PAIRS_MAX] = { 0 };
	size_t i;
	unsigned p;

	if (pump->opt.pairs > 1)
		qsort(pump->folders, pump->folder_count, sizeof(*pump->folders), larger_first);
	for (i = 0; i < pump->folder_count; i++) {
		unsigned least = 0;

		for (p = 1; p < pump->opt.pairs; p++)
			least = load[p] < load[least] ? p : least;
		pump->folders[i].pair = least;
		load[least] += pump->folders[i].messages + 1;
	}
}

static void
announce(struct pump *pump, bool *what)
{
	pthread_mutex_lock(&pump->lock);
	*what = true;
	pthread_cond_broadcast(&pump->changed);
	pthread_mutex_unlock(&pump->lock);
}

static void
wait_for(struct pump *pump, const bool *what)
{
	pthread_mutex_lock(&pump->lock);
	while (!*what)
		pthread_cond_wait(&pump->changed, &pump->lock);
	pthread_mutex_unlock(&pump->lock);
}

static void
list_source(struct pump *pump, struct wire *wire)
{
	struct list list = read_list(wire);

	pump->folders = list.folders;
	pump->folder_count = list.count;
	pump->delimiter = list.delimiter;
	share_out(pump);
	announce(pump, &pump->listed);
}

static void *
run_reader(void *arg)
{
	struct pair *pair = arg;
	struct pump *pump = pair->pump;
	const char *list = "M LIST \"\" \"*\"\r\n";

	if (pump->opt.pairs > 1)
		list = "M LIST \"\" \"*\" RETURN (STATUS (MESSAGES))\r\n";
	wire_open(&pair->source, "source", pump->opt.source, pump->opt.tls);
	log_in(&pair->source, pump->opt.user, pump->opt.password, pair->id == 0 ? list : "");
	if (pair->id == 0)
		list_source(pump, &pair->source);
	wait_for(pump, &pump->listed);
	if (pair->source.line_at != pair->source.line_end)
		die("source: an answer to no question");
	read_folders(pair);
	return NULL;
}

/* The writer. */

struct output {
	struct pair *pair;
	struct wire *wire;
	char *text; /* commands that are sent with the pieces of one take */
	size_t text_len;
	struct iovec iov[3 * TAKE_PIECES];
	size_t iov_count;
	size_t sent; /* commands */
	size_t answered;
	size_t folder;
	bool selected;
	bool appending;
	size_t batch_messages;
	size_t batch_bytes;
	bool finished;
};

#define TEXT_SIZE     65536
#define TEXT_OF_PIECE (4 * NAME_MAX_LEN + 256) /* SELECT and APPEND, each character escaped */

static void
add_iov(struct output *out, char *bytes, size_t len)
{
	struct iovec *last = &out->iov[out->iov_count];

	if (out->iov_count > 0 && (char *)last[-1].iov_base + last[-1].iov_len == bytes)
		last[-1].iov_len += len;
	else if (len > 0) {
		*last = (struct iovec){ bytes, len };
		out->iov_count++;
	}
}

static void __attribute__((format(printf, 2, 3)))
add_text(struct output *out, const char *format, ...)
{
	char *to = out->text + out->text_len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(to, TEXT_SIZE - out->text_len, format, args);
	va_end(args);
	add_iov(out, to, (size_t)n);
	out->text_len += (size_t)n;
}

/* Looks at the answers that are there; with `wait` at least at one. */
static void
take_answers(struct output *out, bool wait)
{
	char *line;
	size_t len;

	while (next_line(out->wire, wait, &line, &len)) {
		const char *space = memchr(line, ' ', len);

		if (begins(line, len, "T") && space != NULL &&
			begins(space, (size_t)(line + len - space), " OK")) {
			out->answered++;
			wait = false;
		} else if (!begins(line, len, "* ") || begins(line, len, "* BYE") ||
			   begins(line, len, "* NO") || begins(line, len, "* BAD"))
			die_of_line("target", "an answer", line, len);
	}
}

/* The target may have to be listened to before it takes more. */
static void
send_out(struct output *out)
{
	struct iovec *iov = out->iov;
	size_t count = out->iov_count;

	while (count > 0 || has_unsent(out->wire)) {
		size_t n = count > 0 ? send_some(out->wire, iov, count) : 0;

		skip_sent(&iov, &count, n);
		if (count == 0 && has_unsent(out->wire))
			(void)send_records(out->wire);
		if (n == 0 && (count > 0 || has_unsent(out->wire)) &&
			(wait_io(out->wire, POLLIN | POLLOUT) & POLLIN) != 0)
			take_answers(out, false);
	}
	out->iov_count = 0;
	out->text_len = 0;
	if (out->sent - out->answered > UNREAD_ANSWERS)
		take_answers(out, false);
}

/* A folder's name on the target. */
static void
target_name(const struct pair *pair, size_t folder, char name[NAME_MAX_LEN + 1])
{
	char *at;

	snprintf(name, NAME_MAX_LEN + 1, "%s", pair->pump->folders[folder].name);
	for (at = name; *at != '\0'; at++) {
		if (*at == pair->pump->delimiter)
			*at = pair->pump->target_delimiter;
	}
}

static void
add_command(struct output *out, const char *verb, size_t folder, const char *end)
{
	char name[NAME_MAX_LEN + 1], quoted[2 * NAME_MAX_LEN + 4];

	target_name(out->pair, folder, name);
	quote(quoted, sizeof(quoted), name);
	add_text(out, "T%zu %s %s%s", out->sent++, verb, quoted, end);
}

static void
end_append(struct output *out)
{
	if (out->appending)
		add_text(out, "\r\n");
	out->appending = false;
}

static void
add_message(struct output *out, const struct piece *piece)
{
	const struct options *opt = &out->pair->pump->opt;

	if (out->batch_messages >= opt->batch_messages ||
		out->batch_bytes + piece->size > opt->batch_bytes)
		end_append(out);
	if (!out->appending) {
		/* Dovecot appends to a folder that is selected in a third of the time. */
		if (!out->selected)
			add_command(out, "SELECT", out->folder, "\r\n");
		add_command(out, "APPEND", out->folder, "");
		out->batch_messages = 0;
		out->batch_bytes = 0;
	}
	out->selected = true;
	out->appending = true;
	out->batch_messages++;
	out->batch_bytes += piece->size;
	add_iov(out, piece->bytes, piece->len);
}

static void
add_to_output(struct output *out, const struct piece *piece)
{
	switch (piece->kind) {
	case PIECE_FOLDER:
		end_append(out);
		out->folder = piece->size;
		out->selected = false;
		break;
	case PIECE_START:
		add_message(out, piece);
		break;
	case PIECE_MORE:
		add_iov(out, piece->bytes, piece->len);
		break;
	case PIECE_FINISH:
		end_append(out);
		out->finished = true;
		break;
	}
}

/* Gives back the `count` oldest pieces, which were sent, and waits for others. Returns how many
 * there are; they stay in the queue. */
static size_t
wait_pieces(struct queue *queue, size_t count)
{
	size_t i, there;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < count; i++) {
		const struct piece *piece = &queue->pieces[(queue->first + i) % queue->pieces_max];

		if (piece->len > 0)
			queue->freed = (size_t)(piece->bytes + piece->len - queue->ring);
	}
	queue->first = (queue->first + count) % queue->pieces_max;
	queue->count -= count;
	if (count > 0)
		pthread_cond_signal(&queue->changed);
	while (queue->count == 0)
		wait_change(queue);
	there = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return there;
}

/* The pieces that are in the queue are the writer's: the reader adds others behind them. */
static void
write_messages(struct output *out)
{
	struct queue *queue = &out->pair->queue;
	size_t taken = 0, first = queue->first;

	while (!out->finished) {
		size_t there = wait_pieces(queue, taken), bytes = 0;

		for (taken = 0; taken < there && taken < TAKE_PIECES && bytes < TAKE_BYTES &&
				out->text_len + TEXT_OF_PIECE < TEXT_SIZE;
			taken++) {
			const struct piece *piece = &queue->pieces[first];

			add_to_output(out, piece);
			bytes += piece->len;
			first = (first + 1) % queue->pieces_max;
		}
		send_out(out);
	}
}

static void
wait_answers(struct output *out)
{
	while (out->answered < out->sent)
		take_answers(out, true);
}

static int
compare_names(const void *a, const void *b)
{
	const struct folder *one = a, *other = b;

	return strcmp(one->name, other->name);
}

/* Sends a CREATE for each folder that is not in `list`. */
static void
create_folders(struct output *out, struct list *list)
{
	const struct pump *pump = out->pair->pump;
	size_t i;

	if (list->count > 0)
		qsort(list->folders, list->count, sizeof(*list->folders), compare_names);
	for (i = 0; i < pump->folder_count; i++) {
		char name[NAME_MAX_LEN + 1];
		struct folder key = { .name = name };

		if (strcasecmp(pump->folders[i].name, "INBOX") == 0)
			continue;
		target_name(out->pair, i, name);
		if (list->count > 0 && bsearch(&key, list->folders, list->count,
					       sizeof(*list->folders), compare_names) != NULL)
			continue;
		add_command(out, "CREATE", i, "\r\n");
		if (out->text_len + TEXT_OF_PIECE > TEXT_SIZE || out->iov_count > TAKE_PIECES)
			send_out(out);
	}
	send_out(out);
}

static void
output_init(struct output *out, struct pair *pair)
{
	*out = (struct output){ .pair = pair, .wire = &pair->target, .text = alloc(TEXT_SIZE) };
}

/* Sends the CREATEs; they may be unanswered when it returns. */
static void
make_folders(struct output *out)
{
	struct pump *pump = out->pair->pump;
	struct list list = read_list(out->wire);

	wait_for(pump, &pump->listed);
	pump->target_delimiter = list.delimiter;
	create_folders(out, &list);
	free_folders(list.folders, list.count);
	if (pump->opt.pairs > 1)
		wait_answers(out);
	announce(pump, &pump->made);
}

/* The first pair makes all folders, before another one looks at any: when two sessions deal with
 * new folders at once, Dovecot 2.3 may say of one that it exists. */
static void
prepare_target(struct output *out)
{
	struct pair *pair = out->pair;
	const struct options *opt = &pair->pump->opt;

	wire_open(out->wire, "target", opt->target, opt->tls);
	log_in(out->wire, opt->user, opt->password, pair->id == 0 ? "M LIST \"\" \"*\"\r\n" : "");
	if (pair->id == 0)
		make_folders(out);
	wait_for(pair->pump, &pair->pump->made);
}

static void *
run_writer(void *arg)
{
	struct pair *pair = arg;
	struct output *out = alloc(sizeof(*out));

	output_init(out, pair);
	prepare_target(out);
	write_messages(out);
	wait_answers(out);
	free(out->text);
	free(out);
	return NULL;
}

/* The modes. Each returns when its timed part began. */

static void
start(pthread_t *thread, void *(*run)(void *), struct pair *pair)
{
	int ret = pthread_create(thread, NULL, run, pair);

	if (ret != 0)
		die("pthread_create: %s", strerror(ret));
}

static double
copy(struct pump *pump)
{
	double began = now_seconds();
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		start(&pump->pairs[i].reader, run_reader, &pump->pairs[i]);
		start(&pump->pairs[i].writer, run_writer, &pump->pairs[i]);
	}
	for (i = 0; i < pump->opt.pairs; i++) {
		pthread_join(pump->pairs[i].reader, NULL);
		pthread_join(pump->pairs[i].writer, NULL);
	}
	return began;
}

static double
read_only(struct pump *pump)
{
	double began = now_seconds();

	(void)run_reader(pump->pairs);
	return began;
}

static double
write_only(struct pump *pump)
{
	struct pair *pair = pump->pairs;
	struct output *out = alloc(sizeof(*out));
	double began;

	(void)run_reader(pair);
	output_init(out, pair);
	prepare_target(out);
	wait_answers(out);
	wire_close(&pair->target);
	began = now_seconds();
	wire_open(&pair->target, "target", pump->opt.target, pump->opt.tls);
	log_in(&pair->target, pump->opt.user, pump->opt.password, "");
	write_messages(out);
	wait_answers(out);
	free(out->text);
	free(out);
	return began;
}

/* The high-water mark of memory, of /proc. */
static long
peak_kb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kb = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kb;
}

static void
report(const struct pump *pump, double seconds)
{
	struct rusage usage = { 0 };
	size_t messages = 0;
	uint64_t bytes = 0;
	double cpu;
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		messages += pump->pairs[i].messages;
		bytes += pump->pairs[i].bytes;
	}
	getrusage(RUSAGE_SELF, &usage);
	cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("{\"seconds\": %.6f, \"messages\": %zu, \"bytes\": %llu, \"cpu\": %.6f, "
	       "\"peak_kb\": %ld}\n",
		seconds, messages, (unsigned long long)bytes, cpu, peak_kb());
}

static void
pump_clear(struct pump *pump)
{
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		wire_close(&pump->pairs[i].source);
		wire_close(&pump->pairs[i].target);
	}
	free(pump->pairs);
	free_folders(pump->folders, pump->folder_count);
	freeaddrinfo(pump->opt.source);
	freeaddrinfo(pump->opt.target);
	SSL_CTX_free(pump->opt.tls);
}

/* Options. */

static void __attribute__((noreturn)) usage(void)
{
	fputs("usage: pump --source HOST:PORT --target HOST:PORT --user NAME [--pairs N] [--tls]\n"
	      "            [--mode copy|read|write] [--batch-messages N] [--batch-bytes N]\n"
	      "PUMP_PASSWORD is the password of both sides.\n",
		stderr);
	exit(2);
}

static struct addrinfo *
resolve(char *where)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char *colon = strrchr(where, ':');
	int ret;

	if (colon == NULL)
		usage();
	*colon = '\0';
	ret = getaddrinfo(where, colon + 1, &hints, &found);
	if (ret != 0)
		die("%s: %s", where, gai_strerror(ret));
	return found;
}

static size_t
number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value < 1 || value > max)
		usage();
	return value;
}

static enum mode
mode_of(const char *name)
{
	if (strcmp(name, "read") == 0)
		return MODE_READ;
	if (strcmp(name, "write") == 0)
		return MODE_WRITE;
	if (strcmp(name, "copy") != 0)
		usage();
	return MODE_COPY;
}

static SSL_CTX *
tls_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		die("out of memory");
	/* Many records with one call. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BYTES);
	return ctx;
}

static struct options
parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "source", required_argument, NULL, 's' },
		{ "target", required_argument, NULL, 't' },
		{ "user", required_argument, NULL, 'u' },
		{ "pairs", required_argument, NULL, 'p' },
		{ "tls", no_argument, NULL, 'x' },
		{ "mode", required_argument, NULL, 'm' },
		{ "batch-messages", required_argument, NULL, 'n' },
		{ "batch-bytes", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	struct options opt = {
		.password = getenv("PUMP_PASSWORD"),
		.mode = MODE_COPY,
		.pairs = 1,
		.batch_messages = 100,
		.batch_bytes = 4000000,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.source = resolve(optarg);
			break;
		case 't':
			opt.target = resolve(optarg);
			break;
		case 'u':
			opt.user = optarg;
			break;
		case 'p':
			opt.pairs = (unsigned)number(optarg, PAIRS_MAX);
			break;
		case 'x':
			opt.tls = tls_context();
			break;
		case 'm':
			opt.mode = mode_of(optarg);
			break;
		case 'n':
			opt.batch_messages = number(optarg, 1000000);
			break;
		case 'b':
			opt.batch_bytes = number(optarg, 1000000000);
			break;
		default:
			usage();
		}
	}
	if (opt.source == NULL || opt.target == NULL || opt.user == NULL || opt.password == NULL ||
		optind != argc)
		usage();
	if (opt.mode != MODE_COPY)
		opt.pairs = 1;
	return opt;
}

int
main(int argc, char **argv)
{
	struct pump pump = { .opt = parse_options(argc, argv) };
	double began = 0;
	unsigned i;

	pthread_mutex_init(&pump.lock, NULL);
	pthread_cond_init(&pump.changed, NULL);
	pump.pairs = alloc(pump.opt.pairs * sizeof(*pump.pairs));
	for (i = 0; i < pump.opt.pairs; i++) {
		pump.pairs[i].id = i;
		pump.pairs[i].pump = &pump;
		queue_init(&pump.pairs[i].queue, pump.opt.mode);
	}
	switch (pump.opt.mode) {
	case MODE_COPY:
		began = copy(&pump);
		break;
	case MODE_READ:
		began = read_only(&pump);
		break;
	case MODE_WRITE:
		began = write_only(&pump);
		break;
	}
	report(&pump, now_seconds() - began);
	pump_clear(&pump);
	return 0;
}
