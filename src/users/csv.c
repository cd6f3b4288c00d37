/* csv.c - rows and cells of a CSV (RFC 4180), with the place of each.
 *
 * A quote opens only as the first byte of a cell; elsewhere it is a letter, so that a password may
 * hold one. Line ends are LF, CRLF or CR. After a fault of form reading goes on with the next
 * line, so that one look finds all; a quote that is never closed costs at most one row's limit. */
#include <string.h>

#include "users/users_private.h"

#include "base/banned.h"

#define GUESS_ROWS   100 /* looked at to find the separator */
#define UNCLOSED_MAX 20  /* then the rest is not read */

enum end { END_CELL, END_ROW, END_FAULT };

/* Where reading can be taken up again. */
struct mark {
	size_t at, line_start;
	unsigned line;
};

static void
tell(struct csv *csv, unsigned line, unsigned column, const char *what)
{
	if (csv->faults != NULL)
		faults_add(csv->faults, line, column, "%s", what);
}

/* Letters from the line's start, from 1. */
static unsigned
column_of(const struct csv *csv)
{
	unsigned column = 1;

	for (size_t i = csv->line_start; i < csv->at; i++)
		column += ((unsigned char)csv->bytes[i] & 0xC0) != 0x80;
	return column;
}

/* Steps over a line end, if there is one. */
static bool
take_line_end(struct csv *csv)
{
	if (csv->at >= csv->len || (csv->bytes[csv->at] != '\n' && csv->bytes[csv->at] != '\r'))
		return false;
	if (csv->bytes[csv->at] == '\r' && csv->at + 1 < csv->len &&
		csv->bytes[csv->at + 1] == '\n')
		csv->at++;
	csv->at++;
	csv->line++;
	csv->line_start = csv->at;
	return true;
}

static void
skip_line(struct csv *csv, const struct mark *from)
{
	csv->at = from->at;
	csv->line = from->line;
	csv->line_start = from->line_start;
	while (csv->at < csv->len && !take_line_end(csv))
		csv->at++;
}

/* Behind a cell: what ends it. */
static enum end
cell_end(struct csv *csv)
{
	if (csv->at < csv->len && csv->bytes[csv->at] == csv->separator) {
		csv->at++;
		return END_CELL;
	}
	take_line_end(csv);
	return END_ROW;
}

static enum end
fault_unclosed(struct csv *csv, const struct csv_cell *cell)
{
	tell(csv, cell->line, cell->column, "the quote that opens here is not closed");
	if (++csv->unclosed > UNCLOSED_MAX) {
		tell(csv, cell->line, cell->column,
			"too many quotes are not closed: the rest of the file is not read");
		csv->at = csv->len;
	}
	return END_FAULT;
}

/* From behind the opening quote to behind the closing one and what follows it. */
static enum end
quoted_cell(struct csv *csv, size_t row_at, struct csv_cell *cell)
{
	for (;;) {
		size_t from = csv->at;

		if (csv->at - row_at > CSV_RECORD_MAX || csv->at >= csv->len)
			return fault_unclosed(csv, cell);
		if (take_line_end(csv)) {
			str_add(&cell->text, csv->bytes + from, csv->at - from);
			continue;
		}
		csv->at++;
		if (csv->bytes[from] == '"') {
			if (csv->at >= csv->len || csv->bytes[csv->at] != '"')
				break;
			csv->at++; /* two stand for one */
		}
		str_addc(&cell->text, csv->bytes[from]);
	}
	if (csv->at < csv->len && csv->bytes[csv->at] != csv->separator &&
		csv->bytes[csv->at] != '\n' && csv->bytes[csv->at] != '\r') {
		if (csv->faults != NULL)
			faults_add(csv->faults, cell->line, cell->column,
				"text follows the closing quote (line %u, column %u) of the quote "
				"that "
				"opens here; within quotes one quote is written as two",
				csv->line, column_of(csv));
		return END_FAULT;
	}
	return cell_end(csv);
}

