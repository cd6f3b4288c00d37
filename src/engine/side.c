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
side_init(struct job *job, bool source)
{
	const struct profile *profile = job->config->profile;
	const struct profile_side *conf = source ? &profile->source : &profile->target;
	const struct user *user = job->account->user;
	struct side *side = source ? &job->source : &job->target;
	struct endpoint *ep = &side->endpoint;
	const char *host = source ? user->source_host : user->target_host;

	memset(side, 0, sizeof *side);
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
	ep->readonly = source || job->readonly;
	ep->trace = log_wants(job->log, LOG_TRACE);
	if (source)
		choose_login(
			side, conf, user->user, user->password, job->config->source_admin, NULL);
	else
		choose_login(side, conf, user->target_user, user->target_password,
			job->config->target_admin, user->password);
}

/* What a connection says of itself begins with its host already. */
static int
name_side(const struct job *job, const struct side *side, struct err *err)
{
	const char *name = side == &job->source ? "source" : "target", *host = side->endpoint.host;
	const char *at = err->text[0] == '[' ? err->text + 1 : err->text;

	if (strncmp(at, host, strlen(host)) == 0)
		return err_context(err, "%s", name);
	return err_context(err, "%s %s", name, host);
}

int
side_open(struct job *job, struct side *side, struct err *err)
{
	struct session_env env = { 0 };

	if (side->c == NULL)
		return err_set(err, ERR_INTERNAL, "no connector for this type of server");
	if (side->endpoint.secret == NULL)
		return err_set(err, ERR_AUTH, "no password for %s and no admin login for %s",
			side->endpoint.user, side->endpoint.host);
	env.pool = job->local->pool;
	env.stream_limit = job->run->stream_limit;
	env.ring_bytes = 1u << 20;
	env.cancel = side->cancel;
	env.log = job->log;
	env.account = job->name;
	if (side->c->open(&side->endpoint, &env, &side->session, err) < 0)
		return name_side(job, side, err);
	return 0;
}

void
side_close(struct side *side)
{
	if (side->session != NULL)
		side->c->close(&side->session);
}

void
side_clear(struct side *side)
{
	side_close(side);
	cancel_free(&side->cancel);
	free(side->login);
	memset(side, 0, sizeof *side);
}
