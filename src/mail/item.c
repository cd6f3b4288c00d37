/* item.c - items, their system flags, and their keywords.
 *
 * Keywords are one text, sorted by their lower-case spelling and separated by single blanks: two
 * lists are equal exactly when their texts are, which is what rounds and settling compare. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mail/item.h"

#include "base/banned.h"

#define KEYWORDS_MAX_BYTES 4096

#define FLAG(name, flag)                                                                           \
	{                                                                                          \
		name, sizeof(name) - 1, flag                                                       \
	}

static const struct {
	const char *name;
	size_t len;
	unsigned flag;
} system_flags[] = {
	FLAG("\\Seen", ITEM_SEEN),
	FLAG("\\Answered", ITEM_ANSWERED),
	FLAG("\\Flagged", ITEM_FLAGGED),
	FLAG("\\Deleted", ITEM_DELETED),
	FLAG("\\Draft", ITEM_DRAFT),
};
#define SYSTEM_FLAGS (sizeof(system_flags) / sizeof(system_flags[0]))

struct item *
item_new(uint32_t uid)
{
	struct item *item = xcalloc(1, sizeof(*item));

	item->uid = uid;
	item->received = ITEM_DATE_NONE;
	return item;
}

void
item_free(struct item **item)
{
	if (*item == NULL)
		return;
	free((*item)->keywords);
	free(*item);
	*item = NULL;
}

struct item *
item_dup(const struct item *item)
{
	struct item *copy = item_new(item->uid);

	*copy = *item;
	if (item->keywords != NULL)
		copy->keywords = xstrdup(item->keywords);
	return copy;
}

static int
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static int
keyword_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t i, len = a_len < b_len ? a_len : b_len;

	for (i = 0; i < len; i++) {
		int diff = lower((unsigned char)a[i]) - lower((unsigned char)b[i]);

		if (diff != 0)
			return diff;
	}
	return a_len < b_len ? -1 : a_len > b_len;
}

/* Where `keyword` stands in the list or would have to be put; *there_r tells which. */
static const char *
keyword_place(const char *list, const char *keyword, size_t len, bool *there_r)
{
	*there_r = false;
	while (*list != '\0') {
		size_t entry_len = strcspn(list, " ");
		int order = keyword_compare(keyword, len, list, entry_len);

		if (order <= 0) {
			*there_r = order == 0;
			break;
		}
		list += entry_len;
		list += *list == ' ';
	}
	return list;
}

int
keywords_add(char **keywords, const char *keyword, size_t len)
{
	const char *old = *keywords != NULL ? *keywords : "";
	size_t old_len = strlen(old), i, at;
	bool there;
	char *list;

	for (i = 0; i < len; i++)
		if ((unsigned char)keyword[i] <= ' ' || keyword[i] == 0x7f)
			return -1;
	if (len == 0 || len > KEYWORDS_MAX_BYTES)
		return -1;
	at = (size_t)(keyword_place(old, keyword, len, &there) - old);
	if (there)
		return 0;
	if (old_len + (old_len > 0) + len > KEYWORDS_MAX_BYTES)
		return -1;
	list = xmalloc(old_len + len + 2);
	memcpy(list, old, at);
	if (at == old_len && old_len > 0) { /* behind the last one */
		list[at] = ' ';
		memcpy(list + at + 1, keyword, len);
	} else {
		memcpy(list + at, keyword, len);
		if (old_len > 0)
			list[at + len] = ' ';
		memcpy(list + at + len + (old_len > 0), old + at, old_len - at);
	}
	list[old_len + (old_len > 0) + len] = '\0';
	free(*keywords);
	*keywords = list;
	return 0;
}

bool
keywords_eq(const char *a, const char *b)
{
	return text_ieq(a != NULL ? a : "", b != NULL ? b : "");
}

bool
keywords_has(const char *keywords, const char *keyword)
{
	bool there = false;

	if (keywords != NULL && *keyword != '\0')
		keyword_place(keywords, keyword, strlen(keyword), &there);
	return there;
}

int
flags_add_wire(unsigned *flags, char **keywords, const char *flag, size_t len)
{
	size_t i;

	if (len == 0 || flag[0] != '\\')
		return keywords_add(keywords, flag, len);
	for (i = 0; i < SYSTEM_FLAGS; i++) {
		if (len == system_flags[i].len && text_ieqn(flag, system_flags[i].name, len)) {
			*flags |= system_flags[i].flag;
			return 0;
		}
	}
	return 1;
}

bool
keyword_is_atom(const char *keyword, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)keyword[i];

		if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c) != NULL)
			return false;
	}
	return len > 0;
}

void
flags_write(struct str *out, unsigned flags, const char *keywords)
{
	const char *blank = "";
	size_t i, len;

	for (i = 0; i < SYSTEM_FLAGS; i++) {
		if ((flags & system_flags[i].flag) == 0)
			continue;
		str_adds(out, blank);
		str_add(out, system_flags[i].name, system_flags[i].len);
		blank = " ";
	}
	for (; keywords != NULL && *keywords != '\0';
		keywords += len, keywords += *keywords == ' ') {
		len = strcspn(keywords, " ");
		if (!keyword_is_atom(keywords, len))
			continue;
		str_adds(out, blank);
		str_add(out, keywords, len);
		blank = " ";
	}
}
