/* codes.c - response codes and refusal texts, each row with where it comes from.
 *
 * A code is looked up first: it is made for programs. The texts are for servers that send none; a
 * row matches when its words occur anywhere in the server's text, in any case. */
#include "connector/imap/codes.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

#include "base/banned.h"

struct code_row {
	const char *name;
	enum imap_code code;
	enum err_code error;
};

static const struct code_row code_rows[] = {
	/* RFC 5530 / RFC 9051, 7.1 */
	{ "ALERT", CODE_ALERT, ERR_NONE }, { "ALREADYEXISTS", CODE_ALREADYEXISTS, ERR_EXISTS },
	{ "AUTHENTICATIONFAILED", CODE_OTHER, ERR_AUTH },
	{ "AUTHORIZATIONFAILED", CODE_OTHER, ERR_AUTH }, { "CANNOT", CODE_OTHER, ERR_NAME },
	{ "CAPABILITY", CODE_CAPABILITY, ERR_NONE }, { "CLIENTBUG", CODE_OTHER, ERR_REFUSED },
	{ "CONTACTADMIN", CODE_OTHER, ERR_UNAVAILABLE },
	{ "CORRUPTION", CODE_OTHER, ERR_UNAVAILABLE }, { "EXPIRED", CODE_OTHER, ERR_AUTH_EXPIRED },
	{ "EXPUNGEISSUED", CODE_OTHER, ERR_VANISHED }, { "HASCHILDREN", CODE_OTHER, ERR_REFUSED },
	{ "INUSE", CODE_OTHER, ERR_INUSE }, { "LIMIT", CODE_PATIENCE, ERR_LIMIT },
	{ "NONEXISTENT", CODE_OTHER, ERR_NOFOLDER }, { "NOPERM", CODE_OTHER, ERR_PERM },
	{ "OVERQUOTA", CODE_OTHER, ERR_QUOTA }, { "PERMANENTFLAGS", CODE_PERMANENTFLAGS, ERR_NONE },
	{ "PRIVACYREQUIRED", CODE_OTHER, ERR_PRIVACY },
	{ "SERVERBUG", CODE_OTHER, ERR_UNAVAILABLE }, { "TRYCREATE", CODE_OTHER, ERR_NOFOLDER },
	{ "UIDNEXT", CODE_UIDNEXT, ERR_NONE }, { "UIDVALIDITY", CODE_UIDVALIDITY, ERR_NONE },
	{ "UNAVAILABLE", CODE_PATIENCE, ERR_UNAVAILABLE },
	{ "APPENDUID", CODE_APPENDUID, ERR_NONE },        /* RFC 4315, 3 */
	{ "MODIFIED", CODE_MODIFIED, ERR_NONE },          /* RFC 7162, 3.1.3 */
	{ "NOMODSEQ", CODE_NOMODSEQ, ERR_NONE },          /* RFC 7162, 3.1.2.2 */
	{ "TOOBIG", CODE_OTHER, ERR_TOOBIG },             /* RFC 4469, 4.2; RFC 7889, 4 */
	{ "UNKNOWN-CTE", CODE_UNKNOWN_CTE, ERR_CONTENT }, /* RFC 3516, 4.3 */
	{ "BADCHARSET", CODE_OTHER, ERR_REFUSED },        /* RFC 3501, 7.1 */
	{ "USEATTR", CODE_OTHER, ERR_REFUSED },           /* RFC 6154, 6 */
	{ "NOTSAVED", CODE_OTHER, ERR_REFUSED },          /* RFC 5182 */
	{ "THROTTLED", CODE_PATIENCE, ERR_UNAVAILABLE },  /* Gmail and Yahoo, in the field */
	{ "TEMPFAIL", CODE_PATIENCE, ERR_UNAVAILABLE },   /* seen before RFC 5530 */
	{ "OVERLIMIT", CODE_PATIENCE, ERR_LIMIT },        /* seen before RFC 5530 */
	{ "WEBALERT", CODE_OTHER, ERR_AUTH },             /* Gmail: log in by the browser first */
	{ "REFERRAL", CODE_OTHER, ERR_NOFOLDER },         /* RFC 2193: it lies on another server */
};

