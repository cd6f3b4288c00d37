/* test_ledger.c - the contract of ledger.h, without a look behind it: any store must pass:
 * runs, accounts, folders, what the admin does, opening. */
#include "engine/ledger/test_ledger.h"

#include "base/clock.h"

#include "base/banned.h"

static void
names(void)
{
	CHECK_STR(item_state_name(ITEM_LANDED), "landed");
	CHECK_STR(item_state_name((enum item_state)0), "unknown");
	CHECK_STR(item_state_name(ITEM_STATES), "unknown");
	for (int i = ITEM_LANDED; i < ITEM_STATES; i++)
		CHECK_INT(item_state_by_name(item_state_name((enum item_state)i)), i);
	CHECK_INT(item_state_by_name("copied"), -1);
	CHECK_STR(account_state_name(ACCOUNT_REMARKS), "done with remarks");
	CHECK_STR(account_state_name(ACCOUNT_STATES), "unknown");
	for (int i = 0; i < ACCOUNT_STATES; i++)
		CHECK_INT(account_state_open((enum account_state)i), i < ACCOUNT_SKIPPED);
	for (unsigned i = 0; i < ERR_CODES; i++)
		CHECK_INT(reason_by_name(reason_name(i)), i);
	for (unsigned i = REASON_SETTLED; i < REASON_END; i++)
		CHECK_INT(reason_by_name(reason_name(i)), i);
	CHECK_STR(reason_name(REASON_SETTLED), "settled");
	CHECK_STR(reason_name(ERR_QUOTA), "quota");
	CHECK_STR(reason_name(999), "unknown");
	CHECK_STR(reason_name(REASON_END), "unknown");
	CHECK_INT(reason_by_name("unknown"), -1);
	CHECK_INT(reason_by_name(""), -1);
}

static void
rounds(void)
{
	struct fixture f = { 0 };
	uint64_t ana, bo;

	begin(&f);
	run_is(f.ledger, 1, 1);
	run_is(f.ledger, 2, 1); /* nobody was in it */
	ana = make_account(f.ledger, "ana");
	bo = make_account(f.ledger, "bo");
	ledger_account_state(f.ledger, ana, ACCOUNT_DONE, 1, ERR_NONE, NULL);
	ledger_account_state(f.ledger, bo, ACCOUNT_COPYING, 1, ERR_NONE, NULL);
	run_is(f.ledger, 3, 1); /* one is open */
	ledger_account_state(f.ledger, bo, ACCOUNT_FAILED, 1, ERR_AUTH, "login refused");
	run_is(f.ledger, 4, 2); /* failed is closed */
	ledger_account_state(f.ledger, ana, ACCOUNT_REMARKS, 2, ERR_NONE, NULL);
	run_is(f.ledger, 5, 2); /* bo was closed in round 1 only */
	ledger_account_state(f.ledger, bo, ACCOUNT_SKIPPED, 2, ERR_NONE, NULL);
	make_account(f.ledger, "eva");
	run_is(f.ledger, 6, 2); /* a new one waits */
	ledger_account_state(f.ledger, 3, ACCOUNT_DONE, 2, ERR_NONE, NULL);
	reopen(&f);
	run_is(f.ledger, 7, 3);
	end(&f);
}

