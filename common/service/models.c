#include "common/service/models.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "embedded.h"

#define ALIASES_MAX 4
#define TIERS_MAX 4
/* Products of a token count and a price stay far below 2^63. */
#define TOKENS_MAX UINT64_C(1000000000)
#define USD_PER_MTOK_MAX 1000.0
/* The resolution of prices: 1e-6 USD per million tokens is 1e-12 USD a
 * token. */
#define PICOS_PER_NANO 1000

/* Of one token, in 1e-12 USD. */
struct price {
    uint64_t up_to_prompt_tokens; /* UINT64_MAX: the last tier */
    uint64_t input;
    uint64_t output;
    uint64_t cache_write_5m;
    uint64_t cache_write_1h;
    uint64_t cache_read;
};

/* Texts belong to the document. */
struct model {
    struct model_info info;
    const char *aliases[ALIASES_MAX];
    size_t alias_count;
    struct price tiers[TIERS_MAX];
    size_t tier_count; /* 0: no price published */
};

struct models {
    json_t *document;
    json_t *added; /* names that only the configuration knows */
    const char *default_bucket;
    const char *as_of;
    struct model *list;
    size_t count;
};

static void __attribute__((noreturn)) broken(const char *what)
{
    log_say("schema/models.json in this program is broken: %s", what);
    abort();
}

static const char *
need_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || text[0] == '\0')
        broken(key);
    return text;
}

/* null or absent is 0, unknown. */
static uint64_t
read_count(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) <= 0)
        broken(key);
    return (uint64_t)json_integer_value(value);
}

/* null or absent is 0, unknown. */
static double
read_factor(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    double factor = json_number_value(value);
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_number(value) || !(factor >= 0.1 && factor <= 10))
        broken(key);
    return factor;
}

static uint64_t
read_price(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    double usd = json_number_value(value);
    if (!json_is_number(value) || !(usd >= 0 && usd <= USD_PER_MTOK_MAX))
        broken(key);
    return (uint64_t)llround(usd * 1e6);
}

static void
read_tier(const json_t *object, struct price *price)
{
    uint64_t up_to = read_count(object, "up_to_prompt_tokens");
    price->up_to_prompt_tokens = up_to == 0 ? UINT64_MAX : up_to;
    price->input = read_price(object, "input");
    price->output = read_price(object, "output");
    price->cache_write_5m = read_price(object, "cache_write_5m");
    price->cache_write_1h = read_price(object, "cache_write_1h");
    price->cache_read = read_price(object, "cache_read");
}

static void
read_prices(const json_t *prices, struct model *model)
{
    if (prices == NULL || json_is_null(prices))
        return;
    size_t count = json_array_size(prices);
    if (count == 0 || count > TIERS_MAX)
        broken("prices");
    for (size_t i = 0; i < count; i++) {
        read_tier(json_array_get(prices, i), &model->tiers[i]);
        if (i > 0 &&
            model->tiers[i].up_to_prompt_tokens <=
                model->tiers[i - 1].up_to_prompt_tokens)
            broken("prices are not in ascending order");
    }
    if (model->tiers[count - 1].up_to_prompt_tokens != UINT64_MAX)
        broken("the last price has a limit");
    model->tier_count = count;
}

static void
read_aliases(const json_t *aliases, struct model *model)
{
    model->alias_count = json_array_size(aliases);
    if (model->alias_count > ALIASES_MAX)
        broken("aliases");
    for (size_t i = 0; i < model->alias_count; i++) {
        model->aliases[i] = json_string_value(json_array_get(aliases, i));
        if (model->aliases[i] == NULL)
            broken("aliases");
    }
}

static void
read_model(const json_t *object, const json_t *buckets, struct model *model)
{
    model->info.id = need_text(object, "id");
    model->info.bucket = need_text(object, "bucket");
    if (strlen(model->info.bucket) > JOB_BUCKET_MAX ||
        json_object_get(buckets, model->info.bucket) == NULL)
        broken("bucket of a model");
    model->info.context_tokens = read_count(object, "context");
    model->info.max_output_tokens = read_count(object, "max_output");
    model->info.cache_min_tokens = read_count(object, "cache_min_tokens");
    model->info.token_factor = read_factor(object, "token_factor");
    read_aliases(json_object_get(object, "aliases"), model);
    read_prices(json_object_get(object, "prices"), model);
}

