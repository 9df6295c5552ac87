#ifndef LH_WORKER_HOLDS_H
#define LH_WORKER_HOLDS_H

/*
 * holds: what this worker knows of the holds that all workers share (see
 * queue_hold_set) and what each scope says: may calls be made, and is the next
 * one a probe? Pure; `now_ms` is monotonic.
 *
 * Scopes: "pool:POOL", "bucket:POOL/BUCKET", "lane:LANE". Kinds: "open", the
 * bucket's breaker; "limited" and "overloaded", until a time that Claude gave;
 * "paused", trouble of the account; "stopped", by hand.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/job/job.h"
#include "common/queue/queue.h"

struct holds;

struct holds *holds_new(void);
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

enum holds_gate {
    HOLDS_OPEN, /* nothing stands in the way */
    HOLDS_PROBE, /* one call, if queue_probe grants the scope */
    HOLDS_SHUT, /* paused, stopped or limited */
    HOLDS_BROKEN /* its upstream is down, which another may get around */
};

/* What one scope says. A hold of kind open or paused whose time is over asks
 * for a probe. */
enum holds_gate holds_gate(
    const struct holds *holds, const char *scope, int64_t now_ms);
bool holds_lane_is_shut(
    const struct holds *holds, struct slice lane, int64_t now_ms);
/* Whether the scope's breaker is open, or half-open: what still comes in of
 * calls that are no probes was sent before. */
bool holds_is_broken(const struct holds *holds, const char *scope);
/* Account trouble: what another key may end. */
bool holds_is_paused(const struct holds *holds, const char *scope);

#endif
