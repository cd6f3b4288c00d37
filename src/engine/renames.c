/* renames.c - the ledger's rows of folders that do not stand where they stood.
 *
 * A folder is told by its UIDVALIDITY and its messages, or by its MAILBOXID. One with another name
 * goes on into its first target folder; one with another UIDVALIDITY is left to rematch.c; what has
 * gone is named, and nothing is removed. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/folders_private.h"

#include "base/banned.h"

#define KNOWN_MAX      ((size_t)1000) /* messages that tell a renamed folder */
#define PROBES         16
#define PROBE_MESSAGES ((size_t)50)
#define PROBE_DIGESTS  ((size_t)3) /* messages that are read, where sizes differ */

void
renames_set(char **to, const char *from)
{
	free(*to);
	*to = from != NULL ? xstrdup(from) : NULL;
}

/* The row's folder stands where it stood: same name, same UIDVALIDITY, and nothing speaks against
 * it. */
static bool
is_in_place(const struct prepare *p, const struct ledger_folder *row)
{
	const struct folder *now = folder_list_find(&p->job->source_folders, row->source_key);

	if (!is_listed(now) || p->moved[row - p->rows])
		return false;
	return now->uidvalidity == row->source_uidvalidity || !has_numbers(now);
}

/* Another row's folder, standing where it stood. */
static bool
is_taken(const struct prepare *p, const struct folder *folder)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (row_is_current(&p->rows[i], folder) && is_in_place(p, &p->rows[i]))
			return true;
	return false;
}

/* What the ledger knows of a message of the source; size 0: not known. */
struct known {
	uint32_t uid;
	uint64_t size;
	int64_t received;
	unsigned char digest[DIGEST_SIZE]; /* zero: not known */
	bool other_size;                   /* found, with its date and another size */
};

/* A look into a folder: does it hold the messages that the ledger knows of a row? */
struct probe {
	size_t row;
	const struct folder *folder;
	struct known *known;
	size_t count;
	size_t same, other_size;
	bool other; /* one is another message: that is proof */
};

static void
add_known(struct probe *probe, uint32_t uid, uint64_t size, int64_t received,
	const unsigned char *digest)
{
	struct known *known = &probe->known[probe->count++];

	known->uid = uid;
	known->size = size;
	known->received = received;
	memcpy(known->digest, digest, DIGEST_SIZE);
}

/* Up to `most` messages of the row: those with an end and those on their way. */
static int
load_known(struct prepare *p, const struct ledger_folder *row, size_t most, struct probe *probe,
	struct err *err)
{
	struct ledger_item *items;
	size_t count;

