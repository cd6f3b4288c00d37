/* option.c - from the text of a value to the field of a struct.
 *
 * One function per type, none of which keeps anything: a field is changed only when its whole
 * value is good. Faults name place, value (never a secret's) and what was expected, in the words
 * of option_describe(), so that error and manual cannot differ. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define ITEMS_MAX   500
#define PIN_PREFIX  "spki-sha256:"
#define PIN_LETTERS 44 /* 32 bytes in base64 */
#define SHOWN_MAX   60 /* bytes of a value that a fault shows */
#define YEAR_FIRST  1970
#define YEAR_LAST   9999

typedef int parse_fn(const struct option *option, void *base, const char *text,
	const struct option_place *place);

static void *
field(const struct option *option, void *base)
{
	return (char *)base + option->offset;
}

static void *
second(const struct option *option, void *base)
{
	return (char *)base + option->second;
}

/* "[source] port: VALUE why" */
static int
fault(const struct option *option, const struct option_place *place, const char *text, size_t len,
	const char *why)
{
	faults_add(place->faults, place->line, 0, "[%s] %s: %.*s%s%s%s", place->section,
		option->name, (int)(len > SHOWN_MAX ? SHOWN_MAX : len), text,
		len > SHOWN_MAX ? "..." : "", len > 0 ? " " : "", why);
	return -1;
}

/* The same with what the option takes behind `why`. */
static int
fault_expected(const struct option *option, const struct option_place *place, const char *text,
	size_t len, const char *why)
{
	struct str expected;

	str_init(&expected, 0);
	str_adds(&expected, why);
	option_describe(option, &expected);
	fault(option, place, text, len, str_get(&expected));
	str_clear(&expected);
	return -1;
}

static void
set_text(const struct option *option, void *base, char *text)
{
	char **p = field(option, base);

	free(*p);
	*p = text;
}

static int
parse_string(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	(void)place;
	set_text(option, base, xstrdup(text));
	return 0;
}

static const struct option_name *
name_find(const struct option *option, const char *text, size_t len)
{
	for (const struct option_name *n = option->names; n->name != NULL; n++) {
		if (strlen(n->name) == len && text_ieqn(n->name, text, len))
			return n;
	}
	return NULL;
}

static int
parse_choice(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	const struct option_name *name = name_find(option, text, strlen(text));

	if (name == NULL)
		return fault_expected(option, place, text, strlen(text), "is not ");
	set_text(option, base, xstrdup(name->name));
	return 0;
}

/* "~/x" lies in the home directory, what is relative beside the profile. */
static char *
absolute(const char *text, const char *dir)
{
	char *home, *path;

	if (text[0] == '/')
		return xstrdup(text);
	if (strcmp(text, "~") != 0 && strncmp(text, "~/", 2) != 0)
		return path_join(dir, text);
	home = profile_home();
	path = text[1] == '\0' ? xstrdup(home) : path_join(home, text + 2);
	free(home);
	return path;
}

static int
parse_path(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	set_text(option, base, absolute(text, place->dir));
	return 0;
}

static int
parse_secret(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	const char *kind = option_secret_kind(text);
	bool named = strcmp(kind, "plain") != 0 && strcmp(kind, "ask") != 0;

	if (named && text[strlen(kind) + 1] == '\0') {
		faults_add(place->faults, place->line, 0, "[%s] %s: nothing follows \"%s:\"",
			place->section, option->name, kind);
		return -1;
	}
	if (strcmp(kind, "enc") == 0 && !secret_is_sealed(text)) {
		faults_add(place->faults, place->line, 0,
			"[%s] %s: this is not what `profile encrypt` writes (enc:v1:...)",
			place->section, option->name);
		return -1;
	}
	if (strcmp(kind, "file") == 0) {
		char *path = absolute(text + 5, place->dir);

		set_text(option, base, xasprintf("file:%s", path));
		free(path);
		return 0;
	}
	set_text(option, base, xstrdup(text));
	return 0;
}

static int
parse_uint(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	unsigned value, *p = field(option, base);

	if (text_u32(text, strlen(text), &value) < 0 || value < option->min || value > option->max)
		return fault_expected(option, place, text, strlen(text), "is not in ");
	*p = value;
	return 0;
}

static int
parse_bool(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	bool *p = field(option, base);

	if (!text_ieq(text, "yes") && !text_ieq(text, "no"))
		return fault_expected(option, place, text, strlen(text), "is not ");
	*p = text_ieq(text, "yes");
	return 0;
}

