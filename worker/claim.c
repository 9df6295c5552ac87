#include "worker/claim.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "worker/flight.h"
#include "worker/governor.h"
#include "worker/holds.h"
#include "worker/route.h"
#include "worker/upkeep.h"

#define QUEUES_STEP 64
#define CLAIM_MAX 32
/* While there is plenty, so that Redis finds jobs as calls are started. */
#define CLAIMS_AT_ONCE 8
#define CLOSING_QUEUE "closing"
/* When a rate limit, not a lack of slots, stopped the claiming: how often to
 * see whether a queue may ask again. */
#define QUOTA_PAUSE_MS 50
/* Every so many rounds a lower lane goes first, so that each one moves. */
#define ROUND_STANDARD 8
#define ROUND_BULK 16
/* The right to probe, until the claim tells whether there is a job. */
#define PROBE_CLAIM_MS 5000
/* Another worker had it: how soon it is asked for again. */
#define PROBE_AGAIN_MS 500

/* One queue of Redis and what this worker believes of it. */
struct work_queue {
    char name[JOB_QUEUE_MAX + 1];
    bool may_have_work; /* it was not found empty since the last notice */
    /* Nor without a suspect, by a claim that may bring one. */
    bool may_have_suspect;
    unsigned asking; /* claims on their way */
    bool woken; /* and a notice came meanwhile, maybe before the answer */
    bool plenty; /* the last claim got all it asked for */
    struct claimer *claimer;
};

struct claimer {
    struct worker *worker;
    struct event *timer;
    bool stopped;
    unsigned asks; /* claims on their way */
    unsigned asked; /* jobs asked for in them */
    bool suspect_asked; /* one of them may bring a suspect */
    unsigned round; /* for the order of lanes */
    size_t queue_count;
    struct work_queue **queues; /* of as many as Redis has named */
    struct work_queue *closing;
};

/* A claim on its way. */
struct ask {
    struct work_queue *queue;
    unsigned count;
    bool suspect_ok;
    int64_t asked_ms;
    char consumer[WORKER_CONSUMER_SIZE];
    struct route route; /* bucket NULL: no call is to be made */
    struct queue_quota quota;
};

/* --- queues ---------------------------------------------------------- */

static struct work_queue *
queue_record(struct claimer *claimer, struct slice name)
{
    struct work_queue *queue = memory_zalloc(1, sizeof(*queue));

    queue->claimer = claimer;
    queue->may_have_work = true;
    queue->may_have_suspect = true;
    text_copy(queue->name, sizeof(queue->name), name);
    return queue;
}

/* Kept in the order of lanes: the names begin with the lane. */
static unsigned
lane_rank(const char *name)
{
    struct slice rest = slice_of(name);
    enum job_lane lane;

    if (job_lane_parse(slice_split(&rest, ':'), &lane) != 0)
        return JOB_LANES;
    return (unsigned)lane;
}

void
claim_know_queue(struct worker *worker, struct slice name)
{
    struct claimer *claimer = worker->claimer;
    struct work_queue *queue;
    size_t at;

    if (slice_equal_text(name, CLOSING_QUEUE))
        return;
    for (size_t i = 0; i < claimer->queue_count; i++) {
        if (slice_equal_text(name, claimer->queues[i]->name))
            return;
    }
    /* A queue that were left out would keep its jobs for ever. */
    if (claimer->queue_count % QUEUES_STEP == 0)
        claimer->queues = memory_resize(claimer->queues,
            (claimer->queue_count + QUEUES_STEP) * sizeof(claimer->queues[0]));
    queue = queue_record(claimer, name);
    at = claimer->queue_count++;
    while (at > 0 &&
        lane_rank(claimer->queues[at - 1]->name) > lane_rank(queue->name)) {
        claimer->queues[at] = claimer->queues[at - 1];
        at--;
    }
    claimer->queues[at] = queue;
}

/* Notices have a socket of their own: one can arrive before the answer of
 * the claim that found nothing and caused it. */
static void
wake(struct work_queue *queue)
{
    queue->may_have_work = true;
    queue->woken = true;
}

