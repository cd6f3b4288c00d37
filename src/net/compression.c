/* compression.c - what is known of compression to one host in one direction.
 *
 * Sessions tell what they see. When the line is slow, one of them, the trial, turns compression on;
 * the others go on as they are, and may end, without the host being left unjudged: a trial that
 * ends early hands the question to the next session, and what was measured stays. The verdict holds
 * for the rest of the run. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/compression.h"
#include "base/err.h"
#include "base/str.h"
#include "net/net_private.h"

#include "base/banned.h"

struct compression {
	/* Fixed. */
	bool reads;
	/* Hold the lock. */
	pthread_mutex_t lock;
	struct gain_sample plain, packed;
	enum gain_verdict verdict;
	bool trial;   /* some session has it */
	bool refused; /* by the server */
	struct compression_status status;
};

struct compression *
compression_new(bool reads)
{
	struct compression *c = xcalloc(1, sizeof(*c));

	c->reads = reads;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
compression_free(struct compression **compression)
{
	if (*compression == NULL)
		return;
	pthread_mutex_destroy(&(*compression)->lock);
	free(*compression);
	*compression = NULL;
}

/* With the lock held. What the plain sessions saw is enough to try it. */
static bool
may_try(const struct compression *c)
{
	return c->verdict == GAIN_OPEN && !c->trial && !c->refused && gain_is_told(&c->plain);
}

/* With the lock held. */
static bool
begin_trial(struct compression *c, struct compression_part *part, uint64_t zlib_rate)
{
	if (!may_try(c) || !gain_is_worth_trying(&c->plain, zlib_rate))
		return false;
	c->trial = part->trial = true;
	return true;
}

static void
say(char *why_r, size_t size, const struct compression *c, const char *what, uint64_t zlib_rate)
{
	const struct gain_sample *plain = &c->plain, *packed = &c->packed;

	snprintf(why_r, size,
		"compression %s: %llu KB/s for each connection, of its time %llu %% waiting; "
		"zlib here %llu KB/s; compressed %llu KB/s, waiting %llu %%",
		what, (unsigned long long)(gain_rate(plain) / 1000),
		(unsigned long long)(plain->busy_ms > 0 ? plain->waited_ms * 100 / plain->busy_ms
							: 0),
		(unsigned long long)(zlib_rate / 1000),
		(unsigned long long)(gain_rate(packed) / 1000),
		(unsigned long long)(packed->busy_ms > 0 ? packed->waited_ms * 100 / packed->busy_ms
							 : 0));
}

bool
compression_begin(struct compression *c, struct compression_part *part, bool always)
{
	struct gain_speed speed;
	bool ret, ask;

	pthread_mutex_lock(&c->lock);
	c->status.begun++;
	ret = always || (c->verdict == GAIN_BETTER && !c->refused);
	ask = !ret && may_try(c);
	pthread_mutex_unlock(&c->lock);
	if (!ask)
		return ret;
	deflate_speed(&speed);
	pthread_mutex_lock(&c->lock);
	ret = begin_trial(c, part, gain_zlib_rate(&speed, c->reads));
	pthread_mutex_unlock(&c->lock);
	return ret;
}

/* With the lock held. A verdict is said by the one who brought it about. */
static void
judge(struct compression *c, char *why_r, size_t size)
{
	if (c->verdict != GAIN_OPEN)
		return;
	c->verdict = gain_judge(&c->plain, &c->packed);
	if (c->verdict == GAIN_BETTER)
		say(why_r, size, c, "is better, and used from now on", 0);
	else if (c->verdict == GAIN_WORSE)
		say(why_r, size, c, "is not better, and not begun again", 0);
	/* Another thing has become slow: what was measured says nothing. */
	else if (gain_is_told(&c->packed))
		c->packed = (struct gain_sample){ 0 };
}

bool
compression_tell(struct compression *c, struct compression_part *part, struct gain_sample *news,
	char *why_r, size_t size)
{
	struct gain_speed speed;
	bool ret = false, ask;

	why_r[0] = '\0';
	pthread_mutex_lock(&c->lock);
	gain_add(part->on ? &c->packed : &c->plain, news);
	*news = (struct gain_sample){ 0 };
	if (part->on)
		judge(c, why_r, size);
	else
		ret = c->verdict == GAIN_BETTER && !c->refused;
	ask = !part->on && !ret && may_try(c);
	pthread_mutex_unlock(&c->lock);
	if (!ask)
		return ret;
	deflate_speed(&speed);
	pthread_mutex_lock(&c->lock);
	ret = begin_trial(c, part, gain_zlib_rate(&speed, c->reads));
	if (ret)
		say(why_r, size, c, "is tried", gain_zlib_rate(&speed, c->reads));
	pthread_mutex_unlock(&c->lock);
	return ret;
}

void
compression_is_on(struct compression *c, struct compression_part *part)
{
	pthread_mutex_lock(&c->lock);
	part->on = true;
	c->status.sessions++;
	c->status.compressed++;
	pthread_mutex_unlock(&c->lock);
}

void
compression_refused(struct compression *c, struct compression_part *part)
{
	pthread_mutex_lock(&c->lock);
	c->refused = true;
	c->trial = c->trial && !part->trial;
	part->trial = false;
	pthread_mutex_unlock(&c->lock);
}

void
compression_count(struct compression *c, uint64_t bytes, uint64_t line_bytes)
{
	pthread_mutex_lock(&c->lock);
	c->status.bytes += bytes;
	c->status.line_bytes += line_bytes;
	pthread_mutex_unlock(&c->lock);
}

void
compression_end(struct compression *c, struct compression_part *part)
{
	pthread_mutex_lock(&c->lock);
	if (part->on)
		c->status.sessions--;
	c->trial = c->trial && !part->trial;
	pthread_mutex_unlock(&c->lock);
	*part = (struct compression_part){ 0 };
}

void
compression_look(struct compression *c, struct compression_status *status_r)
{
	pthread_mutex_lock(&c->lock);
	*status_r = c->status;
	if (c->refused)
		status_r->state = "refused";
	else if (c->verdict != GAIN_OPEN)
		status_r->state = c->verdict == GAIN_BETTER ? "better" : "not better";
	else
		status_r->state = c->trial ? "tried" : "";
	pthread_mutex_unlock(&c->lock);
}
