/* folders.c - from two folder lists and the ledger to folders ready to work on.
 *
 * Everything that can be refused is refused here, before a byte of mail moves: collisions, target
 * folders that are not empty, folders that vanished at the target. Runs in the worker's thread
 * before the reader starts; every row is durable before the first intent. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/folders_private.h"

#include "base/banned.h"

#define LEFT_OUT_NAMED 8u /* folders, in one line */
#define PLAIN_LEVELS   2  /* of folder_plain_part() */

static int
place(void *context, struct arena *arena, const char *const *parts, size_t part_count,
	struct folder *folder_r, bool *changed_r, struct err *err)
{
	struct job *job = context;

	return job->main.target.c->folder_place(
		job->main.target.session, arena, parts, part_count, folder_r, changed_r, err);
}

/* ---- planning ---- */

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
row_of(struct prepare *p, const struct folder *source)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *row = &p->rows[i];
		if (row_is_current(row, source) && row->gone_round == 0 &&
			row->source_uidvalidity == source->uidvalidity)
			return row;
	}
	return NULL;
}

int
folders_judge(const struct job *job, const struct plan_folder *pf, const struct ledger_folder *rows,
	size_t count, struct err *err)
{
	const struct ledger_folder *row = NULL;
	bool ours = false;
	uint64_t went;

	for (size_t i = 0; i < count; i++) {
		ours = ours || strcmp(rows[i].target_key, pf->target.key) == 0;
		if (strcmp(rows[i].source_key, pf->source.key) == 0 && rows[i].gone_round == 0 &&
			(row == NULL || rows[i].source_uidvalidity == pf->source.uidvalidity))
			row = &rows[i];
	}
	went = row == NULL
		       ? 0
		       : row->counts.by_state[ITEM_LANDED] + row->counts.by_state[ITEM_VERIFIED];
	if (went > 0 && !pf->exists)
		return err_set(err, ERR_NAME,
			"target folder %s, into which %llu messages went, is no longer there",
			row->target_name, (unsigned long long)went);
	if (row != NULL || ours || !pf->exists || pf->target.messages == 0 ||
		job->run->existing == EXISTING_ADD)
		return 0;
	return err_set(err, ERR_NOTEMPTY,
		"target folder %s holds %u messages that are not from here; existing = add in "
		"[run] would add to them",
		pf->target_name, (unsigned)pf->target.messages);
}

