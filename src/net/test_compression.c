/* test_compression.c - what one session learns is known to the next. */
#include "base/test.h"
#include "net/compression.h"
#include "net/pace.h"

#include "base/banned.h"

static const struct gain_sample slow = { 8000000, 4000, 3900 }, fast = { 16000000, 4000, 3900 },
				slower = { 4000000, 4000, 3900 };

static bool
tell(struct compression *c, struct compression_part *part, struct gain_sample news, bool said)
{
	char why[240];
	bool ret = compression_tell(c, part, &news, why, sizeof(why));

	CHECK_INT(news.busy_ms, 0);
	CHECK_INT(why[0] != '\0', said);
	return ret;
}

static const char *
state_of(struct compression *c)
{
	static struct compression_status status;

	compression_look(c, &status);
	return status.state;
}

/* A slow line: one tries, the others wait for what comes of it, then all take part. */
static void
test_better(void)
{
	struct compression *c = compression_new(false);
	struct compression_part one = { 0 }, two = { 0 }, three = { 0 };
	struct compression_status status;

	CHECK(!compression_begin(c, &one, false));
	CHECK(!compression_begin(c, &two, false));
	CHECK_STR(state_of(c), "");
	CHECK(tell(c, &one, slow, true));
	CHECK(!tell(c, &two, slow, false));
	CHECK_STR(state_of(c), "tried");
	compression_is_on(c, &one);
	CHECK(!tell(c, &one, fast, true));
	CHECK_STR(state_of(c), "better");
	CHECK(tell(c, &two, slow, false));
	CHECK(compression_begin(c, &three, false));
	compression_is_on(c, &three);
	compression_count(c, 100, 40);
	compression_end(c, &one);
	compression_look(c, &status);
	CHECK_INT(status.sessions, 1);
	CHECK_INT(status.begun, 3);
	CHECK_INT(status.compressed, 2);
	CHECK_INT(status.bytes, 100);
	CHECK_INT(status.line_bytes, 40);
	compression_end(c, &two);
	compression_end(c, &three);
	compression_free(&c);
	compression_free(&c);
}

/* A slow server: nobody is asked again. */
static void
test_worse(void)
{
	struct compression *c = compression_new(true);
	struct compression_part one = { 0 }, two = { 0 };

	CHECK(!compression_begin(c, &one, false));
	CHECK(tell(c, &one, slow, true));
	compression_is_on(c, &one);
	CHECK(!tell(c, &one, slower, true));
	CHECK_STR(state_of(c), "not better");
	compression_end(c, &one);
	CHECK(!compression_begin(c, &two, false));
	CHECK(!tell(c, &two, slow, false));
	CHECK(compression_begin(c, &one, true)); /* unless the profile says so */
	compression_free(&c);
}

/* A trial that ends without a result hands over to the next session, which begins with it. */
static void
test_handed_over(void)
{
	struct compression *c = compression_new(false);
	struct compression_part one = { 0 }, two = { 0 }, three = { 0 };
	const struct gain_sample half = { 8000000, 2000, 1950 };

	CHECK(!compression_begin(c, &one, false));
	CHECK(tell(c, &one, slow, true));
	compression_is_on(c, &one);
	CHECK(!tell(c, &one, half, false));
	compression_end(c, &one);
	CHECK_STR(state_of(c), "");
	CHECK(compression_begin(c, &two, false));
	CHECK(!compression_begin(c, &three, false));
	compression_is_on(c, &two);
	CHECK(!tell(c, &two, half, true));
	CHECK_STR(state_of(c), "better");
	compression_free(&c);
}

static void
test_refused(void)
{
	struct compression *c = compression_new(false);
	struct compression_part one = { 0 }, two = { 0 };

	CHECK(!compression_begin(c, &one, false));
	CHECK(tell(c, &one, slow, true));
	compression_refused(c, &one);
	CHECK(!tell(c, &one, slow, false));
	CHECK(!compression_begin(c, &two, false));
	CHECK_STR(state_of(c), "refused");
	compression_free(&c);
}

/* One for each host and direction. */
static void
test_pace(void)
{
	struct pace *pace = pace_new(2);
	struct endpoint source = { .host = "Mail.example", .port = 143, .readonly = true };
	struct endpoint target = source, same = source;
	struct pace_line lines[4];

	target.readonly = false;
	same.host = "mail.EXAMPLE";
	CHECK_INT(pace_lines(pace, lines, 4), 0);
	CHECK(pace_compression(pace, &source) == pace_compression(pace, &same));
	CHECK(pace_compression(pace, &source) != pace_compression(pace, &target));
	CHECK_INT(pace_lines(pace, lines, 1), 1);
	CHECK_INT(pace_lines(pace, lines, 4), 2);
	CHECK_STR(lines[1].host, "Mail.example");
	CHECK(lines[1].source && !lines[0].source);
	pace_free(&pace);
}

int
main(void)
{
	RUN(test_better);
	RUN(test_worse);
	RUN(test_handed_over);
	RUN(test_refused);
	RUN(test_pace);
	return test_done();
}
