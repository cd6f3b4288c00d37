/* test_docs.c - what is drawn from the option tables is up to date, and every sample loads.
 *
 * With a word it prints instead: sample, md or man, for `make profile-docs`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/test.h"
#include "profile/profile.h"

#include "base/banned.h"

#define BEGIN_MARK "<!-- options: written by `make profile-docs` -->\n"
#define END_MARK   "<!-- end of options -->\n"

static char *
source_path(const char *name)
{
	const char *dir = getenv("srcdir");

	return path_join(dir != NULL ? dir : ".", name);
}

static void
read_source(const char *name, struct str *out)
{
	char *path = source_path(name);
	struct err err;

	if (file_read(path, out, &err) < 0) {
		test_failures++;
		printf("%s\n", err.text);
	}
	free(path);
}

static void
the_sample_is_drawn_from_the_tables(void)
{
	struct str file, made;

	str_init(&file, 0);
	str_init(&made, 0);
	read_source("conf/sample.ini", &file);
	profile_sample(&made);
	CHECK_STR(str_get(&file), str_get(&made));
	str_clear(&file);
	str_clear(&made);
}

static void
the_manual_is_drawn_from_the_tables(void)
{
	struct str file, made;

	str_init(&file, 0);
	str_init(&made, 0);
	read_source("doc/profile-options.man", &file);
	profile_options_man(&made);
	CHECK_STR(str_get(&file), str_get(&made));
	str_clear(&file);
	str_clear(&made);
}

static void
the_page_is_drawn_from_the_tables(void)
{
	struct str file, made;
	const char *begin, *end;

	str_init(&file, 0);
	str_init(&made, 0);
	read_source("doc/profile.md", &file);
	profile_options_md(&made);
	begin = strstr(str_get(&file), BEGIN_MARK);
	end = strstr(str_get(&file), END_MARK);
	CHECK(begin != NULL && end != NULL);
	if (begin != NULL && end != NULL) {
		str_cut(&file, (size_t)(end - str_get(&file)));
		CHECK_STR(begin + strlen(BEGIN_MARK), str_get(&made));
	}
	str_clear(&file);
	str_clear(&made);
}

static void
every_sample_loads(void)
{
	static const char *const names[] = { "conf/sample.ini", "conf/master-user.ini" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = source_path(names[i]);
		struct profile *profile = NULL;
		struct str faults;
		struct err err;

		str_init(&faults, 0);
		profile_load(path, &profile, &faults, &err);
		CHECK_STR(str_get(&faults), "");
		CHECK(profile != NULL);
		profile_free(&profile);
		str_clear(&faults);
		free(path);
	}
}

/* Every key of the sample that is not set is one that could be. */
static void
the_examples_of_the_sample_load(void)
{
	struct profile *profile = NULL;
	struct str sample, faults;
	struct err err;
	char path[] = "/tmp/test_docs.XXXXXX";
	char *text, *p;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	str_init(&sample, 0);
	str_init(&faults, 0);
	profile_sample(&sample);
	text = str_take(&sample);
	for (p = text; (p = strstr(p, "\n;")) != NULL; p++) {
		if (p[2] != ' ' && strncmp(p + 2, "master_separator", 16) != 0)
			p[1] = ' ';
	}
	CHECK(f != NULL);
	if (f != NULL) {
		fputs(text, f);
		fclose(f);
		p = xasprintf("%s.ini", path);
		CHECK_INT(rename(path, p), 0);
		profile_load(p, &profile, &faults, &err);
		CHECK_STR(str_get(&faults), "");
		profile_free(&profile);
		remove(p);
		free(p);
	}
	str_clear(&faults);
	free(text);
}

static int
print(const char *what)
{
	struct str out;

	str_init(&out, 0);
	if (strcmp(what, "sample") == 0)
		profile_sample(&out);
	else if (strcmp(what, "md") == 0)
		profile_options_md(&out);
	else
		profile_options_man(&out);
	fputs(str_get(&out), stdout);
	str_clear(&out);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return print(argv[1]);
	RUN(the_sample_is_drawn_from_the_tables);
	RUN(the_manual_is_drawn_from_the_tables);
	RUN(the_page_is_drawn_from_the_tables);
	RUN(every_sample_loads);
	RUN(the_examples_of_the_sample_load);
	return test_done();
}
