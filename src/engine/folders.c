/* folders.c - from two folder lists and the ledger to folders ready to work on.
 *
 * Everything that can be refused is refused here, before a byte of mail moves: collisions, target
 * folders that are not empty, folders that vanished at the target. Runs in the worker's thread
 * before the reader starts; every row is durable before the first intent. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/job.h"

#include "base/banned.h"

#define PLAIN_LEVELS   2              /* of folder_plain_part() */
#define KNOWN_MAX      ((size_t)1000) /* messages that tell a renamed folder */
#define PROBES         16
#define PROBE_MESSAGES ((size_t)50)

struct prepare {
	struct job *job;
	struct ledger_folder *rows; /* of the account */
	size_t row_count;
	/* While renames are followed: */
	struct ledger_batch *doubts;
	size_t doubt_count;
	bool *moved; /* by row: another folder has its name by now */
};

static int
place(void *context, struct arena *arena, const char *const *parts, size_t part_count,
	struct folder *folder_r, bool *changed_r, struct err *err)
{
	struct job *job = context;

	return job->target.c->folder_place(
		job->target.session, arena, parts, part_count, folder_r, changed_r, err);
}

static bool
is_listed(const struct folder *folder)
{
	return folder != NULL && (folder->flags & FOLDER_LISTED) &&
	       !(folder->flags & FOLDER_NOSELECT);
}

static bool
row_is_current(const struct ledger_folder *row, const struct folder *folder)
{
	return strcmp(row->source_key, folder->key) == 0;
}

/* ---- renamed and gone at the source ---- */

/* The row's folder stands where it stood: same name, same UIDVALIDITY, and nothing speaks against
 * it. */
static bool
is_in_place(const struct prepare *p, const struct ledger_folder *row)
{
	const struct folder *now = folder_list_find(&p->job->source_folders, row->source_key);

	return is_listed(now) && now->uidvalidity == row->source_uidvalidity &&
	       !p->moved[row - p->rows];
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
};

/* A look into a folder: does it hold the messages that the ledger knows of a row? */
struct probe {
	size_t row;
	struct known *known;
	size_t count, same, other;
};

/* Up to `most` messages of the row: those with an end and those on their way. */
static int
load_known(struct prepare *p, const struct ledger_folder *row, size_t most, struct probe *probe,
	struct err *err)
{
	struct known *known = xcalloc(most, sizeof *known);
	struct ledger_item *items;
	size_t count, n = 0;

