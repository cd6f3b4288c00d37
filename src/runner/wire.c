/* wire.c - frames on the control socket.
 *
 * One table per struct names its fields, their types and ranges; writing and reading both go by
 * it, so that they cannot differ. What comes in is checked field by field: the peer is of the same
 * user, but may be of another version, or broken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner/wire.h"
#include "base/banned.h"

#define LENGTH_BYTES 4

enum field_type {
	FIELD_U64,
	FIELD_I64,
	FIELD_UNSIGNED,
	FIELD_INT,
	FIELD_BOOL,
	FIELD_DOUBLE,
	FIELD_TEXT
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset, size; /* size: of a text's buffer */
	unsigned max;        /* FIELD_UNSIGNED: of an enum; 0 = any */
};

#define FIELD(s, f, t)                                                                             \
	{                                                                                          \
#f, FIELD_##t, offsetof(struct s, f), sizeof(((struct s *)0)->f), 0                \
	}
#define FIELD_ENUM(s, f, most)                                                                     \
	{                                                                                          \
#f, FIELD_UNSIGNED, offsetof(struct s, f), sizeof(unsigned), most                  \
	}
#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

static const struct field hello_fields[] = {
	FIELD(wire_hello, version, UNSIGNED),
	FIELD(wire_hello, pid, UNSIGNED),
	FIELD(wire_hello, host, TEXT),
	FIELD(wire_hello, profile, TEXT),
	FIELD(wire_hello, directory, TEXT),
};

static const struct field command_fields[] = {
	FIELD_ENUM(command, kind, CMD_PING),
	FIELD(command, account, U64),
	FIELD(command, glob, TEXT),
	FIELD(command, value, U64),
	FIELD(command, value2, U64),
	FIELD(command, reason, UNSIGNED),
};

static const struct field row_fields[] = {
	FIELD(snapshot_row, account, U64),
	FIELD(snapshot_row, user, TEXT),
	FIELD(snapshot_row, target, TEXT),
	FIELD(snapshot_row, folder, TEXT),
	FIELD(snapshot_row, state, TEXT),
	FIELD(snapshot_row, open, BOOL),
	FIELD(snapshot_row, failed, BOOL),
	FIELD(snapshot_row, text, TEXT),
	FIELD(snapshot_row, items_found, U64),
	FIELD(snapshot_row, items_done, U64),
	FIELD(snapshot_row, items_copied, U64),
	FIELD(snapshot_row, items_skipped, U64),
	FIELD(snapshot_row, items_failed, U64),
	FIELD(snapshot_row, items_held, U64),
	FIELD(snapshot_row, bytes_found, U64),
	FIELD(snapshot_row, bytes_done, U64),
	FIELD(snapshot_row, counted, BOOL),
	FIELD(snapshot_row, bytes_per_s, DOUBLE),
};

static const struct field host_fields[] = {
	FIELD(snapshot_host, host, TEXT),
	FIELD(snapshot_host, port, UNSIGNED),
	FIELD(snapshot_host, source, BOOL),
	FIELD(snapshot_host, connections, UNSIGNED),
	FIELD(snapshot_host, level, UNSIGNED),
	FIELD(snapshot_host, ceiling, UNSIGNED),
	FIELD(snapshot_host, waiting, UNSIGNED),
	FIELD(snapshot_host, backoff_ms, UNSIGNED),
	FIELD(snapshot_host, bytes_per_s, DOUBLE),
	FIELD(snapshot_host, lowered, TEXT),
	FIELD(snapshot_host, compression, TEXT),
	FIELD(snapshot_host, compressed_now, UNSIGNED),
	FIELD(snapshot_host, begun, U64),
	FIELD(snapshot_host, compressed, U64),
	FIELD(snapshot_host, bytes, U64),
	FIELD(snapshot_host, line_bytes, U64),
};

