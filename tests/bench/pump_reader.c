/* pump_reader.c - the thread that reads.
 *
 * It asks for many folders ahead (EXAMINE and one UID FETCH for each) and reads into the ring; what
 * precedes a body there is overwritten in place by what must precede it in an APPEND. So a message
 * is one piece of the ring, which the writer passes on without another copy, and before it has
 * arrived as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pump.h"
#include "pump_fetch.h"

/* Of commands the source has not yet answered: they fit a socket. */
#define AHEAD_BYTES (48 << 10)

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

/* Writes what precedes the message in an APPEND into the place of what preceded it here, which is
 * always longer. */
static void
start_message(struct stream *stream, const struct head *head, char *body)
{
	struct queue *queue = &stream->pair->queue;
	char text[APPEND_HEAD_MAX];
	size_t len = fetch_write_append(text, head);

	if (stream->shown != stream->folder)
		queue_add(queue, PIECE_FOLDER, NULL, 0, stream->folder);
	stream->shown = stream->folder;
	memcpy(body - len, text, len);
	queue_add(queue, PIECE_START, body - len, len, head->size);
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
		if (fetch_parse(line, len, &head))
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
			queue_add(&stream->pair->queue, PIECE_MORE, at, part, 0);
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
		size_t room = queue_room(queue, stream.kept);
		size_t kept = stream.kept;
		char *to = queue->ring + queue->fill;
		size_t n = recv_some(&pair->source, to, room, true);

		queue->fill += n;
		take_bytes(&stream, to - kept, kept + n);
		queue_publish(queue);
	}
	queue_add(queue, PIECE_FINISH, NULL, 0, 0);
	queue_publish(queue);
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
list_source(struct pump *pump, struct wire *wire)
{
	struct list list = read_list(wire);

	pump->folders = list.folders;
	pump->folder_count = list.count;
	pump->delimiter = list.delimiter;
	share_out(pump);
	announce(pump, &pump->listed);
}

void *
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