	probe->known = known;
	if (ledger_items(p->job->ledger, row->id, 1, UINT32_MAX, most, &items, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (items[i].state == ITEM_FAILED || items[i].state == ITEM_VANISHED)
			continue; /* perhaps never seen: no date, no size */
		known[n].uid = items[i].uid;
		known[n].size = items[i].state == ITEM_LANDED ? items[i].size : 0;
		known[n++].received = items[i].received;
	}
	ledger_items_free(items, count);
	for (size_t b = 0; b < p->doubt_count; b++) {
		const struct ledger_batch *batch = &p->doubts[b];
		for (size_t i = 0; batch->folder == row->id && i < batch->count && n < most; i++) {
			known[n].uid = batch->entries[i].uid;
			known[n].size = batch->entries[i].received_size;
			known[n++].received = batch->entries[i].source_received;
		}
	}
	probe->count = n;
	return 0;
}

static bool
known_eq(const struct known *known, const struct item *item)
{
	return known->received == item->received && (known->size == 0 || known->size == item->size);
}

/* Asks for the UIDs, sizes and dates; probe_end() takes the answers, in the order of the starts. */
static int
probe_start(struct prepare *p, const struct ledger_folder *row, const struct folder *folder,
	size_t most, struct probe *probe, struct err *err)
{
	struct side *source = &p->job->source;
	struct uidset set = { 0 };
	int ret = load_known(p, row, most, probe, err);

	for (size_t i = 0; i < probe->count; i++)
		uidset_add(&set, probe->known[i].uid, probe->known[i].uid);
	if (ret == 0 && probe->count > 0)
		ret = source->c->fetch_start(source->session, folder, &set, FETCH_META, err);
	uidset_clear(&set);
	return ret;
}

static int
probe_end(struct prepare *p, struct probe *probe, struct err *err)
{
	struct side *source = &p->job->source;
	struct message *message;
	int ret = 0;

	while (probe->count > 0 &&
		(ret = source->c->fetch_next(source->session, &message, err)) == 1) {
		for (size_t i = 0; i < probe->count; i++)
			if (probe->known[i].uid == message->item->uid) {
				bool eq = known_eq(&probe->known[i], message->item);
				probe->same += eq;
				probe->other += !eq;
				break;
			}
		message_free(&message);
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
	*known_r = probe.count > 0;
	*holds_r = probe.same > 0 && probe.other == 0;
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

/* Some of the messages of up to PROBES rows are looked at in one round trip. */
static int
probe_some(struct prepare *p, size_t *at, struct err *err)
{
	struct probe probes[PROBES] = { { 0 } };
	size_t count = 0;
	int ret = 0;

	for (; ret == 0 && *at < p->row_count && count < PROBES; ++*at) {
		const struct ledger_folder *row = &p->rows[*at];
		if (!is_in_place(p, row) || !shares_uidvalidity(p, row))
			continue;
		probes[count].row = *at;
		ret = probe_start(p, row,
			folder_list_find(&p->job->source_folders, row->source_key), PROBE_MESSAGES,
			&probes[count++], err);
	}
	for (size_t i = 0; i < count; i++) {
		if (ret == 0)
			ret = probe_end(p, &probes[i], err);
		p->moved[probes[i].row] = ret == 0 && probes[i].other > 0;
		free(probes[i].known);
	}
	return ret;
}

/* The folder that the row's is called now: with its UIDVALIDITY and its messages; where it has
 * none, its MAILBOXID decides. *found_r: NULL = there is none. */
static int
find_renamed(struct prepare *p, const struct ledger_folder *row, const struct folder **found_r,
	struct err *err)
{
	const struct folder_list *list = &p->job->source_folders;

	*found_r = NULL;
	for (size_t i = 0; i < list->count && *found_r == NULL; i++) {
		const struct folder *f = &list->folders[i];
		bool known, holds, same_id;
		if (!is_listed(f) || f->space != SPACE_PERSONAL ||
			f->uidvalidity != row->source_uidvalidity || is_taken(p, f))
			continue;
		if (holds_known(p, row, f, &known, &holds, err) < 0)
			return -1;
		same_id = f->mailboxid != NULL && row->source_mailboxid != NULL &&
			  strcmp(f->mailboxid, row->source_mailboxid) == 0;
		if (holds || (!known && same_id))
			*found_r = f;
	}
	return 0;
}

static void
set_string(char **to, const char *from)
{
	free(*to);
	*to = from != NULL ? xstrdup(from) : NULL;
}

static const char *
arena_show(struct arena *arena, const struct folder *folder)
{
	struct str s;
	const char *text;

	str_init(&s, 0);
	folder_show(&s, (const char *const *)folder->parts, folder->part_count);
	text = arena_strdup(arena, str_get(&s));
	str_clear(&s);
	return text;
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
	struct uidset all = { 0 };

	uidset_add(&all, 1, UINT32_MAX);
	ledger_items_gone(p->job->ledger, row->id, &all, 0);
	uidset_clear(&all);
	row->gone_round = 0;
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
	set_string(&row->renamed_from, row->source_name);
	set_string(&row->source_key, now->key);
	set_string(&row->source_name, name);
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
	struct uidset all = { 0 };
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
	uidset_add(&all, 1, UINT32_MAX);
	ledger_items_gone(job->ledger, row->id, &all, job->local->round);
	uidset_clear(&all);
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

/* A row whose items were being looked for in a folder of another UIDVALIDITY when the run ended:
 * prepare_folder() goes on with it. */
static bool
is_rematched(const struct prepare *p, const struct ledger_folder *row)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (p->rows[i].rematch == row->id)
			return true;
	return false;
}

/* Renames first, so that a name which another folder bears by now is told from a folder that was
 * made anew (its rows are looked for in it: rematch.c). */
static int
follow_rows(struct prepare *p, struct err *err)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		const struct folder *now = NULL;
		if ((is_in_place(p, row) && row->gone_round == 0) || is_rematched(p, row))
			continue;
		if (is_in_place(p, row)) {
			if (there_again(p, row, err) < 0)
				return -1;
			continue;
		}
		if (find_renamed(p, row, &now, err) < 0 ||
			(now != NULL && follow_renamed(p, row, now, err) < 0))
			return -1;
	}
	if (settle_rows(p, err) < 0)
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

static int
follow_renames(struct prepare *p, struct err *err)
{
	size_t at = 0;
	int ret;

	if (p->job->readonly || p->row_count == 0)
		return 0;
	if (ledger_doubts(p->job->ledger, p->job->account->id, &p->doubts, &p->doubt_count, err) <
		0)
		return -1;
	p->moved = xcalloc(p->row_count, sizeof *p->moved);
	do
		ret = probe_some(p, &at, err);
	while (ret == 0 && at < p->row_count);
	if (ret == 0)
		ret = follow_rows(p, err);
	free(p->moved);
	ledger_batches_free(p->doubts, p->doubt_count);
	return ret;
}

/* ---- planning ---- */

static int
make_plan(struct prepare *p, struct err *err)
{
	struct job *job = p->job;
	struct plan_known *known = xcalloc(p->row_count + 1, sizeof *known);
	struct plan_input in = { 0 };
	int ret;

	for (size_t i = 0; i < p->row_count; i++) {
		if (p->rows[i].gone_round != 0)
			continue;
		known[in.known_count].source_key = p->rows[i].source_key;
		known[in.known_count++].target_key = p->rows[i].target_key;
	}
	in.rules = &job->config->profile->folders;
	in.source = &job->source_folders;
	in.target = &job->target_folders;
	in.known = known;
	in.place = place;
	in.place_context = job;
	ret = plan_make(&in, &job->plan, err);
	free(known);
	return ret;
}

static struct ledger_folder *
row_of(struct prepare *p, const struct folder *source, bool same_uidvalidity)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		bool same = row->source_uidvalidity == source->uidvalidity;
		if (row_is_current(row, source) && same == same_uidvalidity && row->gone_round == 0)
			return row;
	}
	return NULL;
}

