#include "worker/worker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/net/http_client.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/models.h"
#include "common/service/service.h"
#include "worker/flight.h"
#include "worker/gauges.h"
#include "worker/governor.h"
#include "worker/holds.h"
#include "worker/lease.h"
#include "worker/upkeep.h"
#include "worker/upstream.h"

#define CLAIM_MAX 32
/* While there is plenty, so that Redis finds jobs as calls are started. */
#define CLAIMS_AT_ONCE 3
#define CLOSING_QUEUE "closing"
/* When a rate limit, not a lack of slots, stopped the claiming. */
#define QUOTA_PAUSE_MS 20
/* Every so many rounds a lower lane goes first, so that each one moves. */
#define ROUND_STANDARD 8
#define ROUND_BULK 16
/* The right to probe, until the claim tells whether there is a job. */
#define PROBE_CLAIM_MS 5000
/* A job that is handed back at the end needs a moment to be written. */
#define HAND_BACK_MARGIN_MS 1500

/* A claim on its way. */
struct ask {
    struct worker_queue *queue;
    unsigned count;
    int64_t asked_ms;
    enum holds_answer how;
    char consumer[WORKER_CONSUMER_SIZE];
    struct holds_verdict verdict;
};

/* --- small things ---------------------------------------------------- */

static void
name_consumer(struct worker *worker)
{
    char host[24] = "host";
    char id[ID_SIZE];

    gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == ':' || *c == '|')
            *c = '-';
    }
    id_make("", id);
    /* The last part of the id is random; that is enough of it. */
    snprintf(worker->consumer, sizeof(worker->consumer), "%s-%ld-%s", host,
        (long)getpid(), id + ID_UUID_LEN - 12);
}

struct flight *
worker_find(struct worker *worker, struct slice id)
{
    for (unsigned state = 0; state < FLIGHT_STATES; state++) {
        struct flight *flight;

        TAILQ_FOREACH(flight, &worker->flights[state], link)
        {
            if (slice_equal_text(id, flight->result.id))
                return flight;
        }
    }
    return NULL;
}

struct worker_bucket *
worker_bucket(struct worker *worker, const char *name)
{
    struct worker_bucket *bucket;

    for (size_t i = 0; i < worker->bucket_count; i++) {
        if (strcmp(worker->buckets[i].name, name) == 0)
            return &worker->buckets[i];
    }
    /* Buckets come from the model table, which is shorter than this. */
    if (worker->bucket_count == WORKER_BUCKETS_MAX)
        return &worker->buckets[WORKER_BUCKETS_MAX - 1];
    bucket = &worker->buckets[worker->bucket_count++];
    text_copy(bucket->name, sizeof(bucket->name), slice_of(name));
    breaker_init(&bucket->breaker);
    return bucket;
}

