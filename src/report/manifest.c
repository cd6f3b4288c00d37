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
	/* Of the folder whose items are being written: what all their lines begin with and have. */
	uint64_t folder;
	char *head, *target; /* JSON members without braces */
	struct str line;
	/* The last flags that were written, and what they became: most are as those before. */
	unsigned flags_bits;
	char *flags_keywords, *flags;
};

static int
put_text(struct manifest *manifest, const char *text, size_t len)
{
	digest_sum_add(manifest->sum, text, len);
	if (fwrite(text, 1, len, manifest->out) != len)
		return err_set(manifest->err, ERR_DISK, "the manifest cannot be written");
	return 0;
}

static char *
dump(json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	json_decref(object);
	return text;
}

static int
put_line(struct manifest *manifest, json_t *object)
{
	char *text = dump(object);
	int ret;

	if (text == NULL)
		return err_set(manifest->err, ERR_INTERNAL, "a line of the manifest has no form");
	ret = put_text(manifest, text, strlen(text));
	free(text);
	return ret < 0 ? -1 : put_text(manifest, "\n", 1);
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

/* The members of an object, without its braces. */
static char *
members(json_t *object)
{
	char *text = dump(object);
	size_t len;

	if (text == NULL)
		return NULL;
	len = strlen(text);
	memmove(text, text + 1, len - 2);
	text[len - 2] = '\0';
	return text;
}

/* Lines of one folder have most in common, and there are millions of them: the common part is made
 * once, by jansson, and the rest, which is numbers and words of ours, by hand. */
static int
begin_folder(struct manifest *manifest, const struct ledger_account *account,
	const struct ledger_folder *folder)
{
	json_t *target;

	if (manifest->head != NULL && manifest->folder == folder->id)
		return 0;
	free(manifest->head);
	free(manifest->target);
	target = json_object();
	report_json_text(target, "target_account", account->target_user);
	report_json_text(target, "target_folder", folder->target_name);
	manifest->folder = folder->id;
	manifest->head = members(begin_line(account, folder));
	manifest->target = members(target);
	if (manifest->head == NULL || manifest->target == NULL)
		return err_set(manifest->err, ERR_INTERNAL, "a line of the manifest has no form");
	return 0;
}

static void
add_member(struct str *line, const char *name, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	str_adds(line, ",\"");
	str_adds(line, name);
	str_adds(line, "\":");
	str_add(line, digits + at, sizeof(digits) - at);
}

/* A word of ours, or digits: nothing to be escaped. */
static void
add_word(struct str *line, const char *name, const char *word)
{
	str_adds(line, ",\"");
	str_adds(line, name);
	str_adds(line, "\":\"");
	str_adds(line, word);
	str_addc(line, '"');
}

static void
add_digest(struct str *line, const char *name, const unsigned char digest[DIGEST_SIZE])
{
	static const unsigned char none[DIGEST_SIZE];
	char hex[DIGEST_SIZE * 2 + 1];

	if (memcmp(digest, none, DIGEST_SIZE) == 0)
		return;
	report_hex(hex, digest);
	add_word(line, name, hex);
}

static bool
flags_are_known(const struct manifest *manifest, const struct ledger_item *item)
{
	const char *known = manifest->flags_keywords;

	return manifest->flags != NULL && manifest->flags_bits == item->flags &&
	       (known == NULL) == (item->keywords == NULL) &&
	       (known == NULL || strcmp(known, item->keywords) == 0);
}

/* Keywords are a server's words. */
static void
know_flags(struct manifest *manifest, const struct ledger_item *item)
{
	struct str flags;
	json_t *object;

	free(manifest->flags);
	free(manifest->flags_keywords);
	manifest->flags_bits = item->flags;
	manifest->flags_keywords = item->keywords != NULL ? xstrdup(item->keywords) : NULL;
	str_init(&flags, 0);
	flags_write(&flags, item->flags, item->keywords);
	object = json_object();
	report_json_text(object, "flags", str_get(&flags));
	manifest->flags = flags.len > 0 ? members(object) : xstrdup("");
	if (flags.len == 0)
		json_decref(object);
	str_clear(&flags);
}

static void
add_flags(struct manifest *manifest, const struct ledger_item *item)
{
	if (item->flags == 0 && item->keywords == NULL)
		return;
	if (!flags_are_known(manifest, item))
		know_flags(manifest, item);
	if (manifest->flags == NULL || manifest->flags[0] != '\0') {
		str_addc(&manifest->line, ',');
		str_adds(&manifest->line,
			manifest->flags != NULL ? manifest->flags : "\"flags\":null");
	}
}

static void
add_fate(struct str *line, const struct ledger_item *item)
{
	struct str steps;

	add_word(line, "state", item_state_name(item->state));
	if (item->reason != REASON_NONE)
		add_word(line, "reason", reason_name(item->reason));
	if (item->steps != 0) {
		str_init(&steps, 0);
		report_steps(&steps, item->steps);
		add_word(line, "steps", str_get(&steps));
		str_clear(&steps);
	}
	if (item->gone_round != 0)
		add_member(line, "gone_round", item->gone_round);
}

static void
add_item(struct manifest *manifest, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	struct str *line = &manifest->line;
	char when[24];

	add_member(line, "size", item->size);
	add_digest(line, "sha256", item->digest);
	add_digest(line, "sent_sha256", item->sent);
	if (item->received != ITEM_DATE_NONE)
		add_word(line, "received", clock_iso(when, sizeof when, item->received));
	add_flags(manifest, item);
	str_addc(line, ',');
	str_adds(line, manifest->target);
	if (item->target_uid != 0) {
		add_member(line, "target_uidvalidity", folder->target_uidvalidity);
		add_member(line, "target_uid", item->target_uid);
	}
	add_fate(line, item);
}

static int
change_line(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	uint32_t uid, const struct ledger_item *item)
{
	struct manifest *manifest = context;
	struct str *line = &manifest->line;

	if (uid == 0)
		return folder_line(manifest, account, folder);
	if (begin_folder(manifest, account, folder) < 0)
		return -1;
	manifest->items++;
	str_reset(line);
	str_addc(line, '{');
	str_adds(line, manifest->head);
	add_member(line, "uid", uid);
	if (item == NULL) /* it will be tried again, or has gone into another folder's rows */
		add_word(line, "state", "removed");
	else
		add_item(manifest, folder, item);
	str_adds(line, "}\n");
	return put_text(manifest, line->data, line->len);
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
	str_init(&manifest.line, 0);
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
	str_clear(&manifest.line);
	free(manifest.head);
	free(manifest.target);
	free(manifest.flags);
	free(manifest.flags_keywords);
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
