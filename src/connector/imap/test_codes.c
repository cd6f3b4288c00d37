/* test_codes.c - each response code and each server's words, at each kind of command.
 *
 * codes.c is included, not linked, so that a row of its tables without a case here is found. */
#include <stdlib.h>

#include "base/test.h"

#include "connector/imap/codes.c"

/* What a login makes of an error is one rule: told here once more, in other words. */
static enum err_code
of_a_login(enum err_code error)
{
	static const enum err_code kept[] = { ERR_UNAVAILABLE, ERR_LIMIT, ERR_INUSE, ERR_PRIVACY,
		ERR_AUTH_EXPIRED };

	for (size_t i = 0; i < ROWS(kept); i++)
		if (kept[i] == error)
			return error;
	return ERR_AUTH;
}

static enum err_code
refusal_of(enum refusal refusal, const char *line, struct resp_text *resp_r)
{
	resp_text_parse(line, strlen(line), resp_r);
	return refusal_code(refusal, resp_r);
}

/* Prints the line whose error is another. */
static void
check_error(enum refusal refusal, const char *line, enum err_code want)
{
	struct resp_text resp;
	enum err_code got = refusal_of(refusal, line, &resp);

	if (got != want) {
		printf("refusal %d, \"%s\":\n", (int)refusal, line);
		CHECK_STR(err_name(got), err_name(want));
	}
}

/* name, what the connector does with it, its error (ERR_NONE: says nothing about a failure) */
static const struct code_row code_cases[] = {
	{ "ALERT", CODE_ALERT, ERR_NONE },
	{ "ALREADYEXISTS", CODE_ALREADYEXISTS, ERR_EXISTS },
	{ "APPENDUID", CODE_APPENDUID, ERR_NONE },
	{ "AUTHENTICATIONFAILED", CODE_OTHER, ERR_AUTH },
	{ "AUTHORIZATIONFAILED", CODE_OTHER, ERR_AUTH },
	{ "BADCHARSET", CODE_OTHER, ERR_REFUSED },
	{ "CANNOT", CODE_OTHER, ERR_NAME }, /* but of a message: see below */
	{ "CAPABILITY", CODE_CAPABILITY, ERR_NONE },
	{ "CLIENTBUG", CODE_OTHER, ERR_REFUSED },
	{ "CONTACTADMIN", CODE_OTHER, ERR_UNAVAILABLE },
	{ "CORRUPTION", CODE_OTHER, ERR_UNAVAILABLE },
	{ "EXPIRED", CODE_OTHER, ERR_AUTH_EXPIRED },
	{ "EXPUNGEISSUED", CODE_OTHER, ERR_VANISHED },
	{ "HASCHILDREN", CODE_OTHER, ERR_REFUSED },
	{ "INUSE", CODE_OTHER, ERR_INUSE },
	{ "LIMIT", CODE_PATIENCE, ERR_LIMIT },
	{ "MODIFIED", CODE_MODIFIED, ERR_NONE },
	{ "NOMODSEQ", CODE_NOMODSEQ, ERR_NONE },
	{ "NONEXISTENT", CODE_OTHER, ERR_NOFOLDER },
	{ "NOPERM", CODE_OTHER, ERR_PERM },
	{ "NOTSAVED", CODE_OTHER, ERR_REFUSED },
	{ "OVERLIMIT", CODE_PATIENCE, ERR_LIMIT },
	{ "OVERQUOTA", CODE_OTHER, ERR_QUOTA },
	{ "PERMANENTFLAGS", CODE_PERMANENTFLAGS, ERR_NONE },
	{ "PRIVACYREQUIRED", CODE_OTHER, ERR_PRIVACY },
	{ "REFERRAL", CODE_OTHER, ERR_NOFOLDER },
	{ "SERVERBUG", CODE_OTHER, ERR_UNAVAILABLE },
	{ "TEMPFAIL", CODE_PATIENCE, ERR_UNAVAILABLE },
	{ "THROTTLED", CODE_PATIENCE, ERR_UNAVAILABLE },
	{ "TOOBIG", CODE_OTHER, ERR_TOOBIG },
	{ "TRYCREATE", CODE_OTHER, ERR_NOFOLDER },
	{ "UIDNEXT", CODE_UIDNEXT, ERR_NONE },
	{ "UIDVALIDITY", CODE_UIDVALIDITY, ERR_NONE },
	{ "UNAVAILABLE", CODE_PATIENCE, ERR_UNAVAILABLE },
	{ "UNKNOWN-CTE", CODE_UNKNOWN_CTE, ERR_CONTENT },
	{ "USEATTR", CODE_OTHER, ERR_REFUSED },
	{ "WEBALERT", CODE_OTHER, ERR_AUTH },
};

