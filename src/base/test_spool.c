/* test_spool.c - the same bytes come out, from memory, file and ring, and nobody waits for ever. */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spool.h"
#include "base/test.h"

#include "base/banned.h"

static unsigned char
byte_at(uint64_t offset)
{
	return (unsigned char)(offset * 31 + offset / 251);
}

/* Writes `len` bytes of the pattern in pieces of changing size. */
static int
fill(struct spool *s, uint64_t len, struct err *err)
{
	unsigned char buf[7001];
	uint64_t done = 0;

	for (size_t piece = 1; done < len; piece = piece * 7 % 6997 + 1) {
		if (piece > len - done)
			piece = (size_t)(len - done);
		for (size_t i = 0; i < piece; i++)
			buf[i] = byte_at(done + i);
		if (spool_write(s, buf, piece, err) < 0)
			return -1;
		done += piece;
	}
	return 0;
}

/* Reads to the end; the number of bytes if all were right, or -1. */
static int64_t
drain(struct spool *s, struct err *err)
{
	unsigned char buf[5000];
	uint64_t offset = 0;
	size_t got;

	for (;;) {
		if (spool_read(s, offset, buf, sizeof(buf), &got, err) < 0)
			return -1;
		if (got == 0)
			return (int64_t)offset;
		for (size_t i = 0; i < got; i++) {
			if (buf[i] != byte_at(offset + i))
				return -2;
		}
		offset += got;
	}
}

static char *
directory(void)
{
	char *dir = xstrdup("/tmp/test_spool.XXXXXX");

	if (mkdtemp(dir) == NULL)
		BUG("no directory");
	return dir;
}

static void
kept_spools_of_all_sizes(void)
{
	static const uint64_t sizes[] = { 0, 1, 4095, 4096, 4097, 65536, 65537, 300000, 2000000 };
	char *dir = directory();
	struct spool_pool *pool = spool_pool_new(dir, 1 << 20, 65536);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 2; i++) {
		struct spool *s = spool_new(pool);
		struct err err;

		if (i % 2 == 1)
			spool_set_total(s, sizes[i / 2]);
		CHECK_INT(fill(s, sizes[i / 2], &err), 0);
		CHECK(!spool_is_finished(s));
		spool_finish(s);
		CHECK(spool_is_finished(s) && !spool_is_ring(s));
		CHECK_INT(spool_wait(s, &err), 0);
		CHECK_INT(spool_size(s), sizes[i / 2]);
		CHECK_INT(spool_total(s), sizes[i / 2]);
		CHECK_INT(drain(s, &err), sizes[i / 2]);
		CHECK_INT(drain(s, &err), sizes[i / 2]);
		spool_unref(&s);
		CHECK(s == NULL);
	}
	CHECK_INT(rmdir(dir), 0); /* no file was left behind */
	spool_pool_free(&pool);
	free(dir);
}

static size_t
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

/* A budget of two small spools: the third goes to a file, and room freed is used again. */
static void
budget_spills_and_never_waits(void)
{
	char *dir = directory();
	struct spool_pool *pool = spool_pool_new(dir, 65536, 65536);
	struct spool *s[3];
	struct err err;
	size_t files = open_files();

	for (int i = 0; i < 3; i++) {
		s[i] = spool_new(pool);
		spool_set_total(s[i], 32768);
		CHECK_INT(fill(s[i], 32768, &err), 0);
		spool_finish(s[i]);
	}
	CHECK_INT(open_files(), files + 1);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(drain(s[i], &err), 32768);
		spool_unref(&s[i]);
	}
	s[0] = spool_new(pool);
	CHECK_INT(fill(s[0], 32768, &err), 0);
	CHECK_INT(open_files(), files);
	CHECK_INT(fill(s[0], 0, &err), 0);
	spool_unref(&s[0]);
	rmdir(dir);
	spool_pool_free(&pool);
	free(dir);
}

