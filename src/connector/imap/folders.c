/* folders.c - lists, places, makes and subscribes folders, in as few round trips as are granted.
 *
 * One LIST with RETURN options tells all; a server that calls it malformed although it advertised
 * it gets the long way from then on: LIST (or XLIST), LSUB and a STATUS for each folder, all sent
 * at once. */
#include "connector/imap/imap_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { IN_FLIGHT_MAX = 128 }; /* commands sent and not answered: their answers must fit somewhere */

static void
add_status_items(struct session *s)
{
	command_add(s, " (MESSAGES UIDNEXT UIDVALIDITY");
	if (!s->no_status_size) {
		if (session_has(s, HAS_STATUS_SIZE))
			command_add(s, " SIZE");
		/* Of a target nobody asks; and asking makes some servers keep them. */
		if (session_has(s, HAS_CONDSTORE) && s->ep->readonly)
			command_add(s, " HIGHESTMODSEQ");
	}
	command_add(s, ")");
}

static void
begin_list_return(struct session *s)
{
	command_begin(s, "LIST");
	command_add(s, " \"\" \"*\" RETURN (SUBSCRIBED");
	if (session_has(s, HAS_SPECIAL_USE))
		command_add(s, " SPECIAL-USE");
	if (session_has(s, HAS_LIST_STATUS)) {
		command_add(s, " STATUS");
		add_status_items(s);
	}
	command_add(s, ")");
}

/* MAILBOXID travels alone, so that a server which does not have it says so about nothing else.
 * Cyrus IMAP (3.6) is not asked: it answers STATUS with freed memory in its place, which may hold
 * line ends as well as another folder's id. */
static bool
asks_ids(const struct session *s)
{
	return session_has(s, HAS_OBJECTID | HAS_LIST_STATUS) && !s->no_mailboxid &&
	       !session_is_cyrus(s);
}

/* 0; or 1: the server does not understand it after all. */
static int
list_with_options(struct session *s, struct err *err)
{
	struct answer answer = { .refusal = REFUSED_FOLDER }, ids = { .status = REPLY_OK };
	bool extras =
		session_has(s, HAS_LIST_STATUS) && !s->no_status_size &&
		(s->granted & (HAS_STATUS_SIZE | (s->ep->readonly ? HAS_CONDSTORE : 0u))) != 0;

	begin_list_return(s);
	if (command_send(s, answer_done, &answer, 0, err) != 0)
		return -1;
	/* The answers come in this order; and the server's name decides whether ids are asked for.
	 */
	if (session_about(s, err) != 0)
		return -1;
	if (asks_ids(s)) {
		ids.status = REPLY_NONE;
		command_begin(s, "LIST");
		command_add(s, " \"\" \"*\" RETURN (STATUS (MAILBOXID))");
		if (command_send(s, answer_done, &ids, 0, err) != 0)
			return -1;
	}
	if (answer_wait(s, &answer, err) != 0 || answer_wait(s, &ids, err) != 0)
		return -1;
	s->no_mailboxid = s->no_mailboxid || ids.status == REPLY_BAD;
	if (answer.status == REPLY_OK) {
		s->listing->subscriptions_told = true;
		return 0;
	}
	if (answer.status == REPLY_NO)
		return answer_err(&answer, err, "LIST");
	session_log(
		s, LOG_INFO, NULL, "LIST with RETURN is advertised and refused: %s", answer.text);
	if (extras) {
		s->no_status_size = true;
		return list_with_options(s, err);
	}
	s->no_list_return = true;
	return 1;
}

