/* scan.c - looks at every line of a profile before iniparser does.
 *
 * iniparser gives no line numbers, lets the last of duplicate keys win, cuts values at quotes and
 * at `;` and `#`, joins lines at a backslash and gives the whole file up at a line longer than its
 * buffer. So this scanner finds the places, names what iniparser would have taken in silence, and
 * hands it a clean copy: sound lines only, one key each, with the signs it cuts at replaced by
 * control bytes, which no sound line has. What it reads is then what was written, quotes
 * included, and the value parsers of option.c decide what quotes mean for their type. */
#include <stdlib.h>
#include <string.h>

#include "profile/scan.h"

#include "base/banned.h"

#define NAME_MAX_BYTES 60
#define BOUND          '\006' /* around each value: iniparser strips what a locale calls a blank */

static const char signs[] = "\"';#\\";

struct state {
	struct scan *scan;
	struct faults *faults;
	const char *bytes;
	size_t section; /* the current one's number + 1; 0: none yet */
	bool lost;      /* after a section line that could not be read */
	bool full;
};

/* The part of a line that is looked at: offsets into the file's bytes. */
struct span {
	size_t at, len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
strip(const char *bytes, struct span s)
{
	while (s.len > 0 && is_blank(bytes[s.at])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(bytes[s.at + s.len - 1]))
		s.len--;
	return s;
}

static bool
is_name(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '_' && c != '-')
			return false;
	}
	return len > 0 && len <= NAME_MAX_BYTES;
}

static char *
lower_name(const char *text, size_t len)
{
	char *name = xstrndup(text, len);

	for (size_t i = 0; i < len; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] - 'A' + 'a');
	}
	return name;
}

/* Faults of the bytes alone. True: the line may be read further. */
static bool
check_bytes(struct state *s, unsigned line, struct span whole)
{
	const char *text = s->bytes + whole.at;

	if (whole.len > SCAN_LINE_MAX) {
		faults_add(s->faults, line, 0, "the line has %zu bytes, more than %d", whole.len,
			SCAN_LINE_MAX);
		return false;
	}
	for (size_t i = 0; i < whole.len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7F) {
			faults_add(s->faults, line, (unsigned)i + 1, "a %s byte (0x%02X)",
				c == 0 ? "NUL" : "control", c);
			return false;
		}
	}
	if (!text_is_utf8(text, whole.len)) {
		faults_add(s->faults, line, 0, "the line is not UTF-8");
		return false;
	}
	return true;
}

static size_t
add_section(struct scan *scan, const char *text, size_t len, unsigned line)
{
	scan->sections =
		xrealloc(scan->sections, (scan->section_count + 1) * sizeof(scan->sections[0]));
	scan->sections[scan->section_count] =
		(struct scan_section){ .name = lower_name(text, len), .line = line };
	return ++scan->section_count;
}

static void
scan_section_head(struct state *s, unsigned line, struct span text)
{
	const char *p = s->bytes + text.at;
	const char *close = memchr(p, ']', text.len);
	size_t inner = close != NULL ? (size_t)(close - p) - 1 : text.len - 1;
	struct span name = strip(s->bytes, (struct span){ text.at + 1, inner });
	char *wanted;

	s->lost = true;
	s->section = 0;
	if (close == NULL)
		faults_add(s->faults, line, 0, "']' is missing");
	else if (close != p + text.len - 1)
		faults_add(s->faults, line, 0,
			"only the end of the line may follow ']': comments go on a line of their "
			"own");
	if (!is_name(s->bytes + name.at, name.len)) {
		if (close != NULL)
			faults_add(s->faults, line, 0, "this is not a name of a section");
		return;
	}
	s->lost = false;
	wanted = lower_name(s->bytes + name.at, name.len);
	for (size_t i = 0; i < s->scan->section_count && s->section == 0; i++) {
		if (strcmp(s->scan->sections[i].name, wanted) == 0) {
			faults_add(s->faults, line, 0, "[%s] is here a second time, after line %u",
				wanted, s->scan->sections[i].line);
			s->section = i + 1;
		}
	}
	if (s->section == 0)
		s->section = s->scan->section_count < SCAN_ENTRIES_MAX
				     ? add_section(s->scan, s->bytes + name.at, name.len, line)
				     : 0;
	free(wanted);
}