static struct ledger_folder *
row_by_id(struct prepare *p, uint64_t id)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (id != 0 && p->rows[i].id == id)
			return &p->rows[i];
	return NULL;
}

/* A target folder that an earlier row went into: what lies there is known. */
static bool
is_ours(const struct prepare *p, const char *target_key)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (strcmp(p->rows[i].target_key, target_key) == 0)
			return true;
	return false;
}

/* A target folder that is new to us and holds mail already. */
static int
check_foreign(struct prepare *p, const struct plan_folder *pf, struct err *err)
{
	if (!pf->exists || pf->target.messages == 0 || p->job->run->existing == EXISTING_ADD ||
		is_ours(p, pf->target.key))
		return 0;
	return err_set(err, ERR_NOTEMPTY,
		"target folder %s holds %u messages that are not from here; existing = add in "
		"[run] would add to them",
		pf->target_name, (unsigned)pf->target.messages);
}

/* What is there and not ours is refused, or left alone and added to, as the profile says. */
static int
check_existing(struct prepare *p, struct err *err)
{
	struct job *job = p->job;

	for (size_t i = 0; i < job->plan.work_count; i++) {
		const struct plan_folder *pf = &job->plan.folders[i];
		const struct ledger_folder *row = row_of(p, &pf->source, true);
		if (row == NULL)
			row = row_of(p, &pf->source, false);
		if (row != NULL && !pf->exists &&
			row->counts.by_state[ITEM_LANDED] + row->counts.by_state[ITEM_VERIFIED] > 0)
			return err_set(err, ERR_NAME,
				"target folder %s, into which %llu messages went, is no longer "
				"there",
				row->target_name,
				(unsigned long long)row->counts.by_state[ITEM_LANDED]);
		if (row == NULL && check_foreign(p, pf, err) < 0)
			return -1;
	}
	return 0;
}

