#include "tests/fake-claude/catalog.h"

#include <jansson.h>
#include <string.h>

struct catalog {
    json_t *root; /* owns every text */
    struct catalog_model *models;
    size_t count;
    const char *default_bucket;
};

static const char *
text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static uint64_t
number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static unsigned
thinking_refused(const json_t *row)
{
    const json_t *list = json_object_get(row, "thinking_refused");
    unsigned refused = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = json_string_value(json_array_get(list, i));
        if (type != NULL && strcmp(type, "disabled") == 0)
            refused |= CATALOG_THINKING_DISABLED;
        if (type != NULL && strcmp(type, "enabled") == 0)
            refused |= CATALOG_THINKING_ENABLED;
    }
    return refused;
}

static int
read_model(const json_t *row, struct catalog_model *model)
{
    double factor = json_number_value(json_object_get(row, "token_factor"));
    const char *sampling = text_of(row, "sampling");
    *model = (struct catalog_model){
        .id = text_of(row, "id"),
        .alias = json_string_value(
            json_array_get(json_object_get(row, "aliases"), 0)),
        .display_name = text_of(row, "display_name"),
        .line = text_of(row, "line"),
        .created_at = text_of(row, "created_at"),
        .lifecycle = text_of(row, "lifecycle"),
        .retires_at = text_of(row, "retires_at"),
        .bucket = text_of(row, "bucket"),
        .context = number_of(row, "context"),
        .max_output = number_of(row, "max_output"),
        .cache_min_tokens = number_of(row, "cache_min_tokens"),
        .token_percent = factor > 0 ? (unsigned)(factor * 100 + 0.5) : 100,
        .sampling_fixed = sampling != NULL && strcmp(sampling, "fixed") == 0,
        .refuses_forced_tools =
            json_is_false(json_object_get(row, "forced_tool_choice")),
        .thinking_refused = thinking_refused(row),
    };
    return model->id != NULL && model->display_name != NULL &&
            model->line != NULL && model->lifecycle != NULL &&
            model->bucket != NULL
        ? 0
        : -1;
}

struct catalog *
catalog_new(struct slice json)
{
    struct catalog *catalog = memory_zalloc(1, sizeof(*catalog));
    catalog->root =
        json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *rows = json_object_get(catalog->root, "models");
    catalog->default_bucket = text_of(catalog->root, "default_bucket");
    catalog->count = json_array_size(rows);
    if (catalog->count == 0 || catalog->default_bucket == NULL)
        goto fail;
    catalog->models = memory_zalloc(catalog->count, sizeof(*catalog->models));
    for (size_t i = 0; i < catalog->count; i++)
        if (read_model(json_array_get(rows, i), &catalog->models[i]) != 0)
            goto fail;
    return catalog;
fail:
    catalog_free(catalog);
    return NULL;
}

void
catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    json_decref(catalog->root);
    memory_free(catalog->models);
    memory_free(catalog);
}

size_t
catalog_count(const struct catalog *catalog)
{
    return catalog->count;
}

const struct catalog_model *
catalog_model(const struct catalog *catalog, size_t index)
{
    return &catalog->models[index];
}

const struct catalog_model *
catalog_find(const struct catalog *catalog, struct slice id)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_model *model = &catalog->models[i];
        if (slice_equal_text(id, model->id) ||
            (model->alias != NULL && slice_equal_text(id, model->alias)))
            return model;
    }
    return NULL;
}

const char *
catalog_default_bucket(const struct catalog *catalog)
{
    return catalog->default_bucket;
}
