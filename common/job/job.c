#include "common/job/job.h"

#include <assert.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const state_names[] = {
    [JOB_QUEUED] = "queued",
    [JOB_RUNNING] = "running",
    [JOB_RETRYING] = "retrying",
    [JOB_SUCCEEDED] = "succeeded",
    [JOB_FAILED] = "failed",
    [JOB_CANCELED] = "canceled",
    [JOB_EXPIRED] = "expired",
};

static const char *const lane_names[JOB_LANES] = {
    [JOB_LANE_INTERACTIVE] = "interactive",
    [JOB_LANE_STANDARD] = "standard",
    [JOB_LANE_BULK] = "bulk",
};

static int
find_name(const char *const *names, size_t count, struct slice in)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_text(in, names[i]))
            return (int)i;
    return -1;
}

const char *
job_state_name(enum job_state state)
{
    assert((size_t)state < COUNT(state_names));
    return state_names[state];
}

int
job_state_parse(struct slice in, enum job_state *state)
{
    int found = find_name(state_names, COUNT(state_names), in);
    if (found < 0)
        return -1;
    *state = (enum job_state)found;
    return 0;
}

bool
job_state_is_terminal(enum job_state state)
{
    return state >= JOB_SUCCEEDED;
}

const char *
job_lane_name(enum job_lane lane)
{
    assert((size_t)lane < COUNT(lane_names));
    return lane_names[lane];
}

int
job_lane_parse(struct slice in, enum job_lane *lane)
{
    int found = find_name(lane_names, COUNT(lane_names), in);
    if (found < 0)
        return -1;
    *lane = (enum job_lane)found;
    return 0;
}

void
job_meta_clear(struct job_meta *meta)
{
    memory_free(meta->beta);
    memory_free(meta->idempotency_key);
    memory_free(meta->recipe);
    memory_free(meta->custom_id);
    memory_free(meta->tags);
    memset(meta, 0, sizeof(*meta));
}

static char *
dup_or_null(const char *text)
{
    return text != NULL ? memory_dup(text) : NULL;
}

void
job_meta_copy(struct job_meta *to, const struct job_meta *from)
{
    *to = *from;
    to->beta = dup_or_null(from->beta);
    to->idempotency_key = dup_or_null(from->idempotency_key);
    to->recipe = dup_or_null(from->recipe);
    to->custom_id = dup_or_null(from->custom_id);
    if (from->tag_count > 0) {
        to->tags = memory_alloc(from->tag_count * sizeof(from->tags[0]));
        memcpy(to->tags, from->tags, from->tag_count * sizeof(from->tags[0]));
    } else {
        to->tags = NULL;
    }
}

void
job_meta_add_tag(struct job_meta *meta, struct slice tag)
{
    if (meta->tag_count == JOB_TAGS_MAX)
        return;
    meta->tags = memory_resize(
        meta->tags, (meta->tag_count + 1) * sizeof(meta->tags[0]));
    (void)text_copy(meta->tags[meta->tag_count++], sizeof(meta->tags[0]), tag);
}

static bool
chain_has(const struct job_meta *meta, const char *bucket)
{
    struct slice rest = slice_of(meta->fallback_chain);

    if (strcmp(meta->bucket, bucket) == 0)
        return true;
    while (rest.len > 0) {
        if (slice_equal_text(slice_split(&rest, '>'), bucket))
            return true;
    }
    return false;
}

void
job_meta_add_fallback(
    struct job_meta *meta, struct slice model, const char *bucket)
{
    char *chain = meta->fallback_chain;
    size_t len = strlen(chain);

    if (meta->fallback_count == JOB_FALLBACKS_MAX || chain_has(meta, bucket))
        return;
    (void)text_copy(meta->fallbacks[meta->fallback_count++],
        sizeof(meta->fallbacks[0]), model);
    if (len > 0)
        chain[len++] = '>';
    (void)text_copy(
        chain + len, sizeof(meta->fallback_chain) - len, slice_of(bucket));
}

void
job_meta_queue(const struct job_meta *meta, char out[JOB_QUEUE_MAX + 1])
{
    const char *const parts[] = {job_lane_name(meta->lane), ":", meta->bucket,
        meta->fallback_chain[0] != '\0' ? ">" : "", meta->fallback_chain};
    char *to = out;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t len = strlen(parts[i]);
        assert(len <= (size_t)(out + JOB_QUEUE_MAX - to));
        memcpy(to, parts[i], len + 1);
        to += len;
    }
}

void
job_result_clear(struct job_result *result)
{
    job_meta_clear(&result->meta);
    memset(result, 0, sizeof(*result));
}
