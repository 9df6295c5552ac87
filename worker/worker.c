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
#include "worker/claim.h"
#include "worker/flight.h"
#include "worker/gauges.h"
#include "worker/governor.h"
#include "worker/holds.h"
#include "worker/lease.h"
#include "worker/pace.h"
#include "worker/upkeep.h"
#include "worker/upstream.h"

#define ORPHAN_EVERY_MS 200

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

/* --- the end --------------------------------------------------------- */

void
worker_leave_when_idle(struct worker *worker)
{
    if (worker->draining && worker->flight_count == 0 &&
        !claimer_is_asking(worker->claimer))
        upkeep_leave(worker->upkeep);
}

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
    worker_leave_when_idle(worker);
    claim_soon(worker, 0);
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

/* Redis has gone with the program that ran us, and the next one waits for our
 * end before it starts another: what is paid for is finished and saved, for
 * all else nobody is there to take it back. */
static void
on_orphan_timer(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval again = {0, ORPHAN_EVERY_MS * 1000};
    struct worker *worker = arg;

    (void)fd;
    (void)what;
    if (worker->counts[FLIGHT_CALLING] + worker->counts[FLIGHT_SAVING] > 0) {
        evtimer_add(worker->orphan_timer, &again);
        return;
    }
    log_info("orphan_ends", LOG_INT("held", worker->flight_count));
    service_abort(worker->service, SERVICE_EXIT_OK);
}

/* Nothing new; what was not sent goes back at once, what was may finish. */
static void
on_drain(void *arg)
{
    struct worker *worker = arg;
    int64_t grace_ms = worker->service->config->grace_ms;
    const struct timeval wait = {grace_ms / 1000, (grace_ms % 1000) * 1000};
    static const struct timeval soon = {0, ORPHAN_EVERY_MS * 1000};

    worker->draining = true;
    claimer_stop(worker->claimer);
    evtimer_add(worker->hand_back_timer, &wait);
    hand_back(worker, FLIGHT_CLAIMED);
    worker_leave_when_idle(worker);
    if (service_is_orphan(worker->service))
        evtimer_add(worker->orphan_timer, &soon);
}

/* The loop is over, maybe in the middle of everything: a second signal, or
 * the grace was too short. Calls are cut and their jobs handed back if Redis
 * is quick; what is with the store may still be saved and acknowledged. */
static void
on_end(void *arg)
{
    struct worker *worker = arg;

    worker->draining = true;
    claimer_stop(worker->claimer);
    upkeep_stop(worker->upkeep);
    evtimer_del(worker->hand_back_timer);
    evtimer_del(worker->orphan_timer);
    hand_back(worker, FLIGHT_CALLING);
    hand_back(worker, FLIGHT_CLAIMED);
    worker->ended = true;
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

    for (unsigned state = 0; state < FLIGHT_STATES; state++)
        TAILQ_INIT(&worker->flights[state]);
    name_consumer(worker);
    worker->live_workers = 1;
    worker->retry.base_ms = (int64_t)config->retry_base_ms;
    worker->retry.cap_ms = (int64_t)config->retry_cap_ms;
    worker->client = http_client_new(worker->service->base, &client);
    worker->holds = holds_new();
    worker->leases = lease_table_new();
    worker->claimer = claimer_new(worker);
    worker->hand_back_timer = timer_new(worker, on_hand_back_timer);
    worker->orphan_timer = timer_new(worker, on_orphan_timer);
    worker->upkeep = upkeep_new(worker);
}

/* -1 when a key cannot be read; said on stderr then. */
static int
open_pools(struct worker *worker)
{
    const struct config *config = worker->service->config;
    char error[256];

    worker->governor = governor_new();
    worker->pace = pace_new(worker);
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct pool_options options = {
            .config = config->pools[i],
            .models = worker->service->models,
            .governor = worker->governor,
            .pace = worker->pace,
            .simulated = config->simulated,
        };

        worker->pools[i] = pool_new(&options, error, sizeof(error));
        if (worker->pools[i] == NULL) {
            log_say("%s", error);
            return -1;
        }
        worker->pool_count++;
    }
    return 0;
}

static void
close_pools(struct worker *worker)
{
    for (size_t i = 0; i < worker->pool_count; i++)
        pool_free(worker->pools[i]);
    pace_free(worker->pace);
    governor_free(worker->governor);
}

static void
log_start(const struct worker *worker)
{
    const struct config *config = worker->service->config;
    int64_t keys = 0;

    for (size_t i = 0; i < worker->pool_count; i++)
        keys += upstream_key(worker->pools[i]->upstream) != NULL;
    log_info("worker_started", LOG_TEXT("consumer", worker->consumer),
        LOG_INT("concurrency", config->worker_concurrency),
        LOG_INT("pools", worker->pool_count), LOG_BOOL("has_key", keys > 0),
        LOG_BOOL("simulated", config->simulated));
}

struct worker *
worker_new(struct service *service)
{
    struct worker *worker = memory_zalloc(1, sizeof(*worker));

    worker->service = service;
    if (open_pools(worker) != 0) {
        close_pools(worker);
        memory_free(worker);
        return NULL;
    }
    build(worker);
    service_on_drain(service, on_drain, worker);
    service_on_end(service, on_end, worker);
    service_on_scrape(service, gauges_scrape, worker);
    log_start(worker);
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
    event_free(worker->hand_back_timer);
    event_free(worker->orphan_timer);
    claimer_free(worker->claimer);
    http_client_free(worker->client);
    close_pools(worker);
    holds_free(worker->holds);
    lease_table_free(worker->leases);
    memory_free(worker);
}
