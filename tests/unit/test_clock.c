#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/clock.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
times_print_as_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {INT64_C(1795185130123), "2026-11-20T14:32:10.123Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[CLOCK_TEXT_SIZE];
        clock_format_ms(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void
rfc_3339_is_read_with_zone_and_fraction(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        int64_t ms;
    } cases[] = {
        {"2026-11-20T14:32:10.123Z", 0, INT64_C(1795185130123)},
        {"2026-11-20T14:32:10Z", 0, INT64_C(1795185130000)},
        {"2026-11-20t14:32:10z", 0, INT64_C(1795185130000)},
        {"2026-11-20T14:32:10.1239999Z", 0, INT64_C(1795185130123)},
        {"2026-11-20T14:32:10.5Z", 0, INT64_C(1795185130500)},
        {"2026-11-20T16:32:10+02:00", 0, INT64_C(1795185130000)},
        {"2026-11-20T09:02:10-05:30", 0, INT64_C(1795185130000)},
        {"2000-02-29T00:00:00Z", 0, INT64_C(951782400000)},
        {"1998-12-31T23:59:60Z", 0, INT64_C(915148800000)},
        {"1969-12-31T23:59:59.999Z", 0, -1},
        {"2001-02-29T00:00:00Z", -1, 0},
        {"1900-02-29T00:00:00Z", -1, 0},
        {"2026-13-01T00:00:00Z", -1, 0},
        {"2026-00-01T00:00:00Z", -1, 0},
        {"2026-04-31T00:00:00Z", -1, 0},
        {"2026-04-00T00:00:00Z", -1, 0},
        {"2026-11-20T24:00:00Z", -1, 0},
        {"2026-11-20T14:60:00Z", -1, 0},
        {"2026-11-20T14:32:61Z", -1, 0},
        {"2026-11-20T14:32:10", -1, 0},
        {"2026-11-20T14:32:10.Z", -1, 0},
        {"2026-11-20T14:32:10+0200", -1, 0},
        {"2026-11-20T14:32:10+24:00", -1, 0},
        {"2026-11-20T14:32:10Z ", -1, 0},
        {" 2026-11-20T14:32:10Z", -1, 0},
        {"2026-11-20 14:32:10Z", -1, 0},
        {"26-11-20T14:32:10Z", -1, 0},
        {"", -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 4711;
        assert_int_equal(
            clock_parse_rfc3339(slice_of(cases[i].in), &ms), cases[i].result);
        assert_int_equal(ms, cases[i].result == 0 ? cases[i].ms : 4711);
    }
}

static void
http_dates_have_three_forms(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int result;
        int64_t ms;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0, INT64_C(784111777000)},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 0, INT64_C(784111777000)},
        {"Sun Nov  6 08:49:37 1994", 0, INT64_C(784111777000)},
        {"Sun Nov 16 08:49:37 1994", 0, INT64_C(784975777000)},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1, 0},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1, 0},
        {"Sun, 06 Nov 1994 08:49:37", -1, 0},
        {"Sun, 06 nov 1994 08:49:37 GMT", -1, 0},
        {"Sun, 06 Nov 1994 8:49:37 GMT", -1, 0},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1, 0},
        {"Xxx, 06 Nov 1994 08:49:37 GMT", -1, 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1, 0},
        {"1994", -1, 0},
        {"", -1, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 4711;
        assert_int_equal(
            clock_parse_http_date(slice_of(cases[i].in), &ms), cases[i].result);
        assert_int_equal(ms, cases[i].result == 0 ? cases[i].ms : 4711);
    }
}

/* Two digits mean a year from 49 years ago to 50 years ahead. */
static void
a_two_digit_year_is_the_near_one(void **state)
{
    (void)state;
    const int64_t year_ms = INT64_C(31556952000);
    for (int digits = 0; digits < 100; digits++) {
        char text[] = "Sunday, 06-Nov-00 08:49:37 GMT";
        int64_t ms;
        text[15] = (char)('0' + digits / 10);
        text[16] = (char)('0' + digits % 10);
        assert_int_equal(clock_parse_http_date(slice_of(text), &ms), 0);
        assert_true(ms < clock_wall_ms() + 51 * year_ms);
        assert_true(ms > clock_wall_ms() - 51 * year_ms);
    }
}

static void
cut_texts_are_refused_at_every_byte(void **state)
{
    (void)state;
    static const char rfc3339[] = "2026-11-20T14:32:10.5+02:00";
    static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    int64_t ms;
    for (size_t len = 0; len < strlen(rfc3339); len++)
        assert_int_equal(
            clock_parse_rfc3339(slice_make(rfc3339, len), &ms), -1);
    for (size_t len = 0; len < strlen(date); len++)
        assert_int_equal(clock_parse_http_date(slice_make(date, len), &ms), -1);
}

static void
what_is_printed_can_be_read(void **state)
{
    (void)state;
    for (int64_t ms = INT64_C(-3000000000000); ms < INT64_C(5000000000000);
         ms += INT64_C(98765432123)) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back;
        clock_format_ms(ms, text);
        assert_int_equal(clock_parse_rfc3339(slice_of(text), &back), 0);
        assert_int_equal(back, ms);
    }
}

static void
the_clocks_run_forward(void **state)
{
    (void)state;
    int64_t us = clock_mono_us();
    int64_t ms = clock_mono_ms();
    assert_true(ms >= us / 1000);
    assert_true(clock_mono_us() >= us);
    /* After the first commit of this file and before the year 2200. */
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
    assert_true(clock_wall_ms() < INT64_C(7258118400000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_print_as_rfc_3339),
        cmocka_unit_test(rfc_3339_is_read_with_zone_and_fraction),
        cmocka_unit_test(http_dates_have_three_forms),
        cmocka_unit_test(a_two_digit_year_is_the_near_one),
        cmocka_unit_test(cut_texts_are_refused_at_every_byte),
        cmocka_unit_test(what_is_printed_can_be_read),
        cmocka_unit_test(the_clocks_run_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