static void
test_each_code(void)
{
	for (size_t i = 0; i < ROWS(code_cases); i++) {
		const struct code_row *want = &code_cases[i];
		enum err_code said = want->error == ERR_NONE ? ERR_REFUSED : want->error;
		struct resp_text resp;
		char line[80];

		snprintf(line, sizeof(line), "[%s] no such luck", want->name);
		check_error(REFUSED_OTHER, line, said);
		check_error(REFUSED_FOLDER, line, said);
		check_error(REFUSED_APPEND, line, said == ERR_NAME ? ERR_REFUSED : said);
		check_error(REFUSED_LOGIN, line, of_a_login(said));
		(void)refusal_of(REFUSED_OTHER, line, &resp);
		CHECK_INT(resp.code, want->code);
		CHECK_INT(resp.error, want->error);
		CHECK_INT(resp.args_len, 0);
		CHECK_STR(resp.text, "no such luck");
	}
}

static void
test_each_row_of_codes_has_a_case(void)
{
	for (size_t i = 0; i < ROWS(code_rows); i++) {
		bool found = false;

		for (size_t k = 0; k < ROWS(code_cases); k++)
			found = found || strcmp(code_rows[i].name, code_cases[k].name) == 0;
		if (!found)
			CHECK_STR(code_rows[i].name, "a code with a case");
	}
	CHECK_INT(ROWS(code_rows), ROWS(code_cases));
}

/* A server's whole sentence, and its error at an APPEND, at a command to a folder, at any other.
 * At a login it follows from the last. */
struct words_case {
	const char *line;
	enum err_code append, folder, other;
};

