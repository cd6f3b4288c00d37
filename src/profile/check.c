/* check.c - what no single value shows: options that contradict each other, or that are missing.
 *
 * An option that would have no effect beside another one is a fault as well: who wrote it believes
 * something that is not so. A default never contradicts anything, given or not. */
#include <iconv.h>
#include <string.h>

#include "profile/profile_private.h"

#include "base/banned.h"

struct check {
	const struct profile *profile;
	const struct scan *scan;
	struct faults *faults;
};

/* The line on which the key has a value; 0: it was not given. */
static unsigned
given(const struct check *c, const char *section, const char *key)
{
	const struct scan_entry *entry = scan_find(c->scan, section, key);

	if (entry == NULL || entry->value_len == 0 || (entry->quoted && entry->value_len == 2))
		return 0;
	return entry->line;
}

/* False: the value is a fault of its own, and what follows from it is not known. */
static bool
sound(const struct check *c, const char *section, const char *key)
{
	const struct scan_entry *entry = scan_find(c->scan, section, key);

	return entry == NULL || !entry->faulty;
}

/* A default may be written out where it has no effect: `profile show` does so. */
static void
no_effect(const struct check *c, const char *section, const char *key, const char *beside)
{
	const struct option_section *s = option_section_find(section);
	const struct option *option = option_find(s, key);
	unsigned line = given(c, section, key);
	struct str value;

	if (line == 0)
		return;
	str_init(&value, 0);
	option_write(option, option_base_const(c->profile, s), &value);
	if (option->def == NULL || strcmp(str_get(&value), option->def) != 0)
		faults_add(
			c->faults, line, 0, "[%s] %s: has no effect with %s", section, key, beside);
	str_clear(&value);
}

static void
check_tls(const struct check *c, const char *name, const struct profile_side *side)
{
	if (!sound(c, name, "security") || !sound(c, name, "tls_verify"))
		return;
	if (side->security == OPTION_CLEAR) {
		no_effect(c, name, "tls_verify", "security = none");
		no_effect(c, name, "tls_ca", "security = none");
		no_effect(c, name, "tls_min", "security = none");
	} else if (side->verify == OPTION_VERIFY_NO) {
		no_effect(c, name, "tls_ca", "tls_verify = no");
	} else if (side->verify == OPTION_VERIFY_PIN) {
		no_effect(c, name, "tls_ca", "a pin in tls_verify");
	}
	if (side->security == OPTION_TLS && side->port == 143)
		faults_add(c->faults, given(c, name, "port"), 0,
			"[%s] port: 143 is for security = starttls or none, not for tls", name);
	if (side->security != OPTION_TLS && side->port == 993)
		faults_add(c->faults, given(c, name, "port"), 0,
			"[%s] port: 993 is for security = tls", name);
}

static void
check_login(const struct check *c, const char *name, const struct profile_side *side)
{
	unsigned auth = given(c, name, "auth");
	unsigned user = given(c, name, "admin_user"), password = given(c, name, "admin_password");
	bool token = side->auth == OPTION_XOAUTH2 || side->auth == OPTION_OAUTHBEARER;
	bool own_only = side->auth == OPTION_LOGIN || side->auth == OPTION_CRAM_MD5;

	if (!sound(c, name, "auth"))
		return;
	if (side->auth == OPTION_MASTER && user == 0)
		faults_add(c->faults, auth, 0, "[%s] auth: master needs admin_user", name);
	if (side->auth != OPTION_MASTER)
		no_effect(c, name, "master_separator", "any auth but master");
	if (token && password == 0)
		faults_add(c->faults, auth, 0,
			"[%s] auth: xoauth2 and oauthbearer need a token in admin_password", name);
	if (own_only && user > 0)
		faults_add(c->faults, user, 0,
			"[%s] admin_user: with auth = login or cram-md5 nobody can open another "
			"user's mailbox: take plain or master",
			name);
	if (user > 0 && password == 0 && !token)
		faults_add(c->faults, user, 0, "[%s] admin_user: needs admin_password", name);
	if (password > 0 && user == 0 && !token)
		faults_add(c->faults, password, 0, "[%s] admin_password: needs admin_user", name);
}

static void
check_host(const struct check *c, const char *name, const struct profile_side *side)
{
	if (side->host != NULL && (strpbrk(side->host, " \t/@,") != NULL || side->host[0] == '-'))
		faults_add(c->faults, given(c, name, "host"), 0,
			"[%s] host: a server's name or address, without user, path or port", name);
	for (const char *p = side->host; p != NULL && *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80) {
			faults_add(c->faults, given(c, name, "host"), 0,
				"[%s] host: letters other than ASCII are written in the form of "
				"the DNS, xn--...",
				name);
			break;
		}
}

/* The pattern must differ from user to user. */
static void
check_target_user(const struct check *c)
{
	unsigned line = given(c, "users", "target_user");
	const char *p = c->profile->users.target_user;
	bool varies = false;

	while (p != NULL && (p = strpbrk(p, "{}")) != NULL) {
		size_t len = strcspn(p, "}") + 1;

		if (strncmp(p, "{local}", len) == 0 || strncmp(p, "{user}", len) == 0) {
			varies = true;
		} else if (strncmp(p, "{domain}", len) != 0) {
			faults_add(c->faults, line, 0,
				"[users] target_user: only {user}, {local} and {domain} may stand "
				"in "
				"braces");
			return;
		}
		p += len;
	}
	if (line > 0 && !varies)
		faults_add(c->faults, line, 0,
			"[users] target_user: without {user} or {local} all users would get one "
			"login");
}

static void
check_encoding(const struct check *c)
{
	const char *name = c->profile->users.encoding;
	iconv_t cd;

	if (name == NULL || text_ieq(name, "auto"))
		return;
	/* "//IGNORE" and its like would drop letters of passwords in silence. */
	cd = strchr(name, '/') == NULL ? iconv_open("UTF-8", name) : (iconv_t)-1;
	if (cd == (iconv_t)-1)
		faults_add(c->faults, given(c, "users", "encoding"), 0,
			"[users] encoding: %s is not a code page that iconv knows", name);
	else
		iconv_close(cd);
}

static void
check_missing(const struct check *c)
{
	for (const struct option_section *s = profile_sections; s->name != NULL; s++) {
		for (const struct option *o = s->options; o->name != NULL; o++) {
			if (o->required && given(c, s->name, o->name) == 0 &&
				sound(c, s->name, o->name))
				faults_add(c->faults, scan_section_line(c->scan, s->name), 0,
					"[%s] %s: is missing: %s", s->name, o->name, o->help);
		}
	}
}

void
profile_check(const struct profile *profile, const struct scan *scan, struct faults *faults)
{
	const struct check c = { profile, scan, faults };
	const struct profile_side *sides[] = { &profile->source, &profile->target };
	static const char *const names[] = { "source", "target" };

	check_missing(&c);
	for (size_t i = 0; i < 2; i++) {
		check_host(&c, names[i], sides[i]);
		check_tls(&c, names[i], sides[i]);
		check_login(&c, names[i], sides[i]);
	}
	check_target_user(&c);
	check_encoding(&c);
	if (profile->run.since >= profile->run.before)
		faults_add(faults, given(&c, "run", "since"), 0,
			"[run] since: is not earlier than before");
}
