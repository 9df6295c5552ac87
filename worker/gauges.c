#include "worker/gauges.h"

#include <stddef.h>

#include "common/service/config.h"
#include "common/service/metrics.h"
#include "common/service/models.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claude.h"
#include "worker/governor.h"
#include "worker/worker.h"

static const struct metric_family upstream_requests = {
    "longhaul_upstream_requests_total", "Calls to Claude by what they came to",
    METRIC_COUNTER, {"model", "class", "pool", NULL}};
static const struct metric_family upstream_seconds = {
    "longhaul_upstream_request_seconds", "Duration of calls to Claude",
    METRIC_HISTOGRAM, {"model", NULL}};
static const struct metric_family upstream_inflight = {
    "longhaul_upstream_inflight", "Calls to Claude in flight", METRIC_GAUGE,
    {NULL}};
static const struct metric_family unknown_calls = {
    "longhaul_unknown_calls_total",
    "Calls whose outcome is not known and that may have been billed",
    METRIC_COUNTER, {"model", NULL}};
static const struct metric_family finished = {"longhaul_jobs_finished_total",
    "Jobs that ended", METRIC_COUNTER, {"lane", "outcome", NULL}};
static const struct metric_family total_seconds = {"longhaul_job_total_seconds",
    "From the submit to the result", METRIC_HISTOGRAM, {"lane", NULL}};
static const struct metric_family wait_seconds = {"longhaul_job_wait_seconds",
    "From the submit to the first claim", METRIC_HISTOGRAM, {"lane", NULL}};
static const struct metric_family run_seconds = {"longhaul_job_run_seconds",
    "From the first claim to the result, pauses between attempts included",
    METRIC_HISTOGRAM, {"lane", NULL}};
static const struct metric_family attempts = {"longhaul_job_attempts_total",
    "Calls that count as attempts by the error they ended with", METRIC_COUNTER,
    {"lane", "error_type", NULL}};
static const struct metric_family tokens = {"longhaul_tokens_total",
    "Tokens of saved answers", METRIC_COUNTER, {"model", "kind", NULL}};
static const struct metric_family cost = {
    "longhaul_cost_estimate_dollars_total",
    "Cost of saved answers at the dated list prices", METRIC_COUNTER,
    {"model", NULL}};
static const struct metric_family takeovers = {"longhaul_takeovers_total",
    "Jobs taken from dead workers", METRIC_COUNTER, {NULL}};
static const struct metric_family flights = {"longhaul_worker_flights",
    "Jobs in this worker's hands by state", METRIC_GAUGE, {"state", NULL}};
static const struct metric_family store_queue = {"longhaul_store_queue_length",
    "Writes that wait for the committer", METRIC_GAUGE, {NULL}};
static const struct metric_family last_commit = {"longhaul_store_sync_seconds",
    "Duration of the last commit", METRIC_GAUGE, {NULL}};

static const struct metric_family quota_limit = {"longhaul_quota_per_minute",
    "What may be used of Claude's rate limits", METRIC_GAUGE,
    {"pool", "bucket", "kind", NULL}};
static const struct metric_family quota_level = {"longhaul_quota_level",
    "What may be used at once; below 0: owed", METRIC_GAUGE,
    {"pool", "bucket", "kind", NULL}};
static const struct metric_family quota_reserved = {
    "longhaul_quota_reserved_total", "Reserved for calls of this worker",
    METRIC_COUNTER, {"pool", "bucket", "kind", NULL}};
static const struct metric_family quota_brake = {"longhaul_quota_brake",
    "The share of the quota that other users of the key leave to us",
    METRIC_GAUGE, {"pool", "bucket", NULL}};
static const struct metric_family quota_refused = {
    "longhaul_quota_refused_total", "Calls that Claude answered 429",
    METRIC_COUNTER, {"pool", "bucket", NULL}};

static const struct metric_family header_limit = {
    "longhaul_upstream_ratelimit_limit", "Claude's rate limit, by its headers",
    METRIC_GAUGE, {"pool", "bucket", "kind", NULL}};
static const struct metric_family header_remaining = {
    "longhaul_upstream_ratelimit_remaining",
    "What remained of it at the last answer", METRIC_GAUGE,
    {"pool", "bucket", "kind", NULL}};
static const struct metric_family header_reset = {
    "longhaul_upstream_ratelimit_reset_timestamp_seconds",
    "When all of it is there again, by the last answer", METRIC_GAUGE,
    {"pool", "bucket", "kind", NULL}};

static const char *const quota_kind_names[QUOTA_KINDS] = {
    "requests", "input_tokens", "output_tokens"};
static const char *const flight_state_names[FLIGHT_STATES] = {"claimed",
    "calling", "saving", "acking", "burying", "delaying", "releasing"};

/* Only models of the price table are labels: what clients invent would make
 * endless series. */
static const char *
model_label(const struct worker *worker, const char *model)
{
    return models_find(worker->service->models, model) != NULL ? model
                                                               : "other";
}

/* The clocks of two machines may differ a little. */
static void
observe_span(struct metrics *metrics, const struct metric_family *family,
    const char *const *labels, int64_t from_ms, int64_t to_ms)
{
    metrics_observe(metrics, family, labels,
        to_ms > from_ms ? (double)(to_ms - from_ms) / 1e3 : 0);
}

