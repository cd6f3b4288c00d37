/* test_file.c - modes from the start, whole replacement, and each refusal with its code; the log
 * and the crash hook, which write files, are here too. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "base/file.h"
#include "base/log.h"
#include "base/test.h"

#include "base/banned.h"

static char top[] = "/tmp/test_file.XXXXXX";

static char *
in_top(const char *name)
{
	return path_join(top, name);
}

static unsigned
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (unsigned)st.st_mode & 07777U : 0;
}

static void
paths_are_joined(void)
{
	static const struct {
		const char *dir, *name, *path;
	} cases[] = {
		{ "a", "b", "a/b" },
		{ "a/", "b", "a/b" },
		{ "/", "b", "/b" },
		{ "", "b", "b" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = path_join(cases[i].dir, cases[i].name);

		CHECK_STR(path, cases[i].path);
		free(path);
	}
}

static void
directories_are_private(void)
{
	char *deep = in_top("a/b//c/"), *open_dir = in_top("open"), *file = in_top("file");
	char *under = path_join(file, "x");
	struct err err;
	FILE *f;

	CHECK_INT(file_mkdirs(deep, &err), 0);
	CHECK_INT(mode_of(deep), 0700);
	CHECK_INT(file_mkdirs(deep, &err), 0);
	mkdir(open_dir, 0700);
	chmod(open_dir, 0777);
	CHECK_INT(file_mkdirs(open_dir, &err), -1);
	CHECK_INT(err.code, ERR_STATE_DIR);
	f = file_create(file, false, &err);
	CHECK(f != NULL);
	fclose(f);
	CHECK_INT(file_mkdirs(file, &err), -1);
	CHECK_INT(err.code, ERR_STATE_DIR);
	CHECK_INT(file_mkdirs(under, &err), -1);
	CHECK_INT(err.code, ERR_STATE_DIR);
	CHECK_INT(file_mkdirs("", &err), -1);
	free(deep);
	free(open_dir);
	free(file);
	free(under);
}

static void
files_are_created_private_and_once(void)
{
	char *path = in_top("once"), *link_path = in_top("link"), *victim = in_top("victim");
	struct str text = { 0 };
	struct err err;
	FILE *f = file_create(path, false, &err);

	CHECK(f != NULL);
	fputs("one", f);
	fclose(f);
	CHECK_INT(mode_of(path), 0600);
	CHECK(file_create(path, false, &err) == NULL);
	CHECK_INT(err.code, ERR_DISK);
	/* A link in its place is replaced, not followed. */
	CHECK_INT(file_write_atomic(victim, "safe", 4, &err), 0);
	CHECK_INT(symlink(victim, link_path), 0);
	CHECK(file_create(link_path, false, &err) == NULL);
	f = file_create(link_path, true, &err);
	CHECK(f != NULL);
	fputs("new", f);
	fclose(f);
	CHECK_INT(file_read(victim, &text, &err), 0);
	CHECK_STR(str_get(&text), "safe");
	str_clear(&text);
	free(path);
	free(link_path);
	free(victim);
}

static void
nameless_files_get_a_name(void)
{
	char *path = in_top("named");
	struct str text = { 0 };
	struct stat st;
	struct err err;
	FILE *f = file_create_nameless(top, &err);

	if (f == NULL && strstr(err.text, strerror(EOPNOTSUPP)) != NULL) {
		free(path);
		return;
	}
	CHECK(f != NULL);
	fputs("one", f);
	CHECK_INT(fflush(f), 0);
	CHECK_INT(stat(path, &st), -1);
	CHECK_INT(file_name(f, path, &err), 0);
	CHECK_INT(file_sync_name(path, &err), 0);
	fclose(f);
	CHECK_INT(mode_of(path), 0600);
	f = file_create_nameless(top, &err);
	CHECK(f != NULL);
	fputs("two", f);
	CHECK_INT(fflush(f), 0);
	CHECK_INT(file_name(f, path, &err), 0); /* in the place of the other */
	fclose(f);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_STR(str_get(&text), "two");
	str_clear(&text);
	CHECK_INT(unlink(path), 0);
	free(path);
	path = in_top("named.part");
	CHECK_INT(stat(path, &st), -1);
	free(path);
	CHECK(file_create_nameless("/nonexistent", &err) == NULL);
	CHECK_INT(err.code, ERR_DISK);
}

static void
files_are_read_up_to_the_limit(void)
{
	char *path = in_top("read");
	struct str text;
	struct err err;

	CHECK_INT(file_write_atomic(path, "12345678", 8, &err), 0);
	str_init(&text, 8);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_STR(str_get(&text), "12345678");
	str_clear(&text);
	str_init(&text, 7);
	CHECK_INT(file_read(path, &text, &err), -1);
	CHECK_INT(err.code, ERR_PROFILE);
	str_clear(&text);
	CHECK_INT(file_read("/nonexistent", &text, &err), -1);
	CHECK_STR(err.text, "opening /nonexistent: No such file or directory");
	CHECK_INT(file_read("/tmp", &text, &err), -1);
	CHECK_STR(err.text, "reading /tmp: Is a directory");
	str_clear(&text);
	free(path);
}

