/* test_wire.c - the tokenizer: every transcript whole, cut at every byte, and ended at every byte.
 */
#include "connector/imap/wire.h"

#include <stdlib.h>

#include "base/test.h"

#include "base/banned.h"

struct feed {
	const char *bytes;
	size_t len, at, first; /* the first read gives at most `first` bytes */
	size_t chunk;          /* later ones this many; 0 = all */
};

static int
feed_read(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct feed *feed = owner;
	size_t n = feed->len - feed->at;

	if (n == 0)
		return err_set(err, ERR_LOST, "the transcript has ended");
	if (feed->at < feed->first && n > feed->first - feed->at)
		n = feed->first - feed->at;
	if (feed->chunk > 0 && n > feed->chunk)
		n = feed->chunk;
	if (n > size)
		n = size;
	memcpy(buf, feed->bytes + feed->at, n);
	feed->at += n;
	*got_r = n;
	return 0;
}

enum how { TOKENS, STREAMS, ITEMS, REST, SKIP_REST, SKIP_VALUES };

/* False: the transcript ended within a literal. */
static bool
dump_token(struct str *out, struct wire *wire, const struct wire_token *token)
{
	static const char *const names[] = { "A:", "S:", "N:", "(", ")", "L:", "EOL" };
	struct err err = { 0 };
	char buf[3];
	size_t got;

	str_adds(out, names[token->type]);
	if (token->type == WIRE_LITERAL) {
		do {
			if (wire_literal_read(wire, buf, sizeof(buf), &got, &err) != 0) {
				str_adds(out, "!lost");
				return false;
			}
			text_sanitize(out, buf, got);
		} while (got > 0);
	} else {
		text_sanitize(out, token->text, token->len);
	}
	str_addc(out, ' ');
	return true;
}

/* One response as text; an error as "!code". */
static void
dump_response(struct wire *wire, enum how how, struct str *out)
{
	struct wire_token token = { .type = WIRE_ATOM };
	struct err err = { 0 };
	int ret = wire_begin(wire, &err);

	while (ret == 0 && token.type != WIRE_EOL) {
		token = (struct wire_token){ .type = WIRE_EOL, .text = "" };
		if (how == REST)
			ret = wire_rest(wire, &token, &err);
		else if (how == SKIP_REST)
			ret = wire_skip_rest(wire, &err);
		else if (how == ITEMS)
			ret = wire_item_name(wire, &token, &err);
		else
			ret = wire_next(wire, how == STREAMS, &token, &err);
		if (ret == 0 && !dump_token(out, wire, &token))
			return;
		if (ret == 0 && how == SKIP_VALUES && token.type == WIRE_ATOM)
			ret = wire_skip_value(wire, &err);
	}
	if (ret != 0)
		str_addf(out, "!%s", err_name(err.code));
}

struct wire_case {
	enum how how;
	const char *bytes;
	const char *want;
};

