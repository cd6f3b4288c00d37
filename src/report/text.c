/* text.c - report.txt: what an administrator reads in the morning. Problems first, then the sums,
 * then every mailbox with its folders. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report/format.h"
#include "report/report_private.h"
#include "base/banned.h"

#define ITEMS_PER_ACCOUNT 100 /* lines of failed or held items; `mailhaul list` has all */
#define EVENTS_SHOWN      500
#define LEFT_OUT_SHOWN    100 /* mailboxes by name; all are under MAILBOXES */

struct text_writer {
	const struct report_source *source;
	FILE *out;
	struct report_sums sums;
	uint64_t states[ACCOUNT_STATES];
	uint64_t accounts;
	uint64_t problems;
	uint64_t run; /* the last one */
	/* Of the account at hand. */
	uint64_t items_shown, items_left;
};

/* A text of the ledger's, made one safe line. */
static void
put_safe(FILE *out, const char *text)
{
	struct str safe;

	str_init(&safe, 0);
	text_sanitize(&safe, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
	fputs(str_get(&safe), out);
	str_clear(&safe);
}

static void
put_count(FILE *out, const char *before, uint64_t count)
{
	char text[FORMAT_SIZE];

	fprintf(out, "%s%s", before, format_count(text, sizeof text, count));
}

static void
problem_head(struct text_writer *writer, const char *account, const char *folder)
{
	if (writer->problems++ == 0)
		fputs("\nPROBLEMS\n", writer->out);
	fputs("  ", writer->out);
	put_safe(writer->out, account);
	if (folder != NULL) {
		fputs(", ", writer->out);
		put_safe(writer->out, folder);
	}
	fputs(": ", writer->out);
}

static int
item_problem(void *context, const struct ledger_account *account,
	const struct ledger_folder *folder, const struct ledger_item *item)
{
	struct text_writer *writer = context;
	char size[FORMAT_SIZE];

	if (item->state == ITEM_SKIPPED && report_reason_wanted(item->reason))
		return 0;
	if (writer->items_shown >= ITEMS_PER_ACCOUNT) {
		writer->items_left++;
		return 0;
	}
	writer->items_shown++;
	problem_head(writer, account->source_user, folder->source_name);
	fprintf(writer->out, "UID %" PRIu32 " (%s) %s, %s", item->uid,
		format_bytes(size, sizeof size, item->size), item_state_name(item->state),
		reason_name(item->reason));
	if (item->text != NULL) {
		fputs(": ", writer->out);
		put_safe(writer->out, item->text);
	}
	fputc('\n', writer->out);
	return 0;
}

/* Copied, but not quite as it was: what was changed on the way. */
static int
item_remark(void *context, const struct ledger_account *account, const struct ledger_folder *folder,
	const struct ledger_item *item)
{
	struct text_writer *writer = context;
	struct str steps;

	if (item->reason != REASON_REPAIRED && item->reason != REASON_WRAPPED &&
		item->reason != REASON_DATE && item->reason != REASON_KEYWORDS)
		return 0;
	if (writer->items_shown >= ITEMS_PER_ACCOUNT) {
		writer->items_left++;
		return 0;
	}
	writer->items_shown++;
	problem_head(writer, account->source_user, folder->source_name);
	str_init(&steps, 0);
	report_steps(&steps, item->steps);
	fprintf(writer->out, "UID %" PRIu32 " copied, %s%s%s\n", item->uid,
		reason_name(item->reason), steps.len > 0 ? ": " : "", str_get(&steps));
	str_clear(&steps);
	return 0;
}

static void
folder_problems(struct text_writer *writer, const struct report_account *account)
{
	bool ended = account->row->state == ACCOUNT_DONE || account->row->state == ACCOUNT_REMARKS;
	struct report_sums sums;

	for (size_t i = 0; i < account->folder_count; i++) {
		report_sums_of(&account->folders[i].counts, &sums);
		if (sums.surplus == 0 && (!ended || sums.open == 0))
			continue;
		problem_head(writer, account->row->source_user, account->folders[i].source_name);
		fprintf(writer->out,
			"the sums differ: %" PRIu64 " found, %" PRIu64 " with an end\n",
			sums.counts.found, sums.settled);
	}
}

static int
account_problems(void *context, const struct report_account *account, struct err *err)
{
	static const enum item_state bad[] = { ITEM_FAILED, ITEM_HELD, ITEM_SKIPPED };
	struct text_writer *writer = context;
	const struct ledger_account *row = account->row;

	report_sums_add(&writer->sums, &account->sums);
	writer->states[row->state]++;
	writer->accounts++;
	if (row->state == ACCOUNT_FAILED) {
		problem_head(writer, row->source_user, NULL);
		fprintf(writer->out, "failed, %s: ", reason_name(row->reason));
		put_safe(writer->out, row->text);
		fputc('\n', writer->out);
	}
	folder_problems(writer, account);
	if (account->sums.doubt != 0) {
		problem_head(writer, row->source_user, NULL);
		fprintf(writer->out,
			writer->source->running
				? "%" PRIu64 " items are on their way\n"
				: "%" PRIu64 " items were on their way when a run ended; the next "
				  "run looks for them first\n",
			account->sums.doubt);
	}
	writer->items_shown = writer->items_left = 0;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int any = report_has_problems(writer->source->ledger, account, bad[i], err);

		if (any < 0 || (any > 0 && ledger_each_item(writer->source->ledger, row->id, bad[i],
						   item_problem, writer, err) < 0))
			return -1;
	}
	if (writer->items_left != 0) {
		problem_head(writer, row->source_user, NULL);
		fprintf(writer->out, "and %" PRIu64 " more items; all of them: mailhaul list ",
			writer->items_left);
		put_safe(writer->out, writer->source->profile->name);
		fputs(" failed|held|skipped\n", writer->out);
	}
	writer->items_shown = writer->items_left = 0;
	if (account->sums.counts.by_state[ITEM_LANDED] != 0 &&
		ledger_each_remark(writer->source->ledger, row->id, item_remark, writer, err) < 0)
		return -1;
	if (writer->items_left != 0) {
		problem_head(writer, row->source_user, NULL);
		fprintf(writer->out,
			"and %" PRIu64 " more that were changed; all of them: "
			"the manifests\n",
			writer->items_left);
	}
	return 0;
}

