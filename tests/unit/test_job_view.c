#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/job/job.h"

#define ID "job_0199f6a2-5c1e-7abc-9def-0123456789ab"

static char tags[][JOB_TAG_MAX + 1] = {"a\"b"};
static struct job_meta meta = {.model = "claude-opus-5-5",
    .bucket = "opus-5-5",
    .tenant = "acme",
    .lane = JOB_LANE_STANDARD,
    .created_ms = 1795186800123,
    .expires_ms = 1795791600123,
    .max_attempts = 8,
    .tag_count = 1,
    .tags = tags};

static struct job_view
view_of(enum job_state state, int64_t ahead)
{
    return (struct job_view){
        .id = ID, .state = state, .version = 3, .ahead = ahead, .meta = &meta};
}

static json_t *
encode(const struct job_view *view)
{
    struct buffer out = {0};
    job_view_encode(view, "http://127.0.0.1:8080", &out);
    json_t *job = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(job);
    buffer_clear(&out);
    return job;
}

static const char *
text(const json_t *job, const char *key)
{
    return json_string_value(json_object_get(job, key));
}

static void
assert_reason(const struct job_view *view, const char *expected)
{
    json_t *job = encode(view);
    assert_string_equal(text(job, "status_reason"), expected);
    json_decref(job);
}

static void
a_queued_job_reads_as_promised_byte_for_byte(void **state)
{
    (void)state;
    struct job_view view = view_of(JOB_QUEUED, 37);
    struct buffer out = {0};
    job_view_encode(&view, "http://h", &out);
    assert_string_equal(out.data,
        "{\"id\":\"" ID "\",\"object\":\"job\",\"status\":\"queued\","
        "\"status_reason\":\"queued: 37 jobs ahead in its queue\","
        "\"version\":3,\"generation\":0,\"replays\":0,\"lane\":\"standard\","
        "\"model\":\"claude-opus-5-5\",\"model_requested\":"
        "\"claude-opus-5-5\",\"tags\":[\"a\\\"b\"],\"tenant\":\"acme\","
        "\"created_at\":\"2026-11-20T15:00:00.123Z\","
        "\"expires_at\":\"2026-11-27T15:00:00.123Z\",\"started_at\":null,"
        "\"finished_at\":null,\"next_attempt_at\":null,\"attempts\":0,"
        "\"max_attempts\":8,\"takeovers\":0,\"position\":38,\"ahead\":37,"
        "\"stop_reason\":null,\"usage\":null,\"cost_usd\":null,"
        "\"unknown_calls\":0,\"error\":null,\"dead_letter\":false,"
        "\"simulated\":false,\"cancel_requested\":false,"
        "\"poll_after_seconds\":5,\"links\":{"
        "\"self\":\"http://h/v1/jobs/" ID "\","
        "\"result\":\"http://h/v1/jobs/" ID "/result\","
        "\"cancel\":\"http://h/v1/jobs/" ID "/cancel\"}}");
    buffer_clear(&out);
}

static void
an_item_names_its_batch(void **state)
{
    (void)state;
    struct job_view view = view_of(JOB_QUEUED, 37);
    struct job_meta item = *view.meta;
    struct buffer out = {0};
    char custom_id[] = "row-1";
    memcpy(item.batch, "0199f6a2-5c1e-7abc-9def-0123456789ab", 37);
    item.custom_id = custom_id;
    view.meta = &item;
    job_view_encode(&view, "http://h", &out);
    assert_non_null(strstr(out.data,
        ",\"batch_id\":\"batch_0199f6a2-5c1e-7abc-9def-0123456789ab\","
        "\"custom_id\":\"row-1\","));
    buffer_clear(&out);
}

static struct job_result
succeeded(void)
{
    struct job_result result = {.id = ID,
        .generation = 1,
        .state = JOB_SUCCEEDED,
        .version = 9,
        .model = "claude-haiku-5-5",
        .started_ms = 1795186801000,
        .finished_ms = 1795186802000,
        .attempts = 2,
        .unknown_calls = 1,
        .takeovers = 3,
        .simulated = true,
        .stop_reason = "end_turn",
        .usage = {10, 20, 30, 40, 50},
        .cost_usd_nanos = 1234000,
        .meta = meta};
    return result;
}

static void
a_finished_job_shows_usage_and_exact_cost(void **state)
{
    (void)state;
    struct job_result result = succeeded();
    struct job_view view;
    job_view_from_result(&result, &view);
    json_t *job = encode(&view);
    assert_string_equal(text(job, "status"), "succeeded");
    assert_string_equal(text(job, "model"), "claude-haiku-5-5");
    assert_string_equal(text(job, "model_requested"), "claude-opus-5-5");
    assert_string_equal(text(job, "stop_reason"), "end_turn");
    assert_int_equal(json_integer_value(json_object_get(job, "takeovers")), 3);
    assert_string_equal(text(job, "cost_usd"), "0.001234");
    assert_string_equal(text(job, "finished_at"), "2026-11-20T15:00:02.000Z");
    assert_true(json_is_null(json_object_get(job, "poll_after_seconds")));
    assert_true(json_is_null(json_object_get(job, "position")));
    assert_true(json_is_true(json_object_get(job, "simulated")));
    char *usage = json_dumps(json_object_get(job, "usage"), JSON_COMPACT);
    assert_string_equal(usage,
        "{\"input_tokens\":10,\"output_tokens\":20,"
        "\"cache_read_input_tokens\":30,\"cache_creation_input_tokens\":90,"
        "\"cache_creation\":{\"ephemeral_5m_input_tokens\":40,"
        "\"ephemeral_1h_input_tokens\":50}}");
    free(usage);
    json_decref(job);
}

