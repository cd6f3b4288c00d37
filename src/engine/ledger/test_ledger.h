/* test_ledger.h - what the tests of the ledger share: a directory of its own, rows, a recount. */
#ifndef ENGINE_LEDGER_TEST_LEDGER_H
#define ENGINE_LEDGER_TEST_LEDGER_H

#include "engine/ledger/ledger.h"

#include "base/err.h"
#include "base/str.h"
#include "base/test.h"
#include "mail/item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct ledger_binding test_binding = {
	.profile = "acme",
	.source_type = "imap",
	.source_host = "old.example",
	.source_port = 993,
	.target_type = "imap",
	.target_host = "new.example",
	.target_port = 143,
};

/* For a struct's string that is only lent to a call. */
#define TEXT(constant) ((char *)(uintptr_t)(constant))

/* A new directory under TMPDIR; path of a ledger in it. */
struct place {
	char dir[256], path[300];
};

static inline void
place_make(struct place *place)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(place->dir, sizeof(place->dir), "%s/ledger-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(place->dir) == NULL)
		abort();
	snprintf(place->path, sizeof(place->path), "%s/ledger.db", place->dir);
}

static inline void
place_remove(const struct place *place)
{
	static const char *const behind[] = { "", "-wal", "-shm", "-journal" };
	char path[320];

	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", place->path, behind[i]);
		unlink(path);
	}
	rmdir(place->dir);
}

/* Opens or ends the test program with the reason. */
static inline struct ledger *
must_open(const char *path, enum ledger_mode mode)
{
	struct ledger *ledger = NULL;
	struct err err = { 0 };

	if (ledger_open(path, &test_binding, mode, &ledger, &err) < 0) {
		printf("cannot open: %s\n", err.text);
		abort();
	}
	return ledger;
}

