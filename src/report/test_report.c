/* test_report.c - the reports of a ledger made by hand, whole. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "mail/item.h"
#include "report/json_private.h"
#include "report/report_private.h"
#include "base/banned.h"

#define REPORT_MAX ((size_t)1 << 20)

static const char *const report_files[] = { "report.txt", "report.csv", "report.json",
	"manifest.jsonl" };

struct bench {
	char *dir, *path;
	struct ledger *ledger;
	struct profile profile;
	struct report_source source;
	uint64_t ana, bo;
};

static char *
word(const char *text)
{
	return xstrdup(text);
}

static void
profile_fill(struct profile *profile)
{
	memset(profile, 0, sizeof *profile);
	profile->name = word("acme");
	profile->source.type = word("imap");
	profile->source.host = word("old.example");
	profile->source.port = 993;
	profile->source.tls_min = 10;
	profile->target.type = word("imap");
	profile->target.host = word("new.example");
	profile->target.port = 143;
	profile->target.security = 2; /* none */
}

static void
profile_empty(struct profile *profile)
{
	free(profile->name);
	free(profile->source.type);
	free(profile->source.host);
	free(profile->target.type);
	free(profile->target.host);
}

static uint64_t
add_folder(struct bench *bench, uint64_t account, const char *source, const char *target,
	uint64_t found, const char *renamed_from)
{
	struct ledger_folder folder = {
		.account = account, .source_uidvalidity = 7, .target_uidvalidity = 9
	};
	uint64_t id;

	folder.source_key = word(source);
	folder.source_name = word(source);
	folder.target_key = word(target);
	folder.target_name = word(target);
	folder.renamed_from = renamed_from == NULL ? NULL : word(renamed_from);
	CHECK_INT(ledger_folder_put(bench->ledger, &folder, NULL), 0);
	id = folder.id;
	ledger_folder_found(bench->ledger, id, found, found * 1000, 1);
	ledger_folder_clear(&folder);
	return id;
}

static void
add_item(struct bench *bench, uint64_t folder, uint32_t uid, enum item_state state, unsigned reason,
	const char *text)
{
	struct ledger_item item = { .uid = uid,
		.state = state,
		.reason = reason,
		.size = 1000,
		.received = 0,
		.round = 1 };

	item.digest[0] = (unsigned char)uid;
	if (state == ITEM_LANDED)
		item.target_uid = uid + 100;
	item.text = text == NULL ? NULL : word(text);
	ledger_items_put(bench->ledger, folder, &item, 1);
	free(item.text);
}

static void
fill(struct bench *bench)
{
	struct ledger_bind rows[] = {
		{ "ana@old", "old.example", "ana@new", "new.example", false, 0 },
		{ "=bo@old", "old.example", "=bo@old", "new.example", false, 0 },
	};
	struct ledger *ledger = bench->ledger;
	uint64_t run, folder;
	unsigned round;

	CHECK_INT(ledger_run_begin(ledger, &run, &round, NULL), 0);
	CHECK_INT(ledger_bind_accounts(ledger, rows, 2, NULL), 0);
	bench->ana = rows[0].id;
	bench->bo = rows[1].id;
	folder = add_folder(bench, bench->ana, "INBOX", "INBOX", 7, NULL);
	add_item(bench, folder, 1, ITEM_LANDED, REASON_NONE, NULL);
	add_item(bench, folder, 2, ITEM_LANDED, REASON_REPAIRED, NULL);
	add_item(bench, folder, 3, ITEM_SKIPPED, REASON_SINCE, NULL);
	add_item(bench, folder, 4, ITEM_FAILED, ERR_QUOTA,
		"NO [OVERQUOTA] \033[31mfull, \"really\"");
	add_item(bench, folder, 5, ITEM_HELD, REASON_DOUBT, NULL);
	add_item(bench, folder, 6, ITEM_VANISHED, REASON_NONE, NULL);
	add_item(bench, folder, 7, ITEM_ADOPTED, REASON_NONE, NULL);
	folder = add_folder(bench, bench->ana, "Pl\xC3\xA4ne", "Plans", 2, "Pl\xC3\xA4ne alt");
	add_item(bench, folder, 1, ITEM_LANDED, REASON_NONE, NULL); /* one is missing */
	ledger_account_state(ledger, bench->ana, ACCOUNT_REMARKS, round, ERR_NONE, NULL);
	ledger_account_state(ledger, bench->bo, ACCOUNT_FAILED, round, ERR_AUTH,
		"login refused: [AUTHENTICATIONFAILED] no");
	ledger_event(ledger, bench->ana, "INBOX", EVENT_WARNING, ERR_NONE, "a late double");
	ledger_event(ledger, 0, NULL, EVENT_WARNING, ERR_NONE, "the disk is slow");
	CHECK_INT(ledger_flush(ledger, NULL), 0);
}

