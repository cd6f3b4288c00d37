/* pump.c - a bare mail pump: how fast two IMAP servers let one mailbox be copied.
 *
 * usage: pump --source HOST:PORT --target HOST:PORT --user NAME [--pairs N] [--tls]
 *             [--mode copy|read|write] [--batch-messages N] [--batch-bytes N]
 *
 * The yardstick of the benchmarks. It keeps no ledger and makes no promise: whoever runs it twice
 * has the mail twice. The password of both sides is in the environment variable PUMP_PASSWORD; with
 * --tls both ports speak TLS from the first byte, and no certificate is looked at. The servers need
 * LITERAL+ and MULTIAPPEND, for --pairs above one LIST-STATUS, too.
 *
 *   copy   all folders of the source to the target, which is made to have them
 *   read   the floor of the source: all is read and dropped
 *   write  the floor of the target: all mail is read into memory and the folders are made, untimed;
 *          then a new connection writes it
 *
 * One line of JSON on stdout: "seconds" is the wall time of the timed part, which begins before its
 * first connect() and ends with the last answer, so logins are part of it in every mode; "cpu" and
 * "peak_kb" are the whole process's. Any NO, BAD or surprise ends it with status 1.
 *
 * Two threads for each pair of connections, pump_reader.c and pump_writer.c, with a ring of bytes
 * between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "pump.h"

double
now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void
announce(struct pump *pump, bool *what)
{
	pthread_mutex_lock(&pump->lock);
	*what = true;
	pthread_cond_broadcast(&pump->changed);
	pthread_mutex_unlock(&pump->lock);
}

void
wait_for(struct pump *pump, const bool *what)
{
	pthread_mutex_lock(&pump->lock);
	while (!*what)
		pthread_cond_wait(&pump->changed, &pump->lock);
	pthread_mutex_unlock(&pump->lock);
}

/* The modes. Each returns when its timed part began. */

static void
start(pthread_t *thread, void *(*run)(void *), struct pair *pair)
{
	int ret = pthread_create(thread, NULL, run, pair);

	if (ret != 0)
		die("pthread_create: %s", strerror(ret));
}

static double
copy(struct pump *pump)
{
	double began = now_seconds();
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		start(&pump->pairs[i].reader, run_reader, &pump->pairs[i]);
		start(&pump->pairs[i].writer, run_writer, &pump->pairs[i]);
	}
	for (i = 0; i < pump->opt.pairs; i++) {
		pthread_join(pump->pairs[i].reader, NULL);
		pthread_join(pump->pairs[i].writer, NULL);
	}
	return began;
}

static double
read_only(struct pump *pump)
{
	double began = now_seconds();

	(void)run_reader(pump->pairs);
	return began;
}

static double
write_only(struct pump *pump)
{
	(void)run_reader(pump->pairs);
	return write_again(pump->pairs);
}

/* The high-water mark of memory, of /proc. */
static long
peak_kb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kb = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kb;
}

static void
report(const struct pump *pump, double seconds)
{
	struct rusage usage = { 0 };
	size_t messages = 0;
	uint64_t bytes = 0;
	double cpu;
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		messages += pump->pairs[i].messages;
		bytes += pump->pairs[i].bytes;
	}
	getrusage(RUSAGE_SELF, &usage);
	cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("{\"seconds\": %.6f, \"messages\": %zu, \"bytes\": %llu, \"cpu\": %.6f, "
	       "\"peak_kb\": %ld}\n",
		seconds, messages, (unsigned long long)bytes, cpu, peak_kb());
}

static void
pump_clear(struct pump *pump)
{
	unsigned i;

	for (i = 0; i < pump->opt.pairs; i++) {
		wire_close(&pump->pairs[i].source);
		wire_close(&pump->pairs[i].target);
	}
	free(pump->pairs);
	free_folders(pump->folders, pump->folder_count);
	freeaddrinfo(pump->opt.source);
	freeaddrinfo(pump->opt.target);
	SSL_CTX_free(pump->opt.tls);
}

static enum queue_use
use_of(enum mode mode)
{
	switch (mode) {
	case MODE_COPY:
		break;
	case MODE_READ:
		return QUEUE_DROP;
	case MODE_WRITE:
		return QUEUE_MEMORY;
	}
	return QUEUE_PASS;
}

int
main(int argc, char **argv)
{
	struct pump pump = { .opt = parse_options(argc, argv) };
	double began = 0;
	unsigned i;

	pthread_mutex_init(&pump.lock, NULL);
	pthread_cond_init(&pump.changed, NULL);
	pump.pairs = alloc(pump.opt.pairs * sizeof(*pump.pairs));
	for (i = 0; i < pump.opt.pairs; i++) {
		pump.pairs[i].id = i;
		pump.pairs[i].pump = &pump;
		queue_init(&pump.pairs[i].queue, use_of(pump.opt.mode));
	}
	switch (pump.opt.mode) {
	case MODE_COPY:
		began = copy(&pump);
		break;
	case MODE_READ:
		began = read_only(&pump);
		break;
	case MODE_WRITE:
		began = write_only(&pump);
		break;
	}
	report(&pump, now_seconds() - began);
	pump_clear(&pump);
	return 0;
}
