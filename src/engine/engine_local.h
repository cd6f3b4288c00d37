/* engine_local.h - the engine in this process: what the runner and the headless commands start. */
#ifndef ENGINE_ENGINE_LOCAL_H
#define ENGINE_ENGINE_LOCAL_H

#include "base/log.h"
#include "engine/engine.h"
#include "engine/ledger/ledger.h"
#include "profile/profile.h"
#include "users/users.h"

enum engine_task {
	TASK_RUN,  /* move */
	TASK_DRY,  /* plan and count; both sides opened read-only, the ledger not written */
	TASK_CHECK /* preflight of every account: a verdict per row; both sides read-only */
};

/* All borrowed until the engine is closed. */
struct engine_config {
	const struct profile *profile;
	const struct users *users;
	struct secret *source_admin, *target_admin; /* resolved; NULL where none */
	struct ledger *ledger;                      /* LEDGER_WRITE for TASK_RUN */
	struct log *log;
	const char *state_dir; /* exists; spools lie in it */
	enum engine_task task;
	const char *const *only; /* globs over source users; none = all */
	size_t only_count;
	const char *const *rebind; /* source users whose account is the ledger's all the same */
	size_t rebind_count;
	unsigned jobs; /* 0 = the profile's */
};

/* Starts its threads and returns. ERR_BOUND when the user list and the ledger do not agree. */
int engine_local_start(
	const struct engine_config *config, struct engine **engine_r, struct err *err);
/* Waits until the run has ended (all accounts at an end, or stopped); the exit code. */
int engine_local_join(struct engine *engine);
/* For the runner: the place of the report, once written. */
void engine_local_report(struct engine *engine, const char *path);

/* The findings of TASK_CHECK and TASK_DRY, per account. */
struct check_folder {
	char *source, *target; /* as shown; target NULL when left out */
	uint64_t messages, bytes;
	bool exists, altered; /* on the target; its name had to be altered */
	char *remark;         /* "collides with ...", "not empty (12)", or NULL */
};
#define CHECK_LARGE_MAX 20 /* are named, the others counted */
struct check_large {
	char *folder; /* as shown */
	uint32_t uid;
	uint64_t size;
};
struct check_account {
	const struct user *user;
	bool ok;
	struct err err; /* the first thing that stands against it */
	char source_login[160], target_login[160], source_server[96], target_server[96];
	char source_tls[96], target_tls[96], source_offers[400], target_offers[400];
	uint64_t messages, bytes, known;  /* known: already in the ledger */
	uint64_t quota_used, quota_limit; /* of the target; limit 0 = none known */
	uint64_t append_limit, too_large; /* too_large: messages over it that are not there yet */
	struct check_large *large;        /* the first of them, CHECK_LARGE_MAX at most */
	uint64_t left, left_bytes;        /* still to be copied, where left_known */
	bool left_known;
	uint64_t time_s; /* for what is left, at the last run's speed; 0 = not known */
	struct check_folder *folders;
	size_t folder_count;
};
/* Those of the account at this place of the list, counted from 0, once it has come to its end;
 * false before that. What it points to is the engine's, until its close. */
bool engine_local_check(struct engine *engine, size_t index, struct check_account *check_r);

#endif
