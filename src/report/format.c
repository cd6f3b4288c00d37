/* format.c - numbers and durations for people; cells for CSV. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/format.h"
#include "base/banned.h"

char *
format_bytes(char *buf, size_t size, uint64_t bytes)
{
	static const char units[][3] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes / 1000;
	size_t unit = 0;

	if (bytes < 1000) {
		snprintf(buf, size, "%" PRIu64 " B", bytes);
		return buf;
	}
	/* 999.5 would be printed as 1000 of the smaller unit. */
	while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, size, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

char *
format_count(char *buf, size_t size, uint64_t count)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
	size_t at = 0;

	for (int i = 0; i < len && at + 2 < size; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[at++] = ',';
		if (at + 1 < size)
			buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

char *
format_duration(char *buf, size_t size, int64_t seconds)
{
	int64_t hours = seconds / 3600, minutes = seconds / 60 % 60;

	if (seconds < 0)
		snprintf(buf, size, "-");
	else if (hours >= 48)
		snprintf(buf, size, "%" PRId64 "d %02" PRId64 ":%02" PRId64, hours / 24, hours % 24,
			minutes);
	else if (hours > 0)
		snprintf(buf, size, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, hours, minutes,
			seconds % 60);
	else
		snprintf(buf, size, "%02" PRId64 ":%02" PRId64, minutes, seconds % 60);
	return buf;
}

unsigned
format_percent(uint64_t done, uint64_t total)
{
	if (done >= total)
		return total == 0 ? 0 : 100;
	/* Done is smaller than total, so this rounds down to 99 at most; doubles would not. */
	if (total > UINT64_MAX / 100)
		return (unsigned)(done / (total / 100 + 1));
	return (unsigned)(done * 100 / total);
}

void
format_cell(struct str *out, const char *text)
{
	struct str safe;
	const char *p;
	bool quote;

	if (text == NULL || text[0] == '\0')
		return;
	str_init(&safe, 0);
	if (strchr("=+-@ ", text[0]) != NULL)
		str_addc(&safe, '\'');
	text_sanitize(&safe, text, strlen(text));
	quote = strpbrk(str_get(&safe), ",;\"'\t") != NULL;
	if (quote)
		str_addc(out, '"');
	for (p = str_get(&safe); *p != '\0'; p++) {
		if (*p == '"')
			str_addc(out, '"');
		str_addc(out, *p);
	}
	if (quote)
		str_addc(out, '"');
	str_clear(&safe);
}