static const struct wire_case cases[] = {
	{ TOKENS, "* OK\r\n", "A:* A:OK EOL " },
	{ TOKENS, "* LIST (\\A \\B) \"/\" \"a \\\"b\\\\\"\r\n",
		"A:* A:LIST ( A:\\A A:\\B ) S:/ S:a \"b\\ EOL " },
	{ TOKENS, "* X NIL nil NILS\r\n", "A:* A:X N:NIL N:nil A:NILS EOL " },
	{ TOKENS, "* X {3}\r\na\r\n y\r\n", "A:* A:X S:a\\x0D\\x0A A:y EOL " },
	{ TOKENS, "* X {3+}\r\nabc\r\n", "A:* A:X S:abc EOL " },
	{ TOKENS, "* X ~{2}\r\na) b\r\n", "A:* A:X S:a) A:b EOL " },
	{ TOKENS, "* X {0}\r\n y\r\n", "A:* A:X S: A:y EOL " },
	{ TOKENS, "* X {2}\nab\n", "A:* A:X S:ab EOL " }, /* bare LF */
	{ TOKENS, "\r\n\n* X\n", "A:* A:X EOL " },        /* empty lines */
	{ TOKENS, "* X caf\xc3\xa9 b\xff z]{\r\n", "A:* A:X A:caf\xc3\xa9 A:b\\xFF A:z]{ EOL " },
	{ TOKENS, "* X ({a} b)\r\n", "A:* A:X ( A:{a} A:b ) EOL " },
	{ TOKENS, "* X a\rb\r\n", "A:* A:X A:a A:b EOL " }, /* a lone CR is a blank */
	{ TOKENS, "* X (a(b)c)\r\n", "A:* A:X ( A:a ( A:b ) A:c ) EOL " },
	{ TOKENS, "* X \"\"\r\n", "A:* A:X S: EOL " },
	{ STREAMS, "* 1 FETCH (BODY[] {4}\r\n1\0003) UID 7)\r\n",
		"A:* A:1 A:FETCH ( A:BODY[] L:1\\x003) A:UID A:7 ) EOL " },
	{ STREAMS, "* X {0}\r\n)\r\n", "A:* A:X L: !protocol" },
	{ ITEMS, "BODY[HEADER.FIELDS (\"a]\" b)]<0> BODY[] RFC822.SIZE\r\n",
		"A:BODY[HEADER.FIELDS (\"a]\" b)]<0> A:BODY[] A:RFC822.SIZE EOL " },
	{ ITEMS, "BODY[1 x\r\n", "!protocol" },
	{ REST, "* OK [X] a \"b {3}\r\n", "EOL* OK [X] a \"b {3} " },
	{ REST, " hi\n", "EOLhi " },
	{ REST, "\r\n x\r\n", "EOLx " },
	{ SKIP_REST, "* FOO \"x {3}\r\na\r\n (( {1+}\r\nz\r\n", "EOL " },
	{ SKIP_VALUES, "A (x (y) {3}\r\n(((\r\n) B \"q\" C {2}\r\n)) D e\r\n", "A:A !protocol" },
	{ SKIP_VALUES, "A (x (y) {3}\r\n((() B \"q\" C {2}\r\n)) D e\r\n", "A:A A:B A:C A:D EOL " },
	{ SKIP_VALUES, "A\r\n", "A:A !protocol" },
	{ SKIP_VALUES, "A )\r\n", "A:A !protocol" },
	/* What is refused. */
	{ TOKENS, "* X (a\r\n", "A:* A:X ( A:a !protocol" },
	{ TOKENS, "* X a)\r\n", "A:* A:X A:a !protocol" },
	{ TOKENS, "* X \"a\r\n", "A:* A:X !protocol" },
	{ TOKENS, "* X \"a\"b\r\n", "A:* A:X S:a !protocol" },
	{ TOKENS, "* X {3}\r\nabcd\r\n", "A:* A:X S:abc !protocol" }, /* a size too small */
	{ TOKENS, "* X {18446744073709551616}\r\n", "A:* A:X !protocol" },
	{ TOKENS, "* X {18446744073709551615}\r\n", "A:* A:X !protocol" },
	{ TOKENS, "* X {5000000000}\r\n", "A:* A:X !protocol" }, /* not where it is held */
	{ SKIP_REST, "* X {99999999999999999999}\r\n", "!protocol" },
	{ TOKENS, "((((((((((((((((((((((((((((((((()\r\n",
		"( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( ( !protocol" },
};

/* The NUL in one transcript is part of it: lengths are counted past it. */
static size_t
case_len(const struct wire_case *c)
{
	size_t len = strlen(c->bytes);

	if (c->how == STREAMS && strstr(c->bytes, "{4}") != NULL)
		len += 1 + strlen(c->bytes + len + 1);
	return len;
}

static void
run_case(const struct wire_case *c, size_t first, size_t chunk, size_t len, struct str *out)
{
	struct feed feed = { .bytes = c->bytes, .len = len, .first = first, .chunk = chunk };
	struct wire wire;

	str_reset(out);
	wire_init(&wire, (struct wire_input){ .read = feed_read, .owner = &feed });
	dump_response(&wire, c->how, out);
	wire_clear(&wire);
}

