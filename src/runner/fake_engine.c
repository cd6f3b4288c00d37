/* fake_engine.c - a struct engine that does what a test says; for tests only. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/str.h"
#include "runner/fake_engine.h"
#include "base/banned.h"

struct fake_engine {
	struct engine base;
	int wake;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	struct snapshot shown;
	struct event events[FAKE_EVENTS];
	size_t event_count;
	uint64_t seq, ids;
	struct command commands[FAKE_COMMANDS];
	size_t command_count;
	enum err_code answer_code;
	char answer_text[240];
	bool new_snapshot, new_events, ended;
	uint64_t first_row, row_count;
};

static struct fake_engine *
fake_of(struct engine *engine)
{
	return (struct fake_engine *)(void *)engine;
}

static const struct fake_engine *
fake_of_const(const struct engine *engine)
{
	return (const struct fake_engine *)(const void *)engine;
}

static void
wake(struct fake_engine *fake)
{
	uint64_t one = 1;

	if (write(fake->wake, &one, sizeof one) < 0)
		BUG("an eventfd that cannot be written");
}

static void
looked(struct fake_engine *fake)
{
	uint64_t count;

	if (!fake->new_snapshot && !fake->new_events &&
		read(fake->wake, &count, sizeof count) < 0 && errno != EAGAIN)
		BUG("an eventfd that cannot be read");
}

/* Locked. */
static void
add_event(struct fake_engine *fake, const struct event *event)
{
	size_t oldest = 0;

	if (fake->event_count == FAKE_EVENTS) {
		while (oldest + 1 < FAKE_EVENTS && fake->events[oldest].kind == ENGINE_ANSWER)
			oldest++;
		memmove(fake->events + oldest, fake->events + oldest + 1,
			(FAKE_EVENTS - oldest - 1) * sizeof *fake->events);
		fake->event_count--;
	}
	fake->events[fake->event_count] = *event;
	fake->events[fake->event_count++].seq = ++fake->seq;
	fake->new_events = true;
	wake(fake);
}

static uint64_t
fake_send(struct engine *engine, const struct command *command)
{
	struct fake_engine *fake = fake_of(engine);
	struct event answer = { .kind = ENGINE_ANSWER };
	uint64_t id;

	pthread_mutex_lock(&fake->lock);
	id = answer.id = ++fake->ids;
	if (fake->command_count < FAKE_COMMANDS)
		fake->commands[fake->command_count] = *command;
	fake->command_count++;
	if (command->kind == CMD_ROWS) {
		fake->first_row = command->value;
		fake->row_count = command->value2;
		fake->shown.revision++;
		fake->new_snapshot = true;
	}
	answer.code = fake->answer_code;
	text_safe(answer.text, sizeof answer.text, fake->answer_text);
	add_event(fake, &answer);
	pthread_mutex_unlock(&fake->lock);
	return id;
}

static void
fake_snapshot(struct engine *engine, struct snapshot *snapshot_r)
{
	struct fake_engine *fake = fake_of(engine);
	size_t count = 0;

	pthread_mutex_lock(&fake->lock);
	*snapshot_r = fake->shown;
	for (size_t i = 0; i < fake->shown.row_count; i++) {
		uint64_t at = fake->shown.first_row + i;

		if (at >= fake->first_row && at - fake->first_row < fake->row_count)
			snapshot_r->rows[count++] = fake->shown.rows[i];
	}
	snapshot_r->first_row = fake->first_row;
	snapshot_r->row_count = count;
	/* So that whole pictures compare equal. */
	memset(snapshot_r->rows + count, 0, (SNAPSHOT_ROWS - count) * sizeof *snapshot_r->rows);
	fake->new_snapshot = false;
	looked(fake);
	pthread_mutex_unlock(&fake->lock);
}

static size_t
fake_events(struct engine *engine, uint64_t after, struct event *out, size_t max)
{
	struct fake_engine *fake = fake_of(engine);
	size_t count = 0, i;

	pthread_mutex_lock(&fake->lock);
	for (i = 0; i < fake->event_count && count < max; i++) {
		if (fake->events[i].seq > after)
			out[count++] = fake->events[i];
	}
	if (i == fake->event_count) {
		fake->new_events = false;
		looked(fake);
	}
	pthread_mutex_unlock(&fake->lock);
	return count;
}

static int
fake_wake_fd(const struct engine *engine)
{
	return fake_of_const(engine)->wake;
}

static bool
fake_alive(const struct engine *engine)
{
	return !fake_of_const(engine)->ended;
}

static void
fake_close(struct engine **engine)
{
	struct fake_engine *fake = fake_of(*engine);

	close(fake->wake);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
	*engine = NULL;
}

static const struct engine_ops fake_ops = {
	.send = fake_send,
	.snapshot = fake_snapshot,
	.events = fake_events,
	.wake_fd = fake_wake_fd,
	.alive = fake_alive,
	.close = fake_close,
};

struct fake_engine *
fake_engine_new(void)
{
	struct fake_engine *fake = xcalloc(1, sizeof *fake);

	fake->base.ops = &fake_ops;
	fake->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fake->row_count = SNAPSHOT_ROWS;
	pthread_mutex_init(&fake->lock, NULL);
	return fake;
}

struct engine *
fake_engine_get(struct fake_engine *fake)
{
	return &fake->base;
}

void
fake_engine_show(struct fake_engine *fake, const struct snapshot *snapshot)
{
	uint64_t revision;

	pthread_mutex_lock(&fake->lock);
	revision = fake->shown.revision + 1;
	fake->shown = *snapshot;
	fake->shown.revision = revision;
	fake->new_snapshot = true;
	wake(fake);
	pthread_mutex_unlock(&fake->lock);
}

void
fake_engine_emit(struct fake_engine *fake, const struct event *event)
{
	pthread_mutex_lock(&fake->lock);
	add_event(fake, event);
	pthread_mutex_unlock(&fake->lock);
}

void
fake_engine_end(struct fake_engine *fake)
{
	fake->ended = true;
}

void
fake_engine_answer(struct fake_engine *fake, enum err_code code, const char *text)
{
	pthread_mutex_lock(&fake->lock);
	fake->answer_code = code;
	text_safe(fake->answer_text, sizeof fake->answer_text, text);
	pthread_mutex_unlock(&fake->lock);
}

size_t
fake_engine_commands(struct fake_engine *fake, struct command *out, size_t max)
{
	size_t count;

	pthread_mutex_lock(&fake->lock);
	count = fake->command_count;
	for (size_t i = 0; i < count && i < max && i < FAKE_COMMANDS; i++)
		out[i] = fake->commands[i];
	pthread_mutex_unlock(&fake->lock);
	return count;
}
