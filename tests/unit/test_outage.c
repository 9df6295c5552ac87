/*
 * An outage of half an hour, in virtual time: two workers, one line of jobs,
 * the policies as they are (breaker, budget, retry), and around them only
 * what Redis does: a line that is paced, a hold that all share, one right to
 * probe. What an outage costs in calls, and how soon the pace is back.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/breaker.h"
#include "worker/retry.h"

#define WORKERS 2
#define JOBS 40000
#define STEP_MS 50
#define MINUTE_MS INT64_C(60000)
#define OUTAGE_MS (30 * MINUTE_MS)
#define START_MS (5 * MINUTE_MS)
#define END_MS (START_MS + OUTAGE_MS)
#define NEVER INT64_MAX

struct job {
    enum { WAITS, DELAYED, CALLED, DONE } state;
    int64_t at_ms; /* DELAYED: due; CALLED: the answer */
    int64_t sent_ms;
    unsigned worker;
    unsigned calls;
    unsigned attempts;
    bool probe;
};

struct world {
    int64_t now_ms;
    uint64_t random;
    unsigned per_min;
    int64_t call_ms; /* a call that goes well */
    int64_t fail_ms; /* and one that does not */
    unsigned fails_of_ten; /* during the trouble */
    struct breaker breakers[WORKERS];
    struct retry_policy retry;
    bool open;
    int64_t open_until_ms;
    int64_t probe_until_ms; /* somebody has the right to probe */
    double level; /* of the bucket of requests */
    int64_t ramp_from_ms;
    struct job jobs[JOBS];
    /* The line: what was handed back first, as it came; then new ones. */
    unsigned again[JOBS * 16];
    unsigned again_head;
    unsigned again_tail;
    unsigned next_new;
    unsigned first; /* all before it are done */
    unsigned calls;
    unsigned outage_calls;
    unsigned done;
    unsigned most_attempts;
    int64_t closed_ms; /* when it went on after the trouble */
};