static const struct field totals_fields[] = {
	FIELD_ENUM(snapshot_totals, state, RUN_ENDED),
	FIELD(snapshot_totals, round, UNSIGNED),
	FIELD(snapshot_totals, jobs, UNSIGNED),
	FIELD(snapshot_totals, working, UNSIGNED),
	FIELD(snapshot_totals, accounts, U64),
	FIELD(snapshot_totals, accounts_done, U64),
	FIELD(snapshot_totals, accounts_failed, U64),
	FIELD(snapshot_totals, accounts_open, U64),
	FIELD(snapshot_totals, accounts_unknown, U64),
	FIELD(snapshot_totals, items_found, U64),
	FIELD(snapshot_totals, items_done, U64),
	FIELD(snapshot_totals, items_copied, U64),
	FIELD(snapshot_totals, items_skipped, U64),
	FIELD(snapshot_totals, items_failed, U64),
	FIELD(snapshot_totals, items_held, U64),
	FIELD(snapshot_totals, items_vanished, U64),
	FIELD(snapshot_totals, copied_now, U64),
	FIELD(snapshot_totals, bytes_found, U64),
	FIELD(snapshot_totals, bytes_done, U64),
	FIELD(snapshot_totals, bytes_now, U64),
	FIELD(snapshot_totals, bytes_per_s, DOUBLE),
	FIELD(snapshot_totals, items_per_s, DOUBLE),
	FIELD(snapshot_totals, eta_s, I64),
	FIELD(snapshot_totals, started, I64),
	FIELD(snapshot_totals, elapsed_ms, U64),
	FIELD(snapshot_totals, disk_ms, U64),
	FIELD(snapshot_totals, percent, UNSIGNED),
	FIELD(snapshot_totals, exit_code, INT),
	FIELD(snapshot_totals, error, TEXT),
	FIELD(snapshot_totals, report, TEXT),
};

static const struct field event_fields[] = {
	FIELD(event, seq, U64),
	FIELD(event, id, U64),
	FIELD(event, time, I64),
	FIELD_ENUM(event, kind, ENGINE_ENDED),
	FIELD(event, account, U64),
	FIELD_ENUM(event, code, ERR_CODES - 1),
	FIELD(event, value, U64),
	FIELD(event, user, TEXT),
	FIELD(event, folder, TEXT),
	FIELD(event, text, TEXT),
};

static json_t *
text_value(const char *text)
{
	struct str safe;
	json_t *value;

	/* Sanitized already by whoever filled it, but a text cut in mid-character is no JSON. */
	str_init(&safe, 0);
	text_sanitize(&safe, text, strlen(text));
	value = json_string(str_get(&safe));
	str_clear(&safe);
	return value;
}

static json_t *
field_value(const struct field *field, const void *base)
{
	const void *at = (const char *)base + field->offset;

	switch (field->type) {
	case FIELD_U64:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case FIELD_I64:
		return json_integer((json_int_t) * (const int64_t *)at);
	case FIELD_UNSIGNED:
		return json_integer((json_int_t) * (const unsigned *)at);
	case FIELD_INT:
		return json_integer((json_int_t) * (const int *)at);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)at);
	case FIELD_DOUBLE:
		return json_real(isfinite(*(const double *)at) ? *(const double *)at : 0);
	case FIELD_TEXT:
		return text_value(at);
	}
	BUG("a field without a type");
}

static json_t *
put_fields(json_t *object, const void *base, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, fields[i].name, field_value(&fields[i], base));
	return object;
}

static bool
get_number(const struct field *field, const json_t *value, void *at)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return false;
	switch (field->type) {
	case FIELD_U64:
		*(uint64_t *)at = (uint64_t)number;
		return true;
	case FIELD_I64:
		*(int64_t *)at = (int64_t)number;
		return true;
	case FIELD_UNSIGNED:
		if (number < 0 || number > UINT32_MAX ||
			(field->max != 0 && number > (json_int_t)field->max))
			return false;
		*(unsigned *)at = (unsigned)number;
		return true;
	case FIELD_INT:
		if (number < INT32_MIN || number > INT32_MAX)
			return false;
		*(int *)at = (int)number;
		return true;
	case FIELD_BOOL:
	case FIELD_DOUBLE:
	case FIELD_TEXT:
		break;
	}
	return false;
}

static bool
get_field(const struct field *field, const json_t *value, void *base)
{
	void *at = (char *)base + field->offset;

	switch (field->type) {
	case FIELD_BOOL:
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value);
	case FIELD_DOUBLE:
		*(double *)at = json_number_value(value);
		return json_is_number(value);
	case FIELD_TEXT:
		if (!json_is_string(value))
			return false;
		text_safe(at, field->size, json_string_value(value));
		return true;
	case FIELD_U64:
	case FIELD_I64:
	case FIELD_UNSIGNED:
	case FIELD_INT:
		break;
	}
	return get_number(field, value, at);
}

