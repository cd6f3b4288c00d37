/* listing.c - reads the answers to LIST, XLIST, LSUB, STATUS and NAMESPACE.
 *
 * Folders are found again by name through a hash, so that an account with 100,000 folders costs no
 * more per folder than one with ten. Names are raw bytes; INBOX alone is case-blind. */
#include "connector/imap/imap_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void
listing_init(struct listing *listing, struct folder_list *list)
{
	*listing = (struct listing){ .list = list };
}

void
listing_clear(struct listing *listing)
{
	free(listing->index);
	*listing = (struct listing){ .list = NULL };
}

static bool
key_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0 || (text_ieq(a, "INBOX") && text_ieq(b, "INBOX"));
}

static size_t
key_hash(const char *key)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	if (text_ieq(key, "INBOX"))
		key = "INBOX";
	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 1099511628211u;
	return (size_t)(hash ^ hash >> 32);
}

/* The slot of a key: filled, or the empty one where it belongs. */
static size_t
slot_of(const struct listing *listing, const char *key)
{
	size_t slot = key_hash(key) & (listing->index_size - 1);

	while (listing->index[slot] != 0 &&
		!key_eq(listing->list->folders[listing->index[slot] - 1].key, key))
		slot = (slot + 1) & (listing->index_size - 1);
	return slot;
}

static void
index_grow(struct listing *listing)
{
	listing->index_size = listing->index_size > 0 ? listing->index_size * 2 : 256;
	free(listing->index);
	listing->index = xcalloc(listing->index_size, sizeof(*listing->index));
	for (size_t i = 0; i < listing->list->count; i++)
		listing->index[slot_of(listing, listing->list->folders[i].key)] = (uint32_t)i + 1;
}

static struct folder *
listing_find(const struct listing *listing, const char *key)
{
	size_t slot;

	if (listing->index_size == 0)
		return NULL;
	slot = slot_of(listing, key);
	return listing->index[slot] != 0 ? &listing->list->folders[listing->index[slot] - 1] : NULL;
}

/* Some servers send UTF-8 where modified UTF-7 is due. */
bool
listing_is_utf8(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)key[i] >= 0x80)
			return text_is_utf8(key, len);
	}
	return false;
}

static const char *
prefix_of(const struct namespace *space)
{
	return space->prefix != NULL ? space->prefix : "";
}

/* NULL: the name cannot be used. */
static struct folder *
listing_add(struct session *s, const char *key, size_t len, char delim)
{
	struct listing *listing = s->listing;
	struct folder_list *list = listing->list;
	const struct namespace *space = namespace_of(s, key);
	struct folder *folder;

	listing->early =
		listing->early || (s->about.waiting && s->about.names.status == REPLY_NONE);
	if (listing->index_size < (list->count + 1) * 2)
		index_grow(listing);
	folder = folder_list_add(list);
	/* A folder of others keeps what tells whose it is. */
	if (folder_parse(list->arena, folder, key, len, delim,
		    space->space == SPACE_PERSONAL ? prefix_of(space) : "",
		    listing_is_utf8(key, len)) != 0) {
		list->count--;
		return NULL;
	}
	folder->space = space->space;
	if (text_ieq(folder->key, "INBOX"))
		folder->use = USE_INBOX;
	listing->index[slot_of(listing, folder->key)] = (uint32_t)list->count;
	return folder;
}

/* NIL, or anything but one character: flat. */
static char
delimiter_of(const struct wire_token *token)
{
	if (token->type == WIRE_NIL || token->len != 1)
		return '\0';
	return token->text[0];
}

struct list_line {
	unsigned flags;
	enum special_use use;
	bool inbox; /* XLIST says so, whatever it is called */
	char delim;
};

static void
take_attribute(struct list_line *line, const char *attr)
{
	enum special_use use = special_use_by_attr(attr);

	if (text_ieq(attr, "\\Noselect") || text_ieq(attr, "\\NonExistent"))
		line->flags |= FOLDER_NOSELECT;
	else if (text_ieq(attr, "\\Noinferiors"))
		line->flags |= FOLDER_NOINFERIORS;
	else if (text_ieq(attr, "\\Subscribed"))
		line->flags |= FOLDER_SUBSCRIBED;
	else if (text_ieq(attr, "\\Inbox"))
		line->inbox = true;
	else if (use != USE_NONE && line->use == USE_NONE)
		line->use = use;
}

