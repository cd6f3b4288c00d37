/* imap_private.h - what the files of the imap connector share: the session and its parts.
 *
 *   transport.c  bytes to and from the server        wire.c      bytes -> tokens
 *   command.c    commands out; the read-only guard   response.c  tokens -> what they change
 *   session.c    life of a session, small commands    login.c     greeting to login
 *   folders.c    LIST, CREATE, SUBSCRIBE             listing.c   answers to LIST and STATUS
 *   fetch.c      EXAMINE + UID FETCH, many open      fetch_read.c  one FETCH response
 *   store.c      SELECT + APPEND, many open          flags.c     UID STORE
 *   select.c     the selected folder                 quota.c     GETQUOTAROOT
 *
 * One thread. Commands are sent without waiting; each stands in `pending` until its tagged answer,
 * which may come in any order, calls its `done`. session_pump() reads one response and lets it act.
 * After any failure that leaves us out of step the session is dead and says why. */
#ifndef CONNECTOR_IMAP_PRIVATE_H
#define CONNECTOR_IMAP_PRIVATE_H

#include "connector/connector.h"
#include "connector/imap/codes.h"
#include "connector/imap/imap.h"
#include "connector/imap/wire.h"
#include "net/stream.h"

enum imap_limit {
	COMMAND_LINE_MAX = 8000,   /* bytes of a command line we send (RFC 7162, 4) */
	COMMAND_BUFFER = 64 << 10, /* and with its literals: folder names */
	CUTS_MAX = 4,              /* synchronising literals in one command */
	NAMESPACES_MAX = 64,
	FOLDERS_MAX = 1000000, /* of one account */
	NAME_BYTES_MAX = 4096, /* of a folder that is listed */
	NAME_LEVELS_MAX = 255,
	LEVEL_BYTES = 24, /* what a level costs us besides its name */
	NAMES_BYTES_MAX = 128 << 20,
	TALK_TIMEOUTS =
		10, /* an answer that does not come for so many timeouts, whatever else does */
	CHALLENGES_MAX =
		3, /* of one login: ours to answer, and one with the details of a refusal */
	KEYWORDS_LISTED_MAX = 4096 /* bytes of a folder's PERMANENTFLAGS that are kept */
};

/* What a server grants (CAPABILITY), as bits. */
enum granted {
	HAS_LITERAL_PLUS = 1 << 0,
	HAS_LITERAL_MINUS = 1 << 1,
	HAS_MULTIAPPEND = 1 << 2,
	HAS_UIDPLUS = 1 << 3,
	HAS_NAMESPACE = 1 << 4,
	HAS_ID = 1 << 5,
	HAS_SPECIAL_USE = 1 << 6,
	HAS_CREATE_SPECIAL_USE = 1 << 7,
	HAS_LIST_EXTENDED = 1 << 8,
	HAS_LIST_STATUS = 1 << 9,
	HAS_XLIST = 1 << 10,
	HAS_STATUS_SIZE = 1 << 11,
	HAS_OBJECTID = 1 << 12,
	HAS_CONDSTORE = 1 << 13,
	HAS_QUOTA = 1 << 14,
	HAS_SASL_IR = 1 << 15,
	HAS_STARTTLS = 1 << 16,
	HAS_LOGINDISABLED = 1 << 17,
	HAS_AUTH_PLAIN = 1 << 18,
	HAS_AUTH_CRAM_MD5 = 1 << 19,
	HAS_AUTH_XOAUTH2 = 1 << 20,
	HAS_AUTH_OAUTHBEARER = 1 << 21,
	HAS_ENABLE = 1 << 22,
	HAS_QRESYNC = 1 << 23,
	HAS_COMPRESS = 1 << 24 /* COMPRESS=DEFLATE */
};

enum closing {
	CLOSE_TAKEN,  /* waits until the other side has what was sent */
	CLOSE_LEAVE,  /* after LOGOUT: waits for nothing */
	CLOSE_AT_ONCE /* what is not sent yet never goes */
};

