#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/service/metrics.h"

static const struct metric_family counter = {.name = "t_things_total",
    .help = "Things.",
    .kind = METRIC_COUNTER,
    .labels = {"a", "b"}};
static const struct metric_family gauge = {
    .name = "t_level", .help = "A level.", .kind = METRIC_GAUGE};
static const struct metric_family histogram = {.name = "t_seconds",
    .help = "Times.",
    .kind = METRIC_HISTOGRAM,
    .labels = {"route"}};

static int
with_metrics(void **state)
{
    *state = metrics_new();
    return 0;
}

static int
without_metrics(void **state)
{
    metrics_free(*state);
    return 0;
}

static void
shows(const struct metrics *metrics, const char *text)
{
    struct buffer out = {0};
    metrics_render(metrics, &out);
    if (strstr(out.data, text) == NULL)
        fail_msg("%s lacks %s", out.data, text);
    buffer_clear(&out);
}

static void
renders_counters_with_labels(void **state)
{
    struct buffer out = {0};
    const char *one[] = {"x", "y"};
    const char *other[] = {"x", "z"};
    metrics_add(*state, &counter, one, 1);
    metrics_add(*state, &counter, other, 2.5);
    metrics_add(*state, &counter, one, 3);
    metrics_render(*state, &out);
    assert_string_equal(out.data,
        "# HELP t_things_total Things.\n"
        "# TYPE t_things_total counter\n"
        "t_things_total{a=\"x\",b=\"y\"} 4\n"
        "t_things_total{a=\"x\",b=\"z\"} 2.5\n");
    buffer_clear(&out);
}

static void
escapes_label_values(void **state)
{
    const char *values[] = {"a\"b\\c\nd", ""};
    metrics_add(*state, &counter, values, 1);
    shows(*state, "t_things_total{a=\"a\\\"b\\\\c\\nd\",b=\"\"} 1\n");
}

static void
tells_label_values_apart(void **state)
{
    const char *one[] = {"ab", "c"};
    const char *other[] = {"a", "bc"};
    metrics_add(*state, &counter, one, 1);
    metrics_add(*state, &counter, other, 1);
    shows(*state, "{a=\"ab\",b=\"c\"} 1\n");
    shows(*state, "{a=\"a\",b=\"bc\"} 1\n");
}

static void
sets_and_forgets_gauges(void **state)
{
    struct buffer out = {0};
    metrics_set(*state, &gauge, NULL, 7);
    metrics_set(*state, &gauge, NULL, -1);
    shows(*state, "\nt_level -1\n");
    metrics_reset(*state, &gauge);
    metrics_render(*state, &out);
    assert_int_equal(out.len, 0);
    metrics_set(*state, &gauge, NULL, 3e15);
    shows(*state, "t_level 3e+15\n");
    buffer_clear(&out);
}

static void
counts_times_in_buckets(void **state)
{
    const char *route[] = {"/x"};
    metrics_observe(*state, &histogram, route, 0.005);
    metrics_observe(*state, &histogram, route, 0.3);
    metrics_observe(*state, &histogram, route, 100000);
    shows(*state, "# TYPE t_seconds histogram\n");
    shows(*state, "t_seconds_bucket{route=\"/x\",le=\"0.005\"} 1\n");
    shows(*state, "t_seconds_bucket{route=\"/x\",le=\"0.25\"} 1\n");
    shows(*state, "t_seconds_bucket{route=\"/x\",le=\"0.5\"} 2\n");
    shows(*state, "t_seconds_bucket{route=\"/x\",le=\"86400\"} 2\n");
    shows(*state, "t_seconds_bucket{route=\"/x\",le=\"+Inf\"} 3\n");
    shows(*state, "t_seconds_sum{route=\"/x\"} 100000.305\n");
    shows(*state, "t_seconds_count{route=\"/x\"} 3\n");
}

static void
counts_beyond_a_thousand_series_as_other(void **state)
{
    struct buffer out = {0};
    unsigned lines = 0;
    for (int i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        const char *values[] = {name, "v"};
        metrics_add(*state, &counter, values, 1);
    }
    shows(*state, "{a=\"n999\",b=\"v\"} 1\n");
    shows(*state, "{a=\"other\",b=\"other\"} 2000\n");
    metrics_render(*state, &out);
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    assert_int_equal(lines, 2 + 1000 + 1);
    buffer_clear(&out);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, with_metrics, without_metrics)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(renders_counters_with_labels),
        TEST(escapes_label_values),
        TEST(tells_label_values_apart),
        TEST(sets_and_forgets_gauges),
        TEST(counts_times_in_buckets),
        TEST(counts_beyond_a_thousand_series_as_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
