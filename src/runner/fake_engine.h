/* fake_engine.h - a struct engine that does what a test says; for tests only. */
#ifndef RUNNER_FAKE_ENGINE_H
#define RUNNER_FAKE_ENGINE_H

#include "engine/engine.h"

#define FAKE_EVENTS   64 /* kept; older ones are dropped, answers never */
#define FAKE_COMMANDS 512

struct fake_engine;

struct fake_engine *fake_engine_new(void);
struct engine *fake_engine_get(struct fake_engine *fake);
/* Puts a picture up; its revision becomes one more than the last one's. */
void fake_engine_show(struct fake_engine *fake, const struct snapshot *snapshot);
/* Adds an event; its seq is the next one. */
void fake_engine_emit(struct fake_engine *fake, const struct event *event);
/* From here on the engine is not alive. */
void fake_engine_end(struct fake_engine *fake);
/* The next answers carry this code and text. */
void fake_engine_answer(struct fake_engine *fake, enum err_code code, const char *text);
/* The commands it got so far, oldest first; at most max are copied, all are counted. */
size_t fake_engine_commands(struct fake_engine *fake, struct command *out, size_t max);

#endif
