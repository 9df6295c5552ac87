#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/service/config.h"
#include "worker/holds.h"
#include "worker/pool.h"

static const struct gate_case {
    const char *name;
    const char *scope; /* the hold, or NULL */
    const char *kind;
    int64_t for_ms; /* from 1,000; negative: until lifted */
    enum holds_gate gate; /* at 2,000 */
} gate_cases[] = {
    {"nothing is held", NULL, NULL, 0, HOLDS_OPEN},
    {"another scope is", "bucket:p/b", "open", 5000, HOLDS_OPEN},
    {"an open breaker", "bucket:p/a", "open", 5000, HOLDS_BROKEN},
    {"its time is over", "bucket:p/a", "open", 500, HOLDS_PROBE},
    {"a rate limit", "bucket:p/a", "limited", 5000, HOLDS_SHUT},
    {"its time is over", "bucket:p/a", "limited", 500, HOLDS_OPEN},
    {"a pause", "bucket:p/a", "paused", 5000, HOLDS_SHUT},
    {"its time is over", "bucket:p/a", "paused", 500, HOLDS_PROBE},
    {"a pause until lifted", "bucket:p/a", "paused", -1, HOLDS_SHUT},
    {"stopped by hand", "bucket:p/a", "stopped", -1, HOLDS_SHUT},
    {"for a time that is over", "bucket:p/a", "stopped", 500, HOLDS_OPEN},
};

static void
each_hold_shuts_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(gate_cases) / sizeof(gate_cases[0]); i++) {
        const struct gate_case *c = &gate_cases[i];
        struct holds *holds = holds_new();
        enum holds_gate gate;

        if (c->scope != NULL)
            holds_set(holds, c->scope, c->kind, c->for_ms, 1000);
        gate = holds_gate(holds, "bucket:p/a", 2000);
        if (gate != c->gate)
            print_message("case: %s\n", c->name);
        assert_int_equal(gate, c->gate);
        holds_free(holds);
    }
}

static void
a_lane_is_shut_by_its_own_hold(void **state)
{
    struct holds *holds = holds_new();

    (void)state;
    assert_false(holds_lane_is_shut(holds, slice_of("bulk"), 0));
    holds_set(holds, "lane:bulk", "stopped", 1000, 0);
    assert_true(holds_lane_is_shut(holds, slice_of("bulk"), 999));
    assert_false(holds_lane_is_shut(holds, slice_of("standard"), 999));
    assert_false(holds_lane_is_shut(holds, slice_of("bulk"), 1000));
    holds_free(holds);
}

static void
only_trouble_of_the_account_counts_as_paused(void **state)
{
    struct holds *holds = holds_new();

    (void)state;
    assert_false(holds_is_paused(holds, "pool:p"));
    holds_set(holds, "pool:p", "stopped", -1, 0);
    assert_false(holds_is_paused(holds, "pool:p"));
    holds_set(holds, "pool:p", "paused", 5000, 0);
    assert_true(holds_is_paused(holds, "pool:p"));
    holds_free(holds);
}

static void
a_hold_that_runs_longer_is_kept(void **state)
{
    static const struct {
        const char *kind;
        int64_t for_ms; /* from 1,000 */
        const char *next;
        int64_t next_ms; /* from 2,000 */
        bool covered;
    } cases[] = {
        {"limited", 5000, "limited", 4000, true},
        {"limited", 5000, "limited", 4001, false},
        {"limited", 5000, "open", 3000, true},
        {"limited", 1000, "limited", 1, false},
        {"open", 5000, "limited", 3000, true},
        {"open", 5000, "limited", 9000, false},
        {"paused", 5000, "paused", 4500, true},
        {"paused", 5000, "paused", 5001, false},
        {"paused", -1, "paused", 60000, true},
        {"paused", 5000, "paused", -1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct holds *holds = holds_new();

        assert_false(holds_cover(holds, "x", "open", 1, 1000));
        holds_set(holds, "x", cases[i].kind, cases[i].for_ms, 1000);
        assert_int_equal(
            holds_cover(holds, "x", cases[i].next, cases[i].next_ms, 2000),
            cases[i].covered);
        holds_free(holds);
    }
}

static void
a_tick_replaces_what_was_known(void **state)
{
    const struct queue_hold told = {
        .scope = "bucket:p/b", .kind = "limited", .left_ms = 100};
    struct holds *holds = holds_new();

    (void)state;
    holds_set(holds, "bucket:p/a", "open", 5000, 0);
    holds_replace(holds, &told, 1, 0);
    assert_int_equal(holds_gate(holds, "bucket:p/a", 50), HOLDS_OPEN);
    assert_int_equal(holds_gate(holds, "bucket:p/b", 50), HOLDS_SHUT);
    holds_clear(holds, "bucket:p/b");
    assert_int_equal(holds_gate(holds, "bucket:p/b", 50), HOLDS_OPEN);
    holds_free(holds);
}

static void
calls_from_before_an_opening_are_known(void **state)
{
    struct holds *holds = holds_new();

    (void)state;
    assert_false(holds_is_broken(holds, "bucket:p/a"));
    holds_set(holds, "bucket:p/a", "limited", 5000, 0);
    assert_false(holds_is_broken(holds, "bucket:p/a"));
    holds_set(holds, "bucket:p/a", "open", 5000, 0);
    assert_true(holds_is_broken(holds, "bucket:p/a"));
    assert_false(holds_is_broken(holds, "bucket:p/b"));
    holds_clear(holds, "bucket:p/a");
    assert_false(holds_is_broken(holds, "bucket:p/a"));
    holds_free(holds);
}

static void
no_hold_is_left_out_for_lack_of_room(void **state)
{
    struct holds *holds = holds_new();
    char scope[32];

    (void)state;
    for (unsigned i = 0; i < CONFIG_POOLS_MAX * (POOL_BUCKETS_MAX + 1); i++) {
        (void)snprintf(scope, sizeof(scope), "bucket:p%u/a", i);
        holds_set(holds, scope, "limited", 5000, 1000);
        assert_int_equal(holds_gate(holds, scope, 2000), HOLDS_SHUT);
    }
    holds_free(holds);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hold_shuts_what_it_names_and_nothing_else),
        cmocka_unit_test(a_lane_is_shut_by_its_own_hold),
        cmocka_unit_test(only_trouble_of_the_account_counts_as_paused),
        cmocka_unit_test(a_hold_that_runs_longer_is_kept),
        cmocka_unit_test(a_tick_replaces_what_was_known),
        cmocka_unit_test(no_hold_is_left_out_for_lack_of_room),
        cmocka_unit_test(calls_from_before_an_opening_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
