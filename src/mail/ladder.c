/* ladder.c - the repairs of a message that a target refuses, streaming.
 *
 * A message passes in pieces through three stages, each with bounded memory: runs between line
 * ends (line ends and NULs repaired), header fields (one at a time, 8-bit bytes repaired), lines
 * (long ones broken); then it is buffered and written. The wrapper is made around the unchanged
 * bytes instead. Nothing but the input and the date given goes into the output. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/str.h"
#include "mail/date.h"
#include "mail/digest.h"
#include "mail/encode_private.h"
#include "mail/header.h"
#include "mail/item.h"
#include "mail/ladder.h"

#include "base/banned.h"

#define LINE_MAX_BYTES  998   /* RFC 5322, 2.1.1 */
#define FIELD_MAX_BYTES 65536 /* a longer header field is repaired by substitution alone */
#define OUT_BUF_BYTES   32768
#define ENCODED_GROWTH  16   /* above what a single letter between blanks becomes */
#define TAKEN_MAX_BYTES 4096 /* of a field of the original in the wrapper */
#define BASE64_LINE     57   /* bytes, 76 letters */
#define IN_BUF_BYTES    (512 * BASE64_LINE)
#define BOUNDARY        "=_mailhaul_wrapped_message" /* "=_" is in no base64 and not in our text */
#define DAY_SECONDS     86400
#define HAS(run, step)  (((run)->steps >> (step)&1U) != 0)

static const char *const step_names[LADDER_STEPS] = { "as_is", "line_ends", "nul", "8bit_header",
	"long_lines", "wrapped" };

const char *
ladder_name(enum ladder_step step)
{
	return (unsigned)step < LADDER_STEPS ? step_names[step] : "none";
}

int
ladder_by_name(const char *name)
{
	int i;

	for (i = 0; i < LADDER_STEPS; i++)
		if (text_ieq(name, step_names[i]))
			return i;
	return -1;
}

static bool
step_changes(enum ladder_step step, unsigned traits)
{
	switch (step) {
	case LADDER_LINE_ENDS:
		return (traits & (TRAIT_BARE_LF | TRAIT_BARE_CR)) != 0;
	case LADDER_NUL:
		return (traits & TRAIT_NUL) != 0;
	case LADDER_8BIT_HEADER:
		return (traits & TRAIT_8BIT_HEADER) != 0;
	case LADDER_LONG_LINES:
		return (traits & TRAIT_LONG_LINE) != 0;
	case LADDER_WRAP:
		return true;
	case LADDER_AS_IS:
	case LADDER_STEPS:
		break;
	}
	return false;
}

enum ladder_step
ladder_next(enum ladder_step after, unsigned allowed, unsigned traits)
{
	unsigned step;

	for (step = (unsigned)after + 1; step < LADDER_STEPS; step++)
		if ((allowed >> step & 1U) != 0 && step_changes((enum ladder_step)step, traits))
			break;
	return step < LADDER_STEPS ? (enum ladder_step)step : LADDER_STEPS;
}

/* One repair on its way. After a failed write everything goes on and is thrown away. */
struct run {
	unsigned steps;
	struct spool *out;
	struct err *err;
	bool failed;
	/* Runs. */
	bool in_header;
	bool pending_cr;
	bool line_begun;
	/* The header field being gathered, with its line ends. */
	struct str field;
	bool field_passing; /* too long to be gathered: what comes passes on */
	/* The line being gathered. */
	size_t line_len;
	char line[LINE_MAX_BYTES];
	/* Output. */
	size_t buf_len;
	unsigned char buf[OUT_BUF_BYTES];
};

static void
out_flush(struct run *run)
{
	if (!run->failed && run->buf_len > 0 &&
		spool_write(run->out, run->buf, run->buf_len, run->err) < 0)
		run->failed = true;
	run->buf_len = 0;
}

static void
out_add(struct run *run, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t part = OUT_BUF_BYTES - run->buf_len;

		if (part > len)
			part = len;
		memcpy(run->buf + run->buf_len, bytes, part);
		run->buf_len += part;
		bytes += part;
		len -= part;
		if (run->buf_len == OUT_BUF_BYTES)
			out_flush(run);
	}
}

