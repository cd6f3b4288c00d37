/* aside.c - what the writer does with nothing in flight: learning the UIDs that a target does not
 * tell, looking whether a refused batch was stored in part, comparing what a target is known to
 * change by itself (NUL, line ends) with what lies there, flag changes. */
#include <stdlib.h>
#include <string.h>

#include "engine/writer_private.h"

#include "base/banned.h"

/* Servers store these otherwise than they were sent (Dovecot 2.3: a bare LF as CRLF, a NUL as
 * 0x80) and say nothing. */
static bool
may_be_changed(const struct store_entry *entry)
{
	return entry->state == STORE_DONE && entry->uid != 0 && entry->steps == 0 &&
	       (entry->message->digests.traits & (TRAIT_NUL | TRAIT_BARE_LF | TRAIT_BARE_CR)) != 0;
}

bool
aside_may_be_changed(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (may_be_changed(&batch->entries[i]))
			return true;
	return false;
}

static void
note_change(struct writer *w, const struct batch *batch, struct store_entry *entry,
	const struct digests *there)
{
	const struct work_folder *wf = batch->owner;
	unsigned char sent[DIGEST_SIZE];

	if (spool_is_ring(entry->message->body))
		spool_digest(entry->message->body, sent);
	else
		memcpy(sent, entry->message->digests.exact, DIGEST_SIZE);
	if (memcmp(sent, there->exact, DIGEST_SIZE) == 0)
		return;
	if (entry->sent == NULL)
		entry->sent = xcalloc(1, sizeof *entry->sent);
	*entry->sent = *there;
	entry->reason = REASON_REPAIRED;
	log_line(w->job->log, LOG_INFO, w->job->name, wf->plan->source_name,
		"uid %u: the target stores it changed", (unsigned)entry->message->item->uid);
}

/* Reads what may have been changed back; the row then has both digests. Nothing is in flight. */
static int
compare(struct writer *w, struct batch *batch, struct err *err)
{
	struct uidset uids = { 0 };
	struct match_found *found;
	size_t count;
	int ret;

	for (size_t i = 0; i < batch->count; i++)
		if (may_be_changed(&batch->entries[i]))
			uidset_add(&uids, batch->entries[i].uid, batch->entries[i].uid);
	if (uids.count == 0)
		return 0;
	ret = look_digests(w->lane, batch->folder, &uids, &found, &count, err);
	for (size_t i = 0; ret == 0 && i < batch->count; i++)
		for (size_t k = 0; k < count && may_be_changed(&batch->entries[i]); k++)
			if (found[k].uid == batch->entries[i].uid) {
				note_change(w, batch, &batch->entries[i], &found[k].digests);
				break;
			}
	if (ret == 0)
		free(found);
	uidset_clear(&uids);
	return ret;
}

/* From here on nobody else's search may take these for its own. */
void
aside_note_uids(struct writer *w, const struct batch *batch, bool told)
{
	struct work_folder *wf = batch->owner;

	pthread_mutex_lock(&w->job->lock);
	for (size_t i = 0; i < batch->count; i++) {
		uint32_t uid = batch->entries[i].uid;
		if (batch->entries[i].state != STORE_DONE || uid == 0)
			continue;
		wf->shared += told && uidset_has(&wf->ours, uid);
		uidset_add(&wf->ours, uid, uid);
	}
	pthread_mutex_unlock(&w->job->lock);
}

static bool
all_stored(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].state != STORE_DONE)
			return false;
	return true;
}

/* What lies in the folder is to be searched for this batch: not once another lane has written to
 * it, whose messages may be equal and on their way. What was answered has landed, with its UID if
 * that was told; the rest is left in doubt, and the next attempt settles it and divides no folder.
 */
void
aside_add(struct writer *w, struct list *list, struct batch **batch)
{
	const struct work_folder *wf = (*batch)->owner;

	if (part_keep_whole(w->job, (*batch)->owner)) {
		list_add_batch(list, *batch);
		*batch = NULL;
		return;
	}
	if (all_stored(*batch)) {
		writer_close(w, *batch);
		return;
	}
	writer_land(w, *batch, false);
	log_line(w->job->log, LOG_INFO, w->job->name, wf->plan->source_name,
		"was divided and has to be searched: begun anew, with whole folders");
	w->job->account->whole_folders = true;
	w->job->restart = true;
}

