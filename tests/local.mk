# tests/local.mk - the demo and the tests against real servers.
RUN_TESTS = MAILHAUL=$(abs_top_builddir)/mailhaul $(top_srcdir)/tests/run-tests
SERVER_CHECK = $(RUN_TESTS) --short

# Two throw-away servers, a run, a rerun that copies nothing.
demo: mailhaul
	MAILHAUL=$(abs_top_builddir)/mailhaul $(top_srcdir)/tests/demo

# Everything, the long tests too.
soak: mailhaul check-TESTS
	$(RUN_TESTS)

.PHONY: demo soak

CLEANFILES += mailhaul-demo-report.txt

EXTRA_DIST += tests/demo tests/run-tests tests/test_copy.py tests/test_corpus.py \
	tests/test_servers.py tests/test_standins.py \
	tests/corpus/__init__.py tests/corpus/boxes.py tests/corpus/messages.py \
	tests/corpus/office.py \
	tests/lib/__init__.py tests/lib/account.py tests/lib/bench.py tests/lib/imap.py \
	tests/lib/haul.py tests/lib/testing.py tests/lib/utf7.py \
	tests/servers/__init__.py tests/servers/cyrus.py tests/servers/dovecot.py \
	tests/servers/run-dovecot tests/servers/server.py \
	tests/standins/__init__.py tests/standins/imap_commands.py tests/standins/imap_parse.py \
	tests/standins/imap_rules.py tests/standins/imap_session.py tests/standins/imap_store.py \
	tests/standins/imapd.py tests/standins/made_up.py tests/standins/proxy.py \
	tests/standins/standin.py tests/standins/strip.py
