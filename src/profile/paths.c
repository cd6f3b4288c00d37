/* paths.c - where profiles and their state lie, and what a profile may be called. */
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define SUFFIX     ".ini"
#define PROGRAM    "mailhaul"
#define NAME_BYTES 64
#define HASH_BYTES 6 /* of the path's hash: 12 letters */
#define PASSWD_MAX 16384

char *
profile_home(void)
{
	const char *home = getenv("HOME");
	struct passwd pw, *found = NULL;
	char *buf, *copy;

	if (home != NULL && home[0] == '/')
		return xstrdup(home);
	buf = xmalloc(PASSWD_MAX);
	copy = xstrdup(getpwuid_r(geteuid(), &pw, buf, PASSWD_MAX, &found) == 0 && found != NULL
			       ? pw.pw_dir
			       : "/");
	free(buf);
	return copy;
}

/* $variable/mailhaul, or ~/fallback/mailhaul; the rule of XDG: relative values do not count. */
static char *
xdg_dir(const char *variable, const char *fallback)
{
	const char *value = getenv(variable);
	char *home, *dir;

	if (value != NULL && value[0] == '/')
		return path_join(value, PROGRAM);
	home = profile_home();
	dir = xasprintf("%s/%s/%s", strcmp(home, "/") == 0 ? "" : home, fallback, PROGRAM);
	free(home);
	return dir;
}

static bool
has_suffix(const char *text)
{
	size_t len = strlen(text), n = strlen(SUFFIX);

	return len > n && strcmp(text + len - n, SUFFIX) == 0;
}

bool
profile_name_ok(const char *name, const char *const *reserved, struct err *err)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter && (i == 0 || strchr("._-@", c) == NULL)) {
			err_set(err, ERR_PROFILE,
				"%s is not a name for a profile: letters, digits and . _ - @",
				name);
			return false;
		}
	}
	if (len == 0 || len > NAME_BYTES || has_suffix(name)) {
		err_set(err, ERR_PROFILE,
			"a name of a profile has 1 to %d letters and no " SUFFIX " at its end",
			NAME_BYTES);
		return false;
	}
	for (; reserved != NULL && *reserved != NULL; reserved++) {
		if (strcmp(name, *reserved) == 0) {
			err_set(err, ERR_PROFILE, "a profile may not be called %s: a command is",
				name);
			return false;
		}
	}
	return true;
}

char *
profile_path(const char *name_or_path, struct err *err)
{
	char *dir, *path;

	if (strchr(name_or_path, '/') != NULL || has_suffix(name_or_path))
		return xstrdup(name_or_path);
	if (!profile_name_ok(name_or_path, NULL, err))
		return NULL;
	dir = xdg_dir("XDG_CONFIG_HOME", ".config");
	path = xasprintf("%s/%s" SUFFIX, dir, name_or_path);
	free(dir);
	return path;
}

char *
profile_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;

	return xstrndup(base, strlen(base) - (has_suffix(base) ? strlen(SUFFIX) : 0));
}

/* True if the profile lies where its name alone would be looked for. */
static bool
is_named(const struct profile *profile)
{
	char *usual, *real;
	bool same;

	if (!profile_name_ok(profile->name, NULL, NULL) || !has_suffix(profile->path))
		return false;
	usual = profile_path(profile->name, NULL);
	real = usual != NULL ? realpath(usual, NULL) : NULL;
	same = real != NULL && strcmp(real, profile->path) == 0;
	free(usual);
	free(real);
	return same;
}

char *
profile_state_default(const struct profile *profile)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char letters[2 * HASH_BYTES + 1];
	char *root = xdg_dir("XDG_STATE_HOME", ".local/state"), *dir;

	if (is_named(profile)) {
		dir = path_join(root, profile->name);
		free(root);
		return dir;
	}
	SHA256((const unsigned char *)profile->path, strlen(profile->path), hash);
	for (size_t i = 0; i < HASH_BYTES; i++)
		snprintf(letters + 2 * i, 3, "%02x", hash[i]);
	dir = xasprintf("%s/%s-%s", root, profile->name, letters);
	free(root);
	return dir;
}
