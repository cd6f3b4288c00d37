/* die.c - the crash tests' hook: counts steps, and ends the process at the one asked for.
 *
 * The counters are the program's only mutable globals: a step can be deep inside any module, and
 * handing a counter down there would put the test into every signature. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "base/err.h"
#include "base/str.h"

#include "base/banned.h"

static const char *const kind_names[DIE_KINDS] = {
	[DIE_COMMIT] = "commit",
	[DIE_FIRST_BYTE] = "first-byte",
	[DIE_LAST_BYTE] = "last-byte",
	[DIE_REPLY] = "reply",
};

static atomic_uint counts[DIE_KINDS];
static pthread_once_t asked_once = PTHREAD_ONCE_INIT;
static enum die_kind asked_kind = DIE_KINDS; /* DIE_KINDS: never */
static unsigned asked_step;

/* A value that cannot be understood must not pass as a run that survived. */
static void
read_environment(void)
{
	const char *asked = getenv("MAILHAUL_DIE_AT");
	const char *colon = asked != NULL ? strchr(asked, ':') : NULL;

	if (asked == NULL)
		return;
	for (unsigned i = 0; colon != NULL && i < DIE_KINDS; i++) {
		size_t len = strlen(kind_names[i]);

		if ((size_t)(colon - asked) == len && memcmp(asked, kind_names[i], len) == 0 &&
			text_u32(colon + 1, strlen(colon + 1), &asked_step) == 0 &&
			asked_step > 0) {
			asked_kind = (enum die_kind)i;
			return;
		}
	}
	BUG("MAILHAUL_DIE_AT is not kind:N");
}

void
die_step(enum die_kind kind)
{
	unsigned step;

	pthread_once(&asked_once, read_environment);
	step = atomic_fetch_add(&counts[kind], 1) + 1;
	if (kind != asked_kind || step != asked_step)
		return;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

void
die_report(void)
{
	const char *path = getenv("MAILHAUL_DIE_COUNT");
	FILE *f;

	if (path == NULL)
		return;
	f = fopen(path, "we");
	if (f == NULL)
		BUG("MAILHAUL_DIE_COUNT cannot be written");
	for (unsigned i = 0; i < DIE_KINDS; i++)
		fprintf(f, "%s %u\n", kind_names[i], atomic_load(&counts[i]));
	if (fclose(f) != 0)
		BUG("MAILHAUL_DIE_COUNT cannot be written");
}
