# src/profile/local.mk - the option tables, and what reads and writes profiles by them.
noinst_LIBRARIES += src/profile/libprofile.a
src_profile_libprofile_a_SOURCES = \
	src/profile/check.c \
	src/profile/edit.c \
	src/profile/faults.c src/profile/faults.h \
	src/profile/option.c src/profile/option.h src/profile/option_write.c \
	src/profile/paths.c \
	src/profile/profile.c src/profile/profile.h src/profile/profile_private.h \
	src/profile/resolve.c \
	src/profile/scan.c src/profile/scan.h \
	src/profile/seal.c \
	src/profile/secrets.c \
	src/profile/show.c \
	src/profile/tables.c

PROFILE_TEST_LIBS = src/profile/libprofile.a src/mail/libmail.a src/base/libbase.a \
	$(INIPARSER_LIBS) $(SSL_LIBS)

src_profile_tests = src/profile/test_docs src/profile/test_option src/profile/test_profile \
	src/profile/test_secret
check_PROGRAMS += $(src_profile_tests)
UNIT_TESTS += $(src_profile_tests)
src_profile_test_docs_SOURCES = src/profile/test_docs.c
src_profile_test_docs_LDADD = $(PROFILE_TEST_LIBS)
src_profile_test_option_SOURCES = src/profile/test_option.c
src_profile_test_option_LDADD = $(PROFILE_TEST_LIBS)
src_profile_test_profile_SOURCES = src/profile/test_profile.c
src_profile_test_profile_LDADD = $(PROFILE_TEST_LIBS)
src_profile_test_secret_SOURCES = src/profile/test_secret.c
src_profile_test_secret_LDADD = $(PROFILE_TEST_LIBS)

FUZZERS += src/profile/fuzz_ini
src_profile_fuzz_ini_SOURCES = src/profile/fuzz_ini.c
src_profile_fuzz_ini_LDADD = $(PROFILE_TEST_LIBS)
EXTRA_DIST += src/profile/fuzz_ini.dict

# What is drawn from the option tables, written anew; test_docs fails while it differs.
EXTRA_DIST += doc/profile.md doc/profile-options.man
profile-docs: src/profile/test_docs
	src/profile/test_docs sample >$(srcdir)/conf/sample.ini
	src/profile/test_docs man >$(srcdir)/doc/profile-options.man
	{ sed '/^<!-- options/q' $(srcdir)/doc/profile.md && src/profile/test_docs md && \
		sed -n '/^<!-- end of options/,$$p' $(srcdir)/doc/profile.md; } >profile.md.new
	mv profile.md.new $(srcdir)/doc/profile.md
.PHONY: profile-docs