static int
get_fields(
	const json_t *object, void *base, const struct field *fields, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(object, fields[i].name);

		if (value == NULL || !get_field(&fields[i], value, base))
			return err_set(err, ERR_PROTOCOL, "control socket: no good value for %s",
				fields[i].name);
	}
	return 0;
}

int
wire_put(struct str *out, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	size_t len = text == NULL ? 0 : strlen(text), before = out->len;
	unsigned char head[LENGTH_BYTES];
	int ret = -1;

	json_decref(object);
	if (len != 0 && len <= WIRE_FRAME_MAX) {
		head[0] = (unsigned char)(len >> 24);
		head[1] = (unsigned char)(len >> 16);
		head[2] = (unsigned char)(len >> 8);
		head[3] = (unsigned char)len;
		ret = str_add(out, head, sizeof head);
		if (ret == 0)
			ret = str_add(out, text, len);
		if (ret < 0)
			str_cut(out, before); /* never half a frame */
	}
	free(text);
	return ret;
}

int
wire_take(struct str *in, json_t **object_r, struct err *err)
{
	const unsigned char *head = (const unsigned char *)in->data;
	size_t len, rest;
	json_error_t fault;

	if (in->len < LENGTH_BYTES)
		return 0;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len == 0 || len > WIRE_FRAME_MAX)
		return err_set(err, ERR_PROTOCOL, "control socket: a frame of %zu bytes", len);
	if (in->len - LENGTH_BYTES < len)
		return 0;
	/* jansson bounds nesting by itself; doubled names are a fault. */
	*object_r = json_loadb(in->data + LENGTH_BYTES, len, JSON_REJECT_DUPLICATES, &fault);
	rest = in->len - LENGTH_BYTES - len;
	memmove(in->data, in->data + LENGTH_BYTES + len, rest);
	str_cut(in, rest);
	if (!json_is_object(*object_r)) {
		json_decref(*object_r);
		*object_r = NULL;
		return err_set(err, ERR_PROTOCOL, "control socket: a frame that is no JSON object");
	}
	return 1;
}

const char *
wire_type(const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));

	return type == NULL ? "" : type;
}

static json_t *
typed(const char *type)
{
	json_t *object = json_object();

	json_object_set_new(object, "type", json_string(type));
	return object;
}

json_t *
wire_hello(const struct wire_hello *hello)
{
	return put_fields(typed("hello"), hello, FIELDS(hello_fields));
}

json_t *
wire_command(uint64_t id, const struct command *command)
{
	json_t *object = put_fields(typed("command"), command, FIELDS(command_fields));

	json_object_set_new(object, "id", json_integer((json_int_t)id));
	return object;
}

const char *
wire_run_state(enum run_state state)
{
	switch (state) {
	case RUN_IDLE:
		return "idle";
	case RUN_STARTING:
		return "starting";
	case RUN_WORKING:
		return "working";
	case RUN_PAUSED:
		return "paused";
	case RUN_STOPPING:
		return "stopping";
	case RUN_ENDED:
		return "ended";
	}
	return "";
}

json_t *
wire_totals(const struct snapshot_totals *totals)
{
	json_t *object = put_fields(json_object(), totals, FIELDS(totals_fields));

	json_object_set_new(object, "state_name", json_string(wire_run_state(totals->state)));
	return object;
}

static json_t *
row_object(const struct snapshot_row *row)
{
	return put_fields(json_object(), row, FIELDS(row_fields));
}

json_t *
wire_snapshot(const struct snapshot *snapshot, uint64_t first, uint64_t count)
{
	json_t *object = typed("snapshot"), *rows = json_array(), *work = json_array();
	json_t *hosts = json_array();
	uint64_t at = snapshot->first_row, from = at;
	bool any = false;

	for (size_t i = 0; i < snapshot->row_count; i++, at++) {
		if (at < first || at - first >= count)
			continue;
		if (!any)
			from = at;
		any = true;
		json_array_append_new(rows, row_object(&snapshot->rows[i]));
	}
	for (size_t i = 0; i < snapshot->work_count; i++)
		json_array_append_new(work, row_object(&snapshot->work[i]));
	json_object_set_new(object, "revision", json_integer((json_int_t)snapshot->revision));
	json_object_set_new(object, "totals", wire_totals(&snapshot->totals));
	json_object_set_new(object, "first_row", json_integer((json_int_t)(any ? from : first)));
	json_object_set_new(object, "rows", rows);
	json_object_set_new(object, "work", work);
	for (size_t i = 0; i < snapshot->host_count; i++)
		json_array_append_new(
			hosts, put_fields(json_object(), &snapshot->hosts[i], FIELDS(host_fields)));
	json_object_set_new(object, "hosts", hosts);
	return object;
}

