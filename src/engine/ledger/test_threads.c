/* test_threads.c - the contract of ledger.h: many threads, and more than the queue holds.
 *
 * `test_threads rate [N]` instead says how fast N items (a million) go in and out again. */
#include "engine/ledger/test_ledger.h"

#include "base/clock.h"

#include <pthread.h>

#include "base/banned.h"

/* Several jobs at once: each has a folder, sends batches, waits for its tickets and reads. */
enum { JOBS = 6, JOB_BATCHES = 40, JOB_ITEMS = 20 };

struct job {
	struct ledger *ledger;
	uint64_t account, folder;
	unsigned failures;
};

static void
job_batch(struct job *job, unsigned n)
{
	struct ledger_entry entries[JOB_ITEMS] = { 0 };
	struct ledger_item rows[JOB_ITEMS];
	struct ledger_batch batch = {
		.folder = job->folder, .entries = entries, .count = JOB_ITEMS
	};
	struct ledger_batch *doubts = NULL;
	struct err err;
	uint64_t id, ticket;
	size_t count = 0;
	bool there = false;

	for (unsigned i = 0; i < JOB_ITEMS; i++) {
		entries[i].uid = n * JOB_ITEMS + i + 1;
		rows[i] = make_item(entries[i].uid, ITEM_LANDED, 10);
		rows[i].keywords = TEXT("work");
	}
	if (ledger_intend(job->ledger, &batch, &id, &ticket, &err) < 0 ||
		ledger_wait(job->ledger, ticket, &err) < 0 ||
		ledger_doubts(job->ledger, job->account, &doubts, &count, &err) < 0)
		job->failures++;
	for (size_t i = 0; i < count; i++)
		there = there || doubts[i].id == id;
	ledger_batches_free(doubts, count);
	job->failures += !there;
	ledger_result(job->ledger, id, job->folder, rows, JOB_ITEMS);
	ledger_item_flags(job->ledger, job->folder, rows[0].uid, n, "more work");
	if (n % 8 == 0 && ledger_flush(job->ledger, &err) < 0)
		job->failures++;
}

static void *
job_main(void *context)
{
	struct job *job = context;

	for (unsigned n = 0; n < JOB_BATCHES; n++)
		job_batch(job, n);
	return NULL;
}

static void
many_threads(enum ledger_mode mode)
{
	struct place place = { 0 };
	struct ledger *ledger;
	struct job jobs[JOBS];
	pthread_t threads[JOBS];
	uint64_t open = 9, in_doubt = 9;

	place_make(&place);
	ledger = must_open(place.path, mode);
	for (unsigned i = 0; i < JOBS; i++) {
		char user[16];

		snprintf(user, sizeof(user), "user%u", i);
		jobs[i] = (struct job){ .ledger = ledger, .account = make_account(ledger, user) };
		jobs[i].folder = make_folder(ledger, jobs[i].account, "INBOX");
	}
	for (unsigned i = 0; i < JOBS; i++)
		pthread_create(&threads[i], NULL, job_main, &jobs[i]);
	for (unsigned i = 0; i < JOBS; i++) {
		pthread_join(threads[i], NULL);
		CHECK_INT(jobs[i].failures, 0);
	}
	check_counts(ledger);
	counts_are(ledger, 0, 0, 0, JOBS * JOB_BATCHES * JOB_ITEMS);
	CHECK_OK(ledger_open_batches(ledger, 0, &open, &in_doubt, &err));
	CHECK_INT(open, 0);
	CHECK_OK(ledger_close(&ledger, &err));
	place_remove(&place);
}

static void
threads_on_disk(void)
{
	many_threads(LEDGER_WRITE);
}

static void
threads_in_memory(void)
{
	many_threads(LEDGER_MEMORY);
}

/* More than the queue holds at once: the sender waits, nothing is lost, close() writes all. */
static void
long_queue(void)
{
	enum { PIECE = 2000, PIECES = 200 };
	struct ledger_item *rows = xcalloc(PIECE, sizeof(*rows));
	struct fixture f = { 0 };

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	for (unsigned n = 0; n < PIECES; n++) {
		for (unsigned i = 0; i < PIECE; i++)
			rows[i] = make_item(n * PIECE + i + 1, ITEM_LANDED, 10);
		ledger_items_put(f.ledger, 1, rows, PIECE);
	}
	free(rows);
	reopen(&f);
	counts_are(f.ledger, 0, 0, 0, PIECE * PIECES);
	CHECK_OK(ledger_close(&f.ledger, &err));
	place_remove(&f.place);
}

/* By hand. */
static int
rate(uint32_t items)
{
	enum { PIECE = 100 };
	struct ledger_item rows[PIECE];
	struct fixture f = { 0 };
	uint64_t count = 0;
	int64_t start = clock_ms(), written;

	begin(&f);
	make_account(f.ledger, "ana");
	make_folder(f.ledger, 1, "INBOX");
	for (uint32_t uid = 0; uid < items; uid += PIECE) {
		for (unsigned i = 0; i < PIECE; i++) {
			rows[i] = make_item(uid + i + 1, ITEM_LANDED, 10);
			rows[i].target_uid = uid + i + 1;
			rows[i].keywords = i % 10 == 0 ? TEXT("$Forwarded") : NULL;
		}
		ledger_result(f.ledger, uid + 1, 1, rows, PIECE);
	}
	CHECK_OK(ledger_flush(f.ledger, &err));
	written = clock_ms();
	CHECK_OK(ledger_each_item(f.ledger, 0, 0, count_item, &count, &err));
	printf("%u items: written in %lld ms, %llu read in %lld ms\n", (unsigned)items,
		(long long)(written - start), (unsigned long long)count,
		(long long)(clock_ms() - written));
	CHECK_OK(ledger_close(&f.ledger, &err));
	place_remove(&f.place);
	return test_failures == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "rate") == 0)
		return rate(argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000);
	RUN(threads_on_disk);
	RUN(threads_in_memory);
	RUN(long_queue);
	return test_done();
}