struct missing {
	struct folder *folders; /* as the connector wants them */
	struct plan_folder **of;
	bool *made;
	struct err *errs;
	size_t count;
};

static void
missing_clear(struct missing *m)
{
	free(m->folders);
	free(m->of);
	free(m->made);
	free(m->errs);
}

static struct plan_folder *
planned_for(struct job *job, const char *target_key)
{
	for (size_t i = 0; i < job->plan.work_count; i++)
		if (strcmp(job->plan.folders[i].target.key, target_key) == 0)
			return &job->plan.folders[i];
	return NULL;
}

/* The target refuses the name: a plainer one, if that makes a difference and is free. */
static int
plainer_name(struct prepare *p, struct plan_folder *pf, const struct err *why, unsigned level,
	struct err *err)
{
	struct job *job = p->job;
	struct arena *arena = job->plan.arena;
	size_t count = pf->target.part_count;
	const char **parts = arena_alloc(arena, (count + 1) * sizeof *parts);
	const struct plan_folder *other;
	const struct folder *there;
	struct folder to;
	bool altered;

	for (size_t i = 0; i < count; i++)
		parts[i] = folder_plain_part(arena, pf->target.parts[i], i == 0, level);
	if (job->target.c->folder_place(
		    job->target.session, arena, parts, count, &to, &altered, err) < 0)
		return -1;
	if (strcmp(to.key, pf->target.key) == 0)
		return 0;
	other = planned_for(job, to.key);
	if (other != NULL)
		return err_set(err, ERR_COLLISION,
			"the target refuses the name of %s, and the plainer one is that of %s; "
			"give one of them another name by a map rule in [folders]",
			pf->source_name, other->source_name);
	to.use = pf->target.use;
	pf->target = to;
	pf->altered = true;
	there = folder_list_find(&job->target_folders, to.key);
	pf->exists = is_listed(there);
	if (pf->exists)
		folder_copy(arena, &pf->target, there);
	pf->target_name = arena_show(arena, &pf->target);
	job_note(job, pf->source_name, EVENT_NOTE, ERR_NAME, "goes into %s: %s", pf->target_name,
		why->text);
	return check_foreign(p, pf, err);
}

/* Gives what was refused for its name another one; *again_r: there is something to make. */
static int
plainer_names(struct prepare *p, struct missing *m, unsigned level, bool *again_r, struct err *err)
{
	size_t left = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (m->made[i])
			continue;
		if ((m->errs[i].code == ERR_NAME || m->errs[i].code == ERR_REFUSED) &&
			plainer_name(p, m->of[i], &m->errs[i], level, err) < 0)
			return -1;
		if (m->of[i]->exists)
			continue;
		m->of[left] = m->of[i];
		m->errs[left] = m->errs[i];
		m->made[left] = false;
		m->folders[left++] = m->of[i]->target;
	}
	m->count = left;
	*again_r = left > 0;
	return 0;
}