static void
left_out(struct text_writer *writer, const struct ledger_account *row)
{
	problem_head(writer, row->source_user, NULL);
	fputs("left out: ", writer->out);
	put_safe(writer->out, row->text != NULL ? row->text : "skipped by the admin");
	fputc('\n', writer->out);
}

/* What is no fault of an item and keeps the move from being whole all the same. */
static int
unmoved_accounts(struct text_writer *writer, struct err *err)
{
	uint64_t states[ACCOUNT_STATES] = { 0 }, open = 0;
	struct ledger_account *rows = NULL;
	const char *between = " (";
	size_t count = 0, skipped = 0;

	if (ledger_accounts(writer->source->ledger, &rows, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		states[rows[i].state]++;
		open += account_state_open(rows[i].state);
	}
	if (open != 0) {
		problem_head(writer, "run", NULL);
		fprintf(writer->out, "mailboxes not at their end: %" PRIu64, open);
		for (int state = 0; state < ACCOUNT_STATES; state++) {
			if (states[state] == 0 || !account_state_open(state))
				continue;
			fprintf(writer->out, "%s%" PRIu64 " %s", between, states[state],
				account_state_name(state));
			between = ", ";
		}
		fputs(")\n", writer->out);
	}
	if (states[ACCOUNT_SKIPPED] != 0) {
		problem_head(writer, "run", NULL);
		fprintf(writer->out, "mailboxes left out: %" PRIu64 "\n", states[ACCOUNT_SKIPPED]);
	}
	for (size_t i = 0; i < count; i++) {
		if (rows[i].state == ACCOUNT_SKIPPED && skipped++ < LEFT_OUT_SHOWN)
			left_out(writer, &rows[i]);
	}
	ledger_accounts_free(rows, count);
	return 0;
}

/* Warnings and errors of the last run that belong to no item. */
static int
event_problems(struct text_writer *writer, uint64_t run, struct err *err)
{
	struct ledger_event *events = NULL;
	size_t count = 0, shown = 0;
	uint64_t after = 0;

	do {
		if (ledger_events(writer->source->ledger, 0, after, EVENTS_SHOWN, &events, &count,
			    err) < 0)
			return -1;
		for (size_t i = 0; i < count; i++) {
			after = events[i].id;
			if (events[i].run != run || events[i].kind == EVENT_NOTE ||
				events[i].account != 0 || shown++ >= EVENTS_SHOWN)
				continue;
			problem_head(writer, "run", events[i].folder);
			put_safe(writer->out, events[i].text);
			fputc('\n', writer->out);
		}
		ledger_events_free(events, count);
	} while (count == EVENTS_SHOWN);
	return 0;
}

static void
put_side(FILE *out, const char *label, const struct profile_side *side)
{
	fputs(label, out);
	put_safe(out, side->type);
	fputc(' ', out);
	put_safe(out, side->host);
	fprintf(out, ":%u\n", side->port);
}

/* What the profile allows that is weaker than the default is said in every report. */
static void
weak_side(struct text_writer *writer, const char *name, const struct profile_side *side)
{
	struct str text;

	str_init(&text, 0);
	for (unsigned n = 0; report_weakness(side, n, &text); n++) {
		problem_head(writer, name, NULL);
		fprintf(writer->out, "%s\n", str_get(&text));
		str_reset(&text);
	}
	str_clear(&text);
}

/* What this one run did, of all that the ledger has. */
static void
put_work(FILE *out, const struct report_source *source)
{
	char size[FORMAT_SIZE], time[FORMAT_SIZE], rate[FORMAT_SIZE];
	double seconds = (double)source->elapsed_ms / 1000;

	if (source->elapsed_ms == 0)
		return;
	put_count(out, "work    ", source->copied_now);
	fprintf(out, " items, %s copied by this run in %s: %.0f items/s, %s/s\n",
		format_bytes(size, sizeof size, source->bytes_now),
		format_duration(time, sizeof time, (int64_t)seconds),
		(double)source->copied_now / seconds,
		format_bytes(rate, sizeof rate, (uint64_t)((double)source->bytes_now / seconds)));
}

static int
put_head(struct text_writer *writer, struct ledger_run *run_r, struct err *err)
{
	const struct report_source *source = writer->source;
	FILE *out = writer->out;
	char when[24];
	int code;

	if (report_last_run(source->ledger, run_r, err) < 0)
		return -1;
	fputs("mailhaul report: ", out);
	put_safe(out, source->profile->name);
	fprintf(out, "\nwritten %s\n", clock_iso(when, sizeof when, source->now));
	put_side(out, "from    ", &source->profile->source);
	put_side(out, "to      ", &source->profile->target);
	if (run_r->id == 0) {
		fputs("run     none yet\n", out);
		return 0;
	}
	fprintf(out, "run     %" PRIu64 ", round %u, started %s", run_r->id, run_r->round,
		clock_iso(when, sizeof when, run_r->started));
	if (run_r->ended != 0)
		fprintf(out, ", ended %s", clock_iso(when, sizeof when, run_r->ended));
	fputc('\n', out);
	code = report_end_code(source, run_r);
	if (code >= 0)
		fprintf(out, "end     %d: %s\n", code, report_end_text(source, run_r));
	else
		fprintf(out, "end     %s\n", report_end_text(source, run_r));
	put_work(out, source);
	if (source->directory != NULL) {
		fputs("files   ", out);
		put_safe(out, source->directory);
		fputc('\n', out);
	}
	return 0;
}

static void
put_totals(struct text_writer *writer)
{
	const struct report_sums *sums = &writer->sums;
	FILE *out = writer->out;
	char found[FORMAT_SIZE], landed[FORMAT_SIZE];

	fputs("\nTOTALS\n", out);
	put_count(out, "  accounts  ", writer->accounts);
	for (int state = 0; state < ACCOUNT_STATES; state++) {
		if (writer->states[state] != 0) {
			put_count(out, ", ", writer->states[state]);
			fprintf(out, " %s", account_state_name(state));
		}
	}
	put_count(out, "\n  items     ", sums->counts.found);
	put_count(out, " found = ", sums->copied);
	put_count(out, " copied + ", sums->counts.by_state[ITEM_ADOPTED]);
	put_count(out, " adopted + ", sums->counts.by_state[ITEM_SKIPPED]);
	put_count(out, " skipped + ", sums->counts.by_state[ITEM_FAILED]);
	put_count(out, " failed + ", sums->counts.by_state[ITEM_HELD]);
	put_count(out, " held + ", sums->counts.by_state[ITEM_VANISHED]);
	fputs(" vanished", out);
	if (sums->open != 0) {
		put_count(out, " + ", sums->open);
		fputs(" still to do", out);
	}
	put_count(out, "\n  repaired  ", sums->counts.repaired);
	put_count(out, "\n  gone      ", sums->counts.gone);
	fprintf(out, " (copied before, no longer at the source)\n  size      %s found, %s copied\n",
		format_bytes(found, sizeof found, sums->counts.bytes_found),
		format_bytes(landed, sizeof landed, sums->counts.bytes_landed));
}

/* "  skipped: 12 since, 3 max_size". */
static int
put_reasons(struct text_writer *writer, const struct report_account *account, enum item_state state,
	struct err *err)
{
	struct ledger_reason *reasons = NULL;
	const char *between = ": ";
	size_t count = 0;

	if (account->sums.counts.by_state[state] == 0)
		return 0;
	if (ledger_reasons(writer->source->ledger, account->row->id, state, &reasons, &count, err) <
		0)
		return -1;
	fprintf(writer->out, "    %s", item_state_name(state));
	for (size_t i = 0; i < count; i++) {
		put_count(writer->out, between, reasons[i].count);
		fprintf(writer->out, " %s", reason_name(reasons[i].reason));
		between = ", ";
	}
	fputc('\n', writer->out);
	free(reasons);
	return 0;
}

static void
put_nonzero(FILE *out, uint64_t count, const char *what)
{
	if (count == 0)
		return;
	put_count(out, ", ", count);
	fprintf(out, " %s", what);
}

static void
put_folder(FILE *out, const struct ledger_folder *folder)
{
	const struct ledger_counts *counts = &folder->counts;
	struct report_sums sums;
	char size[FORMAT_SIZE];

	report_sums_of(counts, &sums);
	fputs("    ", out);
	put_safe(out, folder->source_name);
	if (folder->target_name != NULL && folder->source_name != NULL &&
		strcmp(folder->source_name, folder->target_name) != 0) {
		fputs(" -> ", out);
		put_safe(out, folder->target_name);
	}
	put_count(out, ": ", counts->found);
	put_count(out, " found, ", sums.copied);
	fprintf(out, " copied (%s)", format_bytes(size, sizeof size, counts->bytes_landed));
	put_nonzero(out, counts->by_state[ITEM_ADOPTED], "adopted");
	put_nonzero(out, counts->by_state[ITEM_SKIPPED], "skipped");
	put_nonzero(out, counts->by_state[ITEM_FAILED], "failed");
	put_nonzero(out, counts->by_state[ITEM_HELD], "held");
	put_nonzero(out, counts->by_state[ITEM_VANISHED], "vanished");
	put_nonzero(out, sums.open, "still to do");
	put_nonzero(out, counts->repaired, "repaired");
	put_nonzero(out, counts->gone, "gone at source");
	put_nonzero(out, folder->target_foreign, "there before us");
	if (folder->renamed_from != NULL) {
		fputs("; it was named ", out);
		put_safe(out, folder->renamed_from);
	}
	if (folder->gone_round != 0)
		fprintf(out, "; the folder is gone at the source since round %u",
			folder->gone_round);
	fputc('\n', out);
}

/* The newest ones. Of an account that is done only those of its last job: what went wrong before
 * is over. Of one that is not they are dated where they are of an earlier run. */
static int
put_account_events(struct text_writer *writer, const struct ledger_account *row, struct err *err)
{
	static const char *const names[] = { "note", "warning", "error" };
	bool done = row->state == ACCOUNT_DONE || row->state == ACCOUNT_REMARKS;
	struct ledger_event *events = NULL;
	FILE *out = writer->out;
	size_t count = 0;
	char when[24];

	if (ledger_account_events(writer->source->ledger, row->id, done ? row->started : 0,
		    EVENTS_SHOWN, &events, &count, err) < 0)
		return -1;
	if (count == EVENTS_SHOWN)
		fputs("    (earlier ones are in debug.log)\n", out);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "    %s: ", names[events[i].kind]);
		if (!done && events[i].run != writer->run)
			fprintf(out, "%s: ", clock_iso(when, sizeof when, events[i].time));
		if (events[i].folder != NULL) {
			put_safe(out, events[i].folder);
			fputs(": ", out);
		}
		put_safe(out, events[i].text);
		fputc('\n', out);
	}
	ledger_events_free(events, count);
	return 0;
}

