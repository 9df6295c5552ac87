#include "tests/unit/store_suite.h"

struct store_fixture fixture;

int
store_suite_open(void **state)
{
    (void)state;
    store_fixture_open(&fixture);
    return 0;
}

int
store_suite_close(void **state)
{
    (void)state;
    store_fixture_close(&fixture);
    return 0;
}