static void
no_directory_is_a_disk_error(void)
{
	struct spool_pool *pool = spool_pool_new("/nonexistent/spool", 0, 0);
	struct spool *s = spool_new(pool);
	struct err err;

	CHECK_INT(spool_write(s, "x", 1, &err), -1);
	CHECK_INT(err.code, ERR_DISK);
	spool_unref(&s);
	spool_pool_free(&pool);
}

struct side {
	struct spool *s;
	uint64_t bytes;
	int64_t ret;
	struct err err;
};

static void *
fill_thread(void *arg)
{
	struct side *side = arg;

	side->ret = fill(side->s, side->bytes, &side->err);
	if (side->ret == 0)
		spool_finish(side->s);
	spool_unref(&side->s);
	return NULL;
}

static void *
drain_thread(void *arg)
{
	struct side *side = arg;

	side->ret = drain(side->s, &side->err);
	spool_unref(&side->s);
	return NULL;
}

/* One thread fills, one reads, in memory, across the change to a file, and through a ring. */
static void
read_while_it_fills(void)
{
	static const struct {
		size_t memory, ring;
		uint64_t bytes;
	} cases[] = {
		{ 1 << 22, 0, 1 << 21 },
		{ 30000, 0, 1 << 21 },
		{ 0, 0, 1 << 20 },
		{ 0, 4096, 1 << 21 },
		{ 0, 1, 3000 },
		{ 0, 1 << 20, 100 },
		{ 0, 3, 0 },
	};
	char *dir = directory();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct spool_pool *pool = spool_pool_new(dir, cases[i].memory, cases[i].memory);
		struct side writer = { .bytes = cases[i].bytes }, reader = { .ret = -9 };
		pthread_t threads[2];

		writer.s = cases[i].ring > 0 ? spool_new_ring(cases[i].ring, cases[i].bytes)
					     : spool_new(pool);
		CHECK_INT(spool_is_ring(writer.s), cases[i].ring > 0);
		reader.s = spool_ref(writer.s);
		pthread_create(&threads[0], NULL, fill_thread, &writer);
		pthread_create(&threads[1], NULL, drain_thread, &reader);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		CHECK_INT(writer.ret, 0);
		CHECK_INT(reader.ret, cases[i].bytes);
		spool_pool_free(&pool);
	}
	CHECK_INT(rmdir(dir), 0);
	free(dir);
}

/* How the writer ends before its time, and what the reader then gets. */
static void
reader_learns_why_no_more_comes(void)
{
	struct spool_pool *pool = spool_pool_new("/tmp", 65536, 65536);

	for (int i = 0; i < 4; i++) {
		struct spool *s = i < 2 ? spool_new(pool) : spool_new_ring(16, 99), *mine = s;
		struct side reader = { .s = spool_ref(s) };
		struct err lost, second;
		pthread_t thread;

		err_set(&lost, ERR_LOST, "cut in the middle");
		err_set(&second, ERR_TIMEOUT, "the first one wins");
		CHECK_INT(fill(s, 10, NULL), 0);
		pthread_create(&thread, NULL, drain_thread, &reader);
		clock_sleep_ms(10); /* either order must end; this makes the waiting one likely */
		if (i % 2 == 0) {
			spool_fail(s, &lost);
			spool_fail(s, &second);
			spool_finish(s);
			CHECK(!spool_is_finished(s));
			CHECK_INT(spool_wait(s, &second), -1);
			CHECK_INT(second.code, ERR_LOST);
			CHECK_INT(spool_write(s, "x", 1, &second), -1);
		}
		spool_unref(&mine);
		pthread_join(thread, NULL);
		CHECK_INT(reader.ret, -1);
		CHECK_INT(reader.err.code, i % 2 == 0 ? ERR_LOST : ERR_INTERNAL);
	}
	spool_pool_free(&pool);
}

