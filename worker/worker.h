#ifndef LH_WORKER_WORKER_H
#define LH_WORKER_WORKER_H

/*
 * worker: takes jobs that may start, calls Claude for each, and sees to it
 * that every answer is saved before its job is acknowledged. One event loop.
 *
 * claim.c decides what to claim; flight.c is the life of one job; upkeep.c
 * is what any worker does for all: heartbeat, takeover of dead workers' jobs,
 * due work, store chores, retention.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/job/job.h"
#include "common/service/config.h"
#include "worker/pool.h"
#include "worker/retry.h"

struct claimer;
struct flight;
struct http_client;
struct service;

/*
 * Where a job in hand is. The state is the list it is on.
 *
 *   CLAIMED -> CALLING -> SAVING -> ACKING -> gone
 *      |          |         +-> BURYING ----> gone   a dead letter
 *      |          +-> DELAYING -------------> gone   waits in Redis
 *      +----------+-> RELEASING ------------> gone   handed back
 *
 * From any state it may be dropped: it belongs to somebody else now.
 */
enum flight_state {
    FLIGHT_CLAIMED, /* reading its request, checking that it is ours */
    FLIGHT_CALLING,
    FLIGHT_SAVING, /* its row is with the store */
    FLIGHT_ACKING, /* saved: being finished in Redis */
    FLIGHT_BURYING,
    FLIGHT_DELAYING,
    FLIGHT_RELEASING,
    FLIGHT_STATES
};

TAILQ_HEAD(flight_list, flight);

#define WORKER_CONSUMER_SIZE 64
#define WORKER_POOLS_MAX CONFIG_POOLS_MAX

struct worker {
    struct service *service;
    struct http_client *client;
    struct governor *governor;
    struct pace *pace;
    struct holds *holds;
    struct lease_table *leases;
    struct retry_policy retry;
    char consumer[WORKER_CONSUMER_SIZE];
    bool draining;
    bool ended; /* the loop is over: nothing begins any more */
    unsigned suspects_held; /* one at most */
    bool store_trouble; /* a commit failed: nothing is claimed */
    unsigned live_workers;
    struct flight_list flights[FLIGHT_STATES];
    unsigned counts[FLIGHT_STATES];
    unsigned flight_count;
    uint64_t request_bytes; /* of requests that are read or sent */
    unsigned want_room; /* flights that wait to read theirs: none is claimed */
    size_t pool_count;
    struct pool *pools[WORKER_POOLS_MAX];
    struct event *hand_back_timer;
    struct event *orphan_timer; /* draining, after the parent's death */
    struct claimer *claimer;
    struct upkeep *upkeep;
};

/* NULL when it cannot start; said on stderr then. */
struct worker *worker_new(struct service *service) MUST_CHECK;
/* After service_run() returned. */
void worker_free(struct worker *worker);

/* --- for claim.c, flight.c and upkeep.c ------------------------------- */

/* The job in hand, or NULL. */
struct flight *worker_find(struct worker *worker, struct slice id);
/* Another name, after other workers took this one for dead. */
void worker_rename(struct worker *worker);
/* A flight came or went: draining waits for the last. */
void worker_flight_added(struct worker *worker);
void worker_flight_gone(struct worker *worker);
/* Draining, and nothing in hand or on its way any more: says farewell. */
void worker_leave_when_idle(struct worker *worker);

#endif
