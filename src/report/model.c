/* model.c - rows of the ledger as the reports need them: sums per folder and account.
 *
 * The invariant of the whole program is checked here: what was found at the source is what was
 * copied, adopted, skipped, failed, held and vanished together. */
#include <stdlib.h>
#include <string.h>

#include "mail/ladder.h"
#include "net/endpoint.h"
#include "report/report_private.h"
#include "base/banned.h"

void
report_sums_of(const struct ledger_counts *counts, struct report_sums *sums_r)
{
	memset(sums_r, 0, sizeof *sums_r);
	sums_r->counts = *counts;
	sums_r->copied = counts->by_state[ITEM_LANDED] + counts->by_state[ITEM_VERIFIED];
	for (int state = ITEM_LANDED; state < ITEM_STATES; state++)
		sums_r->settled += counts->by_state[state];
	if (sums_r->settled > counts->found)
		sums_r->surplus = sums_r->settled - counts->found;
	else
		sums_r->open = counts->found - sums_r->settled;
}

void
report_sums_add(struct report_sums *into, const struct report_sums *from)
{
	into->counts.found += from->counts.found;
	for (int state = 0; state < ITEM_STATES; state++)
		into->counts.by_state[state] += from->counts.by_state[state];
	into->counts.bytes_found += from->counts.bytes_found;
	into->counts.bytes_landed += from->counts.bytes_landed;
	into->counts.gone += from->counts.gone;
	into->counts.repaired += from->counts.repaired;
	into->copied += from->copied;
	into->settled += from->settled;
	into->open += from->open;
	into->surplus += from->surplus;
	into->doubt += from->doubt;
}

int
report_account_load(struct ledger *ledger, const struct ledger_account *row,
	struct report_account *account_r, struct err *err)
{
	struct report_sums sums;
	uint64_t batches;

	memset(account_r, 0, sizeof *account_r);
	account_r->row = row;
	if (ledger_folders(ledger, row->id, &account_r->folders, &account_r->folder_count, err) < 0)
		return -1;
	/* Per folder, so that a surplus in one does not hide what is open in another. */
	for (size_t i = 0; i < account_r->folder_count; i++) {
		report_sums_of(&account_r->folders[i].counts, &sums);
		report_sums_add(&account_r->sums, &sums);
	}
	if (ledger_open_batches(ledger, row->id, &batches, &account_r->sums.doubt, err) < 0) {
		report_account_clear(account_r);
		return -1;
	}
	return 0;
}

void
report_account_clear(struct report_account *account)
{
	ledger_folders_free(account->folders, account->folder_count);
	account->folders = NULL;
	account->folder_count = 0;
}

bool
report_reason_wanted(unsigned reason)
{
	return reason == REASON_SINCE || reason == REASON_BEFORE || reason == REASON_MAX_SIZE ||
	       reason == REASON_ADMIN;
}

int
report_check(FILE *out, struct err *err)
{
	if (fflush(out) != 0 || ferror(out))
		return err_set(err, ERR_DISK, "the report cannot be written");
	return 0;
}

int
report_last_run(struct ledger *ledger, struct ledger_run *run_r, struct err *err)
{
	struct ledger_run *runs = NULL;
	size_t count = 0;

	memset(run_r, 0, sizeof *run_r);
	if (ledger_runs(ledger, &runs, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (runs[i].id >= run_r->id)
			*run_r = runs[i];
	}
	free(runs);
	return 0;
}

int
report_each_account(struct ledger *ledger, report_account_fn *fn, void *context, struct err *err)
{
	struct ledger_account *rows = NULL;
	struct report_account account;
	size_t count = 0;
	int ret = 0;

	if (ledger_accounts(ledger, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count && ret == 0; i++) {
		if (report_account_load(ledger, &rows[i], &account, err) < 0) {
			ret = -1;
			break;
		}
		ret = fn(context, &account, err);
		report_account_clear(&account);
	}
	ledger_accounts_free(rows, count);
	return ret;
}

int
report_has_problems(struct ledger *ledger, const struct report_account *account,
	enum item_state state, struct err *err)
{
	struct ledger_reason *reasons = NULL;
	size_t count = 0;
	int ret = 0;

	if (account->sums.counts.by_state[state] == 0)
		return 0;
	if (state != ITEM_SKIPPED)
		return 1;
	if (ledger_reasons(ledger, account->row->id, state, &reasons, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!report_reason_wanted(reasons[i].reason))
			ret = 1;
	free(reasons);
	return ret;
}

bool
report_weakness(const struct profile_side *side, unsigned n, struct str *text)
{
	bool clear = side->security == NET_NONE;

	if (clear && n-- == 0) {
		str_adds(text, "the connection is not encrypted (security = none)");
		return true;
	}
	if (!clear && side->verify == VERIFY_NO && n-- == 0) {
		str_adds(text, "the server's certificate is not checked (tls_verify = no)");
		return true;
	}
	if (!clear && side->tls_min != 0 && side->tls_min < 12 && n-- == 0) {
		str_addf(text, "old TLS is allowed (tls_min = %u.%u)", side->tls_min / 10,
			side->tls_min % 10);
		return true;
	}
	return false;
}

const char *
report_exit_text(int exit_code)
{
	switch (exit_code) {
	case 0:
		return "all done and every item settled";
	case 1:
		return "not started: usage or profile";
	case 2:
		return "done, but some items or accounts need a look";
	case 3:
		return "some accounts failed";
	case 4:
		return "stopped before the end; run it again to go on";
	case 5:
		return "ended: it cannot work here (ledger, disk or lock)";
	}
	return "did not end by itself; run it again to go on";
}

int
report_end_code(const struct report_source *source, const struct ledger_run *run)
{
	if (source->exit_code >= 0)
		return source->exit_code;
	return run->ended != 0 ? run->exit_code : -1;
}

const char *
report_end_text(const struct report_source *source, const struct ledger_run *run)
{
	int code = report_end_code(source, run);

	return code < 0 && source->running ? "not yet: a run is at work" : report_exit_text(code);
}

void
report_steps(struct str *out, unsigned steps)
{
	for (unsigned step = 0; step < LADDER_STEPS; step++)
		if (steps & (1u << step))
			str_addf(out, "%s%s", out->len > 0 ? ", " : "",
				ladder_name((enum ladder_step)step));
}
