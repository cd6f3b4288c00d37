/* stream.h - a buffered byte stream over one connection, for line protocols. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/cancel.h"
#include "base/err.h"
#include "net/conn.h"
#include "net/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Buffers small writes until stream_flush() and small reads, 64 KiB each way; larger ones pass
 * through. One thread at a time. After the first error every call returns that error, except that
 * reads first give what had arrived before it. */
struct stream;

/* As conn_open(): ep and cancel are borrowed until close. */
int stream_open(const struct endpoint *ep, const struct cancel *cancel, struct stream **stream_r,
	struct err *err);
/* Does not flush: what was not flushed was not meant to leave. NULL is fine. */
void stream_close(struct stream **stream);
void stream_abort(struct stream **stream); /* as conn_abort() */
void stream_leave(struct stream **stream); /* closes as conn_leave() says */

/* What is there, at least one byte and at most size; waits only while there is none. 0 or -1. */
int stream_read(struct stream *stream, void *buf, size_t size, size_t *got_r, struct err *err);
int stream_write(struct stream *stream, const void *bytes, size_t len, struct err *err);
/* Returns when the kernel has all of it. */
int stream_flush(struct stream *stream, struct err *err);
/* The handshake after STARTTLS was granted. A byte that lies in any buffer was injected:
 * ERR_PROTOCOL. Nothing may be waiting to be flushed. */
int stream_starttls(struct stream *stream, struct err *err);

/* From here on both directions are DEFLATE (RFC 4978, zlib's fastest level). ahead: what the caller
 * has read already beyond the server's OK; it and what lies in our buffers is the beginning of the
 * compressed stream. Nothing may be waiting to be flushed. stream_flush() is then the only call
 * that surely brings to the other side what was written. Once only. */
int stream_compress(struct stream *stream, const void *ahead, size_t len, struct err *err);

/* Of the link since it was opened. */
struct stream_counts {
	uint64_t bytes_in, bytes_out; /* as the protocol has them */
	uint64_t line_in, line_out;   /* as they were sent, TLS not counted */
	uint64_t waited_ms;           /* conn_waited_ms() */
};
void stream_count(const struct stream *stream, struct stream_counts *counts_r);

/* True if stream_read() would return without waiting; waits up to ms for that. */
bool stream_readable(struct stream *stream, unsigned ms);

/* For its counters and description; the bytes are the stream's to move. */
const struct conn *stream_conn(const struct stream *stream);

#endif
