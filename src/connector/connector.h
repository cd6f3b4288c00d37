/* connector.h - the one contract all mail protocols fulfil, in both directions.
 *
 * It speaks in sets and batches, so that the fast path is the only path: *_start() sends (it may
 * block while bytes leave, for a continuation, or for a ring that is filling, never for a tagged
 * answer), *_next() reads. Several starts may be open at once; their answers come in the order of
 * the starts. A session belongs to one thread. Calls return 0, or -1 with *err filled; *_next()
 * also returns 1.
 *
 * After an error with err_is_link() the session can only be closed. After any other error it goes
 * on, in step. */
#ifndef CONNECTOR_CONNECTOR_H
#define CONNECTOR_CONNECTOR_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spool.h"
#include "mail/digest.h"
#include "mail/folder.h"
#include "mail/item.h"
#include "mail/uidset.h"
#include "net/compression.h"
#include "net/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session; /* the connector's own */

enum caps {
	CAN_UIDPLUS = 1,  /* APPENDUID: results carry UIDs */
	CAN_MULTI = 2,    /* many messages in one command, all or none (RFC 3502) */
	CAN_PIPELINE = 4, /* literals without waiting (LITERAL+) */
	CAN_STATUS_SIZE = 8,
	CAN_QUOTA = 16,
	CAN_MAILBOXID = 32,
	CAN_KEYWORDS = 64,     /* any: known once a folder was selected */
	CAN_SPECIAL_USE = 128, /* CREATE-SPECIAL-USE */
	CAN_CHANGES = 256      /* mod-sequences: changes_start(), flags_set() with a condition */
};

/* Of a message in a batch, besides its bytes. */
#define MESSAGE_OVERHEAD 1536u

/* What a session is given; borrowed until close. */
struct session_env {
	struct spool_pool *pool;
	uint64_t stream_limit; /* a body larger than this comes as a ring */
	size_t ring_bytes;     /* of such a ring; at least 2 x DIGEST_HEAD_BYTES */
	/* Bytes of messages in flight that lie in memory, with what each needs besides
	 * (MESSAGE_OVERHEAD); may change at any time. NULL: any. */
	const _Atomic uint64_t *memory;
	const struct cancel *cancel;
	struct log *log;     /* may be NULL */
	const char *account; /* for log lines */
	/* What the run knows of compression to this host; NULL: compress = auto never does. */
	struct compression *compression;
	struct pace_host *host; /* is told how it fares (net/pace.h); NULL: nobody listens */
};

enum fetch_what {
	FETCH_UIDS,   /* which are there */
	FETCH_FLAGS,  /* UID, FLAGS, and the mod-sequence with CAN_CHANGES */
	FETCH_META,   /* UID, FLAGS, INTERNALDATE, RFC822.SIZE */
	FETCH_BODY,   /* and the whole message, in a ring if it is over the stream limit */
	FETCH_WHOLE,  /* the same, kept however large it is */
	FETCH_DIGEST, /* the whole message passes, only its digests are kept (body stays NULL) */
	FETCH_HEAD /* its first DIGEST_HEAD_BYTES, of which digests.head is kept (body stays NULL)
		    */
};

/* One message as fetched. One owner at a time; made by message_new(). */
struct message {
	struct item *item;   /* part of it */
	struct spool *body;  /* FETCH_BODY and FETCH_WHOLE only, else NULL */
	uint64_t body_bytes; /* of the literal: the truth about the size */
	struct digests
		digests; /* of the bytes received; complete once the body is finished (for a
			  * ring: `head` from the start, the rest when its reader saw the end) */
};
struct message *message_new(uint32_t uid);
void message_free(struct message **message);

/* What became of one message of a batch. */
enum store_state {
	STORE_PENDING,
	STORE_DONE,    /* tagged OK; uid is set where the server told it */
	STORE_REFUSED, /* tagged NO, `err` says why: this message, or one of its command, was not
			  taken */
	STORE_UNKNOWN  /* no answer, or BAD: in doubt */
};

