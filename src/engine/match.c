/* match.c - matching by digest, each found message used once.
 *
 * The found messages are indexed once for each kind of digest, sorted, so that a whole folder can
 * be matched as well as a window. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "engine/match.h"

#include "base/banned.h"

enum by { BY_EXACT, BY_CANONICAL, BY_HEAD, BY_CANONICAL_HEAD };

struct key {
	const unsigned char *digest;
	struct match_found *found;
};

static int
by_digest(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, DIGEST_SIZE);

	if (order != 0)
		return order;
	return (x->found->uid > y->found->uid) - (x->found->uid < y->found->uid);
}

static bool
by_a_head(enum by by)
{
	return by == BY_HEAD || by == BY_CANONICAL_HEAD;
}

static const unsigned char *
found_digest(const struct match_found *found, enum by by)
{
	switch (by) {
	case BY_EXACT:
		return found->digests.exact;
	case BY_CANONICAL:
		return found->digests.canonical;
	case BY_HEAD:
		return found->digests.head;
	case BY_CANONICAL_HEAD:
		break;
	}
	return found->digests.canonical_head;
}

static struct key *
index_by(enum by by, struct match_found *found, size_t count, size_t *keys_r)
{
	struct key *keys = xcalloc(count + 1, sizeof *keys);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (found[i].head_only && !by_a_head(by))
			continue;
		keys[n].digest = found_digest(&found[i], by);
		keys[n++].found = &found[i];
	}
	qsort(keys, n, sizeof *keys, by_digest);
	*keys_r = n;
	return keys;
}

/* First key not below the digest. */
static size_t
lower_bound(const struct key *keys, size_t count, const unsigned char *digest)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;
		if (memcmp(keys[middle].digest, digest, DIGEST_SIZE) < 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static const unsigned char *
row_digest(const struct match_row *row, enum by by)
{
	switch (by) {
	case BY_EXACT:
		return row->exact;
	case BY_CANONICAL:
		return row->canonical;
	case BY_HEAD:
		return row->head;
	case BY_CANONICAL_HEAD:
		break;
	}
	return row->canonical_head;
}

static bool
row_wants(const struct match_row *row, enum by by)
{
	static const unsigned char zero[DIGEST_SIZE];

	if (row->uid != 0)
		return false;
	if (by == BY_CANONICAL_HEAD && memcmp(row->canonical_head, zero, DIGEST_SIZE) == 0)
		return false;
	if (by_a_head(by))
		return row->streaming;
	return !row->streaming && !(by == BY_CANONICAL && row->exact_only);
}

/* The best free candidate: same date and flags before same date before any. */
static struct match_found *
choose(const struct match_row *row, enum by by, const struct key *keys, size_t count)
{
	const unsigned char *digest = row_digest(row, by);
	struct match_found *best = NULL;
	int best_score = -1;

	for (size_t i = lower_bound(keys, count, digest);
		i < count && memcmp(keys[i].digest, digest, DIGEST_SIZE) == 0; i++) {
		struct match_found *found = keys[i].found;
		int score = (found->received == row->received ? 2 : 0) +
			    (found->flags == row->flags ? 1 : 0);
		if (found->taken || (by == BY_HEAD && found->size != row->size))
			continue;
		if (score > best_score) {
			best = found;
			best_score = score;
		}
		if (score == 3)
			break;
	}
	return best;
}

/* The only free candidate, or NULL. Rewriting line ends doubles a message at most. */
static struct match_found *
choose_only(const struct match_row *row, const struct key *keys, size_t count)
{
	const unsigned char *digest = row->canonical_head;
	struct match_found *only = NULL;

	for (size_t i = lower_bound(keys, count, digest);
		i < count && memcmp(keys[i].digest, digest, DIGEST_SIZE) == 0; i++) {
		struct match_found *found = keys[i].found;
		if (found->taken || found->size / 2 > row->size || row->size / 2 > found->size)
			continue;
		if (only != NULL)
			return NULL;
		only = found;
	}
	return only;
}

static bool
is_only_row(const struct match_row *rows, size_t count, const struct match_row *row)
{
	for (size_t i = 0; i < count; i++)
		if (&rows[i] != row && row_wants(&rows[i], BY_CANONICAL_HEAD) &&
			memcmp(rows[i].canonical_head, row->canonical_head, DIGEST_SIZE) == 0)
			return false;
	return true;
}

static void
take(struct match_row *row, enum by by, struct match_found *hit)
{
	hit->taken = true;
	row->uid = hit->uid;
	row->changed = by == BY_CANONICAL || by == BY_CANONICAL_HEAD;
	memset(row->there, 0, DIGEST_SIZE);
	if (!hit->head_only)
		memcpy(row->there, hit->digests.exact, DIGEST_SIZE);
}

size_t
match_rows(struct match_row *rows, size_t row_count, struct match_found *found, size_t found_count)
{
	size_t matched = 0;

	for (enum by by = BY_EXACT; by <= BY_CANONICAL_HEAD; by++) {
		size_t key_count;
		struct key *keys = index_by(by, found, found_count, &key_count);
		for (size_t i = 0; i < row_count; i++) {
			struct match_found *hit;
			if (!row_wants(&rows[i], by))
				continue;
			if (by != BY_CANONICAL_HEAD)
				hit = choose(&rows[i], by, keys, key_count);
			else if (is_only_row(rows, row_count, &rows[i]))
				hit = choose_only(&rows[i], keys, key_count);
			else
				hit = NULL;
			if (hit == NULL)
				continue;
			take(&rows[i], by, hit);
			matched++;
		}
		free(keys);
	}
	return matched;
}