static void
test_whole(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_case(&cases[i], 0, 0, case_len(&cases[i]), &out);
		CHECK_STR(str_get(&out), cases[i].want);
	}
	str_clear(&out);
}

static void
test_cut_at_every_byte(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = case_len(&cases[i]);

		run_case(&cases[i], 0, 1, len, &out);
		CHECK_STR(str_get(&out), cases[i].want);
		for (size_t cut = 1; cut < len; cut++) {
			run_case(&cases[i], cut, 0, len, &out);
			CHECK_STR(str_get(&out), cases[i].want);
		}
	}
	str_clear(&out);
}

/* A transcript that ends early is an error, never an end. */
static void
test_ended_at_every_byte(void)
{
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = case_len(&cases[i]);

		for (size_t end = 1; end < len; end++) {
			run_case(&cases[i], 0, 0, end, &out);
			CHECK(strchr(str_get(&out), '!') != NULL);
		}
	}
	str_clear(&out);
}

/* A server that never ends its line, or its list of words. */
struct endless {
	const char *unit;
	uint64_t given;
};

static int
endless_read(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct endless *endless = owner;
	size_t n = strlen(endless->unit), at = 0;

	(void)err;
	while (at + n <= size) {
		memcpy((char *)buf + at, endless->unit, n);
		at += n;
	}
	endless->given += at;
	*got_r = at;
	return 0;
}

static void
check_bounded(enum how how, const char *unit)
{
	struct endless endless = { .unit = unit };
	struct wire wire;
	struct wire_token token = { .type = WIRE_ATOM };
	struct err err = { 0 };
	int ret;

	wire_init(&wire, (struct wire_input){ .read = endless_read, .owner = &endless });
	ret = wire_begin(&wire, &err);
	while (ret == 0) {
		if (how == REST)
			ret = wire_rest(&wire, &token, &err);
		else if (how == SKIP_REST)
			ret = wire_skip_rest(&wire, &err);
		else
			ret = wire_next(&wire, false, &token, &err);
	}
	CHECK_INT(err.code, ERR_PROTOCOL);
	CHECK(endless.given <= WIRE_LINE_MAX + 2 * WIRE_BUFFER);
	wire_clear(&wire);
}

static void
test_limits(void)
{
	check_bounded(TOKENS, "a");
	check_bounded(TOKENS, "a ");
	check_bounded(TOKENS, "\"aaaa");
	check_bounded(TOKENS, "  ");
	check_bounded(TOKENS, "\r ");
	check_bounded(REST, "abc");
	check_bounded(SKIP_REST, "abc");
}

static void
test_numbers(void)
{
	struct wire_token token = { .text = "4294967295", .len = 10 };
	uint32_t small = 0;
	uint64_t large = 0;

	CHECK_INT(wire_u32(&token, &small), 0);
	CHECK_INT(small, UINT32_MAX);
	token.text = "4294967296";
	CHECK_INT(wire_u32(&token, &small), -1);
	CHECK_INT(wire_u64(&token, &large), 0);
	CHECK_INT(large, (uint64_t)UINT32_MAX + 1);
	token = (struct wire_token){ .text = "12x", .len = 3 };
	CHECK_INT(wire_u64(&token, &large), -1);
	token = (struct wire_token){ .text = "", .len = 0 };
	CHECK_INT(wire_u64(&token, &large), -1);
	token = (struct wire_token){ .text = "fetch", .len = 5 };
	CHECK(wire_is(&token, "FETCH"));
	CHECK(!wire_is(&token, "FETC"));
	CHECK(!wire_is(&token, "FETCHX"));
}

int
main(void)
{
	RUN(test_whole);
	RUN(test_cut_at_every_byte);
	RUN(test_ended_at_every_byte);
	RUN(test_limits);
	RUN(test_numbers);
	return test_done();
}
