#ifndef LH_WORKER_ROUTE_H
#define LH_WORKER_ROUTE_H

/*
 * route: which pool and which model the next jobs of a queue go to. Decides
 * nothing else and asks nobody; `now_ms` is monotonic.
 *
 * Of the pools that serve the model and are not held, the one with the most
 * room left, by weight. A pool or bucket that was shut and may open again is
 * tried by one job before that. Only when every pool that could serve the
 * model is known to be broken or overloaded (not: limited, not: paused) does a
 * fallback model get its turn, in the order the job gave; in a chain that ends
 * with '+' also when all are limited.
 */

#include "worker/holds.h"
#include "worker/pool.h"

struct route_question {
    const struct holds *holds;
    struct governor *governor;
    struct pool *const *pools;
    size_t pool_count;
    const char *queue_name; /* "LANE:BUCKET" or "LANE:BUCKET>FALLBACK..." */
    int64_t now_ms;
    unsigned want; /* jobs at most */
    /* Whether this worker may probe the scope now. */
    bool (*may_probe)(
        void *arg, const struct pool *pool, const char *hold_scope);
    void *arg;
};

enum route_answer {
    ROUTE_GO, /* claim `count` jobs */
    ROUTE_PROBE, /* claim one, if queue_probe grants the scope */
    ROUTE_WAIT, /* only quota is missing: ask again soon */
    ROUTE_STOP /* until a hold changes */
};

struct route {
    enum route_answer answer;
    unsigned count;
    struct worker_bucket *bucket; /* whose quota the calls use */
    unsigned fallback; /* 0: the job's own model, n: its n-th fallback */
    const char *probe_scope; /* PROBE: what is probed; lives with the pool */
};

void route_choose(const struct route_question *question, struct route *route);

#endif
