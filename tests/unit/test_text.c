#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
slices_compare_by_their_bytes(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_NULL, slice_of("")));
    assert_true(slice_equal_text(slice_make("abcd", 3), "abc"));
    assert_false(slice_equal_text(slice_of("abc"), "abcd"));
    assert_false(slice_equal_text(slice_of("abc"), "abd"));
    assert_true(slice_equal_nocase(slice_of("X-Api-KEY"), "x-api-key"));
    assert_false(slice_equal_nocase(slice_of("x-api-kez"), "x-api-key"));
    assert_false(slice_equal_nocase(slice_of("x-api-ke"), "x-api-key"));
    assert_true(slice_starts_with(slice_of("job_1"), "job_"));
    assert_false(slice_starts_with(slice_of("job"), "job_"));
    assert_true(slice_starts_with(SLICE_NULL, ""));
    assert_int_equal(slice_of(NULL).len, 0);
}

static void
trimming_takes_spaces_and_tabs_and_no_more(void **state)
{
    (void)state;
    assert_true(slice_equal_text(slice_trim(slice_of(" \t a b \t")), "a b"));
    assert_true(slice_equal_text(slice_trim(slice_of("\n a")), "\n a"));
    assert_int_equal(slice_trim(slice_of("  \t ")).len, 0);
    assert_int_equal(slice_trim(SLICE_NULL).len, 0);
}

static void
splitting_gives_every_part_once(void **state)
{
    (void)state;
    struct slice rest = slice_of("a,,bc,");
    assert_true(slice_equal_text(slice_split(&rest, ','), "a"));
    assert_true(slice_equal_text(slice_split(&rest, ','), ""));
    assert_true(slice_equal_text(slice_split(&rest, ','), "bc"));
    assert_int_equal(rest.len, 0);
    rest = slice_of("whole");
    assert_true(slice_equal_text(slice_split(&rest, ','), "whole"));
    assert_int_equal(rest.len, 0);
    assert_int_equal(slice_split(&rest, ',').len, 0);
}

static void
unsigned_numbers_are_digits_within_their_limit(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        uint64_t max;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"007", 9, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -1, 0},
        {"99999999999999999999999", UINT64_MAX, -1, 0},
        {"100", 100, 0, 100},
        {"101", 100, -1, 0},
        {"", 9, -1, 0},
        {" 1", 9, -1, 0},
        {"1 ", 9, -1, 0},
        {"+1", 9, -1, 0},
        {"-1", 9, -1, 0},
        {"0x1", 99, -1, 0},
        {"1.0", 99, -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 4711;
        assert_int_equal(
            text_parse_u64(slice_of(cases[i].in), cases[i].max, &value),
            cases[i].result);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 4711);
    }
}

static void
signed_numbers_reach_both_ends(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        int64_t value;
    } cases[] = {
        {"-9223372036854775808", 0, INT64_MIN},
        {"-9223372036854775809", -1, 0},
        {"9223372036854775807", 0, INT64_MAX},
        {"9223372036854775808", -1, 0},
        {"-0", 0, 0},
        {"-", -1, 0},
        {"--1", -1, 0},
        {"", -1, 0},
        {"+5", -1, 0},
        {"-5", 0, -5},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t value = 4711;
        assert_int_equal(
            text_parse_i64(slice_of(cases[i].in), INT64_MIN, INT64_MAX, &value),
            cases[i].result);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 4711);
    }
    int64_t value = 0;
    assert_int_equal(text_parse_i64(slice_of("-3"), -2, 2, &value), -1);
    assert_int_equal(text_parse_i64(slice_of("3"), -2, 2, &value), -1);
    assert_int_equal(text_parse_i64(slice_of("-2"), -2, 2, &value), 0);
}

static void
decimals_are_plain_and_finite(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        double value;
    } cases[] = {
        {"12", 0, 12},
        {"0.5", 0, 0.5},
        {"1e3", 0, 1000},
        {"-2.5E-1", 0, -0.25},
        {"1e+2", 0, 100},
        {"1e400", -1, 0},
        {".5", -1, 0},
        {"5.", -1, 0},
        {"1e", -1, 0},
        {"1e+", -1, 0},
        {"0x10", -1, 0},
        {"inf", -1, 0},
        {"nan", -1, 0},
        {"", -1, 0},
        {" 1", -1, 0},
        {"1 ", -1, 0},
        {"-", -1, 0},
        {"+1", -1, 0},
        {"1.2.3", -1, 0},
        {"1,5", -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 4711;
        assert_int_equal(
            text_parse_double(slice_of(cases[i].in), &value), cases[i].result);
        double wanted = cases[i].result == 0 ? cases[i].value : 4711;
        assert_true(value == wanted);
    }
}

