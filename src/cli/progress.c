/* progress.c - a run as it goes: one updating block on a terminal, lines anywhere else.
 *
 * The block is drawn with three plain controls (up, erase line, erase below) and leaves the
 * terminal's modes alone, so that nothing has to be put back whatever ends the process. It is drawn
 * twice a second at most. Percent and rates are the engine's; 100 % is shown by its end only. */
#include <inttypes.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "report/format.h"
#include "base/banned.h"

#define LOOK_MS        50 /* between two looks at the events, at least */
#define END_MS         5  /* between two looks for the end */
#define DRAW_MS        500
#define TOTALS_MS      5000 /* between two lines of totals on a pipe */
#define EVENTS_AT_ONCE 64
#define ROWS_SHOWN     20
#define WAIT_DRAWS     3 /* pictures that the last line of an account waits for its numbers */

struct progress {
	struct engine *engine;
	const char *profile;
	bool terminal, utf8, remote;
	bool silent; /* nobody reads any more */
	unsigned width, height;
	unsigned drawn;  /* lines of the block on the screen */
	uint64_t after;  /* events up to this are shown */
	unsigned waited; /* pictures for the one that has an account's last numbers */
	int64_t next_totals, next_draw;
	bool started;
	struct snapshot *snapshot;
	struct event *events;
};

/* Never 100 before the engine says that the run is at its end. */
static unsigned
shown_percent(const struct snapshot_totals *totals)
{
	return totals->percent >= 100 && totals->state != RUN_ENDED ? 99 : totals->percent;
}

/* Prints one line of at most `width` columns; what the terminal cannot show becomes "?". */
static void
put_fitting(const struct progress *progress, const char *text)
{
	unsigned columns = 0;
	mbstate_t state = { 0 };

	while (*text != '\0') {
		wchar_t wide = L'?';
		size_t len = 1;
		int width = 1;

		if (progress->utf8) {
			len = mbrtowc(&wide, text, strlen(text), &state);
			if (len == 0 || len > 8)
				return;
			width = wcwidth(wide);
		} else if ((unsigned char)*text >= 0x80) {
			while (((unsigned char)text[len] & 0xC0) == 0x80)
				len++;
			wide = L'\0';
		}
		if (width < 0)
			width = 0;
		if (columns + (unsigned)width >= progress->width)
			return;
		columns += (unsigned)width;
		if (wide == L'\0')
			putchar('?');
		else
			fwrite(text, 1, len, stdout);
		text += len;
	}
}

static void
erase_block(struct progress *progress)
{
	if (progress->drawn > 0)
		printf("\033[%uA\r\033[J", progress->drawn);
	progress->drawn = 0;
}

static void
block_line(struct progress *progress, struct str *line)
{
	put_fitting(progress, str_get(line));
	fputs("\033[K\n", stdout);
	progress->drawn++;
	str_reset(line);
}

/* " 41 %  212/400 accounts  38 MB/s  1,912 items/s  ETA 02:14" */
static void
add_pace(const struct snapshot_totals *totals, struct str *line)
{
	char rate[FORMAT_SIZE], items[FORMAT_SIZE], eta[FORMAT_SIZE];

	str_addf(line, "%3u %%  %" PRIu64 "/%" PRIu64 " accounts", shown_percent(totals),
		totals->accounts_done, totals->accounts);
	if (totals->state == RUN_ENDED)
		return;
	str_addf(line, "  %s/s  %s items/s  ETA %s",
		format_bytes(rate, sizeof rate, (uint64_t)totals->bytes_per_s),
		format_count(items, sizeof items, (uint64_t)(totals->items_per_s + 0.5)),
		format_duration(eta, sizeof eta, totals->eta_s));
}

