#ifndef LH_TESTS_QUEUE_SUITE_H
#define LH_TESTS_QUEUE_SUITE_H

/*
 * queue_suite: one Redis for all tests of a program; each finds it empty.
 *
 *   cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop)
 */

#include "queue_helpers.h"

/* From queue_suite_start to queue_suite_stop. */
extern struct fixture *f;

int queue_suite_start(void **state);
int queue_suite_stop(void **state);
int queue_suite_clear(void **state);
#define TEST(name) cmocka_unit_test_setup(name, queue_suite_clear)

#endif
