/* testscript.c - the scripted server: memory instead of a connection. */
#include "connector/imap/testscript.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void
script_ends_init(struct script_ends *ends_r)
{
	ends_r->target = (struct endpoint){
		.host = "mail.example",
		.port = 143,
		.security = NET_NONE,
		.auth = AUTH_PLAIN,
		.user = "ana",
		.secret = secret_new("pass\"word", 9),
		.separator = "*",
		.timeout_ms = 1000,
	};
	ends_r->source = ends_r->target;
	ends_r->source.readonly = true;
	ends_r->env = (struct session_env){
		.pool = spool_pool_new("/tmp", 1 << 20, 1 << 16),
		.stream_limit = 1 << 20,
		.ring_bytes = 1 << 18,
		.account = "ana",
	};
}

void
script_ends_clear(struct script_ends *ends)
{
	secret_unref(&ends->target.secret);
	spool_pool_free(&ends->env.pool);
}

void
script_init(struct script *script, const char *const *lines)
{
	*script = (struct script){ .lines = lines };
	str_init(&script->out, 64 << 20);
	str_init(&script->in, 64 << 20);
}

void
script_clear(struct script *script)
{
	str_clear(&script->out);
	str_clear(&script->in);
	if (script->packs)
		(void)deflateEnd(&script->deflate);
	if (script->unpacks)
		(void)inflateEnd(&script->inflate);
}

/* Compresses what was said since `from`. */
static void
pack(struct script *script, size_t from)
{
	static unsigned char packed[1 << 20];

	script->deflate.next_in = (const unsigned char *)script->in.data + from;
	script->deflate.avail_in = (uInt)(script->in.len - from);
	script->deflate.next_out = packed;
	script->deflate.avail_out = sizeof(packed);
	if (deflate(&script->deflate, Z_SYNC_FLUSH) != Z_OK || script->deflate.avail_in > 0)
		BUG("too much said at once");
	str_cut(&script->in, from);
	str_add(&script->in, packed, sizeof(packed) - script->deflate.avail_out);
}

static void
say(struct script *script, const char *text, bool whole)
{
	size_t from = script->in.len;

	for (const char *p = text; *p != '\0'; p++) {
		if (p[0] == '$' && p[1] >= '1' && p[1] <= '9') {
			size_t n = (size_t)(p[1] - '1');

			str_adds(&script->in, n < script->tag_count ? script->tags[n] : "?");
			p++;
		} else {
			str_addc(&script->in, *p);
		}
	}
	if (whole)
		str_adds(&script->in, "\r\n");
	if (script->packs)
		pack(script, from);
}

/* Takes the client's next line. False: it is not there, or not that one. */
static bool
hear(struct script *script, const char *want, bool tagged)
{
	char *end =
		script->out.len > 0 ? memmem(script->out.data, script->out.len, "\r\n", 2) : NULL;
	size_t len, used;
	const char *line = str_get(&script->out);
	const char *blank;

	if (end == NULL) {
		snprintf(script->problem, sizeof(script->problem),
			"wanted \"%.150s\", got \"%.150s\"", want, line);
		return false;
	}
	*end = '\0';
	used = (size_t)(end - script->out.data) + 2;
	if (tagged) {
		blank = strchr(line, ' ');
		len = blank != NULL ? (size_t)(blank - line) : 0;
		if (script->tag_count < 40)
			snprintf(script->tags[script->tag_count++], 16, "%.*s", (int)len, line);
		line = blank != NULL ? blank + 1 : "";
	}
	if (strcmp(line, want) != 0) {
		snprintf(script->problem, sizeof(script->problem),
			"wanted \"%.150s\", got \"%.150s\"", want, line);
		return false;
	}
	memmove(script->out.data, script->out.data + used, script->out.len - used + 1);
	script->out.len -= used;
	return true;
}

