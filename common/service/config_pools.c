/* [pool NAME] sections, and the pool that the other settings make. */

#include <string.h>

#include "common/service/config_options.h"

static char *
copy(const char *text)
{
    return text != NULL ? memory_dup(text) : NULL;
}

static void
text_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    memory_free(text);
}

static struct config_pool *
default_pool(const struct config *config)
{
    struct config_pool *pool = memory_zalloc(1, sizeof(*pool));

    pool->name = memory_dup(CONFIG_POOL_DEFAULT);
    pool->base_url = copy(config->base_url);
    pool->api_key = copy(config->api_key);
    pool->api_key_file = copy(config->api_key_file);
    pool->weight = 1;
    pool->limit_rpm = config->limit_rpm;
    pool->limit_itpm = config->limit_itpm;
    pool->limit_otpm = config->limit_otpm;
    pool->limit_percent = config->limit_percent;
    return pool;
}

void
config_pools_complete(struct config *config)
{
    config->pools[config->pool_count++] = default_pool(config);
}

void
config_pools_free(struct config *config)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        struct config_pool *pool = config->pools[i];

        memory_free(pool->name);
        memory_free(pool->base_url);
        text_wipe(pool->api_key);
        memory_free(pool->api_key_file);
        memory_free(pool->version);
        memory_free(pool->models);
        memory_free(pool);
    }
    config->pool_count = 0;
}

void
config_forget_keys(struct config *config)
{
    text_wipe(config->api_key);
    config->api_key = NULL;
    for (size_t i = 0; i < config->pool_count; i++) {
        text_wipe(config->pools[i]->api_key);
        config->pools[i]->api_key = NULL;
    }
}
