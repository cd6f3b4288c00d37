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

check_PROGRAMS += src/runner/test_engine_contract src/runner/test_control
UNIT_TESTS += src/runner/test_engine_contract src/runner/test_control
TSAN_TESTS += src/runner/test_engine_contract src/runner/test_control
src_runner_test_engine_contract_SOURCES = src/runner/test_engine_contract.c \
	src/runner/fake_engine.c src/runner/fake_engine.h
src_runner_test_engine_contract_LDADD = src/runner/librunner.a src/engine/libengine.a \
	src/base/libbase.a $(JANSSON_LIBS) -lpthread
src_runner_test_control_SOURCES = src/runner/test_control.c \
	src/runner/fake_engine.c src/runner/fake_engine.h
src_runner_test_control_LDADD = $(src_runner_test_engine_contract_LDADD)

check_PROGRAMS += src/runner/test_engine_local
UNIT_TESTS += src/runner/test_engine_local
TSAN_TESTS += src/runner/test_engine_local
src_runner_test_engine_local_SOURCES = src/runner/test_engine_local.c
src_runner_test_engine_local_LDADD = src/runner/librunner.a src/report/libreport.a \
	src/engine/libengine.a src/engine/ledger/libledger.a src/connector/libconnector.a \
	src/users/libusers.a src/profile/libprofile.a src/net/libnet.a src/mail/libmail.a \
	src/base/libbase.a $(ETPAN_LIBS) $(SSL_LIBS) $(ZLIB_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	$(INIPARSER_LIBS) -lpthread
