# src/base/local.mk - errors, strings, memory, threads' tools: what every other folder uses.
noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/arena.c src/base/arena.h src/base/banned.h src/base/cancel.c src/base/cancel.h \
	src/base/clock.c src/base/clock.h src/base/die.c src/base/die.h src/base/err.c \
	src/base/err.h src/base/file.c src/base/file.h src/base/log.c src/base/log.h \
	src/base/queue.c src/base/queue.h src/base/secret.c src/base/secret.h src/base/spool.c \
	src/base/spool.h src/base/str.c src/base/str.h src/base/test.h src/base/text.c

src_base_tests = src/base/test_err src/base/test_str src/base/test_text src/base/test_memory \
	src/base/test_clock src/base/test_queue src/base/test_spool src/base/test_file
check_PROGRAMS += $(src_base_tests)
UNIT_TESTS += $(src_base_tests)
TSAN_TESTS += src/base/test_clock src/base/test_queue src/base/test_spool src/base/test_file
src_base_test_err_SOURCES = src/base/test_err.c
src_base_test_err_LDADD = src/base/libbase.a
src_base_test_str_SOURCES = src/base/test_str.c
src_base_test_str_LDADD = src/base/libbase.a
src_base_test_text_SOURCES = src/base/test_text.c
src_base_test_text_LDADD = src/base/libbase.a
src_base_test_memory_SOURCES = src/base/test_memory.c
src_base_test_memory_LDADD = src/base/libbase.a
src_base_test_clock_SOURCES = src/base/test_clock.c
src_base_test_clock_LDADD = src/base/libbase.a
src_base_test_queue_SOURCES = src/base/test_queue.c
src_base_test_queue_LDADD = src/base/libbase.a
src_base_test_spool_SOURCES = src/base/test_spool.c
src_base_test_spool_LDADD = src/base/libbase.a
src_base_test_file_SOURCES = src/base/test_file.c
src_base_test_file_LDADD = src/base/libbase.a
EXTRA_DIST += doc/errors.md
