/* args.h - the words and options behind a subcommand. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Which options a subcommand takes: bits of struct subcommand.options. */
enum args_option {
	ARGS_USERS = 1 << 0,   /* --users FILE */
	ARGS_ONLY = 1 << 1,    /* --only GLOB, any number of times */
	ARGS_DRY_RUN = 1 << 2, /* --dry-run */
	ARGS_DETACH = 1 << 3,  /* --detach */
	ARGS_JOBS = 1 << 4,    /* --jobs N */
	ARGS_JSON = 1 << 5,    /* --json */
	ARGS_REASON = 1 << 6,  /* --reason CODE */
	ARGS_AS = 1 << 7,      /* --as landed|send|skip */
	ARGS_FORMAT = 1 << 8,  /* --format txt|csv|json */
	ARGS_FOLDERS = 1 << 9, /* --folders */
	ARGS_REBIND = 1 << 10  /* --rebind NAME, any number of times */
};

#define ARGS_WORDS 3

/* Strings are those of argv. */
struct args {
	const char *words[ARGS_WORDS]; /* PROFILE and what follows it */
	size_t word_count;
	const char **only, **rebind; /* NULL = none */
	size_t only_count, rebind_count;
	const char *users, *reason, *as, *format;
	bool dry_run, detach, json, folders, help;
	unsigned jobs; /* 0 = not given */
};

/* argv: what stands behind the subcommand's name. Options may stand anywhere, "--x V" and "--x=V"
 * are one; "--" ends them; --help and -h are always taken. ERR_USAGE names what was wrong. */
int args_parse(int argc, char **argv, unsigned options, struct args *args_r, struct err *err);
void args_clear(struct args *args);

#endif
