/* engine.c - the front end's calls, whichever implementation stands behind them. */
#include "engine/engine.h"

#include "base/banned.h"

uint64_t
engine_send(struct engine *engine, const struct command *command)
{
	return engine->ops->send(engine, command);
}

void
engine_snapshot(struct engine *engine, struct snapshot *snapshot_r)
{
	engine->ops->snapshot(engine, snapshot_r);
}

size_t
engine_events(struct engine *engine, uint64_t after, struct event *out, size_t max)
{
	return engine->ops->events(engine, after, out, max);
}

int
engine_wake_fd(const struct engine *engine)
{
	return engine->ops->wake_fd(engine);
}

bool
engine_alive(const struct engine *engine)
{
	return engine->ops->alive(engine);
}

void
engine_close(struct engine **engine)
{
	if (*engine != NULL)
		(*engine)->ops->close(engine);
}