static int
put_account(void *context, const struct report_account *account, struct err *err)
{
	static const enum item_state why[] = { ITEM_SKIPPED, ITEM_FAILED, ITEM_HELD };
	struct text_writer *writer = context;
	const struct ledger_account *row = account->row;
	FILE *out = writer->out;

	fputs("\n  ", out);
	put_safe(out, row->source_user);
	if (row->target_user != NULL && strcmp(row->source_user, row->target_user) != 0) {
		fputs(" -> ", out);
		put_safe(out, row->target_user);
	}
	fprintf(out, ": %s\n", account_state_name(row->state));
	if (row->text != NULL && row->text[0] != '\0') {
		fputs("    ", out);
		put_safe(out, row->text);
		fputc('\n', out);
	}
	for (size_t i = 0; i < account->folder_count; i++)
		put_folder(out, &account->folders[i]);
	for (size_t i = 0; i < sizeof why / sizeof why[0]; i++) {
		if (put_reasons(writer, account, why[i], err) < 0)
			return -1;
	}
	if (put_account_events(writer, row, err) < 0)
		return -1;
	return report_check(out, err);
}

int
report_text(const struct report_source *source, FILE *out, struct err *err)
{
	struct text_writer *writer = xcalloc(1, sizeof *writer);
	struct ledger_run run;
	int ret = -1;

	writer->source = source;
	writer->out = out;
	if (put_head(writer, &run, err) < 0)
		goto out;
	if (source->error != NULL && source->error[0] != '\0') {
		problem_head(writer, "run", NULL);
		put_safe(out, source->error);
		fputc('\n', out);
	}
	writer->run = run.id;
	if (unmoved_accounts(writer, err) < 0 ||
		report_each_account(source->ledger, account_problems, writer, err) < 0 ||
		event_problems(writer, run.id, err) < 0)
		goto out;
	weak_side(writer, "source", &source->profile->source);
	weak_side(writer, "target", &source->profile->target);
	if (writer->problems == 0)
		fputs("\nPROBLEMS\n  none\n", out);
	put_totals(writer);
	if (report_text_rounds(source, out, err) < 0)
		goto out;
	fputs("\nMAILBOXES\n", out);
	if (report_each_account(source->ledger, put_account, writer, err) < 0)
		goto out;
	ret = report_check(out, err);
out:
	free(writer);
	return ret;
}
