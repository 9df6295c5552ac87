#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "common/base/buffer.h"

static void
a_zeroed_buffer_is_empty_and_usable(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    assert_int_equal(buffer_slice(&buf).len, 0);
    buffer_reset(&buf);
    buffer_consume(&buf, 0);
    char *text = buffer_take(&buf);
    assert_string_equal(text, "");
    memory_free(text);
    buffer_append(&buf, NULL, 0);
    assert_string_equal(buf.data, "");
    buffer_clear(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.cap, 0);
}

static void
what_was_appended_is_terminated(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    buffer_append_text(&buf, "a");
    buffer_append_char(&buf, 'b');
    buffer_append_slice(&buf, slice_of("cd"));
    buffer_append(&buf, "e\0f", 3);
    buffer_printf(&buf, "%s-%d", "g", 7);
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data, "abcde\0fg-7", 11);
    buffer_clear(&buf);
}

static void
it_grows_over_many_small_steps(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    for (int i = 0; i < 100000; i++)
        buffer_append_char(&buf, (char)('a' + i % 26));
    assert_int_equal(buf.len, 100000);
    assert_int_equal(buf.data[99999], 'a' + 99999 % 26);
    assert_int_equal(buf.data[100000], '\0');
    assert_true(buf.cap < 300000);
    buffer_clear(&buf);
}

static void
numbers_print_at_both_ends(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    buffer_append_u64(&buf, 0);
    buffer_append_char(&buf, ' ');
    buffer_append_u64(&buf, UINT64_MAX);
    buffer_append_char(&buf, ' ');
    buffer_append_i64(&buf, INT64_MIN);
    buffer_append_char(&buf, ' ');
    buffer_append_i64(&buf, INT64_MAX);
    buffer_append_char(&buf, ' ');
    buffer_append_i64(&buf, -10);
    assert_string_equal(buf.data,
        "0 18446744073709551615 -9223372036854775808 "
        "9223372036854775807 -10");
    buffer_clear(&buf);
}

static void
reserve_gives_room_and_keeps_the_length(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    buffer_append_text(&buf, "ab");
    char *at = buffer_reserve(&buf, 5000);
    assert_int_equal(buf.len, 2);
    assert_ptr_equal(at, buf.data + 2);
    memset(at, 'x', 5000);
    buf.len += 5000;
    buffer_append_char(&buf, 'y');
    assert_int_equal(strlen(buf.data), 5003);
    buffer_clear(&buf);
}

static void
consuming_drops_the_front(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    buffer_append_text(&buf, "header body");
    buffer_consume(&buf, 7);
    assert_string_equal(buf.data, "body");
    buffer_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    buffer_append_text(&buf, "again");
    buffer_reset(&buf);
    assert_string_equal(buf.data, "");
    assert_true(buf.cap > 0);
    buffer_clear(&buf);
}

static void
taken_memory_belongs_to_the_caller(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    buffer_append_text(&buf, "mine");
    char *text = buffer_take(&buf);
    assert_string_equal(text, "mine");
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    memory_free(text);
}

static void
json_strings_escape_what_they_must(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *json;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"say \"hi\" \\ / ", "\"say \\\"hi\\\" \\\\ / \""},
        {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""},
        {"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
            "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
            "\"a\xef\xbf\xbd"
            "b\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"cut \xe2\x82", "\"cut \xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer buf = {NULL, 0, 0};
        buffer_append_json(&buf, slice_of(cases[i].in));
        assert_string_equal(buf.data, cases[i].json);
        buffer_clear(&buf);
    }
}

/* Every pair of bytes: a reader takes it, and gives well-formed text back. */
static void
json_strings_are_valid_whatever_the_bytes(void **state)
{
    (void)state;
    struct buffer buf = {NULL, 0, 0};
    for (unsigned i = 0; i < 0x10000; i += 7) {
        char bytes[3] = {(char)(i >> 8), (char)i, 'z'};
        buffer_reset(&buf);
        buffer_append_char(&buf, '[');
        buffer_append_json(&buf, slice_make(bytes, sizeof(bytes)));
        buffer_append_char(&buf, ']');
        json_t *read = json_loadb(buf.data, buf.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        json_decref(read);
    }
    buffer_clear(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_usable),
        cmocka_unit_test(what_was_appended_is_terminated),
        cmocka_unit_test(it_grows_over_many_small_steps),
        cmocka_unit_test(numbers_print_at_both_ends),
        cmocka_unit_test(reserve_gives_room_and_keeps_the_length),
        cmocka_unit_test(consuming_drops_the_front),
        cmocka_unit_test(taken_memory_belongs_to_the_caller),
        cmocka_unit_test(json_strings_escape_what_they_must),
        cmocka_unit_test(json_strings_are_valid_whatever_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
