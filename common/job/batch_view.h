#ifndef LH_JOB_BATCH_VIEW_H
#define LH_JOB_BATCH_VIEW_H

/*
 * batch_view: a batch as the API shows it. One object with one UUID and two
 * faces: batch_<uuid> with live numbers, and msgbatch_<uuid> as Claude's
 * Message Batches API has it. Pure.
 */

#include "common/job/batch.h"

/* Of errors in the object itself; the rest is under /errors. */
#define BATCH_ERRORS_SHOWN 100

#define BATCH_COUNTS (JOB_EXPIRED + 1)

struct batch_view {
    char uuid[BATCH_UUID_SIZE];
    char tenant[JOB_TENANT_MAX + 1];
    char run[BATCH_RUN_MAX + 1]; /* the client's label, "": none */
    enum batch_state state;
    int64_t created_ms;
    int64_t expires_ms;
    int64_t ended_ms; /* 0: not yet; likewise below */
    int64_t cancel_ms;
    int64_t archived_ms; /* when its results were dropped */
    uint64_t accepted;
    uint64_t rejected; /* lines that are no job */
    uint64_t counts[BATCH_COUNTS]; /* by enum job_state; sum: accepted */
    struct job_usage usage; /* of what has ended */
    int64_t cost_usd_nanos; /* of what has ended; -1: none has a price */
    int64_t seconds_left; /* an estimate; -1: no credible one */
};

/* How many have ended. */
uint64_t batch_view_done(const struct batch_view *view);
/* Changes with everything that is shown but the estimate: for an ETag. */
uint64_t batch_view_version(const struct batch_view *view);

/*
 * The native object. `errors` is the inside of a JSON array of
 * {"line","custom_id","message"} (BATCH_ERRORS_SHOWN at most); with data NULL
 * the member is left out. `origin` is the public one without a slash at the
 * end.
 */
void batch_view_encode(const struct batch_view *view, const char *origin,
    struct slice errors, struct buffer *out);
/*
 * Claude's object: until the end everything counts as processing, and there
 * is no results_url. With `progress` the member "longhaul" has the numbers.
 */
void batch_view_encode_message(const struct batch_view *view,
    const char *origin, bool progress, struct buffer *out);

#endif