static int
check_existing(struct prepare *p, struct err *err)
{
	for (size_t i = 0; i < p->job->plan.work_count; i++)
		if (folders_judge(p->job, &p->job->plan.folders[i], p->rows, p->row_count, err) < 0)
			return -1;
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
	if (job->main.target.c->folder_place(
		    job->main.target.session, arena, parts, count, &to, &altered, err) < 0)
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
	return folders_judge(p->job, pf, p->rows, p->row_count, err);
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
	const struct side *target = &p->job->main.target;
	bool again = true;

	for (unsigned level = 0; again && level <= PLAIN_LEVELS; level++) {
		if (level > 0 && plainer_names(p, m, level, &again, err) < 0)
			return -1;
		if (m->count == 0)
			break;
		folder_list_clear(&p->job->target_folders);
		folder_list_init(&p->job->target_folders);
		if (target->c->folder_make(target->session, m->folders, m->count, m->made, m->errs,
			    &p->job->target_folders, err) < 0)
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
	if (m.count > 0)
		ret = make_folders(p, &m, err);
	missing_clear(&m);
	return ret;
}

/* ---- the rows ---- */

static void
fill_row(struct job *job, struct work_folder *wf)
{
	struct ledger_folder *row = &wf->row;

	row->account = job->account->id;
	renames_set(&row->source_key, wf->source.key);
	renames_set(&row->source_name, wf->plan->source_name);
	renames_set(&row->source_mailboxid, wf->source.mailboxid);
	renames_set(&row->target_key, wf->target.key);
	renames_set(&row->target_name, wf->plan->target_name);
	row->source_uidvalidity = wf->source.uidvalidity;
	row->target_uidvalidity = wf->target.uidvalidity;
	row->target_bound = wf->target.uidnext > 0 ? wf->target.uidnext - 1 : 0;
	row->target_foreign = wf->target.messages;
}

/* Those that the ledger does not know, in one transaction. */
static int
put_fresh(struct job *job, struct err *err)
{
	struct ledger_folder **rows = xcalloc(job->folder_count + 1, sizeof *rows);
	size_t count = 0;
	int ret;

	for (size_t i = 0; i < job->folder_count; i++)
		if (job->folders[i].fresh && job->folders[i].err.code == ERR_NONE)
			rows[count++] = &job->folders[i].row;
	ret = ledger_folders_new(job->ledger, rows, count, err);
	free(rows);
	return ret;
}

/* The row's strings move over to the work folder. */
static void
take_row(struct work_folder *wf, struct ledger_folder *row)
{
	wf->row = *row;
	memset(row, 0, sizeof *row);
	row->source_key = xstrdup("");
}

/* An old row's items come with their UIDs on the target: those have to be the ones of now. */
static int
rematch_old(struct prepare *p, struct work_folder *wf, struct ledger_folder *old, struct err *err)
{
	struct work_folder then = { .plan = wf->plan, .source = wf->source, .target = wf->target };
	uint32_t now = wf->target.uidvalidity;
	int ret = 0;

	if (now != 0 && old->target_uidvalidity != now) {
		then.row = *old;
		ret = rematch_target(p->job, &then, now, err);
		old->target_uidvalidity = then.row.target_uidvalidity;
	}
	return ret < 0 ? -1 : rematch_source(p->job, wf, old, err);
}

/* All rows of the folder under other UIDVALIDITYs, an unfinished search's as well. They say so
 * before there is a row that would pass for the folder's only one. */
static int
rematch_rows(struct prepare *p, struct work_folder *wf, bool begin, struct err *err)
{
	for (size_t i = 0; i < p->row_count; i++) {
		struct ledger_folder *old = &p->rows[i];
		if (old->id == wf->row.id || old->gone_round != 0 ||
			!row_is_current(old, &wf->source) ||
			old->source_uidvalidity == wf->source.uidvalidity)
			continue;
		wf->row.seen.uidnext = 0;
		if (!begin) {
			if (rematch_old(p, wf, old, err) < 0)
				return -1;
			continue;
		}
		old->rematch = true;
		if (ledger_folder_put(p->job->ledger, old, err) < 0)
			return -1;
	}
	return 0;
}

/* It stays as it was, whatever row it has, and the account cannot be done. */
static void
leave_closed(struct prepare *p, struct work_folder *wf)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (p->rows[i].gone_round == 0 && row_is_current(&p->rows[i], &wf->source)) {
			take_row(wf, &p->rows[i]);
			break;
		}
	err_set(&wf->err, ERR_PERM, "the source lets folder %s be neither counted nor opened",
		wf->plan->source_name);
	job_note(p->job, wf->plan->source_name, EVENT_ERROR, ERR_PERM, "%s", wf->err.text);
}

static int
prepare_folder(
	struct prepare *p, struct work_folder *wf, const struct plan_folder *pf, struct err *err)
{
	struct job *job = p->job;
	const struct folder *there = folder_list_find(&job->target_folders, pf->target.key);
	struct ledger_folder *row = row_of(p, &pf->source);

