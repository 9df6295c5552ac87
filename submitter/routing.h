#ifndef LH_SUBMITTER_ROUTING_H
#define LH_SUBMITTER_ROUTING_H

/*
 * routing: to which model a job goes, by the [route NAME] sections of the
 * configuration: the first of which everything that is set fits. Pure.
 */

#include "common/job/job.h"
#include "common/service/config.h"

/*
 * meta: model, bucket, lane and tags as the client and the defaults have
 * them; tokens: of the prompt, about. NULL: as it is; else the model, which
 * lives as long as the configuration and is another than meta's.
 */
const char *routing_model(const struct config *config,
    const struct job_meta *meta, double tokens) MUST_CHECK;

#endif