static int
parse_enum(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	const struct option_name *name = name_find(option, text, strlen(text));
	unsigned *p = field(option, base);

	if (name == NULL)
		return fault_expected(option, place, text, strlen(text), "is not ");
	*p = name->value;
	return 0;
}

/* 43 letters of base64 of which the last leaves no bit over, and one '='. */
static bool
is_pin(const char *text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (strlen(text) != PIN_LETTERS || strspn(text, letters) != PIN_LETTERS - 1 ||
		text[PIN_LETTERS - 1] != '=')
		return false;
	return (strchr(letters, text[PIN_LETTERS - 2]) - letters) % 4 == 0;
}

static int
parse_verify(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	unsigned *verify = field(option, base);
	char **pin = second(option, base);

	if (!text_istarts(text, PIN_PREFIX)) {
		if (parse_enum(option, base, text, place) < 0)
			return -1;
		free(*pin);
		*pin = NULL;
		return 0;
	}
	text += strlen(PIN_PREFIX);
	if (!is_pin(text))
		return fault(option, place, text, strlen(text),
			"is not the base64 of a SHA-256 (44 letters, the last one =)");
	free(*pin);
	*pin = xstrdup(text);
	*verify = OPTION_VERIFY_PIN;
	return 0;
}

/* A number and one of the units behind it; 0, or -1: not that, or too large. */
static int
parse_units(const char *text, const struct option_unit *units, uint64_t *value_r)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long long value;

	if (text_u64(text, digits, &value) < 0)
		return -1;
	for (const struct option_unit *u = units; u->name != NULL; u++) {
		if (!text_ieq(text + digits, u->name))
			continue;
		if (value > UINT64_MAX / u->value)
			return -1;
		*value_r = value * u->value;
		return 0;
	}
	return -1;
}

static int
parse_size(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	uint64_t value, *p = field(option, base);

	if (parse_units(text, option_sizes, &value) < 0 || value < option->min ||
		value > option->max)
		return fault_expected(option, place, text, strlen(text), "is not a ");
	*p = value;
	return 0;
}

static int
parse_duration(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	uint64_t value;
	unsigned *p = field(option, base);

	if (strcmp(text, "0") == 0)
		value = 0;
	else if (parse_units(text, option_durations, &value) < 0)
		return fault_expected(option, place, text, strlen(text), "is not a ");
	if (value < option->min || value > option->max || value % option->scale != 0)
		return fault_expected(option, place, text, strlen(text), "is not a ");
	*p = (unsigned)(value / option->scale);
	return 0;
}

static int
days_of_month(unsigned year, unsigned month)
{
	static const signed char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* 2015 or 2015-06-30 */
static int
parse_civil(const char *text, int64_t *time_r)
{
	unsigned year, month = 1, day = 1;
	size_t len = strlen(text);

	if (len != 4 && len != 10)
		return -1;
	if (text_u32(text, 4, &year) < 0 || year < YEAR_FIRST || year > YEAR_LAST)
		return -1;
	if (len == 10) {
		if (text[4] != '-' || text[7] != '-' || text_u32(text + 5, 2, &month) < 0 ||
			text_u32(text + 8, 2, &day) < 0)
			return -1;
		if (month < 1 || month > 12 || day < 1 || (int)day > days_of_month(year, month))
			return -1;
	}
	*time_r = clock_civil((int)year, (int)month, (int)day, 0, 0, 0);
	return 0;
}

static int
parse_date(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	int64_t *p = field(option, base);

	if (parse_civil(text, p) < 0)
		return fault_expected(option, place, text, strlen(text), "is not a ");
	return 0;
}

/* One item of a list, stripped and without its quotes. */
struct item {
	const char *text;
	size_t len;
};

static void
strip_item(struct item *item)
{
	while (item->len > 0 && (item->text[0] == ' ' || item->text[0] == '\t')) {
		item->text++;
		item->len--;
	}
	while (item->len > 0 &&
		(item->text[item->len - 1] == ' ' || item->text[item->len - 1] == '\t'))
		item->len--;
}

/* Steps over a quoted part; what is quoted hides commas and arrows. */
static size_t
step(const char *text, bool *may_open)
{
	const char *end;

	if (*may_open && (text[0] == '"' || text[0] == '\'')) {
		*may_open = false;
		end = strchr(text + 1, text[0]);
		return end != NULL ? (size_t)(end - text) + 1 : strlen(text);
	}
	if (text[0] == '-' && text[1] == '>') {
		*may_open = true;
		return 2;
	}
	*may_open = text[0] == ',' || (*may_open && (text[0] == ' ' || text[0] == '\t'));
	return 1;
}

/* Cuts the next item off. False: there is none. */
static bool
next_item(const char **text, struct item *item_r)
{
	const char *p = *text;
	bool may_open = true;

	if (*p == '\0')
		return false;
	while (*p != '\0' && *p != ',')
		p += step(p, &may_open);
	*item_r = (struct item){ *text, (size_t)(p - *text) };
	strip_item(item_r);
	*text = *p == ',' ? p + 1 : p;
	return true;
}

/* The text between an item's quotes. -1: an empty item, or text behind the closing quote. */
static int
item_text(const struct option *option, struct item item, const struct option_place *place,
	char **text_r)
{
	if (item.len > 0 && (item.text[0] == '"' || item.text[0] == '\'')) {
		const char *end =
			item.len > 1 ? memchr(item.text + 1, item.text[0], item.len - 1) : NULL;

		if (end != item.text + item.len - 1)
			return fault(option, place, item.text, item.len,
				"has text behind its closing quote");
		item.text++;
		item.len -= 2;
	}
	if (item.len == 0)
		return fault(option, place, "", 0, "a name in the list is empty");
	*text_r = xstrndup(item.text, item.len);
	return 0;
}

static void
list_clear(struct profile_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->values[i]);
	free(list->values);
	*list = (struct profile_list){ .values = NULL };
}

