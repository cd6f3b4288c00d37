/* file.h - files and directories made private from the start. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>

/* mkdir -p with mode 0700 for what is new. An existing last directory that others may write to,
 * or that is another user's, is an ERR_STATE_DIR. */
int file_mkdirs(const char *path, struct err *err);
/* Creates (O_EXCL unless replace) with 0600. NULL with *err on failure. */
FILE *file_create(const char *path, bool replace, struct err *err);
/* A file without a name in that directory, 0600: it goes with the process. NULL with *err where the
 * file system has none. */
FILE *file_create_nameless(const char *dir, struct err *err);
/* Gives it one, in the place of what has it. Syncs neither the bytes nor the name. */
int file_name(FILE *nameless, const char *path, struct err *err);
/* The name of a file that was renamed survives a power cut then. */
int file_sync_name(const char *path, struct err *err);
/* Whole file into out, held to out's limit. */
int file_read(const char *path, struct str *out, struct err *err);
/* Temporary name beside it, fsync, rename, fsync of the directory; mode 0600. */
int file_write_atomic(const char *path, const void *bytes, size_t len, struct err *err);
/* ERR_PROFILE unless only the owner may read it and the owner is us (or root). */
int file_check_private(const char *path, struct err *err);
/* What an unprivileged writer may still put on that file system; 0 where it cannot be told. */
uint64_t file_free_bytes(const char *path);
char *path_join(const char *dir, const char *name); /* allocated */

#endif
