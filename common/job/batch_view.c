#include "common/job/batch_view.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

uint64_t
batch_view_done(const struct batch_view *view)
{
    uint64_t done = 0;
    for (unsigned i = JOB_SUCCEEDED; i < BATCH_COUNTS; i++)
        done += view->counts[i];
    return done;
}

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        hash ^= value >> (8 * i) & 0xff;
        hash *= UINT64_C(1099511628211);
    }
    return hash;
}

uint64_t
batch_view_version(const struct batch_view *view)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    hash = mix(hash, (uint64_t)view->state);
    hash = mix(hash, (uint64_t)view->ended_ms);
    hash = mix(hash, (uint64_t)view->cancel_ms);
    hash = mix(hash, (uint64_t)view->archived_ms);
    for (unsigned i = 0; i < BATCH_COUNTS; i++)
        hash = mix(hash, view->counts[i]);
    hash = mix(hash, view->usage.input_tokens);
    hash = mix(hash, view->usage.output_tokens);
    return mix(hash, (uint64_t)view->cost_usd_nanos);
}

/* --- members, each with the comma before it ------------------------------ */

static void
put_key(struct buffer *out, const char *key)
{
    buffer_append_char(out, ',');
    buffer_append_key(out, key);
}

static void
put_text(struct buffer *out, const char *key, const char *text)
{
    put_key(out, key);
    if (text[0] == '\0')
        buffer_append_text(out, "null");
    else
        buffer_append_json(out, slice_of(text));
}

static void
put_time(struct buffer *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE] = "";
    if (wall_ms > 0)
        clock_format_ms(wall_ms, text);
    put_text(out, key, text);
}

static void
put_count(struct buffer *out, const char *key, uint64_t value)
{
    put_key(out, key);
    buffer_append_u64(out, value);
}

static void
put_url(struct buffer *out, const char *key, const char *origin,
    const char *path, const struct batch_view *view, const char *tail)
{
    put_key(out, key);
    buffer_append_json(out, slice_of(origin));
    out->len--; /* the quote: the rest needs no escape */
    buffer_append_text(out, path);
    buffer_append_text(out, view->uuid);
    buffer_append_text(out, tail);
    buffer_append_char(out, '"');
}

static void
put_counts(struct buffer *out, const struct batch_view *view)
{
    put_key(out, "counts");
    for (unsigned i = 0; i < BATCH_COUNTS; i++) {
        buffer_append_char(out, i == 0 ? '{' : ',');
        buffer_append_key(out, job_state_name((enum job_state)i));
        buffer_append_u64(out, view->counts[i]);
    }
    buffer_append_char(out, '}');
}

static void
put_numbers(struct buffer *out, const struct batch_view *view)
{
    put_counts(out, view);
    put_key(out, "usage");
    job_usage_encode(&view->usage, out);
    put_key(out, "cost_usd");
    job_cost_encode(view->cost_usd_nanos, out);
    put_key(out, "seconds_left");
    if (view->seconds_left < 0)
        buffer_append_text(out, "null");
    else
        buffer_append_i64(out, view->seconds_left);
}

/* --- native -------------------------------------------------------------- */

#define NATIVE_PATH "/v1/batches/" BATCH_PREFIX

static void
put_links(struct buffer *out, const struct batch_view *view, const char *origin)
{
    static const char *const tails[][2] = {{"self", ""},
        {"results", "/results"}, {"errors", "/errors"}, {"items", "/items"},
        {"cancel", "/cancel"}};
    put_key(out, "links");
    size_t at = out->len;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++)
        put_url(out, tails[i][0], origin, NATIVE_PATH, view, tails[i][1]);
    out->data[at] = '{'; /* in the place of the first comma */
    buffer_append_char(out, '}');
}

void
batch_view_encode(const struct batch_view *view, const char *origin,
    struct slice errors, struct buffer *out)
{
    buffer_append_text(out, "{\"id\":\"" BATCH_PREFIX);
    buffer_append_text(out, view->uuid);
    buffer_append_text(out, "\",\"type\":\"batch\"");
    put_text(out, "status", batch_state_name(view->state));
    put_time(out, "created_at", view->created_ms);
    put_time(out, "expires_at", view->expires_ms);
    put_time(out, "cancel_initiated_at", view->cancel_ms);
    put_time(out, "ended_at", view->ended_ms);
    put_time(out, "archived_at", view->archived_ms);
    put_text(out, "tenant", view->tenant);
    put_text(out, "run", view->run);
    put_count(out, "accepted", view->accepted);
    put_count(out, "rejected", view->rejected);
    if (errors.data != NULL) {
        put_key(out, "errors");
        buffer_append_char(out, '[');
        buffer_append_slice(out, errors);
        buffer_append_char(out, ']');
    }
    put_numbers(out, view);
    put_links(out, view, origin);
    buffer_append_char(out, '}');
}

/* --- Claude's ------------------------------------------------------------ */

#define MESSAGE_PATH "/v1/messages/batches/" BATCH_CLAUDE_PREFIX

static void
put_request_counts(struct buffer *out, const struct batch_view *view)
{
    static const char *const names[] = {
        "succeeded", "errored", "canceled", "expired"};
    bool ended = view->state == BATCH_ENDED;
    put_key(out, "request_counts");
    buffer_append_text(out, "{\"processing\":");
    buffer_append_u64(out, ended ? 0 : view->accepted);
    for (unsigned i = 0; i < 4; i++)
        put_count(out, names[i], ended ? view->counts[JOB_SUCCEEDED + i] : 0);
    buffer_append_char(out, '}');
}

void
batch_view_encode_message(const struct batch_view *view, const char *origin,
    bool progress, struct buffer *out)
{
    buffer_append_text(out, "{\"id\":\"" BATCH_CLAUDE_PREFIX);
    buffer_append_text(out, view->uuid);
    buffer_append_text(out, "\",\"type\":\"message_batch\"");
    put_text(out, "processing_status", batch_state_name(view->state));
    put_request_counts(out, view);
    put_time(out, "created_at", view->created_ms);
    put_time(out, "expires_at", view->expires_ms);
    put_time(out, "ended_at", view->ended_ms);
    put_time(out, "cancel_initiated_at", view->cancel_ms);
    put_time(out, "archived_at", view->archived_ms);
    if (view->state == BATCH_ENDED && view->archived_ms == 0)
        put_url(out, "results_url", origin, MESSAGE_PATH, view, "/results");
    else
        put_text(out, "results_url", "");
    if (progress) {
        buffer_append_text(out, ",\"longhaul\":{\"batch_id\":\"" BATCH_PREFIX);
        buffer_append_text(out, view->uuid);
        buffer_append_char(out, '"');
        put_numbers(out, view);
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, '}');
}
