/* rows.c - one row of a table as a struct, and the freeing of what was read.
 *
 * Rows may have been changed by hand or by a bad disk: what cannot be is "damaged", never used. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"
#include "mail/item.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ROWS_FIRST 16

void *
rows_grow(void *rows, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return rows;
	*cap = *cap == 0 ? ROWS_FIRST : *cap * 2;
	return xrealloc(rows, *cap * size);
}

static int
column_digest(struct db *db, sqlite3_stmt *stmt, int at, unsigned char *digest_r, struct err *err)
{
	const void *bytes;

	if (sqlite3_column_type(stmt, at) == SQLITE_NULL)
		return 0;
	bytes = sqlite3_column_blob(stmt, at);
	if (bytes == NULL || sqlite3_column_bytes(stmt, at) != DIGEST_SIZE)
		return db_damaged(db, "a digest", err);
	memcpy(digest_r, bytes, DIGEST_SIZE);
	return 0;
}

int
row_item(struct db *db, sqlite3_stmt *stmt, struct ledger_item *item_r, struct err *err)
{
	int64_t state = sqlite3_column_int64(stmt, 1);

	memset(item_r, 0, sizeof(*item_r));
	if (state < ITEM_LANDED || state >= ITEM_STATES)
		return db_damaged(db, "an item without a state", err);
	item_r->uid = column_u32(stmt, 0);
	item_r->state = (enum item_state)state;
	item_r->reason = column_unsigned(stmt, 2);
	item_r->size = column_u64(stmt, 3);
	if (column_digest(db, stmt, 4, item_r->digest, err) < 0 ||
		column_digest(db, stmt, 5, item_r->sent, err) < 0)
		return -1;
	item_r->steps = column_unsigned(stmt, 6);
	item_r->received = sqlite3_column_type(stmt, 7) == SQLITE_NULL
				   ? ITEM_DATE_NONE
				   : sqlite3_column_int64(stmt, 7);
	item_r->flags = column_unsigned(stmt, 8);
	item_r->keywords = column_strdup(stmt, 9);
	item_r->target_uid = column_u32(stmt, 10);
	item_r->round = column_unsigned(stmt, 11);
	item_r->gone_round = column_unsigned(stmt, 12);
	item_r->text = column_strdup(stmt, 13);
	return 0;
}

void
row_counts(sqlite3_stmt *stmt, int at, struct ledger_counts *counts_r)
{
	memset(counts_r, 0, sizeof(*counts_r));
	counts_r->found = column_u64(stmt, at);
	counts_r->bytes_found = column_u64(stmt, at + 1);
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		counts_r->by_state[state] = column_u64(stmt, at + 1 + state);
	counts_r->bytes_landed = column_u64(stmt, at + 9);
	counts_r->gone = column_u64(stmt, at + 10);
	counts_r->repaired = column_u64(stmt, at + 11);
}

int
row_folder(struct db *db, sqlite3_stmt *stmt, struct ledger_folder *folder_r, struct err *err)
{
	memset(folder_r, 0, sizeof(*folder_r));
	folder_r->id = column_u64(stmt, 0);
	folder_r->account = column_u64(stmt, 1);
	if (folder_r->id == 0 || folder_r->account == 0)
		return db_damaged(db, "a folder without a number", err);
	folder_r->source_key = column_strdup(stmt, 2);
	folder_r->source_name = column_strdup(stmt, 3);
	folder_r->source_uidvalidity = column_u32(stmt, 4);
	folder_r->source_mailboxid = column_strdup(stmt, 5);
	folder_r->target_key = column_strdup(stmt, 6);
	folder_r->target_name = column_strdup(stmt, 7);
	folder_r->target_uidvalidity = column_u32(stmt, 8);
	folder_r->target_bound = column_u32(stmt, 9);
	folder_r->target_foreign = column_u32(stmt, 10);
	folder_r->renamed_from = column_strdup(stmt, 11);
	folder_r->gone_round = column_unsigned(stmt, 12);
	folder_r->scanned_round = column_unsigned(stmt, 13);
	folder_r->rematch = sqlite3_column_int(stmt, 14) != 0;
	folder_r->seen.uidnext = column_u32(stmt, 15);
	folder_r->seen.messages = column_u32(stmt, 16);
	folder_r->seen.modseq = column_u64(stmt, 17);
	folder_r->seen.settings = column_u32(stmt, 18);
	row_counts(stmt, ROW_FOLDER_COUNTS, &folder_r->counts);
	return 0;
}

int
row_account(struct db *db, sqlite3_stmt *stmt, struct ledger_account *account_r, struct err *err)
{
	int64_t state = sqlite3_column_int64(stmt, 5);
	int64_t reason = sqlite3_column_int64(stmt, 7);

	memset(account_r, 0, sizeof(*account_r));
	if (state < 0 || state >= ACCOUNT_STATES || reason < 0 || reason >= ERR_CODES)
		return db_damaged(db, "an account without a state", err);
	account_r->id = column_u64(stmt, 0);
	account_r->source_user = column_strdup(stmt, 1);
	account_r->source_host = column_strdup(stmt, 2);
	account_r->target_user = column_strdup(stmt, 3);
	account_r->target_host = column_strdup(stmt, 4);
	account_r->state = (enum account_state)state;
	account_r->round = column_unsigned(stmt, 6);
	account_r->reason = (enum err_code)reason;
	account_r->text = column_strdup(stmt, 8);
	account_r->started = sqlite3_column_int64(stmt, 9);
	account_r->ended = sqlite3_column_int64(stmt, 10);
	return 0;
}

void
account_clear(struct ledger_account *account)
{
	free(account->source_user);
	free(account->source_host);
	free(account->target_user);
	free(account->target_host);
	free(account->text);
	memset(account, 0, sizeof(*account));
}

void
ledger_accounts_free(struct ledger_account *accounts, size_t count)
{
	for (size_t i = 0; accounts != NULL && i < count; i++)
		account_clear(&accounts[i]);
	free(accounts);
}

void
ledger_folder_clear(struct ledger_folder *folder)
{
	free(folder->source_key);
	free(folder->source_name);
	free(folder->source_mailboxid);
	free(folder->target_key);
	free(folder->target_name);
	free(folder->renamed_from);
	memset(folder, 0, sizeof(*folder));
}

void
ledger_folders_free(struct ledger_folder *folders, size_t count)
{
	for (size_t i = 0; folders != NULL && i < count; i++)
		ledger_folder_clear(&folders[i]);
	free(folders);
}

void
item_clear(struct ledger_item *item)
{
	free(item->keywords);
	free(item->text);
}

void
ledger_items_free(struct ledger_item *items, size_t count)
{
	for (size_t i = 0; items != NULL && i < count; i++)
		item_clear(&items[i]);
	free(items);
}

void
ledger_batches_free(struct ledger_batch *batches, size_t count)
{
	for (size_t i = 0; batches != NULL && i < count; i++)
		blob_entries_free(batches[i].entries, batches[i].count);
	free(batches);
}

void
ledger_events_free(struct ledger_event *events, size_t count)
{
	for (size_t i = 0; events != NULL && i < count; i++) {
		free(events[i].folder);
		free(events[i].text);
	}
	free(events);
}
