# src/runner/local.mk - what this folder adds to the build.
