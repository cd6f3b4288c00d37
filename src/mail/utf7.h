/* utf7.h - modified UTF-7 of IMAP folder names (RFC 3501, 5.1.3). */
#ifndef MAIL_UTF7_H
#define MAIL_UTF7_H

#include "base/str.h"

/* Strict: refuses 8-bit bytes, superfluous shifts, non-zero padding bits, encoded printable
 * ASCII, lone surrogates, NUL. Appends UTF-8 to out. 0, or -1 (out unchanged) for a broken form,
 * which the caller keeps as raw bytes. */
int utf7_decode(const char *name, size_t len, struct str *out);
/* utf8 must be well-formed UTF-8 without NUL; 0 or -1 (out unchanged). */
int utf7_encode(const char *utf8, size_t len, struct str *out);

#endif