struct store_entry {
	struct message *message; /* owned */
	/* What is sent; may differ from message->item and ->body (repairs). */
	unsigned flags;
	char *keywords;     /* owned */
	int64_t received;   /* always a date */
	struct spool *body; /* owned reference */
	/* Filled by the connector. */
	enum store_state state;
	uint32_t uid;          /* 0 = not told */
	bool keywords_dropped; /* the target keeps no (or not these) keywords */
	struct err err;
	/* The engine's own; the connector leaves these alone. */
	uint64_t row;
	unsigned attempt, steps; /* ladder steps applied, a bit each */
	bool once_more;          /* was sent again as it is, after a NO without a reason */
	unsigned reason;
	struct digests *sent; /* owned: of the repaired body; NULL = as received */
};

/* Messages for one target folder that travel together. */
struct batch {
	uint64_t id;                 /* of its intent in the ledger */
	uint64_t ticket;             /* of that intent's commit */
	const struct folder *folder; /* target; borrowed; its uidvalidity is the one expected */
	bool careful;                /* one command per message, synchronising literals */
	struct store_entry *entries;
	size_t count;
	uint64_t bytes;
	/* Filled by the connector: of SELECT or APPENDUID; 0 = not told. */
	uint32_t uidvalidity;
	bool one_command; /* all entries went in one command (all or none) */
	/* The engine's own; the connector leaves these alone. */
	void *owner;
	uint32_t bound; /* of the intent */
};
struct batch *batch_new(size_t capacity);
void batch_free(struct batch **batch); /* with its entries; NULL is fine */
/* Takes *message; borrows nothing. Returns the new entry (valid until the next add). */
struct store_entry *batch_add(struct batch *batch, struct message **message);

struct batch_limits {
	unsigned messages; /* most in one batch; 1 where a batch brings nothing */
	uint64_t bytes;
	uint64_t message_max;  /* APPENDLIMIT or the server's own; 0 = not told */
	uint64_t window_bytes; /* what may be in flight */
};

struct session_info {    /* for people, the preflight and the report */
	char server[96]; /* ID, or from the greeting */
	char tls[96];
	char login[160];  /* "ana (master user mover)" */
	char offers[400]; /* capabilities after login */
	unsigned rtt_ms;  /* of a round trip, as the first ones took; 0: not known */
};

/* What has changed since a mod-sequence; the caller's, borrowed until the end of its fetch. */
struct fetch_since {
	uint64_t modseq;
	/* Filled by the connector: UIDs that are there no more, or never were, among those asked
	 * for. told: it is all of them. */
	struct uidset gone;
	bool told;
};

struct connector {
	const char *name; /* as written in profiles */

	/* Connects, secures, logs in, reads capabilities. *session_r on success. Namespaces may
	 * still be on their way, so that folder_list() goes with them. */
	int (*open)(const struct endpoint *ep, const struct session_env *env,
		struct session **session_r, struct err *err);
	/* With nothing in flight says LOGOUT. patient: waits until the server has ended the
	 * session, for whoever comes next in its place; otherwise for nothing, since there is
	 * nothing left that its answer could tell. NULL is fine. */
	void (*close)(struct session **session, bool patient);
	unsigned (*caps)(const struct session *session);
	void (*info)(const struct session *session, struct session_info *info_r);

