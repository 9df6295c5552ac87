#ifndef LH_STATUS_API_BATCH_LINE_H
#define LH_STATUS_API_BATCH_LINE_H

/*
 * batch_line: one result of a batch as a line of JSON. Exactly one LF, at
 * its end: readers split at every LF, and the SDKs stumble over a blank
 * line. Pure.
 */

#include "common/job/job.h"

/* As in Claude's results. `answer` is the stored Message, whose own line
 * breaks (between its tokens, there are no others in JSON) become blanks. */
void batch_line_message(
    const struct job_result *row, struct slice answer, struct buffer *out);
/* The native one, which also says which row of the store it is, the job, and
 * what it took. */
void batch_line_native(const struct job_result *row, uint64_t seq,
    struct slice answer, struct buffer *out);

#endif
