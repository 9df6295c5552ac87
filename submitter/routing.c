#include "submitter/routing.h"

#include <string.h>

#include "common/base/text.h"

/* Whether a list of words, NULL for any, has this one. */
static bool
lists(const char *words, const char *word)
{
    struct slice rest = slice_of(words != NULL ? words : "");

    if (words == NULL)
        return true;
    while (rest.len > 0) {
        if (slice_equal_text(slice_split(&rest, ' '), word))
            return true;
    }
    return false;
}

static bool
lists_a_tag(const char *words, const struct job_meta *meta)
{
    for (unsigned i = 0; i < meta->tag_count; i++) {
        if (lists(words, meta->tags[i]))
            return true;
    }
    return words == NULL;
}

static bool
fits(const struct config_route *route, const struct job_meta *meta,
    double tokens)
{
    return (lists(route->from, meta->model) ||
               lists(route->from, meta->bucket)) &&
        lists(route->lanes, job_lane_name(meta->lane)) &&
        lists_a_tag(route->tags, meta) &&
        tokens >= (double)route->min_prompt_tokens &&
        (route->max_prompt_tokens == 0 ||
            tokens <= (double)route->max_prompt_tokens);
}

const char *
routing_model(
    const struct config *config, const struct job_meta *meta, double tokens)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = config->routes[i];

        if (fits(route, meta, tokens))
            return strcmp(route->to, meta->model) == 0 ? NULL : route->to;
    }
    return NULL;
}