static void
durations_have_a_unit_or_are_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        int64_t ms;
    } cases[] = {
        {"250ms", 0, 250},
        {"10s", 0, 10000},
        {"10", 0, 10000},
        {"5m", 0, 300000},
        {"2h", 0, 7200000},
        {"7d", 0, 604800000},
        {"0", 0, 0},
        {"", -1, 0},
        {"s", -1, 0},
        {"-1s", -1, 0},
        {"1.5s", -1, 0},
        {"5 m", -1, 0},
        {"5M", -1, 0},
        {"5mm", -1, 0},
        {"1h30m", -1, 0},
        {"9223372036854775807ms", 0, INT64_MAX},
        {"9223372036854775808ms", -1, 0},
        {"9223372036854775807d", -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 4711;
        assert_int_equal(text_parse_duration_ms(slice_of(cases[i].in), &ms),
            cases[i].result);
        assert_int_equal(ms, cases[i].result == 0 ? cases[i].ms : 4711);
    }
}

static void
sizes_know_both_families_of_units(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        uint64_t bytes;
    } cases[] = {
        {"4096", 0, 4096},
        {"512KiB", 0, 524288},
        {"32MiB", 0, 33554432},
        {"2GiB", 0, UINT64_C(2147483648)},
        {"1KB", 0, 1000},
        {"1MB", 0, 1000000},
        {"3GB", 0, UINT64_C(3000000000)},
        {"7B", 0, 7},
        {"", -1, 0},
        {"KiB", -1, 0},
        {"1kib", -1, 0},
        {"1 KiB", -1, 0},
        {"1TiB", -1, 0},
        {"18446744073709551615GiB", -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 4711;
        assert_int_equal(
            text_parse_bytes(slice_of(cases[i].in), &bytes), cases[i].result);
        assert_int_equal(bytes, cases[i].result == 0 ? cases[i].bytes : 4711);
    }
}

static void
switches_have_eight_words(void **state)
{
    (void)state;
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    static const char *const neither[] = {"", "True", "y", "2", "on "};
    bool value;
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        assert_int_equal(text_parse_bool(slice_of(yes[i]), &value), 0);
        assert_true(value);
        assert_int_equal(text_parse_bool(slice_of(no[i]), &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < COUNT(neither); i++)
        assert_int_equal(text_parse_bool(slice_of(neither[i]), &value), -1);
}

static void
hex_goes_there_and_back(void **state)
{
    (void)state;
    unsigned char bytes[256], back[256];
    char text[513];
    for (size_t i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    text_hex(bytes, 256, text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102", 6);
    assert_memory_equal(text + 506, "fdfeff", 6);
    assert_int_equal(text_unhex(slice_of(text), back, 256), 0);
    assert_memory_equal(bytes, back, 256);
    assert_int_equal(text_unhex(slice_of("aBcD"), back, 2), 0);
    assert_memory_equal(back, "\xab\xcd", 2);
    assert_int_equal(text_unhex(slice_of("abc"), back, 1), -1);
    assert_int_equal(text_unhex(slice_of("abcd"), back, 1), -1);
    assert_int_equal(text_unhex(slice_of("ag"), back, 1), -1);
    assert_int_equal(text_unhex(slice_of("/a"), back, 1), -1);
}

static const struct {
    const char *bytes;
    size_t step; /* of the first sequence; 0 when ill-formed */
} sequences[] = {
    {"a", 1},
    {"\x7f", 1},
    {"\xc2\x80", 2},
    {"\xdf\xbf", 2},
    {"\xe0\xa0\x80", 3},
    {"\xed\x9f\xbf", 3},
    {"\xee\x80\x80", 3},
    {"\xef\xbf\xbf", 3},
    {"\xf0\x90\x80\x80", 4},
    {"\xf4\x8f\xbf\xbf", 4},
    {"\x80", 0},
    {"\xbf", 0},
    {"\xc0\x80", 0},
    {"\xc1\xbf", 0},
    {"\xe0\x80\x80", 0},
    {"\xe0\x9f\xbf", 0},
    {"\xed\xa0\x80", 0},
    {"\xed\xbf\xbf", 0},
    {"\xf0\x80\x80\x80", 0},
    {"\xf0\x8f\xbf\xbf", 0},
    {"\xf4\x90\x80\x80", 0},
    {"\xf5\x80\x80\x80", 0},
    {"\xff", 0},
    {"\xc2", 0},
    {"\xe2\x82", 0},
    {"\xf0\x9f\x98", 0},
    {"\xc2\x41", 0},
    {"\xe2\x82\x41", 0},
    {"\xf0\x9f\x98\x41", 0},
};

static void
utf8_takes_well_formed_sequences_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sequences); i++) {
        struct slice in = slice_of(sequences[i].bytes);
        assert_int_equal(text_utf8_step(in), sequences[i].step);
        assert_int_equal(text_is_utf8(in), sequences[i].step > 0);
    }
    assert_int_equal(text_utf8_step(SLICE_NULL), 0);
    assert_true(text_is_utf8(SLICE_NULL));
    assert_true(text_is_utf8(slice_make("a\0b", 3)));
}

