/* uidset.h - a sorted set of UIDs as ranges (RFC 9051 sequence-set without "*"). */
#ifndef MAIL_UIDSET_H
#define MAIL_UIDSET_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uid_range {
	uint32_t first, last; /* both within, first <= last, never 0 */
};

/* Ranges are ascending and never touch. Zeroed = empty. One thread. */
struct uidset {
	struct uid_range *ranges;
	size_t count, cap;
};

void uidset_clear(struct uidset *set);
void uidset_add(struct uidset *set, uint32_t first, uint32_t last); /* any order; merges */
bool uidset_has(const struct uidset *set, uint32_t uid);
void uidset_remove(struct uidset *set, uint32_t uid);
uint64_t uidset_size(const struct uidset *set); /* number of UIDs */
/* Appends "1:5,7". Stops before the text would pass max_len; returns how many ranges it wrote. */
size_t uidset_write(struct str *out, const struct uidset *set, size_t from_range, size_t max_len);
/* Adds the UIDs of "1:5,7" to the set: at most max ranges. -1: malformed, or more; what was read
 * until then is in it. */
int uidset_parse(struct uidset *set, const char *text, size_t len, size_t max);
/* Parses a set in the order given into uids (for APPENDUID, where order counts): at most max.
 * Returns how many, or -1 (malformed, zero, more than max). "5:3" counts as 3,4,5 (RFC 9051, 9). */
long uidset_expand(const char *text, size_t len, uint32_t *uids, size_t max);

#endif
