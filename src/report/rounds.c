/* rounds.c - what each round did, and how long the next one may take.
 *
 * A later round costs a look at every folder and what has come since. Both are best told by the
 * round before it, so the forecast is the time that the last later round worked; the first round,
 * which copied everything, tells nothing about it. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "report/format.h"
#include "report/json_private.h"
#include "report/report_private.h"
#include "base/banned.h"

const struct ledger_round *
report_forecast(const struct ledger_round *rounds, size_t count)
{
	for (size_t i = count; i > 0; i--) {
		const struct ledger_round *round = &rounds[i - 1];

		/* The time of a run that was killed is not known. */
		if (round->id > 1 && round->over && round->runs_without_end == 0)
			return round;
	}
	return NULL;
}

static void
put_round(FILE *out, const struct ledger_round *round)
{
	char started[24], ended[24], time[FORMAT_SIZE], copied[FORMAT_SIZE], size[FORMAT_SIZE];

	clock_iso(started, sizeof started, round->started);
	if (round->over && round->ended != 0)
		fprintf(out, "  %-2u  %s to %s", round->id, started,
			clock_iso(ended, sizeof ended, round->ended));
	else
		fprintf(out, "  %-2u  since %s, not over", round->id, started);
	fprintf(out, ": %s copied, %s, in %s", format_count(copied, sizeof copied, round->copied),
		format_bytes(size, sizeof size, round->bytes),
		format_duration(time, sizeof time, round->worked_s));
	if (round->runs_without_end != 0)
		fprintf(out, "; runs without an end: %u", round->runs_without_end);
	fputc('\n', out);
}

/* The ledger's rounds; a run that is at work is none that did not end. */
static int
read_rounds(const struct report_source *source, struct ledger_round **rounds_r, size_t *count_r,
	struct err *err)
{
	if (ledger_rounds(source->ledger, rounds_r, count_r, err) < 0)
		return -1;
	if (source->running && *count_r > 0 && (*rounds_r)[*count_r - 1].runs_without_end > 0)
		(*rounds_r)[*count_r - 1].runs_without_end--;
	return 0;
}

int
report_text_rounds(const struct report_source *source, FILE *out, struct err *err)
{
	const struct ledger_round *like;
	struct ledger_round *rounds = NULL;
	char time[FORMAT_SIZE];
	size_t count = 0;

	if (read_rounds(source, &rounds, &count, err) < 0)
		return -1;
	if (count > 0)
		fputs("\nROUNDS\n", out);
	for (size_t i = 0; i < count; i++)
		put_round(out, &rounds[i]);
	like = report_forecast(rounds, count);
	if (like != NULL)
		fprintf(out,
			"  the next one: about %s, as long as round %u worked; more where more has "
			"come since\n",
			format_duration(time, sizeof time, like->worked_s), like->id);
	else if (count > 0)
		fputs("  the next one: no forecast before a later round has run to its end\n", out);
	free(rounds);
	return 0;
}

static json_t *
round_object(const struct ledger_round *round)
{
	bool over = round->over && round->ended != 0;
	json_t *object = json_object();
	char when[24];

	report_json_number(object, "round", round->id);
	report_json_text(object, "started", clock_iso(when, sizeof when, round->started));
	report_json_text(object, "ended", over ? clock_iso(when, sizeof when, round->ended) : NULL);
	report_json_number(object, "runs", round->runs);
	report_json_number(object, "runs_without_end", round->runs_without_end);
	report_json_number(object, "worked_s", (uint64_t)round->worked_s);
	report_json_number(object, "copied", round->copied);
	report_json_number(object, "bytes", round->bytes);
	return object;
}

int
report_json_rounds(const struct report_source *source, json_t *head, struct err *err)
{
	const struct ledger_round *like;
	struct ledger_round *rounds = NULL;
	json_t *list, *forecast = json_null();
	size_t count = 0;

	if (read_rounds(source, &rounds, &count, err) < 0)
		return -1;
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, round_object(&rounds[i]));
	like = report_forecast(rounds, count);
	if (like != NULL) {
		forecast = json_object();
		report_json_number(forecast, "seconds", (uint64_t)like->worked_s);
		report_json_number(forecast, "as_round", like->id);
	}
	json_object_set_new(head, "rounds", list);
	json_object_set_new(head, "forecast", forecast);
	free(rounds);
	return 0;
}
