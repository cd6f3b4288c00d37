# src/engine/ledger/local.mk - the ledger in SQLite.
noinst_LIBRARIES += src/engine/ledger/libledger.a
src_engine_ledger_libledger_a_SOURCES = \
	src/engine/ledger/admin.c \
	src/engine/ledger/blob.c \
	src/engine/ledger/db.c \
	src/engine/ledger/folder.c \
	src/engine/ledger/items.c \
	src/engine/ledger/ledger.h \
	src/engine/ledger/ledger_private.h \
	src/engine/ledger/read.c \
	src/engine/ledger/reason.c \
	src/engine/ledger/rows.c \
	src/engine/ledger/run.c \
	src/engine/ledger/schema.c \
	src/engine/ledger/sqlite.c
