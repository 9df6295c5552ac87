#include "worker/upkeep.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claim.h"
#include "worker/flight.h"
#include "worker/gauges.h"
#include "worker/holds.h"
#include "worker/keeper.h"
#include "worker/lease.h"
#include "worker/upstream.h"

#define TICK_MS 500
/* Notices are a courtesy; nothing depends on one that was lost. */
#define LOOK_EVERY_TICKS 4
#define POOLS_EVERY_TICKS 40 /* 20 s */
#define CHORES_EVERY_TICKS 2
#define CHORES_AT_ONCE 100
#define SWEEP_EVERY_TICKS 120
#define SWEEP_ROWS 500

struct upkeep {
    struct worker *worker;
    struct keeper *keeper;
    struct event *beat_timer;
    struct event *tick_timer;
    bool beaten;
    bool beating;
    bool beat_again; /* a notice came while one was on its way */
    bool ticking;
    bool tick_again;
    bool chores_asked;
    bool sweeping;
    bool more_dead; /* letters past their time, beyond the last look */
    bool left; /* or stopped */
    unsigned ticks;
};

/* A dead worker being emptied, page by page. */
struct reap {
    struct upkeep *upkeep;
    uint64_t beats;
    char consumer[LEASE_NAME_MAX + 1];
};

/* --- takeover -------------------------------------------------------- */

static void reap_page(struct reap *reap);

static void
on_reaped(void *arg, enum queue_status status, unsigned moved, bool left)
{
    struct reap *reap = arg;
    struct worker *worker = reap->upkeep->worker;

    if (status == QUEUE_OK && moved > 0) {
        log_warn("worker_taken_over", LOG_TEXT("consumer", reap->consumer),
            LOG_INT("jobs", moved));
        gauges_reaped(worker, moved);
        claim_wake_all(worker);
    }
    if (status == QUEUE_OK && left)
        reap_page(reap);
    else
        memory_free(reap);
}

static void
reap_page(struct reap *reap)
{
    if (queue_reap(reap->upkeep->worker->service->queue, reap->consumer,
            reap->beats, on_reaped, reap) != 0)
        memory_free(reap);
}

static void
reap_start(struct upkeep *upkeep, const struct queue_beat *beat)
{
    struct reap *reap = memory_zalloc(1, sizeof(*reap));

    reap->upkeep = upkeep;
    reap->beats = beat->beats;
    text_copy(reap->consumer, sizeof(reap->consumer), beat->consumer);
    reap_page(reap);
}

/* --- heartbeat ------------------------------------------------------- */

static void beat(struct upkeep *upkeep);

static void
judge(struct upkeep *upkeep, const struct queue_beats *beats)
{
    struct worker *worker = upkeep->worker;
    unsigned live = 0;

    lease_sample_begin(worker->leases, clock_mono_ms());
    for (size_t i = 0; i < beats->count; i++) {
        const struct queue_beat *beat = &beats->beat[i];

        if (slice_equal_text(beat->consumer, worker->consumer)) {
            live++;
            continue;
        }
        if (lease_sample_worker(
                worker->leases, beat->consumer, beat->beats, beat->gone))
            reap_start(upkeep, beat);
        else
            live++;
    }
    lease_sample_end(worker->leases);
    worker->live_workers = live > 0 ? live : 1;
}

static void
cancel_asked(struct worker *worker, const struct queue_beats *beats)
{
    for (size_t i = 0; i < beats->abort_count; i++) {
        struct flight *flight = worker_find(worker, beats->aborts[i]);

        if (flight != NULL)
            flight_cancel(flight);
    }
}

