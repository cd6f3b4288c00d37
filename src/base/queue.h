/* queue.h - a bounded queue between two threads. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include "base/cancel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pointers with a weight (bytes); owns what was sent to it: what is left at the end is freed by
 * the function given. Any thread on either end. */
struct queue;

struct queue *queue_new(size_t max_items, uint64_t max_weight, void (*free_item)(void *item));
void queue_free(struct queue **queue);

/* Takes the item. Blocks while full (one item may always enter an empty queue), and who had to wait
 * does until half is free. Returns 1 taken; 0 timed out (timeout_ms; < 0 = none), the item stays
 * the caller's; -1 closed, likewise. */
int queue_push(struct queue *queue, void *item, uint64_t weight, int timeout_ms);
/* Returns 1 with *item_r; 0 timed out; -1 closed and empty. timeout_ms 0 does not wait. */
int queue_pop(struct queue *queue, void **item_r, int timeout_ms);
void queue_close(struct queue *queue); /* no more pushes; pops drain */
void queue_drop(struct queue *queue);  /* closes and frees what is in it */
size_t queue_count(struct queue *queue);

#endif
