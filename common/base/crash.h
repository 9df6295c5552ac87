#ifndef LH_BASE_CRASH_H
#define LH_BASE_CRASH_H

/*
 * crash: named places at which a test build (-DLONGHAUL_TEST, `make
 * chaos-build`) can be made to die or to freeze, so that tests reach the
 * gap between any two steps. Elsewhere the calls are nothing.
 *
 *   LONGHAUL_CRASH_AT=NAME            SIGKILL at the first passage
 *   LONGHAUL_CRASH_AT=NAME:N          at the Nth
 *   LONGHAUL_CRASH_AT=NAME:N:stop     SIGSTOP instead: a freeze right there
 *   LONGHAUL_CRASH_AT=list            prints "NAME PROGRAM..." and ends
 *
 * The names are in crash_points.def. Before the signal one line "crash_point
 * NAME MS [JOB]" goes to stderr: the wall clock, and whose turn it was where
 * the place knows.
 */

#include <stdbool.h>

#include "common/base/memory.h"

/*
 * The checker of the chaos runs is proven with faults planted on purpose, one
 * at a time (`make chaos-bugs`); 0: none. `#if LONGHAUL_BUG == N` marks them:
 * 1 acknowledges before it commits, 2 does not check ownership, 3 makes
 * consumer groups at `$`, 4 answers 202 before Redis did, 5 a late write
 * overwrites the row of its generation.
 */
#ifndef LONGHAUL_BUG
#define LONGHAUL_BUG 0
#endif

#ifdef LONGHAUL_TEST
#define crash_point(name) crash_pass(name, "", "")
#define crash_point_of(name, job) crash_pass(name, "", job)
/* For names that are put together: crash_point_at(script, ".before"). */
#define crash_point_at(name, suffix) crash_pass(name, suffix, "")
void crash_pass(const char *name, const char *suffix, const char *job);
#else
#define crash_point(name) ((void)(name))
#define crash_point_of(name, job) ((void)(name), (void)(job))
#define crash_point_at(name, suffix) ((void)(name), (void)(suffix))
#endif

/*
 * Reads the variable; before any thread is started. NULL: go on. Otherwise
 * why the program must not run, for people (static): a release build refuses
 * the variable whatever it says. After "list", *listed is true and the
 * program ends with 0.
 */
const char *crash_setup(bool *listed) MUST_CHECK;

#endif
