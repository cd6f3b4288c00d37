/* test_csv.c - user lists: what is read from them, and every fault with its place. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"
#include "net/endpoint.h"
#include "profile/profile.h"
#include "users/users_private.h"

#include "base/banned.h"

#define TEXT(s) (s), sizeof(s) - 1

/* The tables of profiles may not include net/, but hold its numbers: this test sees both. */
_Static_assert((int)OPTION_COMPRESS_AUTO == (int)COMPRESS_AUTO &&
		       (int)OPTION_COMPRESS_YES == (int)COMPRESS_YES &&
		       (int)OPTION_COMPRESS_NO == (int)COMPRESS_NO,
	"compress");
_Static_assert((int)OPTION_TLS == (int)NET_TLS && (int)OPTION_STARTTLS == (int)NET_STARTTLS &&
		       (int)OPTION_CLEAR == (int)NET_NONE,
	"security");
_Static_assert((int)OPTION_VERIFY_YES == (int)VERIFY_YES &&
		       (int)OPTION_VERIFY_NO == (int)VERIFY_NO &&
		       (int)OPTION_VERIFY_PIN == (int)VERIFY_PIN,
	"tls_verify");
_Static_assert((int)OPTION_PLAIN == (int)AUTH_PLAIN && (int)OPTION_LOGIN == (int)AUTH_LOGIN &&
		       (int)OPTION_CRAM_MD5 == (int)AUTH_CRAM_MD5 &&
		       (int)OPTION_MASTER == (int)AUTH_MASTER &&
		       (int)OPTION_XOAUTH2 == (int)AUTH_XOAUTH2 &&
		       (int)OPTION_OAUTHBEARER == (int)AUTH_OAUTHBEARER,
	"auth");

struct test_case {
	const char *bytes;
	size_t len;
	const char *encoding, *pattern;
	const char *want; /* all rows, or all faults */
};

static void
add_secret(struct str *out, const struct secret *secret)
{
	str_addf(out, "|%s", secret != NULL ? secret_bytes(secret) : "-");
}

static void
add_text(struct str *out, const char *text)
{
	str_addf(out, "|%s", text != NULL ? text : "-");
}

/* "line user|password|name|target|target password|source host|target host|groups" per row. */
static void
show_users(const struct users *users, struct str *out)
{
	for (size_t i = 0; i < users->count; i++) {
		const struct user *u = &users->rows[i];

		str_addf(out, "%u %s", u->line, u->user);
		add_secret(out, u->password);
		add_text(out, u->name);
		add_text(out, u->target_user);
		add_secret(out, u->target_password);
		add_text(out, u->source_host);
		add_text(out, u->target_host);
		add_text(out, u->groups);
		str_addc(out, '\n');
	}
}

static void
check_case(const struct test_case *c)
{
	static struct faults faults;
	struct users users;
	struct str out;
	struct err err;

	str_init(&out, 0);
	faults_init(&faults, "u.csv");
	if (users_parse(c->bytes, c->len, c->encoding, c->pattern, &faults, &users) == 0)
		show_users(&users, &out);
	else
		faults_finish(&faults, &out, &err);
	CHECK_STR(str_get(&out), c->want);
	users_clear(&users);
	str_clear(&out);
}

static void
check_all(const struct test_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_case(&cases[i]);
}
#define CHECK_ALL(cases) check_all((cases), sizeof(cases) / sizeof((cases)[0]))

static void
reads_what_the_older_tools_wrote(void)
{
	static const struct test_case cases[] = {
		{ TEXT("ana@old.example;s3cret;Ana Bo\nbo@old.example;pw;\n"), NULL, NULL,
			"1 ana@old.example|s3cret|Ana Bo|ana@old.example|-|-|-|-\n"
			"2 bo@old.example|pw|-|bo@old.example|-|-|-|-\n" },
		/* no last line end; only users, for an admin's login */
		{ TEXT("ana\nbo"), NULL, NULL, "1 ana|-|-|ana|-|-|-|-\n2 bo|-|-|bo|-|-|-|-\n" },
		/* CRLF, CR alone, blank lines, a spreadsheet's empty cells */
		{ TEXT("a;1\r\n\r\n;;\r\nb;2;;;\r\n"), NULL, NULL,
			"1 a|1|-|a|-|-|-|-\n4 b|2|-|b|-|-|-|-\n" },
		{ TEXT("a;1\rb;2\r"), NULL, NULL, "1 a|1|-|a|-|-|-|-\n2 b|2|-|b|-|-|-|-\n" },
		/* blanks around names go, those of passwords stay */
		{ TEXT(" a ; p w ; Ana \n"), NULL, NULL, "1 a| p w |Ana|a|-|-|-|-\n" },
	};

	CHECK_ALL(cases);
}

