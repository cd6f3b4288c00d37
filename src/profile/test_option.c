/* test_option.c - each type of option: what it takes, what it refuses, how it is written again. */
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "mail/ladder.h"
#include "profile/profile_private.h"

#include "base/banned.h"

struct test_case {
	const char *section, *key, *text;
	const char *want; /* as written again, or the fault behind "p:7: " */
};

/* Parses into a profile of its own; shows the result or the fault. */
static void
check_case(const struct test_case *c)
{
	static struct faults faults;
	const struct option_section *section = option_section_find(c->section);
	const struct option *option = option_find(section, c->key);
	const struct option_place place = { &faults, 7, c->section, "/dir" };
	struct profile *profile = xcalloc(1, sizeof(*profile));
	struct str out;
	struct err err;

	str_init(&out, 0);
	faults_init(&faults, "p");
	if (option_parse(option, option_base(profile, section), c->text, &place) == 0)
		option_write(option, option_base(profile, section), &out);
	else
		faults_finish(&faults, &out, &err);
	CHECK_STR(str_get(&out), c->want);
	CHECK_INT(faults.count, 0);
	option_clear(option, option_base(profile, section));
	str_clear(&out);
	free(profile);
}

#define CHECK_ALL(cases)                                                                           \
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)                            \
	check_case(&(cases)[i])

static void
reads_and_writes_each_type(void)
{
	static const struct test_case cases[] = {
		{ "source", "host", "a.example", "a.example" },
		{ "source", "host", "\"a b\"", "a b" },
		{ "source", "host", "'a;b'", "\"a;b\"" },
		{ "source", "host", "' a\"b'", "' a\"b'" },
		{ "source", "host", "it's", "it's" },
		{ "source", "host", "", "" },
		{ "source", "host", "\"\"", "" },
		{ "source", "type", "IMAP", "imap" },
		{ "source", "port", "65535", "65535" },
		{ "source", "port", "", "" },
		{ "source", "security", "StartTLS", "starttls" },
		{ "source", "tls_verify", "no", "no" },
		{ "source", "tls_verify",
			"spki-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=",
			"spki-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=" },
		{ "source", "tls_min", "1.0", "1.0" },
		{ "source", "timeout", "90s", "90s" },
		{ "source", "timeout", "120s", "2m" },
		{ "source", "tls_ca", "ca.pem", "/dir/ca.pem" },
		{ "source", "tls_ca", "/x/ca.pem", "/x/ca.pem" },
		{ "source", "admin_password", "file:pw", "(file)" },
		{ "source", "admin_password", "env:PW", "(env)" },
		{ "source", "admin_password", "cmd:pass old", "(cmd)" },
		{ "source", "admin_password", "ask", "(ask)" },
		{ "source", "admin_password", "asked", "(plain)" },
		{ "source", "admin_password", "", "" },
		{ "run", "jobs", "\"3\"", "3" },
		{ "run", "flag_changes", "NO", "no" },
		{ "run", "since", "2015", "2015" },
		{ "run", "since", "2016-02-29", "2016-02-29" },
		{ "run", "before", "2015-01-01", "2015" },
		{ "run", "before", "", "" },
		{ "run", "max_size", "1536", "1536" },
		{ "run", "max_size", "2048k", "2M" },
		{ "run", "max_size", "1T", "1T" },
		{ "run", "settle_wait", "0", "0ms" },
		{ "run", "settle_wait", "1500ms", "1500ms" },
		{ "run", "settle_wait", "60s", "1m" },
		{ "run", "ladder", "none", "none" },
		{ "run", "ladder", "wrapped, NUL", "nul, wrapped" },
		{ "run", "log_level", "trace", "trace" },
		{ "folders", "include", " INBOX ,\"a, b\", 'x;y' ,Bob's,",
			"INBOX, \"a, b\", \"x;y\", \"Bob's\"" },
		{ "folders", "include", "", "" },
		{ "folders", "map",
			"\"Sent Items\" -> Sent, Work/*->Archive/Work/*, \"a -> b\" -> c",
			"\"Sent Items\" -> Sent, Work/* -> Archive/Work/*, \"a -> b\" -> c" },
		{ "folders", "map", "a/* -> *", "a/* -> *" },
	};

	CHECK_ALL(cases);
}

