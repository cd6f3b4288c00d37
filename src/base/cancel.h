/* cancel.h - a stop flag that blocking calls watch. */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include <stdbool.h>

/* An eventfd, readable for ever once fired. Any thread may fire or test. */
struct cancel;

struct cancel *cancel_new(void);
void cancel_free(struct cancel **cancel);
void cancel_fire(struct cancel *cancel);        /* async-signal-safe */
bool cancel_fired(const struct cancel *cancel); /* false for NULL */
int cancel_fd(const struct cancel *cancel);     /* for poll(); -1 for NULL */
/* Waits up to ms; true if fired. */
bool cancel_wait(const struct cancel *cancel, unsigned ms);

#endif
