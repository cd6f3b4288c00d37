/* option_write.c - from a field back to the text of a value, and what an option takes in words. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "profile/profile_private.h"

#include "base/banned.h"

static const void *
field(const struct option *option, const void *base)
{
	return (const char *)base + option->offset;
}

static unsigned
number(const struct option *option, const void *base)
{
	const unsigned *p = field(option, base);

	return *p;
}

void *
option_base(struct profile *profile, const struct option_section *section)
{
	return (char *)profile + section->offset;
}

const void *
option_base_const(const struct profile *profile, const struct option_section *section)
{
	return (const char *)profile + section->offset;
}

const struct option_section *
option_section_find(const char *name)
{
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		if (text_ieq(s->name, name))
			return s;
	}
	return NULL;
}

const struct option *
option_find(const struct option_section *section, const char *name)
{
	for (const struct option *o = section->options; o->name != NULL; o++) {
		if (text_ieq(o->name, name))
			return o;
	}
	return NULL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Writes text in the first kind of quotes it does not hold itself; -1: it holds both. */
static int
add_quoted(const char *text, struct str *out)
{
	char quote = '"';

	if (strchr(text, quote) != NULL)
		quote = '\'';
	if (strchr(text, quote) != NULL)
		return -1;
	return str_addf(out, "%c%s%c", quote, text, quote);
}

int
option_quote(const char *text, struct str *out)
{
	size_t len = strlen(text);

	if (len == 0)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7F)
			return -1;
	}
	if (is_blank(text[0]) || is_blank(text[len - 1]) || text[0] == '"' || text[0] == '\'' ||
		text[len - 1] == '\\' || strpbrk(text, ";#,>") != NULL)
		return add_quoted(text, out);
	return str_adds(out, text);
}

/* A name in a list: what separates names needs quotes too. */
static void
add_item(const char *text, struct str *out)
{
	size_t len = strlen(text);

	if (is_blank(text[0]) || is_blank(text[len - 1]) || text[len - 1] == '\\' ||
		strpbrk(text, ";#,>\"' ") != NULL)
		add_quoted(text, out);
	else
		str_adds(out, text);
}

/* With the largest unit that leaves no rest. */
static void
add_units(uint64_t value, const struct option_unit *units, struct str *out)
{
	const struct option_unit *best = units;

	for (const struct option_unit *u = units; u->name != NULL && value > 0; u++) {
		if (value % u->value == 0)
			best = u;
	}
	str_addf(out, "%" PRIu64 "%s", value / best->value, best->name);
}

static void
add_name(const struct option *option, unsigned value, struct str *out)
{
	for (const struct option_name *n = option->names; n->name != NULL; n++) {
		if (n->value == value)
			str_adds(out, n->name);
	}
}

static void
add_bits(const struct option *option, unsigned bits, struct str *out)
{
	unsigned all = 0;
	const char *comma = "";

	for (const struct option_name *n = option->names; n->name != NULL; n++)
		all |= n->value;
	if (bits == 0 || bits == all) {
		str_adds(out, bits == 0 ? "none" : "all");
		return;
	}
	for (const struct option_name *n = option->names; n->name != NULL; n++) {
		if ((bits & n->value) == 0)
			continue;
		str_addf(out, "%s%s", comma, n->name);
		comma = ", ";
	}
}

static void
add_date(const struct option *option, int64_t t, struct str *out)
{
	struct civil c;

	if (t == option->open)
		return;
	clock_to_civil(t, &c);
	str_addf(out, "%04d", c.year);
	if (c.month != 1 || c.day != 1)
		str_addf(out, "-%02d-%02d", c.month, c.day);
}

static void
add_list(const struct profile_list *list, struct str *out)
{
	for (size_t i = 0; i < list->count; i++) {
		str_adds(out, i > 0 ? ", " : "");
		add_item(list->values[i], out);
	}
}

static void
add_maps(const struct profile_map *maps, size_t count, struct str *out)
{
	for (size_t i = 0; i < count; i++) {
		str_adds(out, i > 0 ? ", " : "");
		add_item(maps[i].from, out);
		str_adds(out, " -> ");
		add_item(maps[i].to, out);
	}
}