/* "(attributes) delimiter", up to the name. */
static int
read_list_head(struct session *s, struct list_line *line, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_OPEN)
		return err_set(err, ERR_PROTOCOL, "the server sent a LIST without attributes");
	for (;;) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type == WIRE_CLOSE)
			break;
		if (token.type == WIRE_OPEN || token.type == WIRE_EOL)
			return err_set(
				err, ERR_PROTOCOL, "the server sent a LIST with broken attributes");
		take_attribute(line, token.text);
	}
	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_STRING && token.type != WIRE_NIL && token.type != WIRE_ATOM)
		return err_set(err, ERR_PROTOCOL, "the server sent a LIST without a delimiter");
	line->delim = delimiter_of(&token);
	return 0;
}

/* Of what no real server comes near: an account whose folders cannot all be held is not moved,
 * rather than moved without some of them. */
static int
check_name(struct session *s, const char *name, size_t len, char delim, struct err *err)
{
	struct listing *listing = s->listing;
	size_t levels = 1;

	for (size_t i = 0; i < len && delim != '\0'; i++)
		levels += name[i] == delim;
	if (len > NAME_BYTES_MAX || levels > NAME_LEVELS_MAX)
		return err_set(err, ERR_PROTOCOL,
			"the server lists a folder whose name has over %d bytes or %d levels",
			NAME_BYTES_MAX, NAME_LEVELS_MAX);
	listing->name_bytes += len + levels * LEVEL_BYTES;
	if (listing->list->count >= FOLDERS_MAX || listing->name_bytes > NAMES_BYTES_MAX)
		return err_set(err, ERR_PROTOCOL, "the server lists more folders than can be held");
	return 0;
}

static int
take_folder(struct session *s, const struct list_line *line, const char *name, size_t len,
	bool lsub, struct err *err)
{
	struct folder *folder;

	if (line->inbox) {
		name = "INBOX";
		len = 5;
	}
	folder = listing_find(s->listing, name);
	if (folder == NULL) {
		/* In LSUB \Noselect only means that something below is subscribed (RFC
		 * 3501, 6.3.9). */
		if (lsub && (line->flags & FOLDER_NOSELECT) != 0)
			return 0;
		if (check_name(s, name, len, line->delim, err) != 0)
			return -1;
		folder = listing_add(s, name, len, line->delim);
		if (folder == NULL)
			return 0;
		if (lsub)
			folder->flags |= FOLDER_NOSELECT;
	}
	if (lsub) {
		folder->flags |= FOLDER_SUBSCRIBED;
		return 0;
	}
	if ((folder->flags & FOLDER_LISTED) == 0)
		folder->flags &= ~(unsigned)FOLDER_NOSELECT;
	folder->flags |= FOLDER_LISTED | line->flags;
	if (line->use != USE_NONE)
		folder->use = line->use;
	return 0;
}

int
listing_take_list(struct session *s, bool lsub, struct err *err)
{
	struct list_line line = { .flags = 0 };
	struct wire_token token;

	if (read_list_head(s, &line, err) != 0)
		return -1;
	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_STRING && token.type != WIRE_ATOM && token.type != WIRE_NIL)
		return err_set(err, ERR_PROTOCOL, "the server sent a LIST without a name");
	if (s->delim == '\0' && !lsub)
		s->delim = line.delim;
	/* The answer to LIST "" "" has no name; one with a NUL cannot be sent back. */
	if (s->listing != NULL && s->listing->growing && token.len > 0 &&
		strlen(token.text) == token.len &&
		take_folder(
			s, &line, token.text, token.len, lsub && s->listing->subscribing, err) != 0)
		return -1;
	s->progress = s->progress || (s->listing != NULL && s->listing->growing);
	return wire_skip_rest(&s->wire, err);
}

/* objectid = 1*255(ALPHA / DIGIT / "_" / "-"); one that is not has been garbage in the field. */
static bool
is_objectid(const struct wire_token *token)
{
	if (token->type != WIRE_ATOM && token->type != WIRE_STRING)
		return false;
	for (size_t i = 0; i < token->len; i++) {
		char c = token->text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    c == '_' || c == '-'))
			return false;
	}
	return token->len >= 1 && token->len <= 255;
}