	probe->known = xcalloc(most, sizeof *probe->known);
	if (ledger_items(p->job->ledger, row->id, 1, UINT32_MAX, most, &items, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (items[i].state == ITEM_FAILED || items[i].state == ITEM_VANISHED)
			continue; /* perhaps never seen: no date, no size */
		add_known(probe, items[i].uid, items[i].state == ITEM_LANDED ? items[i].size : 0,
			items[i].received, items[i].digest);
	}
	ledger_items_free(items, count);
	for (size_t b = 0; b < p->doubt_count; b++) {
		const struct ledger_batch *batch = &p->doubts[b];
		for (size_t i = 0;
			batch->folder == row->id && i < batch->count && probe->count < most; i++)
			add_known(probe, batch->entries[i].uid, batch->entries[i].received_size,
				batch->entries[i].source_received,
				batch->entries[i].received_digest);
	}
	return 0;
}

/* Asks for the UIDs, sizes and dates; probe_end() takes the answers, in the order of the starts. */
static int
probe_start(struct prepare *p, const struct ledger_folder *row, const struct folder *folder,
	size_t most, struct probe *probe, struct err *err)
{
	struct side *source = &p->job->main.source;
	struct uidset set = { 0 };
	int ret = load_known(p, row, most, probe, err);

	probe->folder = folder;
	for (size_t i = 0; i < probe->count; i++)
		uidset_add(&set, probe->known[i].uid, probe->known[i].uid);
	if (ret == 0 && probe->count > 0)
		ret = source->c->fetch_start(source->session, folder, &set, FETCH_META, err);
	uidset_clear(&set);
	return ret;
}

static void
probe_message(struct probe *probe, const struct item *item)
{
	for (size_t i = 0; i < probe->count; i++) {
		struct known *known = &probe->known[i];
		if (known->uid != item->uid)
			continue;
		if (known->received != item->received)
			probe->other = true;
		else if (known->size == 0 || known->size == item->size)
			probe->same++;
		else
			known->other_size = true;
		probe->other_size += known->other_size;
		break;
	}
}

static int
probe_end(struct prepare *p, struct probe *probe, struct err *err)
{
	struct side *source = &p->job->main.source;
	struct message *message;
	int ret = 0;

	while (probe->count > 0 &&
		(ret = source->c->fetch_next(source->session, &message, err)) == 1) {
		probe_message(probe, message->item);
		message_free(&message);
	}
	return ret;
}

/* A size is a hint: some servers estimate it. A few of those that differ are read. */
static int
probe_sizes(struct prepare *p, struct probe *probe, struct err *err)
{
	static const unsigned char zero[DIGEST_SIZE];
	struct side *source = &p->job->main.source;
	struct uidset set = { 0 };
	struct message *message;
	size_t picked = 0;
	int ret;

	for (size_t i = 0; i < probe->count && picked < PROBE_DIGESTS; i++)
		if (probe->known[i].other_size &&
			memcmp(probe->known[i].digest, zero, DIGEST_SIZE) != 0) {
			uidset_add(&set, probe->known[i].uid, probe->known[i].uid);
			picked++;
		}
	if (probe->other || probe->other_size == 0 || picked == 0) {
		probe->other = probe->other || probe->other_size > 0;
		uidset_clear(&set);
		return 0;
	}
	ret = source->c->fetch_start(source->session, probe->folder, &set, FETCH_DIGEST, err);
	uidset_clear(&set);
	while (ret == 0 && (ret = source->c->fetch_next(source->session, &message, err)) == 1) {
		for (size_t i = 0; i < probe->count; i++)
			if (probe->known[i].uid == message->item->uid) {
				bool same = memcmp(probe->known[i].digest, message->digests.exact,
						    DIGEST_SIZE) == 0;
				probe->same += same;
				probe->other = probe->other || !same;
			}
		message_free(&message);
		ret = 0;
	}
	return ret;
}

/* One message that differs is proof against it. *known_r: there was something to compare. */
static int
holds_known(struct prepare *p, const struct ledger_folder *row, const struct folder *folder,
	bool *known_r, bool *holds_r, struct err *err)
{
	struct probe probe = { 0 };
	int ret = probe_start(p, row, folder, KNOWN_MAX, &probe, err);

	if (ret == 0)
		ret = probe_end(p, &probe, err);
	if (ret == 0)
		ret = probe_sizes(p, &probe, err);
	*known_r = probe.count > 0;
	*holds_r = probe.same > 0 && !probe.other;
	free(probe.known);
	return ret;
}

static bool
has_row(const struct prepare *p, const struct folder *folder)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (row_is_current(&p->rows[i], folder))
			return true;
	return false;
}

/* A UIDVALIDITY tells folders of one name apart; some servers make it from the clock, so that
 * folders made in one second share it and may change names behind it. */
static bool
shares_uidvalidity(const struct prepare *p, const struct ledger_folder *row)
{
	const struct folder_list *list = &p->job->source_folders;

	for (size_t i = 0; i < p->row_count; i++)
		if (&p->rows[i] != row && p->rows[i].source_uidvalidity == row->source_uidvalidity)
			return true;
	for (size_t i = 0; i < list->count; i++)
		if (is_listed(&list->folders[i]) &&
			list->folders[i].uidvalidity == row->source_uidvalidity &&
			!has_row(p, &list->folders[i]))
			return true;
	return false;
}

static const struct folder *
folder_of(const struct prepare *p, const struct ledger_folder *row)
{
	return folder_list_find(&p->job->source_folders, row->source_key);
}