static void
keeps_passwords_to_the_byte(void)
{
	static const struct test_case cases[] = {
		/* ; , " and UTF-8, quoted where they must be (FIELD 38) */
		{ TEXT("a;\"p;w\"\nb;\"p\"\"w\"\nc;p\"w\nd;p,w\ne;p\xC3\xA4\xE2\x82\xAC\n"), NULL,
			NULL,
			"1 a|p;w|-|a|-|-|-|-\n2 b|p\"w|-|b|-|-|-|-\n3 c|p\"w|-|c|-|-|-|-\n"
			"4 d|p,w|-|d|-|-|-|-\n5 e|p\xC3\xA4\xE2\x82\xAC|-|e|-|-|-|-\n" },
		{ TEXT("a;\" p\t'#\\ \";x\n"), NULL, NULL, "1 a| p\t'#\\ |x|a|-|-|-|-\n" },
		{ TEXT("a;\"\"\"\"\n"), NULL, NULL, "1 a|\"|-|a|-|-|-|-\n" },
		{ TEXT("a;\"\"\n"), NULL, NULL, "1 a|-|-|a|-|-|-|-\n" },
	};

	CHECK_ALL(cases);
}

static void
finds_the_separator(void)
{
	static const struct test_case cases[] = {
		{ TEXT("a,1,A\nb,2,B\n"), NULL, NULL, "1 a|1|A|a|-|-|-|-\n2 b|2|B|b|-|-|-|-\n" },
		{ TEXT("a\t1;2\tA, B\nb\t2\tB\n"), NULL, NULL,
			"1 a|1;2|A, B|a|-|-|-|-\n2 b|2|B|b|-|-|-|-\n" },
		{ TEXT("a;p,w;Bo, Ana\nb;p;B\n"), NULL, NULL,
			"1 a|p,w|Bo, Ana|a|-|-|-|-\n2 b|p|B|b|-|-|-|-\n" },
		{ TEXT("a,p;w,A\n"), NULL, NULL, "1 a|p;w|A|a|-|-|-|-\n" },
		{ TEXT("a,\"1;2;3\",A\nb,\"1;2;3\",B\n"), NULL, NULL,
			"1 a|1;2;3|A|a|-|-|-|-\n2 b|1;2;3|B|b|-|-|-|-\n" },
	};

	CHECK_ALL(cases);
}

static void
reads_a_header(void)
{
	static const struct test_case cases[] = {
		{ TEXT("USER;Target_User;groups;Password\na;x;g1,g2;1\n"), NULL, NULL,
			"2 a|1|-|x|-|-|-|g1,g2\n" },
		{ TEXT("name,user,password,target_password,source_host,target_host\n"
		       "\"Bo, Ana\",a,1,2,s.example,t.example\n"),
			NULL, NULL, "2 a|1|Bo, Ana|a|2|s.example|t.example|-\n" },
		{ TEXT("user\na\n"), NULL, NULL, "2 a|-|-|a|-|-|-|-\n" },
		/* a line break within a name, and where the next row is then */
		{ TEXT("user;name\na;\"A\nB\"\nb;C\n"), NULL, NULL,
			"2 a|-|A B|a|-|-|-|-\n4 b|-|C|b|-|-|-|-\n" },
		{ TEXT("\n\nuser;;name\na;;A\n"), NULL, NULL, "4 a|-|A|a|-|-|-|-\n" },
		/* one known word is no header: it may be a password */
		{ TEXT("a;password;A\n"), NULL, NULL, "1 a|password|A|a|-|-|-|-\n" },
	};

	CHECK_ALL(cases);
}

