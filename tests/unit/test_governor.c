#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/service/config.h"
#include "worker/governor.h"
#include "worker/pool.h"

#define SCOPE "default/haiku"
#define QUEUE "standard:haiku"

static struct governor *
governor_with(uint64_t requests, uint64_t input, uint64_t output)
{
    const struct governor_limits limits = {{requests, input, output}, 99};
    struct governor *governor = governor_new();

    governor_add(governor, SCOPE, &limits, 1.0);
    return governor;
}

/* What the next report says; told to be the shared state from then on. */
static struct queue_quota_report
report(struct governor *governor, int64_t now_ms)
{
    static struct queue_quota_state state = {.known = {false, false, false}};
    struct queue_quota_report told;

    assert_true(governor_report(governor, now_ms, &told));
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        if (told.per_min[kind] >= 0) {
            state.known[kind] = true;
            state.per_min[kind] = told.per_min[kind];
        } else if (now_ms == 0) {
            state.known[kind] = false;
        }
        state.level[kind] = 0;
    }
    governor_reported(governor, SCOPE, &state, now_ms);
    return told;
}

static bool
is_quiet(struct governor *governor, int64_t now_ms)
{
    struct queue_quota_report told;

    return !governor_report(governor, now_ms, &told);
}

static unsigned
room(struct governor *governor, int64_t now_ms, unsigned want)
{
    int64_t wait_ms;

    return governor_room(governor, SCOPE, QUEUE, now_ms, want, &wait_ms);
}

static void
hear(
    struct governor *governor, int64_t now_ms, int64_t limit, int64_t remaining)
{
    struct governor_headers headers = governor_no_headers();

    headers.limit[QUOTA_REQUESTS] = limit;
    headers.remaining[QUOTA_REQUESTS] = remaining;
    governor_hear(governor, SCOPE, &headers, now_ms);
}

static void
nothing_is_claimed_before_the_limits_are_shared(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);

    (void)state;
    assert_int_equal(room(governor, 0, 10), 0);
    assert_int_equal(report(governor, 0).per_min[QUOTA_REQUESTS], 991);
    assert_int_equal(room(governor, 0, 10), 10);
    assert_true(is_quiet(governor, 1000));
    governor_free(governor);
}

static void
scouts_go_ahead_while_no_limit_is_known(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    struct governor_call calls[8];
    const struct queue_claim claim = {.reserved = false};
    unsigned n;

    (void)state;
    report(governor, 0);
    n = room(governor, 1, 100);
    assert_in_range(n, 1, 8);
    for (unsigned i = 0; i < n; i++)
        governor_start(governor, SCOPE, &calls[i], &claim);
    assert_int_equal(room(governor, 2, 100), 0);
    assert_false(governor_is_news(governor, SCOPE));
    hear(governor, 3, 600, 599);
    /* Known to us, but not yet to the others. */
    assert_true(governor_is_news(governor, SCOPE));
    assert_int_equal(room(governor, 3, 100), 0);
    assert_int_equal(report(governor, 3).per_min[QUOTA_REQUESTS], 595);
    assert_int_equal(room(governor, 3, 100), 100);
    governor_free(governor);
}

/* Redis is away: whoever tells until there is nothing to tell comes to an
 * end, and tries again after the usual time. */
static void
a_report_that_did_not_arrive_is_not_due_at_once(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    struct governor_call call;
    const struct queue_claim claim = {.reserved = false};
    struct queue_quota_report told;

    (void)state;
    report(governor, 0);
    governor_start(governor, SCOPE, &call, &claim);
    hear(governor, 3, 600, 599);
    assert_true(governor_report(governor, 3, &told));
    governor_reported(governor, SCOPE, NULL, 3);
    assert_false(governor_report(governor, 3, &told));
    assert_true(governor_report(governor, 3 + GOVERNOR_REPORT_MS, &told));
    governor_free(governor);
}

static void
answers_without_limits_free_the_pace(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);

    (void)state;
    report(governor, 0);
    hear(governor, 1, -1, -1);
    assert_int_equal(report(governor, 1).per_min[QUOTA_REQUESTS], 0);
    assert_int_equal(room(governor, 2, 1000), 1000);
    governor_free(governor);
}