/* "(id)" of RFC 8474. */
static int
read_mailboxid(struct session *s, struct folder *folder, struct err *err)
{
	struct wire_token token;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_OPEN)
		return 0;
	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (folder != NULL && is_objectid(&token))
		folder->mailboxid = arena_strndup(s->listing->list->arena, token.text, token.len);
	while (token.type != WIRE_CLOSE) {
		if (token.type == WIRE_EOL || token.type == WIRE_OPEN)
			return err_set(err, ERR_PROTOCOL, "the server sent a broken MAILBOXID");
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
	}
	return 0;
}

enum status_seen { SEEN_MESSAGES = 1, SEEN_UIDNEXT = 2, SEEN_UIDVALIDITY = 4, SEEN_ALL = 7 };

/* One "NAME value" of a STATUS; the name was read. */
static int
read_status_item(struct session *s, const struct wire_token *name, struct folder *folder,
	unsigned *seen, struct err *err)
{
	struct folder nobody = { .key = "" };
	struct wire_token value;
	uint64_t number;
	char word[24] = "";

	if (wire_is(name, "MAILBOXID"))
		return read_mailboxid(s, folder, err);
	if (name->len < sizeof(word))
		memcpy(word, name->text, name->len);
	if (folder == NULL)
		folder = &nobody;
	if (wire_next(&s->wire, false, &value, err) != 0)
		return -1;
	if (value.type == WIRE_OPEN) { /* of an item we do not know */
		while (s->wire.depth > 1) {
			if (wire_next(&s->wire, false, &value, err) != 0)
				return -1;
			if (value.type == WIRE_EOL)
				break;
		}
		return 0;
	}
	if (value.type == WIRE_CLOSE || value.type == WIRE_EOL)
		return err_set(err, ERR_PROTOCOL, "the server sent a STATUS without a value");
	if (wire_u64(&value, &number) != 0)
		return 0;
	if (text_ieq(word, "SIZE")) {
		folder->size_bytes = number;
		folder->flags |= FOLDER_SIZE;
	} else if (text_ieq(word, "HIGHESTMODSEQ")) {
		/* 63 bits (RFC 7162, 7); more is none, and so is 0. */
		folder->highestmodseq = number <= INT64_MAX ? number : 0;
	} else if (number > UINT32_MAX) {
		return 0;
	} else if (text_ieq(word, "MESSAGES")) {
		folder->messages = (uint32_t)number;
		*seen |= SEEN_MESSAGES;
	} else if (text_ieq(word, "UIDNEXT")) {
		folder->uidnext = (uint32_t)number;
		*seen |= SEEN_UIDNEXT;
	} else if (text_ieq(word, "UIDVALIDITY")) {
		folder->uidvalidity = (uint32_t)number;
		*seen |= SEEN_UIDVALIDITY;
	}
	return 0;
}

int
listing_take_status(struct session *s, struct err *err)
{
	struct folder *folder = NULL;
	struct wire_token token;
	unsigned seen = 0;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (s->listing != NULL &&
		(token.type == WIRE_ATOM || token.type == WIRE_STRING || token.type == WIRE_NIL))
		folder = listing_find(s->listing, token.text);
	s->progress = s->progress || folder != NULL;
	if (token.type == WIRE_EOL || wire_next(&s->wire, false, &token, err) != 0 ||
		token.type != WIRE_OPEN)
		return err_set(err, ERR_PROTOCOL, "the server sent a broken STATUS");
	for (;;) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type == WIRE_CLOSE)
			break;
		if (token.type != WIRE_ATOM)
			return err_set(err, ERR_PROTOCOL, "the server sent a broken STATUS");
		if (read_status_item(s, &token, folder, &seen, err) != 0)
			return -1;
	}
	if (folder != NULL && seen == SEEN_ALL)
		folder->flags |= FOLDER_STATUS;
	return wire_skip_rest(&s->wire, err);
}

/* Namespaces. */

