/* str.h - a byte string that knows its length and its hard limit. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* data is always terminated by a NUL that len does not count, or NULL while nothing was added.
 * Not for two threads at once. */
struct str {
	char *data;
	size_t len;
	size_t cap;
	size_t limit;  /* len never exceeds it; 0 = STR_LIMIT_DEFAULT */
	bool overflow; /* an addition was refused; stays until str_reset() */
};

#define STR_LIMIT_DEFAULT ((size_t)1 << 20)

void str_init(struct str *s, size_t limit);
void str_clear(struct str *s); /* frees; s may be used again */
void str_wipe(struct str *s);  /* overwrites with zeros, then frees */
void str_reset(struct str *s); /* empties, keeps the memory */

/* Additions return 0, or -1 and set overflow when the limit would be passed (nothing is added
 * then), so that a row of additions may be checked once at its end. */
int str_add(struct str *s, const void *bytes, size_t len);
int str_adds(struct str *s, const char *text);
int str_addc(struct str *s, char c);
int str_addu(struct str *s, unsigned long long value); /* decimal */
int str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int str_addv(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void str_cut(struct str *s, size_t len); /* shortens to len */

/* The text, "" when nothing was added. */
const char *str_get(const struct str *s);
/* Gives the allocated text away and leaves s empty. Never NULL. */
char *str_take(struct str *s);

/* ASCII only, whatever the locale says. */
bool text_ieq(const char *a, const char *b);
bool text_ieqn(const char *a, const char *b, size_t len);
bool text_istarts(const char *text, const char *prefix);

/* Shell-like match of a whole text: `*`, `?`, case-blind in ASCII. */
bool text_glob(const char *pattern, const char *text);

/* Parses a whole decimal number; no sign, no blanks. 0 or -1. */
int text_u32(const char *text, size_t len, unsigned *value_r);
int text_u64(const char *text, size_t len, unsigned long long *value_r);

/* Appends `bytes` made safe for a terminal, a log line or a CSV cell: control characters
 * (C0, DEL, C1, U+2028/9 and the bidi controls) and bytes that are not UTF-8 become \xNN. */
void text_sanitize(struct str *out, const void *bytes, size_t len);
/* The same into a fixed buffer, cut at a whole character; returns buf. */
char *text_safe(char *buf, size_t size, const char *text);
/* True if the bytes are well-formed UTF-8 (RFC 3629: shortest form, no surrogates). */
bool text_is_utf8(const void *bytes, size_t len);

#endif