static void
replacing_is_whole_and_leaves_nothing(void)
{
	char *dir = in_top("atomic"), *path = path_join(dir, "x"), *none = in_top("none/x");
	struct str text = { 0 };
	struct err err;
	int entries = 0;
	DIR *d;

	mkdir(dir, 0700);
	CHECK_INT(file_write_atomic(path, "first", 5, &err), 0);
	chmod(path, 0644);
	CHECK_INT(file_write_atomic(path, "se\0cond", 7, &err), 0);
	CHECK_INT(mode_of(path), 0600);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_INT(text.len, 7);
	CHECK_MEM(text.data, "se\0cond", 8);
	str_clear(&text);
	d = opendir(dir);
	while (d != NULL && readdir(d) != NULL)
		entries++;
	closedir(d);
	CHECK_INT(entries, 3); /* with . and .. */
	CHECK_INT(file_write_atomic(none, "x", 1, &err), -1);
	CHECK_INT(err.code, ERR_DISK);
	free(dir);
	free(path);
	free(none);
}

static void
only_private_files_may_hold_secrets(void)
{
	static const struct {
		unsigned mode;
		int ret;
	} cases[] = { { 0600, 0 }, { 0400, 0 }, { 0640, -1 }, { 0604, -1 }, { 0620, -1 } };
	char *path = in_top("secret");
	struct err err;

	file_write_atomic(path, "x", 1, &err);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		chmod(path, cases[i].mode);
		CHECK_INT(file_check_private(path, &err), cases[i].ret);
	}
	CHECK_INT(err.code, ERR_PROFILE);
	CHECK_INT(file_check_private("/nonexistent", &err), -1);
	free(path);
}

static void
log_lines_are_whole_and_safe(void)
{
	char *path = in_top("debug.log"), *line;
	struct str text = { 0 };
	struct log *log = NULL;
	struct err err;

	CHECK_INT(log_open(path, LOG_INFO, &log), 0);
	CHECK_INT(mode_of(path), 0600);
	log_line(log, LOG_INFO, "ann@acme.example", "IN\nBOX", "%d\x1b[2J", 7);
	log_line(log, LOG_DEBUG, NULL, NULL, "not wanted");
	log_set_level(log, LOG_DEBUG);
	log_line(log, LOG_DEBUG, NULL, NULL, "wanted");
	log_line(NULL, LOG_ERROR, NULL, NULL, "nowhere");
	CHECK(log_wants(log, LOG_ERROR) && !log_wants(log, LOG_TRACE) &&
		!log_wants(NULL, LOG_ERROR));
	log_close(&log);
	CHECK_INT(file_read(path, &text, &err), 0);
	/* 2026-11-21T09:41:07.123Z takes 24 bytes. */
	line = text.data;
	CHECK(text.len > 100 && line[10] == 'T' && line[19] == '.' && line[23] == 'Z');
	CHECK(strstr(line, "Z info  ann@acme.example IN\\x0ABOX  7\\x1B[2J\n") == line + 23);
	line = strchr(line, '\n') + 1;
	CHECK_STR(line + 23, "Z debug - -  wanted\n");
	CHECK_INT(log_open("/nonexistent/x", LOG_INFO, &log), -1);
	CHECK_INT(errno, ENOENT);
	str_clear(&text);
	free(path);
}

static void
log_levels_have_names(void)
{
	for (int i = LOG_ERROR; i <= LOG_TRACE; i++)
		CHECK_INT(log_level_by_name(log_level_name((enum log_level)i)), i);
	CHECK_INT(log_level_by_name("loud"), -1);
}

/* Runs three commits and two replies in a child; returns its wait status. */
static int
steps_in_a_child(const char *die_at, const char *count_file)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (die_at != NULL)
			setenv("MAILHAUL_DIE_AT", die_at, 1);
		setenv("MAILHAUL_DIE_COUNT", count_file, 1);
		for (int i = 0; i < 3; i++)
			die_step(DIE_COMMIT);
		die_step(DIE_REPLY);
		die_step(DIE_REPLY);
		die_report();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
crash_hook_dies_at_its_step(void)
{
	char *path = in_top("count");
	struct str text = { 0 };
	struct err err;
	int status;

	status = steps_in_a_child("commit:3", path);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_INT(access(path, F_OK), -1);
	status = steps_in_a_child("reply:3", path);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_INT(file_read(path, &text, &err), 0);
	CHECK_STR(str_get(&text), "commit 3\nfirst-byte 0\nlast-byte 0\nreply 2\n");
	str_clear(&text);
	status = steps_in_a_child("comit:1", path);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	free(path);
}

int
main(void)
{
	char *clean;
	int ret;

	if (mkdtemp(top) == NULL)
		return 1;
	RUN(paths_are_joined);
	RUN(directories_are_private);
	RUN(files_are_created_private_and_once);
	RUN(nameless_files_get_a_name);
	RUN(files_are_read_up_to_the_limit);
	RUN(replacing_is_whole_and_leaves_nothing);
	RUN(only_private_files_may_hold_secrets);
	RUN(log_lines_are_whole_and_safe);
	RUN(log_levels_have_names);
	RUN(crash_hook_dies_at_its_step);
	clean = xasprintf("rm -rf %s", top);
	ret = system(clean);
	free(clean);
	return ret == 0 ? test_done() : 1;
}
