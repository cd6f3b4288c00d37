/* flags.c - which flags and keywords may be sent, and UID STORE. */
#include "connector/imap/imap_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { MODIFIED_MAX = 20000 }; /* ranges of UIDs in one answer */

char *
flags_keep(const struct selection *selection, const char *keywords, bool *dropped_r)
{
	bool all = !selection->flags_known || selection->any_keyword;
	const char *word = keywords;
	char *kept = NULL;

	while (word != NULL && *word != '\0') {
		size_t len = strcspn(word, " ");
		char *copy = xstrndup(word, len);

		if (len > 0 && keyword_is_atom(copy, len) &&
			(all || keywords_has(selection->keywords, copy)))
			keywords_add(&kept, copy, len);
		else if (len > 0)
			*dropped_r = true;
		free(copy);
		word += len + (word[len] == ' ' ? 1 : 0);
	}
	return kept;
}

struct stores {
	size_t waiting;
	struct err err; /* the first refusal */
	const char *key;
	uint64_t unchanged_since; /* 0: whatever has changed */
	struct uidset *modified;
	const struct uidset *asked;
};

/* [MODIFIED 7,9]: those were not changed (RFC 7162, 3.1.3). A list that cannot be read might name
 * any of them. */
static void
take_modified(struct stores *stores, const struct resp_text *resp)
{
	if (stores->unchanged_since == 0 || resp->code != CODE_MODIFIED ||
		uidset_parse(stores->modified, resp->args, resp->args_len, MODIFIED_MAX) == 0)
		return;
	for (size_t i = 0; i < stores->asked->count; i++)
		uidset_add(stores->modified, stores->asked->ranges[i].first,
			stores->asked->ranges[i].last);
}

static void
store_answered(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	struct stores *stores = command->owner;
	enum err_code code = refusal_code(REFUSED_OTHER, resp);

	(void)s;
	stores->waiting--;
	take_modified(stores, resp);
	if (resp->code == CODE_MODIFIED)
		return;
	if (status == REPLY_OK || stores->err.code != ERR_NONE)
		return;
	if (status == REPLY_NO && code == ERR_VANISHED)
		return;
	err_set(&stores->err, status == REPLY_BAD ? ERR_BAD : code, "%s: UID STORE: %.*s",
		stores->key, (int)resp->text_len, resp->text);
}

static int
send_stores(struct session *s, struct stores *stores, const struct uidset *set, const char *flags,
	struct err *err)
{
	size_t wrote, from = 0;
	struct str uids;
	int ret = 0;

	str_init(&uids, COMMAND_LINE_MAX);
	while (from < set->count && ret == 0) {
		str_reset(&uids);
		wrote = uidset_write(&uids, set, from, COMMAND_LINE_MAX / 2);
		if (wrote == 0)
			BUG("a UID range does not fit a command");
		from += wrote;
		command_begin(s, "UID STORE");
		command_addf(s, " %s", str_get(&uids));
		if (stores->unchanged_since != 0)
			command_addf(s, " (UNCHANGEDSINCE %llu)",
				(unsigned long long)stores->unchanged_since);
		command_addf(s, " FLAGS.SILENT (%s)", flags);
		stores->waiting++;
		ret = command_send(s, store_answered, stores, 0, err);
		if (ret != 0)
			stores->waiting--;
	}
	str_clear(&uids);
	while (stores->waiting > 0 && !s->dead) {
		if (session_pump(s, ret == 0 ? err : NULL) != 0)
			ret = -1;
	}
	return ret;
}

int
imap_flags_set(struct session *s, const struct folder *folder, const struct uidset *set,
	unsigned flags, const char *keywords, uint64_t unchanged_since, struct uidset *modified_r,
	struct err *err)
{
	struct stores stores = {
		.key = folder->key,
		.unchanged_since = unchanged_since,
		.modified = modified_r,
		.asked = set,
	};
	struct selection *selection = NULL;
	struct str words;
	bool dropped = false;
	char *kept = NULL;
	int ret;

	if (session_alive(s, err) != 0 || selection_send(s, folder, true, &selection, err) != 0)
		return -1;
	/* UIDs of another UIDVALIDITY would be other messages: nothing is sent before that is
	 * known. */
	ret = selection_wait(s, selection, false, err);
	if (ret == 0 && selection->state == SELECTION_FAILED) {
		*err = selection->err;
		ret = -1;
	}
	if (ret == 0)
		ret = selection_check(selection, folder, err);
	if (ret == 0) {
		kept = flags_keep(selection, keywords, &dropped);
		str_init(&words, COMMAND_LINE_MAX / 2);
		flags_write(&words, flags & ITEM_FLAGS_ALL, kept);
		ret = send_stores(s, &stores, set, str_get(&words), err);
		str_clear(&words);
		free(kept);
	}
	selection_unref(&selection);
	if (ret == 0 && stores.err.code != ERR_NONE) {
		*err = stores.err;
		ret = -1;
	}
	return ret;
}
