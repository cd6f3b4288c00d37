/* profile.c - from a file to a struct profile, or to the list of all that is wrong with it.
 *
 * The file is read once. The scanner finds the places and checks the form, iniparser reads the
 * clean copy the scanner made (a memory file, since iniparser opens files only), the tables say
 * what each value may be, and check.c what they say together. Every stage goes on after a fault,
 * so one look finds all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if __has_include(<iniparser/iniparser.h>)
#include <iniparser/iniparser.h>
#else
#include <iniparser.h>
#endif

#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define KEY_BYTES 160

/* iniparser would write to stderr. Its callback is the process's: set to the same each time. */
static int
no_message(const char *fmt, ...)
{
	(void)fmt;
	return 0;
}

/* Lets iniparser read the clean copy. NULL with errno set. */
static dictionary *
read_clean(const struct str *clean)
{
	char path[40];
	dictionary *ini = NULL;
	int fd = memfd_create("profile", MFD_CLOEXEC);

	if (fd < 0)
		return NULL;
	if (write(fd, str_get(clean), clean->len) == (ssize_t)clean->len) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		iniparser_set_error_callback(no_message);
		ini = iniparser_load(path);
	}
	close(fd);
	return ini;
}

/* Passwords may be among the values. */
static void
free_dictionary(dictionary *ini)
{
	for (ssize_t i = 0; ini != NULL && i < ini->size; i++) {
		if (ini->val[i] != NULL)
			secret_wipe(ini->val[i], strlen(ini->val[i]));
	}
	if (ini != NULL)
		iniparser_freedict(ini);
}

static void
fault_section(struct faults *faults, const struct scan_section *section)
{
	const char *near = faults_nearest(section->name, &profile_sections[0].name,
		(size_t)OPTION_SECTIONS, sizeof(profile_sections[0]));

	faults_add(faults, section->line, 0, "[%s]: there is no such section%s%s%s", section->name,
		near != NULL ? ", did you mean [" : "", near != NULL ? near : "",
		near != NULL ? "]?" : "");
}

/* An unknown key: of another section, a slip of the pen, or nothing we know. */
static void
fault_key(
	struct faults *faults, const struct option_section *section, const struct scan_entry *entry)
{
	size_t count = 0;
	const char *near;

	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		if (option_find(s, entry->key) != NULL) {
			faults_add(faults, entry->line, 0, "[%s] %s: belongs into [%s]",
				section->name, entry->key, s->name);
			return;
		}
	}
	while (section->options[count].name != NULL)
		count++;
	near = faults_nearest(
		entry->key, &section->options[0].name, count, sizeof(section->options[0]));
	faults_add(faults, entry->line, 0, "[%s] %s: there is no such key%s%s%s", section->name,
		entry->key, near != NULL ? ", did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?" : "");
}

/* A comment behind a plain password is rather a part of it. */
static void
check_secret_line(const struct option *option, const struct scan_entry *entry,
	const struct profile *profile, const struct option_section *section, struct faults *faults)
{
	char *const *spec =
		(const void *)((const char *)option_base_const(profile, section) + option->offset);

	if (option->type == OPTION_SECRET && entry->commented && !entry->quoted && *spec != NULL &&
		strcmp(option_secret_kind(*spec), "plain") == 0)
		faults_add(faults, entry->line, 0,
			"[%s] %s: put the password in double quotes: it would end before ; or #",
			section->name, option->name);
}

static void
read_entry(const dictionary *ini, const char *bytes, struct scan_entry *entry, const char *dir,
	struct faults *faults, struct profile *profile)
{
	const struct option_section *section = option_section_find(entry->section);
	const struct option *option = section != NULL ? option_find(section, entry->key) : NULL;
	const struct option_place place = { faults, entry->line, entry->section, dir };
	char key[KEY_BYTES], *text;