void
claim_wake(struct worker *worker)
{
    struct claimer *claimer = worker->claimer;

    wake(claimer->closing);
    for (size_t i = 0; i < claimer->queue_count; i++)
        wake(claimer->queues[i]);
    claim_soon(worker, 0);
}

void
claim_wake_all(struct worker *worker)
{
    struct claimer *claimer = worker->claimer;

    for (size_t i = 0; i < claimer->queue_count; i++)
        claimer->queues[i]->may_have_suspect = true;
    claim_wake(worker);
}

void
claim_soon(struct worker *worker, int64_t delay_ms)
{
    struct claimer *claimer = worker->claimer;
    struct timeval wait = {0, delay_ms * 1000};

    if (claimer->stopped)
        return;
    if (delay_ms > 0 && evtimer_pending(claimer->timer, NULL))
        return;
    evtimer_add(claimer->timer, &wait);
}

/* --- claims on their way --------------------------------------------- */

static struct ask *
ask_new(struct work_queue *queue, unsigned count)
{
    struct claimer *claimer = queue->claimer;
    struct worker *worker = claimer->worker;
    struct ask *ask = memory_zalloc(1, sizeof(*ask));

    ask->queue = queue;
    ask->count = count;
    memcpy(ask->consumer, worker->consumer, sizeof(ask->consumer));
    queue->asking++;
    queue->woken = false;
    claimer->asks++;
    claimer->asked += count;
    service_hold(worker->service);
    return ask;
}

static void
ask_done(struct ask *ask)
{
    struct claimer *claimer = ask->queue->claimer;

    ask->queue->asking--;
    claimer->asks--;
    claimer->asked -= ask->count;
    if (ask->route.bucket != NULL)
        ask->route.bucket->asked -= ask->count;
    if (ask->route.probe_scope != NULL)
        ask->route.bucket->pool->probe_asks--;
    if (ask->suspect_ok)
        claimer->suspect_asked = false;
    memory_free(ask);
    worker_leave_when_idle(claimer->worker);
    service_release(claimer->worker->service);
}

static void
take_claims(struct ask *ask, struct queue_claim *claims, size_t count)
{
    const struct flight_origin origin = {
        .asked_ms = ask->asked_ms,
        .probe = ask->route.probe_scope != NULL,
        .fallback = ask->route.fallback,
        .bucket = ask->route.bucket,
        .queue_name = ask->queue->name,
        .probe_scope = ask->route.probe_scope,
    };

    for (size_t i = 0; i < count; i++)
        flight_start(ask->queue->claimer->worker, &claims[i], &origin);
}

/* What an answer that no lack of quota cut short tells of its queue. */
static void
learn(const struct ask *ask, const struct queue_claim *claims, size_t count)
{
    struct work_queue *queue = ask->queue;
    bool suspect = count > 0 && claims[0].suspect; /* it comes first */

    queue->may_have_work = count > 0 || queue->woken;
    queue->plenty = count == ask->count;
    if (ask->suspect_ok)
        queue->may_have_suspect = suspect || queue->woken;
}

/* There was nothing to probe with here; other workers may have something.
 * When this cannot be sent, the right ends after PROBE_CLAIM_MS. */
static void
leave_probe(const struct ask *ask)
{
    if (ask->route.probe_scope != NULL)
        (void)!queue_probe(ask->queue->claimer->worker->service->queue,
            ask->route.probe_scope, ask->consumer, 1, NULL, NULL);
}

static void
on_claims(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    struct ask *ask = arg;
    struct worker *worker = ask->queue->claimer->worker;
    bool known = status == QUEUE_OK || status == QUEUE_BROKEN;

    /* A name that was given up while this was on its way owns nothing; the
     * jobs come back with its takeover. */
    if (known && strcmp(ask->consumer, worker->consumer) == 0)
        take_claims(ask, claims, count);
    if (known && ask->quota.wait_ms > 0) {
        governor_lacking(worker->governor, ask->route.bucket->scope,
            ask->queue->name, clock_mono_ms(), ask->quota.wait_ms);
        ask->queue->plenty = false;
        claim_soon(worker, QUOTA_PAUSE_MS);
    } else if (known) {
        learn(ask, claims, count);
    }
    if (known && count == 0)
        leave_probe(ask);
    if (status == QUEUE_NO_MARKER)
        service_marker_refresh(worker->service);
    ask_done(ask);
    if (known)
        claim_soon(worker, 0);
}

