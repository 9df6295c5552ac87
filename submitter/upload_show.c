#include "common/base/clock.h"
#include "common/queue/batch_fill.h"
#include "submitter/upload.h"

static void
show(struct upload *upload, const struct bulk *batch,
    const struct bulk_tally *tally, const struct queue_bulk_view *live)
{
    struct batch_view view;
    batch_fill_view(batch, live, tally, clock_wall_ms(), &view);
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
