#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/service/models.h"

static struct models *models;

static int
load(void **state)
{
    (void)state;
    models = models_load();
    return 0;
}

static int
unload(void **state)
{
    (void)state;
    models_free(models);
    return 0;
}

static void
models_of_the_configuration_have_buckets_of_their_own(void **state)
{
    const struct job_usage usage = {.input_tokens = 1000};

    (void)state;
    assert_string_equal(models_bucket(models, "local-7b"), "other");
    models_add(models, slice_of("local-7b"));
    assert_string_equal(models_bucket(models, "local-7b"), "local-7b");
    assert_non_null(models_find(models, "local-7b"));
    assert_int_equal(models_cost_usd_nanos(models, "local-7b", &usage), -1);
    /* Names that stay what they are, or can be no bucket's. */
    models_add(models, slice_of("claude-opus-5-5"));
    assert_string_equal(models_bucket(models, "claude-opus-5-5"), "opus-5-5");
    models_add(models, slice_of("opus-5-5"));
    assert_null(models_find(models, "opus-5-5"));
    models_add(models, slice_of("a:b"));
    assert_string_equal(models_bucket(models, "a:b"), "other");
}

static void
finds_models_by_id_and_alias(void **state)
{
    (void)state;
    const struct model_info *opus = models_find(models, "claude-opus-5-5");
    assert_non_null(opus);
    assert_string_equal(opus->bucket, "opus-5-5");
    assert_int_equal(opus->context_tokens, 1000000);
    assert_int_equal(opus->max_output_tokens, 128000);
    const struct model_info *haiku = models_find(models, "claude-haiku-4-5");
    assert_string_equal(haiku->id, "claude-haiku-4-5-20251001");
    assert_ptr_equal(haiku, models_find(models, "claude-haiku-4-5-20251001"));
    assert_int_equal(
        models_find(models, "claude-mythos-5-2")->context_tokens, 0);
    assert_int_equal(strlen(models_as_of(models)), 10);
}

static void
unknown_models_share_one_bucket(void **state)
{
    (void)state;
    assert_null(models_find(models, "mock-ok"));
    assert_null(models_find(models, ""));
    assert_string_equal(models_bucket(models, "mock-ok"), "other");
    assert_string_equal(models_bucket(models, "claude-opus-9"), "other");
    assert_string_equal(models_bucket(models, "claude-opus-4-6"), "opus-4");
}

static void
knows_from_where_on_a_prefix_is_cached(void **state)
{
    (void)state;
    assert_int_equal(models_cache_min_tokens(models, "claude-opus-5-5"), 512);
    assert_int_equal(models_cache_min_tokens(models, "claude-haiku-4-5"), 4096);
    assert_int_equal(models_cache_min_tokens(models, "mock-ok"), 4096);
    assert_true(models_find(models, "claude-opus-5-5")->token_factor > 1.2);
    assert_true(models_find(models, "claude-haiku-4-5")->token_factor == 1.0);
}

static void
costs_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        struct job_usage usage; /* input, output, read, write 5m, write 1h */
        int64_t nanos;
    } rows[] = {
        {"claude-opus-5-5", {1, 0, 0, 0, 0}, 4000},
        {"claude-opus-5-5", {1000000, 1000000, 0, 0, 0}, 24000000000},
        {"claude-opus-5-5", {10, 20, 30, 40, 50},
            40000 + 400000 + 6000 + 200000 + 400000},
        {"claude-sonnet-5-5", {3, 7, 11, 13, 17},
            6000 + 70000 + 1100 + 32500 + 68000},
        {"claude-haiku-5-5", {1, 0, 0, 1, 1}, 100 + 125 + 200},
        {"claude-fable-5-1", {0, 0, 3, 0, 0}, 750},
        {"claude-haiku-4-5", {1, 1, 1, 1, 1}, 1000 + 5000 + 100 + 1250 + 2000},
        {"claude-opus-5-5", {0, 0, 0, 0, 0}, 0},
        {"claude-mythos-5-2", {1, 1, 0, 0, 0}, -1},
        {"mock-ok", {1, 1, 0, 0, 0}, -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(
            models_cost_usd_nanos(models, rows[i].model, &rows[i].usage),
            rows[i].nanos);
}

static void
a_long_prompt_on_haiku_pays_the_upper_price_for_every_token(void **state)
{
    (void)state;
    const char *haiku = "claude-haiku-5-5";
    struct job_usage at = {40000, 1000, 30000, 20000, 10000};
    struct job_usage past = at;
    past.cache_read_tokens++;
    assert_int_equal(models_cost_usd_nanos(models, haiku, &at),
        40000 * 100 + 1000 * 500 + 30000 * 10 + 20000 * 125 + 10000 * 200);
    assert_int_equal(models_cost_usd_nanos(models, haiku, &past),
        40000 * 500 + 1000 * 2500 + 30001 * 50 + 20000 * 625 + 10000 * 1000);
    struct job_usage long_answer = {100000, 500000, 0, 0, 0};
    assert_int_equal(models_cost_usd_nanos(models, haiku, &long_answer),
        100000 * 100 + 500000 * 500);
}

static void
absurd_counts_do_not_overflow(void **state)
{
    (void)state;
    struct job_usage usage = {
        UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_true(models_cost_usd_nanos(models, "claude-fable-5-1", &usage) > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_of_the_configuration_have_buckets_of_their_own),
        cmocka_unit_test(finds_models_by_id_and_alias),
        cmocka_unit_test(unknown_models_share_one_bucket),
        cmocka_unit_test(knows_from_where_on_a_prefix_is_cached),
        cmocka_unit_test(costs_are_exact),
        cmocka_unit_test(
            a_long_prompt_on_haiku_pays_the_upper_price_for_every_token),
        cmocka_unit_test(absurd_counts_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
