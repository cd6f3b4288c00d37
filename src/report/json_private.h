/* json_private.h - jansson with names from servers and 64-bit numbers. */
#ifndef REPORT_JSON_PRIVATE_H
#define REPORT_JSON_PRIVATE_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/ledger/ledger.h"
#include "mail/digest.h"
#include "report/report.h"

/* Sets object[key] to the text made safe (null where NULL); jansson takes no broken UTF-8. */
void report_json_text(json_t *object, const char *key, const char *text);
void report_json_number(json_t *object, const char *key, uint64_t number);
void report_hex(char hex[DIGEST_SIZE * 2 + 1], const unsigned char digest[DIGEST_SIZE]);
/* Sets "rounds" and "forecast" (null where there is none). */
int report_json_rounds(const struct report_source *source, json_t *head, struct err *err);

#endif
