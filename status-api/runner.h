#ifndef LH_STATUS_API_RUNNER_H
#define LH_STATUS_API_RUNNER_H

/* runner: one operation under way in this process. Private to operations. */

#include <sys/queue.h>

#include "status-api/operation.h"

struct status;
struct runner;

/*
 * Tries for the lock, reads the document anew, and goes on from its cursor.
 * on_end runs exactly once, from the loop and never before the call
 * returned, when this process has nothing more to do with it: done, lost,
 * or stopped. The runner is freed by then.
 */
struct runner *runner_start(struct status *status, const char *id,
    const char *holder, void (*on_end)(void *arg, struct runner *runner),
    void *arg) MUST_CHECK;
const char *runner_id(const struct runner *runner);
enum operation_action runner_action(const struct runner *runner);
/* It was asked to be canceled. */
void runner_cancel(struct runner *runner);
/* Writes its progress down and ends, without finishing the operation. */
void runner_stop(struct runner *runner);
/* After the loop: no callback runs any more, on_end neither. */
void runner_free(struct runner *runner);

#endif
