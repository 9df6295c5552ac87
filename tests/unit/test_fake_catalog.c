#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "common/base/clock.h"
#include "embedded.h"
#include "tests/fake-claude/catalog.h"

static json_t *root;
static struct catalog *catalog;

static int
open_table(void **state)
{
    (void)state;
    const struct embedded_file *file = embedded_find("schema/models.json");
    root = json_loadb(file->data, file->len, JSON_REJECT_DUPLICATES, NULL);
    catalog = catalog_new(slice_make(file->data, file->len));
    return root != NULL && catalog != NULL ? 0 : -1;
}

static int
close_table(void **state)
{
    (void)state;
    json_decref(root);
    catalog_free(catalog);
    return 0;
}

static void
every_model_belongs_to_a_bucket(void **state)
{
    (void)state;
    json_t *buckets = json_object_get(root, "buckets");
    for (size_t i = 0; i < catalog_count(catalog); i++)
        assert_non_null(
            json_object_get(buckets, catalog_model(catalog, i)->bucket));
    assert_non_null(json_object_get(buckets, catalog_default_bucket(catalog)));
}

static void
ids_and_aliases_are_unique_and_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < catalog_count(catalog); i++) {
        const struct catalog_model *model = catalog_model(catalog, i);
        assert_ptr_equal(catalog_find(catalog, slice_of(model->id)), model);
        if (model->alias != NULL)
            assert_ptr_equal(
                catalog_find(catalog, slice_of(model->alias)), model);
    }
    assert_null(catalog_find(catalog, slice_of("mock-ok")));
    assert_null(catalog_find(catalog, SLICE_NULL));
}

static void
prices_are_whole_and_their_tiers_ascend_to_an_open_end(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "input", "output", "cache_write_5m", "cache_write_1h", "cache_read"};
    size_t index;
    json_t *model;
    json_array_foreach(json_object_get(root, "models"), index, model)
    {
        json_t *prices = json_object_get(model, "prices");
        double last = 0;
        size_t count = json_array_size(prices);
        for (size_t i = 0; i < count; i++) {
            json_t *tier = json_array_get(prices, i);
            json_t *end = json_object_get(tier, "up_to_prompt_tokens");
            for (size_t k = 0; k < 5; k++)
                assert_true(
                    json_number_value(json_object_get(tier, kinds[k])) > 0);
            if (i + 1 == count) {
                assert_true(json_is_null(end));
                continue;
            }
            assert_true(json_number_value(end) > last);
            last = json_number_value(end);
        }
    }
}

static void
the_table_is_dated_and_names_its_sources(void **state)
{
    (void)state;
    size_t index;
    json_t *model;
    const char *as_of = json_string_value(json_object_get(root, "as_of"));
    assert_non_null(as_of);
    assert_int_equal(strlen(as_of), 10);
    json_array_foreach(json_object_get(root, "models"), index, model)
    {
        json_t *created = json_object_get(model, "created_at");
        int64_t ms;
        assert_true(json_string_length(json_object_get(model, "source")) > 0);
        if (json_is_string(created))
            assert_int_equal(
                clock_parse_rfc3339(slice_of(json_string_value(created)), &ms),
                0);
    }
}

static void
a_broken_table_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "[]", "{}",
        "{\"default_bucket\":\"other\",\"models\":[]}",
        "{\"default_bucket\":\"other\",\"models\":[{\"id\":\"x\"}]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(catalog_new(slice_of(bad[i])));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_belongs_to_a_bucket),
        cmocka_unit_test(ids_and_aliases_are_unique_and_found),
        cmocka_unit_test(
            prices_are_whole_and_their_tiers_ascend_to_an_open_end),
        cmocka_unit_test(the_table_is_dated_and_names_its_sources),
        cmocka_unit_test(a_broken_table_is_refused),
    };
    return cmocka_run_group_tests(tests, open_table, close_table);
}
