#ifndef LH_STATUS_API_BATCHES_H
#define LH_STATUS_API_BATCHES_H

/*
 * batches: the routes that read and steer batches, on both faces. The native
 * one waits (?wait=55, Prefer: wait=55), has ETags and live numbers; the
 * other is Claude's Message Batches API. Creating one is the submitter's.
 */

#include "status-api/batch_look.h"
#include "status-api/status.h"

/* call_begin(), and on Claude's face the header that its SDKs look for. */
void batches_begin(
    struct call *call, struct http_request *req, enum bulk_face face);
/* The {id} of the route; false after a 404 was sent. */
bool batches_id(struct call *call, char uuid[BATCH_UUID_SIZE]);
/* Whether this key may see it; false after the answer. On Claude's face a
 * deleted batch is as one that never was. */
bool batches_is_there(
    struct call *call, enum bulk_face face, const struct batch_found *found);
/* 400 with x-should-retry: false on Claude's face, 409 on the native one: not
 * in the state in which that can be done. */
void batches_refuse(
    struct call *call, enum bulk_face face, const char *message);
/* ?wait= and Prefer: in ms, 0: not at all; -1 after a 400 was sent. */
int64_t batches_wait_ms(struct call *call, const struct params *params);

void batches_handle_get(struct http_request *req, void *program);
void batches_handle_list(struct http_request *req, void *program);
void batches_handle_results(struct http_request *req, void *program);
void batches_handle_items(struct http_request *req, void *program);
void batches_handle_errors(struct http_request *req, void *program);
void batches_handle_cancel(struct http_request *req, void *program);
void batches_handle_delete(struct http_request *req, void *program);
void batches_handle_retry(struct http_request *req, void *program);

void message_batches_handle_get(struct http_request *req, void *program);
void message_batches_handle_list(struct http_request *req, void *program);
void message_batches_handle_results(struct http_request *req, void *program);
void message_batches_handle_cancel(struct http_request *req, void *program);
void message_batches_handle_delete(struct http_request *req, void *program);

#endif
