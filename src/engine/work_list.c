/* work_list.c - what the writer has put aside, in order. */
#include <stdlib.h>

#include "engine/work_list.h"

#include "base/banned.h"

void
list_add(struct list *list, const struct node *from)
{
	struct node *node = xcalloc(1, sizeof *node);

	if (list->first == NULL)
		list->last = &list->first;
	*node = *from;
	*list->last = node;
	list->last = &node->next;
}

void
list_add_batch(struct list *list, struct batch *batch)
{
	list_add(list, &(struct node){ .batch = batch });
}

void
list_prepend(struct list *list, struct list *front)
{
	if (front->first == NULL)
		return;
	*front->last = list->first;
	if (list->first == NULL)
		list->last = front->last;
	list->first = front->first;
	front->first = NULL;
}

bool
list_take(struct list *list, struct node *node_r)
{
	struct node *node = list->first;

	if (node == NULL)
		return false;
	*node_r = *node;
	list->first = node->next;
	free(node);
	return true;
}

void
drop_batch(struct batch **batch)
{
	struct work *work = xcalloc(1, sizeof *work);

	work->batch = *batch;
	*batch = NULL;
	work_free(work);
}

void
list_clear(struct list *list)
{
	struct node node;

	while (list_take(list, &node)) {
		if (node.batch != NULL)
			drop_batch(&node.batch);
		work_free(node.work);
	}
}
