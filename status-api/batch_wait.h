#ifndef LH_STATUS_API_BATCH_WAIT_H
#define LH_STATUS_API_BATCH_WAIT_H

/*
 * batch_wait: requests that wait for a batch to change or to end. Those who
 * wait for the same batch share one look every half second; a batch changes
 * with every item, so nothing finer would be of use.
 */

#include "status-api/batch_look.h"

struct batch_waits;
struct batch_wait;

struct batch_waits *batch_waits_new(struct status *status) MUST_CHECK;
/* Nobody may wait any more. */
void batch_waits_free(struct batch_waits *waits);
/* Everybody is answered now, also those who come later. */
void batch_waits_drain(struct batch_waits *waits);

struct batch_wait_spec {
    const char *uuid;
    int64_t for_ms;
    /* Whether this is what was waited for; an ended batch always is, and
     * whatever is not FOUND. */
    bool (*enough)(void *arg, const struct batch_found *found);
    /* Runs exactly once, from the loop and never before batch_wait_add()
     * returned, unless it is cancelled. */
    void (*on_wake)(void *arg, const struct batch_found *found);
    void *arg;
};
/* The first look begins after this call. */
struct batch_wait *batch_wait_add(
    struct batch_waits *waits, const struct batch_wait_spec *spec) MUST_CHECK;
void batch_wait_cancel(struct batch_wait *wait);

#endif
