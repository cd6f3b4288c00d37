# src/users/local.mk - the list of users.
noinst_LIBRARIES += src/users/libusers.a
src_users_libusers_a_SOURCES = \
	src/users/charset.c \
	src/users/csv.c \
	src/users/users.c src/users/users.h src/users/users_private.h

USERS_TEST_LIBS = src/users/libusers.a $(PROFILE_TEST_LIBS)
check_PROGRAMS += src/users/test_csv
UNIT_TESTS += src/users/test_csv
src_users_test_csv_SOURCES = src/users/test_csv.c
src_users_test_csv_LDADD = $(USERS_TEST_LIBS)

FUZZERS += src/users/fuzz_csv
src_users_fuzz_csv_SOURCES = src/users/fuzz_csv.c
src_users_fuzz_csv_LDADD = $(USERS_TEST_LIBS)
EXTRA_DIST += src/users/fuzz_csv.dict
