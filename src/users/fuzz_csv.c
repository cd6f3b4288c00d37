/* fuzz_csv.c - any bytes as a user list; the first byte chooses code page and pattern.
 *
 * Rows that are taken have a user and a login at the target, and no two the same; faults are
 * printable and counted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "users/users_private.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_taken(const struct users *users)
{
	if (users->count == 0)
		abort();
	for (size_t i = 0; i < users->count; i++) {
		const struct user *u = &users->rows[i];

		if (u->user == NULL || u->user[0] == '\0' || u->target_user == NULL ||
			u->target_user[0] == '\0' || u->line == 0)
			abort();
		if (strpbrk(u->user, "\r\n") != NULL || strpbrk(u->target_user, "\r\n") != NULL)
			abort();
		if (i > 0 && u->line <= users->rows[i - 1].line)
			abort();
	}
}

static void
check_told(struct faults *faults)
{
	struct str told;
	struct err err;
	size_t lines = 0, want = faults->count > FAULTS_MAX ? FAULTS_MAX + 1 : faults->count;

	str_init(&told, 0);
	faults_finish(faults, &told, &err);
	for (size_t i = 0; i < told.len; i++) {
		lines += told.data[i] == '\n';
		if ((unsigned char)told.data[i] < 0x20 && told.data[i] != '\n')
			abort();
	}
	if (lines != want || err.code != ERR_PROFILE)
		abort();
	str_clear(&told);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const encodings[] = { NULL, "UTF-16", "CP1252", "UTF-16LE",
		"SHIFT_JIS" };
	static const char *const patterns[] = { NULL, "{local}@new", "{user}", "{domain}{local}" };
	unsigned choice = len > 0 ? bytes[0] : 0;
	struct faults *faults = xcalloc(1, sizeof(*faults));
	char *text = xmalloc(len + 1);
	struct users users;

	if (len > 0)
		memcpy(text, bytes + 1, len - 1);
	faults_init(faults, "u");
	if (users_parse(text, len > 0 ? len - 1 : 0, encodings[choice % 5],
		    patterns[choice / 5 % 4], faults, &users) == 0)
		check_taken(&users);
	else
		check_told(faults);
	users_clear(&users);
	free(faults);
	free(text);
	return 0;
}
