/* folder.c - lists of folders, and names between one server's form and ours.
 *
 * Between the two servers a folder is a list of UTF-8 components. Reading never fails for odd
 * bytes: what does not decode is shown by escapes and still known by its raw key. Writing alters
 * only what the target cannot hold, and tells that it did. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mail/folder.h"
#include "mail/utf7.h"
#include "mail/utf8_private.h"

#include "base/banned.h"

#define FOLDERS_FIRST  32
#define EXCHANGE_SLASH "_xF8FF_" /* "/" in names, as Exchange writes it */
#define ESCAPE_BYTES   4         /* \xNN */

void
folder_list_init(struct folder_list *list)
{
	*list = (struct folder_list){ .arena = arena_new() };
}

void
folder_list_clear(struct folder_list *list)
{
	arena_free(&list->arena);
	free(list->folders);
	free(list->by_key);
	*list = (struct folder_list){ 0 };
}

struct folder *
folder_list_add(struct folder_list *list)
{
	struct folder *folder;

	if (list->count == list->cap) {
		list->cap = list->cap == 0 ? FOLDERS_FIRST : list->cap * 2;
		list->folders = xrealloc(list->folders, list->cap * sizeof(*list->folders));
	}
	folder = &list->folders[list->count++];
	*folder = (struct folder){ 0 };
	return folder;
}

static const char *
list_key(const struct folder_list *list, uint32_t at)
{
	return list->folders[at].key != NULL ? list->folders[at].key : "";
}

static int
compare_entries(const void *a, const void *b, void *list)
{
	uint32_t at_a = *(const uint32_t *)a, at_b = *(const uint32_t *)b;
	int order = strcmp(list_key(list, at_a), list_key(list, at_b));

	/* Of equal keys the first in the list is found. */
	return order != 0 ? order : at_a < at_b ? -1 : at_a > at_b;
}

void
folder_list_index(struct folder_list *list)
{
	size_t i;

	list->by_key = xrealloc(list->by_key, (list->count + 1) * sizeof(*list->by_key));
	for (i = 0; i < list->count; i++)
		list->by_key[i] = (uint32_t)i;
	list->indexed_count = list->count;
	qsort_r(list->by_key, list->count, sizeof(*list->by_key), compare_entries, list);
}

const struct folder *
folder_list_find(const struct folder_list *list, const char *key)
{
	size_t low = 0, high = list->indexed_count, i;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(list_key(list, list->by_key[mid]), key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < list->indexed_count && strcmp(list_key(list, list->by_key[low]), key) == 0)
		return &list->folders[list->by_key[low]];
	for (i = list->indexed_count; i < list->count; i++)
		if (strcmp(list_key(list, (uint32_t)i), key) == 0)
			return &list->folders[i];
	return NULL;
}

void
folder_copy(struct arena *arena, struct folder *to, const struct folder *from)
{
	size_t i;

	*to = *from;
	if (from->key != NULL)
		to->key = arena_strdup(arena, from->key);
	if (from->mailboxid != NULL)
		to->mailboxid = arena_strdup(arena, from->mailboxid);
	if (from->parts == NULL)
		return;
	to->parts = arena_alloc(arena, (from->part_count + 1) * sizeof(*to->parts));
	for (i = 0; i < from->part_count; i++)
		to->parts[i] = arena_strdup(arena, from->parts[i]);
}

static bool
is_inbox(const char *name, size_t len)
{
	return len == 5 && text_ieqn(name, "INBOX", 5);
}

/* A namespace's prefix of "INBOX" or "INBOX" + delim + ... */
static bool
prefix_is_inbox(const char *prefix, char delim)
{
	return text_istarts(prefix, "INBOX") && (prefix[5] == '\0' || prefix[5] == delim);
}