static int
list_plain(struct session *s, struct err *err)
{
	bool xlist = session_has(s, HAS_XLIST) && !session_has(s, HAS_SPECIAL_USE) && !s->no_xlist;
	struct answer list = { .refusal = REFUSED_FOLDER }, lsub = { .refusal = REFUSED_FOLDER };

	command_begin(s, xlist ? "XLIST" : "LIST");
	command_add(s, " \"\" \"*\"");
	if (command_send(s, answer_done, &list, 0, err) != 0 || session_about(s, err) != 0 ||
		answer_wait(s, &list, err) != 0)
		return -1;
	if (xlist && list.status != REPLY_OK) {
		s->no_xlist = true;
		return list_plain(s, err);
	}
	if (list.status != REPLY_OK)
		return answer_err(&list, err, "LIST");
	s->listing->subscribing = true;
	command_begin(s, "LSUB");
	command_add(s, " \"\" \"*\"");
	if (command_send(s, answer_done, &lsub, 0, err) != 0 || answer_wait(s, &lsub, err) != 0)
		return -1;
	s->listing->subscribing = false;
	if (lsub.status != REPLY_OK)
		session_log(s, LOG_WARN, NULL, "LSUB: %s", lsub.text);
	return 0;
}

/* Many commands of a kind in flight. */
struct crowd {
	size_t waiting;
	bool bad;
	bool *done;       /* may be NULL; by index */
	struct err *errs; /* likewise */
	enum refusal refusal;
	const struct folder *folders;
};

static void
crowd_answer(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	struct crowd *crowd = command->owner;
	const char *key = crowd->folders[command->index].key;
	enum err_code code = refusal_code(crowd->refusal, resp);

	crowd->waiting--;
	if (status == REPLY_BAD)
		crowd->bad = true;
	if (status == REPLY_OK || (status == REPLY_NO && code == ERR_EXISTS)) {
		if (crowd->done != NULL)
			crowd->done[command->index] = true;
		return;
	}
	if (crowd->errs != NULL)
		err_set(&crowd->errs[command->index], status == REPLY_BAD ? ERR_NAME : code,
			"%s %s: %.*s", command->verb, key, (int)resp->text_len, resp->text);
	session_log(s, LOG_DEBUG, key, "%s: %.*s", command->verb, (int)resp->text_len, resp->text);
}

static int
crowd_wait(struct session *s, const struct crowd *crowd, size_t most, struct err *err)
{
	while (crowd->waiting > most) {
		if (session_pump(s, err) != 0)
			return -1;
	}
	return 0;
}

/* The command was begun and is complete. */
static int
crowd_send(struct session *s, struct crowd *crowd, size_t index, struct err *err)
{
	struct err local = { 0 };

	if (crowd_wait(s, crowd, IN_FLIGHT_MAX - 1, err) != 0)
		return -1;
	crowd->waiting++;
	if (command_send(s, crowd_answer, crowd, index, &local) == 0)
		return 0;
	crowd->waiting--;
	if (local.code == ERR_NAME && !s->dead) { /* too long to send: nothing has left */
		if (crowd->errs != NULL)
			crowd->errs[index] = local;
		return 0;
	}
	if (!s->dead)
		(void)crowd_wait(s, crowd, 0, NULL); /* no answer may look for us after this */
	if (err != NULL)
		*err = local;
	return -1;
}

/* STATUS of every folder that has no numbers yet. 1: not understood. */
static int
ask_statuses(struct session *s, struct err *err)
{
	struct folder_list *list = s->listing->list;
	struct crowd crowd = { .refusal = REFUSED_FOLDER, .folders = list->folders };

	for (size_t i = 0; i < list->count; i++) {
		const struct folder *folder = &list->folders[i];

		if ((folder->flags & (FOLDER_NOSELECT | FOLDER_STATUS)) != 0 ||
			(folder->flags & FOLDER_LISTED) == 0)
			continue;
		if (crowd_wait(s, &crowd, IN_FLIGHT_MAX - 1, err) != 0)
			return -1;
		command_begin(s, "STATUS");
		command_string(s, folder->key, strlen(folder->key));
		add_status_items(s);
		if (crowd_send(s, &crowd, i, err) != 0)
			return -1;
	}
	if (crowd_wait(s, &crowd, 0, err) != 0)
		return -1;
	return crowd.bad ? 1 : 0;
}

