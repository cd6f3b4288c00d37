/* select.c - which folder is selected, as we asked and as the server has confirmed.
 *
 * SELECT (a target) or EXAMINE (a source) is sent and not waited for; what follows it refers to its
 * selection and learns later whether it succeeded. Servers answer these in order (RFC 9051, 5.5
 * forbids anything else), so untagged codes belong to the oldest one without an answer. */
#include "connector/imap/imap_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct selection *
selection_ref(struct selection *selection)
{
	if (selection != NULL)
		selection->refs++;
	return selection;
}

void
selection_unref(struct selection **selection)
{
	struct selection *sel = *selection;

	*selection = NULL;
	if (sel == NULL || --sel->refs > 0)
		return;
	free(sel->key);
	free(sel->keywords);
	free(sel);
}

static struct selection *
opening(const struct session *s)
{
	return s->selection_count > 0 ? s->selections[0] : NULL;
}

static void
opened(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	struct selection *sel = command->owner;
	enum err_code code = refusal_code(REFUSED_FOLDER, resp);

	if (status == REPLY_OK) {
		sel->state = SELECTION_OPEN;
		selection_unref(&s->current);
		s->current = selection_ref(sel);
	} else {
		sel->state = SELECTION_FAILED;
		selection_unref(&s->current);
		/* No such folder is what most servers mean by a bare NO here. */
		if (status == REPLY_BAD)
			code = ERR_REFUSED;
		err_set(&sel->err, code == ERR_REFUSED ? ERR_NOFOLDER : code, "%s %s: %.*s",
			command->verb, sel->key, (int)resp->text_len, resp->text);
	}
	for (size_t i = 0; i < s->selection_count; i++) {
		if (s->selections[i] != sel)
			continue;
		memmove(s->selections + i, s->selections + i + 1,
			(s->selection_count - i - 1) * sizeof(struct selection *));
		s->selection_count--;
		break;
	}
	fetch_selected(s, sel);
	selection_unref(&sel); /* the command's */
}

static void
track(struct session *s, struct selection *sel)
{
	if (s->selection_count == s->selection_cap) {
		s->selection_cap = s->selection_cap > 0 ? s->selection_cap * 2 : 16;
		s->selections =
			xrealloc(s->selections, s->selection_cap * sizeof(struct selection *));
	}
	s->selections[s->selection_count++] = sel;
	selection_unref(&s->sent);
	s->sent = selection_ref(sel);
}

static void
enabled(struct session *s, const struct command *command, enum reply_status status,
	const struct resp_text *resp)
{
	(void)command;
	if (status != REPLY_OK)
		session_log(s, LOG_DEBUG, NULL, "ENABLE QRESYNC: %.*s", (int)resp->text_len,
			resp->text);
}

/* Before the first folder is opened (RFC 5161, 3.1), in the same round trip. What it does not do it
 * does not do: then a request for what has vanished is refused. */
static int
enable_changes(struct session *s, struct err *err)
{
	if (!s->ep->readonly || s->enabling || s->sent != NULL || s->current != NULL ||
		!session_has(s, HAS_QRESYNC | HAS_ENABLE))
		return 0;
	command_begin(s, "ENABLE");
	command_add(s, " QRESYNC");
	if (command_send(s, enabled, NULL, 0, err) != 0)
		return -1;
	s->enabling = true;
	return 0;
}

int
selection_send(struct session *s, const struct folder *folder, bool reuse,
	struct selection **selection_r, struct err *err)
{
	struct selection *sel = s->sent;
	size_t len = strlen(folder->key);

	if (reuse && sel != NULL && sel->state != SELECTION_FAILED &&
		strcmp(sel->key, folder->key) == 0) {
		*selection_r = selection_ref(sel);
		return 0;
	}
	if (enable_changes(s, err) != 0)
		return -1;
	command_begin(s, s->ep->readonly ? "EXAMINE" : "SELECT");
	command_string(s, folder->key, len);
	/* Some servers count changes of a folder only from the first time that this was asked for.
	 */
	if (s->ep->readonly && session_has(s, HAS_CONDSTORE) && !s->enabling && !s->no_modseq)
		command_add(s, " (CONDSTORE)");
	sel = xcalloc(1, sizeof(*sel));
	sel->refs = 2; /* the caller's and the command's */
	sel->key = xstrdup(folder->key);
	sel->flags = ITEM_FLAGS_ALL;
	track(s, sel);
	if (command_send(s, opened, sel, 0, err) != 0) {
		if (!s->dead) { /* not sent at all */
			s->selection_count--;
			selection_unref(&s->sent);
			sel->refs--;
		}
		selection_unref(&sel);
		return -1;
	}
	*selection_r = sel;
	return 0;
}

int
selection_wait(struct session *s, struct selection *selection, bool flags, struct err *err)
{
	while (selection->state == SELECTION_SENT && !(flags && selection->flags_known)) {
		if (session_pump(s, err) != 0)
			return -1;
	}
	return 0;
}

/* "(\Answered \* work)" -> what the folder keeps. */
static void
permanent_flags(struct selection *sel, const char *args, size_t len)
{
	size_t i = 0, from;

	sel->flags_known = true;
	sel->any_keyword = false;
	sel->flags = 0;
	free(sel->keywords);
	sel->keywords = NULL;
	while (i < len) {
		if (args[i] == ' ' || args[i] == '(' || args[i] == ')') {
			i++;
			continue;
		}
		for (from = i; i < len && args[i] != ' ' && args[i] != ')'; i++)
			;
		if (i - from == 2 && memcmp(args + from, "\\*", 2) == 0)
			sel->any_keyword = true;
		else
			flags_add_wire(&sel->flags, &sel->keywords, args + from, i - from);
	}
}

void
selection_code(struct session *s, const struct resp_text *resp)
{
	struct selection *sel = opening(s);
	unsigned value;

	if (resp->code == CODE_PERMANENTFLAGS) {
		if (sel == NULL)
			sel = s->current;
		if (sel == NULL)
			return;
		permanent_flags(sel, resp->args, resp->args_len);
		if (sel->any_keyword)
			s->keywords_welcome = true;
	} else if (resp->code == CODE_UIDVALIDITY && sel != NULL) {
		if (text_u32(resp->args, resp->args_len, &value) == 0)
			sel->uidvalidity = value;
	} else if (resp->code == CODE_NOMODSEQ && sel != NULL) {
		sel->no_modseq = true;
	} else if (resp->code == CODE_UIDNEXT && sel != NULL) {
		if (text_u32(resp->args, resp->args_len, &value) == 0)
			sel->uidnext = value;
	}
}

/* Later ones are news of an open folder, which nobody needs. */
void
selection_exists(struct session *s, uint32_t messages)
{
	struct selection *sel = opening(s);

	if (sel != NULL)
		sel->exists = messages;
}

int
selection_check(const struct selection *selection, const struct folder *folder, struct err *err)
{
	if (folder->uidvalidity == 0 || selection->uidvalidity == folder->uidvalidity)
		return 0;
	return err_set(err, ERR_UIDVALIDITY, "%s: UIDVALIDITY was %u, is now %u", folder->key,
		folder->uidvalidity, selection->uidvalidity);
}

void
selections_clear(struct session *s)
{
	/* A selection without an answer still holds its command's reference. */
	for (size_t i = 0; i < s->selection_count; i++)
		selection_unref(&s->selections[i]);
	free(s->selections);
	s->selections = NULL;
	s->selection_count = s->selection_cap = 0;
	selection_unref(&s->sent);
	selection_unref(&s->current);
}
