/* profile.h - a profile: what to move from where to where, as the admin wrote it.
 *
 * Made by profile_load() from the INI file and the option tables (option.h), immutable
 * afterwards, so any thread may read it. Strings belong to the profile; NULL = not given. */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a side's verify, security, auth and compress: the numbers of net/endpoint.h, which this folder
 * may not include; src/users/test_csv.c holds them equal. */
enum { OPTION_VERIFY_YES, OPTION_VERIFY_NO, OPTION_VERIFY_PIN };
enum { OPTION_COMPRESS_AUTO, OPTION_COMPRESS_YES, OPTION_COMPRESS_NO };
enum { OPTION_TLS, OPTION_STARTTLS, OPTION_CLEAR };
enum {
	OPTION_PLAIN,
	OPTION_LOGIN,
	OPTION_CRAM_MD5,
	OPTION_MASTER,
	OPTION_XOAUTH2,
	OPTION_OAUTHBEARER
};

struct profile_side { /* [source], [target] */
	char *type;   /* "imap" */
	char *host;
	unsigned port;     /* 0 = 993 for tls, else 143: filled in by load */
	unsigned security; /* enum net_security, by the same numbers */
	unsigned verify;   /* enum net_verify */
	char *pin;
	char *ca_file;    /* tls_ca */
	unsigned tls_min; /* 10..13 */
	unsigned auth;    /* enum net_auth */
	char *separator;  /* master_separator, default "*" */
	char *admin_user;
	char *admin_password;       /* as written: file:, env:, cmd:, ask, enc:, or plain */
	unsigned timeout_s;         /* default 120 */
	unsigned compress;          /* enum net_compress */
	unsigned connection_age_ms; /* of connections that are renewed; 0: never; default 50 min */
	unsigned connections;       /* most at once to this host, default 0 = 2 x jobs */
};

struct profile_users { /* [users] */
	char *from;    /* "csv" */
	char *file;
	char *target_user; /* pattern: {local} {domain} {user} */
	char *encoding;    /* auto | utf-8 | utf-16 | a code page */
};

struct profile_list {
	char **values;
	size_t count;
};

struct profile_map {
	char *from, *to; /* "Sent Items" -> "Sent"; a trailing "/" + "*" takes what is below */
};

struct profile_folders {                      /* [folders] */
	struct profile_list include, exclude; /* globs over the path shown with "/" */
	struct profile_map *maps;
	size_t map_count;
	bool special_use;       /* map Sent, Drafts, ... by use and language table; default yes */
	unsigned subscriptions; /* enum profile_subscriptions */
};
enum profile_subscriptions { SUBSCRIBE_COPY, SUBSCRIBE_ALL, SUBSCRIBE_NONE };

enum profile_existing { EXISTING_REFUSE, EXISTING_ADD };

#define PROFILE_JOBS_MAX 256 /* mailboxes at a time, whoever asks */

struct profile_run { /* [run] */
	unsigned jobs;
	unsigned mailbox_connections; /* pairs for one mailbox, 1 to 8; default 4 */
	uint64_t large_mailbox;       /* bytes left that make it large; default 24 MB */
	uint64_t large_folder;        /* bytes left in one that is divided; default 256 MB */
	int64_t since, before;        /* UTC; INT64_MIN / INT64_MAX = open */
	uint64_t max_size;            /* bytes; 0 = open */
	unsigned existing;            /* enum profile_existing */
	unsigned ladder;              /* a bit per enum ladder_step but LADDER_AS_IS; default all */
	bool flag_changes;            /* later rounds carry flag changes; default yes */
	unsigned settle_wait_ms;
	unsigned batch_messages;   /* most in a batch, default 100 */
	uint64_t batch_bytes;      /* default 4 MB */
	uint64_t stream_limit;     /* a larger message is sent while it arrives; default 16 MB */
	unsigned log_level;        /* enum log_level */
	char *state_dir, *log_dir; /* NULL: DESIGN section 8 */
};

struct profile {
	char *name; /* of the profile: file name without .ini */
	char *path; /* real path */
	struct profile_side source, target;
	struct profile_users users;
	struct profile_folders folders;
	struct profile_run run;
	char *state_dir; /* resolved, not yet made */
};

/* All faults of the file, in its order, "file:line: [section] key: what was expected", one per
 * line in faults_r when it is not NULL; *err has the first. name_or_path: "acme" or a path; it is
 * a path when it has a slash or ends in .ini. */
int profile_load(const char *name_or_path, struct profile **profile_r, struct str *faults_r,
	struct err *err);
void profile_free(struct profile **profile);

/* The file that profile_load() would read, there or not; allocated. NULL: not a name. */
char *profile_path(const char *name_or_path, struct err *err);
/* Whether a new profile may be called that. reserved: names of commands, NULL at the end. */
bool profile_name_ok(const char *name, const char *const *reserved, struct err *err);

/* The profile as INI text, secrets as their kind only; without defaults: what differs. */
void profile_show(const struct profile *profile, struct str *out, bool with_defaults);
/* A commented profile to start from: what must be set, and every other option with its default. */
void profile_sample(struct str *out);
/* The option list of the manual: Markdown, and roff. */
void profile_options_md(struct str *out);
void profile_options_man(struct str *out);

/* Sets one value in the file and leaves its other lines and comments as they are; atomic, 0600.
 * A value is checked as profile_load() would; value NULL or "": back to the default. A section or
 * key not yet there is added. 0, or -1 with ERR_PROFILE or ERR_DISK. */
int profile_set(
	const char *path, const char *section, const char *key, const char *value, struct err *err);

/* Resolves "file:PATH" (one line end cut), "env:NAME", "cmd:COMMAND" (first line, 10 s), "enc:...",
 * "ask", or a plain one. `what` names it in the question and in errors. ask() is called for "ask"
 * and for the passphrase of "enc:" (NULL: an error); it returns 0 with a new secret.
 * 0, or -1 with ERR_PROFILE; the error never holds the secret. Blocks on file, command and ask().
 */
typedef int profile_ask(void *context, const char *what, struct secret **secret_r, struct err *err);
int profile_secret(const char *spec, const char *what, profile_ask *ask, void *context,
	struct secret **secret_r, struct err *err);

/* Whether the files and variables that the profile names as passwords are there, private and sound.
 * Commands are not run, nobody is asked. -1: as profile_load(), each fault with its line. */
int profile_check_secrets(const struct profile *profile, struct str *faults_r, struct err *err);

/* "enc:v1:...": the secret under AES-256-GCM with a key from the passphrase. Takes a moment. */
int profile_encrypt(const struct secret *secret, const struct secret *passphrase, struct str *out,
	struct err *err);

#endif