static void
the_lower_of_configured_and_told_holds(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);

    (void)state;
    report(governor, 0);
    hear(governor, 100, 5000, 4000);
    /* That there are no others is news. */
    assert_int_equal(report(governor, 200).per_min[QUOTA_REQUESTS], -1);
    hear(governor, 300, 500, 400);
    assert_int_equal(report(governor, 400).per_min[QUOTA_REQUESTS], 496);
    hear(governor, 500, 2000, 1000);
    assert_int_equal(report(governor, 600).per_min[QUOTA_REQUESTS], 991);
    governor_free(governor);
}

static void
an_error_without_limits_does_not_lift_them(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    struct governor *other = governor_with(0, 0, 0);
    const struct queue_quota_state shared = {
        .known = {true, true, true}, .per_min = {99, 0, 0}};
    struct queue_quota_report told;

    (void)state;
    report(governor, 0);
    hear(governor, 1, 100, 50);
    report(governor, 1);
    /* A second worker, whose first answer is a bare 529. */
    assert_true(governor_report(other, 0, &told));
    governor_reported(other, SCOPE, &shared, 0);
    hear(other, 1, -1, -1);
    assert_true(is_quiet(other, 200));
    governor_free(governor);
    governor_free(other);
}

static void
what_differs_from_the_reserve_is_told(void **state)
{
    struct governor *governor = governor_with(1000, 100000, 100000);
    const struct queue_claim claim = {
        .reserved = true, .input_reserved = 500, .output_reserved = 1000};
    const struct governor_usage used = {GOVERNOR_USED, 400, 300, 120};
    const struct governor_usage unused = {.use = GOVERNOR_UNUSED};
    const struct governor_usage unknown = {.use = GOVERNOR_UNKNOWN};
    struct queue_quota_report told;
    struct governor_call call;

    (void)state;
    report(governor, 0);
    governor_start(governor, SCOPE, &call, &claim);
    governor_end(governor, SCOPE, QUEUE, &call, "2000 0 0 0 0", &used);
    governor_end(governor, SCOPE, QUEUE, &call, "", &used); /* only once */
    told = report(governor, 100);
    assert_int_equal(told.used[QUOTA_REQUESTS], 0);
    assert_int_equal(told.used[QUOTA_INPUT], -100);
    assert_int_equal(told.used[QUOTA_OUTPUT], -880);
    governor_start(governor, SCOPE, &call, &claim);
    governor_end(governor, SCOPE, QUEUE, &call, "", &unused);
    told = report(governor, 200);
    assert_int_equal(told.used[QUOTA_REQUESTS], -1);
    assert_int_equal(told.used[QUOTA_INPUT], -500);
    assert_int_equal(told.used[QUOTA_OUTPUT], -1000);
    governor_start(governor, SCOPE, &call, &claim);
    governor_end(governor, SCOPE, QUEUE, &call, "", &unknown);
    assert_true(is_quiet(governor, 300));
    governor_free(governor);
}

static void
output_is_reserved_by_what_such_jobs_produced(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);
    const struct governor_usage used = {GOVERNOR_USED, 100, 0, 80};
    struct queue_claim claim = {.reserved = false};
    struct queue_quota quota;
    struct governor_call call;

    (void)state;
    governor_quota(governor, SCOPE, QUEUE, &quota);
    assert_true(quota.output_each > 500);
    for (unsigned i = 0; i < 60; i++) {
        governor_start(governor, SCOPE, &call, &claim);
        governor_end(governor, SCOPE, QUEUE, &call, "400 0 0 0 0", &used);
    }
    governor_quota(governor, SCOPE, QUEUE, &quota);
    assert_in_range(quota.output_each, 80, 100);
    /* Other queues have other jobs. */
    governor_quota(governor, SCOPE, "bulk:haiku", &quota);
    assert_true(quota.output_each > 500);
    governor_free(governor);
}

static void
answers_cut_short_do_not_lower_the_reserve_of_others(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);
    struct queue_claim claim = {.reserved = true};
    struct queue_quota quota;
    struct governor_call call;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        const struct governor_usage used = {
            GOVERNOR_USED, 100, 0, i % 2 == 0 ? 30 : 500};

        governor_quota(governor, SCOPE, QUEUE, &quota);
        claim.output_reserved = i % 2 == 0 ? 30 : quota.output_each;
        governor_start(governor, SCOPE, &call, &claim);
        governor_end(governor, SCOPE, QUEUE, &call, "", &used);
    }
    governor_quota(governor, SCOPE, QUEUE, &quota);
    assert_in_range(quota.output_each, 480, 520);
    governor_free(governor);
}

