/* list.c - `mailhaul list`: rows of the ledger, for people in columns, for programs as JSON. */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "report/format.h"
#include "base/banned.h"

struct lister {
	struct ledger *ledger;
	const struct args *args;
	enum item_state state;
	bool any; /* a row was printed */
};

static void
set_text(json_t *object, const char *key, const char *text)
{
	struct str safe;

	if (text == NULL) {
		json_object_set_new(object, key, json_null());
		return;
	}
	str_init(&safe, 0);
	text_sanitize(&safe, text, strlen(text));
	json_object_set_new(object, key, json_string(str_get(&safe)));
	str_clear(&safe);
}

static void
set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

/* One element of the array. */
static void
put_object(struct lister *lister, json_t *object)
{
	fputs(lister->any ? ",\n" : "[\n", stdout);
	lister->any = true;
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
}

static bool
is_wanted(const struct lister *lister, const char *user)
{
	if (lister->args->only_count == 0)
		return true;
	for (size_t i = 0; i < lister->args->only_count; i++) {
		if (text_glob(lister->args->only[i], user))
			return true;
	}
	return false;
}

static void
set_counts(json_t *object, const struct ledger_counts *counts)
{
	set_number(object, "found", counts->found);
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		set_number(
			object, item_state_name((enum item_state)state), counts->by_state[state]);
	set_number(object, "repaired", counts->repaired);
	set_number(object, "gone", counts->gone);
	set_number(object, "bytes_found", counts->bytes_found);
	set_number(object, "bytes_landed", counts->bytes_landed);
}

static void
put_counts(const struct ledger_counts *counts)
{
	char size[FORMAT_SIZE];

	printf("  %" PRIu64 " found, %" PRIu64 " copied, %s", counts->found,
		counts->by_state[ITEM_LANDED] + counts->by_state[ITEM_VERIFIED],
		format_bytes(size, sizeof size, counts->bytes_landed));
	for (int state = ITEM_SKIPPED; state < ITEM_STATES; state++) {
		if (counts->by_state[state] != 0)
			printf(", %" PRIu64 " %s", counts->by_state[state],
				item_state_name((enum item_state)state));
	}
}

static int
user_row(struct lister *lister, const struct ledger_account *account, struct err *err)
{
	struct ledger_counts counts;
	json_t *object;

	if (ledger_totals(lister->ledger, account->id, &counts, err) < 0)
		return -1;
	if (lister->args->json) {
		object = json_object();
		set_text(object, "user", account->source_user);
		set_text(object, "target", account->target_user);
		set_text(object, "state", account_state_name(account->state));
		set_number(object, "round", account->round);
		set_text(object, "reason",
			account->reason == ERR_NONE ? NULL : reason_name(account->reason));
		set_text(object, "text", account->text);
		set_counts(object, &counts);
		put_object(lister, object);
		return 0;
	}
	cli_put(stdout, account->source_user);
	fputs(" -> ", stdout);
	cli_put(stdout, account->target_user);
	printf("  %s", account_state_name(account->state));
	put_counts(&counts);
	if (account->text != NULL && account->text[0] != '\0') {
		fputs("  ", stdout);
		cli_put(stdout, account->text);
	}
	putchar('\n');
	return 0;
}

static void
folder_row(struct lister *lister, const struct ledger_account *account,
	const struct ledger_folder *folder)
{
	json_t *object;

	if (lister->args->json) {
		object = json_object();
		set_text(object, "user", account->source_user);
		set_text(object, "folder", folder->source_name);
		set_text(object, "target_folder", folder->target_name);
		set_text(object, "renamed_from", folder->renamed_from);
		set_number(object, "gone_round", folder->gone_round);
		set_counts(object, &folder->counts);
		put_object(lister, object);
		return;
	}
	cli_put(stdout, account->source_user);
	fputs("  ", stdout);
	cli_put(stdout, folder->source_name);
	fputs(" -> ", stdout);
	cli_put(stdout, folder->target_name);
	put_counts(&folder->counts);
	if (folder->gone_round != 0)
		fputs("  gone at source", stdout);
	putchar('\n');
}

