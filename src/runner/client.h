/* client.h - engine.h over a runner's control socket. */
#ifndef RUNNER_CLIENT_H
#define RUNNER_CLIENT_H

#include "engine/engine.h"
#include "runner/wire.h"

/* Connects to the runner at work in this state directory, and waits (5 s at most) until it has
 * told who it is and given a first snapshot. ERR_STATE_DIR: no runner there; ERR_PERM: of another
 * user; ERR_PROTOCOL: of another version; ERR_TIMEOUT. hello_r may be NULL. */
int engine_client_open(const char *state_dir, struct engine **engine_r, struct wire_hello *hello_r,
	struct err *err);

#endif