static void
cached_input_is_not_reserved(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);
    const struct governor_usage used = {GOVERNOR_USED, 100, 900, 80};
    struct queue_claim claim = {.reserved = false};
    struct queue_quota quota;
    struct governor_call call;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        governor_start(governor, SCOPE, &call, &claim);
        governor_end(
            governor, SCOPE, QUEUE, &call, "4000 0 0 0 1000000", &used);
    }
    governor_quota(governor, SCOPE, QUEUE, &quota);
    assert_in_range((int)(quota.cached_share * 1000), 90, 120);
    assert_in_range((int)(quota.rates.per[PROMPT_ASCII] * 4000), 980, 1020);
    governor_free(governor);
}

static void
after_an_outage_the_pace_begins_low_and_with_nothing_in_hand(void **state)
{
    struct governor *governor = governor_with(600, 0, 0);
    struct queue_quota_report told;

    (void)state;
    report(governor, 0);
    governor_recovered(governor, SCOPE, 5000);
    told = report(governor, 1000);
    assert_int_equal(told.ramp_ms, 5000);
    assert_true(told.empty);
    assert_true(is_quiet(governor, 2000)); /* once */
    /* A ramp that Claude has asked for is longer, and stays. */
    governor_refused(governor, SCOPE, true, 3000);
    governor_recovered(governor, SCOPE, 5000);
    assert_true(report(governor, 4000).ramp_ms > 5000);
    governor_free(governor);
}

static void
a_foreign_user_of_the_quota_slows_us_down(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    struct governor_view view;

    (void)state;
    report(governor, 0);
    hear(governor, 1, 6000, 100);
    report(governor, 1);
    hear(governor, 200, 6000, 95);
    assert_true(is_quiet(governor, 200));
    hear(governor, 400, 6000, 4);
    /* Our bucket is looked at after what was heard; then it is known. */
    assert_int_equal(report(governor, 400).per_min[QUOTA_REQUESTS], -1);
    assert_true(report(governor, 500).per_min[QUOTA_REQUESTS] < 3000);
    assert_true(governor_get(governor, 0, &view));
    assert_true(view.brake < 0.5);
    /* Nothing is heard any more: full pace, and new headers decide. */
    assert_int_equal(report(governor, 5000).per_min[QUOTA_REQUESTS], 5941);
    governor_free(governor);
}

static void
a_refusal_empties_the_buckets_and_makes_smaller_bursts(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);
    struct queue_quota_report told;

    (void)state;
    report(governor, 0);
    governor_refused(governor, SCOPE, false, 1000);
    governor_refused(governor, SCOPE, false, 1001); /* of the same burst */
    told = report(governor, 1100);
    assert_true(told.empty);
    assert_int_equal(told.burst_ms, 300);
    assert_int_equal(told.ramp_ms, -1);
    governor_refused(governor, SCOPE, true, 2000);
    told = report(governor, 2000);
    assert_true(told.ramp_ms > 0);
    assert_true(is_quiet(governor, 3000));
    /* It grows again. */
    assert_true(report(governor, 200000).burst_ms > 200);
    governor_free(governor);
}

static void
what_was_reserved_and_refused_is_counted(void **state)
{
    struct governor *governor = governor_with(1000, 0, 0);
    const struct governor_usage used = {GOVERNOR_USED, 90, 0, 70};
    const struct queue_claim claim = {
        .reserved = true, .input_reserved = 100, .output_reserved = 80};
    struct governor_call call;
    struct governor_view view;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        governor_start(governor, SCOPE, &call, &claim);
        governor_end(governor, SCOPE, QUEUE, &call, "", &used);
    }
    governor_refused(governor, SCOPE, false, 10);
    assert_true(governor_get(governor, 0, &view));
    assert_string_equal(view.scope, SCOPE);
    assert_int_equal(view.reserved[QUOTA_REQUESTS], 3);
    assert_int_equal(view.reserved[QUOTA_INPUT], 300);
    assert_int_equal(view.reserved[QUOTA_OUTPUT], 240);
    assert_int_equal(view.refusals, 1);
    assert_false(governor_get(governor, 1, &view));
    governor_free(governor);
}