/* One suspect at a time, also among claims on their way: only then is it to
 * blame for the death of its worker. A queue that had to leave its turn to
 * another is asked again. */
static bool
may_take_suspect(const struct work_queue *queue)
{
    const struct claimer *claimer = queue->claimer;

    return queue->may_have_suspect && claimer->worker->suspects_held == 0 &&
        !claimer->suspect_asked && queue != claimer->closing;
}

static void
ask_claim(struct ask *ask)
{
    struct claimer *claimer = ask->queue->claimer;
    struct worker *worker = claimer->worker;

    ask->suspect_ok = may_take_suspect(ask->queue);
    claimer->suspect_asked |= ask->suspect_ok;
    ask->asked_ms = clock_mono_ms();
    if (queue_claim(worker->service->queue, worker->consumer, ask->queue->name,
            ask->count, ask->suspect_ok,
            ask->route.bucket != NULL ? &ask->quota : NULL, on_claims,
            ask) != 0)
        ask_done(ask);
}

static void
on_probe(void *arg, enum queue_status status)
{
    struct ask *ask = arg;

    struct worker *worker = ask->queue->claimer->worker;

    if (status == QUEUE_OK && !ask->queue->claimer->stopped) {
        ask_claim(ask);
        return;
    }
    /* Another worker probes; meanwhile other pools can be asked. */
    ask->route.bucket->pool->probe_ms = clock_mono_ms() + PROBE_AGAIN_MS;
    ask_done(ask);
    claim_soon(worker, 0);
}

/* --- what may be asked for ------------------------------------------- */

static unsigned
free_slots(const struct claimer *claimer)
{
    const struct worker *worker = claimer->worker;
    uint64_t most = worker->service->config->worker_concurrency;
    uint64_t busy = (uint64_t)claimer->asked + worker->counts[FLIGHT_CLAIMED] +
        worker->counts[FLIGHT_CALLING];
    uint64_t saving = worker->counts[FLIGHT_SAVING];

    if (worker->want_room > 0)
        return 0; /* large requests in hand wait for memory */
    /* Answers that wait for a slow disk count once they are many. */
    busy += saving > most ? saving - most : 0;
    return busy >= most ? 0 : (unsigned)(most - busy);
}

/* One probe of a pool at a time: the lock in Redis keeps other workers out,
 * and this keeps us from asking twice. */
static bool
may_probe(void *arg, const struct pool *pool, const char *hold_scope)
{
    static const enum flight_state states[] = {FLIGHT_CLAIMED, FLIGHT_CALLING};
    const struct claimer *claimer = arg;
    const struct flight *flight;

    if (pool->probe_asks > 0 || clock_mono_ms() < pool->probe_ms)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        TAILQ_FOREACH(flight, &claimer->worker->flights[states[i]], link)
        {
            if (flight_is_probe(flight) && flight->probe_scope == hold_scope)
                return false;
        }
    }
    return true;
}

static void
ask_probe(struct ask *ask)
{
    struct worker *worker = ask->queue->claimer->worker;

    ask->route.bucket->pool->probe_asks++;
    if (queue_probe(worker->service->queue, ask->route.probe_scope,
            worker->consumer, PROBE_CLAIM_MS, on_probe, ask) != 0)
        ask_done(ask);
}

static void
route(struct work_queue *queue, unsigned slots, struct route *route)
{
    struct worker *worker = queue->claimer->worker;
    const struct route_question question = {
        .holds = worker->holds,
        .governor = worker->governor,
        .pools = worker->pools,
        .pool_count = worker->pool_count,
        .queue_name = queue->name,
        .now_ms = clock_mono_ms(),
        .want = slots < CLAIM_MAX ? slots : CLAIM_MAX,
        .may_probe = may_probe,
        .arg = queue->claimer,
    };

    route_choose(&question, route);
}

