/* level.c - how many connections a host may have at a time.
 *
 * Up: while all that are allowed are in use and more are wanted, one more is tried, and what gets
 * through before and after is compared. It helped: the next one is tried. It did not: it is taken
 * back, and tried again after a rest. Down: at once by half when the host asks for patience; where
 * it was the one more that was refused, by that one. Then back up by one every few seconds, to just
 * below what was refused, which itself is tried again much later. */
#include "net/level.h"

#include <stddef.h>
#include <string.h>

#include "base/banned.h"

const char *
level_why_text(enum level_why why)
{
	switch (why) {
	case LEVEL_FINE:
		break;
	case LEVEL_LIMIT:
		return "[LIMIT]";
	case LEVEL_UNAVAILABLE:
		return "[UNAVAILABLE]";
	case LEVEL_REFUSED:
		return "connection refused";
	case LEVEL_BYE:
		return "goodbye at the login";
	case LEVEL_SLOW:
		return "slow answers";
	}
	return "";
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned
most(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static unsigned
less(unsigned from, unsigned by)
{
	return from > by ? from - by : 0;
}

void
level_set(struct level *level, unsigned ceiling, unsigned start, unsigned unit)
{
	level->ceiling = ceiling;
	level->start = least(start, ceiling);
	level->unit = unit;
	if (!level->shrunk)
		level->now = most(level->now, level->start);
	level->now = least(level->now, ceiling);
}

/* Since the last change: what was measured before it says nothing of now. */
static void
forget_window(struct level *level)
{
	memset(&level->window, 0, sizeof(level->window));
}

/* So many were too many, and are not tried again for a while. */
static void
learn_limit(struct level *level, unsigned limit, int64_t now_ms)
{
	unsigned twice = least(level->limit_ms * 2, LEVEL_LIMIT_MAX_MS);

	level->limit_ms = level->limit_ms > 0 ? twice : LEVEL_LIMIT_MS;
	level->limit = limit;
	level->limit_until = now_ms + level->limit_ms;
}

static void
shrink(struct level *level, unsigned to, enum level_why why, int64_t now_ms)
{
	if (!level->shrunk || level->now > level->before)
		level->before = level->now;
	level->now = to;
	level->why = why;
	level->shrunk = true;
	level->trial = false;
	level->from = 0;
	level->recover_ms = now_ms;
	level->rest_until = now_ms + LEVEL_RECOVER_MS;
	forget_window(level);
}

bool
level_strain(struct level *level, enum level_why why, unsigned used, int64_t now_ms)
{
	/* One that was alone says little of how many would be too many. */
	bool alone = used <= level->unit;
	unsigned had = alone ? level->now : least(used, level->now);
	bool one_more =
		level->from > 0 && had > level->from && now_ms - level->grown_ms < LEVEL_TRIAL_MS;
	unsigned to;

	if (level->strained && now_ms - level->strained_ms < LEVEL_STRAIN_MS)
		return false;
	level->strained = true;
	level->strained_ms = now_ms;
	to = most(one_more ? level->from : had / 2, least(level->unit, level->ceiling));
	if (!alone)
		learn_limit(level, had, now_ms);
	if (to >= level->now)
		return false;
	shrink(level, to, why, now_ms);
	return true;
}

/* Just below what was refused, as long as that counts. */
static unsigned
highest(const struct level *level, int64_t now_ms)
{
	if (level->limit == 0 || now_ms >= level->limit_until)
		return level->ceiling;
	return least(level->ceiling, most(level->unit, less(level->limit, level->unit)));
}

static void
grow(struct level *level, unsigned by, int64_t now_ms)
{
	level->from = level->now;
	level->now = least(level->now + by, highest(level, now_ms));
	level->grown_ms = now_ms;
	forget_window(level);
}

/* Step by step to where it was before it shrank. True: a step. */
static bool
recover(struct level *level, const struct level_look *look)
{
	unsigned goal = most(level->before, level->start);

	if (!level->shrunk)
		return false;
	if (level->now >= least(goal, level->ceiling)) {
		level->shrunk = false;
		return false;
	}
	if (!look->wanted || look->used < level->now ||
		look->now_ms - level->recover_ms < LEVEL_RECOVER_MS ||
		level->now >= highest(level, look->now_ms))
		return false;
	level->recover_ms = look->now_ms;
	grow(level, level->unit, look->now_ms);
	return true;
}

/* A tenth more, so that it can be seen in the throughput, and at least one. */
static unsigned
step_of(const struct level *level)
{
	return (level->now / (10 * level->unit) + 1) * level->unit;
}

/* All that were allowed have been at work, and more were wanted, for all of the window. */
static bool
was_full(const struct level *level)
{
	return level->window.wanted * 2 >= level->window.looks &&
	       level->window.used * 2 >= (2 * (uint64_t)level->now - 1) * level->window.looks;
}

/* What a window says of more connections. True: another level. */
static bool
try_more(struct level *level, double rate, int64_t now_ms)
{
	bool helped = rate * 100 >= level->rate_before * LEVEL_GAIN_PERCENT;
	bool was_trial = level->trial;

	level->trial = false;
	if (was_trial && !helped) {
		level->rest_until = now_ms + LEVEL_REST_MS;
		if (level->from < level->start)
			return false;
		level->now = level->from;
		forget_window(level);
		return true;
	}
	if (level->shrunk || now_ms < level->rest_until || level->now >= highest(level, now_ms))
		return false;
	level->rate_before = rate;
	level->trial = true;
	grow(level, step_of(level), now_ms);
	return true;
}

/* Too long, again and again, with no more getting through than usual: more at once than the host
 * can bear. True: it shrank. What is usual follows slowly, so that a host that has become another
 * is not held down for ever. */
static bool
is_too_slow(struct level *level, double answer_ms, double rate, unsigned used, int64_t now_ms)
{
	double weight =
		level->windows < LEVEL_USUAL_WINDOWS ? level->windows + 1 : LEVEL_USUAL_WINDOWS;
	bool slow = level->windows >= LEVEL_SLOW_WINDOWS && answer_ms >= LEVEL_SLOW_MIN_MS &&
		    answer_ms >= level->usual_answer_ms * LEVEL_SLOW_TIMES &&
		    rate * 100 < level->usual_rate * LEVEL_GAIN_PERCENT;
	unsigned to = most(less(least(level->now, used), level->unit), level->unit);

	level->windows++;
	level->usual_answer_ms += (answer_ms - level->usual_answer_ms) / weight;
	level->usual_rate += (rate - level->usual_rate) / weight;
	level->slow = slow ? level->slow + 1 : 0;
	if (level->slow < LEVEL_SLOW_WINDOWS || to >= level->now)
		return false;
	level->slow = 0;
	learn_limit(level, to + level->unit, now_ms);
	shrink(level, to, LEVEL_SLOW, now_ms);
	return true;
}

static void
begin_window(struct level *level, const struct level_look *look)
{
	forget_window(level);
	level->window.begun = true;
	level->window.since_ms = look->now_ms;
	level->window.moved = look->moved;
	level->window.answers = look->answers;
	level->window.answer_ms = look->answer_ms;
}

/* True when it is long enough to tell something. A trial begins to count once the new connections
 * are there. */
static bool
measure(struct level *level, const struct level_look *look)
{
	int64_t since = look->now_ms - level->window.since_ms;
	uint64_t answers = look->answers - level->window.answers;

	if (level->trial && look->now_ms - level->grown_ms < LEVEL_SETTLE_MS)
		return false;
	if (!level->window.begun && level->trial && look->used < level->now) {
		if (look->now_ms - level->grown_ms > LEVEL_TRIAL_MS)
			level->trial = false;
		return false;
	}
	if (!level->window.begun) {
		begin_window(level, look);
		return false;
	}
	level->window.looks++;
	level->window.used += look->used;
	level->window.wanted += look->wanted;
	return since >= LEVEL_WINDOW_MS &&
	       (answers >= 2 * (uint64_t)look->used || since >= LEVEL_WINDOW_MAX_MS);
}

bool
level_step(struct level *level, const struct level_look *look)
{
	uint64_t answers = look->answers - level->window.answers;
	double waited = (double)(look->answer_ms - level->window.answer_ms);
	bool full, changed;
	unsigned used;
	double rate;

	if (recover(level, look))
		return true;
	if (!measure(level, look))
		return false;
	full = was_full(level);
	used = (unsigned)(level->window.used / level->window.looks);
	rate = (double)(look->moved - level->window.moved) * 1000 /
	       (double)(look->now_ms - level->window.since_ms);
	begin_window(level, look);
	if (answers == 0) /* idle, or too slow to tell */
		return false;
	if (!full && look->now_ms - level->grown_ms > LEVEL_TRIAL_MS)
		level->trial = false;
	changed = is_too_slow(level, waited / (double)answers, rate, used, look->now_ms);
	return changed || (full && try_more(level, rate, look->now_ms));
}
