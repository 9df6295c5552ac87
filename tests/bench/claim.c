/*
 * claim: how fast a consumer takes jobs from the queue and finishes them,
 * without calling anybody: claims up to --batch jobs, finishes each, until
 * --jobs are done. For the claim rate beside a long queue. Prints one JSON
 * object.
 */

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/net/redis.h"
#include "common/queue/queue.h"
#include "tests/bench/options.h"

struct claimer {
    struct event_base *base;
    struct queue *queue;
    const char *queue_name;
    char consumer[64];
    unsigned batch;
    uint64_t jobs;
    uint64_t claimed;
    uint64_t finished;
    uint64_t failed;
    unsigned under_way; /* finishes of the present batch */
    int64_t began_us;
};

static void claim(struct claimer *claimer);

static void
on_left(void *arg, enum queue_status status)
{
    struct claimer *claimer = arg;

    (void)status;
    (void)event_base_loopbreak(claimer->base);
}

static void
on_finished(void *arg, enum queue_status status)
{
    struct claimer *claimer = arg;

    claimer->finished++;
    claimer->failed += status != QUEUE_OK;
    if (--claimer->under_way == 0)
        claim(claimer);
}

static void
finish(struct claimer *claimer, const struct queue_claim *job)
{
    struct queue_owner owner = {
        .id = job->id, .consumer = claimer->consumer, .fence = job->fence};
    struct job_result result = {.state = JOB_SUCCEEDED,
        .generation = job->generation,
        .version = job->version + 1};

    (void)text_copy(result.id, sizeof(result.id), slice_of(job->id));
    claimer->under_way++;
    if (queue_finish(claimer->queue, &owner, &result, on_finished, claimer) !=
        0)
        exit(1);
}

static void
on_claims(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    struct claimer *claimer = arg;

    if (status != QUEUE_OK || count == 0) {
        fprintf(
            stderr, "claim: %s, %zu jobs\n", queue_status_name(status), count);
        exit(1);
    }
    claimer->claimed += count;
    for (size_t i = 0; i < count; i++)
        finish(claimer, &claims[i]);
}

static void
claim(struct claimer *claimer)
{
    uint64_t left = claimer->jobs - claimer->claimed;
    unsigned count = left < claimer->batch ? (unsigned)left : claimer->batch;
    int result = count > 0
        ? queue_claim(claimer->queue, claimer->consumer, claimer->queue_name,
              count, false, NULL, on_claims, claimer)
        : queue_leave(claimer->queue, claimer->consumer, on_left, claimer);

    if (result != 0)
        exit(1);
}

static void
on_state(void *arg, enum redis_state state)
{
    struct claimer *claimer = arg;

    if (state != REDIS_READY || claimer->began_us != 0)
        return;
    claimer->began_us = clock_mono_us();
    claim(claimer);
}

int
main(int argc, char **argv)
{
    static struct claimer claimer;
    struct redis_options options = {
        .url = options_text(argc, argv, "--redis", ""),
        .on_state = on_state,
        .arg = &claimer};
    struct redis *redis = NULL;
    double seconds = 0;

    memory_install_hooks();
    log_init("claim");
    log_set_level(LOG_LEVEL_WARN);
    claimer.queue_name = options_text(argc, argv, "--queue", "standard:other");
    claimer.batch = (unsigned)options_number(argc, argv, "--batch", 16);
    claimer.jobs = options_number(argc, argv, "--jobs", 1000);
    snprintf(claimer.consumer, sizeof(claimer.consumer), "bench-%ld-%lld",
        (long)getpid(), (long long)clock_mono_us());
    claimer.base = event_base_new();
    redis = redis_new(claimer.base, &options);
    claimer.queue = queue_new(claimer.base, redis);
    (void)event_base_dispatch(claimer.base);
    seconds = (double)(clock_mono_us() - claimer.began_us) / 1e6;
    printf("{\"jobs\":%llu,\"failed\":%llu,\"seconds\":%.6f,\"rate\":%.1f}\n",
        (unsigned long long)claimer.finished,
        (unsigned long long)claimer.failed, seconds,
        (double)claimer.finished / seconds);
    return claimer.failed == 0 ? 0 : 1;
}