struct words_row {
	enum refusal refusal;
	const char *words;
	enum err_code error;
};

static const struct words_row words_rows[] = {
	/* Cyrus IMAP 3.6, lib/imap_err.et and imap/message.c: what it will not store. */
	{ REFUSED_APPEND, "message contains NUL", ERR_CONTENT },
	{ REFUSED_APPEND, "contains bare newlines", ERR_CONTENT },
	{ REFUSED_APPEND, "contains non-ASCII characters in headers", ERR_CONTENT },
	{ REFUSED_APPEND, "contains invalid header", ERR_CONTENT },
	{ REFUSED_APPEND, "no body or header", ERR_CONTENT },
	{ REFUSED_APPEND, "has no header/body separator", ERR_CONTENT },
	{ REFUSED_APPEND, "size exceeds fixed limit", ERR_TOOBIG },
	{ REFUSED_APPEND, "message exceeds maximum size", ERR_TOOBIG },
	/* Dovecot 2.3, imap/cmd-append.c, lib-storage. */
	{ REFUSED_APPEND, "zero byte message", ERR_CONTENT },
	{ REFUSED_APPEND, "message size is too large", ERR_TOOBIG },
	/* Quotas first, since some speak of sizes, too. Courier 4 and 5, imapd.c. */
	{ REFUSED_OTHER, "exceeded your mail quota", ERR_QUOTA },
	{ REFUSED_OTHER, "out of disk space", ERR_UNAVAILABLE },
	{ REFUSED_OTHER, "mailbox exceeds", ERR_QUOTA },
	/* Courier: a header it cannot read; Exchange 2007 to 2019. */
	{ REFUSED_APPEND, "invalid message", ERR_CONTENT },
	{ REFUSED_APPEND, "NUL character", ERR_CONTENT },
	{ REFUSED_APPEND, "8-bit character", ERR_CONTENT },
	{ REFUSED_APPEND, "message too large", ERR_TOOBIG },
	{ REFUSED_APPEND, "message too big", ERR_TOOBIG },
	{ REFUSED_APPEND, "exceeds the maximum", ERR_TOOBIG },
	{ REFUSED_APPEND, "maximum message size", ERR_TOOBIG },
	/* Quotas before RFC 5530: Cyrus, Courier, Exchange, Dovecot 1. */
	{ REFUSED_OTHER, "over quota", ERR_QUOTA },
	{ REFUSED_OTHER, "overquota", ERR_QUOTA },
	{ REFUSED_OTHER, "quota exceeded", ERR_QUOTA },
	{ REFUSED_OTHER, "mailbox is full", ERR_QUOTA },
	{ REFUSED_OTHER, "mailbox full", ERR_QUOTA },
	/* Connection limits without [LIMIT]: Cyrus 3.6 login, Exchange, Gmail. */
	{ REFUSED_PATIENCE, "too many open connections", ERR_LIMIT },
	{ REFUSED_PATIENCE, "too many simultaneous", ERR_LIMIT },
	{ REFUSED_PATIENCE, "maximum number of connections", ERR_LIMIT },
	{ REFUSED_PATIENCE, "system is busy", ERR_UNAVAILABLE },
	{ REFUSED_PATIENCE, "server unavailable", ERR_UNAVAILABLE },
	{ REFUSED_OTHER, "temporary", ERR_UNAVAILABLE },
	{ REFUSED_OTHER, "try again later", ERR_UNAVAILABLE },
	/* Folders: Cyrus, Courier, UW, Exchange. */
	{ REFUSED_FOLDER, "already exists", ERR_EXISTS },
	{ REFUSED_FOLDER, "invalid mailbox name", ERR_NAME },
	{ REFUSED_FOLDER, "bad mailbox name", ERR_NAME },
	{ REFUSED_FOLDER, "name too long", ERR_NAME },
	{ REFUSED_OTHER, "permission denied", ERR_PERM },
	{ REFUSED_OTHER, "does not exist", ERR_NOFOLDER },
	{ REFUSED_OTHER, "doesn't exist", ERR_NOFOLDER },
	{ REFUSED_OTHER, "nonexistent mailbox", ERR_NOFOLDER },
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* The bracket that ends the code: `]` may stand in a keyword or a string of its arguments. */
static size_t
code_end(const char *line, size_t len)
{
	unsigned depth = 0;
	bool quoted = false;
	const char *first;

	for (size_t i = 1; i < len; i++) {
		if (line[i] == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (line[i] == '(')
			depth++;
		else if (line[i] == ')' && depth > 0)
			depth--;
		else if (line[i] == ']' && depth == 0)
			return i;
	}
	first = memchr(line, ']', len);
	return first != NULL ? (size_t)(first - line) : 0;
}

static void
code_by_name(const char *name, size_t len, struct resp_text *resp)
{
	resp->code = CODE_OTHER;
	for (size_t i = 0; i < ROWS(code_rows); i++) {
		if (strlen(code_rows[i].name) == len && text_ieqn(code_rows[i].name, name, len)) {
			resp->code = code_rows[i].code;
			resp->error = code_rows[i].error;
			return;
		}
	}
}

void
resp_text_parse(const char *line, size_t len, struct resp_text *resp_r)
{
	size_t end, name = 1;

	*resp_r = (struct resp_text){ .args = "", .text = line, .text_len = len };
	if (len == 0 || line[0] != '[')
		return;
	end = code_end(line, len);
	if (end == 0)
		return;
	while (name < end && line[name] != ' ')
		name++;
	code_by_name(line + 1, name - 1, resp_r);
	if (name < end)
		name++;
	resp_r->args = line + name;
	resp_r->args_len = end - name;
	resp_r->text = line + end + 1;
	resp_r->text_len = len - end - 1;
	while (resp_r->text_len > 0 && resp_r->text[0] == ' ') {
		resp_r->text++;
		resp_r->text_len--;
	}
}

static bool
contains(const char *text, size_t len, const char *words)
{
	size_t n = strlen(words);

	for (size_t i = 0; n <= len && i <= len - n; i++) {
		if (text_ieqn(text + i, words, n))
			return true;
	}
	return false;
}

/* What a refused login may be besides refused: it is worth a wait, or another way in. Whatever else
 * is said of it ("user does not exist"), trying it again would lock the account, or us out. */
static enum err_code
login_code(enum err_code code)
{
	switch (code) {
	case ERR_UNAVAILABLE:
	case ERR_LIMIT:
	case ERR_INUSE:
	case ERR_PRIVACY:
	case ERR_AUTH_EXPIRED:
		return code;
	default:
		return ERR_AUTH;
	}
}

static enum err_code
any_refusal_code(enum refusal refusal, const struct resp_text *resp)
{
	if (refusal == REFUSED_APPEND && resp->error == ERR_NAME)
		return ERR_REFUSED; /* [CANNOT] speaks of a name only where a folder is made */
	if (resp->error != ERR_NONE)
		return resp->error;
	for (size_t i = 0; i < ROWS(words_rows); i++) {
		const struct words_row *row = &words_rows[i];

		if (row->refusal != refusal && row->refusal != REFUSED_OTHER &&
			row->refusal != REFUSED_PATIENCE)
			continue;
		if (contains(resp->text, resp->text_len, row->words))
			return row->error;
	}
	return ERR_REFUSED;
}

enum err_code
refusal_code(enum refusal refusal, const struct resp_text *resp)
{
	enum err_code code = any_refusal_code(refusal, resp);

	return refusal == REFUSED_LOGIN ? login_code(code) : code;
}

enum err_code
patience_code(const struct resp_text *resp)
{
	if (resp->error != ERR_NONE)
		return resp->code == CODE_PATIENCE ? resp->error : ERR_NONE;
	for (size_t i = 0; i < ROWS(words_rows); i++) {
		const struct words_row *row = &words_rows[i];

		if (row->refusal == REFUSED_PATIENCE &&
			contains(resp->text, resp->text_len, row->words))
			return row->error;
	}
	return ERR_NONE;
}
