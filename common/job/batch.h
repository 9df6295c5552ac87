#ifndef LH_JOB_BATCH_H
#define LH_JOB_BATCH_H

/*
 * batch: the words of batches: jobs submitted together, each with a
 * custom_id. A batch is named by its UUID in text form, without a prefix,
 * everywhere but in the API: there it is batch_<uuid> (ours) or
 * msgbatch_<uuid> (as Claude's Message Batches); either prefix names the same
 * batch on both faces. How one is kept is in bulk.h, how it is shown in
 * batch_view.h. Pure.
 */

#include "common/job/job.h"

#define BATCH_PREFIX "batch_"
#define BATCH_CLAUDE_PREFIX "msgbatch_"
#define BATCH_UUID_SIZE (ID_UUID_LEN + 1)
#define BATCH_RUN_MAX 128
#define BATCH_CUSTOM_ID_MAX 256 /* bytes; 64 on the Claude face */

enum batch_state {
    BATCH_IN_PROGRESS,
    BATCH_CANCELING,
    BATCH_ENDED /* never anything else again */
};
/* "in_progress", "canceling", "ended" */
const char *batch_state_name(enum batch_state state);
int batch_state_parse(struct slice in, enum batch_state *state) MUST_CHECK;

/* "batch_..." or "msgbatch_..." with a version 7 UUID, which is copied to
 * uuid; 0 or -1. */
int batch_id_parse(struct slice id, char uuid[BATCH_UUID_SIZE]) MUST_CHECK;

#endif
