/* test.h - what the unit tests check with; one program per tested file. */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned test_failures, test_failures_before, test_count;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			test_failures++;                                                           \
			printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                                  \
	} while (0)

#define CHECK_INT(got, want)                                                                       \
	do {                                                                                       \
		intmax_t got_ = (intmax_t)(got), want_ = (intmax_t)(want);                         \
		if (got_ != want_) {                                                               \
			test_failures++;                                                           \
			printf("%s:%d: %s is %" PRIdMAX ", wanted %" PRIdMAX "\n", __FILE__,       \
				__LINE__, #got, got_, want_);                                      \
		}                                                                                  \
	} while (0)

#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		if (got_ == NULL || want_ == NULL ? got_ != want_ : strcmp(got_, want_) != 0) {    \
			test_failures++;                                                           \
			printf("%s:%d: %s is \"%s\", wanted \"%s\"\n", __FILE__, __LINE__, #got,   \
				got_ ? got_ : "(null)", want_ ? want_ : "(null)");                 \
		}                                                                                  \
	} while (0)

#define CHECK_MEM(got, want, len)                                                                  \
	do {                                                                                       \
		if (memcmp((got), (want), (len)) != 0) {                                           \
			test_failures++;                                                           \
			printf("%s:%d: %s differs from %s\n", __FILE__, __LINE__, #got, #want);    \
		}                                                                                  \
	} while (0)

/* Runs one test function and prints its line. */
#define RUN(function)                                                                              \
	do {                                                                                       \
		test_failures_before = test_failures;                                              \
		function();                                                                        \
		test_count++;                                                                      \
		printf("%s %s\n", test_failures == test_failures_before ? "ok" : "FAIL",           \
			#function);                                                                \
		fflush(stdout);                                                                    \
	} while (0)

static inline int
test_done(void)
{
	printf("%u tests, %u checks failed\n", test_count, test_failures);
	return test_failures == 0 ? 0 : 1;
}

#endif
