/* test_profile.c - whole profiles: what is read, every fault with its line, where files lie, and
 * changes in place. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/test.h"
#include "profile/profile_private.h"

#include "base/banned.h"

#define TEXT(s) (s), sizeof(s) - 1
#define HOSTS   "[source]\nhost = s\n[target]\nhost = t\n"

struct test_case {
	const char *bytes;
	size_t len;
	const char *want; /* what differs from the defaults, or all faults */
};

static void
check_case(const struct test_case *c)
{
	static struct faults faults;
	struct profile *profile;
	struct str out;
	struct err err;

	str_init(&out, 0);
	faults_init(&faults, "p");
	if (profile_parse(c->bytes, c->len, "/dir", &faults, &profile) == 0)
		profile_show(profile, &out, false);
	else
		faults_finish(&faults, &out, &err);
	CHECK_STR(str_get(&out), c->want);
	profile_free(&profile);
	str_clear(&out);
}

#define CHECK_ALL(cases)                                                                           \
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)                            \
	check_case(&(cases)[i])

#define SHOWN(source, target)                                                                      \
	"[source]\nhost = " source "\nport = 993\n\n[target]\nhost = " target "\nport = 993\n"

static void
reads_what_was_written(void)
{
	static const struct test_case cases[] = {
		{ TEXT(HOSTS), SHOWN("s", "t") },
		/* mark of UTF-8, CRLF, case, blanks, comments, no last line end */
		{ TEXT("\xEF\xBB\xBF; c\r\n [Source] \r\n  HOST=s ; c\r\n#c\r\n\r\n[ target "
		       "]\r\nhost\t=\tt # c"),
			SHOWN("s", "t") },
		/* quotes hide what iniparser would cut at, and its own quotes inside a value */
		{ TEXT("[source]\nhost = \"s;x\" ; \"c\"\n[target]\nhost = t'\"t ; c\n"),
			SHOWN("\"s;x\"", "t'\"t") },
		{ TEXT(HOSTS "[folders]\nexclude = \"a;b\", 'c#d', e\n"),
			SHOWN("s", "t") "\n[folders]\nexclude = \"a;b\", \"c#d\", e\n" },
		{ TEXT(HOSTS "[folders]\nmap = \"Sent Items\" -> Sent, b -> \"c, d\" ; c\n"),
			SHOWN("s",
				"t") "\n[folders]\nmap = \"Sent Items\" -> Sent, b -> \"c, d\"\n" },
		{ TEXT("[source]\nhost = s\nadmin_user = \" a \"\nadmin_password = 'a\"b\\'\n"
		       "[target]\nhost = t\n"),
			"[source]\nhost = s\nport = 993\nadmin_user = \" a \"\nadmin_password = "
			"(plain)\n\n"
			"[target]\nhost = t\nport = 993\n" },
		/* empty is the default */
		{ TEXT("[source]\nhost = s\nport =\ntimeout = ; c\nauth = "
		       "\"\"\n[target]\nhost=t\n"),
			SHOWN("s", "t") },
		{ TEXT("[source]\nhost = s\nsecurity = starttls\n[target]\nhost = t\n"),
			"[source]\nhost = s\nport = 143\nsecurity = starttls\n\n[target]\nhost = "
			"t\nport = "
			"993\n" },
		{ TEXT(HOSTS "[users]\nfile = u.csv\n[run]\nlog_dir = logs\nstate_dir = /s\n"),
			SHOWN("s", "t") "\n[users]\nfile = /dir/u.csv\n\n[run]\nstate_dir = "
					"/s\nlog_dir = /dir/logs\n" },
	};

	CHECK_ALL(cases);
}

