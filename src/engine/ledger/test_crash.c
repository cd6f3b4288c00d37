/* test_crash.c - what a ledger holds after its process was killed, at commits and at any moment.
 *
 * A child works as a job does and tells its parent through a pipe what it has been promised. It is
 * killed; the parent opens the ledger and checks the promises. The next child goes on with the same
 * ledger. Written against ledger.h alone. */
#include "engine/ledger/test_ledger.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/banned.h"

#define CHILD_BATCHES  40
#define BATCH_ITEMS    7
#define COMMITS_TRIED  40
#define RANDOM_KILLS   25
#define RANDOM_KILL_MS 40
#define TOLD_MAX       (CHILD_BATCHES * (RANDOM_KILLS + 1))
#define FOREVER        1000000

/* What a child was promised. */
enum promise {
	INTENDED, /* ledger_wait() of the intent's ticket returned: and so is all that was queued
		     before */
	FLUSHED   /* ledger_flush() after the result returned */
};
struct told {
	enum promise promise;
	uint32_t batch; /* counted from 0; its items are batch * BATCH_ITEMS + 1 and up */
	uint64_t id;
};

static void
tell(int fd, enum promise promise, uint32_t batch, uint64_t id)
{
	struct told told = { promise, batch, id };

	/* A pipe takes it whole or not at all. */
	if (write(fd, &told, sizeof(told)) != (ssize_t)sizeof(told))
		_exit(3);
}

/* One batch as a job sends it. Its result is queued before the next intent is. */
static void
child_batch(struct ledger *ledger, int fd, uint32_t n)
{
	struct ledger_entry entries[BATCH_ITEMS] = { 0 };
	struct ledger_item rows[BATCH_ITEMS];
	struct ledger_batch batch = { .folder = 1, .entries = entries, .count = BATCH_ITEMS };
	uint64_t id, ticket;
	struct err err;

	for (unsigned i = 0; i < BATCH_ITEMS; i++) {
		entries[i].uid = n * BATCH_ITEMS + i + 1;
		rows[i] = make_item(entries[i].uid, i == 3 ? ITEM_FAILED : ITEM_LANDED, i);
		rows[i].text = i == 3 ? TEXT("refused") : NULL;
	}
	if (ledger_intend(ledger, &batch, &id, &ticket, &err) < 0 ||
		ledger_wait(ledger, ticket, &err) < 0)
		_exit(3);
	tell(fd, INTENDED, n, id);
	ledger_result(ledger, id, 1, rows, BATCH_ITEMS);
	ledger_folder_found(ledger, 1, (n + 1) * BATCH_ITEMS, n, 1);
	if (n % 5 == 4) {
		if (ledger_flush(ledger, &err) < 0)
			_exit(3);
		tell(fd, FLUSHED, n, id);
	}
}

static _Noreturn void
child(const char *path, int fd, uint32_t first, uint32_t batches)
{
	struct ledger *ledger;
	struct err err;
	uint64_t account, run;
	unsigned round;

	if (ledger_open(path, &test_binding, LEDGER_WRITE, &ledger, &err) < 0 ||
		ledger_run_begin(ledger, &run, &round, &err) < 0)
		_exit(3);
	account = make_account(ledger, "ana");
	if (first == 0)
		make_folder(ledger, account, "INBOX");
	for (uint32_t n = 0; n < batches; n++)
		child_batch(ledger, fd, first + n);
	_exit(ledger_close(&ledger, &err) < 0 ? 3 : 0);
}

/* A program of its own: what counts the steps has seen none yet. */
static _Noreturn void
run_self(const char *path, const char *die_at, int fd, uint32_t first, uint32_t batches)
{
	char fd_text[16], first_text[16], batches_text[16];

	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(first_text, sizeof(first_text), "%u", (unsigned)first);
	snprintf(batches_text, sizeof(batches_text), "%u", (unsigned)batches);
	if (die_at != NULL)
		setenv("MAILHAUL_DIE_AT", die_at, 1);
	execl("/proc/self/exe", "test_crash", "child", path, fd_text, first_text, batches_text,
		(char *)NULL);
	_exit(4);
}

/* Starts a child and reads what it tells until it ends; kills it after kill_ms (< 0: never).
 * Returns true if it was killed. */
static bool
run_child(const char *path, const char *die_at, uint32_t first, int kill_ms, bool at_once,
	struct told *told, size_t *count)
{
	int fds[2], status = 0;
	int64_t end = clock_ms() + kill_ms;
	pid_t pid;

