/* From the claim on: whose job it is, and what comes from outside. */

#include "worker/flight.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/job/body.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claude.h"
#include "worker/gauges.h"
#include "worker/lease.h"

/* A claim younger than this cannot have been taken over: that needs a whole
 * lease of standing still. */
#define FRESH_MS (LEASE_TIME_MS / 2)
#define TRY_FIRST_MS 100
#define TRY_MAX_MS 2000

/* --- lists and timers ------------------------------------------------ */

void
flight_move(struct flight *flight, enum flight_state state)
{
    struct worker *worker = flight->worker;

    TAILQ_REMOVE(&worker->flights[flight->state], flight, link);
    worker->counts[flight->state]--;
    flight->state = state;
    flight->tries = 0;
    if (flight->timer != NULL)
        evtimer_del(flight->timer);
    TAILQ_INSERT_TAIL(&worker->flights[state], flight, link);
    worker->counts[state]++;
    if (state != FLIGHT_CALLING)
        flight_leave_room(flight);
}

static void
set_timer(struct flight *flight, int64_t ms,
    void (*on_timer)(evutil_socket_t fd, short what, void *flight))
{
    const struct timeval wait = {ms / 1000, (ms % 1000) * 1000};

    if (flight->worker->ended)
        return; /* whoever takes the job over does it */
    if (flight->timer != NULL)
        event_free(flight->timer);
    flight->timer =
        evtimer_new(flight->worker->service->base, on_timer, flight);
    assert(flight->timer != NULL);
    evtimer_add(flight->timer, &wait);
}

void
flight_try_later(struct flight *flight,
    void (*again)(evutil_socket_t fd, short what, void *flight))
{
    int64_t ms = TRY_FIRST_MS << (flight->tries < 5 ? flight->tries : 5);

    flight->tries++;
    set_timer(flight, ms < TRY_MAX_MS ? ms : TRY_MAX_MS, again);
}

void
flight_soon(struct flight *flight,
    void (*step)(evutil_socket_t fd, short what, void *flight))
{
    set_timer(flight, 0, step);
}

struct queue_owner
flight_owner(const struct flight *flight)
{
    return (struct queue_owner){.id = flight->result.id,
        .consumer = flight->consumer,
        .fence = flight->fence};
}

bool
flight_is_fresh(const struct flight *flight)
{
    return clock_mono_ms() - flight->asked_ms <= FRESH_MS;
}

void
flight_set_error(
    struct flight *flight, const char *class_name, const char *message)
{
    struct job_error *error = &flight->result.error;
    unsigned calls = error->calls;
    unsigned unknown_calls = error->unknown_calls;

    memset(error, 0, sizeof(*error));
    error->calls = calls;
    error->unknown_calls = unknown_calls;
    text_copy(
        error->class_name, sizeof(error->class_name), slice_of(class_name));
    text_copy(error->message, sizeof(error->message), slice_of(message));
    error->at_ms = clock_wall_ms();
}

void
flight_free(struct flight *flight)
{
    struct worker *worker = flight->worker;

    assert(!flight->pending);
    flight_end_quota(flight, GOVERNOR_UNUSED, NULL);
    TAILQ_REMOVE(&worker->flights[flight->state], flight, link);
    worker->counts[flight->state]--;
    if (flight->suspect)
        worker->suspects_held--;
    if (flight->call != NULL)
        claude_call_cancel(flight->call);
    if (flight->timer != NULL)
        event_free(flight->timer);
    flight_end_reading(flight);
    buffer_clear(&flight->stored);
    buffer_clear(&flight->part);
    buffer_clear(&flight->body);
    buffer_clear(&flight->answer);
    flight_leave_room(flight);
    job_result_clear(&flight->result);
    memory_free(flight);
    worker_flight_gone(worker);
}