static void
makes_target_logins(void)
{
	static const struct test_case cases[] = {
		{ TEXT("a@x@old.example\nb\n"), NULL, "{local}@new.example",
			"1 a@x@old.example|-|-|a@x@new.example|-|-|-|-\n2 "
			"b|-|-|b@new.example|-|-|-|-\n" },
		{ TEXT("a@o.example\n"), NULL, "{domain}+{user}",
			"1 a@o.example|-|-|o.example+a@o.example|-|-|-|-\n" },
		{ TEXT("user;target_user\na;z\nb;\n"), NULL, "x-{user}",
			"2 a|-|-|z|-|-|-|-\n3 b|-|-|x-b|-|-|-|-\n" },
		{ TEXT("a\nb@\n"), NULL, "{local}@{domain}",
			"u.csv:1: the user has no domain, which target_user asks for\n"
			"u.csv:2: the user has no domain, which target_user asks for\n" },
		{ TEXT("@x\n"), NULL, "{local}",
			"u.csv:1: the login that target_user gives is empty\n" },
	};

	CHECK_ALL(cases);
}

static void
reads_what_spreadsheets_write(void)
{
	static const struct test_case cases[] = {
		{ TEXT("\xEF\xBB\xBFuser;password\na;\xC3\xA4\n"), NULL, NULL,
			"2 a|\xC3\xA4|-|a|-|-|-|-\n" },
		{ TEXT("\xEF\xBB\xBF"
		       "a;1\n"),
			"utf-8", NULL, "1 a|1|-|a|-|-|-|-\n" },
		{ TEXT("\xFF\xFE"
		       "a\0;\0\xE4\0\n\0"),
			"auto", NULL, "1 a|\xC3\xA4|-|a|-|-|-|-\n" },
		{ TEXT("\xFE\xFF\0a\0;\x20\xAC\0\n"), NULL, NULL,
			"1 a|\xE2\x82\xAC|-|a|-|-|-|-\n" },
		{ TEXT("\xFF\xFE"
		       "a\0;\0\xE4\0\n\0"),
			"UTF-16", NULL, "1 a|\xC3\xA4|-|a|-|-|-|-\n" },
		{ TEXT("a;\xE4\x80;M\xFCller\n"), "CP1252", NULL,
			"1 a|\xC3\xA4\xE2\x82\xAC|M\xC3\xBCller|a|-|-|-|-\n" },
		{ TEXT("a;\xE4\n"), "ISO-8859-1", NULL, "1 a|\xC3\xA4|-|a|-|-|-|-\n" },
		/* refused */
		{ TEXT("a;1\nb;\xE4\nc;1\nd;\xFF\n"), NULL, NULL,
			"u.csv:2: the line is not UTF-8: save the file as UTF-8, or name its code "
			"page "
			"([users] encoding)\n"
			"u.csv:4: the line is not UTF-8: save the file as UTF-8, or name its code "
			"page "
			"([users] encoding)\n" },
		{ TEXT("a\0;\0b\0"), NULL, NULL,
			"u.csv:1: the file looks like UTF-16 without its mark: name it, [users] "
			"encoding = UTF-16LE\n" },
		{ TEXT("\xFF\xFE"
		       "a\0;"),
			NULL, NULL, "u.csv:1: the file ends within a letter of UTF-16LE\n" },
		{ TEXT("a;1\nb;\x81\n"), "CP1252", NULL,
			"u.csv:2: the byte 0x81 is no letter of CP1252\n" },
		{ TEXT("a;\x81\n"), "CP1252//IGNORE", NULL,
			"u.csv: CP1252//IGNORE is not a code page that iconv knows\n" },
		{ TEXT("a;1\n"), "klingon", NULL,
			"u.csv: klingon is not a code page that iconv knows\n" },
		{ TEXT("\xEF\xBB\xBF"
		       "a;1\n"),
			"CP1252", NULL,
			"u.csv:1: the file begins with the mark of UTF-8, encoding is CP1252\n" },
	};

	CHECK_ALL(cases);
}

