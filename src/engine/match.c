/* match.c - matching by digest, each found message used once.
 *
 * The found messages are indexed three times (exact, canonical, head), sorted, so that a whole
 * folder can be matched as well as a window. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "engine/match.h"

#include "base/banned.h"

enum by { BY_EXACT, BY_CANONICAL, BY_HEAD };

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

static struct key *
index_by(enum by by, struct match_found *found, size_t count, size_t *keys_r)
{
	struct key *keys = xcalloc(count + 1, sizeof *keys);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		struct digests *d = &found[i].digests;
		if (found[i].head_only && by != BY_HEAD)
			continue;
		keys[n].digest = by == BY_EXACT       ? d->exact
				 : by == BY_CANONICAL ? d->canonical
						      : d->head;
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
	return by == BY_EXACT ? row->exact : by == BY_CANONICAL ? row->canonical : row->head;
}

static bool
row_wants(const struct match_row *row, enum by by)
{
	if (row->uid != 0)
		return false;
	if (by == BY_HEAD)
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

size_t
match_rows(struct match_row *rows, size_t row_count, struct match_found *found, size_t found_count)
{
	size_t matched = 0;

	for (enum by by = BY_EXACT; by <= BY_HEAD; by++) {
		size_t key_count;
		struct key *keys = index_by(by, found, found_count, &key_count);
		for (size_t i = 0; i < row_count; i++) {
			struct match_found *hit;
			if (!row_wants(&rows[i], by))
				continue;
			hit = choose(&rows[i], by, keys, key_count);
			if (hit == NULL)
				continue;
			hit->taken = true;
			rows[i].uid = hit->uid;
			rows[i].changed = by == BY_CANONICAL;
			memcpy(rows[i].there, hit->digests.exact, DIGEST_SIZE);
			matched++;
		}
		free(keys);
	}
	return matched;
}
