/* wire.c - the reader of IMAP responses.
 *
 * A pull tokenizer over one buffer. It holds at most one token in memory (a line's worth, or an
 * inline literal); bodies pass through wire_literal_read(). Deliberately lenient where servers in
 * the field are sloppy and no harm follows (bare LF, 8-bit atoms, empty lines, `]` in keywords),
 * and strict where a wrong byte means that a size was wrong: what follows a string or literal must
 * be a separator, or the stream is given up. */
#include "connector/imap/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void
wire_init(struct wire *wire, struct wire_input input)
{
	*wire = (struct wire){ .input = input };
	wire->buf = xmalloc(WIRE_BUFFER);
	str_init(&wire->text, WIRE_LINE_MAX + WIRE_INLINE_MAX);
}

void
wire_clear(struct wire *wire)
{
	free(wire->buf);
	str_clear(&wire->text);
	*wire = (struct wire){ .buf = NULL };
}

size_t
wire_buffered(const struct wire *wire)
{
	return wire->end - wire->pos;
}

const void *
wire_take_ahead(struct wire *wire, size_t *len_r)
{
	const void *ahead = wire->buf + wire->pos;

	*len_r = wire_buffered(wire);
	wire->pos = wire->end;
	return ahead;
}

static int
refill(struct wire *wire, struct err *err)
{
	size_t got = 0;

	if (wire->input.read(wire->input.owner, wire->buf, WIRE_BUFFER, &got, err) != 0)
		return -1;
	if (got == 0 || got > WIRE_BUFFER)
		BUG("a read gave no byte");
	wire->pos = 0;
	wire->end = got;
	return 0;
}

/* There is a byte to be looked at. */
static inline int
fill(struct wire *wire, struct err *err)
{
	return wire->pos < wire->end ? 0 : refill(wire, err);
}

static inline int
peek(struct wire *wire, unsigned char *c_r, struct err *err)
{
	if (fill(wire, err) != 0)
		return -1;
	*c_r = wire->buf[wire->pos];
	return 0;
}

/* Consumes n buffered bytes of the line. */
static inline int
take(struct wire *wire, size_t n, struct err *err)
{
	if (n > WIRE_LINE_MAX - wire->line_bytes)
		return err_set(err, ERR_PROTOCOL, "the server sent a line of over %d bytes",
			(int)WIRE_LINE_MAX);
	if (wire->trace != NULL)
		str_add(wire->trace, wire->buf + wire->pos, n);
	wire->line_bytes += n;
	wire->pos += n;
	return 0;
}

static int
text_add(struct wire *wire, const void *bytes, size_t len, struct err *err)
{
	if (str_add(&wire->text, bytes, len) != 0)
		return err_set(err, ERR_PROTOCOL, "the server sent a string that is too long");
	return 0;
}

/* An LF, or a CR and an LF, is next: consumed. A CR alone counts as a blank: *ended_r false. */
static int
line_end(struct wire *wire, bool *ended_r, struct err *err)
{
	unsigned char c;

	*ended_r = false;
	if (peek(wire, &c, err) != 0)
		return -1;
	if (c == '\r') {
		if (take(wire, 1, err) != 0 || peek(wire, &c, err) != 0)
			return -1;
	}
	if (c != '\n')
		return 0;
	*ended_r = true;
	return take(wire, 1, err);
}

int
wire_begin(struct wire *wire, struct err *err)
{
	unsigned char c;

	if (wire->literal_left > 0)
		BUG("a literal was left unread");
	wire->tokens = 0;
	wire->depth = 0;
	wire->after_string = false;
	do {
		wire->line_bytes = 0;
		if (peek(wire, &c, err) != 0)
			return -1;
		if (c == '\r' || c == '\n')
			wire->pos++;
	} while (c == '\r' || c == '\n');
	return 0;
}

enum byte_class {
	ENDS_ATOM = 1,
	ENDS_RUN = 2 /* of bytes in a quoted string that are what they say */
};

static const unsigned char classes[256] = {
	[' '] = ENDS_ATOM,
	['('] = ENDS_ATOM,
	[')'] = ENDS_ATOM,
	['\t'] = ENDS_ATOM,
	['\r'] = ENDS_ATOM | ENDS_RUN,
	['\n'] = ENDS_ATOM | ENDS_RUN,
	['"'] = ENDS_RUN,
	['\\'] = ENDS_RUN,
};

