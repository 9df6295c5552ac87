#ifndef LH_TESTS_QUEUE_HELPERS_H
#define LH_TESTS_QUEUE_HELPERS_H

/* The queue's calls made to look synchronous, and an auditor of what is in
 * Redis after each scenario. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_fixture.h"

/* What the last callback brought. Claims lose meta and body. */
struct got {
    bool done;
    enum queue_status status;
    struct queue_enqueued enqueued;
    size_t count; /* claims, jobs, dead letters, chores, ... */
    struct queue_claim claims[256];
    char body[64]; /* of the first claim, or bytes of a part */
    uint64_t version;
    unsigned moved;
    bool left;
    struct job_view view;
    char ids[32][ID_SIZE]; /* of lists */
    struct queue_dead dead[8];
    struct queue_dead_group groups[8];
    struct queue_chore chores[8];
    struct queue_hold holds[8];
    struct queue_stats stats;
    struct queue_numbers numbers; /* of the first queue */
    uint64_t beats; /* of the consumer asked about */
    bool gone;
    bool more;
    char text[256];
};
extern struct got got;

/* queue_status callbacks: for ask(f, queue_...(..., on_status, NULL)). */
void on_status(void *arg, enum queue_status status);
/* Before a call that is given by hand: got_reset(), call, got_wait(). */
void got_reset(void);
enum queue_status got_wait(struct fixture *f);
#define ASK(f, call) (got_reset(), assert_int_equal((call), 0), got_wait(f))

extern const struct queue_limits no_limits;
/* A small job of the queue "standard:x" for an hour. */
void make_meta(struct job_meta *meta);
#define QUEUE_X "standard:x"

enum queue_status do_enqueue(struct fixture *f, const char *id,
    const struct job_meta *meta, const struct queue_limits *limits);
/* A new job in QUEUE_X; must succeed. */
void do_submit(struct fixture *f, char id[ID_SIZE]);
/* Returns how many came. */
size_t do_claim(struct fixture *f, const char *consumer, const char *queue,
    unsigned count, bool suspect_ok);
/* Claims one of QUEUE_X (or closing) and returns its owner triple; `id` must
 * outlive it. Fails unless exactly one comes, of this id. */
struct queue_owner do_own(
    struct fixture *f, const char *consumer, const char *queue, const char *id);
enum queue_status do_finish(
    struct fixture *f, const struct queue_owner *owner, enum job_state state);
enum queue_status do_bury(struct fixture *f, const struct queue_owner *owner,
    unsigned generation, const char *message);
enum queue_status do_retry(struct fixture *f, const struct queue_owner *owner,
    int64_t delay_ms, unsigned attempts);
enum queue_status do_release(
    struct fixture *f, const struct queue_owner *owner);
enum queue_status do_beat(
    struct fixture *f, const char *consumer, const char *about);
enum queue_status do_reap(
    struct fixture *f, const char *consumer, uint64_t beats);
enum queue_status do_tick(struct fixture *f);
enum queue_status do_cancel(struct fixture *f, const char *id);
enum queue_status do_get(struct fixture *f, const char *id);
enum queue_status do_replay(
    struct fixture *f, const char *id, unsigned generation);
enum queue_status do_dead_list(struct fixture *f);
enum queue_status do_groups(struct fixture *f);
enum queue_status do_chores(struct fixture *f);
enum queue_status do_stats(struct fixture *f);

/* Beats once and lets the reaper see the counter: the consumer is dead now,
 * and `reap` is called until nothing is left. */
void die_and_reap(struct fixture *f, const char *consumer);

/* The day (of Redis's clock) that tombstones are kept under, and what one
 * says. */
long long tomb_day(void);
const char *tombstone(struct fixture *f, const char *id);

/* Every job is in exactly one place, owned as its hash says; sums and
 * indexes agree. Fails with the first complaint. */
void audit(struct fixture *f);
/* audit, and no trace of a job is left but tombstones and dead letters. */
void audit_empty(struct fixture *f);

#endif
