/* fuzz_utf7.c - what decodes is UTF-8 and encodes to the same bytes; what encodes decodes to the
 * same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mail/utf7.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
same(const struct str *got, const uint8_t *bytes, size_t len)
{
	if (got->len != len || (len > 0 && memcmp(got->data, bytes, len) != 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes;
	struct str there, back;

	str_init(&there, 0);
	str_init(&back, 0);
	if (utf7_decode(text, len, &there) == 0) {
		if (!text_is_utf8(str_get(&there), there.len) ||
			utf7_encode(str_get(&there), there.len, &back) < 0)
			abort();
		same(&back, bytes, len);
	} else if (there.len != 0) {
		abort();
	}
	str_reset(&there);
	str_reset(&back);
	if (utf7_encode(text, len, &there) == 0) {
		if (!text_is_utf8(bytes, len) || utf7_decode(str_get(&there), there.len, &back) < 0)
			abort();
		same(&back, bytes, len);
	} else if (there.len != 0 || (text_is_utf8(bytes, len) && memchr(bytes, 0, len) == NULL)) {
		abort();
	}
	str_clear(&there);
	str_clear(&back);
	return 0;
}