static void
on_beats(void *arg, enum queue_status status, const struct queue_beats *beats)
{
    struct upkeep *upkeep = arg;

    upkeep->beating = false;
    if (status == QUEUE_NOT_OWNER) {
        /* We stood still so long that others took our work. Calls that are
         * in flight go on: the first answer of a generation wins. */
        worker_rename(upkeep->worker);
        return;
    }
    if (status != QUEUE_OK)
        return;
    if (!upkeep->beaten) {
        upkeep->beaten = true;
        claim_wake_all(upkeep->worker);
    }
    judge(upkeep, beats);
    cancel_asked(upkeep->worker, beats);
    if (upkeep->beat_again)
        beat(upkeep);
}

static void
beat(struct upkeep *upkeep)
{
    struct worker *worker = upkeep->worker;

    if (upkeep->beating || upkeep->left)
        return;
    upkeep->beat_again = false;
    if (queue_beat(
            worker->service->queue, worker->consumer, on_beats, upkeep) == 0)
        upkeep->beating = true;
}

static void
keep_probes(struct worker *worker)
{
    const struct flight *flight;

    TAILQ_FOREACH(flight, &worker->flights[FLIGHT_CALLING], link)
    {
        if (flight_is_probe(flight))
            flight_keep_probe(flight);
    }
}

static void
on_beat_timer(evutil_socket_t fd, short what, void *arg)
{
    struct upkeep *upkeep = arg;

    (void)fd;
    (void)what;
    beat(upkeep);
    keep_probes(upkeep->worker);
}

void
upkeep_beat_anew(struct upkeep *upkeep)
{
    upkeep->beaten = false;
    beat(upkeep);
}

bool
upkeep_has_beaten(const struct upkeep *upkeep)
{
    return upkeep->beaten;
}

/* --- tick ------------------------------------------------------------ */

static void tick(struct upkeep *upkeep);

static void
on_tick(void *arg, enum queue_status status, const struct queue_tick *told)
{
    struct upkeep *upkeep = arg;
    struct worker *worker = upkeep->worker;

    upkeep->ticking = false;
    if (status != QUEUE_OK)
        return;
    for (size_t i = 0; i < told->queue_count; i++)
        claim_know_queue(worker, told->queues[i]);
    holds_replace(
        worker->holds, told->holds, told->hold_count, clock_mono_ms());
    if (told->promoted > 0)
        claim_wake_all(worker);
    else
        claim_soon(worker, 0);
    if (told->more || upkeep->tick_again)
        tick(upkeep);
}

static void
tick(struct upkeep *upkeep)
{
    if (upkeep->ticking || upkeep->left)
        return;
    upkeep->tick_again = false;
    if (queue_tick(upkeep->worker->service->queue, on_tick, upkeep) == 0)
        upkeep->ticking = true;
}

/* --- store chores ---------------------------------------------------- */

struct chore_run {
    struct upkeep *upkeep;
    struct queue_chore chore;
};

static void
on_chore_stored(void *arg, enum store_status status)
{
    struct chore_run *run = arg;
    struct queue *queue = run->upkeep->worker->service->queue;

    crash_point("chore.stored");

    /* What is not ticked off comes again with the next look. */
    if (status == STORE_OK || status == STORE_ABSENT) {
        if (queue_chore_done(queue, &run->chore, NULL, NULL) != 0)
            log_debug("chore_not_ticked_off", LOG_TEXT("job", run->chore.id));
    }
    memory_free(run);
}

static void
run_chore(struct upkeep *upkeep, const struct queue_chore *chore)
{
    struct store *store = upkeep->worker->service->store;
    struct chore_run *run = memory_zalloc(1, sizeof(*run));

    run->upkeep = upkeep;
    run->chore = *chore;
    switch (chore->kind) {
    case QUEUE_CHORE_DELETE:
        store_delete(store, chore->id, on_chore_stored, run);
        return;
    case QUEUE_CHORE_DISCARD:
        store_discard(
            store, chore->id, chore->generation, on_chore_stored, run);
        return;
    case QUEUE_CHORE_FORGET_REQUEST:
        store_forget_request(
            store, chore->id, chore->generation, on_chore_stored, run);
        return;
    }
}