/* How far a value goes. */
struct value {
	size_t len;
	bool quoted, commented;
};

/* Steps over a quoted part; 0: its end is missing. */
static size_t
quoted_len(const char *text, size_t len)
{
	const char *end = memchr(text + 1, text[0], len - 1);

	return end != NULL ? (size_t)(end - text) + 1 : 0;
}

/* A quote opens where a value or a name in a list begins; elsewhere it is a letter like any. */
static int
measure_value(struct state *s, unsigned line, const char *text, size_t len, struct value *value_r)
{
	bool may_open = true;
	size_t i = 0;

	*value_r = (struct value){ .len = 0 };
	while (i < len) {
		char c = text[i];

		if (may_open && (c == '"' || c == '\'')) {
			size_t n = quoted_len(text + i, len - i);

			if (n == 0) {
				faults_add(s->faults, line, 0, "the quote %c is not closed", c);
				return -1;
			}
			value_r->quoted = i == 0;
			i += n;
			value_r->len = i;
			may_open = false;
			continue;
		}
		if (c == ';' || c == '#') {
			bool before = i == 0 || is_blank(text[i - 1]);
			bool after = i + 1 == len || is_blank(text[i + 1]);

			if (!before || !after) {
				faults_add(s->faults, line, 0,
					"the value would end at '%c': put it in double quotes (a "
					"comment has a blank before and behind its '%c')",
					c, c);
				return -1;
			}
			value_r->commented = true;
			break;
		}
		if (!is_blank(c)) {
			may_open = c == ',' || (c == '>' && i > 0 && text[i - 1] == '-');
			value_r->len = i + 1;
			value_r->quoted = false;
		}
		i++;
	}
	return 0;
}

static void
add_entry(struct state *s, struct span key, struct scan_entry entry)
{
	struct scan *scan = s->scan;
	const struct scan_entry *first;

	entry.section = xstrdup(scan->sections[s->section - 1].name);
	entry.key = lower_name(s->bytes + key.at, key.len);
	first = scan_find(scan, entry.section, entry.key);
	if (first != NULL)
		faults_add(s->faults, entry.line, 0,
			"[%s] %s: is here a second time, after line %u", entry.section, entry.key,
			first->line);
	if (first != NULL || scan->entry_count >= SCAN_ENTRIES_MAX) {
		if (first == NULL && !s->full)
			faults_add(s->faults, entry.line, 0, "more than %d keys", SCAN_ENTRIES_MAX);
		s->full = s->full || first == NULL;
		free(entry.section);
		free(entry.key);
		return;
	}
	scan->entries = xrealloc(scan->entries, (scan->entry_count + 1) * sizeof(scan->entries[0]));
	scan->entries[scan->entry_count++] = entry;
}

static void
scan_key(struct state *s, unsigned line, struct span text)
{
	const char *p = s->bytes + text.at;
	const char *equals = memchr(p, '=', text.len);
	struct span key, value;
	struct value measured;
	bool faulty;

	if (equals == NULL) {
		faults_add(s->faults, line, 0,
			"'=' is missing: neither a key, a [section] nor a comment");
		return;
	}
	key = strip(s->bytes, (struct span){ text.at, (size_t)(equals - p) });
	if (!is_name(s->bytes + key.at, key.len)) {
		faults_add(s->faults, line, 0,
			key.len == 0 ? "there is no key before '='"
				     : "this is not a name of a key");
		return;
	}
	value = strip(s->bytes, (struct span){ text.at + (size_t)(equals - p) + 1,
					text.len - (size_t)(equals - p) - 1 });
	faulty = measure_value(s, line, s->bytes + value.at, value.len, &measured) < 0;
	value.len = measured.len;
	if (!faulty && value.len > 0 && s->bytes[value.at + value.len - 1] == '\\') {
		faults_add(s->faults, line, 0,
			"a backslash at the end would join the next line: put the value in "
			"double quotes");
		faulty = true;
	}
	if (s->section == 0) {
		if (!s->lost)
			faults_add(s->faults, line, 0, "%.*s stands before the first [section]",
				(int)key.len, s->bytes + key.at);
		return;
	}
	add_entry(s, key,
		(struct scan_entry){ .line = line,
			.value_at = value.at,
			.value_len = faulty ? 0 : value.len,
			.quoted = measured.quoted,
			.commented = measured.commented,
			.faulty = faulty });
}

