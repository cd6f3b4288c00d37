# conf/local.mk - samples that are shipped.
PROFILE_SAMPLES = conf/sample.ini conf/master-user.ini conf/users.csv conf/users-header.csv
EXTRA_DIST += $(PROFILE_SAMPLES)
