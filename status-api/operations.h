#ifndef LH_STATUS_API_OPERATIONS_H
#define LH_STATUS_API_OPERATIONS_H

/*
 * operations: carries out what operation.h describes. Each running operation
 * is carried out by one process, which holds its lock (with an expiry) and
 * writes its progress down at least once a second. Every process looks once
 * a second for running ones whose lock is free: when one dies, another goes
 * on from the cursor. What was done between the last write and the death is
 * then not there any more and counts as skipped; nothing is done twice.
 */

#include "common/net/http_server.h"
#include "status-api/operation.h"

struct status;
struct operations;

struct operations *operations_new(struct status *status);
void operations_free(struct operations *operations);
/* Writes progress down and leaves the rest to other processes. */
void operations_drain(struct operations *operations);

/* How many of this action run here. */
unsigned operations_running(
    const struct operations *operations, unsigned action);
/* Takes up a running operation whose document is in Redis. */
void operations_adopt(struct operations *operations, const char *id);
/* It was asked to be canceled: at once if it runs here. */
void operations_cancel(struct operations *operations, const char *id);

/* Answers the request with the operation, or its preview. */
void operations_create(
    struct http_request *req, const struct operation_request *request);

/* Routes. */
void operations_handle_create(struct http_request *req, void *program);
void operations_handle_list(struct http_request *req, void *program);
void operations_handle_get(struct http_request *req, void *program);
void operations_handle_cancel(struct http_request *req, void *program);

#endif
