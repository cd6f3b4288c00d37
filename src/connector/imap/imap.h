/* imap.h - the IMAP connector, both directions (RFC 3501, RFC 9051 and their extensions). */
#ifndef CONNECTOR_IMAP_IMAP_H
#define CONNECTOR_IMAP_IMAP_H

#include "connector/connector.h"

extern const struct connector imap_connector;

#endif
