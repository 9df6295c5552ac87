#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/job/envelope.h"

#define ELEMENT_MAX 24
#define COUNT_MAX 4

/* The elements, a bar behind each; or the fault. */
static void
read_parts(struct slice text, size_t first, size_t part, struct buffer *out)
{
    struct envelope envelope;
    size_t at = 0;
    struct slice element = SLICE_NULL;
    enum envelope_status status = ENVELOPE_MORE;

    buffer_reset(out);
    buffer_append(out, "", 0);
    envelope_init(&envelope, ELEMENT_MAX, COUNT_MAX);
    while (at < text.len && status != ENVELOPE_FAULT) {
        size_t len = at == 0 && first > 0 ? first : part;
        char *copy;
        struct slice in;

        if (len > text.len - at)
            len = text.len - at;
        copy = memory_dup_bytes(text.data + at, len);
        in = slice_make(copy, len);
        while ((status = envelope_next(&envelope, &in, &element)) ==
            ENVELOPE_ELEMENT)
            buffer_printf(out, "%.*s|", (int)element.len, element.data);
        at += len;
        memory_free(copy);
    }
    if (envelope_finish(&envelope) != 0) {
        buffer_reset(out);
        buffer_printf(out, "%u %s", envelope.status, envelope.message);
    }
    assert_true(envelope.held.cap < 4096);
    envelope_clear(&envelope);
}

static void
expect(const char *text, const char *told)
{
    struct slice in = slice_of(text);
    struct buffer out = {0};

    for (size_t part = 1; part <= in.len + 1; part++) {
        read_parts(in, 0, part, &out);
        assert_string_equal(out.data, told);
    }
    for (size_t first = 1; first < in.len; first++) {
        read_parts(in, first, in.len, &out);
        assert_string_equal(out.data, told);
    }
    buffer_clear(&out);
}

static void
elements_come_as_they_were_written(void **state)
{
    (void)state;
    expect("{\"requests\":[{\"a\":1}]}", "{\"a\":1}|");
    expect(" {\n\"requests\" : [ { \"a\" : [ {} ] } , {}\t] }\n",
        "{ \"a\" : [ {} ] }|{}|");
    expect("{\"reque\\u0073ts\":[{}]}", "{}|");
}

static void
brackets_and_quotes_in_strings_mean_nothing(void **state)
{
    (void)state;
    expect("{\"requests\":[{\"}]\":\"\\\"}{[\"},{\"\\\\\":\"]\"}]}",
        "{\"}]\":\"\\\"}{[\"}|{\"\\\\\":\"]\"}|");
}

static void
what_is_inside_of_an_element_is_not_looked_at(void **state)
{
    (void)state;
    expect("{\"requests\":[{[}},{\xFF}]}", "{[}}|{\xFF}|");
    expect("{\"requests\":[{[x]},{\xFF}]}", "{[x]}|{\xFF}|");
}

static void
faults_of_the_envelope_are_named(void **state)
{
    (void)state;
    expect("",
        "400 the body is not a valid JSON object: byte 0: the document is "
        "empty");
    expect("[]",
        "400 the body is not a valid JSON object: byte 0: an object was "
        "expected");
    expect("{}", "400 requests: Field required");
    expect(
        "{\"requests\":[]}", "400 requests: List should have at least 1 item");
    expect("{\"requests\":{\"a\":[{}]}}",
        "400 requests: Input should be a valid list");
    expect("{\"requests\":7}", "400 requests: Input should be a valid list");
    expect("{\"requests\":[{},7]}",
        "400 requests.1: Input should be an object (byte 16)");
    expect("{\"requests\":[[{}]]}",
        "400 requests.0: Input should be an object (byte 13)");
    expect("{\"requests\":[{}],\"requests\":[{}]}",
        "400 requests: is given twice");
    expect("{\"requests\":[{}],\"model\":1}",
        "400 model: Extra inputs are not permitted");
    expect("{\"a b\":1}", "400 a member: Extra inputs are not permitted");
}

static void
broken_json_is_told_with_its_byte(void **state)
{
    (void)state;
    expect("{\"requests\":[{\"a\":1}{}]}",
        "400 the body is not a valid JSON object: byte 20: a comma or the "
        "closing bracket was expected");
    expect("{\"requests\":[{\"a\":1}]} x",
        "400 the body is not a valid JSON object: byte 23: the document should "
        "have "
        "ended here");
    expect("{\"requests\":[{\"a\":1}]",
        "400 the body is not a valid JSON object: byte 21: the document ends "
        "too early");
    expect("{\"requests\":[{},]}",
        "400 the body is not a valid JSON object: byte 16: a value was "
        "expected");
    expect("{\"requests\":[{\"a\":",
        "400 requests.0: the body ended inside of it");
}

static void
limits_are_kept_in_size_and_number(void **state)
{
    (void)state;
    expect("{\"requests\":[{\"a\":\"5678901234567890123\"}]}",
        "413 requests.0: is larger than 24 bytes");
    expect("{\"requests\":[{\"a\":\"567890123456789012\"}]}",
        "413 requests.0: is larger than 24 bytes");
    expect("{\"requests\":[{\"a\":\"5678901234567890\"}]}",
        "{\"a\":\"5678901234567890\"}|");
    expect("{\"requests\":[{},{},{},{}]}", "{}|{}|{}|{}|");
    expect("{\"requests\":[{},{},{},{},{}]}",
        "413 requests: a batch has at most 4 requests");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_come_as_they_were_written),
        cmocka_unit_test(brackets_and_quotes_in_strings_mean_nothing),
        cmocka_unit_test(what_is_inside_of_an_element_is_not_looked_at),
        cmocka_unit_test(faults_of_the_envelope_are_named),
        cmocka_unit_test(broken_json_is_told_with_its_byte),
        cmocka_unit_test(limits_are_kept_in_size_and_number),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