/* All folders of this UIDVALIDITY bear names that such folders had, and none has another name. */
static bool
find_names_stand(const struct prepare *p, uint32_t uidvalidity)
{
	const struct folder_list *list = &p->job->source_folders;

	for (size_t i = 0; i < p->row_count; i++)
		if (p->rows[i].source_uidvalidity == uidvalidity && p->rows[i].gone_round == 0 &&
			!is_in_place(p, &p->rows[i]))
			return false;
	for (size_t i = 0; i < list->count; i++)
		if (is_listed(&list->folders[i]) && list->folders[i].uidvalidity == uidvalidity &&
			!has_row(p, &list->folders[i]))
			return false;
	return true;
}

/* Kept, since all folders may have one UIDVALIDITY; nothing is moved while it is asked. */
static bool
names_stand(struct prepare *p, uint32_t uidvalidity)
{
	if (p->stand_of != uidvalidity || uidvalidity == 0) {
		p->stand_of = uidvalidity;
		p->stand = find_names_stand(p, uidvalidity);
	}
	return p->stand;
}

/* Another row of this UIDVALIDITY was last seen with the same numbers. */
static bool
has_twin(const struct prepare *p, const struct ledger_folder *row)
{
	for (size_t i = 0; i < p->row_count; i++) {
		const struct ledger_seen *other = &p->rows[i].seen;

		if (&p->rows[i] != row &&
			p->rows[i].source_uidvalidity == row->source_uidvalidity &&
			other->uidnext == row->seen.uidnext && other->modseq == row->seen.modseq &&
			other->messages == row->seen.messages)
			return true;
	}
	return false;
}

/* Folders of one UIDVALIDITY that have changed names among each other tell other numbers than those
 * their names were last seen with: numbers only grow, so in a ring of such names all are the same
 * only if all were the same before. So one that tells its own old numbers is where it was, unless a
 * twin of it is there, or another folder of its UIDVALIDITY has been found to have moved. */
static bool
stands_by_numbers(struct prepare *p, const struct ledger_folder *row)
{
	return seen_unchanged(folder_of(p, row), &row->seen) && !has_twin(p, row) &&
	       names_stand(p, row->source_uidvalidity);
}

/* Nothing known of a row that had messages was in its folder: that proves nothing, so the others of
 * its UIDVALIDITY are looked at as well. */
static bool
is_probed(struct prepare *p, const struct ledger_folder *row, bool all)
{
	if (p->probed[row - p->rows] || !is_in_place(p, row) || !shares_uidvalidity(p, row) ||
		!has_numbers(folder_of(p, row)))
		return false;
	if (!all)
		return !stands_by_numbers(p, row);
	for (size_t i = 0; i < p->row_count; i++)
		if (p->doubtful[i] && p->rows[i].source_uidvalidity == row->source_uidvalidity)
			return true;
	return false;
}

/* Some of the messages of up to PROBES rows are looked at in one round trip. */
static int
probe_some(struct prepare *p, size_t *at, bool all, struct err *err)
{
	struct probe probes[PROBES] = { { 0 } };
	size_t count = 0;
	int ret = 0;

	for (; ret == 0 && *at < p->row_count && count < PROBES; ++*at) {
		const struct ledger_folder *row = &p->rows[*at];
		if (!is_probed(p, row, all))
			continue;
		p->probed[*at] = true;
		probes[count].row = *at;
		ret = probe_start(p, row, folder_of(p, row), PROBE_MESSAGES, &probes[count++], err);
	}
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = probe_end(p, &probes[i], err);
	for (size_t i = 0; i < count; i++) {
		if (ret == 0)
			ret = probe_sizes(p, &probes[i], err);
		p->moved[probes[i].row] = ret == 0 && probes[i].other;
		p->doubtful[probes[i].row] =
			probes[i].other || (probes[i].count > 0 && probes[i].same == 0);
		free(probes[i].known);
	}
	return ret;
}

/* The folder that the row's is called now: with its UIDVALIDITY and its messages; where it has
 * none, or another UIDVALIDITY, its MAILBOXID decides. *found_r: NULL = there is none. */
static int
find_renamed(struct prepare *p, const struct ledger_folder *row, const struct folder **found_r,
	struct err *err)
{
	const struct folder_list *list = &p->job->source_folders;

