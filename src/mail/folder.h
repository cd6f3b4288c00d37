/* folder.h - a folder: where it stands in the tree, what it is for, what the server said of it.
 *
 * Paths are lists of components, never strings with a separator (a component may hold any
 * character, the separator of the other side included). The server's own name is kept as raw
 * bytes in `key`: it identifies the folder and is what is sent back to that server. */
#ifndef MAIL_FOLDER_H
#define MAIL_FOLDER_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum special_use { /* RFC 6154, 2; INBOX beside them */
	USE_NONE,
	USE_INBOX,
	USE_ALL,
	USE_ARCHIVE,
	USE_DRAFTS,
	USE_FLAGGED,
	USE_JUNK,
	USE_SENT,
	USE_TRASH,
	USE_IMPORTANT, /* RFC 8457 */
	USE_TYPES
};

enum folder_flags {
	FOLDER_NOSELECT = 1, /* \Noselect or \NonExistent: holds no messages */
	FOLDER_NOINFERIORS = 2,
	FOLDER_SUBSCRIBED = 4,
	FOLDER_RAW = 8,     /* the name does not decode: parts hold the UTF-8 that the bytes are
			     * without shifts, or else \xNN escapes */
	FOLDER_STATUS = 16, /* the numbers below are filled in */
	FOLDER_SIZE = 32,   /* size_bytes is (STATUS=SIZE, RFC 8438) */
	FOLDER_LISTED = 64  /* it exists (a subscription alone does not make it so) */
};

enum folder_space { SPACE_PERSONAL, SPACE_OTHER, SPACE_SHARED }; /* RFC 2342 */

/* All pointers belong to the arena the folder was made in. */
struct folder {
	const char *key;    /* the server's name, raw bytes, NUL-terminated */
	char delim;         /* 0: flat */
	const char **parts; /* UTF-8, below the namespace's prefix; INBOX is {"INBOX"} */
	size_t part_count;
	enum folder_space space;
	enum special_use use;
	unsigned flags; /* enum folder_flags */
	uint32_t uidvalidity, uidnext, messages;
	uint64_t size_bytes;
	uint64_t highestmodseq; /* 0: not granted */
	const char *mailboxid;  /* RFC 8474, or NULL */
};

struct folder_list {
	struct arena *arena;
	struct folder *folders;
	size_t count, cap;
	uint32_t *by_key; /* the first indexed_count entries in the order of their keys */
	size_t indexed_count;
};

void folder_list_init(struct folder_list *list);
void folder_list_clear(struct folder_list *list);
/* A zeroed entry at the end; pointers to entries are valid until the next add. */
struct folder *folder_list_add(struct folder_list *list);
/* Makes folder_list_find() a binary search over what is in the list now; what is added later is
 * looked through one by one. Call it again after a change of the order or of a key. */
void folder_list_index(struct folder_list *list);
const struct folder *folder_list_find(const struct folder_list *list, const char *key);
void folder_copy(struct arena *arena, struct folder *to, const struct folder *from); /* deep */

/* Splits the raw name: cuts `prefix` (a namespace's) off, splits at delim, decodes each part
 * (modified UTF-7, or UTF-8 as it is when utf8). A part that does not decode sets FOLDER_RAW and
 * is shown with escapes. "INBOX" in any case at the top becomes "INBOX"; with a prefix of
 * "INBOX" + delim, "INBOX" itself stays {"INBOX"}, and a child of that name stays below it
 * ({"INBOX", "INBOX"}). Trailing delimiters are dropped. Undoes Exchange's _xF8FF_ for "/".
 * use becomes USE_INBOX for {"INBOX"}. key is copied into the arena. 0, or -1 for a name that is
 * empty or holds a NUL. */
int folder_parse(struct arena *arena, struct folder *folder, const char *key, size_t key_len,
	char delim, const char *prefix, bool utf8);

/* Makes the server's name of a path: prefix + parts, encoded (modified UTF-7, or UTF-8), joined
 * by delim. A delimiter or control character inside a part becomes `substitute` ('_', or '-'
 * where that is the delimiter), and so does an empty part. A flat target (delim 0) gets the parts
 * joined by the substitute. {"INBOX", ...} becomes "INBOX" + delim + ... without the prefix when
 * the prefix itself starts with INBOX or is empty. Sets *changed_r when a part had to be altered.
 * 0, or -1 (out unchanged) when the path cannot be written: no parts, a part of control
 * characters only or that is not UTF-8, a delimiter that the encoding itself needs. */
int folder_encode(struct str *out, const char *const *parts, size_t part_count, char delim,
	const char *prefix, bool utf8, bool *changed_r);

/* A part in a plainer form, for a server that has refused the name; what is replaced becomes '_'.
 * level 1: the characters that some servers refuse in names; level 2: all of ASCII but letters,
 * digits, '-', '.', '_' and single blanks inside. `first`: it stands at the top. The same pointer
 * when there is nothing to replace. */
const char *folder_plain_part(struct arena *arena, const char *part, bool first, unsigned level);

/* "Archive/2024" for people and for glob rules; a "/" inside a part is shown as it is. Sanitized
 * is the caller's business. Appends. */
void folder_show(struct str *out, const char *const *parts, size_t part_count);

/* Special-use from the attribute ("\\Sent", XLIST's "\\Spam" and "\\AllMail"; the backslash may be
 * missing), case-blind, and back: "Sent", "INBOX", "" for USE_NONE. USE_NONE when unknown. */
enum special_use special_use_by_attr(const char *attr);
const char *special_use_name(enum special_use use);

/* Language table: the folder that programs of ten languages name so ("Gesendete Elemente",
 * "Corbeille", ...); only for top-level names (or directly below INBOX). Case-blind for the
 * letters of the table's languages, NFC and NFD alike. USE_NONE when unknown. */
enum special_use special_use_by_name(const char *name);

#endif
