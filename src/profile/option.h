/* option.h - what may stand in a profile: tables that hold the single copy of each option's name,
 * type, range, default and help.
 *
 * Parser, checks, `profile show`, the sample profile and the lists of the manual are drawn from
 * them. The macros refuse a field of the wrong type at compile time. */
#ifndef PROFILE_OPTION_H
#define PROFILE_OPTION_H

#include "base/str.h"
#include "profile/faults.h"
#include "profile/profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
	OPTION_STRING,   /* char *: free text */
	OPTION_CHOICE,   /* char *: one of `names` */
	OPTION_PATH,     /* char *: made absolute; relative ones lie beside the profile */
	OPTION_SECRET,   /* char *: file:PATH, env:NAME, cmd:COMMAND, ask, enc:..., or plain */
	OPTION_UINT,     /* unsigned: min..max */
	OPTION_PORT,     /* unsigned: 1..65535 */
	OPTION_BOOL,     /* bool: yes, no */
	OPTION_ENUM,     /* unsigned: the value of one of `names` */
	OPTION_VERIFY,   /* unsigned and, at `second`, char *: as OPTION_ENUM, or a pin */
	OPTION_BITS,     /* unsigned: a list of `names`, or all, or none */
	OPTION_SIZE,     /* uint64_t: 500, 16M */
	OPTION_DURATION, /* unsigned: 500ms, 10s, 2m; the field counts in units of `scale` ms */
	OPTION_DATE,     /* int64_t: 2015, 2015-06-30 (its first second, UTC); not given: `open` */
	OPTION_LIST,     /* struct profile_list: commas between, double quotes around a comma */
	OPTION_MAP       /* struct profile_map * and, at `second`, size_t: "from -> to", commas */
};

struct option_name {
	const char *name;
	unsigned value; /* of an enum, a bit */
};

struct option_unit {
	const char *name;
	uint64_t value;
};

struct option {
	const char *name; /* in the profile; NULL ends a table */
	enum option_type type;
	size_t offset, second; /* of the field, of the other field of the types that have two */
	uint64_t min, max;     /* of numbers, sizes (bytes) and durations (ms) */
	unsigned scale;        /* ms in a unit of a duration's field */
	int64_t open;          /* of a date that is not given */
	const struct option_name *names;
	const char
		*def; /* as written in a profile, in the form option_write() gives it; NULL: none */
	const char *sample; /* what the sample profile shows; NULL: the default. '%': the section */
	const char *help;   /* one sentence, without its full stop */
	bool required;
	bool active; /* the sample sets it */
};

struct option_section {
	const char *name; /* NULL ends the list */
	size_t offset;    /* of its struct in struct profile */
	const struct option *options;
	const char *help;
};

#define OPTION_SECTIONS 5 /* in the list, its end not counted */
extern const struct option_section profile_sections[];

/* An array of negative size, and so no program, unless the field is of that very type. */
#define OPTION_FIELD(s, field, type)                                                               \
	(offsetof(s, field) + 0 * sizeof(char[_Generic(&((s *)0)->field, type * : 1, default       \
						       : -1)]))

#define OPT_STRING(s, key, field, default_, help_)                                                 \
	.name = (key), .type = OPTION_STRING, .offset = OPTION_FIELD(s, field, char *),            \
	.def = (default_), .help = (help_)
#define OPT_CHOICE(s, key, field, names_, default_, help_)                                         \
	.name = (key), .type = OPTION_CHOICE, .offset = OPTION_FIELD(s, field, char *),            \
	.names = (names_), .def = (default_), .help = (help_)
#define OPT_PATH(s, key, field, help_)                                                             \
	.name = (key), .type = OPTION_PATH, .offset = OPTION_FIELD(s, field, char *),              \
	.help = (help_)
#define OPT_SECRET(s, key, field, help_)                                                           \
	.name = (key), .type = OPTION_SECRET, .offset = OPTION_FIELD(s, field, char *),            \
	.help = (help_)
#define OPT_UINT(s, key, field, default_, min_, max_, help_)                                       \
	.name = (key), .type = OPTION_UINT, .offset = OPTION_FIELD(s, field, unsigned),            \
	.min = (min_), .max = (max_), .def = (default_), .help = (help_)
