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
/* Asks at once; for tests and after a change. */
void numbers_refresh(struct numbers *numbers);

/* service_on_scrape() hook; `arg` is the struct status. */
void gauges_set(void *arg);

/* GET /v1/lanes, GET /v1/pools */
void lanes_handle(struct http_request *req, void *program);
void pools_handle(struct http_request *req, void *program);

/* Whether there is such a pool: workers told of it, or it is held. */
bool pools_know(const struct queue_stats *stats, struct slice name);
/* One lane or pool as JSON. */
void lanes_put(
    const struct queue_stats *stats, const char *name, struct buffer *out);
void pools_put(
    const struct queue_stats *stats, struct slice name, struct buffer *out);
/* The pool in "pool:NAME" and "bucket:NAME/BUCKET", else nothing. */
struct slice pools_of_scope(const char *scope);

#endif