	wf->target = pf->target;
	if (!is_listed(there))
		return err_set(err, ERR_NAME,
			"the target made folder %s and does not list it under that name",
			pf->target_name);
	wf->target = *there;
	wf->bound = there->uidnext > 0 ? there->uidnext - 1 : 0;
	if (!has_numbers(&wf->source)) {
		leave_closed(p, wf);
		return 0;
	}
	if (wf->fresh) {
		fill_row(job, wf);
		return 0;
	}
	if (rematch_rows(p, wf, true, err) < 0)
		return -1;
	if (row != NULL) {
		take_row(wf, row);
		if (wf->row.target_uidvalidity != there->uidvalidity && there->uidvalidity != 0 &&
			rematch_target(job, wf, there->uidvalidity, err) < 0)
			return -1;
	} else {
		fill_row(job, wf);
		if (ledger_folder_put(job->ledger, &wf->row, err) < 0)
			return -1;
	}
	if (rematch_rows(p, wf, false, err) < 0)
		return -1;
	wf->look = seen_look(job, &wf->source, &wf->row);
	return 0;
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

/* Adds what is in doubt of the row, and will have an end. */
static int
count_doubts(struct job *job, const struct ledger_folder *row, uint64_t *count, struct err *err)
{
	struct ledger_batch *batches;
	size_t batch_count;

	if (ledger_doubts(job->ledger, job->account->id, &batches, &batch_count, err) < 0)
		return -1;
	for (size_t i = 0; i < batch_count; i++)
		if (batches[i].folder == row->id)
			*count += batches[i].count;
	ledger_batches_free(batches, batch_count);
	return 0;
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
	if (count_doubts(job, row, &ended, err) < 0)
		goto out;
	if (row->counts.found > ended)
		job_note(job, row->source_name, EVENT_WARNING, ERR_NONE,
			"left out now (%s); %llu of its messages were not copied before", why,
			(unsigned long long)(row->counts.found - ended));
	if (row->counts.found != ended)
		ledger_folder_found(
			job->ledger, row->id, ended, row->counts.bytes_landed, row->scanned_round);
	ret = 0;
out:
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

/* Folders with mail that stay behind, once in a run. Views are among them: what was archived may
 * lie nowhere else. */
static void
say_left_out(struct job *job)
{
	struct str text;
	size_t count = 0;

	if (job->account->left_out_told)
		return;
	job->account->left_out_told = true;
	str_init(&text, 0);
	for (size_t i = job->plan.work_count; i < job->plan.count; i++) {
		const struct plan_folder *pf = &job->plan.folders[i];
		if (!is_listed(&pf->source) || pf->source.messages == 0)
			continue;
		if (++count <= LEFT_OUT_NAMED)
			str_addf(&text, "%s%s (%s)", count > 1 ? ", " : "", pf->source_name,
				pf->left_out);
	}
	if (count > LEFT_OUT_NAMED)
		str_addf(&text, " and %zu more", count - LEFT_OUT_NAMED);
	if (count > 0)
		job_note(job, NULL, EVENT_NOTE, ERR_NONE, "left out: %s", str_get(&text));
	str_clear(&text);
}

static bool
is_fresh(const struct prepare *p, const struct folder *source)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (row_is_current(&p->rows[i], source))
			return false;
	return true;
}

static int
prepare_writing(struct prepare *p, struct err *err)
{
	struct job *job = p->job;

	say_left_out(job);
	if (close_left_out(p, err) < 0 || check_existing(p, err) < 0)
		return -1;
	job->folders = xcalloc(job->plan.work_count + 1, sizeof *job->folders);
	job->folder_count = job->plan.work_count;
	for (size_t i = 0; i < job->folder_count; i++) {
		job->folders[i].plan = &job->plan.folders[i];
		job->folders[i].source = job->plan.folders[i].source;
		job->folders[i].fresh = is_fresh(p, &job->folders[i].source);
	}
	reader_new(&job->main);
	/* An account without a past: nothing else is asked of its source. In vain once at most. */
	if (p->row_count == 0 && job->account->tries == 0) {
		lanes_begin(job);
		if (reader_ahead(&job->main, err) < 0)
			return err_context(err, "source");
	}
	if (make_missing(p, err) < 0)
		return -1;
	for (size_t i = 0; i < job->folder_count; i++)
		if (prepare_folder(p, &job->folders[i], &job->plan.folders[i], err) < 0)
			return -1;
	lanes_begin(job);
	if (put_fresh(job, err) < 0)
		return -1;
	estimate(job);
	return subscribe_begin(job, err);
}

int
folders_prepare(struct job *job, struct err *err)
{
	struct prepare p = { .job = job };
	int ret = -1;

	/* A user that is new to the ledger has no rows; 0 would be all of them. */
	if ((job->account->id != 0 && ledger_folders(job->ledger, job->account->id, &p.rows,
					      &p.row_count, err) < 0) ||
		renames_follow(&p, err) < 0 || make_plan(&p, err) < 0)
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
		uidset_clear(&wf->given);
		doubt_free(&wf->doubt);
		doubt_free(&wf->watched);
		uidset_clear(&wf->ours);
	}
	free(job->folders);
	job->folders = NULL;
	job->folder_count = 0;
	plan_clear(&job->plan);
	subscribe_clear(job);
	folder_list_clear(&job->source_folders);
	folder_list_clear(&job->target_folders);
}
