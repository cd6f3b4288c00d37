# src/runner/local.mk - the process around the engine.
noinst_LIBRARIES += src/runner/librunner.a
src_runner_librunner_a_SOURCES = \
	src/runner/lock.h src/runner/runner.h src/runner/process_private.h \
	src/runner/client.h src/runner/control.h src/runner/socket_private.h src/runner/wire.h \
	src/runner/client.c src/runner/control.c src/runner/lock.c src/runner/paths.c \
	src/runner/process.c src/runner/runner.c src/runner/socket.c src/runner/wire.c

check_PROGRAMS += src/runner/test_lock
UNIT_TESTS += src/runner/test_lock
src_runner_test_lock_SOURCES = src/runner/test_lock.c
src_runner_test_lock_LDADD = src/runner/librunner.a src/base/libbase.a
