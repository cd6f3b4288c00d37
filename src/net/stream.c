/* stream.c - libetpan's mailstream as the buffer, our connection below it as its driver.
 *
 * mailstream_read() returns early only while it may serve from its own buffer: asked for more than
 * the buffer holds it goes on reading until the whole size is there, and asked for more than is
 * buffered it reads again. So it is asked for what is buffered, or, when nothing is, for at most
 * one buffer, which is one read below; who has room for much gets it from the driver, a copy less.
 * mailstream_read_line() knows no limit and is not used. The
 * driver can only say "failed"; the error itself is kept here. */
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <libetpan/mailstream.h>

#include "net/net_private.h"
#include "net/stream.h"

#include "base/banned.h"

#define BUFFER_BYTES ((size_t)64 << 10)
#define DIRECT_BYTES ((size_t)16 << 10) /* room for so much is read into, past the buffer */

struct stream {
	struct conn *conn;
	mailstream *ms;
	mailstream_low_driver driver; /* a copy, as libetpan wants it writable */
	struct err err;               /* of the driver call that failed */
	struct deflater *deflater; /* between the buffer and the connection; NULL: not compressed */
	uint64_t plain_in, plain_out; /* moved before the deflater was there */
};

static ssize_t
low_read(mailstream_low *low, void *buf, size_t size)
{
	struct stream *stream = low->data;
	size_t got = 0;

	if (stream->deflater != NULL) {
		if (deflater_read(stream->deflater, buf, size, &got, &stream->err) != 0)
			return -1;
	} else if (conn_read(stream->conn, buf, size, &got, &stream->err) != 0) {
		return -1;
	}
	return (ssize_t)got;
}

static ssize_t
low_write(mailstream_low *low, const void *bytes, size_t len)
{
	struct stream *stream = low->data;

	if (stream->deflater != NULL) {
		if (deflater_write(stream->deflater, bytes, len, &stream->err) != 0)
			return -1;
	} else if (conn_write(stream->conn, bytes, len, &stream->err) != 0) {
		return -1;
	}
	return (ssize_t)len;
}

static int
low_close(mailstream_low *low)
{
	struct stream *stream = low->data;

	conn_close(&stream->conn);
	return 0;
}

static void
low_free(mailstream_low *low)
{
	free(low); /* made by mailstream_low_new(), which leaves this to the driver */
}

/* Nobody waits on the descriptor but the connection itself. */
static int
low_get_fd(mailstream_low *low)
{
	(void)low;
	return -1;
}

static void
low_cancel(mailstream_low *low)
{
	(void)low; /* the connection watches its own cancel */
}

static struct mailstream_cancel *
low_get_cancel(mailstream_low *low)
{
	(void)low;
	return NULL;
}

static carray *
low_get_chain(mailstream_low *low)
{
	(void)low;
	return NULL;
}

static int
low_no_idle(mailstream_low *low)
{
	(void)low;
	return -1;
}

static const mailstream_low_driver low_driver = {
	.mailstream_read = low_read,
	.mailstream_write = low_write,
	.mailstream_close = low_close,
	.mailstream_get_fd = low_get_fd,
	.mailstream_free = low_free,
	.mailstream_cancel = low_cancel,
	.mailstream_get_cancel = low_get_cancel,
	.mailstream_get_certificate_chain = low_get_chain,
	.mailstream_setup_idle = low_no_idle,
	.mailstream_unsetup_idle = low_no_idle,
	.mailstream_interrupt_idle = low_no_idle,
};

int
stream_open(const struct endpoint *ep, const struct cancel *cancel, struct stream **stream_r,
	struct err *err)
{
	struct stream *stream = xcalloc(1, sizeof(*stream));
	mailstream_low *low;

	if (conn_open(ep, cancel, &stream->conn, err) != 0) {
		free(stream);
		return -1;
	}
	stream->driver = low_driver;
	low = mailstream_low_new(stream, &stream->driver);
	if (low == NULL)
		BUG("out of memory");
	stream->ms = mailstream_new(low, BUFFER_BYTES);
	if (stream->ms == NULL)
		BUG("out of memory");
	*stream_r = stream;
	return 0;
}