/* "8,214/12,030+ items  1.2 GB/3.4 GB+": with more in mailboxes that nobody has looked at. */
static void
add_amounts(const struct snapshot_totals *totals, struct str *line)
{
	const char *more = totals->accounts_unknown != 0 ? "+" : "";
	char done[FORMAT_SIZE], found[FORMAT_SIZE], bytes[FORMAT_SIZE], all[FORMAT_SIZE];

	str_addf(line, "  %s/%s%s items  %s/%s%s  ",
		format_count(done, sizeof done, totals->items_done),
		format_count(found, sizeof found, totals->items_found), more,
		format_bytes(bytes, sizeof bytes, totals->bytes_done),
		format_bytes(all, sizeof all, totals->bytes_found), more);
}

static void
add_outcome(const struct snapshot_totals *totals, struct str *line)
{
	str_addf(line, "copied %" PRIu64 " (%" PRIu64 " by this run)", totals->items_copied,
		totals->copied_now);
	if (totals->items_skipped != 0)
		str_addf(line, "  skipped %" PRIu64, totals->items_skipped);
	if (totals->items_failed != 0)
		str_addf(line, "  failed %" PRIu64, totals->items_failed);
	if (totals->items_held != 0)
		str_addf(line, "  held %" PRIu64, totals->items_held);
	if (totals->items_vanished != 0)
		str_addf(line, "  vanished %" PRIu64, totals->items_vanished);
	if (totals->accounts_failed != 0)
		str_addf(line, "  accounts failed %" PRIu64, totals->accounts_failed);
}

void
cli_totals(const struct snapshot_totals *totals, struct str *line)
{
	add_pace(totals, line);
	add_amounts(totals, line);
	add_outcome(totals, line);
}

static bool
is_state(const struct snapshot_row *row, enum account_state state)
{
	return strcmp(row->state, account_state_name(state)) == 0;
}

bool
cli_at_work(const struct snapshot_row *row)
{
	return row->open && !is_state(row, ACCOUNT_STOPPED);
}

/* What matters most stands first: a narrow terminal cuts lines on the right. */
static void
draw_row(struct progress *progress, const struct snapshot_row *row, struct str *line)
{
	char done[FORMAT_SIZE], found[FORMAT_SIZE], rate[FORMAT_SIZE], of[FORMAT_SIZE * 2 + 2];
	unsigned percent = format_percent(row->items_done, row->items_found);

	snprintf(of, sizeof of, "%s/%s%s", format_count(done, sizeof done, row->items_done),
		format_count(found, sizeof found, row->items_found), row->counted ? "" : "+");
	str_addf(line, "  %-26s %-9s %13s ", row->user, row->state, of);
	if (row->counted && row->items_found != 0)
		str_addf(line, "%3u %% ", percent > 99 ? 99 : percent);
	else
		str_adds(line, "      ");
	str_addf(line, "%8s/s  %s", format_bytes(rate, sizeof rate, (uint64_t)row->bytes_per_s),
		row->folder);
	if (row->text[0] != '\0')
		str_addf(line, "  %s", row->text);
	block_line(progress, line);
}

static void
measure_terminal(struct progress *progress)
{
	struct winsize size;

	progress->width = 80;
	progress->height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		progress->width = size.ws_col;
		progress->height = size.ws_row;
	}
}

/* Those that move come first: paused ones may be as many as there are mailboxes. */
static void
draw_rows(struct progress *progress, struct str *line)
{
	const struct snapshot *snapshot = progress->snapshot;
	unsigned room = progress->height > 6 ? progress->height - 5 : 1, shown = 0, left = 0;

	if (room > ROWS_SHOWN)
		room = ROWS_SHOWN;
	for (int paused = 0; paused < 2; paused++) {
		for (size_t i = 0; i < snapshot->work_count; i++) {
			const struct snapshot_row *row = &snapshot->work[i];

			if (!cli_at_work(row) || is_state(row, ACCOUNT_PAUSED) != (paused != 0))
				continue;
			if (shown++ < room)
				draw_row(progress, row, line);
			else
				left++;
		}
	}
	if (left > 0) {
		str_addf(line, "  and %u more", left);
		block_line(progress, line);
	}
}

