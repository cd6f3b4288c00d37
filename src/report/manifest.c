/* manifest.c - manifest.jsonl: what a run has written or changed, and a chain of such files.
 *
 * What an auditor keeps: which item of the source is which item of the target, with the digest of
 * its bytes. The first line names the manifest before it with the digest of that file; all of them
 * together, a later line in the place of an earlier one of the same folder and UID, are what the
 * ledger holds. Written as the ledger is read, no longer than what has changed, and piece by piece
 * where somebody wants it while there come more changes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "mail/item.h"
#include "report/json_private.h"
#include "report/report_private.h"
#include "base/banned.h"

#define PAGE_BYTES 65536 /* hashed and written at once */

struct manifest {
	struct ledger *ledger;
	FILE *out;
	struct digest_sum *sum;
	bool begun;
	uint64_t items, told; /* changes up to there have their lines */
	struct err err;       /* the first one: the call-back's failure is not the walk's */
	/* Lines, the last of which may not be whole. */
	char *page;
	size_t len, cap;
	/* Of the folder whose items are being written: what all their lines begin with and have. */
	uint64_t folder;
	char *head, *target; /* JSON members without braces */
	size_t head_len, target_len;
	/* The last flags that were written, and what they became: most are as those before. */
	unsigned flags_bits;
	char *flags_keywords, *flags;
};

static void
put(struct manifest *manifest, const char *text, size_t len)
{
	if (len > manifest->cap - manifest->len) {
		manifest->cap = manifest->cap * 2 + len + PAGE_BYTES;
		manifest->page = xrealloc(manifest->page, manifest->cap);
	}
	memcpy(manifest->page + manifest->len, text, len);
	manifest->len += len;
}

static void
put_word(struct manifest *manifest, const char *text)
{
	put(manifest, text, strlen(text));
}

/* The length is known to the compiler. */
#define PUT(manifest, literal) put(manifest, literal, sizeof(literal) - 1)

static int
spill(struct manifest *manifest)
{
	size_t len = manifest->len;

	if (len == 0)
		return 0;
	manifest->len = 0;
	digest_sum_add(manifest->sum, manifest->page, len);
	if (fwrite(manifest->page, 1, len, manifest->out) != len)
		return err_set(&manifest->err, ERR_DISK, "the manifest cannot be written");
	return 0;
}

