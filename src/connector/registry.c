/* registry.c - the list of connectors; a new protocol is one line here. */
#include "connector/connector.h"
#include "connector/imap/imap.h"

#include <string.h>

#include "base/banned.h"

static const struct connector *const connectors[] = {
	&imap_connector,
};

const struct connector *
connector_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(connectors) / sizeof(connectors[0]); i++) {
		if (strcmp(connectors[i]->name, name) == 0)
			return connectors[i];
	}
	return NULL;
}
