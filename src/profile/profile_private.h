/* profile_private.h - what the files of this folder share. */
#ifndef PROFILE_PROFILE_PRIVATE_H
#define PROFILE_PROFILE_PRIVATE_H

#include "profile/faults.h"
#include "profile/option.h"
#include "profile/profile.h"
#include "profile/scan.h"

/* Units behind sizes (bytes) and durations (ms), smallest first. */
extern const struct option_unit option_sizes[], option_durations[];

/* The home directory; "/" where there is none. Allocated. */
char *profile_home(void);

/* "/dir/acme.ini" -> "acme". Allocated. */
char *profile_base_name(const char *path);

/* The state directory of the profile, which has its name and path. Allocated. */
char *profile_state_default(const struct profile *profile);

/* True for the form that profile_encrypt() writes. */
bool secret_is_sealed(const char *spec);

/* Opens what secret_is_sealed(). 0, or -1 with ERR_PROFILE: a wrong passphrase, a changed text. */
int secret_unseal(const char *spec, const struct secret *passphrase, const char *what,
	struct secret **secret_r, struct err *err);

/* Reads the bytes of a profile into a new one. dir: where relative paths begin, absolute.
 * 0, or -1 with the faults added. The profile is to be freed in both cases. */
int profile_parse(const char *bytes, size_t len, const char *dir, struct faults *faults,
	struct profile **profile_r);

/* Adds what contradicts what, and what is missing. */
void profile_check(const struct profile *profile, const struct scan *scan, struct faults *faults);

#endif