static void
bench_open(struct bench *bench)
{
	char template[] = "/tmp/mailhaul-report-XXXXXX";
	struct ledger_binding binding = { "acme", "imap", "old.example", 993, "imap", "new.example",
		143, NULL, 0 };
	struct err err = { 0 };

	memset(bench, 0, sizeof *bench);
	bench->dir = word(mkdtemp(template));
	bench->path = path_join(bench->dir, "ledger.db");
	profile_fill(&bench->profile);
	CHECK_INT(ledger_open(bench->path, &binding, LEDGER_WRITE, &bench->ledger, &err), 0);
	fill(bench);
	bench->source.ledger = bench->ledger;
	bench->source.profile = &bench->profile;
	bench->source.exit_code = 3;
	bench->source.copied_now = 3000;
	bench->source.bytes_now = 3000000;
	bench->source.elapsed_ms = 90000;
	bench->source.now = 1795257011;
}

static void
bench_close(struct bench *bench)
{
	CHECK_INT(ledger_close(&bench->ledger, NULL), 0);
	unlink(bench->path);
	CHECK_INT(rmdir(bench->dir), 0); /* nothing else was left in it */
	profile_empty(&bench->profile);
	free(bench->path);
	free(bench->dir);
}

/* What a writer wrote. */
static char *
written(struct bench *bench,
	int (*writer)(const struct report_source *source, FILE *out, struct err *err))
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct err err = { 0 };

	CHECK_INT(writer(&bench->source, out, &err), 0);
	fclose(out);
	return text;
}

static void
check_has(const char *text, const char *part)
{
	CHECK(strstr(text, part) != NULL);
	if (strstr(text, part) == NULL)
		printf("  missing: %s\n", part);
}

static void
test_text(void)
{
	static const char *const parts[] = {
		"mailhaul report: acme\nwritten 2026-11-21T10:30:11Z\n",
		"end     3: some accounts failed\n",
		"work    3,000 items, 3.0 MB copied by this run in 01:30: 33 items/s, 33 kB/s\n",
		"\nPROBLEMS\n  ana@old, Pl\xC3\xA4ne: the sums differ: 2 found, 1 with an end\n",
		"  ana@old, INBOX: UID 4 (1.0 kB) failed, quota: NO [OVERQUOTA] \\x1B[31mfull, "
		"\"really\"\n",
		"  ana@old, INBOX: UID 5 (1.0 kB) held, doubt\n",
		"  =bo@old: failed, auth: login refused: [AUTHENTICATIONFAILED] no\n",
		"  run: the disk is slow\n",
		"  source: old TLS is allowed (tls_min = 1.0)\n",
		"  target: the connection is not encrypted (security = none)\n",
		"  accounts  2, 1 done with remarks, 1 failed\n",
		"  items     9 found = 3 copied + 1 adopted + 1 skipped + 1 failed + 1 held + 1 "
		"vanished + 1 still to do\n",
		"  ana@old -> ana@new: done with remarks\n    INBOX: 7 found, 2 copied (2.0 kB), 1 "
		"adopted, 1 skipped, 1 failed, 1 held, 1 vanished, 1 repaired\n",
		"    Pl\xC3\xA4ne -> Plans: 2 found, 1 copied (1.0 kB), 1 still to do; it was "
		"named "
		"Pl\xC3\xA4ne alt\n",
		"    skipped: 1 since\n    failed: 1 quota\n    held: 1 doubt\n",
		": 3 copied, 3.0 kB, in 00:00; runs without an end: 1\n"
		"  the next one: no forecast before a later round has run to its end\n",
		"    warning: INBOX: a late double\n",
		"  =bo@old: failed\n    login refused: [AUTHENTICATIONFAILED] no\n",
	};
	struct bench bench;
	char *text;

	bench_open(&bench);
	text = written(&bench, report_text);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		check_has(text, parts[i]);
	CHECK(strchr(text, '\033') == NULL);
	/* Problems are what is read first. */
	CHECK(strstr(text, "PROBLEMS") < strstr(text, "TOTALS"));
	free(text);
	bench_close(&bench);
}

