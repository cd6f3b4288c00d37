/* secrets.c - whether the passwords that a profile names can be had, before a run asks for them. */
#include <string.h>

#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

/* Files and the environment are looked at. A command is not run, and nobody is asked. */
static void
check_side(const struct profile_side *side, const char *section, const struct scan *scan,
	struct faults *faults)
{
	const struct scan_entry *entry = scan_find(scan, section, "admin_password");
	const char *spec = side->admin_password, *kind;
	struct secret *secret = NULL;
	struct err err = { 0 };
	char what[64];

	if (spec == NULL || entry == NULL)
		return;
	kind = option_secret_kind(spec);
	if (strcmp(kind, "file") != 0 && strcmp(kind, "env") != 0)
		return;
	snprintf(what, sizeof what, "[%s] admin_password", section);
	if (profile_secret(spec, what, NULL, NULL, &secret, &err) < 0)
		faults_add(faults, entry->line, 0, "%s", err.text);
	secret_unref(&secret);
}

int
profile_check_secrets(const struct profile *profile, struct str *faults_r, struct err *err)
{
	struct faults faults;
	struct scan scan;
	struct str bytes;
	int ret;

	str_init(&bytes, SCAN_FILE_MAX);
	ret = file_read(profile->path, &bytes, err);
	if (ret == 0) {
		faults_init(&faults, profile->path);
		scan_bytes(str_get(&bytes), bytes.len, &faults, &scan);
		check_side(&profile->source, "source", &scan, &faults);
		check_side(&profile->target, "target", &scan, &faults);
		scan_clear(&scan);
		ret = faults_finish(&faults, faults_r, err);
	}
	str_wipe(&bytes);
	return ret;
}
