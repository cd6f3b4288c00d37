/* cancel.c - a stop flag with an eventfd beside it.
 *
 * The flag answers cancel_fired() without a system call; the descriptor is never read, so it stays
 * readable for everyone who polls it. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/err.h"

#include "base/banned.h"

struct cancel {
	atomic_bool fired;
	int fd;
};

struct cancel *
cancel_new(void)
{
	struct cancel *cancel = xcalloc(1, sizeof(*cancel));

	atomic_init(&cancel->fired, false);
	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cancel->fd < 0)
		BUG("no descriptor left for a stop flag");
	return cancel;
}

void
cancel_free(struct cancel **cancel)
{
	if (*cancel == NULL)
		return;
	close((*cancel)->fd);
	free(*cancel);
	*cancel = NULL;
}

void
cancel_fire(struct cancel *cancel)
{
	const uint64_t one = 1;
	int saved = errno;

	atomic_store(&cancel->fired, true);
	/* Fails only where the counter is full, and then it is readable already. */
	if (write(cancel->fd, &one, sizeof(one)) < 0)
		errno = saved;
}

bool
cancel_fired(const struct cancel *cancel)
{
	return cancel != NULL && atomic_load(&cancel->fired);
}

int
cancel_fd(const struct cancel *cancel)
{
	return cancel != NULL ? cancel->fd : -1;
}

bool
cancel_wait(const struct cancel *cancel, unsigned ms)
{
	int64_t end = clock_ms() + ms, left = ms;
	/* poll() skips a descriptor of -1. */
	struct pollfd pfd = { .fd = cancel_fd(cancel), .events = POLLIN };

	while (!cancel_fired(cancel) && left > 0) {
		poll(&pfd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		left = end - clock_ms();
	}
	return cancel_fired(cancel);
}
