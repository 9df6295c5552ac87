#include "common/job/job_json.h"

#include <assert.h>
#include <string.h>

#include "common/net/json_scan.h"

static void
put_number(struct buffer *out, const char *key, int64_t value)
{
    if (value == 0)
        return;
    buffer_append_key(out, key);
    buffer_append_i64(out, value);
    buffer_append_char(out, ',');
}

static void
put_text(struct buffer *out, const char *key, const char *text)
{
    if (text == NULL)
        return;
    buffer_append_key(out, key);
    buffer_append_json(out, slice_of(text));
    buffer_append_char(out, ',');
}

/* Only signed numbers are read; nothing here comes near 2^63. */
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

/* --- reading ------------------------------------------------------------- */

struct reading {
    const struct job_json_field *fields;
    size_t count;
    void *to;
    int (*on_other)(void *arg, struct slice key, struct slice value);
    void *arg;
    uint64_t seen; /* a bit for each field */
    size_t next; /* behind the field that came last */
    bool bad;
};

static int
get_owned(const struct job_json_field *field, struct slice raw, char **at)
{
    char *text = NULL;
    int len = -1;
    if (raw.data[0] != '"')
        return -1;
    text = memory_alloc(raw.len + 1);
    len = json_unescape_text(raw, text, raw.len + 1);
    if (len < 0 || len > field->max) {
        memory_free(text);
        return -1;
    }
    *at = text;
    return 0;
}

static int
get_field(const struct job_json_field *field, struct slice raw, void *at)
{
    int64_t number = 0;
    if (field->kind == JOB_JSON_TEXT)
        return raw.data[0] == '"' &&
                json_unescape_text(raw, at, field->size) >= 0
            ? 0
            : -1;
    if (field->kind == JOB_JSON_OWNED)
        return get_owned(field, raw, at);
    if (text_parse_i64(raw, 0, field->max, &number) != 0)
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

/* The field of this name, or the count. Where the writer was job_json_put(),
 * it is among the next ones. */
static size_t
find_field(const struct reading *reading, struct slice key)
{
    size_t i = reading->next;

    for (size_t left = reading->count; left > 0; left--, i++) {
        if (i >= reading->count)
            i = 0;
        if (slice_equal_text(key, reading->fields[i].key))
            return i;
    }
    return reading->count;
}

static void
on_member(void *arg, const struct json_member *member, struct slice key_raw,
    struct slice value)
{
    struct reading *reading = arg;
    size_t i;
    (void)key_raw;
    if (reading->bad || member->key_too_long)
        return;
    i = find_field(reading, member->key);
    if (i == reading->count) {
        reading->bad = reading->on_other != NULL &&
            reading->on_other(reading->arg, member->key, value) != 0;
        return;
    }
    if ((reading->seen >> i & 1) != 0 ||
        get_field(&reading->fields[i], value,
            (char *)reading->to + reading->fields[i].offset) != 0)
        reading->bad = true;
    reading->seen |= UINT64_C(1) << i;
    reading->next = i + 1;
}

int
job_json_read(struct slice json, size_t max,
    const struct job_json_field *fields, size_t count, void *to,
    int (*on_other)(void *arg, struct slice key, struct slice value), void *arg)
{
    struct reading reading = {.fields = fields,
        .count = count,
        .to = to,
        .on_other = on_other,
        .arg = arg};
    assert(count <= 64);
    if (json.len == 0 || json.len > max ||
        json_object_each(json, on_member, &reading) != 0)
        return -1;
    return reading.bad ? -1 : 0;
}
