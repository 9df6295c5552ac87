#include "queue_suite.h"

struct fixture *f;

int
queue_suite_start(void **state)
{
    (void)state;
    f = fixture_new();
    return 0;
}

int
queue_suite_stop(void **state)
{
    (void)state;
    fixture_free(f);
    return 0;
}

int
queue_suite_clear(void **state)
{
    (void)state;
    fixture_clear(f);
    return 0;
}
