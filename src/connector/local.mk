# src/connector/local.mk - the contract for protocols, and IMAP.
noinst_LIBRARIES += src/connector/libconnector.a
src_connector_libconnector_a_SOURCES = \
	src/connector/connector.h src/connector/message.c src/connector/registry.c \
	src/connector/imap/codes.c src/connector/imap/codes.h src/connector/imap/command.c \
	src/connector/imap/fetch.c src/connector/imap/fetch_read.c src/connector/imap/flags.c \
	src/connector/imap/folders.c src/connector/imap/imap.h src/connector/imap/imap_private.h \
	src/connector/imap/listing.c src/connector/imap/login.c src/connector/imap/quota.c \
	src/connector/imap/response.c src/connector/imap/select.c src/connector/imap/session.c \
	src/connector/imap/store.c src/connector/imap/transport.c src/connector/imap/wire.c \
	src/connector/imap/wire.h
