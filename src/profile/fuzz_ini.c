/* fuzz_ini.c - any bytes as a profile, through the scanner, iniparser and all value parsers.
 *
 * iniparser must read what the scanner saw; faults must be printable; and what was taken must,
 * written out again, be taken as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "profile/profile_private.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool
holds(const char *bytes, size_t len, const char *word)
{
	return memmem(bytes, len, word, strlen(word)) != NULL;
}

/* What cannot be shown as it was: secrets, and a value with both kinds of quotes. */
static bool
is_shown_whole(const char *bytes, size_t len)
{
	struct str lower;
	bool whole;

	str_init(&lower, 0);
	for (size_t i = 0; i < len; i++)
		str_addc(&lower,
			bytes[i] >= 'A' && bytes[i] <= 'Z' ? (char)(bytes[i] + 32) : bytes[i]);
	whole = !holds(str_get(&lower), lower.len, "admin_password") &&
		!(holds(bytes, len, "'") && holds(bytes, len, "\""));
	str_clear(&lower);
	return whole;
}

static void
check_taken(const struct profile *profile, struct faults *faults)
{
	struct profile *again;
	struct str one, two;

	str_init(&one, 8 << 20);
	str_init(&two, 8 << 20);
	profile_show(profile, &one, true);
	if (profile_parse(str_get(&one), one.len, "/d", faults, &again) == 0) {
		profile_show(again, &two, true);
		if (strcmp(str_get(&one), str_get(&two)) != 0)
			abort();
	} else if (strlen(faults->list[0].text) == 0 ||
		   strstr(faults->list[0].text, "bytes") == NULL) {
		abort(); /* only longer lines than a profile may have are excused */
	}
	faults_clear(faults);
	profile_free(&again);
	str_clear(&one);
	str_clear(&two);
}

static bool
ends(const char *text, const char *with)
{
	size_t len = strlen(text), n = strlen(with);

	return len >= n && strcmp(text + len - n, with) == 0;
}

static void
check_told(struct faults *faults)
{
	struct str told;
	struct err err;

	for (size_t i = 0; i < faults->count && i < FAULTS_MAX; i++) {
		const char *text = faults->list[i].text;

		if (strcmp(text, "iniparser cannot read the file") == 0 ||
			ends(text, "iniparser reads something else here"))
			abort();
	}
	str_init(&told, 0);
	faults_finish(faults, &told, &err);
	for (size_t i = 0; i < told.len; i++) {
		if ((unsigned char)told.data[i] < 0x20 && told.data[i] != '\n')
			abort();
	}
	str_clear(&told);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct faults *faults = xcalloc(1, sizeof(*faults));
	char *text = xmalloc(len + 1);
	struct profile *profile;

	if (len > 0)
		memcpy(text, bytes, len);
	faults_init(faults, "p");
	if (profile_parse(text, len, "/d", faults, &profile) < 0)
		check_told(faults);
	else if (is_shown_whole(text, len))
		check_taken(profile, faults);
	profile_free(&profile);
	free(faults);
	free(text);
	return 0;
}
