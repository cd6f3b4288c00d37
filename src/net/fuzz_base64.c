/* fuzz_base64.c - a server's challenge: what decodes is never longer than it may be, and encodes
 * to a text that decodes to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/sasl.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct str plain, code, again;

	str_init(&plain, 0);
	str_init(&code, 0);
	str_init(&again, 0);
	if (base64_decode(&plain, (const char *)bytes, len) == 0) {
		if (plain.len > len / 4 * 3 ||
			base64_encode(&code, str_get(&plain), plain.len) != 0 || code.len != len ||
			base64_decode(&again, str_get(&code), code.len) != 0 ||
			again.len != plain.len ||
			memcmp(str_get(&again), str_get(&plain), plain.len) != 0)
			abort();
	} else if (plain.len != 0) {
		abort();
	}
	str_clear(&plain);
	str_clear(&code);
	str_clear(&again);
	return 0;
}
