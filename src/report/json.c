/* json.c - report.json: the run, the totals and every account, for programs.
 *
 * Accounts are written one after another, so that memory holds one of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report/json_private.h"
#include "report/report_private.h"
#include "base/banned.h"

#define PROBLEMS_PER_ACCOUNT 10000 /* the manifest has all */

struct json_writer {
	FILE *out;
	struct ledger *ledger;
	struct report_sums sums;
	uint64_t states[ACCOUNT_STATES], open_accounts;
	bool first;
};

void
report_json_text(json_t *object, const char *key, const char *text)
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

void
report_json_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

void
report_hex(char hex[DIGEST_SIZE * 2 + 1], const unsigned char digest[DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		hex[i * 2] = digits[digest[i] >> 4];
		hex[i * 2 + 1] = digits[digest[i] & 15];
	}
	hex[DIGEST_SIZE * 2] = '\0';
}

static void
put_time(json_t *object, const char *key, int64_t when)
{
	char text[24];

	report_json_text(object, key, when == 0 ? NULL : clock_iso(text, sizeof text, when));
}

static json_t *
counts_object(const struct report_sums *sums)
{
	json_t *object = json_object();

	report_json_number(object, "found", sums->counts.found);
	report_json_number(object, "copied", sums->copied);
	report_json_number(object, "adopted", sums->counts.by_state[ITEM_ADOPTED]);
	report_json_number(object, "skipped", sums->counts.by_state[ITEM_SKIPPED]);
	report_json_number(object, "failed", sums->counts.by_state[ITEM_FAILED]);
	report_json_number(object, "held", sums->counts.by_state[ITEM_HELD]);
	report_json_number(object, "vanished", sums->counts.by_state[ITEM_VANISHED]);
	report_json_number(object, "open", sums->open);
	report_json_number(object, "surplus", sums->surplus);
	report_json_number(object, "in_doubt", sums->doubt);
	report_json_number(object, "repaired", sums->counts.repaired);
	report_json_number(object, "gone", sums->counts.gone);
	report_json_number(object, "bytes_found", sums->counts.bytes_found);
	report_json_number(object, "bytes_landed", sums->counts.bytes_landed);
	return object;
}

static json_t *
folder_object(const struct ledger_folder *folder)
{
	json_t *object = json_object();
	struct report_sums sums;

	report_sums_of(&folder->counts, &sums);
	report_json_text(object, "source", folder->source_name);
	report_json_text(object, "target", folder->target_name);
	report_json_number(object, "source_uidvalidity", folder->source_uidvalidity);
	report_json_number(object, "target_uidvalidity", folder->target_uidvalidity);
	if (folder->renamed_from != NULL)
		report_json_text(object, "renamed_from", folder->renamed_from);
	if (folder->gone_round != 0)
		report_json_number(object, "gone_round", folder->gone_round);
	if (folder->target_foreign != 0)
		report_json_number(object, "there_before", folder->target_foreign);
	json_object_set_new(object, "items", counts_object(&sums));
	return object;
}

static int
problem(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	json_t *list = context, *object;

	(void)account;
	if (item->state == ITEM_SKIPPED && report_reason_wanted(item->reason))
		return 0;
	if (json_array_size(list) >= PROBLEMS_PER_ACCOUNT)
		return 0;
	object = json_object();
	report_json_text(object, "folder", folder->source_name);
	report_json_number(object, "uid", item->uid);
	report_json_number(object, "size", item->size);
	report_json_text(object, "state", item_state_name(item->state));
	report_json_text(object, "reason", reason_name(item->reason));
	report_json_text(object, "text", item->text);
	json_array_append_new(list, object);
	return 0;
}

