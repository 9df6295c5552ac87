#include <stdio.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/service/metrics.h"
#include "submitter/submit.h"

static const struct metric_family submitted = {
    .name = "longhaul_jobs_submitted_total",
    .help = "Jobs accepted, by lane.",
    .kind = METRIC_COUNTER,
    .labels = {"lane"}};
static const struct metric_family replayed = {
    .name = "longhaul_submits_replayed_total",
    .help = "Requests answered with the job their Idempotency-Key had "
            "made.",
    .kind = METRIC_COUNTER};
static const struct metric_family rejected = {
    .name = "longhaul_submits_rejected_total",
    .help = "Requests refused, by reason.",
    .kind = METRIC_COUNTER,
    .labels = {"reason"}};
static const struct metric_family body_bytes = {
    .name = "longhaul_submitted_bytes_total",
    .help = "Request bytes of accepted jobs, as sent and as stored.",
    .kind = METRIC_COUNTER,
    .labels = {"form"}};

static const char *
error_type(unsigned status)
{
    switch (status) {
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 410: return "not_found_error";
    case 400:
    case 415:
    case 422: return "invalid_request_error";
    default: return "api_error";
    }
}

void
submit_count_rejected(struct submitter *owner, const char *reason)
{
    const char *values[] = {reason};
    metrics_add(owner->service->metrics, &rejected, values, 1);
}

void
submit_refuse(struct submitter *owner, struct http_request *req,
    unsigned status, const char *reason, const char *message,
    unsigned retry_after_s)
{
    submit_count_rejected(owner, reason);
    log_info("submit_rejected", LOG_INT("status", status),
        LOG_TEXT("reason", reason), LOG_TEXT("request", http_request_id(req)));
    http_reply_error(req, status, error_type(status), message, retry_after_s);
}

void
submit_reply_error(struct submit *submit, unsigned status, const char *reason,
    const char *message, unsigned retry_after_s)
{
    submit_refuse(
        submit->owner, submit->req, status, reason, message, retry_after_s);
    submit_end(submit);
}

void
submit_reply_full(struct submit *submit, enum admission_verdict verdict)
{
    const struct submitter *owner = submit->owner;
    submit_reply_error(submit, 429, admission_verdict_name(verdict),
        admission_verdict_text(verdict),
        admission_retry_after_s(&owner->pace, &owner->limits));
}

static void
reply_view(struct submit *submit, const struct job_view *view)
{
    const struct service *service = submit->owner->service;
    struct buffer body = {0};
    struct buffer location = {0};
    char etag[TEXT_I64_SIZE + 3] = "\"v";
    char seconds[TEXT_I64_SIZE];
    buffer_append_text(&location, service->origin);
    buffer_append_text(&location, "/v1/jobs/");
    buffer_append_text(&location, view->id);
    memcpy(etag + 2 + text_i64((int64_t)view->version, etag + 2), "\"", 2);
    (void)text_i64(job_view_poll_after_s(view), seconds);
    http_reply_header(submit->req, "Location", location.data);
    http_reply_header(submit->req, "ETag", etag);
    if (!job_state_is_terminal(view->state))
        http_reply_header(submit->req, "Retry-After", seconds);
    if (submit->replayed)
        http_reply_header(submit->req, "Idempotent-Replayed", "true");
    job_view_encode(view, service->origin, &body);
    crash_point("submit.accepted");
    http_reply_buffer(submit->req, 202, "application/json", &body);
    crash_point("submit.answered");
    buffer_clear(&body);
    buffer_clear(&location);
    submit_end(submit);
}

void
submit_count_accepted(
    struct submitter *owner, enum job_lane lane, uint64_t jobs)
{
    const char *values[] = {job_lane_name(lane)};
    metrics_add(owner->service->metrics, &submitted, values, (double)jobs);
}

void
submit_count_bytes(
    struct submitter *owner, uint64_t sent_bytes, uint64_t stored_bytes)
{
    static const char *const sent[] = {"sent"};
    static const char *const stored[] = {"stored"};
    struct metrics *metrics = owner->service->metrics;
    metrics_add(metrics, &body_bytes, sent, (double)sent_bytes);
    metrics_add(metrics, &body_bytes, stored, (double)stored_bytes);
}

void
submit_count_replayed(struct submitter *owner)
{
    metrics_add(owner->service->metrics, &replayed, NULL, 1);
}

static void
count_accepted(struct submit *submit)
{
    const struct job_meta *meta = &submit->meta;
    submit_count_accepted(submit->owner, meta->lane, 1);
    submit_count_bytes(submit->owner, meta->body_bytes, meta->stored_bytes);
    log_debug("job_accepted", LOG_TEXT("job", submit->id),
        LOG_TEXT("tenant", meta->tenant),
        LOG_TEXT("lane", job_lane_name(meta->lane)),
        LOG_TEXT("model", meta->model), LOG_INT("bytes", meta->body_bytes),
        LOG_INT("stored_bytes", meta->stored_bytes),
        LOG_INT("parts", meta->parts));
}

bool
submit_is_simulated(const struct service *service)
{
    const char *mode =
        service->marker != NULL ? strchr(service->marker, ' ') : NULL;
    return mode != NULL && strcmp(mode + 1, "simulated") == 0;
}

void
submit_reply_new(struct submit *submit, const struct queue_enqueued *enqueued)
{
    struct job_view view = {.state = enqueued->state,
        .generation = enqueued->generation,
        .version = enqueued->version,
        .ahead = enqueued->ahead,
        .simulated = submit_is_simulated(submit->owner->service),
        .meta = &submit->meta};
    text_copy(view.id, sizeof(view.id), slice_of(submit->id));
    submit->maybe_there = true;
    count_accepted(submit);
    reply_view(submit, &view);
}

void
submit_reply_job(struct submit *submit, const struct job_view *view)
{
    if (submit->replayed)
        submit_count_replayed(submit->owner);
    else
        count_accepted(submit);
    reply_view(submit, view);
}
