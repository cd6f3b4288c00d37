/* csv.c - report.csv: a row per source folder, for spreadsheets and scripts. */
#include <inttypes.h>
#include <string.h>

#include "report/format.h"
#include "report/report_private.h"
#include "base/banned.h"

static void
cell(FILE *out, const char *text)
{
	struct str line;

	str_init(&line, 0);
	format_cell(&line, text);
	fputs(str_get(&line), out);
	fputc(',', out);
	str_clear(&line);
}

static void
folder_remark(
	struct str *remark, const struct ledger_folder *folder, const struct report_sums *sums)
{
	if (folder->renamed_from != NULL)
		str_addf(remark, "was %s; ", folder->renamed_from);
	if (folder->gone_round != 0)
		str_addf(remark, "gone at source in round %u; ", folder->gone_round);
	if (folder->target_foreign != 0)
		str_addf(remark, "%u messages were there before; ", folder->target_foreign);
	if (sums->surplus != 0)
		str_addf(remark, "%" PRIu64 " more settled than found; ", sums->surplus);
	if (remark->len >= 2)
		str_cut(remark, remark->len - 2);
}

static int
folder_row(FILE *out, const struct report_account *account, const struct ledger_folder *folder)
{
	const struct ledger_counts *counts = &folder->counts;
	struct report_sums sums;
	struct str remark;

	report_sums_of(counts, &sums);
	cell(out, account->row->source_user);
	cell(out, account->row->target_user);
	cell(out, account_state_name(account->row->state));
	cell(out, folder->source_name);
	cell(out, folder->target_name);
	fprintf(out,
		"%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
		",%" PRIu64 ",",
		counts->found, sums.copied, counts->by_state[ITEM_ADOPTED],
		counts->by_state[ITEM_SKIPPED], counts->by_state[ITEM_FAILED],
		counts->by_state[ITEM_HELD], counts->by_state[ITEM_VANISHED], sums.open);
	fprintf(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", counts->repaired,
		counts->gone, counts->bytes_found, counts->bytes_landed);
	str_init(&remark, 0);
	folder_remark(&remark, folder, &sums);
	cell(out, str_get(&remark));
	str_clear(&remark);
	cell(out, account->row->state == ACCOUNT_FAILED ? reason_name(account->row->reason) : "");
	str_init(&remark, 0);
	format_cell(&remark, account->row->text);
	fprintf(out, "%s\r\n", str_get(&remark));
	str_clear(&remark);
	return 0;
}

static int
account_rows(void *context, const struct report_account *account, struct err *err)
{
	/* An account that never got to its folders is to be seen too. */
	static const struct ledger_folder none;

	if (account->folder_count == 0)
		folder_row(context, account, &none);
	for (size_t i = 0; i < account->folder_count; i++)
		folder_row(context, account, &account->folders[i]);
	return report_check(context, err);
}

int
report_csv(const struct report_source *source, FILE *out, struct err *err)
{
	fputs("account,target,state,folder,target_folder,found,copied,adopted,skipped,failed,held,"
	      "vanished,open,repaired,gone,bytes_found,bytes_landed,remark,reason,text\r\n",
		out);
	if (report_each_account(source->ledger, account_rows, out, err) < 0)
		return -1;
	return report_check(out, err);
}