void
stream_close(struct stream **stream)
{
	if (*stream == NULL)
		return;
	mailstream_close((*stream)->ms);
	deflater_free(&(*stream)->deflater); /* what it holds was not flushed */
	free(*stream);
	*stream = NULL;
}

void
stream_abort(struct stream **stream)
{
	if (*stream != NULL)
		conn_abort(&(*stream)->conn); /* conn_close() of the driver then finds none */
	stream_close(stream);
}

void
stream_leave(struct stream **stream)
{
	if (*stream != NULL)
		conn_leave((*stream)->conn);
	stream_close(stream);
}

static int
report(const struct stream *stream, struct err *err)
{
	if (err != NULL)
		*err = stream->err;
	return -1;
}

int
stream_read(struct stream *stream, void *buf, size_t size, size_t *got_r, struct err *err)
{
	size_t most = stream->ms->read_buffer_len;
	ssize_t n;

	if (most == 0 && size >= DIRECT_BYTES) {
		n = mailstream_low_read(stream->ms->low, buf, size);
	} else {
		if (most == 0)
			most = BUFFER_BYTES;
		n = mailstream_read(stream->ms, buf, size < most ? size : most);
	}
	if (n <= 0)
		return report(stream, err);
	*got_r = (size_t)n;
	return 0;
}

int
stream_write(struct stream *stream, const void *bytes, size_t len, struct err *err)
{
	/* A short count means that the rest has failed. */
	if (len > 0 && mailstream_write(stream->ms, bytes, len) != (ssize_t)len)
		return report(stream, err);
	return 0;
}

int
stream_flush(struct stream *stream, struct err *err)
{
	if (mailstream_flush(stream->ms) != 0)
		return report(stream, err);
	return stream->deflater != NULL ? deflater_flush(stream->deflater, err) : 0;
}

int
stream_starttls(struct stream *stream, struct err *err)
{
	if (stream->ms->write_buffer_len > 0)
		BUG("STARTTLS before the flush");
	if (stream->ms->read_buffer_len > 0)
		return err_set(
			err, ERR_PROTOCOL, "the server spoke between STARTTLS and the handshake");
	return conn_starttls(stream->conn, err);
}

int
stream_compress(struct stream *stream, const void *ahead, size_t len, struct err *err)
{
	char first[DEFLATE_AHEAD_MAX];
	size_t left = stream->ms->read_buffer_len;

	if (stream->ms->write_buffer_len > 0 || stream->deflater != NULL)
		BUG("compression before the flush, or twice");
	if (len > sizeof(first) || left > sizeof(first) - len)
		return err_set(err, ERR_PROTOCOL, "%s: the server says too much before compression",
			conn_name(stream->conn));
	if (len > 0)
		memcpy(first, ahead, len);
	/* All of it lies in the buffer: this reads nothing. */
	if (left > 0 && mailstream_read(stream->ms, first + len, left) != (ssize_t)left)
		return report(stream, err);
	stream->plain_in = conn_bytes_in(stream->conn) - len - left;
	stream->plain_out = conn_bytes_out(stream->conn);
	stream->deflater = deflater_new(stream->conn, first, len + left);
	return 0;
}

void
stream_count(const struct stream *stream, struct stream_counts *counts_r)
{
	const struct conn *conn = stream->conn;

	*counts_r = (struct stream_counts){
		.bytes_in = conn_bytes_in(conn),
		.bytes_out = conn_bytes_out(conn),
		.line_in = conn_bytes_in(conn),
		.line_out = conn_bytes_out(conn),
		.waited_ms = conn_waited_ms(conn),
	};
	if (stream->deflater == NULL)
		return;
	counts_r->bytes_in = stream->plain_in + deflater_bytes_in(stream->deflater);
	counts_r->bytes_out = stream->plain_out + deflater_bytes_out(stream->deflater);
}

bool
stream_readable(struct stream *stream, unsigned ms)
{
	if (stream->ms->read_buffer_len > 0)
		return true;
	return stream->deflater != NULL ? deflater_readable(stream->deflater, ms)
					: conn_wait_readable(stream->conn, ms);
}

const struct conn *
stream_conn(const struct stream *stream)
{
	return stream->conn;
}