/* Where bytes come from and go to: a connection, or a test's memory. */
struct transport {
	int (*read)(void *owner, void *buf, size_t size, size_t *got_r, struct err *err);
	int (*write)(void *owner, const void *bytes, size_t len, struct err *err);
	int (*flush)(void *owner, struct err *err); /* all that was written is the kernel's */
	bool (*readable)(void *owner);
	int (*starttls)(void *owner, struct err *err);
	/* From here on both directions are DEFLATE; ahead: what was read of it already. */
	int (*compress)(void *owner, const void *ahead, size_t len, struct err *err);
	void (*count)(void *owner, struct stream_counts *counts_r);
	void (*describe)(void *owner, struct str *out);
	void (*close)(void *owner, enum closing how);
	void *owner;
};

/* transport.c: over net/. */
int transport_open(const struct endpoint *ep, const struct session_env *env, struct transport *io_r,
	struct err *err);

enum reply_status { REPLY_NONE, REPLY_OK, REPLY_NO, REPLY_BAD };

struct command;
typedef void command_done(struct session *s, const struct command *command,
	enum reply_status status, const struct resp_text *resp);

/* One that waits for its tagged answer. */
struct command {
	uint32_t number; /* its tag is the session's prefix and this */
	const char *verb;
	command_done *done;
	void *owner;
	size_t index; /* the owner's own */
};

/* The answer to a command that is waited for. */
struct answer {
	enum reply_status status; /* REPLY_NONE: not here yet */
	enum imap_code code;
	enum err_code code_error;
	char text[200];
	enum err_code refused; /* of a NO: what refusal_code() says of it */
	enum refusal refusal;  /* to be set before the command is sent */
};

/* What is asked right after the login. */
struct about {
	bool waiting;
	int64_t asked_ms;
	struct answer names, id;
};

struct namespace
{
	char *prefix;
	char delim; /* 0: flat */
	enum folder_space space;
};

/* One SELECT or EXAMINE. Held by reference: by the session and by what was sent after it. */
struct selection {
	unsigned refs;
	char *key;
	enum { SELECTION_SENT, SELECTION_OPEN, SELECTION_FAILED } state;
	uint32_t uidvalidity; /* 0 = not told */
	uint32_t uidnext;     /* likewise */
	uint32_t exists;      /* messages, as told while it was opened */
	bool no_modseq;       /* it keeps no mod-sequences */
	bool flags_known;     /* PERMANENTFLAGS were told */
	bool any_keyword;     /* with \* */
	unsigned flags;       /* storable system flags among them */
	char *keywords;       /* and keywords */
	struct err err;       /* of a failed one */
};

struct fetch_op;
struct store_op;
struct fetch_body;
struct listing;
struct quota_answer;
struct crowd;

struct session {
	const struct endpoint *ep;
	struct session_env env;
	struct transport io;
	struct wire wire;
	struct str trace;          /* of the response being read */
	struct spool_slab *slab;   /* of kept bodies */
	struct digester *digester; /* for one body after the other; NULL until it is needed */

	/* Once dead, every call gives dead_err. */
	bool dead;
	struct err dead_err;
	bool logged_in, logging_out;
	struct answer logout;
	bool death_told; /* by store_next() */

	/* The command being built (command.c). */
	struct str line;
	const char *verb;
	size_t cuts[CUTS_MAX], cut_count; /* offsets where a `+` is waited for */
	size_t secret_from;               /* the trace shows nothing from here; 0 = all */
	bool unsent;                      /* something waits for a flush */
	char tag[8];
	uint32_t number;
	struct command *pending;
	size_t pending_first, pending_count, pending_cap;
	bool continued;
	struct str continuation;
	bool progress;     /* what is being read answers something that was asked */
	int64_t talked_ms; /* waited for answers while the server said other things */

