#ifndef LH_WORKER_PARK_H
#define LH_WORKER_PARK_H

/*
 * park: the text form of an answer that was paid for and could not be
 * committed; it waits in the job's part of Redis until a store takes it.
 * One line of JSON about the call, LF, Claude's Message as it came. Pure.
 */

#include "common/job/job.h"

void park_encode(
    const struct job_result *result, struct slice message, struct buffer *out);
/*
 * Fills what is known of the call into *result (state, model, stop_reason,
 * usage, cost, times, attempts) and points *message into `parked`. -1 when
 * the text is not of this form; *result is then unchanged.
 */
int park_decode(struct slice parked, struct job_result *result,
    struct slice *message) MUST_CHECK;

#endif
