/* compress.c - COMPRESS=DEFLATE (RFC 4978): when it is asked for, and what is measured for it.
 *
 * With compress = auto a session looks at its link whenever it is called: while something is in
 * flight, the bytes and the time spent waiting for the line are told to what the run knows of the
 * host (net/compression.h), which says when it is worth it. Then the session comes to rest: stores
 * say that the window is full, the reader is told by wants_rest(); with nothing in flight the next
 * start sends the command and waits for its answer, as RFC 4978 (3) demands. It is done once for a
 * session; one that was made slower stays as it is. */
#include "connector/imap/imap_private.h"

#include "base/clock.h"

#include <string.h>

#include "base/banned.h"

enum { TELL_MS = 250 };

static void
refused(struct session *s, const struct answer *answer)
{
	session_log(s, LOG_INFO, NULL, "the server offers compression and refuses it: %s",
		answer->text);
	if (s->env.compression != NULL)
		compression_refused(s->env.compression, &s->press.part);
}

/* Nothing is in flight. What the server does not grant is no error. */
static int
turn_on(struct session *s, struct err *err)
{
	struct answer answer = { .status = REPLY_NONE };
	struct err local = { 0 };
	const void *ahead;
	size_t len;

	s->press.wanted = false;
	command_begin(s, "COMPRESS");
	command_add(s, " DEFLATE");
	if (command_run(s, &answer, &local) != 0 && s->dead)
		return session_alive(s, err);
	if (answer.status != REPLY_OK) {
		refused(s, &answer);
		return 0;
	}
	/* What the server sends behind the line of its OK is compressed. */
	ahead = wire_take_ahead(&s->wire, &len);
	if (s->io.compress(s->io.owner, ahead, len, &local) != 0) {
		session_fail(s, &local);
		return session_alive(s, err);
	}
	s->press.news = (struct gain_sample){ 0 };
	s->io.count(s->io.owner, &s->press.seen);
	if (s->env.compression != NULL)
		compression_is_on(s->env.compression, &s->press.part);
	session_log(s, LOG_DEBUG, NULL, "compression is on");
	return 0;
}

int
compress_login(struct session *s, struct err *err)
{
	bool wanted = s->ep->compress == COMPRESS_YES;

	if (s->env.compression != NULL)
		wanted = compression_begin(s->env.compression, &s->press.part, wanted);
	s->press.begun = true;
	if (s->ep->compress == COMPRESS_NO || !wanted)
		return 0;
	if (session_has(s, HAS_COMPRESS))
		return turn_on(s, err);
	session_log(s, LOG_DEBUG, NULL, "the server offers no compression");
	if (s->env.compression != NULL)
		compression_refused(s->env.compression, &s->press.part);
	return 0;
}

static void
tell(struct session *s)
{
	char why[240];

	if (s->press.part.on || session_has(s, HAS_COMPRESS))
		s->press.wanted = compression_tell(s->env.compression, &s->press.part,
					  &s->press.news, why, sizeof(why)) &&
				  !s->press.part.on;
	else
		why[0] = '\0';
	if (why[0] != '\0')
		session_log(s, LOG_DEBUG, NULL, "%s", why);
}

/* Adds what has happened since the last look. */
static void
measure(struct session *s, int64_t now)
{
	struct stream_counts counts;
	struct gain_sample *news = &s->press.news;
	const struct stream_counts *seen = &s->press.seen;
	uint64_t bytes, line;

	s->io.count(s->io.owner, &counts);
	bytes = s->ep->readonly ? counts.bytes_in - seen->bytes_in
				: counts.bytes_out - seen->bytes_out;
	line = s->ep->readonly ? counts.line_in - seen->line_in : counts.line_out - seen->line_out;
	if (s->press.busy) {
		news->bytes += bytes;
		news->busy_ms += (uint64_t)(now - s->press.looked_ms);
		news->waited_ms += counts.waited_ms - seen->waited_ms;
	}
	if (s->press.part.on)
		compression_count(s->env.compression, bytes, line);
	s->press.seen = counts;
}

void
compress_look(struct session *s, bool starts)
{
	int64_t now;

	if (s->env.compression == NULL || s->dead || !s->press.begun ||
		(s->ep->compress != COMPRESS_AUTO && !s->press.part.on))
		return;
	now = clock_tick_ms();
	measure(s, now);
	s->press.looked_ms = now;
	s->press.busy = starts || s->pending_count > 0;
	if (now - s->press.told_ms < TELL_MS)
		return;
	s->press.told_ms = now;
	if (s->ep->compress == COMPRESS_AUTO && !s->press.wanted)
		tell(s);
}

bool
compress_wants_rest(const struct session *s)
{
	return s->press.wanted && s->pending_count > 0;
}

int
compress_at_rest(struct session *s, struct err *err)
{
	if (!s->press.wanted || s->pending_count > 0 || s->body != NULL)
		return 0;
	return turn_on(s, err);
}

void
compress_end(struct session *s)
{
	if (s->env.compression == NULL || !s->press.begun)
		return;
	if (s->io.owner != NULL)
		measure(s, clock_tick_ms());
	s->press.begun = false;
	compression_end(s->env.compression, &s->press.part);
}
