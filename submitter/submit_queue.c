#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "submitter/submit.h"

static void look_in_redis(struct submit *submit);
static void enqueue(struct submit *submit);
static void show_existing(struct submit *submit);

static struct queue *
queue_of(const struct submit *submit)
{
    return submit->owner->service->queue;
}

static void
reply_unavailable(struct submit *submit)
{
    submit_reply_error(submit, 503, "redis",
        submit->meta.idempotency_key != NULL
            ? "The queue did not answer in time. Send the request again; "
              "its Idempotency-Key makes that safe."
            : "The queue did not answer in time; whether the job was taken "
              "is not known. An Idempotency-Key makes sending again safe.",
        2);
}

/* --- again, until the deadline --- */

static void
run_state(struct submit *submit)
{
    switch (submit->state) {
    case SUBMIT_LOOKING: look_in_redis(submit); break;
    case SUBMIT_ENQUEUING: enqueue(submit); break;
    case SUBMIT_SHOWING: show_existing(submit); break;
    case SUBMIT_READING:
    case SUBMIT_STAGING:
    case SUBMIT_ENDED: abort(); /* these states have no step */
    }
}

static void
on_again(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    run_state(arg);
}

/* Redis is away, or its reply was lost: the same step again. Every step is
 * idempotent. */
static void
try_again(struct submit *submit)
{
    static const struct timeval pause = {0, SUBMIT_AGAIN_MS * 1000};
    if (clock_mono_ms() >= submit->deadline_ms) {
        reply_unavailable(submit);
        return;
    }
    if (submit->again == NULL)
        submit->again =
            evtimer_new(submit->owner->service->base, on_again, submit);
    evtimer_add(submit->again, &pause);
}

static void
enter(struct submit *submit, enum submit_state state)
{
    submit->state = state;
    run_state(submit);
}

/* --- a job that is there already --- */

static void
reply_deleted(struct submit *submit)
{
    submit_reply_error(submit, 410, "deleted",
        "The job of this Idempotency-Key was deleted.", 0);
}

static void
on_row(void *arg, enum store_status status, const struct job_result *row,
    struct slice bytes)
{
    struct submit *submit = arg;
    struct job_view view;
    (void)bytes;
    if (submit->state == SUBMIT_ENDED) {
        submit_callback_done(submit);
        return;
    }
    if (status == STORE_OK && !store_row_is_deleted(row)) {
        job_view_from_result(row, &view);
        submit_reply_job(submit, &view);
    } else if (status == STORE_OK) {
        reply_deleted(submit);
    } else if (status == STORE_ABSENT && !submit->missed) {
        submit->missed = true;
        try_again(submit);
    } else if (status == STORE_ABSENT) {
        /* A row is there before its job leaves Redis: it was swept. */
        submit_reply_error(submit, 410, "deleted",
            "The job of this Idempotency-Key has ended and is not kept any "
            "more.",
            0);
    } else {
        submit_reply_error(
            submit, 503, "store", "The result store does not answer.", 2);
    }
    submit_callback_done(submit);
}

static void
show_from_store(struct submit *submit)
{
    struct service *service = submit->owner->service;
    if (service->store == NULL) {
        try_again(submit);
        return;
    }
    submit->callbacks++;
    store_get(service->store, submit->existing, -1, STORE_ROW, on_row, submit);
}

/* The row of a deleted job stays as it was until a worker has erased it. */
static void
on_deletion_asked(void *arg, enum queue_status status)
{
    struct submit *submit = arg;
    if (submit->state == SUBMIT_ENDED)
        ;
    else if (status == QUEUE_OK)
        reply_deleted(submit);
    else if (status == QUEUE_ABSENT)
        show_from_store(submit);
    else
        try_again(submit);
    submit_callback_done(submit);
}

static void
ask_deletion(struct submit *submit)
{
    if (queue_is_deleted(
            queue_of(submit), submit->existing, on_deletion_asked, submit) == 0)
        submit->callbacks++;
    else
        try_again(submit);
}

static void
show_in_flight(struct submit *submit, const struct job_view *found)
{
    struct job_view view = *found;
    view.simulated = submit_is_simulated(submit->owner->service);
    submit_reply_job(submit, &view);
}

static void
on_job(void *arg, enum queue_status status, const struct job_view *view)
{
    struct submit *submit = arg;
    if (submit->state == SUBMIT_ENDED)
        ;
    else if (status == QUEUE_OK)
        show_in_flight(submit, view);
    else if (status == QUEUE_ABSENT)
        ask_deletion(submit);
    else
        try_again(submit);
    submit_callback_done(submit);
}

static void
show_existing(struct submit *submit)
{
    if (queue_get(queue_of(submit), submit->existing, on_job, submit) == 0)
        submit->callbacks++;
    else
        try_again(submit);
}

static void
reply_conflict(struct submit *submit, const char *existing)
{
    struct buffer message = {0};
    buffer_printf(&message,
        "Idempotency-Key: it was used for %s with another body.", existing);
    submit_reply_error(submit, 422, "idempotency_conflict", message.data, 0);
    buffer_clear(&message);
}

/* The key points at this job. */
static void
found_existing(struct submit *submit, struct slice id, struct slice sha256)
{
    text_copy(submit->existing, sizeof(submit->existing), id);
    if (!slice_equal_text(sha256, submit->meta.sha256)) {
        reply_conflict(submit, submit->existing);
        return;
    }
    submit->replayed = strcmp(submit->existing, submit->id) != 0;
    enter(submit, SUBMIT_SHOWING);
}