/* Asks one queue for what may start. False: only quota was missing. */
static bool
claim_from(struct work_queue *queue, unsigned slots)
{
    struct route chosen;
    struct worker_bucket *bucket;
    struct ask *ask;

    route(queue, slots, &chosen);
    if (chosen.answer == ROUTE_STOP || chosen.answer == ROUTE_WAIT)
        return chosen.answer == ROUTE_STOP;
    bucket = chosen.bucket;
    ask = ask_new(queue, chosen.count);
    ask->route = chosen;
    bucket->asked += chosen.count;
    governor_quota(queue->claimer->worker->governor, bucket->scope, queue->name,
        &ask->quota);
    /* Jobs that always fail would come back again and again before any that
     * was never tried. */
    if (chosen.answer == ROUTE_PROBE)
        ask->quota.new_first = bucket->probes++ % 2 == 1;
    if (chosen.answer == ROUTE_PROBE)
        ask_probe(ask);
    else
        ask_claim(ask);
    return true;
}

/* The lane that goes first in this round. */
static unsigned
first_lane(struct claimer *claimer)
{
    claimer->round++;
    if (claimer->round % ROUND_BULK == 0)
        return JOB_LANE_BULK;
    if (claimer->round % ROUND_STANDARD == 0)
        return JOB_LANE_STANDARD;
    return JOB_LANE_INTERACTIVE;
}

static bool
may_ask(const struct work_queue *queue)
{
    if (queue->asking > 0)
        return queue->may_have_work && queue->plenty &&
            queue->asking < CLAIMS_AT_ONCE;
    return queue->may_have_work || may_take_suspect(queue);
}

/* As many claims of one queue as may be on their way. */
static bool
claim_all(struct work_queue *queue)
{
    bool quota = true;
    unsigned before;

    do {
        unsigned slots = free_slots(queue->claimer);

        before = queue->asking;
        if (slots == 0 || !may_ask(queue))
            break;
        quota = claim_from(queue, slots);
    } while (queue->asking > before);
    return quota;
}

static bool
claim_lane(struct claimer *claimer, unsigned lane)
{
    bool quota = true;

    for (size_t i = 0; i < claimer->queue_count; i++) {
        struct work_queue *queue = claimer->queues[i];

        if (lane_rank(queue->name) == lane)
            quota &= claim_all(queue);
    }
    return quota;
}

static void
claim_closing(struct claimer *claimer)
{
    if (claimer->closing->asking == 0 && claimer->closing->may_have_work)
        ask_claim(ask_new(claimer->closing, CLAIM_MAX));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct claimer *claimer = arg;
    struct worker *worker = claimer->worker;
    unsigned lane;
    bool quota = true;

    (void)fd;
    (void)what;
    /* Not ready also means: this may be another installation's Redis. The
     * next tick asks again. */
    if (worker->store_trouble || !upkeep_has_beaten(worker->upkeep) ||
        service_not_ready(worker->service) != NULL)
        return;
    claim_closing(claimer);
    lane = first_lane(claimer);
    for (unsigned i = 0; i < JOB_LANES; i++)
        quota &= claim_lane(claimer, (lane + i) % JOB_LANES);
    if (!quota)
        claim_soon(worker, QUOTA_PAUSE_MS);
}

/* --- beginning and end ----------------------------------------------- */

struct claimer *
claimer_new(struct worker *worker)
{
    struct claimer *claimer = memory_zalloc(1, sizeof(*claimer));

    claimer->worker = worker;
    claimer->closing = queue_record(claimer, slice_of(CLOSING_QUEUE));
    claimer->timer = evtimer_new(worker->service->base, on_timer, claimer);
    assert(claimer->timer != NULL);
    return claimer;
}

void
claimer_stop(struct claimer *claimer)
{
    claimer->stopped = true;
    evtimer_del(claimer->timer);
}

bool
claimer_is_asking(const struct claimer *claimer)
{
    return claimer->asks > 0;
}

void
claimer_free(struct claimer *claimer)
{
    if (claimer == NULL)
        return;
    assert(claimer->asks == 0);
    event_free(claimer->timer);
    for (size_t i = 0; i < claimer->queue_count; i++)
        memory_free(claimer->queues[i]);
    memory_free(claimer->queues);
    memory_free(claimer->closing);
    memory_free(claimer);
}
