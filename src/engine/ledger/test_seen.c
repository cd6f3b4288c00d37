/* test_seen.c - the contract of ledger.h: complete passes, changes since a manifest, reasons. */
#include "engine/ledger/test_ledger.h"

#include <limits.h>

#include "base/banned.h"

static const struct ledger_seen numbers = { 12, 9, ((uint64_t)1 << 62) + 1, UINT32_MAX };

static struct ledger_seen
seen_of(struct ledger *ledger, uint64_t id)
{
	struct ledger_folder *rows;
	struct ledger_seen seen = { 0 };
	size_t count;

	CHECK_OK(ledger_flush(ledger, &err));
	CHECK_OK(ledger_folders(ledger, 0, &rows, &count, &err));
	for (size_t i = 0; i < count; i++)
		if (rows[i].id == id)
			seen = rows[i].seen;
	ledger_folders_free(rows, count);
	return seen;
}

static void
see_numbers(struct fixture *f, bool kept)
{
	struct ledger_seen seen;

	ledger_folder_seen(f->ledger, 1, &numbers);
	seen = seen_of(f->ledger, 1);
	CHECK_INT(seen.uidnext, kept ? 12 : 0);
	if (!kept)
		return;
	CHECK_INT(seen.messages, 9);
	CHECK(seen.modseq == numbers.modseq);
	CHECK_INT(seen.settings, UINT32_MAX);
}

/* Not before every item found has its end and every batch its answer. */
static void
seen_when_complete(void)
{
	struct fixture f = { 0 };
	struct ledger_item row = make_item(1, ITEM_LANDED, 5);
	struct ledger_entry entry = { .uid = 2 };
	struct ledger_batch batch = { .folder = 1, .entries = &entry, .count = 1 };
	uint64_t id, ticket;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	ledger_folder_found(f.ledger, 1, 2, 10, 1);
	ledger_items_put(f.ledger, 1, &row, 1);
	see_numbers(&f, false);
	CHECK_OK(ledger_intend(f.ledger, &batch, &id, &ticket, &err));
	see_numbers(&f, false);
	row = make_item(2, ITEM_FAILED, 5);
	ledger_items_put(f.ledger, 1, &row, 1);
	see_numbers(&f, false); /* an answer is still due */
	ledger_result(f.ledger, id, 1, NULL, 0);
	see_numbers(&f, true);
	reopen(&f);
	CHECK_INT(seen_of(f.ledger, 1).uidnext, 12);
	CHECK_INT(seen_of(f.ledger, 2).uidnext, 0);
	end(&f);
}

enum undo { UNDO_REMOVE, UNDO_RETRY, UNDO_MOVE_TO, UNDO_MOVE_FROM, UNDO_PUT, UNDO_KEEP, UNDOS };

/* What makes a folder be looked at again whatever its numbers say. */
static void
seen_taken_back(void)
{
	for (int undo = 0; undo < UNDOS; undo++) {
		struct fixture f = { 0 };
		struct ledger_item rows[2] = { make_item(1, ITEM_LANDED, 5),
			make_item(2, ITEM_FAILED, 5) };
		struct ledger_item moved = make_item(7, ITEM_LANDED, 5);
		struct ledger_changes changes;
		struct ledger_folder *folders;
		struct uidset uids = { 0 };
		size_t count;

		begin(&f);
		make_account(f.ledger, "ana");
		make_folder(f.ledger, 1, "INBOX");
		make_folder(f.ledger, 1, "Sent");
		ledger_folder_found(f.ledger, 1, 2, 10, 1);
		ledger_items_put(f.ledger, 1, rows, 2);
		ledger_items_put(f.ledger, 2, rows, 1);
		see_numbers(&f, true);
		CHECK_OK(ledger_folders(f.ledger, 0, &folders, &count, &err));
		uidset_add(&uids, 1, 1);
		if (undo == UNDO_REMOVE)
			ledger_items_remove(f.ledger, 1, &uids);
		else if (undo == UNDO_RETRY)
			CHECK_OK(ledger_retry(f.ledger, NULL, 0, &changes, &err));
		else if (undo == UNDO_MOVE_TO)
			ledger_item_move(f.ledger, 2, 1, 1, &moved);
		else if (undo == UNDO_MOVE_FROM)
			ledger_item_move(f.ledger, 1, 1, 2, &moved);
		else if (undo == UNDO_PUT)
			folders[0].seen.uidnext = 0;
		if (undo == UNDO_PUT || undo == UNDO_KEEP)
			CHECK_OK(ledger_folder_put(f.ledger, &folders[0], &err));
		CHECK_INT(seen_of(f.ledger, 1).uidnext, undo == UNDO_KEEP ? 12 : 0);
		ledger_folders_free(folders, count);
		uidset_clear(&uids);
		end(&f);
	}
}