	*found_r = NULL;
	for (size_t i = 0; i < list->count && *found_r == NULL; i++) {
		const struct folder *f = &list->folders[i];
		bool known, holds, same_id;
		same_id = f->mailboxid != NULL && row->source_mailboxid != NULL &&
			  strcmp(f->mailboxid, row->source_mailboxid) == 0;
		if (!is_listed(f) || f->space != SPACE_PERSONAL || is_taken(p, f))
			continue;
		if (f->uidvalidity != row->source_uidvalidity) {
			if (same_id && !row_is_current(row, f))
				*found_r = f;
			continue;
		}
		if (holds_known(p, row, f, &known, &holds, err) < 0)
			return -1;
		if (holds || (!known && same_id))
			*found_r = f;
	}
	return 0;
}

static char *
shown(const struct folder *folder)
{
	struct str s;

	str_init(&s, 0);
	folder_show(&s, (const char *const *)folder->parts, folder->part_count);
	return str_take(&s);
}

/* The scan will tell which of its messages are not. */
static int
there_again(struct prepare *p, struct ledger_folder *row, struct err *err)
{
	if (rows_mark_gone(p->job, row->id, 0, err) < 0)
		return -1;
	row->gone_round = 0;
	row->seen.uidnext = 0;
	return ledger_folder_put(p->job->ledger, row, err);
}

static int
follow_renamed(
	struct prepare *p, struct ledger_folder *row, const struct folder *now, struct err *err)
{
	char *name = shown(now);

	job_note(p->job, name, EVENT_NOTE, ERR_NONE,
		"renamed at the source, was %s: goes on into %s", row->source_name,
		row->target_name);
	for (size_t i = 0; i < p->row_count; i++)
		if (p->rows[i].rematch && strcmp(p->rows[i].source_key, row->source_key) == 0) {
			renames_set(&p->rows[i].source_key, now->key);
			if (ledger_folder_put(p->job->ledger, &p->rows[i], err) < 0) {
				free(name);
				return -1;
			}
		}
	renames_set(&row->renamed_from, row->source_name);
	renames_set(&row->source_key, now->key);
	renames_set(&row->source_name, name);
	row->seen.uidnext = 0;
	p->moved[row - p->rows] = false;
	free(name);
	return row->gone_round != 0 ? there_again(p, row, err)
				    : ledger_folder_put(p->job->ledger, row, err);
}

static uint64_t
on_their_way(const struct prepare *p, const struct ledger_folder *row)
{
	uint64_t count = 0;

	for (size_t b = 0; b < p->doubt_count; b++)
		if (p->doubts[b].folder == row->id)
			count += p->doubts[b].count;
	return count;
}

/* What was found in the folder and not read before it went cannot be had any more: it is named, and
 * no longer waited for. */
static int
say_gone(struct prepare *p, struct ledger_folder *row, struct err *err)
{
	struct job *job = p->job;
	uint64_t ended = on_their_way(p, row);

	for (int s = 1; s < ITEM_STATES; s++)
		ended += row->counts.by_state[s];
	if (row->counts.found > ended)
		job_note(job, row->source_name, EVENT_WARNING, ERR_NONE,
			"no longer at the source; %llu of its messages were not copied before it "
			"went; nothing is removed from the target",
			(unsigned long long)(row->counts.found - ended));
	else
		job_note(job, row->source_name, EVENT_NOTE, ERR_NONE,
			"no longer at the source; nothing is removed from the target");
	/* Also more than was found: it went before its scan had come to an end. */
	if (row->counts.found != ended)
		ledger_folder_found(
			job->ledger, row->id, ended, row->counts.bytes_landed, row->scanned_round);
	row->gone_round = job->local->round;
	row->rematch = false;
	row->seen.uidnext = 0;
	if (rows_mark_gone(job, row->id, job->local->round, err) < 0)
		return -1;
	return ledger_folder_put(job->ledger, row, err);
}

/* What is in doubt of folders that do not stand where they stood is settled before anything is made
 * of their rows; the rows are read again afterwards. */