/* Where a full header line is folded: before its last blank that has text before it; 0: nowhere. */
static size_t
fold_place(const char *line, size_t len)
{
	size_t first = 0, at = len - 1;

	while (first < len && (line[first] == ' ' || line[first] == '\t'))
		first++;
	while (at > first && line[at] != ' ' && line[at] != '\t')
		at--;
	return at > first ? at : 0;
}

/* Where a full body line is broken: behind its last blank, else between two characters. */
static size_t
break_place(const char *line, size_t len)
{
	size_t at = len, back;

	while (at > 0 && line[at - 1] != ' ' && line[at - 1] != '\t')
		at--;
	if (at > 0)
		return at;
	for (back = 1; back <= 3; back++) {
		unsigned char c = (unsigned char)line[len - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= 0xc2 && back < (c < 0xe0 ? 2U : c < 0xf0 ? 3U : 4U))
			return len - back;
		break;
	}
	return len;
}

/* The line is full and goes on. */
static void
line_break(struct run *run)
{
	size_t at = run->in_header ? fold_place(run->line, run->line_len)
				   : break_place(run->line, run->line_len);
	bool torn = at == 0; /* a word of a header over a whole line: folded inside */

	if (torn)
		at = run->line_len;
	out_add(run, run->line, at);
	out_add(run, "\r\n", 2);
	run->line_len -= at;
	memmove(run->line, run->line + at, run->line_len);
	if (torn)
		run->line[run->line_len++] = ' ';
}

static void
line_add(struct run *run, const char *text, size_t len)
{
	if (!HAS(run, LADDER_LONG_LINES)) {
		out_add(run, text, len);
		return;
	}
	while (len > 0) {
		size_t part = LINE_MAX_BYTES - run->line_len;

		if (part == 0) {
			line_break(run);
			continue;
		}
		if (part > len)
			part = len;
		memcpy(run->line + run->line_len, text, part);
		run->line_len += part;
		text += part;
		len -= part;
	}
}

static void
line_end(struct run *run, const char *eol)
{
	out_add(run, run->line, run->line_len);
	run->line_len = 0;
	out_add(run, eol, strlen(eol));
}

/* Several lines, with whatever line ends they have. */
static void
lines_add(struct run *run, const char *text, size_t len)
{
	const char *p = text, *end = text + len;

	while (p < end) {
		const char *line = p;

		while (p < end && *p != '\r' && *p != '\n')
			p++;
		line_add(run, line, (size_t)(p - line));
		if (p == end)
			break;
		if (*p == '\r' && p + 1 < end && p[1] == '\n') {
			line_end(run, "\r\n");
			p += 2;
		} else {
			line_end(run, *p == '\r' ? "\r" : "\n");
			p++;
		}
	}
}

/* Text of one line or more whose bad bytes cannot be encoded. */
static void
add_substituted(struct run *run, const char *text, size_t len)
{
	while (len > 0) {
		char part[1024];
		size_t i, part_len = len < sizeof(part) ? len : sizeof(part);

		memcpy(part, text, part_len);
		for (i = 0; i < part_len; i++)
			if (encode_is_needed(part + i, 1))
				part[i] = 'X';
		lines_add(run, part, part_len);
		text += part_len;
		len -= part_len;
	}
}

static void
field_end(struct run *run)
{
	const char *field = str_get(&run->field);
	size_t len = run->field.len;
	struct str encoded;

	str_init(&encoded, (size_t)FIELD_MAX_BYTES * ENCODED_GROWTH);
	if (!encode_is_needed(field, len))
		lines_add(run, field, len);
	else if (encode_field(&encoded, field, len) == 0)
		lines_add(run, str_get(&encoded), encoded.len);
	else
		add_substituted(run, field, len);
	str_clear(&encoded);
	str_reset(&run->field);
	run->field_passing = false;
}

