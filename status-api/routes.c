#include "status-api/routes.h"

#include <assert.h>

#include "embedded.h"
#include "status-api/batch_pace.h"
#include "status-api/batch_wait.h"
#include "status-api/batches.h"
#include "status-api/dead.h"
#include "status-api/jobs.h"
#include "status-api/numbers.h"
#include "status-api/operations.h"
#include "status-api/pause.h"
#include "status-api/status.h"
#include "status-api/waiters.h"

/* What a POST that wants little may bring, such as {}. */
#define EMPTY_MAX 1024
#define OPERATION_BODY_MAX (16 * 1024)

/* JSON is YAML; the file is written in the part that is both. */
static void
handle_openapi(struct http_request *req, void *program)
{
    const struct embedded_file *file = embedded_find("schema/openapi.yaml");
    (void)program;
    assert(file != NULL);
    http_reply(req, 200, "application/json", file->data, file->len);
}

#define GET(path_, scope_, handle_) \
    { \
        .method = "GET", .path = (path_), .scope = (scope_), \
        .handle = (handle_) \
    }
#define POST(path_, scope_, max_, handle_) \
    { \
        .method = "POST", .path = (path_), .scope = (scope_), \
        .max_body = (max_), .handle = (handle_) \
    }

const struct http_route status_routes[] = {
    GET("/v1/jobs", KEYS_SCOPE_READ, jobs_handle_list),
    GET("/v1/jobs/{id}", KEYS_SCOPE_READ, jobs_handle_get),
    GET("/v1/jobs/{id}/result", KEYS_SCOPE_READ, jobs_handle_result),
    POST("/v1/jobs/{id}/cancel", KEYS_SCOPE_SUBMIT, EMPTY_MAX,
        jobs_handle_cancel),
    {.method = "DELETE",
        .path = "/v1/jobs/{id}",
        .scope = KEYS_SCOPE_SUBMIT,
        .handle = jobs_handle_delete},
    GET("/v1/batches", KEYS_SCOPE_READ, batches_handle_list),
    GET("/v1/batches/{id}", KEYS_SCOPE_READ, batches_handle_get),
    GET("/v1/batches/{id}/results", KEYS_SCOPE_READ, batches_handle_results),
    GET("/v1/batches/{id}/items", KEYS_SCOPE_READ, batches_handle_items),
    GET("/v1/batches/{id}/errors", KEYS_SCOPE_READ, batches_handle_errors),
    POST("/v1/batches/{id}/cancel", KEYS_SCOPE_SUBMIT, EMPTY_MAX,
        batches_handle_cancel),
    POST("/v1/batches/{id}/retry-failed", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        batches_handle_retry),
    {.method = "DELETE",
        .path = "/v1/batches/{id}",
        .scope = KEYS_SCOPE_SUBMIT,
        .handle = batches_handle_delete},
    GET("/v1/messages/batches", KEYS_SCOPE_READ, message_batches_handle_list),
    GET("/v1/messages/batches/{id}", KEYS_SCOPE_READ,
        message_batches_handle_get),
    GET("/v1/messages/batches/{id}/results", KEYS_SCOPE_READ,
        message_batches_handle_results),
    POST("/v1/messages/batches/{id}/cancel", KEYS_SCOPE_SUBMIT, EMPTY_MAX,
        message_batches_handle_cancel),
    {.method = "DELETE",
        .path = "/v1/messages/batches/{id}",
        .scope = KEYS_SCOPE_SUBMIT,
        .handle = message_batches_handle_delete},
    GET("/v1/dead-letters", KEYS_SCOPE_OPERATE, dead_handle_list),
    GET("/v1/dead-letters/groups", KEYS_SCOPE_OPERATE, dead_handle_groups),
    GET("/v1/dead-letters/{id}", KEYS_SCOPE_OPERATE, dead_handle_show),
    POST("/v1/dead-letters/{id}/replay", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        dead_handle_replay),
    POST("/v1/dead-letters/{id}/discard", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        dead_handle_discard),
    POST("/v1/operations", KEYS_SCOPE_OPERATE, OPERATION_BODY_MAX,
        operations_handle_create),
    GET("/v1/operations", KEYS_SCOPE_OPERATE, operations_handle_list),
    GET("/v1/operations/{id}", KEYS_SCOPE_OPERATE, operations_handle_get),
    POST("/v1/operations/{id}/cancel", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        operations_handle_cancel),
    GET("/v1/lanes", KEYS_SCOPE_OPERATE, lanes_handle),
    POST("/v1/lanes/{name}/pause", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        lanes_handle_pause),
    POST("/v1/lanes/{name}/resume", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        lanes_handle_resume),
    GET("/v1/pools", KEYS_SCOPE_OPERATE, pools_handle),
    POST("/v1/pools/{name}/pause", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        pools_handle_pause),
    POST("/v1/pools/{name}/resume", KEYS_SCOPE_OPERATE, EMPTY_MAX,
        pools_handle_resume),
    {.method = "GET",
        .path = "/openapi.json",
        .flags = HTTP_ROUTE_OPEN,
        .handle = handle_openapi},
    {.method = NULL}};

/* Long-polls are answered with what is so; operations go to others. */
static void
on_drain(void *arg)
{
    struct status *status = arg;
    waiters_drain(status->waiters);
    batch_waits_drain(status->batch_waits);
    operations_drain(status->operations);
}

struct status *
status_new(struct service *service)
{
    struct status *status = memory_zalloc(1, sizeof(*status));
    assert(service->queue != NULL && service->store != NULL);
    status->service = service;
    status->numbers = numbers_new(status);
    status->waiters = waiters_new(status);
    status->operations = operations_new(status);
    status->pace = batch_pace_new();
    status->batch_waits = batch_waits_new(status);
    service_on_drain(service, on_drain, status);
    service_on_scrape(service, gauges_set, status);
    return status;
}

void
status_free(struct status *status)
{
    if (status == NULL)
        return;
    batch_waits_free(status->batch_waits);
    batch_pace_free(status->pace);
    operations_free(status->operations);
    waiters_free(status->waiters);
    numbers_free(status->numbers);
    memory_free(status);
}
