/* transport.c - a session's bytes over a net stream. */
#include "connector/imap/imap_private.h"
#include "net/stream.h"

#include "base/banned.h"

static int
net_read(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	return stream_read(owner, buf, size, got_r, err);
}

static int
net_write(void *owner, const void *bytes, size_t len, struct err *err)
{
	return stream_write(owner, bytes, len, err);
}

static int
net_flush(void *owner, struct err *err)
{
	return stream_flush(owner, err);
}

static bool
net_readable(void *owner)
{
	return stream_readable(owner, 0);
}

static int
net_starttls(void *owner, struct err *err)
{
	return stream_starttls(owner, err);
}

static int
net_compress(void *owner, const void *ahead, size_t len, struct err *err)
{
	return stream_compress(owner, ahead, len, err);
}

static void
net_count(void *owner, struct stream_counts *counts_r)
{
	stream_count(owner, counts_r);
}

static void
net_describe(void *owner, struct str *out)
{
	conn_describe(stream_conn(owner), out);
}

static void
net_close(void *owner, enum closing how)
{
	struct stream *stream = owner;

	if (how == CLOSE_AT_ONCE)
		stream_abort(&stream);
	else if (how == CLOSE_LEAVE)
		stream_leave(&stream);
	else
		stream_close(&stream);
}

int
transport_open(const struct endpoint *ep, const struct session_env *env, struct transport *io_r,
	struct err *err)
{
	struct stream *stream = NULL;

	if (stream_open(ep, env->cancel, &stream, err) != 0)
		return -1;
	*io_r = (struct transport){
		.read = net_read,
		.write = net_write,
		.flush = net_flush,
		.readable = net_readable,
		.starttls = net_starttls,
		.compress = net_compress,
		.count = net_count,
		.describe = net_describe,
		.close = net_close,
		.owner = stream,
	};
	return 0;
}
