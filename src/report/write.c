/* write.c - the report files of one run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "report/report_private.h"
#include "base/banned.h"

typedef int report_writer(const struct report_source *source, FILE *out, struct err *err);

/* Whole or not there: a reader never meets half a report. */
static int
write_one(const struct report_source *source, const char *dir, const char *name,
	report_writer *writer, struct err *err)
{
	char *part = xasprintf("%s/.%s.part", dir, name), *path = path_join(dir, name);
	FILE *out = file_create(part, true, err);
	int ret = -1;

	if (out == NULL)
		goto out;
	ret = writer(source, out, err);
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

int
report_write(const struct report_source *source, const char *dir, char **path_r, struct err *err)
{
	static const struct {
		const char *name;
		report_writer *writer;
	} files[] = {
		{ "report.txt", report_text },
		{ "report.csv", report_csv },
		{ "report.json", report_json },
		{ "manifest.jsonl", report_manifest },
	};
	struct err first = { 0 }, this;
	int ret = 0;

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		if (write_one(source, dir, files[i].name, files[i].writer, &this) == 0)
			continue;
		if (ret == 0)
			first = this;
		ret = -1;
	}
	if (ret < 0 && err != NULL)
		*err = first;
	*path_r = path_join(dir, "report.txt");
	return ret;
}