	fflush(stdout);
	if (pipe(fds) < 0)
		abort();
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		close(fds[0]);
		run_self(path, die_at, fds[1], first, kill_ms < 0 ? CHILD_BATCHES : FOREVER);
	}
	close(fds[1]);
	for (;;) {
		struct pollfd p = { .fd = fds[0], .events = POLLIN };
		bool timed = kill_ms >= 0 && (at_once || *count > 0);
		int64_t left = timed ? end - clock_ms() : -1;

		if ((timed && left <= 0) || *count == TOLD_MAX)
			kill(pid, SIGKILL);
		poll(&p, 1, timed && left > 0 ? (int)left : -1);
		if (p.revents == 0)
			continue;
		if (*count == TOLD_MAX || read(fds[0], &told[*count], sizeof(*told)) <= 0)
			break;
		if ((*count)++ == 0 && !at_once)
			end = clock_ms() + kill_ms;
	}
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFSIGNALED(status))
		CHECK_INT(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

/* How many of a batch's items have a row. */
static size_t
rows_of(struct ledger *ledger, uint32_t batch)
{
	struct ledger_item *items = NULL;
	size_t count = 0;
	uint32_t first = batch * BATCH_ITEMS + 1;

	CHECK_OK(ledger_items(ledger, 1, first, first + BATCH_ITEMS - 1, 0, &items, &count, &err));
	for (size_t i = 0; i < count; i++)
		CHECK_STR(items[i].text, items[i].state == ITEM_FAILED ? "refused" : NULL);
	ledger_items_free(items, count);
	return count;
}

/* A batch in doubt has no rows: result and end of batch are one. Returns the batches in doubt. */
static struct ledger_batch *
check_doubts(struct ledger *ledger, size_t *count_r)
{
	struct ledger_batch *doubts = NULL;

	*count_r = 0;
	CHECK_OK(ledger_doubts(ledger, 1, &doubts, count_r, &err));
	for (size_t i = 0; i < *count_r; i++) {
		CHECK_INT(doubts[i].count, BATCH_ITEMS);
		CHECK_INT(rows_of(ledger, (doubts[i].entries[0].uid - 1) / BATCH_ITEMS), 0);
	}
	return doubts;
}

/* Checks every promise; settles what is in doubt as landed, so that the next child can go on.
 * Returns the first batch nobody has begun. */
static uint32_t
check_promises(const char *path, const struct told *told, size_t count, uint32_t next)
{
	struct ledger *ledger = must_open(path, LEDGER_WRITE);
	size_t doubt_count;
	struct ledger_batch *doubts = check_doubts(ledger, &doubt_count);

	check_counts(ledger);
	for (size_t i = 0; i < count; i++) {
		bool in_doubt = false;
		size_t rows = rows_of(ledger, told[i].batch);

		for (size_t j = 0; j < doubt_count; j++)
			in_doubt = in_doubt || doubts[j].id == told[i].id;
		CHECK_INT(rows, in_doubt ? 0 : BATCH_ITEMS);
		if (told[i].promise == FLUSHED)
			CHECK(!in_doubt);
		/* An intent is durable only after what was queued before it. */
		if (told[i].promise == INTENDED && told[i].batch > 0)
			CHECK_INT(rows_of(ledger, told[i].batch - 1), BATCH_ITEMS);
		if (told[i].batch >= next)
			next = told[i].batch + 1;
	}
	/* One may be durable that its child did not live to tell of. */
	for (size_t j = 0; j < doubt_count; j++) {
		struct ledger_item rows[BATCH_ITEMS];

		for (unsigned i = 0; i < BATCH_ITEMS; i++)
			rows[i] = make_item(doubts[j].entries[i].uid, ITEM_LANDED, i);
		ledger_result(ledger, doubts[j].id, 1, rows, BATCH_ITEMS);
		if ((rows[0].uid - 1) / BATCH_ITEMS >= next)
			next = (rows[0].uid - 1) / BATCH_ITEMS + 1;
	}
	ledger_batches_free(doubts, doubt_count);
	check_counts(ledger);
	CHECK_OK(ledger_close(&ledger, &err));
	return next;
}

/* A reader opens what a killed process left, before any writer does. */
static void
read_behind(const char *path)
{
	struct ledger *reader = NULL;
	struct ledger_counts total;
	struct err why = { 0 };

	if (ledger_open(path, NULL, LEDGER_READ, &reader, &why) < 0) {
		CHECK_INT(why.code, ERR_STATE_DIR); /* killed before there was a ledger */
		return;
	}
	CHECK_OK(ledger_totals(reader, 0, &total, &err));
	CHECK_OK(ledger_close(&reader, &err));
}

/* A new ledger for every commit of a child's life, killed right behind it. */
static void
killed_at_commits(void)
{
	struct told *told = xcalloc(TOLD_MAX, sizeof(*told));
	unsigned killed = 0;

	for (unsigned step = 1; step <= COMMITS_TRIED; step++) {
		struct place place = { 0 };
		char die_at[32];
		size_t count = 0;
		bool died;

		place_make(&place);
		snprintf(die_at, sizeof(die_at), "commit:%u", step);
		died = run_child(place.path, die_at, 0, -1, true, told, &count);
		killed += died;
		read_behind(place.path);
		check_promises(place.path, told, count, 0);
		place_remove(&place);
	}
	CHECK_INT(killed, COMMITS_TRIED);
	free(told);
}

/* One ledger that lives through many kills. */
static void
killed_anytime(void)
{
	struct told *told = xcalloc(TOLD_MAX, sizeof(*told));
	struct place place = { 0 };
	uint32_t next = 0;
	unsigned seed = (unsigned)getpid();

	place_make(&place);
	for (unsigned n = 0; n < RANDOM_KILLS; n++) {
		size_t count = 0;
		int after = rand_r(&seed) % RANDOM_KILL_MS;

		CHECK(run_child(place.path, NULL, next, after, n % 3 == 2, told, &count));
		read_behind(place.path);
		next = check_promises(place.path, told, count, next);
	}
	CHECK(next >= RANDOM_KILLS / 3 * 2);
	place_remove(&place);
	free(told);
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "child") == 0)
		child(argv[2], (int)strtol(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10),
			(uint32_t)strtoul(argv[5], NULL, 10));
	RUN(killed_at_commits);
	RUN(killed_anytime);
	return test_done();
}