/* Goes on until the server has something to say. False: it has not. */
static bool
advance(struct script *script)
{
	const char *line = script->lines[script->at];

	while (script->problem[0] == '\0' && line != NULL && strchr("C=", line[0]) != NULL) {
		if (!hear(script, line + 2, line[0] == 'C'))
			return false;
		line = script->lines[++script->at];
	}
	while (line != NULL && strchr("SsZ", line[0]) != NULL) {
		if (line[0] != 'Z')
			say(script, line + 2, line[0] == 'S');
		else if (deflateInit2(&script->deflate, 1, Z_DEFLATED, -15, 8,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			BUG("zlib");
		else
			script->packs = true;
		line = script->lines[++script->at];
	}
	return script->in_at < script->in.len;
}

static int
read_bytes(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct script *script = owner;
	size_t n;

	if (script->in_at == script->in.len) {
		str_reset(&script->in);
		script->in_at = 0;
		if (!advance(script))
			return err_set(err, script->problem[0] != '\0' ? ERR_TIMEOUT : ERR_LOST,
				"the script has ended");
	}
	n = script->in.len - script->in_at;
	if (n > size)
		n = size;
	if (script->chunk > 0 && n > script->chunk)
		n = script->chunk;
	if (script->eof_at > 0 && n > script->eof_at - script->given)
		n = (size_t)(script->eof_at - script->given);
	if (n == 0)
		return err_set(err, ERR_LOST, "the server closed");
	memcpy(buf, script->in.data + script->in_at, n);
	script->in_at += n;
	script->given += n;
	*got_r = n;
	return 0;
}

static int
script_read(void *owner, void *buf, size_t size, size_t *got_r, struct err *err)
{
	struct script *script = owner;
	z_stream *z = &script->inflate;
	char piece[1024];
	size_t got;
	int ret;

	if (!script->unpacks)
		return read_bytes(script, buf, size, got_r, err);
	z->next_out = buf;
	z->avail_out = (uInt)size;
	for (;;) {
		if (script->ahead_len > 0) {
			z->next_in = (const unsigned char *)script->ahead;
			z->avail_in = (uInt)script->ahead_len;
			script->ahead_len = 0;
		}
		ret = inflate(z, Z_SYNC_FLUSH);
		*got_r = size - z->avail_out;
		if (ret != Z_OK && ret != Z_BUF_ERROR)
			return err_set(err, ERR_PROTOCOL, "no DEFLATE");
		if (*got_r > 0)
			break;
		if (read_bytes(script, piece, sizeof(piece), &got, err) != 0)
			return -1;
		memcpy(script->ahead, piece, got);
		script->ahead_len = got;
	}
	/* Its input is in `piece` or `ahead`: what is left of it is kept. */
	script->ahead_len = z->avail_in;
	if (z->avail_in > 0)
		memmove(script->ahead, z->next_in, z->avail_in);
	return 0;
}

static int
script_write(void *owner, const void *bytes, size_t len, struct err *err)
{
	struct script *script = owner;

	if (str_add(&script->out, bytes, len) != 0)
		return err_set(err, ERR_LOST, "the client writes too much");
	return 0;
}

static int
script_flush(void *owner, struct err *err)
{
	(void)owner;
	(void)err;
	return 0;
}

static bool
script_readable(void *owner)
{
	const struct script *script = owner;

	return script->in_at < script->in.len || script->ahead_len > 0;
}

static int
script_starttls(void *owner, struct err *err)
{
	(void)owner;
	(void)err;
	return 0;
}

static int
script_compress(void *owner, const void *ahead, size_t len, struct err *err)
{
	struct script *script = owner;

	(void)err;
	if (len > sizeof(script->ahead) || inflateInit2(&script->inflate, -15) != Z_OK)
		BUG("too much ahead");
	if (len > 0)
		memcpy(script->ahead, ahead, len);
	script->ahead_len = len;
	script->unpacks = true;
	return 0;
}

static void
script_count(void *owner, struct stream_counts *counts_r)
{
	struct script *script = owner;

	*counts_r = script->counts;
}

static void
script_describe(void *owner, struct str *out)
{
	(void)owner;
	str_adds(out, "script");
}

static void
script_close(void *owner, enum closing how)
{
	struct script *script = owner;

	script->closed = true;
	script->at_once = how == CLOSE_AT_ONCE;
}

struct transport
script_transport(struct script *script)
{
	return (struct transport){
		.read = script_read,
		.write = script_write,
		.flush = script_flush,
		.readable = script_readable,
		.starttls = script_starttls,
		.compress = script_compress,
		.count = script_count,
		.describe = script_describe,
		.close = script_close,
		.owner = script,
	};
}

struct session *
script_session(struct script *script, const struct endpoint *ep, const struct session_env *env,
	unsigned granted)
{
	struct transport io = script_transport(script);
	struct session *s = session_new(ep, env, &io);

	s->granted = granted;
	s->capability_told = true;
	s->delim = '/';
	namespace_add(s, "", 0, '/', SPACE_PERSONAL);
	return s;
}

bool
script_is_done(const struct script *script)
{
	const char *line = script->lines[script->at];

	return script->problem[0] == '\0' && line == NULL && script->out.len == 0;
}
