#include "tests/unit/status_suite.h"

struct rig *rig;

int
status_suite_start(void **state)
{
    (void)state;
    rig = rig_new(NULL);
    return 0;
}

int
status_suite_stop(void **state)
{
    (void)state;
    rig_free(rig);
    return 0;
}

int
status_suite_clean(void **state)
{
    (void)state;
    rig_clear(rig);
    return 0;
}