struct models *
models_load(void)
{
    const struct embedded_file *file = embedded_find("schema/models.json");
    struct models *models = memory_zalloc(1, sizeof(*models));
    if (file == NULL)
        broken("not there");
    models->document =
        json_loadb(file->data, file->len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(models->document, "models");
    const json_t *buckets = json_object_get(models->document, "buckets");
    if (json_array_size(list) == 0)
        broken("no models");
    models->added = json_array();
    models->as_of = need_text(models->document, "as_of");
    models->default_bucket = need_text(models->document, "default_bucket");
    models->count = json_array_size(list);
    models->list = memory_zalloc(models->count, sizeof(*models->list));
    for (size_t i = 0; i < models->count; i++)
        read_model(json_array_get(list, i), buckets, &models->list[i]);
    return models;
}

void
models_free(struct models *models)
{
    if (models == NULL)
        return;
    json_decref(models->document);
    json_decref(models->added);
    memory_free(models->list);
    memory_free(models);
}

static bool
is_named(const struct model *model, const char *name)
{
    if (strcmp(model->info.id, name) == 0)
        return true;
    for (size_t i = 0; i < model->alias_count; i++)
        if (strcmp(model->aliases[i], name) == 0)
            return true;
    return false;
}

static const struct model *
find(const struct models *models, const char *name)
{
    for (size_t i = 0; i < models->count; i++)
        if (is_named(&models->list[i], name))
            return &models->list[i];
    return NULL;
}

static bool
is_bucket(const struct models *models, const char *name)
{
    for (size_t i = 0; i < models->count; i++) {
        if (strcmp(models->list[i].info.bucket, name) == 0)
            return true;
    }
    return strcmp(models->default_bucket, name) == 0;
}

void
models_add(struct models *models, struct slice name)
{
    char text[JOB_BUCKET_MAX + 1];
    struct model *model;
    json_t *kept;
    if (name.len == 0 || name.len > JOB_BUCKET_MAX ||
        memchr(name.data, ':', name.len) != NULL ||
        memchr(name.data, '>', name.len) != NULL ||
        memchr(name.data, '|', name.len) != NULL)
        return;
    text_copy(text, sizeof(text), name);
    if (find(models, text) != NULL || is_bucket(models, text))
        return;
    kept = json_string(text);
    json_array_append_new(models->added, kept);
    models->list = memory_resize(
        models->list, (models->count + 1) * sizeof(*models->list));
    model = &models->list[models->count++];
    memset(model, 0, sizeof(*model));
    model->info.id = json_string_value(kept);
    model->info.bucket = json_string_value(kept);
}

const struct model_info *
models_find(const struct models *models, const char *model)
{
    const struct model *found = find(models, model);
    return found != NULL ? &found->info : NULL;
}

const char *
models_bucket(const struct models *models, const char *model)
{
    const struct model *found = find(models, model);
    return found != NULL ? found->info.bucket : models->default_bucket;
}

uint64_t
models_cache_min_tokens(const struct models *models, const char *model)
{
    const struct model *found = find(models, model);
    uint64_t most = 0;
    if (found != NULL && found->info.cache_min_tokens > 0)
        return found->info.cache_min_tokens;
    for (size_t i = 0; i < models->count; i++)
        if (models->list[i].info.cache_min_tokens > most)
            most = models->list[i].info.cache_min_tokens;
    return most;
}

static uint64_t
bounded(uint64_t tokens)
{
    return tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
}

/* The first tier that takes the whole prompt prices every token. */
static const struct price *
pick_tier(const struct model *model, uint64_t prompt_tokens)
{
    const struct price *tier = model->tiers;
    while (prompt_tokens > tier->up_to_prompt_tokens)
        tier++;
    return tier;
}

int64_t
models_cost_usd_nanos(const struct models *models, const char *model,
    const struct job_usage *usage)
{
    const struct model *found = find(models, model);
    if (found == NULL || found->tier_count == 0)
        return -1;
    uint64_t input = bounded(usage->input_tokens);
    uint64_t output = bounded(usage->output_tokens);
    uint64_t cache_read = bounded(usage->cache_read_tokens);
    uint64_t write_5m = bounded(usage->cache_write_5m_tokens);
    uint64_t write_1h = bounded(usage->cache_write_1h_tokens);
    const struct price *price =
        pick_tier(found, input + cache_read + write_5m + write_1h);
    uint64_t picos = input * price->input + output * price->output +
        cache_read * price->cache_read + write_5m * price->cache_write_5m +
        write_1h * price->cache_write_1h;
    return (int64_t)((picos + PICOS_PER_NANO / 2) / PICOS_PER_NANO);
}

const char *
models_as_of(const struct models *models)
{
    return models->as_of;
}
