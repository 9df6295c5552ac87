#ifndef LH_SUBMITTER_ROUTES_H
#define LH_SUBMITTER_ROUTES_H

/*
 * routes: the submitter as a table to be mounted on an HTTP server, by its
 * own program or by one that serves several tables.
 */

#include "common/net/http_server.h"

struct service;
struct submitter;

/* POST /v1/jobs. The program pointer is the struct submitter. */
extern const struct http_route submitter_routes[];

/* The service must have a queue; a store is used when there is one. */
struct submitter *submitter_new(struct service *service) MUST_CHECK;
/* After service_run(). */
void submitter_free(struct submitter *submitter);

#endif