static int
make_folders(struct prepare *p, struct missing *m, struct err *err)
{
	const struct side *target = &p->job->target;
	bool again = true;

	for (unsigned level = 0; again && level <= PLAIN_LEVELS; level++) {
		if (level > 0 && plainer_names(p, m, level, &again, err) < 0)
			return -1;
		if (m->count > 0 && target->c->folder_make(target->session, m->folders, m->count,
					    m->made, m->errs, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < m->count; i++)
		if (!m->made[i]) {
			*err = m->errs[i];
			return err_context(
				err, "target folder %s cannot be made", m->of[i]->target_name);
		}
	return 0;
}

static int
make_missing(struct prepare *p, struct err *err)
{
	struct job *job = p->job;
	size_t count = job->plan.work_count;
	struct missing m = { 0 };
	int ret = 0;

	m.folders = xcalloc(count + 1, sizeof *m.folders);
	m.of = xcalloc(count + 1, sizeof *m.of);
	m.made = xcalloc(count + 1, sizeof *m.made);
	m.errs = xcalloc(count + 1, sizeof *m.errs);
	for (size_t i = 0; i < count; i++)
		if (!job->plan.folders[i].exists) {
			m.of[m.count] = &job->plan.folders[i];
			m.folders[m.count++] = job->plan.folders[i].target;
		}
	if (m.count > 0) {
		ret = make_folders(p, &m, err);
		folder_list_clear(&job->target_folders);
		folder_list_init(&job->target_folders);
		if (ret == 0)
			ret = job->target.c->folder_list(
				job->target.session, &job->target_folders, err);
	}
	missing_clear(&m);
	return ret;
}

/* ---- the rows ---- */

static int
new_row(struct job *job, struct work_folder *wf, const struct ledger_folder *old, struct err *err)
{
	struct ledger_folder *row = &wf->row;

	row->account = job->account->id;
	set_string(&row->source_key, wf->source.key);
	set_string(&row->source_name, wf->plan->source_name);
	set_string(&row->source_mailboxid, wf->source.mailboxid);
	set_string(&row->target_key, wf->target.key);
	set_string(&row->target_name, wf->plan->target_name);
	row->source_uidvalidity = wf->source.uidvalidity;
	row->target_uidvalidity = wf->target.uidvalidity;
	row->target_bound = wf->target.uidnext > 0 ? wf->target.uidnext - 1 : 0;
	row->target_foreign = wf->target.messages;
	row->rematch = old != NULL ? old->id : 0;
	return ledger_folder_put(job->ledger, row, err);
}

/* The row's strings move over to the work folder. */
static void
take_row(struct work_folder *wf, struct ledger_folder *row)
{
	wf->row = *row;
	memset(row, 0, sizeof *row);
	row->source_key = xstrdup("");
}

static int
prepare_folder(
	struct prepare *p, struct work_folder *wf, const struct plan_folder *pf, struct err *err)
{
	struct job *job = p->job;
	const struct folder *there = folder_list_find(&job->target_folders, pf->target.key);
	struct ledger_folder *row = row_of(p, &pf->source, true);
	struct ledger_folder *old =
		row != NULL ? row_by_id(p, row->rematch) : row_of(p, &pf->source, false);

	wf->plan = pf;
	wf->source = pf->source;
	wf->target = pf->target;
	if (!is_listed(there))
		return err_set(err, ERR_NAME,
			"the target made folder %s and does not list it under that name",
			pf->target_name);
	wf->target = *there;
	wf->bound = there->uidnext > 0 ? there->uidnext - 1 : 0;
	if (row != NULL) {
		take_row(wf, row);
		if (wf->row.target_uidvalidity != there->uidvalidity && there->uidvalidity != 0 &&
			rematch_target(job, wf, there->uidvalidity, err) < 0)
			return -1;
	} else if (new_row(job, wf, old, err) < 0) {
		return -1;
	}
	return old != NULL ? rematch_source(job, wf, old, err) : 0;
}

static void
estimate(struct job *job)
{
	struct progress *p = &job->account->progress;
	uint64_t found = 0, bytes = 0;

	for (size_t i = 0; i < job->folder_count; i++) {
		const struct work_folder *wf = &job->folders[i];
		uint64_t known = wf->row.counts.found;
		found += wf->source.messages > known ? wf->source.messages : known;
		bytes += wf->source.size_bytes > wf->row.counts.bytes_found
				 ? wf->source.size_bytes
				 : wf->row.counts.bytes_found;
	}
	pthread_mutex_lock(&job->local->lock);
	p->found = found;
	p->bytes_found = bytes;
	p->looked = true;
	p->counted = false;
	pthread_mutex_unlock(&job->local->lock);
}

/* A row whose folder the profile does not move any more: what is in doubt of it is settled, and
 * what was found and not copied is no longer waited for. */
static int
close_row(struct prepare *p, struct ledger_folder *row, const char *why, struct err *err)
{
	struct job *job = p->job;
	const struct folder *there = folder_list_find(&job->target_folders, row->target_key);
	struct ledger_folder *now = NULL;
	uint64_t ended = 0;
	size_t count = 0;
	int ret = -1;

	if (is_listed(there) && settle_stale(job, row, there, err) < 0)
		return -1;
	if (ledger_flush(job->ledger, err) < 0 ||
		ledger_folders(job->ledger, job->account->id, &now, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (now[i].id == row->id)
			row->counts = now[i].counts;
	for (int s = 1; s < ITEM_STATES; s++)
		ended += row->counts.by_state[s];
	if (row->counts.found > ended) {
		job_note(job, row->source_name, EVENT_WARNING, ERR_NONE,
			"left out now (%s); %llu of its messages were not copied before", why,
			(unsigned long long)(row->counts.found - ended));
		ledger_folder_found(
			job->ledger, row->id, ended, row->counts.bytes_landed, row->scanned_round);
	}
	ret = 0;
	ledger_folders_free(now, count);
	return ret;
}

static int
close_left_out(struct prepare *p, struct err *err)
{
	for (size_t i = p->job->plan.work_count; i < p->job->plan.count; i++) {
		const struct plan_folder *pf = &p->job->plan.folders[i];
		for (size_t r = 0; r < p->row_count; r++)
			if (row_is_current(&p->rows[r], &pf->source) &&
				p->rows[r].gone_round == 0 &&
				close_row(p, &p->rows[r], pf->left_out, err) < 0)
				return -1;
	}
	return 0;
}

static int
prepare_writing(struct prepare *p, struct err *err)
{
	struct job *job = p->job;

	if (close_left_out(p, err) < 0 || check_existing(p, err) < 0 || make_missing(p, err) < 0)
		return -1;
	job->folders = xcalloc(job->plan.work_count + 1, sizeof *job->folders);
	job->folder_count = job->plan.work_count;
	for (size_t i = 0; i < job->folder_count; i++)
		if (prepare_folder(p, &job->folders[i], &job->plan.folders[i], err) < 0)
			return -1;
	estimate(job);
	return folders_subscribe(job, err);
}

int
folders_prepare(struct job *job, struct err *err)
{
	struct prepare p = { .job = job };
	int ret = -1;

	folder_list_init(&job->source_folders);
	folder_list_init(&job->target_folders);
	if (job->source.c->folder_list(job->source.session, &job->source_folders, err) < 0) {
		(void)err_context(err, "source");
		goto out;
	}
	if (job->target.c->folder_list(job->target.session, &job->target_folders, err) < 0) {
		(void)err_context(err, "target");
		goto out;
	}
	if (ledger_folders(job->ledger, job->account->id, &p.rows, &p.row_count, err) < 0 ||
		follow_renames(&p, err) < 0 || make_plan(&p, err) < 0)
		goto out;
	ret = job->readonly ? 0 : prepare_writing(&p, err);
out:
	ledger_folders_free(p.rows, p.row_count);
	return ret;
}

void
folders_clear(struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++) {
		struct work_folder *wf = &job->folders[i];
		ledger_folder_clear(&wf->row);
		free(wf->todo);
		uidset_clear(&wf->again);
		doubt_free(&wf->doubt);
		doubt_free(&wf->watched);
		uidset_clear(&wf->ours);
	}
	free(job->folders);
	job->folders = NULL;
	job->folder_count = 0;
	plan_clear(&job->plan);
	folder_list_clear(&job->source_folders);
	folder_list_clear(&job->target_folders);
}
