/* file.c - files and directories that are private from the moment they exist.
 *
 * Modes are given to open() and mkdir(), never changed after; a file that is replaced is unlinked
 * first, so that neither its old mode nor a link in its place counts. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#include "base/banned.h"

#define READ_BYTES 65536

static int
check_own_directory(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, ERR_STATE_DIR, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_STATE_DIR, "%s is not a directory", path);
	if (st.st_uid != geteuid())
		return err_set(err, ERR_STATE_DIR, "%s belongs to another user", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(err, ERR_STATE_DIR, "%s can be written to by others (mode %04o)",
			path, (unsigned)st.st_mode & 07777U);
	return 0;
}

int
file_mkdirs(const char *path, struct err *err)
{
	char *copy, *slash;
	int ret = 0;

	if (path[0] == '\0')
		return err_set(err, ERR_STATE_DIR, "a directory without a name");
	copy = xstrdup(path);
	slash = copy;
	while (ret == 0 && slash != NULL) {
		slash = strchr(slash + 1, '/');
		if (slash != NULL)
			*slash = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			ret = err_errno(err, ERR_STATE_DIR, errno, "making directory %s", copy);
		if (slash != NULL)
			*slash = '/';
	}
	free(copy);
	return ret < 0 ? ret : check_own_directory(path, err);
}

FILE *
file_create(const char *path, bool replace, struct err *err)
{
	FILE *f;
	int fd;

	if (replace && unlink(path) < 0 && errno != ENOENT) {
		err_errno(err, ERR_DISK, errno, "replacing %s", path);
		return NULL;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_errno(err, ERR_DISK, errno, "creating %s", path);
		return NULL;
	}
	f = fdopen(fd, "w");
	if (f == NULL)
		BUG("no stream for an open file");
	return f;
}

FILE *
file_create_nameless(const char *dir, struct err *err)
{
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	FILE *f;

	if (fd < 0) {
		err_errno(err, ERR_DISK, errno, "creating a file without a name in %s", dir);
		return NULL;
	}
	f = fdopen(fd, "w");
	if (f == NULL)
		BUG("no stream for an open file");
	return f;
}

int
file_name(FILE *nameless, const char *path, struct err *err)
{
	char *part = xasprintf("%s.part", path), from[40];
	int ret = 0;

	/* A name is not given in the place of another, but taken by a rename. */
	snprintf(from, sizeof from, "/proc/self/fd/%d", fileno(nameless));
	if ((unlink(part) < 0 && errno != ENOENT) ||
		linkat(AT_FDCWD, from, AT_FDCWD, part, AT_SYMLINK_FOLLOW) < 0) {
		ret = err_errno(err, ERR_DISK, errno, "naming %s", part);
	} else if (rename(part, path) < 0) {
		ret = err_errno(err, ERR_DISK, errno, "naming %s", path);
		unlink(part);
	}
	free(part);
	return ret;
}

static int
read_all(int fd, const char *path, struct str *out, struct err *err)
{
	char *buf = xmalloc(READ_BYTES);
	ssize_t n;
	int ret = 0;

	do {
		n = read(fd, buf, READ_BYTES);
		if (n < 0 && errno != EINTR)
			ret = err_errno(err, ERR_PROFILE, errno, "reading %s", path);
		else if (n > 0 && str_add(out, buf, (size_t)n) < 0)
			ret = err_set(err, ERR_PROFILE, "%s is larger than %zu bytes", path,
				out->limit != 0 ? out->limit : STR_LIMIT_DEFAULT);
	} while (ret == 0 && n != 0);
	explicit_bzero(buf, READ_BYTES); /* it may have been a password */
	free(buf);
	return ret;
}

int
file_read(const char *path, struct str *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return err_errno(err, ERR_PROFILE, errno, "opening %s", path);
	ret = read_all(fd, path, out, err);
	close(fd);
	return ret;
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Makes the rename itself durable. */
static int
sync_directory_of(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');
	int fd, ret;

	if (slash == dir)
		slash[1] = '\0';
	else if (slash != NULL)
		*slash = '\0';
	fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return -1;
	ret = fsync(fd);
	close(fd);
	return ret;
}

int
file_write_atomic(const char *path, const void *bytes, size_t len, struct err *err)
{
	char *temporary = xasprintf("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC), saved = errno, ret;

	if (fd < 0) {
		free(temporary);
		return err_errno(err, ERR_DISK, saved, "writing %s", path);
	}
	ret = write_all(fd, bytes, len);
	if (ret == 0)
		ret = fsync(fd);
	saved = errno;
	if (close(fd) < 0 && ret == 0) {
		ret = -1;
		saved = errno;
	}
	if (ret == 0 && (rename(temporary, path) < 0 || sync_directory_of(path) < 0)) {
		ret = -1;
		saved = errno;
	}
	if (ret < 0) {
		unlink(temporary);
		err_errno(err, ERR_DISK, saved, "writing %s", path);
	}
	free(temporary);
	return ret < 0 ? -1 : 0;
}

int
file_sync_name(const char *path, struct err *err)
{
	if (sync_directory_of(path) < 0)
		return err_errno(err, ERR_DISK, errno, "syncing the name of %s", path);
	return 0;
}

int
file_check_private(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, ERR_PROFILE, errno, "%s", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(
			err, ERR_PROFILE, "%s holds a secret and belongs to another user", path);
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return err_set(err, ERR_PROFILE,
			"%s holds a secret and is open to others (mode %04o): chmod 600 it", path,
			(unsigned)st.st_mode & 07777U);
	return 0;
}

uint64_t
file_free_bytes(const char *path)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return 0;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

char *
path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	if (len == 0)
		return xstrdup(name);
	return xasprintf("%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", name);
}