	/* The server. */
	unsigned granted;
	bool capability_told, preauth;
	struct str offers;
	char server[96];
	uint64_t append_limit;
	unsigned rtt_ms; /* a round trip, as the first commands after the login took */
	struct namespace *namespaces;
	size_t namespace_count;
	bool namespace_told;
	struct about about;
	char delim; /* of the personal namespace */
	/* What was advertised and did not work on this session. */
	bool no_list_return, no_status_size, no_mailboxid, no_xlist, no_modseq;
	bool enabling;         /* ENABLE QRESYNC was sent */
	bool keywords_welcome; /* a PERMANENTFLAGS with \* was seen */

	/* Compression, on or perhaps to come (compress.c). */
	struct {
		struct compression_part part;
		bool begun;              /* the run's memory knows of this session */
		bool wanted;             /* as soon as nothing is in flight */
		bool busy;               /* since looked_ms something was */
		struct gain_sample news; /* seen and not told */
		struct stream_counts seen;
		int64_t looked_ms, told_ms;
	} press;

	/* Answers being collected. */
	struct listing *listing;
	struct quota_answer *quota;
	struct crowd *subscribing; /* sent, and perhaps not answered yet; NULL: nothing */

	/* Selected folder: what was sent last, and what the server has confirmed. */
	struct selection **selections; /* sent, not yet answered, oldest first */
	size_t selection_count, selection_cap;
	struct selection *sent, *current;

	/* Open fetches, oldest first; the FETCH response being read. */
	struct fetch_op *fetch_first, *fetch_last;
	struct fetch_body *body;
	bool fetching; /* fetch_next() is the one who reads: a ring may be handed out */

	/* Batches in flight, oldest first. */
	struct store_op *store_first, *store_last;
	size_t store_count;
	uint64_t store_bytes, store_memory;
};

/* session.c */
struct session *session_new(
	const struct endpoint *ep, const struct session_env *env, const struct transport *io);