/* A folder whose STATUS was refused is opened for its numbers: without its UIDVALIDITY it could not
 * be told from another folder of that name. One that cannot be opened either stays without them:
 * nothing can be read from it. */
static int
ask_by_opening(struct session *s, struct err *err)
{
	struct folder_list *list = s->listing->list;
	struct selection *selection = NULL;

	for (size_t i = 0; i < list->count; i++) {
		struct folder *folder = &list->folders[i];

		if ((folder->flags & (FOLDER_NOSELECT | FOLDER_STATUS)) != 0 ||
			(folder->flags & FOLDER_LISTED) == 0)
			continue;
		if (selection_send(s, folder, false, &selection, err) != 0 ||
			selection_wait(s, selection, false, err) != 0) {
			selection_unref(&selection);
			return -1;
		}
		if (selection->state == SELECTION_OPEN && selection->uidvalidity != 0) {
			folder->uidvalidity = selection->uidvalidity;
			folder->uidnext = selection->uidnext;
			folder->messages = selection->exists;
			folder->flags |= FOLDER_STATUS;
		}
		selection_unref(&selection);
	}
	return 0;
}

/* Without NAMESPACE: if all lies below INBOX, that is where this server wants folders. */
static void
guess_namespace(struct session *s, struct folder_list *list)
{
	char prefix[] = { 'I', 'N', 'B', 'O', 'X', s->delim, '\0' };
	size_t below = 0, len = strlen(prefix);

	if (s->namespace_told)
		return;
	for (size_t i = 0; i < list->count && s->delim != '\0'; i++) {
		if (text_ieqn(list->folders[i].key, prefix, len))
			below++;
		else if (!text_ieq(list->folders[i].key, "INBOX"))
			below = list->count + 1;
	}
	if (below == 0 || below > list->count)
		return;
	namespaces_clear(s);
	namespace_add(s, prefix, len, s->delim, SPACE_PERSONAL);
	for (size_t i = 0; i < list->count; i++) {
		struct folder *f = &list->folders[i];

		folder_parse(list->arena, f, f->key, strlen(f->key), f->delim, prefix,
			listing_is_utf8(f->key, strlen(f->key)));
	}
}

/* The answers to NAMESPACE and LIST are on their way together; a server that answers LIST first has
 * its names read once more. */
static int
know_namespaces(struct session *s, struct err *err)
{
	struct folder_list *list = s->listing->list;

	if (session_about(s, err) != 0)
		return -1;
	for (size_t i = 0; s->listing->early && i < list->count; i++) {
		struct folder *f = &list->folders[i];
		const struct namespace *space = namespace_of(s, f->key);

		folder_parse(list->arena, f, f->key, strlen(f->key), f->delim,
			space->space == SPACE_PERSONAL && space->prefix != NULL ? space->prefix
										: "",
			listing_is_utf8(f->key, strlen(f->key)));
		f->space = space->space;
	}
	return 0;
}

static int
list_all(struct session *s, struct err *err)
{
	int ret = 1;

	/* Without NAMESPACE a LIST was sent, whose answer is no folder. */
	if (!session_has(s, HAS_NAMESPACE) && session_about(s, err) != 0)
		return -1;
	s->listing->growing = true;
	if (session_has(s, HAS_LIST_EXTENDED) && !s->no_list_return)
		ret = list_with_options(s, err);
	if (ret == 1)
		ret = list_plain(s, err);
	s->listing->growing = false;
	if (ret != 0 || know_namespaces(s, err) != 0)
		return -1;
	ret = ask_statuses(s, err);
	if (ret == 1 && !s->no_status_size) {
		s->no_status_size = true;
		ret = ask_statuses(s, err);
	}
	return ret < 0 ? -1 : ask_by_opening(s, err);
}

