#ifndef LH_WORKER_KEEPER_H
#define LH_WORKER_KEEPER_H

/*
 * keeper: what happens to batches besides their items' own lives. Every
 * worker moves items to their queues (queue_bulk_advance); one at a time, by
 * a lock, also looks after the batches themselves:
 *
 *   all items have a row in the store   queue_bulk_end, with that tally
 *   it has ended                        its row is committed, its keys leave
 *   its deletion was asked for          its rows are erased
 *   its time is over                    the same, and its name goes too
 *
 * Each step can be cut and done again by another worker; the one that
 * decides is queue_bulk_end.
 */

struct worker;
struct keeper;

struct keeper *keeper_new(struct worker *worker);
/* Twice a second. */
void keeper_tick(struct keeper *keeper);
/* A batch was revealed or canceled. */
void keeper_wake(struct keeper *keeper);
/* Starts nothing any more. */
void keeper_stop(struct keeper *keeper);
/* After the store was closed. */
void keeper_free(struct keeper *keeper);

#endif
