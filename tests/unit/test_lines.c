#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/job/lines.h"

#define LONGEST 10

static void
note(struct buffer *out, const struct lines *lines, enum lines_status status,
    struct slice line)
{
    if (status == LINES_TOO_LONG)
        buffer_printf(out, "%llu!", (unsigned long long)lines->number);
    if (status == LINES_LINE)
        buffer_printf(out, "%llu=%.*s|", (unsigned long long)lines->number,
            (int)line.len, line.data);
}

/* What is told of `text` when it comes in runs that end at multiples of
 * `part` behind `first`. */
static void
read_parts(struct slice text, size_t first, size_t part, struct buffer *out)
{
    struct lines lines;
    size_t at = 0;
    struct slice line = SLICE_NULL;
    enum lines_status status;

    buffer_reset(out);
    buffer_append(out, "", 0);
    lines_init(&lines, LONGEST);
    while (at < text.len) {
        size_t len = at == 0 && first > 0 ? first : part;
        /* Its own memory, so that ASan sees who reads behind it. */
        char *copy;
        struct slice in;

        if (len > text.len - at)
            len = text.len - at;
        copy = memory_dup_bytes(text.data + at, len);
        in = slice_make(copy, len);
        while ((status = lines_next(&lines, &in, &line)) != LINES_MORE)
            note(out, &lines, status, line);
        assert_int_equal(in.len, 0);
        at += len;
        memory_free(copy);
    }
    status = lines_finish(&lines, &line);
    note(out, &lines, status, line);
    assert_true(lines.held.cap < 4096);
    lines_clear(&lines);
}

static void
expect(struct slice text, const char *told)
{
    struct buffer out = {0};

    for (size_t part = 1; part <= text.len + 1; part++) {
        read_parts(text, 0, part, &out);
        assert_string_equal(out.data, told);
    }
    for (size_t first = 1; first < text.len; first++) {
        read_parts(text, first, text.len, &out);
        assert_string_equal(out.data, told);
    }
    buffer_clear(&out);
}

#define EXPECT(text, told) expect(slice_make(text, sizeof(text) - 1), told)

static void
lines_are_told_with_their_numbers(void **state)
{
    (void)state;
    EXPECT("a\nbc\n", "1=a|2=bc|");
    EXPECT("a\nbc", "1=a|2=bc|");
    EXPECT("a\r\nb\rc\r\n", "1=a|2=b\rc|");
    EXPECT("", "");
    EXPECT("\n", "");
}

static void
blank_lines_are_counted_and_passed_over(void **state)
{
    (void)state;
    EXPECT("\n\r\n \t \na\n\n", "4=a|");
    EXPECT("a\n\n\nb", "1=a|4=b|");
}

static void
a_byte_order_mark_is_dropped_at_the_beginning_only(void **state)
{
    (void)state;
    EXPECT("\xEF\xBB\xBF"
           "a\nb",
        "1=a|2=b|");
    EXPECT("a\n\xEF\xBB\xBF"
           "b\n",
        "1=a|2=\xEF\xBB\xBF"
        "b|");
    EXPECT("\xEF\xBB"
           "x\ny",
        "1=\xEF\xBB"
        "x|2=y|");
    EXPECT("\xEF\xBB\xBF", "");
    EXPECT("\xEF\xBB", "1=\xEF\xBB|");
}

static void
a_long_line_is_skipped_and_told(void **state)
{
    (void)state;
    EXPECT("0123456789\nb", "1=0123456789|2=b|");
    EXPECT("0123456789\r\nb", "1=0123456789|2=b|");
    EXPECT("0123456789a\nb", "1!2=b|");
    EXPECT(
        "a\n0123456789abcdefghijklmnopqrstuvwxyz0123456789\nb", "1=a|2!3=b|");
    EXPECT("a\n0123456789abcdefghijklm", "1=a|2!");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_told_with_their_numbers),
        cmocka_unit_test(blank_lines_are_counted_and_passed_over),
        cmocka_unit_test(a_byte_order_mark_is_dropped_at_the_beginning_only),
        cmocka_unit_test(a_long_line_is_skipped_and_told),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
