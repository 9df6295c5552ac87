#ifndef LH_STATUS_API_BATCH_LOOK_H
#define LH_STATUS_API_BATCH_LOOK_H

/*
 * batch_look: where a batch is and how far it is. Redis has it until its end,
 * the store from then on; the counts come from the store's rows, and Redis
 * only says which of the others are being worked on. "There is no such
 * batch" is only said when both have answered.
 */

#include "common/job/batch_view.h"
#include "common/queue/queue_bulk.h"
#include "status-api/lookup.h"

struct batch_found {
    enum lookup_outcome outcome;
    /* FOUND: all of it; DELETED: uuid, and tenant if it is known, else "" */
    struct batch_view view;
    enum bulk_face face; /* on which it was made */
    /* Ended: its results are among the rows up to this one. */
    int64_t last_row;
};

/* on_done runs exactly once, never before the call returned; what it is given
 * lives for the call. */
void batch_look(struct status *status, const char *uuid,
    void (*on_done)(void *arg, const struct batch_found *found), void *arg);

#endif
