/* fuzz_date.c - what either parser takes is within range, is written in 26 characters and read
 * back as the same second by both. */
#include <stdlib.h>
#include <string.h>

#include "mail/date.h"

#include "base/banned.h"

#define FIRST (-62135596800) /* year 1 */
#define LAST  253402300799   /* end of year 9999 */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check(int64_t t)
{
	char buf[32];
	int64_t again;

	if (t < FIRST || t > LAST)
		abort();
	if (strlen(date_write_imap(buf, sizeof(buf), t)) != 26)
		abort();
	if (date_parse_imap(buf, 26, &again) < 0 || again != t)
		abort();
	if (date_parse_rfc5322(buf, 26, &again) < 0 || again != t)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	/* A copy of exactly this length, so that a read behind it is seen. */
	char *text = malloc(len > 0 ? len : 1);
	int64_t t;

	if (text == NULL)
		abort();
	if (len > 0)
		memcpy(text, bytes, len);
	if (date_parse_imap(text, len, &t) == 0)
		check(t);
	if (date_parse_rfc5322(text, len, &t) == 0)
		check(t);
	if (len >= sizeof(t)) {
		memcpy(&t, bytes, sizeof(t));
		date_is_sane(t, LAST);
		if (t >= FIRST && t <= LAST)
			check(t);
	}
	free(text);
	return 0;
}
