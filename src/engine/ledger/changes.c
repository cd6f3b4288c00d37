/* changes.c - what has changed since the last manifest that was confirmed.
 *
 * Each transaction writes down which rows it has changed, as ranges of UIDs, so that a manifest of
 * what a run did costs what the run did. A row of `change` goes when a manifest that tells of it is
 * in its place: what a killed run did is told by the next one's. Messages are copied in the order
 * of their UIDs, so a first pass writes a row or two for each transaction and folder. Rows lie in
 * the order of their transactions: they are told in pieces, and those that came since are found
 * without a look at the others. */
#include "engine/ledger/ledger_private.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define CHANGES_AT_ONCE 10000
#define ITEMS_AT_ONCE   1000

/* ---- written ---- */

void
change_note(struct ledger *ledger, uint64_t folder, enum change_kind kind, uint32_t first,
	uint32_t last)
{
	struct changes *at;
	size_t i = ledger->change_count;

	while (i > 0 && ledger->changes[i - 1].folder != folder)
		i--;
	if (i == 0) {
		ledger->changes = rows_grow(ledger->changes, ledger->change_count,
			&ledger->change_cap, sizeof(*ledger->changes));
		i = ++ledger->change_count;
		memset(&ledger->changes[i - 1], 0, sizeof(*ledger->changes));
		ledger->changes[i - 1].folder = folder;
	}
	at = &ledger->changes[i - 1];
	if (kind == CHANGE_FOLDER)
		at->row = true;
	else
		uidset_add(&at->uids[kind], first, last);
}

static int
put_range(struct ledger *ledger, uint64_t folder, enum change_kind kind, uint32_t first,
	uint32_t last, struct err *err)
{
	static const char sql[] = "INSERT INTO change(stamp, folder, kind, first, last)"
				  " VALUES(?1, ?2, ?3, ?4, ?5)";
	sqlite3_stmt *stmt;

	if (db_prepare(&ledger->db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, ledger->stamp);
	bind_u64(stmt, 2, folder);
	bind_int(stmt, 3, kind);
	bind_int(stmt, 4, first);
	bind_int(stmt, 5, last);
	return db_run(&ledger->db, stmt, err);
}

static int
put_changes(struct ledger *ledger, const struct changes *changes, struct err *err)
{
	if (changes->row && put_range(ledger, changes->folder, CHANGE_FOLDER, 0, 0, err) < 0)
		return -1;
	for (int kind = CHANGE_WRITTEN; kind < CHANGE_KINDS; kind++) {
		const struct uidset *uids = &changes->uids[kind];

		for (size_t i = 0; i < uids->count; i++)
			if (put_range(ledger, changes->folder, (enum change_kind)kind,
				    uids->ranges[i].first, uids->ranges[i].last, err) < 0)
				return -1;
	}
	return 0;
}

void
change_clear(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->change_count; i++)
		for (int kind = 0; kind < CHANGE_KINDS; kind++)
			uidset_clear(&ledger->changes[i].uids[kind]);
	ledger->change_count = 0;
}

int
change_finish(struct ledger *ledger, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < ledger->change_count && ret == 0; i++)
		ret = put_changes(ledger, &ledger->changes[i], err);
	ledger->stamp += ledger->change_count > 0;
	change_clear(ledger);
	return ret;
}

/* ---- read ---- */

struct range {
	uint64_t stamp, folder;
	int kind;
	uint32_t first, last;
};

struct walk {
	struct ledger *ledger;
	ledger_change_fn *fn;
	void *context;
	uint64_t up_to;
	struct ledger_account account;
	struct ledger_folder folder; /* id 0: none was read yet */
};

static int
compare_ranges(const void *a, const void *b)
{
	const struct range *one = a, *two = b;

	if (one->folder != two->folder)
		return one->folder < two->folder ? -1 : 1;
	if (one->kind != two->kind)
		return one->kind < two->kind ? -1 : 1;
	return one->first < two->first ? -1 : one->first > two->first;
}

