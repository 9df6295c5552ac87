#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/governor.h"

/* Starts whatever is granted during [0, end_ms), looking every 10 ms. */
static unsigned
start_all(struct governor *governor, int64_t end_ms, int64_t input,
    int64_t output, unsigned *most_at_once)
{
    unsigned started = 0;

    for (int64_t now_ms = 0; now_ms < end_ms; now_ms += 10) {
        unsigned n = governor_grant(governor, "opus", now_ms, 1000);

        if (n > *most_at_once)
            *most_at_once = n;
        for (unsigned i = 0; i < n; i++) {
            struct governor_reserve reserve =
                governor_start(governor, "opus", now_ms, input);

            governor_settle(governor, "opus", now_ms, &reserve, input, output);
        }
        started += n;
    }
    return started;
}

static void
without_limits_everything_is_granted(void **state)
{
    const struct governor_limits limits = {0, 0, 0};
    struct governor *governor = governor_new(&limits, 0);

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(governor_grant(governor, "a", 0, 64), 64);
        governor_start(governor, "a", 0, 1000000);
    }
    governor_free(governor);
}

static void
sixty_a_minute_is_one_a_second_and_not_sixty_at_once(void **state)
{
    const struct governor_limits limits = {60, 0, 0};
    struct governor *governor = governor_new(&limits, 0);
    unsigned most = 0;
    unsigned started = start_all(governor, 60000, 10, 10, &most);

    (void)state;
    assert_int_equal(most, 1);
    assert_in_range(started, 59, 61);
    governor_free(governor);
}

static void
input_tokens_are_used_fully_and_not_exceeded(void **state)
{
    const struct governor_limits limits = {0, 60000, 0};
    struct governor *governor = governor_new(&limits, 0);
    unsigned most = 0;
    unsigned started = start_all(governor, 120000, 500, 10, &most);

    (void)state;
    /* 120 s at 1,000 tokens a second, one second of burst. */
    assert_in_range(started, 236, 244);
    governor_free(governor);
}

static void
output_tokens_are_paced_by_what_jobs_really_produce(void **state)
{
    const struct governor_limits limits = {0, 0, 6000};
    struct governor *governor = governor_new(&limits, 0);
    unsigned most = 0;
    unsigned started = start_all(governor, 60000, 10, 50, &most);

    (void)state;
    assert_in_range(started, 116, 124);
    governor_free(governor);
}

static void
a_job_larger_than_the_burst_runs_and_is_paid_back(void **state)
{
    const struct governor_limits limits = {0, 60000, 0};
    struct governor *governor = governor_new(&limits, 0);
    struct governor_reserve reserve;

    (void)state;
    assert_int_equal(governor_grant(governor, "a", 0, 1), 1);
    reserve = governor_start(governor, "a", 0, 11000);
    governor_settle(governor, "a", 0, &reserve, 11000, 10);
    assert_int_equal(governor_grant(governor, "a", 9900, 1), 0);
    assert_int_equal(governor_grant(governor, "a", 10100, 1), 1);
    governor_free(governor);
}

static void
a_reservation_that_was_not_used_comes_back(void **state)
{
    const struct governor_limits limits = {0, 60000, 0};
    struct governor *governor = governor_new(&limits, 0);
    struct governor_reserve reserve = governor_start(governor, "a", 0, 50000);

    (void)state;
    assert_int_equal(governor_grant(governor, "a", 1, 1), 0);
    governor_settle(governor, "a", 1, &reserve, 0, 0);
    assert_int_equal(governor_grant(governor, "a", 1, 1), 1);
    governor_free(governor);
}

static void
workers_share_the_limit_and_buckets_do_not(void **state)
{
    const struct governor_limits limits = {6000, 0, 0};
    struct governor *governor = governor_new(&limits, 0);
    unsigned most = 0;
    unsigned started;

    (void)state;
    governor_set_workers(governor, 4);
    started = start_all(governor, 60000, 1, 1, &most);
    assert_in_range(started, 1495, 1600);
    assert_int_not_equal(governor_grant(governor, "haiku", 60000, 10), 0);
    governor_set_workers(governor, 0);
    governor_free(governor);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_is_granted),
        cmocka_unit_test(sixty_a_minute_is_one_a_second_and_not_sixty_at_once),
        cmocka_unit_test(input_tokens_are_used_fully_and_not_exceeded),
        cmocka_unit_test(output_tokens_are_paced_by_what_jobs_really_produce),
        cmocka_unit_test(a_job_larger_than_the_burst_runs_and_is_paid_back),
        cmocka_unit_test(a_reservation_that_was_not_used_comes_back),
        cmocka_unit_test(workers_share_the_limit_and_buckets_do_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
