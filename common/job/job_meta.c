#include <jansson.h>
#include <string.h>

#include "common/job/job.h"
#include "common/job/job_json.h"

#define META_JSON_MAX (256 * 1024)
#define USUAL_BYTES 500
/* A whole HTTP head has 16 KiB; bytes that are not UTF-8 triple (U+FFFD). */
#define HEADER_MAX (48 * 1024)
#define BYTES_MAX (INT64_C(1) << 30)
#define MS_MAX (INT64_C(1) << 52)

#define TEXT(key, member) JOB_JSON_TEXT_OF(key, struct job_meta, member)
#define FIELD(key, kind, member, max) \
    JOB_JSON_FIELD(key, JOB_JSON_##kind, struct job_meta, member, max)

static const struct job_json_field fields[] = {
    TEXT("m", model),
    TEXT("mr", model_requested),
    TEXT("b", bucket),
    TEXT("t", tenant),
    FIELD("c", I64, created_ms, MS_MAX),
    FIELD("e", I64, expires_ms, MS_MAX),
    FIELD("to", I64, timeout_ms, MS_MAX),
    FIELD("ma", UINT, max_attempts, 1000000),
    FIELD("mt", U64, max_tokens, INT64_MAX),
    FIELD("sh", BOOL, shorthand, 1),
    FIELD("sp", BOOL, sampling, 1),
    TEXT("v", api_version),
    FIELD("be", OWNED, beta, HEADER_MAX),
    FIELD("ik", OWNED, idempotency_key, HEADER_MAX),
    FIELD("r", OWNED, recipe, HEADER_MAX),
    TEXT("fq", fallback_chain),
    FIELD("bb", U64, body_bytes, BYTES_MAX),
    FIELD("sb", U64, stored_bytes, BYTES_MAX),
    FIELD("p", UINT, parts, 4096),
    TEXT("h", sha256),
    TEXT("bt", batch),
    FIELD("ci", OWNED, custom_id, 256),
    TEXT("tx", mix),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static void
put_list(struct buffer *out, const char *key, const char *texts,
    size_t text_size, unsigned count)
{
    buffer_printf(out, "\"%s\":[", key);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        buffer_append_json(out, slice_of(texts + i * text_size));
    }
    buffer_append(out, "],", 2);
}

void
job_meta_encode(const struct job_meta *meta, struct buffer *out)
{
    buffer_reserve(out, USUAL_BYTES);
    buffer_append_char(out, '{');
    job_json_put(fields, FIELD_COUNT, meta, out);
    buffer_append_text(out, "\"l\":\"");
    buffer_append_text(out, job_lane_name(meta->lane));
    buffer_append_text(out, "\",");
    if (meta->codec == JOB_CODEC_ZSTD)
        buffer_append_text(out, "\"z\":1,");
    if (meta->tag_count > 0)
        put_list(
            out, "tg", meta->tags[0], sizeof(meta->tags[0]), meta->tag_count);
    if (meta->fallback_count > 0)
        put_list(out, "fb", meta->fallbacks[0], sizeof(meta->fallbacks[0]),
            meta->fallback_count);
    job_json_end(out);
}

/* Of at most `max` texts that fit into `size`, or NULL. Few jobs have one. */
static json_t *
get_list(struct slice value, size_t max, size_t size)
{
    json_t *list = json_loadb(value.data, value.len, 0, NULL);
    bool good = json_is_array(list) && json_array_size(list) <= max;

    for (size_t i = 0; good && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        good = json_is_string(item) && json_string_length(item) < size;
    }
    if (good)
        return list;
    json_decref(list);
    return NULL;
}

static struct slice
list_item(const json_t *list, size_t index)
{
    return slice_of(json_string_value(json_array_get(list, index)));
}

static int
get_tags(struct slice value, struct job_meta *meta)
{
    json_t *list = get_list(value, JOB_TAGS_MAX, sizeof(meta->tags[0]));

    meta->tag_count = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        job_meta_add_tag(meta, list_item(list, i));
    json_decref(list);
    return list != NULL ? 0 : -1;
}

static int
get_fallbacks(struct slice value, struct job_meta *meta)
{
    json_t *list =
        get_list(value, JOB_FALLBACKS_MAX, sizeof(meta->fallbacks[0]));

    meta->fallback_count = (unsigned)json_array_size(list);
    for (size_t i = 0; i < meta->fallback_count; i++)
        (void)text_copy(
            meta->fallbacks[i], sizeof(meta->fallbacks[i]), list_item(list, i));
    json_decref(list);
    return list != NULL ? 0 : -1;
}

static bool
sha256_is_valid(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

struct decoding {
    struct job_meta *meta;
    bool has_lane;
};

/* What the table cannot say. */
static int
on_other(void *arg, struct slice key, struct slice value)
{
    struct decoding *decoding = arg;
    struct job_meta *meta = decoding->meta;
    if (slice_equal_text(key, "l")) {
        decoding->has_lane = value.len > 2 && value.data[0] == '"' &&
            job_lane_parse(
                slice_make(value.data + 1, value.len - 2), &meta->lane) == 0;
        return decoding->has_lane ? 0 : -1;
    }
    if (slice_equal_text(key, "z"))
        meta->codec =
            slice_equal_text(value, "1") ? JOB_CODEC_ZSTD : JOB_CODEC_RAW;
    if (slice_equal_text(key, "tg"))
        return get_tags(value, meta);
    if (slice_equal_text(key, "fb"))
        return get_fallbacks(value, meta);
    return 0;
}

int
job_meta_decode(struct slice json, struct job_meta *meta)
{
    memset(meta, 0, sizeof(*meta));
    struct decoding decoding = {meta, false};
    if (job_json_read(json, META_JSON_MAX, fields, FIELD_COUNT, meta, on_other,
            &decoding) == 0 &&
        decoding.has_lane && meta->model[0] != '\0' &&
        meta->bucket[0] != '\0' && meta->tenant[0] != '\0' &&
        (meta->sha256[0] == '\0' || sha256_is_valid(meta->sha256)))
        return 0;
    job_meta_clear(meta);
    return -1;
}