int
imap_folder_list(struct session *s, struct folder_list *list_r, struct err *err)
{
	struct listing listing;
	int ret;

	listing_init(&listing, list_r);
	s->listing = &listing;
	ret = list_all(s, err);
	s->listing = NULL;
	listing_clear(&listing);
	if (ret == 0)
		guess_namespace(s, list_r);
	return ret;
}

int
imap_folder_place(struct session *s, struct arena *arena, const char *const *parts,
	size_t part_count, struct folder *folder_r, bool *changed_r, struct err *err)
{
	const struct namespace *space = namespace_personal(s);
	char delim = space->delim;
	const char *prefix = space->prefix != NULL ? space->prefix : "";
	struct str key;
	int ret;

	if (delim == '\0')
		delim = s->delim;
	*changed_r = false;
	*folder_r = (struct folder){ .delim = delim };
	str_init(&key, 4096);
	ret = folder_encode(&key, parts, part_count, delim, prefix, false, changed_r);
	/* Its parts as this server will list them, not as they were wished for. */
	if (ret == 0)
		ret = folder_parse(arena, folder_r, str_get(&key), key.len, delim, prefix, false);
	str_clear(&key);
	if (ret != 0)
		return err_set(err, ERR_NAME, "the target cannot have a folder of this name");
	return 0;
}

static void
begin_create(struct session *s, const char *key, size_t len, enum special_use use)
{
	command_begin(s, "CREATE");
	command_string(s, key, len);
	if (use != USE_NONE && use != USE_INBOX && session_has(s, HAS_CREATE_SPECIAL_USE))
		command_addf(s, " (USE (\\%s))", special_use_name(use));
}

/* Is a folder of that very name there, and can it hold messages? */
static int
folder_is_there(struct session *s, const struct folder *folder, bool *there_r, struct err *err)
{
	struct answer answer = { .refusal = REFUSED_FOLDER };
	struct listing listing;
	struct folder_list list;
	const struct folder *found;
	int ret;

	folder_list_init(&list);
	listing_init(&listing, &list);
	s->listing = &listing;
	command_begin(s, "LIST");
	command_add(s, " \"\"");
	command_string(s, folder->key, strlen(folder->key));
	ret = command_send(s, answer_done, &answer, 0, err);
	if (ret == 0)
		ret = answer_wait(s, &answer, err);
	s->listing = NULL;
	found = folder_list_find(&list, folder->key);
	*there_r = found != NULL && (found->flags & FOLDER_NOSELECT) == 0;
	listing_clear(&listing);
	folder_list_clear(&list);
	return ret;
}

/* CREATE of each folder above it, for servers that do not make them by themselves. */
static int
make_parents(struct session *s, const struct folder *folder, struct err *err)
{
	const char *prefix = namespace_of(s, folder->key)->prefix;
	const char *at = folder->key;

	if (folder->delim == '\0')
		return 0;
	if (prefix != NULL && strncmp(at, prefix, strlen(prefix)) == 0)
		at += strlen(prefix);
	for (at = strchr(at, folder->delim); at != NULL; at = strchr(at + 1, folder->delim)) {
		struct answer answer = { .refusal = REFUSED_FOLDER };

		if (at == folder->key ||
			text_ieqn(folder->key, "INBOX", (size_t)(at - folder->key)))
			continue;
		begin_create(s, folder->key, (size_t)(at - folder->key), USE_NONE);
		if (command_send(s, answer_done, &answer, 0, err) != 0 ||
			answer_wait(s, &answer, err) != 0)
			return -1;
	}
	return 0;
}

/* A refused CREATE, step by step: is it there, without its use, below parents made first. */
static int
make_again(struct session *s, const struct folder *folder, bool *made, struct err *why,
	struct err *err)
{
	struct answer answer = { .refusal = REFUSED_FOLDER };

