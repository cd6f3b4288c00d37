/* edit.c - changes one value in a profile that somebody wrote by hand.
 *
 * iniparser would write the file anew, without comments and in an order of its own. Here the
 * scanner's places are used: only the bytes of the value are replaced, or one line is put in where
 * a reader would look for it. The result is scanned again before it replaces the file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

struct edit {
	const char *path; /* real */
	const struct option_section *section;
	const struct option *option;
	const char *value; /* as it will stand in the file */
	struct str before, after;
	struct scan scan;
};

/* The value with its quotes. Lists come with theirs. */
static int
quote(const struct option *option, const char *value, struct str *out, struct err *err)
{
	if (option->type == OPTION_LIST || option->type == OPTION_MAP)
		str_adds(out, value);
	else if (option_quote(value, out) < 0)
		return err_set(err, ERR_PROFILE,
			"%s: a value with both kinds of quotes or a control byte cannot stand in a "
			"profile",
			option->name);
	if (strpbrk(str_get(out), "\n\r") != NULL)
		return err_set(err, ERR_PROFILE, "%s: a line break cannot stand in a profile",
			option->name);
	return 0;
}

/* Whether profile_load() would take the value. */
static int
check_value(const struct edit *edit, struct err *err)
{
	struct profile *scratch = xcalloc(1, sizeof(*scratch));
	static const char place_name[] = "value";
	struct faults *faults = xcalloc(1, sizeof(*faults));
	const struct option_place place = { faults, 0, edit->section->name, "/" };
	int ret;

	faults_init(faults, place_name);
	option_parse(edit->option, option_base(scratch, edit->section), edit->value, &place);
	option_clear(edit->option, option_base(scratch, edit->section));
	ret = faults_finish(faults, NULL, err);
	free(faults);
	free(scratch);
	return ret;
}

/* The line end the file has. */
static const char *
line_end(const struct edit *edit)
{
	const char *bytes = str_get(&edit->before);
	const char *end = memchr(bytes, '\n', edit->before.len);

	return end != NULL && end > bytes && end[-1] == '\r' ? "\r\n" : "\n";
}

static void
add_key(struct edit *edit)
{
	str_addf(&edit->after, "%s =%s%s%s", edit->option->name, *edit->value != '\0' ? " " : "",
		edit->value, line_end(edit));
}

/* Puts the value in the place of the one there. */
static void
replace(struct edit *edit, const struct scan_entry *entry)
{
	const char *bytes = str_get(&edit->before);
	size_t behind = entry->value_at + entry->value_len;

	str_add(&edit->after, bytes, entry->value_at);
	if (entry->value_len == 0 && entry->value_at > 0 && bytes[entry->value_at - 1] == '=')
		str_addc(&edit->after, ' ');
	str_adds(&edit->after, edit->value);
	if (entry->value_len == 0 && behind < edit->before.len && bytes[behind] != '\n' &&
		bytes[behind] != '\r')
		str_addc(&edit->after, ' '); /* a comment follows */
	str_add(&edit->after, bytes + behind, edit->before.len - behind);
}

/* ";port = 993", as the sample has it. */
static bool
is_example_of(const char *text, size_t len, const char *key)
{
	size_t n = strlen(key);

	while (len > 0 && (*text == ';' || *text == '#' || *text == ' ')) {
		text++;
		len--;
	}
	if (len <= n || !text_ieqn(text, key, n))
		return false;
	for (text += n, len -= n; len > 0 && *text == ' '; len--)
		text++;
	return len > 0 && *text == '=';
}

/* Behind which byte a new key of the section belongs: its example, else the section's last key,
 * else its head. 0: there is no such section. */
static size_t
place_of(const struct edit *edit)
{
	const char *bytes = str_get(&edit->before);
	unsigned head = scan_section_line(&edit->scan, edit->section->name), line = 0;
	size_t place = 0, at = 0;

	while (head > 0 && at < edit->before.len) {
		const char *end = memchr(bytes + at, '\n', edit->before.len - at);
		size_t n = end != NULL ? (size_t)(end - bytes) - at + 1 : edit->before.len - at;
		size_t blank = 0;

		while (blank < n && strchr(" \t\r\n", bytes[at + blank]) != NULL)
			blank++;
		line++;
		if (line > head && blank < n && bytes[at + blank] == '[')
			break;
		if (line > head && is_example_of(bytes + at, n, edit->option->name))
			return at + n;
		if (line == head || (line > head && blank < n && bytes[at + blank] != ';' &&
					    bytes[at + blank] != '#'))
			place = at + n;
		at += n;
	}
	return place;
}