struct told {
	char text[2000];
};

static int
tell(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	uint32_t uid, const struct ledger_item *item)
{
	struct told *told = context;
	size_t len = strlen(told->text);

	(void)account;
	snprintf(told->text + len, sizeof(told->text) - len, "%s/%u%s ", folder->source_name, uid,
		uid == 0           ? ""
		: item == NULL     ? "-"
		: item->flags != 0 ? "+flags"
				   : "");
	return 0;
}

/* How many, the last UID, and how many were not above the one before. */
static int
count_told(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	uint32_t uid, const struct ledger_item *item)
{
	uint64_t *told = context;

	(void)account;
	(void)folder;
	(void)item;
	told[0]++;
	told[2] += uid <= told[1];
	told[1] = uid;
	return 0;
}

static uint64_t
changes_after(struct ledger *ledger, uint64_t after, const char *want)
{
	struct told told = { "" };
	uint64_t up_to = 0;

	CHECK_OK(ledger_flush(ledger, &err));
	CHECK_OK(ledger_each_change(ledger, after, tell, &told, &up_to, &err));
	CHECK_STR(told.text, want);
	return up_to;
}

static uint64_t
changes_are(struct ledger *ledger, const char *want)
{
	return changes_after(ledger, 0, want);
}

static void
confirm(struct ledger *ledger, uint64_t up_to)
{
	struct ledger_manifest manifest = { .name = "run/manifest.jsonl", .sha256 = "ab" }, last;

	CHECK_OK(ledger_manifest_done(ledger, &manifest, up_to, &err));
	CHECK_OK(ledger_manifest_last(ledger, &last, &err));
	CHECK_STR(last.name, manifest.name);
	CHECK_STR(last.sha256, "ab");
}

/* All that was written since, once each, also over a crash; nothing that was confirmed. */
static void
changes(void)
{
	struct fixture f = { 0 };
	struct ledger_item rows[3] = { make_item(1, ITEM_LANDED, 5), make_item(2, ITEM_LANDED, 5),
		make_item(9, ITEM_FAILED, 5) };
	struct ledger_changes changed;
	struct uidset uids = { 0 };
	uint64_t up_to;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	for (size_t i = 0; i < 3; i++)
		rows[i].flags = 0;
	ledger_items_put(f.ledger, 1, rows, 3);
	CHECK_OK(ledger_flush(f.ledger, &err));
	ledger_items_put(f.ledger, 1, rows, 2);
	up_to = changes_are(f.ledger, "INBOX/0 INBOX/1 INBOX/2 INBOX/9 Sent/0 ");
	reopen(&f);
	CHECK_INT(changes_are(f.ledger, "INBOX/0 INBOX/1 INBOX/2 INBOX/9 Sent/0 "), up_to);
	/* What comes while the manifest is written is the next one's. */
	ledger_item_flags(f.ledger, 1, 2, ITEM_SEEN, NULL);
	CHECK_OK(ledger_flush(f.ledger, &err));
	confirm(f.ledger, up_to);
	up_to = changes_are(f.ledger, "INBOX/2+flags ");
	confirm(f.ledger, up_to);
	changes_are(f.ledger, "");
	uidset_add(&uids, 1, 1);
	ledger_items_gone(f.ledger, 1, &uids, 2);
	ledger_item_target(f.ledger, 1, 2, 77);
	CHECK_OK(ledger_retry(f.ledger, NULL, 0, &changed, &err));
	up_to = changes_are(f.ledger, "INBOX/1 INBOX/2+flags INBOX/9- ");
	confirm(f.ledger, up_to);
	ledger_item_move(f.ledger, 1, 1, 2, &rows[0]);
	uidset_clear(&uids);
	uidset_add(&uids, 1, 100);
	ledger_items_remove(f.ledger, 1, &uids);
	changes_are(f.ledger, "INBOX/1- INBOX/2- Sent/1 ");
	uidset_clear(&uids);
	end(&f);
}