#define FOREIGN_HEADER                                                                             \
	"u.csv:1: this looks like a header with names that are not known: take it away, or name "  \
	"the columns; known are user, password, name, target_user, target_password, source_host, " \
	"target_host, groups\n"

static void
names_every_fault(void)
{
	static const struct test_case cases[] = {
		{ TEXT(""), NULL, NULL, "u.csv: there is no user in it\n" },
		{ TEXT("user;password\n"), NULL, NULL, "u.csv: there is no user in it\n" },
		{ TEXT("\n\n"), NULL, NULL, "u.csv: there is no user in it\n" },
		{ TEXT("a;\"1\"2\nb;1\n"), NULL, NULL,
			"u.csv:1:3: text follows the closing quote (line 1, column 6) of the quote "
			"that "
			"opens here; within quotes one quote is written as two\n" },
		/* the line where it began, and what follows is still read */
		{ TEXT("a;1\nb;\"2\nc;3\n;4\n"), NULL, NULL,
			"u.csv:2:3: the quote that opens here is not closed\n"
			"u.csv:4: the user is missing\n" },
		{ TEXT("a;\"1\nb;2\nc;\"3\"\nd;1;2;3\n"), NULL, NULL,
			"u.csv:1:3: text follows the closing quote (line 3, column 4) of the quote "
			"that "
			"opens here; within quotes one quote is written as two\n"
			"u.csv:4:7: the row has 4 columns, more than the 3 of user;password;name; "
			"a "
			"value that holds the separator needs double quotes\n" },
		{ TEXT("a; \"1\"\n"), NULL, NULL, "u.csv:1:3: a blank before an opening quote\n" },
		{ TEXT("a;1\0002\nb\0;\n"), NULL, NULL,
			"u.csv:1:3: a NUL byte in the column password\n"
			"u.csv:2: the user is missing\n"
			"u.csv:2:1: a NUL byte in the column user\n" },
		{ TEXT("a;\"1\n2\"\n\xC3\xA4;\x1B;\x7F\n"), NULL, NULL,
			"u.csv:1:3: a line break in the column password\n"
			"u.csv:3:3: a control byte in the column password\n"
			"u.csv:3:5: a control byte in the column name\n" },
		{ TEXT("user;password\na;1;2\n"), NULL, NULL,
			"u.csv:2:5: the row has 3 columns, more than the 2 of the header; a value "
			"that "
			"holds the separator needs double quotes\n" },
		{ TEXT("user;passwort;user;geheim\na;1\n"), NULL, NULL,
			"u.csv:1:6: the header names a column that is not known (did you mean "
			"password?); known are user, password, name, target_user, target_password, "
			"source_host, target_host, groups\n"
			"u.csv:1:15: the header names user a second time\n"
			"u.csv:1:20: the header names a column that is not known; known are user, "
			"password, name, target_user, target_password, source_host, target_host, "
			"groups\n" },
		/* the header of another program; a row that only looks like one needs a header */
		{ TEXT("Email,Password\na@x,1\n"), NULL, NULL, FOREIGN_HEADER },
		{ TEXT("\xEF\xBB\xBF"
		       "E-Mail Address;Display\na@x;1\n"),
			NULL, NULL, FOREIGN_HEADER },
		{ TEXT(" USERNAME \na\n"), NULL, NULL, FOREIGN_HEADER },
		{ TEXT("login\tname\na\tA\n"), NULL, NULL, FOREIGN_HEADER },
		{ TEXT("password;name\n1;A\n"), NULL, NULL,
			"u.csv:1: the header has no column user\nu.csv:2: the user is missing\n" },
		/* doubles: same user and host; one login at the target */
		{ TEXT("user;source_host\na;h\nA;H\na;g\na;\n"), NULL, "{user}",
			"u.csv:3: the same user as in line 2\n"
			"u.csv:4: the same login at the target as in line 2\n"
			"u.csv:5: the same login at the target as in line 2\n" },
		{ TEXT("user;target_user;target_host\na;x;\nb;X;\nc;x;t\n"), NULL, NULL,
			"u.csv:3: the same login at the target as in line 2\n" },
	};

	CHECK_ALL(cases);
}

