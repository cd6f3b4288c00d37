/* plan.h - which source folder goes into which target folder; pure: no network, no ledger. */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "base/arena.h"
#include "base/err.h"
#include "mail/folder.h"
#include "profile/profile.h"

#include <stdbool.h>
#include <stddef.h>

/* One source folder. Everything belongs to the plan's arena. */
struct plan_folder {
	struct folder source; /* a copy */
	struct folder target; /* key, delim, parts; with the target's numbers where it exists */
	const char *source_name, *target_name; /* shown with "/" */
	const char *left_out;                  /* why it is not moved, or NULL */
	bool exists;                           /* on the target */
	bool altered;                          /* its name had to be altered for the target */
};

struct plan {
	struct arena *arena;
	struct plan_folder *folders; /* in the order of work; left out ones last */
	size_t count;                /* all */
	size_t work_count;           /* those that are moved: folders[0..work_count) */
};

/* A folder that an earlier run has planned: it continues where it was. */
struct plan_known {
	const char *source_key, *target_key;
};

/* The target's way to write a path: connector->folder_place. */
typedef int plan_place(void *context, struct arena *arena, const char *const *parts,
	size_t part_count, struct folder *folder_r, bool *changed_r, struct err *err);

struct plan_input {
	const struct profile_folders *rules;
	const struct folder_list *source, *target;
	const struct plan_known *known;
	size_t known_count;
	plan_place *place;
	void *place_context;
};

/* Rules in this order: known; left out (not selectable, other namespaces, views such as \All unless
 * named by an include, exclude and include globs); the admin's maps; INBOX; special use (by
 * attribute, then by name in ten languages) with children following their parent; the same path.
 * ERR_COLLISION when two would land in one target folder: the text names all three. */
int plan_make(const struct plan_input *input, struct plan *plan_r, struct err *err);
void plan_clear(struct plan *plan);

#endif
