/* codes.h - what a server's status responses mean to us: the one table of response codes, and the
 * one table of words that servers use where they send no code. */
#ifndef CONNECTOR_IMAP_CODES_H
#define CONNECTOR_IMAP_CODES_H

#include "base/err.h"

#include <stddef.h>

/* The codes the connector itself acts on; the others are only mapped. */
enum imap_code {
	CODE_NONE,
	CODE_ALERT,
	CODE_ALREADYEXISTS,
	CODE_APPENDUID,
	CODE_CAPABILITY,
	CODE_MODIFIED,
	CODE_NOMODSEQ,
	CODE_PERMANENTFLAGS,
	CODE_UIDVALIDITY,
	CODE_UIDNEXT,
	CODE_UNKNOWN_CTE,
	CODE_PATIENCE, /* of the server as a whole, or of this login: later, or less */
	CODE_OTHER     /* in the table, or unknown: see `error` */
};

/* resp-text (RFC 9051, 9): "[NAME args] text". Points into the line it was parsed from. */
struct resp_text {
	enum imap_code code;
	enum err_code error; /* the code's, ERR_NONE if it says nothing about a failure */
	const char *args;    /* behind the code's name */
	size_t args_len;
	const char *text; /* for people */
	size_t text_len;
};

void resp_text_parse(const char *line, size_t len, struct resp_text *resp_r);

/* What is being refused: the same words mean different things. */
enum refusal {
	REFUSED_OTHER,
	REFUSED_LOGIN,
	REFUSED_FOLDER,
	REFUSED_APPEND,
	REFUSED_PATIENCE /* of a row: any of them, and it asks for patience */
};

/* The error of a tagged NO: the code's, or that of the words, or `refusal`'s own. */
enum err_code refusal_code(enum refusal refusal, const struct resp_text *resp);
/* Whether the server asks for patience, whatever it was that it refused: ERR_LIMIT,
 * ERR_UNAVAILABLE, or ERR_NONE. */
enum err_code patience_code(const struct resp_text *resp);

#endif