static enum end
plain_cell(struct csv *csv, struct csv_cell *cell, bool *stray)
{
	size_t from = csv->at, n;

	while (csv->at < csv->len && csv->bytes[csv->at] != csv->separator &&
		csv->bytes[csv->at] != '\n' && csv->bytes[csv->at] != '\r')
		csv->at++;
	n = csv->at - from;
	if (cell == NULL)
		return cell_end(csv);
	if (memchr(csv->bytes + from, '"', n) != NULL)
		*stray = true;
	str_add(&cell->text, csv->bytes + from, n);
	for (size_t i = 0; i < n && (csv->bytes[from + i] == ' ' || csv->bytes[from + i] == '\t');
		i++) {
		if (i + 1 < n && csv->bytes[from + i + 1] == '"') {
			tell(csv, cell->line, cell->column, "a blank before an opening quote");
			return END_FAULT;
		}
	}
	return cell_end(csv);
}

static enum end
next_cell(struct csv *csv, size_t row_at, struct csv_record *record)
{
	struct csv_cell *cell;

	if (record->count++ >= CSV_COLUMNS_MAX)
		return plain_cell(csv, NULL, NULL);
	cell = &record->cells[record->count - 1];
	cell->line = csv->line;
	cell->column = column_of(csv);
	if (csv->at >= csv->len || csv->bytes[csv->at] != '"')
		return plain_cell(csv, cell, &record->stray);
	csv->at++;
	return quoted_cell(csv, row_at, cell);
}

static void
reset(struct csv_record *record)
{
	for (size_t i = 0; i < CSV_COLUMNS_MAX && i < record->count; i++) {
		struct str *text = &record->cells[i].text;

		if (text->data != NULL)
			secret_wipe(text->data, text->len);
		str_reset(text);
	}
	record->count = 0;
	record->faulty = record->stray = false;
}

int
csv_next(struct csv *csv, struct csv_record *record)
{
	struct mark start = { csv->at, csv->line_start, csv->line };
	enum end end = END_CELL;

	reset(record);
	if (csv->at >= csv->len)
		return 0;
	record->line = csv->line;
	while (end == END_CELL) {
		end = next_cell(csv, start.at, record);
		if (end != END_FAULT && csv->at - start.at > CSV_RECORD_MAX) {
			tell(csv, start.line, 0, "the row has more than 65536 bytes");
			end = END_FAULT;
		}
	}
	if (end == END_FAULT) {
		record->faulty = true;
		if (csv->at < csv->len || csv->unclosed <= UNCLOSED_MAX)
			skip_line(csv, &start);
	}
	return 1;
}

/* How well a separator explains the first rows: rows with as many cells as the first one, which
 * must have two, count; a quote within a cell counts against it; three cells are the usual form. */
static unsigned
try_separator(const struct csv *csv, char separator, struct csv_record *record)
{
	struct csv trial = *csv;
	unsigned score = 0;
	size_t want = 0;

	trial.separator = separator;
	trial.faults = NULL;
	for (unsigned i = 0; i < GUESS_ROWS && csv_next(&trial, record) == 1; i++) {
		if (record->count == 1 && record->cells[0].text.len == 0)
			continue;
		if (want == 0)
			want = record->count;
		if (!record->faulty && want > 1 && record->count == want)
			score += record->stray ? 3 : 6;
	}
	return score > 0 && want > 2 ? score + 1 : score;
}

void
csv_init(struct csv *csv, const char *bytes, size_t len, struct faults *faults)
{
	static const char separators[] = ";\t,";
	struct csv_record record;
	unsigned best = 0;

	*csv = (struct csv){
		.bytes = bytes, .len = len, .line = 1, .separator = ';', .faults = faults
	};
	csv_record_init(&record);
	for (const char *s = separators; *s != '\0'; s++) {
		unsigned score = try_separator(csv, *s, &record);

		if (score > best) {
			best = score;
			csv->separator = *s;
		}
	}
	csv_record_clear(&record);
}

void
csv_record_init(struct csv_record *record)
{
	*record = (struct csv_record){ .count = 0 };
	for (size_t i = 0; i < CSV_COLUMNS_MAX; i++)
		str_init(&record->cells[i].text, 0);
}

void
csv_record_clear(struct csv_record *record)
{
	for (size_t i = 0; i < CSV_COLUMNS_MAX; i++)
		str_wipe(&record->cells[i].text);
}
