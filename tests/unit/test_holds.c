#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/holds.h"

static const struct judge_case {
    const char *name;
    const char *scope; /* the hold, or NULL */
    const char *kind;
    int64_t for_ms; /* from 1,000; negative: until lifted */
    const char *second_scope;
    const char *second_kind;
    const char *queue;
    enum holds_answer answer;
    const char *bucket;
    const char *probe;
} judge_cases[] = {
    {"nothing is held", NULL, NULL, 0, NULL, NULL, "standard:a", HOLDS_GO, "a",
        ""},
    {"an open breaker stops its bucket", "bucket:p/a", "open", 5000, NULL, NULL,
        "standard:a", HOLDS_STOP, "a", ""},
    {"and no other", "bucket:p/a", "open", 5000, NULL, NULL, "standard:b",
        HOLDS_GO, "b", ""},
    {"nor another pool's", "bucket:q/a", "open", 5000, NULL, NULL, "standard:a",
        HOLDS_GO, "a", ""},
    {"a fallback gets around it", "bucket:p/a", "open", 5000, NULL, NULL,
        "bulk:a>b", HOLDS_FALLBACK, "b", ""},
    {"but not around a rate limit", "bucket:p/a", "limited", 5000, NULL, NULL,
        "bulk:a>b", HOLDS_STOP, "a", ""},
    {"nor when it is open as well", "bucket:p/a", "open", 5000, "bucket:p/b",
        "open", "bulk:a>b", HOLDS_STOP, "a", ""},
    {"an open breaker whose time is over wants a probe", "bucket:p/a", "open",
        500, NULL, NULL, "standard:a", HOLDS_PROBE, "a", "bucket:p/a"},
    {"a rate limit whose time is over does not", "bucket:p/a", "limited", 500,
        NULL, NULL, "standard:a", HOLDS_GO, "a", ""},
    {"a paused pool stops all", "pool:p", "paused", 5000, NULL, NULL,
        "bulk:a>b", HOLDS_STOP, "", ""},
    {"also when it waits for a hand", "pool:p", "paused", -1, NULL, NULL,
        "bulk:a", HOLDS_STOP, "", ""},
    {"and is probed when its time is over", "pool:p", "paused", 500, NULL, NULL,
        "bulk:a", HOLDS_PROBE, "a", "pool:p"},
    {"a probe of the pool does not pass an open breaker", "pool:p", "paused",
        500, "bucket:p/a", "open", "bulk:a", HOLDS_STOP, "a", ""},
    {"a paused lane stops its queues", "lane:bulk", "paused", -1, NULL, NULL,
        "bulk:a", HOLDS_STOP, "", ""},
    {"and no other lane's", "lane:bulk", "paused", -1, NULL, NULL, "standard:a",
        HOLDS_GO, "a", ""},
};

static void
each_hold_stops_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(judge_cases) / sizeof(judge_cases[0]); i++) {
        const struct judge_case *c = &judge_cases[i];
        struct holds *holds = holds_new("p");
        struct holds_verdict verdict;

        if (c->scope != NULL)
            holds_set(holds, c->scope, c->kind, c->for_ms, 1000);
        if (c->second_scope != NULL)
            holds_set(holds, c->second_scope, c->second_kind, 5000, 1000);
        holds_judge(holds, c->queue, 2000, &verdict);
        if (verdict.answer != c->answer)
            print_message("case: %s\n", c->name);
        assert_int_equal(verdict.answer, c->answer);
        assert_string_equal(verdict.bucket, c->bucket);
        assert_string_equal(verdict.scope, c->probe);
        holds_free(holds);
    }
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
        struct holds *holds = holds_new("p");

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
    struct holds *holds = holds_new("p");
    struct holds_verdict verdict;

    (void)state;
    holds_set(holds, "bucket:p/a", "open", 5000, 0);
    holds_replace(holds, &told, 1, 0);
    holds_judge(holds, "standard:a", 50, &verdict);
    assert_int_equal(verdict.answer, HOLDS_GO);
    holds_judge(holds, "standard:b", 50, &verdict);
    assert_int_equal(verdict.answer, HOLDS_STOP);
    holds_clear(holds, "bucket:p/b");
    holds_judge(holds, "standard:b", 50, &verdict);
    assert_int_equal(verdict.answer, HOLDS_GO);
    holds_free(holds);
}

static void
calls_from_before_an_opening_are_known(void **state)
{
    struct holds *holds = holds_new("p");

    (void)state;
    assert_false(holds_is_broken(holds, "a"));
    holds_set(holds, "bucket:p/a", "limited", 5000, 0);
    assert_false(holds_is_broken(holds, "a"));
    holds_set(holds, "bucket:p/a", "open", 5000, 0);
    assert_true(holds_is_broken(holds, "a"));
    assert_false(holds_is_broken(holds, "b"));
    holds_clear(holds, "bucket:p/a");
    assert_false(holds_is_broken(holds, "a"));
    holds_free(holds);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hold_stops_what_it_names_and_nothing_else),
        cmocka_unit_test(a_hold_that_runs_longer_is_kept),
        cmocka_unit_test(a_tick_replaces_what_was_known),
        cmocka_unit_test(calls_from_before_an_opening_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