static void
test_csv(void)
{
	static const char want[] =
		"account,target,state,folder,target_folder,found,copied,adopted,skipped,failed,"
		"held,vanished,open,repaired,gone,bytes_found,bytes_landed,remark,reason,text\r\n"
		"ana@old,ana@new,done with remarks,INBOX,INBOX,7,2,1,1,1,1,1,0,1,0,7000,2000,,,"
		"\r\n"
		"ana@old,ana@new,done with remarks,Pl\xC3\xA4ne,Plans,2,1,0,0,0,0,0,1,0,0,2000,"
		"1000,was Pl\xC3\xA4ne alt,,\r\n"
		"\"'=bo@old\",\"'=bo@old\",failed,,,0,0,0,0,0,0,0,0,0,0,0,0,,auth,"
		"login refused: [AUTHENTICATIONFAILED] no\r\n";
	struct bench bench;
	char *text;

	bench_open(&bench);
	text = written(&bench, report_csv);
	CHECK_STR(text, want);
	free(text);
	bench_close(&bench);
}

static json_int_t
number_at(const json_t *object, const char *first, const char *second)
{
	return json_integer_value(json_object_get(json_object_get(object, first), second));
}

/* A run without an end, an account that is still open and one that was left out. */
static void
test_without_end(void)
{
	struct ledger_bind more[] = {
		{ "eva@old", "old.example", "eva@new", "new.example", false, 0 },
		{ "gus@old", "old.example", "gus@new", "new.example", false, 0 },
	};
	struct bench bench;
	json_t *report;
	char *text;

	bench_open(&bench);
	bench.source.exit_code = -1;
	CHECK_INT(ledger_bind_accounts(bench.ledger, more, 2, NULL), 0);
	ledger_account_state(bench.ledger, more[1].id, ACCOUNT_SKIPPED, 1, ERR_NONE,
		"no longer in the user list");
	CHECK_INT(ledger_flush(bench.ledger, NULL), 0);
	text = written(&bench, report_text);
	check_has(text, "\nend     did not end by itself; run it again to go on\n");
	check_has(text, "\nPROBLEMS\n  run: mailboxes not at their end: 1 (1 waiting)\n"
			"  run: mailboxes left out: 1\n"
			"  gus@old: left out: no longer in the user list\n");
	free(text);
	text = written(&bench, report_json);
	report = json_loads(text, 0, NULL);
	CHECK(json_is_null(json_object_get(report, "exit_code")));
	CHECK(json_is_null(json_object_get(report, "ended")));
	CHECK(json_is_false(json_object_get(report, "running")));
	CHECK_STR(json_string_value(json_object_get(report, "exit_text")),
		"did not end by itself; run it again to go on");
	CHECK_INT(number_at(report, "totals", "accounts_open"), 1);
	json_decref(report);
	free(text);
	bench.source.running = true;
	text = written(&bench, report_text);
	check_has(text, "\nend     not yet: a run is at work\n");
	free(text);
	bench_close(&bench);
}

/* An account that is done tells of its last job only; the others date what is of an earlier run. */
static void
test_events(void)
{
	struct bench bench;
	unsigned round;
	uint64_t run;
	char *text;

	bench_open(&bench);
	ledger_event(bench.ledger, bench.bo, NULL, EVENT_ERROR, ERR_AUTH, "login refused");
	for (unsigned i = 0; i < 501; i++)
		ledger_event(bench.ledger, bench.ana, NULL, EVENT_NOTE, ERR_NONE,
			i == 0     ? "the oldest"
			: i == 500 ? "the newest"
				   : "one of many");
	CHECK_INT(ledger_run_begin(bench.ledger, &run, &round, NULL), 0);
	CHECK_INT(ledger_flush(bench.ledger, NULL), 0);
	text = written(&bench, report_text);
	check_has(text, "    note: the newest\n");
	check_has(text, "(earlier ones are in debug.log)");
	CHECK(strstr(text, "the oldest") == NULL);
	CHECK(strstr(text, "    error: login refused\n") == NULL);
	check_has(text, "Z: login refused\n");
	free(text);
	bench_close(&bench);
}

