# src/cli/local.mk - the command line, and the program itself.
noinst_LIBRARIES += src/cli/libcli.a
src_cli_libcli_a_SOURCES = \
	src/cli/args.h src/cli/cli.h \
	src/cli/args.c src/cli/ask.c src/cli/attach.c src/cli/check.c src/cli/commands.c \
	src/cli/common.c \
	src/cli/examine.c src/cli/list.c src/cli/profile.c src/cli/progress.c src/cli/report.c \
	src/cli/retry.c src/cli/run.c src/cli/send.c src/cli/status.c

bin_PROGRAMS += mailhaul
mailhaul_SOURCES = src/cli/main.c
CLI_LIBS = src/cli/libcli.a src/runner/librunner.a src/report/libreport.a \
	src/engine/libengine.a src/engine/ledger/libledger.a src/connector/libconnector.a \
	src/users/libusers.a src/profile/libprofile.a src/net/libnet.a src/mail/libmail.a \
	src/base/libbase.a $(ETPAN_LIBS) $(SSL_LIBS) $(ZLIB_LIBS) $(SQLITE_LIBS) $(JANSSON_LIBS) \
	$(INIPARSER_LIBS) -lpthread
mailhaul_LDADD = $(CLI_LIBS)

check_PROGRAMS += src/cli/test_args
UNIT_TESTS += src/cli/test_args
src_cli_test_args_SOURCES = src/cli/test_args.c
src_cli_test_args_LDADD = src/cli/libcli.a src/base/libbase.a

check_PROGRAMS += src/cli/test_commands
UNIT_TESTS += src/cli/test_commands
src_cli_test_commands_SOURCES = src/cli/test_commands.c
src_cli_test_commands_LDADD = $(CLI_LIBS)
