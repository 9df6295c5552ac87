#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/queue/batch_fill.h"
#include "status-api/batch_line.h"
#include "status-api/batch_look.h"
#include "status-api/batch_page.h"
#include "status-api/eta.h"

/* --- time left ----------------------------------------------------------- */

static void
nothing_is_said_before_it_is_credible(void **state)
{
    struct eta eta = {.count = 0};
    (void)state;
    assert_int_equal(eta_seconds(&eta, 1000, 0, 100, 500), -1);
    eta_note(&eta, 1000, 0);
    assert_int_equal(eta_seconds(&eta, 3000, 50, 50, 2500), -1);
    /* Long enough, but hardly anything happened. */
    assert_int_equal(eta_seconds(&eta, 9000, 9, 91, 8500), -1);
    assert_int_equal(eta_seconds(&eta, 9000, 100, 0, 8500), 0);
}

static void
the_pace_of_late_gives_the_time_left(void **state)
{
    struct eta eta = {.count = 0};
    (void)state;
    for (unsigned i = 0; i <= 10; i++)
        eta_note(&eta, (int64_t)1000 + i * 2000, (uint64_t)i * 20);
    /* 200 in 20 s; 700 are left. */
    assert_int_equal(eta_seconds(&eta, 21000, 200, 700, 21000), 70);
}

static void
what_happened_long_ago_does_not_count(void **state)
{
    struct eta eta = {.count = 0};
    (void)state;
    eta_note(&eta, 1000, 0);
    for (unsigned i = 0; i < 20; i++)
        eta_note(&eta, INT64_C(500000) + i * 10000, 90000 + i * 10);
    /* 1 a second of late, whatever it was before. */
    int64_t left = eta_seconds(&eta, 700000, 90200, 100, 700000);
    assert_in_range(left, 90, 110);
    /* It stands still. */
    eta_note(&eta, 880000, 90200);
    assert_int_equal(eta_seconds(&eta, 900000, 90200, 100, 900000), -1);
}

static void
without_samples_the_pace_of_its_life_counts(void **state)
{
    struct eta eta = {.count = 0};
    (void)state;
    assert_int_equal(eta_seconds(&eta, 5, 1000, 500, 20000), 10);
    assert_int_equal(eta_seconds(&eta, 5, 99, 500, 20000), -1);
    assert_int_equal(eta_seconds(&eta, 5, 1000, 500, 9000), -1);
}

static void
samples_that_follow_closely_are_one(void **state)
{
    struct eta eta = {.count = 0};
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        eta_note(&eta, 1000 + i, i);
    assert_int_equal(eta.count, 1);
}

/* --- lines --------------------------------------------------------------- */

static char custom_id[] = "row-1";

static struct job_result
result_of(enum job_state state)
{
    struct job_result row = {.id = "job_0199f6a2-5c1e-7abc-9def-0123456789ab",
        .generation = 1,
        .state = state,
        .model = "claude-haiku-5-5",
        .cost_usd_nanos = -1,
        .meta.custom_id = custom_id};
    return row;
}