static void
refuses_what_is_not_of_the_type(void)
{
	static const struct test_case cases[] = {
		{ "source", "host", "\"a\" b",
			"p:7: [source] host: there is text behind the closing quote\n" },
		{ "source", "host", "\"",
			"p:7: [source] host: there is text behind the closing quote\n" },
		{ "source", "type", "ews", "p:7: [source] type: ews is not imap\n" },
		{ "source", "port", "0", "p:7: [source] port: 0 is not in 1..65535\n" },
		{ "source", "port", "70000", "p:7: [source] port: 70000 is not in 1..65535\n" },
		{ "source", "port", "0x10", "p:7: [source] port: 0x10 is not in 1..65535\n" },
		{ "source", "port", "+1", "p:7: [source] port: +1 is not in 1..65535\n" },
		{ "source", "port", "99999999999999999999",
			"p:7: [source] port: 99999999999999999999 is not in 1..65535\n" },
		{ "source", "security", "ssl",
			"p:7: [source] security: ssl is not tls | starttls | none\n" },
		{ "source", "tls_verify", "maybe",
			"p:7: [source] tls_verify: maybe is not yes | no | spki-sha256:BASE64\n" },
		{ "source", "tls_verify",
			"spki-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
			"p:7: [source] tls_verify: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB= is "
			"not the "
			"base64 of a SHA-256 (44 letters, the last one =)\n" },
		{ "source", "timeout", "120",
			"p:7: [source] timeout: 120 is not a duration (500ms, 10s, 2m, 1h), "
			"1s..1h\n" },
		{ "source", "timeout", "1500ms",
			"p:7: [source] timeout: 1500ms is not a duration (500ms, 10s, 2m, 1h), "
			"1s..1h\n" },
		{ "source", "timeout", "99999999999h",
			"p:7: [source] timeout: 99999999999h is not a duration (500ms, 10s, 2m, "
			"1h), "
			"1s..1h\n" },
		{ "source", "admin_password",
			"file:", "p:7: [source] admin_password: nothing follows \"file:\"\n" },
		{ "source", "admin_password", "enc:S3CRET",
			"p:7: [source] admin_password: this is not what `profile encrypt` writes "
			"(enc:v1:...)\n" },
		{ "run", "flag_changes", "true",
			"p:7: [run] flag_changes: true is not yes | no\n" },
		{ "run", "since", "15",
			"p:7: [run] since: 15 is not a year or date (2015, 2015-06-30)\n" },
		{ "run", "since", "2015-02-29",
			"p:7: [run] since: 2015-02-29 is not a year or date (2015, 2015-06-30)\n" },
		{ "run", "since", "2015-6-30x",
			"p:7: [run] since: 2015-6-30x is not a year or date (2015, 2015-06-30)\n" },
		{ "run", "since", "1969",
			"p:7: [run] since: 1969 is not a year or date (2015, 2015-06-30)\n" },
		{ "run", "max_size", "M",
			"p:7: [run] max_size: M is not a size (500, 64K, 16M, 2G), 0..1T\n" },
		{ "run", "max_size", "18446744073709551615K",
			"p:7: [run] max_size: 18446744073709551615K is not a size (500, 64K, 16M, "
			"2G), "
			"0..1T\n" },
		{ "run", "batch_bytes", "1",
			"p:7: [run] batch_bytes: 1 is not a size (500, 64K, 16M, 2G), 1K..1G\n" },
		{ "run", "ladder", "nul, as_is",
			"p:7: [run] ladder: as_is is not all | none | a list of line_ends | nul | "
			"8bit_header | long_lines | wrapped\n" },
		{ "folders", "include", "a,,b",
			"p:7: [folders] include: a name in the list is empty\n" },
		{ "folders", "include", "\"a\"b",
			"p:7: [folders] include: \"a\"b has text behind its closing quote\n" },
		{ "folders", "map", "a", "p:7: [folders] map: a is not FROM -> TO\n" },
		{ "folders", "map", "a -> ", "p:7: [folders] map: a name in the list is empty\n" },
		{ "folders", "map", "a/* -> b",
			"p:7: [folders] map: a/* -> must have /* at the end on both sides or on "
			"none\n" },
		{ "folders", "map", "a* -> b*",
			"p:7: [folders] map: a* -> may have * only as /* at the end\n" },
		{ "folders", "map", "a -> b, a -> c", "p:7: [folders] map: a is mapped twice\n" },
	};

	CHECK_ALL(cases);
}

