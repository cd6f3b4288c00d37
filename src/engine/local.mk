# src/engine/local.mk - what this folder adds to the build.
include src/engine/ledger/local.mk