/* Parses the one line that is there. */
static json_t *
line_of(const struct buffer *out)
{
    assert_true(out->len > 0);
    assert_int_equal(out->data[out->len - 1], '\n');
    assert_ptr_equal(
        memchr(out->data, '\n', out->len), out->data + out->len - 1);
    assert_null(memchr(out->data, '\r', out->len));
    json_t *json =
        json_loadb(out->data, out->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

/* "result.error.error.type" */
static const json_t *
at(const json_t *json, const char *path)
{
    struct slice rest = slice_of(path);
    while (json != NULL && rest.len > 0) {
        char key[32];
        text_copy(key, sizeof(key), slice_split(&rest, '.'));
        json = json_object_get(json, key);
    }
    return json;
}

static const char *
text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(at(json, path));
    return text == NULL ? "" : text;
}

static void
a_message_of_many_lines_becomes_one(void **state)
{
    static const char answer[] =
        "\n{\r\n  \"type\": \"message\",\n  \"text\": \"a\\nb\"\n}\n";
    struct job_result row = result_of(JOB_SUCCEEDED);
    struct buffer out = {0};
    (void)state;
    batch_line_message(&row, slice_of(answer), &out);
    json_t *json = line_of(&out);
    assert_string_equal(text_at(json, "custom_id"), "row-1");
    assert_string_equal(text_at(json, "result.type"), "succeeded");
    assert_string_equal(text_at(json, "result.message.text"), "a\nb");
    assert_int_equal(json_object_size(json), 2);
    json_decref(json);
    buffer_clear(&out);
}

static void
an_error_is_the_whole_envelope(void **state)
{
    struct job_result row = result_of(JOB_FAILED);
    struct buffer out = {0};
    (void)state;
    strcpy(row.error.class_name, "bad_request");
    strcpy(row.error.type, "invalid_request_error");
    strcpy(row.error.message, "max_tokens: \"too\" large\n");
    strcpy(row.error.request_id, "req_1");
    batch_line_message(&row, SLICE_NULL, &out);
    json_t *json = line_of(&out);
    assert_string_equal(text_at(json, "result.type"), "errored");
    assert_string_equal(text_at(json, "result.error.type"), "error");
    assert_string_equal(
        text_at(json, "result.error.error.type"), "invalid_request_error");
    assert_string_equal(text_at(json, "result.error.error.message"),
        "max_tokens: \"too\" large\n");
    assert_string_equal(text_at(json, "result.error.request_id"), "req_1");
    json_decref(json);
    buffer_clear(&out);
    /* One without a word from Claude. */
    memset(&row.error, 0, sizeof(row.error));
    strcpy(row.error.class_name, "network");
    batch_line_message(&row, SLICE_NULL, &out);
    json = line_of(&out);
    assert_string_equal(text_at(json, "result.error.error.type"), "api_error");
    assert_string_equal(text_at(json, "result.error.error.message"), "network");
    assert_true(json_is_null(at(json, "result.error.request_id")));
    json_decref(json);
    buffer_clear(&out);
}

static void
what_never_ran_says_only_that(void **state)
{
    struct job_result row = result_of(JOB_CANCELED);
    struct buffer out = {0};
    (void)state;
    batch_line_message(&row, SLICE_NULL, &out);
    assert_string_equal(out.data,
        "{\"custom_id\":\"row-1\",\"result\":{\"type\":\"canceled\"}}\n");
    buffer_reset(&out);
    row.state = JOB_EXPIRED;
    batch_line_message(&row, SLICE_NULL, &out);
    assert_string_equal(out.data,
        "{\"custom_id\":\"row-1\",\"result\":{\"type\":\"expired\"}}\n");
    buffer_clear(&out);
}

static void
an_answer_that_is_gone_is_an_error_and_not_a_hole(void **state)
{
    struct job_result row = result_of(JOB_SUCCEEDED);
    struct buffer out = {0};
    (void)state;
    batch_line_message(&row, SLICE_NULL, &out);
    json_t *json = line_of(&out);
    assert_string_equal(text_at(json, "result.type"), "errored");
    assert_string_equal(
        text_at(json, "result.error.error.type"), "not_found_error");
    json_decref(json);
    buffer_clear(&out);
}

static void
the_native_line_names_row_job_and_cost(void **state)
{
    struct job_result row = result_of(JOB_SUCCEEDED);
    struct buffer out = {0};
    (void)state;
    row.usage.output_tokens = 5;
    row.cost_usd_nanos = 1500;
    batch_line_native(&row, 4711, slice_of("{\"a\":1}"), &out);
    json_t *json = line_of(&out);
    assert_int_equal(json_integer_value(at(json, "seq")), 4711);
    assert_int_equal(json_integer_value(at(json, "generation")), 1);
    assert_string_equal(text_at(json, "job_id"), row.id);
    assert_string_equal(text_at(json, "status"), "succeeded");
    assert_int_equal(json_integer_value(at(json, "result.message.a")), 1);
    assert_int_equal(json_integer_value(at(json, "usage.output_tokens")), 5);
    assert_string_equal(text_at(json, "cost_usd"), "0.0000015");
    json_decref(json);
    buffer_clear(&out);
}

/* --- counts -------------------------------------------------------------- */

#define UUID "0199f6a2-5c1e-7abc-9def-0123456789ab"

static struct bulk
batch_of(uint64_t total)
{
    struct bulk batch = {.uuid = UUID,
        .created_ms = INT64_C(1795183200000),
        .total = total,
        .rejected = 2};
    strcpy(batch.tenant, "default");
    return batch;
}

static uint64_t
sum_of(const struct batch_view *view)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < BATCH_COUNTS; i++)
        sum += view->counts[i];
    return sum;
}

