#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "common/service/config.h"
#include "common/service/models.h"
#include "worker/governor.h"
#include "worker/route.h"

#define POOLS 2
#define NOW_MS 100000

/* Two pools, "p" and "q"; nothing has limits. */
struct rig {
    struct models *models;
    struct holds *holds;
    struct governor *governor;
    struct config_pool config[POOLS];
    struct pool *pools[POOLS];
    bool no_probes;
};

static bool
may_probe(void *arg, const struct pool *pool, const char *scope)
{
    const struct rig *rig = arg;

    (void)pool;
    assert_non_null(scope);
    return !rig->no_probes;
}

/* models: what each serves; NULL: all. */
static void
rig_open(struct rig *rig, const char *p_models, const char *q_models)
{
    static char names[POOLS][2] = {"p", "q"};
    static char url[] = "http://127.0.0.1:1";

    memset(rig, 0, sizeof(*rig));
    rig->models = models_load();
    rig->holds = holds_new();
    rig->governor = governor_new();
    rig->config[0].models = (char *)(uintptr_t)p_models;
    rig->config[1].models = (char *)(uintptr_t)q_models;
    for (int i = 0; i < POOLS; i++) {
        const struct pool_options options = {.config = &rig->config[i],
            .models = rig->models,
            .governor = rig->governor,
            .simulated = true};
        char error[100];

        rig->config[i].name = names[i];
        rig->config[i].base_url = url;
        rig->config[i].weight = 1;
        rig->config[i].limit_percent = 100;
        rig->pools[i] = pool_new(&options, error, sizeof(error));
        assert_non_null(rig->pools[i]);
    }
}

static void
rig_close(struct rig *rig)
{
    for (int i = 0; i < POOLS; i++)
        pool_free(rig->pools[i]);
    governor_free(rig->governor);
    holds_free(rig->holds);
    models_free(rig->models);
}

/* The shared state of a scope: so much of a minute's requests is left. */
static void
tell(struct rig *rig, int pool, const char *bucket, int64_t per_min,
    int64_t level)
{
    const struct queue_quota_state state = {
        .known = {true, true, true},
        .per_min = {per_min, 0, 0},
        .level = {level, 0, 0},
    };

    governor_reported(rig->governor,
        pool_bucket(rig->pools[pool], slice_of(bucket))->scope, &state, NOW_MS);
}

static struct route
ask(struct rig *rig, const char *queue)
{
    const struct route_question question = {
        .holds = rig->holds,
        .governor = rig->governor,
        .pools = rig->pools,
        .pool_count = POOLS,
        .queue_name = queue,
        .now_ms = NOW_MS,
        .want = 10,
        .may_probe = may_probe,
        .arg = rig,
    };
    struct route route;

    route_choose(&question, &route);
    return route;
}

static void
set_all_known(struct rig *rig)
{
    static const char *const buckets[] = {"a", "b", "c"};

    for (int pool = 0; pool < POOLS; pool++) {
        for (int i = 0; i < 3; i++)
            tell(rig, pool, buckets[i], 0, 0);
    }
}

