/* The call to Claude, and what follows from its outcome. */

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/job/options.h"
#include "common/service/config.h"
#include "common/service/models.h"
#include "common/service/service.h"
#include "worker/claim.h"
#include "worker/claude.h"
#include "worker/flight.h"
#include "worker/gauges.h"
#include "worker/holds.h"
#include "worker/lease.h"
#include "worker/pace.h"
#include "worker/upstream.h"

/* The version to ask for when the client named none (DESIGN section 6):
 * sampling fields exist only in the older one. */
#define VERSION_SAMPLING "2023-06-01"
#define VERSION_DEFAULT "2026-10-21"
/* The right to probe is renewed by every beat and must not outlive its worker
 * by much; nor may a call that hangs keep it for ten minutes. */
#define PROBE_MS (LEASE_TIME_MS + LEASE_BEAT_MS)
/* Others come first at the next probe. */
#define AFTER_PROBE_MS 1000

static uint64_t
random_bits(void)
{
    uint64_t bits;

    id_random_bytes(&bits, sizeof(bits));
    return bits;
}

/* --- the right to probe ---------------------------------------------- */

static void
set_probe(const struct flight *flight, int64_t for_ms)
{
    if (flight->probe &&
        queue_probe(flight->worker->service->queue, flight->probe_scope,
            flight->consumer, for_ms, NULL, NULL) != 0)
        log_debug("probe_not_set", LOG_TEXT("job", flight->result.id));
}

bool
flight_is_probe(const struct flight *flight)
{
    return flight->probe && clock_mono_ms() < flight->probe_until_ms;
}

void
flight_keep_probe(const struct flight *flight)
{
    int64_t left_ms = flight->probe_until_ms - clock_mono_ms();

    set_probe(flight, left_ms < PROBE_MS ? left_ms : PROBE_MS);
}

/* One that took too long may have left it to another job. */
void
flight_release_probe(const struct flight *flight)
{
    if (flight_is_probe(flight))
        set_probe(flight, 1);
}

/* --- sending --------------------------------------------------------- */

const char *
flight_model(const struct flight *flight)
{
    const struct job_meta *meta = &flight->result.meta;

    if (flight->fallback > 0 && flight->fallback <= meta->fallback_count)
        return meta->fallbacks[flight->fallback - 1];
    return meta->model_requested[0] != '\0' ? meta->model : NULL;
}

bool
flight_streams(const struct flight *flight)
{
    uint64_t tokens = flight->result.meta.max_tokens;

    return tokens > 0 &&
        tokens >= flight->worker->service->config->stream_above_tokens;
}

static void on_begun(void *arg);
static void on_reply(void *arg, struct claude_reply *reply);

/* What the client named, else what the pool is set to. */
static const char *
version_of(const struct flight *flight)
{
    const struct job_meta *meta = &flight->result.meta;

    if (meta->api_version[0] != '\0')
        return meta->api_version;
    if (flight->bucket->pool->config->version != NULL)
        return flight->bucket->pool->config->version;
    return meta->sampling ? VERSION_SAMPLING : VERSION_DEFAULT;
}

static void
send_request(struct flight *flight, int64_t timeout_ms)
{
    const struct job_meta *meta = &flight->result.meta;
    const struct config *config = flight->worker->service->config;
    const struct pool *pool = flight->bucket->pool;
    struct claude_request request = {
        .url = upstream_messages_url(pool->upstream),
        .api_key = upstream_key(pool->upstream),
        .bearer = upstream_is_bearer(pool->upstream),
        .version = version_of(flight),
        .beta = meta->beta,
        .job_header = config->job_header,
        .job_id = flight->result.id,
        .body = &flight->body,
        .stream = flight_streams(flight),
        .timeout_ms = timeout_ms,
        .max_answer_bytes = config->max_answer_bytes,
        .on_begun = flight->probe ? on_begun : NULL,
    };

    flight->call =
        claude_call_start(flight->worker->client, &request, on_reply, flight);
    flight->body = (struct buffer){NULL, 0, 0};
}

void
flight_call(struct flight *flight)
{
    const struct job_meta *meta = &flight->result.meta;
    int64_t left_ms = flight->deadline_ms - clock_mono_ms();
    const char *model = flight_model(flight);

    if (left_ms <= 0) {
        flight_end(flight, JOB_EXPIRED);
        return;
    }
    text_copy(flight->result.model, sizeof(flight->result.model),
        slice_of(model != NULL ? model : meta->model));
    flight_keep_probe(flight);
    flight->sent_ms = clock_wall_ms();
    flight_move(flight, FLIGHT_CALLING);
    crash_point_of("call.before", flight->result.id);
    send_request(
        flight, left_ms < meta->timeout_ms ? left_ms : meta->timeout_ms);
    crash_point("call.started");
}

