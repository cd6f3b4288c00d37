/* test_lock.c - one owner at a time, and none once the owner is dead. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "base/file.h"
#include "runner/lock.h"
#include "base/banned.h"

static char dir[] = "/tmp/mailhaul-lock-XXXXXX";

static void
test_second_is_refused(void)
{
	char *path = path_join(dir, "second");
	struct lock *one = NULL, *two = NULL;
	struct lock_owner owner;
	struct err err = { 0 };

	CHECK(!lock_is_held(path, NULL));
	CHECK_INT(lock_take(path, &one, &err), 0);
	CHECK(lock_is_held(path, &owner));
	CHECK_INT(owner.pid, 0);
	lock_sign(one);
	CHECK(lock_is_held(path, &owner));
	CHECK_INT(owner.pid, getpid());
	CHECK_INT(lock_take(path, &two, &err), -1);
	CHECK_INT(err.code, ERR_LOCKED);
	CHECK(strstr(err.text, "process") != NULL);
	lock_release(&one);
	CHECK(one == NULL);
	CHECK(!lock_is_held(path, &owner));
	CHECK_INT(lock_take(path, &two, &err), 0);
	lock_release(&two);
	lock_release(&two);
	unlink(path);
	free(path);
}

/* A killed owner leaves the file and its text, and nothing else. */
static void
test_dies_with_owner(void)
{
	char *path = path_join(dir, "dead");
	struct lock *lock = NULL;
	struct lock_owner owner;
	struct err err = { 0 };
	int ready[2], status;
	char byte;
	pid_t child;

	CHECK_INT(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (lock_take(path, &lock, NULL) < 0)
			_exit(1);
		lock_sign(lock);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	CHECK_INT(read(ready[0], &byte, 1), 1);
	CHECK(lock_is_held(path, &owner));
	CHECK_INT(owner.pid, child);
	CHECK_INT(lock_take(path, &lock, &err), -1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	CHECK(!lock_is_held(path, NULL));
	CHECK_INT(lock_take(path, &lock, &err), 0);
	lock_release(&lock);
	close(ready[0]);
	unlink(path);
	free(path);
}

/* `--detach`: taken before the fork, kept by the child alone. */
static void
test_passes_to_child(void)
{
	char *path = path_join(dir, "child");
	struct lock *lock = NULL;
	struct err err = { 0 };
	int go[2], status;
	pid_t child;

	CHECK_INT(pipe(go), 0);
	CHECK_INT(lock_take(path, &lock, &err), 0);
	child = fork();
	if (child == 0) {
		char byte;

		close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	lock_release(&lock);
	CHECK(lock_is_held(path, NULL));
	close(go[0]);
	close(go[1]);
	waitpid(child, &status, 0);
	CHECK_INT(status, 0);
	CHECK(!lock_is_held(path, NULL));
	unlink(path);
	free(path);
}

static void
test_no_directory(void)
{
	struct lock *lock = NULL;
	struct err err = { 0 };

	CHECK_INT(lock_take("/nonexistent/lock", &lock, &err), -1);
	CHECK_INT(err.code, ERR_STATE_DIR);
	CHECK(lock == NULL);
	CHECK(!lock_is_held("/nonexistent/lock", NULL));
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	RUN(test_second_is_refused);
	RUN(test_dies_with_owner);
	RUN(test_passes_to_child);
	RUN(test_no_directory);
	rmdir(dir);
	return test_done();
}
