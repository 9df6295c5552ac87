#ifndef LH_STATUS_API_ROUTES_H
#define LH_STATUS_API_ROUTES_H

/*
 * routes: what the status API serves, for its own program and for `longhaul
 * serve`: jobs (read, wait, list, cancel, delete), dead letters, operations
 * on them, lanes, pools, the OpenAPI document. It changes nothing except
 * through the scripts of the queue.
 */

#include "common/net/http_server.h"
#include "common/service/service.h"

struct status;

/* Mount with what status_new() returned as the program. */
extern const struct http_route status_routes[];

/* Needs SERVICE_QUEUE and SERVICE_STORE_READ. Adds its own hooks (drain,
 * scrape) to the service, which must not be freed before it. */
struct status *status_new(struct service *service) MUST_CHECK;
/* After service_run() has returned: no request is left then. */
void status_free(struct status *status);

#endif
