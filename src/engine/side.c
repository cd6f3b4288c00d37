/* side.c - one side of a job: who logs in where, and the session. */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#include "base/banned.h"

/* Who logs in: the row's own password, else the admin, else (target) the source's password. */
static void
choose_login(struct side *side, const struct profile_side *conf, const char *user,
	struct secret *own, struct secret *admin, struct secret *fallback)
{
	struct endpoint *ep = &side->endpoint;

	ep->user = user;
	if (own != NULL) {
		ep->secret = own;
		ep->auth = conf->auth == AUTH_MASTER ? AUTH_PLAIN : (enum net_auth)conf->auth;
	} else if (admin != NULL) { /* without a name: a token that is good for every user */
		ep->secret = admin;
		ep->login = conf->admin_user;
		ep->auth = (enum net_auth)conf->auth;
	} else {
		ep->secret = fallback;
		ep->auth = (enum net_auth)conf->auth;
	}
}

void
side_init(struct job *job, struct side *side, bool source)
{
	const struct profile *profile = job->config->profile;
	const struct profile_side *conf = source ? &profile->source : &profile->target;
	const struct user *user = job->account->user;
	struct endpoint *ep = &side->endpoint;
	const char *host = source ? user->source_host : user->target_host;

	memset(side, 0, sizeof *side);
	side->is_source = source;
	side->c = connector_by_name(conf->type);
	side->cancel = cancel_new();
	ep->host = host != NULL ? host : conf->host;
	ep->port = conf->port;
	ep->security = (enum net_security)conf->security;
	ep->verify = (enum net_verify)conf->verify;
	ep->pin = conf->pin;
	ep->ca_file = conf->ca_file;
	ep->tls_min = conf->tls_min;
	ep->separator = conf->separator;
	ep->timeout_ms = conf->timeout_s * 1000;
	ep->compress = (enum net_compress)conf->compress;
	ep->readonly = source || job->readonly;
	ep->trace = log_wants(job->log, LOG_TRACE);
	if (source)
		choose_login(
			side, conf, user->user, user->password, job->config->source_admin, NULL);
	else
		choose_login(side, conf, user->target_user, user->target_password,
			job->config->target_admin, user->password);
}

/* The connector speaks of the mailbox; whose password it was, and whose limits, is said here. What
 * a connection says of itself begins with its host already. */
static int
name_side(const struct side *side, struct err *err)
{
	const struct endpoint *ep = &side->endpoint;
	const char *name = side->is_source ? "source" : "target";
	const char *at = err->text[0] == '[' ? err->text + 1 : err->text;

	if (ep->login != NULL && strcmp(ep->login, ep->user) != 0 && err->scope == SCOPE_ACCOUNT &&
		!err_is_link(err->code))
		return err_context(err, "%s %s (as %s)", name, ep->host, ep->login);
	if (strncmp(at, ep->host, strlen(ep->host)) == 0)
		return err_context(err, "%s", name);
	return err_context(err, "%s %s", name, ep->host);
}

static int
open_session(struct job *job, struct side *side, const _Atomic uint64_t *memory, struct err *err)
{
	struct session_env env = { 0 };

	env.pool = job->local->pool;
	env.stream_limit = job->run->stream_limit;
	env.ring_bytes = 1u << 20;
	env.memory = memory;
	env.cancel = side->cancel;
	env.log = job->log;
	env.account = job->name;
	env.compression = pace_compression(job->local->pace, &side->endpoint);
	env.host = pace_host(job->local->pace, &side->endpoint);
	if (side->c->open(&side->endpoint, &env, &side->session, err) < 0)
		return name_side(side, err);
	return 0;
}

/* Whether it speaks of how much the host can bear; LEVEL_FINE: no. */
static enum level_why
strain_of(enum err_code code)
{
	switch ((int)code) {
	case ERR_LIMIT:
		return LEVEL_LIMIT;
	case ERR_UNAVAILABLE:
		return LEVEL_UNAVAILABLE;
	case ERR_CONNECT:
	case ERR_TIMEOUT:
		return LEVEL_REFUSED;
	case ERR_BYE:
	case ERR_LOST:
		return LEVEL_BYE;
	default:
		return LEVEL_FINE;
	}
}

/* A host that serves others and not this one has enough to do. */
static void
tell_strain(struct job *job, struct side *side, enum err_code code)
{
	struct pace_host *host = pace_host(job->local->pace, &side->endpoint);
	enum level_why why = strain_of(code);

	if (why == LEVEL_FINE)
		return;
	side->turned_away = pace_serves(host);
	pace_strain(host, side->endpoint.user, why, PACE_AT_LOGIN);
}

/* What came of a login counts for all that log in there: what stands against all of them is told
 * once, and each of them fails with it. */
static void
tell_pace(struct job *job, const struct side *side, struct err *err)
{
	const struct endpoint *ep = &side->endpoint;
	struct pace *pace = job->local->pace;
	bool is_refusal = err->code == ERR_AUTH || err->code == ERR_AUTH_EXPIRED;
	struct err told;

	/* The same login has just succeeded: a server that says this to a further connection means
	 * their number, and nothing stands against the others. */
	if (side->is_further && (err->scope == SCOPE_HOST || is_refusal))
		return;
	if (err->scope == SCOPE_HOST) {
		if (pace_give_up(pace, ep, err))
			job_note_host(job, err->code, "no account can log in: %s", err->text);
	} else if (is_refusal) {
		if (pace_auth_failed(pace, ep->host, ep->port, NULL, &told))
			job_note_host(job, told.code, "%s", told.text);
	} else if (err->code == ERR_UNAVAILABLE || err->code == ERR_LIMIT) {
		pace_backoff(pace, ep->host, ep->port, err->wait_ms != 0 ? err->wait_ms : 1000);
	}
}

int
side_open(struct job *job, struct side *side, const _Atomic uint64_t *memory, struct err *err)
{
	struct pace *pace = job->local->pace;
	const struct endpoint *ep = &side->endpoint;

	if (side->c == NULL)
		return err_set(err, ERR_INTERNAL, "no connector for this type of server");
	if (ep->secret == NULL)
		return err_set(err, ERR_AUTH, "no password for %s and no admin login for %s",
			ep->user, ep->host);
	if (pace_login(pace, ep, side->cancel, err) < 0)
		return -1;
	if (open_session(job, side, memory, err) < 0) {
		tell_pace(job, side, err);
		tell_strain(job, side, err->code);
		return -1;
	}
	side->turned_away = false;
	pace_auth_ok(pace, ep->host, ep->port);
	return 0;
}

int
side_list(struct side *side, struct folder_list *list, struct err *err)
{
	folder_list_init(list);
	if (side->c->folder_list(side->session, list, err) < 0)
		return err_context(err, "%s", side->is_source ? "source" : "target");
	folder_list_index(list);
	return 0;
}

void
side_close(struct side *side, bool patient)
{
	if (side->session != NULL)
		side->c->close(&side->session, patient);
}

void
side_clear(struct side *side)
{
	side_close(side, false);
	cancel_free(&side->cancel);
	free(side->login);
	memset(side, 0, sizeof *side);
}
