#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/job/csv.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIB ((size_t)1024 * 1024)

/* Every row as "number@line[fault:line] <field><field>\n". */
static void
note(const struct csv *csv, struct buffer *out)
{
    const struct csv_row *row = &csv->row;
    buffer_printf(out, "%u@%u", (unsigned)row->number, (unsigned)row->line);
    if (row->fault != CSV_FAULT_NONE)
        buffer_printf(out, "[%d:%u]", row->fault, (unsigned)row->fault_line);
    for (size_t i = 0; i < row->count; i++) {
        buffer_append_char(out, '<');
        buffer_append_slice(out, row->fields[i]);
        buffer_append_char(out, '>');
    }
    buffer_append_char(out, '\n');
}

static void
read_all(struct csv *csv, struct slice in, struct buffer *out)
{
    while (csv_feed(csv, &in) == CSV_ROW)
        note(csv, out);
}

/* The text in two parts, cut at `at`, then byte by byte when at is past the
 * end. */
static char *
rows_of(struct slice text, char separator, size_t at)
{
    struct buffer out = {0};
    struct csv csv;
    csv_init(&csv, separator);
    if (at <= text.len) {
        read_all(&csv, slice_make(text.data, at), &out);
        read_all(&csv, slice_make(text.data + at, text.len - at), &out);
    } else {
        for (size_t i = 0; i < text.len; i++)
            read_all(&csv, slice_make(text.data + i, 1), &out);
    }
    if (csv_finish(&csv) == CSV_ROW)
        note(&csv, &out);
    assert_int_equal(csv_finish(&csv), CSV_MORE);
    csv_clear(&csv);
    buffer_append(&out, "", 0);
    return buffer_take(&out);
}

static void
check(struct slice text, char separator, const char *wanted)
{
    for (size_t at = 0; at <= text.len + 1; at++) {
        char *got = rows_of(text, separator, at);
        if (strcmp(got, wanted) != 0)
            fail_msg("%s\ncut at %zu gives\n%s\nnot\n%s", text.data, at, got,
                wanted);
        memory_free(got);
    }
}

