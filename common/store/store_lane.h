#ifndef LH_STORE_STORE_LANE_H
#define LH_STORE_STORE_LANE_H

/*
 * store_lane: a thread and the queue of work before it. The loop puts work
 * in; the thread takes a group out, has it done, and hands each item to
 * `done` (which runs on the thread). Ends when it is told to and the queue
 * is empty.
 */

#include <pthread.h>

#include "common/store/store_ops.h"

struct store_lane_work {
    void *arg;
    /* Does the group; never more than max_group items. */
    void (*run)(void *arg, struct store_work **group, size_t count);
    /* Nothing came for a second, for the first time since the last group;
     * may be NULL. */
    void (*idle)(void *arg);
    void (*done)(void *done_arg, struct store_work *const *group, size_t count);
    void *done_arg;
    size_t max_group; /* <= STORE_GROUP_ROWS */
    /* How long to wait for more before a group, if the last one had more than
     * one item; microseconds, 0: not at all. */
    unsigned linger_us;
    int nice; /* of the thread beside the process's others; 0: the same */
};

struct store_lane;

struct store_lane *store_lane_start(const struct store_lane_work *how);
void store_lane_put(struct store_lane *lane, struct store_work *work);
size_t store_lane_length(struct store_lane *lane);
/* Waits until everything is done, ends the thread, frees the lane. */
void store_lane_stop(struct store_lane *lane);

#endif
