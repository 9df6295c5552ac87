#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "status-api/filter.h"
#include "status-api/merge.h"
#include "status-api/operation.h"
#include "status-api/reason.h"
#include "status-api/wait.h"

/* --- params, filter ------------------------------------------------------ */

static void
parameters_are_decoded_and_bounded(void **state)
{
    static const char *const names[] = {"limit", "model", NULL};
    struct params params;
    char error[200];
    uint64_t value;
    (void)state;
    assert_int_equal(params_parse(slice_of("model=a%20b&limit=7"), names,
                         &params, error, sizeof(error)),
        0);
    assert_string_equal(params_get(&params, "model"), "a b");
    assert_int_equal(
        params_number(&params, "limit", 1, 7, 3, &value, error, sizeof(error)),
        0);
    assert_int_equal(value, 7);
    assert_int_equal(
        params_number(&params, "limit", 1, 6, 3, &value, error, sizeof(error)),
        -1);
    assert_string_equal(error, "limit must be a whole number from 1 to 6");
    params_clear(&params);
    assert_int_equal(
        params_parse(slice_of(""), names, &params, error, sizeof(error)), 0);
    assert_null(params_get(&params, "model"));
    assert_int_equal(
        params_number(&params, "limit", 1, 6, 3, &value, error, sizeof(error)),
        0);
    assert_int_equal(value, 3);
    params_clear(&params);
    assert_int_equal(
        params_parse(slice_of("lmit=1"), names, &params, error, sizeof(error)),
        -1);
    assert_string_equal(error, "unknown parameter lmit: did you mean limit?");
}

static struct filter
filter_of(const char *query, struct params *params)
{
    struct filter filter;
    char error[200];
    assert_int_equal(params_parse(slice_of(query), filter_names, params, error,
                         sizeof(error)),
        0);
    assert_int_equal(
        filter_parse(params, NULL, &filter, error, sizeof(error)), 0);
    return filter;
}

static void
a_batch_becomes_the_span_of_its_ids(void **state)
{
    struct params params;
    struct filter filter = filter_of(
        "batch=msgbatch_0199f6a2-5c1e-7abc-9def-0123456789ab", &params);
    struct job_meta meta = {.batch = "0199f6a2-5c1e-7abc-9def-0123456789ab"};
    struct job_view view = {.meta = &meta};
    (void)state;
    assert_true(strcmp("job_0199f6a2-5c1e-7fff-bfff-fffffffffffe",
                    filter.before_id) < 0);
    assert_true(strcmp("job_0199f6a2-5c1f-7000-8000-000000000000",
                    filter.before_id) > 0);
    assert_false(
        filter_is_past(&filter, "job_0199f6a2-5c1e-7000-8000-000000000000"));
    assert_true(
        filter_is_past(&filter, "job_0199f6a2-5c1d-7fff-bfff-ffffffffffff"));
    assert_true(filter_matches(&filter, &view));
    assert_false(filter_is_open(&filter));
    meta.batch[0] = '\0';
    assert_false(filter_matches(&filter, &view));
    params_clear(&params);
    /* A page further down goes on from its cursor. */
    filter = filter_of("batch=batch_0199f6a2-5c1e-7abc-9def-0123456789ab&"
                       "after_id=job_0199f6a2-5c1e-7abc-9def-0123456789ab",
        &params);
    assert_string_equal(
        filter.before_id, "job_0199f6a2-5c1e-7abc-9def-0123456789ab");
    params_clear(&params);
}

static void
a_time_bound_becomes_an_id_to_start_from(void **state)
{
    struct params params;
    struct filter filter =
        filter_of("created_before=2026-11-20T15:00:00Z", &params);
    char later[ID_SIZE] = "job_0199f6a2-5c1e-7abc-9def-0123456789ab";
    (void)state;
    assert_true(id_is_valid(slice_of(filter.before_id), "job_"));
    assert_int_equal(
        id_wall_ms(slice_of(filter.before_id)), filter.before_ms - 1);
    params_clear(&params);
    /* A cursor that is lower still wins. */
    filter = filter_of("created_before=2030-01-01T00:00:00Z&after_id="
                       "job_0199f6a2-5c1e-7abc-9def-0123456789ab",
        &params);
    assert_string_equal(filter.before_id, later);
    params_clear(&params);
    filter = filter_of("created_after=2026-11-20T15:00:00Z", &params);
    assert_true(filter_is_past(&filter, later));
    assert_false(
        filter_is_past(&filter, "job_7199f6a2-5c1e-7abc-9def-0123456789ab"));
    params_clear(&params);
}

