/* gain.c - whether compression is worth it.
 *
 * A line is slow where sessions with work in flight mostly wait for it and move less than zlib
 * could. Whether it is the line or the server that is slow cannot be seen from here: so it is
 * tried, and the bytes a second before and after decide. They count only as long as the sessions
 * still wait: where another thing has become the slowest (the other side, this machine), a rate
 * says nothing about compression. */
#include "net/gain.h"

#include <stddef.h>

#include "base/banned.h"

void
gain_add(struct gain_sample *sum, const struct gain_sample *news)
{
	sum->bytes += news->bytes;
	sum->busy_ms += news->busy_ms;
	sum->waited_ms += news->waited_ms;
	while (sum->busy_ms > GAIN_BUSY_KEPT_MS) {
		sum->bytes /= 2;
		sum->busy_ms /= 2;
		sum->waited_ms /= 2;
	}
}

bool
gain_is_told(const struct gain_sample *sample)
{
	return sample->bytes >= GAIN_BYTES_MIN && sample->busy_ms >= GAIN_BUSY_MIN_MS;
}

uint64_t
gain_rate(const struct gain_sample *sample)
{
	return sample->busy_ms > 0 ? sample->bytes * 1000 / sample->busy_ms : 0;
}

static bool
waits(const struct gain_sample *sample)
{
	return sample->waited_ms * 100 >= sample->busy_ms * GAIN_WAITED_PERCENT;
}

uint64_t
gain_zlib_rate(const struct gain_speed *speed, bool reads)
{
	if (!reads)
		return speed->deflate;
	return speed->server < speed->inflate ? speed->server : speed->inflate;
}

bool
gain_is_worth_trying(const struct gain_sample *plain, uint64_t zlib_rate)
{
	return gain_is_told(plain) && waits(plain) &&
	       gain_rate(plain) <= zlib_rate / GAIN_ZLIB_TIMES;
}

enum gain_verdict
gain_judge(const struct gain_sample *plain, const struct gain_sample *packed)
{
	if (!gain_is_told(plain) || !gain_is_told(packed))
		return GAIN_OPEN;
	if (gain_rate(packed) * 100 >= gain_rate(plain) * GAIN_BETTER_PERCENT)
		return GAIN_BETTER;
	return waits(packed) ? GAIN_WORSE : GAIN_OPEN;
}