static void
field_add(struct run *run, const char *text, size_t len)
{
	if (!run->field_passing && str_add(&run->field, text, len) < 0) {
		add_substituted(run, str_get(&run->field), run->field.len);
		str_reset(&run->field);
		run->field_passing = true;
	}
	if (run->field_passing)
		add_substituted(run, text, len);
}

/* Part of a line without its end; len > 0. */
static void
take_text(struct run *run, const char *text, size_t len)
{
	bool encode = run->in_header && HAS(run, LADDER_8BIT_HEADER);

	if (encode && !run->line_begun && *text != ' ' && *text != '\t')
		field_end(run);
	run->line_begun = true;
	while (len > 0) {
		const char *nul = HAS(run, LADDER_NUL) ? memchr(text, '\0', len) : NULL;
		size_t part = nul != NULL ? (size_t)(nul - text) : len;

		if (encode) {
			field_add(run, text, part);
			field_add(run, "\x80", nul != NULL);
		} else {
			line_add(run, text, part);
			line_add(run, "\x80", nul != NULL);
		}
		part += nul != NULL;
		text += part;
		len -= part;
	}
}

static void
take_line_end(struct run *run, const char *eol)
{
	if (HAS(run, LADDER_LINE_ENDS))
		eol = "\r\n";
	if (run->in_header && HAS(run, LADDER_8BIT_HEADER) && run->line_begun) {
		field_add(run, eol, strlen(eol));
	} else {
		if (!run->line_begun && run->in_header) {
			field_end(run);
			run->in_header = false;
		}
		line_end(run, eol);
	}
	run->line_begun = false;
}

/* Bytes without an LF. A CR at their end may get one yet. */
static void
take_run(struct run *run, const char *p, const char *end)
{
	if (p < end && run->pending_cr) {
		run->pending_cr = false;
		take_line_end(run, "\r");
	}
	while (p < end) {
		const char *cr = memchr(p, '\r', (size_t)(end - p));

		if (cr == NULL)
			cr = end;
		if (cr > p)
			take_text(run, p, (size_t)(cr - p));
		if (cr == end)
			break;
		p = cr + 1;
		if (p == end)
			run->pending_cr = true;
		else
			take_line_end(run, "\r");
	}
}

static void
take_piece(struct run *run, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		take_run(run, p, lf != NULL ? lf : end);
		if (lf == NULL)
			break;
		take_line_end(run, run->pending_cr ? "\r\n" : "\n");
		run->pending_cr = false;
		p = lf + 1;
	}
}

static int
repair(struct run *run, struct spool *in)
{
	char piece[16384];
	uint64_t at = 0;
	size_t got;

	run->in_header = true;
	str_init(&run->field, FIELD_MAX_BYTES);
	do {
		if (spool_read(in, at, piece, sizeof(piece), &got, run->err) < 0)
			run->failed = true;
		else
			take_piece(run, piece, got);
		at += got;
	} while (!run->failed && got > 0);
	if (run->pending_cr)
		take_line_end(run, "\r");
	field_end(run);
	out_add(run, run->line, run->line_len);
	str_clear(&run->field);
	return run->failed ? -1 : 0;
}

/* A field of the original, or `otherwise` where it has none that can be read. */
static void
take_over(
	struct run *run, const char *head, size_t head_len, const char *name, const char *otherwise)
{
	struct str value, field;
	size_t i;

	str_init(&value, TAKEN_MAX_BYTES);
	str_init(&field, 0);
	if (header_get(head, head_len, name, 0, &value) < 0 || value.len == 0) {
		str_reset(&value);
		str_adds(&value, otherwise);
	}
	/* No byte of it may end our line. */
	for (i = 0; i < value.len; i++)
		if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
			value.data[i] = ' ';
	str_addf(&field, "%s: ", name);
	str_add(&field, str_get(&value), value.len);
	str_adds(&field, "\r\n");
	str_add(&run->field, str_get(&field), field.len);
	field_end(run);
	str_clear(&value);
	str_clear(&field);
}

