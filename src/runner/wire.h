/* wire.h - frames on the control socket: four bytes of length, then JSON. */
#ifndef RUNNER_WIRE_H
#define RUNNER_WIRE_H

#include "base/str.h"
#include "engine/engine.h"

#include <jansson.h>

#define WIRE_VERSION   2
#define WIRE_FRAME_MAX ((size_t)1 << 20) /* bytes of JSON in a frame */

/* What the two sides say first. */
struct wire_hello {
	unsigned version;
	unsigned pid;
	char host[65], profile[128], directory[512]; /* of the run */
};

/* Appends a frame; takes the object. -1 when it does not fit in out's limit or in a frame. */
int wire_put(struct str *out, json_t *object);
/* Takes the first frame off `in`: 1 with *object_r; 0 while it is not whole; -1 with ERR_PROTOCOL:
 * longer than WIRE_FRAME_MAX, or no JSON object. */
int wire_take(struct str *in, json_t **object_r, struct err *err);
/* "hello", "command", "snapshot", "event"; "" when it has no type. */
const char *wire_type(const json_t *object);

const char *wire_run_state(enum run_state state); /* "working" */

json_t *wire_hello(const struct wire_hello *hello);
json_t *wire_command(uint64_t id, const struct command *command);
/* Rows first .. first + count of all accounts, as far as the snapshot has them. */
json_t *wire_snapshot(const struct snapshot *snapshot, uint64_t first, uint64_t count);
json_t *wire_event(const struct event *event);
/* The totals alone, for state.json. */
json_t *wire_totals(const struct snapshot_totals *totals);

/* 0, or -1 with ERR_PROTOCOL naming the field that is missing, of another type or out of range.
 * Other members are let be. Texts are cut to their fields and made safe. */
int wire_get_hello(const json_t *object, struct wire_hello *hello_r, struct err *err);
int wire_get_command(
	const json_t *object, uint64_t *id_r, struct command *command_r, struct err *err);
int wire_get_snapshot(const json_t *object, struct snapshot *snapshot_r, struct err *err);
int wire_get_event(const json_t *object, struct event *event_r, struct err *err);

#endif