static void
insert(struct edit *edit)
{
	const char *bytes = str_get(&edit->before);
	size_t place = place_of(edit), all = edit->before.len;
	size_t upto = place > 0 ? place : all;

	str_add(&edit->after, bytes, upto);
	if (upto > 0 && bytes[upto - 1] != '\n')
		str_adds(&edit->after, line_end(edit));
	if (place == 0)
		str_addf(&edit->after, "%s[%s]%s", all > 0 ? line_end(edit) : "",
			edit->section->name, line_end(edit));
	add_key(edit);
	str_add(&edit->after, bytes + upto, all - upto);
}

/* The new bytes must say what was meant. */
static int
check_result(const struct edit *edit, struct err *err)
{
	struct faults *faults = xcalloc(1, sizeof(*faults));
	const struct scan_entry *entry;
	const char *bytes = str_get(&edit->after);
	struct scan scan;
	bool good;

	faults_init(faults, edit->path);
	scan_bytes(bytes, edit->after.len, faults, &scan);
	entry = scan_find(&scan, edit->section->name, edit->option->name);
	good = !edit->after.overflow && entry != NULL && !entry->faulty &&
	       entry->value_len == strlen(edit->value) &&
	       memcmp(bytes + entry->value_at, edit->value, entry->value_len) == 0;
	scan_clear(&scan);
	faults_clear(faults);
	free(faults);
	if (!good)
		return err_set(err, ERR_PROFILE, "%s: [%s] %s cannot be set to that value",
			edit->path, edit->section->name, edit->option->name);
	return 0;
}

static int
edit_file(struct edit *edit, struct err *err)
{
	struct faults *faults = xcalloc(1, sizeof(*faults));
	const struct scan_entry *entry;
	int ret = file_read(edit->path, &edit->before, err);

	faults_init(faults, edit->path);
	scan_bytes(str_get(&edit->before), edit->before.len, faults, &edit->scan);
	faults_clear(faults); /* those of other lines are not ours */
	free(faults);
	if (ret < 0)
		return -1;
	entry = scan_find(&edit->scan, edit->section->name, edit->option->name);
	if (entry != NULL && entry->faulty)
		return err_set(err, ERR_PROFILE, "%s:%u: this line has to be repaired first",
			edit->path, entry->line);
	if (entry != NULL)
		replace(edit, entry);
	else
		insert(edit);
	if (check_result(edit, err) < 0)
		return -1;
	return file_write_atomic(edit->path, str_get(&edit->after), edit->after.len, err);
}

int
profile_set(
	const char *path, const char *section, const char *key, const char *value, struct err *err)
{
	struct edit edit = { .section = option_section_find(section) };
	struct str text;
	char *real;
	int ret;

	edit.option = edit.section != NULL ? option_find(edit.section, key) : NULL;
	if (edit.option == NULL)
		return err_set(err, ERR_PROFILE, "[%s] %s: there is no such key", section, key);
	real = realpath(path, NULL);
	if (real == NULL)
		return err_errno(err, ERR_PROFILE, errno, "profile %s", path);
	str_init(&text, SCAN_LINE_MAX);
	str_init(&edit.before, SCAN_FILE_MAX);
	str_init(&edit.after, SCAN_FILE_MAX);
	edit.path = real;
	ret = quote(edit.option, value != NULL ? value : "", &text, err);
	edit.value = str_get(&text);
	if (ret == 0)
		ret = check_value(&edit, err);
	if (ret == 0) {
		ret = edit_file(&edit, err);
		scan_clear(&edit.scan);
	}
	str_wipe(&text);
	str_wipe(&edit.before);
	str_wipe(&edit.after);
	free(real);
	return ret;
}