/* Sorted, those that touch or overlap made one: transactions cut what was one after the other. */
static size_t
join_ranges(struct range *ranges, size_t count)
{
	size_t n = 0;

	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 1; i < count; i++) {
		struct range *last = &ranges[n];
		const struct range *range = &ranges[i];

		if (range->folder != last->folder || range->kind != last->kind ||
			range->first > (uint64_t)last->last + 1)
			ranges[++n] = *range;
		else if (range->last > last->last)
			last->last = range->last;
	}
	return count == 0 ? 0 : n + 1;
}

/* The next piece, in the order of folders. *after moves on. */
static int
read_ranges(struct walk *walk, struct range *after, struct range *ranges, size_t *count_r,
	struct err *err)
{
	static const char sql[] =
		"SELECT stamp, folder, kind, first, last FROM change"
		" WHERE (stamp, folder, kind, first, last) > (?1, ?2, ?3, ?4, ?5)"
		" AND stamp <= ?6 ORDER BY stamp, folder, kind, first, last LIMIT ?7";
	sqlite3_stmt *stmt;
	struct db *db;
	int ret;

	*count_r = 0;
	if (ledger_borrow(walk->ledger, &db, err) < 0)
		return -1;
	ret = db_prepare(db, sql, &stmt, err);
	if (ret == 0) {
		bind_u64(stmt, 1, after->stamp);
		bind_u64(stmt, 2, after->folder);
		bind_int(stmt, 3, after->kind);
		bind_int(stmt, 4, after->first);
		bind_int(stmt, 5, after->last);
		bind_u64(stmt, 6, walk->up_to);
		bind_int(stmt, 7, CHANGES_AT_ONCE);
		while ((ret = db_step(db, stmt, err)) == 1) {
			struct range *range = &ranges[(*count_r)++];

			range->stamp = column_u64(stmt, 0);
			range->folder = column_u64(stmt, 1);
			range->kind = sqlite3_column_int(stmt, 2);
			range->first = column_u32(stmt, 3);
			range->last = column_u32(stmt, 4);
		}
	}
	ledger_return(walk->ledger, &db);
	if (*count_r > 0)
		*after = ranges[*count_r - 1];
	*count_r = join_ranges(ranges, *count_r);
	return ret;
}

/* Rows of folders are never removed: one that is not there is damage. */
static int
enter_folder(struct walk *walk, uint64_t id, struct err *err)
{
	if (walk->folder.id == id)
		return 0;
	ledger_folder_clear(&walk->folder);
	if (folder_read(walk->ledger, id, &walk->folder, err) < 0)
		return -1;
	if (walk->account.id == walk->folder.account)
		return 0;
	account_clear(&walk->account);
	return account_read(walk->ledger, walk->folder.account, &walk->account, err);
}

/* The items of a range as they are now, and for UIDs that had a row what has become of it. 1: the
 * call-back has had enough. */
static int
walk_items(struct walk *walk, const struct range *range, struct err *err)
{
	bool removed = range->kind == CHANGE_REMOVED;
	struct ledger_item *items;
	uint64_t at = range->first;
	uint32_t last = range->last;
	size_t count;
	int ret = 0;

	do {
		if (items_read(walk->ledger, walk->folder.id, (uint32_t)at, last, 0, false,
			    ITEMS_AT_ONCE, &items, &count, err) < 0)
			return -1;
		for (size_t i = 0; i < count && ret == 0; i++) {
			for (; removed && at < items[i].uid && ret == 0; at++)
				ret = walk->fn(walk->context, &walk->account, &walk->folder,
					(uint32_t)at, NULL);
			at = (uint64_t)items[i].uid + 1;
			if (ret == 0 && !removed)
				ret = walk->fn(walk->context, &walk->account, &walk->folder,
					items[i].uid, &items[i]);
		}
		ledger_items_free(items, count);
	} while (ret == 0 && count == ITEMS_AT_ONCE && at <= last);
	for (; removed && at <= last && ret == 0; at++)
		ret = walk->fn(walk->context, &walk->account, &walk->folder, (uint32_t)at, NULL);
	return ret != 0;
}