static void
without_headers_the_limit_is_guessed_from_refusals(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    const struct queue_claim claim = {.reserved = false};
    struct queue_quota_state shared = {.known = {true, true, true}};
    struct queue_quota_report told;
    struct governor_call call;
    int64_t first;

    (void)state;
    report(governor, 0);
    hear(governor, 1, -1, -1);
    report(governor, 1);
    for (unsigned i = 0; i < 100; i++)
        governor_start(governor, SCOPE, &call, &claim);
    governor_refused(governor, SCOPE, false, 11000);
    first = report(governor, 11000).per_min[QUOTA_REQUESTS];
    assert_in_range(first, 100, 600);
    /* Calm: it is soon near what was refused, then it grows slowly. */
    assert_true(report(governor, 12100).per_min[QUOTA_REQUESTS] > first);
    for (int64_t now_ms = 13200; now_ms < 20000; now_ms += 1100)
        first = report(governor, now_ms).per_min[QUOTA_REQUESTS];
    assert_in_range(first, 480, 800);
    /* And far beyond it there is no limit, as no answer tells of one. */
    for (unsigned i = 0; i < 100; i++)
        hear(governor, 20000, -1, -1);
    for (int64_t now_ms = 20000; now_ms < 200000; now_ms += 1100) {
        if (governor_report(governor, now_ms, &told)) {
            if (told.per_min[QUOTA_REQUESTS] >= 0)
                first = told.per_min[QUOTA_REQUESTS];
            shared.per_min[QUOTA_REQUESTS] = first;
            governor_reported(governor, SCOPE, &shared, now_ms);
        }
    }
    assert_int_equal(first, 0);
    governor_free(governor);
}

static void
header(struct governor_headers *headers, const char *name, const char *value)
{
    governor_read_header(headers, slice_of(name), slice_of(value));
}

static void
nonsense_in_headers_is_no_limit(void **state)
{
    struct governor_headers headers = governor_no_headers();

    (void)state;
    header(&headers, "anthropic-ratelimit-requests-limit", "0");
    header(&headers, "anthropic-ratelimit-requests-remaining", "-4");
    header(&headers, "anthropic-ratelimit-input-tokens-limit", "many");
    header(&headers, "anthropic-ratelimit-output-tokens-limit", "1e9");
    header(&headers, "anthropic-ratelimit-output-tokens-limit",
        "99999999999999999999999");
    header(&headers, "anthropic-ratelimit-tokens-limit", "77");
    header(&headers, "anthropic-ratelimit-requests-", "77");
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        assert_int_equal(headers.limit[kind], -1);
        assert_int_equal(headers.remaining[kind], -1);
    }
    header(&headers, "Anthropic-RateLimit-Input-Tokens-Limit", "450000");
    header(&headers, "anthropic-ratelimit-input-tokens-remaining", "0");
    header(&headers, "anthropic-ratelimit-input-tokens-reset", "soon");
    assert_int_equal(headers.reset_ms[QUOTA_INPUT], -1);
    header(&headers, "anthropic-ratelimit-input-tokens-reset",
        "1970-01-01T00:00:09Z");
    assert_int_equal(headers.reset_ms[QUOTA_INPUT], 9000);
    assert_int_equal(headers.limit[QUOTA_INPUT], 450000);
    assert_int_equal(headers.remaining[QUOTA_INPUT], 0);
}

static void
what_each_header_last_said_is_shown(void **state)
{
    struct governor *governor = governor_new();
    const struct governor_limits none = {{0, 0, 0}, 99};
    struct governor_headers headers = governor_no_headers();
    struct governor_view view;

    (void)state;
    governor_add(governor, SCOPE, &none, 1);
    headers.limit[QUOTA_INPUT] = 450000;
    headers.remaining[QUOTA_INPUT] = 0;
    headers.reset_ms[QUOTA_INPUT] = 9000;
    governor_hear(governor, SCOPE, &headers, 1);
    headers = governor_no_headers();
    headers.remaining[QUOTA_INPUT] = 7000;
    governor_hear(governor, SCOPE, &headers, 2);
    assert_true(governor_get(governor, 0, &view));
    assert_int_equal(view.heard.limit[QUOTA_INPUT], 450000);
    assert_int_equal(view.heard.remaining[QUOTA_INPUT], 7000);
    assert_int_equal(view.heard.reset_ms[QUOTA_INPUT], 9000);
    assert_int_equal(view.heard.limit[QUOTA_OUTPUT], -1);
    governor_free(governor);
}

static void
more_left_than_the_limit_is_not_believed(void **state)
{
    struct governor *governor = governor_with(0, 0, 0);
    struct governor_view view;

    (void)state;
    report(governor, 0);
    hear(governor, 1, 600, 600000);
    report(governor, 1);
    hear(governor, 100, 600, 10);
    assert_true(is_quiet(governor, 200));
    assert_true(governor_get(governor, 0, &view));
    assert_true(view.brake == 1.0);
    governor_free(governor);
}

