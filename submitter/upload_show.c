#include <string.h>

#include "common/base/clock.h"
#include "submitter/upload.h"

/* Results of batches on Claude's face are kept so long after creation. */
#define ARCHIVE_MS (INT64_C(29) * 86400 * 1000)

/* What the batch says of itself, and its rows so far. */
static void
fill_view(const struct bulk *batch, const struct bulk_tally *tally,
    struct batch_view *view)
{
    memset(view, 0, sizeof(*view));
    memcpy(view->uuid, batch->uuid, sizeof(view->uuid));
    memcpy(view->tenant, batch->tenant, sizeof(view->tenant));
    memcpy(view->run, batch->run, sizeof(view->run));
    view->state = batch->state;
    view->created_ms = batch->created_ms;
    view->expires_ms = batch->expires_ms;
    view->ended_ms = batch->ended_ms;
    view->cancel_ms = batch->cancel_ms;
    if (batch->face == BULK_CLAUDE && batch->state == BATCH_ENDED &&
        clock_wall_ms() - batch->created_ms >= ARCHIVE_MS)
        view->archived_ms = batch->created_ms + ARCHIVE_MS;
    view->accepted = batch->total;
    view->rejected = batch->rejected;
    view->usage = tally->usage;
    view->cost_usd_nanos = tally->cost_usd_nanos == 0 && tally->unpriced > 0
        ? -1
        : tally->cost_usd_nanos;
    view->seconds_left = -1;
}

static uint64_t
take(uint64_t *left, uint64_t wanted)
{
    uint64_t taken = wanted < *left ? wanted : *left;
    *left -= taken;
    return taken;
}

/* What has no row is in flight (live: NULL when nothing is), and Redis says
 * where. A replayed item that runs again has a failed row, which counts no
 * more. The sum is always what was accepted. */
static void
fill_counts(const struct bulk_tally *tally, const struct queue_bulk_view *live,
    struct batch_view *view)
{
    uint64_t left = view->accepted;
    uint64_t failed = tally->failed;
    uint64_t *counts = view->counts;
    if (live != NULL)
        (void)take(&failed, live->again);
    counts[JOB_SUCCEEDED] = take(&left, tally->succeeded);
    counts[JOB_FAILED] = take(&left, failed);
    counts[JOB_CANCELED] = take(&left, tally->canceled);
    counts[JOB_EXPIRED] = take(&left, tally->expired);
    if (live != NULL) {
        counts[JOB_RUNNING] = take(&left, live->running);
        counts[JOB_RETRYING] = take(&left, live->retrying);
    }
    counts[JOB_QUEUED] = left;
}

static void
show(struct upload *upload, const struct bulk *batch,
    const struct bulk_tally *tally, const struct queue_bulk_view *live)
{
    struct batch_view view;
    fill_view(batch, tally, &view);
    fill_counts(tally, live, &view);
    upload_reply_existing(upload, &view);
}

/* --- from the store --- */

static void
on_ended(void *arg, enum store_status status, const struct bulk *batch)
{
    struct upload *upload = arg;
    if (upload->state != UPLOAD_SHOWING) {
        ;
    } else if (status == STORE_OK && !batch->deleted) {
        show(upload, batch, &batch->tally, NULL);
    } else if (status == STORE_OK) {
        upload_reply_deleted(upload);
    } else {
        /* On its way from one to the other, or the store is away. */
        upload_try_again(upload);
    }
    upload_release(upload);
}

static void
show_from_store(struct upload *upload)
{
    struct service *service = upload->owner->service;
    if (service->store == NULL) {
        upload_try_again(upload);
        return;
    }
    upload_hold(upload);
    store_batch_get(service->store, upload->existing, on_ended, upload);
}

/* --- from Redis, with its rows from the store --- */

struct showing {
    struct upload *upload;
    struct bulk batch;
    struct queue_bulk_view live;
};

static void
on_tally(void *arg, enum store_status status, const struct bulk_tally *tally)
{
    struct showing *showing = arg;
    struct upload *upload = showing->upload;
    if (upload->state != UPLOAD_SHOWING) {
        ;
    } else if (status == STORE_OK) {
        show(upload, &showing->batch, tally, &showing->live);
    } else {
        upload_try_again(upload);
    }
    bulk_clear(&showing->batch);
    memory_free(showing);
    upload_release(upload);
}

static void
show_live(struct upload *upload, const struct queue_bulk_view *live)
{
    struct service *service = upload->owner->service;
    struct showing *showing;
    if (live->batch->state == BATCH_ENDED || service->store == NULL) {
        show(upload, live->batch, &live->batch->tally,
            live->batch->state == BATCH_ENDED ? NULL : live);
        return;
    }
    showing = memory_zalloc(1, sizeof(*showing));
    showing->upload = upload;
    showing->live = *live;
    showing->live.batch = NULL;
    bulk_copy(&showing->batch, live->batch);
    upload_hold(upload);
    store_batch_tally(service->store, showing->batch.uuid, on_tally, showing);
}

static void
on_batch(
    void *arg, enum queue_status status, const struct queue_bulk_view *live)
{
    struct upload *upload = arg;
    if (upload->state != UPLOAD_SHOWING)
        ;
    else if (status == QUEUE_OK)
        show_live(upload, live);
    else if (status == QUEUE_ABSENT)
        show_from_store(upload);
    else if (status == QUEUE_CONFLICT)
        upload_reply_deleted(upload);
    else
        upload_try_again(upload);
    upload_release(upload);
}

void
upload_show(struct upload *upload)
{
    if (strcmp(upload->existing_sha256, upload->batch.sha256) != 0) {
        upload_reply_conflict(upload);
        return;
    }
    if (queue_bulk_get(
            upload_queue(upload), upload->existing, on_batch, upload) == 0)
        upload_hold(upload);
    else
        upload_try_again(upload);
}
