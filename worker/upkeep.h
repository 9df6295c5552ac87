#ifndef LH_WORKER_UPKEEP_H
#define LH_WORKER_UPKEEP_H

/*
 * upkeep: what any worker does for the whole installation, each step
 * idempotent: the heartbeat (2 s) and the takeover of dead workers' jobs,
 * the tick (500 ms) that moves due work, the store chores that the status
 * API asked for, and retention.
 */

#include <stdbool.h>

struct worker;
struct upkeep;

struct upkeep *upkeep_new(struct worker *worker);
void upkeep_free(struct upkeep *upkeep);
/* Whether the first heartbeat was heard: before it nothing is claimed. */
bool upkeep_has_beaten(const struct upkeep *upkeep);
/* The worker took another name: it beats under that from now on. */
void upkeep_beat_anew(struct upkeep *upkeep);
/* No heartbeat, no tick, no chore begins from now on. */
void upkeep_stop(struct upkeep *upkeep);
/* The last act of an orderly end: the heartbeat is marked gone. */
void upkeep_leave(struct upkeep *upkeep);

#endif
