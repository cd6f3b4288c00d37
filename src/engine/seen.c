/* seen.c - what a later pass has to ask for, by what the server told before the last complete one.
 *
 * The list of folders comes with UIDVALIDITY, UIDNEXT, MESSAGES and HIGHESTMODSEQ of each. They are
 * noted when every message that a pass found has its end, as they were told before that pass read
 * anything. UIDNEXT and HIGHESTMODSEQ only ever grow (RFC 9051, 2.3.1.1; RFC 7162, 3.1.2), so while
 * the server tells the same, nothing has changed since before the pass, and the pass has seen it
 * all. A number that cannot be relied upon makes the folder be read. */
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

/* Some servers (Dovecot) say 1 of a folder whose changes they do not count yet. */
#define MODSEQ_NOT_COUNTED 1u

static bool
is_counted(uint64_t modseq)
{
	return modseq > MODSEQ_NOT_COUNTED;
}

/* What a pass would do otherwise than the one before it: the profile's filters and whether flags
 * are carried. FNV-1a. */
static uint32_t
settings_of(const struct job *job)
{
	const struct profile_run *run = job->run;
	const int64_t values[] = { run->since, run->before, (int64_t)run->max_size,
		run->flag_changes };
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		for (unsigned shift = 0; shift < 64; shift += 8)
			hash = (hash ^ (uint8_t)((uint64_t)values[i] >> shift)) * 16777619u;
	return hash;
}

bool
seen_unchanged(const struct folder *now, const struct ledger_seen *seen)
{
	return (now->flags & FOLDER_STATUS) != 0 && seen->uidnext != 0 &&
	       now->uidnext == seen->uidnext && now->messages == seen->messages &&
	       (now->messages == 0 ||
		       (is_counted(seen->modseq) && now->highestmodseq == seen->modseq));
}

/* Everything but flags is told by UIDNEXT and MESSAGES. */
static bool
needs_flags(const struct job *job, const struct folder *now, const struct ledger_seen *seen)
{
	return job->run->flag_changes && seen->messages > 0 &&
	       !(is_counted(seen->modseq) && now->highestmodseq == seen->modseq);
}

enum look_at
seen_look(const struct job *job, const struct folder *now, const struct ledger_folder *row)
{
	const struct ledger_seen *seen = &row->seen;
	uint64_t rows = 0;

	for (int s = 1; s < ITEM_STATES; s++)
		rows += row->counts.by_state[s];
	/* Marks of what one user has read may stand aside in folders of others, and count for
	 * nothing (Cyrus, Dovecot). Of an unfinished pass the numbers say nothing. */
	if (seen->uidnext == 0 || seen->uidnext >= UINT32_MAX - 1 ||
		seen->settings != settings_of(job) || (now->flags & FOLDER_STATUS) == 0 ||
		now->space != SPACE_PERSONAL || now->uidnext < seen->uidnext ||
		rows != row->counts.found)
		return LOOK_ALL;
	if (now->uidnext == seen->uidnext && now->messages == seen->messages &&
		!needs_flags(job, now, seen))
		return LOOK_NOTHING;
	if (!is_counted(seen->modseq) || now->highestmodseq < seen->modseq ||
		(job->main.source.c->caps(job->main.source.session) & CAN_CHANGES) == 0)
		return LOOK_ALL;
	return LOOK_CHANGES;
}

/* The mod-sequence that flags are known from: an older one where some could not be carried, so that
 * the next round is told of them again. */
static uint64_t
modseq_of(const struct work_folder *wf)
{
	if (!wf->not_carried)
		return wf->source.highestmodseq;
	return wf->look == LOOK_CHANGES ? wf->row.seen.modseq : 0;
}

/* As many messages as the list of folders counted have been listed since, or are known to be there:
 * no answer got lost on the way, and none of them has gone meanwhile. */
static bool
adds_up(const struct work_folder *wf)
{
	uint64_t known = wf->counted_known;

	if (wf->some_vanished)
		return false;
	if (wf->look == LOOK_CHANGES && wf->known_how != KNOWN_UIDS)
		known = wf->row.seen.messages - wf->missing;
	return known + wf->counted_new == wf->source.messages;
}

void
seen_keep(struct job *job)
{
	for (size_t i = 0; i < job->folder_count; i++) {
		const struct work_folder *wf = &job->folders[i];
		struct ledger_seen seen = {
			.uidnext = wf->source.uidnext,
			.messages = wf->source.messages,
			.modseq = modseq_of(wf),
			.settings = settings_of(job),
		};
		if (wf->look == LOOK_NOTHING || !wf->scanned || wf->err.code != ERR_NONE ||
			(wf->source.flags & FOLDER_STATUS) == 0 || !adds_up(wf))
			continue;
		ledger_folder_seen(job->ledger, wf->row.id, &seen);
	}
}
