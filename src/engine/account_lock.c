/* account_lock.c - one run at a time on a target account.
 *
 * The lock is the name of an abstract Unix socket (unix(7)), bound and never listened on. The
 * kernel gives a name to one socket at a time and takes it back with the last descriptor of its
 * owner, so nobody waits for the dead and no file is left behind. No directory, right or
 * environment is involved: profiles of other users, or with another HOME, meet here too.
 *
 * Its limits: the names are those of one network namespace, so a run in a container of its own
 * network does not see those outside, and no other host does. A server that two profiles call by
 * different names is two servers. A local program that takes the name on purpose keeps runs off
 * this account; it learns nothing and changes nothing. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/account_lock.h"
#include "mail/digest.h"

#include "base/banned.h"

#define NAME_PREFIX "mailhaul-account-"

/* Hashed: logins are longer than a socket's name may be, and anybody can list these names. */
static socklen_t
make_name(const char *host, unsigned port, const char *user, struct sockaddr_un *name_r)
{
	static const size_t prefix = sizeof NAME_PREFIX - 1;
	struct digester *digester = digester_new();
	struct digests digests;
	char *key = xasprintf("%s:%u:%s", host, port, user);
	char *at = name_r->sun_path + 1; /* behind the NUL that makes it abstract */

	for (char *c = key; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	digester_add(digester, key, strlen(key));
	digester_end(&digester, &digests);
	free(key);
	memset(name_r, 0, sizeof *name_r);
	name_r->sun_family = AF_UNIX;
	memcpy(at, NAME_PREFIX, prefix);
	for (unsigned i = 0; i < DIGEST_SIZE; i++)
		snprintf(at + prefix + 2 * i, 3, "%02x", digests.exact[i]);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + prefix + 2 * DIGEST_SIZE);
}

int
account_lock(const char *host, unsigned port, const char *user, int *fd_r, struct err *err)
{
	struct sockaddr_un name;
	socklen_t size = make_name(host, port, user, &name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;

	if (fd < 0)
		return err_errno(err, ERR_STATE_DIR, errno, "lock of target account %s", user);
	if (bind(fd, (const struct sockaddr *)&name, size) < 0) {
		saved = errno;
		close(fd);
		if (saved == EADDRINUSE)
			return err_set(err, ERR_LOCKED,
				"another run works on target account %s at %s", user, host);
		return err_errno(err, ERR_STATE_DIR, saved, "lock of target account %s", user);
	}
	*fd_r = fd;
	return 0;
}
