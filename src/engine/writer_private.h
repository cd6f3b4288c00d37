/* writer_private.h - what the files of the writer share: its state, all of it one thread's. */
#ifndef ENGINE_WRITER_PRIVATE_H
#define ENGINE_WRITER_PRIVATE_H

#include "engine/job.h"
#include "engine/work_list.h"

struct writer {
	struct job *job;
	struct lane *lane;
	struct list redo;      /* pieces and repairs with their intents, as the source's order is */
	struct list pieces;    /* of the batch being split; come before what is in redo */
	struct list learn;     /* stored, UIDs not told */
	struct list look;      /* refused as a whole: stored in part? */
	struct list compare;   /* stored: as sent? */
	struct list changes;   /* flag changes */
	struct list sent;      /* (clock) of each batch in flight */
	int64_t idle_since;    /* nothing sent or read */
	int64_t waiting_since; /* for the oldest answer */
	int64_t answered_ms;   /* the last answer to a batch */
	unsigned longest_ms;
};

/* results.c: what the target took, what it refused. */
/* Writes the rows of the batch's entries that came to an end; closes its intent with them, or
 * leaves the rest of it in doubt. */
void writer_land(struct writer *w, struct batch *batch, bool close);
void writer_close(struct writer *w, struct batch *batch);
void writer_put_end(struct writer *w, struct work_folder *wf, struct store_entry *entry,
	enum item_state state, unsigned reason, const char *text);
/* Sends what was refused again in smaller pieces, or repaired: into w->redo. The intent is closed
 * before. */
int writer_split(struct writer *w, struct batch *batch, struct err *err);
/* A NO that names no reason, to a message that was not yet sent once more for it. */
bool writer_is_bare_no(const struct store_entry *entry);
bool writer_any_bare_no(const struct batch *batch);

/* aside.c: what needs the session for itself. */
/* The UIDs told (or found) are ours. */
void aside_note_uids(struct writer *w, const struct batch *batch, bool told);
bool aside_may_be_changed(const struct batch *batch);
/* Puts the batch into that list, and takes it; or, where its folder may not be searched, leaves it
 * to the caller, who drops it: done with, or in doubt. */
void aside_add(struct writer *w, struct list *list, struct batch **batch);
bool aside_any(const struct writer *w);
int aside_do(struct writer *w, struct err *err);

/* writer.c */
int writer_take_all(struct writer *w, struct err *err);

#endif