static const struct route_case {
    const char *name;
    const char *holds[3]; /* "SCOPE KIND MS", from NOW_MS; negative: over */
    const char *queue;
    enum route_answer answer;
    const char *scope; /* "POOL/BUCKET" or NULL */
    unsigned fallback;
    const char *probe;
} cases[] = {
    {"nothing is held", {NULL}, "bulk:a", ROUTE_GO, "p/a", 0, NULL},
    {"a paused pool's work goes to the other", {"pool:p paused 9"}, "bulk:a",
        ROUTE_GO, "q/a", 0, NULL},
    {"so does what a breaker stops", {"bucket:p/a open 9"}, "bulk:a>b",
        ROUTE_GO, "q/a", 0, NULL},
    {"and a rate limit", {"bucket:p/a limited 9"}, "bulk:a", ROUTE_GO, "q/a", 0,
        NULL},
    {"and what was stopped by hand", {"pool:p stopped 9"}, "bulk:a", ROUTE_GO,
        "q/a", 0, NULL},
    {"an overload is got around",
        {"bucket:p/a overloaded 9", "bucket:q/a open 9"}, "bulk:a>b", ROUTE_GO,
        "p/b", 1, NULL},
    {"until its time is over, without a probe", {"bucket:p/a overloaded -1"},
        "bulk:a>b", ROUTE_GO, "p/a", 0, NULL},
    {"so is a rate limit, where that was asked for",
        {"bucket:p/a limited 9", "bucket:q/a limited 9"}, "bulk:a>b+", ROUTE_GO,
        "p/b", 1, NULL},
    {"but not while one pool has no limit", {"bucket:p/a limited 9"},
        "bulk:a>b+", ROUTE_GO, "q/a", 0, NULL},
    {"the mark is no bucket",
        {"bucket:p/a open 9", "bucket:q/a open 9", "bucket:p/b open 9"},
        "bulk:a>b+", ROUTE_GO, "q/b", 1, NULL},
    {"nor without a chain", {NULL}, "bulk:a+", ROUTE_GO, "p/a", 0, NULL},
    {"both are paused", {"pool:p paused 9", "pool:q paused 9"}, "bulk:a>b",
        ROUTE_STOP, NULL, 0, NULL},
    {"both are broken", {"bucket:p/a open 9", "bucket:q/a open 9"}, "bulk:a",
        ROUTE_STOP, NULL, 0, NULL},
    {"then the fallback goes", {"bucket:p/a open 9", "bucket:q/a open 9"},
        "bulk:a>b", ROUTE_GO, "p/b", 1, NULL},
    {"the second fallback too",
        {"bucket:p/a open 9", "bucket:q/a open 9", "bucket:p/b open 9"},
        "bulk:a>b>c", ROUTE_GO, "q/b", 1, NULL},
    {"one broken, one limited: no fallback",
        {"bucket:p/a open 9", "bucket:q/a limited 9"}, "bulk:a>b", ROUTE_STOP,
        NULL, 0, NULL},
    {"one broken, one paused: the fallback goes",
        {"bucket:p/a open 9", "pool:q paused 9"}, "bulk:a>b", ROUTE_GO, "p/b",
        1, NULL},
    {"a pause that is over is probed before others are used",
        {"pool:p paused -1"}, "bulk:a", ROUTE_PROBE, "p/a", 0, "pool:p"},
    {"so is a breaker", {"bucket:q/a open -1"}, "bulk:a", ROUTE_PROBE, "q/a", 0,
        "bucket:q/a"},
    {"a probe of the pool does not pass an open breaker",
        {"pool:p paused -1", "bucket:p/a open 9", "pool:q stopped 9"}, "bulk:a",
        ROUTE_STOP, NULL, 0, NULL},
    {"a lane that is stopped", {"lane:bulk stopped 9"}, "bulk:a", ROUTE_STOP,
        NULL, 0, NULL},
    {"stops no other lane", {"lane:bulk stopped 9"}, "standard:a", ROUTE_GO,
        "p/a", 0, NULL},
};

static void
set_hold(struct rig *rig, const char *text)
{
    struct slice rest = slice_of(text);
    char scope[64];
    char kind[16];
    int64_t ms;

    text_copy(scope, sizeof(scope), slice_split(&rest, ' '));
    text_copy(kind, sizeof(kind), slice_split(&rest, ' '));
    ms = rest.data[0] == '-' ? -1 : 9;
    holds_set(rig->holds, scope, kind, 1000, NOW_MS - 1000 + ms);
}

static void
work_goes_where_it_may(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct route_case *c = &cases[i];
        struct rig rig;
        struct route route;

        rig_open(&rig, NULL, NULL);
        set_all_known(&rig);
        for (int h = 0; h < 3 && c->holds[h] != NULL; h++)
            set_hold(&rig, c->holds[h]);
        route = ask(&rig, c->queue);
        if (route.answer != c->answer)
            print_message("case: %s\n", c->name);
        assert_int_equal(route.answer, c->answer);
        if (c->scope != NULL) {
            assert_string_equal(route.bucket->scope, c->scope);
            assert_int_equal(route.fallback, c->fallback);
        }
        if (c->probe != NULL)
            assert_string_equal(route.probe_scope, c->probe);
        else
            assert_null(route.probe_scope);
        rig_close(&rig);
    }
}

