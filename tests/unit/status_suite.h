#ifndef LH_TESTS_STATUS_SUITE_H
#define LH_TESTS_STATUS_SUITE_H

/*
 * status_suite: one status API for all tests of a program. CLEAN(name) is a
 * test that finds its Redis empty; the store keeps the rows of those before.
 *
 *   cmocka_run_group_tests(tests, status_suite_start, status_suite_stop)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/status_rig.h"

/* From the start to the stop; a program may also set it itself. */
extern struct rig *rig;

/* Without keys. */
int status_suite_start(void **state);
int status_suite_stop(void **state);
int status_suite_clean(void **state);
#define CLEAN(name) cmocka_unit_test_setup(name, status_suite_clean)

#endif
