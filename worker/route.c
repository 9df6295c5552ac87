#include "worker/route.h"

#include <string.h>

#include "common/service/config.h"
#include "worker/governor.h"

/* What of a scope's room is reckoned when nothing is left: the pools then
 * still differ by weight and calls. */
#define ROOM_MIN 0.01

/* What the pools said of one model. */
struct survey {
    unsigned served;
    unsigned broken;
    unsigned limited;
    unsigned open; /* but for quota */
    double best_score;
    struct route *route;
};

/* What a pool says of a bucket; *scope is what a probe would lift. */
static enum holds_gate
gate_of(const struct route_question *question, const struct pool *pool,
    const struct worker_bucket *bucket, const char **scope)
{
    enum holds_gate outer =
        holds_gate(question->holds, pool->hold_scope, question->now_ms);
    enum holds_gate inner =
        holds_gate(question->holds, bucket->hold_scope, question->now_ms);

    *scope = pool->hold_scope;
    if (outer == HOLDS_SHUT || outer == HOLDS_BROKEN)
        return HOLDS_SHUT;
    if (outer == HOLDS_PROBE)
        return inner == HOLDS_OPEN ? HOLDS_PROBE : inner;
    *scope = bucket->hold_scope;
    return inner;
}

static unsigned
room(const struct route_question *question, const struct worker_bucket *bucket,
    unsigned want)
{
    int64_t wait_ms;

    return governor_room(question->governor, bucket->scope,
        question->queue_name, question->now_ms, want, &wait_ms);
}

/* More is better. Calls in flight share out what has no limits. */
static double
score_of(
    const struct route_question *question, const struct worker_bucket *bucket)
{
    struct governor_load load =
        governor_load(question->governor, bucket->scope, question->now_ms);

    return (double)bucket->pool->config->weight * (load.free + ROOM_MIN) /
        (1.0 + load.running + bucket->asked);
}

static void
weigh(const struct route_question *question, struct worker_bucket *bucket,
    struct survey *survey)
{
    unsigned count = room(question, bucket, question->want);
    double score;

    survey->open++;
    if (count == 0)
        return;
    score = score_of(question, bucket);
    if (survey->best_score >= score)
        return;
    survey->best_score = score;
    survey->route->answer = ROUTE_GO;
    survey->route->bucket = bucket;
    survey->route->count = count;
}

/* True when there is something to probe and this worker may. */
static bool
try_probe(const struct route_question *question, struct worker_bucket *bucket,
    const char *scope, struct survey *survey)
{
    if (!question->may_probe(question->arg, bucket->pool, scope)) {
        if (scope == bucket->hold_scope)
            survey->broken++;
        return false;
    }
    if (room(question, bucket, 1) == 0) {
        survey->open++;
        return false;
    }
    survey->route->answer = ROUTE_PROBE;
    survey->route->bucket = bucket;
    survey->route->count = 1;
    survey->route->probe_scope = scope;
    return true;
}

/* Asks every pool about one model; true when the answer is a probe. */
static bool
look_around(const struct route_question *question, struct slice name,
    struct survey *survey)
{
    for (size_t i = 0; i < question->pool_count; i++) {
        struct pool *pool = question->pools[i];
        struct worker_bucket *bucket;
        const char *scope;

        if (!pool_serves(pool, name))
            continue;
        survey->served++;
        bucket = pool_bucket(pool, name);
        switch (gate_of(question, pool, bucket, &scope)) {
        case HOLDS_OPEN: weigh(question, bucket, survey); break;
        case HOLDS_SHUT:
            if (scope == bucket->hold_scope)
                survey->limited++;
            break;
        case HOLDS_BROKEN: survey->broken++; break;
        case HOLDS_PROBE:
            if (try_probe(question, bucket, scope, survey))
                return true;
            break;
        }
    }
    return false;
}

/* Whether the next model of the chain may be looked at. */
static bool
goes_on(const struct survey *survey, bool around_limits)
{
    if (around_limits)
        return survey->open == 0;
    return survey->open == 0 && survey->limited == 0 &&
        (survey->broken > 0 || survey->served == 0);
}

/* Cuts the mark of a chain that gets around limits. */
static bool
cut_limits_mark(struct slice *chain)
{
    if (chain->len == 0 || chain->data[chain->len - 1] != JOB_CHAIN_LIMITS)
        return false;
    chain->len--;
    return true;
}

void
route_choose(const struct route_question *question, struct route *route)
{
    struct slice rest = slice_of(question->queue_name);
    struct slice lane = slice_split(&rest, ':');
    bool around_limits = cut_limits_mark(&rest);

    memset(route, 0, sizeof(*route));
    route->answer = ROUTE_STOP;
    if (holds_lane_is_shut(question->holds, lane, question->now_ms))
        return;
    while (rest.len > 0) {
        struct survey survey = {.best_score = -1, .route = route};
        struct slice name = slice_split(&rest, '>');

        if (look_around(question, name, &survey) || route->bucket != NULL)
            return;
        if (survey.open > 0)
            route->answer = ROUTE_WAIT;
        if (!goes_on(&survey, around_limits))
            return;
        route->fallback++;
    }
}
