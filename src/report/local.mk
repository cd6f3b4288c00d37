# src/report/local.mk - what this folder adds to the build.
