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

static void
old_failures_are_forgotten(void **state)
{
    struct breaker breaker;
    int64_t window_ms = (int64_t)BREAKER_SLOTS * BREAKER_SLOT_MS;

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 20; i++)
        breaker_record(&breaker, 1000, false);
    assert_true(breaker_should_open(&breaker, 1000 + window_ms - 1));
    assert_false(breaker_should_open(&breaker, 1000 + window_ms));
}

static void
it_stays_open_twice_as_long_after_each_failed_probe(void **state)
{
    struct breaker breaker;
    const int64_t longest[] = {5000, 10000, 20000, 40000, 60000, 60000};

    (void)state;
    breaker_init(&breaker);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(breaker_open_ms(&breaker, 0), longest[i]);
    breaker_close(&breaker);
    assert_int_equal(breaker_open_ms(&breaker, 0), 5000);
}

static void
jitter_shortens_by_at_most_a_fifth(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 5000; random += 7) {
        struct breaker breaker;
        int64_t ms;

        breaker_init(&breaker);
        ms = breaker_open_ms(&breaker, random);
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
        cmocka_unit_test(old_failures_are_forgotten),
        cmocka_unit_test(it_stays_open_twice_as_long_after_each_failed_probe),
        cmocka_unit_test(jitter_shortens_by_at_most_a_fifth),
        cmocka_unit_test(a_clock_that_stands_or_jumps_back_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
