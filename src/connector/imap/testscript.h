/* testscript.h - a server that follows a script, for unit tests of the imap connector. */
#ifndef CONNECTOR_IMAP_TESTSCRIPT_H
#define CONNECTOR_IMAP_TESTSCRIPT_H

#include "connector/imap/imap_private.h"

#define ZLIB_CONST
#include <zlib.h>

/* Lines of a script, in order:
 *   "C text"  the client's next line is a tag of its own and this text
 *   "= text"  the client's next line is this (a body, a continuation)
 *   "S text"  the server sends this and CRLF; $1 is the tag of the first C line, and so on
 *   "s text"  the same without CRLF
 *   "Z"       what the server sends from here on is compressed; needs session->io.compress()
 * At its end the server closes. */
struct script {
	const char *const *lines;
	size_t chunk;    /* bytes a read gives at most; 0 = any */
	uint64_t eof_at; /* the server closes after so many bytes; 0 = when the script ends */
	/* What came of it. */
	size_t at;
	struct str out, in;
	size_t in_at;
	uint64_t given;
	bool packs; /* the server compresses; `unpacks`: the client was told */
	bool unpacks;
	z_stream deflate, inflate;
	char ahead[64 << 10]; /* what the client had read of it already */
	size_t ahead_len;
	char tags[40][16];
	size_t tag_count;
	char problem[400]; /* the client did not keep to the script */
	bool closed, at_once;
	struct stream_counts counts; /* what the link is said to have done; the test sets it */
};

/* What a list of lines ends with. */
#define LINES(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A source and a target as most tests want them, without a link. */
struct script_ends {
	struct endpoint source, target;
	struct session_env env;
};

/* _clear() frees what _init() made. */
void script_ends_init(struct script_ends *ends_r);
void script_ends_clear(struct script_ends *ends);

void script_init(struct script *script, const char *const *lines);
void script_clear(struct script *script);
/* A session over it that is logged in, with these grants. */
struct session *script_session(struct script *script, const struct endpoint *ep,
	const struct session_env *env, unsigned granted);
struct transport script_transport(struct script *script);
/* True when the client said all of its lines and nothing else. */
bool script_is_done(const struct script *script);

#endif
