#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/exposition.h"

static void
merges(const char *const *texts, const char *expected)
{
    static const char *const names[] = {"server", "worker-1", "worker-2"};
    struct exposition *exposition = exposition_new();
    struct buffer out = {0};
    for (size_t i = 0; texts[i] != NULL; i++)
        exposition_add(exposition, names[i], slice_of(texts[i]));
    exposition_render(exposition, &out);
    assert_string_equal(out.len > 0 ? out.data : "", expected);
    buffer_clear(&out);
    exposition_free(exposition);
}

static void
a_family_is_told_once_with_the_samples_of_all(void **state)
{
    static const char *const texts[] = {
        "# HELP a_total Things.\n# TYPE a_total counter\n"
        "a_total{k=\"x y\"} 1\na_total{k=\"}\"} 2\n"
        "# HELP b Bytes.\n# TYPE b gauge\nb 3\n",
        "# HELP c Only here.\n# TYPE c gauge\nc{} 5\n"
        "# HELP a_total Other words.\n# TYPE a_total counter\na_total 7\n",
        NULL};
    (void)state;
    merges(texts,
        "# HELP a_total Things.\n# TYPE a_total counter\n"
        "a_total{process=\"server\",k=\"x y\"} 1\n"
        "a_total{process=\"server\",k=\"}\"} 2\n"
        "a_total{process=\"worker-1\"} 7\n"
        "# HELP b Bytes.\n# TYPE b gauge\nb{process=\"server\"} 3\n"
        "# HELP c Only here.\n# TYPE c gauge\nc{process=\"worker-1\"} 5\n");
}

static void
histograms_stay_in_their_family(void **state)
{
    static const char *const texts[] = {
        "# HELP h_seconds Time.\n# TYPE h_seconds histogram\n"
        "h_seconds_bucket{le=\"1\"} 1\nh_seconds_sum 0.5\n"
        "h_seconds_count 1\n",
        NULL};
    (void)state;
    merges(texts,
        "# HELP h_seconds Time.\n# TYPE h_seconds histogram\n"
        "h_seconds_bucket{process=\"server\",le=\"1\"} 1\n"
        "h_seconds_sum{process=\"server\"} 0.5\n"
        "h_seconds_count{process=\"server\"} 1\n");
}

static void
nonsense_is_left_out(void **state)
{
    static const char *const texts[] = {
        "lonely 1\n# nothing\n#\n# HELP\n# EOF\n\n# TYPE x gauge\nx\n{} 1\n"
        "x 2",
        "<html>", "", NULL};
    (void)state;
    merges(texts, "# TYPE x gauge\nx{process=\"server\"} 2\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_is_told_once_with_the_samples_of_all),
        cmocka_unit_test(histograms_stay_in_their_family),
        cmocka_unit_test(nonsense_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