void
flight_end_quota(struct flight *flight, enum governor_use use,
    const struct answer_usage *used)
{
    struct governor_usage usage = {.use = use};

    if (!flight->quota.counted)
        return;
    if (used != NULL) {
        usage.input_tokens =
            used->input_tokens + used->cache_creation_input_tokens;
        usage.cached_tokens = used->cache_read_input_tokens;
        usage.output_tokens = used->output_tokens;
    }
    governor_end(flight->worker->governor, flight->bucket->scope,
        flight->queue_name, &flight->quota, flight->result.meta.mix, &usage);
}

bool
flight_operation_ended(struct flight *flight)
{
    flight->pending = false;
    if (flight->want_cancel) {
        flight_end(flight, JOB_CANCELED);
        return false;
    }
    if (flight->want_release) {
        flight_move(flight, FLIGHT_RELEASING);
        flight_acknowledge(flight);
        return false;
    }
    return true;
}

/* --- is it ours, and is there no row yet? ---------------------------- */

static void
on_verify_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flight_verify(arg);
}

/* Somebody has saved a row of this generation: only Redis has to learn. */
static void
adopt_row(struct flight *flight, const struct job_result *row)
{
    struct job_result *result = &flight->result;

    result->state = row->state;
    result->version = row->version;
    result->dead = row->dead;
    result->attempts = row->attempts;
    result->finished_ms = row->finished_ms;
    memcpy(result->model, row->model, sizeof(result->model));
    result->error = row->error;
    flight_move(flight, row->dead ? FLIGHT_BURYING : FLIGHT_ACKING);
    flight_acknowledge(flight);
}

static void
on_row(void *arg, enum store_status status, const struct job_result *row,
    struct slice bytes)
{
    struct flight *flight = arg;

    (void)bytes;
    flight->pending = false;
    if (status == STORE_OK) {
        adopt_row(flight, row);
        return;
    }
    crash_point("flight.verified");
    if (!flight_operation_ended(flight))
        return;
    if (status == STORE_ABSENT)
        flight_read(flight);
    else
        flight_try_later(flight, on_verify_again);
}

static void
on_checked(void *arg, enum queue_status status)
{
    struct flight *flight = arg;

    flight->pending = false;
#if LONGHAUL_BUG == 2 /* does not ask whether the job is still its own */
    status = QUEUE_OK;
#endif
    if (status == QUEUE_NOT_OWNER || status == QUEUE_ABSENT) {
        flight_free(flight);
        return;
    }
    if (!flight_operation_ended(flight))
        return;
    if (status != QUEUE_OK) {
        flight_try_later(flight, on_verify_again);
        return;
    }
    crash_point("flight.owned");
    flight->pending = true;
    flight->asked_ms = clock_mono_ms();
    store_get(flight->worker->service->store, flight->result.id,
        (int)flight->result.generation, STORE_ROW, on_row, flight);
}