static void
states_decide_what_is_read(void **state)
{
    static const struct {
        const char *query;
        bool in_flight;
        bool open;
    } rows[] = {{"", true, true}, {"status=queued,running", true, false},
        {"status=failed", false, false},
        {"status=failed,retrying", true, false}, {"limit=3", true, true},
        {"lane=bulk", true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct params params;
        struct filter filter = filter_of(rows[i].query, &params);
        assert_int_equal(filter_wants_in_flight(&filter), rows[i].in_flight);
        assert_int_equal(filter_is_open(&filter), rows[i].open);
        params_clear(&params);
    }
}

/* --- merge --------------------------------------------------------------- */

static void
add(struct merge *merge, int number, unsigned generation, bool in_flight,
    bool hidden)
{
    struct merge_item item = {.generation = generation,
        .in_flight = in_flight,
        .hidden = hidden,
        .at = (size_t)number};
    snprintf(item.id, sizeof(item.id), "job_%04d", number);
    merge_add(merge, &item);
}

static void
the_newest_generation_of_a_job_wins(void **state)
{
    struct merge merge = {0};
    struct merge_page page;
    (void)state;
    add(&merge, 1, 0, false, false);
    add(&merge, 3, 0, false, false);
    add(&merge, 3, 1, true, false);
    add(&merge, 2, 0, false, false);
    add(&merge, 2, 1, true, true);
    add(&merge, 4, 2, false, false);
    add(&merge, 4, 2, true, false);
    merge_finish(&merge, 10, &page);
    assert_int_equal(page.count, 3);
    assert_string_equal(merge.items[0].id, "job_0004");
    assert_false(merge.items[0].in_flight);
    assert_string_equal(merge.items[1].id, "job_0003");
    assert_int_equal(merge.items[1].generation, 1);
    assert_string_equal(merge.items[2].id, "job_0001");
    assert_false(page.has_more);
    assert_string_equal(page.last_id, "job_0001");
    merge_clear(&merge);
}

static void
nothing_below_what_is_unknown_is_shown(void **state)
{
    struct merge merge = {0};
    struct merge_page page;
    (void)state;
    for (int i = 1; i <= 9; i++)
        add(&merge, i, 0, i % 2 == 0, false);
    merge_unknown_below(&merge, "job_0004");
    merge_unknown_below(&merge, "job_0006");
    merge_unknown_below(&merge, "job_0005");
    merge_finish(&merge, 10, &page);
    assert_int_equal(page.count, 4);
    assert_true(page.has_more);
    assert_string_equal(page.last_id, "job_0006");
    merge_clear(&merge);
    /* A page without a job still says where to go on. */
    add(&merge, 7, 0, true, true);
    merge_unknown_below(&merge, "job_0007");
    merge_finish(&merge, 10, &page);
    assert_int_equal(page.count, 0);
    assert_true(page.has_more);
    assert_string_equal(page.last_id, "job_0007");
    merge_clear(&merge);
}

static void
a_cut_page_says_where_it_was_cut(void **state)
{
    struct merge merge = {0};
    struct merge_page page;
    (void)state;
    for (int i = 1; i <= 5; i++)
        add(&merge, i, 0, false, false);
    merge_finish(&merge, 2, &page);
    assert_int_equal(page.count, 2);
    assert_true(page.has_more);
    assert_string_equal(page.last_id, "job_0004");
    merge_clear(&merge);
    merge_finish(&merge, 2, &page);
    assert_int_equal(page.count, 0);
    assert_false(page.has_more);
    assert_string_equal(page.last_id, "");
}

/* --- operations ---------------------------------------------------------- */

static void
an_operation_is_read_as_it_was_written(void **state)
{
    struct operation op = {.id = "op_0199f6a2-5c1e-7abc-9def-0123456789ab",
        .action = OPERATION_DISCARD,
        .filter = {.model = "m\"odel", .status = 529, .tenant = "acme"},
        .state = OPERATION_CANCELED,
        .cancel_requested = true,
        .snapshot_until = "1795186800123-7",
        .cursor = "1795186800123-5",
        .eligible = 10,
        .done = 4,
        .skipped = 3,
        .failed = 2,
        .limit = 9,
        .rate = 50,
        .created_ms = 1795186800123,
        .finished_ms = 1795186801000,
        .created_by = "ops"};
    struct operation again;
    struct buffer out = {0};
    (void)state;
    operation_encode(&op, &out);
    assert_int_equal(operation_decode(buffer_slice(&out), &again), 0);
    struct buffer twice = {0};
    operation_encode(&again, &twice);
    assert_string_equal(out.data, twice.data);
    assert_string_equal(again.filter.model, "m\"odel");
    assert_int_equal(again.done, 4);
    buffer_clear(&twice);
    /* Cut anywhere it is no operation. */
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(
            operation_decode(slice_make(out.data, len), &again), -1);
    buffer_clear(&out);
    assert_int_equal(
        operation_decode(slice_of("{\"object\":\"operation\",\"id\":\"op_1\","
                                  "\"action\":\"replay\",\"status\":"
                                  "\"running\",\"filter\":{}}"),
            &again),
        -1);
}

static void
a_wish_to_cancel_is_no_operation(void **state)
{
    struct buffer out = {0};
    struct operation op;
    char id[ID_SIZE], wish[ID_SIZE];
    (void)state;
    operation_cancel_encode("op_0199f6a2-5c1e-7abc-9def-0123456789ab", &out);
    assert_int_equal(operation_decode(buffer_slice(&out), &op), -1);
    assert_true(operation_cancel_decode(buffer_slice(&out), id));
    assert_string_equal(id, "op_0199f6a2-5c1e-7abc-9def-0123456789ab");
    operation_cancel_id(id, wish);
    assert_string_equal(wish, "cancel_0199f6a2-5c1e-7abc-9def-0123456789ab");
    buffer_clear(&out);
}

static void
the_pace_is_kept_at_every_rate(void **state)
{
    static const unsigned rates[] = {1, 3, 10, 97, 1000};
    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct operation_pace pace = {0};
        int64_t now = 1000, wait_ms;
        unsigned count = 0, asked = 0;
        while (now < 1000 + 10000) {
            unsigned some = operation_allow(&pace, now, rates[i], 8, &wait_ms);
            assert_true(some <= 8);
            count += some;
            now += some == 0 ? wait_ms : 0;
            asked++;
        }
        assert_true(count >= rates[i] * 9);
        assert_true(count <= rates[i] * 10 + rates[i] / 10 + 1);
        assert_true(asked < 25000);
    }
}