/* --- whose trouble it is --------------------------------------------- */

/*
 * A refusal such as "no permission" can mean the key or this request alone.
 * One request must not stop all others, and a key that lost its rights must
 * not bury them. So the job waits alone; refused again after a later call of
 * another succeeded, it fails. A second job that is refused, with no success
 * between, pauses the pool; the next to probe it is another job. Calls are
 * compared by when they were sent.
 */
static void
judge_refusal(struct flight *flight, struct outcome *outcome)
{
    struct pool *pool = flight->bucket->pool;
    const struct outcome_class *info = outcome->info;
    const char *id = flight->result.id;
    int64_t now_ms = clock_wall_ms();
    bool again = strcmp(flight->result.error.class_name, info->name) == 0;

    if (outcome->verdict == OUTCOME_SUCCEEDED &&
        flight->sent_ms > pool->good_ms)
        pool->good_ms = flight->sent_ms;
    if (!info->may_be_own || outcome->verdict != OUTCOME_PAUSE_POOL)
        return;
    if (again && pool->good_ms > flight->result.error.at_ms) {
        outcome->verdict = OUTCOME_FAIL;
        outcome->counts_as_attempt = true;
        outcome->hold_until_ms = 0;
        return;
    }
    outcome->verdict = OUTCOME_RETRY;
    outcome->retry_at_ms = now_ms + info->hold_ms +
        (int64_t)(random_bits() % (uint64_t)info->hold_ms) / 4;
    if (pool->refused_ms <= now_ms - info->hold_ms ||
        pool->refused_ms <= pool->good_ms || strcmp(pool->refused_id, id) == 0)
        outcome->hold_until_ms = 0;
    pool->refused_ms = now_ms;
    text_copy(pool->refused_id, sizeof(pool->refused_id), slice_of(id));
}

/* --- what everybody learns from it ----------------------------------- */

/* Shared with all workers; known to this one at once. */
static void
hold(struct worker *worker, const char *scope, const char *kind, int64_t for_ms,
    const char *reason)
{
    /* Of hundreds of calls that fail as one, the first says it. */
    if (holds_cover(worker->holds, scope, kind, for_ms, clock_mono_ms()))
        return;
    holds_set(worker->holds, scope, kind, for_ms, clock_mono_ms());
    if (queue_hold_set(worker->service->queue, scope, kind, for_ms, reason,
            strcmp(kind, "open") == 0, NULL, NULL) != 0)
        log_warn("hold_not_shared", LOG_TEXT("scope", scope));
    log_warn("hold_set", LOG_TEXT("scope", scope), LOG_TEXT("kind", kind),
        LOG_INT("for_ms", for_ms), LOG_TEXT("reason", reason));
}

static void
probe_succeeded(struct flight *flight)
{
    struct worker *worker = flight->worker;

    holds_clear(worker->holds, flight->probe_scope);
    breaker_close(&flight->bucket->breaker);
    governor_recovered(
        worker->governor, flight->bucket->scope, BREAKER_RAMP_MS);
    pace_soon(worker->pace);
    if (queue_hold_clear(
            worker->service->queue, flight->probe_scope, NULL, NULL) != 0)
        log_warn("hold_not_shared", LOG_TEXT("scope", flight->probe_scope));
    log_info("hold_lifted", LOG_TEXT("scope", flight->probe_scope));
    claim_wake_all(worker);
}

/* A long answer need not end: Claude is back when it begins. */
static void
on_begun(void *arg)
{
    struct flight *flight = arg;

    probe_succeeded(flight);
    flight_release_probe(flight);
    flight->probe = false;
}

static void
update_breaker(struct flight *flight, const struct outcome *outcome)
{
    struct worker *worker = flight->worker;
    struct breaker *breaker = &flight->bucket->breaker;
    bool failed = outcome->info->breaker_counts;
    /* The failure of one that took too long says nothing about now. */
    bool probe = failed ? flight_is_probe(flight) : flight->probe;
    int64_t now_ms = clock_mono_ms();
    int64_t open_ms;

    /* Sent before it opened: sixty calls that fail at once are one opening,
     * not seven that double the time each. */
    if (!probe && holds_is_broken(worker->holds, flight->bucket->hold_scope))
        return;
    breaker_record(breaker, now_ms, !failed);
    if (probe && !failed && outcome->info->verdict != OUTCOME_PAUSE_POOL)
        probe_succeeded(flight);
    if (!failed || (!probe && !breaker_should_open(breaker, now_ms)))
        return;
    open_ms = breaker_open_ms(breaker, now_ms, probe, random_bits());
    hold(worker, flight->bucket->hold_scope, "open", open_ms,
        outcome->info->text);
    /* One job that always fails must not keep all others waiting. */
    if (probe)
        flight->after_probe_ms = open_ms + AFTER_PROBE_MS;
}

