/* match.h - which messages lying on a target are those we meant to send; pure. */
#ifndef ENGINE_MATCH_H
#define ENGINE_MATCH_H

#include "mail/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message we sent, or meant to send. */
struct match_row {
	bool streaming;  /* only size and heads are known */
	bool exact_only; /* a landed row: the ledger keeps its exact digest alone */
	uint64_t size;
	unsigned char exact[DIGEST_SIZE], canonical[DIGEST_SIZE], head[DIGEST_SIZE],
		canonical_head[DIGEST_SIZE];
	int64_t received;
	unsigned flags;
	uint32_t uid; /* result: where it lies, 0 = not found */
	bool changed; /* result: the target stores other bytes than were sent, with this digest
		       * (zero: only its head was seen) */
	unsigned char there[DIGEST_SIZE];
};

/* A message found on the target. */
struct match_found {
	uint32_t uid;
	uint64_t size;
	bool head_only; /* too large to be digested whole: size and head alone */
	struct digests digests;
	int64_t received;
	unsigned flags;
	bool taken; /* result */
};

/* By multiset: a found message answers for one row at most, so of N equal rows with M found, M are
 * matched. Exact digests first, then canonical ones (servers rewrite line ends and NULs), then size
 * and head for what was sent while it arrived, then its canonical head, if no other row and no
 * other message has the same: the size does not tell them apart then. Date and flags only choose
 * among equals. Reorders neither array. Returns how many rows were matched. */
size_t match_rows(
	struct match_row *rows, size_t row_count, struct match_found *found, size_t found_count);

#endif
