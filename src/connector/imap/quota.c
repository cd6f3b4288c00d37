/* quota.c - how much room the INBOX's quota roots leave (RFC 9208). */
#include "connector/imap/imap_private.h"

#include <string.h>

#include "base/banned.h"

struct quota_answer {
	bool any;
	uint64_t used, limit; /* KiB; of the root with the least room */
};

static void
take_resource(struct quota_answer *quota, uint64_t used, uint64_t limit)
{
	uint64_t room = limit > used ? limit - used : 0;
	uint64_t least = quota->limit > quota->used ? quota->limit - quota->used : 0;

	if (quota->any && room >= least)
		return;
	quota->any = true;
	quota->used = used;
	quota->limit = limit;
}

/* "root" (STORAGE 10 512 MESSAGE 1 100) */
int
quota_take(struct session *s, struct err *err)
{
	struct wire_token token;
	uint64_t used, limit;
	bool storage;

	if (wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type == WIRE_EOL)
		return 0;
	if (token.type != WIRE_OPEN && wire_next(&s->wire, false, &token, err) != 0)
		return -1;
	if (token.type != WIRE_OPEN)
		return err_set(err, ERR_PROTOCOL, "the server sent a broken QUOTA");
	for (;;) {
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type != WIRE_ATOM)
			break;
		storage = wire_is(&token, "STORAGE");
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type != WIRE_ATOM || wire_u64(&token, &used) != 0)
			break;
		if (wire_next(&s->wire, false, &token, err) != 0)
			return -1;
		if (token.type != WIRE_ATOM || wire_u64(&token, &limit) != 0)
			break;
		if (storage && s->quota != NULL && used < UINT64_MAX / 1024 &&
			limit < UINT64_MAX / 1024)
			take_resource(s->quota, used, limit);
	}
	return token.type == WIRE_EOL ? 0 : wire_skip_rest(&s->wire, err);
}

int
imap_quota(struct session *s, uint64_t *used_bytes_r, uint64_t *limit_bytes_r, struct err *err)
{
	struct answer answer = { .refusal = REFUSED_FOLDER };
	struct quota_answer quota = { .any = false };
	int ret;

	*used_bytes_r = 0;
	*limit_bytes_r = 0;
	if (!session_has(s, HAS_QUOTA))
		return session_alive(s, err);
	s->quota = &quota;
	command_begin(s, "GETQUOTAROOT");
	command_string(s, "INBOX", 5);
	ret = command_send(s, answer_done, &answer, 0, err);
	if (ret == 0)
		ret = answer_wait(s, &answer, err);
	s->quota = NULL;
	if (ret != 0)
		return -1;
	/* BAD after all: this server does not tell, and that costs nobody the connection. */
	if (answer.status != REPLY_OK)
		return err_set(err, answer.status == REPLY_BAD ? ERR_REFUSED : answer.refused,
			"GETQUOTAROOT: %s", answer.text);
	*used_bytes_r = quota.used * 1024;
	*limit_bytes_r = quota.limit * 1024;
	return 0;
}