/* Where the path below the prefix begins: 0 when the name is not below it. */
static size_t
prefix_len(const char *key, size_t key_len, char delim, const char *prefix)
{
	size_t len = strlen(prefix), blind = prefix_is_inbox(prefix, delim) ? 5 : 0;

	if (key_len <= len || !text_ieqn(key, prefix, blind) ||
		memcmp(key + blind, prefix + blind, len - blind) != 0)
		return 0;
	return len;
}

/* Bytes that are no name in any form we know: every one that could be taken for something else
 * is written as an escape, the backslash too. */
static void
add_escaped(struct str *out, const char *part, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)part[i];

		if (c < ' ' || c >= 0x7f || c == '\\')
			str_addf(out, "\\x%02x", c);
		else
			str_addc(out, (char)c);
	}
}

static void
undo_exchange_slash(struct str *text)
{
	size_t len = strlen(EXCHANGE_SLASH), from = 0, to = 0;

	while (from < text->len) {
		if (text->len - from >= len && text->data[from] == '_' &&
			text_ieqn(text->data + from, EXCHANGE_SLASH, len)) {
			text->data[to++] = '/';
			from += len;
		} else {
			text->data[to++] = text->data[from++];
		}
	}
	str_cut(text, to);
}

static const char *
parse_part(struct arena *arena, struct folder *folder, const char *part, size_t len, bool utf8)
{
	struct str text;
	const char *result;

	str_init(&text, len * ESCAPE_BYTES + 1);
	if (utf8 && text_is_utf8(part, len)) {
		str_add(&text, part, len);
	} else if (utf8 || utf7_decode(part, len, &text) < 0) {
		folder->flags |= FOLDER_RAW;
		/* A server that takes UTF-8 without the shifts; ASCII here is a broken shift. */
		if (text_is_utf8(part, len) && memchr(part, '&', len) == NULL &&
			memchr(part, '\\', len) == NULL)
			str_add(&text, part, len);
		else
			add_escaped(&text, part, len);
	}
	undo_exchange_slash(&text);
	result = arena_strndup(arena, str_get(&text), text.len);
	str_clear(&text);
	return result;
}

int
folder_parse(struct arena *arena, struct folder *folder, const char *key, size_t key_len,
	char delim, const char *prefix, bool utf8)
{
	const char *p, *end = key + key_len;
	size_t cut, parts = 1;
	bool below_inbox;

	if (key_len == 0 || memchr(key, '\0', key_len) != NULL)
		return -1;
	prefix = prefix != NULL ? prefix : "";
	cut = prefix_len(key, key_len, delim, prefix);
	below_inbox = prefix_is_inbox(prefix, delim);
	while (delim != '\0' && end > key + cut && end[-1] == delim)
		end--;
	if (end == key + cut && cut > 0) /* "INBOX." as a folder of its own */
		cut = 0;
	if (end == key)
		return -1;
	for (p = key + cut; delim != '\0' && p < end; p++)
		parts += *p == delim;
	folder->key = arena_strndup(arena, key, key_len);
	folder->delim = delim;
	folder->parts = arena_alloc(arena, (parts + 1) * sizeof(*folder->parts));
	folder->part_count = 0;
	for (p = key + cut; p <= end; p++) {
		const char *stop = delim != '\0' ? memchr(p, delim, (size_t)(end - p)) : NULL;
		size_t len = (size_t)((stop != NULL ? stop : end) - p);
		bool inbox = folder->part_count == 0 && is_inbox(p, len);

		if (inbox && (below_inbox || *prefix == '\0'))
			folder->parts[folder->part_count++] = "INBOX";
		/* Below "INBOX." a child of this name is not INBOX itself. */
		if (!inbox || cut > 0)
			folder->parts[folder->part_count++] =
				parse_part(arena, folder, p, len, utf8);
		p += len;
	}
	if (folder->part_count == 1 && strcmp(folder->parts[0], "INBOX") == 0 &&
		(below_inbox || *prefix == '\0'))
		folder->use = USE_INBOX;
	return 0;
}

static bool
is_control(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029;
}

