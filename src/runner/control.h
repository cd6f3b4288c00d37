/* control.h - the runner's end of the control socket. */
#ifndef RUNNER_CONTROL_H
#define RUNNER_CONTROL_H

#include "base/log.h"
#include "engine/engine.h"
#include "runner/wire.h"

/* Engine, hello and log are borrowed until control_stop(), the paths until control_start() is
 * done. */
struct control_config {
	struct engine *engine;
	const char *state_dir;  /* where `control` and state.json are */
	const char *state_path; /* of state.json; NULL: none is written */
	const struct wire_hello *hello;
	struct log *log;
};

struct control;

/* Binds the socket (0600; one that a dead runner left is replaced) and starts its thread. Only
 * the holder of the profile's lock may call this. ERR_STATE_DIR. */
int control_start(const struct control_config *config, struct control **control_r, struct err *err);
/* Gives the clients what they have not got yet (for 2 s at most), closes, removes the socket,
 * writes the last state.json. NULL is fine. */
void control_stop(struct control **control);

#endif
