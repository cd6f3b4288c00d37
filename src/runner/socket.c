/* socket.c - the control socket's place, and bytes through it without waiting. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner/socket_private.h"
#include "base/banned.h"

#define READ_BYTES 65536

int
socket_place(const char *state_dir, struct sockaddr_un *address_r, int *dir_r, struct err *err)
{
	int dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_errno(
			err, ERR_STATE_DIR, errno, "cannot open the directory %s", state_dir);
	memset(address_r, 0, sizeof *address_r);
	address_r->sun_family = AF_UNIX;
	snprintf(address_r->sun_path, sizeof address_r->sun_path, "/proc/self/fd/%d/%s", dir,
		SOCKET_NAME);
	*dir_r = dir;
	return 0;
}

bool
socket_peer_ok(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof peer)
		return false;
	return peer.uid == geteuid() || peer.uid == 0;
}

int
socket_read(int fd, struct str *in)
{
	char bytes[READ_BYTES];
	ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

	if (got > 0)
		return str_add(in, bytes, (size_t)got) < 0 ? -1 : 1;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return -1;
}

int
socket_write(int fd, struct str *out)
{
	size_t sent = 0;
	int ret = 0;

	while (sent < out->len && ret == 0) {
		ssize_t put =
			send(fd, out->data + sent, out->len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (put >= 0)
			sent += (size_t)put;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			ret = -1;
	}
	if (sent > 0) {
		memmove(out->data, out->data + sent, out->len - sent);
		str_cut(out, out->len - sent);
	}
	return ret;
}