static const struct words_case words_cases[] = {
	/* Cyrus */
	{ "Message contains NUL characters", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message contains bare newlines", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message contains non-ASCII characters in headers", ERR_CONTENT, ERR_REFUSED,
		ERR_REFUSED },
	{ "Message contains invalid header", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message has no body or header", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message has no header/body separator", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message size exceeds fixed limit", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "Message exceeds maximum size for delivery", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "Mailbox does not exist", ERR_NOFOLDER, ERR_NOFOLDER, ERR_NOFOLDER },
	{ "Mailbox already exists", ERR_REFUSED, ERR_EXISTS, ERR_REFUSED },
	{ "Invalid mailbox name", ERR_REFUSED, ERR_NAME, ERR_REFUSED },
	{ "Bad mailbox name", ERR_REFUSED, ERR_NAME, ERR_REFUSED },
	{ "Permission denied", ERR_PERM, ERR_PERM, ERR_PERM },
	{ "Over quota", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "Too many open connections from your host", ERR_LIMIT, ERR_LIMIT, ERR_LIMIT },
	{ "System is busy", ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE },
	/* Dovecot */
	{ "Can't save a zero byte message.", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message size is too large", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "Quota exceeded (mailbox for user is full)", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "Mailbox doesn't exist: Sent", ERR_NOFOLDER, ERR_NOFOLDER, ERR_NOFOLDER },
	{ "Mailbox name too long", ERR_REFUSED, ERR_NAME, ERR_REFUSED },
	/* Courier */
	{ "You exceeded your mail quota.", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "Mailbox exceeds its quota: message too large", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "Unable to create a new message: out of disk space", ERR_UNAVAILABLE, ERR_UNAVAILABLE,
		ERR_UNAVAILABLE },
	{ "Invalid message: malformed header", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Nonexistent mailbox", ERR_NOFOLDER, ERR_NOFOLDER, ERR_NOFOLDER },
	/* Exchange, Gmail, others */
	{ "a NUL character was found", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "8-bit characters in header", ERR_CONTENT, ERR_REFUSED, ERR_REFUSED },
	{ "Message too large.", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "message too big", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "The message exceeds the maximum supported size.", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "larger than the maximum message size", ERR_TOOBIG, ERR_REFUSED, ERR_REFUSED },
	{ "user is overquota", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "APPEND failed: mailbox is full", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "mailbox full", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "Too many simultaneous connections. (Failure)", ERR_LIMIT, ERR_LIMIT, ERR_LIMIT },
	{ "Maximum number of connections reached", ERR_LIMIT, ERR_LIMIT, ERR_LIMIT },
	{ "Server Unavailable. 15", ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE },
	{ "Temporary problem", ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE },
	{ "please try again later", ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE },
	/* nothing that is known */
	{ "", ERR_REFUSED, ERR_REFUSED, ERR_REFUSED },
	{ "no", ERR_REFUSED, ERR_REFUSED, ERR_REFUSED },
	{ "quota", ERR_REFUSED, ERR_REFUSED, ERR_REFUSED },
	{ "over  quota", ERR_REFUSED, ERR_REFUSED, ERR_REFUSED },
	/* a code that is known counts, not the words; one that is not leaves them */
	{ "[NOPERM] mailbox full", ERR_PERM, ERR_PERM, ERR_PERM },
	{ "[ALERT] You exceeded your mail quota.", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "[X-FULL 7] Mailbox is FULL", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	/* no code at all */
	{ "[OVERQUOTA", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "the quota [OVERQUOTA] is used up", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
	{ "[] over quota", ERR_QUOTA, ERR_QUOTA, ERR_QUOTA },
};

static void
test_each_servers_words(void)
{
	for (size_t i = 0; i < ROWS(words_cases); i++) {
		const struct words_case *want = &words_cases[i];

		check_error(REFUSED_APPEND, want->line, want->append);
		check_error(REFUSED_FOLDER, want->line, want->folder);
		check_error(REFUSED_OTHER, want->line, want->other);
		check_error(REFUSED_LOGIN, want->line, of_a_login(want->other));
	}
}

static void
test_each_row_of_words_has_a_case(void)
{
	for (size_t i = 0; i < ROWS(words_rows); i++) {
		bool found = false;

		for (size_t k = 0; k < ROWS(words_cases) && !found; k++)
			found = contains(words_cases[k].line, strlen(words_cases[k].line),
				words_rows[i].words);
		if (!found)
			CHECK_STR(words_rows[i].words, "words with a case");
	}
}

/* The host asks for less, or for later; what is one mailbox's or one message's is no such thing. */
static void
test_patience(void)
{
	static const struct {
		const char *line;
		enum err_code want;
	} cases[] = {
		{ "[LIMIT] 10 at a time", ERR_LIMIT },
		{ "[OVERLIMIT] no", ERR_LIMIT },
		{ "[THROTTLED] slow down", ERR_UNAVAILABLE },
		{ "[UNAVAILABLE] later", ERR_UNAVAILABLE },
		{ "[TEMPFAIL] later", ERR_UNAVAILABLE },
		{ "Too many open connections from your host", ERR_LIMIT },
		{ "[ALERT] Too many simultaneous connections. (Failure)", ERR_LIMIT },
		{ "Maximum number of connections from user+IP exceeded", ERR_LIMIT },
		{ "Server Unavailable. 15", ERR_UNAVAILABLE },
		{ "System is busy", ERR_UNAVAILABLE },
		{ "[SERVERBUG] system is busy", ERR_NONE },
		{ "[CORRUPTION] this mailbox is broken", ERR_NONE },
		{ "[INUSE] locked", ERR_NONE },
		{ "[OVERQUOTA] full", ERR_NONE },
		{ "Temporary problem", ERR_NONE },
		{ "out of disk space", ERR_NONE },
		{ "", ERR_NONE },
	};

	for (size_t i = 0; i < ROWS(cases); i++) {
		struct resp_text resp;

		resp_text_parse(cases[i].line, strlen(cases[i].line), &resp);
		if (patience_code(&resp) != cases[i].want)
			printf("\"%s\":\n", cases[i].line);
		CHECK_STR(err_name(patience_code(&resp)), err_name(cases[i].want));
	}
}

/* What is refused at a login is the login, whatever is said of it: it is not tried again. */
static void
test_refused_logins(void)
{
	static const struct {
		const char *line;
		enum err_code want;
	} cases[] = {
		{ "User does not exist", ERR_AUTH },
		{ "Mailbox does not exist", ERR_AUTH },
		{ "user doesn't exist", ERR_AUTH },
		{ "[NONEXISTENT] no such user", ERR_AUTH },
		{ "[TRYCREATE] no such user", ERR_AUTH },
		{ "[NOPERM] IMAP is not allowed for you", ERR_AUTH },
		{ "Permission denied", ERR_AUTH },
		{ "[OVERQUOTA] mailbox full", ERR_AUTH },
		{ "You exceeded your mail quota.", ERR_AUTH },
		{ "[CANNOT] 8-bit password", ERR_AUTH },
		{ "[AUTHENTICATIONFAILED] Authentication failed.", ERR_AUTH },
		{ "[AUTHORIZATIONFAILED] not for you", ERR_AUTH },
		{ "[WEBALERT https://mail.example/] Web login required.", ERR_AUTH },
		{ "LOGIN failed", ERR_AUTH },
		{ "", ERR_AUTH },
		{ "[EXPIRED] password has expired", ERR_AUTH_EXPIRED },
		{ "[PRIVACYREQUIRED] Plaintext authentication disallowed", ERR_PRIVACY },
		{ "[UNAVAILABLE] Temporary authentication failure.", ERR_UNAVAILABLE },
		{ "Temporary System Error", ERR_UNAVAILABLE },
		{ "[CONTACTADMIN] broken", ERR_UNAVAILABLE },
		{ "[INUSE] locked by POP", ERR_INUSE },
		{ "[LIMIT] Maximum number of connections from user+IP exceeded", ERR_LIMIT },
		{ "[ALERT] Too many simultaneous connections.", ERR_LIMIT },
	};

	for (size_t i = 0; i < ROWS(cases); i++)
		check_error(REFUSED_LOGIN, cases[i].line, cases[i].want);
}

/* Where a code ends, its arguments, and what is left for people. */
static void
test_parts_of_a_response(void)
{
	static const struct {
		const char *line;
		enum imap_code code;
		const char *args, *text;
	} cases[] = {
		{ "[APPENDUID 38505 3955] done", CODE_APPENDUID, "38505 3955", "done" },
		{ "[appenduid 1 2:4,9]", CODE_APPENDUID, "1 2:4,9", "" },
		{ "[UIDNEXT 4392]   next", CODE_UIDNEXT, "4392", "next" },
		{ "[PERMANENTFLAGS (\\Seen odd]word \\*)] kept", CODE_PERMANENTFLAGS,
			"(\\Seen odd]word \\*)", "kept" },
		{ "[X-ODD \"a]b\" c] text", CODE_OTHER, "\"a]b\" c", "text" },
		{ "[X-ODD \"open] text", CODE_OTHER, "\"open", "text" },
		{ "[X-ODD (open] text", CODE_OTHER, "(open", "text" },
		{ "[ALERT] [not a code] text", CODE_ALERT, "", "[not a code] text" },
		{ "[ALERTS] text", CODE_OTHER, "", "text" },
		{ "[ALER] text", CODE_OTHER, "", "text" },
		{ "[ALERT text", CODE_NONE, "", "[ALERT text" },
		{ " [ALERT] text", CODE_NONE, "", " [ALERT] text" },
		{ "[", CODE_NONE, "", "[" },
		{ "[]", CODE_OTHER, "", "" },
		{ "", CODE_NONE, "", "" },
	};

	for (size_t i = 0; i < ROWS(cases); i++) {
		struct resp_text resp;

		(void)refusal_of(REFUSED_OTHER, cases[i].line, &resp);
		CHECK_INT(resp.code, cases[i].code);
		CHECK_INT(resp.args_len, strlen(cases[i].args));
		CHECK_MEM(resp.args, cases[i].args, strlen(cases[i].args));
		CHECK_INT(resp.text_len, strlen(cases[i].text));
		CHECK_MEM(resp.text, cases[i].text, strlen(cases[i].text));
	}
}

int
main(void)
{
	RUN(test_each_code);
	RUN(test_each_row_of_codes_has_a_case);
	RUN(test_each_servers_words);
	RUN(test_each_row_of_words_has_a_case);
	RUN(test_patience);
	RUN(test_refused_logins);
	RUN(test_parts_of_a_response);
	return test_done();
}
