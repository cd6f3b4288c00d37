/* digest.h - what a message's bytes are, exactly and canonically (OpenSSL's SHA-256). */
#ifndef MAIL_DIGEST_H
#define MAIL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE       32
#define DIGEST_HEAD_BYTES 65536
/* Of canonical bytes: half, so that a head whose line ends were doubled still has them all. */
#define DIGEST_CANONICAL_HEAD_BYTES (DIGEST_HEAD_BYTES / 2)

/* exact: the bytes. canonical: every line end (LF with the CRs before it, or a CR alone) as CRLF,
 * NUL as 0x80, a last line without line end as with one, and without the header fields that servers
 * add (list in digest.c; matched case-blind, folded lines with them) - only in the header of the
 * message, up to the first empty line. head: exact, of the first DIGEST_HEAD_BYTES. canonical_head:
 * canonical, of the first DIGEST_CANONICAL_HEAD_BYTES; zero where the head does not hold as many
 * and the message goes on (header fields left out, or CRs without end). */
struct digests {
	unsigned char exact[DIGEST_SIZE];
	unsigned char canonical[DIGEST_SIZE];
	unsigned char head[DIGEST_SIZE];
	unsigned char canonical_head[DIGEST_SIZE];
	uint64_t bytes;
	/* What a server may take offence at (see ladder.h): enum content_trait. */
	unsigned traits;
};

enum content_trait {
	TRAIT_NUL = 1,         /* a NUL byte */
	TRAIT_BARE_LF = 2,     /* LF without CR before it */
	TRAIT_BARE_CR = 4,     /* CR without LF behind it */
	TRAIT_8BIT_HEADER = 8, /* a byte over 127 in the header, or a NUL, whose repair is one */
	TRAIT_LONG_LINE = 16,  /* a line over 998 bytes */
	TRAIT_EMPTY = 32,      /* no bytes at all */
	TRAIT_NO_HEADER = 64,  /* the first line is no header field */
	TRAIT_BAD_HEADER = 128 /* a header line has no colon, or no end */
};

/* Incremental; bytes may come in pieces cut anywhere. One thread. */
struct digester;
struct digester *digester_new(void);
void digester_add(struct digester *digester, const void *bytes, size_t len);
/* Fills *digests_r; the next bytes are those of another message. */
void digester_take(struct digester *digester, struct digests *digests_r);
/* Fills *digests_r, frees the digester and sets it NULL. */
void digester_end(struct digester **digester, struct digests *digests_r);
void digester_free(struct digester **digester); /* without a result; NULL is fine */

/* SHA-256 and nothing else. One thread. */
struct digest_sum;
struct digest_sum *digest_sum_new(void);
void digest_sum_add(struct digest_sum *sum, const void *bytes, size_t len);
/* Of all bytes so far; more may follow. */
void digest_sum_get(const struct digest_sum *sum, unsigned char digest_r[DIGEST_SIZE]);
void digest_sum_free(struct digest_sum **sum); /* NULL is fine */

#endif
