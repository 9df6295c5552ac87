#include "status-api/dead.h"
#include "status-api/put.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

const char *const dead_params[] = {"fingerprint", "error_type", "class",
    "model", "lane", "tenant", "batch", "status", "limit", "after", NULL};

/* The text members: the names of parameters and of the JSON filter. */
static const struct field {
    const char *name;
    size_t offset;
    size_t size;
} fields[] = {
#define FIELD(name, member) \
    { \
        (name), offsetof(struct dead_filter, member), \
            sizeof(((struct dead_filter *)0)->member) \
    }
    FIELD("fingerprint", fingerprint),
    FIELD("error_type", error_type),
    FIELD("class", class_name),
    FIELD("model", model),
    FIELD("lane", lane),
    FIELD("tenant", tenant),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static char *
member_of(struct dead_filter *filter, const struct field *field)
{
    return (char *)filter + field->offset;
}

static const char *
text_of(const struct dead_filter *filter, const struct field *field)
{
    return (const char *)filter + field->offset;
}

static int
set_text(struct dead_filter *filter, const struct field *field,
    struct slice value, char *error, size_t size)
{
    if (text_is_utf8(value) && memchr(value.data, '\0', value.len) == NULL &&
        text_copy(member_of(filter, field), field->size, value))
        return 0;
    snprintf(error, size, "%s is text of at most %zu bytes", field->name,
        field->size - 1);
    return -1;
}

static int
set_batch(struct dead_filter *filter, struct slice id, char *error, size_t size)
{
    if (batch_id_parse(id, filter->batch) == 0)
        return 0;
    snprintf(error, size, "batch is not the id of a batch");
    return -1;
}

static int
set_status(
    struct dead_filter *filter, json_int_t status, char *error, size_t size)
{
    if (status >= 100 && status <= 599) {
        filter->status = (unsigned)status;
        return 0;
    }
    snprintf(error, size, "status is an HTTP status from 100 to 599");
    return -1;
}

int
dead_filter_from_params(const struct params *params, struct dead_filter *filter,
    char *error, size_t size)
{
    uint64_t status = 0;
    memset(filter, 0, sizeof(*filter));
    for (size_t i = 0; i < FIELDS; i++) {
        const char *value = params_get(params, fields[i].name);
        if (value != NULL &&
            set_text(filter, &fields[i], slice_of(value), error, size) != 0)
            return -1;
    }
    const char *batch = params_get(params, "batch");
    if (params_number(params, "status", 100, 599, 0, &status, error, size) !=
            0 ||
        (batch != NULL && set_batch(filter, slice_of(batch), error, size) != 0))
        return -1;
    filter->status = (unsigned)status;
    return 0;
}

static int
set_member(struct dead_filter *filter, const char *key, const json_t *value,
    char *error, size_t size)
{
    for (size_t i = 0; i < FIELDS; i++) {
        if (strcmp(key, fields[i].name) != 0)
            continue;
        if (json_is_string(value))
            return set_text(filter, &fields[i],
                slice_make(json_string_value(value), json_string_length(value)),
                error, size);
        snprintf(error, size, "filter.%s must be a text", key);
        return -1;
    }
    if (strcmp(key, "batch") == 0)
        return set_batch(
            filter, slice_of(json_string_value(value)), error, size);
    if (strcmp(key, "status") == 0 && json_is_integer(value))
        return set_status(filter, json_integer_value(value), error, size);
    if (strcmp(key, "status") == 0) {
        snprintf(error, size, "filter.status must be a whole number");
        return -1;
    }
    const char *const *last = dead_params;
    const char *known[PARAMS_MAX + 1] = {NULL};
    for (size_t i = 0; last[i] != NULL && strcmp(last[i], "limit") != 0; i++)
        known[i] = last[i];
    const char *near = text_suggest(slice_of(key), known);
    snprintf(error, size, "filter has no member %.64s%s%s", key,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    return -1;
}

int
dead_filter_from_json(
    const json_t *object, struct dead_filter *filter, char *error, size_t size)
{
    const char *key;
    json_t *value;
    memset(filter, 0, sizeof(*filter));
    if (!json_is_object(object)) {
        snprintf(
            error, size, "filter is an object; {} means every dead letter");
        return -1;
    }
    /* The macro of jansson wants an object it could change. */
    union {
        const json_t *given;
        json_t *same;
    } any = {object};
    json_object_foreach(any.same, key, value)
    {
        if (set_member(filter, key, value, error, size) != 0)
            return -1;
    }
    return 0;
}

void
dead_filter_encode(const struct dead_filter *filter, struct buffer *out)
{
    const char *comma = "";
    buffer_append_char(out, '{');
    for (size_t i = 0; i < FIELDS; i++) {
        const char *value = text_of(filter, &fields[i]);
        if (value[0] == '\0')
            continue;
        buffer_printf(out, "%s\"%s\":", comma, fields[i].name);
        buffer_append_json(out, slice_of(value));
        comma = ",";
    }
    if (filter->batch[0] != '\0') {
        buffer_printf(
            out, "%s\"batch\":\"" BATCH_PREFIX "%s\"", comma, filter->batch);
        comma = ",";
    }
    if (filter->status != 0)
        buffer_printf(out, "%s\"status\":%u", comma, filter->status);
    buffer_append_char(out, '}');
}

static bool
fits(const char *wanted, const char *is)
{
    return wanted[0] == '\0' || strcmp(wanted, is) == 0;
}

bool
dead_filter_matches(
    const struct dead_filter *filter, const struct queue_dead *dead)
{
    const struct job_error *error = &dead->error;
    return fits(filter->fingerprint, dead->fingerprint) &&
        fits(filter->class_name, error->class_name) &&
        fits(filter->error_type,
            error->type[0] != '\0' ? error->type : error->class_name) &&
        fits(filter->model, dead->model) && fits(filter->lane, dead->lane) &&
        fits(filter->tenant, dead->tenant) &&
        (filter->status == 0 || filter->status == error->status);
}

bool
dead_entry_is_valid(struct slice entry)
{
    uint64_t number;
    struct slice ms = slice_split(&entry, '-');
    return text_parse_u64(ms, UINT64_MAX, &number) == 0 &&
        text_parse_u64(entry, UINT64_MAX, &number) == 0;
}

/* --- JSON ---------------------------------------------------------------- */

static void
put_error(struct buffer *out, const struct job_error *error)
{
    buffer_append_text(out, ",\"error\":{\"type\":");
    if (error->type[0] == '\0')
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(error->type));
    put_text(out, "message", error->message);
    if (error->status != 0)
        buffer_printf(out, ",\"status\":%u", error->status);
    else
        buffer_append_text(out, ",\"status\":null");
    put_text(out, "code", error->code);
    put_text(out, "class", error->class_name);
    put_text(out, "request_id", error->request_id);
    put_time(out, "at", error->at_ms);
    buffer_append_char(out, '}');
}

static void
put_link(struct buffer *out, const char *key, const char *origin,
    const char *path, const char *id, const char *tail)
{
    struct buffer url = {0};
    buffer_printf(&url, "%s/v1/%s/%s%s", origin, path, id, tail);
    buffer_printf(out, "\"%s\":", key);
    buffer_append_json(out, buffer_slice(&url));
    buffer_clear(&url);
}

void
dead_encode_open(
    const struct queue_dead *dead, const char *origin, struct buffer *out)
{
    buffer_append_text(out, "{\"object\":\"dead_letter\"");
    put_text(out, "id", dead->id);
    put_text(out, "entry", dead->entry);
    buffer_printf(out, ",\"generation\":%u,\"attempts\":%u", dead->generation,
        dead->attempts);
    put_time(out, "dead_at", dead->dead_ms);
    put_text(out, "lane", dead->lane);
    put_text(out, "model", dead->model);
    put_text(out, "tenant", dead->tenant);
    put_text(out, "fingerprint", dead->fingerprint);
    put_error(out, &dead->error);
    buffer_append_text(out, ",\"links\":{");
    put_link(out, "self", origin, "dead-letters", dead->id, "");
    buffer_append_char(out, ',');
    put_link(out, "job", origin, "jobs", dead->id, "");
    buffer_append_char(out, ',');
    put_link(out, "replay", origin, "dead-letters", dead->id, "/replay");
    buffer_append_char(out, ',');
    put_link(out, "discard", origin, "dead-letters", dead->id, "/discard");
    buffer_append_char(out, '}');
}

void
dead_encode_group(const struct queue_dead_group *group, struct buffer *out)
{
    buffer_append_text(out, "{\"object\":\"dead_letter_group\"");
    put_text(out, "fingerprint", group->fingerprint);
    buffer_append_text(out, ",\"count\":");
    buffer_append_u64(out, group->count);
    put_time(out, "first_at", group->first_ms);
    put_time(out, "last_at", group->last_ms);
    put_text(out, "model", group->model);
    put_text(out, "sample_id", group->sample_id);
    put_error(out, &group->error);
    buffer_append_char(out, '}');
}