/* --- the Idempotency-Key --- */

static void
on_key_row(void *arg, enum store_status status, const struct job_result *row,
    struct slice bytes)
{
    struct submit *submit = arg;
    (void)bytes;
    crash_point("submit.key_looked");
    if (submit->state == SUBMIT_ENDED)
        ;
    else if (status == STORE_OK)
        found_existing(submit, slice_of(row->id), slice_of(row->meta.sha256));
    else if (status == STORE_ABSENT)
        enter(submit, SUBMIT_ENQUEUING);
    else
        submit_reply_error(submit, 503, "store",
            "The result store does not answer, so that the "
            "Idempotency-Key cannot be looked up.",
            2);
    submit_callback_done(submit);
}

static void
look_in_store(struct submit *submit)
{
    struct service *service = submit->owner->service;
    if (service->store == NULL) {
        enter(submit, SUBMIT_ENQUEUING);
        return;
    }
    submit->callbacks++;
    store_get_idempotent(service->store, submit->meta.tenant,
        submit->meta.idempotency_key, on_key_row, submit);
}

static void
on_key(
    void *arg, enum queue_status status, struct slice id, struct slice sha256)
{
    struct submit *submit = arg;
    if (submit->state == SUBMIT_ENDED)
        ;
    else if (status == QUEUE_OK)
        found_existing(submit, id, sha256);
    else if (status == QUEUE_ABSENT)
        look_in_store(submit);
    else
        try_again(submit);
    submit_callback_done(submit);
}

static void
look_in_redis(struct submit *submit)
{
    if (queue_idempotency_get(queue_of(submit), submit->meta.tenant,
            submit->meta.idempotency_key, on_key, submit) == 0)
        submit->callbacks++;
    else
        try_again(submit);
}

/* --- enqueue --- */

/* Redis said for certain that it does not have the job. */
static void
reply_refused(struct submit *submit, enum queue_status status)
{
    switch (status) {
    case QUEUE_FULL_JOBS:
        submit_reply_full(submit, ADMISSION_FULL_JOBS);
        return;
    case QUEUE_FULL_BYTES:
        submit_reply_full(submit, ADMISSION_FULL_BYTES);
        return;
    case QUEUE_NO_MARKER:
        service_marker_refresh(submit->owner->service);
        submit_reply_error(submit, 503, "not_ready",
            "The queue cannot take jobs at this moment.", 2);
        return;
    case QUEUE_ABSENT: /* a part is missing */
    case QUEUE_UNKNOWN: /* of a part */
        submit_reply_error(submit, 503, "redis",
            "The request could not be stored completely; no job was "
            "made. Send it again.",
            2);
        return;
    case QUEUE_OK:
    case QUEUE_DUPLICATE:
    case QUEUE_CONFLICT:
    case QUEUE_NOT_OWNER:
    case QUEUE_BROKEN: break;
    }
    log_error("enqueue_failed", LOG_TEXT("job", submit->id),
        LOG_TEXT("status", queue_status_name(status)));
    submit_reply_error(
        submit, 500, "internal", "The job could not be stored.", 0);
}

static void
answer_enqueued(struct submit *submit, const struct queue_enqueued *result)
{
    bool own = strcmp(result->id, submit->id) == 0;
    switch (result->status) {
    case QUEUE_OK: submit_reply_new(submit, result); return;
    case QUEUE_DUPLICATE:
        text_copy(
            submit->existing, sizeof(submit->existing), slice_of(result->id));
        submit->replayed = !own;
        submit->maybe_there = submit->maybe_there || own;
        enter(submit, SUBMIT_SHOWING);
        return;
    case QUEUE_CONFLICT: reply_conflict(submit, result->id); return;
    case QUEUE_UNKNOWN:
        submit->maybe_there = true;
        try_again(submit);
        return;
    case QUEUE_ABSENT:
    case QUEUE_FULL_JOBS:
    case QUEUE_FULL_BYTES:
    case QUEUE_NOT_OWNER:
    case QUEUE_NO_MARKER:
    case QUEUE_BROKEN: break;
    }
    reply_refused(submit, result->status);
}

static void
on_enqueued(void *arg, const struct queue_enqueued *result)
{
    struct submit *submit = arg;
    submit->sent = false;
    if (submit->state != SUBMIT_ENDED)
        answer_enqueued(submit, result);
    submit_callback_done(submit);
}

static void
enqueue(struct submit *submit)
{
    const struct submitter *owner = submit->owner;
    struct queue_limits limits = {.max_jobs = owner->limits.max_jobs,
        .max_bytes = owner->limits.max_bytes};
    struct queue *queue = submit_pick_queue(owner);
    upload_pace_ride(submit->owner, queue);
    if (queue_enqueue(queue, submit->id, &submit->meta,
            buffer_slice(&submit->body), submit->expires_in_ms, &limits,
            on_enqueued, submit) == 0) {
        submit->sent = true;
        submit->callbacks++;
#if LONGHAUL_BUG == 4 /* 202 before Redis has answered */
        submit_reply_new(submit, &(struct queue_enqueued){.version = 1});
#endif
    } else {
        try_again(submit);
    }
}

void
submit_start_queue(struct submit *submit)
{
    if (submit->stage_status != QUEUE_OK) {
        reply_refused(submit, submit->stage_status);
        return;
    }
    submit->deadline_ms = clock_mono_ms() + SUBMIT_DEADLINE_MS;
    enter(submit,
        submit->meta.idempotency_key != NULL ? SUBMIT_LOOKING
                                             : SUBMIT_ENQUEUING);
}
