#include <string.h>

#include "common/base/clock.h"
#include "common/service/metrics.h"
#include "common/store/store.h"
#include "status-api/numbers.h"
#include "status-api/operations.h"
#include "status-api/status.h"
#include "status-api/waiters.h"

static const struct metric_family jobs = {.name = "longhaul_jobs",
    .help = "Jobs in flight by queue and state; retrying, closing and staged "
            "(items of batches on their way to a queue) are counted over all "
            "queues.",
    .kind = METRIC_GAUGE,
    .labels = {"queue", "state"}};
static const struct metric_family oldest = {
    .name = "longhaul_queue_oldest_ready_age_seconds",
    .help = "Age of the job that waits longest to be started.",
    .kind = METRIC_GAUGE,
    .labels = {"queue"}};
static const struct metric_family request_bytes = {
    .name = "longhaul_jobs_bytes",
    .help = "Stored request bytes of jobs in flight.",
    .kind = METRIC_GAUGE};
static const struct metric_family dead_letters = {
    .name = "longhaul_dead_letters",
    .help = "Failed jobs that wait for replay or discard.",
    .kind = METRIC_GAUGE};
static const struct metric_family batches = {.name = "longhaul_batches",
    .help = "Batches by state: open ones have items in flight, those in "
            "upload are not accepted yet.",
    .kind = METRIC_GAUGE,
    .labels = {"state"}};
static const struct metric_family submitted = {
    .name = "longhaul_queue_submitted_total",
    .help = "Jobs accepted since this Redis began.",
    .kind = METRIC_COUNTER};
static const struct metric_family paused = {.name = "longhaul_lane_paused",
    .help = "1 for every lane, pool or model bucket that is held back.",
    .kind = METRIC_GAUGE,
    .labels = {"queue", "reason"}};
static const struct metric_family workers = {.name = "longhaul_workers",
    .help = "Worker processes with a heartbeat.",
    .kind = METRIC_GAUGE};
static const struct metric_family redis_used = {
    .name = "longhaul_redis_used_bytes",
    .help = "Memory that Redis uses.",
    .kind = METRIC_GAUGE};
static const struct metric_family redis_max = {
    .name = "longhaul_redis_max_bytes",
    .help = "Redis's maxmemory, 0 for none.",
    .kind = METRIC_GAUGE};
static const struct metric_family store_bytes = {.name = "longhaul_store_bytes",
    .help = "Size of the result store.",
    .kind = METRIC_GAUGE};
static const struct metric_family store_free = {
    .name = "longhaul_store_free_bytes",
    .help = "Free space where the result store is.",
    .kind = METRIC_GAUGE};
static const struct metric_family waiting = {
    .name = "longhaul_longpoll_waiters",
    .help = "Requests that wait for a job to change.",
    .kind = METRIC_GAUGE};
static const struct metric_family running = {
    .name = "longhaul_operations_running",
    .help = "Operations that this process carries out.",
    .kind = METRIC_GAUGE,
    .labels = {"kind"}};

static void
set_queue(struct metrics *metrics, const struct queue_numbers *queue)
{
    char name[JOB_QUEUE_MAX + 1];
    text_copy(name, sizeof(name), queue->name);
    int64_t age = clock_wall_ms() - queue->oldest_ms;
    bool waits = queue->oldest_ms > 0 && age > 0;
    metrics_set(metrics, &jobs, (const char *const[]){name, "queued"},
        (double)queue->waiting);
    metrics_set(metrics, &jobs, (const char *const[]){name, "running"},
        (double)queue->running);
    metrics_set(metrics, &oldest, (const char *const[]){name},
        waits ? (double)age / 1000.0 : 0);
}

static void
set_queues(struct metrics *metrics, const struct queue_stats *stats)
{
    for (size_t i = 0; i < stats->queue_count; i++)
        set_queue(metrics, &stats->queues[i]);
    metrics_set(metrics, &jobs, (const char *const[]){"all", "retrying"},
        (double)stats->retrying);
    metrics_set(metrics, &jobs, (const char *const[]){"all", "closing"},
        (double)stats->closing);
    metrics_set(metrics, &jobs, (const char *const[]){"all", "staged"},
        (double)stats->unpromoted);
    metrics_set(metrics, &batches, (const char *const[]){"open"},
        (double)stats->batches);
    metrics_set(metrics, &batches, (const char *const[]){"upload"},
        (double)stats->uploads);
    metrics_set(metrics, &request_bytes, NULL, (double)stats->bytes);
    metrics_set(metrics, &dead_letters, NULL, (double)stats->dead);
    metrics_set(metrics, &submitted, NULL, (double)stats->submitted_total);
    metrics_set(metrics, &workers, NULL, (double)stats->consumer_count);
    metrics_set(metrics, &redis_used, NULL, (double)stats->redis_used_bytes);
    metrics_set(metrics, &redis_max, NULL, (double)stats->redis_max_bytes);
    for (size_t i = 0; i < stats->hold_count; i++) {
        const struct queue_hold *hold = &stats->holds[i];
        metrics_set(metrics, &paused,
            (const char *const[]){hold->scope, hold->kind}, 1);
    }
}

void
gauges_set(void *arg)
{
    struct status *status = arg;
    struct metrics *metrics = status->service->metrics;
    const struct queue_stats *stats = numbers_get(status->numbers);
    static const struct metric_family *const stale[] = {&jobs, &oldest,
        &request_bytes, &dead_letters, &batches, &submitted, &paused, &workers,
        &redis_used, &redis_max};
    struct store_stats store;
    for (size_t i = 0; i < sizeof(stale) / sizeof(stale[0]); i++)
        metrics_reset(metrics, stale[i]);
    /* Old numbers would look like a queue that stands still. */
    if (stats != NULL)
        set_queues(metrics, stats);
    store_get_stats(status->service->store, &store);
    metrics_set(metrics, &store_bytes, NULL, (double)store.file_bytes);
    metrics_set(metrics, &store_free, NULL, (double)store.free_bytes);
    metrics_set(
        metrics, &waiting, NULL, (double)waiters_count(status->waiters));
    for (unsigned i = 0; i < OPERATION_ACTIONS; i++)
        metrics_set(metrics, &running,
            (const char *const[]){operation_action_name(i)},
            operations_running(status->operations, i));
}