static uint64_t
bits(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static bool
is_down(struct world *w)
{
    return w->now_ms >= START_MS && w->now_ms < END_MS &&
        bits(w) % 10 < w->fails_of_ten;
}

static void
open_breaker(struct world *w, struct job *job, bool probe)
{
    struct breaker *breaker = &w->breakers[job->worker];
    int64_t open_ms = breaker_open_ms(breaker, w->now_ms, probe, bits(w));

    w->open = true;
    w->open_until_ms = w->now_ms + open_ms;
    if (probe)
        job->at_ms = w->open_until_ms + 1000;
}

static void
call_failed(struct world *w, struct job *job)
{
    struct breaker *breaker = &w->breakers[job->worker];
    bool probe = job->probe && w->now_ms < w->probe_until_ms;
    int64_t wait_ms = retry_delay_ms(w->retry, job->calls, bits(w));

    job->state = DELAYED;
    job->at_ms = 0;
    if (!job->probe && !breaker_affords_retry(breaker))
        wait_ms = retry_patient_ms(w->retry, bits(w));
    if (probe || !w->open) {
        breaker_record(breaker, w->now_ms, false);
        if (probe || breaker_should_open(breaker, w->now_ms))
            open_breaker(w, job, probe);
    }
    job->attempts += !job->probe && !w->open;
    if (probe)
        w->probe_until_ms = 0;
    if (job->at_ms < w->now_ms + wait_ms)
        job->at_ms = w->now_ms + wait_ms;
}

static void
call_succeeded(struct world *w, struct job *job)
{
    struct breaker *breaker = &w->breakers[job->worker];

    job->state = DONE;
    w->done++;
    if (w->open && !job->probe)
        return;
    breaker_record(breaker, w->now_ms, true);
    if (!job->probe)
        return;
    breaker_close(breaker);
    w->open = false;
    w->ramp_from_ms = w->now_ms;
    if (w->now_ms >= END_MS && w->closed_ms == 0)
        w->closed_ms = w->now_ms;
}

static void
answer_calls(struct world *w)
{
    while (w->first < w->next_new && w->jobs[w->first].state == DONE)
        w->first++;
    for (unsigned i = w->first; i < w->next_new; i++) {
        struct job *job = &w->jobs[i];

        if (job->state == DELAYED && job->at_ms <= w->now_ms) {
            job->state = WAITS;
            assert_true(w->again_tail < sizeof(w->again) / sizeof(*w->again));
            w->again[w->again_tail++] = i;
        } else if (job->state == CALLED && job->at_ms <= w->now_ms) {
            if (job->attempts > w->most_attempts)
                w->most_attempts = job->attempts;
            if (is_down(w))
                call_failed(w, job);
            else
                call_succeeded(w, job);
        }
    }
}

static void
refill(struct world *w)
{
    double pace = 1;
    int64_t since_ms = w->now_ms - w->ramp_from_ms;

    if (since_ms < BREAKER_RAMP_MS)
        pace = 0.25 + 0.75 * (double)since_ms / BREAKER_RAMP_MS;
    w->level += w->per_min / 60000.0 * STEP_MS * pace;
    if (w->level > w->per_min / 100.0)
        w->level = w->per_min / 100.0; /* 600 ms fit */
}

static bool
start_one(struct world *w, bool probe)
{
    bool down = w->now_ms >= START_MS && w->now_ms < END_MS;
    struct job *job;

    if (w->level < 1)
        return false;
    if (w->again_head < w->again_tail)
        job = &w->jobs[w->again[w->again_head++]];
    else if (w->next_new < JOBS)
        job = &w->jobs[w->next_new++];
    else
        return false;
    w->level--;
    w->calls++;
    w->outage_calls += down;
    *job = (struct job){
        .state = CALLED,
        .at_ms = w->now_ms + (down ? w->fail_ms : w->call_ms),
        .worker = (unsigned)(bits(w) % WORKERS),
        .calls = job->calls + 1,
        .attempts = job->attempts,
        .probe = probe,
    };
    return true;
}

static void
start_calls(struct world *w)
{
    refill(w);
    if (w->open) {
        if (w->now_ms >= w->open_until_ms && w->now_ms >= w->probe_until_ms &&
            start_one(w, true))
            w->probe_until_ms = w->now_ms + BREAKER_PROBE_MS;
        return;
    }
    while (start_one(w, false))
        continue;
}

static struct world world;

static struct world *
begin(unsigned per_min, unsigned fails_of_ten, int64_t fail_ms)
{
    memset(&world, 0, sizeof(world));
    world.random = UINT64_C(0x9e3779b97f4a7c15);
    world.per_min = per_min;
    world.fails_of_ten = fails_of_ten;
    world.call_ms = 2000;
    world.fail_ms = fail_ms;
    world.retry = retry_policy_default();
    for (unsigned i = 0; i < WORKERS; i++)
        breaker_init(&world.breakers[i]);
    return &world;
}

static void
run_until(struct world *w, int64_t until_ms)
{
    while (w->now_ms < until_ms) {
        w->now_ms += STEP_MS;
        answer_calls(w);
        start_calls(w);
    }
}

/* The whole way; returns how many were done in the minute that begins half a
 * minute after the end. */
static unsigned
live_through(struct world *w)
{
    unsigned done;

    run_until(w, END_MS + 30000);
    done = w->done;
    run_until(w, END_MS + 90000);
    done = w->done - done;
    run_until(w, END_MS + 5 * MINUTE_MS);
    assert_true(w->closed_ms > 0);
    assert_true(w->closed_ms - END_MS <=
        BREAKER_OPEN_MAX_MS + 1000 + w->call_ms + STEP_MS);
    return done;
}

static void
half_an_hour_costs_few_calls_and_the_pace_is_back_in_half_a_minute(void **state)
{
    static const struct {
        unsigned per_min;
        int64_t fail_ms;
    } rows[] = {{600, 50}, {600, 2000}, {1500, 50}, {1500, 5000}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = begin(rows[i].per_min, 10, rows[i].fail_ms);
        unsigned done = live_through(w);

        /* What begins until the first fails and for a second more, eight
         * for each worker, and the probes. */
        assert_in_range(w->outage_calls, 100,
            8 * WORKERS + 150 +
                rows[i].per_min * (rows[i].fail_ms + 1500) / 60000);
        assert_true(w->calls <= w->done * 1.1);
        assert_true(w->most_attempts <= 5); /* of 8 */
        assert_true(done >= rows[i].per_min * 0.95);
    }
}

static void
an_upstream_that_fails_nine_of_ten_is_not_asked_all_the_time(void **state)
{
    struct world *w = begin(1500, 9, 50);
    unsigned done;

    (void)state;
    done = live_through(w);
    assert_true(w->outage_calls < 1500 * 30 / 10);
    assert_true(w->calls <= w->done * 1.3);
    assert_true(done >= 1500 * 0.95);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            half_an_hour_costs_few_calls_and_the_pace_is_back_in_half_a_minute),
        cmocka_unit_test(
            an_upstream_that_fails_nine_of_ten_is_not_asked_all_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