	if (why->code == ERR_QUOTA || why->code == ERR_PERM)
		return 0;
	if (folder_is_there(s, folder, made, err) != 0)
		return -1;
	if (*made || make_parents(s, folder, err) != 0)
		return s->dead ? -1 : 0;
	begin_create(s, folder->key, strlen(folder->key), USE_NONE);
	if (command_send(s, answer_done, &answer, 0, err) != 0 || answer_wait(s, &answer, err) != 0)
		return -1;
	*made = answer.status == REPLY_OK || answer.refused == ERR_EXISTS;
	if (!*made)
		answer_err(&answer, why, folder->key);
	return 0;
}

/* Opened on the way, so that it is known whether this server takes keywords before the first batch
 * that has some. What goes into INBOX opens it once more, since much may lie between. */
static int
open_inbox(struct session *s, struct err *err)
{
	static const struct folder inbox = { .key = "INBOX" };
	struct selection *selection = NULL;

	if (s->selection_count > 0 || s->current != NULL || s->ep->readonly)
		return 0;
	if (selection_send(s, &inbox, true, &selection, err) != 0)
		return -1;
	selection_unref(&selection);
	selection_unref(&s->sent);
	return 0;
}

/* A list that was made before everything was there. */
static int
list_anew(struct session *s, struct folder_list *list, struct err *err)
{
	folder_list_clear(list);
	folder_list_init(list);
	return imap_folder_list(s, list, err);
}

int
imap_folder_make(struct session *s, const struct folder *folders, size_t count, bool *made_r,
	struct err *errs, struct folder_list *list_r, struct err *err)
{
	struct crowd crowd = {
		.done = made_r, .errs = errs, .refusal = REFUSED_FOLDER, .folders = folders
	};
	bool anew = false;
	int ret;

	if (open_inbox(s, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		made_r[i] = text_ieq(folders[i].key, "INBOX");
		if (made_r[i])
			continue;
		if (crowd_wait(s, &crowd, IN_FLIGHT_MAX - 1, err) != 0)
			return -1;
		begin_create(s, folders[i].key, strlen(folders[i].key), folders[i].use);
		if (crowd_send(s, &crowd, i, err) != 0)
			return -1;
	}
	/* Commands about the same folders are carried out in their order (RFC 3501, 5.5). */
	ret = imap_folder_list(s, list_r, err);
	/* No answer may look for the crowd after this, whatever has become of the list. */
	if (crowd_wait(s, &crowd, 0, ret == 0 ? err : NULL) != 0 || ret != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		anew = anew || !made_r[i] || folder_list_find(list_r, folders[i].key) == NULL;
		if (!made_r[i] && make_again(s, &folders[i], &made_r[i], &errs[i], err) != 0)
			return -1;
	}
	return anew ? list_anew(s, list_r, err) : 0;
}

int
imap_subscribe_start(struct session *s, const struct folder *folders, size_t count,
	struct err *errs, struct err *err)
{
	if (imap_subscribe_wait(s, err) != 0)
		return -1;
	s->subscribing = xcalloc(1, sizeof *s->subscribing);
	*s->subscribing =
		(struct crowd){ .errs = errs, .refusal = REFUSED_FOLDER, .folders = folders };
	for (size_t i = 0; i < count; i++) {
		if (crowd_wait(s, s->subscribing, IN_FLIGHT_MAX - 1, err) != 0)
			return -1;
		command_begin(s, "SUBSCRIBE");
		command_string(s, folders[i].key, strlen(folders[i].key));
		if (crowd_send(s, s->subscribing, i, err) != 0)
			return -1;
	}
	return 0;
}

int
imap_subscribe_wait(struct session *s, struct err *err)
{
	if (s->subscribing == NULL)
		return session_alive(s, err);
	if (crowd_wait(s, s->subscribing, 0, err) != 0)
		return -1;
	free(s->subscribing);
	s->subscribing = NULL;
	return 0;
}
