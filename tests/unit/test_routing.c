#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/text.h"
#include "submitter/routing.h"

/* The texts of settings are not const. */
#define T(text) ((char[]){text})

#define SONNET "claude-sonnet-5-5"

static struct job_meta
job(const char *model, const char *bucket, enum job_lane lane, const char *tag)
{
    struct job_meta meta;

    memset(&meta, 0, sizeof(meta));
    (void)text_copy(meta.model, sizeof(meta.model), slice_of(model));
    (void)text_copy(meta.bucket, sizeof(meta.bucket), slice_of(bucket));
    meta.lane = lane;
    if (tag != NULL)
        job_meta_add_tag(&meta, slice_of(tag));
    return meta;
}

static void
everything_that_is_set_must_fit(void **state)
{
    const struct {
        struct config_route route;
        bool fits;
    } cases[] = {
        {{.to = T("h")}, true}, {{.to = T("h"), .from = T("a " SONNET)}, true},
        {{.to = T("h"), .from = T("sonnet-5-5")}, true},
        {{.to = T("h"), .from = T("sonnet")}, false},
        {{.to = T("h"), .from = T("")}, false},
        {{.to = T("h"), .lanes = T("bulk standard")}, true},
        {{.to = T("h"), .lanes = T("interactive")}, false},
        {{.to = T("h"), .tags = T("x nightly")}, true},
        {{.to = T("h"), .tags = T("night")}, false},
        {{.to = T("h"), .max_prompt_tokens = 500}, true},
        {{.to = T("h"), .max_prompt_tokens = 499}, false},
        {{.to = T("h"), .min_prompt_tokens = 500}, true},
        {{.to = T("h"), .min_prompt_tokens = 501}, false},
        {{.to = T("h"), .from = T(SONNET), .lanes = T("bulk")}, false},
        {{.to = T(SONNET)}, false}, /* it goes there anyway */
    };
    struct job_meta meta =
        job(SONNET, "sonnet-5-5", JOB_LANE_STANDARD, "nightly");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_route route = cases[i].route;
        struct config config = {.route_count = 1, .routes = {&route}};
        const char *to = routing_model(&config, &meta, 500);

        if ((to != NULL) != cases[i].fits)
            fail_msg("case %zu", i);
    }
    job_meta_clear(&meta);
}

static void
the_first_route_that_fits_decides(void **state)
{
    struct config_route bulk = {.to = T("b"), .lanes = T("bulk")};
    struct config_route stay = {.to = T(SONNET), .tags = T("keep")};
    struct config_route rest = {.to = T("r")};
    struct config config = {.route_count = 3, .routes = {&bulk, &stay, &rest}};
    struct job_meta meta = job(SONNET, "s", JOB_LANE_BULK, "keep");

    (void)state;
    assert_string_equal(routing_model(&config, &meta, 1), "b");
    meta.lane = JOB_LANE_STANDARD;
    assert_null(routing_model(&config, &meta, 1));
    meta.tag_count = 0;
    assert_string_equal(routing_model(&config, &meta, 1), "r");
    config.route_count = 0;
    assert_null(routing_model(&config, &meta, 1));
    job_meta_clear(&meta);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_set_must_fit),
        cmocka_unit_test(the_first_route_that_fits_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
