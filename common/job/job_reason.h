#ifndef LH_JOB_JOB_REASON_H
#define LH_JOB_JOB_REASON_H

/* job_reason: the status_reason of a job in words, made from its view, when
 * whoever filled the view knew nothing better. */

#include "common/job/job.h"

void job_reason_make(const struct job_view *view, struct buffer *out);

#endif