static void
scan_line(struct state *s, unsigned line, struct span whole)
{
	struct span text;

	if (whole.len > 0 && s->bytes[whole.at + whole.len - 1] == '\r')
		whole.len--;
	if (!check_bytes(s, line, whole))
		return;
	text = strip(s->bytes, whole);
	if (text.len == 0 || s->bytes[text.at] == ';' || s->bytes[text.at] == '#')
		return;
	if (s->bytes[text.at] == '[')
		scan_section_head(s, line, text);
	else
		scan_key(s, line, text);
}

/* The copy for iniparser, see the top. */
static void
write_clean(const char *bytes, struct scan *scan)
{
	const char *section = "";
	struct str *out = &scan->clean;

	for (size_t i = 0; i < scan->entry_count; i++) {
		const struct scan_entry *entry = &scan->entries[i];

		if (entry->faulty)
			continue;
		if (strcmp(section, entry->section) != 0)
			str_addf(out, "[%s]\n", entry->section);
		section = entry->section;
		str_addf(out, "%s=%c", entry->key, BOUND);
		for (size_t j = 0; j < entry->value_len; j++) {
			char c = bytes[entry->value_at + j];
			const char *sign = strchr(signs, c);

			str_addc(out, sign != NULL ? (char)(sign - signs + 1) : c);
		}
		str_addf(out, "%c\n", BOUND);
	}
}

void
scan_decode(char *value)
{
	size_t len = strlen(value), out = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c == BOUND)
			continue;
		value[out++] = c > 0 && c < sizeof(signs) ? signs[c - 1] : value[i];
	}
	value[out] = '\0';
}

void
scan_bytes(const char *bytes, size_t len, struct faults *faults, struct scan *scan_r)
{
	struct state s = { .scan = scan_r, .faults = faults, .bytes = bytes };
	size_t at = 0;
	unsigned line = 0;

	*scan_r = (struct scan){ .entries = NULL };
	str_init(&scan_r->clean, 4 * SCAN_FILE_MAX);
	if (len >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0)) {
		faults_add(faults, 1, 0, "the file is UTF-16: save it as UTF-8");
		return;
	}
	if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
		at = 3;
	while (at < len) {
		const char *end = memchr(bytes + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - bytes) - at : len - at;

		scan_line(&s, ++line, (struct span){ at, n });
		at += n + 1;
	}
	write_clean(bytes, scan_r);
}

void
scan_clear(struct scan *scan)
{
	for (size_t i = 0; i < scan->entry_count; i++) {
		free(scan->entries[i].section);
		free(scan->entries[i].key);
	}
	for (size_t i = 0; i < scan->section_count; i++)
		free(scan->sections[i].name);
	free(scan->entries);
	free(scan->sections);
	str_wipe(&scan->clean); /* a plain password may be in it */
	*scan = (struct scan){ .entries = NULL };
}

const struct scan_entry *
scan_find(const struct scan *scan, const char *section, const char *key)
{
	for (size_t i = 0; i < scan->entry_count; i++) {
		const struct scan_entry *entry = &scan->entries[i];

		if (strcmp(entry->key, key) == 0 && strcmp(entry->section, section) == 0)
			return entry;
	}
	return NULL;
}

unsigned
scan_section_line(const struct scan *scan, const char *section)
{
	for (size_t i = 0; i < scan->section_count; i++) {
		if (strcmp(scan->sections[i].name, section) == 0)
			return scan->sections[i].line;
	}
	return 0;
}