void
namespaces_clear(struct session *s)
{
	for (size_t i = 0; i < s->namespace_count; i++)
		free(s->namespaces[i].prefix);
	free(s->namespaces);
	s->namespaces = NULL;
	s->namespace_count = 0;
}

void
namespace_add(
	struct session *s, const char *prefix, size_t len, char delim, enum folder_space space)
{
	struct namespace *n;

	if (s->namespace_count == NAMESPACES_MAX || memchr(prefix, '\0', len) != NULL)
		return;
	s->namespaces = xrealloc(s->namespaces, (s->namespace_count + 1) * sizeof(*s->namespaces));
	n = &s->namespaces[s->namespace_count++];
	*n = (struct namespace){ .delim = delim, .space = space };
	/* RFC 2342 does not ask for the delimiter at its end, and names are made by appending. */
	if (len > 0 && delim != '\0' && prefix[len - 1] != delim && space == SPACE_PERSONAL)
		n->prefix = xasprintf("%.*s%c", (int)len, prefix, delim);
	else
		n->prefix = xstrndup(prefix, len);
}

/* ("prefix" "delimiter" extensions); its parenthesis is open. */
static int
read_namespace(struct session *s, enum folder_space space, struct err *err)
{
	unsigned outer = s->wire.depth - 1;
	struct wire_token token;
	char *prefix = NULL;
	size_t len = 0;

	for (unsigned i = 0; s->wire.depth > outer; i++) {
		if (wire_next(&s->wire, false, &token, err) != 0) {
			free(prefix);
			return -1;
		}
		if (i == 0) {
			prefix = xstrndup(token.text, token.len);
			len = token.len;
		} else if (i == 1) {
			namespace_add(s, prefix, len, delimiter_of(&token), space);
		}
	}
	free(prefix);
	return 0;
}

int
listing_take_namespace(struct session *s, struct err *err)
{
	static const enum folder_space spaces[] = { SPACE_PERSONAL, SPACE_OTHER, SPACE_SHARED };
	struct wire_token token;

	namespaces_clear(s);
	s->namespace_told = true;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type == WIRE_NIL)
			continue;
		if (token.type != WIRE_OPEN)
			return err_set(err, ERR_PROTOCOL, "the server sent a broken NAMESPACE");
		while (s->wire.depth > 0) {
			if (wire_next(&s->wire, false, &token, err) != 0)
				return -1;
			if (token.type == WIRE_CLOSE)
				continue;
			if (token.type != WIRE_OPEN)
				return err_set(
					err, ERR_PROTOCOL, "the server sent a broken NAMESPACE");
			if (read_namespace(s, spaces[i], err) != 0)
				return -1;
		}
	}
	return wire_skip_rest(&s->wire, err);
}

static const struct namespace no_namespace = { .prefix = NULL, .space = SPACE_PERSONAL };

static bool
in_namespace(const struct namespace *space, const char *key)
{
	size_t len = strlen(space->prefix), inbox = 5;

	if (len >= inbox && text_ieqn(space->prefix, "INBOX", inbox) && strlen(key) >= inbox &&
		text_ieqn(key, "INBOX", inbox)) {
		key += inbox;
		return strncmp(key, space->prefix + inbox, len - inbox) == 0;
	}
	if (strncmp(key, space->prefix, len) == 0)
		return true;
	/* "Public" of the namespace "Public/": its root. */
	return len > 0 && space->delim != '\0' && space->prefix[len - 1] == space->delim &&
	       strlen(key) == len - 1 && strncmp(key, space->prefix, len - 1) == 0;
}

const struct namespace *
namespace_of(const struct session *s, const char *key)
{
	const struct namespace *best = NULL;

	if (!text_ieq(key, "INBOX")) {
		for (size_t i = 0; i < s->namespace_count; i++) {
			const struct namespace *space = &s->namespaces[i];

			if (in_namespace(space, key) &&
				(best == NULL || strlen(space->prefix) > strlen(best->prefix)))
				best = space;
		}
	}
	return best != NULL ? best : namespace_personal(s);
}

const struct namespace *
namespace_personal(const struct session *s)
{
	for (size_t i = 0; i < s->namespace_count; i++) {
		if (s->namespaces[i].space == SPACE_PERSONAL)
			return &s->namespaces[i];
	}
	return &no_namespace;
}