/* The reader of a full ring leaves, by word or by dropping its reference. */
static void
writer_learns_that_nobody_reads(void)
{
	for (int i = 0; i < 2; i++) {
		struct spool *s = spool_new_ring(64, 0);
		struct side writer = { .s = spool_ref(s), .bytes = 1000 };
		pthread_t thread;
		unsigned char buf[10];
		size_t got;

		pthread_create(&thread, NULL, fill_thread, &writer);
		CHECK_INT(spool_read(s, 0, buf, sizeof(buf), &got, NULL), 0);
		CHECK(got > 0 && got <= sizeof(buf));
		clock_sleep_ms(10);
		if (i == 0)
			spool_abandon(s);
		else
			spool_unref(&s);
		pthread_join(thread, NULL);
		CHECK_INT(writer.ret, -1);
		CHECK_INT(writer.err.code, ERR_CANCELLED);
		spool_unref(&s);
	}
}

static void
ring_is_read_in_order(void)
{
	struct spool *s = spool_new_ring(16, 5);
	struct err err;
	char buf[8];
	size_t got;

	CHECK_INT(spool_total(s), 5);
	CHECK_INT(spool_write(s, "abcde", 5, &err), 0);
	CHECK_INT(spool_read(s, 1, buf, 2, &got, &err), -1);
	CHECK_INT(err.code, ERR_INTERNAL);
	CHECK_INT(spool_read(s, 0, buf, 2, &got, &err), 0);
	CHECK_INT(got, 2);
	CHECK_INT(spool_read(s, 2, buf, 8, &got, &err), 0);
	CHECK_INT(got, 3);
	CHECK_MEM(buf, "cde", 3);
	spool_finish(s);
	CHECK_INT(spool_read(s, 5, buf, 8, &got, &err), 0);
	CHECK_INT(got, 0);
	spool_unref(&s);
	spool_unref(&s);
}

#define MANY 4000

struct many {
	struct spool *spools[MANY];
	uint64_t bytes[MANY];
	size_t wrong;
};

static void *
drain_many_thread(void *p)
{
	struct many *many = p;
	struct err err;

	for (size_t i = 0; i < MANY; i++) {
		if (drain(many->spools[i], &err) != (int64_t)many->bytes[i] ||
			spool_total(many->spools[i]) != many->bytes[i])
			many->wrong++;
		spool_unref(&many->spools[i]);
	}
	return NULL;
}

/* Those whose size is told, made by one thread and given back by another, with both owners and the
 * pool gone before them; some get more bytes than they said. */
static void
small_ones_lie_in_slabs(void)
{
	struct many *many = xcalloc(1, sizeof(*many));

	for (int round = 0; round < 3; round++) {
		struct spool_pool *pool = spool_pool_new("/tmp", 1 << 20, 65536);
		struct spool_slab *slab = NULL;
		pthread_t thread;
		struct err err;

		for (size_t i = 0; i < MANY; i++) {
			uint64_t told = i * 37 % 3000, more = i % 100 == 0 ? 5000 : 0;

			if (i % 500 == 0)
				told = SPOOL_SMALL_BYTES + (i % 1000 == 0);
			many->bytes[i] = told + more;
			many->spools[i] = spool_new_sized(pool, &slab, told);
			CHECK_INT(spool_total(many->spools[i]), told);
			CHECK_INT(fill(many->spools[i], told + more, &err), 0);
			spool_finish(many->spools[i]);
		}
		spool_slab_unref(&slab);
		CHECK(slab == NULL);
		spool_pool_free(&pool);
		pthread_create(&thread, NULL, drain_many_thread, many);
		pthread_join(thread, NULL);
	}
	CHECK_INT(many->wrong, 0);
	free(many);
}

int
main(void)
{
	RUN(kept_spools_of_all_sizes);
	RUN(budget_spills_and_never_waits);
	RUN(no_directory_is_a_disk_error);
	RUN(read_while_it_fills);
	RUN(reader_learns_why_no_more_comes);
	RUN(writer_learns_that_nobody_reads);
	RUN(ring_is_read_in_order);
	RUN(small_ones_lie_in_slabs);
	return test_done();
}
