/* Save first, then acknowledge: the second half of a flight. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claim.h"
#include "worker/claude.h"
#include "worker/flight.h"
#include "worker/gauges.h"
#include "worker/park.h"

/* Claude has no other status for an answer. */
#define STATUS_OK 200

static void acknowledge_again(evutil_socket_t fd, short what, void *arg);

/* --- the request of a dead letter ------------------------------------ */

static void collect_request(struct flight *flight);

static void
on_collect_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    collect_request(arg);
}

static void
on_collected(void *arg, enum queue_status status, struct slice bytes)
{
    struct flight *flight = arg;

    flight->pending = false;
    if (status == QUEUE_UNKNOWN) {
        flight_try_later(flight, on_collect_again);
        return;
    }
    /* A part that is not there: the letter is kept without its end, and its
     * checksum tells whoever replays it. */
    if (status == QUEUE_OK)
        buffer_append_slice(&flight->stored, bytes);
    flight->next_part++;
    flight->tries = 0;
    collect_request(flight);
}

/* The stored form, part by part, into flight->stored. */
static void
collect_request(struct flight *flight)
{
    if (flight->next_part >= flight->result.meta.parts) {
        flight_save(flight);
        return;
    }
    if (queue_part_get(flight->worker->service->queue, flight->result.id,
            flight->next_part, on_collected, flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, on_collect_again);
}

/* --- an end that nobody paid for ------------------------------------- */

static void confirm(struct flight *flight);

static void
on_confirm_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    confirm(arg);
}

static void
save_end(struct flight *flight)
{
    if (!flight->result.dead || flight->result.meta.parts == 0) {
        flight_save(flight);
        return;
    }
    flight->next_part = 0;
    buffer_reset(&flight->stored);
    collect_request(flight);
}

static void
on_confirmed(void *arg, enum queue_status status)
{
    struct flight *flight = arg;

    flight->pending = false;
    if (status == QUEUE_NOT_OWNER || status == QUEUE_ABSENT) {
        log_warn("not_owner", LOG_TEXT("job", flight->result.id),
            LOG_TEXT("status", queue_status_name(status)));
        flight_free(flight);
    } else if (status == QUEUE_OK) {
        flight->tries = 0;
        save_end(flight);
    } else {
        flight_try_later(flight, on_confirm_again);
    }
}

/* An answer is saved whoever owns the job now: it was paid for, and the first
 * one wins. Any other end must not win over the answer that the present owner
 * is about to get. */
static void
confirm(struct flight *flight)
{
    const struct queue_owner owner = flight_owner(flight);

    if (flight_is_fresh(flight))
        save_end(flight);
    else if (queue_check(flight->worker->service->queue, &owner, on_confirmed,
                 flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, on_confirm_again);
}

void
flight_end(struct flight *flight, enum job_state state)
{
    struct job_result *result = &flight->result;

    assert(job_state_is_terminal(state) && state != JOB_SUCCEEDED);
    flight->want_cancel = false;
    flight->want_release = false;
    result->state = state;
    result->finished_ms = clock_wall_ms();
    /* What our own validation refused would be refused again. */
    result->dead = state == JOB_FAILED && flight->kind != QUEUE_CLAIM_REFUSED;
    if (result->model[0] == '\0')
        memcpy(result->model, result->meta.model, sizeof(result->model));
    buffer_clear(&flight->body);
    buffer_clear(&flight->answer);
    flight_move(flight, FLIGHT_SAVING);
    confirm(flight);
}

/* --- save ------------------------------------------------------------ */

static void
save_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flight_save(arg);
}

static void
set_trouble(struct worker *worker, bool trouble, enum store_status status)
{
    if (worker->store_trouble == trouble)
        return;
    worker->store_trouble = trouble;
    if (trouble) {
        log_error("store_trouble", LOG_INT("status", status),
            LOG_TEXT("action",
                "answers are kept and saved again; nothing "
                "is claimed meanwhile"));
    } else {
        log_write(LOG_LEVEL_INFO, "store_works_again", NULL);
        claim_soon(worker, 0);
    }
}

static void
on_park_ended(void *arg, enum queue_status status)
{
    struct flight *flight = arg;

    flight->pending = false;
    if (status == QUEUE_NOT_OWNER) {
        flight_free(flight);
        return;
    }
    flight->parked = status == QUEUE_OK;
    flight_try_later(flight, save_again);
}

/* The store would not take it. What was paid for must survive this process
 * too, so it goes into the job's part of Redis. */
