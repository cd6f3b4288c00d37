/* users.h - who is migrated: the user list, whatever it came from. */
#ifndef USERS_USERS_H
#define USERS_USERS_H

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

#include <stddef.h>

/* One row. Strings belong to the list; NULL = not given. */
struct user {
	char *user;              /* login name at the source, as written */
	struct secret *password; /* at the source; NULL: the admin logs in */
	char *name;              /* full name */
	char *target_user;       /* login at the target: of the row, or by the profile's pattern,
				  * or `user`; never NULL once loaded */
	struct secret *target_password;  /* NULL: the admin login there, or else `password` */
	char *source_host, *target_host; /* NULL: the profile's */
	char *groups;
	unsigned line; /* of the file */
};

struct users {
	struct user *rows;
	size_t count;
};

/* Reads a CSV (users/csv.c): user;password;name without a header, or a header row of more
 * columns (user, password, name, target_user, target_password, source_host, target_host,
 * groups; case-blind, any order). RFC 4180 quoting; the separator (; , or tab) found by itself;
 * UTF-8 with or without BOM, UTF-16 with BOM, or the code page named by `encoding` (NULL or
 * "auto": UTF-8/16). Passwords are kept to the byte. All faults, each "file:line:column: what",
 * one per line in faults_r (at most 200, then a count); *err has the first. No secret is echoed.
 * Doubles (same user and host; two rows with one target login) are faults.
 * target_pattern may be NULL. A file with passwords must be private (file_check_private). */
int users_load_csv(const char *path, const char *encoding, const char *target_pattern,
	struct users *users_r, struct str *faults_r, struct err *err);
void users_clear(struct users *users);

#endif