static void
a_queue_that_waits_is_not_asked_for(void **state)
{
    struct governor *governor = governor_with(60, 0, 0);
    int64_t wait_ms;

    (void)state;
    report(governor, 0);
    governor_lacking(governor, SCOPE, QUEUE, 1000, 800);
    assert_int_equal(
        governor_room(governor, SCOPE, QUEUE, 1100, 5, &wait_ms), 0);
    assert_int_equal(wait_ms, 400);
    assert_int_equal(
        governor_room(governor, SCOPE, "bulk:haiku", 1100, 5, &wait_ms), 5);
    assert_int_equal(room(governor, 1500, 5), 5);
    governor_free(governor);
}

/* The scripts forget who has not asked for a second. */
static void
a_queue_that_waits_long_asks_before_it_is_forgotten(void **state)
{
    struct governor *governor = governor_with(5, 0, 0);

    (void)state;
    report(governor, 0);
    governor_lacking(governor, SCOPE, QUEUE, 1000, INT64_C(12000));
    assert_int_equal(room(governor, 1499, 5), 0);
    assert_int_equal(room(governor, 1500, 5), 5);
    governor_free(governor);
}

static void
limits_that_redis_lost_are_told_again(void **state)
{
    const struct queue_quota_state empty = {.known = {false, false, false}};
    const struct queue_claim claim = {.reserved = false};
    struct governor *governor = governor_with(1000, 0, 0);
    struct queue_quota_report told;
    struct governor_call call;

    (void)state;
    report(governor, 0);
    assert_true(is_quiet(governor, 1000));
    governor_start(governor, SCOPE, &call, &claim);
    assert_int_equal(room(governor, 1000, 5), 0);
    assert_true(governor_report(governor, 1100, &told));
    governor_reported(governor, SCOPE, &empty, 1100);
    assert_true(governor_report(governor, 1200, &told));
    assert_int_equal(told.per_min[QUOTA_REQUESTS], 991);
    governor_free(governor);
}

static void
every_bucket_of_every_pool_has_a_scope(void **state)
{
    const struct governor_limits limits = {{60, 0, 0}, 99};
    struct governor *governor = governor_new();
    char name[32];

    (void)state;
    for (unsigned i = 0; i < CONFIG_POOLS_MAX * POOL_BUCKETS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "pool-%u/haiku", i);
        governor_add(governor, name, &limits, 1.0);
        assert_true(governor_has(governor, name));
    }
    governor_free(governor);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_claimed_before_the_limits_are_shared),
        cmocka_unit_test(scouts_go_ahead_while_no_limit_is_known),
        cmocka_unit_test(a_report_that_did_not_arrive_is_not_due_at_once),
        cmocka_unit_test(answers_without_limits_free_the_pace),
        cmocka_unit_test(the_lower_of_configured_and_told_holds),
        cmocka_unit_test(an_error_without_limits_does_not_lift_them),
        cmocka_unit_test(what_differs_from_the_reserve_is_told),
        cmocka_unit_test(output_is_reserved_by_what_such_jobs_produced),
        cmocka_unit_test(answers_cut_short_do_not_lower_the_reserve_of_others),
        cmocka_unit_test(cached_input_is_not_reserved),
        cmocka_unit_test(a_foreign_user_of_the_quota_slows_us_down),
        cmocka_unit_test(
            a_refusal_empties_the_buckets_and_makes_smaller_bursts),
        cmocka_unit_test(what_was_reserved_and_refused_is_counted),
        cmocka_unit_test(
            after_an_outage_the_pace_begins_low_and_with_nothing_in_hand),
        cmocka_unit_test(without_headers_the_limit_is_guessed_from_refusals),
        cmocka_unit_test(nonsense_in_headers_is_no_limit),
        cmocka_unit_test(what_each_header_last_said_is_shown),
        cmocka_unit_test(more_left_than_the_limit_is_not_believed),
        cmocka_unit_test(a_queue_that_waits_is_not_asked_for),
        cmocka_unit_test(a_queue_that_waits_long_asks_before_it_is_forgotten),
        cmocka_unit_test(limits_that_redis_lost_are_told_again),
        cmocka_unit_test(every_bucket_of_every_pool_has_a_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
