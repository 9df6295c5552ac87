#include "status-api/batch_line.h"

#include <string.h>

#include "status-api/put.h"

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
put_flat(struct buffer *out, struct slice json)
{
    while (json.len > 0 && is_blank(json.data[0])) {
        json.data++;
        json.len--;
    }
    while (json.len > 0 && is_blank(json.data[json.len - 1]))
        json.len--;
    size_t at = out->len;
    buffer_append_slice(out, json);
    for (; at < out->len; at++) {
        if (out->data[at] == '\n' || out->data[at] == '\r')
            out->data[at] = ' ';
    }
}

/* The whole envelope, as Claude's results have it. */
static void
put_envelope(struct buffer *out, const char *type, const char *message,
    const char *code, const char *request_id)
{
    buffer_append_text(out,
        "{\"type\":\"errored\",\"error\":{\"type\":\"error\",\"error\":{"
        "\"type\":");
    buffer_append_json(out, slice_of(type));
    buffer_append_text(out, ",\"message\":");
    buffer_append_json(out, slice_of(message));
    if (code[0] != '\0') {
        buffer_append_text(out, ",\"details\":{\"error_code\":");
        buffer_append_json(out, slice_of(code));
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, '}');
    put_text(out, "request_id", request_id);
    buffer_append_text(out, "}}");
}

static void
put_error(struct buffer *out, const struct job_error *error)
{
    const char *type = error->type[0] != '\0' ? error->type : "api_error";
    const char *message =
        error->message[0] != '\0' ? error->message : error->class_name;
    put_envelope(out, type, message, error->code, error->request_id);
}

static void
put_result(
    struct buffer *out, const struct job_result *row, struct slice answer)
{
    switch (row->state) {
    case JOB_SUCCEEDED:
        if (answer.len == 0) {
            put_envelope(out, "not_found_error",
                "the answer of this request was deleted", "", "");
            return;
        }
        buffer_append_text(out, "{\"type\":\"succeeded\",\"message\":");
        put_flat(out, answer);
        buffer_append_char(out, '}');
        return;
    case JOB_CANCELED:
        buffer_append_text(out, "{\"type\":\"canceled\"}");
        return;
    case JOB_EXPIRED: buffer_append_text(out, "{\"type\":\"expired\"}"); return;
    case JOB_FAILED:
    case JOB_QUEUED:
    case JOB_RUNNING:
    case JOB_RETRYING: put_error(out, &row->error); return;
    }
}

void
batch_line_message(
    const struct job_result *row, struct slice answer, struct buffer *out)
{
    buffer_append_text(out, "{\"custom_id\":");
    buffer_append_json(out, slice_of(row->meta.custom_id));
    buffer_append_text(out, ",\"result\":");
    put_result(out, row, answer);
    buffer_append_text(out, "}\n");
}

void
batch_line_native(const struct job_result *row, uint64_t seq,
    struct slice answer, struct buffer *out)
{
    static const struct job_usage none;
    buffer_append_text(out, "{\"seq\":");
    buffer_append_u64(out, seq);
    buffer_append_text(out, ",\"custom_id\":");
    buffer_append_json(out, slice_of(row->meta.custom_id));
    put_text(out, "job_id", row->id);
    buffer_append_text(out, ",\"generation\":");
    buffer_append_u64(out, row->generation);
    put_text(out, "status", job_state_name(row->state));
    buffer_append_text(out, ",\"result\":");
    put_result(out, row, answer);
    put_text(out, "model", row->model);
    buffer_append_text(out, ",\"usage\":");
    if (memcmp(&row->usage, &none, sizeof(none)) != 0)
        job_usage_encode(&row->usage, out);
    else
        buffer_append_text(out, "null");
    buffer_append_text(out, ",\"cost_usd\":");
    job_cost_encode(row->cost_usd_nanos, out);
    buffer_append_text(out, "}\n");
}