static struct worker_queue *
queue_record(struct worker *worker, struct slice name)
{
    struct worker_queue *queue = memory_zalloc(1, sizeof(*queue));

    queue->worker = worker;
    queue->may_have_work = true;
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
worker_know_queue(struct worker *worker, struct slice name)
{
    struct worker_queue *queue;
    size_t at;

    if (slice_equal_text(name, CLOSING_QUEUE))
        return;
    for (size_t i = 0; i < worker->queue_count; i++) {
        if (slice_equal_text(name, worker->queues[i]->name))
            return;
    }
    if (worker->queue_count == WORKER_QUEUES_MAX)
        return;
    queue = queue_record(worker, name);
    at = worker->queue_count++;
    while (at > 0 &&
        lane_rank(worker->queues[at - 1]->name) > lane_rank(queue->name)) {
        worker->queues[at] = worker->queues[at - 1];
        at--;
    }
    worker->queues[at] = queue;
}

/* Notices have a socket of their own: one can arrive before the answer of
 * the claim that found nothing and caused it. */
static void
wake(struct worker_queue *queue)
{
    queue->may_have_work = true;
    queue->woken = true;
}

void
worker_wake_all(struct worker *worker)
{
    wake(worker->closing);
    for (size_t i = 0; i < worker->queue_count; i++)
        wake(worker->queues[i]);
    worker_claim_soon(worker, 0);
}

void
worker_claim_soon(struct worker *worker, int64_t delay_ms)
{
    struct timeval wait = {0, delay_ms * 1000};

    if (worker->draining)
        return;
    if (delay_ms > 0 && evtimer_pending(worker->claim_timer, NULL))
        return;
    evtimer_add(worker->claim_timer, &wait);
}

/* --- claiming -------------------------------------------------------- */

static unsigned
free_slots(const struct worker *worker)
{
    uint64_t most = worker->service->config->worker_concurrency;
    uint64_t busy = (uint64_t)worker->asked + worker->counts[FLIGHT_CLAIMED] +
        worker->counts[FLIGHT_CALLING];
    uint64_t saving = worker->counts[FLIGHT_SAVING];

    /* Answers that wait for a slow disk count once they are many. */
    busy += saving > most ? saving - most : 0;
    return busy >= most ? 0 : (unsigned)(most - busy);
}

static void
ask_done(struct ask *ask)
{
    ask->queue->asking--;
    ask->queue->worker->asked -= ask->count;
    if (ask->how == HOLDS_PROBE)
        ask->queue->worker->probe_asks--;
    memory_free(ask);
}

static void
take_claims(struct ask *ask, struct queue_claim *claims, size_t count)
{
    const struct flight_origin origin = {
        .asked_ms = ask->asked_ms,
        .probe = ask->how == HOLDS_PROBE,
        .use_fallback = ask->how == HOLDS_FALLBACK,
        .bucket = ask->verdict.bucket,
        .probe_scope = ask->verdict.scope,
    };

    for (size_t i = 0; i < count; i++)
        flight_start(ask->queue->worker, &claims[i], &origin);
}

static void
on_claims(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    struct ask *ask = arg;
    struct worker *worker = ask->queue->worker;
    bool known = status == QUEUE_OK || status == QUEUE_BROKEN;

    /* A name that was given up while this was on its way owns nothing; the
     * jobs come back with its takeover. */
    if (known && strcmp(ask->consumer, worker->consumer) == 0)
        take_claims(ask, claims, count);
    if (known) {
        ask->queue->may_have_work = count > 0 || ask->queue->woken;
        ask->queue->plenty = count == ask->count;
    }
    if (status == QUEUE_NO_MARKER)
        service_marker_refresh(worker->service);
    ask_done(ask);
    if (known)
        worker_claim_soon(worker, 0);
}

static void
ask_claim(struct ask *ask)
{
    struct worker *worker = ask->queue->worker;

    ask->asked_ms = clock_mono_ms();
    if (queue_claim(worker->service->queue, worker->consumer, ask->queue->name,
            ask->count, !worker->suspect_held, on_claims, ask) != 0)
        ask_done(ask);
}

static void
on_probe(void *arg, enum queue_status status)
{
    struct ask *ask = arg;

    if (status == QUEUE_OK && !ask->queue->worker->draining)
        ask_claim(ask);
    else
        ask_done(ask);
}

static struct ask *
ask_new(struct worker_queue *queue, unsigned count)
{
    struct worker *worker = queue->worker;
    struct ask *ask = memory_zalloc(1, sizeof(*ask));

    ask->queue = queue;
    ask->count = count;
    memcpy(ask->consumer, worker->consumer, sizeof(ask->consumer));
    queue->asking++;
    queue->woken = false;
    worker->asked += count;
    return ask;
}

/* One probe at a time: the lock in Redis keeps other workers out, and this
 * keeps us from asking twice. */
static bool
is_probing(const struct worker *worker, const char *scope)
{
    static const enum flight_state states[] = {FLIGHT_CLAIMED, FLIGHT_CALLING};
    const struct flight *flight;

    if (worker->probe_asks > 0)
        return true;
    for (unsigned i = 0; i < 2; i++) {
        TAILQ_FOREACH(flight, &worker->flights[states[i]], link)
        {
            if (flight->probe && strcmp(flight->probe_scope, scope) == 0)
                return true;
        }
    }
    return false;
}

/* One claim at a time where a grant is of a scarce quota: what is granted is
 * counted when it starts. */
static bool
may_ask(const struct worker_queue *queue)
{
    const struct config *config = queue->worker->service->config;
    bool limited = config->limit_rpm > 0 || config->limit_itpm > 0 ||
        config->limit_otpm > 0;

    if (!queue->may_have_work)
        return false;
    return queue->asking == 0 ||
        (queue->plenty && !limited && queue->asking < CLAIMS_AT_ONCE);
}

/* Asks one queue for what may start. False: only quota was missing. */
static bool
claim_from(struct worker_queue *queue, unsigned slots)
{
    struct worker *worker = queue->worker;
    int64_t now_ms = clock_mono_ms();
    struct holds_verdict verdict;
    struct ask *ask;
    unsigned count;

    holds_judge(worker->holds, queue->name, now_ms, &verdict);
    if (verdict.answer == HOLDS_STOP ||
        (verdict.answer == HOLDS_PROBE && is_probing(worker, verdict.scope)))
        return true;
    count = slots < CLAIM_MAX ? slots : CLAIM_MAX;
    count = governor_grant(worker->governor, verdict.bucket, now_ms, count);
    if (count == 0)
        return false;
    ask = ask_new(queue, verdict.answer == HOLDS_PROBE ? 1 : count);
    ask->how = verdict.answer;
    ask->verdict = verdict;
    if (verdict.answer != HOLDS_PROBE) {
        ask_claim(ask);
        return true;
    }
    worker->probe_asks++;
    if (queue_probe(worker->service->queue, verdict.scope, worker->consumer,
            PROBE_CLAIM_MS, on_probe, ask) != 0)
        ask_done(ask);
    return true;
}

/* The lane that goes first in this round. */
static unsigned
first_lane(struct worker *worker)
{
    worker->round++;
    if (worker->round % ROUND_BULK == 0)
        return JOB_LANE_BULK;
    if (worker->round % ROUND_STANDARD == 0)
        return JOB_LANE_STANDARD;
    return JOB_LANE_INTERACTIVE;
}

/* As many claims of one queue as may be on their way. */
static bool
claim_all(struct worker_queue *queue)
{
    bool quota = true;
    unsigned before;

    do {
        unsigned slots = free_slots(queue->worker);

        before = queue->asking;
        if (slots == 0 || !may_ask(queue))
            break;
        quota = claim_from(queue, slots);
    } while (queue->asking > before);
    return quota;
}

static bool
claim_lane(struct worker *worker, unsigned lane)
{
    bool quota = true;

    for (size_t i = 0; i < worker->queue_count; i++) {
        struct worker_queue *queue = worker->queues[i];

        if (lane_rank(queue->name) == lane)
            quota &= claim_all(queue);
    }
    return quota;
}

static void
claim_closing(struct worker *worker)
{
    if (worker->closing->asking == 0 && worker->closing->may_have_work)
        ask_claim(ask_new(worker->closing, CLAIM_MAX));
}

static void
on_claim_timer(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    unsigned lane;
    bool quota = true;

    (void)fd;
    (void)what;
    /* Not ready also means: this may be another installation's Redis. The
     * next tick asks again. */
    if (worker->draining || worker->store_trouble ||
        !upkeep_has_beaten(worker->upkeep) ||
        service_not_ready(worker->service) != NULL)
        return;
    claim_closing(worker);
    lane = first_lane(worker);
    for (unsigned i = 0; i < JOB_LANES; i++)
        quota &= claim_lane(worker, (lane + i) % JOB_LANES);
    if (!quota)
        worker_claim_soon(worker, QUOTA_PAUSE_MS);
}

/* --- the end --------------------------------------------------------- */

void
worker_flight_added(struct worker *worker)
{
    worker->flight_count++;
    service_hold(worker->service);
}

void
worker_flight_gone(struct worker *worker)
{
    worker->flight_count--;
    /* Nobody is left whose save could tell that the store works again. */
    if (worker->counts[FLIGHT_SAVING] == 0)
        worker->store_trouble = false;
    if (worker->draining && worker->flight_count == 0)
        upkeep_leave(worker->upkeep);
    else
        worker_claim_soon(worker, 0);
    service_release(worker->service);
}

void
worker_rename(struct worker *worker)
{
    log_warn("taken_for_dead", LOG_TEXT("consumer", worker->consumer));
    name_consumer(worker);
    upkeep_beat_anew(worker->upkeep);
}

static void
hand_back(struct worker *worker, enum flight_state state)
{
    struct flight *flight;
    struct flight *next;

    for (flight = TAILQ_FIRST(&worker->flights[state]); flight != NULL;
         flight = next) {
        next = TAILQ_NEXT(flight, link);
        flight_hand_back(flight);
    }
}

static void
on_hand_back_timer(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;

    (void)fd;
    (void)what;
    log_info("hand_back", LOG_INT("calls", worker->counts[FLIGHT_CALLING]));
    hand_back(worker, FLIGHT_CALLING);
}

/* Nothing new; what was not sent goes back at once, what was may finish. */
static void
on_drain(void *arg)
{
    struct worker *worker = arg;
    int64_t grace_ms = worker->service->config->grace_ms;
    int64_t margin_ms =
        grace_ms / 2 < HAND_BACK_MARGIN_MS ? grace_ms / 2 : HAND_BACK_MARGIN_MS;
    int64_t wait_ms = grace_ms - margin_ms;
    struct timeval wait = {wait_ms / 1000, (wait_ms % 1000) * 1000};

    worker->draining = true;
    evtimer_del(worker->claim_timer);
    evtimer_add(worker->hand_back_timer, &wait);
    hand_back(worker, FLIGHT_CLAIMED);
    if (worker->flight_count == 0)
        upkeep_leave(worker->upkeep);
}

/* --- beginning and end of the object --------------------------------- */

static struct event *
timer_new(struct worker *worker,
    void (*on_timer)(evutil_socket_t fd, short what, void *arg))
{
    struct event *event = evtimer_new(worker->service->base, on_timer, worker);

    assert(event != NULL);
    return event;
}

static void
build(struct worker *worker)
{
    const struct config *config = worker->service->config;
    const struct http_client_options client = {
        .user_agent = "longhaul/" LONGHAUL_VERSION, .ca_file = config->ca_file};
    const struct governor_limits limits = {
        .requests_per_min = config->limit_rpm,
        .input_tokens_per_min = config->limit_itpm,
        .output_tokens_per_min = config->limit_otpm};

    for (unsigned state = 0; state < FLIGHT_STATES; state++)
        TAILQ_INIT(&worker->flights[state]);
    name_consumer(worker);
    worker->live_workers = 1;
    worker->retry.base_ms = (int64_t)config->retry_base_ms;
    worker->retry.cap_ms = (int64_t)config->retry_cap_ms;
    worker->client = http_client_new(worker->service->base, &client);
    worker->governor = governor_new(&limits, clock_mono_ms());
    worker->holds = holds_new(UPSTREAM_POOL);
    worker->leases = lease_table_new();
    worker->closing = queue_record(worker, slice_of(CLOSING_QUEUE));
    worker->claim_timer = timer_new(worker, on_claim_timer);
    worker->hand_back_timer = timer_new(worker, on_hand_back_timer);
    worker->upkeep = upkeep_new(worker);
}

struct worker *
worker_new(struct service *service)
{
    struct worker *worker;
    const char *error = "";
    struct upstream *upstream = upstream_new(service->config, &error);

    if (upstream == NULL) {
        log_say("%s", error);
        return NULL;
    }
    worker = memory_zalloc(1, sizeof(*worker));
    worker->service = service;
    worker->upstream = upstream;
    build(worker);
    service_on_drain(service, on_drain, worker);
    service_on_scrape(service, gauges_scrape, worker);
    log_info("worker_started", LOG_TEXT("consumer", worker->consumer),
        LOG_INT("concurrency", service->config->worker_concurrency),
        LOG_BOOL("has_key", upstream_key(upstream) != NULL),
        LOG_BOOL("simulated", service->config->simulated));
    return worker;
}

void
worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    worker->draining = true;
    for (unsigned state = 0; state < FLIGHT_STATES; state++) {
        while (!TAILQ_EMPTY(&worker->flights[state]))
            flight_free(TAILQ_FIRST(&worker->flights[state]));
    }
    upkeep_free(worker->upkeep);
    event_free(worker->claim_timer);
    event_free(worker->hand_back_timer);
    for (size_t i = 0; i < worker->queue_count; i++)
        memory_free(worker->queues[i]);
    memory_free(worker->closing);
    http_client_free(worker->client);
    upstream_free(worker->upstream);
    governor_free(worker->governor);
    holds_free(worker->holds);
    lease_table_free(worker->leases);
    memory_free(worker);
}
