# src/report/local.mk - ledger -> report.txt, report.csv, report.json, manifest.jsonl.
noinst_LIBRARIES += src/report/libreport.a
src_report_libreport_a_SOURCES = \
	src/report/report.h src/report/report_private.h src/report/format.h \
	src/report/json_private.h \
	src/report/csv.c src/report/draft.c src/report/format.c src/report/json.c \
	src/report/manifest.c src/report/model.c src/report/rounds.c src/report/text.c src/report/write.c

check_PROGRAMS += src/report/test_format
UNIT_TESTS += src/report/test_format
src_report_test_format_SOURCES = src/report/test_format.c
src_report_test_format_LDADD = src/report/libreport.a src/base/libbase.a

check_PROGRAMS += src/report/test_report
UNIT_TESTS += src/report/test_report
src_report_test_report_SOURCES = src/report/test_report.c
src_report_test_report_LDADD = src/report/libreport.a src/engine/ledger/libledger.a \
	src/mail/libmail.a src/base/libbase.a $(SQLITE_LIBS) $(JANSSON_LIBS) $(SSL_LIBS) -lpthread
