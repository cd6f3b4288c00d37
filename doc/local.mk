# doc/local.mk - manual pages and documents that are shipped.