/* In pieces: each tells what came since the one before, and all that is there of it by now. */
static void
changes_in_pieces(void)
{
	enum { MANY = 12000 }; /* more than is read at once */
	struct fixture f = { 0 };
	struct ledger_item rows[2] = { make_item(1, ITEM_LANDED, 5), make_item(2, ITEM_LANDED, 5) };
	struct ledger_item *many = xcalloc(MANY, sizeof(*many));
	uint64_t at, told[3] = { 0 };

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	rows[0].flags = rows[1].flags = 0;
	ledger_items_put(f.ledger, 1, rows, 2);
	ledger_items_put(f.ledger, 2, rows, 1);
	at = changes_are(f.ledger, "INBOX/0 INBOX/1 INBOX/2 Sent/0 Sent/1 ");
	CHECK_INT(changes_after(f.ledger, at, ""), at);
	ledger_item_flags(f.ledger, 2, 1, ITEM_SEEN, NULL);
	CHECK_OK(ledger_flush(f.ledger, &err));
	ledger_items_put(f.ledger, 1, &rows[1], 1);
	at = changes_after(f.ledger, at, "INBOX/2 Sent/1+flags ");
	changes_after(f.ledger, at, "");
	confirm(f.ledger, at);
	CHECK_INT(changes_after(f.ledger, at, ""), at);
	/* Every other UID: a row of `change` for each. */
	for (uint32_t i = 0; i < MANY; i++)
		many[i] = make_item(10 + 2 * i, ITEM_LANDED, 5);
	ledger_items_put(f.ledger, 1, many, MANY);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_each_change(f.ledger, at, count_told, told, &at, &err));
	CHECK_INT(told[0], MANY);
	CHECK_INT(told[1], 10 + 2 * (MANY - 1));
	CHECK_INT(told[2], 0); /* none of them twice, or before another */
	free(many);
	end(&f);
}

static void
reasons(void)
{
	struct fixture f = { 0 };
	struct ledger_item rows[5] = { make_item(1, ITEM_SKIPPED, 5), make_item(2, ITEM_SKIPPED, 5),
		make_item(3, ITEM_SKIPPED, 5), make_item(4, ITEM_LANDED, 5),
		make_item(5, ITEM_FAILED, 5) };
	struct ledger_reason *list;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	make_folder(f.ledger, 2, "INBOX");
	rows[0].reason = rows[2].reason = REASON_SINCE;
	rows[1].reason = REASON_EMPTY;
	for (uint64_t folder = 1; folder <= 3; folder++)
		ledger_items_put(f.ledger, folder, rows, 5);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_reasons(f.ledger, 1, ITEM_SKIPPED, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(list[0].reason, REASON_SINCE);
	CHECK_INT(list[0].count, 4);
	CHECK_INT(list[1].reason, REASON_EMPTY);
	CHECK_INT(list[1].count, 2);
	free(list);
	CHECK_OK(ledger_reasons(f.ledger, 1, ITEM_HELD, &list, &count, &err));
	CHECK_INT(count, 0);
	free(list);
	end(&f);
}

/* Rounds count what lies on the target since then, whatever becomes of the rows. */
static void
round_counts(void)
{
	struct fixture f = { 0 };
	struct ledger_item row = make_item(1, ITEM_LANDED, 100);
	struct ledger_round *rounds;
	struct uidset uids = { 0 };
	uint64_t run;
	unsigned round;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	CHECK_OK(ledger_run_begin(f.ledger, &run, &round, &err));
	row.round = round;
	ledger_items_put(f.ledger, 1, &row, 1);
	row.uid = 2;
	ledger_items_put(f.ledger, 1, &row, 1);
	row.state = ITEM_VERIFIED;
	ledger_items_put(f.ledger, 1, &row, 1); /* in the place of the other */
	uidset_add(&uids, 1, 1);
	ledger_items_gone(f.ledger, 1, &uids, 1);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_rounds(f.ledger, &rounds, &count, &err));
	CHECK_INT(count, 1);
	CHECK_INT(rounds[0].copied, 2);
	CHECK_INT(rounds[0].bytes, 200);
	free(rounds);
	ledger_items_remove(f.ledger, 1, &uids);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_rounds(f.ledger, &rounds, &count, &err));
	CHECK_INT(rounds[0].copied, 1);
	CHECK_INT(rounds[0].bytes, 100);
	free(rounds);
	uidset_clear(&uids);
	end(&f);
}

int
main(void)
{
	RUN(seen_when_complete);
	RUN(seen_taken_back);
	RUN(changes);
	RUN(changes_in_pieces);
	RUN(reasons);
	RUN(round_counts);
	return test_done();
}