static void
reads_the_same_wherever_it_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *rows;
    } cases[] = {
        {"", ""},
        {"\n\r\n\n", ""},
        {"\xef\xbb\xbf", ""},
        {"a,b\n1,2\n", "0@1<a><b>\n1@2<1><2>\n"},
        {"a,b\r\n1,2", "0@1<a><b>\n1@2<1><2>\n"},
        {"a,b\r1,2\r\r\n3,4", "0@1<a><b>\n1@2<1><2>\n2@4<3><4>\n"},
        {"\xef\xbb\xbf"
         "a\nx\n",
            "0@1<a>\n1@2<x>\n"},
        {"\xef\xbb"
         "a\n",
            "0@1[3:1]<\xef\xbb"
            "a>\n"},
        {"a\n\xef\xbb\xbfx", "0@1<a>\n1@2<\xef\xbb\xbfx>\n"},
        {"a,b\n\"x\ny\r\nz\",\"q\"\"q\"\n,\n",
            "0@1<a><b>\n1@2<x\ny\r\nz><q\"q>\n2@5<><>\n"},
        {"a,b\n\"\",5\" pipe\n", "0@1<a><b>\n1@2<><5\" pipe>\n"},
        {"a\n\"\"\n\"\"\"\"\n", "0@1<a>\n1@2<>\n2@3<\">\n"},
        {"a,b\n1\n\n1,2,3\n4,5\n",
            "0@1<a><b>\n1@2[1:2]<1>\n2@4[1:4]<1><2><3>\n3@5<4><5>\n"},
        {"a,b\n\"x\"y,2\n3,4\n", "0@1<a><b>\n1@2[2:2]<xy><2>\n2@3<3><4>\n"},
        {"a\n\"x\"\"y\"z\"\n", "0@1<a>\n1@2[2:2]<x\"yz\">\n"},
        {"a,b\n1,\xff\n3,\xc3\xa9\n",
            "0@1<a><b>\n1@2[3:2]<1><\xff>\n2@3<3><\xc3\xa9>\n"},
        {"a,b\n1,\xc3,\xa9\n", "0@1<a><b>\n1@2[3:2]<1><\xc3><\xa9>\n"},
        {"a,b\n1,2\n3,\"x\n5,6\n7,8\n",
            "0@1<a><b>\n1@2<1><2>\n2@3[7:3]<3><x\n5,6\n7,8\n>\n"},
        {"a,b\n\"1\n2\",\"x\n5,6\n", "0@1<a><b>\n1@2[7:3]<1\n2><x\n5,6\n>\n"},
        {"a,b\n1,2,", "0@1<a><b>\n1@2[1:2]<1><2><>\n"},
        {"a\tb,c\n", "0@1<a\tb><c>\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check(slice_of(cases[i].text), ',', cases[i].rows);
    check(
        slice_of("a\tb,c\n\"x\ty\"\tz\n"), '\t', "0@1<a><b,c>\n1@2<x\ty><z>\n");
}

static void
a_nul_byte_is_a_fault(void **state)
{
    (void)state;
    struct csv csv;
    struct slice in = slice_make("a\0\nb\n", 5);
    csv_init(&csv, ',');
    assert_int_equal(csv_feed(&csv, &in), CSV_ROW);
    assert_int_equal(csv.row.fault, CSV_FAULT_NUL);
    assert_int_equal(csv_feed(&csv, &in), CSV_ROW);
    assert_int_equal(csv.row.fault, CSV_FAULT_NONE);
    csv_clear(&csv);
}

/* Feeds `bytes` times the letter x. */
static void
feed_x(struct csv *csv, size_t bytes)
{
    static char x[65536];
    memset(x, 'x', sizeof(x));
    while (bytes > 0) {
        size_t len = bytes < sizeof(x) ? bytes : sizeof(x);
        struct slice in = slice_make(x, len);
        assert_int_equal(csv_feed(csv, &in), CSV_MORE);
        bytes -= len;
    }
}

static void
feed_row(struct csv *csv, const char *text)
{
    struct slice in = slice_of(text);
    assert_int_equal(csv_feed(csv, &in), CSV_ROW);
    assert_int_equal(in.len, 0);
}

static void
an_endless_row_is_skipped_without_memory(void **state)
{
    (void)state;
    for (int quoted = 0; quoted < 2; quoted++) {
        struct csv csv;
        csv_init(&csv, ',');
        feed_row(&csv, "a,b\n");
        struct slice in = slice_of(quoted ? "1,\"" : "1,");
        assert_int_equal(csv_feed(&csv, &in), CSV_MORE);
        feed_x(&csv, 40 * MIB);
        assert_true(csv.text.cap < MIB);
        feed_row(&csv, quoted ? "\"\n" : "\n");
        assert_int_equal(csv.row.fault, CSV_FAULT_LONG);
        assert_int_equal(csv.row.line, 2);
        assert_int_equal(csv.row.count, 0);
        feed_row(&csv, "3,4\n");
        assert_int_equal(csv.row.fault, CSV_FAULT_NONE);
        assert_int_equal(csv.row.number, 2);
        assert_int_equal(csv.row.line, 3);
        csv_clear(&csv);
    }
}

/* It is given out for its fault, of which the fields are no part. */
static void
an_endless_quote_has_no_fields(void **state)
{
    (void)state;
    struct csv csv;
    csv_init(&csv, ',');
    feed_row(&csv, "a,b\n");
    struct slice in = slice_of("1,\"");
    assert_int_equal(csv_feed(&csv, &in), CSV_MORE);
    feed_x(&csv, 40 * MIB);
    assert_int_equal(csv_finish(&csv), CSV_ROW);
    assert_int_equal(csv.row.fault, CSV_FAULT_UNCLOSED);
    assert_int_equal(csv.row.fault_line, 2);
    for (size_t i = 0; i < csv.row.count; i++)
        assert_int_equal(csv.row.fields[i].len, 0);
    csv_clear(&csv);
}

static void
a_row_of_just_the_limit_is_whole(void **state)
{
    (void)state;
    struct csv csv;
    csv_init(&csv, ',');
    feed_row(&csv, "a\n");
    feed_x(&csv, CSV_ROW_MAX_BYTES - 1);
    feed_row(&csv, "\n");
    assert_int_equal(csv.row.fault, CSV_FAULT_NONE);
    assert_int_equal(csv.row.fields[0].len, CSV_ROW_MAX_BYTES - 1);
    feed_x(&csv, CSV_ROW_MAX_BYTES);
    feed_row(&csv, "\n");
    assert_int_equal(csv.row.fault, CSV_FAULT_LONG);
    csv_clear(&csv);
}

static void
fields_are_bounded(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct csv csv;
    for (int i = 1; i < CSV_FIELDS_MAX; i++)
        buffer_append_char(&text, ',');
    buffer_append_char(&text, '\n');
    csv_init(&csv, ',');
    feed_row(&csv, text.data);
    assert_int_equal(csv.row.fault, CSV_FAULT_NONE);
    assert_int_equal(csv.columns, CSV_FIELDS_MAX);
    text.data[text.len - 1] = ',';
    buffer_append_char(&text, '\n');
    feed_row(&csv, text.data);
    assert_int_equal(csv.row.fault, CSV_FAULT_FIELDS);
    assert_int_equal(csv.row.count, 0);
    csv_clear(&csv);
    buffer_clear(&text);
}

static void
reads_rows_from_the_middle(void **state)
{
    (void)state;
    struct csv csv;
    csv_init_inside(&csv, ',', 2);
    feed_row(&csv, "\n1,2\n");
    assert_int_equal(csv.row.number, 1);
    assert_int_equal(csv.row.fault, CSV_FAULT_NONE);
    feed_row(&csv, "1\n");
    assert_int_equal(csv.row.fault, CSV_FAULT_RAGGED);
    csv_clear(&csv);
}

static void
says_what_is_wrong_with_a_row(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        {"1,2\n", ""},
        {"1\n", "has 1 field, the header has 2"},
        {"1,2,3\n", "has 3 fields, the header has 2"},
        {"\"x\"y,1\n",
            "has text behind a closing quote; a quote inside a quoted field "
            "is written twice"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[CSV_FAULT_TEXT_SIZE];
        struct csv csv;
        csv_init(&csv, ',');
        feed_row(&csv, "a,b\n");
        feed_row(&csv, cases[i].text);
        csv_fault_text(&csv, text);
        assert_string_equal(text, cases[i].sentence);
        csv_clear(&csv);
    }
    struct csv csv;
    char text[CSV_FAULT_TEXT_SIZE];
    struct slice in = slice_of("a\n1\n\n\"2\n3");
    csv_init(&csv, ',');
    while (csv_feed(&csv, &in) == CSV_ROW)
        continue;
    assert_int_equal(csv_finish(&csv), CSV_ROW);
    csv_fault_text(&csv, text);
    assert_string_equal(
        text, "has a quote that is never closed (it opens on line 4)");
    csv_clear(&csv);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_same_wherever_it_is_cut),
        cmocka_unit_test(a_nul_byte_is_a_fault),
        cmocka_unit_test(an_endless_row_is_skipped_without_memory),
        cmocka_unit_test(an_endless_quote_has_no_fields),
        cmocka_unit_test(a_row_of_just_the_limit_is_whole),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(reads_rows_from_the_middle),
        cmocka_unit_test(says_what_is_wrong_with_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
