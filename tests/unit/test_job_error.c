#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/job/job.h"

static struct job_error
overloaded(const char *message)
{
    struct job_error error = {.class_name = "overloaded",
        .type = "overloaded_error",
        .code = "c",
        .status = 529,
        .request_id = "req_011CX",
        .at_ms = 1795186800123};
    assert_true(
        text_copy(error.message, sizeof(error.message), slice_of(message)));
    return error;
}

static void
error_survives_the_round_trip(void **state)
{
    (void)state;
    struct job_error error = overloaded("Overloaded \"now\"\xe2\x82\xac"), back;
    struct buffer out = {0};
    job_error_encode(&error, &out);
    assert_int_equal(job_error_decode(buffer_slice(&out), &back), 0);
    assert_memory_equal(&error, &back, sizeof(error));
    buffer_clear(&out);
}

static void
the_longest_message_of_bad_bytes_can_be_read_back(void **state)
{
    (void)state;
    struct job_error error = {.class_name = "garbage"}, back;
    struct buffer out = {0};
    memset(error.message, 0xff, sizeof(error.message) - 1);
    job_error_encode(&error, &out);
    assert_int_equal(job_error_decode(buffer_slice(&out), &back), 0);
    assert_int_equal(strlen(back.message), sizeof(error.message) - 1);
    buffer_clear(&out);
}

static void
no_error_is_an_empty_object(void **state)
{
    (void)state;
    struct job_error error = {.status = 0}, back;
    struct buffer out = {0};
    job_error_encode(&error, &out);
    assert_string_equal(out.data, "{}");
    assert_int_equal(job_error_decode(buffer_slice(&out), &back), 0);
    assert_string_equal(back.class_name, "");
    assert_int_equal(job_error_decode(slice_of("{\"s\":\"529\"}"), &back), -1);
    assert_int_equal(job_error_decode(slice_of("{\"s\":529"), &back), -1);
    assert_int_equal(back.status, 0);
    buffer_clear(&out);
}

static void
check(const char *a, const char *b, bool same)
{
    struct job_error one = overloaded(a), two = overloaded(b);
    char left[17], right[17];
    job_error_fingerprint(&one, "claude-opus-5-5", left);
    job_error_fingerprint(&two, "claude-opus-5-5", right);
    assert_int_equal(strlen(left), 16);
    assert_int_equal(strcmp(left, right) == 0, same);
}

static void
fingerprint_ignores_what_varies(void **state)
{
    (void)state;
    check("prompt is too long: 210000 tokens > 200000 maximum",
        "prompt is too long: 345,678 tokens > 200000 maximum", false);
    check("prompt is too long: 210000 tokens > 200000 maximum",
        "prompt is too long: 345678 tokens > 100 maximum", true);
    check("see req_011CXabcdefgh", "see req_zzzzzzzzzzzz", true);
    check("id 0199f6a2-5c1e-7abc-9def-0123456789ab gone",
        "id ffffffff-0000-7abc-9def-0123456789ab gone", true);
    check("model: 'claude-x' unknown", "model: 'my own' unknown", true);
    check("field \"a b\" is missing", "field \"c\" is missing", true);
    check("Overloaded", "overloaded", true);
    check("can't do it", "can't do that", false);
    check("Overloaded", "Not overloaded", false);
    check("don't say 'x' now", "don't say 'yy' now", true);
    check("unclosed ' quote one", "unclosed ' quote two", false);
    check("", "#", true);
}

static void
fingerprint_tells_causes_apart(void **state)
{
    (void)state;
    char base[17], other[17];
    struct job_error error = overloaded("x");
    job_error_fingerprint(&error, "a", base);
    job_error_fingerprint(&error, "b", other);
    assert_string_not_equal(base, other);
    error.at_ms++;
    strcpy(error.request_id, "req_2");
    job_error_fingerprint(&error, "a", other);
    assert_string_equal(base, other);
    error.status = 500;
    job_error_fingerprint(&error, "a", other);
    assert_string_not_equal(base, other);
    error.status = 529;
    strcpy(error.type, "api_error");
    job_error_fingerprint(&error, "a", other);
    assert_string_not_equal(base, other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_survives_the_round_trip),
        cmocka_unit_test(the_longest_message_of_bad_bytes_can_be_read_back),
        cmocka_unit_test(no_error_is_an_empty_object),
        cmocka_unit_test(fingerprint_ignores_what_varies),
        cmocka_unit_test(fingerprint_tells_causes_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
