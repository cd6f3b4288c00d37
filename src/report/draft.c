/* draft.c - a run's manifest, written while the run is at work.
 *
 * A thread of its own writes what was committed since it last looked, so that what is left for the
 * end is a fraction of a second's work however long the run was. The file has no name until it is
 * whole: a run that is killed leaves nothing of it, and what it told is told by the next run's,
 * since nothing in the ledger says that it was told before the file is in its place. Where
 * something fails, or the file system has no such files, the manifest is written whole at the end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "report/report_private.h"
#include "base/banned.h"

#define LOOK_MS 100
#define RESERVE (256u << 20) /* bytes that a draft leaves free */

enum wish { WISH_GROW, WISH_END, WISH_DROP };

struct report_draft {
	/* Fixed once report_draft_begin() returns. */
	struct ledger *ledger; /* borrowed */
	char *dir;
	pthread_t thread;
	/* The thread's, until it is joined. */
	FILE *out;
	struct manifest *manifest;
	struct report_chain chain;
	bool whole; /* and synced */
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	enum wish wish;
};

/* For a moment, or until something is wished. */
static enum wish
wait_for_wish(struct report_draft *draft)
{
	struct timespec until;
	enum wish wish;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)LOOK_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&draft->lock);
	while (draft->wish == WISH_GROW)
		if (pthread_cond_timedwait(&draft->wake, &draft->lock, &until) == ETIMEDOUT)
			break;
	wish = draft->wish;
	pthread_mutex_unlock(&draft->lock);
	return wish;
}

static int
grow(struct report_draft *draft, struct err *err)
{
	if (file_free_bytes(draft->dir) < RESERVE)
		return err_set(err, ERR_DISK, "room is left to the ledger");
	if (draft->out == NULL) {
		draft->out = file_create_nameless(draft->dir, err);
		if (draft->out == NULL)
			return -1;
		draft->manifest = manifest_new(draft->ledger, draft->out);
	}
	if (manifest_more(draft->manifest, err) < 0)
		return -1;
	return fflush(draft->out) == 0 ? 0 : report_check(draft->out, err);
}

static int
end(struct report_draft *draft, struct err *err)
{
	if (manifest_end(draft->manifest, &draft->chain, err) < 0)
		return -1;
	if (fflush(draft->out) != 0 || fsync(fileno(draft->out)) < 0)
		return err_errno(err, ERR_DISK, errno, "cannot write the manifest");
	return 0;
}

/* The room it takes is needed by others. */
static void
give_up(struct report_draft *draft)
{
	manifest_free(&draft->manifest);
	if (draft->out != NULL)
		fclose(draft->out);
	draft->out = NULL;
}

static void *
draft_main(void *context)
{
	struct report_draft *draft = context;
	struct err err; /* the manifest that is written at the end meets the same, or does not */
	enum wish wish;

	do {
		wish = wait_for_wish(draft);
		if (wish == WISH_DROP)
			return NULL;
		if (grow(draft, &err) < 0) {
			give_up(draft);
			return NULL;
		}
	} while (wish == WISH_GROW);
	draft->whole = end(draft, &err) == 0;
	return NULL;
}

static void
draft_free(struct report_draft **draft_p)
{
	struct report_draft *draft = *draft_p;

	give_up(draft);
	pthread_cond_destroy(&draft->wake);
	pthread_mutex_destroy(&draft->lock);
	free(draft->dir);
	free(draft);
	*draft_p = NULL;
}

struct report_draft *
report_draft_begin(struct ledger *ledger, const char *dir)
{
	struct report_draft *draft = xcalloc(1, sizeof *draft);
	pthread_condattr_t attr;

	draft->ledger = ledger;
	draft->dir = xstrdup(dir);
	pthread_mutex_init(&draft->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&draft->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&draft->thread, NULL, draft_main, draft) != 0)
		draft_free(&draft);
	return draft;
}

static void
tell_wish(struct report_draft *draft, enum wish wish)
{
	pthread_mutex_lock(&draft->lock);
	draft->wish = wish;
	pthread_cond_signal(&draft->wake);
	pthread_mutex_unlock(&draft->lock);
}

void
report_draft_drop(struct report_draft **draft)
{
	if (*draft == NULL)
		return;
	tell_wish(*draft, WISH_DROP);
	pthread_join((*draft)->thread, NULL);
	draft_free(draft);
}

void
draft_end(struct report_draft *draft)
{
	if (draft != NULL)
		tell_wish(draft, WISH_END);
}

bool
draft_take(struct report_draft **draft, const char *path, struct report_chain *chain_r)
{
	struct err err;
	bool ret;

	if (*draft == NULL)
		return false;
	pthread_join((*draft)->thread, NULL);
	ret = (*draft)->whole && file_name((*draft)->out, path, &err) == 0;
	*chain_r = (*draft)->chain;
	draft_free(draft);
	return ret;
}