static void
names_faults_of_form(void)
{
	static const struct test_case cases[] = {
		{ TEXT("host = s\n" HOSTS), "p:1: host stands before the first [section]\n" },
		{ TEXT(HOSTS "host = u\n[source]\nauth = plain\n"),
			"p:5: [target] host: is here a second time, after line 4\n"
			"p:6: [source] is here a second time, after line 1\n" },
		{ TEXT("[source]\nhost = s;x\n[target]\nhost = t#x\n"),
			"p:2: the value would end at ';': put it in double quotes (a comment has a "
			"blank "
			"before and behind its ';')\n"
			"p:4: the value would end at '#': put it in double quotes (a comment has a "
			"blank "
			"before and behind its '#')\n" },
		{ TEXT("[source]\nhost = s ;x\n[target]\nhost = \"t\n"),
			"p:2: the value would end at ';': put it in double quotes (a comment has a "
			"blank "
			"before and behind its ';')\n"
			"p:4: the quote \" is not closed\n" },
		{ TEXT("[source]\nhost = s\\\n[target]\nhost = \"t\" u\n"),
			"p:2: a backslash at the end would join the next line: put the value in "
			"double "
			"quotes\n"
			"p:4: [target] host: there is text behind the closing quote\n" },
		{ TEXT("[source]\nhost = s\n[target\nhost = t\n"), "p:3: ']' is missing\n" },
		{ TEXT("[source]\nhost = s\n[target] ; c\nhost = t\n"),
			"p:3: only the end of the line may follow ']': comments go on a line of "
			"their own\n" },
		{ TEXT(HOSTS "[]\nx = 1\n[a b]\nx = 1\n"),
			"p:5: this is not a name of a section\np:7: this is not a name of a "
			"section\n" },
		{ TEXT(HOSTS "host\n= x\na b = c\n"),
			"p:5: '=' is missing: neither a key, a [section] nor a comment\n"
			"p:6: there is no key before '='\np:7: this is not a name of a key\n" },
		{ TEXT(HOSTS "; a\0b\n;\x01\n;\x7F\n; \xFF\n"),
			"p:5:4: a NUL byte (0x00)\np:6:2: a control byte (0x01)\n"
			"p:7:2: a control byte (0x7F)\np:8: the line is not UTF-8\n" },
		{ TEXT("\xFF\xFE[\0"),
			"p: [source] host: is missing: the server's name or address\n"
			"p: [target] host: is missing: the server's name or address\n"
			"p:1: the file is UTF-16: save it as UTF-8\n" },
		{ TEXT(""), "p: [source] host: is missing: the server's name or address\n"
			    "p: [target] host: is missing: the server's name or address\n" },
	};

	CHECK_ALL(cases);
}

static void
names_faults_of_values(void)
{
	static const struct test_case cases[] = {
		/* all in one pass, in the file's order */
		{ TEXT("[source]\nprot = 993\nhost = s\nport = 70000\njobs = 3\n[tarket]\nx = 1\n"
		       "[target]\nhost = \"\"\nurl = x\n[folder]\n"),
			"p:2: [source] prot: there is no such key, did you mean port?\n"
			"p:4: [source] port: 70000 is not in 1..65535\n"
			"p:5: [source] jobs: belongs into [run]\n"
			"p:6: [tarket]: there is no such section, did you mean [target]?\n"
			"p:8: [target] host: is missing: the server's name or address\n"
			"p:10: [target] url: there is no such key\n"
			"p:11: [folder]: there is no such section, did you mean [folders]?\n" },
		/* keys of the design whose work is not built are unknown */
		{ TEXT(HOSTS
			  "[run]\nverify = no\nrights = yes\nexisting = adopt\n[notify]\nto = x\n"
			  "[directory]\n[public]\n[provision]\n"),
			"p:6: [run] verify: there is no such key\np:7: [run] rights: there is no "
			"such key\n"
			"p:8: [run] existing: adopt is not refuse | add\n"
			"p:9: [notify]: there is no such section\n"
			"p:11: [directory]: there is no such section\n"
			"p:12: [public]: there is no such section\n"
			"p:13: [provision]: there is no such section\n" },
		{ TEXT("[source]\nhost = s\nadmin_user = a\nadmin_password = S3CRET ; x\n"
		       "[target]\nhost = t\n"),
			"p:4: [source] admin_password: put the password in double quotes: it would "
			"end "
			"before ; or #\n" },
		{ TEXT("[source]\nhost = s\nadmin_user = a\nadmin_password = enc:v1:S3CRET\n"
		       "[target]\nhost = t\nadmin_user = a\nadmin_password = \"S3\" CRET\n"),
			"p:4: [source] admin_password: this is not what `profile encrypt` writes "
			"(enc:v1:...)\n"
			"p:8: [target] admin_password: there is text behind the closing quote\n" },
	};

	CHECK_ALL(cases);
}