static void
write_date(struct run *run, const char *head, size_t head_len, int64_t received)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	struct str value;
	struct civil c;
	char date[32], line[64];
	int64_t t = 0;

	str_init(&value, TAKEN_MAX_BYTES);
	if (header_get(head, head_len, "Date", 0, &value) < 0 ||
		date_parse_rfc5322(str_get(&value), value.len, &t) < 0 || t < DAY_SECONDS)
		t = received != ITEM_DATE_NONE ? received : 0;
	str_clear(&value);
	/* Held to the years that can be written. */
	date_write_imap(date, sizeof(date), t);
	if (date_parse_imap(date, strlen(date), &t) < 0)
		t = 0;
	clock_to_civil(t, &c);
	snprintf(line, sizeof(line), "Date: %s, %02d %.3s %04d %02d:%02d:%02d +0000\r\n",
		days[(unsigned)c.weekday % 7], c.day, date + 3, c.year, c.hour, c.minute, c.second);
	lines_add(run, line, strlen(line));
}

/* The whole original as base64. */
static void
write_base64(struct run *run, struct spool *in)
{
	unsigned char bytes[IN_BUF_BYTES];
	uint64_t at = 0;
	size_t got = 1;

	while (!run->failed && got > 0) {
		size_t len = 0, i;

		while (len < sizeof(bytes) && got > 0) {
			if (spool_read(in, at, bytes + len, sizeof(bytes) - len, &got, run->err) <
				0) {
				run->failed = true;
				return;
			}
			len += got;
			at += got;
		}
		for (i = 0; i < len; i += BASE64_LINE) {
			size_t part = len - i < BASE64_LINE ? len - i : BASE64_LINE;
			unsigned char line[BASE64_LINE * 4 / 3 + 8];
			int letters = EVP_EncodeBlock(line, bytes + i, (int)part);

			out_add(run, (const char *)line, (size_t)letters);
			out_add(run, "\r\n", 2);
		}
	}
}

static int
wrap(struct run *run, struct spool *in, int64_t received)
{
	static const char before[] =
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"" BOUNDARY "\"\r\n"
		"\r\n"
		"--" BOUNDARY "\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"The mail server refused this message as it was; the attached file original.eml "
		"is\r\n"
		"the original message, unchanged.\r\n"
		"\r\n"
		"--" BOUNDARY "\r\n"
		"Content-Type: application/octet-stream; name=\"original.eml\"\r\n"
		"Content-Disposition: attachment; filename=\"original.eml\"\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"\r\n";
	static const char behind[] = "\r\n--" BOUNDARY "--\r\n";
	char head[16384];
	size_t head_len = 0, got = 1;

	while (head_len < sizeof(head) && got > 0) {
		if (spool_read(in, head_len, head + head_len, sizeof(head) - head_len, &got,
			    run->err) < 0)
			return -1;
		head_len += got;
	}
	run->steps = 1U << LADDER_LONG_LINES | 1U << LADDER_8BIT_HEADER;
	run->in_header = true;
	str_init(&run->field, FIELD_MAX_BYTES);
	take_over(run, head, head_len, "From", "\"Unknown sender\" <unknown@sender.invalid>");
	take_over(run, head, head_len, "Subject", "(no subject)");
	write_date(run, head, head_len, received);
	lines_add(run, before, sizeof(before) - 1);
	write_base64(run, in);
	lines_add(run, behind, sizeof(behind) - 1);
	str_clear(&run->field);
	return run->failed ? -1 : 0;
}

int
ladder_apply(unsigned steps, int64_t received, struct spool *in, struct spool *out, struct err *err)
{
	struct run *run = xcalloc(1, sizeof(*run));
	struct err unseen = { 0 };
	int ret;

	run->steps = steps;
	run->out = out;
	run->err = err != NULL ? err : &unseen;
	if (HAS(run, LADDER_WRAP))
		ret = wrap(run, in, received);
	else
		ret = repair(run, in);
	out_flush(run);
	if (run->failed)
		ret = -1;
	if (ret == 0)
		spool_finish(out);
	else
		spool_fail(out, run->err);
	free(run);
	return ret;
}
