/* lock.c - one runner per profile.
 *
 * An OFD lock on a file in the state directory. The kernel drops it when the last descriptor of
 * the open file is closed, so that a dead owner is never waited for, and F_OFD_GETLK looks at it
 * without taking it, so that `status` cannot get into the way of a start. The file stays: removing
 * it would let two owners lock two files of one name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "runner/lock.h"
#include "base/banned.h"

#define OWNER_BYTES 128 /* "PID HOST\n" */

struct lock {
	int fd;
};

static struct flock
whole_file(void)
{
	struct flock range = { 0 };

	range.l_type = F_WRLCK;
	range.l_whence = SEEK_SET;
	return range;
}

static void
read_owner(int fd, struct lock_owner *owner)
{
	char text[OWNER_BYTES + 1];
	ssize_t got = pread(fd, text, OWNER_BYTES, 0);
	char *blank;
	unsigned pid;

	memset(owner, 0, sizeof *owner);
	if (got <= 0)
		return;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	blank = strchr(text, ' ');
	if (blank == NULL || text_u32(text, (size_t)(blank - text), &pid) < 0)
		return;
	owner->pid = (long)pid;
	text_safe(owner->host, sizeof owner->host, blank + 1);
}

int
lock_take(const char *path, struct lock **lock_r, struct err *err)
{
	struct flock range = whole_file();
	struct lock_owner owner;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_errno(err, ERR_STATE_DIR, errno, "cannot open the lock file %s", path);
	if (fcntl(fd, F_OFD_SETLK, &range) < 0) {
		int saved = errno;

		if (saved != EAGAIN && saved != EACCES) {
			close(fd);
			return err_errno(err, ERR_STATE_DIR, saved, "cannot lock %s", path);
		}
		read_owner(fd, &owner);
		close(fd);
		if (owner.pid == 0)
			return err_set(err, ERR_LOCKED, "another run is at work (%s)", path);
		return err_set(err, ERR_LOCKED, "a run is at work (process %ld on %s)", owner.pid,
			owner.host);
	}
	*lock_r = xcalloc(1, sizeof **lock_r);
	(*lock_r)->fd = fd;
	return 0;
}

void
lock_sign(struct lock *lock)
{
	char host[65] = "", text[OWNER_BYTES];
	int len;

	if (gethostname(host, sizeof host - 1) < 0)
		host[0] = '\0';
	len = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), host);
	/* For show: a disk that is full here will be told of by the ledger. */
	if (len < 0 || (size_t)len >= sizeof text || ftruncate(lock->fd, 0) < 0)
		return;
	if (pwrite(lock->fd, text, (size_t)len, 0) != len)
		(void)!ftruncate(lock->fd, 0);
}

void
lock_release(struct lock **lock)
{
	if (*lock == NULL)
		return;
	/* No F_UNLCK: that would take the lock from a child that inherited it. */
	close((*lock)->fd);
	free(*lock);
	*lock = NULL;
}

bool
lock_is_held(const char *path, struct lock_owner *owner_r)
{
	struct flock range = whole_file();
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held;

	if (owner_r != NULL)
		memset(owner_r, 0, sizeof *owner_r);
	if (fd < 0)
		return false;
	held = fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
	if (held && owner_r != NULL)
		read_owner(fd, owner_r);
	close(fd);
	return held;
}
