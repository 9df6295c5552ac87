#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/lease.h"

/* One sample with one other worker in it. */
static bool
sample(struct lease_table *table, int64_t now_ms, uint64_t beats, bool gone)
{
    bool dead;

    lease_sample_begin(table, now_ms);
    dead = lease_sample_worker(table, slice_of("w1"), beats, gone);
    lease_sample_end(table);
    return dead;
}

static void
a_counter_that_moves_is_alive(void **state)
{
    struct lease_table *table = lease_table_new();

    (void)state;
    for (int64_t i = 0; i < 100; i++)
        assert_false(
            sample(table, i * LEASE_BEAT_MS, (uint64_t)(i / 4), false));
    lease_table_free(table);
}

static void
a_counter_that_stands_a_whole_lease_is_dead(void **state)
{
    struct lease_table *table = lease_table_new();
    int64_t now_ms = 0;

    (void)state;
    assert_false(sample(table, now_ms, 6, false));
    now_ms += 2000;
    for (; now_ms < 2000 + LEASE_TIME_MS; now_ms += 2000)
        assert_false(sample(table, now_ms, 7, false));
    assert_true(sample(table, now_ms, 7, false));
    assert_false(sample(table, now_ms + 2000, 8, false));
    lease_table_free(table);
}

static void
a_gap_in_the_judges_samples_starts_again_for_all(void **state)
{
    struct lease_table *table = lease_table_new();
    int64_t now_ms = 0;

    (void)state;
    for (; now_ms <= 8000; now_ms += 2000)
        assert_false(sample(table, now_ms, 7, false));
    /* Redis, or the judge, stood still for a minute. */
    now_ms += 60000;
    for (int64_t end = now_ms + LEASE_TIME_MS; now_ms < end; now_ms += 2000)
        assert_false(sample(table, now_ms, 7, false));
    assert_true(sample(table, now_ms, 7, false));
    lease_table_free(table);
}

static void
who_says_that_it_is_gone_is_believed_at_once(void **state)
{
    struct lease_table *table = lease_table_new();

    (void)state;
    assert_true(sample(table, 0, 3, true));
    lease_table_free(table);
}

static void
a_worker_that_left_the_sample_is_a_new_one_when_it_returns(void **state)
{
    struct lease_table *table = lease_table_new();
    int64_t now_ms;

    (void)state;
    for (now_ms = 0; now_ms <= 8000; now_ms += 2000)
        assert_false(sample(table, now_ms, 7, false));
    lease_sample_begin(table, now_ms);
    lease_sample_end(table);
    now_ms += 2000;
    assert_false(sample(table, now_ms, 7, false));
    lease_table_free(table);
}

static void
more_workers_than_the_table_holds_are_never_dead(void **state)
{
    struct lease_table *table = lease_table_new();

    (void)state;
    for (int64_t now_ms = 0; now_ms < 30000; now_ms += 2000) {
        lease_sample_begin(table, now_ms);
        for (unsigned i = 0; i < LEASE_WORKERS_MAX + 5; i++) {
            char name[16] = {'w', (char)('0' + i / 1000 % 10),
                (char)('0' + i / 100 % 10), (char)('0' + i / 10 % 10),
                (char)('0' + i % 10), '\0'};
            bool dead = lease_sample_worker(table, slice_of(name), 1, false);

            assert_int_equal(
                dead, i < LEASE_WORKERS_MAX && now_ms >= LEASE_TIME_MS);
        }
        lease_sample_end(table);
    }
    lease_table_free(table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_that_moves_is_alive),
        cmocka_unit_test(a_counter_that_stands_a_whole_lease_is_dead),
        cmocka_unit_test(a_gap_in_the_judges_samples_starts_again_for_all),
        cmocka_unit_test(who_says_that_it_is_gone_is_believed_at_once),
        cmocka_unit_test(
            a_worker_that_left_the_sample_is_a_new_one_when_it_returns),
        cmocka_unit_test(more_workers_than_the_table_holds_are_never_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
