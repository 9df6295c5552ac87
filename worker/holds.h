#ifndef LH_WORKER_HOLDS_H
#define LH_WORKER_HOLDS_H

/*
 * holds: what this worker knows of the holds that all workers share (see
 * queue_hold_set) and what follows for a queue: may it be claimed from, with
 * which model, and is the call a probe? Pure; `now_ms` is monotonic.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "common/queue/queue.h"

struct holds;

struct holds *holds_new(const char *pool);
void holds_free(struct holds *holds);

/* Replaces everything by what a tick told. */
void holds_replace(struct holds *holds, const struct queue_hold *list,
    size_t count, int64_t now_ms);
/* One that this worker has just set; a tick confirms it later. for_ms -1:
 * until lifted. */
void holds_set(struct holds *holds, const char *scope, const char *kind,
    int64_t for_ms, int64_t now_ms);
void holds_clear(struct holds *holds, const char *scope);
/* Whether a hold runs on the scope that ends no sooner than this one would
 * (a pause: within a second of it). Setting it would say nothing new, or
 * lose the longer one. */
bool holds_cover(const struct holds *holds, const char *scope, const char *kind,
    int64_t for_ms, int64_t now_ms);

/* Scope names: "bucket:POOL/BUCKET" and "pool:POOL". */
void holds_bucket_scope(
    const struct holds *holds, const char *bucket, char *out, size_t size);
void holds_pool_scope(const struct holds *holds, char *out, size_t size);

/* Whether the bucket's breaker is open, or half-open: what still comes in of
 * calls that are no probes was sent before. */
bool holds_is_broken(const struct holds *holds, const char *bucket);

enum holds_answer {
    HOLDS_GO, /* claim */
    HOLDS_FALLBACK, /* claim, and call the first fallback model */
    HOLDS_PROBE, /* one call, if queue_probe grants the scope */
    HOLDS_STOP
};

struct holds_verdict {
    enum holds_answer answer;
    char bucket[JOB_BUCKET_MAX + 1]; /* whose quota the call uses */
    char scope[JOB_BUCKET_MAX + 80]; /* PROBE: what is probed */
};

/* queue_name: "lane:bucket" or "lane:bucket>fallback". A closed hold of kind
 * open or paused whose time is over asks for a probe. */
void holds_judge(const struct holds *holds, const char *queue_name,
    int64_t now_ms, struct holds_verdict *verdict);

#endif