static int
parse_list(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	struct profile_list list = { .values = NULL }, *p = field(option, base);
	struct item item;
	int ret = 0;

	while (ret == 0 && next_item(&text, &item)) {
		char *name;

		if (list.count >= ITEMS_MAX)
			ret = fault(option, place, "", 0, "the list is longer than 500 names");
		else
			ret = item_text(option, item, place, &name);
		if (ret < 0)
			break;
		list.values = xrealloc(list.values, (list.count + 1) * sizeof(list.values[0]));
		list.values[list.count++] = name;
	}
	if (ret < 0) {
		list_clear(&list);
		return -1;
	}
	list_clear(p);
	*p = list;
	return 0;
}

static void
maps_clear(struct profile_map **maps, size_t *count)
{
	for (size_t i = 0; i < *count; i++) {
		free((*maps)[i].from);
		free((*maps)[i].to);
	}
	free(*maps);
	*maps = NULL;
	*count = 0;
}

/* A star may stand only as the last part, on both sides or on none. */
static int
check_map(const struct option *option, const struct option_place *place,
	const struct profile_map *map)
{
	size_t from = strlen(map->from), to = strlen(map->to);
	const char *star_from = strchr(map->from, '*'), *star_to = strchr(map->to, '*');

	if ((star_from != NULL) != (star_to != NULL))
		return fault(option, place, map->from, from,
			"-> must have /* at the end on both sides or on none");
	if (star_from != NULL &&
		(star_from != map->from + from - 1 || from < 3 || star_from[-1] != '/' ||
			star_to != map->to + to - 1 || (to > 1 && star_to[-1] != '/')))
		return fault(option, place, map->from, from, "-> may have * only as /* at the end");
	return 0;
}

static int
parse_map_item(const struct option *option, struct item item, const struct option_place *place,
	struct profile_map *map_r)
{
	struct item from = { item.text, 0 }, to;
	bool may_open = true;
	size_t at = 0;

	*map_r = (struct profile_map){ .from = NULL };
	while (at < item.len && strncmp(item.text + at, "->", 2) != 0)
		at += step(item.text + at, &may_open);
	if (at + 2 > item.len)
		return fault(option, place, item.text, item.len, "is not FROM -> TO");
	from.len = at;
	to = (struct item){ item.text + at + 2, item.len - at - 2 };
	strip_item(&from);
	strip_item(&to);
	if (item_text(option, from, place, &map_r->from) < 0 ||
		item_text(option, to, place, &map_r->to) < 0)
		return -1;
	return check_map(option, place, map_r);
}

static int
parse_maps(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	struct profile_map *maps = NULL, **p = field(option, base);
	size_t count = 0, *count_p = second(option, base);
	struct item item;
	int ret = 0;

	while (ret == 0 && next_item(&text, &item)) {
		if (count >= ITEMS_MAX) {
			ret = fault(option, place, "", 0, "the list is longer than 500 names");
			break;
		}
		maps = xrealloc(maps, (count + 1) * sizeof(maps[0]));
		ret = parse_map_item(option, item, place, &maps[count++]);
		for (size_t i = 0; ret == 0 && i + 1 < count; i++) {
			if (strcmp(maps[i].from, maps[count - 1].from) == 0)
				ret = fault(option, place, maps[i].from, strlen(maps[i].from),
					"is mapped twice");
		}
	}
	if (ret < 0) {
		maps_clear(&maps, &count);
		return -1;
	}
	maps_clear(p, count_p);
	*p = maps;
	*count_p = count;
	return 0;
}