static int
settle_rows(struct prepare *p, struct err *err)
{
	struct job *job = p->job;
	bool any = false;

	for (size_t i = 0; i < p->row_count; i++) {
		const struct ledger_folder *row = &p->rows[i];
		const struct folder *there =
			folder_list_find(&job->target_folders, row->target_key);
		if (is_in_place(p, row) || on_their_way(p, row) == 0 || !is_listed(there))
			continue;
		if (settle_stale(job, row, there, err) < 0)
			return -1;
		any = true;
	}
	if (!any)
		return 0;
	ledger_batches_free(p->doubts, p->doubt_count);
	ledger_folders_free(p->rows, p->row_count);
	p->doubts = NULL;
	p->rows = NULL;
	p->doubt_count = p->row_count = 0;
	if (ledger_flush(job->ledger, err) < 0 ||
		ledger_folders(job->ledger, job->account->id, &p->rows, &p->row_count, err) < 0)
		return -1;
	return ledger_doubts(job->ledger, job->account->id, &p->doubts, &p->doubt_count, err);
}

/* Its items are looked for in the folder that has its name now: see prepare_folder(). */
static bool
is_rematched(const struct prepare *p, const struct ledger_folder *row)
{
	return row->rematch && row->gone_round == 0 &&
	       is_listed(folder_list_find(&p->job->source_folders, row->source_key));
}

static int
find_renames(struct prepare *p, struct err *err)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		const struct folder *now = NULL;
		if (is_in_place(p, row) || is_rematched(p, row))
			continue;
		if (find_renamed(p, row, &now, err) < 0 ||
			(now != NULL && follow_renamed(p, row, now, err) < 0))
			return -1;
	}
	return 0;
}

/* The folder has a UIDVALIDITY that it had before: what came into it meanwhile, under another row,
 * is looked for in it first. */
static int
find_returned(struct prepare *p, struct err *err)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		const struct folder *now =
			folder_list_find(&p->job->source_folders, row->source_key);
		if (row->gone_round == 0 || !is_in_place(p, row) || !has_numbers(now))
			continue;
		for (size_t k = 0; k < p->row_count; k++) {
			struct ledger_folder *other = &p->rows[k];
			if (other->gone_round != 0 || other->rematch || is_in_place(p, other) ||
				strcmp(other->source_key, row->source_key) != 0)
				continue;
			other->rematch = true;
			if (ledger_folder_put(p->job->ledger, other, err) < 0)
				return -1;
		}
		if (there_again(p, row, err) < 0)
			return -1;
	}
	return 0;
}

/* Renames first, so that a name which another folder bears by now is told from a folder that was
 * made anew (its rows are looked for in it: rematch.c). */
static int
follow_rows(struct prepare *p, struct err *err)
{
	if (find_renames(p, err) < 0 || find_returned(p, err) < 0 || settle_rows(p, err) < 0)
		return -1;
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		const struct folder *now =
			folder_list_find(&p->job->source_folders, row->source_key);
		if (row->gone_round != 0 || is_in_place(p, row) || is_rematched(p, row) ||
			(is_listed(now) && !is_taken(p, now)))
			continue;
		if (say_gone(p, row, err) < 0)
			return -1;
	}
	return 0;
}

int
renames_follow(struct prepare *p, struct err *err)
{
	size_t at = 0;
	int ret;

	if (p->job->readonly || p->row_count == 0)
		return 0;
	if (ledger_doubts(p->job->ledger, p->job->account->id, &p->doubts, &p->doubt_count, err) <
		0)
		return -1;
	p->moved = xcalloc(p->row_count, sizeof *p->moved);
	p->probed = xcalloc(p->row_count, sizeof *p->probed);
	p->doubtful = xcalloc(p->row_count, sizeof *p->doubtful);
	do
		ret = probe_some(p, &at, false, err);
	while (ret == 0 && at < p->row_count);
	for (at = 0; ret == 0 && at < p->row_count;)
		ret = probe_some(p, &at, true, err);
	if (ret == 0)
		ret = follow_rows(p, err);
	free(p->moved);
	free(p->probed);
	free(p->doubtful);
	ledger_batches_free(p->doubts, p->doubt_count);
	return ret;
}
