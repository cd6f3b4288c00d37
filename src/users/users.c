/* users.c - from the rows of a list to the users, or to all that is wrong with it.
 *
 * Columns are a table: where a cell goes and what it may hold. No fault ever shows a cell: any of
 * them may be a password where columns are in an unexpected order or a header is none; line and
 * column tell enough. Doubles are found by sorting. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "users/users_private.h"

#include "base/banned.h"

#define KNOWN_COLUMNS                                                                              \
	"user, password, name, target_user, target_password, source_host, target_host, groups"
#define LOGIN_MAX  512        /* bytes of a login or a host; a login command has room for two */
#define SECRET_MAX (16 << 10) /* bytes of a password or a token, for the same reason */

enum { COLUMN_USER, COLUMN_PASSWORD, COLUMN_NAME, COLUMN_NONE = CSV_COLUMNS_MAX };

struct column {
	const char *name;
	size_t offset;
	bool secret;
	bool lines; /* may hold line breaks: they become blanks */
};

static const struct column columns[] = {
	[COLUMN_USER] = { "user", offsetof(struct user, user), false, false },
	[COLUMN_PASSWORD] = { "password", offsetof(struct user, password), true, false },
	[COLUMN_NAME] = { "name", offsetof(struct user, name), false, true },
	{ "target_user", offsetof(struct user, target_user), false, false },
	{ "target_password", offsetof(struct user, target_password), true, false },
	{ "source_host", offsetof(struct user, source_host), false, false },
	{ "target_host", offsetof(struct user, target_host), false, false },
	{ "groups", offsetof(struct user, groups), false, true },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct load {
	struct faults *faults;
	struct users *users;
	const char *pattern;
	size_t places[CSV_COLUMNS_MAX]; /* of a row's cells: a number in columns[] */
	size_t place_count;
	bool header;
	size_t capacity;
};

/* A cell without blanks around it. */
struct piece {
	const char *text;
	size_t len;
};

static struct piece
strip(const struct str *text)
{
	struct piece p = { str_get(text), text->len };

	while (p.len > 0 && (p.text[0] == ' ' || p.text[0] == '\t')) {
		p.text++;
		p.len--;
	}
	while (p.len > 0 && (p.text[p.len - 1] == ' ' || p.text[p.len - 1] == '\t'))
		p.len--;
	return p;
}

static size_t
column_find(struct piece name)
{
	for (size_t i = 0; i < COLUMNS; i++) {
		if (strlen(columns[i].name) == name.len &&
			text_ieqn(columns[i].name, name.text, name.len))
			return i;
	}
	return COLUMN_NONE;
}

static bool
is_empty(const struct csv_record *record)
{
	for (size_t i = 0; i < record->count && i < CSV_COLUMNS_MAX; i++) {
		if (strip(&record->cells[i].text).len > 0)
			return false;
	}
	return record->count <= CSV_COLUMNS_MAX;
}

/* A first row is a header if "user" is in it, or two names of other columns. */
static bool
is_header(const struct csv_record *record)
{
	unsigned known = 0;

	for (size_t i = 0; i < record->count && i < CSV_COLUMNS_MAX; i++) {
		size_t column = column_find(strip(&record->cells[i].text));

		if (column == COLUMN_USER)
			return true;
		known += column != COLUMN_NONE;
	}
	return known >= 2;
}

/* The names that other programs give to such columns. Who exports a list gets one of them first; a
 * user of that name would have to stand below a header of ours. */
static bool
is_foreign_header(const struct csv_record *record)
{
	static const char *const words[] = { "account", "address", "e-mail", "e-mail address",
		"email", "email address", "full name", "login", "mail", "mailbox", "name",
		"password", "user name", "user_name", "username" };
	struct piece first;

	if (record->count == 0)
		return false;
	first = strip(&record->cells[0].text);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i]) == first.len && text_ieqn(words[i], first.text, first.len))
			return true;
	}
	return false;
}

