/* test_sqlite.c - the SQLite ledger as a file: modes, foreign and damaged files, failing writes. */
#include "engine/ledger/ledger_private.h"
#include "engine/ledger/test_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/banned.h"

#define NOBODY 65534

/* Runs SQL on the file from outside, as an admin might. */
static void
sql(const char *path, const char *text)
{
	sqlite3 *db;

	CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
write_file(const char *path, const void *bytes, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static void
mode_is(const char *path, const char *behind)
{
	char name[320];
	struct stat st = { 0 };

	snprintf(name, sizeof(name), "%s%s", path, behind);
	CHECK_INT(stat(name, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
}

static void
modes(void)
{
	struct fixture f = { 0 };
	mode_t mask = umask(0);

	begin(&f);
	make_account(f.ledger, "ana");
	mode_is(f.place.path, "");
	mode_is(f.place.path, "-wal");
	mode_is(f.place.path, "-shm");
	end(&f);
	umask(mask);
}

/* Opening fails for writer and reader alike, and the file stays as it is. */
static void
refused(const char *path, enum err_code code, const char *words)
{
	struct ledger *ledger = NULL;

	CHECK_FAILS(ledger_open(path, &test_binding, LEDGER_WRITE, &ledger, &err), code, words);
	CHECK_FAILS(ledger_open(path, NULL, LEDGER_READ, &ledger, &err), code, words);
}

static void
foreign_files(void)
{
	static const char garbage[] = "From: ana@acme.example\r\nSubject: this is no database\r\n";
	struct place place = { 0 };
	struct fixture f = { 0 };
	struct stat st = { 0 };

	place_make(&place);
	write_file(place.path, garbage, sizeof(garbage), 0);
	refused(place.path, ERR_LEDGER, "not a ledger");
	CHECK_INT(stat(place.path, &st), 0);
	CHECK_INT(st.st_size, sizeof(garbage));
	unlink(place.path);
	sql(place.path, "CREATE TABLE bookmarks(url)");
	refused(place.path, ERR_LEDGER, "another program's database");
	sql(place.path, "PRAGMA application_id = 77; DROP TABLE bookmarks");
	refused(place.path, ERR_LEDGER, "another program's database");
	CHECK_INT(truncate(place.path, 0), 0);
	CHECK_FAILS(ledger_open(place.path, NULL, LEDGER_READ, &f.ledger, &err), ERR_STATE_DIR,
		"no ledger yet");
	f.place = place;
	f.ledger = must_open(place.path, LEDGER_WRITE); /* a crash left it empty */
	end(&f);
	CHECK_FAILS(
		ledger_open("/nonexistent/ledger.db", &test_binding, LEDGER_WRITE, &f.ledger, &err),
		ERR_LEDGER, "cannot create the ledger /nonexistent/ledger.db");
}

static void
other_versions(void)
{
	struct fixture f = { 0 };

	begin(&f);
	CHECK_OK(ledger_close(&f.ledger, &err));
	sql(f.place.path, "PRAGMA user_version = 99");
	refused(f.place.path, ERR_LEDGER, "from a newer mailhaul (version 99");
	sql(f.place.path, "PRAGMA user_version = 0");
	refused(f.place.path, ERR_LEDGER, "damaged (it has no version)");
	place_remove(&f.place);
}

static int
count_change(void *context, const struct ledger_account *account,
	const struct ledger_folder *folder, uint32_t uid, const struct ledger_item *item)
{
	uint64_t *counts = context;

	(void)account;
	(void)folder;
	counts[uid == 0 ? 0 : item != NULL ? 1 : 2]++;
	return 0;
}

/* As version 2 was: the rows, their rounds' sums, and all of them new to the chain of manifests. */
static void
version_2(void)
{
	static const char back[] =
		"DROP INDEX item_odd; DROP TABLE change;"
		"ALTER TABLE folder DROP COLUMN seen_uidnext;"
		"ALTER TABLE folder DROP COLUMN seen_messages;"
		"ALTER TABLE folder DROP COLUMN seen_modseq;"
		"ALTER TABLE folder DROP COLUMN seen_settings;"
		"ALTER TABLE round DROP COLUMN copied; ALTER TABLE round DROP COLUMN bytes;"
		"PRAGMA user_version = 2";
	struct fixture f = { 0 };
	struct ledger_item rows[3] = { make_item(1, ITEM_LANDED, 5), make_item(2, ITEM_FAILED, 5),
		make_item(UINT32_MAX, ITEM_VERIFIED, 7) };
	struct ledger_round *rounds;
	uint64_t run, counts[3] = { 0 }, up_to;
	unsigned round;
	size_t count;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	CHECK_OK(ledger_run_begin(f.ledger, &run, &round, &err));
	for (size_t i = 0; i < 3; i++)
		rows[i].round = round;
	ledger_items_put(f.ledger, 1, rows, 3);
	CHECK_OK(ledger_close(&f.ledger, &err));
	sql(f.place.path, back);
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	items_are(f.ledger, 1, rows, 3);
	CHECK_OK(ledger_rounds(f.ledger, &rounds, &count, &err));
	CHECK_INT(rounds[0].copied, 2);
	CHECK_INT(rounds[0].bytes, 12);
	free(rounds);
	CHECK_OK(ledger_each_change(f.ledger, 0, count_change, counts, &up_to, &err));
	CHECK_INT(counts[0], 1);
	CHECK_INT(counts[1], 3);
	CHECK_INT(counts[2], 0);
	end(&f);
}

/* As version 3 was: what had changed by then is still to be told. */
static void
version_3(void)
{
	static const char back[] =
		"CREATE TABLE old(folder INTEGER NOT NULL, kind INTEGER NOT NULL,"
		" first INTEGER NOT NULL, last INTEGER NOT NULL, stamp INTEGER NOT NULL,"
		" PRIMARY KEY(folder, kind, first, last)) WITHOUT ROWID;"
		"INSERT INTO old SELECT folder, kind, first, last, stamp FROM change;"
		"DROP TABLE change; ALTER TABLE old RENAME TO change;"
		"PRAGMA user_version = 3";
	struct fixture f = { 0 };
	struct ledger_item rows[2] = { make_item(1, ITEM_LANDED, 5), make_item(2, ITEM_LANDED, 5) };
	uint64_t counts[3] = { 0 }, up_to = 0, after;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	ledger_items_put(f.ledger, 1, rows, 2);
	CHECK_OK(ledger_close(&f.ledger, &err));
	sql(f.place.path, back);
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	ledger_item_flags(f.ledger, 1, 2, ITEM_SEEN, NULL);
	CHECK_OK(ledger_flush(f.ledger, &err));
	CHECK_OK(ledger_each_change(f.ledger, 0, count_change, counts, &up_to, &err));
	CHECK_INT(counts[0], 1);
	CHECK_INT(counts[1], 2);
	CHECK_INT(counts[2], 0);
	CHECK_OK(ledger_each_change(f.ledger, up_to - 1, count_change, counts, &after, &err));
	CHECK_INT(counts[1], 3); /* its flags are newer than what was there */
	CHECK_INT(after, up_to);
	end(&f);
}

static void
damaged_rows(void)
{
	static const struct {
		const char *sql;
		bool items; /* seen when items are read; else by ledger_doubts() */
	} cases[] = {
		{ "UPDATE batch SET entries = x'00'", false },
		{ "UPDATE batch SET entries = ''", false },
		{ "UPDATE batch SET items = 2", false },
		{ "UPDATE batch SET entries = substr(entries, 1, length(entries) - 1)", false },
		{ "UPDATE item SET state = 99", true },
		{ "UPDATE item SET state = 0", true },
		{ "UPDATE item SET state = 'landed'", true },
		{ "UPDATE item SET digest = x'0102'", true },
		{ "UPDATE item SET sent = 5", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f = { 0 };
		struct ledger_item row = make_item(1, ITEM_LANDED, 5), *rows;
		struct ledger_entry entry = { .uid = 2 };
		struct ledger_batch batch = { .folder = 1, .entries = &entry, .count = 1 };
		struct ledger_batch *doubts;
		uint64_t id, ticket;
		size_t count;

		begin(&f);
		make_account(f.ledger, "ana");
		make_folder(f.ledger, 1, "INBOX");
		ledger_items_put(f.ledger, 1, &row, 1);
		CHECK_OK(ledger_intend(f.ledger, &batch, &id, &ticket, &err));
		CHECK_OK(ledger_close(&f.ledger, &err));
		sql(f.place.path, cases[i].sql);
		f.ledger = must_open(f.place.path, LEDGER_WRITE);
		if (cases[i].items)
			CHECK_FAILS(ledger_items(f.ledger, 1, 1, 9, 0, &rows, &count, &err),
				ERR_LEDGER, "the ledger is damaged");
		else
			CHECK_FAILS(ledger_doubts(f.ledger, 1, &doubts, &count, &err), ERR_LEDGER,
				"the ledger is damaged (a batch on its way)");
		CHECK_OK(ledger_close(&f.ledger, &err));
		place_remove(&f.place);
	}
}

/* The page where the tree of a table begins. */
static off_t
root_page(const char *path, const char *table)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *handle = NULL;
	off_t page = 0;

	CHECK_INT(sqlite3_open(path, &handle), SQLITE_OK);
	CHECK_INT(sqlite3_prepare_v2(handle, "SELECT rootpage FROM sqlite_master WHERE name = ?1",
			  -1, &stmt, NULL),
		SQLITE_OK);
	sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
	CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
	page = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(handle);
	return page;
}

/* Pages are overwritten, that of the items and then all but the first: an error, never rows that
 * are not there. */
static void
damaged_pages(void)
{
	struct fixture f = { 0 };
	struct ledger_item row = make_item(1, ITEM_LANDED, 5), *rows;
	unsigned char noise[4096];
	struct stat st = { 0 };
	size_t count;

	memset(noise, 0xa5, sizeof(noise));
	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	ledger_items_put(f.ledger, 1, &row, 1);
	CHECK_OK(ledger_close(&f.ledger, &err));
	write_file(f.place.path, noise, sizeof(noise),
		(root_page(f.place.path, "item") - 1) * (off_t)sizeof(noise));
	CHECK_OK(ledger_open(f.place.path, NULL, LEDGER_READ, &f.ledger, &err));
	CHECK_FAILS(ledger_items(f.ledger, 1, 1, 9, 0, &rows, &count, &err), ERR_LEDGER, "damaged");
	CHECK_OK(ledger_close(&f.ledger, &err));
	CHECK_INT(stat(f.place.path, &st), 0);
	for (off_t at = sizeof(noise); at < st.st_size; at += (off_t)sizeof(noise))
		write_file(f.place.path, noise, sizeof(noise), at);
	CHECK_FAILS(ledger_open(f.place.path, NULL, LEDGER_READ, &f.ledger, &err), ERR_LEDGER,
		"damaged");
	CHECK_FAILS(ledger_open(f.place.path, &test_binding, LEDGER_WRITE, &f.ledger, &err),
		ERR_LEDGER, "damaged");
	place_remove(&f.place);
}

/* Queues until it fails, at most this often; nothing ever blocks for good. */
static void
put_until_failed(struct ledger *ledger)
{
	struct ledger_item rows[100];
	struct err err;

	for (unsigned n = 0; n < 2000; n++) {
		for (unsigned i = 0; i < 100; i++)
			rows[i] = make_item(n * 100 + i + 1, ITEM_LANDED, 10);
		ledger_items_put(ledger, 1, rows, 100);
		if (n % 100 == 0 && ledger_flush(ledger, &err) < 0)
			return;
	}
	CHECK(false);
}

/* After a failed write nothing goes on, and the first cause stays. Closes it. */
static void
stays_failed(struct ledger **ledger, const char *words)
{
	struct ledger_entry entry = { .uid = 2 };
	struct ledger_batch batch = { .folder = 1, .entries = &entry, .count = 1 };
	struct ledger_folder folder = { .account = 1 };
	struct ledger_item *rows;
	uint64_t id, ticket;
	size_t count;

	CHECK_FAILS(ledger_check(*ledger, &err), ERR_LEDGER, words);
	CHECK_FAILS(ledger_flush(*ledger, &err), ERR_LEDGER, words);
	CHECK_FAILS(ledger_wait(*ledger, 1, &err), ERR_LEDGER, words);
	CHECK_FAILS(ledger_intend(*ledger, &batch, &id, &ticket, &err), ERR_LEDGER, words);
	CHECK_FAILS(ledger_folder_put(*ledger, &folder, &err), ERR_LEDGER, words);
	CHECK_FAILS(ledger_items(*ledger, 1, 1, 9, 0, &rows, &count, &err), ERR_LEDGER, words);
	CHECK_FAILS(bind_one(*ledger, "a", "b", "c", "d", false, &id, &err), ERR_LEDGER, words);
	CHECK_INT(ledger_act_state(*ledger, 1, "a", "b"), -1);
	ledger_run_end(*ledger, 1, 0);
	CHECK_FAILS(ledger_close(ledger, &err), ERR_LEDGER, words);
	CHECK(*ledger == NULL);
}

static void
begin_folder(struct fixture *f)
{
	begin(f);
	make_account(f->ledger, "ana");
	make_folder(f->ledger, 1, "INBOX");
}

/* What was there before the failure is there, and the ledger can be written again. */
static void
goes_on(struct fixture *f)
{
	struct ledger_item row = make_item(4000000, ITEM_LANDED, 1);

	f->ledger = must_open(f->place.path, LEDGER_WRITE);
	CHECK_INT(make_account(f->ledger, "ana"), 1);
	ledger_items_put(f->ledger, 1, &row, 1);
	end(f);
}

static void
database_full(void)
{
	struct fixture f = { 0 };

	begin_folder(&f);
	CHECK_INT(sqlite3_exec(f.ledger->db.handle, "PRAGMA max_page_count = 60", NULL, NULL, NULL),
		SQLITE_OK);
	put_until_failed(f.ledger);
	stays_failed(&f.ledger, "(disk full)");
	goes_on(&f);
}

static void
locked_by_another(void)
{
	struct fixture f = { 0 };
	struct ledger_item row = make_item(1, ITEM_LANDED, 1);
	sqlite3 *other;

	begin_folder(&f);
	sqlite3_busy_timeout(f.ledger->db.handle, 50);
	CHECK_INT(sqlite3_open(f.place.path, &other), SQLITE_OK);
	CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ledger_items_put(f.ledger, 1, &row, 1);
	CHECK_FAILS(ledger_flush(f.ledger, &err), ERR_LEDGER, "(locked by another program)");
	stays_failed(&f.ledger, f.place.path);
	sqlite3_close(other);
	goes_on(&f);
}

/* Runs a test in a process of its own, whose limits or rights may change. */
static void
in_child(void (*function)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		test_failures = 0;
		function();
		fflush(stdout);
		_exit(test_failures == 0 ? 0 : 1);
	}
	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

static void
limited(void)
{
	struct fixture f = { 0 };
	struct rlimit limit = { 400000, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	begin_folder(&f);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put_until_failed(f.ledger);
	stays_failed(&f.ledger, "cannot write the ledger (I/O error)");
	limit.rlim_cur = RLIM_INFINITY;
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
	goes_on(&f);
}

static void
file_too_large(void)
{
	in_child(limited);
}

/* A file system that is really full: only where the tests may mount one. */
static void
file_system_full(void)
{
	struct fixture f = { 0 };

	place_make(&f.place);
	if (mount("tmpfs", f.place.dir, "tmpfs", 0, "size=600k,mode=0700") < 0) {
		printf("skip file_system_full: may not mount (%s)\n", strerror(errno));
		rmdir(f.place.dir);
		return;
	}
	f.ledger = must_open(f.place.path, LEDGER_WRITE);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	put_until_failed(f.ledger);
	stays_failed(&f.ledger, "(disk full)");
	f.ledger = NULL;
	if (mount("tmpfs", f.place.dir, "tmpfs", MS_REMOUNT, "size=60m") == 0) {
		f.ledger = must_open(f.place.path, LEDGER_WRITE);
		check_counts(f.ledger);
		CHECK_OK(ledger_close(&f.ledger, &err));
	}
	CHECK_INT(umount(f.place.dir), 0);
	rmdir(f.place.dir);
}

/* A reader that may not write beside the file: some versions of SQLite can read, others cannot. */
static void
reads_or_says_why(const char *path)
{
	struct ledger *ledger = NULL;
	struct ledger_account *accounts;
	struct err why;
	size_t count;

	if (ledger_open(path, NULL, LEDGER_READ, &ledger, &why) < 0) {
		CHECK_INT(why.code, ERR_LEDGER);
		CHECK(strstr(why.text, path) != NULL);
		return;
	}
	CHECK_OK(ledger_accounts(ledger, &accounts, &count, &err));
	CHECK_INT(count, 1);
	ledger_accounts_free(accounts, count);
	CHECK_OK(ledger_close(&ledger, &err));
}

/* A user without rights: root gives itself up. */
static void
unprivileged(void)
{
	struct place place = { 0 };
	struct ledger *ledger = NULL;

	place_make(&place);
	if (getuid() == 0) {
		CHECK_INT(chown(place.dir, NOBODY, NOBODY), 0);
		CHECK_INT(seteuid(NOBODY), 0);
	}
	CHECK_INT(chmod(place.dir, 0500), 0);
	CHECK_FAILS(ledger_open(place.path, &test_binding, LEDGER_WRITE, &ledger, &err), ERR_LEDGER,
		"cannot create the ledger");
	CHECK_INT(chmod(place.dir, 0700), 0);
	ledger = must_open(place.path, LEDGER_WRITE);
	make_account(ledger, "ana");
	CHECK_OK(ledger_close(&ledger, &err));
	CHECK_INT(chmod(place.path, 0400), 0);
	CHECK_FAILS(ledger_open(place.path, &test_binding, LEDGER_WRITE, &ledger, &err), ERR_LEDGER,
		"read-only");
	CHECK_INT(chmod(place.path, 0000), 0);
	refused(place.path, ERR_LEDGER, "cannot open the ledger");
	CHECK_INT(chmod(place.path, 0600), 0);
	CHECK_INT(chmod(place.dir, 0500), 0);
	reads_or_says_why(place.path);
	CHECK_INT(chmod(place.dir, 0700), 0);
	place_remove(&place);
}

static void
no_rights(void)
{
	in_child(unprivileged);
}

int
main(void)
{
	RUN(modes);
	RUN(foreign_files);
	RUN(other_versions);
	RUN(version_2);
	RUN(version_3);
	RUN(damaged_rows);
	RUN(damaged_pages);
	RUN(database_full);
	RUN(locked_by_another);
	RUN(file_too_large);
	RUN(file_system_full);
	RUN(no_rights);
	return test_done();
}