static void
utf8_is_checked_at_every_offset_of_a_long_text(void **state)
{
    (void)state;
    char text[64];
    for (size_t at = 0; at + 4 < sizeof(text); at++) {
        memset(text, 'x', sizeof(text));
        memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        assert_true(text_is_utf8(slice_make(text, sizeof(text))));
        text[at + 3] = 'x';
        assert_false(text_is_utf8(slice_make(text, sizeof(text))));
    }
}

static void
suggests_what_was_probably_meant(void **state)
{
    (void)state;
    static const char *const known[] = {
        "lane", "tags", "expires_in", "max_attempts", NULL};
    static const struct {
        const char *word;
        const char *suggestion;
    } cases[] = {
        {"lnae", "lane"},
        {"lanes", "lane"},
        {"expires-in", "expires_in"},
        {"expire_in", "expires_in"},
        {"max_atempts", "max_attempts"},
        {"maxattempt", "max_attempts"},
        {"tag", "tags"},
        {"x", NULL},
        {"", NULL},
        {"priority", NULL},
        {"lan", "lane"},
        {"ta", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *got = text_suggest(slice_of(cases[i].word), known);
        if (cases[i].suggestion == NULL)
            assert_null(got);
        else
            assert_string_equal(got, cases[i].suggestion);
    }
    char huge[1000];
    memset(huge, 'a', sizeof(huge));
    assert_null(text_suggest(slice_make(huge, sizeof(huge)), known));
}

static void
durations_read_as_people_say_them(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {-5, "0 ms"},
        {0, "0 ms"},
        {250, "250 ms"},
        {999, "999 ms"},
        {1000, "1 s"},
        {4200, "4.2 s"},
        {4290, "4.2 s"},
        {59999, "59.9 s"},
        {60000, "1 min"},
        {180000, "3 min"},
        {90000, "1 min 30 s"},
        {3599999, "59 min 59 s"},
        {3600000, "1 h"},
        {7500000, "2 h 5 min"},
        {86400000, "1 day"},
        {518400000, "6 days"},
        {90000000, "1 day 1 h"},
        {INT64_MAX, "106751991167 days 7 h"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[40];
        text_format_duration(cases[i].ms, out, sizeof(out));
        assert_string_equal(out, cases[i].text);
    }
}

static void
a_copy_says_when_it_was_cut(void **state)
{
    (void)state;
    char out[4];
    assert_true(text_copy(out, sizeof(out), slice_of("abc")));
    assert_string_equal(out, "abc");
    assert_false(text_copy(out, sizeof(out), slice_of("abcd")));
    assert_string_equal(out, "abc");
    assert_true(text_copy(out, sizeof(out), SLICE_NULL));
    assert_string_equal(out, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_by_their_bytes),
        cmocka_unit_test(trimming_takes_spaces_and_tabs_and_no_more),
        cmocka_unit_test(splitting_gives_every_part_once),
        cmocka_unit_test(unsigned_numbers_are_digits_within_their_limit),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(decimals_are_plain_and_finite),
        cmocka_unit_test(durations_have_a_unit_or_are_seconds),
        cmocka_unit_test(sizes_know_both_families_of_units),
        cmocka_unit_test(switches_have_eight_words),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(utf8_takes_well_formed_sequences_only),
        cmocka_unit_test(utf8_is_checked_at_every_offset_of_a_long_text),
        cmocka_unit_test(suggests_what_was_probably_meant),
        cmocka_unit_test(durations_read_as_people_say_them),
        cmocka_unit_test(a_copy_says_when_it_was_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
