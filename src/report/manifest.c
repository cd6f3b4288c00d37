/* manifest.c - manifest.jsonl: what a run has written or changed, and a chain of such files.
 *
 * What an auditor keeps: which item of the source is which item of the target, with the digest of
 * its bytes. The first line names the manifest before it with the digest of that file; all of them
 * together, a later line in the place of an earlier one of the same folder and UID, are what the
 * ledger holds. Written as the ledger is read, and no longer than what has changed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "mail/item.h"
#include "report/json_private.h"
#include "report/report_private.h"
#include "base/banned.h"

struct manifest {
	FILE *out;
	struct digest_sum *sum;
	uint64_t items;
	struct err *err;
};

static void
add_hex(json_t *object, const char *key, const unsigned char digest[DIGEST_SIZE])
{
	static const unsigned char none[DIGEST_SIZE];
	char hex[DIGEST_SIZE * 2 + 1];

	if (memcmp(digest, none, DIGEST_SIZE) == 0)
		return;
	report_hex(hex, digest);
	json_object_set_new(object, key, json_string(hex));
}

static int
put_line(struct manifest *manifest, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	if (text == NULL)
		return err_set(manifest->err, ERR_INTERNAL, "a line of the manifest has no form");
	digest_sum_add(manifest->sum, text, strlen(text));
	digest_sum_add(manifest->sum, "\n", 1);
	fprintf(manifest->out, "%s\n", text);
	free(text);
	if (ferror(manifest->out))
		return err_set(manifest->err, ERR_DISK, "the manifest cannot be written");
	return 0;
}

/* How a line is found again: folders may change their names. */
static json_t *
begin_line(const struct ledger_account *account, const struct ledger_folder *folder)
{
	json_t *line = json_object();

	report_json_text(line, "account", account->source_user);
	report_json_number(line, "folder_id", folder->id);
	report_json_text(line, "folder", folder->source_name);
	report_json_number(line, "uidvalidity", folder->source_uidvalidity);
	return line;
}

static void
add_flags(json_t *line, const struct ledger_item *item)
{
	struct str flags;

	str_init(&flags, 0);
	flags_write(&flags, item->flags, item->keywords);
	if (flags.len > 0)
		report_json_text(line, "flags", str_get(&flags));
	str_clear(&flags);
}

static void
add_fate(json_t *line, const struct ledger_item *item)
{
	struct str steps;

	report_json_text(line, "state", item_state_name(item->state));
	if (item->reason != REASON_NONE)
		report_json_text(line, "reason", reason_name(item->reason));
	if (item->steps != 0) {
		str_init(&steps, 0);
		report_steps(&steps, item->steps);
		report_json_text(line, "steps", str_get(&steps));
		str_clear(&steps);
	}
	if (item->gone_round != 0)
		report_json_number(line, "gone_round", item->gone_round);
}

static int
folder_line(struct manifest *manifest, const struct ledger_account *account,
	const struct ledger_folder *folder)
{
	json_t *line = begin_line(account, folder);

	report_json_text(line, "target_account", account->target_user);
	report_json_text(line, "target_folder", folder->target_name);
	report_json_number(line, "target_uidvalidity", folder->target_uidvalidity);
	if (folder->renamed_from != NULL)
		report_json_text(line, "renamed_from", folder->renamed_from);
	if (folder->gone_round != 0)
		report_json_number(line, "gone_round", folder->gone_round);
	return put_line(manifest, line);
}

static int
change_line(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	uint32_t uid, const struct ledger_item *item)
{
	struct manifest *manifest = context;
	json_t *line;
	char when[24];

	if (uid == 0)
		return folder_line(manifest, account, folder);
	manifest->items++;
	line = begin_line(account, folder);
	report_json_number(line, "uid", uid);
	if (item == NULL) { /* it will be tried again, or has gone into another folder's rows */
		report_json_text(line, "state", "removed");
		return put_line(manifest, line);
	}
	report_json_number(line, "size", item->size);
	add_hex(line, "sha256", item->digest);
	add_hex(line, "sent_sha256", item->sent);
	if (item->received != ITEM_DATE_NONE)
		report_json_text(line, "received", clock_iso(when, sizeof when, item->received));
	add_flags(line, item);
	report_json_text(line, "target_account", account->target_user);
	report_json_text(line, "target_folder", folder->target_name);
	if (item->target_uid != 0) {
		report_json_number(line, "target_uidvalidity", folder->target_uidvalidity);
		report_json_number(line, "target_uid", item->target_uid);
	}
	add_fate(line, item);
	return put_line(manifest, line);
}

static int
first_line(struct manifest *manifest, const struct report_source *source)
{
	struct ledger_manifest before;
	struct ledger_run run;
	json_t *line;

	if (ledger_manifest_last(source->ledger, &before, manifest->err) < 0 ||
		report_last_run(source->ledger, &run, manifest->err) < 0)
		return -1;
	line = json_object();
	report_json_number(line, "manifest", 2);
	report_json_number(line, "run", run.id);
	report_json_number(line, "round", run.round);
	report_json_text(line, "after", before.name[0] != '\0' ? before.name : NULL);
	report_json_text(line, "after_sha256", before.sha256[0] != '\0' ? before.sha256 : NULL);
	return put_line(manifest, line);
}

static int
last_line(struct manifest *manifest)
{
	unsigned char digest[DIGEST_SIZE];
	char hex[DIGEST_SIZE * 2 + 1];
	json_t *last = json_object();

	digest_sum_get(manifest->sum, digest);
	report_hex(hex, digest);
	report_json_number(last, "items", manifest->items);
	report_json_text(last, "sha256", hex);
	return put_line(manifest, last);
}

int
report_manifest_chain(const struct report_source *source, FILE *out, struct report_chain *chain_r,
	struct err *err)
{
	struct err first = { 0 }; /* the call-back's failure is not the walk's */
	struct manifest manifest = { .out = out, .err = &first };
	unsigned char digest[DIGEST_SIZE];
	int ret;

	manifest.sum = digest_sum_new();
	ret = first_line(&manifest, source);
	if (ret == 0)
		ret = ledger_each_change(
			source->ledger, change_line, &manifest, &chain_r->up_to, &first);
	if (ret == 0 && first.code == ERR_NONE)
		ret = last_line(&manifest);
	if (first.code != ERR_NONE)
		ret = -1;
	digest_sum_get(manifest.sum, digest);
	digest_sum_free(&manifest.sum);
	report_hex(chain_r->sha256, digest);
	if (ret < 0) {
		*err = first;
		return -1;
	}
	return report_check(out, err);
}

int
report_manifest(const struct report_source *source, FILE *out, struct err *err)
{
	struct report_chain chain;

	return report_manifest_chain(source, out, &chain, err);
}