static int
end_line(struct manifest *manifest)
{
	put(manifest, "\n", 1);
	return manifest->len >= PAGE_BYTES ? spill(manifest) : 0;
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

	if (text == NULL)
		return err_set(&manifest->err, ERR_INTERNAL, "a line of the manifest has no form");
	put_word(manifest, text);
	free(text);
	return end_line(manifest);
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

/* Its names may have changed since its last lines. */
static void
forget_folder(struct manifest *manifest)
{
	free(manifest->head);
	free(manifest->target);
	manifest->head = manifest->target = NULL;
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
	forget_folder(manifest);
	target = json_object();
	report_json_text(target, "target_account", account->target_user);
	report_json_text(target, "target_folder", folder->target_name);
	manifest->folder = folder->id;
	manifest->head = members(begin_line(account, folder));
	manifest->target = members(target);
	if (manifest->head == NULL || manifest->target == NULL)
		return err_set(&manifest->err, ERR_INTERNAL, "a line of the manifest has no form");
	manifest->head_len = strlen(manifest->head);
	manifest->target_len = strlen(manifest->target);
	return 0;
}

static void
put_number(struct manifest *manifest, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(manifest, digits + at, sizeof(digits) - at);
}

static bool
digest_is_there(const unsigned char digest[DIGEST_SIZE])
{
	static const unsigned char none[DIGEST_SIZE];

	return memcmp(digest, none, DIGEST_SIZE) != 0;
}

static void
put_digest(struct manifest *manifest, const unsigned char digest[DIGEST_SIZE])
{
	char hex[DIGEST_SIZE * 2 + 1];

	report_hex(hex, digest);
	put(manifest, hex, sizeof hex - 1);
	PUT(manifest, "\"");
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
put_flags(struct manifest *manifest, const struct ledger_item *item)
{
	if (item->flags == 0 && item->keywords == NULL)
		return;
	if (!flags_are_known(manifest, item))
		know_flags(manifest, item);
	if (manifest->flags == NULL) {
		PUT(manifest, ",\"flags\":null");
	} else if (manifest->flags[0] != '\0') {
		PUT(manifest, ",");
		put_word(manifest, manifest->flags);
	}
}

/* Words of ours: nothing to be escaped. */
static void
put_fate(struct manifest *manifest, const struct ledger_item *item)
{
	struct str steps;

	PUT(manifest, ",\"state\":\"");
	put_word(manifest, item_state_name(item->state));
	if (item->reason != REASON_NONE) {
		PUT(manifest, "\",\"reason\":\"");
		put_word(manifest, reason_name(item->reason));
	}
	if (item->steps != 0) {
		PUT(manifest, "\",\"steps\":\"");
		str_init(&steps, 0);
		report_steps(&steps, item->steps);
		put_word(manifest, str_get(&steps));
		str_clear(&steps);
	}
	PUT(manifest, "\"");
	if (item->gone_round != 0) {
		PUT(manifest, ",\"gone_round\":");
		put_number(manifest, item->gone_round);
	}
}

static void
put_item(struct manifest *manifest, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	char when[24];

	PUT(manifest, ",\"size\":");
	put_number(manifest, item->size);
	if (digest_is_there(item->digest)) {
		PUT(manifest, ",\"sha256\":\"");
		put_digest(manifest, item->digest);
	}
	if (digest_is_there(item->sent)) {
		PUT(manifest, ",\"sent_sha256\":\"");
		put_digest(manifest, item->sent);
	}
	if (item->received != ITEM_DATE_NONE) {
		PUT(manifest, ",\"received\":\"");
		put_word(manifest, clock_iso(when, sizeof when, item->received));
		PUT(manifest, "\"");
	}
	put_flags(manifest, item);
	PUT(manifest, ",");
	put(manifest, manifest->target, manifest->target_len);
	if (item->target_uid != 0) {
		PUT(manifest, ",\"target_uidvalidity\":");
		put_number(manifest, folder->target_uidvalidity);
		PUT(manifest, ",\"target_uid\":");
		put_number(manifest, item->target_uid);
	}
	put_fate(manifest, item);
}

static int
change_line(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	uint32_t uid, const struct ledger_item *item)
{
	struct manifest *manifest = context;

	if (uid == 0)
		return folder_line(manifest, account, folder);
	if (begin_folder(manifest, account, folder) < 0)
		return -1;
	manifest->items++;
	PUT(manifest, "{");
	put(manifest, manifest->head, manifest->head_len);
	PUT(manifest, ",\"uid\":");
	put_number(manifest, uid);
	if (item == NULL) /* it will be tried again, or has gone into another folder's rows */
		PUT(manifest, ",\"state\":\"removed\"");
	else
		put_item(manifest, folder, item);
	PUT(manifest, "}");
	return end_line(manifest);
}

static int
first_line(struct manifest *manifest)
{
	struct ledger_manifest before;
	struct ledger_run run;
	json_t *line;

	if (ledger_manifest_last(manifest->ledger, &before, &manifest->err) < 0 ||
		report_last_run(manifest->ledger, &run, &manifest->err) < 0)
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
	json_t *last;

	if (spill(manifest) < 0) /* the digest is of all before it */
		return -1;
	digest_sum_get(manifest->sum, digest);
	report_hex(hex, digest);
	last = json_object();
	report_json_number(last, "items", manifest->items);
	report_json_text(last, "sha256", hex);
	return put_line(manifest, last) < 0 ? -1 : spill(manifest);
}

struct manifest *
manifest_new(struct ledger *ledger, FILE *out)
{
	struct manifest *manifest = xcalloc(1, sizeof *manifest);

	manifest->ledger = ledger;
	manifest->out = out;
	manifest->sum = digest_sum_new();
	return manifest;
}

void
manifest_free(struct manifest **manifest_p)
{
	struct manifest *manifest = *manifest_p;

	if (manifest == NULL)
		return;
	digest_sum_free(&manifest->sum);
	forget_folder(manifest);
	free(manifest->page);
	free(manifest->flags);
	free(manifest->flags_keywords);
	free(manifest);
	*manifest_p = NULL;
}

int
manifest_more(struct manifest *manifest, struct err *err)
{
	uint64_t up_to = 0;
	int ret = 0;

	if (!manifest->begun)
		ret = first_line(manifest);
	manifest->begun = true;
	if (ret == 0)
		ret = ledger_each_change(manifest->ledger, manifest->told, change_line, manifest,
			&up_to, &manifest->err);
	forget_folder(manifest);
	manifest->told = up_to;
	if (ret == 0 && manifest->err.code == ERR_NONE)
		ret = spill(manifest);
	if (ret < 0 || manifest->err.code != ERR_NONE) {
		*err = manifest->err;
		return -1;
	}
	return report_check(manifest->out, err);
}

int
manifest_end(struct manifest *manifest, struct report_chain *chain_r, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];

	if (last_line(manifest) < 0) {
		*err = manifest->err;
		return -1;
	}
	digest_sum_get(manifest->sum, digest);
	report_hex(chain_r->sha256, digest);
	chain_r->up_to = manifest->told;
	return report_check(manifest->out, err);
}

int
report_manifest_chain(const struct report_source *source, FILE *out, struct report_chain *chain_r,
	struct err *err)
{
	struct manifest *manifest = manifest_new(source->ledger, out);
	int ret = manifest_more(manifest, err);

	if (ret == 0)
		ret = manifest_end(manifest, chain_r, err);
	manifest_free(&manifest);
	return ret;
}

int
report_manifest(const struct report_source *source, FILE *out, struct err *err)
{
	struct report_chain chain;

	return report_manifest_chain(source, out, &chain, err);
}