static void
on_chores(void *arg, enum queue_status status, const struct queue_chore *chores,
    size_t count)
{
    struct upkeep *upkeep = arg;

    upkeep->chores_asked = false;
    for (size_t i = 0; status == QUEUE_OK && !upkeep->left && i < count; i++)
        run_chore(upkeep, &chores[i]);
}

static void
look_for_chores(struct upkeep *upkeep)
{
    if (upkeep->chores_asked || upkeep->left)
        return;
    if (queue_chores_get(upkeep->worker->service->queue, CHORES_AT_ONCE,
            on_chores, upkeep) == 0)
        upkeep->chores_asked = true;
}

/* --- retention ------------------------------------------------------- */

static void sweep(struct upkeep *upkeep);

static void
on_swept(void *arg, enum store_status status, unsigned count, bool more)
{
    struct upkeep *upkeep = arg;

    upkeep->sweeping = false;
    if (status == STORE_OK && count > 0)
        log_info("rows_past_retention", LOG_INT("count", count));
    if (status == STORE_OK && (more || upkeep->more_dead))
        sweep(upkeep);
}

static void
sweep_rows(struct upkeep *upkeep, int64_t dead_before_ms)
{
    const struct config *config = upkeep->worker->service->config;

    store_sweep(upkeep->worker->service->store,
        clock_wall_ms() - config->retention_ms, dead_before_ms, SWEEP_ROWS,
        on_swept, upkeep);
}

/*
 * The letters go first, as if somebody discarded them: a letter without its
 * row could neither be shown nor replayed. Rows that are still marked as
 * dead when no letter is past its time belong to no letter.
 */
static void
on_old_dead(void *arg, enum queue_status status, const struct queue_dead *dead,
    size_t count)
{
    struct upkeep *upkeep = arg;
    struct queue *queue = upkeep->worker->service->queue;
    int64_t before_ms = clock_wall_ms() -
        upkeep->worker->service->config->dead_letter_retention_ms;
    unsigned discarded = 0;

    if (upkeep->left) {
        upkeep->sweeping = false;
        return;
    }
    for (size_t i = 0; status == QUEUE_OK && i < count; i++) {
        if (dead[i].dead_ms >= before_ms)
            continue;
        if (queue_discard(queue, dead[i].id, dead[i].generation, NULL, NULL) ==
            0)
            discarded++;
    }
    upkeep->more_dead = discarded == SWEEP_ROWS;
    if (discarded > 0)
        log_info("dead_letters_past_retention", LOG_INT("count", discarded));
    sweep_rows(upkeep, status == QUEUE_OK && discarded == 0 ? before_ms : 0);
}

static void
sweep(struct upkeep *upkeep)
{
    const struct service *service = upkeep->worker->service;

    if (upkeep->sweeping || upkeep->left)
        return;
    upkeep->sweeping = true;
    if (service->config->dead_letter_retention_ms <= 0)
        sweep_rows(upkeep, 0);
    else if (queue_dead_list(service->queue, NULL, NULL, SWEEP_ROWS,
                 on_old_dead, upkeep) != 0)
        upkeep->sweeping = false;
}

/* --- timers ---------------------------------------------------------- */

/* Another key: whatever paused the pool may be over. What an operator
 * stopped stays stopped. */
static void
look_at_key(struct worker *worker, struct pool *pool)
{
    if (!upstream_refresh(pool->upstream))
        return;
    pool->key_ms = clock_wall_ms();
    if (!holds_is_paused(worker->holds, pool->hold_scope))
        return;
    holds_clear(worker->holds, pool->hold_scope);
    if (queue_hold_clear(
            worker->service->queue, pool->hold_scope, NULL, NULL) != 0)
        log_warn("hold_not_shared", LOG_TEXT("scope", pool->hold_scope));
    claim_wake_all(worker);
}

