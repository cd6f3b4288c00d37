/* attach.c - following a run that another process does. */
#include "cli/cli.h"
#include "base/banned.h"

int
cli_attach(const struct profile *profile, const struct err *locked)
{
	(void)profile;
	return cli_fail(locked);
}
