#include "status-api/batch_look.h"

#include <string.h>

#include "common/base/clock.h"
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

static uint64_t
at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* What was replayed and runs again has a failed row, which counts no more.
 * An item can be seen here and there for a moment: the rows decide, so that
 * the sum is always what was accepted. */
static void
fill_counts(struct batch_view *view, const struct queue_bulk_view *live,
    const struct bulk_tally *tally)
{
    uint64_t left = view->accepted;
    const uint64_t again = live == NULL ? 0 : live->again;
    const uint64_t ended[] = {tally->succeeded,
        tally->failed - at_most(again, tally->failed), tally->canceled,
        tally->expired};
    for (unsigned i = 0; i < 4; i++) {
        view->counts[JOB_SUCCEEDED + i] = at_most(ended[i], left);
        left -= view->counts[JOB_SUCCEEDED + i];
    }
    if (live != NULL) {
        view->counts[JOB_RUNNING] = at_most(live->running, left);
        left -= view->counts[JOB_RUNNING];
        view->counts[JOB_RETRYING] = at_most(live->retrying, left);
        left -= view->counts[JOB_RETRYING];
    }
    view->counts[JOB_QUEUED] = left;
}

void
batch_view_fill(const struct bulk *batch, const struct queue_bulk_view *live,
    const struct bulk_tally *tally, int64_t now_ms, struct batch_view *view)
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
    view->accepted = batch->total;
    view->rejected = batch->rejected;
    view->seconds_left = -1;
    if (batch->face == BULK_CLAUDE && batch->state == BATCH_ENDED &&
        now_ms >= batch->created_ms + BATCH_ARCHIVE_MS)
        view->archived_ms = batch->created_ms + BATCH_ARCHIVE_MS;
    fill_counts(view, live, tally);
    view->usage = tally->usage;
    view->cost_usd_nanos = tally->cost_usd_nanos == 0 && tally->unpriced > 0
        ? -1
        : tally->cost_usd_nanos;
}

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
    batch_view_fill(batch, live, tally, clock_wall_ms(), &found.view);
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
