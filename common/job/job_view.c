#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/job/job_reason.h"

#define NANOS_PER_USD INT64_C(1000000000)
/* Of a job without an error; so that the buffer grows once. */
#define USUAL_BYTES 1400

/* Every member but the last is followed by a comma. */
/* "" is null. */
static void
put_text(struct buffer *out, const char *key, const char *text)
{
    buffer_append_key(out, key);
    if (text[0] == '\0')
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(text));
    buffer_append_char(out, ',');
}

static void
put_u64(struct buffer *out, const char *key, uint64_t value)
{
    buffer_append_key(out, key);
    buffer_append_u64(out, value);
    buffer_append_char(out, ',');
}

static void
put_bool(struct buffer *out, const char *key, bool value)
{
    buffer_append_key(out, key);
    buffer_append_text(out, value ? "true," : "false,");
}

static void
put_null(struct buffer *out, const char *key)
{
    buffer_append_key(out, key);
    buffer_append_text(out, "null,");
}

/* 0 is null. */
static void
put_time(struct buffer *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE] = "";
    if (wall_ms > 0)
        clock_format_ms(wall_ms, text);
    put_text(out, key, text);
}

static void
put_tags(struct buffer *out, const struct job_meta *meta)
{
    buffer_append_key(out, "tags");
    buffer_append_char(out, '[');
    for (unsigned i = 0; i < meta->tag_count; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        buffer_append_json(out, slice_of(meta->tags[i]));
    }
    buffer_append_text(out, "],");
}

static void
put_what(const struct job_view *view, struct buffer *out)
{
    const struct job_meta *meta = view->meta;
    const struct job_result *result = view->result;
    bool answered = result != NULL && result->model[0] != '\0';
    put_text(out, "lane", job_lane_name(meta->lane));
    put_text(out, "model", answered ? result->model : meta->model);
    put_text(out, "model_requested",
        meta->model_requested[0] != '\0' ? meta->model_requested : meta->model);
    put_tags(out, meta);
    put_text(out, "tenant", meta->tenant);
    if (meta->batch[0] == '\0')
        return;
    buffer_append_key(out, "batch_id");
    buffer_append_text(out, "\"batch_");
    buffer_append_text(out, meta->batch);
    buffer_append_text(out, "\",");
    put_text(out, "custom_id", meta->custom_id != NULL ? meta->custom_id : "");
}

static void
put_progress(const struct job_view *view, struct buffer *out)
{
    bool waits = view->state == JOB_RETRYING;
    bool known = view->state == JOB_QUEUED && view->ahead >= 0;
    put_time(out, "created_at", view->meta->created_ms);
    put_time(out, "expires_at", view->meta->expires_ms);
    put_time(out, "started_at", view->started_ms);
    put_time(out, "finished_at",
        view->result != NULL ? view->result->finished_ms : 0);
    put_time(out, "next_attempt_at", waits ? view->next_attempt_ms : 0);
    put_u64(out, "attempts", view->attempts);
    put_u64(out, "max_attempts", view->meta->max_attempts);
    put_u64(out, "takeovers", view->takeovers);
    if (known) {
        put_u64(out, "position", (uint64_t)view->ahead + 1);
        put_u64(out, "ahead", (uint64_t)view->ahead);
    } else {
        put_null(out, "position");
        put_null(out, "ahead");
    }
}

/* Exact: at least six digits behind the point, more only if they count. */
void
job_cost_encode(int64_t nanos, struct buffer *out)
{
    if (nanos < 0) {
        buffer_append_text(out, "null");
        return;
    }
    buffer_printf(out, "\"%" PRId64 ".%09" PRId64, nanos / NANOS_PER_USD,
        nanos % NANOS_PER_USD);
    for (int i = 0; i < 3 && out->data[out->len - 1] == '0'; i++)
        out->len--;
    buffer_append_char(out, '"');
}

void
job_usage_encode(const struct job_usage *usage, struct buffer *out)
{
    uint64_t write_5m = usage->cache_write_5m_tokens;
    uint64_t write_1h = usage->cache_write_1h_tokens;
    buffer_append_char(out, '{');
    put_u64(out, "input_tokens", usage->input_tokens);
    put_u64(out, "output_tokens", usage->output_tokens);
    put_u64(out, "cache_read_input_tokens", usage->cache_read_tokens);
    put_u64(out, "cache_creation_input_tokens", write_5m + write_1h);
    buffer_append_key(out, "cache_creation");
    buffer_append_char(out, '{');
    put_u64(out, "ephemeral_5m_input_tokens", write_5m);
    buffer_append_key(out, "ephemeral_1h_input_tokens");
    buffer_append_u64(out, write_1h);
    buffer_append_text(out, "}}");
}

