/* write.c - the report files of one run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "report/report_private.h"
#include "base/banned.h"

typedef int report_writer(const struct report_source *source, FILE *out,
	struct report_chain *chain_r, struct err *err);

/* Those that are no part of a chain. */
static int
text(const struct report_source *source, FILE *out, struct report_chain *chain_r, struct err *err)
{
	(void)chain_r;
	return report_text(source, out, err);
}

static int
csv(const struct report_source *source, FILE *out, struct report_chain *chain_r, struct err *err)
{
	(void)chain_r;
	return report_csv(source, out, err);
}

static int
json(const struct report_source *source, FILE *out, struct report_chain *chain_r, struct err *err)
{
	(void)chain_r;
	return report_json(source, out, err);
}

/* Whole or not there: a reader never meets half a report. */
static int
write_one(const struct report_source *source, const char *dir, const char *name,
	report_writer *writer, struct report_chain *chain_r, struct err *err)
{
	char *part = xasprintf("%s/.%s.part", dir, name), *path = path_join(dir, name);
	FILE *out = file_create(part, true, err);
	int ret = -1;

	if (out == NULL)
		goto out;
	ret = writer(source, out, chain_r, err);
	if (ret == 0 && (fflush(out) != 0 || fsync(fileno(out)) < 0))
		ret = err_errno(err, ERR_DISK, errno, "cannot write %s", path);
	if (fclose(out) != 0 && ret == 0)
		ret = err_errno(err, ERR_DISK, errno, "cannot write %s", path);
	if (ret == 0 && rename(part, path) < 0)
		ret = err_errno(err, ERR_DISK, errno, "cannot name %s", path);
	if (ret < 0)
		unlink(part);
out:
	free(part);
	free(path);
	return ret;
}

static const char manifest_name[] = "manifest.jsonl";

/* The next manifest begins where this one ends; not before it is in its place, so that what a crash
 * takes away is told again. */
static int
write_manifest(const struct report_source *source, const char *dir, struct report_draft **draft,
	struct err *err)
{
	const char *slash = strrchr(dir, '/');
	struct report_chain chain = { .sha256 = "" };
	struct ledger_manifest manifest = { .name = "" };
	char *path = path_join(dir, manifest_name);
	int ret = 0;

	if (!draft_take(draft, path, &chain))
		ret = write_one(source, dir, manifest_name, report_manifest_chain, &chain, err);
	if (ret == 0)
		ret = file_sync_name(path, err);
	free(path);
	if (ret < 0)
		return -1;
	snprintf(manifest.name, sizeof manifest.name, "%.60s/%s", slash != NULL ? slash + 1 : dir,
		manifest_name);
	memcpy(manifest.sha256, chain.sha256, sizeof manifest.sha256);
	return ledger_manifest_done(source->ledger, &manifest, chain.up_to, err);
}

int
report_write(const struct report_source *source, const char *dir, struct report_draft **draft,
	char **path_r, struct err *err)
{
	static const struct {
		const char *name;
		report_writer *writer;
	} files[] = {
		{ "report.txt", text },
		{ "report.csv", csv },
		{ "report.json", json },
	};
	struct err first = { 0 }, this;
	int ret = 0;

	draft_end(*draft); /* beside the others */
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		if (write_one(source, dir, files[i].name, files[i].writer, NULL, &this) == 0)
			continue;
		if (ret == 0)
			first = this;
		ret = -1;
	}
	if (write_manifest(source, dir, draft, &this) < 0) {
		if (ret == 0)
			first = this;
		ret = -1;
	}
	if (ret < 0 && err != NULL)
		*err = first;
	*path_r = path_join(dir, "report.txt");
	return ret;
}
