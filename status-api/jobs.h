#ifndef LH_STATUS_API_JOBS_H
#define LH_STATUS_API_JOBS_H

/*
 * jobs: the routes of one job. Reading (with a long-poll: ?wait=55 or
 * Prefer: wait=55), its result, cancelling, deleting. list.h has the list.
 *
 * A long-poll ends when the job has ended; with If-None-Match it ends when
 * the version is another one; at the deadline it answers what is so.
 */

#include "common/net/http_server.h"

/* The longest wait in seconds: proxies give up after 60. */
#define JOBS_WAIT_MAX_S 55

void jobs_handle_get(struct http_request *req, void *program);
void jobs_handle_result(struct http_request *req, void *program);
void jobs_handle_cancel(struct http_request *req, void *program);
void jobs_handle_delete(struct http_request *req, void *program);
void jobs_handle_list(struct http_request *req, void *program);

#endif
