#ifndef LH_QUEUE_BATCH_FILL_H
#define LH_QUEUE_BATCH_FILL_H

/*
 * batch_fill: what the API shows of a batch, put together from what Redis says
 * of its items in flight and from the tally of its rows. Pure.
 */

#include "common/job/batch_view.h"
#include "common/queue/queue_bulk.h"

/* Results of batches of the Claude face are kept for so long after their
 * creation. */
#define BATCH_ARCHIVE_MS (INT64_C(29) * 86400 * 1000)

/* The view without its estimate of the time left. `live` is NULL when nothing
 * of the batch is in Redis: it has ended. */
void batch_fill_view(const struct bulk *batch,
    const struct queue_bulk_view *live, const struct bulk_tally *tally,
    int64_t now_ms, struct batch_view *view);

#endif
