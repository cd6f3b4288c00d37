/* paths.c - where the files of a profile lie, and opening its ledger and lock. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "runner/runner.h"
#include "base/banned.h"

char *
runner_ledger_path(const struct profile *profile)
{
	return path_join(profile->state_dir, "ledger.db");
}

char *
runner_lock_path(const struct profile *profile)
{
	return path_join(profile->state_dir, "lock");
}

char *
runner_state_path(const struct profile *profile)
{
	return path_join(profile->state_dir, "state.json");
}

int
runner_lock(const struct profile *profile, struct lock **lock_r, struct err *err)
{
	char *path = runner_lock_path(profile);
	int ret = file_mkdirs(profile->state_dir, err);

	if (ret == 0)
		ret = lock_take(path, lock_r, err);
	/* At once: who asks while the run is still starting is told this process, not the last. */
	if (ret == 0)
		lock_sign(*lock_r);
	free(path);
	return ret;
}

int
runner_ledger(const struct profile *profile, enum ledger_mode mode, const char *const *rebind,
	size_t rebind_count, struct ledger **ledger_r, struct err *err)
{
	struct ledger_binding binding = {
		.profile = profile->name,
		.source_type = profile->source.type,
		.source_host = profile->source.host,
		.source_port = profile->source.port,
		.target_type = profile->target.type,
		.target_host = profile->target.host,
		.target_port = profile->target.port,
		.rebind = rebind,
		.rebind_count = rebind_count,
	};
	char *path = runner_ledger_path(profile);
	struct stat st;
	int ret;

	if (mode == LEDGER_READ && stat(path, &st) < 0 && errno == ENOENT)
		ret = err_set(err, ERR_STATE_DIR, "profile %s has not run yet (no ledger %s)",
			profile->name, path);
	else
		ret = ledger_open(path, mode == LEDGER_READ ? NULL : &binding, mode, ledger_r, err);
	free(path);
	return ret;
}
