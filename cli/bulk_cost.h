#ifndef LH_CLI_BULK_COST_H
#define LH_CLI_BULK_COST_H

/*
 * bulk_cost: what an answer or a batch cost, as the server writes it: an
 * exact decimal in quotes, or null without a price (job_cost_encode). Pure.
 */

#include "common/base/text.h"

/* USD, or -1 when it is not known. `raw` is the JSON value as written, with
 * its quotes or without them; a number counts as well. */
double bulk_cost_usd(struct slice raw);

#endif