static void
names_contradictions(void)
{
	static const struct test_case cases[] = {
		{ TEXT("[source]\nhost = s\nsecurity = none\n"
		       "tls_verify = spki-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
		       "tls_min = 1.3\ntls_ca = /x\n[target]\nhost = t\ntls_verify = no\ntls_ca = "
		       "x\n"),
			"p:4: [source] tls_verify: has no effect with security = none\n"
			"p:5: [source] tls_min: has no effect with security = none\n"
			"p:6: [source] tls_ca: has no effect with security = none\n"
			"p:10: [target] tls_ca: has no effect with tls_verify = no\n" },
		{ TEXT("[source]\nhost = s\nport = 143\n[target]\nhost = t\nsecurity = "
		       "starttls\nport = "
		       "993\n"),
			"p:3: [source] port: 143 is for security = starttls or none, not for tls\n"
			"p:7: [target] port: 993 is for security = tls\n" },
		{ TEXT("[source]\nhost = s\nauth = master\n[target]\nhost = t\nauth = xoauth2\n"),
			"p:3: [source] auth: master needs admin_user\n"
			"p:6: [target] auth: xoauth2 and oauthbearer need a token in "
			"admin_password\n" },
		{ TEXT("[source]\nhost = s\nadmin_user = a\n[target]\nhost = t\nadmin_password = "
		       "ask\n"
		       "master_separator = +\n"),
			"p:3: [source] admin_user: needs admin_password\n"
			"p:6: [target] admin_password: needs admin_user\n"
			"p:7: [target] master_separator: has no effect with any auth but "
			"master\n" },
		{ TEXT("[source]\nhost = s\nauth = login\nadmin_user = a\nadmin_password = ask\n"
		       "[target]\nhost = https://t/\n"),
			"p:4: [source] admin_user: with auth = login or cram-md5 nobody can open "
			"another "
			"user's mailbox: take plain or master\n"
			"p:7: [target] host: a server's name or address, without user, path or "
			"port\n" },
		{ TEXT(HOSTS "[run]\nsince = 2020\nbefore = 2020-01-01\n"),
			"p:6: [run] since: is not earlier than before\n" },
		{ TEXT(HOSTS "[users]\ntarget_user = {lokal}@x\nencoding = klingon\n"),
			"p:6: [users] target_user: only {user}, {local} and {domain} may stand in "
			"braces\n"
			"p:7: [users] encoding: klingon is not a code page that iconv knows\n" },
		{ TEXT(HOSTS "[users]\ntarget_user = x@{domain}\n"),
			"p:6: [users] target_user: without {user} or {local} all users would get "
			"one "
			"login\n" },
		{ TEXT(HOSTS "[users]\ntarget_user = {local\n"),
			"p:6: [users] target_user: only {user}, {local} and {domain} may stand in "
			"braces\n" },
		/* a fault of its own hides what would follow from it */
		{ TEXT("[source]\nhost = s\nsecurity = ssl\nport = 143\nauth = md5\nadmin_user = "
		       "x\n"
		       "[target]\nhost = t\n"),
			"p:3: [source] security: ssl is not tls | starttls | none\n"
			"p:5: [source] auth: md5 is not plain | login | cram-md5 | master | "
			"xoauth2 | "
			"oauthbearer\n" },
	};

	CHECK_ALL(cases);
}

