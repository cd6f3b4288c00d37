/* tables.c - every option of a profile: the single copy of name, type, range, default and help.
 *
 * An option is here only when the program does what it says; the parser knows no others. */
#include "base/log.h"
#include "mail/ladder.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

#define SECOND_MS 1000U
#define HOUR_MS   (3600U * SECOND_MS)

const struct option_unit option_sizes[] = {
	{ "", 1 },
	{ "K", 1U << 10 },
	{ "M", 1U << 20 },
	{ "G", 1U << 30 },
	{ "T", TIB },
	{ NULL, 0 },
};

const struct option_unit option_durations[] = {
	{ "ms", 1 },
	{ "s", SECOND_MS },
	{ "m", 60 * SECOND_MS },
	{ "h", HOUR_MS },
	{ NULL, 0 },
};

static const struct option_name types[] = { { "imap", 0 }, { NULL, 0 } };

static const struct option_name securities[] = {
	{ "tls", OPTION_TLS },
	{ "starttls", OPTION_STARTTLS },
	{ "none", OPTION_CLEAR },
	{ NULL, 0 },
};

static const struct option_name verifies[] = {
	{ "yes", OPTION_VERIFY_YES },
	{ "no", OPTION_VERIFY_NO },
	{ NULL, 0 },
};

static const struct option_name tls_versions[] = {
	{ "1.0", 10 },
	{ "1.1", 11 },
	{ "1.2", 12 },
	{ "1.3", 13 },
	{ NULL, 0 },
};

static const struct option_name auths[] = {
	{ "plain", OPTION_PLAIN },
	{ "login", OPTION_LOGIN },
	{ "cram-md5", OPTION_CRAM_MD5 },
	{ "master", OPTION_MASTER },
	{ "xoauth2", OPTION_XOAUTH2 },
	{ "oauthbearer", OPTION_OAUTHBEARER },
	{ NULL, 0 },
};

static const struct option_name compressions[] = {
	{ "auto", OPTION_COMPRESS_AUTO },
	{ "yes", OPTION_COMPRESS_YES },
	{ "no", OPTION_COMPRESS_NO },
	{ NULL, 0 },
};

static const struct option_name user_sources[] = { { "csv", 0 }, { NULL, 0 } };

static const struct option_name subscriptions[] = {
	{ "copy", SUBSCRIBE_COPY },
	{ "all", SUBSCRIBE_ALL },
	{ "none", SUBSCRIBE_NONE },
	{ NULL, 0 },
};

static const struct option_name existings[] = {
	{ "refuse", EXISTING_REFUSE },
	{ "add", EXISTING_ADD },
	{ NULL, 0 },
};

/* Names as ladder_name() has them; a test compares. */
static const struct option_name ladder_steps[] = {
	{ "line_ends", 1U << LADDER_LINE_ENDS },
	{ "nul", 1U << LADDER_NUL },
	{ "8bit_header", 1U << LADDER_8BIT_HEADER },
	{ "long_lines", 1U << LADDER_LONG_LINES },
	{ "wrapped", 1U << LADDER_WRAP },
	{ NULL, 0 },
};

static const struct option_name log_levels[] = {
	{ "error", LOG_ERROR },
	{ "warn", LOG_WARN },
	{ "info", LOG_INFO },
	{ "debug", LOG_DEBUG },
	{ "trace", LOG_TRACE },
	{ NULL, 0 },
};

static const struct option side_options[] = {
	{ OPT_CHOICE(struct profile_side, "type", type, types, "imap", "the protocol") },
	{ OPT_STRING(struct profile_side, "host", host, NULL, "the server's name or address"),
		.sample = "mail.%.example", .required = true, .active = true },
	{ OPT_PORT(struct profile_side, "port", port,
		"its TCP port; not given: 993 with security = tls, else 143") },
	{ OPT_ENUM(struct profile_side, "security", security, securities, "tls",
		"TLS from the first byte, by STARTTLS, or clear text, which must be written out") },
	{ OPT_VERIFY(struct profile_side, "tls_verify", verify, pin, verifies, "yes",
		"whether the certificate must be valid; a pin takes the server by the hash of its "
		"public key instead") },
	{ OPT_PATH(struct profile_side, "tls_ca", ca_file,
		  "a PEM file of authorities to trust beside those of the system"),
		.sample = "/etc/ssl/old-ca.pem" },
	{ OPT_ENUM(struct profile_side, "tls_min", tls_min, tls_versions, "1.2",
		"the oldest version of TLS accepted; a lower one than 1.2 is shown in the "
		"report") },
	{ OPT_ENUM(struct profile_side, "auth", auth, auths, "plain",
		"how to log in; master is the user's and the admin's name in one, for "
		"xoauth2 and oauthbearer admin_password is the token") },
	{ OPT_STRING(struct profile_side, "master_separator", separator, "*",
		"what stands between the two names with auth = master") },
	{ OPT_STRING(struct profile_side, "admin_user", admin_user, NULL,
		  "an account that may open every mailbox; not given: each user logs in with the "
		  "password of the user list"),
		.sample = "migrator" },
	{ OPT_SECRET(struct profile_side, "admin_password", admin_password,
		  "its password, or where to find it"),
		.sample = "file:/root/.mailhaul/password" },
	{ OPT_DURATION(struct profile_side, "timeout", timeout_s, SECOND_MS, "2m", SECOND_MS,
		HOUR_MS, "how long to wait for an answer before the connection is given up") },
	{ OPT_DURATION(struct profile_side, "connection_age", connection_age_ms, 1, "50m", 0,
		24 * HOUR_MS,
		"connections this old are renewed between two messages, before a server ends them "
		"in the middle of one; 0: never") },
	{ OPT_ENUM(struct profile_side, "compress", compress, compressions, "auto",
		"COMPRESS=DEFLATE where the server offers it; auto: where the line turns out to be "
		"slow and compression to be faster") },
	{ OPT_UINT(struct profile_side, "connections", connections, "0", 0, 1000,
		"the most connections at a time to this server, as far as it can bear them; 0: two "
		"for each job") },
	{ .name = NULL },
};

