# src/connector/local.mk - the contract for protocols, and IMAP.
noinst_LIBRARIES += src/connector/libconnector.a
src_connector_libconnector_a_SOURCES = \
	src/connector/connector.h src/connector/message.c src/connector/registry.c \
	src/connector/imap/codes.c src/connector/imap/codes.h src/connector/imap/command.c \
	src/connector/imap/compress.c src/connector/imap/fetch.c src/connector/imap/fetch_read.c src/connector/imap/flags.c \
	src/connector/imap/folders.c src/connector/imap/imap.h src/connector/imap/imap_private.h \
	src/connector/imap/listing.c src/connector/imap/login.c src/connector/imap/quota.c \
	src/connector/imap/response.c src/connector/imap/select.c src/connector/imap/session.c \
	src/connector/imap/store.c src/connector/imap/transport.c src/connector/imap/wire.c \
	src/connector/imap/wire.h

# Unit tests: the tokenizer, the tables of codes and words, whole sessions with a scripted server.
CONNECTOR_TEST_LIBS = src/connector/libconnector.a src/net/libnet.a src/mail/libmail.a \
	src/base/libbase.a $(ETPAN_LIBS) $(SSL_LIBS) $(ZLIB_LIBS)

check_PROGRAMS += src/connector/imap/test_wire
UNIT_TESTS += src/connector/imap/test_wire
src_connector_imap_test_wire_SOURCES = src/connector/imap/test_wire.c
src_connector_imap_test_wire_LDADD = $(CONNECTOR_TEST_LIBS)

check_PROGRAMS += src/connector/imap/test_codes
UNIT_TESTS += src/connector/imap/test_codes
src_connector_imap_test_codes_SOURCES = src/connector/imap/test_codes.c
src_connector_imap_test_codes_LDADD = src/base/libbase.a

check_PROGRAMS += src/connector/imap/test_login
UNIT_TESTS += src/connector/imap/test_login
src_connector_imap_test_login_SOURCES = src/connector/imap/test_login.c \
	src/connector/imap/testscript.c src/connector/imap/testscript.h
src_connector_imap_test_login_LDADD = $(CONNECTOR_TEST_LIBS)

check_PROGRAMS += src/connector/imap/test_folders
UNIT_TESTS += src/connector/imap/test_folders
src_connector_imap_test_folders_SOURCES = src/connector/imap/test_folders.c \
	src/connector/imap/testscript.c src/connector/imap/testscript.h
src_connector_imap_test_folders_LDADD = $(CONNECTOR_TEST_LIBS)

check_PROGRAMS += src/connector/imap/test_imap
UNIT_TESTS += src/connector/imap/test_imap
src_connector_imap_test_imap_SOURCES = src/connector/imap/test_imap.c \
	src/connector/imap/testscript.c src/connector/imap/testscript.h
src_connector_imap_test_imap_LDADD = $(CONNECTOR_TEST_LIBS)

check_PROGRAMS += src/connector/imap/test_ring
UNIT_TESTS += src/connector/imap/test_ring
TSAN_TESTS += src/connector/imap/test_ring
src_connector_imap_test_ring_SOURCES = src/connector/imap/test_ring.c \
	src/connector/imap/testscript.c src/connector/imap/testscript.h
src_connector_imap_test_ring_LDADD = $(CONNECTOR_TEST_LIBS)

FUZZERS += src/connector/imap/fuzz_wire
src_connector_imap_fuzz_wire_SOURCES = src/connector/imap/fuzz_wire.c
src_connector_imap_fuzz_wire_LDADD = $(CONNECTOR_TEST_LIBS)
EXTRA_DIST += doc/connector.md doc/imap-quirks.md src/connector/imap/fuzz_wire.dict tests/fuzz/wire/fetch tests/fuzz/wire/ring \
	tests/fuzz/wire/list tests/fuzz/wire/xlist tests/fuzz/wire/store tests/fuzz/wire/login \
	tests/fuzz/wire/plain tests/fuzz/wire/compress tests/fuzz/wire/flood \
	tests/fuzz/wire/changes tests/fuzz/wire/modified

check_PROGRAMS += src/connector/imap/test_compress
UNIT_TESTS += src/connector/imap/test_compress
src_connector_imap_test_compress_SOURCES = src/connector/imap/test_compress.c \
	src/connector/imap/testscript.c src/connector/imap/testscript.h
src_connector_imap_test_compress_LDADD = $(CONNECTOR_TEST_LIBS)