static void
runs(void)
{
	struct fixture f = { 0 };
	struct ledger_run *list;
	size_t count;
	int64_t before = clock_now();

	begin(&f);
	run_is(f.ledger, 1, 1);
	ledger_run_end(f.ledger, 1, 2);
	run_is(f.ledger, 2, 1);
	CHECK_OK(ledger_runs(f.ledger, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(list[0].id, 1);
	CHECK_INT(list[0].round, 1);
	CHECK_INT(list[0].exit_code, 2);
	CHECK(list[0].started >= before && list[0].ended >= list[0].started);
	CHECK_INT(list[1].id, 2);
	CHECK_INT(list[1].ended, 0);
	free(list);
	end(&f);
}

static void
accounts(void)
{
	struct fixture f = { 0 };
	struct ledger_account *list;
	size_t count;
	uint64_t id = 0;

	begin(&f);
	CHECK_INT(make_account(f.ledger, "ana"), 1);
	CHECK_INT(make_account(f.ledger, "bo"), 2);
	CHECK_INT(make_account(f.ledger, "ana"), 1);
	/* The same user on another host is another user; hosts have no case. */
	CHECK_OK(bind_one(f.ledger, "ana", "two.example", "x", "NEW.example", false, &id, &err));
	CHECK_INT(id, 3);
	CHECK_OK(bind_one(f.ledger, "ana", "TWO.example", "x", "new.EXAMPLE", false, &id, &err));
	CHECK_INT(id, 3);
	CHECK_OK(bind_one(f.ledger, "eva", NULL, "eva", NULL, false, &id, &err));
	CHECK_INT(id, 4);
	ledger_account_state(f.ledger, 2, ACCOUNT_SCANNING, 4, ERR_NONE, NULL);
	ledger_account_state(f.ledger, 1, ACCOUNT_COPYING, 4, ERR_NONE, NULL);
	ledger_account_state(f.ledger, 1, ACCOUNT_FAILED, 4, ERR_QUOTA, "target over quota");
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_accounts(f.ledger, &list, &count, &err));
	CHECK_INT(count, 4);
	CHECK_INT(list[0].id, 1);
	CHECK_STR(list[0].source_user, "ana");
	CHECK_STR(list[0].source_host, "old.example");
	CHECK_STR(list[0].target_user, "ana-new");
	CHECK_STR(list[0].target_host, "new.example");
	CHECK_INT(list[0].state, ACCOUNT_FAILED);
	CHECK_INT(list[0].reason, ERR_QUOTA);
	CHECK_STR(list[0].text, "target over quota");
	CHECK_INT(list[0].round, 4);
	CHECK(list[0].started > 0 && list[0].ended >= list[0].started);
	CHECK_INT(list[1].state, ACCOUNT_SCANNING);
	CHECK_INT(list[1].round, 0); /* not done in any */
	CHECK_STR(list[1].text, NULL);
	CHECK(list[1].started > 0);
	CHECK_INT(list[1].ended, 0);
	CHECK_INT(list[3].id, 4);
	CHECK_STR(list[3].source_host, "");
	ledger_accounts_free(list, count);
	end(&f);
}

static void
account_map(void)
{
	struct fixture f = { 0 };
	struct ledger_account *list;
	size_t count;
	uint64_t id = 0;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	CHECK_FAILS(
		bind_one(f.ledger, "ana", "old.example", "anna", "new.example", false, &id, &err),
		ERR_BOUND, "ana-new on new.example in this ledger, now to anna");
	CHECK_FAILS(
		bind_one(f.ledger, "eva", "old.example", "bo-new", "new.example", false, &id, &err),
		ERR_BOUND, "bo-new is the target of bo");
	CHECK_INT(id, 0);
	CHECK_OK(bind_one(f.ledger, "ana", "old.example", "anna", "new.example", true, &id, &err));
	CHECK_INT(id, 1);
	CHECK_OK(
		bind_one(f.ledger, "bob", "old.example", "bo-new", "new.example", true, &id, &err));
	CHECK_INT(id, 2);
	/* Two rows cannot become one. */
	CHECK_FAILS(
		bind_one(f.ledger, "ana", "old.example", "bo-new", "new.example", true, &id, &err),
		ERR_BOUND, "the ledger's target of bob");
	CHECK_OK(ledger_accounts(f.ledger, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_STR(list[0].target_user, "anna");
	CHECK_STR(list[1].source_user, "bob");
	ledger_accounts_free(list, count);
	end(&f);
}

static void
folders(void)
{
	struct fixture f = { 0 };
	struct ledger_folder *list;
	struct ledger_folder folder = { .account = 1,
		.source_key = TEXT("INBOX/\xff\xfe"),
		.source_name = TEXT("INBOX/?"),
		.source_uidvalidity = UINT32_MAX,
		.target_key = TEXT("INBOX.x"),
		.target_name = TEXT("INBOX/x"),
		.target_uidvalidity = 9,
		.target_bound = 17,
		.target_foreign = 3,
		.gone_round = 0,
		.scanned_round = 1 };
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	make_folder(f.ledger, 2, "Sent");
	CHECK_OK(ledger_folder_put(f.ledger, &folder, &err));
	CHECK_INT(folder.id, 2);
	ledger_folder_found(f.ledger, 2, 400, 1000000, 3);
	CHECK_OK(ledger_flush(f.ledger, &err));
	folder.source_mailboxid = TEXT("M1");
	folder.renamed_from = TEXT("Old");
	folder.rematch = true;
	folder.gone_round = 6;
	folder.scanned_round = 5;
	CHECK_OK(ledger_folder_put(f.ledger, &folder, &err)); /* but not the counters */
	CHECK_OK(ledger_folders(f.ledger, 1, &list, &count, &err));
	CHECK_INT(count, 1);
	CHECK_INT(list[0].id, 2);
	CHECK_INT(list[0].account, 1);
	CHECK_STR(list[0].source_key, folder.source_key);
	CHECK_STR(list[0].source_name, "INBOX/?");
	CHECK_INT(list[0].source_uidvalidity, UINT32_MAX);
	CHECK_STR(list[0].source_mailboxid, "M1");
	CHECK_STR(list[0].target_key, "INBOX.x");
	CHECK_STR(list[0].target_name, "INBOX/x");
	CHECK_INT(list[0].target_uidvalidity, 9);
	CHECK_INT(list[0].target_bound, 17);
	CHECK_INT(list[0].target_foreign, 3);
	CHECK_STR(list[0].renamed_from, "Old");
	CHECK_INT(list[0].gone_round, 6);
	CHECK_INT(list[0].scanned_round, 5);
	CHECK(list[0].rematch);
	CHECK_INT(list[0].counts.found, 400);
	CHECK_INT(list[0].counts.bytes_found, 1000000);
	ledger_folders_free(list, count);
	ledger_folder_found(f.ledger, 2, 300, 900, 7); /* fewer: as told, not added */
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_folders(f.ledger, 0, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(list[0].id, 1);
	CHECK_INT(list[1].counts.found, 300);
	CHECK_INT(list[1].counts.bytes_found, 900);
	CHECK_INT(list[1].scanned_round, 7);
	ledger_folders_free(list, count);
	folder.id = 77;
	CHECK_FAILS(ledger_folder_put(f.ledger, &folder, &err), ERR_INTERNAL, "no folder 77");
	CHECK_OK(ledger_check(f.ledger, &err));
	end(&f);
}

static void
acts_hosts(void)
{
	struct fixture f = { 0 };
	struct ledger_speed speed;

	begin(&f);
	ledger_act(f.ledger, 1, "subscribe", "INBOX", ACT_DOING, false, NULL);
	ledger_act(f.ledger, 1, "subscribe", "Sent", ACT_FAILED, true, "refused");
	ledger_act(f.ledger, 1, "subscribe", "INBOX", ACT_DONE, true, NULL);
	ledger_host_answer(f.ledger, "new.example", 400);
	ledger_host_answer(f.ledger, "New.example", 300);
	ledger_host_answer(f.ledger, "old.example", 0);
	CHECK_OK(ledger_speed_get(f.ledger, &speed, &err));
	CHECK_INT(speed.ms, 0);
	speed = (struct ledger_speed){ .bytes = 5000000000, .items = 70000, .ms = 123456 };
	ledger_speed_put(f.ledger, &speed);
	speed.items = 80000;
	ledger_speed_put(f.ledger, &speed);
	reopen(&f);
	CHECK_OK(ledger_speed_get(f.ledger, &speed, &err));
	CHECK_INT(speed.bytes, 5000000000);
	CHECK_INT(speed.items, 80000);
	CHECK_INT(speed.ms, 123456);
	CHECK_INT(ledger_act_state(f.ledger, 1, "subscribe", "INBOX"), ACT_DONE);
	CHECK_INT(ledger_act_state(f.ledger, 1, "subscribe", "Sent"), ACT_FAILED);
	CHECK_INT(ledger_act_state(f.ledger, 2, "subscribe", "Sent"), -1);
	CHECK_INT(ledger_act_state(f.ledger, 1, "letter", "Sent"), -1);
	CHECK_INT(ledger_host_longest(f.ledger, "new.example"), 400);
	CHECK_INT(ledger_host_longest(f.ledger, "old.example"), 0);
	CHECK_INT(ledger_host_longest(f.ledger, "else.example"), 0);
	ledger_host_answer(f.ledger, "new.example", 500);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_INT(ledger_host_longest(f.ledger, "NEW.example"), 500);
	end(&f);
}

static void
events(void)
{
	struct fixture f = { 0 };
	struct ledger_event *list;
	size_t count;

	begin(&f);
	run_is(f.ledger, 1, 1);
	run_is(f.ledger, 2, 1);
	ledger_event(f.ledger, 0, NULL, EVENT_NOTE, ERR_NONE, "of the run");
	ledger_event(f.ledger, 4, "INBOX", EVENT_ERROR, ERR_QUOTA, "over quota");
	ledger_event(f.ledger, 0, NULL, EVENT_WARNING, ERR_NONE, "again");
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_events(f.ledger, 0, 0, 0, &list, &count, &err));
	CHECK_INT(count, 3);
	CHECK_INT(list[1].account, 4);
	CHECK_INT(list[1].run, 2);
	CHECK_INT(list[1].kind, EVENT_ERROR);
	CHECK_INT(list[1].code, ERR_QUOTA);
	CHECK_STR(list[1].folder, "INBOX");
	CHECK_STR(list[1].text, "over quota");
	CHECK(list[1].time > 0);
	CHECK_STR(list[2].folder, NULL);
	CHECK_STR(list[2].text, "again");
	ledger_events_free(list, count);
	CHECK_OK(ledger_events(f.ledger, 0, 1, 1, &list, &count, &err));
	CHECK_INT(count, 1);
	CHECK_INT(list[0].id, 2);
	ledger_events_free(list, count);
	CHECK_OK(ledger_events(f.ledger, 4, 0, 0, &list, &count, &err));
	CHECK_INT(count, 1);
	ledger_events_free(list, count);
	end(&f);
}

/* What was copied counts for the round of its row; a round is over when all accounts are. */
static void
round_sums(void)
{
	struct ledger_item items[] = {
		{ .uid = 1, .state = ITEM_LANDED, .size = 10, .round = 1 },
		{ .uid = 2, .state = ITEM_LANDED, .size = 20, .round = 2 },
		{ .uid = 3, .state = ITEM_SKIPPED, .reason = REASON_SINCE, .size = 40, .round = 2 },
		{ .uid = 4, .state = ITEM_VERIFIED, .size = 80, .round = 2 },
	};
	struct fixture f = { 0 };
	struct ledger_round *list;
	size_t count;
	uint64_t folder;

	begin(&f);
	CHECK_OK(ledger_rounds(f.ledger, &list, &count, &err));
	CHECK_INT(count, 0);
	free(list);
	run_is(f.ledger, 1, 1);
	folder = make_folder(f.ledger, make_account(f.ledger, "ana"), "INBOX");
	ledger_items_put(f.ledger, folder, items, 4);
	ledger_account_state(f.ledger, 1, ACCOUNT_DONE, 1, ERR_NONE, NULL);
	ledger_run_end(f.ledger, 1, 0);
	run_is(f.ledger, 2, 2);
	CHECK_OK(ledger_rounds(f.ledger, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(list[0].id, 1);
	CHECK(list[0].over && list[0].ended >= list[0].started);
	CHECK_INT(list[0].copied, 1);
	CHECK_INT(list[0].bytes, 10);
	CHECK_INT(list[0].runs, 1);
	CHECK_INT(list[0].runs_without_end, 0);
	CHECK(!list[1].over);
	CHECK_INT(list[1].ended, 0);
	CHECK_INT(list[1].copied, 2);
	CHECK_INT(list[1].bytes, 100);
	CHECK_INT(list[1].runs_without_end, 1);
	free(list);
	end(&f);
}

/* The newest of an account, oldest first. */
static void
account_events(void)
{
	static const char *const texts[] = { "one", "two", "three" };
	struct fixture f = { 0 };
	struct ledger_event *list;
	size_t count;

	begin(&f);
	run_is(f.ledger, 1, 1);
	for (size_t i = 0; i < 3; i++)
		ledger_event(f.ledger, 4, NULL, EVENT_NOTE, ERR_NONE, texts[i]);
	ledger_event(f.ledger, 5, NULL, EVENT_NOTE, ERR_NONE, "another's");
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_account_events(f.ledger, 4, 0, 2, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_STR(list[0].text, "two");
	CHECK_STR(list[1].text, "three");
	ledger_events_free(list, count);
	CHECK_OK(ledger_account_events(f.ledger, 4, clock_now() + 60, 2, &list, &count, &err));
	CHECK_INT(count, 0);
	ledger_events_free(list, count);
	end(&f);
}

/* A row of each state in ana's INBOX (folder 1), two failed ones in bo's (folder 2). */
static void
begin_admin(struct fixture *f)
{
	struct ledger_item rows[ITEM_STATES];

	begin(f);
	make_account(f->ledger, "ana");
	make_account(f->ledger, "bo");
	make_folder(f->ledger, 1, "INBOX");
	make_folder(f->ledger, 2, "INBOX");
	for (unsigned state = ITEM_LANDED; state < ITEM_STATES; state++) {
		rows[state] = make_item(state, (enum item_state)state, 10);
		rows[state].reason = ERR_CONTENT;
		rows[state].steps = 1;
		rows[state].text = TEXT("why");
	}
	ledger_items_put(f->ledger, 1, rows + ITEM_LANDED, ITEM_STATES - ITEM_LANDED);
	rows[1] = make_item(1, ITEM_FAILED, 10);
	rows[1].reason = ERR_TOOBIG;
	rows[2] = make_item(2, ITEM_FAILED, 10);
	rows[2].reason = ERR_CONTENT;
	ledger_items_put(f->ledger, 2, rows + 1, 2);
	ledger_account_state(f->ledger, 1, ACCOUNT_REMARKS, 1, ERR_NONE, "1 failed");
	ledger_account_state(f->ledger, 2, ACCOUNT_DONE, 1, ERR_NONE, NULL);
	CHECK_OK(ledger_flush(f->ledger, &err));
}

static void
states_are(struct ledger *ledger, enum account_state ana, enum account_state bo)
{
	struct ledger_account *list;
	size_t count;

	CHECK_OK(ledger_accounts(ledger, &list, &count, &err));
	CHECK_INT(count, 2);
	CHECK_INT(list[0].state, ana);
	CHECK_INT(list[1].state, bo);
	ledger_accounts_free(list, count);
	check_counts(ledger);
}

static void
retry(void)
{
	struct fixture f = { 0 };
	struct ledger_changes changed = { 9, 9 };

	begin_admin(&f);
	CHECK_OK(ledger_retry(f.ledger, "eva*", 0, &changed, &err));
	CHECK_INT(changed.items, 0);
	states_are(f.ledger, ACCOUNT_REMARKS, ACCOUNT_DONE);
	CHECK_OK(ledger_retry(f.ledger, "b*", ERR_TOOBIG, &changed, &err));
	CHECK_INT(changed.items, 1);
	states_are(f.ledger, ACCOUNT_REMARKS, ACCOUNT_WAITING);
	counts_are(f.ledger, 2, 1, 0, 0);
	ledger_account_state(f.ledger, 2, ACCOUNT_FAILED, 1, ERR_AUTH, "login refused");
	CHECK_OK(ledger_retry(f.ledger, NULL, ERR_AUTH, &changed, &err));
	CHECK_INT(changed.items, 0);
	CHECK_INT(changed.accounts, 1);
	states_are(f.ledger, ACCOUNT_REMARKS, ACCOUNT_WAITING);
	ledger_account_state(f.ledger, 2, ACCOUNT_COPYING, 1, ERR_NONE, NULL);
	CHECK_OK(ledger_retry(f.ledger, NULL, 0, &changed, &err));
	CHECK_INT(changed.items, 2);
	states_are(f.ledger, ACCOUNT_WAITING, ACCOUNT_COPYING); /* a job at work goes on */
	counts_are(f.ledger, 0, 0, 1, 1);
	end(&f);
}

static void
held(void)
{
	static const struct {
		enum item_state as;
		uint64_t held, landed;
		enum account_state state;
	} cases[] = {
		{ ITEM_LANDED, 0, 2, ACCOUNT_REMARKS },
		{ ITEM_SKIPPED, 0, 1, ACCOUNT_REMARKS },
		{ 0, 0, 1, ACCOUNT_WAITING },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = { 0 };
		struct ledger_item *rows;
		struct ledger_changes changed = { 9, 9 };
		size_t count;

		begin_admin(&f);
		CHECK_FAILS(ledger_resolve_held(f.ledger, NULL, ITEM_FAILED, &changed, &err),
			ERR_USAGE, "held");
		CHECK_OK(ledger_resolve_held(f.ledger, "bo", cases[i].as, &changed, &err));
		CHECK_INT(changed.items, 0);
		CHECK_OK(ledger_resolve_held(f.ledger, NULL, cases[i].as, &changed, &err));
		CHECK_INT(changed.items, 1);
		counts_are(f.ledger, 1, 1, cases[i].held, cases[i].landed);
		states_are(f.ledger, cases[i].state, ACCOUNT_DONE);
		CHECK_OK(ledger_items(f.ledger, 1, ITEM_HELD, ITEM_HELD, 0, &rows, &count, &err));
		CHECK_INT(count, cases[i].as != 0);
		if (count == 1) {
			CHECK_INT(rows[0].state, cases[i].as);
			CHECK_INT(rows[0].reason, REASON_ADMIN);
			CHECK_STR(rows[0].text, NULL);
		}
		ledger_items_free(rows, count);
		end(&f);
	}
}

static void
binding(void)
{
	static const struct {
		struct ledger_binding binding;
		const char *words; /* NULL: no refusal */
	} cases[] = {
		{ { "acme", "imap", "old.example", 993, "imap", "new.example", 143, NULL, 0 },
			NULL },
		{ { "renamed", "imap", "OLD.example", 993, "imap", "new.example", 143, NULL, 0 },
			NULL },
		{ { "acme", "ews", "old.example", 993, "imap", "new.example", 143, NULL, 0 },
			"source type imap, the profile now says ews" },
		{ { "acme", "imap", "older.example", 993, "imap", "new.example", 143, NULL, 0 },
			"source host old.example, the profile now says older.example" },
		{ { "acme", "imap", "old.example", 143, "imap", "new.example", 143, NULL, 0 },
			"source port 993" },
		{ { "acme", "imap", "old.example", 993, "kerio", "new.example", 143, NULL, 0 },
			"target type" },
		{ { "acme", "imap", "old.example", 993, "imap", "x.example", 143, NULL, 0 },
			"target host" },
		{ { "acme", "imap", "old.example", 993, "imap", "new.example", 993, NULL, 0 },
			"target port" },
	};
	struct fixture f = { 0 };
	struct ledger *other;

	begin(&f);
	CHECK_OK(ledger_close(&f.ledger, &err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ledger_binding *b = &cases[i].binding;

		for (int mode = LEDGER_WRITE; mode <= LEDGER_READ; mode++) {
			if (cases[i].words != NULL) {
				CHECK_FAILS(ledger_open(f.place.path, b, (enum ledger_mode)mode,
						    &other, &err),
					ERR_BOUND, cases[i].words);
				continue;
			}
			CHECK_OK(
				ledger_open(f.place.path, b, (enum ledger_mode)mode, &other, &err));
			CHECK_OK(ledger_close(&other, &err));
		}
	}
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	end(&f);
}

/* A side that is named goes on under its new host, with its accounts; the other one does not. */
static void
rebinding(void)
{
	const char *names[] = { "X.example" };
	const struct ledger_binding moved = { "acme", "imap", "old.example", 993, "kerio",
		"x.example", 993, names, 1 };
	struct ledger_binding both = moved;
	struct fixture f = { 0 };
	struct ledger_account *accounts;
	struct ledger_event *list;
	struct ledger *other;
	uint64_t id, elsewhere;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	CHECK_OK(bind_one(f.ledger, "bo", NULL, "bo", "third.example", false, &elsewhere, &err));
	CHECK_OK(ledger_close(&f.ledger, &err));
	both.source_host = "y.example";
	CHECK_FAILS(ledger_open(f.place.path, &both, LEDGER_WRITE, &other, &err), ERR_BOUND,
		"--rebind y.example");
	CHECK_OK(ledger_open(f.place.path, &moved, LEDGER_WRITE, &f.ledger, &err));
	CHECK_OK(ledger_events(f.ledger, 0, 0, 0, &list, &count, &err));
	CHECK_INT(count, 3);
	CHECK_STR(list[1].text, "rebound: target host was new.example, is now x.example");
	ledger_events_free(list, count);
	CHECK_OK(ledger_accounts(f.ledger, &accounts, &count, &err));
	CHECK_INT(count, 2);
	CHECK_STR(accounts[0].target_host, "x.example");
	CHECK_STR(accounts[0].source_host, "old.example");
	CHECK_STR(accounts[1].target_host, "third.example");
	ledger_accounts_free(accounts, count);
	CHECK_OK(
		bind_one(f.ledger, "ana", "old.example", "ana-new", "x.example", false, &id, &err));
	CHECK_INT(id, 1);
	CHECK_OK(ledger_close(&f.ledger, &err));
	CHECK_FAILS(ledger_open(f.place.path, &test_binding, LEDGER_WRITE, &other, &err), ERR_BOUND,
		"target type kerio");
	CHECK_OK(ledger_open(f.place.path, &moved, LEDGER_WRITE, &f.ledger, &err));
	end(&f);
}

/* Accounts of the new host that are there already would become one with those of the old. */
static void
rebinding_onto(void)
{
	const char *names[] = { "x.example" };
	const struct ledger_binding moved = { "acme", "imap", "old.example", 993, "imap",
		"x.example", 143, names, 1 };
	struct fixture f = { 0 };
	struct ledger *other;
	uint64_t id;

	begin(&f);
	make_account(f.ledger, "ana");
	CHECK_OK(bind_one(f.ledger, "bo", "old.example", "ana-new", "x.example", false, &id, &err));
	CHECK_OK(ledger_close(&f.ledger, &err));
	CHECK_FAILS(ledger_open(f.place.path, &moved, LEDGER_WRITE, &other, &err), ERR_BOUND,
		"would be one");
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	CHECK_OK(bind_one(
		f.ledger, "ana", "old.example", "ana-new", "new.example", false, &id, &err));
	CHECK_INT(id, 1);
	end(&f);
}

/* All or nothing, in one commit. */
static void
many_accounts(void)
{
	struct ledger_bind rows[] = {
		{ "ana", "old.example", "ana-new", "new.example", false, 0 },
		{ "cy", "old.example", "cy", "new.example", false, 0 },
		{ "bo", "old.example", "bob", "new.example", false, 0 },
		{ "di", "old.example", "di", "new.example", false, 0 },
	};
	struct fixture f = { 0 };
	struct ledger_account *list;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_account(f.ledger, "bo");
	CHECK_FAILS(ledger_bind_accounts(f.ledger, rows, 4, &err), ERR_BOUND, "--rebind bo if");
	CHECK_OK(ledger_accounts(f.ledger, &list, &count, &err));
	CHECK_INT(count, 2);
	ledger_accounts_free(list, count);
	rows[2].rebind = true;
	CHECK_OK(ledger_bind_accounts(f.ledger, rows, 4, &err));
	CHECK_INT(rows[0].id, 1);
	CHECK_INT(rows[1].id, 3);
	CHECK_INT(rows[2].id, 2);
	CHECK_INT(rows[3].id, 4);
	CHECK_OK(ledger_bind_accounts(f.ledger, NULL, 0, &err));
	end(&f);
}

static void
reading_beside(void)
{
	struct fixture f = { 0 };
	struct ledger *reader = NULL;
	struct ledger_item row = make_item(1, ITEM_LANDED, 5);
	struct ledger_counts counts;

	place_make(&f.place);
	CHECK_FAILS(ledger_open(f.place.path, NULL, LEDGER_READ, &reader, &err), ERR_STATE_DIR,
		"no ledger yet");
	CHECK_INT(access(f.place.path, F_OK), -1);
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	CHECK_OK(ledger_open(f.place.path, NULL, LEDGER_READ, &reader, &err));
	ledger_items_put(f.ledger, 1, &row, 1);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_totals(reader, 0, &counts, &err));
	CHECK_INT(counts.by_state[ITEM_LANDED], 1);
	ledger_items_put(reader, 1, &row, 1);
	CHECK_FAILS(ledger_check(reader, &err), ERR_LEDGER, "to read only");
	CHECK_OK(ledger_close(&reader, &err));
	CHECK_OK(ledger_close(&reader, &err)); /* NULL */
	end(&f);
}

static void
in_memory(void)
{
	struct place place = { 0 };
	struct ledger *ledger;
	struct ledger_item row = make_item(1, ITEM_LANDED, 5);

	place_make(&place);
	ledger = must_open(place.path, LEDGER_MEMORY);
	run_is(ledger, 1, 1);
	make_account(ledger, "ana");
	make_folder(ledger, 1, "INBOX");
	ledger_items_put(ledger, 1, &row, 1);
	items_are(ledger, 1, &row, 1);
	check_counts(ledger);
	each_is(ledger, 0, 0, 0, "ana/INBOX/1 ");
	CHECK_OK(ledger_close(&ledger, &err));
	CHECK_INT(rmdir(place.dir), 0); /* nothing in it */
}

int
main(void)
{
	RUN(names);
	RUN(rounds);
	RUN(runs);
	RUN(accounts);
	RUN(account_map);
	RUN(folders);
	RUN(acts_hosts);
	RUN(events);
	RUN(account_events);
	RUN(round_sums);
	RUN(retry);
	RUN(held);
	RUN(many_accounts);
	RUN(binding);
	RUN(rebinding);
	RUN(rebinding_onto);
	RUN(reading_beside);
	RUN(in_memory);
	return test_done();
}
