#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/job/item.h"

static int
read_cut(struct item_reader *reader, struct slice text, size_t cut)
{
    item_reader_init(reader);
    if (item_reader_feed(reader, slice_make(text.data, cut)) != 0 ||
        item_reader_feed(reader, slice_make(text.data + cut, text.len - cut)) !=
            0)
        return -1;
    return item_reader_finish(reader);
}

/* Runs `check` for every cut of the text. */
static void
each_cut(const char *text, int want, void (*check)(struct item_reader *reader))
{
    struct slice in = slice_of(text);

    for (size_t cut = 0; cut <= in.len; cut++) {
        struct item_reader reader;

        assert_int_equal(read_cut(&reader, in, cut), want);
        check(&reader);
        item_reader_clear(&reader);
    }
}

static void
check_whole(struct item_reader *reader)
{
    assert_int_equal(reader->info.custom_id_is, ITEM_CUSTOM_ID_GOOD);
    assert_string_equal(reader->info.custom_id, "row-1");
    assert_int_equal(reader->info.params, JSON_KIND_OBJECT);
    assert_int_equal(reader->info.params_start, 31);
    assert_int_equal(reader->info.params_end, 38);
    assert_int_equal(reader->info.options, JSON_KIND_OBJECT);
    assert_true(slice_equal_text(item_reader_options(reader), "{\"a\":2}"));
    assert_string_equal(reader->info.unknown, "");
}

static void
members_are_found_where_they_lie(void **state)
{
    (void)state;
    each_cut("{\"custom_id\":\"row-1\",\"params\":"
             " {\"b\":1},\"longhaul\":{\"a\":2}}",
        0, check_whole);
}

static void
check_job(struct item_reader *reader)
{
    assert_int_equal(reader->info.custom_id_is, ITEM_CUSTOM_ID_GOOD);
    assert_string_equal(reader->info.custom_id, "x_9");
    assert_int_equal(reader->info.params, JSON_KIND_NONE);
    assert_string_equal(reader->info.unknown, "message");
}

static void
a_jobs_custom_id_stands_in_its_options(void **state)
{
    (void)state;
    each_cut("{\"message\":\"hi\",\"longhaul\":{\"custom_id\":\"x_9\"}}", 0,
        check_job);
}

static void
check_bad_id(struct item_reader *reader)
{
    assert_int_equal(reader->info.custom_id_is, ITEM_CUSTOM_ID_BAD);
    assert_string_equal(reader->info.custom_id, "");
}

static void
a_custom_id_has_claudes_form(void **state)
{
    char text[128];
    char longest[80];

    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[65] = '\0';
    (void)snprintf(text, sizeof(text), "{\"custom_id\":\"%s\"}", longest);
    each_cut(text, 0, check_bad_id);
    each_cut("{\"custom_id\":\"\"}", 0, check_bad_id);
    each_cut("{\"custom_id\":\"a b\"}", 0, check_bad_id);
    each_cut("{\"custom_id\":\"\xC3\xA4\"}", 0, check_bad_id);
    each_cut("{\"custom_id\":\"a\\u0000\"}", 0, check_bad_id);
    each_cut("{\"custom_id\":7}", 0, check_bad_id);
    assert_true(job_custom_id_is_valid(slice_make(longest, 64)));
    assert_false(job_custom_id_is_valid(slice_make(longest, 65)));
    assert_false(job_custom_id_is_valid(slice_of("a.b")));
}

static void
check_twice(struct item_reader *reader)
{
    assert_string_equal(reader->message, "params: is given twice (byte 13)");
}

static void
check_utf8(struct item_reader *reader)
{
    assert_non_null(strstr(reader->message, "not a valid JSON object: byte 6"));
}

static void
what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    each_cut("{\"params\":{},\"params\":{}}", -1, check_twice);
    each_cut("{\"a\":\"\xFF\"}", -1, check_utf8);
}

static void
check_list(struct item_reader *reader)
{
    assert_int_equal(reader->info.params, JSON_KIND_ARRAY);
    assert_int_equal(reader->info.options, JSON_KIND_NULL);
    assert_int_equal(item_reader_options(reader).len, 0);
    assert_string_equal(reader->info.unknown, "?");
}

static void
kinds_are_told_for_the_caller_to_judge(void **state)
{
    (void)state;
    each_cut(
        "{\"params\":[1],\"longhaul\":null,\"a b\":1,\"c\":2}", 0, check_list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_where_they_lie),
        cmocka_unit_test(a_jobs_custom_id_stands_in_its_options),
        cmocka_unit_test(a_custom_id_has_claudes_form),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(kinds_are_told_for_the_caller_to_judge),
    };
    return cmocka_run_group_tests_name("item", tests, NULL, NULL);
}
