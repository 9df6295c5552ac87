#include "common/queue/batch_fill.h"

#include <string.h>

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
batch_fill_view(const struct bulk *batch, const struct queue_bulk_view *live,
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
