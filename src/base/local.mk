# src/base/local.mk - errors, strings, memory, threads' tools: what every other folder uses.
noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/arena.h src/base/banned.h src/base/cancel.h src/base/clock.h src/base/die.h \
	src/base/err.h src/base/file.h src/base/log.h src/base/queue.h src/base/secret.h \
	src/base/spool.h src/base/str.h src/base/test.h
