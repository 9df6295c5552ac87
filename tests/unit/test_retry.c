#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/retry.h"

#define NOW INT64_C(1795185130000)

static void
the_ceiling_doubles_up_to_the_cap(void **state)
{
    static const int64_t ceilings[] = {
        1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct retry_policy policy = retry_policy_default();
    unsigned i;

    (void)state;
    for (i = 0; i < 8; i++)
        assert_int_equal(
            retry_delay_ms(policy, i + 1, UINT64_MAX), ceilings[i]);
    assert_int_equal(retry_delay_ms(policy, 100, UINT64_MAX), 60000);
    assert_int_equal(retry_delay_ms(policy, UINT32_MAX, UINT64_MAX), 60000);
}

static void
jitter_is_full_and_even(void **state)
{
    struct retry_policy policy = {100, 100};
    int64_t sum = 0;
    uint64_t i;

    (void)state;
    assert_int_equal(retry_delay_ms(policy, 1, 0), 0);
    for (i = 0; i < 1000; i++) {
        int64_t delay = retry_delay_ms(policy, 1, i * (UINT64_MAX / 1000));

        assert_in_range(delay, 0, 100);
        sum += delay;
    }
    assert_in_range(sum / 10, 490 * 10, 510 * 10);
}

static void
extreme_policies_do_not_overflow(void **state)
{
    struct retry_policy policy = {1, INT64_MAX / 4};

    (void)state;
    assert_int_equal(
        retry_delay_ms(policy, UINT32_MAX, UINT64_MAX), INT64_MAX / 4);
    policy.base_ms = policy.cap_ms;
    assert_int_equal(retry_delay_ms(policy, 2, UINT64_MAX), INT64_MAX / 4);
}

static void
never_earlier_than_the_server_asked_and_then_exactly(void **state)
{
    struct retry_policy policy = retry_policy_default();

    (void)state;
    assert_int_equal(retry_next_ms(policy, 1, UINT64_MAX, NOW, 0), NOW + 1000);
    assert_int_equal(
        retry_next_ms(policy, 1, UINT64_MAX, NOW, NOW + 5000), NOW + 5000);
    assert_int_equal(
        retry_next_ms(policy, 1, UINT64_MAX, NOW, NOW + 500), NOW + 1000);
    assert_int_equal(retry_next_ms(policy, 8, 0, NOW, NOW - 500), NOW);
    assert_int_equal(retry_next_ms(policy, 3, 7, NOW, NOW + INT64_C(86400000)),
        NOW + INT64_C(86400000));
}

static void
without_a_budget_it_waits_about_as_long_as_any_retry(void **state)
{
    struct retry_policy policy = {100, 1001};

    (void)state;
    assert_int_equal(retry_patient_ms(policy, 0), 500);
    assert_int_equal(retry_patient_ms(policy, UINT64_MAX), 1001);
    policy.cap_ms = INT64_MAX / 4;
    assert_int_equal(retry_patient_ms(policy, UINT64_MAX), INT64_MAX / 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ceiling_doubles_up_to_the_cap),
        cmocka_unit_test(jitter_is_full_and_even),
        cmocka_unit_test(extreme_policies_do_not_overflow),
        cmocka_unit_test(never_earlier_than_the_server_asked_and_then_exactly),
        cmocka_unit_test(without_a_budget_it_waits_about_as_long_as_any_retry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
