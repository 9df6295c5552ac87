#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/breaker.h"

static void
a_few_failures_do_not_open_it(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < BREAKER_MIN_FAILURES - 1; i++)
        breaker_record(&breaker, 1000, false);
    assert_false(breaker_should_open(&breaker, 1000));
    breaker_record(&breaker, 1000, false);
    assert_true(breaker_should_open(&breaker, 1000));
}

static void
failures_among_more_successes_do_not_open_it(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 100; i++)
        breaker_record(&breaker, 1000 + i, i % 10 != 0);
    assert_false(breaker_should_open(&breaker, 1100));
    for (unsigned i = 0; i < 100; i++)
        breaker_record(&breaker, 1100, false);
    assert_true(breaker_should_open(&breaker, 1100));
}

/* At the beginning of an outage: the successes of half a minute before it
 * weigh nothing. */
static void
failures_in_a_row_open_it_after_a_second(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 500; i++)
        breaker_record(&breaker, 1000, true);
    for (unsigned i = 0; i < 100; i++)
        breaker_record(&breaker, 2000, false);
    assert_false(breaker_should_open(&breaker, 2000 + BREAKER_ROW_MS - 1));
    assert_true(breaker_should_open(&breaker, 2000 + BREAKER_ROW_MS));
    breaker_record(&breaker, 2900, true);
    breaker_record(&breaker, 2950, false);
    assert_false(breaker_should_open(&breaker, 2000 + BREAKER_ROW_MS));
}

static void
old_failures_are_forgotten(void **state)
{
    struct breaker breaker;
    int64_t window_ms = (int64_t)BREAKER_SLOTS * BREAKER_SLOT_MS;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 20; i++)
        breaker_record(&breaker, 1000, false);
    breaker_record(&breaker, 1000, true);
    assert_true(breaker_should_open(&breaker, 1000 + window_ms - 1));
    assert_false(breaker_should_open(&breaker, 1000 + window_ms));
}

static void
it_stays_open_twice_as_long_after_each_failed_probe(void **state)
{
    struct breaker breaker;
    const int64_t longest[] = {5000, 10000, 15000, 15000, 15000};
    int64_t now_ms = 1000;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 5; i++) {
        /* Other workers' probes were between. */
        assert_int_equal(
            breaker_open_ms(&breaker, now_ms, i > 0, 0), longest[i]);
        now_ms += longest[i] + 60000;
    }
}

/* One call in a row of failures got through: that is no recovery. */
static void
a_success_between_does_not_shorten_the_next_opening(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    assert_int_equal(breaker_open_ms(&breaker, 1000, false, 0), 5000);
    breaker_record(&breaker, 6100, true);
    breaker_close(&breaker);
    assert_int_equal(breaker_open_ms(&breaker, 9000, false, 0), 10000);
    breaker_close(&breaker);
    assert_int_equal(
        breaker_open_ms(&breaker, 19000 + BREAKER_CALM_MS, false, 0), 15000);
    breaker_close(&breaker);
    assert_int_equal(
        breaker_open_ms(&breaker, 34001 + 2 * BREAKER_CALM_MS, false, 0), 5000);
}

static void
a_clock_that_jumps_back_does_not_lengthen_it(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    assert_int_equal(breaker_open_ms(&breaker, 1000000, false, 0), 5000);
    assert_int_equal(breaker_open_ms(&breaker, 1000, false, 0), 5000);
}

static void
ten_successes_pay_for_one_retry(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < BREAKER_BUDGET_MAX; i++)
        assert_true(breaker_affords_retry(&breaker));
    assert_false(breaker_affords_retry(&breaker));
    for (unsigned i = 0; i < BREAKER_BUDGET_SHARE; i++) {
        assert_false(breaker_affords_retry(&breaker));
        breaker_record(&breaker, 1000, true);
        breaker_record(&breaker, 1000, false);
    }
    assert_true(breaker_affords_retry(&breaker));
    assert_false(breaker_affords_retry(&breaker));
    for (unsigned i = 0; i < 5000; i++)
        breaker_record(&breaker, 1000, true);
    for (unsigned i = 0; i < BREAKER_BUDGET_MAX; i++)
        assert_true(breaker_affords_retry(&breaker));
    assert_false(breaker_affords_retry(&breaker)); /* no hoard */
}

static void
jitter_shortens_by_at_most_a_fifth(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 5000; random += 7) {
        struct breaker breaker;
        int64_t ms;

        breaker_init(&breaker);
        ms = breaker_open_ms(&breaker, 1000, false, random);
        assert_in_range(ms, 4000, 5000);
    }
}

static void
a_clock_that_stands_or_jumps_back_does_no_harm(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker);
    breaker_record(&breaker, 1000000, false);
    breaker_record(&breaker, 1000, false);
    for (unsigned i = 0; i < BREAKER_MIN_FAILURES; i++)
        breaker_record(&breaker, 1000, false);
    assert_true(breaker_should_open(&breaker, 1000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_failures_do_not_open_it),
        cmocka_unit_test(failures_among_more_successes_do_not_open_it),
        cmocka_unit_test(failures_in_a_row_open_it_after_a_second),
        cmocka_unit_test(old_failures_are_forgotten),
        cmocka_unit_test(it_stays_open_twice_as_long_after_each_failed_probe),
        cmocka_unit_test(a_success_between_does_not_shorten_the_next_opening),
        cmocka_unit_test(a_clock_that_jumps_back_does_not_lengthen_it),
        cmocka_unit_test(ten_successes_pay_for_one_retry),
        cmocka_unit_test(jitter_shortens_by_at_most_a_fifth),
        cmocka_unit_test(a_clock_that_stands_or_jumps_back_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
