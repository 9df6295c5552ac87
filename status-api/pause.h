#ifndef LH_STATUS_API_PAUSE_H
#define LH_STATUS_API_PAUSE_H

/*
 * pause: an operator stops a lane or a pool, until a time or until it is
 * lifted, and lets it go on. Nothing is lost meanwhile: jobs wait.
 *
 * The body of a pause may be {"for": "15m", "reason": "..."}; the answer is
 * the lane or pool as GET shows it.
 */

#include "common/net/http_server.h"

void pools_handle_pause(struct http_request *req, void *program);
void pools_handle_resume(struct http_request *req, void *program);
void lanes_handle_pause(struct http_request *req, void *program);
void lanes_handle_resume(struct http_request *req, void *program);

#endif