static void
draw_block(struct progress *progress)
{
	const struct snapshot_totals *totals = &progress->snapshot->totals;
	struct str line;

	measure_terminal(progress);
	erase_block(progress);
	str_init(&line, 0);
	str_addf(&line, "%s  round %u  %s  %u of %u workers", progress->profile, totals->round,
		wire_run_state(totals->state), totals->working, totals->jobs);
	block_line(progress, &line);
	add_pace(totals, &line);
	block_line(progress, &line);
	add_amounts(totals, &line);
	add_outcome(totals, &line);
	block_line(progress, &line);
	draw_rows(progress, &line);
	str_clear(&line);
}

static const struct snapshot_row *
find_row(const struct progress *progress, uint64_t account)
{
	const struct snapshot *snapshot = progress->snapshot;

	for (size_t i = 0; i < snapshot->work_count; i++) {
		if (snapshot->work[i].account == account)
			return &snapshot->work[i];
	}
	for (size_t i = 0; i < snapshot->row_count; i++) {
		if (snapshot->rows[i].account == account)
			return &snapshot->rows[i];
	}
	return NULL;
}

static bool
is_end_state(const char *name)
{
	for (int state = 0; state < ACCOUNT_STATES; state++) {
		if (strcmp(name, account_state_name((enum account_state)state)) == 0)
			return !account_state_open((enum account_state)state) ||
			       state == ACCOUNT_STOPPED;
	}
	return false;
}

static void
account_line(const struct progress *progress, const struct event *event, struct str *line)
{
	const struct snapshot_row *row = find_row(progress, event->account);
	char count[FORMAT_SIZE], size[FORMAT_SIZE];

	str_addf(line, "%s: %s", event->user, event->text);
	if (row == NULL)
		return;
	str_addf(line, ", %s items, %s", format_count(count, sizeof count, row->items_done),
		format_bytes(size, sizeof size, row->bytes_done));
	if (row->items_failed != 0)
		str_addf(line, ", %" PRIu64 " failed", row->items_failed);
	if (row->items_held != 0)
		str_addf(line, ", %" PRIu64 " held", row->items_held);
	if (row->text[0] != '\0')
		str_addf(line, ": %s", row->text);
}

static void
event_line(struct progress *progress, const struct event *event)
{
	static const char *const words[] = {
		[ENGINE_WARNING] = "warning: ", [ENGINE_ERROR] = "error: "
	};
	struct str line;

	str_init(&line, 0);
	switch (event->kind) {
	case ENGINE_ACCOUNT:
		if (is_end_state(event->text))
			account_line(progress, event, &line);
		break;
	case ENGINE_WARNING:
	case ENGINE_ERROR:
		str_adds(&line, words[event->kind]);
		if (event->user[0] != '\0')
			str_addf(&line, "%s: ", event->user);
		if (event->folder[0] != '\0')
			str_addf(&line, "%s: ", event->folder);
		str_adds(&line, event->text);
		break;
	case ENGINE_ANSWER:
	case ENGINE_NOTE:
	case ENGINE_ENDED:
		break;
	}
	if (line.len > 0) {
		erase_block(progress);
		cli_put(stdout, str_get(&line));
		putchar('\n');
	}
	str_clear(&line);
}

/* True for the end of an account that the picture at hand shows still at work: its numbers are in
 * the next one. */
static bool
is_ahead(const struct progress *progress, const struct event *event)
{
	const struct snapshot_row *row;

	if (event->kind != ENGINE_ACCOUNT || !is_end_state(event->text))
		return false;
	row = find_row(progress, event->account);
	return row != NULL && strcmp(row->state, event->text) != 0;
}