json_t *
wire_event(const struct event *event)
{
	return put_fields(typed("event"), event, FIELDS(event_fields));
}

int
wire_get_hello(const json_t *object, struct wire_hello *hello_r, struct err *err)
{
	const json_t *version = json_object_get(object, "version");

	memset(hello_r, 0, sizeof *hello_r);
	if (strcmp(wire_type(object), "hello") != 0 || !json_is_integer(version))
		return err_set(err, ERR_PROTOCOL, "control socket: the other side said no hello");
	/* Before the other fields: those of another version may be others. */
	if (json_integer_value(version) != WIRE_VERSION)
		return err_set(err, ERR_PROTOCOL,
			"control socket: the other side is of another version (%lld, here %d)",
			(long long)json_integer_value(version), WIRE_VERSION);
	return get_fields(object, hello_r, FIELDS(hello_fields), err);
}

int
wire_get_command(const json_t *object, uint64_t *id_r, struct command *command_r, struct err *err)
{
	const json_t *id = json_object_get(object, "id");

	memset(command_r, 0, sizeof *command_r);
	if (!json_is_integer(id) || json_integer_value(id) <= 0)
		return err_set(err, ERR_PROTOCOL, "control socket: a command without an id");
	*id_r = (uint64_t)json_integer_value(id);
	return get_fields(object, command_r, FIELDS(command_fields), err);
}

static int
get_rows(const json_t *object, const char *name, struct snapshot_row *rows_r, size_t *count_r,
	struct err *err)
{
	const json_t *rows = json_object_get(object, name), *row;
	size_t i;

	if (!json_is_array(rows) || json_array_size(rows) > SNAPSHOT_ROWS)
		return err_set(err, ERR_PROTOCOL, "control socket: a snapshot with too many rows");
	json_array_foreach(rows, i, row)
	{
		if (get_fields(row, &rows_r[i], FIELDS(row_fields), err) < 0)
			return -1;
	}
	*count_r = json_array_size(rows);
	return 0;
}

static int
get_hosts(const json_t *object, struct snapshot *snapshot_r, struct err *err)
{
	const json_t *hosts = json_object_get(object, "hosts"), *host;
	size_t i;

	if (!json_is_array(hosts) || json_array_size(hosts) > SNAPSHOT_HOSTS)
		return err_set(err, ERR_PROTOCOL, "control socket: a snapshot with too many hosts");
	json_array_foreach(hosts, i, host)
	{
		if (get_fields(host, &snapshot_r->hosts[i], FIELDS(host_fields), err) < 0)
			return -1;
	}
	snapshot_r->host_count = json_array_size(hosts);
	return 0;
}

int
wire_get_snapshot(const json_t *object, struct snapshot *snapshot_r, struct err *err)
{
	static const struct field own[] = {
		FIELD(snapshot, revision, U64),
		FIELD(snapshot, first_row, U64),
	};

	memset(snapshot_r, 0, sizeof *snapshot_r);
	if (get_fields(object, snapshot_r, FIELDS(own), err) < 0 ||
		get_fields(json_object_get(object, "totals"), &snapshot_r->totals,
			FIELDS(totals_fields), err) < 0)
		return -1;
	if (get_rows(object, "rows", snapshot_r->rows, &snapshot_r->row_count, err) < 0)
		return -1;
	if (get_rows(object, "work", snapshot_r->work, &snapshot_r->work_count, err) < 0)
		return -1;
	return get_hosts(object, snapshot_r, err);
}

int
wire_get_event(const json_t *object, struct event *event_r, struct err *err)
{
	memset(event_r, 0, sizeof *event_r);
	return get_fields(object, event_r, FIELDS(event_fields), err);
}
