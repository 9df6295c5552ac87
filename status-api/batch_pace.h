#ifndef LH_STATUS_API_BATCH_PACE_H
#define LH_STATUS_API_BATCH_PACE_H

/*
 * batch_pace: how fast the batches go that somebody looks at, so that a look
 * can say how long it will still take. A bounded number is remembered, those
 * looked at last.
 */

#include "common/job/batch_view.h"

struct batch_pace;

struct batch_pace *batch_pace_new(void) MUST_CHECK;
void batch_pace_free(struct batch_pace *pace);
/* Notes what is done and sets view->seconds_left. */
void batch_pace_estimate(struct batch_pace *pace, struct batch_view *view);

#endif
