#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/job/bulk.h"
#include "submitter/upload_names.h"
#include "submitter/upload_query.h"

/* --- names --- */

static void
a_name_is_new_once(void **state)
{
    struct upload_names names = {0};
    char uuid[BULK_UUID_SIZE];
    uint64_t earlier = 0;

    (void)state;
    bulk_make_uuid(uuid);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            char custom_id[24];
            char id[ID_SIZE];

            (void)snprintf(custom_id, sizeof(custom_id), "row-%u", i);
            bulk_item_id(uuid, slice_of(custom_id), id);
            assert_int_equal(
                upload_names_add(&names, slice_of(id), i + 1, &earlier),
                round == 0 ? 0 : -1);
            if (round == 1)
                assert_int_equal(earlier, i + 1);
        }
    }
    assert_int_equal(names.count, 20000);
    upload_names_clear(&names);
    assert_null(names.hashes);
}

/* --- query --- */

static unsigned
read_query(
    const char *type, const char *text, struct upload_query *query, char *error)
{
    struct http_head head = {.query = slice_of(text),
        .headers = {{slice_of("Content-Type"), slice_of(type)}},
        .header_count = type != NULL ? 1 : 0};

    memset(query, 0, sizeof(*query));
    options_init(&query->options);
    error[0] = '\0';
    return upload_query_read(&head, query, error);
}

static void
expect_refusal(
    const char *type, const char *text, unsigned status, const char *message)
{
    struct upload_query query;
    char error[UPLOAD_QUERY_ERROR_SIZE];

    assert_int_equal(read_query(type, text, &query, error), status);
    assert_string_equal(error, message);
    upload_query_clear(&query);
}

#define LINES "application/x-ndjson"

static void
a_query_is_read_as_it_was_written(void **state)
{
    struct upload_query query;
    char error[UPLOAD_QUERY_ERROR_SIZE];

    (void)state;
    assert_int_equal(read_query("Application/JSONL; charset=utf-8",
                         "strict=1&lane=interactive&run=a.b:c-D_9&model=m-1&"
                         "expires_in=2h&max_attempts=3",
                         &query, error),
        0);
    assert_int_equal(query.form, UPLOAD_LINES);
    assert_true(query.strict);
    assert_int_equal(query.options.lane, JOB_LANE_INTERACTIVE);
    assert_string_equal(query.run, "a.b:c-D_9");
    assert_string_equal(query.model, "m-1");
    assert_int_equal(query.options.expires_in_ms, 7200000);
    assert_int_equal(query.options.max_attempts, 3);
    upload_query_clear(&query);
    assert_int_equal(read_query(LINES, "", &query, error), 0);
    assert_false(query.strict);
    upload_query_clear(&query);
}

static void
csv_has_templates_and_columns(void **state)
{
    struct upload_query query;
    char error[UPLOAD_QUERY_ERROR_SIZE];

    (void)state;
    assert_int_equal(
        read_query("text/csv",
            "template=Sum%20up%20%7B%7Bbody%7D%7D+%7B%7Bsubject%7D%7D&system="
            "You%20are%20brief&id_column=ticket+id&max_tokens=99",
            &query, error),
        0);
    assert_int_equal(query.form, UPLOAD_CSV);
    assert_int_equal(template_field_count(query.prompt), 2);
    assert_non_null(query.system);
    assert_int_equal(query.places, 2);
    assert_string_equal(query.id_column, "ticket id");
    assert_int_equal(query.max_tokens, 99);
    upload_query_clear(&query);
}

static void
what_is_wrong_with_a_query_is_named(void **state)
{
    (void)state;
    expect_refusal(NULL, "", 415,
        "The upload must be sent with Content-Type: application/x-ndjson or "
        "text/csv.");
    expect_refusal("application/json", "", 415,
        "The upload must be sent with Content-Type: application/x-ndjson or "
        "text/csv.");
    expect_refusal(LINES, "strikt=1", 400,
        "There is no such parameter; did you mean strict?");
    expect_refusal(LINES, "strict=1&strict=0", 400, "strict: is given twice");
    expect_refusal(LINES, "strict=maybe", 400, "strict: expected 1 or 0");
    expect_refusal(LINES, "lane=slow", 400,
        "lane: expected interactive, standard or bulk");
    expect_refusal(LINES, "run=a%20b", 400,
        "run: expected 1 to 128 letters, digits or _.:-");
    expect_refusal(LINES, "expires_in=32d", 400,
        "expires_in: expected seconds or a text such as 7d, from 1s to 31d");
    expect_refusal(LINES, "max_attempts=0", 400,
        "max_attempts: expected a whole number from 1 to 100");
    expect_refusal(LINES, "template=x", 400, "template: is for text/csv only");
    expect_refusal(LINES, "run=%zz", 400, "The query is badly encoded.");
    expect_refusal("text/csv", "", 400,
        "template: is required with text/csv: a prompt with {{columns}}, "
        "percent-encoded");
    expect_refusal("text/csv", "template=x&max_tokens=0", 400,
        "max_tokens: expected a whole number from 1 to 10000000");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_new_once),
        cmocka_unit_test(a_query_is_read_as_it_was_written),
        cmocka_unit_test(csv_has_templates_and_columns),
        cmocka_unit_test(what_is_wrong_with_a_query_is_named),
    };
    return cmocka_run_group_tests_name("upload_parts", tests, NULL, NULL);
}
