#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cli/bulk_cost.h"
#include "cli/bulk_run.h"
#include "common/base/id.h"

/* What a run would cost: rows of 2,000 tokens, 1,300 of which are shared. */

#define ROWS 4
#define ROW_TOKENS 2000
#define MODEL "claude-opus-5-5"

static struct template *
template_of(const char *text)
{
    struct slice names[] = {slice_of("a")};
    struct buffer error = {0};
    struct template *template = template_new(slice_of(text), &error);
    assert_non_null(template);
    assert_int_equal(template_bind(template, names, 1, &error), 0);
    buffer_clear(&error);
    return template;
}

/* shared: characters before the field. */
static void
open_run(struct bulk_run *run, size_t shared)
{
    struct buffer text = {0};
    char id[24];
    size_t at;
    memset(run, 0, sizeof(*run));
    run->models = models_load();
    run->recipe.model = memory_dup(MODEL);
    for (size_t i = 0; i < shared; i++)
        buffer_append_char(&text, i % 8 == 7 ? ' ' : 'x');
    buffer_append_text(&text, "{{a}}");
    run->recipe.prompt = template_of(text.data);
    run->recipe.request =
        (struct template_request){.prompt = run->recipe.prompt,
            .model = run->recipe.model,
            .max_tokens = 100};
    template_request_plan(&run->recipe.request,
        models_cache_min_tokens(run->models, MODEL),
        models_find(run->models, MODEL)->token_factor);
    for (int i = 0; i < ROWS; i++) {
        snprintf(id, sizeof(id), "r-%d", i);
        assert_true(bulk_rows_add(&run->rows, id, &at));
        run->rows.items[at].tokens = ROW_TOKENS;
    }
    buffer_clear(&text);
}

static double
usd_of(const struct bulk_run *run, uint64_t input, uint64_t written,
    uint64_t read, uint64_t output)
{
    struct job_usage usage = {.input_tokens = input,
        .cache_write_5m_tokens = written,
        .cache_read_tokens = read,
        .output_tokens = output};
    return (double)models_cost_usd_nanos(run->models, MODEL, &usage) / 1e9;
}

static void
at_most_is_what_rows_cost_that_all_write_the_shared_part(void **state)
{
    struct bulk_run run;
    struct bulk_estimate estimate;
    (void)state;
    open_run(&run, 4000);
    assert_true(run.recipe.request.cache_prompt);
    bulk_estimate(&run, &estimate);
    assert_true(estimate.has_price);
    assert_int_equal(estimate.cached_tokens, (ROWS - 1) * 1300);
    assert_float_equal(
        estimate.most_usd, ROWS * usd_of(&run, 700, 1300, 0, 100), 1e-9);
    assert_true(
        estimate.most_usd > ROWS * usd_of(&run, ROW_TOKENS, 0, 0, 100) + 1e-6);
    assert_float_equal(estimate.about_usd,
        usd_of(&run, 700, 1300, 0, 100) +
            (ROWS - 1) * usd_of(&run, 700, 0, 1300, 100),
        1e-9);
    bulk_run_clear(&run);
}

static void
nothing_is_written_to_the_cache_when_nothing_is_marked(void **state)
{
    struct bulk_run run;
    struct bulk_estimate estimate;
    (void)state;
    open_run(&run, 100);
    assert_false(run.recipe.request.cache_prompt);
    bulk_estimate(&run, &estimate);
    assert_int_equal(estimate.cached_tokens, 0);
    assert_float_equal(
        estimate.most_usd, ROWS * usd_of(&run, ROW_TOKENS, 0, 0, 100), 1e-9);
    bulk_run_clear(&run);
}

