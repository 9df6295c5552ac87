#ifndef LH_TESTS_STORE_SUITE_H
#define LH_TESTS_STORE_SUITE_H

/* store_suite: each test of a program has a store of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

extern struct store_fixture fixture;

int store_suite_open(void **state);
int store_suite_close(void **state);
#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, store_suite_open, store_suite_close)

#endif