static void
add_verify(const struct option *option, const void *base, struct str *out)
{
	char *const *pin = (const void *)((const char *)base + option->second);

	if (number(option, base) == OPTION_VERIFY_PIN)
		str_addf(out, "spki-sha256:%s", *pin != NULL ? *pin : "");
	else
		add_name(option, number(option, base), out);
}

void
option_write(const struct option *option, const void *base, struct str *out)
{
	const void *p = field(option, base);
	char *const *text = p;

	switch (option->type) {
	case OPTION_STRING:
	case OPTION_CHOICE:
	case OPTION_PATH:
		if (*text != NULL)
			option_quote(*text, out);
		break;
	case OPTION_SECRET:
		if (*text != NULL)
			str_addf(out, "(%s)", option_secret_kind(*text));
		break;
	case OPTION_PORT:
		if (number(option, base) != 0)
			str_addf(out, "%u", number(option, base));
		break;
	case OPTION_UINT:
		str_addf(out, "%u", number(option, base));
		break;
	case OPTION_BOOL:
		str_adds(out, *(const bool *)p ? "yes" : "no");
		break;
	case OPTION_ENUM:
		add_name(option, number(option, base), out);
		break;
	case OPTION_VERIFY:
		add_verify(option, base, out);
		break;
	case OPTION_BITS:
		add_bits(option, number(option, base), out);
		break;
	case OPTION_SIZE:
		add_units(*(const uint64_t *)p, option_sizes, out);
		break;
	case OPTION_DURATION:
		add_units((uint64_t)number(option, base) * option->scale, option_durations, out);
		break;
	case OPTION_DATE:
		add_date(option, *(const int64_t *)p, out);
		break;
	case OPTION_LIST:
		add_list(p, out);
		break;
	case OPTION_MAP:
		add_maps(*(struct profile_map *const *)p,
			*(const size_t *)(const void *)((const char *)base + option->second), out);
		break;
	}
}

static void
describe_range(const struct option *option, const struct option_unit *units, struct str *out)
{
	str_adds(out, ", ");
	add_units(option->min, units, out);
	str_adds(out, "..");
	add_units(option->max, units, out);
}

static void
describe_names(const struct option *option, struct str *out)
{
	for (const struct option_name *n = option->names; n->name != NULL; n++)
		str_addf(out, "%s%s", n != option->names ? " | " : "", n->name);
}

void
option_describe(const struct option *option, struct str *out)
{
	switch (option->type) {
	case OPTION_STRING:
		str_adds(out, "text");
		break;
	case OPTION_PATH:
		str_adds(out, "path, a relative one lies beside the profile");
		break;
	case OPTION_SECRET:
		str_adds(out, "file:PATH | env:NAME | cmd:COMMAND | ask | enc:... | the password");
		break;
	case OPTION_UINT:
	case OPTION_PORT:
		str_addf(out, "%" PRIu64 "..%" PRIu64, option->min, option->max);
		break;
	case OPTION_BOOL:
		str_adds(out, "yes | no");
		break;
	case OPTION_CHOICE:
	case OPTION_ENUM:
		describe_names(option, out);
		break;
	case OPTION_VERIFY:
		describe_names(option, out);
		str_adds(out, " | spki-sha256:BASE64");
		break;
	case OPTION_BITS:
		str_adds(out, "all | none | a list of ");
		describe_names(option, out);
		break;
	case OPTION_SIZE:
		str_adds(out, "size (500, 64K, 16M, 2G)");
		describe_range(option, option_sizes, out);
		break;
	case OPTION_DURATION:
		str_adds(out, "duration (500ms, 10s, 2m, 1h)");
		describe_range(option, option_durations, out);
		break;
	case OPTION_DATE:
		str_adds(out, "year or date (2015, 2015-06-30)");
		break;
	case OPTION_LIST:
		str_adds(out, "names with commas between, a name with a comma in double quotes");
		break;
	case OPTION_MAP:
		str_adds(out,
			"FROM -> TO with commas between, a name with a comma in double quotes");
		break;
	}
}