	/* Folders: all, with numbers (FOLDER_STATUS), special use and subscription, in as few round
	 * trips as the server grants. list_r was initialised by the caller. A folder whose numbers
	 * the server refuses comes without FOLDER_STATUS. */
	int (*folder_list)(struct session *session, struct folder_list *list_r, struct err *err);
	/* The target's name for a path in the personal namespace: fills key, delim and the parts as
	 * this server will list them (in arena). *changed_r: a part had to be altered. -1 ERR_NAME.
	 * Does not talk. */
	int (*folder_place)(struct session *session, struct arena *arena, const char *const *parts,
		size_t part_count, struct folder *folder_r, bool *changed_r, struct err *err);
	/* Makes folders (all sent at once), parents first as given; made_r[i] true if it is there
	 * afterwards (also when it was before). errs[i] filled where not. use is asked for with
	 * CREATE-SPECIAL-USE where granted. list_r: as of folder_list(), all there is afterwards,
	 * in the same round trip where nothing is refused. -1 only for link errors. */
	int (*folder_make)(struct session *session, const struct folder *folders, size_t count,
		bool *made_r, struct err *errs, struct folder_list *list_r, struct err *err);
	/* All sent at once, and not waited for; folders and errs are borrowed until the end of
	 * subscribe_wait() or close(). Then errs[i].code is set where the target refused. -1 only
	 * for link errors. */
	int (*subscribe_start)(struct session *session, const struct folder *folders, size_t count,
		struct err *errs, struct err *err);
	int (*subscribe_wait)(struct session *session, struct err *err);

	/* Items. EXAMINE (SELECT for a target) and FETCH are sent without waiting. folder is
	 * borrowed until its last answer; folder->uidvalidity is compared with the answer (0 =
	 * any): ERR_UIDVALIDITY, the text with both values. */
	int (*fetch_start)(struct session *session, const struct folder *folder,
		const struct uidset *set, enum fetch_what what, struct err *err);
	/* The same for messages whose flags have changed since since->modseq: a fetch of
	 * FETCH_FLAGS for these alone, and since->gone. ERR_REFUSED at its end: this server, or
	 * folder, does not know after all, and what came is worth nothing. */
	int (*changes_start)(struct session *session, const struct folder *folder,
		const struct uidset *set, struct fetch_since *since, struct err *err);
	/* 1: *message_r; 0: the oldest fetch is at its end; -1: it ended with an error (the
	 * folder's, or the server's NO after some messages), the following fetches stand. A kept
	 * body comes when it is whole. A ring comes once its first DIGEST_HEAD_BYTES are in it; the
	 * next fetch_next() pumps the rest. Messages not asked for (unsolicited FETCH) are not
	 * given; each UID at most once. */
	int (*fetch_next)(struct session *session, struct message **message_r, struct err *err);

	/* Batches. Fetches, flags_set and folder calls on a session with batches in flight are a
	 * caller's error: take all answers first. store_start: 0 sent, *batch taken; 1 the window
	 * is full, nothing was sent or taken. -1: link error, the batch is the caller's again, its
	 * entries STORE_UNKNOWN (or PENDING when not a byte of it left). Calls die_step() for the
	 * first and last byte. */
	void (*batch_limits)(struct session *session, struct batch_limits *limits_r);
	int (*store_start)(struct session *session, struct batch **batch, struct err *err);
	/* 1: the oldest batch with a result per entry; 0: none in flight; -1: link error: call
	 * again to get the rest back, each with what is known (UNKNOWN where no answer came), until
	 * 0. */
	int (*store_next)(struct session *session, struct batch **batch_r, struct err *err);
	size_t (*store_pending)(const struct session *session);
	bool (*store_readable)(struct session *session); /* store_next() would not wait */

	/* Replaces the flags of messages of the target (never \Recent). UIDs that are gone are no
	 * error. unchanged_since: with CAN_CHANGES, not of those that have changed since that
	 * mod-sequence, which come in *modified_r (cleared first by the caller); 0: of all. */
	int (*flags_set)(struct session *session, const struct folder *folder,
		const struct uidset *set, unsigned flags, const char *keywords,
		uint64_t unchanged_since, struct uidset *modified_r, struct err *err);

	int (*quota)(struct session *session, uint64_t *used_bytes_r, uint64_t *limit_bytes_r,
		struct err *err); /* limit 0 = none known */
	int (*keepalive)(
		struct session *session, struct err *err); /* NOOP; only with nothing in flight */
	/* True: something is to be arranged with the server, with nothing in flight. Who starts no
	 * fetch until all are answered gets it done by the next start; store_start() sees to it by
	 * itself. */
	bool (*wants_rest)(const struct session *session);
};

/* registry.c: all connectors there are. NULL: no such name. */
const struct connector *connector_by_name(const char *name);

#endif