/* The part as the target can hold it, not yet encoded. -1 for what is no name at all. */
static int
clean_part(struct str *out, const char *part, char delim, char substitute, bool *changed)
{
	const unsigned char *p = (const unsigned char *)part, *end = p + strlen(part);
	bool visible = p == end;

	if (p == end) {
		str_addc(out, substitute);
		*changed = true;
	}
	while (p < end) {
		uint32_t c;
		size_t len = utf8_read(p, end, &c);

		if (len == 0)
			return -1;
		if (is_control(c) || (delim != '\0' && c == (unsigned char)delim)) {
			str_addc(out, substitute);
			*changed = true;
		} else {
			str_add(out, p, len);
		}
		visible |= !is_control(c);
		p += len;
	}
	return visible && !out->overflow ? 0 : -1;
}

static int
encode_part(
	struct str *out, const char *part, char delim, char substitute, bool utf8, bool *changed)
{
	size_t start = out->len;
	struct str text;
	int ret;

	str_init(&text, strlen(part) + 2);
	ret = clean_part(&text, part, delim, substitute, changed);
	if (ret == 0 && utf8)
		ret = str_add(out, str_get(&text), text.len);
	else if (ret == 0)
		ret = utf7_encode(str_get(&text), text.len, out);
	str_clear(&text);
	/* A delimiter such as '&' or '+' could stand inside what the encoding wrote. */
	if (ret == 0 && delim != '\0' && memchr(out->data + start, delim, out->len - start) != NULL)
		ret = -1;
	return ret;
}

int
folder_encode(struct str *out, const char *const *parts, size_t part_count, char delim,
	const char *prefix, bool utf8, bool *changed_r)
{
	char substitute = '_';
	size_t start = out->len, i = 0;
	bool changed = false;
	int ret;

	if (delim == substitute)
		substitute = '-';
	prefix = prefix != NULL ? prefix : "";
	if (part_count > 0 && is_inbox(parts[0], strlen(parts[0])) &&
		(*prefix == '\0' || prefix_is_inbox(prefix, delim))) {
		ret = str_adds(out, "INBOX");
		i = 1;
	} else {
		ret = part_count == 0 ? -1 : str_adds(out, prefix);
	}
	for (; ret == 0 && i < part_count; i++) {
		if (i > 0)
			ret = str_addc(out, delim != '\0' ? delim : substitute);
		changed |= i > 0 && delim == '\0';
		if (ret == 0)
			ret = encode_part(out, parts[i], delim, substitute, utf8, &changed);
	}
	if (ret != 0) {
		str_cut(out, start);
		return -1;
	}
	if (changed_r != NULL)
		*changed_r = changed;
	return 0;
}

static bool
is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Cyrus IMAP 3.6 refuses the first set anywhere, the star apart, which is a pattern to older ones;
 * Dovecot 2.3 refuses a '~' at the beginning, UW a '#'. */
static bool
is_plain(const char *part, size_t at, bool first, unsigned level)
{
	char c = part[at];

	if ((unsigned char)c >= 0x80)
		return true;
	if (strchr("!\"%*;<>\\^{|}", c) != NULL || (first && at == 0 && strchr("~#", c) != NULL))
		return false;
	if (level < 2 || is_letter_or_digit(c) || strchr("-._", c) != NULL)
		return true;
	return c == ' ' && at > 0 && part[at - 1] != ' ' && part[at + 1] != '\0';
}

const char *
folder_plain_part(struct arena *arena, const char *part, bool first, unsigned level)
{
	char *copy = NULL;

	for (size_t i = 0; part[i] != '\0'; i++) {
		if (is_plain(part, i, first, level))
			continue;
		if (copy == NULL)
			copy = arena_strdup(arena, part);
		copy[i] = '_';
	}
	return copy != NULL ? copy : part;
}

void
folder_show(struct str *out, const char *const *parts, size_t part_count)
{
	size_t i;

	for (i = 0; i < part_count; i++) {
		if (i > 0)
			str_addc(out, '/');
		str_adds(out, parts[i]);
	}
}
