/* reason.c - the names of item states, account states and reasons: the one table of each. */
#include "engine/ledger/ledger.h"

#include "base/err.h"

#include <string.h>

#include "base/banned.h"

static const char *const item_states[ITEM_STATES] = {
	[ITEM_LANDED] = "landed",
	[ITEM_VERIFIED] = "verified",
	[ITEM_SKIPPED] = "skipped",
	[ITEM_FAILED] = "failed",
	[ITEM_HELD] = "held",
	[ITEM_VANISHED] = "vanished",
	[ITEM_ADOPTED] = "adopted",
};

static const struct {
	const char *name;
	bool open;
} account_states[ACCOUNT_STATES] = {
	[ACCOUNT_WAITING] = { "waiting", true },
	[ACCOUNT_PROVISIONING] = { "provisioning", true },
	[ACCOUNT_SCANNING] = { "scanning", true },
	[ACCOUNT_COPYING] = { "copying", true },
	[ACCOUNT_SETTLING] = { "settling", true },
	[ACCOUNT_PAUSED] = { "paused", true },
	[ACCOUNT_STOPPED] = { "stopped", true },
	[ACCOUNT_SKIPPED] = { "skipped", false },
	[ACCOUNT_DONE] = { "done", false },
	[ACCOUNT_REMARKS] = { "done with remarks", false },
	[ACCOUNT_FAILED] = { "failed", false },
};

static const char *const reasons[REASON_END - REASON_SETTLED] = {
	[REASON_SETTLED - REASON_SETTLED] = "settled",
	[REASON_REPAIRED - REASON_SETTLED] = "repaired",
	[REASON_WRAPPED - REASON_SETTLED] = "wrapped",
	[REASON_DATE - REASON_SETTLED] = "date",
	[REASON_KEYWORDS - REASON_SETTLED] = "keywords",
	[REASON_SINCE - REASON_SETTLED] = "since",
	[REASON_BEFORE - REASON_SETTLED] = "before",
	[REASON_MAX_SIZE - REASON_SETTLED] = "max_size",
	[REASON_EMPTY - REASON_SETTLED] = "empty",
	[REASON_DOUBT - REASON_SETTLED] = "doubt",
	[REASON_ADMIN - REASON_SETTLED] = "admin",
	[REASON_REMATCHED - REASON_SETTLED] = "rematched",
};

const char *
item_state_name(enum item_state state)
{
	return state > 0 && state < ITEM_STATES ? item_states[state] : "unknown";
}

int
item_state_by_name(const char *name)
{
	for (int i = ITEM_LANDED; i < ITEM_STATES; i++)
		if (strcmp(item_states[i], name) == 0)
			return i;
	return -1;
}

const char *
account_state_name(enum account_state state)
{
	return (unsigned)state < ACCOUNT_STATES ? account_states[state].name : "unknown";
}

bool
account_state_open(enum account_state state)
{
	return (unsigned)state < ACCOUNT_STATES ? account_states[state].open : true;
}

const char *
reason_name(unsigned reason)
{
	if (reason == REASON_NONE)
		return "none";
	if (reason < ERR_CODES)
		return err_name((enum err_code)reason);
	if (reason >= REASON_SETTLED && reason < REASON_END)
		return reasons[reason - REASON_SETTLED];
	return "unknown";
}

int
reason_by_name(const char *name)
{
	enum err_code code;

	if (strcmp(name, "none") == 0)
		return REASON_NONE;
	for (int i = REASON_SETTLED; i < REASON_END; i++)
		if (strcmp(reasons[i - REASON_SETTLED], name) == 0)
			return i;
	code = err_by_name(name);
	return code == ERR_NONE ? -1 : (int)code;
}