static bool
ends_atom(unsigned char c)
{
	return (classes[c] & ENDS_ATOM) != 0;
}

/* What is buffered, up to a byte of that class, into text. */
static int
read_run(struct wire *wire, enum byte_class until, struct err *err)
{
	const unsigned char *from = wire->buf + wire->pos, *end = wire->buf + wire->end, *at = from;

	while (at < end && (classes[*at] & until) == 0)
		at++;
	if (text_add(wire, from, (size_t)(at - from), err) != 0)
		return -1;
	return take(wire, (size_t)(at - from), err);
}

/* Bytes up to a separator into text. */
static int
read_atom(struct wire *wire, struct err *err)
{
	do {
		if (fill(wire, err) != 0 || read_run(wire, ENDS_ATOM, err) != 0)
			return -1;
	} while (wire->pos == wire->end);
	return 0;
}

/* The opening quote is next. */
static int
read_quoted(struct wire *wire, struct err *err)
{
	unsigned char c;

	if (take(wire, 1, err) != 0)
		return -1;
	for (;;) {
		if (fill(wire, err) != 0 || read_run(wire, ENDS_RUN, err) != 0)
			return -1;
		if (peek(wire, &c, err) != 0 || take(wire, 1, err) != 0)
			return -1;
		if (c == '"')
			return 0;
		if (c == '\\' && (peek(wire, &c, err) != 0 || take(wire, 1, err) != 0))
			return -1;
		if (c == '\r' || c == '\n')
			return err_set(
				err, ERR_PROTOCOL, "the server sent a line end inside a string");
		if (text_add(wire, &c, 1, err) != 0)
			return -1;
	}
}

/* Is the text "{123}", "{123+}" or "~{123}"? 1 with *size_r, 0 no, -1 too large a number. */
static int
literal_size(const char *text, size_t len, uint64_t *size_r)
{
	unsigned long long value;
	size_t digits;

	if (len > 0 && text[0] == '~') {
		text++;
		len--;
	}
	if (len < 3 || text[0] != '{' || text[len - 1] != '}')
		return 0;
	text++;
	len -= 2;
	if (text[len - 1] == '+')
		len--;
	for (digits = 0; digits < len; digits++) {
		if (text[digits] < '0' || text[digits] > '9')
			return 0;
	}
	if (digits == 0)
		return 0;
	if (text_u64(text, len, &value) != 0 || value > INT64_MAX)
		return -1;
	*size_r = value;
	return 1;
}

static void
trace_literal(struct wire *wire, uint64_t size)
{
	if (wire->trace != NULL)
		str_addf(wire->trace, "<%llu bytes>", (unsigned long long)size);
}

static int
read_inline(struct wire *wire, uint64_t size, struct err *err)
{
	size_t n;

	if (size > WIRE_INLINE_MAX)
		return err_set(err, ERR_PROTOCOL,
			"the server sent a literal of %llu bytes where none is "
			"expected",
			(unsigned long long)size);
	str_reset(&wire->text);
	for (size_t left = (size_t)size; left > 0; left -= n) {
		if (fill(wire, err) != 0)
			return -1;
		n = wire->end - wire->pos < left ? wire->end - wire->pos : left;
		if (text_add(wire, wire->buf + wire->pos, n, err) != 0)
			return -1;
		wire->pos += n;
	}
	return 0;
}

/* An atom was read. If it announces a literal (a size in braces at the line's end), that is it. */
static int
atom_or_literal(struct wire *wire, bool stream, struct wire_token *token, struct err *err)
{
	uint64_t size = 0;
	bool ended = false;
	unsigned char c;
	int ret;

	token->type = WIRE_ATOM;
	if (peek(wire, &c, err) != 0)
		return -1;
	if (c != '\r' && c != '\n')
		return 0;
	ret = literal_size(str_get(&wire->text), wire->text.len, &size);
	if (ret < 0)
		return err_set(err, ERR_PROTOCOL, "the server announced a literal beyond any size");
	if (ret == 0)
		return 0;
	if (line_end(wire, &ended, err) != 0)
		return -1;
	if (!ended)
		return err_set(err, ERR_PROTOCOL, "the server sent no line end before a literal");
	trace_literal(wire, size);
	wire->after_string = true;
	token->literal = size;
	if (stream) {
		token->type = WIRE_LITERAL;
		wire->literal_left = size;
		return 0;
	}
	token->type = WIRE_STRING;
	return read_inline(wire, size, err);
}