static void
put_outcome(const struct job_view *view, struct buffer *out)
{
    const struct job_result *result = view->result;
    static const struct job_usage none;
    put_text(out, "stop_reason", result != NULL ? result->stop_reason : "");
    buffer_append_key(out, "usage");
    if (result != NULL && memcmp(&result->usage, &none, sizeof(none)) != 0)
        job_usage_encode(&result->usage, out);
    else
        buffer_append_text(out, "null");
    buffer_append_char(out, ',');
    buffer_append_key(out, "cost_usd");
    job_cost_encode(result != NULL ? result->cost_usd_nanos : -1, out);
    buffer_append_char(out, ',');
    put_u64(out, "unknown_calls",
        result != NULL ? result->unknown_calls
                       : view->takeovers + view->error.unknown_calls);
}

static void
put_error(const struct job_error *error, struct buffer *out)
{
    if (error->class_name[0] == '\0') {
        put_null(out, "error");
        return;
    }
    buffer_append_key(out, "error");
    buffer_append_char(out, '{');
    put_text(out, "type", error->type);
    put_text(out, "message", error->message);
    if (error->status != 0)
        put_u64(out, "status", error->status);
    else
        put_null(out, "status");
    put_text(out, "code", error->code);
    put_text(out, "class", error->class_name);
    put_text(out, "request_id", error->request_id);
    put_time(out, "at", error->at_ms);
    out->data[out->len - 1] = '}';
    buffer_append_char(out, ',');
}

static void
put_link(struct buffer *out, const char *key, const char *origin,
    const char *id, const char *tail)
{
    buffer_append_key(out, key);
    buffer_append_json(out, slice_of(origin));
    out->len--; /* the quote: the rest needs no escape */
    buffer_append_text(out, "/v1/jobs/");
    buffer_append_text(out, id);
    buffer_append_text(out, tail);
    buffer_append_text(out, "\",");
}

static void
put_links(const struct job_view *view, const char *origin, struct buffer *out)
{
    buffer_append_key(out, "links");
    buffer_append_char(out, '{');
    put_link(out, "self", origin, view->id, "");
    put_link(out, "result", origin, view->id, "/result");
    put_link(out, "cancel", origin, view->id, "/cancel");
    out->data[out->len - 1] = '}';
}

static void
put_reason(const struct job_view *view, struct buffer *out)
{
    if (view->reason[0] != '\0') {
        put_text(out, "status_reason", view->reason);
        return;
    }
    struct buffer reason = {0};
    job_reason_make(view, &reason);
    buffer_append_key(out, "status_reason");
    buffer_append_json(out, buffer_slice(&reason));
    buffer_append_char(out, ',');
    buffer_clear(&reason);
}

void
job_view_encode(
    const struct job_view *view, const char *origin, struct buffer *out)
{
    const struct job_result *result = view->result;
    buffer_reserve(out, USUAL_BYTES);
    buffer_append_char(out, '{');
    put_text(out, "id", view->id);
    put_text(out, "object", "job");
    put_text(out, "status", job_state_name(view->state));
    put_reason(view, out);
    put_u64(out, "version", view->version);
    put_u64(out, "generation", view->generation);
    put_u64(out, "replays", view->generation);
    put_what(view, out);
    put_progress(view, out);
    put_outcome(view, out);
    put_error(&view->error, out);
    put_bool(out, "dead_letter", result != NULL && result->dead);
    put_bool(
        out, "simulated", result != NULL ? result->simulated : view->simulated);
    put_bool(out, "cancel_requested", view->cancel_requested);
    if (job_state_is_terminal(view->state))
        put_null(out, "poll_after_seconds");
    else
        put_u64(out, "poll_after_seconds", job_view_poll_after_s(view));
    put_links(view, origin, out);
    buffer_append_char(out, '}');
}

void
job_view_from_result(const struct job_result *result, struct job_view *view)
{
    memset(view, 0, sizeof(*view));
    memcpy(view->id, result->id, sizeof(view->id));
    view->state = result->state;
    view->generation = result->generation;
    view->version = result->version;
    view->attempts = result->attempts;
    view->takeovers = result->takeovers;
    view->started_ms = result->started_ms;
    view->ahead = -1;
    view->error = result->error;
    view->meta = &result->meta;
    view->result = result;
    view->simulated = result->simulated;
}

/* A queue moves on by some ten jobs a second at the least; a call takes
 * seconds. */
static int64_t
wait_s(const struct job_view *view)
{
    if (view->state == JOB_RUNNING)
        return 2;
    if (view->state == JOB_RETRYING)
        return (view->next_attempt_ms - clock_wall_ms()) / 1000 + 2;
    return view->ahead > 0 ? 2 + view->ahead / 10 : 2;
}

unsigned
job_view_poll_after_s(const struct job_view *view)
{
    if (job_state_is_terminal(view->state))
        return 60;
    int64_t seconds = wait_s(view);
    if (seconds < 1)
        return 1;
    return seconds > 60 ? 60 : (unsigned)seconds;
}
