/* item.h - one message as a server tells of it, and its flags. */
#ifndef MAIL_ITEM_H
#define MAIL_ITEM_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum item_flags { /* RFC 9051, 2.3.2: the five storable system flags */
	ITEM_SEEN = 1,
	ITEM_ANSWERED = 2,
	ITEM_FLAGGED = 4,
	ITEM_DELETED = 8,
	ITEM_DRAFT = 16,
	ITEM_FLAGS_ALL = 31
};

#define ITEM_DATE_NONE INT64_MIN /* no INTERNALDATE, or one that does not parse */

/* Heap object, one owner at a time. */
struct item {
	uint32_t uid;
	unsigned flags;   /* enum item_flags */
	int64_t received; /* INTERNALDATE as seconds UTC, or ITEM_DATE_NONE */
	uint64_t size;    /* RFC822.SIZE: a hint; 0 = not told */
	uint64_t modseq;  /* 0 = not told */
	char *keywords;   /* sorted, each once, separated by one blank; NULL = none. Raw bytes. */
};

struct item *item_new(uint32_t uid);
void item_free(struct item **item);
struct item *item_dup(const struct item *item);

/* Adds a keyword, keeping the list sorted and free of doubles (case-blind, the first spelling
 * stays). Refuses (-1) empty ones, blanks, control characters, and a list over 4096 bytes. */
int keywords_add(char **keywords, const char *keyword, size_t len);
bool keywords_eq(const char *a, const char *b); /* NULL and "" are equal; case-blind */
bool keywords_has(const char *keywords, const char *keyword);

/* One flag as on the wire ("\\Seen", "$Forwarded", "work"). Storable system flags are set in
 * *flags, keywords added; \Recent and unknown \Flags are dropped (returns 1). */
int flags_add_wire(unsigned *flags, char **keywords, const char *flag, size_t len);
/* True for a keyword that is an ASCII atom (RFC 9051 flag-keyword): safe to send. */
bool keyword_is_atom(const char *keyword, size_t len);
/* Appends "\\Seen $Forwarded" (no parentheses); keywords that are not atoms are left out. */
void flags_write(struct str *out, unsigned flags, const char *keywords);

#endif
