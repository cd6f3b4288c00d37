/* account_lock.h - one run at a time on a target account, over all profiles and users of a host. */
#ifndef ENGINE_ACCOUNT_LOCK_H
#define ENGINE_ACCOUNT_LOCK_H

#include "base/err.h"

/* Takes the lock of the account `user` at host:port; all three are compared without regard to
 * case. *fd_r is the lock: close() lets it go, and so does the end of the process, however it
 * ends. Does not wait: ERR_LOCKED while another run (or this one) has it. ERR_STATE_DIR: there is
 * no lock to be had here. */
int account_lock(const char *host, unsigned port, const char *user, int *fd_r, struct err *err);

#endif
