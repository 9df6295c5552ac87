#include "status-api/lookup.h"

#include <string.h>

#include "common/queue/queue.h"
#include "status-api/status.h"

struct lookup {
    struct status *status;
    char id[ID_SIZE];
    enum store_part part;
    bool redis_answered; /* and the job is not in flight */
    bool deletion_asked;
    struct job_view view; /* what Redis said, while the store is asked */
    struct job_meta meta; /* of the view */
    void (*on_done)(void *arg, const struct lookup_result *result);
    void *arg;
};

static void
finish(struct lookup *lookup, const struct lookup_result *result)
{
    lookup->on_done(lookup->arg, result);
    job_meta_clear(&lookup->meta);
    memory_free(lookup);
}

static enum lookup_outcome
judge_row(const struct lookup *lookup, const struct job_result *row)
{
    if (lookup->deletion_asked || store_row_is_deleted(row))
        return LOOKUP_DELETED;
    if (row->state == JOB_FAILED && !lookup->redis_answered)
        return LOOKUP_UNAVAILABLE;
    return LOOKUP_FOUND;
}

static void
on_row(void *arg, enum store_status status, const struct job_result *row,
    struct slice bytes)
{
    struct lookup *lookup = arg;
    struct job_view view;
    struct lookup_result result = {.outcome = LOOKUP_UNAVAILABLE};
    if (status == STORE_OK) {
        result.outcome = judge_row(lookup, row);
        result.tenant = row->meta.tenant[0] != '\0' ? row->meta.tenant : NULL;
        job_view_from_result(row, &view);
        result.view = &view;
        result.bytes = bytes;
    } else if (status == STORE_ABSENT && lookup->deletion_asked) {
        result.outcome = LOOKUP_DELETED;
    } else if (status == STORE_ABSENT && lookup->redis_answered) {
        result.outcome = LOOKUP_ABSENT;
    }
    finish(lookup, &result);
}

/* Redis has the job, and the store may have its end: between the commit and
 * the acknowledgement, which can be long when Redis was away. Whoever read the
 * row meanwhile must not see the job run again. */
static void
on_row_of_claimed(void *arg, enum store_status status,
    const struct job_result *row, struct slice bytes)
{
    struct lookup *lookup = arg;
    if (status == STORE_OK && row->generation == lookup->view.generation) {
        lookup->redis_answered = true; /* it was not replayed */
        on_row(arg, status, row, bytes);
        return;
    }
    struct lookup_result result = {.outcome = LOOKUP_FOUND,
        .view = &lookup->view,
        .tenant = lookup->meta.tenant};
    finish(lookup, &result);
}

static void
ask_store_too(struct lookup *lookup, const struct job_view *view)
{
    lookup->view = *view;
    job_meta_copy(&lookup->meta, view->meta);
    lookup->view.meta = &lookup->meta;
    store_get(lookup->status->service->store, lookup->id, (int)view->generation,
        lookup->part, on_row_of_claimed, lookup);
}

static void
ask_store(struct lookup *lookup)
{
    store_get(lookup->status->service->store, lookup->id, -1, lookup->part,
        on_row, lookup);
}

static void
on_deleted(void *arg, enum queue_status status)
{
    struct lookup *lookup = arg;
    lookup->deletion_asked = status == QUEUE_OK;
    if (status != QUEUE_OK && status != QUEUE_ABSENT)
        lookup->redis_answered = false;
    ask_store(lookup);
}

static void
on_job(void *arg, enum queue_status status, const struct job_view *view)
{
    struct lookup *lookup = arg;
    struct queue *queue = lookup->status->service->queue;
    /* One that is simply in line has no end yet. What was canceled in line or
     * whose deadline passed there has a place but no start. */
    if (status == QUEUE_OK && (view->started_ms > 0 || view->ahead < 0)) {
        ask_store_too(lookup, view);
        return;
    }
    if (status == QUEUE_OK) {
        struct lookup_result result = {.outcome = LOOKUP_FOUND,
            .view = view,
            .tenant = view->meta->tenant};
        finish(lookup, &result);
        return;
    }
    if (status == QUEUE_NO_MARKER)
        service_marker_refresh(lookup->status->service);
    lookup->redis_answered = status == QUEUE_ABSENT;
    if (status == QUEUE_ABSENT &&
        queue_is_deleted(queue, lookup->id, on_deleted, lookup) == 0)
        return;
    if (status == QUEUE_ABSENT)
        lookup->redis_answered = false;
    ask_store(lookup);
}

void
lookup_start(struct status *status, const char *id, enum store_part part,
    void (*on_done)(void *arg, const struct lookup_result *result), void *arg)
{
    struct lookup *lookup = memory_zalloc(1, sizeof(*lookup));
    lookup->status = status;
    text_copy(lookup->id, sizeof(lookup->id), slice_of(id));
    lookup->part = part;
    lookup->on_done = on_done;
    lookup->arg = arg;
    if (!status_redis_usable(status) ||
        queue_get(status->service->queue, lookup->id, on_job, lookup) != 0)
        ask_store(lookup);
}
