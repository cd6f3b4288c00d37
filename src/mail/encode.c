/* encode.c - rewrites one header field in ASCII (RFC 2047).
 *
 * The value is taken apart into words: plain ones go out as they are, those with 8-bit bytes are
 * gathered as long as they follow each other and go out as encoded words, with the blanks between
 * them inside (blanks between two encoded words are not shown by readers). What is neither text
 * nor phrase (addresses, ids, parameters) must keep its form: there each bad byte becomes "X". */
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include "mail/encode_private.h"

#include "base/banned.h"

#define FOLD_COLUMNS     76
#define UTF8_WORD_BYTES  45 /* of content: with its frame an encoded word has at most 75 letters */
#define OTHER_WORD_BYTES 42
#define WORD_LETTERS_MIN 16
#define SUBSTITUTE       'X'

enum field_kind { FIELD_TEXT, FIELD_PHRASES, FIELD_RAW };

struct writer {
	struct str *out;
	const char *eol;
	size_t column;
	bool utf8;
	/* Decoded content of the encoded words to come, and the blank before the first. */
	struct str pending;
	const char *blank;
	size_t blank_len;
	bool need_blank;    /* behind an encoded word */
	bool after_encoded; /* the last plain word was an encoded word of the message itself */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_bad(char c)
{
	return (unsigned char)c >= 0x80 || c == '\0';
}

bool
encode_is_needed(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (is_bad(text[i]))
			return true;
	return false;
}

static void
add_substituted(struct str *out, const char *text, size_t len)
{
	size_t i, start = out->len;

	if (str_add(out, text, len) < 0)
		return;
	for (i = start; i < out->len; i++)
		if (is_bad(out->data[i]))
			out->data[i] = SUBSTITUTE;
}

/* Folding stands before a blank, so that unfolding gives the same value. */
static void
emit(struct writer *w, const char *blank, size_t blank_len, const char *text, size_t len)
{
	if (blank_len > 0 && w->column + blank_len + len > FOLD_COLUMNS && w->column > 0) {
		str_adds(w->out, w->eol);
		w->column = 0;
	}
	str_add(w->out, blank, blank_len);
	add_substituted(w->out, text, len);
	w->column += blank_len + len;
}

/* How much of the content the next encoded word takes: what fits on this line if that is worth a
 * word, else what fits on a new one; whole characters of UTF-8. */
static size_t
word_bytes(const struct writer *w, const char *p, size_t len, size_t frame_len)
{
	size_t max = w->utf8 ? UTF8_WORD_BYTES : OTHER_WORD_BYTES;

	if (w->column + frame_len + WORD_LETTERS_MIN < FOLD_COLUMNS) {
		size_t fits = (FOLD_COLUMNS - w->column - frame_len) / 4 * 3;

		max = fits < max ? fits : max;
	}
	if (len <= max)
		return len;
	while (w->utf8 && ((unsigned char)p[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static void
flush_pending(struct writer *w)
{
	const char *p = str_get(&w->pending), *blank = w->blank;
	size_t len = w->pending.len, blank_len = w->blank_len;

	if (len == 0)
		return;
	/* An encoded word stands alone, but "(" may come right before it. */
	if (blank_len == 0 && w->out->len > 0 && w->out->data[w->out->len - 1] != '(') {
		blank = " ";
		blank_len = 1;
	}
	while (len > 0) {
		const char *frame = w->utf8 ? "=?UTF-8?B?" : "=?unknown-8bit?B?";
		size_t at = strlen(frame), take = word_bytes(w, p, len, blank_len + at + 2);
		char word[FOLD_COLUMNS + 2];

		memcpy(word, frame, at + 1);
		at += (size_t)EVP_EncodeBlock(
			(unsigned char *)word + at, (const unsigned char *)p, (int)take);
		memcpy(word + at, "?=", 3);
		emit(w, blank, blank_len, word, at + 2);
		blank = " ";
		blank_len = 1;
		p += take;
		len -= take;
	}
	str_reset(&w->pending);
	w->need_blank = true;
	w->after_encoded = false;
}

static bool
looks_encoded(const char *text, size_t len)
{
	return len > 4 && memcmp(text, "=?", 2) == 0 && memcmp(text + len - 2, "?=", 2) == 0;
}

/* A word that stays (its bad bytes substituted). */
static void
put_plain(struct writer *w, const char *blank, size_t blank_len, const char *text, size_t len)
{
	bool encoded = looks_encoded(text, len);

	if (encoded && w->pending.len > 0) /* the blank before it would not be shown */
		str_add(&w->pending, blank, blank_len);
	flush_pending(w);
	if (blank_len == 0 && w->need_blank && *text != ')') {
		blank = " ";
		blank_len = 1;
	}
	emit(w, blank, blank_len, text, len);
	w->need_blank = false;
	w->after_encoded = encoded;
}

/* A word that is to be encoded. */
static void
put_text(struct writer *w, const char *blank, size_t blank_len, const char *text, size_t len)
{
	if (w->pending.len == 0) {
		w->blank = blank;
		w->blank_len = blank_len;
	}
	if (w->pending.len > 0 || w->after_encoded)
		str_add(&w->pending, blank, blank_len);
	str_add(&w->pending, text, len);
}

static void
put_word(struct writer *w, const char *blank, const char *word, const char *end)
{
	size_t blank_len = (size_t)(word - blank), len = (size_t)(end - word);

	if (encode_is_needed(word, len))
		put_text(w, blank, blank_len, word, len);
	else
		put_plain(w, blank, blank_len, word, len);
}

static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

static void
write_text(struct writer *w, const char *p, const char *end)
{
	while (p < end) {
		const char *blank = p, *word = skip_blanks(p, end);

		for (p = word; p < end && !is_blank(*p); p++)
			;
		if (p > word)
			put_word(w, blank, word, p);
	}
}

/* A quoted string from its first quote on; returns what follows. As a phrase it is encoded without
 * its quotes; before "@" it is part of an address. */
static const char *
write_quoted(struct writer *w, const char *blank, const char *quote, const char *end)
{
	const char *p = quote + 1, *close;
	size_t blank_len = (size_t)(quote - blank), len;
	struct str text;

	str_init(&text, 0);
	for (; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		str_addc(&text, *p);
	}
	close = p < end ? p + 1 : end;
	len = (size_t)(close - quote);
	if (encode_is_needed(quote, len) && (close == end || *close != '@'))
		put_text(w, blank, blank_len, str_get(&text), text.len);
	else
		put_plain(w, blank, blank_len, quote, len);
	str_clear(&text);
	return close;
}

static const char *
find_any(const char *p, const char *end, const char *stops)
{
	while (p < end && (*p == '\0' || strchr(stops, *p) == NULL))
		p++;
	return p;
}

/* One word of a comment, or one of its parentheses. */
static const char *
write_comment_word(
	struct writer *w, const char *blank, const char *word, const char *end, size_t *depth)
{
	const char *p = word + 1;

	if (*word == '(' || *word == ')') {
		*depth += *word == '(' ? 1 : (size_t)-1;
		put_plain(w, blank, (size_t)(word - blank), word, 1);
		return p;
	}
	for (p = word; p < end && !is_blank(*p) && *p != '(' && *p != ')'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	put_word(w, blank, word, p);
	return p;
}

/* Address lists and the like: words, quoted strings and comments are text, the rest is not. */
static void
write_phrases(struct writer *w, const char *p, const char *end)
{
	size_t depth = 0; /* of comments */

	while (p < end) {
		const char *blank = p, *word = skip_blanks(p, end);

		if (word == end)
			break;
		p = word;
		if (depth > 0 || *p == '(') {
			p = write_comment_word(w, blank, word, end, &depth);
		} else if (*p == '"') {
			p = write_quoted(w, blank, word, end);
		} else if (*p == '<') {
			p = find_any(p, end, ">");
			put_plain(w, blank, (size_t)(word - blank), word, (size_t)(p - word));
		} else if (strchr(",;:>)", *p) != NULL && *p != '\0') {
			put_plain(w, blank, (size_t)(word - blank), word, 1);
			p++;
		} else {
			p = find_any(p, end, " \t\",;:<>()");
			if (memchr(word, '@', (size_t)(p - word)) != NULL)
				put_plain(
					w, blank, (size_t)(word - blank), word, (size_t)(p - word));
			else
				put_word(w, blank, word, p);
		}
	}
}

static enum field_kind
field_kind(const char *name, size_t len)
{
	static const char *const phrases[] = { "From", "Sender", "Reply-To", "To", "Cc", "Bcc",
		"Resent-From", "Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc",
		"Resent-Bcc", "Disposition-Notification-To", "Mail-Followup-To", "Mail-Reply-To",
		"Errors-To", "Return-Receipt-To", "List-Id", "Keywords" };
	/* Of a fixed form; a prefix ends with "-". */
	static const char *const raw[] = { "Date", "Resent-Date", "Delivery-Date", "Message-ID",
		"Resent-Message-ID", "In-Reply-To", "References", "Received", "Received-SPF",
		"Return-Path", "Delivered-To", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "Content-Disposition", "Content-ID",
		"Content-Location", "Content-Base", "Content-Language", "Content-MD5",
		"Content-Length", "Lines", "Status", "X-Status", "X-UID", "X-UIDL",
		"DKIM-Signature", "DomainKey-Signature", "Authentication-Results", "ARC-", "List-",
		"Autocrypt", "Newsgroups", "Path", "Expires" };
	size_t i, k;

	for (i = 0; i < len; i++)
		if (name[i] <= ' ' || is_bad(name[i]))
			return FIELD_RAW; /* no field at all */
	for (i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (strlen(phrases[i]) == len && text_ieqn(name, phrases[i], len))
			return FIELD_PHRASES;
	for (i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		k = strlen(raw[i]);
		if ((k == len || (k < len && raw[i][k - 1] == '-')) && text_ieqn(name, raw[i], k))
			return FIELD_RAW;
	}
	return FIELD_TEXT;
}

/* CRLF, LF or CR at the end of the text; "" when there is none. */
static const char *
last_line_end(const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		return len > 1 && text[len - 2] == '\r' ? "\r\n" : "\n";
	return len > 0 && text[len - 1] == '\r' ? "\r" : "";
}

int
encode_field(struct str *out, const char *field, size_t len)
{
	const char *colon = memchr(field, ':', len), *eol = last_line_end(field, len);
	struct writer w = { .out = out, .eol = *eol != '\0' ? eol : "\r\n" };
	enum field_kind kind = FIELD_RAW;
	struct str value;
	size_t i;

	if (colon != NULL && colon > field)
		kind = field_kind(field, (size_t)(colon - field));
	if (kind == FIELD_RAW) {
		add_substituted(out, field, len);
		return out->overflow ? -1 : 0;
	}
	str_init(&value, 0);
	str_init(&w.pending, 0);
	for (i = (size_t)(colon + 1 - field); i < len; i++)
		if (field[i] != '\r' && field[i] != '\n')
			str_addc(&value, field[i]);
	w.column = (size_t)(colon + 1 - field);
	w.utf8 = text_is_utf8(str_get(&value), value.len) &&
		 memchr(str_get(&value), '\0', value.len) == NULL;
	str_add(out, field, w.column);
	if (kind == FIELD_TEXT)
		write_text(&w, str_get(&value), str_get(&value) + value.len);
	else
		write_phrases(&w, str_get(&value), str_get(&value) + value.len);
	flush_pending(&w);
	str_adds(out, eol);
	i = value.overflow || w.pending.overflow || out->overflow;
	str_clear(&value);
	str_clear(&w.pending);
	return i != 0 ? -1 : 0;
}
