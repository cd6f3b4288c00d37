/* message.c - what all connectors hand around: a fetched message, and a batch of messages to be
 * stored. A batch owns its entries and everything in them; bodies are counted references. */
#include "connector/connector.h"

#include <stdlib.h>

#include "base/banned.h"

struct message_box {
	struct message message;
	struct item item;
};

/* The public part first, so that a batch pointer is a box pointer. */
struct batch_box {
	struct batch batch;
	size_t cap;
};

struct message *
message_new(uint32_t uid)
{
	struct message_box *box = xcalloc(1, sizeof(*box));

	box->message.item = &box->item;
	box->item.uid = uid;
	box->item.received = ITEM_DATE_NONE;
	return &box->message;
}

void
message_free(struct message **message)
{
	struct message *m = *message;

	if (m == NULL)
		return;
	free(m->item->keywords);
	spool_unref(&m->body);
	free(m);
	*message = NULL;
}

struct batch *
batch_new(size_t capacity)
{
	struct batch_box *box = xcalloc(1, sizeof(*box));

	box->cap = capacity > 0 ? capacity : 1;
	box->batch.entries = xcalloc(box->cap, sizeof(*box->batch.entries));
	return &box->batch;
}

static void
entry_clear(struct store_entry *entry)
{
	message_free(&entry->message);
	free(entry->keywords);
	free(entry->sent);
	spool_unref(&entry->body);
}

void
batch_free(struct batch **batch)
{
	struct batch *b = *batch;

	if (b == NULL)
		return;
	for (size_t i = 0; i < b->count; i++)
		entry_clear(&b->entries[i]);
	free(b->entries);
	free((struct batch_box *)b);
	*batch = NULL;
}

struct store_entry *
batch_add(struct batch *batch, struct message **message)
{
	struct batch_box *box = (struct batch_box *)batch;
	struct message *m = *message;
	struct store_entry *entry;

	if (batch->count == box->cap) {
		box->cap *= 2;
		batch->entries = xrealloc(batch->entries, box->cap * sizeof(*batch->entries));
	}
	entry = &batch->entries[batch->count++];
	*entry = (struct store_entry){
		.message = m,
		.flags = m->item->flags,
		.keywords = m->item->keywords != NULL ? xstrdup(m->item->keywords) : NULL,
		.received = m->item->received,
		.body = m->body != NULL ? spool_ref(m->body) : NULL,
		.state = STORE_PENDING,
	};
	batch->bytes += m->body_bytes;
	*message = NULL;
	return entry;
}