/* A row of one cell with so many bytes. */
static char *
long_row(size_t len, size_t *len_r)
{
	char *text = xmalloc(len + 8);

	memset(text, 'x', len);
	memcpy(text, "a;1\nb;", 6);
	memcpy(text + len, "\nc;2\n", 5);
	*len_r = len + 5;
	return text;
}

static void
holds_its_limits(void)
{
	struct test_case c = { .want = "u.csv:2: the row has more than 65536 bytes\n" };
	char *text = long_row(70000, &c.len);

	c.bytes = text;
	check_case(&c);
	text[6] = '"'; /* and as an unclosed quote */
	c.want = "u.csv:2:3: the quote that opens here is not closed\n";
	check_case(&c);
	free(text);
}

/* A file of quotes that are never closed is given up soon, not read to the end from each of them.
 */
static void
gives_up_on_unclosed_quotes(void)
{
	static struct faults faults;
	struct users users;
	struct str text, told;
	struct err err;

	str_init(&text, 8 << 20);
	str_init(&told, 0);
	for (unsigned i = 0; i < 40; i++) {
		str_adds(&text, "a;\"");
		for (unsigned j = 0; j < 70000; j++)
			str_addc(&text, 'x');
		str_addc(&text, '\n');
	}
	faults_init(&faults, "u.csv");
	CHECK_INT(users_parse(str_get(&text), text.len, NULL, NULL, &faults, &users), -1);
	CHECK_INT(faults.count, 22);
	CHECK_INT(faults_finish(&faults, &told, &err), -1);
	CHECK(strstr(str_get(&told), "the rest of the file is not read") != NULL);
	users_clear(&users);
	str_clear(&text);
	str_clear(&told);
}

/* More faults than are kept are counted. */
static void
counts_what_it_does_not_list(void)
{
	static struct faults faults;
	struct users users;
	struct str text, told;
	struct err err;
	const char *last;

	str_init(&text, 0);
	str_init(&told, 0);
	for (unsigned i = 0; i < 300; i++)
		str_adds(&text, ";1\n");
	faults_init(&faults, "u.csv");
	CHECK_INT(users_parse(str_get(&text), text.len, NULL, NULL, &faults, &users), -1);
	faults_finish(&faults, &told, &err);
	CHECK_STR(err.text, "u.csv:1: the user is missing");
	last = strstr(str_get(&told), "u.csv:200: the user is missing\n");
	CHECK(last != NULL);
	if (last != NULL)
		CHECK_STR(strchr(last, '\n') + 1, "u.csv: and 100 more faults\n");
	users_clear(&users);
	str_clear(&text);
	str_clear(&told);
}

/* Loading a large list takes a moment, not minutes; all rows of one user are the worst case. */
static void
loads_large_lists_quickly(void)
{
	static struct faults faults;
	struct users users;
	struct str text;
	struct err err;
	int64_t start = clock_ms();

	str_init(&text, 64 << 20);
	for (unsigned i = 0; i < 100000; i++)
		str_addf(&text, "user%u@old.example;password%u;Name %u\n", i, i, i);
	faults_init(&faults, "u.csv");
	CHECK_INT(users_parse(str_get(&text), text.len, NULL, "{local}@new", &faults, &users), 0);
	CHECK_INT(users.count, 100000);
	CHECK_STR(users.rows[99999].target_user, "user99999@new");
	users_clear(&users);
	str_reset(&text);
	for (unsigned i = 0; i < 100000; i++)
		str_adds(&text, "user@old.example;password\n");
	CHECK_INT(users_parse(str_get(&text), text.len, NULL, NULL, &faults, &users), -1);
	CHECK_INT(faults.count, 99999);
	faults_finish(&faults, NULL, &err);
	CHECK_STR(err.text, "u.csv:2: the same user as in line 1");
	users_clear(&users);
	str_clear(&text);
	CHECK(clock_ms() - start < 20000);
}

