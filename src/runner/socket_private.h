/* socket_private.h - the control socket's place, for both of its ends. */
#ifndef RUNNER_SOCKET_PRIVATE_H
#define RUNNER_SOCKET_PRIVATE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <sys/un.h>

#define SOCKET_NAME "control"

/* Opens the directory and writes the address of its socket, by /proc/self/fd, so that no path is
 * too long for it. The descriptor is to be kept open until bind() or connect() is done. */
int socket_place(const char *state_dir, struct sockaddr_un *address_r, int *dir_r, struct err *err);
/* True when the process behind the socket is of our user, or root's. */
bool socket_peer_ok(int fd);
/* Reads what is there: 1 something, 0 nothing now, -1 the end, an error, or more than fits. */
int socket_read(int fd, struct str *in);
/* Writes what the socket takes and cuts it off `out`: 0, or -1 when the other side is gone. */
int socket_write(int fd, struct str *out);

#endif