/* Blanks before a token; *c_r is the first byte of it. A lone CR is a blank too. */
static int
skip_blanks(struct wire *wire, unsigned char *c_r, bool *ended_r, struct err *err)
{
	unsigned char c;

	*ended_r = false;
	for (;;) {
		if (peek(wire, &c, err) != 0)
			return -1;
		if (c == '\r' || c == '\n') {
			if (line_end(wire, ended_r, err) != 0)
				return -1;
			if (*ended_r)
				return 0;
			wire->after_string = false;
			continue;
		}
		*c_r = c;
		if (c != ' ' && c != '\t')
			return 0;
		wire->after_string = false;
		if (take(wire, 1, err) != 0)
			return -1;
	}
}

static int
read_token(
	struct wire *wire, unsigned char c, bool stream, struct wire_token *token, struct err *err)
{
	switch (c) {
	case '(':
		token->type = WIRE_OPEN;
		if (++wire->depth > WIRE_DEPTH_MAX)
			return err_set(err, ERR_PROTOCOL, "the server nests lists over %d deep",
				(int)WIRE_DEPTH_MAX);
		return take(wire, 1, err);
	case ')':
		token->type = WIRE_CLOSE;
		if (wire->depth == 0)
			return err_set(
				err, ERR_PROTOCOL, "the server closed a list it did not open");
		wire->depth--;
		return take(wire, 1, err);
	case '"':
		token->type = WIRE_STRING;
		wire->after_string = true;
		return read_quoted(wire, err);
	default:
		if (read_atom(wire, err) != 0)
			return -1;
		return atom_or_literal(wire, stream, token, err);
	}
}

static void
token_text(struct wire *wire, struct wire_token *token)
{
	token->text = str_get(&wire->text);
	token->len = wire->text.len;
}

int
wire_next(struct wire *wire, bool stream, struct wire_token *token, struct err *err)
{
	unsigned char c = 0;
	bool ended;

	if (wire->literal_left > 0)
		BUG("a literal was left unread");
	*token = (struct wire_token){ .type = WIRE_EOL, .text = "" };
	str_reset(&wire->text);
	if (skip_blanks(wire, &c, &ended, err) != 0)
		return -1;
	if (ended) {
		if (wire->depth > 0)
			return err_set(err, ERR_PROTOCOL, "the server left a list open");
		return 0;
	}
	if (++wire->tokens > WIRE_TOKENS_MAX)
		return err_set(err, ERR_PROTOCOL, "the server sent over %d words in one response",
			(int)WIRE_TOKENS_MAX);
	if (wire->after_string && c != '(' && c != ')')
		return err_set(err, ERR_PROTOCOL,
			"the server sent a wrong size: no end where a string "
			"should end");
	wire->after_string = false;
	if (read_token(wire, c, stream, token, err) != 0)
		return -1;
	token_text(wire, token);
	if (token->type == WIRE_ATOM && wire_is(token, "NIL"))
		token->type = WIRE_NIL;
	return 0;
}

/* Inside "[...]" of an item's name: everything up to the bracket that is not in a string. */
static int
read_section(struct wire *wire, struct err *err)
{
	bool quoted = false;
	unsigned char c;

	for (;;) {
		if (peek(wire, &c, err) != 0)
			return -1;
		if (c == '\r' || c == '\n')
			return err_set(err, ERR_PROTOCOL, "the server left a section name open");
		if (text_add(wire, &c, 1, err) != 0 || take(wire, 1, err) != 0)
			return -1;
		if (c == '"')
			quoted = !quoted;
		else if (c == ']' && !quoted)
			return 0;
	}
}

int
wire_item_name(struct wire *wire, struct wire_token *token, struct err *err)
{
	unsigned char c;

	if (wire_next(wire, false, token, err) != 0)
		return -1;
	if (token->type != WIRE_ATOM || memchr(token->text, '[', token->len) == NULL ||
		memchr(token->text, ']', token->len) != NULL)
		return 0;
	/* The section's name was cut at a blank or a parenthesis. */
	if (read_section(wire, err) != 0 || peek(wire, &c, err) != 0)
		return -1;
	if (!ends_atom(c) && read_atom(wire, err) != 0)
		return -1;
	token_text(wire, token);
	return 0;
}