void
gauges_claimed(struct worker *worker, const struct job_result *job, bool first)
{
    const char *lane = job_lane_name(job->meta.lane);

    /* A replay waited for a person, not for a worker. */
    if (first && job->generation == 0)
        observe_span(worker->service->metrics, &wait_seconds, &lane,
            job->meta.created_ms, job->started_ms);
}

void
gauges_attempt(
    struct worker *worker, const struct job_meta *meta, const char *error_type)
{
    const char *labels[] = {
        job_lane_name(meta->lane), error_type != NULL ? error_type : "none"};

    metrics_add(worker->service->metrics, &attempts, labels, 1);
}

void
gauges_call(struct worker *worker, const struct pool *pool, const char *model,
    const struct claude_reply *reply)
{
    struct metrics *metrics = worker->service->metrics;
    const char *labels[] = {
        model_label(worker, model), reply->outcome.info->name, pool_name(pool)};

    metrics_add(metrics, &upstream_requests, labels, 1);
    metrics_observe(
        metrics, &upstream_seconds, labels, (double)reply->duration_us / 1e6);
    if (reply->outcome.info->may_be_billed && reply->sent)
        metrics_add(metrics, &unknown_calls, labels, 1);
}

void
gauges_cut(struct worker *worker, const char *model)
{
    const char *label = model_label(worker, model);

    metrics_add(worker->service->metrics, &unknown_calls, &label, 1);
}

static void
add_tokens(struct metrics *metrics, const char *model, const char *kind,
    uint64_t count)
{
    const char *labels[] = {model, kind};

    if (count > 0)
        metrics_add(metrics, &tokens, labels, (double)count);
}

void
gauges_finished(struct worker *worker, const struct job_result *result)
{
    struct metrics *metrics = worker->service->metrics;
    const char *model = model_label(worker, result->model);
    const char *lane[] = {
        job_lane_name(result->meta.lane), job_state_name(result->state)};
    const struct job_usage *usage = &result->usage;

    metrics_add(metrics, &finished, lane, 1);
    observe_span(metrics, &total_seconds, lane, result->meta.created_ms,
        result->finished_ms);
    /* A row has an attempt only if a claim was for a call. */
    if (result->attempts > 0)
        observe_span(metrics, &run_seconds, lane, result->started_ms,
            result->finished_ms);
    add_tokens(metrics, model, "input", usage->input_tokens);
    add_tokens(metrics, model, "output", usage->output_tokens);
    add_tokens(metrics, model, "cache_read", usage->cache_read_tokens);
    add_tokens(metrics, model, "cache_write",
        usage->cache_write_5m_tokens + usage->cache_write_1h_tokens);
    if (result->cost_usd_nanos > 0)
        metrics_add(
            metrics, &cost, &model, (double)result->cost_usd_nanos / 1e9);
}

void
gauges_reaped(struct worker *worker, unsigned jobs)
{
    metrics_add(worker->service->metrics, &takeovers, NULL, (double)jobs);
}

static void
show_headers(struct metrics *metrics, const struct governor_headers *heard,
    unsigned kind, const char *const *labels)
{
    if (heard->limit[kind] >= 0)
        metrics_set(metrics, &header_limit, labels, (double)heard->limit[kind]);
    if (heard->remaining[kind] >= 0)
        metrics_set(
            metrics, &header_remaining, labels, (double)heard->remaining[kind]);
    if (heard->reset_ms[kind] >= 0)
        metrics_set(metrics, &header_reset, labels,
            (double)heard->reset_ms[kind] / 1e3);
}

static void
show_quota(struct metrics *metrics, const struct governor_view *view)
{
    struct slice bucket = slice_of(view->scope);
    struct slice name = slice_split(&bucket, '/');
    char pool[CONFIG_POOL_NAME_MAX + 1];
    const char *labels[] = {pool, bucket.data, NULL};

    (void)text_copy(pool, sizeof(pool), name);
    metrics_set(metrics, &quota_brake, labels, view->brake);
    metrics_set(metrics, &quota_refused, labels, (double)view->refusals);
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        labels[2] = quota_kind_names[kind];
        show_headers(metrics, &view->heard, kind, labels);
        metrics_set(
            metrics, &quota_reserved, labels, (double)view->reserved[kind]);
        if (view->per_min[kind] <= 0)
            continue;
        metrics_set(metrics, &quota_limit, labels, (double)view->per_min[kind]);
        metrics_set(metrics, &quota_level, labels, (double)view->level[kind]);
    }
}

static void
show_quotas(struct worker *worker)
{
    struct metrics *metrics = worker->service->metrics;
    struct governor_view view;

    metrics_reset(metrics, &quota_limit);
    metrics_reset(metrics, &quota_level);
    for (unsigned i = 0; governor_get(worker->governor, i, &view); i++)
        show_quota(metrics, &view);
}

void
gauges_scrape(void *arg)
{
    struct worker *worker = arg;
    struct metrics *metrics = worker->service->metrics;
    struct store_stats stats;

    for (unsigned i = 0; i < FLIGHT_STATES; i++)
        metrics_set(
            metrics, &flights, &flight_state_names[i], worker->counts[i]);
    metrics_set(
        metrics, &upstream_inflight, NULL, worker->counts[FLIGHT_CALLING]);
    store_get_stats(worker->service->store, &stats);
    metrics_set(metrics, &store_queue, NULL, (double)stats.queue_length);
    metrics_set(
        metrics, &last_commit, NULL, (double)stats.last_commit_us / 1e6);
    show_quotas(worker);
}