static void
test_forecast(void)
{
	static const struct {
		struct ledger_round rounds[3];
		size_t count;
		unsigned like; /* 0 = no forecast */
	} cases[] = {
		{ { { .id = 1, .over = true, .worked_s = 9000 } }, 1, 0 },
		{ { { .id = 1, .over = true }, { .id = 2, .over = false } }, 2, 0 },
		{ { { .id = 1, .over = true }, { .id = 2, .over = true, .runs_without_end = 1 } },
			2, 0 },
		{ { { .id = 1, .over = true }, { .id = 2, .over = true }, { .id = 3 } }, 3, 2 },
		{ { { .id = 1, .over = true }, { .id = 2, .over = true },
			  { .id = 3, .over = true } },
			3, 3 },
	};

	CHECK(report_forecast(NULL, 0) == NULL);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct ledger_round *like = report_forecast(cases[i].rounds, cases[i].count);

		CHECK_INT(like == NULL ? 0 : like->id, cases[i].like);
	}
}

static void
test_json(void)
{
	struct bench bench;
	json_t *report, *account, *problems;
	char *text;

	bench_open(&bench);
	text = written(&bench, report_json);
	report = json_loads(text, 0, NULL);
	CHECK(json_is_object(report));
	CHECK_INT(json_integer_value(json_object_get(report, "exit_code")), 3);
	CHECK(json_is_null(json_object_get(report, "error")));
	CHECK_INT(number_at(report, "totals", "found"), 9);
	CHECK_INT(number_at(report, "totals", "copied"), 3);
	CHECK_INT(number_at(report, "totals", "open"), 1);
	CHECK_INT(json_array_size(json_object_get(report, "rounds")), 1);
	CHECK(json_is_null(json_object_get(report, "forecast")));
	CHECK_INT(json_array_size(json_object_get(report, "accounts")), 2);
	account = json_array_get(json_object_get(report, "accounts"), 0);
	CHECK_STR(json_string_value(json_object_get(account, "source")), "ana@old");
	CHECK_INT(json_array_size(json_object_get(account, "folders")), 2);
	problems = json_object_get(account, "problems");
	CHECK_INT(json_array_size(problems), 2); /* skipped by the profile is none */
	CHECK_STR(json_string_value(json_object_get(json_array_get(problems, 0), "text")),
		"NO [OVERQUOTA] \\x1B[31mfull, \"really\"");
	json_decref(report);
	free(text);
	bench_close(&bench);
}

/* The last line's digest is that of all before it, and each line is an object. */
static void
test_manifest(void)
{
	struct bench bench;
	struct digester *digester = digester_new();
	struct digests digests;
	char *text, *line, hex[DIGEST_SIZE * 2 + 1];
	json_t *last = NULL;
	size_t lines = 0;

	bench_open(&bench);
	text = written(&bench, report_manifest);
	for (line = text; *line != '\0'; lines++) {
		size_t len = strcspn(line, "\n");

		json_decref(last);
		last = json_loadb(line, len, 0, NULL);
		CHECK(json_is_object(last));
		line += len + 1;
		if (*line != '\0')
			digester_add(digester, line - len - 1, len + 1);
	}
	digester_end(&digester, &digests);
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		snprintf(hex + i * 2, 3, "%02x", digests.exact[i]);
	CHECK_INT(lines, 12); /* the chain, two folders, eight items, the end */
	CHECK_INT(json_integer_value(json_object_get(last, "items")), 8);
	CHECK_STR(json_string_value(json_object_get(last, "sha256")), hex);
	json_decref(last);
	check_has(text, "{\"manifest\":2,\"run\":1,\"round\":1,\"after\":null,"
			"\"after_sha256\":null}\n");
	check_has(text, "{\"account\":\"ana@old\",\"folder_id\":1,\"folder\":\"INBOX\","
			"\"uidvalidity\":7,\"uid\":1,"
			"\"size\":1000,\"sha256\":"
			"\"0100000000000000000000000000000000000000000000000000000000000000\","
			"\"received\":\"1970-01-01T00:00:00Z\",\"target_account\":\"ana@new\","
			"\"target_folder\":\"INBOX\",\"target_uidvalidity\":9,\"target_uid\":101,"
			"\"state\":\"landed\"}\n");
	free(text);
	bench_close(&bench);
}

static size_t
lines_of(const char *text)
{
	size_t lines = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		lines++;
	}
	return lines;
}

static void
remove_files(const struct bench *bench)
{
	for (size_t i = 0; i < sizeof report_files / sizeof report_files[0]; i++) {
		char *file = path_join(bench->dir, report_files[i]);

		CHECK_INT(unlink(file), 0);
		free(file);
	}
}