/* From the greeting to the end of the login; NAMESPACE and ID are on their way. */
int session_start(struct session *s, struct err *err);
/* Waits for what is on its way since the login: namespaces, the server's name, the round trip. */
int session_about(struct session *s, struct err *err);
void session_free(struct session **session);
/* Marks the session dead with *err (copied), closes the link at once; returns -1. */
int session_fail(struct session *s, const struct err *err);
/* 0, or -1 with the reason of the session's death. */
int session_alive(const struct session *s, struct err *err);
bool session_has(const struct session *s, unsigned granted); /* all of these bits */
void session_log(const struct session *s, enum log_level level, const char *folder, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
bool session_traces(const struct session *s);
bool session_is_cyrus(const struct session *s); /* it says so */

/* command.c */
void command_begin(struct session *s, const char *verb);
void command_add(struct session *s, const char *text); /* as it is */
void command_addf(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A blank and a string: quoted, or a literal where its bytes need one. */
void command_string(struct session *s, const char *bytes, size_t len);
/* A blank and "{size}" or "{size+}", at the end of what is sent next. */
void command_literal(struct session *s, uint64_t size, bool wait);
void command_secret(struct session *s); /* what is added from here is not traced */
/* Sends it with its line end. done is called once, at the tagged answer, maybe before this returns
 * (a literal was refused). */
int command_send(struct session *s, command_done *done, void *owner, size_t index, struct err *err);
/* The same without the line end, which the caller writes: command_more(), command_end(). */
int command_open(struct session *s, command_done *done, void *owner, size_t index,
	uint32_t *number_r, struct err *err);
/* Sends what was added since. 1: the server has answered already; nothing more may be sent. */
int command_more(struct session *s, uint32_t number, struct err *err);
int command_end(struct session *s, struct err *err);
int command_bytes(struct session *s, const void *bytes, size_t len, struct err *err);
int command_flush(struct session *s, struct err *err);
bool command_waits(const struct session *s, uint32_t number); /* no answer yet */
/* Sends it and waits. 0 with answer->status OK or NO; -1 link error or BAD (ERR_BAD, and the
 * session lives: the caller decides). */
int command_run(struct session *s, struct answer *answer, struct err *err);
command_done answer_done; /* owner = struct answer */
int answer_wait(struct session *s, const struct answer *answer, struct err *err);
/* ERR_* of an answer that is not OK; always -1. */
int answer_err(const struct answer *answer, struct err *err, const char *what);
/* A line of a login exchange. */
int command_reply(struct session *s, const char *text, struct err *err);
/* Takes the command of that tag out of `pending`. 0, or -1: no such. */
int command_take(struct session *s, const char *tag, size_t len, struct command *command_r);

/* response.c */
int session_pump(struct session *s, struct err *err);
int session_greeting(struct session *s, struct err *err);

/* login.c: all ways to log in. */
int imap_login(struct session *s, struct err *err);

/* compress.c */
/* Right after the login: asks for compression where the profile or the run's memory say so. */
int compress_login(struct session *s, struct err *err);
/* At each call that sends (`starts`) or takes answers: what the link did since. */
void compress_look(struct session *s, bool starts);
/* True: there is a reason to start nothing more until all is answered. */
bool compress_wants_rest(const struct session *s);
/* If that was so, and nothing is in flight: turns it on. -1: the link is gone. */
int compress_at_rest(struct session *s, struct err *err);
void compress_end(struct session *s);

/* listing.c: what LIST, LSUB, XLIST, STATUS and NAMESPACE answer. */
struct listing {
	struct folder_list *list;
	uint32_t *index; /* hash of key -> position + 1 */
	size_t index_size, last;
	bool subscriptions_told; /* by LIST RETURN (SUBSCRIBED) */
	bool subscribing;        /* an LSUB is being answered */
	bool growing; /* a LIST or LSUB is being answered: at no other time are folders added, since
		       * whoever asks about them then holds on to them */
	size_t name_bytes;
	bool early; /* folders came before the namespaces they lie in */
};
void listing_init(struct listing *listing, struct folder_list *list);
void listing_clear(struct listing *listing);
int listing_take_list(struct session *s, bool lsub, struct err *err);
int listing_take_status(struct session *s, struct err *err);
int listing_take_namespace(struct session *s, struct err *err);
bool listing_is_utf8(const char *key, size_t len);
/* The namespace a name lies in; never NULL. */
const struct namespace *namespace_of(const struct session *s, const char *key);
const struct namespace *namespace_personal(const struct session *s);
void namespaces_clear(struct session *s);
void namespace_add(
	struct session *s, const char *prefix, size_t len, char delim, enum folder_space space);

/* folders.c */
int imap_folder_list(struct session *s, struct folder_list *list_r, struct err *err);
int imap_folder_place(struct session *s, struct arena *arena, const char *const *parts,
	size_t part_count, struct folder *folder_r, bool *changed_r, struct err *err);
int imap_folder_make(struct session *s, const struct folder *folders, size_t count, bool *made_r,
	struct err *errs, struct folder_list *list_r, struct err *err);
int imap_subscribe_start(struct session *s, const struct folder *folders, size_t count,
	struct err *errs, struct err *err);
int imap_subscribe_wait(struct session *s, struct err *err);

/* select.c */
/* Sends SELECT (EXAMINE for a source) without waiting, unless `reuse` and that folder was the last
 * one sent and did not fail. A reference that is the caller's. */
int selection_send(struct session *s, const struct folder *folder, bool reuse,
	struct selection **selection_r, struct err *err);
void selection_unref(struct selection **selection);
struct selection *selection_ref(struct selection *selection);
/* Its answer is here; or, for `flags`, its PERMANENTFLAGS are. */
void selection_exists(struct session *s, uint32_t messages);
int selection_wait(struct session *s, struct selection *selection, bool flags, struct err *err);
/* An untagged OK or tagged answer while one is being opened. */
void selection_code(struct session *s, const struct resp_text *resp);
void selections_clear(struct session *s);
/* ERR_UIDVALIDITY if both are known and differ. */
int selection_check(
	const struct selection *selection, const struct folder *folder, struct err *err);

/* fetch.c */
int imap_fetch_start(struct session *s, const struct folder *folder, const struct uidset *set,
	enum fetch_what what, struct err *err);
int imap_fetch_next(struct session *s, struct message **message_r, struct err *err);
void fetch_selected(struct session *s, struct selection *selection); /* it was answered */
void fetch_clear(struct session *s);
/* "VANISHED (EARLIER) 1:5", from behind its name. */
int fetch_take_vanished(struct session *s, struct err *err);
int imap_changes_start(struct session *s, const struct folder *folder, const struct uidset *set,
	struct fetch_since *since, struct err *err);
/* The open fetch that asked for this UID and has not got it; NULL: nobody did. told: of an answer
 * without a body, enum fetch_told; whoever asked for dates gets none without, since a change of
 * flags by another client looks like it. */
struct fetch_op *fetch_wanted(struct session *s, uint32_t uid, bool has_body, unsigned told);
void fetch_give(struct fetch_op *op, struct message **message);
/* What an answer said of its message. */
enum fetch_told {
	FETCH_TOLD_FLAGS = 1,
	FETCH_TOLD_DATE = 2,
	FETCH_TOLD_SIZE = 4,
	FETCH_TOLD_NEEDED = FETCH_TOLD_FLAGS | FETCH_TOLD_DATE
};
/* Adds what earlier answers told of the item's message. */
void fetch_add_known(struct fetch_op *op, struct item *item, unsigned *told);
/* An answer shows that its message is there: FETCH_UIDS gets it. */
void fetch_list(struct session *s, uint32_t uid);
/* An answer without what was asked for: kept, where its message is still to come or waits for it;
 * *item is taken then. */
void fetch_note(struct session *s, struct item **item, unsigned told);
/* An answer with it: given, or kept until flags and date are told. */
void fetch_take(struct fetch_op *op, struct message **message, unsigned told);
enum fetch_what fetch_op_what(const struct fetch_op *op);
bool fetch_keeps(const struct fetch_op *op); /* bodies, not digests alone */
bool fetch_is_oldest(const struct session *s, const struct fetch_op *op);
/* An open fetch of the selected folder wants bodies. */
bool fetch_wanting(const struct session *s);

/* fetch_read.c: one FETCH response. */
int fetch_read(struct session *s, struct err *err);
/* Goes on with a response whose body went out as a ring. */
int fetch_read_rest(struct session *s, struct err *err);
void fetch_body_clear(struct session *s);

/* store.c */
void imap_batch_limits(struct session *s, struct batch_limits *limits_r);
int imap_store_start(struct session *s, struct batch **batch, struct err *err);
int imap_store_next(struct session *s, struct batch **batch_r, struct err *err);
size_t imap_store_pending(const struct session *s);
bool imap_store_readable(struct session *s);
void store_clear(struct session *s);

/* flags.c */
int imap_flags_set(struct session *s, const struct folder *folder, const struct uidset *set,
	unsigned flags, const char *keywords, uint64_t unchanged_since, struct uidset *modified_r,
	struct err *err);
/* The keywords that may be sent for a folder: atoms, and known or new ones welcome. Allocated, or
 * NULL; *dropped_r: not all of them. */
char *flags_keep(const struct selection *selection, const char *keywords, bool *dropped_r);

/* quota.c */
int imap_quota(struct session *s, uint64_t *used_bytes_r, uint64_t *limit_bytes_r, struct err *err);
int quota_take(struct session *s, struct err *err);

#endif
