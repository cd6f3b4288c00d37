# doc/local.mk - manual pages and documents that are shipped.
EXTRA_DIST += README ChangeLog doc/mailhaul.1.in doc/runner.md doc/report.md doc/engine.md \
	doc/architecture.md doc/libraries.md doc/performance.md doc/testing.md \
	tests/check-docs tests/bench/compress tests/bench/speed

# The documents and the program say the same.
UNIT_TESTS += tests/check-docs

# The option list of the page is that of the option tables.
nodist_man_MANS = doc/mailhaul.1
CLEANFILES += doc/mailhaul.1
doc/mailhaul.1: $(srcdir)/doc/mailhaul.1.in $(srcdir)/doc/profile-options.man
	@$(MKDIR_P) doc
	$(AM_V_GEN)sed -e '/^@OPTIONS@$$/r $(srcdir)/doc/profile-options.man' \
		-e '/^@OPTIONS@$$/d' -e 's/@VERSION@/$(VERSION)/' \
		$(srcdir)/doc/mailhaul.1.in >$@.new
	@mv $@.new $@
