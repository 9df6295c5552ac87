#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/id.h"
#include "common/service/config.h"
#include "submitter/submit.h"
#include "submitter/submit_meta.h"

/* --- parts --- */

static void
on_staged(void *arg, enum queue_status status)
{
    struct submit *submit = arg;
    submit->unacked--;
    if (status != QUEUE_OK && submit->stage_status == QUEUE_OK)
        submit->stage_status = status;
    if (submit->state == SUBMIT_READING && submit->stage_status != QUEUE_OK)
        submit_start_queue(submit); /* which says why not */
    if (submit->paused && submit->unacked < SUBMIT_PARTS_UNACKED &&
        submit->state == SUBMIT_READING) {
        submit->paused = false;
        http_request_resume(submit->req);
    }
    /* Resuming may have run the rest of the body and ended it all. */
    if (submit->state == SUBMIT_STAGING && submit->unacked == 0)
        submit_start_queue(submit);
    submit_callback_done(submit);
}

static void
stage(struct submit *submit, struct slice part)
{
    if (submit->stage_status != QUEUE_OK)
        return;
    if (queue_stage(submit->owner->service->queue, submit->id,
            submit->meta.parts, part, on_staged, submit) != 0) {
        submit->stage_status = QUEUE_UNKNOWN;
        return;
    }
    submit->callbacks++;
    submit->unacked++;
    submit->meta.parts++;
}

/* A run of the stored form. Only the last can be short, and when it is also
 * the first it can go with the enqueue. */
static void
on_stored(void *arg, struct slice run)
{
    struct submit *submit = arg;
    if (submit->body_complete && submit->meta.parts == 0 &&
        run.len <= QUEUE_INLINE_MAX)
        buffer_append_slice(&submit->body, run);
    else
        stage(submit, run);
}

/* --- reading --- */

void
submit_start_body(struct submit *submit)
{
    const struct config *config = submit->owner->service->config;
    request_reader_init(&submit->reader, config->model);
    submit->reader.info.options.max_attempts = (unsigned)config->max_attempts;
    submit->writer = body_writer_new(QUEUE_PART_BYTES, on_stored, submit);
}

void
submit_clear_body(struct submit *submit)
{
    if (submit->writer == NULL)
        return;
    body_writer_free(submit->writer);
    submit->writer = NULL;
    request_reader_clear(&submit->reader);
    buffer_clear(&submit->body);
    if (submit->is_long)
        submit->owner->long_bodies--;
    submit->is_long = false;
}

static void
reply_too_large(struct submit *submit, uint64_t max_bytes)
{
    char message[80];
    snprintf(message, sizeof(message),
        "The body is over the limit of %" PRIu64 " bytes.", max_bytes);
    submit_reply_error(submit, 413, "too_large", message, 0);
}

static void
reply_fault(struct submit *submit)
{
    const struct request_fault *fault = &submit->reader.fault;
    submit_reply_error(
        submit, (unsigned)fault->status, "bad_request", fault->message, 0);
}

/* Whether this body may grow beyond what an inline one needs. */
static bool
may_be_long(struct submit *submit)
{
    struct submitter *owner = submit->owner;
    if (submit->is_long || submit->received <= QUEUE_INLINE_MAX)
        return true;
    if (owner->long_bodies >= SUBMIT_LONG_MAX)
        return false;
    owner->long_bodies++;
    submit->is_long = true;
    return true;
}

void
submit_on_body(struct http_request *req, struct slice data)
{
    struct submit *submit = http_request_arg(req);
    uint64_t max_bytes = submit->owner->service->config->max_body_bytes;
    submit->received += data.len;
    if (submit->received > max_bytes) {
        reply_too_large(submit, max_bytes);
        return;
    }
    if (request_reader_feed(&submit->reader, data.data, data.len) != 0) {
        reply_fault(submit);
        return;
    }
    if (!may_be_long(submit)) {
        submit_reply_error(submit, 503, "long_bodies",
            "Too many large requests are arriving at this moment.", 1);
        return;
    }
    body_writer_feed(submit->writer, data);
    if (submit->stage_status != QUEUE_OK) {
        submit_start_queue(submit);
        return;
    }
    if (submit->unacked >= SUBMIT_PARTS_UNACKED && !submit->paused) {
        submit->paused = true;
        http_request_pause(req);
    }
}

/* --- the end --- */

/* A body below the limit can grow past Claude's by what is put in. */
static bool
refuse_grown(struct submit *submit)
{
    uint64_t limit = submit->owner->service->config->max_body_bytes;
    uint64_t bytes = submit_meta_upstream_bytes(
        submit->owner->service, &submit->reader.info, &submit->meta);
    char message[200];
    if (limit < SUBMIT_UPSTREAM_MAX)
        limit = SUBMIT_UPSTREAM_MAX;
    if (bytes <= limit)
        return false;
    snprintf(message, sizeof(message),
        "With what is added for Claude (of the short form, a model or "
        "stream) the request has %" PRIu64 " bytes; the limit is %" PRIu64
        " bytes.",
        bytes, limit);
    submit_reply_error(submit, 413, "too_large", message, 0);
    return true;
}

static bool
refuse_long(struct submit *submit)
{
    char text[SUBMIT_META_TEXT];
    if (!submit_meta_too_long(submit->owner->service,
            body_writer_mix(submit->writer), &submit->meta, text))
        return false;
    submit_reply_error(submit, 400, "too_long", text, 0);
    return true;
}

void
submit_on_end(struct http_request *req)
{
    struct submit *submit = http_request_arg(req);
    if (request_reader_finish(&submit->reader) != 0) {
        reply_fault(submit);
        return;
    }
    if (submit->reader.info.options.custom_id[0] != '\0') {
        submit_reply_error(submit, 400, "bad_request",
            "longhaul.custom_id: it names a row of a bulk upload; a job "
            "alone has tags.",
            0);
        return;
    }
    submit_meta_request(submit->owner->service, &submit->reader.info,
        body_writer_mix(submit->writer), id_wall_ms(slice_of(submit->id)),
        &submit->meta);
    if (refuse_grown(submit) || refuse_long(submit))
        return;
    /* Created when its body began to arrive, it expires by its acceptance. */
    submit->expires_in_ms = submit->meta.expires_ms - submit->meta.created_ms;
    submit->meta.expires_ms += clock_mono_ms() - submit->begun_ms;
    submit->body_complete = true;
    body_writer_finish(submit->writer, &submit->meta);
    crash_point("submit.complete");
    submit->state = SUBMIT_STAGING;
    if (submit->unacked == 0)
        submit_start_queue(submit);
}
