/* log.h - debug.log: one line per event, with account and folder. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

struct log; /* any thread; lines are never mixed, never wait for the network */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* Opens (creates 0600, appends) path. 0 or -1 with errno set. */
int log_open(const char *path, enum log_level level, struct log **log_r);
void log_close(struct log **log);
void log_set_level(struct log *log, enum log_level level);
bool log_wants(const struct log *log, enum log_level level); /* false for NULL */

/* "2026-11-21T09:41:07.123Z info  ana@acme.example INBOX  text". account and folder may be NULL;
 * all three are sanitized and made one line. log may be NULL: nothing happens. */
void log_line(struct log *log, enum log_level level, const char *account, const char *folder,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

const char *log_level_name(enum log_level level);
int log_level_by_name(const char *name); /* -1: no such level */

#endif
