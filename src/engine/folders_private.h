/* folders_private.h - what preparing folders and following their renames share. */
#ifndef ENGINE_FOLDERS_PRIVATE_H
#define ENGINE_FOLDERS_PRIVATE_H

#include "engine/job.h"

/* An attempt's look at both folder lists and the ledger; the worker's thread. */
struct prepare {
	struct job *job;
	struct ledger_folder *rows; /* of the account */
	size_t row_count;
	/* While renames are followed: */
	struct ledger_batch *doubts;
	size_t doubt_count;
	bool *moved; /* by row: another folder has its name by now */
	uint32_t stand_of;
	bool stand;     /* of that UIDVALIDITY: see names_stand() */
	bool *probed;   /* by row: it was looked into */
	bool *doubtful; /* by row: none of its known messages was there */
};

static inline bool
is_listed(const struct folder *folder)
{
	return folder != NULL && (folder->flags & FOLDER_LISTED) &&
	       !(folder->flags & FOLDER_NOSELECT);
}

/* The server lets it be counted or opened: without that nothing is known of it. */
static inline bool
has_numbers(const struct folder *folder)
{
	return (folder->flags & FOLDER_STATUS) != 0;
}

static inline bool
row_is_current(const struct ledger_folder *row, const struct folder *folder)
{
	return strcmp(row->source_key, folder->key) == 0;
}

/* renames.c */
/* Rows whose folder is called otherwise now, is gone, or is there again: they and their items say
 * so afterwards, and what was in doubt of them is settled. Reads the rows anew if it had to. */
int renames_follow(struct prepare *p, struct err *err);
void renames_set(char **to, const char *from); /* a string of a row, or NULL */

#endif
