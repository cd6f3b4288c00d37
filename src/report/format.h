/* format.h - numbers and durations for people; cells for CSV. */
#ifndef REPORT_FORMAT_H
#define REPORT_FORMAT_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SIZE 32 /* enough for any of them */

/* "0 B", "912 B", "1.2 MB", "38 GB": decimal units. Returns buf. */
char *format_bytes(char *buf, size_t size, uint64_t bytes);
/* "1,234,567". Returns buf. */
char *format_count(char *buf, size_t size, uint64_t count);
/* "00:42", "02:14:07", "3d 02:14"; "-" when negative. Returns buf. */
char *format_duration(char *buf, size_t size, int64_t seconds);
/* done of total as whole percent, never 100 before all is done. */
unsigned format_percent(uint64_t done, uint64_t total);

/* Appends one cell (RFC 4180): quoted where needed; a cell that a spreadsheet would take for a
 * formula (= + - @ or a blank before) gets an apostrophe in front; control bytes as \xNN. */
void format_cell(struct str *out, const char *text);

#endif