/* iniparser itself gives up at these lengths. */
static void
holds_its_limits(void)
{
	static const struct {
		size_t len;
		const char *fault;
	} cases[] = {
		{ 1020, "" },
		{ 1021, "p:5: the line has 1021 bytes, more than 1020\n" },
		{ 1100, "p:5: the line has 1100 bytes, more than 1020\n" },
	};
	static struct faults faults;
	struct profile *profile;
	struct str text, told;
	struct err err;

	str_init(&text, 0);
	str_init(&told, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		str_reset(&text);
		str_reset(&told);
		str_adds(&text, HOSTS "master_separator=");
		while (text.len < strlen(HOSTS) + cases[i].len)
			str_addc(&text, 'x');
		str_adds(&text, "\nauth = master\nadmin_user = a\nadmin_password = ask\n");
		faults_init(&faults, "p");
		profile_parse(str_get(&text), text.len, "/", &faults, &profile);
		if (faults.count == 0)
			CHECK_INT(strlen(profile->target.separator),
				1020 - strlen("master_separator="));
		faults_finish(&faults, &told, &err);
		CHECK_STR(str_get(&told), cases[i].fault);
		profile_free(&profile);
	}
	str_reset(&text);
	for (unsigned i = 0; i < 2000; i++)
		str_addf(&text, "%sk%u = 1\n", i == 0 ? "[run]\n" : "", i);
	faults_init(&faults, "p");
	CHECK_INT(profile_parse(str_get(&text), text.len, "/", &faults, &profile), -1);
	CHECK_INT(faults.count, 1000 + 1 + 2);
	faults_clear(&faults);
	profile_free(&profile);
	str_clear(&text);
	str_clear(&told);
}

/* A directory of its own for each test, in it config/mailhaul/. */
struct place {
	char dir[64];
	char *config, *outside;
};

static void
write_file(const char *path, const char *text, mode_t mode)
{
	struct err err;

	CHECK_INT(file_write_atomic(path, text, strlen(text), &err), 0);
	CHECK_INT(chmod(path, mode), 0);
}

static void
place_open(struct place *place)
{
	struct err err;

	memcpy(place->dir, "/tmp/test_profile.XXXXXX", 25);
	CHECK(mkdtemp(place->dir) != NULL);
	setenv("XDG_CONFIG_HOME", place->dir, 1);
	setenv("XDG_STATE_HOME", "/state", 1);
	place->config = xasprintf("%s/mailhaul", place->dir);
	CHECK_INT(file_mkdirs(place->config, &err), 0);
	free(place->config);
	place->config = xasprintf("%s/mailhaul/acme.ini", place->dir);
	place->outside = xasprintf("%s/acme.ini", place->dir);
	write_file(place->config, HOSTS, 0644);
	write_file(place->outside, HOSTS, 0644);
}

static void
place_close(struct place *place)
{
	char *dir = xasprintf("%s/mailhaul", place->dir);

	unlink(place->config);
	unlink(place->outside);
	rmdir(dir);
	rmdir(place->dir);
	free(dir);
	free(place->config);
	free(place->outside);
}

