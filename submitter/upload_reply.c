#include <stdio.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/service/metrics.h"
#include "submitter/upload.h"

static const struct metric_family batches = {
    .name = "longhaul_batches_submitted_total",
    .help = "Batches accepted, by the face they came to.",
    .kind = METRIC_COUNTER,
    .labels = {"face"}};
static const struct metric_family rejected_lines = {
    .name = "longhaul_batch_lines_rejected_total",
    .help = "Lines of accepted batches that are no job.",
    .kind = METRIC_COUNTER};

/* --- errors --- */

void
upload_reply_error(struct upload *upload, unsigned status, const char *reason,
    const char *message, unsigned retry_after_s)
{
    submit_refuse(
        upload->owner, upload->req, status, reason, message, retry_after_s);
    /* What the server could not do, it may go on with. */
    upload_end(upload, status >= 500);
}

static void
reply_full(struct upload *upload, enum admission_verdict verdict)
{
    const struct submitter *owner = upload->owner;
    upload_reply_error(upload, 429, admission_verdict_name(verdict),
        admission_verdict_text(verdict),
        admission_retry_after_s(&owner->pace, &owner->limits));
}

static void
reply_unavailable(struct upload *upload)
{
    upload_reply_error(upload, 503, "redis",
        upload->batch.idempotency_key != NULL
            ? "The queue did not answer in time. Send the upload again; its "
              "Idempotency-Key makes it go on where it broke."
            : "The queue did not answer in time; no batch was made that is "
              "known of. With an Idempotency-Key an upload can be sent again "
              "safely.",
        2);
}

void
upload_reply_conflict(struct upload *upload)
{
    upload_reply_error(upload, 422, "idempotency_conflict",
        "Idempotency-Key: it was used for another upload.", 0);
}

void
upload_reply_deleted(struct upload *upload)
{
    upload_reply_error(upload, 410, "deleted",
        "The batch of this Idempotency-Key was deleted.", 0);
}

void
upload_reply_status(struct upload *upload, enum queue_status status)
{
    switch (status) {
    case QUEUE_FULL_JOBS: reply_full(upload, ADMISSION_FULL_JOBS); return;
    case QUEUE_FULL_BYTES: reply_full(upload, ADMISSION_FULL_BYTES); return;
    case QUEUE_NO_MARKER:
        service_marker_refresh(upload->owner->service);
        upload_reply_error(upload, 503, "not_ready",
            "The queue cannot take jobs at this moment.", 2);
        return;
    case QUEUE_UNKNOWN: reply_unavailable(upload); return;
    case QUEUE_DUPLICATE: /* of an earlier upload under this key */
    case QUEUE_CONFLICT: upload_reply_conflict(upload); return;
    case QUEUE_NOT_OWNER:
    case QUEUE_ABSENT:
        upload_reply_error(upload, 503, "redis",
            "What was stored of the upload is gone; no batch was made. Send "
            "it again.",
            2);
        return;
    case QUEUE_OK:
    case QUEUE_BROKEN: break;
    }
    log_error("upload_failed", LOG_TEXT("batch", upload->batch.uuid),
        LOG_TEXT("status", queue_status_name(status)));
    upload_reply_error(
        upload, 500, "internal", "The batch could not be stored.", 0);
}

void
upload_reply_rejected(struct upload *upload)
{
    struct buffer body = {0};
    bool empty = upload->rejected == 0;
    if (empty) {
        upload_reply_error(
            upload, 400, "bad_request", "The upload has no rows.", 0);
        return;
    }
    submit_count_rejected(upload->owner, "bad_lines");
    buffer_append_text(&body,
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
        "\"message\":");
    buffer_append_json(&body,
        slice_of(upload->query.strict
                ? "Lines are bad and strict was asked for: nothing was "
                  "accepted."
                : "Every line is bad: nothing was accepted."));
    buffer_printf(&body, "},\"rejected\":%llu,\"errors\":[",
        (unsigned long long)upload->rejected);
    buffer_append_slice(&body, buffer_slice(&upload->errors));
    buffer_append_text(&body, "],\"request_id\":");
    buffer_append_json(&body, slice_of(http_request_id(upload->req)));
    buffer_append_char(&body, '}');
    http_reply_buffer(upload->req, 422, "application/json", &body);
    buffer_clear(&body);
    upload_end(upload, false);
}

