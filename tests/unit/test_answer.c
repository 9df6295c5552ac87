#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/buffer.h"
#include "worker/answer.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
the_fields_of_a_message_are_read(void **state)
{
    struct answer answer;
    const char *reason;

    (void)state;
    assert_int_equal(
        answer_parse(
            slice_of("{\"id\":\"msg_01A\",\"type\":\"message\",\"model\":"
                     "\"claude-haiku-5-5\",\"content\":[{\"type\":\"text\","
                     "\"stop_reason\":\"no\"}],\"stop_reason\":\"end_turn\","
                     "\"usage\":{\"input_tokens\":12,\"output_tokens\":3,"
                     "\"cache_creation_input_tokens\":30,"
                     "\"cache_read_input_tokens\":7,\"cache_creation\":{"
                     "\"ephemeral_5m_input_tokens\":10,"
                     "\"ephemeral_1h_input_tokens\":20}}}"),
            &answer, &reason),
        0);
    assert_string_equal(answer.id, "msg_01A");
    assert_string_equal(answer.model, "claude-haiku-5-5");
    assert_string_equal(answer.stop_reason, "end_turn");
    assert_true(answer.has_usage);
    assert_int_equal(answer.usage.input_tokens, 12);
    assert_int_equal(answer.usage.output_tokens, 3);
    assert_int_equal(answer.usage.cache_creation_input_tokens, 30);
    assert_int_equal(answer.usage.cache_read_input_tokens, 7);
    assert_int_equal(answer.usage.cache_creation_5m_input_tokens, 10);
    assert_int_equal(answer.usage.cache_creation_1h_input_tokens, 20);
}

static void
missing_and_null_and_nonsense_counts_are_zero(void **state)
{
    static const char *const usages[] = {"", ",\"usage\":null", ",\"usage\":[]",
        ",\"usage\":{}",
        ",\"usage\":{\"input_tokens\":null,\"output_tokens\":-1,"
        "\"cache_read_input_tokens\":1.5,\"cache_creation\":null}",
        ",\"usage\":{\"input_tokens\":99999999999999999999,"
        "\"output_tokens\":\"3\",\"cache_creation\":7}"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(usages); i++) {
        static const struct answer_usage none;
        struct buffer body = {0};
        struct answer answer;
        const char *reason;

        buffer_printf(&body,
            "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"x\"%s}",
            usages[i]);
        assert_int_equal(
            answer_parse(buffer_slice(&body), &answer, &reason), 0);
        assert_memory_equal(&answer.usage, &none, sizeof(none));
        assert_int_equal(answer.has_usage, i >= 3);
        assert_string_equal(answer.id, "");
        buffer_clear(&body);
    }
}

static void
what_is_not_a_message_is_refused_with_a_reason(void **state)
{
    static const char *const rows[][2] = {
        {"", "the answer is not a JSON object"},
        {"<html></html>", "the answer is not a JSON object"},
        {"[]", "the answer is not a JSON object"},
        {"{\"type\":\"message\",\"content\":[],\"stop_reason\":\"end_turn\"",
            "the answer is not a JSON object"},
        {"{}", "the answer is not a Message"},
        {"{\"type\":\"completion\"}", "the answer is not a Message"},
        {"{\"type\":[\"message\"]}", "the answer is not a Message"},
        {"{\"type\":\"message\"}", "the Message has no content"},
        {"{\"type\":\"message\",\"content\":\"x\"}",
            "the Message has no content"},
        {"{\"type\":\"message\",\"content\":[]}",
            "the Message has no stop_reason"},
        {"{\"type\":\"message\",\"content\":[],\"stop_reason\":null}",
            "the Message has no stop_reason"},
        {"{\"type\":\"message\",\"content\":[],\"stop_reason\":\"\"}",
            "the Message has no stop_reason"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct answer answer;
        const char *reason;

        assert_int_equal(
            answer_parse(slice_of(rows[i][0]), &answer, &reason), -1);
        assert_string_equal(reason, rows[i][1]);
    }
}

static void
the_error_envelope_is_read(void **state)
{
    struct answer_error error;

    (void)state;
    assert_int_equal(
        answer_error_parse(
            slice_of("{\"type\":\"error\",\"error\":{\"type\":"
                     "\"rate_limit_error\",\"message\":\"a\\nb\\u0000c\\u001b"
                     "[31m\\u009b d\",\"details\":{\"error_code\":"
                     "\"ramp_limit_exceeded\"}},\"request_id\":\"req_01X\"}"),
            &error),
        0);
    assert_string_equal(error.type, "rate_limit_error");
    assert_string_equal(error.message, "a b c [31m   d");
    assert_string_equal(error.code, "ramp_limit_exceeded");
    assert_string_equal(error.request_id, "req_01X");
    assert_int_equal(
        answer_error_parse(
            slice_of("{\"error\":{\"type\":\"x\",\"details\":null},"
                     "\"request_id\":null,\"type\":\"error\"}"),
            &error),
        0);
    assert_string_equal(error.type, "x");
    assert_string_equal(error.message, "");
    assert_string_equal(error.code, "");
    assert_string_equal(error.request_id, "");
}

static void
other_bodies_are_no_error_envelope(void **state)
{
    static const char *const rows[] = {"", "<html>", "{}",
        "{\"type\":\"error\"}", "{\"type\":\"error\",\"error\":\"x\"}",
        "{\"type\":\"error\",\"error\":{}}",
        "{\"type\":\"error\",\"error\":{\"type\":\"\"}}",
        "{\"type\":\"message\",\"error\":{\"type\":\"x\"}}"};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct answer_error error;

        assert_int_equal(answer_error_parse(slice_of(rows[i]), &error), -1);
        assert_string_equal(error.type, "");
        assert_string_equal(error.message, "");
    }
}

/* A message of `ascii` letters and then characters of three bytes. */
static size_t
kept_of(size_t ascii)
{
    struct buffer body = {0};
    struct answer_error error;
    size_t i;

    buffer_append_text(
        &body, "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"");
    for (i = 0; i < ascii; i++)
        buffer_append_char(&body, 'a');
    for (i = 0; i < 600; i++)
        buffer_append_text(&body, i % 2 == 0 ? "\xE5\xAE\xA2" : "\\u5ba2");
    buffer_append_text(&body, "\"}}");
    assert_int_equal(answer_error_parse(buffer_slice(&body), &error), 0);
    assert_true(text_is_utf8(slice_of(error.message)));
    buffer_clear(&body);
    return strlen(error.message);
}

static void
a_long_message_is_cut_at_the_end_of_a_character(void **state)
{
    (void)state;
    assert_int_equal(kept_of(0), 1023);
    assert_int_equal(kept_of(1), 1024);
    assert_int_equal(kept_of(2), 1022);
    assert_int_equal(kept_of(1024), 1024);
    assert_int_equal(kept_of(1023), 1023);
    assert_int_equal(kept_of(1022), 1022);
    assert_int_equal(kept_of(1021), 1024);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fields_of_a_message_are_read),
        cmocka_unit_test(missing_and_null_and_nonsense_counts_are_zero),
        cmocka_unit_test(what_is_not_a_message_is_refused_with_a_reason),
        cmocka_unit_test(the_error_envelope_is_read),
        cmocka_unit_test(other_bodies_are_no_error_envelope),
        cmocka_unit_test(a_long_message_is_cut_at_the_end_of_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
