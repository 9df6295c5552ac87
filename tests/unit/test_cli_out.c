#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/out.h"

static void
shows(const char *text, size_t len, bool lines, const char *expected)
{
    struct buffer out = {0};
    out_safe(&out, slice_make(text, len), lines);
    assert_string_equal(out.len > 0 ? out.data : "", expected);
    buffer_clear(&out);
}

#define SHOWS(text, lines, expected) \
    shows(text, sizeof(text) - 1, lines, expected)

static void
a_terminal_obeys_nothing(void **state)
{
    (void)state;
    SHOWS("plain", false, "plain");
    SHOWS("\033[2Jgone", false, "\\x1b[2Jgone");
    SHOWS("\033]0;title\007", false, "\\x1b]0;title\\x07");
    SHOWS("a\rb\x7f", false, "a\\rb\\x7f");
    SHOWS("nul\0nul", false, "nul\\x00nul");
    SHOWS("\x9b"
          "31m",
        false, "\\x9b31m");
    SHOWS("\xc2\x9b"
          "31m",
        false, "\\u009b31m");
    SHOWS("\xe2\x80\xae"
          "gnp.exe",
        false, "\\u202egnp.exe");
    SHOWS("\xe2\x81\xa6x", false, "\\u2066x");
    SHOWS("\xff\xc0\xaf", false, "\\xff\\xc0\\xaf");
}

static void
other_alphabets_stay_as_they_are(void **state)
{
    (void)state;
    SHOWS("Tiếng Việt, 中文, ñ 🚢", false, "Tiếng Việt, 中文, ñ 🚢");
}

static void
lines_stay_only_where_asked(void **state)
{
    (void)state;
    SHOWS("a\n\tb", true, "a\n\tb");
    SHOWS("a\n\tb", false, "a\\n\\tb");
}

static void
width_counts_columns(void **state)
{
    (void)state;
    assert_int_equal(out_width(slice_of("abc")), 3);
    assert_int_equal(out_width(slice_of("中文")), 4);
    assert_int_equal(out_width(slice_of("e\xcc\x81")), 1);
    assert_int_equal(out_width(slice_of("🚢")), 2);
    assert_int_equal(out_width(slice_of("")), 0);
}

/* What a table prints to a stdout that is no terminal. */
static void
capture(char *out, size_t size, void (*print)(void))
{
    char path[] = "/tmp/longhaul-out-XXXXXX";
    int file = mkstemp(path);
    int kept = dup(STDOUT_FILENO);
    assert_true(file >= 0 && kept >= 0);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    print();
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    ssize_t got = pread(file, out, size - 1, 0);
    out[got > 0 ? got : 0] = '\0';
    close(file);
    close(kept);
    unlink(path);
}

static void
print_table(void)
{
    static const char *const headings[] = {"ID", "N", "WHY"};
    struct out_table *table = out_table_new(headings, 3);
    out_table_text(table, "中");
    out_table_u64(table, 7);
    out_table_text(table, "because\nof\033[31m");
    out_table_text(table, "longer");
    out_table_text(table, "");
    char line[201];
    memset(line, 'x', 200);
    line[200] = '\0';
    out_table_text(table, line);
    out_table_print(table, 0);
}

static void
tables_are_whole_and_plain_in_a_pipe(void **state)
{
    char out[1024];
    char expected[1024];
    (void)state;
    out_init(false);
    capture(out, sizeof(out), print_table);
    snprintf(expected, sizeof(expected),
        "ID      N  WHY\n"
        "中      7  because\\nof\\x1b[31m\n"
        "longer  -  %0200d\n",
        0);
    for (char *c = strstr(expected, "-  0") + 3; *c == '0'; c++)
        *c = 'x';
    assert_string_equal(out, expected);
}

static void
colour_is_for_terminals(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    out_init(false);
    assert_string_equal(out_colour(file, "failed"), "");
    assert_string_equal(out_plain(file), "");
    fclose(file);
}

static void
parts_of_addresses_are_encoded(void **state)
{
    struct buffer out = {0};
    (void)state;
    client_encode(&out, slice_of("a b&c=d/\xc3\xa9?#%~"));
    assert_string_equal(out.data, "a%20b%26c%3Dd%2F%C3%A9%3F%23%25~");
    buffer_clear(&out);
}

static void
statuses_become_exit_codes(void **state)
{
    static const struct {
        unsigned status;
        int code;
    } cases[] = {{200, CLI_OK}, {202, CLI_OK}, {204, CLI_OK}, {400, CLI_ERROR},
        {401, CLI_FORBIDDEN}, {403, CLI_FORBIDDEN}, {404, CLI_NOT_FOUND},
        {409, CLI_ERROR}, {410, CLI_NOT_FOUND}, {422, CLI_ERROR},
        {429, CLI_UNREACHABLE}, {500, CLI_ERROR}, {503, CLI_UNREACHABLE}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(client_exit_of(cases[i].status), cases[i].code);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_obeys_nothing),
        cmocka_unit_test(other_alphabets_stay_as_they_are),
        cmocka_unit_test(lines_stay_only_where_asked),
        cmocka_unit_test(width_counts_columns),
        cmocka_unit_test(tables_are_whole_and_plain_in_a_pipe),
        cmocka_unit_test(colour_is_for_terminals),
        cmocka_unit_test(parts_of_addresses_are_encoded),
        cmocka_unit_test(statuses_become_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