static void
take_events(struct progress *progress)
{
	size_t count;

	progress->waited++;
	do {
		count = engine_events(
			progress->engine, progress->after, progress->events, EVENTS_AT_ONCE);
		for (size_t i = 0; i < count; i++) {
			if (is_ahead(progress, &progress->events[i]) &&
				progress->waited < WAIT_DRAWS)
				return;
			progress->waited = 0;
			progress->after = progress->events[i].seq;
			event_line(progress, &progress->events[i]);
		}
	} while (count == EVENTS_AT_ONCE);
}

static void
plain_totals(struct progress *progress)
{
	struct str line;

	str_init(&line, 0);
	cli_totals(&progress->snapshot->totals, &line);
	printf("%s\n", str_get(&line) + strspn(str_get(&line), " "));
	str_clear(&line);
}

static bool
at_end(const struct progress *progress)
{
	const struct snapshot_totals *totals = &progress->snapshot->totals;

	if (totals->state != RUN_ENDED)
		return false;
	/* Behind a socket the report is written after the end, by the other process. */
	return !progress->remote || totals->report[0] != '\0';
}

static void
show(struct progress *progress)
{
	const struct snapshot_totals *totals = &progress->snapshot->totals;
	int64_t now = clock_ms();

	if (!progress->started && totals->state >= RUN_WORKING && totals->accounts > 0) {
		progress->started = true;
		progress->next_totals = now + TOTALS_MS;
		printf("%s: round %u, %" PRIu64 " accounts, %u at a time%s\n", progress->profile,
			totals->round, totals->accounts, totals->jobs,
			progress->terminal && !progress->remote ? "; Ctrl-C stops it in order"
								: "");
	}
	take_events(progress);
	if (progress->terminal) {
		/* What is printed above the block takes it away for a moment. */
		if (progress->drawn == 0 || now >= progress->next_draw || at_end(progress)) {
			progress->next_draw = now + DRAW_MS;
			draw_block(progress);
		}
	} else if (progress->started && now >= progress->next_totals &&
		   totals->state != RUN_ENDED) {
		progress->next_totals = now + TOTALS_MS;
		plain_totals(progress);
	}
	/* The reader may leave (a closed pipe, a hung-up terminal); the run goes on. */
	if (fflush(stdout) != 0)
		progress->silent = true;
}

static void
prepare(struct progress *progress, struct engine *engine, const char *profile, bool remote)
{
	const char *term = getenv("TERM");

	memset(progress, 0, sizeof *progress);
	progress->engine = engine;
	progress->profile = profile;
	progress->remote = remote;
	progress->terminal = isatty(STDOUT_FILENO) == 1 && term != NULL && term[0] != '\0' &&
			     strcmp(term, "dumb") != 0;
	progress->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	progress->snapshot = xcalloc(1, sizeof *progress->snapshot);
	progress->events = xcalloc(EVENTS_AT_ONCE, sizeof *progress->events);
}

/* News come by the thousand; the end is to be seen at once all the same. */
static void
rest(struct progress *progress)
{
	for (unsigned ms = 0; ms < LOOK_MS; ms += END_MS) {
		engine_snapshot(progress->engine, progress->snapshot);
		if (at_end(progress))
			return;
		clock_sleep_ms(END_MS);
	}
}

bool
cli_follow(struct engine *engine, const char *profile, bool remote, struct snapshot *last_r)
{
	struct progress progress;
	struct pollfd wait = { .fd = engine_wake_fd(engine), .events = POLLIN };
	bool ended;

	prepare(&progress, engine, profile, remote);
	for (;;) {
		bool alive = engine_alive(engine);

		engine_snapshot(engine, progress.snapshot);
		if (!progress.silent)
			show(&progress);
		if (at_end(&progress) || !alive)
			break;
		poll(&wait, 1, DRAW_MS);
		rest(&progress);
	}
	if (!progress.silent) {
		take_events(&progress);
		erase_block(&progress);
		plain_totals(&progress);
		fflush(stdout);
	}
	ended = progress.snapshot->totals.state == RUN_ENDED;
	*last_r = *progress.snapshot;
	free(progress.snapshot);
	free(progress.events);
	return ended;
}