#define OPT_PORT(s, key, field, help_)                                                             \
	.name = (key), .type = OPTION_PORT, .offset = OPTION_FIELD(s, field, unsigned), .min = 1,  \
	.max = 65535, .help = (help_)
#define OPT_BOOL(s, key, field, default_, help_)                                                   \
	.name = (key), .type = OPTION_BOOL, .offset = OPTION_FIELD(s, field, bool),                \
	.def = (default_), .help = (help_)
#define OPT_ENUM(s, key, field, names_, default_, help_)                                           \
	.name = (key), .type = OPTION_ENUM, .offset = OPTION_FIELD(s, field, unsigned),            \
	.names = (names_), .def = (default_), .help = (help_)
#define OPT_VERIFY(s, key, field, pin_, names_, default_, help_)                                   \
	.name = (key), .type = OPTION_VERIFY, .offset = OPTION_FIELD(s, field, unsigned),          \
	.second = OPTION_FIELD(s, pin_, char *), .names = (names_), .def = (default_),             \
	.help = (help_)
#define OPT_BITS(s, key, field, names_, default_, help_)                                           \
	.name = (key), .type = OPTION_BITS, .offset = OPTION_FIELD(s, field, unsigned),            \
	.names = (names_), .def = (default_), .help = (help_)
#define OPT_SIZE(s, key, field, default_, min_, max_, help_)                                       \
	.name = (key), .type = OPTION_SIZE, .offset = OPTION_FIELD(s, field, uint64_t),            \
	.min = (min_), .max = (max_), .def = (default_), .help = (help_)
#define OPT_DURATION(s, key, field, scale_, default_, min_, max_, help_)                           \
	.name = (key), .type = OPTION_DURATION, .offset = OPTION_FIELD(s, field, unsigned),        \
	.scale = (scale_), .min = (min_), .max = (max_), .def = (default_), .help = (help_)
#define OPT_DATE(s, key, field, open_, help_)                                                      \
	.name = (key), .type = OPTION_DATE, .offset = OPTION_FIELD(s, field, int64_t),             \
	.open = (open_), .help = (help_)
#define OPT_LIST(s, key, field, help_)                                                             \
	.name = (key), .type = OPTION_LIST, .offset = OPTION_FIELD(s, field, struct profile_list), \
	.help = (help_)
#define OPT_MAP(s, key, field, count_, help_)                                                      \
	.name = (key), .type = OPTION_MAP, .offset = OPTION_FIELD(s, field, struct profile_map *), \
	.second = OPTION_FIELD(s, count_, size_t), .help = (help_)

/* The struct of a section of a profile. */
void *option_base(struct profile *profile, const struct option_section *section);
const void *option_base_const(const struct profile *profile, const struct option_section *section);

/* Case-blind; NULL: no such. */
const struct option_section *option_section_find(const char *name);
const struct option *option_find(const struct option_section *section, const char *name);

/* Where a value stands, for its faults and for relative paths. */
struct option_place {
	struct faults *faults;
	unsigned line;
	const char *section;
	const char *dir; /* absolute */
};

/* Reads `text`, a value as it stands in the file with its quotes (empty: the default), into the
 * field at `base`. 0, or -1 with the faults named; the field is as before then. */
int option_parse(const struct option *option, void *base, const char *text,
	const struct option_place *place);

/* Puts the default into the field. */
void option_default(const struct option *option, void *base);
/* Frees what the field owns. */
void option_clear(const struct option *option, void *base);
/* Appends the value as it would stand in a profile; a secret only as its kind, "(file)". */
void option_write(const struct option *option, const void *base, struct str *out);
/* Appends what may be written: "1..65535", "yes | no", "size, 1K..1G". */
void option_describe(const struct option *option, struct str *out);
/* Appends `text` with the quotes that a scalar needs in a profile. -1: it cannot be written. */
int option_quote(const char *text, struct str *out);

/* "file", "env", "cmd", "ask", "enc" or "plain". */
const char *option_secret_kind(const char *spec);

#endif