static int
walk_range(struct walk *walk, const struct range *range, struct err *err)
{
	if (enter_folder(walk, range->folder, err) < 0)
		return -1;
	if (range->kind == CHANGE_FOLDER)
		return walk->fn(walk->context, &walk->account, &walk->folder, 0, NULL) != 0;
	return walk_items(walk, range, err);
}

static int
newest_stamp(struct ledger *ledger, uint64_t *stamp_r, struct err *err)
{
	int64_t stamp = 0;
	struct db *db;
	int ret;

	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = db_number(db, "SELECT max(stamp) FROM change", 0, &stamp, err);
	ledger_return(ledger, &db);
	*stamp_r = (uint64_t)stamp;
	return ret;
}

int
ledger_each_change(struct ledger *ledger, uint64_t after, ledger_change_fn *fn, void *context,
	uint64_t *up_to_r, struct err *err)
{
	struct range at = { .stamp = after, .folder = UINT64_MAX }, *ranges;
	struct walk walk = { .ledger = ledger, .fn = fn, .context = context };
	size_t count = 0;
	int ret = newest_stamp(ledger, &walk.up_to, err);

	*up_to_r = walk.up_to > after ? walk.up_to : after;
	if (ret < 0 || walk.up_to <= after)
		return ret;
	ranges = xcalloc(CHANGES_AT_ONCE, sizeof(*ranges));
	while (ret == 0) {
		ret = read_ranges(&walk, &at, ranges, &count, err);
		if (ret < 0 || count == 0)
			break;
		for (size_t i = 0; i < count && ret == 0; i++)
			ret = walk_range(&walk, &ranges[i], err);
	}
	account_clear(&walk.account);
	ledger_folder_clear(&walk.folder);
	free(ranges);
	return ret < 0 ? -1 : 0;
}

/* ---- manifests ---- */

static int
read_value(struct db *db, const char *key, char *value_r, size_t size, struct err *err)
{
	char *value;

	if (meta_get(db, key, &value, err) < 0)
		return -1;
	snprintf(value_r, size, "%s", value != NULL ? value : "");
	free(value);
	return 0;
}

int
ledger_manifest_last(struct ledger *ledger, struct ledger_manifest *last_r, struct err *err)
{
	struct db *db;
	int ret;

	memset(last_r, 0, sizeof(*last_r));
	if (ledger_borrow(ledger, &db, err) < 0)
		return -1;
	ret = read_value(db, "manifest name", last_r->name, sizeof(last_r->name), err);
	if (ret == 0)
		ret = read_value(
			db, "manifest sha256", last_r->sha256, sizeof(last_r->sha256), err);
	ledger_return(ledger, &db);
	return ret;
}

struct done {
	const struct ledger_manifest *manifest;
	uint64_t up_to;
};

static int
apply_done(struct ledger *ledger, struct op *op, struct err *err)
{
	static const char sql[] = "DELETE FROM change WHERE stamp <= ?1";
	const struct done *done = ((struct call_op *)op)->context;
	struct db *db = &ledger->db;
	sqlite3_stmt *stmt;

	if (meta_put(db, "manifest name", done->manifest->name, err) < 0 ||
		meta_put(db, "manifest sha256", done->manifest->sha256, err) < 0 ||
		db_prepare(db, sql, &stmt, err) < 0)
		return -1;
	bind_u64(stmt, 1, done->up_to);
	return db_run(db, stmt, err);
}

int
ledger_manifest_done(struct ledger *ledger, const struct ledger_manifest *manifest, uint64_t up_to,
	struct err *err)
{
	struct done done = { .manifest = manifest, .up_to = up_to };

	return ledger_call(ledger, apply_done, &done, err);
}
