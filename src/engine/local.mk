# src/engine/local.mk - what this folder adds to the build.
include src/engine/ledger/local.mk

noinst_LIBRARIES += src/engine/libengine.a
src_engine_libengine_a_SOURCES = \
	src/engine/account_lock.c \
	src/engine/account_lock.h \
	src/engine/aside.c \
	src/engine/check.c \
	src/engine/engine.c \
	src/engine/engine.h \
	src/engine/engine_local.h \
	src/engine/engine_private.h \
	src/engine/fill.c \
	src/engine/flags.c \
	src/engine/folders.c \
	src/engine/folders_private.h \
	src/engine/forecast.c \
	src/engine/forecast.h \
	src/engine/intent.c \
	src/engine/job.c \
	src/engine/job.h \
	src/engine/lane.c \
	src/engine/lanes.c \
	src/engine/left.c \
	src/engine/local.c \
	src/engine/look.c \
	src/engine/match.c \
	src/engine/match.h \
	src/engine/parts.c \
	src/engine/plan.c \
	src/engine/plan.h \
	src/engine/reader.c \
	src/engine/reader_private.h \
	src/engine/rematch.c \
	src/engine/renames.c \
	src/engine/results.c \
	src/engine/rows.c \
	src/engine/scan.c \
	src/engine/seen.c \
	src/engine/settle.c \
	src/engine/side.c \
	src/engine/snapshot.c \
	src/engine/subscribe.c \
	src/engine/work_list.c \
	src/engine/work_list.h \
	src/engine/writer.c \
	src/engine/writer_private.h

check_PROGRAMS += src/engine/test_plan src/engine/test_match src/engine/test_account_lock \
	src/engine/test_forecast
UNIT_TESTS += src/engine/test_plan src/engine/test_match src/engine/test_account_lock \
	src/engine/test_forecast
src_engine_test_forecast_SOURCES = src/engine/test_forecast.c
src_engine_test_forecast_LDADD = src/engine/libengine.a src/base/libbase.a
src_engine_test_plan_SOURCES = src/engine/test_plan.c
src_engine_test_plan_LDADD = src/engine/libengine.a src/mail/libmail.a src/base/libbase.a $(SSL_LIBS)
src_engine_test_match_SOURCES = src/engine/test_match.c
src_engine_test_match_LDADD = src/engine/libengine.a src/base/libbase.a $(SSL_LIBS)
src_engine_test_account_lock_SOURCES = src/engine/test_account_lock.c
src_engine_test_account_lock_LDADD = src/engine/libengine.a src/mail/libmail.a src/base/libbase.a \
	$(SSL_LIBS)
