#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/crash.h"

static void
goes_on_without_the_variable(void **state)
{
    bool listed = true;

    (void)state;
    unsetenv("LONGHAUL_CRASH_AT");
    assert_null(crash_setup(&listed));
    assert_false(listed);
}

/* Unit tests are built like a release: without crash points. */
static void
refuses_the_variable_whatever_it_says(void **state)
{
    static const char *const values[] = {
        "", "list", "finish.before", "finish.before:3:stop", "nonsense"};
    bool listed = true;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        setenv("LONGHAUL_CRASH_AT", values[i], 1);
        assert_non_null(crash_setup(&listed));
        assert_false(listed);
    }
    unsetenv("LONGHAUL_CRASH_AT");
    crash_point("finish.before"); /* nothing happens */
    crash_point_at("finish", ".before");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_without_the_variable),
        cmocka_unit_test(refuses_the_variable_whatever_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