/* `profile show` compares with defaults as text, so these must be in the form it writes. */
static void
defaults_are_written_as_they_are_read(void)
{
	struct profile *profile = xcalloc(1, sizeof(*profile));
	struct str out;

	str_init(&out, 0);
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		for (const struct option *o = s->options; o->name != NULL; o++) {
			option_default(o, option_base(profile, s));
			str_reset(&out);
			option_write(o, option_base(profile, s), &out);
			CHECK_STR(str_get(&out), o->def != NULL ? o->def : "");
			option_clear(o, option_base(profile, s));
		}
	}
	CHECK_INT(profile_sections[OPTION_SECTIONS].name == NULL, 1);
	str_clear(&out);
	free(profile);
}

/* A name twice in a table would hide the second one. */
static void
names_are_unique(void)
{
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		CHECK(option_section_find(s->name) == s);
		for (const struct option *o = s->options; o->name != NULL; o++) {
			CHECK(option_find(s, o->name) == o);
			CHECK(o->help != NULL && o->help[strlen(o->help) - 1] != '.');
		}
	}
	CHECK(option_section_find("nope") == NULL);
	CHECK(option_find(&profile_sections[0], "nope") == NULL);
}

static void
the_ladder_has_the_names_of_mail(void)
{
	const struct option *option = option_find(option_section_find("run"), "ladder");
	unsigned all = 0;

	for (const struct option_name *n = option->names; n->name != NULL; n++) {
		int step = ladder_by_name(n->name);

		CHECK(step > LADDER_AS_IS);
		CHECK_INT(n->value, step > 0 ? 1U << step : 0);
		all |= n->value;
	}
	CHECK_INT(all, (1U << LADDER_STEPS) - 2);
}

static void
quotes_what_needs_it(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "plain text", "plain text" },
		{ "a;b", "\"a;b\"" },
		{ "#a", "\"#a\"" },
		{ " a", "\" a\"" },
		{ "a ", "\"a \"" },
		{ "a\\", "\"a\\\"" },
		{ "\"a", "'\"a'" },
		{ "a\"b", "a\"b" },
		{ "a\";b", "'a\";b'" },
		{ "a\";'b", NULL },
		{ "a\nb", NULL },
		{ "", "" },
	};
	struct str out;

	str_init(&out, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		str_reset(&out);
		CHECK_INT(option_quote(cases[i].text, &out), cases[i].want != NULL ? 0 : -1);
		if (cases[i].want != NULL)
			CHECK_STR(str_get(&out), cases[i].want);
	}
	str_clear(&out);
}

int
main(void)
{
	RUN(reads_and_writes_each_type);
	RUN(refuses_what_is_not_of_the_type);
	RUN(defaults_are_written_as_they_are_read);
	RUN(names_are_unique);
	RUN(the_ladder_has_the_names_of_mail);
	RUN(quotes_what_needs_it);
	return test_done();
}