static void
finds_profiles_and_their_state(void)
{
	struct profile *profile, *again;
	struct place place;
	struct err err;

	place_open(&place);
	CHECK_INT(profile_load("acme", &profile, NULL, &err), 0);
	CHECK_STR(profile->name, "acme");
	CHECK_STR(profile->path, place.config);
	CHECK_STR(profile->state_dir, "/state/mailhaul/acme");
	/* by its path it is the same profile */
	CHECK_INT(profile_load(place.config, &again, NULL, &err), 0);
	CHECK_STR(again->state_dir, profile->state_dir);
	profile_free(&profile);
	profile_free(&again);
	/* another file of that name has another state, and always the same */
	CHECK_INT(profile_load(place.outside, &profile, NULL, &err), 0);
	CHECK_STR(profile->name, "acme");
	CHECK_INT(strlen(profile->state_dir), strlen("/state/mailhaul/acme-") + 12);
	CHECK_INT(chdir(place.dir), 0);
	CHECK_INT(profile_load("./acme.ini", &again, NULL, &err), 0);
	CHECK_STR(again->state_dir, profile->state_dir);
	profile_free(&again);
	CHECK_INT(profile_load("acme.ini", &again, NULL, &err), 0);
	CHECK_STR(again->state_dir, profile->state_dir);
	profile_free(&profile);
	profile_free(&again);
	write_file(place.config, HOSTS "[run]\nstate_dir = state\n", 0644);
	CHECK_INT(profile_load("acme", &profile, NULL, &err), 0);
	again = NULL;
	CHECK(profile != NULL && strstr(profile->state_dir, "/mailhaul/state") != NULL);
	profile_free(&profile);
	CHECK_INT(profile_load("nope", &profile, NULL, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK(profile == NULL);
	CHECK_INT(chdir("/"), 0);
	place_close(&place);
}

static void
takes_only_plain_names(void)
{
	static const char *const reserved[] = { "run", "status", NULL };
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
		{ "acme", true },
		{ "acme-2026_b.c", true },
		{ "run", false },
		{ "status", false },
		{ "runs", true },
		{ "", false },
		{ ".acme", false },
		{ "-acme", false },
		{ "a/b", false },
		{ "a b", false },
		{ "a.ini", false },
		{ "\xC3\xA4", false },
	};
	struct err err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_INT(profile_name_ok(cases[i].name, reserved, &err), cases[i].good);
}

static void
wants_a_private_file_for_a_password(void)
{
	static const char text[] = "[source]\nhost = s\nadmin_user = a\nadmin_password = pw\n"
				   "[target]\nhost = t\n";
	struct profile *profile;
	struct place place;
	struct str told;
	struct err err;

	str_init(&told, 0);
	place_open(&place);
	write_file(place.config, text, 0640);
	CHECK_INT(profile_load("acme", &profile, &told, &err), -1);
	CHECK(strstr(str_get(&told), "chmod 600") != NULL);
	write_file(place.config, text, 0600);
	CHECK_INT(profile_load("acme", &profile, NULL, &err), 0);
	CHECK_STR(profile->source.admin_password, "pw");
	profile_free(&profile);
	place_close(&place);
	str_clear(&told);
}

struct edit_case {
	const char *before, *section, *key, *value, *after; /* after NULL: refused */
};

static void
check_edit(const char *path, const struct edit_case *c)
{
	struct str text;
	struct stat st;
	struct err err;
	int ret;

	str_init(&text, 0);
	write_file(path, c->before, 0600);
	ret = profile_set(path, c->section, c->key, c->value, &err);
	CHECK_INT(ret, c->after != NULL ? 0 : -1);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_STR(str_get(&text), c->after != NULL ? c->after : c->before);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	str_clear(&text);
}

static void
changes_one_value_in_place(void)
{
	static const struct edit_case cases[] = {
		{ "; mine\n[run]\n  Jobs   = 3   ; few\n# end", "run", "jobs", "8",
			"; mine\n[run]\n  Jobs   = 8   ; few\n# end" },
		{ "[run]\njobs =\n", "run", "jobs", "8", "[run]\njobs = 8\n" },
		{ "[run]\njobs = ; c\n", "run", "jobs", "8", "[run]\njobs = 8 ; c\n" },
		{ "[run]\njobs = 3 ; c\n", "run", "jobs", NULL, "[run]\njobs =  ; c\n" },
		{ "[users]\nfile = \"a;b\" ; c\n", "users", "file", "c#d",
			"[users]\nfile = \"c#d\" ; c\n" },
		/* a new key: at its example, behind the last key, under the head, in a new section
		 */
		{ "[run]\na = 1\n;jobs = 6\n; more\n[users]\n", "run", "jobs", "8",
			"[run]\na = 1\n;jobs = 6\njobs = 8\n; more\n[users]\n" },
		{ "[run]\nsince = 2015\n\n; next\n[users]\nfile = x\n", "run", "jobs", "8",
			"[run]\nsince = 2015\njobs = 8\n\n; next\n[users]\nfile = x\n" },
		{ "[run]\n\n[users]\n", "run", "jobs", "8", "[run]\njobs = 8\n\n[users]\n" },
		{ "[run]", "run", "jobs", "8", "[run]\njobs = 8\n" },
		{ "[users]\nfile = x", "run", "jobs", "8",
			"[users]\nfile = x\n\n[run]\njobs = 8\n" },
		{ "", "run", "jobs", "8", "[run]\njobs = 8\n" },
		{ "[run]\r\nsince = 2015\r\n", "run", "jobs", "8",
			"[run]\r\nsince = 2015\r\njobs = 8\r\n" },
		{ "\xEF\xBB\xBF[run]\njobs = 3\n", "run", "jobs", "8",
			"\xEF\xBB\xBF[run]\njobs = 8\n" },
		{ "[folders]\n", "folders", "map", "\"Sent Items\" -> Sent, a -> b",
			"[folders]\nmap = \"Sent Items\" -> Sent, a -> b\n" },
		{ "[source]\nadmin_password = ask\n", "source", "admin_password", "a;b\"c",
			"[source]\nadmin_password = 'a;b\"c'\n" },
		/* faults elsewhere do not hinder */
		{ "garbage\n[run]\nfoo = 1\njobs = 3\n", "run", "jobs", "8",
			"garbage\n[run]\nfoo = 1\njobs = 8\n" },
		/* refused, and nothing is changed */
		{ "[run]\njobs = 3\n", "run", "jobs", "0", NULL },
		{ "[run]\njobs = 3\n", "run", "job", "1", NULL },
		{ "[run]\njobs = 3\n", "runs", "jobs", "1", NULL },
		{ "[run]\njobs = \"3\n", "run", "jobs", "1", NULL },
		{ "[source]\nhost = x\n", "source", "host", "a\nport = 1", NULL },
		{ "[source]\nhost = x\n", "source", "host", "a'b\";", NULL },
		{ "[folders]\n", "folders", "include", "a;b", NULL },
		{ "[folders]\n", "folders", "include", "a\nb", NULL },
	};
	struct place place;

	place_open(&place);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_edit(place.outside, &cases[i]);
	place_close(&place);
}

/* What is shown, secrets apart, is a profile that says the same. */
static void
shows_what_can_be_read_again(void)
{
	static const char text[] =
		HOSTS "[folders]\nmap = \"a, b\" -> c, \"d;e\" -> f\ninclude = 'x y'\n"
		      "[run]\nsince = 2015\nladder = nul\nmax_size = 10M\nsettle_wait = 1500ms\n";
	static struct faults faults;
	struct profile *first, *second;
	struct str shown, again;

	str_init(&shown, 0);
	str_init(&again, 0);
	faults_init(&faults, "p");
	CHECK_INT(profile_parse(TEXT(text), "/dir", &faults, &first), 0);
	profile_show(first, &shown, true);
	CHECK_INT(profile_parse(str_get(&shown), shown.len, "/dir", &faults, &second), 0);
	profile_show(second, &again, true);
	CHECK_STR(str_get(&again), str_get(&shown));
	profile_free(&first);
	profile_free(&second);
	str_clear(&shown);
	str_clear(&again);
	faults_clear(&faults);
}

int
main(void)
{
	RUN(reads_what_was_written);
	RUN(names_faults_of_form);
	RUN(names_faults_of_values);
	RUN(names_contradictions);
	RUN(holds_its_limits);
	RUN(finds_profiles_and_their_state);
	RUN(takes_only_plain_names);
	RUN(wants_a_private_file_for_a_password);
	RUN(changes_one_value_in_place);
	RUN(shows_what_can_be_read_again);
	return test_done();
}