/* Never a cell in a fault: any of them may be a password. */
static void
shows_no_secret(void)
{
	static const char *const files[] = {
		"user;S3CRET\na;S3CRET\n",
		"S3CRET;a\nS3CRET;b\n",
		"a;\"S3CRET\"S3CRET\n",
		"a;S3CRET;b;S3CRET\n",
		";S3CRET\n",
		"a;S3CRET\nA;S3CRET\n",
		"a;\"S3CRET\n",
		"a;S3CRET\x01\n",
		"S3CRET;\xE4\n",
	};
	static struct faults faults;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct users users;
		struct str told;
		struct err err;

		str_init(&told, 0);
		faults_init(&faults, "u.csv");
		CHECK_INT(
			users_parse(files[i], strlen(files[i]), NULL, "{domain}", &faults, &users),
			-1);
		CHECK_INT(faults_finish(&faults, &told, &err), -1);
		CHECK(strstr(str_get(&told), "S3CRET") == NULL);
		CHECK(strstr(err.text, "S3CRET") == NULL);
		users_clear(&users);
		str_clear(&told);
	}
}

static void
wants_a_private_file(void)
{
	char path[] = "/tmp/test_csv.XXXXXX";
	struct users users;
	struct str told;
	struct err err;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	str_init(&told, 0);
	if (f == NULL) {
		CHECK(f != NULL);
		return;
	}
	fputs("a;1\n", f);
	fclose(f);
	CHECK_INT(users_load_csv(path, NULL, NULL, &users, &told, &err), 0);
	CHECK_INT(users.count, 1);
	users_clear(&users);
	CHECK_INT(chmod(path, 0640), 0);
	CHECK_INT(users_load_csv(path, NULL, NULL, &users, &told, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK(strstr(str_get(&told), "chmod 600") != NULL);
	CHECK_INT(users.count, 0);
	f = fopen(path, "w");
	if (f != NULL) {
		fputs("a\n", f); /* without a password anyone may read it */
		fclose(f);
	}
	str_reset(&told);
	CHECK_INT(users_load_csv(path, NULL, NULL, &users, &told, &err), 0);
	users_clear(&users);
	unlink(path);
	CHECK_INT(users_load_csv(path, NULL, NULL, &users, NULL, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	str_clear(&told);
}

/* The lists in conf/. They are read past users_load_csv(): a checkout is not private. */
static void
every_sample_loads(void)
{
	static const struct {
		const char *name, *want;
	} cases[] = {
		{ "conf/users.csv",
			"1 ana@old.example|correct horse battery|Ana Bo|ana@new|-|-|-|-\n"
			"2 bo@old.example|semi;colon and \"quotes\"|Bo \xC4\x8C"
			"apek|bo@new|-|-|-|-\n"
			"3 eva@old.example|plain-3|Eva; called Evi|eva@new|-|-|-|-\n" },
		{ "conf/users-header.csv",
			"2 ana@old.example|-|Ana Bo|ana.bo@new.example|-|-|-|staff\n"
			"3 bo@old.example|-|\xC4\x8C"
			"apek, Bo|bo@new|-|mail2.old.example|-|staff, sales\n"
			"4 eva@old.example|-|Eva|eva@new|-|-|-|-\n" },
	};
	const char *dir = getenv("srcdir");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = path_join(dir != NULL ? dir : ".", cases[i].name);
		struct str bytes;
		struct err err;

		str_init(&bytes, 0);
		CHECK_INT(file_read(path, &bytes, &err), 0);
		check_case(&(struct test_case){
			str_get(&bytes), bytes.len, NULL, "{local}@new", cases[i].want });
		str_clear(&bytes);
		free(path);
	}
}

int
main(void)
{
	RUN(reads_what_the_older_tools_wrote);
	RUN(keeps_passwords_to_the_byte);
	RUN(finds_the_separator);
	RUN(reads_a_header);
	RUN(makes_target_logins);
	RUN(reads_what_spreadsheets_write);
	RUN(names_every_fault);
	RUN(holds_its_limits);
	RUN(gives_up_on_unclosed_quotes);
	RUN(counts_what_it_does_not_list);
	RUN(loads_large_lists_quickly);
	RUN(shows_no_secret);
	RUN(wants_a_private_file);
	RUN(every_sample_loads);
	return test_done();
}