static void
update_holds(struct flight *flight, const struct outcome *outcome)
{
    struct worker *worker = flight->worker;
    int64_t for_ms = outcome->hold_until_ms - clock_wall_ms();

    if (outcome->hold_until_ms == 0 || for_ms <= 0)
        return;
    if (outcome->info->verdict == OUTCOME_PAUSE_POOL) {
        /* Sent with the key before this one, it says nothing about it. */
        if (flight->sent_ms < flight->bucket->pool->key_ms)
            return;
        hold(worker, flight->bucket->pool->hold_scope, "paused", for_ms,
            outcome->info->text);
    } else {
        hold(worker, flight->bucket->hold_scope,
            outcome->class_id == OUTCOME_CLASS_OVERLOADED ? "overloaded"
                                                          : "limited",
            for_ms, outcome->info->text);
    }
}

/* --- what the job learns from it ------------------------------------- */

static void
fill_error(struct flight *flight, const struct claude_reply *reply)
{
    struct job_error *error = &flight->result.error;
    const struct outcome_class *info = reply->outcome.info;
    const char *message = reply->error.message;

    if (message[0] == '\0')
        message = reply->reason != NULL ? reply->reason : info->text;
    flight_set_error(flight, info->name, message);
    error->status = reply->status;
    text_copy(error->type, sizeof(error->type), slice_of(reply->error.type));
    text_copy(error->code, sizeof(error->code), slice_of(reply->error.code));
    text_copy(error->request_id, sizeof(error->request_id),
        slice_of(reply->request_id));
}

static void
fill_success(struct flight *flight, struct claude_reply *reply)
{
    struct job_result *result = &flight->result;
    const struct answer *answer = &reply->answer;
    const struct answer_usage *usage = &answer->usage;
    const struct service *service = flight->worker->service;

    result->state = JOB_SUCCEEDED;
    if (job_model_is_valid(slice_of(answer->model)))
        text_copy(
            result->model, sizeof(result->model), slice_of(answer->model));
    text_copy(result->stop_reason, sizeof(result->stop_reason),
        slice_of(answer->stop_reason));
    result->usage = (struct job_usage){
        .input_tokens = (uint64_t)usage->input_tokens,
        .output_tokens = (uint64_t)usage->output_tokens,
        .cache_read_tokens = (uint64_t)usage->cache_read_input_tokens,
        .cache_write_5m_tokens =
            (uint64_t)usage->cache_creation_5m_input_tokens,
        .cache_write_1h_tokens =
            (uint64_t)usage->cache_creation_1h_input_tokens,
    };
    /* An old answer form has only the sum: five minutes is the default. */
    if (result->usage.cache_write_5m_tokens == 0 &&
        result->usage.cache_write_1h_tokens == 0)
        result->usage.cache_write_5m_tokens =
            (uint64_t)usage->cache_creation_input_tokens;
    result->simulated = result->simulated || reply->simulated;
    result->cost_usd_nanos = result->simulated
        ? -1
        : models_cost_usd_nanos(service->models, result->model, &result->usage);
    result->finished_ms = clock_wall_ms();
    flight->answer = reply->message;
    reply->message = (struct buffer){NULL, 0, 0};
}

static void
delay(struct flight *flight, const struct outcome *outcome)
{
    const struct job_meta *meta = &flight->result.meta;
    int64_t now_ms = clock_wall_ms();
    int64_t least_ms = now_ms + flight->after_probe_ms;
    int64_t next_ms;
    /* What holds the bucket is no fact about the job: it may go elsewhere. */
    int64_t told_ms = outcome->hold_until_ms > 0 && outcome->info->holds_bucket
        ? 0
        : outcome->retry_at_ms;

    if (outcome->info->breaker_counts && !flight->probe &&
        !breaker_affords_retry(&flight->bucket->breaker))
        least_ms =
            now_ms + retry_patient_ms(flight->worker->retry, random_bits());
    next_ms = retry_next_ms(flight->worker->retry, flight->result.error.calls,
        random_bits(), now_ms, told_ms > least_ms ? told_ms : least_ms);
    if (flight->result.attempts >= meta->max_attempts) {
        flight_end(flight, JOB_FAILED);
        return;
    }
    flight->retry_delay_ms = next_ms - now_ms;
    flight_move(flight, FLIGHT_DELAYING);
    flight_acknowledge(flight);
}

/* 429 and a request that never left cost nothing; what Claude worked on
 * before another trouble is not known. */