static void
park(struct flight *flight)
{
    const struct queue_owner owner = flight_owner(flight);
    struct buffer text = {NULL, 0, 0};

    if (flight->parked || flight->result.state != JOB_SUCCEEDED) {
        flight_try_later(flight, save_again);
        return;
    }
    park_encode(&flight->result, buffer_slice(&flight->answer), &text);
    if (queue_park(flight->worker->service->queue, &owner, buffer_slice(&text),
            on_park_ended, flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, save_again);
    buffer_clear(&text);
}

/* Another owner's row won: its outcome is the job's. */
static void
adopt(struct flight *flight, const struct job_result *existing)
{
    struct job_result *result = &flight->result;

    log_info("row_existed", LOG_TEXT("job", result->id),
        LOG_INT("generation", result->generation));
    result->state = existing->state;
    result->version = existing->version;
    result->dead = existing->dead;
    result->error = existing->error;
    result->finished_ms = existing->finished_ms;
}

static void
on_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    struct flight *flight = arg;

    crash_point("commit.answered");
    flight->pending = false;
    if (status != STORE_OK && status != STORE_EXISTS) {
        set_trouble(flight->worker, true, status);
        park(flight);
        return;
    }
    set_trouble(flight->worker, false, status);
    if (status == STORE_EXISTS)
        adopt(flight, existing);
    else
        gauges_finished(flight->worker, &flight->result);
    buffer_clear(&flight->answer);
    flight_move(flight, flight->result.dead ? FLIGHT_BURYING : FLIGHT_ACKING);
    flight_acknowledge(flight);
}

static void
commit(struct flight *flight)
{
    struct slice request = SLICE_NULL;

    if (flight->worker->ended)
        return; /* the store is closed or closing */
    if (flight->result.dead)
        request = buffer_slice(&flight->stored);
    crash_point("commit.before");
    flight->pending = true;
    store_commit(flight->worker->service->store, &flight->result,
        buffer_slice(&flight->answer), request, on_committed, flight);
}

#if LONGHAUL_BUG == 1 /* acknowledges before it commits */
static void
on_acknowledged_early(void *arg, enum queue_status status)
{
    (void)status;
    commit(arg);
}
#endif

void
flight_save(struct flight *flight)
{
    if (flight->state != FLIGHT_SAVING)
        flight_move(flight, FLIGHT_SAVING);
    /* What went wrong before the answer came is not its result. */
    if (flight->result.state == JOB_SUCCEEDED)
        memset(&flight->result.error, 0, sizeof(flight->result.error));
#if LONGHAUL_BUG == 1
    const struct queue_owner owner = flight_owner(flight);
    flight->pending = true;
    if (!flight->result.dead &&
        queue_finish(flight->worker->service->queue, &owner, &flight->result,
            on_acknowledged_early, flight) == 0)
        return;
#endif
    commit(flight);
}

/* --- acknowledge ----------------------------------------------------- */

static const char *
text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void
log_finished(const struct flight *flight)
{
    const struct job_result *result = &flight->result;
    const struct job_error *error = &result->error;
    int64_t total_ms = result->finished_ms - result->meta.created_ms;

    log_info("job_finished", LOG_TEXT("job", result->id),
        LOG_TEXT("tenant", result->meta.tenant),
        LOG_TEXT("model", result->model),
        LOG_TEXT("state", job_state_name(result->state)),
        LOG_INT("generation", result->generation),
        LOG_INT("attempt", result->attempts),
        LOG_INT("status",
            result->state == JOB_SUCCEEDED ? STATUS_OK : error->status),
        LOG_TEXT("class", text_or_null(error->class_name)),
        LOG_TEXT("error_type", text_or_null(error->type)),
        LOG_INT("input_tokens", result->usage.input_tokens),
        LOG_INT("output_tokens", result->usage.output_tokens),
        LOG_INT("total_ms", total_ms > 0 ? total_ms : 0),
        /* A field without a key is none: the last, for jobs without a call. */
        LOG_INT(
            flight->call_us >= 0 ? "call_ms" : NULL, flight->call_us / 1000));
}

/* Known, whatever it is: nothing more to do for this job. */
static void
on_acknowledged(void *arg, enum queue_status status)
{
    struct flight *flight = arg;

    flight->pending = false;
    if (status == QUEUE_UNKNOWN) {
        flight_try_later(flight, acknowledge_again);
        return;
    }
    if (status == QUEUE_OK &&
        (flight->state == FLIGHT_ACKING || flight->state == FLIGHT_BURYING))
        log_finished(flight);
    else if (status != QUEUE_OK)
        log_warn("not_owner", LOG_TEXT("job", flight->result.id),
            LOG_TEXT("status", queue_status_name(status)));
    flight_free(flight);
}

static int
send_script(struct flight *flight)
{
    struct queue *queue = flight->worker->service->queue;
    const struct queue_owner owner = flight_owner(flight);

    switch (flight->state) {
    case FLIGHT_ACKING:
        return queue_finish(
            queue, &owner, &flight->result, on_acknowledged, flight);
    case FLIGHT_BURYING:
        return queue_bury(
            queue, &owner, &flight->result, on_acknowledged, flight);
    case FLIGHT_DELAYING:
        return queue_retry(queue, &owner, flight->retry_delay_ms,
            flight->result.attempts, &flight->result.error, on_acknowledged,
            flight);
    case FLIGHT_RELEASING:
        return queue_release(queue, &owner, on_acknowledged, flight);
    case FLIGHT_CLAIMED:
    case FLIGHT_CALLING:
    case FLIGHT_SAVING:
    case FLIGHT_STATES: break;
    }
    abort(); /* no script belongs to these states */
}

void
flight_acknowledge(struct flight *flight)
{
    if (send_script(flight) == 0)
        flight->pending = true;
    else
        flight_try_later(flight, acknowledge_again);
}

static void
acknowledge_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flight_acknowledge(arg);
}