static void
fault_header(struct load *load, const struct csv_cell *cell, struct piece name)
{
	char *word = xstrndup(name.text, name.len);
	const char *near = faults_nearest(word, &columns[0].name, COLUMNS, sizeof(columns[0]));

	faults_add(load->faults, cell->line, cell->column,
		"the header names a column that is not known%s%s%s; known are " KNOWN_COLUMNS,
		near != NULL ? " (did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?)" : "");
	secret_wipe(word, name.len);
	free(word);
}

static void
read_header(struct load *load, const struct csv_record *record)
{
	bool seen[COLUMNS] = { false };

	load->header = true;
	load->place_count = record->count < CSV_COLUMNS_MAX ? record->count : CSV_COLUMNS_MAX;
	for (size_t i = 0; i < load->place_count; i++) {
		const struct csv_cell *cell = &record->cells[i];
		struct piece name = strip(&cell->text);
		size_t column = column_find(name);

		load->places[i] = column;
		if (column == COLUMN_NONE && name.len > 0)
			fault_header(load, cell, name);
		else if (column != COLUMN_NONE && seen[column])
			faults_add(load->faults, cell->line, cell->column,
				"the header names %s a second time", columns[column].name);
		if (column != COLUMN_NONE)
			seen[column] = true;
	}
	if (record->count > CSV_COLUMNS_MAX)
		faults_add(load->faults, record->line, 0, "the header has more than %d columns",
			CSV_COLUMNS_MAX);
	if (!seen[COLUMN_USER])
		faults_add(load->faults, record->line, 0, "the header has no column user");
}

/* What no cell may hold. */
static bool
check_cell(struct load *load, const struct csv_cell *cell, const struct column *column)
{
	const char *text = str_get(&cell->text);
	size_t most = column->secret ? SECRET_MAX : LOGIN_MAX;

	if (!column->lines && cell->text.len > most) {
		faults_add(load->faults, cell->line, cell->column,
			"more than %zu bytes in the column %s", most, column->name);
		return false;
	}
	for (size_t i = 0; i < cell->text.len; i++) {
		unsigned char c = (unsigned char)text[i];
		const char *what = NULL;

		if (c == '\0')
			what = "a NUL byte";
		else if ((c == '\n' || c == '\r') && !column->lines)
			what = "a line break";
		else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
			what = "a control byte";
		if (what == NULL)
			continue;
		faults_add(load->faults, cell->line, cell->column, "%s in the column %s", what,
			column->name);
		return false;
	}
	return true;
}

static void
set_text(char **field, struct piece value)
{
	char *text = xstrndup(value.text, value.len);

	for (char *p = text; *p != '\0'; p++) {
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	}
	free(*field);
	*field = text;
}

/* Passwords are kept to the byte, everything else loses the blanks around it. */
static void
set_cell(struct load *load, struct user *user, const struct csv_cell *cell,
	const struct column *column)
{
	void *field = (char *)user + column->offset;
	struct piece value = strip(&cell->text);

	if (!check_cell(load, cell, column))
		return;
	if (column->secret && cell->text.len > 0) {
		struct secret **secret = field;

		secret_unref(secret);
		*secret = secret_new(str_get(&cell->text), cell->text.len);
	} else if (!column->secret && value.len > 0) {
		set_text(field, value);
	}
}

/* The login at the target by the pattern; NULL: a fault was added. */
static char *
by_pattern(struct load *load, const struct user *user)
{
	const char *at = strrchr(user->user, '@'), *p = load->pattern;
	size_t local = at != NULL ? (size_t)(at - user->user) : strlen(user->user);
	struct str out;

	str_init(&out, LOGIN_MAX);
	while (*p != '\0') {
		if (strncmp(p, "{local}", 7) == 0) {
			str_add(&out, user->user, local);
			p += 7;
		} else if (strncmp(p, "{user}", 6) == 0) {
			str_adds(&out, user->user);
			p += 6;
		} else if (strncmp(p, "{domain}", 8) == 0) {
			if (at == NULL || at[1] == '\0') {
				faults_add(load->faults, user->line, 0,
					"the user has no domain, which target_user asks for");
				str_clear(&out);
				return NULL;
			}
			str_adds(&out, at + 1);
			p += 8;
		} else {
			str_addc(&out, *p++);
		}
	}
	if (!out.overflow && out.len > 0)
		return str_take(&out);
	faults_add(load->faults, user->line, 0, "the login that target_user gives is %s",
		out.len > 0 ? "too long" : "empty");
	str_clear(&out);
	return NULL;
}