static void
settle_quota(struct flight *flight, const struct claude_reply *reply)
{
    struct governor *governor = flight->worker->governor;
    const char *scope = flight->bucket->scope;
    enum outcome_class_id id = reply->outcome.class_id;
    bool known =
        reply->outcome.verdict == OUTCOME_SUCCEEDED && reply->answer.has_usage;

    flight_end_quota(flight,
        known                                      ? GOVERNOR_USED
            : !reply->sent || reply->status == 429 ? GOVERNOR_UNUSED
                                                   : GOVERNOR_UNKNOWN,
        &reply->answer.usage);
    if (reply->status != 0)
        governor_hear(governor, scope, &reply->limits, clock_mono_ms());
    if (id == OUTCOME_CLASS_RATE_LIMIT ||
        id == OUTCOME_CLASS_ACCELERATION_LIMIT)
        governor_refused(governor, scope,
            id == OUTCOME_CLASS_ACCELERATION_LIMIT, clock_mono_ms());
    if (reply->status == 429 || governor_is_news(governor, scope))
        pace_soon(flight->worker->pace);
}

static void
log_call(const struct flight *flight, const struct claude_reply *reply)
{
    const struct outcome *outcome = &reply->outcome;
    enum log_level level = outcome->verdict == OUTCOME_SUCCEEDED
        ? LOG_LEVEL_DEBUG
        : LOG_LEVEL_INFO;

    if (!log_takes(level))
        return;
    log_write(level, "call_ended",
        LOG_FIELDS(LOG_TEXT("job", flight->result.id),
            LOG_TEXT("tenant", flight->result.meta.tenant),
            LOG_TEXT("model", flight->result.model),
            LOG_INT("call", flight->result.error.calls),
            LOG_INT("status", reply->status),
            LOG_TEXT("class", outcome->info->name),
            LOG_TEXT("error_type",
                reply->error.type[0] != '\0' ? reply->error.type : NULL),
            LOG_INT("duration_ms", reply->duration_us / 1000),
            LOG_INT("input_tokens", reply->answer.usage.input_tokens),
            LOG_INT("output_tokens", reply->answer.usage.output_tokens)));
}

static void
follow_verdict(struct flight *flight, struct claude_reply *reply)
{
    const struct outcome *outcome = &reply->outcome;
    bool expired = flight->deadline_ms <= clock_mono_ms();

    if (outcome->verdict == OUTCOME_SUCCEEDED) {
        fill_success(flight, reply);
        flight_save(flight);
        return;
    }
    fill_error(flight, reply);
    if (expired) {
        flight_end(flight, JOB_EXPIRED);
    } else if (outcome->verdict == OUTCOME_FAIL) {
        flight_end(flight, JOB_FAILED);
    } else if (outcome->verdict == OUTCOME_PAUSE_POOL) {
        flight_move(flight, FLIGHT_RELEASING);
        flight_acknowledge(flight);
    } else {
        delay(flight, outcome);
    }
}

/* When the upstream is known to be down, that was not the job's attempt. */
static bool
is_attempt(const struct flight *flight, const struct outcome *outcome)
{
    bool down = flight->probe ||
        holds_is_broken(flight->worker->holds, flight->bucket->hold_scope);

    if (outcome->verdict == OUTCOME_SUCCEEDED)
        return true;
    return outcome->counts_as_attempt &&
        !(down && outcome->info->breaker_counts);
}

static void
count_attempt(struct flight *flight, const struct claude_reply *reply)
{
    const char *error = reply->error.type[0] != '\0'
        ? reply->error.type
        : reply->outcome.info->name;

    flight->result.attempts = flight->attempts + 1;
    gauges_attempt(flight->worker, &flight->result.meta,
        reply->outcome.verdict == OUTCOME_SUCCEEDED ? NULL : error);
}

static void
on_reply(void *arg, struct claude_reply *reply)
{
    struct flight *flight = arg;
    const struct outcome *outcome = &reply->outcome;

    crash_point("call.answered");
    flight->call = NULL;
    flight->call_us = reply->duration_us;
    flight->result.error.calls++;
    judge_refusal(flight, &reply->outcome);
    settle_quota(flight, reply);
    log_call(flight, reply);
    gauges_call(
        flight->worker, flight->bucket->pool, flight->result.model, reply);
    update_breaker(flight, outcome);
    update_holds(flight, outcome);
    flight_release_probe(flight);
    if (is_attempt(flight, outcome))
        count_attempt(flight, reply);
    if (outcome->verdict != OUTCOME_SUCCEEDED && reply->sent &&
        outcome->info->may_be_billed) {
        flight->result.unknown_calls++;
        flight->result.error.unknown_calls++;
    }
    follow_verdict(flight, reply);
}