/* A manifest that is in its place is named by the next one, which has only what came since. */
static void
test_chain(void)
{
	struct bench bench;
	struct err err = { 0 };
	struct ledger_manifest last;
	struct uidset uids = { 0 };
	struct report_draft *draft = NULL;
	char *path = NULL, *text, *file, *want;
	struct digest_sum *sum = digest_sum_new();
	unsigned char digest[DIGEST_SIZE];
	char hex[DIGEST_SIZE * 2 + 1];
	struct str bytes;

	bench_open(&bench);
	CHECK_INT(report_write(&bench.source, bench.dir, &draft, &path, &err), 0);
	file = path_join(bench.dir, "manifest.jsonl");
	str_init(&bytes, REPORT_MAX);
	CHECK_INT(file_read(file, &bytes, &err), 0);
	digest_sum_add(sum, bytes.data, bytes.len);
	digest_sum_get(sum, digest);
	report_hex(hex, digest);
	CHECK_INT(ledger_manifest_last(bench.ledger, &last, &err), 0);
	CHECK_STR(last.sha256, hex);
	uidset_add(&uids, 1, 1);
	ledger_items_gone(bench.ledger, 1, &uids, 1);
	uidset_clear(&uids);
	uidset_add(&uids, 2, 2);
	ledger_items_remove(bench.ledger, 1, &uids);
	CHECK_INT(ledger_flush(bench.ledger, &err), 0);
	text = written(&bench, report_manifest);
	want = xasprintf("\"after\":\"%s\",\"after_sha256\":\"%s\"}\n", last.name, hex);
	check_has(text, want);
	check_has(text, "\"uid\":1,");
	check_has(text, "\"gone_round\":1}\n");
	check_has(text, "\"uidvalidity\":7,\"uid\":2,\"state\":\"removed\"}\n");
	check_has(text, "{\"items\":2,");
	free(text);
	free(want);
	remove_files(&bench);
	free(file);
	free(path);
	str_clear(&bytes);
	uidset_clear(&uids);
	digest_sum_free(&sum);
	bench_close(&bench);
}

static void
rename_folder(struct bench *bench, struct ledger_folder *folder, const char *name)
{
	free(folder->source_name);
	folder->source_name = word(name);
	CHECK_INT(ledger_folder_put(bench->ledger, folder, NULL), 0);
}

/* Taken down while there come more changes: what was told is not told again unless it changed,
 * under the folder's name of that time, and all of it is one manifest. */
static void
test_pieces(void)
{
	struct bench bench;
	struct report_chain chain;
	struct ledger_manifest done = { .name = "run/manifest.jsonl" };
	struct ledger_folder *folders;
	struct uidset uids = { 0 };
	struct err err = { 0 };
	char *text = NULL, *after;
	size_t size = 0, before, count;
	FILE *out = open_memstream(&text, &size);
	struct manifest *manifest;

	bench_open(&bench);
	manifest = manifest_new(bench.ledger, out);
	CHECK_INT(manifest_more(manifest, &err), 0);
	CHECK_INT(manifest_more(manifest, &err), 0); /* nothing has come */
	fflush(out);
	before = size;
	CHECK_INT(ledger_folders(bench.ledger, bench.ana, &folders, &count, &err), 0);
	rename_folder(&bench, &folders[0], "Inbox");
	uidset_add(&uids, 2, 2);
	ledger_items_remove(bench.ledger, folders[0].id, &uids);
	add_item(&bench, folders[0].id, 4, ITEM_LANDED, REASON_NONE, NULL);
	add_item(&bench, folders[1].id, 9, ITEM_LANDED, REASON_NONE, NULL);
	CHECK_INT(ledger_flush(bench.ledger, &err), 0);
	CHECK_INT(manifest_more(manifest, &err), 0);
	rename_folder(&bench, &folders[1], "Plans");
	add_item(&bench, folders[1].id, 10, ITEM_LANDED, REASON_NONE, NULL);
	CHECK_INT(ledger_flush(bench.ledger, &err), 0);
	CHECK_INT(manifest_more(manifest, &err), 0);
	CHECK_INT(manifest_end(manifest, &chain, &err), 0);
	manifest_free(&manifest);
	fclose(out);
	after = text + before;
	CHECK_INT(lines_of(text), 1 + 2 + 8 + 2 + 4 + 1);
	CHECK_INT(lines_of(after), 2 + 4 + 1);
	check_has(after, "\"folder\":\"Inbox\",\"uidvalidity\":7,\"uid\":2,\"state\":\"removed\"}");
	check_has(after, "\"folder\":\"Inbox\",\"uidvalidity\":7,\"uid\":4,\"size\":1000,");
	check_has(after, "\"uid\":9,");
	check_has(after, "\"folder\":\"Plans\",\"uidvalidity\":7,\"uid\":10,");
	check_has(after, "{\"items\":12,");
	CHECK_INT(ledger_manifest_done(bench.ledger, &done, chain.up_to, &err), 0);
	free(text);
	text = written(&bench, report_manifest);
	CHECK_INT(lines_of(text), 2);
	free(text);
	uidset_clear(&uids);
	ledger_folders_free(folders, count);
	bench_close(&bench);
}