int
wire_rest(struct wire *wire, struct wire_token *token, struct err *err)
{
	const unsigned char *from, *lf;
	size_t n;

	str_reset(&wire->text);
	do {
		if (fill(wire, err) != 0)
			return -1;
		from = wire->buf + wire->pos;
		lf = memchr(from, '\n', wire->end - wire->pos);
		n = lf != NULL ? (size_t)(lf - from) : wire->end - wire->pos;
		if (text_add(wire, from, n, err) != 0 ||
			take(wire, lf != NULL ? n + 1 : n, err) != 0)
			return -1;
	} while (lf == NULL);
	if (wire->text.len > 0 && wire->text.data[wire->text.len - 1] == '\r')
		str_cut(&wire->text, wire->text.len - 1);
	*token = (struct wire_token){ .type = WIRE_EOL };
	token_text(wire, token);
	if (token->len > 0 && token->text[0] == ' ') {
		token->text++;
		token->len--;
	}
	return 0;
}

int
wire_literal_read(struct wire *wire, void *buf, size_t size, size_t *got_r, struct err *err)
{
	size_t have = wire->end - wire->pos;
	size_t want = wire->literal_left < size ? (size_t)wire->literal_left : size;

	*got_r = 0;
	if (want == 0)
		return 0;
	if (have == 0 && want < WIRE_DIRECT) {
		if (refill(wire, err) != 0)
			return -1;
		have = wire->end - wire->pos;
	}
	if (have == 0) { /* straight into the caller's buffer: a body is copied once less */
		if (wire->input.read(wire->input.owner, buf, want, got_r, err) != 0)
			return -1;
	} else {
		*got_r = have < want ? have : want;
		memcpy(buf, wire->buf + wire->pos, *got_r);
		wire->pos += *got_r;
	}
	wire->literal_left -= *got_r;
	return 0;
}

int
wire_literal_skip(struct wire *wire, struct err *err)
{
	size_t n;

	while (wire->literal_left > 0) {
		if (fill(wire, err) != 0)
			return -1;
		n = wire->end - wire->pos;
		if (n > wire->literal_left)
			n = (size_t)wire->literal_left;
		wire->pos += n;
		wire->literal_left -= n;
	}
	return 0;
}

int
wire_skip_value(struct wire *wire, struct err *err)
{
	struct wire_token token;
	unsigned outer = wire->depth;

	do {
		if (wire_next(wire, true, &token, err) != 0)
			return -1;
		if (token.type == WIRE_EOL || wire->depth < outer)
			return err_set(err, ERR_PROTOCOL, "the server left out a value");
		if (token.type == WIRE_LITERAL && wire_literal_skip(wire, err) != 0)
			return -1;
	} while (wire->depth > outer);
	return 0;
}

int
wire_skip_rest(struct wire *wire, struct err *err)
{
	struct wire_token line;
	uint64_t size = 0;
	const char *brace;
	int ret;

	for (;;) {
		if (wire_rest(wire, &line, err) != 0)
			return -1;
		brace = line.len > 0 && line.text[line.len - 1] == '}' ? strrchr(line.text, '{')
								       : NULL;
		if (brace == NULL || memchr(line.text, '\0', line.len) != NULL)
			return 0;
		ret = literal_size(brace, line.len - (size_t)(brace - line.text), &size);
		if (ret < 0)
			return err_set(err, ERR_PROTOCOL,
				"the server announced a literal beyond any size");
		if (ret == 0)
			return 0;
		trace_literal(wire, size);
		wire->literal_left = size;
		if (wire_literal_skip(wire, err) != 0)
			return -1;
	}
}

int
wire_u32(const struct wire_token *token, uint32_t *value_r)
{
	unsigned value;

	if (text_u32(token->text, token->len, &value) != 0)
		return -1;
	*value_r = value;
	return 0;
}

int
wire_u64(const struct wire_token *token, uint64_t *value_r)
{
	unsigned long long value;

	if (text_u64(token->text, token->len, &value) != 0)
		return -1;
	*value_r = value;
	return 0;
}