static void
clear_user(struct user *user)
{
	free(user->user);
	free(user->name);
	free(user->target_user);
	free(user->source_host);
	free(user->target_host);
	free(user->groups);
	secret_unref(&user->password);
	secret_unref(&user->target_password);
	*user = (struct user){ .user = NULL };
}

static void
keep_user(struct load *load, struct user *user)
{
	struct users *users = load->users;

	if (users->count == load->capacity) {
		load->capacity = load->capacity > 0 ? 2 * load->capacity : 64;
		users->rows = xrealloc(users->rows, load->capacity * sizeof(users->rows[0]));
	}
	users->rows[users->count++] = *user;
}

static void
fault_columns(struct load *load, const struct csv_record *record)
{
	unsigned column =
		load->place_count < CSV_COLUMNS_MAX ? record->cells[load->place_count].column : 0;

	faults_add(load->faults, record->line, column,
		"the row has %zu columns, more than the %zu of %s; a value that holds the "
		"separator "
		"needs double quotes",
		record->count, load->place_count,
		load->header ? "the header" : "user;password;name");
}

/* False: cells that are not empty lie beyond the last column. */
static bool
fits(const struct load *load, const struct csv_record *record)
{
	for (size_t i = load->place_count; i < record->count; i++) {
		if (i >= CSV_COLUMNS_MAX || strip(&record->cells[i].text).len > 0)
			return false;
	}
	return true;
}

static void
read_row(struct load *load, const struct csv_record *record)
{
	struct user user = { .line = record->line };

	if (!fits(load, record)) {
		fault_columns(load, record);
		return;
	}
	for (size_t i = 0; i < record->count && i < load->place_count; i++) {
		if (load->places[i] != COLUMN_NONE)
			set_cell(load, &user, &record->cells[i], &columns[load->places[i]]);
	}
	if (user.user == NULL) {
		faults_add(load->faults, record->line, 0, "the user is missing");
		clear_user(&user);
		return;
	}
	if (user.target_user == NULL)
		user.target_user =
			load->pattern != NULL ? by_pattern(load, &user) : xstrdup(user.user);
	if (user.target_user == NULL)
		clear_user(&user);
	else
		keep_user(load, &user);
}

/* Names of users are compared case-blind: nearly all servers do so, and one mailbox migrated twice
 * is worse than a list that must be split for the few that do not. */
static int
compare_text(const char *a, const char *b)
{
	size_t i = 0;

	a = a != NULL ? a : "";
	b = b != NULL ? b : "";
	while (a[i] != '\0' && text_ieqn(a + i, b + i, 1))
		i++;
	if (text_ieqn(a + i, b + i, 1))
		return 0;
	return (a[i] >= 'A' && a[i] <= 'Z' ? a[i] + 32 : a[i]) <
			       (b[i] >= 'A' && b[i] <= 'Z' ? b[i] + 32 : b[i])
		       ? -1
		       : 1;
}

static int
by_line(const struct user *x, const struct user *y)
{
	return x->line < y->line ? -1 : x->line > y->line;
}

static int
by_source(const void *a, const void *b)
{
	const struct user *x = *(const struct user *const *)a, *y = *(const struct user *const *)b;
	int order = compare_text(x->user, y->user);

	if (order == 0)
		order = compare_text(x->source_host, y->source_host);
	return order != 0 ? order : by_line(x, y);
}

static int
by_target(const void *a, const void *b)
{
	const struct user *x = *(const struct user *const *)a, *y = *(const struct user *const *)b;
	int order = compare_text(x->target_user, y->target_user);

	if (order == 0)
		order = compare_text(x->target_host, y->target_host);
	return order != 0 ? order : by_line(x, y);
}

static bool
same_source(const struct user *x, const struct user *y)
{
	return compare_text(x->user, y->user) == 0 &&
	       compare_text(x->source_host, y->source_host) == 0;
}