static const struct option users_options[] = {
	{ OPT_CHOICE(struct profile_users, "from", from, user_sources, "csv",
		"where the list of users comes from") },
	{ OPT_PATH(struct profile_users, "file", file,
		  "the list: user;password;full name, or columns named by a header row"),
		.sample = "users.csv", .active = true },
	{ OPT_STRING(struct profile_users, "target_user", target_user, NULL,
		  "the login at the target where the row names none: {user} as at the source, "
		  "{local} "
		  "and {domain} its parts before and behind the @"),
		.sample = "{local}@new.example" },
	{ OPT_STRING(struct profile_users, "encoding", encoding, "auto",
		"the code page of the list, as iconv names it; auto: UTF-8, or UTF-16 by its "
		"mark") },
	{ .name = NULL },
};

static const struct option folders_options[] = {
	{ OPT_LIST(struct profile_folders, "include", include,
		  "only these folders, * and ? stand for anything; not given: all"),
		.sample = "INBOX, Sent*, Projects/*" },
	{ OPT_LIST(struct profile_folders, "exclude", exclude, "these folders not"),
		.sample = "Trash, Junk/*" },
	{ OPT_MAP(struct profile_folders, "map", maps, map_count,
		  "other names at the target; /* at the end takes what lies below"),
		.sample = "\"Sent Items\" -> Sent, Work/* -> Archive/Work/*" },
	{ OPT_BOOL(struct profile_folders, "special_use", special_use, "yes",
		"whether Sent, Drafts, Trash and the like go to the target's folders of that use, "
		"whatever their language") },
	{ OPT_ENUM(struct profile_folders, "subscriptions", subscriptions, subscriptions, "copy",
		"whether folders are subscribed as at the source, all, or none") },
	{ .name = NULL },
};

static const struct option run_options[] = {
	{ OPT_UINT(struct profile_run, "jobs", jobs, "6", 1, PROFILE_JOBS_MAX,
		"mailboxes at a time") },
	{ OPT_UINT(struct profile_run, "mailbox_connections", mailbox_connections, "4", 1, 8,
		"the most pairs of connections for one large mailbox, where other mailboxes "
		"leave room for them") },
	{ OPT_SIZE(struct profile_run, "large_mailbox", large_mailbox, "24M", 0, TIB,
		"with so much left to copy a mailbox is large; 0: each is, from its start") },
	{ OPT_SIZE(struct profile_run, "large_folder", large_folder, "256M", 0, TIB,
		"a folder of so much is divided among a large mailbox's connections, and its "
		"messages then lie nearly, not exactly, in the order of the source; 0: any is") },
	{ OPT_DATE(struct profile_run, "since", since, INT64_MIN,
		  "only mail received from then on (UTC)"),
		.sample = "2015" },
	{ OPT_DATE(struct profile_run, "before", before, INT64_MAX,
		  "only mail received before (UTC)"),
		.sample = "2026-07-01" },
	{ OPT_SIZE(struct profile_run, "max_size", max_size, "0", 0, TIB,
		  "larger messages are skipped and listed; 0: no limit"),
		.sample = "100M" },
	{ OPT_ENUM(struct profile_run, "existing", existing, existings, "refuse",
		"a folder of the target that holds mail before we first write to it: refuse the "
		"folder, or add to it") },
	{ OPT_BITS(struct profile_run, "ladder", ladder, ladder_steps, "all",
		"repairs that may be tried, in this order, on a message whose content the target "
		"refuses") },
	{ OPT_BOOL(struct profile_run, "flag_changes", flag_changes, "yes",
		"whether later rounds bring changed flags") },
	{ OPT_DURATION(struct profile_run, "settle_wait", settle_wait_ms, 1, "10s", 0, HOUR_MS,
		"after an interrupted send, how long to wait between the two looks at the "
		"target") },
	{ OPT_UINT(struct profile_run, "batch_messages", batch_messages, "100", 1, 10000,
		"the most messages sent as one batch") },
	{ OPT_SIZE(struct profile_run, "batch_bytes", batch_bytes, "4M", KIB, GIB,
		"the most bytes sent as one batch, a single message apart") },
	{ OPT_SIZE(struct profile_run, "stream_limit", stream_limit, "16M", KIB, GIB,
		"a larger message is sent while it arrives instead of being kept") },
	{ OPT_ENUM(struct profile_run, "log_level", log_level, log_levels, "info",
		"what debug.log holds; trace adds the protocol, passwords removed") },
	{ OPT_PATH(struct profile_run, "state_dir", state_dir,
		  "where ledger and lock are; not given: $XDG_STATE_HOME/mailhaul/NAME"),
		.sample = "/var/lib/mailhaul/acme" },
	{ OPT_PATH(struct profile_run, "log_dir", log_dir,
		  "where each run makes its directory of reports; not given: logs in the state "
		  "directory"),
		.sample = "/var/log/mailhaul" },
	{ .name = NULL },
};

const struct option_section profile_sections[] = {
	{ "source", offsetof(struct profile, source), side_options,
		"where the mail is; it is never changed" },
	{ "target", offsetof(struct profile, target), side_options, "where the mail goes" },
	{ "users", offsetof(struct profile, users), users_options, "whose mail is moved" },
	{ "folders", offsetof(struct profile, folders), folders_options,
		"which folders, under which names" },
	{ "run", offsetof(struct profile, run), run_options, "how the work is done" },
	{ NULL, 0, NULL, NULL },
};