void
flight_verify(struct flight *flight)
{
    const struct queue_owner owner = flight_owner(flight);

    if (queue_check(
            flight->worker->service->queue, &owner, on_checked, flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, on_verify_again);
}

/* --- the beginning --------------------------------------------------- */

static void
fill(struct flight *flight, struct queue_claim *claim,
    const struct flight_origin *origin)
{
    struct job_result *result = &flight->result;

    flight->kind = claim->kind;
    flight->fence = claim->fence;
    flight->attempts = claim->attempts;
    flight->deadline_ms = clock_mono_ms() + claim->left_ms;
    flight->takeovers = claim->takeovers;
    flight->first = claim->first;
    flight->call_us = -1;
    flight->suspect = claim->suspect;
    flight->result.error = claim->error;
    flight->asked_ms = origin->asked_ms;
    flight->probe = origin->probe;
    flight->probe_until_ms = clock_mono_ms() + BREAKER_PROBE_MS;
    flight->fallback = origin->fallback;
    flight->bucket = origin->bucket;
    flight->queue_name = origin->queue_name;
    flight->probe_scope = origin->probe_scope;
    memcpy(result->id, claim->id, sizeof(result->id));
    result->generation = claim->generation;
    result->version = claim->version + 1;
    result->started_ms = claim->started_ms;
    result->attempts = claim->attempts;
    /* A worker that died may have had a call in flight. */
    result->unknown_calls = claim->takeovers + claim->error.unknown_calls;
    result->takeovers = claim->takeovers;
    result->simulated = flight->worker->service->config->simulated;
    result->cost_usd_nanos = -1;
    result->meta = claim->meta;
    memset(&claim->meta, 0, sizeof(claim->meta));
    buffer_append_slice(&flight->stored, claim->body);
}

static void
begin_kind(struct flight *flight)
{
    if (flight->result.meta.model[0] == '\0') {
        flight_corrupt(flight); /* what Redis holds cannot be read */
        return;
    }
    switch (flight->kind) {
    case QUEUE_CLAIM_RUN:
        if (flight->first)
            flight_read(flight);
        else
            flight_verify(flight);
        return;
    case QUEUE_CLAIM_CANCEL: flight_end(flight, JOB_CANCELED); return;
    case QUEUE_CLAIM_EXPIRE: flight_end(flight, JOB_EXPIRED); return;
    case QUEUE_CLAIM_CRASH:
        flight_set_error(flight, "crash_loop",
            "Every worker that ran this job died. It was set aside; replay "
            "it when the cause is known.");
        flight_end(flight, JOB_FAILED);
        return;
    case QUEUE_CLAIM_PARKED: flight_read_parked(flight); return;
    case QUEUE_CLAIM_REFUSED: flight_end(flight, JOB_FAILED); return;
    }
}

void
flight_start(struct worker *worker, struct queue_claim *claim,
    const struct flight_origin *origin)
{
    struct flight *flight = memory_zalloc(1, sizeof(*flight));

    flight->worker = worker;
    memcpy(flight->consumer, worker->consumer, sizeof(flight->consumer));
    fill(flight, claim, origin);
    flight->state = FLIGHT_CLAIMED;
    TAILQ_INSERT_TAIL(&worker->flights[FLIGHT_CLAIMED], flight, link);
    worker->counts[FLIGHT_CLAIMED]++;
    if (flight->suspect)
        worker->suspects_held++;
    worker_flight_added(worker);
    crash_point_of("flight.claimed", flight->result.id);
    if (flight->kind == QUEUE_CLAIM_RUN)
        gauges_claimed(worker, &flight->result, flight->first);
    if (flight->bucket != NULL)
        governor_start(
            worker->governor, flight->bucket->scope, &flight->quota, claim);
    if (worker->draining)
        flight_hand_back(flight); /* it was asked for before that */
    else
        begin_kind(flight);
}

/* --- from outside ---------------------------------------------------- */

/* Claude may answer, and bill, for nobody. */
static void
cut_call(struct flight *flight)
{
    claude_call_cancel(flight->call);
    flight->call = NULL;
    flight->call_us = (clock_wall_ms() - flight->sent_ms) * 1000;
    flight_end_quota(flight, GOVERNOR_UNKNOWN, NULL);
    gauges_cut(flight->worker, flight->result.model);
    flight->result.error.calls++;
    flight->result.error.unknown_calls++;
    flight->result.unknown_calls++;
    flight_release_probe(flight);
}

void
flight_cancel(struct flight *flight)
{
    if (flight->state == FLIGHT_CALLING) {
        cut_call(flight);
        flight->result.attempts++;
        gauges_attempt(flight->worker, &flight->result.meta, "canceled");
        flight_end(flight, JOB_CANCELED);
    } else if (flight->state == FLIGHT_CLAIMED) {
        flight->want_cancel = true;
        if (!flight->pending)
            flight_operation_ended(flight);
    }
}

void
flight_hand_back(struct flight *flight)
{
    if (flight->state == FLIGHT_CALLING) {
        cut_call(flight);
        flight->retry_delay_ms = 0;
        flight_move(flight, FLIGHT_DELAYING); /* which keeps the count */
        flight_acknowledge(flight);
    } else if (flight->state == FLIGHT_CLAIMED) {
        flight->want_release = true;
        if (!flight->pending)
            flight_operation_ended(flight);
    }
}