static bool
same_target(const struct user *x, const struct user *y)
{
	return compare_text(x->target_user, y->target_user) == 0 &&
	       compare_text(x->target_host, y->target_host) == 0;
}

static void
check_doubles(struct load *load)
{
	size_t count = load->users->count;
	const struct user **order = xmalloc((count + 1) * sizeof(*order));

	for (size_t i = 0; i < count; i++)
		order[i] = &load->users->rows[i];
	qsort(order, count, sizeof(*order), by_source);
	for (size_t i = 1, first = 0; i < count; i++) {
		if (!same_source(order[first], order[i]))
			first = i;
		else
			faults_add(load->faults, order[i]->line, 0, "the same user as in line %u",
				order[first]->line);
	}
	qsort(order, count, sizeof(*order), by_target);
	for (size_t i = 1, first = 0; i < count; i++) {
		if (!same_target(order[first], order[i]))
			first = i;
		else if (!same_source(order[first], order[i]))
			faults_add(load->faults, order[i]->line, 0,
				"the same login at the target as in line %u", order[first]->line);
	}
	free(order);
}

static void
read_rows(struct load *load, struct csv *csv)
{
	struct csv_record record;
	bool first = true;

	csv_record_init(&record);
	while (csv_next(csv, &record) == 1) {
		if (record.faulty || is_empty(&record)) {
			first = first && !record.faulty;
			continue;
		}
		if (load->users->count >= CSV_ROWS_MAX) {
			faults_add(load->faults, record.line, 0, "more than %d rows", CSV_ROWS_MAX);
			break;
		}
		if (first && is_header(&record))
			read_header(load, &record);
		else if (first && is_foreign_header(&record))
			faults_add(load->faults, record.line, 0,
				"this looks like a header with names that are not known: take it "
				"away, or name the columns; known are " KNOWN_COLUMNS);
		else
			read_row(load, &record);
		first = false;
	}
	csv_record_clear(&record);
}

int
users_parse(const char *bytes, size_t len, const char *encoding, const char *target_pattern,
	struct faults *faults, struct users *users_r)
{
	struct load load = {
		.faults = faults,
		.users = users_r,
		.pattern = target_pattern,
		.places = { COLUMN_USER, COLUMN_PASSWORD, COLUMN_NAME },
		.place_count = 3,
	};
	size_t before = faults->count;
	struct str text;
	struct csv csv;

	*users_r = (struct users){ .rows = NULL };
	str_init(&text, CSV_TEXT_MAX);
	if (charset_decode(bytes, len, encoding, faults, &text) == 0) {
		csv_init(&csv, str_get(&text), text.len, faults);
		read_rows(&load, &csv);
		check_doubles(&load);
		if (users_r->count == 0 && faults->count == before)
			faults_add(faults, 0, 0, "there is no user in it");
	}
	str_wipe(&text);
	return faults->count == before ? 0 : -1;
}

static bool
has_password(const struct users *users)
{
	for (size_t i = 0; i < users->count; i++) {
		if (users->rows[i].password != NULL || users->rows[i].target_password != NULL)
			return true;
	}
	return false;
}

int
users_load_csv(const char *path, const char *encoding, const char *target_pattern,
	struct users *users_r, struct str *faults_r, struct err *err)
{
	struct faults faults;
	struct err why;
	struct str bytes;
	int ret;

	*users_r = (struct users){ .rows = NULL };
	str_init(&bytes, CSV_FILE_MAX);
	ret = file_read(path, &bytes, err);
	if (ret == 0) {
		faults_init(&faults, path);
		users_parse(str_get(&bytes), bytes.len, encoding, target_pattern, &faults, users_r);
		if (has_password(users_r) && file_check_private(path, &why) < 0)
			faults_add(&faults, 0, 0, "%s", why.text);
		ret = faults_finish(&faults, faults_r, err);
	}
	str_wipe(&bytes);
	if (ret < 0)
		users_clear(users_r);
	return ret;
}

void
users_clear(struct users *users)
{
	for (size_t i = 0; i < users->count; i++)
		clear_user(&users->rows[i]);
	free(users->rows);
	*users = (struct users){ .rows = NULL };
}
