/* work_list.h - batches and changes that wait for their turn; one thread. */
#ifndef ENGINE_WORK_LIST_H
#define ENGINE_WORK_LIST_H

#include "engine/job.h"

struct node {
	struct node *next;
	struct batch *batch; /* one of these */
	struct work *work;
	int64_t sent_ms;
};

struct list {
	struct node *first, **last;
};

void list_add(struct list *list, const struct node *from);
void list_add_batch(struct list *list, struct batch *batch);
/* Puts all of `front` before what is in `list`. */
void list_prepend(struct list *list, struct list *front);
/* Takes the oldest; false when empty. */
bool list_take(struct list *list, struct node *node_r);
void list_clear(struct list *list);
/* A batch that nobody will send any more: rings must let their writers go. */
void drop_batch(struct batch **batch);

#endif
