/* [pool NAME] sections, and the pool that the other settings make. */

#include <string.h>

#include "common/job/options.h"
#include "common/service/config_options.h"

#define NO_LIMIT UINT64_C(1000000000000000)
#define WORDS_MAX 64
#define VERSION_MAX 40
#define WANTED_NAME "a name of letters, digits, - and _, at most 40"

/* --- the table ------------------------------------------------------------ */

static const char *
check_auth(struct slice value)
{
    return slice_equal_text(value, "x-api-key") ||
            slice_equal_text(value, "bearer")
        ? NULL
        : "x-api-key or bearer";
}

static const char *
check_version(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return "a version such as 2023-06-01";
    }
    return value.len <= VERSION_MAX ? NULL : "a version such as 2023-06-01";
}

static const char *
check_models(struct slice value)
{
    unsigned count = 0;
    while (value.len > 0) {
        struct slice word = slice_split(&value, ' ');
        if (word.len == 0)
            continue;
        if (!job_model_is_valid(word))
            return "names of models or model buckets, separated by blanks";
        count++;
    }
    return count <= WORDS_MAX ? NULL : "at most 64 models";
}

#define AT(member) offsetof(struct config_pool, member)
#define NUMBER(n, member, otherwise, low, high, text) \
    { \
        .name = n, .kind = CONFIG_COUNT, .offset = AT(member), \
        .fallback = otherwise, .min = low, .max = high, .help = text \
    }
#define TEXT(n, member, otherwise, test, text) \
    { \
        .name = n, .kind = CONFIG_TEXT, .offset = AT(member), \
        .fallback = otherwise, .check = test, .help = text \
    }

/* clang-format off */
const struct config_option config_pool_options[] = {
    TEXT("base_url", base_url, "https://api.anthropic.com",
        config_check_web_url,
        "where the pool's API is: Claude's, or one that is compatible"),
    {.name = "api_key_file", .kind = CONFIG_PATH, .offset = AT(api_key_file),
        .help = "file with the pool's key; read again when it changes"},
    TEXT("auth", auth, "x-api-key", check_auth,
        "how the key is sent: x-api-key, or bearer (Authorization: Bearer)"),
    TEXT("version", version, NULL, check_version,
        "anthropic-version for jobs that name none"),
    TEXT("models", models, NULL, check_models,
        "models or model buckets that it serves, separated by blanks; unset: "
        "all"),
    NUMBER("weight", weight, "1", 1, 1000,
        "share of the calls, where no limit decides"),
    NUMBER("limit_rpm", limit_rpm, "0", 0, NO_LIMIT,
        "requests per minute and model bucket; 0: learnt from the answers"),
    NUMBER("limit_itpm", limit_itpm, "0", 0, NO_LIMIT,
        "input tokens per minute and model bucket"),
    NUMBER("limit_otpm", limit_otpm, "0", 0, NO_LIMIT,
        "output tokens per minute and model bucket"),
    NUMBER("limit_percent", limit_percent, "99", 1, 100,
        "how much of the limits is used; the rest is for others"),
    {.name = NULL},
};
/* clang-format on */

_Static_assert(sizeof(config_pool_options) / sizeof(config_pool_options[0]) <=
        CONFIG_POOL_OPTIONS_MAX,
    "origins have a place for every option");

struct config_place
config_place_of_pool(struct config_pool *pool)
{
    void *memory = pool;
    struct config_pool_loaded *loaded = memory;
    return (struct config_place){
        pool, config_pool_options, loaded->origin, loaded->line};
}

/* --- sections ------------------------------------------------------------- */

static struct config_pool *
pool_new(struct config *config, struct slice name)
{
    struct config_pool_loaded *loaded = memory_zalloc(1, sizeof(*loaded));

    loaded->pool.name = memory_dup_bytes(name.data, name.len);
    config->pools[config->pool_count++] = &loaded->pool;
    return &loaded->pool;
}

const char *
config_check_section_name(struct slice name)
{
    if (name.len == 0 || name.len > CONFIG_POOL_NAME_MAX)
        return WANTED_NAME;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (c != '-' && c != '_' && (c < '0' || c > '9') &&
            (c < 'A' || c > 'Z') && (c < 'a' || c > 'z'))
            return WANTED_NAME;
    }
    return NULL;
}

/* The name becomes a part of Redis's keys, of labels and of paths. */
static const char *
check_name(struct slice name)
{
    if (config_check_section_name(name) != NULL)
        return "pool and " WANTED_NAME;
    if (slice_equal_text(name, CONFIG_POOL_DEFAULT))
        return "another name: the settings outside of sections are the pool "
               "default";
    return NULL;
}

struct config_pool *
config_pool_section(
    struct config *config, struct slice name, bool *is_new, const char **wanted)
{
    *is_new = false;
    *wanted = check_name(name);
    if (*wanted != NULL)
        return NULL;
    for (size_t i = 0; i < config->pool_count; i++) {
        if (slice_equal_text(name, config->pools[i]->name))
            return config->pools[i];
    }
    if (config->pool_count == CONFIG_POOLS_MAX - 1) {
        *wanted = "fewer pools: there can be 31";
        return NULL;
    }
    *is_new = true;
    return pool_new(config, name);
}

/* --- the pool of the other settings ------------------------------------- */

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

static bool
is_base_url_given(const struct config *config)
{
    const void *memory = config;
    const struct config_loaded *loaded = memory;
    size_t i = 0;

    while (config_options[i].offset != offsetof(struct config, base_url))
        i++;
    return loaded->origin[i] != CONFIG_ORIGIN_DEFAULT;
}

void
config_pools_complete(struct config *config)
{
    bool has_base_url = is_base_url_given(config);
    struct config_pool *pool;

    /* What is simulated must not meet somebody's real key. */
    if (config->simulated && has_base_url)
        config_pools_free(config);
    if (config->pool_count > 0 && config->api_key == NULL &&
        config->api_key_file == NULL && !has_base_url)
        return;
    pool = pool_new(config, slice_of(CONFIG_POOL_DEFAULT));
    pool->base_url = copy(config->base_url);
    pool->api_key = copy(config->api_key);
    pool->api_key_file = copy(config->api_key_file);
    pool->weight = 1;
    pool->limit_rpm = config->limit_rpm;
    pool->limit_itpm = config->limit_itpm;
    pool->limit_otpm = config->limit_otpm;
    pool->limit_percent = config->limit_percent;
}

static void
pool_free(struct config_pool *pool)
{
    const struct config_place place = config_place_of_pool(pool);

    for (const struct config_option *option = place.options;
         option->name != NULL; option++) {
        if (config_kind_is_text(option->kind))
            memory_free(*config_text_at(pool, option));
    }
    text_wipe(pool->api_key);
    memory_free(pool->name);
    memory_free(pool);
}

void
config_pools_free(struct config *config)
{
    for (size_t i = 0; i < config->pool_count; i++)
        pool_free(config->pools[i]);
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
