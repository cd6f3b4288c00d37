/* uidset.c - a sorted array of ranges.
 *
 * Servers name UIDs ascending nearly always, so adding at the end is the fast path (constant
 * time); any other place costs a binary search and one move of the ranges behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mail/uidset.h"

#include "base/banned.h"

#define RANGES_FIRST 16

void
uidset_clear(struct uidset *set)
{
	free(set->ranges);
	*set = (struct uidset){ 0 };
}

/* The first range whose last UID is at or above `uid`; count when there is none. */
static size_t
range_at(const struct uidset *set, uint32_t uid)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->ranges[mid].last < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
range_insert(struct uidset *set, size_t at, uint32_t first, uint32_t last)
{
	if (set->count == set->cap) {
		set->cap = set->cap == 0 ? RANGES_FIRST : set->cap * 2;
		set->ranges = xrealloc(set->ranges, set->cap * sizeof(*set->ranges));
	}
	memmove(set->ranges + at + 1, set->ranges + at, (set->count - at) * sizeof(*set->ranges));
	set->ranges[at] = (struct uid_range){ first, last };
	set->count++;
}

static void
range_delete(struct uidset *set, size_t at, size_t count)
{
	if (count == 0)
		return;
	memmove(set->ranges + at, set->ranges + at + count,
		(set->count - at - count) * sizeof(*set->ranges));
	set->count -= count;
}

void
uidset_add(struct uidset *set, uint32_t first, uint32_t last)
{
	size_t at, end;

	if (first > last) {
		uint32_t swap = first;

		first = last;
		last = swap;
	}
	if (last == 0)
		return;
	if (first == 0)
		first = 1;
	/* A range that ends right before `first` touches it and is joined. */
	at = range_at(set, first == 1 ? 1 : first - 1);
	if (at == set->count ||
		(set->ranges[at].first > last && set->ranges[at].first - last > 1)) {
		range_insert(set, at, first, last);
		return;
	}
	end = last == UINT32_MAX ? set->count : range_at(set, last + 1);
	/* [at, end) lies within; the one at `end` may begin inside or right behind. */
	if (end < set->count && set->ranges[end].first <= last + 1)
		end++;
	if (set->ranges[at].first > first)
		set->ranges[at].first = first;
	if (set->ranges[end - 1].last > last)
		last = set->ranges[end - 1].last;
	set->ranges[at].last = last;
	range_delete(set, at + 1, end - at - 1);
}

bool
uidset_has(const struct uidset *set, uint32_t uid)
{
	size_t at = range_at(set, uid);

	return uid != 0 && at < set->count && set->ranges[at].first <= uid;
}

void
uidset_remove(struct uidset *set, uint32_t uid)
{
	size_t at = range_at(set, uid);
	struct uid_range *range;

	if (uid == 0 || at == set->count || set->ranges[at].first > uid)
		return;
	range = &set->ranges[at];
	if (range->first == range->last) {
		range_delete(set, at, 1);
	} else if (range->first == uid) {
		range->first++;
	} else if (range->last == uid) {
		range->last--;
	} else {
		uint32_t last = range->last;

		range->last = uid - 1;
		range_insert(set, at + 1, uid + 1, last);
	}
}

uint64_t
uidset_size(const struct uidset *set)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < set->count; i++)
		size += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
	return size;
}

size_t
uidset_write(struct str *out, const struct uidset *set, size_t from_range, size_t max_len)
{
	size_t start = out->len, i;

	for (i = from_range; i < set->count; i++) {
		const struct uid_range *range = &set->ranges[i];
		const char *comma = i == from_range ? "" : ",";
		char text[32];
		int len;

		if (range->first == range->last)
			len = snprintf(text, sizeof(text), "%s%" PRIu32, comma, range->first);
		else
			len = snprintf(text, sizeof(text), "%s%" PRIu32 ":%" PRIu32, comma,
				range->first, range->last);
		if (out->len - start + (size_t)len > max_len || str_add(out, text, (size_t)len) < 0)
			break;
	}
	return i > from_range ? i - from_range : 0;
}

/* A number of the set from 1 on; NULL if there is none. */
static const char *
read_uid(const char *p, const char *end, uint32_t *uid_r)
{
	uint64_t value = 0;
	const char *start = p;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return NULL;
	}
	if (p == start || value == 0)
		return NULL;
	*uid_r = (uint32_t)value;
	return p;
}

/* "7" or "7:9". */
static const char *
read_range(const char *p, const char *end, uint32_t *first_r, uint32_t *last_r)
{
	p = read_uid(p, end, first_r);
	if (p == NULL)
		return NULL;
	*last_r = *first_r;
	return p < end && *p == ':' ? read_uid(p + 1, end, last_r) : p;
}

int
uidset_parse(struct uidset *set, const char *text, size_t len, size_t max)
{
	const char *p = text, *end = text + len;

	for (size_t count = 0; count < max; count++) {
		uint32_t first, last;

		p = read_range(p, end, &first, &last);
		if (p == NULL)
			return -1;
		uidset_add(set, first, last);
		if (p == end)
			return 0;
		if (*p++ != ',')
			return -1;
	}
	return -1;
}

long
uidset_expand(const char *text, size_t len, uint32_t *uids, size_t max)
{
	const char *p = text, *end = text + len;
	size_t count = 0;

	for (;;) {
		uint32_t first, last;

		p = read_range(p, end, &first, &last);
		if (p == NULL)
			return -1;
		if (first > last) {
			uint32_t swap = first;

			first = last;
			last = swap;
		}
		if ((uint64_t)last - first >= max - count)
			return -1;
		for (; first < last; first++)
			uids[count++] = first;
		uids[count++] = last;
		if (p == end)
			return (long)count;
		if (*p++ != ',')
			return -1;
	}
}
