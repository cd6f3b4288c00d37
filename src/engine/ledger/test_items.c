/* test_items.c - the contract of ledger.h, without a look behind it: items and batches. */
#include "engine/ledger/test_ledger.h"

#include <limits.h>

#include "base/banned.h"

static void
items(void)
{
	struct fixture f = { 0 };
	struct ledger_item rows[4], *got;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	rows[0] = make_item(1, ITEM_LANDED, 100);
	rows[0].keywords = TEXT("$Forwarded work\xe9");
	rows[0].flags = ITEM_FLAGS_ALL;
	rows[0].target_uid = UINT32_MAX;
	rows[1] = make_item(7, ITEM_VERIFIED, (uint64_t)1 << 40);
	rows[1].reason = REASON_REPAIRED;
	rows[1].steps = 5;
	memset(rows[1].sent, 9, DIGEST_SIZE);
	rows[1].received = ITEM_DATE_NONE;
	rows[2] = make_item(8, ITEM_FAILED, 0);
	rows[2].reason = ERR_CONTENT;
	rows[2].text = TEXT("refused: \"8bit\"");
	memset(rows[2].digest, 0, DIGEST_SIZE);
	rows[3] = make_item(UINT32_MAX, ITEM_ADOPTED, 3);
	rows[3].received = -1;
	rows[3].gone_round = 2;
	ledger_items_put(f.ledger, 1, rows, 4);
	ledger_items_put(f.ledger, 2, rows, 1);
	items_are(f.ledger, 1, rows, 4);
	items_are(f.ledger, 2, rows, 1);
	CHECK_OK(ledger_items(f.ledger, 1, 2, 8, 0, &got, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(got[0].uid, 7);
	ledger_items_free(got, count);
	CHECK_OK(ledger_items(f.ledger, 1, 1, UINT32_MAX, 2, &got, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(got[1].uid, 7);
	ledger_items_free(got, count);
	CHECK_OK(ledger_items(f.ledger, 1, 9, 10, 0, &got, &count, &err));
	CHECK_INT(count, 0);
	ledger_items_free(got, count);
	reopen(&f);
	items_are(f.ledger, 1, rows, 4);
	end(&f);
}

/* What may take the place of what. */
static void
items_replaced(void)
{
	static const struct {
		enum item_state was, now;
		bool replaced;
	} cases[] = {
		{ ITEM_SKIPPED, ITEM_LANDED, true },
		{ ITEM_FAILED, ITEM_LANDED, true },
		{ ITEM_FAILED, ITEM_FAILED, true },
		{ ITEM_HELD, ITEM_LANDED, true },
		{ ITEM_HELD, ITEM_SKIPPED, true },
		{ ITEM_VANISHED, ITEM_LANDED, true },
		{ ITEM_LANDED, ITEM_VERIFIED, true },
		{ ITEM_LANDED, ITEM_FAILED, false },
		{ ITEM_LANDED, ITEM_VANISHED, false },
		{ ITEM_VERIFIED, ITEM_HELD, false },
		{ ITEM_ADOPTED, ITEM_SKIPPED, false },
	};
	enum { CASES = sizeof(cases) / sizeof(cases[0]) };
	struct ledger_item was[CASES], now[CASES], want[CASES];
	struct fixture f = { 0 };

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	for (unsigned i = 0; i < CASES; i++) {
		was[i] = make_item(i + 1, cases[i].was, 10);
		was[i].text = i % 2 == 0 ? TEXT("was") : NULL;
		now[i] = make_item(i + 1, cases[i].now, 1000);
		now[i].steps = i % 2;
		now[i].gone_round = i % 3;
		now[i].text = i % 4 < 2 ? TEXT("now") : NULL;
		want[i] = cases[i].replaced ? now[i] : was[i];
	}
	ledger_items_put(f.ledger, 1, was, CASES);
	items_are(f.ledger, 1, was, CASES);
	ledger_items_put(f.ledger, 1, now, CASES);
	items_are(f.ledger, 1, want, CASES);
	end(&f);
}

/* Many at once, a few of which are there already, and one comes twice. */
static void
items_partly_there(void)
{
	enum { ROWS = 40 };
	struct ledger_item rows[ROWS + 1], want[ROWS], there[2];
	struct fixture f = { 0 };

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	for (unsigned i = 0; i < ROWS; i++) {
		rows[i] = want[i] =
			make_item(i + 1, i % 7 == 0 ? ITEM_FAILED : ITEM_LANDED, 10 + i);
		rows[i].text = want[i].text = i % 7 == 0 ? TEXT("why") : NULL;
		rows[i].keywords = want[i].keywords = i % 3 == 0 ? TEXT("a b") : NULL;
	}
	rows[ROWS] = rows[ROWS - 2];
	there[0] = make_item(20, ITEM_FAILED, 1);
	there[0].text = TEXT("gone then");
	there[1] = make_item(22, ITEM_ADOPTED, 1);
	want[21] = there[1]; /* what lies on the target stays: the new one has failed */
	ledger_items_put(f.ledger, 1, there, 2);
	items_are(f.ledger, 1, there, 2);
	ledger_items_put(f.ledger, 1, rows, ROWS + 1);
	items_are(f.ledger, 1, want, ROWS);
	check_counts(f.ledger);
	end(&f);
}

static void
items_changed(void)
{
	struct fixture f = { 0 };
	struct ledger_item rows[6];
	struct uidset set = { 0 };

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	for (unsigned i = 0; i < 6; i++)
		rows[i] = make_item(10 * (i + 1), i == 5 ? ITEM_FAILED : ITEM_LANDED, 1);
	rows[5].text = TEXT("why");
	ledger_items_put(f.ledger, 1, rows, 6);
	ledger_item_flags(f.ledger, 1, 10, ITEM_SEEN, "a b");
	ledger_item_flags(f.ledger, 1, 20, ITEM_DRAFT, "");
	ledger_item_flags(f.ledger, 1, 11, ITEM_SEEN, "nobody");
	ledger_item_target(f.ledger, 1, 30, 77);
	rows[0].flags = ITEM_SEEN;
	rows[0].keywords = TEXT("a b");
	rows[1].flags = ITEM_DRAFT;
	rows[2].target_uid = 77;
	items_are(f.ledger, 1, rows, 6);
	ledger_item_flags(f.ledger, 1, 10, 0, NULL);
	rows[0].flags = 0;
	rows[0].keywords = NULL;
	uidset_add(&set, 10, 30);
	uidset_add(&set, 55, 70);
	ledger_items_gone(f.ledger, 1, &set, 2);
	ledger_items_gone(f.ledger, 1, &set, 3); /* the first round stays */
	for (unsigned i = 0; i < 6; i++)
		rows[i].gone_round = i < 3 || i == 5 ? 2 : 0;
	items_are(f.ledger, 1, rows, 6);
	check_counts(f.ledger);
	uidset_remove(&set, 20);
	ledger_items_gone(f.ledger, 1, &set, 0); /* there again */
	rows[0].gone_round = rows[2].gone_round = rows[5].gone_round = 0;
	items_are(f.ledger, 1, rows, 6);
	check_counts(f.ledger);
	uidset_clear(&set);
	uidset_add(&set, 50, UINT32_MAX);
	ledger_items_remove(f.ledger, 1, &set);
	items_are(f.ledger, 1, rows, 4);
	check_counts(f.ledger);
	rows[5].text = NULL; /* the text went with its row */
	ledger_items_put(f.ledger, 1, &rows[5], 1);
	rows[4] = rows[5];
	items_are(f.ledger, 1, rows, 5);
	uidset_clear(&set);
	ledger_items_remove(f.ledger, 1, &set);
	items_are(f.ledger, 1, rows, 5);
	end(&f);
}

static void
check_entry(const struct ledger_entry *got, const struct ledger_entry *want)
{
	CHECK_INT(got->uid, want->uid);
	CHECK_INT(got->streaming, want->streaming);
	CHECK_INT(got->size, want->size);
	CHECK_MEM(got->exact, want->exact, DIGEST_SIZE);
	CHECK_MEM(got->canonical, want->canonical, DIGEST_SIZE);
	CHECK_MEM(got->head, want->head, DIGEST_SIZE);
	CHECK_MEM(got->received_digest, want->received_digest, DIGEST_SIZE);
	CHECK_INT(got->received_size, want->received_size);
	CHECK_INT(got->received, want->received);
	CHECK_INT(got->source_received, want->source_received);
	CHECK_INT(got->flags, want->flags);
	CHECK_STR(got->keywords, want->keywords);
	CHECK_INT(got->steps, want->steps);
	CHECK_INT(got->attempt, want->attempt);
	CHECK_INT(got->reason, want->reason);
}

/* Everything an entry may hold, at its ends. */
static void
make_entries(struct ledger_entry entries[3])
{
	memset(entries, 0, 3 * sizeof(entries[0]));
	entries[0].uid = UINT32_MAX;
	entries[0].size = UINT64_MAX;
	entries[0].received_size = 127;
	memset(entries[0].exact, 1, DIGEST_SIZE);
	memset(entries[0].canonical, 2, DIGEST_SIZE);
	memset(entries[0].head, 3, DIGEST_SIZE);
	memset(entries[0].received_digest, 4, DIGEST_SIZE);
	entries[0].received = ITEM_DATE_NONE;
	entries[0].source_received = INT64_MAX;
	entries[0].flags = ITEM_FLAGS_ALL;
	entries[0].keywords = TEXT("$Forwarded work");
	entries[0].steps = entries[0].attempt = entries[0].reason = UINT_MAX;
	entries[1].uid = 128;
	entries[1].streaming = true;
	memset(entries[1].head, 3, DIGEST_SIZE);
	entries[1].received = -1;
	entries[1].keywords = TEXT("");
	entries[2].uid = 1;
	memset(entries[2].exact, 7, DIGEST_SIZE);
	memset(entries[2].canonical, 7, DIGEST_SIZE);
	memset(entries[2].received_digest, 7, DIGEST_SIZE);
}

static void
batches(void)
{
	struct fixture f = { 0 };
	struct ledger_entry entries[3];
	struct ledger_batch batch = { .folder = 2,
		.uidvalidity = UINT32_MAX,
		.bound = 5,
		.intended = 1700000000,
		.entries = entries,
		.count = 3 };
	struct ledger_batch *list;
	struct ledger_item landed[2];
	uint64_t ids[4], ticket = 0, open = 0, in_doubt = 0;
	size_t count;

	make_entries(entries);
	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	make_folder(f.ledger, 2, "INBOX");
	CHECK_OK(ledger_intend(f.ledger, &batch, &ids[0], &ticket, &err));
	batch.folder = 1;
	batch.count = 0;
	CHECK_OK(ledger_intend(f.ledger, &batch, &ids[1], &ticket, &err));
	batch.folder = 3;
	batch.count = 1;
	CHECK_OK(ledger_intend(f.ledger, &batch, &ids[2], &ticket, &err));
	batch.folder = 2;
	CHECK_OK(ledger_intend(f.ledger, &batch, &ids[3], &ticket, &err));
	CHECK(ids[0] != 0 && ids[1] > ids[0] && ids[2] > ids[1] && ids[3] > ids[2]);
	CHECK_OK(ledger_wait(f.ledger, ticket, &err));
	CHECK_OK(ledger_doubts(f.ledger, 1, &list, &count, &err));
	CHECK_INT(count, 3);
	CHECK_INT(list[0].id, ids[1]); /* by folder, then id */
	CHECK_INT(list[0].count, 0);
	CHECK_INT(list[1].id, ids[0]);
	CHECK_INT(list[1].folder, 2);
	CHECK_INT(list[1].uidvalidity, UINT32_MAX);
	CHECK_INT(list[1].bound, 5);
	CHECK_INT(list[1].intended, 1700000000);
	CHECK_INT(list[1].count, 3);
	for (size_t i = 0; i < list[1].count; i++)
		check_entry(&list[1].entries[i], &entries[i]);
	CHECK_INT(list[2].id, ids[3]);
	ledger_batches_free(list, count);
	CHECK_OK(ledger_open_batches(f.ledger, 1, &open, &in_doubt, &err));
	CHECK_INT(open, 3);
	CHECK_INT(in_doubt, 4);
	CHECK_OK(ledger_open_batches(f.ledger, 0, &open, &in_doubt, &err));
	CHECK_INT(open, 4);
	CHECK_INT(in_doubt, 5);

	landed[0] = make_item(1, ITEM_LANDED, 5);
	landed[1] = make_item(128, ITEM_VANISHED, 6);
	ledger_result(f.ledger, ids[0], 2, landed, 2);
	ledger_result(f.ledger, ids[1], 1, NULL, 0); /* nothing was stored */
	items_are(f.ledger, 2, landed, 2);
	items_are(f.ledger, 1, NULL, 0);
	reopen(&f);
	CHECK_OK(ledger_doubts(f.ledger, 1, &list, &count, &err));
	CHECK_INT(count, 1);
	CHECK_INT(list[0].id, ids[3]);
	ledger_batches_free(list, count);
	ledger_result(f.ledger, ids[3], 2, NULL, 0);
	ledger_result(f.ledger, ids[2], 3, NULL, 0);
	reopen(&f);
	CHECK_OK(ledger_intend(f.ledger, &batch, &ids[0], &ticket, &err));
	CHECK(ids[0] > ids[3]); /* an id does not come back */
	end(&f);
}

static void
target_uids(void)
{
	static const struct {
		uint64_t folder;
		uint32_t uid;
		enum item_state state;
		uint32_t target_uid;
	} rows[] = {
		{ 1, 1, ITEM_LANDED, 10 }, { 1, 2, ITEM_VERIFIED, 12 }, { 1, 3, ITEM_FAILED, 13 },
		{ 1, 4, ITEM_LANDED, 0 }, { 1, 5, ITEM_SKIPPED, 0 }, { 1, 6, ITEM_LANDED, 5 },
		{ 2, 1, ITEM_ADOPTED, 11 }, /* renamed into the same target */
		{ 3, 1, ITEM_LANDED, 99 },  /* another target */
		{ 4, 1, ITEM_LANDED, 98 },  /* another account */
	};
	struct fixture f = { 0 };
	struct ledger_folder *list;
	struct uidset uids = { 0 };
	uint64_t without = 9;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	make_folder(f.ledger, 1, "INBOX");
	make_folder(f.ledger, 1, "Neu");
	make_folder(f.ledger, 1, "Sent");
	make_folder(f.ledger, 2, "INBOX");
	CHECK_OK(ledger_folders(f.ledger, 1, &list, &count, &err));
	free(list[1].target_key);
	list[1].target_key = xstrdup("INBOX");
	CHECK_OK(ledger_folder_put(f.ledger, &list[1], &err));
	ledger_folders_free(list, count);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ledger_item item = make_item(rows[i].uid, rows[i].state, 1);

		item.target_uid = rows[i].target_uid;
		ledger_items_put(f.ledger, rows[i].folder, &item, 1);
	}
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_target_uids(f.ledger, 1, "INBOX", 5, &uids, &without, &err));
	CHECK_INT(uids.count, 1);
	CHECK_INT(uids.ranges[0].first, 10);
	CHECK_INT(uids.ranges[0].last, 12);
	CHECK_INT(without, 1);
	uidset_clear(&uids);
	CHECK_OK(ledger_target_uids(f.ledger, 1, "None", 0, &uids, &without, &err));
	CHECK_INT(uids.count, 0);
	CHECK_INT(without, 0);
	end(&f);
}

static void
each_item(void)
{
	struct fixture f = { 0 };
	struct ledger_item rows[2500];
	uint64_t count = 0;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	make_folder(f.ledger, 2, "INBOX");
	make_folder(f.ledger, 1, "Sent");
	make_folder(f.ledger, 1, "INBOX");
	rows[0] = make_item(3, ITEM_LANDED, 1);
	rows[1] = make_item(UINT32_MAX, ITEM_HELD, 1);
	ledger_items_put(f.ledger, 1, rows, 2);
	ledger_items_put(f.ledger, 3, rows, 2);
	CHECK_OK(ledger_flush(f.ledger, &err));
	each_is(f.ledger, 0, 0, 0,
		"ana/INBOX/3 ana/INBOX/4294967295 bo/INBOX/3 bo/INBOX/4294967295 ");
	each_is(f.ledger, 1, 0, 0, "ana/INBOX/3 ana/INBOX/4294967295 ");
	each_is(f.ledger, 0, ITEM_HELD, 0, "ana/INBOX/4294967295 bo/INBOX/4294967295 ");
	each_is(f.ledger, 0, ITEM_FAILED, 0, "");
	each_is(f.ledger, 0, 0, 3, "ana/INBOX/3 ana/INBOX/4294967295 bo/INBOX/3 ");
	for (unsigned i = 0; i < 2500; i++)
		rows[i] = make_item(i + 1, ITEM_SKIPPED, 1);
	ledger_items_put(f.ledger, 2, rows, 2500);
	for (unsigned i = 0; i < 600; i++) {
		char name[16];

		snprintf(name, sizeof(name), "F%u", i);
		ledger_items_put(f.ledger, make_folder(f.ledger, 2, name), rows, 1);
	}
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_each_item(f.ledger, 0, 0, count_item, &count, &err));
	CHECK_INT(count, 2500 + 600 + 4);
	end(&f);
}

/* Rows without the end of their batch: the others are in doubt still. */
static void
answered_in_part(void)
{
	struct fixture f = { 0 };
	struct ledger_entry entries[3];
	struct ledger_batch batch = { .folder = 1,
		.uidvalidity = 7,
		.intended = 1700000000,
		.entries = entries,
		.count = 3 };
	struct ledger_batch *list;
	struct ledger_item rows[2];
	uint64_t id, ticket = 0;
	size_t count;

	make_entries(entries);
	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	CHECK_OK(ledger_intend(f.ledger, &batch, &id, &ticket, &err));
	rows[0] = make_item(entries[0].uid, ITEM_LANDED, 0);
	rows[1] = make_item(entries[1].uid, ITEM_FAILED, 0);
	ledger_items_put(f.ledger, 1, rows, 2);
	reopen(&f);
	CHECK_OK(ledger_doubts(f.ledger, 1, &list, &count, &err));
	CHECK_INT(count, 1);
	CHECK_INT(list[0].count, 2);
	check_entry(&list[0].entries[0], &entries[1]);
	check_entry(&list[0].entries[1], &entries[2]);
	ledger_batches_free(list, count);
	end(&f);
}

int
main(void)
{
	RUN(items);
	RUN(items_replaced);
	RUN(items_partly_there);
	RUN(items_changed);
	RUN(batches);
	RUN(answered_in_part);
	RUN(target_uids);
	RUN(each_item);
	return test_done();
}