static int
folder_rows(struct lister *lister, const struct ledger_account *account, struct err *err)
{
	struct ledger_folder *folders = NULL;
	size_t count = 0;

	if (ledger_folders(lister->ledger, account->id, &folders, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		folder_row(lister, account, &folders[i]);
	ledger_folders_free(folders, count);
	return 0;
}

static int
item_row(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	struct lister *lister = context;
	char size[FORMAT_SIZE];
	json_t *object;

	if (lister->args->json) {
		object = json_object();
		set_text(object, "user", account->source_user);
		set_text(object, "folder", folder->source_name);
		set_number(object, "uid", item->uid);
		set_number(object, "size", item->size);
		set_text(object, "state", item_state_name(item->state));
		set_text(object, "reason", reason_name(item->reason));
		set_text(object, "text", item->text);
		put_object(lister, object);
		return ferror(stdout) ? 1 : 0;
	}
	cli_put(stdout, account->source_user);
	fputs("  ", stdout);
	cli_put(stdout, folder->source_name);
	printf("  UID %" PRIu32 "  %s  %s", item->uid, format_bytes(size, sizeof size, item->size),
		reason_name(item->reason));
	if (item->text != NULL) {
		fputs("  ", stdout);
		cli_put(stdout, item->text);
	}
	putchar('\n');
	return ferror(stdout) ? 1 : 0; /* the reader has left */
}

static int
item_rows(struct lister *lister, const struct ledger_account *account, struct err *err)
{
	return ledger_each_item(lister->ledger, account->id, lister->state, item_row, lister, err) <
			       0
		       ? -1
		       : 0;
}

/* One that failed as a whole has no items that say so: a row of the same members, without folder,
 * UID and size. */
static void
account_row(struct lister *lister, const struct ledger_account *account)
{
	json_t *object;

	if (lister->args->json) {
		object = json_object();
		set_text(object, "user", account->source_user);
		set_text(object, "folder", NULL);
		json_object_set_new(object, "uid", json_null());
		json_object_set_new(object, "size", json_null());
		set_text(object, "state", item_state_name(ITEM_FAILED));
		set_text(object, "reason", reason_name(account->reason));
		set_text(object, "text", account->text);
		put_object(lister, object);
		return;
	}
	cli_put(stdout, account->source_user);
	printf("  account failed  %s", reason_name(account->reason));
	if (account->text != NULL) {
		fputs("  ", stdout);
		cli_put(stdout, account->text);
	}
	putchar('\n');
}

static const struct {
	const char *name;
	int (*rows)(struct lister *lister, const struct ledger_account *account, struct err *err);
	enum item_state state;
} lists[] = {
	{ "users", user_row, ITEM_STATES },
	{ "folders", folder_rows, ITEM_STATES },
	{ "failed", item_rows, ITEM_FAILED },
	{ "skipped", item_rows, ITEM_SKIPPED },
	{ "held", item_rows, ITEM_HELD },
};

static int
print_list(struct lister *lister, size_t which, struct err *err)
{
	struct ledger_account *accounts = NULL;
	size_t count = 0;
	int ret = 0;

	if (ledger_accounts(lister->ledger, &accounts, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && lister->state == ITEM_FAILED; i++) {
		if (accounts[i].state == ACCOUNT_FAILED &&
			is_wanted(lister, accounts[i].source_user))
			account_row(lister, &accounts[i]);
	}
	for (size_t i = 0; i < count && ret == 0 && !ferror(stdout); i++) {
		if (is_wanted(lister, accounts[i].source_user))
			ret = lists[which].rows(lister, &accounts[i], err);
	}
	ledger_accounts_free(accounts, count);
	if (lister->args->json)
		fputs(lister->any ? "\n]\n" : "[]\n", stdout);
	return ret;
}

static int
list(const struct args *args)
{
	struct lister lister = { .args = args };
	struct profile *profile = NULL;
	struct err err = { 0 };
	size_t which = 0;
	int code;

	while (which < sizeof lists / sizeof lists[0] &&
		strcmp(lists[which].name, args->words[1]) != 0)
		which++;
	if (which == sizeof lists / sizeof lists[0])
		return cli_usage("list takes users, folders, failed, skipped or held, not %s",
			args->words[1]);
	code = cli_load_profile(args->words[0], &profile);
	if (code != 0)
		return code;
	code = cli_open_ledger(profile, &lister.ledger);
	lister.state = lists[which].state;
	if (code == 0 && print_list(&lister, which, &err) < 0)
		code = cli_fail(&err);
	ledger_close(&lister.ledger, NULL);
	profile_free(&profile);
	return code;
}

const struct subcommand cmd_list = {
	.name = "list",
	.usage = "PROFILE users|folders|failed|skipped|held [--only GLOB]... [--json]",
	.summary = "rows of the ledger",
	.help = "  failed: accounts that failed as a whole first, then items; in JSON an "
		"account's\n"
		"  folder, uid and size are null\n",
	.options = ARGS_JSON | ARGS_ONLY,
	.words_min = 2,
	.words_max = 2,
	.run = list,
};
