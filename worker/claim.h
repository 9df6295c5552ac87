#ifndef LH_WORKER_CLAIM_H
#define LH_WORKER_CLAIM_H

/*
 * claim: what this worker takes from which queue, and when. It asks only for
 * what may start: slots are free, no hold stands in the way, the governor
 * grants it. Every claim on its way counts as work in hand, so that draining
 * waits for its answer: what a lost one took would look abandoned.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

struct claimer;
struct worker;

struct claimer *claimer_new(struct worker *worker);
/* No claim may be on its way. NULL is allowed. */
void claimer_free(struct claimer *claimer);
/* Nothing is claimed from now on; what is on its way still arrives. */
void claimer_stop(struct claimer *claimer);
/* A claim is on its way. */
bool claimer_is_asking(const struct claimer *claimer);

/* Claims soon; calls within one turn of the loop are one. */
void claim_soon(struct worker *worker, int64_t delay_ms);
/* There is a queue of this name. */
void claim_know_queue(struct worker *worker, struct slice name);
/* Any queue may have new work; the one suspect that a worker may hold is not
 * looked for in each of them. */
void claim_wake(struct worker *worker);
/* Any queue may have work, suspects too. */
void claim_wake_all(struct worker *worker);

#endif
