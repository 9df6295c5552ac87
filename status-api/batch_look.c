#include "status-api/batch_look.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/queue/batch_fill.h"
#include "status-api/batch_pace.h"
#include "status-api/status.h"

struct look {
    struct status *status;
    char uuid[BATCH_UUID_SIZE];
    bool redis_answered;
    struct bulk batch; /* while its rows are counted; owns its texts */
    struct queue_bulk_view live;
    void (*on_done)(void *arg, const struct batch_found *found);
    void *arg;
};

/* --- the answer ---------------------------------------------------------- */

static void
finish(struct look *look, const struct batch_found *found)
{
    look->on_done(look->arg, found);
    bulk_clear(&look->batch);
    memory_free(look);
}

static void
finish_without(struct look *look, enum lookup_outcome outcome)
{
    struct batch_found found = {.outcome = outcome};
    memcpy(found.view.uuid, look->uuid, sizeof(found.view.uuid));
    finish(look, &found);
}

static void
finish_found(struct look *look, const struct bulk *batch,
    const struct queue_bulk_view *live, const struct bulk_tally *tally)
{
    struct batch_found found = {.outcome = LOOKUP_FOUND, .face = batch->face};
    batch_fill_view(batch, live, tally, clock_wall_ms(), &found.view);
    found.last_row = tally->last_row;
    batch_pace_estimate(look->status->pace, &found.view);
    finish(look, &found);
}

/* --- the store ----------------------------------------------------------- */

static void
on_tally(void *arg, enum store_status status, const struct bulk_tally *tally)
{
    struct look *look = arg;
    if (status == STORE_OK)
        finish_found(look, &look->batch, &look->live, tally);
    else
        finish_without(look, LOOKUP_UNAVAILABLE);
}

static void
on_ended(void *arg, enum store_status status, const struct bulk *batch)
{
    struct look *look = arg;
    struct batch_found found = {.outcome = LOOKUP_DELETED};
    if (status == STORE_OK && batch->deleted) {
        memcpy(found.view.uuid, batch->uuid, sizeof(found.view.uuid));
        memcpy(found.view.tenant, batch->tenant, sizeof(found.view.tenant));
        finish(look, &found);
    } else if (status == STORE_OK) {
        finish_found(look, batch, NULL, &batch->tally);
    } else if (status == STORE_ABSENT && look->redis_answered) {
        finish_without(look, LOOKUP_ABSENT);
    } else {
        finish_without(look, LOOKUP_UNAVAILABLE);
    }
}

static void
ask_store(struct look *look)
{
    store_batch_get(look->status->service->store, look->uuid, on_ended, look);
}

/* --- Redis --------------------------------------------------------------- */

static void
on_batch(
    void *arg, enum queue_status status, const struct queue_bulk_view *view)
{
    struct look *look = arg;
    if (status == QUEUE_CONFLICT) {
        finish_without(look, LOOKUP_DELETED);
    } else if (status == QUEUE_OK && view->batch->state == BATCH_ENDED) {
        finish_found(look, view->batch, NULL, &view->batch->tally);
    } else if (status == QUEUE_OK) {
        bulk_copy(&look->batch, view->batch);
        look->live = *view;
        store_batch_tally(
            look->status->service->store, look->uuid, on_tally, look);
    } else {
        if (status == QUEUE_NO_MARKER)
            service_marker_refresh(look->status->service);
        look->redis_answered = status == QUEUE_ABSENT;
        ask_store(look);
    }
}

void
batch_look(struct status *status, const char *uuid,
    void (*on_done)(void *arg, const struct batch_found *found), void *arg)
{
    struct look *look = memory_zalloc(1, sizeof(*look));
    look->status = status;
    text_copy(look->uuid, sizeof(look->uuid), slice_of(uuid));
    look->on_done = on_done;
    look->arg = arg;
    if (!status_redis_usable(status) ||
        queue_bulk_get(status->service->queue, uuid, on_batch, look) != 0)
        ask_store(look);
}