static int
put_account(void *context, const struct report_account *account, struct err *err)
{
	static const enum item_state bad[] = { ITEM_FAILED, ITEM_HELD, ITEM_SKIPPED };
	struct json_writer *writer = context;
	const struct ledger_account *row = account->row;
	json_t *object = json_object(), *folders = json_array(), *problems = json_array();
	int ret = 0;

	report_json_text(object, "source", row->source_user);
	report_json_text(object, "target", row->target_user);
	report_json_text(object, "state", account_state_name(row->state));
	report_json_number(object, "round", row->round);
	report_json_text(
		object, "reason", row->reason == ERR_NONE ? NULL : reason_name(row->reason));
	report_json_text(object, "text", row->text);
	put_time(object, "started", row->started);
	put_time(object, "ended", row->ended);
	json_object_set_new(object, "items", counts_object(&account->sums));
	for (size_t i = 0; i < account->folder_count; i++)
		json_array_append_new(folders, folder_object(&account->folders[i]));
	json_object_set_new(object, "folders", folders);
	json_object_set_new(object, "problems", problems);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0] && ret == 0; i++) {
		ret = report_has_problems(writer->ledger, account, bad[i], err);
		if (ret > 0)
			ret = ledger_each_item(
				writer->ledger, row->id, bad[i], problem, problems, err);
	}
	if (ret == 0) {
		fputs(writer->first ? "\n" : ",\n", writer->out);
		writer->first = false;
		if (json_dumpf(object, writer->out, JSON_COMPACT) < 0)
			ret = err_set(err, ERR_DISK, "report.json cannot be written");
	}
	json_decref(object);
	report_sums_add(&writer->sums, &account->sums);
	writer->states[row->state]++;
	writer->open_accounts += account_state_open(row->state);
	return ret;
}

static json_t *
side_object(const struct profile_side *side)
{
	json_t *object = json_object();

	report_json_text(object, "type", side->type);
	report_json_text(object, "host", side->host);
	report_json_number(object, "port", side->port);
	return object;
}

static json_t *
head_object(const struct report_source *source, const struct ledger_run *run)
{
	json_t *object = json_object();
	int exit_code = report_end_code(source, run);

	report_json_number(object, "version", 1);
	report_json_text(object, "profile", source->profile->name);
	put_time(object, "written", source->now);
	json_object_set_new(object, "source", side_object(&source->profile->source));
	json_object_set_new(object, "target", side_object(&source->profile->target));
	report_json_number(object, "run", run->id);
	report_json_number(object, "round", run->round);
	put_time(object, "started", run->started);
	put_time(object, "ended", run->ended);
	/* Null: it is at work, or was killed. */
	json_object_set_new(
		object, "exit_code", exit_code < 0 ? json_null() : json_integer(exit_code));
	report_json_text(object, "exit_text", run->id == 0 ? NULL : report_end_text(source, run));
	json_object_set_new(object, "running", json_boolean(source->running));
	report_json_text(object, "error",
		source->error == NULL || source->error[0] == '\0' ? NULL : source->error);
	if (source->elapsed_ms != 0) {
		report_json_number(object, "copied_now", source->copied_now);
		report_json_number(object, "bytes_now", source->bytes_now);
		report_json_number(object, "elapsed_ms", source->elapsed_ms);
	}
	report_json_text(object, "directory", source->directory);
	return object;
}

/* The members of an object without its closing brace, so that more can follow. */
static int
put_open(FILE *out, json_t *object, struct err *err)
{
	char *text = json_dumps(object, JSON_COMPACT);
	size_t len;

	json_decref(object);
	if (text == NULL)
		return err_set(err, ERR_INTERNAL, "report.json has no form");
	len = strlen(text);
	fwrite(text, 1, len - 1, out);
	free(text);
	return 0;
}

int
report_json(const struct report_source *source, FILE *out, struct err *err)
{
	struct json_writer writer = { .out = out, .ledger = source->ledger, .first = true };
	struct ledger_run run;
	json_t *head, *tail, *states;

	if (report_last_run(source->ledger, &run, err) < 0)
		return -1;
	head = head_object(source, &run);
	if (report_json_rounds(source, head, err) < 0) {
		json_decref(head);
		return -1;
	}
	if (put_open(out, head, err) < 0)
		return -1;
	fputs(",\"accounts\":[", out);
	if (report_each_account(source->ledger, put_account, &writer, err) < 0)
		return -1;
	fputs("\n],\"totals\":", out);
	tail = counts_object(&writer.sums);
	states = json_object();
	for (int state = 0; state < ACCOUNT_STATES; state++) {
		if (writer.states[state] != 0)
			report_json_number(states, account_state_name(state), writer.states[state]);
	}
	json_object_set_new(tail, "accounts", states);
	report_json_number(tail, "accounts_open", writer.open_accounts);
	json_dumpf(tail, out, JSON_COMPACT);
	json_decref(tail);
	fputs("}\n", out);
	return report_check(out, err);
}