/* For those who ask what pools there are. */
static void
tell_pools(const struct worker *worker)
{
    for (size_t i = 0; i < worker->pool_count; i++) {
        struct queue_pool about;

        pool_describe(worker->pools[i], &about);
        if (queue_pool_tell(worker->service->queue, &about, NULL, NULL) != 0)
            return; /* Redis is away: the next time */
    }
}

static void
on_tick_timer(evutil_socket_t fd, short what, void *arg)
{
    struct upkeep *upkeep = arg;

    (void)fd;
    (void)what;
    upkeep->ticks++;
    for (size_t i = 0; i < upkeep->worker->pool_count; i++)
        look_at_key(upkeep->worker, upkeep->worker->pools[i]);
    tick(upkeep);
    keeper_tick(upkeep->keeper);
    if (upkeep->ticks % LOOK_EVERY_TICKS == 0)
        claim_wake_all(upkeep->worker);
    if (upkeep->beaten && upkeep->ticks % POOLS_EVERY_TICKS == 2)
        tell_pools(upkeep->worker);
    if (upkeep->ticks % CHORES_EVERY_TICKS == 0)
        look_for_chores(upkeep);
    if (upkeep->ticks % SWEEP_EVERY_TICKS == 1)
        sweep(upkeep);
}

static void
on_notice(void *arg, enum queue_notice notice)
{
    struct upkeep *upkeep = arg;

    if (notice == QUEUE_NOTICE_HOLD || notice == QUEUE_NOTICE_GAP) {
        upkeep->tick_again = upkeep->ticking;
        tick(upkeep);
    }
    if (notice == QUEUE_NOTICE_BATCH)
        keeper_wake(upkeep->keeper);
    if (notice == QUEUE_NOTICE_ABORT || notice == QUEUE_NOTICE_GAP) {
        upkeep->beat_again = upkeep->beating;
        beat(upkeep);
    }
    if (notice == QUEUE_NOTICE_WAKE)
        claim_wake(upkeep->worker);
    if (notice == QUEUE_NOTICE_GAP)
        claim_wake_all(upkeep->worker);
}

static struct event *
every(struct upkeep *upkeep, int64_t ms,
    void (*on_timer)(evutil_socket_t fd, short what, void *arg))
{
    struct timeval wait = {ms / 1000, (ms % 1000) * 1000};
    struct event *event = event_new(
        upkeep->worker->service->base, -1, EV_PERSIST, on_timer, upkeep);

    assert(event != NULL);
    event_add(event, &wait);
    return event;
}

struct upkeep *
upkeep_new(struct worker *worker)
{
    struct upkeep *upkeep = memory_zalloc(1, sizeof(*upkeep));

    upkeep->worker = worker;
    upkeep->keeper = keeper_new(worker);
    upkeep->beat_timer = every(upkeep, LEASE_BEAT_MS, on_beat_timer);
    upkeep->tick_timer = every(upkeep, TICK_MS, on_tick_timer);
    queue_listen(worker->service->queue, on_notice, upkeep);
    return upkeep;
}

void
upkeep_stop(struct upkeep *upkeep)
{
    upkeep->left = true;
    keeper_stop(upkeep->keeper);
    event_del(upkeep->beat_timer);
    event_del(upkeep->tick_timer);
}

static void
on_left(void *arg, enum queue_status status)
{
    (void)status;
    service_release(arg);
}

void
upkeep_leave(struct upkeep *upkeep)
{
    struct service *service = upkeep->worker->service;

    if (upkeep->left)
        return;
    upkeep_stop(upkeep);
    if (queue_leave(
            service->queue, upkeep->worker->consumer, on_left, service) == 0)
        service_hold(service);
    else
        log_write(LOG_LEVEL_WARN, "leave_not_told", NULL);
}

void
upkeep_free(struct upkeep *upkeep)
{
    if (upkeep == NULL)
        return;
    event_free(upkeep->beat_timer);
    event_free(upkeep->tick_timer);
    keeper_free(upkeep->keeper);
    memory_free(upkeep);
}
