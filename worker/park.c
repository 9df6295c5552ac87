#include "worker/park.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

void
park_encode(
    const struct job_result *result, struct slice message, struct buffer *out)
{
    const struct job_usage *usage = &result->usage;

    buffer_append_text(out, "{\"model\":");
    buffer_append_json(out, slice_of(result->model));
    buffer_append_text(out, ",\"stop\":");
    buffer_append_json(out, slice_of(result->stop_reason));
    buffer_printf(out,
        ",\"n\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
        ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%u,%u,%d]}\n",
        usage->input_tokens, usage->output_tokens, usage->cache_read_tokens,
        usage->cache_write_5m_tokens, usage->cache_write_1h_tokens,
        result->cost_usd_nanos, result->started_ms, result->finished_ms,
        result->attempts, result->unknown_calls, result->simulated ? 1 : 0);
    buffer_append_slice(out, message);
}

static int
decode_line(json_t *root, struct job_result *result)
{
    json_int_t n[11];
    const char *model;
    const char *stop;

    if (json_unpack(root, "{s:s, s:s, s:[I,I,I,I,I,I,I,I,I,I,I!]}", "model",
            &model, "stop", &stop, "n", &n[0], &n[1], &n[2], &n[3], &n[4],
            &n[5], &n[6], &n[7], &n[8], &n[9], &n[10]) != 0)
        return -1;
    for (size_t i = 0; i < 11; i++) {
        if (n[i] < (i == 5 ? -1 : 0))
            return -1;
    }
    result->state = JOB_SUCCEEDED;
    text_copy(result->model, sizeof(result->model), slice_of(model));
    text_copy(result->stop_reason, sizeof(result->stop_reason), slice_of(stop));
    result->usage = (struct job_usage){.input_tokens = (uint64_t)n[0],
        .output_tokens = (uint64_t)n[1],
        .cache_read_tokens = (uint64_t)n[2],
        .cache_write_5m_tokens = (uint64_t)n[3],
        .cache_write_1h_tokens = (uint64_t)n[4]};
    result->cost_usd_nanos = n[5];
    result->started_ms = n[6];
    result->finished_ms = n[7];
    result->attempts = (unsigned)n[8];
    result->unknown_calls = (unsigned)n[9];
    result->simulated = n[10] != 0;
    return 0;
}

int
park_decode(
    struct slice parked, struct job_result *result, struct slice *message)
{
    size_t look = parked.len < LINE_MAX_BYTES ? parked.len : LINE_MAX_BYTES;
    const char *end = look > 0 ? memchr(parked.data, '\n', look) : NULL;
    json_t *root;
    int rc;

    if (end == NULL)
        return -1;
    root = json_loadb(
        parked.data, (size_t)(end - parked.data), JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL)
        return -1;
    rc = decode_line(root, result);
    json_decref(root);
    if (rc == 0)
        *message =
            slice_make(end + 1, parked.len - (size_t)(end + 1 - parked.data));
    return rc;
}
