#include "worker/pool.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/queue/queue.h"
#include "common/service/config.h"
#include "common/service/models.h"
#include "worker/governor.h"
#include "worker/pace.h"
#include "worker/upstream.h"

/* Of today's tokenizers; answers tell better soon. */
#define TOKEN_FACTOR 1.3

const char *
pool_name(const struct pool *pool)
{
    return pool->config->name;
}

/* --- which models it serves -------------------------------------------- */

/* Words are models or buckets; a bucket has no price, so the table knows it
 * only by the models in it. */
static struct slice
bucket_of_word(const struct models *models, struct slice word)
{
    char name[JOB_MODEL_MAX + 1];

    text_copy(name, sizeof(name), word);
    return models_find(models, name) != NULL
        ? slice_of(models_bucket(models, name))
        : word;
}

bool
pool_serves(const struct pool *pool, struct slice bucket)
{
    for (size_t i = 0; i < pool->served_count; i++) {
        if (slice_equal_text(bucket, pool->served[i]))
            return true;
    }
    return pool->served_count == 0;
}

static void
read_served(struct pool *pool, const struct models *models)
{
    struct slice rest = slice_of(pool->config->models);

    while (rest.len > 0 && pool->served_count < POOL_BUCKETS_MAX) {
        struct slice bucket = bucket_of_word(models, slice_split(&rest, ' '));

        if (bucket.len == 0 ||
            (pool->served_count > 0 && pool_serves(pool, bucket)))
            continue;
        text_copy(
            pool->served[pool->served_count++], JOB_BUCKET_MAX + 1, bucket);
    }
}

void
pool_describe(const struct pool *pool, struct queue_pool *out)
{
    struct buffer buckets = {NULL, 0, 0};

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < pool->served_count; i++) {
        buffer_append_text(&buckets, i > 0 ? " " : "");
        buffer_append_text(&buckets, pool->served[i]);
    }
    (void)text_copy(out->name, sizeof(out->name), slice_of(pool_name(pool)));
    (void)text_copy(
        out->base_url, sizeof(out->base_url), slice_of(pool->config->base_url));
    (void)text_copy(out->buckets, sizeof(out->buckets), buffer_slice(&buckets));
    out->weight = pool->config->weight;
    buffer_clear(&buckets);
}

/* --- buckets ------------------------------------------------------------ */

static void
add_to_governor(struct pool *pool, const struct worker_bucket *bucket)
{
    const struct config_pool *config = pool->config;
    const struct governor_limits limits = {
        .per_min =
            {
                [QUOTA_REQUESTS] = config->limit_rpm,
                [QUOTA_INPUT] = config->limit_itpm,
                [QUOTA_OUTPUT] = config->limit_otpm,
            },
        .percent = (unsigned)config->limit_percent,
    };

    governor_add(pool->governor, bucket->scope, &limits, TOKEN_FACTOR);
    if (pool->pace != NULL)
        pace_soon(pool->pace);
}

struct worker_bucket *
pool_bucket(struct pool *pool, struct slice name)
{
    struct worker_bucket *bucket;

    for (size_t i = 0; i < pool->bucket_count; i++) {
        if (slice_equal_text(name, pool->buckets[i]->name))
            return pool->buckets[i];
    }
    /* Buckets come from the model table, which is shorter than this. */
    if (pool->bucket_count == POOL_BUCKETS_MAX)
        return pool->buckets[POOL_BUCKETS_MAX - 1];
    bucket = memory_zalloc(1, sizeof(*bucket));
    pool->buckets[pool->bucket_count++] = bucket;
    bucket->pool = pool;
    text_copy(bucket->name, sizeof(bucket->name), name);
    (void)snprintf(bucket->scope, sizeof(bucket->scope), "%s/%s",
        pool_name(pool), bucket->name);
    (void)snprintf(bucket->hold_scope, sizeof(bucket->hold_scope),
        "bucket:%s/%s", pool_name(pool), bucket->name);
    breaker_init(&bucket->breaker);
    add_to_governor(pool, bucket);
    return bucket;
}

/* --- beginning and end ---------------------------------------------------- */

struct pool *
pool_new(const struct pool_options *options, char *error, size_t error_size)
{
    struct pool *pool = memory_zalloc(1, sizeof(*pool));

    pool->config = options->config;
    pool->governor = options->governor;
    pool->pace = options->pace;
    (void)snprintf(
        pool->hold_scope, sizeof(pool->hold_scope), "pool:%s", pool_name(pool));
    read_served(pool, options->models);
    pool->upstream =
        upstream_new(options->config, options->simulated, error, error_size);
    if (pool->upstream == NULL) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

void
pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->bucket_count; i++)
        memory_free(pool->buckets[i]);
    upstream_free(pool->upstream);
    memory_free(pool);
}