/* The inode of the file without a name in that directory that we have open, once there is something
 * in it. */
static ino_t
find_nameless(const char *dir)
{
	int64_t end = clock_ms() + 20000;
	char name[40], link[200];
	struct stat st;

	while (clock_ms() < end) {
		for (int fd = 3; fd < 100; fd++) {
			ssize_t len;

			snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
			len = readlink(name, link, sizeof link - 1);
			link[len > 0 ? len : 0] = '\0';
			if (strncmp(link, dir, strlen(dir)) == 0 && stat(name, &st) == 0 &&
				st.st_nlink == 0 && st.st_size > 0)
				return st.st_ino;
		}
		sched_yield();
	}
	return 0;
}

static void
test_draft(void)
{
	struct bench bench;
	struct report_draft *draft;
	struct err err = { 0 };
	struct stat st = { 0 };
	char *path = NULL, *file, *text;
	FILE *nameless;
	ino_t inode;

	bench_open(&bench);
	nameless = file_create_nameless(bench.dir, &err);
	if (nameless == NULL) { /* the file system has none: a run writes it at its end */
		bench_close(&bench);
		return;
	}
	fclose(nameless);
	draft = report_draft_begin(bench.ledger, bench.dir);
	CHECK(find_nameless(bench.dir) != 0);
	report_draft_drop(&draft);
	CHECK(draft == NULL); /* that nothing is left is what bench_close() looks for */

	draft = report_draft_begin(bench.ledger, bench.dir);
	inode = find_nameless(bench.dir);
	add_item(&bench, 1, 8, ITEM_LANDED, REASON_NONE, NULL);
	CHECK_INT(ledger_flush(bench.ledger, &err), 0);
	CHECK_INT(report_write(&bench.source, bench.dir, &draft, &path, &err), 0);
	CHECK(draft == NULL);
	file = path_join(bench.dir, "manifest.jsonl");
	CHECK_INT(stat(file, &st), 0);
	CHECK_INT(st.st_ino, inode);
	CHECK_INT(file_check_private(file, &err), 0);
	text = written(&bench, report_manifest);
	CHECK_INT(lines_of(text), 2); /* it told all there was */
	free(text);
	free(file);
	free(path);
	remove_files(&bench);
	bench_close(&bench);
}

/* All four files, whole, 0600, and no parts of them left. */
static void
test_files(void)
{
	struct bench bench;
	struct err err = { 0 };
	struct report_draft *draft = NULL;
	char *path = NULL;

	bench_open(&bench);
	CHECK_INT(report_write(&bench.source, bench.dir, &draft, &path, &err), 0);
	for (size_t i = 0; i < sizeof report_files / sizeof report_files[0]; i++) {
		char *file = path_join(bench.dir, report_files[i]);
		struct str text;

		str_init(&text, REPORT_MAX);
		CHECK_INT(file_read(file, &text, &err), 0);
		CHECK(text.len > 0);
		CHECK_INT(file_check_private(file, &err), 0);
		str_clear(&text);
		unlink(file);
		free(file);
	}
	free(path);
	bench_close(&bench);
}

static void
test_no_room(void)
{
	struct bench bench;
	FILE *full = fopen("/dev/full", "w");
	struct err err = { 0 };

	bench_open(&bench);
	CHECK_INT(report_text(&bench.source, full, &err), -1);
	CHECK_INT(err.code, ERR_DISK);
	fclose(full);
	bench_close(&bench);
}

int
main(void)
{
	RUN(test_text);
	RUN(test_csv);
	RUN(test_json);
	RUN(test_without_end);
	RUN(test_events);
	RUN(test_forecast);
	RUN(test_manifest);
	RUN(test_chain);
	RUN(test_pieces);
	RUN(test_draft);
	RUN(test_files);
	RUN(test_no_room);
	return test_done();
}
