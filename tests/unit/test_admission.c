#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "submitter/admission.h"

#define GIB (UINT64_C(1) << 30)

static void
takes_half_of_redis_memory_unless_told(void **state)
{
    (void)state;
    assert_int_equal(admission_limits_make(5, 0, 0).max_bytes, 2 * GIB);
    assert_int_equal(admission_limits_make(5, 0, GIB).max_bytes, GIB / 2);
    assert_int_equal(admission_limits_make(5, 77, GIB).max_bytes, 77);
    assert_int_equal(admission_limits_make(5, 0, 0).max_jobs, 5);
}

static void
decides_at_the_limit_and_one_below(void **state)
{
    static const struct admission_limits limits = {10, 1000};
    static const struct {
        struct admission_load load;
        enum admission_verdict verdict;
    } cases[] = {
        {{false, 99, 9999, 0, 0}, ADMISSION_OK},
        {{true, 9, 999, 0, 0}, ADMISSION_OK},
        {{true, 10, 0, 0, 0}, ADMISSION_FULL_JOBS},
        {{true, 9, 1000, 0, 0}, ADMISSION_FULL_BYTES},
        {{true, 9, 999, 9499, 10000}, ADMISSION_OK},
        {{true, 9, 999, 9500, 10000}, ADMISSION_FULL_REDIS},
        {{true, 9, 999, 1 << 30, 0}, ADMISSION_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(
            admission_decide(&cases[i].load, &limits), cases[i].verdict);
    for (int i = ADMISSION_FULL_JOBS; i <= ADMISSION_FULL_REDIS; i++) {
        assert_true(strlen(admission_verdict_text(i)) > 10);
        assert_memory_equal(admission_verdict_name(i), "full_", 5);
    }
}

static void
waits_for_a_hundredth_of_the_room(void **state)
{
    static const struct admission_limits limits = {100000, 1000};
    struct admission_pace pace = {0};
    (void)state;
    assert_int_equal(admission_retry_after_s(&pace, &limits), 30);
    pace = (struct admission_pace){.known = true, .per_s = 0};
    assert_int_equal(admission_retry_after_s(&pace, &limits), 30);
    pace.per_s = 100; /* 1,000 jobs at 100 a second */
    assert_int_equal(admission_retry_after_s(&pace, &limits), 10);
    pace.per_s = 1e6;
    assert_int_equal(admission_retry_after_s(&pace, &limits), 1);
    pace.per_s = 0.5;
    assert_int_equal(admission_retry_after_s(&pace, &limits), 60);
}

static void
learns_how_fast_jobs_leave(void **state)
{
    struct admission_pace pace = {0};
    (void)state;
    /* 40 submitted and 50 gone each second */
    for (unsigned i = 0; i <= 300; i++)
        admission_pace_sample(
            &pace, 1000 * (int64_t)i, 100000 - 10 * i, 40 * i);
    assert_true(pace.per_s > 49.9 && pace.per_s < 50.1);
    /* twice the same instant changes nothing */
    admission_pace_sample(&pace, 300000, 5, 999999);
    assert_true(pace.per_s > 49.9 && pace.per_s < 50.1);
    /* a Redis that began anew is not a burst of finished jobs */
    admission_pace_sample(&pace, 301000, 0, 0);
    assert_true(pace.per_s == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_half_of_redis_memory_unless_told),
        cmocka_unit_test(decides_at_the_limit_and_one_below),
        cmocka_unit_test(waits_for_a_hundredth_of_the_room),
        cmocka_unit_test(learns_how_fast_jobs_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
