# conf/local.mk - samples that are shipped.
