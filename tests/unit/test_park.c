#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "worker/park.h"

static const struct job_result paid = {
    .state = JOB_SUCCEEDED,
    .model = "claude-haiku-5-5",
    .stop_reason = "end_turn",
    .usage = {.input_tokens = 12,
        .output_tokens = 34,
        .cache_read_tokens = 5,
        .cache_write_5m_tokens = 6,
        .cache_write_1h_tokens = 7},
    .cost_usd_nanos = -1,
    .started_ms = 1700000000123,
    .finished_ms = 1700000000456,
    .attempts = 2,
    .unknown_calls = 1,
    .simulated = true,
};

static void
what_was_parked_comes_back_whole(void **state)
{
    const char message[] = "{\"a\":\"\n\\u0000\"}\n\0x";
    struct buffer text = {NULL, 0, 0};
    struct job_result back = {.generation = 3};
    struct slice body;

    (void)state;
    park_encode(&paid, slice_make(message, sizeof(message)), &text);
    assert_int_equal(park_decode(buffer_slice(&text), &back, &body), 0);
    assert_int_equal(body.len, sizeof(message));
    assert_memory_equal(body.data, message, sizeof(message));
    assert_string_equal(back.model, paid.model);
    assert_string_equal(back.stop_reason, paid.stop_reason);
    assert_memory_equal(&back.usage, &paid.usage, sizeof(back.usage));
    assert_int_equal(back.cost_usd_nanos, -1);
    assert_int_equal(back.started_ms, paid.started_ms);
    assert_int_equal(back.finished_ms, paid.finished_ms);
    assert_int_equal(back.attempts, 2);
    assert_int_equal(back.unknown_calls, 1);
    assert_true(back.simulated);
    assert_int_equal(back.generation, 3);
    buffer_clear(&text);
}

static void
what_is_not_of_the_form_is_refused(void **state)
{
    const char *const bad[] = {"", "\n", "{}\nx", "{\"model\":1}\n",
        "{\"model\":\"m\",\"stop\":\"s\",\"n\":[1,2]}\n",
        "{\"model\":\"m\",\"stop\":\"s\",\"n\":[1,1,1,1,1,1,1,1,1,1,-1]}\n",
        "{\"model\":\"m\",\"stop\":\"s\",\"n\":[1,1,1,1,1,-2,1,1,1,1,1]}\n",
        "{\"model\":\"m\",\"stop\":\"s\",\"n\":[1,1,1,1,1,1,1,1,1,1,1]}"};
    struct job_result result = {.generation = 3};
    struct slice body;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(park_decode(slice_of(bad[i]), &result, &body), -1);
    assert_int_equal(result.state, JOB_QUEUED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_parked_comes_back_whole),
        cmocka_unit_test(what_is_not_of_the_form_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