#define CHECK_OK(call)                                                                             \
	do {                                                                                       \
		struct err err = { 0 };                                                            \
		if ((call) < 0) {                                                                  \
			test_failures++;                                                           \
			printf("%s:%d: %s failed: %s\n", __FILE__, __LINE__, #call, err.text);     \
		}                                                                                  \
	} while (0)

/* The call fails with this code and a text that holds these words. */
#define CHECK_FAILS(call, wanted, words)                                                           \
	do {                                                                                       \
		struct err err = { 0 };                                                            \
		CHECK_INT((call), -1);                                                             \
		CHECK_INT(err.code, (wanted));                                                     \
		if (strstr(err.text, (words)) == NULL) {                                           \
			test_failures++;                                                           \
			printf("%s:%d: \"%s\" is not in \"%s\"\n", __FILE__, __LINE__, (words),    \
				err.text);                                                         \
		}                                                                                  \
	} while (0)

static inline int
bind_one(struct ledger *ledger, const char *source_user, const char *source_host,
	const char *target_user, const char *target_host, bool rebind, uint64_t *id_r,
	struct err *e)
{
	struct ledger_bind row = { source_user, source_host, target_user, target_host, rebind, 0 };
	int ret = ledger_bind_accounts(ledger, &row, 1, e);

	*id_r = row.id;
	return ret;
}

static inline uint64_t
make_account(struct ledger *ledger, const char *user)
{
	struct err err = { 0 };
	char target[128];
	uint64_t id = 0;

	snprintf(target, sizeof(target), "%s-new", user);
	if (bind_one(ledger, user, "old.example", target, "new.example", false, &id, &err) < 0) {
		printf("no account: %s\n", err.text);
		abort();
	}
	return id;
}

static inline uint64_t
make_folder(struct ledger *ledger, uint64_t account, const char *name)
{
	struct err err = { 0 };
	struct ledger_folder folder = { .account = account, .source_uidvalidity = 5 };

	folder.source_key = folder.source_name = xstrdup(name);
	folder.target_key = folder.target_name = folder.source_key;
	if (ledger_folder_put(ledger, &folder, &err) < 0) {
		printf("no folder: %s\n", err.text);
		abort();
	}
	free(folder.source_key);
	return folder.id;
}

static inline struct ledger_item
make_item(uint32_t uid, enum item_state state, uint64_t size)
{
	struct ledger_item item = { .uid = uid, .state = state, .size = size, .round = 1 };

	memset(item.digest, (int)(uid % 251 + 1), sizeof(item.digest));
	item.received = 1000000 + (int64_t)uid;
	return item;
}

/* What the counters should be, from the rows themselves. */
static inline void
recount(struct ledger *ledger, uint64_t folder, struct ledger_counts *counts_r)
{
	struct ledger_item *items = NULL;
	struct err err = { 0 };
	size_t count = 0;

	if (ledger_items(ledger, folder, 1, UINT32_MAX, 0, &items, &count, &err) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		bool copied = items[i].state == ITEM_LANDED || items[i].state == ITEM_VERIFIED;

		counts_r->by_state[items[i].state]++;
		if ((copied || items[i].state == ITEM_ADOPTED) && items[i].gone_round != 0)
			counts_r->gone++;
		if (!copied)
			continue;
		counts_r->bytes_landed += items[i].size;
		if (items[i].steps != 0 || items[i].reason == REASON_REPAIRED ||
			items[i].reason == REASON_WRAPPED)
			counts_r->repaired++;
	}
	ledger_items_free(items, count);
}

static inline void
check_same_counts(const struct ledger_counts *got, const struct ledger_counts *want)
{
	CHECK_INT(got->found, want->found);
	CHECK_INT(got->bytes_found, want->bytes_found);
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		CHECK_INT(got->by_state[state], want->by_state[state]);
	CHECK_INT(got->bytes_landed, want->bytes_landed);
	CHECK_INT(got->gone, want->gone);
	CHECK_INT(got->repaired, want->repaired);
}

/* Every folder's counters equal a recount, and their sum is the total. */
static inline void
check_counts(struct ledger *ledger)
{
	struct ledger_counts sum = { 0 }, total = { 0 };
	struct ledger_folder *folders = NULL;
	size_t count = 0;

	CHECK_OK(ledger_flush(ledger, &err));
	CHECK_OK(ledger_folders(ledger, 0, &folders, &count, &err));
	for (size_t i = 0; i < count; i++) {
		struct ledger_counts want = { .found = folders[i].counts.found,
			.bytes_found = folders[i].counts.bytes_found };

		recount(ledger, folders[i].id, &want);
		check_same_counts(&folders[i].counts, &want);
		sum.found += want.found;
		sum.bytes_found += want.bytes_found;
		for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
			sum.by_state[state] += want.by_state[state];
		sum.bytes_landed += want.bytes_landed;
		sum.gone += want.gone;
		sum.repaired += want.repaired;
	}
	CHECK_OK(ledger_totals(ledger, 0, &total, &err));
	check_same_counts(&total, &sum);
	ledger_folders_free(folders, count);
}

/* Each test gets an empty ledger and leaves nothing behind. */
struct fixture {
	struct place place;
	struct ledger *ledger;
};

static inline void
begin(struct fixture *f)
{
	place_make(&f->place);
	f->ledger = must_open(f->place.path, LEDGER_WRITE);
}

static inline void
reopen(struct fixture *f)
{
	CHECK_OK(ledger_close(&f->ledger, &err));
	f->ledger = must_open(f->place.path, LEDGER_WRITE);
}

static inline void
end(struct fixture *f)
{
	check_counts(f->ledger);
	CHECK_OK(ledger_close(&f->ledger, &err));
	place_remove(&f->place);
}

/* Begins a run and checks what it is told. */
static inline void
run_is(struct ledger *ledger, uint64_t want_run, unsigned want_round)
{
	uint64_t run = 0;
	unsigned round = 0;

	CHECK_OK(ledger_run_begin(ledger, &run, &round, &err));
	CHECK_INT(run, want_run);
	CHECK_INT(round, want_round);
}

static inline void
check_item(const struct ledger_item *got, const struct ledger_item *want)
{
	CHECK_INT(got->uid, want->uid);
	CHECK_INT(got->state, want->state);
	CHECK_INT(got->reason, want->reason);
	CHECK_INT(got->size, want->size);
	CHECK_MEM(got->digest, want->digest, DIGEST_SIZE);
	CHECK_MEM(got->sent, want->sent, DIGEST_SIZE);
	CHECK_INT(got->steps, want->steps);
	CHECK_INT(got->received, want->received);
	CHECK_INT(got->flags, want->flags);
	CHECK_STR(got->keywords, want->keywords);
	CHECK_INT(got->target_uid, want->target_uid);
	CHECK_INT(got->round, want->round);
	CHECK_INT(got->gone_round, want->gone_round);
	CHECK_STR(got->text, want->text);
}

/* The folder holds exactly these rows. */
static inline void
items_are(struct ledger *ledger, uint64_t folder, const struct ledger_item *want, size_t count)
{
	struct ledger_item *got = NULL;
	size_t found = 0;

	CHECK_OK(ledger_flush(ledger, &err));
	CHECK_OK(ledger_items(ledger, folder, 1, UINT32_MAX, 0, &got, &found, &err));
	CHECK_INT(found, count);
	for (size_t i = 0; i < found && i < count; i++)
		check_item(&got[i], &want[i]);
	ledger_items_free(got, found);
}

/* What ledger_each_item() showed, in words. */
struct seen {
	struct str text;
	unsigned left; /* how many more it wants; 0 = no limit */
};

static inline int
see(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	struct seen *seen = context;

	str_addf(&seen->text, "%s/%s/%u ", account->source_user, folder->source_name,
		(unsigned)item->uid);
	return seen->left != 0 && --seen->left == 0;
}

static inline void
each_is(struct ledger *ledger, uint64_t account, enum item_state state, unsigned limit,
	const char *want)
{
	struct seen seen = { .left = limit };

	CHECK_OK(ledger_each_item(ledger, account, state, see, &seen, &err));
	CHECK_STR(str_get(&seen.text), want);
	str_clear(&seen.text);
}

static inline int
count_item(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	uint64_t *count = context;

	(void)account;
	(void)folder;
	*count += item->uid != 0;
	return 0;
}

static inline void
counts_are(struct ledger *ledger, uint64_t account, uint64_t failed, uint64_t held, uint64_t landed)
{
	struct ledger_counts counts;

	CHECK_OK(ledger_totals(ledger, account, &counts, &err));
	CHECK_INT(counts.by_state[ITEM_FAILED], failed);
	CHECK_INT(counts.by_state[ITEM_HELD], held);
	CHECK_INT(counts.by_state[ITEM_LANDED], landed);
}

#endif
