/* look.c - what lies above a bound on the target: the one way settling, matching and learning UIDs
 * see it. Bodies are never kept: the target's messages are digested as they pass, and those too
 * large for that are compared by size and head. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

struct look {
	struct match_found *found;
	size_t count, cap;
};

static void
add_found(struct look *look, const struct message *message)
{
	struct match_found *f;

	if (look->count == look->cap) {
		look->cap = look->cap ? look->cap * 2 : 64;
		look->found = xrealloc(look->found, look->cap * sizeof *look->found);
	}
	f = &look->found[look->count++];
	memset(f, 0, sizeof *f);
	f->uid = message->item->uid;
	f->size = message->item->size;
	f->received = message->item->received;
	f->flags = message->item->flags;
}

static int
by_uid(const void *a, const void *b)
{
	const struct match_found *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int
list_meta(struct lane *lane, const struct folder *folder, uint32_t above,
	const struct uidset *without, struct look *look, struct uidset *listed, struct err *err)
{
	struct side *target = &lane->target;
	struct uidset set = { 0 };
	struct message *message;
	int ret;

	uidset_add(&set, above + 1, UINT32_MAX);
	ret = target->c->fetch_start(target->session, folder, &set, FETCH_META, err);
	uidset_clear(&set);
	if (ret < 0)
		return -1;
	while ((ret = target->c->fetch_next(target->session, &message, err)) == 1) {
		uint32_t uid = message->item->uid;
		if (uid > above) {
			if (listed != NULL)
				uidset_add(listed, uid, uid);
			if (without == NULL || !uidset_has(without, uid))
				add_found(look, message);
		}
		message_free(&message);
	}
	if (look->count > 0)
		qsort(look->found, look->count, sizeof *look->found, by_uid);
	return ret;
}

static struct match_found *
find(struct look *look, uint32_t uid)
{
	struct match_found key = { .uid = uid };

	return look->count == 0 ? NULL
				: bsearch(&key, look->found, look->count, sizeof key, by_uid);
}

static int
digest_some(struct lane *lane, const struct folder *folder, struct look *look, bool heads,
	struct err *err)
{
	struct side *target = &lane->target;
	uint64_t limit = 2 * lane->job->run->stream_limit;
	struct uidset set = { 0 };
	struct message *message;
	int ret = 0;

	for (size_t i = 0; i < look->count; i++)
		if ((look->found[i].size > limit) == heads)
			uidset_add(&set, look->found[i].uid, look->found[i].uid);
	if (set.count == 0)
		return 0;
	ret = target->c->fetch_start(
		target->session, folder, &set, heads ? FETCH_HEAD : FETCH_DIGEST, err);
	while (ret == 0 && (ret = target->c->fetch_next(target->session, &message, err)) == 1) {
		struct match_found *f = find(look, message->item->uid);
		if (f != NULL) {
			f->digests = message->digests;
			f->head_only = heads;
			if (!heads)
				f->size = message->digests.bytes;
		}
		message_free(&message);
		ret = 0;
	}
	uidset_clear(&set);
	return ret;
}

int
look_above(struct lane *lane, const struct folder *folder, uint32_t above,
	const struct uidset *without, enum look_what what, struct match_found **found_r,
	size_t *count_r, struct uidset *listed_r, struct err *err)
{
	struct look look = { 0 };

	*found_r = NULL;
	*count_r = 0;
	if (above == UINT32_MAX)
		return 0;
	if (list_meta(lane, folder, above, without, &look, listed_r, err) < 0 ||
		(what == LOOK_DIGESTS &&
			(digest_some(lane, folder, &look, false, err) < 0 ||
				digest_some(lane, folder, &look, true, err) < 0))) {
		free(look.found);
		return -1;
	}
	*found_r = look.found;
	*count_r = look.count;
	return 0;
}

int
look_digests(struct lane *lane, const struct folder *folder, const struct uidset *uids,
	struct match_found **found_r, size_t *count_r, struct err *err)
{
	struct side *target = &lane->target;
	struct look look = { 0 };
	struct message *message;
	int ret = target->c->fetch_start(target->session, folder, uids, FETCH_DIGEST, err);

	*found_r = NULL;
	*count_r = 0;
	while (ret == 0 && (ret = target->c->fetch_next(target->session, &message, err)) == 1) {
		add_found(&look, message);
		look.found[look.count - 1].digests = message->digests;
		look.found[look.count - 1].size = message->digests.bytes;
		message_free(&message);
		ret = 0;
	}
	if (ret < 0) {
		free(look.found);
		return -1;
	}
	if (look.count > 0)
		qsort(look.found, look.count, sizeof *look.found, by_uid);
	*found_r = look.found;
	*count_r = look.count;
	return 0;
}
