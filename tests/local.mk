# tests/local.mk - the demo and the tests against real servers.
# Servers that are missing are installed where that can be done; what stays missing is said by the
# demo, and skipped and said by the tests.
# Every mailbox over three pairs of connections.
LANES = {"large_mailbox": "0", "mailbox_connections": "3"}
# And every folder divided among them: what dies, fails or is asked again.
PARTS = {"large_mailbox": "0", "large_folder": "0", "mailbox_connections": "3"}
PARTS_TESTS = again copy crash faults hostile limits memory parts rounds
RUN_TESTS = MAILHAUL=$(abs_top_builddir)/mailhaul $(top_srcdir)/tests/run-tests
SERVER_CHECK = $(top_srcdir)/tests/install-packages check || :; $(RUN_TESTS) --short

# Two throw-away servers, a run, a rerun that copies nothing.
demo: mailhaul
	-$(top_srcdir)/tests/install-packages demo
	MAILHAUL=$(abs_top_builddir)/mailhaul $(top_srcdir)/tests/demo

# Everything, the long tests too; then the tests with threads under their sanitizer, and the fuzzers,
# on copies of the tree: SOAK_FUZZ_SECONDS are ten minutes for each on two processors.
SOAK_FUZZ_SECONDS = 2400
soak: mailhaul bench-tools check-TESTS
	-$(top_srcdir)/tests/install-packages all
	$(RUN_TESTS)
	MAILHAUL_TEST_RUN='$(LANES)' $(RUN_TESTS)
	MAILHAUL_TEST_RUN='$(PARTS)' $(RUN_TESTS) $(PARTS_TESTS:%=-k '%.*')
	FUZZ_SECONDS=$(SOAK_FUZZ_SECONDS) $(top_srcdir)/.ci/run --no-install tsan fuzz

# What the benchmarks need beside servers; the tests try them, too. They use nothing of src/, so that
# they stay a yardstick of their own.
BENCH_TOOLS = tests/bench/pump tests/bench/relay
tests_bench_pump_SOURCES = \
	tests/bench/pump.c tests/bench/pump.h \
	tests/bench/pump_fetch.c tests/bench/pump_fetch.h \
	tests/bench/pump_options.c \
	tests/bench/pump_queue.c tests/bench/pump_queue.h \
	tests/bench/pump_reader.c \
	tests/bench/pump_writer.c \
	tests/bench/session.c tests/bench/session.h
tests_bench_pump_LDADD = $(SSL_LIBS)
tests_bench_relay_SOURCES = tests/bench/relay.c
bench-tools: $(BENCH_TOOLS)

# Speed beside other programs, and what is demanded of it: doc/performance.md. BENCH_OPTIONS come
# last, so that they count.
SPEED = MAILHAUL=$(abs_top_builddir)/mailhaul $(top_srcdir)/tests/bench/speed
BENCH_OPTIONS =
bench: mailhaul bench-tools
	-$(top_srcdir)/tests/install-packages bench
	$(SPEED) --corpus S,M,T,L --rtt 0,20,50 $(BENCH_OPTIONS)
bench-quick: mailhaul bench-tools
	-$(top_srcdir)/tests/install-packages bench
	$(SPEED) --corpus S,M --rtt 0,20 --times 2 --only mailhaul,mbsync,pump1,pump4 $(BENCH_OPTIONS)

.PHONY: bench bench-quick bench-tools demo soak

CLEANFILES += mailhaul-demo-report.txt $(BENCH_TOOLS)

EXTRA_DIST += tests/demo tests/run-tests tests/servers/run-dovecot

# The tests' Python, whatever of it there is.
dist-hook:
	(cd $(top_srcdir) && find tests -name '*.py' -o -path 'tests/*' -name '*.json') | \
	while read -r file; do \
		$(MKDIR_P) "$(distdir)/$${file%/*}" && \
		cp -p "$(top_srcdir)/$$file" "$(distdir)/$$file" || exit 1; \
	done
