# src/engine/ledger/local.mk - the ledger in SQLite.
noinst_LIBRARIES += src/engine/ledger/libledger.a
src_engine_ledger_libledger_a_SOURCES = \
	src/engine/ledger/admin.c \
	src/engine/ledger/bind.c \
	src/engine/ledger/blob.c \
	src/engine/ledger/changes.c \
	src/engine/ledger/db.c \
	src/engine/ledger/folder.c \
	src/engine/ledger/items.c \
	src/engine/ledger/ledger.h \
	src/engine/ledger/ledger_private.h \
	src/engine/ledger/read.c \
	src/engine/ledger/reason.c \
	src/engine/ledger/rounds.c \
	src/engine/ledger/rows.c \
	src/engine/ledger/run.c \
	src/engine/ledger/schema.c \
	src/engine/ledger/speed.c \
	src/engine/ledger/sqlite.c

LEDGER_TEST_LIBS = src/engine/ledger/libledger.a src/mail/libmail.a src/base/libbase.a \
	$(SQLITE_LIBS)
# The first four hold any store to ledger.h; the others know this one.
ledger_thread_tests = src/engine/ledger/test_ledger src/engine/ledger/test_items \
	src/engine/ledger/test_seen src/engine/ledger/test_threads
ledger_tests = $(ledger_thread_tests) src/engine/ledger/test_crash src/engine/ledger/test_sqlite \
	src/engine/ledger/test_blob
check_PROGRAMS += $(ledger_tests)
UNIT_TESTS += $(ledger_tests)
TSAN_TESTS += $(ledger_thread_tests)
src_engine_ledger_test_ledger_SOURCES = src/engine/ledger/test_ledger.c \
	src/engine/ledger/test_ledger.h
src_engine_ledger_test_ledger_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_items_SOURCES = src/engine/ledger/test_items.c
src_engine_ledger_test_items_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_seen_SOURCES = src/engine/ledger/test_seen.c
src_engine_ledger_test_seen_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_threads_SOURCES = src/engine/ledger/test_threads.c
src_engine_ledger_test_threads_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_crash_SOURCES = src/engine/ledger/test_crash.c
src_engine_ledger_test_crash_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_sqlite_SOURCES = src/engine/ledger/test_sqlite.c
src_engine_ledger_test_sqlite_LDADD = $(LEDGER_TEST_LIBS)
src_engine_ledger_test_blob_SOURCES = src/engine/ledger/test_blob.c
src_engine_ledger_test_blob_LDADD = $(LEDGER_TEST_LIBS)

FUZZERS += src/engine/ledger/fuzz_batch
src_engine_ledger_fuzz_batch_SOURCES = src/engine/ledger/fuzz_batch.c
src_engine_ledger_fuzz_batch_LDADD = $(LEDGER_TEST_LIBS)
EXTRA_DIST += src/engine/ledger/fuzz_batch.dict doc/ledger.md