static void
a_long_pause_is_not_made_up_for(void **state)
{
    struct operation_pace pace = {0};
    int64_t wait_ms;
    (void)state;
    assert_int_equal(operation_allow(&pace, 1000, 100, 8, &wait_ms), 1);
    assert_int_equal(operation_allow(&pace, 3600000, 100, 1000, &wait_ms), 10);
    assert_int_equal(operation_allow(&pace, 3600000, 100, 1000, &wait_ms), 0);
    assert_true(wait_ms >= 1 && wait_ms <= 11);
}

/* --- waiting ------------------------------------------------------------- */

static void
preferences_are_read_as_rfc_7240_says(void **state)
{
    static const struct {
        const char *value;
        int64_t seconds;
    } rows[] = {{"wait=20", 20}, {"respond-async, wait=20", 20}, {"WAIT=5", 5},
        {"wait=\"7\"", 7}, {"wait = 9 ", 9}, {"wait=100", 55},
        {"wait=10;x=1, foo", 10}, {"wait=-1", -1}, {"wait=abc", -1},
        {"respond-async", -1}, {"", -1}, {"waiting=3", -1}, {"wait", -1},
        {"wait=1, wait=2", 1}, {"wait=99999999999999999999", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_head head = {.header_count = 2};
        head.headers[0].name = slice_of("Accept");
        head.headers[0].value = slice_of("wait=3");
        head.headers[1].name = slice_of("prefer");
        head.headers[1].value = slice_of(rows[i].value);
        assert_int_equal(wait_preferred_s(&head, 55), rows[i].seconds);
    }
}

/* --- reasons ------------------------------------------------------------- */

static const struct queue_hold lane_hold = {
    .scope = "lane:bulk", .kind = "paused", .left_ms = -1, .reason = "night"};
static const struct queue_hold bucket_hold = {
    .scope = "bucket:default/opus-5-5",
    .kind = "open",
    .until_ms = 4102444800000, /* 2100-01-01 */
    .left_ms = 1000,
    .reason = "5 of 5 calls failed"};
static const struct queue_hold pool_hold = {.scope = "pool:default",
    .kind = "paused",
    .left_ms = -1,
    .reason = "Claude does not accept the API key"};

static void
assert_reason(enum job_state job_state, const struct queue_hold *holds,
    size_t count, const char *expected)
{
    struct job_meta meta = {
        .lane = JOB_LANE_BULK, .bucket = "opus-5-5", .max_attempts = 8};
    struct job_view view = {.state = job_state, .ahead = 3, .meta = &meta};
    const struct queue_stats stats = {.hold_count = count, .holds = holds};
    reason_tell(&view, &stats, view.reason);
    assert_string_equal(view.reason, expected);
}

static void
a_reason_names_the_hold(void **state)
{
    struct queue_hold all[] = {bucket_hold, lane_hold, pool_hold};
    struct queue_hold other = bucket_hold;
    (void)state;
    assert_reason(JOB_QUEUED, NULL, 0, "");
    assert_reason(JOB_RUNNING, all, 3, "");
    assert_reason(JOB_QUEUED, &lane_hold, 1,
        "queued: 3 jobs ahead in its queue; lane bulk is paused until it is "
        "lifted: night");
    assert_reason(JOB_QUEUED, &bucket_hold, 1,
        "queued: 3 jobs ahead in its queue; model opus-5-5 is not called, its "
        "circuit breaker is open until 2100-01-01 00:00:00Z: 5 of 5 calls "
        "failed");
    assert_reason(JOB_RETRYING, all, 3,
        "waiting; pool default is paused until it is lifted: Claude does not "
        "accept the API key");
    snprintf(other.scope, sizeof(other.scope), "bucket:default/haiku-5-5");
    assert_reason(JOB_QUEUED, &other, 1, "");
    other = bucket_hold;
    snprintf(other.kind, sizeof(other.kind), "limited");
    other.reason[0] = '\0';
    assert_reason(JOB_QUEUED, &other, 1,
        "queued: 3 jobs ahead in its queue; model opus-5-5 is rate limited "
        "until 2100-01-01 00:00:00Z");
}

static void
a_hold_matters_when_no_other_pool_serves_the_model(void **state)
{
    static const struct queue_pool pools[] = {{.name = "a"}, {.name = "b"},
        {.name = "c", .buckets = "haiku-5-5 sonnet-5-5"}};
    static const struct queue_hold holds[] = {
        {.scope = "pool:a", .kind = "paused", .left_ms = -1},
        {.scope = "bucket:b/opus-5-5",
            .kind = "limited",
            .until_ms = 4102444800000,
            .left_ms = 9},
        {.scope = "lane:bulk", .kind = "stopped", .left_ms = -1}};
    static const char *const limited =
        "waiting; model opus-5-5 is rate limited until 2100-01-01 00:00:00Z";
    static const struct {
        size_t pools, holds;
        const char *bucket, *expected;
    } rows[] = {
        {1, 1, "opus-5-5", "waiting; pool a is paused until it is lifted"},
        {2, 1, "opus-5-5", ""},
        {2, 2, "opus-5-5", limited},
        {3, 2, "opus-5-5", limited},
        {3, 2, "haiku-5-5", ""},
        {3, 3, "haiku-5-5", "waiting; lane bulk is paused until it is lifted"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct queue_stats stats = {.pool_count = rows[i].pools,
            .pools = pools,
            .hold_count = rows[i].holds,
            .holds = holds};
        struct job_meta meta = {.lane = JOB_LANE_BULK, .max_attempts = 8};
        struct job_view view = {.state = JOB_RETRYING, .meta = &meta};
        text_copy(meta.bucket, sizeof(meta.bucket), slice_of(rows[i].bucket));
        reason_tell(&view, &stats, view.reason);
        assert_string_equal(view.reason, rows[i].expected);
    }
}

static void
a_model_that_no_pool_serves_is_said(void **state)
{
    static const struct queue_pool pool = {.name = "a", .buckets = "x"};
    const struct queue_stats stats = {.pool_count = 1, .pools = &pool};
    struct job_meta meta = {.bucket = "other", .model = "y"};
    struct job_view view = {.state = JOB_QUEUED, .meta = &meta};
    (void)state;
    reason_tell(&view, &stats, view.reason);
    assert_non_null(strstr(view.reason, "no pool serves the model y"));
}

static void
a_long_reason_is_cut_between_characters(void **state)
{
    struct job_meta meta = {.lane = JOB_LANE_BULK, .max_attempts = 8};
    struct job_view view = {.state = JOB_RETRYING,
        .attempts = 1,
        .meta = &meta,
        .error = {.class_name = "overloaded"}};
    struct queue_hold hold = pool_hold;
    const struct queue_stats stats = {.hold_count = 1, .holds = &hold};
    (void)state;
    for (size_t pad = 0; pad < 5; pad++) {
        memset(hold.reason, 'x', pad);
        memset(view.error.message, 'y', pad);
        for (size_t at = pad; at + 3 < 250; at += 3) {
            memcpy(hold.reason + at, "\xe4\xbd\xa0", 4);
            memcpy(view.error.message + at, "\xe4\xbd\xa0", 4);
        }
        reason_tell(&view, &stats, view.reason);
        assert_true(text_is_utf8(slice_of(view.reason)));
        assert_true(strlen(view.reason) > 200);
        assert_non_null(strstr(view.reason, "pool default is paused"));
        view.reason[0] = '\0';
    }
}

/* --- dead letters -------------------------------------------------------- */

static void
a_dead_letter_filter_asks_for_all_it_names(void **state)
{
    struct queue_dead dead = {.fingerprint = "00112233445566aa",
        .model = "m",
        .lane = "bulk",
        .tenant = "acme",
        .error = {.class_name = "cut", .status = 0}};
    static const struct {
        const char *json;
        bool matches;
    } rows[] = {{"{}", true}, {"{\"model\":\"m\"}", true},
        {"{\"model\":\"M\"}", false},
        {"{\"model\":\"m\",\"lane\":\"bulk\",\"tenant\":\"acme\"}", true},
        {"{\"model\":\"m\",\"lane\":\"standard\"}", false},
        {"{\"class\":\"cut\"}", true}, {"{\"error_type\":\"cut\"}", true},
        {"{\"status\":500}", false},
        {"{\"fingerprint\":\"00112233445566aa\"}", true},
        {"{\"fingerprint\":\"00112233445566ab\"}", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dead_filter filter, again;
        struct buffer out = {0};
        char error[200];
        json_t *json = json_loads(rows[i].json, 0, NULL);
        assert_int_equal(
            dead_filter_from_json(json, &filter, error, sizeof(error)), 0);
        json_decref(json);
        assert_int_equal(dead_filter_matches(&filter, &dead), rows[i].matches);
        dead_filter_encode(&filter, &out);
        json = json_loadb(out.data, out.len, 0, NULL);
        assert_int_equal(
            dead_filter_from_json(json, &again, error, sizeof(error)), 0);
        assert_memory_equal(&filter, &again, sizeof(filter));
        json_decref(json);
        buffer_clear(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_decoded_and_bounded),
        cmocka_unit_test(a_batch_becomes_the_span_of_its_ids),
        cmocka_unit_test(a_time_bound_becomes_an_id_to_start_from),
        cmocka_unit_test(states_decide_what_is_read),
        cmocka_unit_test(the_newest_generation_of_a_job_wins),
        cmocka_unit_test(nothing_below_what_is_unknown_is_shown),
        cmocka_unit_test(a_cut_page_says_where_it_was_cut),
        cmocka_unit_test(an_operation_is_read_as_it_was_written),
        cmocka_unit_test(a_wish_to_cancel_is_no_operation),
        cmocka_unit_test(the_pace_is_kept_at_every_rate),
        cmocka_unit_test(a_long_pause_is_not_made_up_for),
        cmocka_unit_test(preferences_are_read_as_rfc_7240_says),
        cmocka_unit_test(a_reason_names_the_hold),
        cmocka_unit_test(a_hold_matters_when_no_other_pool_serves_the_model),
        cmocka_unit_test(a_model_that_no_pool_serves_is_said),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
        cmocka_unit_test(a_dead_letter_filter_asks_for_all_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