static void
cost_keeps_every_digit(void **state)
{
    (void)state;
    static const struct {
        int64_t nanos;
        const char *text;
    } rows[] = {{0, "0.000000"}, {1, "0.000000001"}, {50, "0.00000005"},
        {1500, "0.0000015"}, {INT64_C(12345678901), "12.345678901"},
        {INT64_C(3000000000), "3.000000"}, {-1, NULL}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct job_result result = succeeded();
        struct job_view view;
        result.cost_usd_nanos = rows[i].nanos;
        job_view_from_result(&result, &view);
        json_t *job = encode(&view);
        if (rows[i].text != NULL)
            assert_string_equal(text(job, "cost_usd"), rows[i].text);
        else
            assert_true(json_is_null(json_object_get(job, "cost_usd")));
        json_decref(job);
    }
}

static void
a_failed_job_shows_its_error(void **state)
{
    (void)state;
    struct job_result result = succeeded();
    struct job_view view;
    result.state = JOB_FAILED;
    result.dead = true;
    result.cost_usd_nanos = -1;
    result.error = (struct job_error){.class_name = "bad_request",
        .type = "invalid_request_error",
        .status = 400,
        .request_id = "req_1",
        .at_ms = 1795186802000,
        .message = "prompt is too long"};
    memset(&result.usage, 0, sizeof(result.usage));
    job_view_from_result(&result, &view);
    json_t *job = encode(&view);
    char *error = json_dumps(json_object_get(job, "error"), JSON_COMPACT);
    assert_string_equal(error,
        "{\"type\":\"invalid_request_error\","
        "\"message\":\"prompt is too long\",\"status\":400,\"code\":null,"
        "\"class\":\"bad_request\",\"request_id\":\"req_1\","
        "\"at\":\"2026-11-20T15:00:02.000Z\"}");
    free(error);
    assert_true(json_is_true(json_object_get(job, "dead_letter")));
    assert_true(json_is_null(json_object_get(job, "usage")));
    json_decref(job);
    assert_reason(&view,
        "failed after 2 attempts: invalid_request_error "
        "(400): prompt is too long");
}

static void
reasons_say_what_a_job_waits_for(void **state)
{
    (void)state;
    struct job_view view = view_of(JOB_QUEUED, 0);
    assert_reason(&view, "queued: next in its queue");
    view.ahead = 1;
    assert_reason(&view, "queued: 1 job ahead in its queue");
    view.ahead = -1;
    assert_reason(&view, "queued");
    view = view_of(JOB_RUNNING, -1);
    view.attempts = 1;
    assert_reason(&view, "running: attempt 2 of 8");
    view.cancel_requested = true;
    assert_reason(&view, "cancel requested; running: attempt 2 of 8");
    strcpy(view.reason, "as the queue says");
    assert_reason(&view, "as the queue says");
    view = view_of(JOB_RETRYING, -1);
    view.attempts = 2;
    view.next_attempt_ms = 2215602130000;
    view.error = (struct job_error){.class_name = "overloaded",
        .type = "overloaded_error",
        .status = 529,
        .message = "Overloaded"};
    assert_reason(&view,
        "waiting until 2040-03-17 13:02:10Z after attempt 2 "
        "of 8: overloaded_error (529): Overloaded");
}

static void
a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    struct job_view view = view_of(JOB_RETRYING, -1);
    strcpy(view.error.class_name, "garbage");
    view.error.message[0] = 'x';
    for (int i = 0; i < 150; i++)
        strcat(view.error.message, "\xc3\xa9");
    json_t *job = encode(&view);
    const char *reason = text(job, "status_reason");
    assert_int_equal(
        strlen(reason), strlen("waiting: garbage: ") + 199 + strlen("..."));
    json_decref(job);
}

static void
polling_slows_down_with_the_queue(void **state)
{
    (void)state;
    struct job_view view = view_of(JOB_QUEUED, 0);
    assert_int_equal(job_view_poll_after_s(&view), 2);
    view.ahead = 100;
    assert_int_equal(job_view_poll_after_s(&view), 12);
    view.ahead = 1000000;
    assert_int_equal(job_view_poll_after_s(&view), 60);
    view.ahead = -1;
    assert_int_equal(job_view_poll_after_s(&view), 2);
    view = view_of(JOB_RETRYING, -1);
    view.next_attempt_ms = clock_wall_ms() - 100000;
    assert_int_equal(job_view_poll_after_s(&view), 1);
    view.next_attempt_ms = clock_wall_ms() + 100000;
    assert_int_equal(job_view_poll_after_s(&view), 60);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queued_job_reads_as_promised_byte_for_byte),
        cmocka_unit_test(an_item_names_its_batch),
        cmocka_unit_test(a_finished_job_shows_usage_and_exact_cost),
        cmocka_unit_test(cost_keeps_every_digit),
        cmocka_unit_test(a_failed_job_shows_its_error),
        cmocka_unit_test(reasons_say_what_a_job_waits_for),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(polling_slows_down_with_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