/* --- the batch --- */

static void
reply_claude(struct upload *upload, const struct batch_view *view)
{
    struct buffer body = {0};
    batch_view_encode_message(
        view, upload->owner->service->origin, true, &body);
    crash_point("upload.accepted");
    http_reply_buffer(upload->req, 200, "application/json", &body);
    buffer_clear(&body);
}

static void
reply_native(struct upload *upload, const struct batch_view *view)
{
    const char *origin = upload->owner->service->origin;
    struct buffer body = {0};
    struct buffer location = {0};
    char etag[32];
    buffer_append_text(&location, origin);
    buffer_append_text(&location, "/v1/batches/" BATCH_PREFIX);
    buffer_append_text(&location, view->uuid);
    snprintf(etag, sizeof(etag), "\"v%llu\"",
        (unsigned long long)batch_view_version(view));
    http_reply_header(upload->req, "Location", location.data);
    http_reply_header(upload->req, "ETag", etag);
    batch_view_encode(view, origin,
        upload->errors.len > 0 ? buffer_slice(&upload->errors)
                               : slice_make("", 0),
        &body);
    crash_point("upload.accepted");
    http_reply_buffer(upload->req, 202, "application/json", &body);
    buffer_clear(&body);
    buffer_clear(&location);
}

static void
reply_view(struct upload *upload, const struct batch_view *view)
{
    if (upload_is_claude(upload))
        reply_claude(upload, view);
    else
        reply_native(upload, view);
    upload->opened = false; /* what was revealed stays */
    upload_end(upload, true);
}

static void
count_batch(struct upload *upload)
{
    struct metrics *metrics = upload->owner->service->metrics;
    const char *face[] = {bulk_face_name(upload->batch.face)};
    metrics_add(metrics, &batches, face, 1);
    metrics_add(metrics, &rejected_lines, NULL, (double)upload->rejected);
    for (unsigned i = 0; i < JOB_LANES; i++) {
        if (upload->lanes[i] > 0)
            submit_count_accepted(
                upload->owner, (enum job_lane)i, upload->lanes[i]);
    }
    submit_count_bytes(upload->owner, upload->raw_bytes, upload->stored_bytes);
    log_info("batch_accepted", LOG_TEXT("batch", upload->batch.uuid),
        LOG_TEXT("face", face[0]), LOG_TEXT("tenant", upload->batch.tenant),
        LOG_INT("items", upload->accepted),
        LOG_INT("rejected", upload->rejected),
        LOG_INT("bytes", upload->raw_bytes),
        LOG_INT("stored_bytes", upload->stored_bytes));
}

void
upload_reply_new(struct upload *upload)
{
    const struct bulk *batch = &upload->batch;
    struct batch_view view = {.state = BATCH_IN_PROGRESS,
        .created_ms = batch->created_ms,
        .expires_ms = batch->expires_ms,
        .accepted = upload->accepted,
        .rejected = upload->rejected,
        .cost_usd_nanos = 0,
        .seconds_left = -1};
    memcpy(view.uuid, batch->uuid, sizeof(view.uuid));
    memcpy(view.tenant, batch->tenant, sizeof(view.tenant));
    memcpy(view.run, batch->run, sizeof(view.run));
    view.counts[JOB_QUEUED] = upload->accepted;
    count_batch(upload);
    reply_view(upload, &view);
}

void
upload_reply_existing(struct upload *upload, const struct batch_view *view)
{
    submit_count_replayed(upload->owner);
    http_reply_header(upload->req, "Idempotent-Replayed", "true");
    reply_view(upload, view);
}