static void
counts_sum_up_whatever_was_seen_twice(void **state)
{
    struct bulk batch = batch_of(10);
    struct bulk_tally tally = {.succeeded = 6, .failed = 2, .canceled = 1};
    /* Two of the three held were committed a moment ago. */
    struct queue_bulk_view live = {.running = 3, .retrying = 2};
    struct batch_view view;
    (void)state;
    batch_fill_view(&batch, &live, &tally, 0, &view);
    assert_int_equal(sum_of(&view), 10);
    assert_int_equal(view.counts[JOB_SUCCEEDED], 6);
    assert_int_equal(view.counts[JOB_RUNNING], 1);
    assert_int_equal(view.counts[JOB_RETRYING], 0);
    assert_int_equal(view.counts[JOB_QUEUED], 0);
    assert_int_equal(view.rejected, 2);
}

static void
a_replayed_item_is_not_counted_as_failed(void **state)
{
    struct bulk batch = batch_of(10);
    struct bulk_tally tally = {.succeeded = 6, .failed = 2};
    struct queue_bulk_view live = {.running = 1, .again = 1};
    struct batch_view view;
    (void)state;
    batch_fill_view(&batch, &live, &tally, 0, &view);
    assert_int_equal(sum_of(&view), 10);
    assert_int_equal(view.counts[JOB_FAILED], 1);
    assert_int_equal(view.counts[JOB_RUNNING], 1);
    assert_int_equal(view.counts[JOB_QUEUED], 2);
}

static void
a_cost_is_only_told_when_there_is_a_price(void **state)
{
    struct bulk batch = batch_of(3);
    struct bulk_tally tally = {.succeeded = 3, .unpriced = 3};
    struct batch_view view;
    (void)state;
    batch_fill_view(&batch, NULL, &tally, 0, &view);
    assert_int_equal(view.cost_usd_nanos, -1);
    tally.cost_usd_nanos = 5;
    batch_fill_view(&batch, NULL, &tally, 0, &view);
    assert_int_equal(view.cost_usd_nanos, 5);
}

static void
results_of_the_claude_face_are_archived_after_29_days(void **state)
{
    struct bulk batch = batch_of(1);
    struct bulk_tally tally = {.succeeded = 1};
    struct batch_view view;
    const int64_t at_ms = batch.created_ms + BATCH_ARCHIVE_MS;
    (void)state;
    batch.state = BATCH_ENDED;
    batch_fill_view(&batch, NULL, &tally, at_ms + 1, &view);
    assert_int_equal(view.archived_ms, 0);
    batch.face = BULK_CLAUDE;
    batch_fill_view(&batch, NULL, &tally, at_ms - 1, &view);
    assert_int_equal(view.archived_ms, 0);
    batch_fill_view(&batch, NULL, &tally, at_ms, &view);
    assert_int_equal(view.archived_ms, at_ms);
}

/* --- pages --------------------------------------------------------------- */

static const char *
uuid_of(unsigned n)
{
    static char text[BATCH_UUID_SIZE];
    snprintf(text, sizeof(text), "%08x-0000-7000-8000-000000000000", n);
    return text;
}

static void
put(struct batch_page *page, unsigned n, bool stored, bool hidden)
{
    struct batch_page_item item = {.stored = stored, .hidden = hidden};
    text_copy(item.view.uuid, sizeof(item.view.uuid), slice_of(uuid_of(n)));
    item.view.accepted = stored ? 1000 + n : n;
    batch_page_add(page, &item);
}

