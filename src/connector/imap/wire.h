/* wire.h - reads what an IMAP server sends, token by token, under named limits.
 *
 * Bytes come from a callback, so that the same reader serves a connection, a test's transcript and
 * a fuzzer. Nothing is asked of the bytes but the balance of parentheses and strings: what a token
 * means is the caller's business. No recursion; sizes in 64 bit; a literal may be streamed. */
#ifndef CONNECTOR_IMAP_WIRE_H
#define CONNECTOR_IMAP_WIRE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum wire_limit {
	WIRE_LINE_MAX = 1 << 20,     /* bytes of one response outside of its literals */
	WIRE_INLINE_MAX = 256 << 10, /* a literal that is held in memory */
	WIRE_DEPTH_MAX = 32,         /* open parentheses */
	WIRE_TOKENS_MAX = 200000,    /* of one response */
	WIRE_BUFFER = 64 << 10,
	WIRE_DIRECT = 16 << 10 /* of a literal: less comes through the buffer, with what follows */
};

/* At least one byte, or -1 with *err; never 0 bytes with success. */
struct wire_input {
	int (*read)(void *owner, void *buf, size_t size, size_t *got_r, struct err *err);
	void *owner;
};

enum wire_type {
	WIRE_ATOM,    /* anything up to a blank, a parenthesis or the line's end; 8-bit bytes too */
	WIRE_STRING,  /* quoted, or a literal held in memory */
	WIRE_NIL,     /* the atom NIL; text holds it as it was written */
	WIRE_OPEN,    /* ( */
	WIRE_CLOSE,   /* ) */
	WIRE_LITERAL, /* only when streams are asked for: `literal` bytes follow, not yet read */
	WIRE_EOL      /* the response has ended; its line end is consumed */
};

struct wire_token {
	enum wire_type type;
	const char *text; /* terminated; valid until the next call */
	size_t len;
	uint64_t literal;
};

/* One thread. Any -1 leaves it out of step: nothing but wire_clear() may follow. */
struct wire {
	struct wire_input input;
	unsigned char *buf;
	size_t pos, end;
	/* Of the response being read. */
	size_t line_bytes, tokens;
	unsigned depth;
	uint64_t literal_left;
	bool after_string; /* what follows a string must be a separator */
	struct str text;
	struct str *trace; /* gets the bytes as read, literals as their size; NULL = no trace */
};

void wire_init(struct wire *wire, struct wire_input input);
void wire_clear(struct wire *wire);

/* Starts the next response: counters to zero, empty lines are passed over. */
int wire_begin(struct wire *wire, struct err *err);
/* The next token. stream: a literal is not read but announced (WIRE_LITERAL). */
int wire_next(struct wire *wire, bool stream, struct wire_token *token, struct err *err);
/* The name of a FETCH item: an atom that may hold "[...]" with blanks, strings and lists in it. */
int wire_item_name(struct wire *wire, struct wire_token *token, struct err *err);
/* The rest of the line as text, without its line end and leading blank; literals mean nothing in
 * it (resp-text, RFC 9051). Ends the response. */
int wire_rest(struct wire *wire, struct wire_token *token, struct err *err);
/* Passes over one value: an atom, a string, a literal of any size, or a whole list. */
int wire_skip_value(struct wire *wire, struct err *err);
/* Passes over the rest of the response, literals included, whatever is in it. */
int wire_skip_rest(struct wire *wire, struct err *err);
/* Up to `size` bytes of an announced literal; *got_r 0 = it is at its end. */
int wire_literal_read(struct wire *wire, void *buf, size_t size, size_t *got_r, struct err *err);
/* The rest of an announced literal. */
int wire_literal_skip(struct wire *wire, struct err *err);

/* Bytes that have arrived and were not looked at. */
size_t wire_buffered(const struct wire *wire);
/* Takes them out; valid until the next call. Between two responses only. */
const void *wire_take_ahead(struct wire *wire, size_t *len_r);

/* A token as a number: the whole text, decimal. -1 when it is none or too large (no *err). */
int wire_u32(const struct wire_token *token, uint32_t *value_r);
int wire_u64(const struct wire_token *token, uint64_t *value_r);

/* Case-blind. Here, so that a word's length is known where it stands: most words are not it. */
static inline bool
wire_is(const struct wire_token *token, const char *word)
{
	size_t len = strlen(word);

	return token->len == len && text_ieqn(token->text, word, len);
}

#endif
