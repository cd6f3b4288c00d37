/* manifest.c - manifest.jsonl: a line per item, and a last line with a digest over the others.
 *
 * What an auditor keeps: which item of the source is which item of the target, with the digest of
 * its bytes. Written as the ledger is read; 200 million rows are as good as ten. */
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
	struct digester *digester;
	uint64_t lines;
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
	if (manifest->digester != NULL) {
		digester_add(manifest->digester, text, strlen(text));
		digester_add(manifest->digester, "\n", 1);
		manifest->lines++;
	}
	fprintf(manifest->out, "%s\n", text);
	free(text);
	if (ferror(manifest->out))
		return err_set(manifest->err, ERR_DISK, "the manifest cannot be written");
	return 0;
}

static int
item_line(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	json_t *line = json_object();
	struct str steps;
	char when[24];

	report_json_text(line, "account", account->source_user);
	report_json_text(line, "folder", folder->source_name);
	report_json_number(line, "uidvalidity", folder->source_uidvalidity);
	report_json_number(line, "uid", item->uid);
	report_json_number(line, "size", item->size);
	add_hex(line, "sha256", item->digest);
	add_hex(line, "sent_sha256", item->sent);
	if (item->received != ITEM_DATE_NONE)
		report_json_text(line, "received", clock_iso(when, sizeof when, item->received));
	report_json_text(line, "target_account", account->target_user);
	report_json_text(line, "target_folder", folder->target_name);
	if (item->target_uid != 0) {
		report_json_number(line, "target_uidvalidity", folder->target_uidvalidity);
		report_json_number(line, "target_uid", item->target_uid);
	}
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
	return put_line(context, line);
}

int
report_manifest(const struct report_source *source, FILE *out, struct err *err)
{
	struct manifest manifest = { .out = out, .err = err };
	struct digests digests;
	char hex[DIGEST_SIZE * 2 + 1];
	json_t *last;
	int ret;

	manifest.digester = digester_new();
	ret = ledger_each_item(source->ledger, 0, 0, item_line, &manifest, err);
	if (ret != 0) {
		digester_free(&manifest.digester);
		return -1;
	}
	digester_end(&manifest.digester, &digests);
	report_hex(hex, digests.exact);
	last = json_object();
	report_json_number(last, "items", manifest.lines);
	report_json_text(last, "sha256", hex);
	if (put_line(&manifest, last) < 0)
		return -1;
	return report_check(out, err);
}
