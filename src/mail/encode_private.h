/* encode_private.h - header fields with 8-bit bytes, written in ASCII. */
#ifndef MAIL_ENCODE_PRIVATE_H
#define MAIL_ENCODE_PRIVATE_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* True if there is a byte over 127 or a NUL. */
bool encode_is_needed(const char *text, size_t len);

/* Appends the field (name, colon, value, folded lines, its last line end if it has one) as ASCII:
 * RFC 2047 encoded words where the field is text or a phrase, "X" for each byte elsewhere. Folds
 * anew at 76 columns, with the line end the field ends with (CRLF when it has none). Long words
 * stay long. 0, or -1 when out's limit is reached. */
int encode_field(struct str *out, const char *field, size_t len);

#endif