static void
expect(const struct batch_page *page, const unsigned *numbers, size_t count)
{
    assert_int_equal(page->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(page->items[i].view.uuid, uuid_of(numbers[i]));
}

static void
one_page_is_made_of_both_lists(void **state)
{
    struct batch_page page = {0};
    (void)state;
    put(&page, 9, false, false);
    put(&page, 5, false, false);
    put(&page, 5, true, false); /* it ended between the two reads */
    put(&page, 7, true, false);
    put(&page, 3, true, false);
    batch_page_finish(&page, false, 10);
    expect(&page, (unsigned[]){9, 7, 5, 3}, 4);
    assert_int_equal(page.items[2].view.accepted, 1005);
    assert_false(page.has_more);
    assert_string_equal(page.first, uuid_of(9));
    assert_string_equal(page.last, uuid_of(3));
    batch_page_clear(&page);
}

static void
a_page_is_cut_at_its_far_end(void **state)
{
    struct batch_page page = {0};
    (void)state;
    for (unsigned n = 1; n <= 6; n++)
        put(&page, n, n % 2 == 0, false);
    batch_page_finish(&page, false, 2);
    expect(&page, (unsigned[]){6, 5}, 2);
    assert_true(page.has_more);
    batch_page_clear(&page);
    for (unsigned n = 1; n <= 6; n++)
        put(&page, n, n % 2 == 0, false);
    batch_page_finish(&page, true, 2); /* those just above the cursor */
    expect(&page, (unsigned[]){2, 1}, 2);
    assert_true(page.has_more);
    assert_string_equal(page.first, uuid_of(2));
    batch_page_clear(&page);
}

static void
nothing_beyond_the_edge_of_a_list_is_shown(void **state)
{
    struct batch_page page = {0};
    (void)state;
    put(&page, 9, false, false);
    put(&page, 8, false, false);
    batch_page_unknown_beyond(&page, false, uuid_of(8));
    put(&page, 9, true, true); /* not what is wanted, wherever it is */
    put(&page, 4, true, false); /* there may be a 5 to 7 */
    batch_page_finish(&page, false, 10);
    expect(&page, (unsigned[]){8}, 1);
    assert_true(page.has_more);
    assert_string_equal(page.last, uuid_of(8));
    batch_page_clear(&page);
}

static void
what_is_to_be_deleted_is_not_shown(void **state)
{
    struct batch_page page = {0};
    (void)state;
    for (unsigned n = 1; n <= 5; n++)
        put(&page, n, true, false);
    for (unsigned n = 0; n < 40; n++)
        batch_page_hide(&page, slice_of(uuid_of(n % 2 == 0 ? n : n + 100)));
    batch_page_finish(&page, false, 10);
    expect(&page, (unsigned[]){5, 3, 1}, 3);
    assert_false(page.has_more);
    batch_page_clear(&page);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_before_it_is_credible),
        cmocka_unit_test(the_pace_of_late_gives_the_time_left),
        cmocka_unit_test(what_happened_long_ago_does_not_count),
        cmocka_unit_test(without_samples_the_pace_of_its_life_counts),
        cmocka_unit_test(samples_that_follow_closely_are_one),
        cmocka_unit_test(a_message_of_many_lines_becomes_one),
        cmocka_unit_test(an_error_is_the_whole_envelope),
        cmocka_unit_test(what_never_ran_says_only_that),
        cmocka_unit_test(an_answer_that_is_gone_is_an_error_and_not_a_hole),
        cmocka_unit_test(the_native_line_names_row_job_and_cost),
        cmocka_unit_test(counts_sum_up_whatever_was_seen_twice),
        cmocka_unit_test(a_replayed_item_is_not_counted_as_failed),
        cmocka_unit_test(a_cost_is_only_told_when_there_is_a_price),
        cmocka_unit_test(results_of_the_claude_face_are_archived_after_29_days),
        cmocka_unit_test(one_page_is_made_of_both_lists),
        cmocka_unit_test(a_page_is_cut_at_its_far_end),
        cmocka_unit_test(nothing_beyond_the_edge_of_a_list_is_shown),
        cmocka_unit_test(what_is_to_be_deleted_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