static bool
same_order(struct batch *batch, const struct match_found *found, size_t *at, size_t count)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct store_entry *entry = &batch->entries[i];
		uint64_t size =
			entry->sent != NULL ? entry->sent->bytes : entry->message->body_bytes;
		if (entry->state != STORE_DONE)
			continue;
		if (*at == count || found[*at].size != size)
			return false;
		entry->uid = found[(*at)++].uid;
	}
	return true;
}

/* UIDs by digest; what is not found stays without one. */
static int
learn_by_digest(
	struct writer *w, struct batch *batch, const struct uidset *without, struct err *err)
{
	struct match_found *found;
	struct match_row *rows;
	size_t count;

	if (look_above(w->lane, batch->folder, batch->bound, without, LOOK_DIGESTS, &found, &count,
		    NULL, err) < 0)
		return -1;
	rows = xcalloc(batch->count + 1, sizeof *rows);
	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].state == STORE_DONE)
			intent_match_row(&batch->entries[i], &rows[i]);
	match_rows(rows, batch->count, found, count);
	for (size_t i = 0; i < batch->count; i++)
		batch->entries[i].uid = rows[i].uid;
	free(rows);
	free(found);
	return 0;
}

/* A server without UIDPLUS: the UIDs above the bound, in the order sent if the sizes say so. */
static int
learn_uids(struct writer *w, struct batch *batch, struct err *err)
{
	struct work_folder *wf = batch->owner;
	struct match_found *found;
	size_t count, at = 0;
	int ret = 0;

	if (look_above(w->lane, batch->folder, batch->bound, &wf->ours, LOOK_META, &found, &count,
		    NULL, err) < 0)
		return -1;
	if (!same_order(batch, found, &at, count) || at != count)
		ret = learn_by_digest(w, batch, &wf->ours, err);
	aside_note_uids(w, batch, false);
	free(found);
	return ret;
}

/* Was a part of a refused batch stored all the same? What was is landed. */
static int
look_for_part(struct writer *w, struct batch *batch, struct err *err)
{
	struct work_folder *wf = batch->owner;
	struct match_found *found;
	struct match_row *rows;
	size_t count;

	if (look_above(w->lane, batch->folder, batch->bound, &wf->ours, LOOK_DIGESTS, &found,
		    &count, NULL, err) < 0)
		return -1;
	rows = xcalloc(batch->count + 1, sizeof *rows);
	for (size_t i = 0; i < batch->count; i++)
		intent_match_row(&batch->entries[i], &rows[i]);
	match_rows(rows, batch->count, found, count);
	for (size_t i = 0; i < batch->count; i++)
		if (rows[i].uid != 0) {
			batch->entries[i].uid = rows[i].uid;
			batch->entries[i].state = STORE_DONE;
		}
	aside_note_uids(w, batch, false);
	free(rows);
	free(found);
	return 0;
}

bool
aside_any(const struct writer *w)
{
	return w->learn.first != NULL || w->look.first != NULL || w->compare.first != NULL ||
	       w->changes.first != NULL;
}

/* The batch's UIDs are known: compared, closed, what was refused of it split. */
static int
finish_aside(struct writer *w, struct batch *batch, struct err *err)
{
	bool refused = false;

	if (compare(w, batch, err) < 0)
		return -1;
	writer_close(w, batch);
	for (size_t i = 0; i < batch->count; i++)
		refused = refused || batch->entries[i].state == STORE_REFUSED;
	return refused ? writer_split(w, batch, err) : 0;
}

int
aside_do(struct writer *w, struct err *err)
{
	int ret = writer_take_all(w, err);
	struct node node;

	while (ret == 0 && list_take(&w->learn, &node)) {
		ret = learn_uids(w, node.batch, err);
		if (ret == 0 && writer_any_bare_no(node.batch))
			ret = look_for_part(w, node.batch, err);
		if (ret == 0)
			ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->look, &node)) {
		ret = look_for_part(w, node.batch, err);
		if (ret == 0)
			ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->compare, &node)) {
		ret = finish_aside(w, node.batch, err);
		drop_batch(&node.batch);
	}
	while (ret == 0 && list_take(&w->changes, &node)) {
		ret = flags_apply(w->lane, node.work, err);
		work_free(node.work);
	}
	return ret;
}
