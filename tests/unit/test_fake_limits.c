#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake-claude/limits.h"

static struct limits
make(uint64_t rpm, uint64_t itpm, uint64_t otpm, double burst_s)
{
    const uint64_t per_minute[LIMIT_KINDS] = {rpm, itpm, otpm};
    struct limits limits;
    limits_init(&limits, per_minute, burst_s, 0);
    return limits;
}

static void
without_limits_everything_is_let_in(void **state)
{
    (void)state;
    struct limits limits = make(0, 0, 0, 60);
    enum limit_kind kind;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(limits_admit(&limits, 1000000, 0, &kind), 0);
}

static void
a_full_bucket_lets_its_burst_in_and_then_refills_continuously(void **state)
{
    (void)state;
    struct limits limits = make(60, 0, 0, 10);
    enum limit_kind kind = LIMIT_OUTPUT;
    for (int i = 0; i < 10; i++)
        assert_int_equal(limits_admit(&limits, 1, 0, &kind), 0);
    assert_int_equal(limits_admit(&limits, 1, 0, &kind), 1000);
    assert_int_equal(kind, LIMIT_REQUESTS);
    assert_int_equal(limits_admit(&limits, 1, 400, &kind), 600);
    assert_int_equal(limits_admit(&limits, 1, 1000, &kind), 0);
    assert_true(limits_admit(&limits, 1, 1000, &kind) > 0);
}

static void
a_minute_lets_in_no_more_than_burst_and_limit(void **state)
{
    (void)state;
    struct limits limits = make(600, 0, 0, 1);
    enum limit_kind kind;
    int let_in = 0;
    for (int64_t ms = 0; ms < 60000; ms++)
        let_in += limits_admit(&limits, 1, ms, &kind) == 0;
    assert_in_range(let_in, 600, 610);
}

static void
a_refused_request_takes_nothing(void **state)
{
    (void)state;
    struct limits limits = make(60, 6000, 0, 60);
    enum limit_kind kind;
    struct limit_view view;
    assert_int_equal(limits_admit(&limits, 5000, 0, &kind), 0);
    assert_int_equal(limits_admit(&limits, 2000, 0, &kind), 10000);
    assert_int_equal(kind, LIMIT_INPUT);
    limits_view(&limits, LIMIT_REQUESTS, 0, &view);
    assert_int_equal(view.remaining, 59);
    limits_view(&limits, LIMIT_INPUT, 0, &view);
    assert_int_equal(view.remaining, 1000);
    assert_int_equal(view.full_in_ms, 50000);
}

static void
a_request_larger_than_the_bucket_waits_for_a_full_one(void **state)
{
    (void)state;
    struct limits limits = make(0, 600, 0, 60);
    enum limit_kind kind;
    assert_int_equal(limits_admit(&limits, 1200, 0, &kind), 0);
    assert_int_equal(limits_admit(&limits, 1, 0, &kind), 60100);
    assert_int_equal(limits_admit(&limits, 1200, 60000, &kind), 60000);
    assert_int_equal(limits_admit(&limits, 1200, 120000, &kind), 0);
}

static void
output_is_charged_afterwards_and_can_overdraw(void **state)
{
    (void)state;
    struct limits limits = make(0, 0, 600, 60);
    enum limit_kind kind = LIMIT_REQUESTS;
    struct limit_view view;
    assert_int_equal(limits_admit(&limits, 1, 0, &kind), 0);
    limits_charge_output(&limits, 700, 0);
    limits_view(&limits, LIMIT_OUTPUT, 0, &view);
    assert_int_equal(view.remaining, 0);
    assert_int_equal(view.full_in_ms, 70000);
    assert_int_equal(limits_admit(&limits, 1, 0, &kind), 10100);
    assert_int_equal(kind, LIMIT_OUTPUT);
    assert_int_equal(limits_admit(&limits, 1, 10100, &kind), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_is_let_in),
        cmocka_unit_test(
            a_full_bucket_lets_its_burst_in_and_then_refills_continuously),
        cmocka_unit_test(a_minute_lets_in_no_more_than_burst_and_limit),
        cmocka_unit_test(a_refused_request_takes_nothing),
        cmocka_unit_test(a_request_larger_than_the_bucket_waits_for_a_full_one),
        cmocka_unit_test(output_is_charged_afterwards_and_can_overdraw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
