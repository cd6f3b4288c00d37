# src/base/local.mk - errors, strings, memory, threads' tools: what every other folder uses.
noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/arena.c src/base/arena.h src/base/banned.h src/base/cancel.c src/base/cancel.h \
	src/base/clock.c src/base/clock.h src/base/die.c src/base/die.h src/base/err.c \
	src/base/err.h src/base/file.c src/base/file.h src/base/log.c src/base/log.h \
	src/base/queue.c src/base/queue.h src/base/secret.c src/base/secret.h src/base/spool.c \
	src/base/spool.h src/base/str.c src/base/str.h src/base/test.h src/base/text.c