static void
max_cost_holds_though_every_row_writes_the_shared_part(void **state)
{
    struct bulk_run run;
    struct bulk_estimate estimate;
    (void)state;
    open_run(&run, 4000);
    /* Enough for three rows of plain input, and for two that write. */
    double max_usd = 3 * usd_of(&run, ROW_TOKENS, 0, 0, 100) + 1e-6;
    bulk_hold_back(&run, max_usd);
    bulk_estimate(&run, &estimate);
    assert_int_equal(estimate.rows, 2);
    assert_true(estimate.most_usd <= max_usd);
    assert_int_equal(run.rows.in_state[BULK_HELD_BACK], ROWS - 2);
    bulk_run_clear(&run);
}

/* --- the row that goes first --- */

static void
a_row_goes_first_when_many_share_what_is_cached(void **state)
{
    struct bulk_run run;
    char id[24];
    size_t at;
    (void)state;
    open_run(&run, 4000);
    assert_false(bulk_wants_first(&run));
    for (int i = ROWS; i < 9; i++) {
        snprintf(id, sizeof(id), "r-%d", i);
        assert_true(bulk_rows_add(&run.rows, id, &at));
    }
    assert_true(bulk_wants_first(&run));
    bulk_rows_set(&run.rows, at, BULK_DONE);
    assert_false(bulk_wants_first(&run));
    bulk_rows_set(&run.rows, at, BULK_OPEN);
    run.recipe.request.cache_prompt = false;
    assert_false(bulk_wants_first(&run));
    bulk_run_clear(&run);
}

static void
an_upload_that_may_be_on_its_way_is_sent_as_it_was(void **state)
{
    static const struct {
        uint64_t lines;
        int64_t age_ms;
        bool known;
        bool between;
    } cases[] = {
        {1, 1000, true, true}, /* behind the row that went first */
        {BULK_CHUNK_ROWS, 1000, true, true}, /* behind a whole chunk */
        {2, 1000, true, false}, /* the rows were all */
        {1, 1000, false, false}, /* of the output; the server has it not */
        {1, 2 * 3600 * 1000, true, false}, /* yesterday's */
        {1, -1000, true, true}, /* clocks differ */
    };
    static const char id[] = "batch_01a1fa98-4360-7180-9bd4-e803dad97185";
    int64_t made_ms = id_wall_ms(slice_of(id));
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bulk_run run = {0};
        assert_false(bulk_is_between(&run, made_ms));
        struct bulk_batch *batch = bulk_run_batch(&run, slice_of(id));
        batch->lines = cases[i].lines;
        batch->known = cases[i].known;
        assert_int_equal(
            bulk_is_between(&run, made_ms + cases[i].age_ms), cases[i].between);
        bulk_run_clear(&run);
    }
}

/* --- costs --- */

static void
reads_a_cost_as_the_server_writes_it(void **state)
{
    static const char *const unknown[] = {
        "null", "", "\"", "\"\"", "\"x\"", "true", "\"-1.0\"", "{}"};
    (void)state;
    assert_float_equal(
        bulk_cost_usd(slice_of("\"0.000123456\"")), 0.000123456, 1e-12);
    assert_float_equal(bulk_cost_usd(slice_of("12.500000")), 12.5, 1e-12);
    assert_float_equal(bulk_cost_usd(slice_of("\"0.000000\"")), 0, 1e-12);
    assert_float_equal(bulk_cost_usd(slice_of("0.25")), 0.25, 1e-12);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_true(bulk_cost_usd(slice_of(unknown[i])) < 0);
    assert_true(bulk_cost_usd(SLICE_NULL) < 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_goes_first_when_many_share_what_is_cached),
        cmocka_unit_test(an_upload_that_may_be_on_its_way_is_sent_as_it_was),
        cmocka_unit_test(reads_a_cost_as_the_server_writes_it),
        cmocka_unit_test(
            at_most_is_what_rows_cost_that_all_write_the_shared_part),
        cmocka_unit_test(
            nothing_is_written_to_the_cache_when_nothing_is_marked),
        cmocka_unit_test(
            max_cost_holds_though_every_row_writes_the_shared_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
