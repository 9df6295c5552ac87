#ifndef LH_STATUS_API_REASON_H
#define LH_STATUS_API_REASON_H

/*
 * reason: why a job is not finished yet, in words: how many are ahead, until
 * when it waits and why, and what holds its queue: an open breaker, a rate
 * limit, a paused pool or lane. Pure.
 */

#include <stddef.h>

#include "common/job/job.h"
#include "common/queue/queue.h"

/* "pool default is paused until 14:32:10Z: Claude does not accept the API
 * key" */
void reason_hold_text(const struct queue_hold *hold, struct buffer *out);
/*
 * Fills out (view->reason may be it); "" when job_view_encode() says it as
 * well, because no hold matters: a hold of one pool does not while another
 * serves the model. stats NULL: not known.
 */
void reason_tell(const struct job_view *view, const struct queue_stats *stats,
    char out[256]);

#endif