/* A list of names, or one of the words all and none. */
static int
parse_bits(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	unsigned bits = 0, all = 0, *p = field(option, base);
	struct item item;

	for (const struct option_name *n = option->names; n->name != NULL; n++)
		all |= n->value;
	if (text_ieq(text, "all") || text_ieq(text, "none")) {
		*p = text_ieq(text, "all") ? all : 0;
		return 0;
	}
	while (next_item(&text, &item)) {
		const struct option_name *name = name_find(option, item.text, item.len);

		if (name == NULL)
			return fault_expected(option, place, item.text, item.len, "is not ");
		bits |= name->value;
	}
	*p = bits;
	return 0;
}

static parse_fn *const parsers[] = {
	[OPTION_STRING] = parse_string,
	[OPTION_CHOICE] = parse_choice,
	[OPTION_PATH] = parse_path,
	[OPTION_SECRET] = parse_secret,
	[OPTION_UINT] = parse_uint,
	[OPTION_PORT] = parse_uint,
	[OPTION_BOOL] = parse_bool,
	[OPTION_ENUM] = parse_enum,
	[OPTION_VERIFY] = parse_verify,
	[OPTION_BITS] = parse_bits,
	[OPTION_SIZE] = parse_size,
	[OPTION_DURATION] = parse_duration,
	[OPTION_DATE] = parse_date,
	[OPTION_LIST] = parse_list,
	[OPTION_MAP] = parse_maps,
};

static bool
keeps_quotes(const struct option *option)
{
	return option->type == OPTION_LIST || option->type == OPTION_MAP;
}

int
option_parse(
	const struct option *option, void *base, const char *text, const struct option_place *place)
{
	size_t len = strlen(text);
	char *inner;
	int ret;

	if (keeps_quotes(option) && len > 0)
		return parsers[option->type](option, base, text, place);
	if (text[0] == '"' || text[0] == '\'') {
		if (len < 2 || strchr(text + 1, text[0]) != text + len - 1) {
			faults_add(place->faults, place->line, 0,
				"[%s] %s: there is text behind the closing quote", place->section,
				option->name);
			return -1;
		}
		text++;
		len -= 2;
	}
	if (len == 0) {
		option_default(option, base);
		return 0;
	}
	inner = xstrndup(text, len);
	ret = parsers[option->type](option, base, inner, place);
	secret_wipe(inner, len);
	free(inner);
	return ret;
}

void
option_default(const struct option *option, void *base)
{
	const struct option_place nowhere = { .section = "", .dir = "/" };

	option_clear(option, base);
	if (option->def != NULL && parsers[option->type](option, base, option->def, &nowhere) < 0)
		BUG(option->name);
}

void
option_clear(const struct option *option, void *base)
{
	char **text = field(option, base);

	switch (option->type) {
	case OPTION_SECRET:
	case OPTION_STRING:
	case OPTION_CHOICE:
	case OPTION_PATH:
		if (*text != NULL)
			secret_wipe(*text, strlen(*text));
		free(*text);
		*text = NULL;
		break;
	case OPTION_VERIFY:
		text = second(option, base);
		free(*text);
		*text = NULL;
		break;
	case OPTION_LIST:
		list_clear(field(option, base));
		break;
	case OPTION_MAP:
		maps_clear(field(option, base), second(option, base));
		break;
	case OPTION_BOOL:
		*(bool *)field(option, base) = false;
		break;
	case OPTION_UINT:
	case OPTION_PORT:
	case OPTION_ENUM:
	case OPTION_BITS:
	case OPTION_DURATION:
		*(unsigned *)field(option, base) = 0;
		break;
	case OPTION_SIZE:
		*(uint64_t *)field(option, base) = 0;
		break;
	case OPTION_DATE:
		*(int64_t *)field(option, base) = option->open;
		break;
	}
}

const char *
option_secret_kind(const char *spec)
{
	static const char *const kinds[] = { "file", "env", "cmd", "enc" };

	if (strcmp(spec, "ask") == 0)
		return "ask";
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(spec, kinds[i], len) == 0 && spec[len] == ':')
			return kinds[i];
	}
	return "plain";
}
