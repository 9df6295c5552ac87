/* [route NAME] sections: which jobs go to another model. */

#include <string.h>

#include "common/job/options.h"
#include "common/service/config_options.h"

#define NO_LIMIT UINT64_C(1000000000000000)
#define WORDS_MAX 64

static const char *
check_model(struct slice value)
{
    return job_model_is_valid(value) ? NULL : "a model's name";
}

static bool
is_lane(struct slice word)
{
    enum job_lane lane;

    return job_lane_parse(word, &lane) == 0;
}

static bool
is_tag(struct slice word)
{
    return word.len <= JOB_TAG_MAX;
}

static const char *
check_words(
    struct slice value, bool (*is_good)(struct slice word), const char *wanted)
{
    unsigned count = 0;

    while (value.len > 0) {
        struct slice word = slice_split(&value, ' ');

        if (word.len > 0 && (!is_good(word) || ++count > WORDS_MAX))
            return wanted;
    }
    return NULL;
}

static const char *
check_models(struct slice value)
{
    return check_words(value, job_model_is_valid,
        "names of models or model buckets, separated by blanks");
}

static const char *
check_lanes(struct slice value)
{
    return check_words(value, is_lane, "interactive, standard or bulk");
}

static const char *
check_tags(struct slice value)
{
    return check_words(value, is_tag, "tags, separated by blanks");
}

#define AT(member) offsetof(struct config_route, member)
#define TEXT(n, member, test, text) \
    { \
        .name = n, .kind = CONFIG_TEXT, .offset = AT(member), .check = test, \
        .help = text \
    }

/* clang-format off */
const struct config_option config_route_options[] = {
    TEXT("to", to, check_model, "the model that these jobs go to"),
    TEXT("from", from, check_models,
        "only jobs that ask for one of these models or model buckets; unset: "
        "any"),
    TEXT("lanes", lanes, check_lanes,
        "only jobs of these lanes; unset: all"),
    TEXT("tags", tags, check_tags,
        "only jobs with at least one of these tags; unset: all"),
    {.name = "min_prompt_tokens", .kind = CONFIG_COUNT,
        .offset = AT(min_prompt_tokens), .fallback = "0", .max = NO_LIMIT,
        .help = "only prompts of about so many tokens or more, estimated from "
                "the request's text"},
    {.name = "max_prompt_tokens", .kind = CONFIG_COUNT,
        .offset = AT(max_prompt_tokens), .fallback = "0", .max = NO_LIMIT,
        .help = "only prompts of about so many tokens or less; 0: any"},
    {.name = NULL},
};
/* clang-format on */

_Static_assert(sizeof(config_route_options) / sizeof(config_route_options[0]) <=
        CONFIG_ROUTE_OPTIONS_MAX,
    "origins have a place for every option");

struct config_place
config_place_of_route(struct config_route *route)
{
    void *memory = route;
    struct config_route_loaded *loaded = memory;

    return (struct config_place){
        route, config_route_options, loaded->origin, loaded->line};
}

struct config_route *
config_route_section(
    struct config *config, struct slice name, bool *is_new, const char **wanted)
{
    struct config_route_loaded *loaded;

    *is_new = false;
    *wanted = config_check_section_name(name);
    if (*wanted != NULL)
        return NULL;
    for (size_t i = 0; i < config->route_count; i++) {
        if (slice_equal_text(name, config->routes[i]->name))
            return config->routes[i];
    }
    if (config->route_count == CONFIG_ROUTES_MAX) {
        *wanted = "fewer routes: there can be 32";
        return NULL;
    }
    *is_new = true;
    loaded = memory_zalloc(1, sizeof(*loaded));
    loaded->route.name = memory_dup_bytes(name.data, name.len);
    config->routes[config->route_count++] = &loaded->route;
    return &loaded->route;
}

void
config_routes_check(
    const struct config *config, const char *path, struct buffer *errors)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = config->routes[i];

        if (route->to == NULL)
            buffer_printf(
                errors, "%s: [route %s]: to is missing\n", path, route->name);
        else if (route->max_prompt_tokens > 0 &&
            route->max_prompt_tokens < route->min_prompt_tokens)
            buffer_printf(errors,
                "%s: [route %s]: max_prompt_tokens is less than "
                "min_prompt_tokens\n",
                path, route->name);
    }
}

void
config_routes_free(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        struct config_route *route = config->routes[i];

        for (const struct config_option *option = config_route_options;
             option->name != NULL; option++) {
            if (config_kind_is_text(option->kind))
                memory_free(*config_text_at(route, option));
        }
        memory_free(route->name);
        memory_free(route);
    }
    config->route_count = 0;
}
