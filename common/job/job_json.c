#include "common/job/job_json.h"

#include <string.h>

static void
put_key(struct buffer *out, const char *key)
{
    buffer_append_char(out, '"');
    buffer_append_text(out, key);
    buffer_append(out, "\":", 2);
}

static void
put_number(struct buffer *out, const char *key, int64_t value)
{
    if (value == 0)
        return;
    put_key(out, key);
    buffer_append_i64(out, value);
    buffer_append_char(out, ',');
}

static void
put_text(struct buffer *out, const char *key, const char *text)
{
    if (text == NULL)
        return;
    put_key(out, key);
    buffer_append_json(out, slice_of(text));
    buffer_append_char(out, ',');
}

/* jansson reads signed numbers only; nothing here comes near 2^63. */
static int64_t
clamp(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void
put_field(
    const struct job_json_field *field, const void *from, struct buffer *out)
{
    const char *at = (const char *)from + field->offset;
    switch (field->kind) {
    case JOB_JSON_TEXT:
        put_text(out, field->key, *at != '\0' ? at : NULL);
        break;
    case JOB_JSON_OWNED:
        put_text(out, field->key, *(char *const *)(const void *)at);
        break;
    case JOB_JSON_I64:
        put_number(out, field->key, *(const int64_t *)(const void *)at);
        break;
    case JOB_JSON_U64:
        put_number(out, field->key, clamp(*(const uint64_t *)(const void *)at));
        break;
    case JOB_JSON_UINT:
        put_number(out, field->key, *(const unsigned *)(const void *)at);
        break;
    case JOB_JSON_BOOL:
        put_number(out, field->key, *(const bool *)(const void *)at ? 1 : 0);
        break;
    }
}

void
job_json_put(const struct job_json_field *fields, size_t count,
    const void *from, struct buffer *out)
{
    for (size_t i = 0; i < count; i++)
        put_field(&fields[i], from, out);
}

void
job_json_end(struct buffer *out)
{
    if (out->len > 0 && out->data[out->len - 1] == ',')
        out->len--;
    buffer_append_char(out, '}');
}

json_t *
job_json_open(struct slice json, size_t max)
{
    if (json.len == 0 || json.len > max)
        return NULL;
    json_t *root =
        json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    if (root != NULL && !json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static int
get_text(const struct job_json_field *field, const json_t *value, char *at)
{
    if (!json_is_string(value) || json_string_length(value) >= field->size)
        return -1;
    memcpy(at, json_string_value(value), json_string_length(value) + 1);
    return 0;
}

static int
get_owned(const struct job_json_field *field, const json_t *value, char **at)
{
    if (!json_is_string(value) ||
        json_string_length(value) > (size_t)field->max)
        return -1;
    *at = memory_dup_bytes(json_string_value(value), json_string_length(value));
    return 0;
}

static int
get_field(const struct job_json_field *field, const json_t *value, void *at)
{
    if (field->kind == JOB_JSON_TEXT)
        return get_text(field, value, at);
    if (field->kind == JOB_JSON_OWNED)
        return get_owned(field, value, at);
    if (!json_is_integer(value))
        return -1;
    int64_t number = json_integer_value(value);
    if (number < 0 || number > field->max)
        return -1;
    if (field->kind == JOB_JSON_I64)
        *(int64_t *)at = number;
    else if (field->kind == JOB_JSON_U64)
        *(uint64_t *)at = (uint64_t)number;
    else if (field->kind == JOB_JSON_UINT)
        *(unsigned *)at = (unsigned)number;
    else
        *(bool *)at = number != 0;
    return 0;
}

int
job_json_get(const struct job_json_field *fields, size_t count,
    const json_t *object, void *to)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, fields[i].key);
        void *at = (char *)to + fields[i].offset;
        if (value != NULL && get_field(&fields[i], value, at) != 0)
            return -1;
    }
    return 0;
}
