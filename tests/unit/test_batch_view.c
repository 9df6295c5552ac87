#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/job/batch_view.h"

#define UUID "0199f6a2-5c1e-7abc-9def-0123456789ab"
#define ORIGIN "https://queue.example.com"

static struct batch_view
sample(void)
{
    struct batch_view view = {.uuid = UUID,
        .tenant = "default",
        .created_ms = INT64_C(1795183200000),
        .expires_ms = INT64_C(1795269600000),
        .accepted = 10,
        .rejected = 3,
        .counts = {1, 1, 1, 3, 2, 1, 1},
        .usage = {.input_tokens = 70, .output_tokens = 9},
        .cost_usd_nanos = 1234000,
        .seconds_left = 12};
    return view;
}

static json_t *
parse(const struct buffer *text)
{
    json_t *json =
        json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

static const char *
text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static json_int_t
number_of(const json_t *json, const char *object, const char *key)
{
    const json_t *in = object == NULL ? json : json_object_get(json, object);
    return json_integer_value(json_object_get(in, key));
}

static void
both_prefixes_name_a_batch_and_nothing_else_does(void **state)
{
    static const char *const wrong[] = {"", UUID, "job_" UUID, "batch_",
        "batch_" UUID "x", "msgbatch_0199f6a2-5c1e-4abc-9def-0123456789ab",
        "batch_0199F6A2-5C1E-7ABC-9DEF-0123456789AB"};
    char uuid[ID_UUID_LEN + 1];
    (void)state;
    assert_int_equal(batch_id_parse(slice_of("batch_" UUID), uuid), 0);
    assert_string_equal(uuid, UUID);
    uuid[0] = '\0';
    assert_int_equal(batch_id_parse(slice_of("msgbatch_" UUID), uuid), 0);
    assert_string_equal(uuid, UUID);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(batch_id_parse(slice_of(wrong[i]), uuid), -1);
}

static void
the_native_face_has_live_counts_that_sum_up(void **state)
{
    struct batch_view view = sample();
    struct buffer out = {0};
    json_int_t sum = 0;
    const char *key;
    json_t *value;
    (void)state;
    batch_view_encode(&view, ORIGIN, SLICE_NULL, &out);
    json_t *json = parse(&out);
    assert_string_equal(text_of(json, "id"), "batch_" UUID);
    assert_string_equal(text_of(json, "type"), "batch");
    assert_string_equal(text_of(json, "status"), "in_progress");
    json_object_foreach(json_object_get(json, "counts"), key, value) sum +=
        json_integer_value(value);
    assert_int_equal(sum, number_of(json, NULL, "accepted"));
    assert_int_equal(number_of(json, "counts", "failed"), 2);
    assert_int_equal(number_of(json, "usage", "input_tokens"), 70);
    assert_string_equal(text_of(json, "cost_usd"), "0.001234");
    assert_int_equal(number_of(json, NULL, "seconds_left"), 12);
    assert_string_equal(text_of(json_object_get(json, "links"), "results"),
        ORIGIN "/v1/batches/batch_" UUID "/results");
    assert_true(json_is_null(json_object_get(json, "run")));
    assert_true(json_is_null(json_object_get(json, "ended_at")));
    assert_null(json_object_get(json, "errors"));
    json_decref(json);
    buffer_clear(&out);
    view.seconds_left = -1;
    view.cost_usd_nanos = -1;
    batch_view_encode(&view, ORIGIN,
        slice_of("{\"line\":2,\"custom_id\":null,\"message\":\"no\"}"), &out);
    json = parse(&out);
    assert_true(json_is_null(json_object_get(json, "seconds_left")));
    assert_true(json_is_null(json_object_get(json, "cost_usd")));
    assert_int_equal(json_array_size(json_object_get(json, "errors")), 1);
    json_decref(json);
    buffer_clear(&out);
}

static void
claudes_face_shows_nothing_done_until_the_end(void **state)
{
    struct batch_view view = sample();
    struct buffer out = {0};
    (void)state;
    view.state = BATCH_CANCELING;
    view.cancel_ms = view.created_ms + 1000;
    batch_view_encode_message(&view, ORIGIN, true, &out);
    json_t *json = parse(&out);
    assert_string_equal(text_of(json, "id"), "msgbatch_" UUID);
    assert_string_equal(text_of(json, "type"), "message_batch");
    assert_string_equal(text_of(json, "processing_status"), "canceling");
    assert_int_equal(number_of(json, "request_counts", "processing"), 10);
    assert_int_equal(number_of(json, "request_counts", "succeeded"), 0);
    assert_true(json_is_null(json_object_get(json, "results_url")));
    assert_string_equal(
        text_of(json, "cancel_initiated_at"), "2026-11-20T14:00:01.000Z");
    const json_t *more = json_object_get(json, "longhaul");
    assert_string_equal(text_of(more, "batch_id"), "batch_" UUID);
    assert_int_equal(number_of(more, "counts", "succeeded"), 3);
    json_decref(json);
    buffer_clear(&out);
}

static void
claudes_face_of_an_ended_batch_leads_to_our_origin(void **state)
{
    struct batch_view view = sample();
    struct buffer out = {0};
    (void)state;
    memset(view.counts, 0, sizeof(view.counts));
    view.counts[JOB_SUCCEEDED] = 6;
    view.counts[JOB_FAILED] = 2;
    view.counts[JOB_CANCELED] = 1;
    view.counts[JOB_EXPIRED] = 1;
    view.state = BATCH_ENDED;
    view.ended_ms = view.created_ms + 5000;
    batch_view_encode_message(&view, ORIGIN, false, &out);
    json_t *json = parse(&out);
    assert_int_equal(number_of(json, "request_counts", "processing"), 0);
    assert_int_equal(number_of(json, "request_counts", "succeeded"), 6);
    assert_int_equal(number_of(json, "request_counts", "errored"), 2);
    assert_int_equal(number_of(json, "request_counts", "canceled"), 1);
    assert_int_equal(number_of(json, "request_counts", "expired"), 1);
    assert_string_equal(text_of(json, "results_url"),
        ORIGIN "/v1/messages/batches/msgbatch_" UUID "/results");
    assert_null(json_object_get(json, "longhaul"));
    json_decref(json);
    buffer_clear(&out);
    view.archived_ms = view.created_ms + 1;
    batch_view_encode_message(&view, ORIGIN, false, &out);
    json = parse(&out);
    assert_true(json_is_null(json_object_get(json, "results_url")));
    json_decref(json);
    buffer_clear(&out);
}

static void
the_version_changes_with_the_numbers_and_not_with_the_estimate(void **state)
{
    struct batch_view a = sample(), b = sample();
    (void)state;
    b.seconds_left = 3;
    assert_true(batch_view_version(&a) == batch_view_version(&b));
    b.counts[JOB_QUEUED]--;
    b.counts[JOB_RUNNING]++;
    assert_true(batch_view_version(&a) != batch_view_version(&b));
    b = a;
    b.state = BATCH_CANCELING;
    assert_true(batch_view_version(&a) != batch_view_version(&b));
    assert_int_equal(batch_view_done(&a), 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_prefixes_name_a_batch_and_nothing_else_does),
        cmocka_unit_test(the_native_face_has_live_counts_that_sum_up),
        cmocka_unit_test(claudes_face_shows_nothing_done_until_the_end),
        cmocka_unit_test(claudes_face_of_an_ended_batch_leads_to_our_origin),
        cmocka_unit_test(
            the_version_changes_with_the_numbers_and_not_with_the_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
