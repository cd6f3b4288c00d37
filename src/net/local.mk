# src/net/local.mk - connections: sockets, TLS, login encodings, pacing.
noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/conn.c src/net/conn.h src/net/dial.c src/net/endpoint.h src/net/net_private.h \
	src/net/openssl.h src/net/sasl.c src/net/sasl.h src/net/stream.c src/net/stream.h \
	src/net/tls.c
