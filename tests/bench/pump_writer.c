/* pump_writer.c - the thread that writes: the folders, then batches of the messages whose pieces it
 * takes from the ring. Nothing but TCP holds it back: any number of commands may be unanswered. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pump.h"

#define TAKE_PIECES    256         /* it takes at most so many at once, */
#define TAKE_BYTES     (512 << 10) /* and no more when it has this much */
#define UNREAD_ANSWERS 32          /* commands after which the target's answers are looked at */
#define TEXT_SIZE      65536
#define TEXT_OF_PIECE  (4 * NAME_MAX_LEN + 256) /* SELECT and APPEND, each character escaped */

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

static void
write_messages(struct output *out)
{
	struct queue *queue = &out->pair->queue;
	size_t taken = 0, first = queue->first;

	while (!out->finished) {
		size_t there = queue_next(queue, taken), bytes = 0;

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

void *
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

double
write_again(struct pair *pair)
{
	const struct options *opt = &pair->pump->opt;
	struct output *out = alloc(sizeof(*out));
	double began;

	output_init(out, pair);
	prepare_target(out);
	wait_answers(out);
	wire_close(&pair->target);
	began = now_seconds();
	wire_open(&pair->target, "target", opt->target, opt->tls);
	log_in(&pair->target, opt->user, opt->password, "");
	write_messages(out);
	wait_answers(out);
	free(out->text);
	free(out);
	return began;
}
