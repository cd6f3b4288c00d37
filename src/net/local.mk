# src/net/local.mk - connections: sockets, TLS, login encodings, pacing.
noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/compression.c src/net/compression.h src/net/conn.c src/net/conn.h \
	src/net/deflate.c src/net/dial.c src/net/endpoint.h src/net/gain.c src/net/gain.h \
	src/net/level.c src/net/level.h src/net/net_private.h \
	src/net/pace.c src/net/pace.h src/net/sasl.c src/net/sasl.h \
	src/net/stream.c src/net/stream.h src/net/tls.c

NET_TEST_LIBS = src/net/libnet.a src/base/libbase.a $(ETPAN_LIBS) $(SSL_LIBS) $(ZLIB_LIBS)
NET_TEST_PEER = src/net/testpeer.c src/net/testpeer.h
src_net_tests = src/net/test_conn src/net/test_stream src/net/test_sasl src/net/test_pace \
	src/net/test_gain src/net/test_level src/net/test_compression
check_PROGRAMS += $(src_net_tests)
UNIT_TESTS += $(src_net_tests)
TSAN_TESTS += src/net/test_conn src/net/test_stream src/net/test_pace src/net/test_compression
src_net_test_conn_SOURCES = src/net/test_conn.c $(NET_TEST_PEER)
src_net_test_conn_LDADD = $(NET_TEST_LIBS)
src_net_test_stream_SOURCES = src/net/test_stream.c $(NET_TEST_PEER)
src_net_test_stream_LDADD = $(NET_TEST_LIBS)
src_net_test_sasl_SOURCES = src/net/test_sasl.c
src_net_test_sasl_LDADD = $(NET_TEST_LIBS)
src_net_test_pace_SOURCES = src/net/test_pace.c
src_net_test_pace_LDADD = $(NET_TEST_LIBS)
src_net_test_gain_SOURCES = src/net/test_gain.c
src_net_test_gain_LDADD = $(NET_TEST_LIBS)
src_net_test_level_SOURCES = src/net/test_level.c
src_net_test_level_LDADD = $(NET_TEST_LIBS)
src_net_test_compression_SOURCES = src/net/test_compression.c
src_net_test_compression_LDADD = $(NET_TEST_LIBS)

FUZZERS += src/net/fuzz_base64
src_net_fuzz_base64_SOURCES = src/net/fuzz_base64.c
src_net_fuzz_base64_LDADD = $(NET_TEST_LIBS)
EXTRA_DIST += src/net/fuzz_base64.dict
EXTRA_DIST += doc/net.md