static void
while_one_is_probed_the_other_works(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, NULL, NULL);
    set_all_known(&rig);
    rig.no_probes = true;
    holds_set(rig.holds, "pool:p", "paused", 1, NOW_MS - 10);
    assert_string_equal(ask(&rig, "bulk:a").bucket->scope, "q/a");
    holds_set(rig.holds, "pool:q", "paused", 1, NOW_MS - 10);
    assert_int_equal(ask(&rig, "bulk:a>b").answer, ROUTE_STOP);
    rig_close(&rig);
}

static void
a_pool_serves_what_it_says(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, "claude-opus-5-5 x", "sonnet-5-5");
    tell(&rig, 0, "opus-5-5", 0, 0);
    tell(&rig, 0, "x", 0, 0);
    tell(&rig, 1, "sonnet-5-5", 0, 0);
    assert_string_equal(ask(&rig, "bulk:opus-5-5").bucket->scope, "p/opus-5-5");
    assert_string_equal(
        ask(&rig, "bulk:sonnet-5-5").bucket->scope, "q/sonnet-5-5");
    assert_int_equal(ask(&rig, "bulk:other").answer, ROUTE_STOP);
    /* Nobody has the first: the fallback was asked for. */
    assert_string_equal(ask(&rig, "bulk:other>x").bucket->scope, "p/x");
    assert_int_equal(ask(&rig, "bulk:other>x").fallback, 1);
    rig_close(&rig);
}

static void
the_pool_with_the_most_room_is_chosen(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, NULL, NULL);
    tell(&rig, 0, "a", 6000, 10);
    tell(&rig, 1, "a", 600, 5);
    assert_string_equal(ask(&rig, "bulk:a").bucket->scope, "q/a");
    tell(&rig, 0, "a", 6000, 60);
    tell(&rig, 1, "a", 600, 1);
    assert_string_equal(ask(&rig, "bulk:a").bucket->scope, "p/a");
    /* An empty one is still asked when the other waits. */
    tell(&rig, 1, "a", 600, -100);
    governor_lacking(rig.governor, "p/a", "bulk:a", NOW_MS, 1000);
    assert_string_equal(ask(&rig, "bulk:a").bucket->scope, "q/a");
    governor_lacking(rig.governor, "q/a", "bulk:a", NOW_MS, 1000);
    assert_int_equal(ask(&rig, "bulk:a").answer, ROUTE_WAIT);
    /* Quota that is missing is no reason for a fallback. */
    governor_lacking(rig.governor, "p/a", "bulk:a>b", NOW_MS, 1000);
    governor_lacking(rig.governor, "q/a", "bulk:a>b", NOW_MS, 1000);
    assert_int_equal(ask(&rig, "bulk:a>b").answer, ROUTE_WAIT);
    rig_close(&rig);
}

static void
without_limits_the_weights_share_it_out(void **state)
{
    struct rig rig;
    unsigned given[POOLS] = {0, 0};

    (void)state;
    rig_open(&rig, NULL, NULL);
    set_all_known(&rig);
    rig.config[1].weight = 3;
    for (int i = 0; i < 400; i++) {
        struct route route = ask(&rig, "bulk:a");

        assert_int_equal(route.answer, ROUTE_GO);
        route.bucket->asked++;
        given[route.bucket->pool == rig.pools[1]]++;
    }
    assert_in_range(given[0], 97, 103);
    assert_in_range(given[1], 297, 303);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_goes_where_it_may),
        cmocka_unit_test(while_one_is_probed_the_other_works),
        cmocka_unit_test(a_pool_serves_what_it_says),
        cmocka_unit_test(the_pool_with_the_most_room_is_chosen),
        cmocka_unit_test(without_limits_the_weights_share_it_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
