#ifndef LH_STATUS_API_NUMBERS_H
#define LH_STATUS_API_NUMBERS_H

/*
 * numbers: what Redis says about queues and holds, asked once a second and
 * kept, so that neither a read of a job nor a scrape costs a further
 * command. gauges.c puts them into /metrics, lanes.c into the API.
 */

#include <stddef.h>

#include "common/net/http_server.h"
#include "common/queue/queue.h"

struct status;

struct numbers *numbers_new(struct status *status);
void numbers_free(struct numbers *numbers);

/* The last answer; NULL when it is older than three seconds. Lives until
 * the loop turns. */
const struct queue_stats *numbers_get(const struct numbers *numbers);
/* The holds in it; 0 when it is too old. */
size_t numbers_holds(
    const struct numbers *numbers, const struct queue_hold **holds);
/* Asks at once; for tests and after a change. */
void numbers_refresh(struct numbers *numbers);

/* service_on_scrape() hook; `arg` is the struct status. */
void gauges_set(void *arg);

/* GET /v1/lanes, GET /v1/pools */
void lanes_handle(struct http_request *req, void *program);
void pools_handle(struct http_request *req, void *program);

#endif
