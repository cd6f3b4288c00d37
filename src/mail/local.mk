# src/mail/local.mk - what a message and a folder are: names, flags, dates, digests, repairs.
noinst_LIBRARIES += src/mail/libmail.a
src_mail_libmail_a_SOURCES = \
	src/mail/uidset.c src/mail/uidset.h \
	src/mail/utf7.c src/mail/utf7.h \
	src/mail/item.c src/mail/item.h \
	src/mail/folder.c src/mail/folder.h \
	src/mail/date.c src/mail/date.h \
	src/mail/digest.c src/mail/digest.h \
	src/mail/header.c src/mail/header.h \
	src/mail/ladder.c src/mail/ladder.h \
	src/mail/folder_names.c \
	src/mail/encode_private.h src/mail/utf8_private.h \
	src/mail/encode.c

MAIL_TEST_LIBS = src/mail/libmail.a src/base/libbase.a $(SSL_LIBS)
check_PROGRAMS += \
	src/mail/test_uidset \
	src/mail/test_utf7 \
	src/mail/test_item \
	src/mail/test_folder \
	src/mail/test_date \
	src/mail/test_digest \
	src/mail/test_header \
	src/mail/test_ladder
UNIT_TESTS += \
	src/mail/test_uidset \
	src/mail/test_utf7 \
	src/mail/test_item \
	src/mail/test_folder \
	src/mail/test_date \
	src/mail/test_digest \
	src/mail/test_header \
	src/mail/test_ladder
src_mail_test_uidset_SOURCES = src/mail/test_uidset.c
src_mail_test_uidset_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_utf7_SOURCES = src/mail/test_utf7.c
src_mail_test_utf7_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_item_SOURCES = src/mail/test_item.c
src_mail_test_item_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_folder_SOURCES = src/mail/test_folder.c
src_mail_test_folder_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_date_SOURCES = src/mail/test_date.c
src_mail_test_date_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_digest_SOURCES = src/mail/test_digest.c
src_mail_test_digest_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_header_SOURCES = src/mail/test_header.c
src_mail_test_header_LDADD = $(MAIL_TEST_LIBS)
src_mail_test_ladder_SOURCES = src/mail/test_ladder.c
src_mail_test_ladder_LDADD = $(MAIL_TEST_LIBS)

FUZZERS += src/mail/fuzz_utf7 src/mail/fuzz_date src/mail/fuzz_message
src_mail_fuzz_utf7_SOURCES = src/mail/fuzz_utf7.c
src_mail_fuzz_utf7_LDADD = $(MAIL_TEST_LIBS)
src_mail_fuzz_date_SOURCES = src/mail/fuzz_date.c
src_mail_fuzz_date_LDADD = $(MAIL_TEST_LIBS)
src_mail_fuzz_message_SOURCES = src/mail/fuzz_message.c
src_mail_fuzz_message_LDADD = $(MAIL_TEST_LIBS)
EXTRA_DIST += doc/mail.md src/mail/fuzz_utf7.dict src/mail/fuzz_date.dict src/mail/fuzz_message.dict