	if (section == NULL)
		return; /* told once, at its head */
	if (option == NULL) {
		fault_key(faults, section, entry);
		return;
	}
	if (entry->faulty)
		return;
	snprintf(key, sizeof(key), "%s:%s", entry->section, entry->key);
	text = xstrdup(iniparser_getstring(ini, key, ""));
	scan_decode(text);
	if (strlen(text) != entry->value_len ||
		memcmp(text, bytes + entry->value_at, entry->value_len) != 0)
		faults_add(faults, entry->line, 0, "[%s] %s: iniparser reads something else here",
			entry->section, entry->key);
	else if (option_parse(option, option_base(profile, section), text, &place) < 0)
		entry->faulty = true;
	else
		check_secret_line(option, entry, profile, section, faults);
	secret_wipe(text, strlen(text));
	free(text);
}

static struct profile *
profile_new(void)
{
	struct profile *profile = xcalloc(1, sizeof(*profile));

	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		for (const struct option *o = s->options; o->name != NULL; o++)
			option_default(o, option_base(profile, s));
	}
	return profile;
}

static void
fill_port(struct profile_side *side)
{
	if (side->port == 0)
		side->port = side->security == OPTION_TLS ? 993 : 143;
}

int
profile_parse(const char *bytes, size_t len, const char *dir, struct faults *faults,
	struct profile **profile_r)
{
	struct profile *profile = *profile_r = profile_new();
	size_t before = faults->count;
	struct scan scan;
	dictionary *ini;

	scan_bytes(bytes, len, faults, &scan);
	for (size_t i = 0; i < scan.section_count; i++) {
		if (option_section_find(scan.sections[i].name) == NULL)
			fault_section(faults, &scan.sections[i]);
	}
	ini = read_clean(&scan.clean);
	if (ini == NULL)
		faults_add(faults, 0, 0, "iniparser cannot read the file");
	for (size_t i = 0; ini != NULL && i < scan.entry_count; i++)
		read_entry(ini, bytes, &scan.entries[i], dir, faults, profile);
	free_dictionary(ini);
	fill_port(&profile->source);
	fill_port(&profile->target);
	profile_check(profile, &scan, faults);
	scan_clear(&scan);
	return faults->count > before ? -1 : 0;
}

/* A password written out makes the whole file a secret. */
static void
check_private(const struct profile *profile, struct faults *faults)
{
	const char *specs[] = { profile->source.admin_password, profile->target.admin_password };
	struct err err;

	for (size_t i = 0; i < 2; i++) {
		if (specs[i] == NULL || strcmp(option_secret_kind(specs[i]), "plain") != 0)
			continue;
		if (file_check_private(profile->path, &err) < 0)
			faults_add(faults, 0, 0, "%s", err.text);
		return;
	}
}

static void
place_profile(struct profile *profile, char *real)
{
	profile->path = real;
	profile->name = profile_base_name(real);
	profile->state_dir = profile->run.state_dir != NULL ? xstrdup(profile->run.state_dir)
							    : profile_state_default(profile);
}

/* The directory a file lies in, which has an absolute path. */
static char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL || slash == path ? xstrdup("/")
					      : xstrndup(path, (size_t)(slash - path));
}

int
profile_load(
	const char *name_or_path, struct profile **profile_r, struct str *faults_r, struct err *err)
{
	char *path = profile_path(name_or_path, err), *real = NULL, *dir;
	struct profile *profile = NULL;
	struct faults faults;
	struct str bytes;
	int ret = -1;

	str_init(&bytes, SCAN_FILE_MAX);
	if (path == NULL)
		return -1;
	real = realpath(path, NULL);
	if (real == NULL) {
		err_errno(err, ERR_PROFILE, errno, "profile %s", path);
	} else if (file_read(real, &bytes, err) == 0) {
		dir = directory_of(real);
		faults_init(&faults, path);
		profile_parse(str_get(&bytes), bytes.len, dir, &faults, &profile);
		place_profile(profile, real);
		real = NULL;
		check_private(profile, &faults);
		ret = faults_finish(&faults, faults_r, err);
		free(dir);
	}
	str_wipe(&bytes);
	free(path);
	free(real);
	if (ret < 0)
		profile_free(&profile);
	*profile_r = profile;
	return ret;
}

void
profile_free(struct profile **profile)
{
	struct profile *p = *profile;

	*profile = NULL;
	if (p == NULL)
		return;
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		for (const struct option *o = s->options; o->name != NULL; o++)
			option_clear(o, option_base(p, s));
	}
	free(p->name);
	free(p->path);
	free(p->state_dir);
	free(p);
}
