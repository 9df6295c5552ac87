#ifndef LH_STATUS_API_LOOKUP_H
#define LH_STATUS_API_LOOKUP_H

/*
 * lookup: where a job is: in Redis while it is in flight, in the result
 * store once it has ended. Redis is asked first: a job is committed before
 * it leaves Redis, so one that is not there any more is in the store. One that
 * was ever claimed may be in both; then its end in the store is the truth.
 * "There is no such job" is only said when both have answered.
 */

#include "common/job/job.h"
#include "common/store/store.h"

struct status;

enum lookup_outcome {
    LOOKUP_FOUND,
    LOOKUP_ABSENT,
    LOOKUP_DELETED,
    /* Redis or the store did not answer, and the other does not settle it:
     * without Redis a `failed` row may have been replayed. */
    LOOKUP_UNAVAILABLE
};

struct lookup_result {
    enum lookup_outcome outcome;
    const struct job_view *view; /* FOUND */
    const char *tenant; /* FOUND, and DELETED if known, else NULL */
    struct slice bytes; /* the wanted part, of a terminal job */
};

/* on_done runs exactly once, never before the call returned; what it is
 * given lives for the call. `part` is what to read with a terminal row. */
void lookup_start(struct status *status, const char *id, enum store_part part,
    void (*on_done)(void *arg, const struct lookup_result *result), void *arg);

#endif
