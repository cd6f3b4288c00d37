/* process_private.h - the thread that hears signals. */
#ifndef RUNNER_PROCESS_PRIVATE_H
#define RUNNER_PROCESS_PRIVATE_H

#include "base/err.h"
#include "base/log.h"
#include "engine/engine.h"

struct listener;

/* Blocks the signals in the calling thread and in all it starts from then on. */
struct listener *listener_new(void);
int listener_start(
	struct listener *listener, struct engine *engine, struct log *log, struct err *err);
/* Ends the thread: the engine is not touched any more. NULL is fine. */
void listener_stop(struct listener *listener);
/* Stops, drops what came since, and gives the calling thread its signal mask back. NULL is fine. */
void listener_free(struct listener **listener);

#endif
