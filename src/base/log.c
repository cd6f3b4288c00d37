/* log.c - debug.log: whole lines, each handed to the kernel in one piece.
 *
 * A line is made without the lock and written under it. What cannot be written (a full disk) is
 * counted, and the count is the next line that can: a log that lost lines says so. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#include "base/banned.h"

#define TEXT_BYTES 4096
#define LINE_LIMIT ((size_t)32768) /* four bytes for each, at worst, and the names */

struct log {
	atomic_int level;
	/* Shared: hold `lock`. */
	pthread_mutex_t lock;
	int fd;
	unsigned long lost;
};

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
	[LOG_TRACE] = "trace",
};

int
log_open(const char *path, enum log_level level, struct log **log_r)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct log *log;

	if (fd < 0)
		return -1;
	log = xcalloc(1, sizeof(*log));
	atomic_init(&log->level, (int)level);
	pthread_mutex_init(&log->lock, NULL);
	log->fd = fd;
	*log_r = log;
	return 0;
}

void
log_close(struct log **log)
{
	if (*log == NULL)
		return;
	close((*log)->fd);
	pthread_mutex_destroy(&(*log)->lock);
	free(*log);
	*log = NULL;
}

void
log_set_level(struct log *log, enum log_level level)
{
	if (log != NULL)
		atomic_store(&log->level, (int)level);
}

bool
log_wants(const struct log *log, enum log_level level)
{
	return log != NULL && (int)level <= atomic_load(&log->level);
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

int
log_level_by_name(const char *name)
{
	for (int i = LOG_ERROR; i <= LOG_TRACE; i++) {
		if (strcmp(level_names[i], name) == 0)
			return i;
	}
	return -1;
}

static void
add_time(struct str *line)
{
	struct timespec ts;
	char iso[32];
	size_t len;

	clock_gettime(CLOCK_REALTIME, &ts);
	len = strlen(clock_iso(iso, sizeof(iso), ts.tv_sec));
	str_add(line, iso, len - 1); /* without the Z */
	str_addf(line, ".%03ldZ ", ts.tv_nsec / 1000000);
}

static int
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static void
write_line(struct log *log, const struct str *line)
{
	char note[64];
	int len;

	pthread_mutex_lock(&log->lock);
	if (log->lost > 0) {
		len = snprintf(note, sizeof(note), "(%lu lines could not be written)\n", log->lost);
		if (write_all(log->fd, note, (size_t)len) == 0)
			log->lost = 0;
	}
	if (write_all(log->fd, line->data, line->len) < 0)
		log->lost++;
	pthread_mutex_unlock(&log->lock);
}

void
log_line(struct log *log, enum log_level level, const char *account, const char *folder,
	const char *fmt, ...)
{
	char text[TEXT_BYTES];
	struct str line;
	va_list ap;
	int len;

	if (!log_wants(log, level))
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0)
		text[0] = '\0';
	str_init(&line, LINE_LIMIT);
	add_time(&line);
	str_addf(&line, "%-5s ", level_names[level]);
	if (account == NULL)
		account = "-";
	if (folder == NULL)
		folder = "-";
	text_sanitize(&line, account, strnlen(account, 1024));
	str_addc(&line, ' ');
	text_sanitize(&line, folder, strnlen(folder, 1024));
	str_adds(&line, "  ");
	text_sanitize(&line, text, strlen(text));
	if (len >= (int)sizeof(text))
		str_adds(&line, " ...");
	str_addc(&line, '\n');
	write_line(log, &line);
	str_clear(&line);
}
