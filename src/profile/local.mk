# src/profile/local.mk - the option tables, and what reads and writes profiles by them.
noinst_LIBRARIES += src/profile/libprofile.a
src_profile_libprofile_a_SOURCES = \
	src/profile/check.c \
	src/profile/faults.c src/profile/faults.h \
	src/profile/option.c src/profile/option.h \
	src/profile/openssl.h src/profile/option_write.c \
	src/profile/paths.c \
	src/profile/profile.c src/profile/profile.h src/profile/profile_private.h \
	src/profile/resolve.c \
	src/profile/scan.c src/profile/scan.h \
	src/profile/seal.c \
	src/profile/tables.c

PROFILE_TEST_LIBS = src/profile/libprofile.a src/mail/libmail.a src/base/libbase.a \
	$(INIPARSER_LIBS) $(SSL_LIBS)
