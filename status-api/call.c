#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/queue/queue.h"
#include "status-api/numbers.h"
#include "status-api/params.h"
#include "status-api/reason.h"
#include "status-api/status.h"

#define TEXT_JSON "application/json"
#define MESSAGE_MAX 512

bool
status_redis_usable(const struct status *status)
{
    struct service *service = status->service;
    if (service->draining)
        return service->marker != NULL;
    return service_not_ready(service) == NULL;
}

/* --- the request ------------------------------------------------------- */

static void
on_gone(struct http_request *req, void *arg)
{
    struct call *call = arg;
    (void)req;
    call->req = NULL;
    if (call->on_gone != NULL)
        call->on_gone(call);
}

void
call_begin(struct call *call, struct http_request *req)
{
    call->status = http_request_program(req);
    call->req = req;
    call->who = http_request_identity(req);
    http_request_set_arg(req, call, on_gone);
}

bool
call_may_see(const struct call *call, const char *tenant)
{
    const char *only = call_only_tenant(call);
    return only == NULL || (tenant != NULL && strcmp(only, tenant) == 0);
}

const char *
call_only_tenant(const struct call *call)
{
    if (call->who == NULL || (call->who->scopes & KEYS_SCOPE_OPERATE) != 0)
        return NULL;
    return call->who->tenant;
}

const char *
call_actor(const struct call *call)
{
    return call->who == NULL ? "default" : call->who->tenant;
}

bool
call_job_id(struct call *call, char out[ID_SIZE])
{
    struct slice id = http_request_param(call->req, "id");
    if (id_is_valid(id, JOB_ID_PREFIX) && text_copy(out, ID_SIZE, id))
        return true;
    call_not_found(call);
    return false;
}

bool
call_params(struct call *call, const char *const *names, struct params *params)
{
    char error[MESSAGE_MAX];
    if (params_parse(http_request_head(call->req)->query, names, params, error,
            sizeof(error)) == 0)
        return true;
    call_bad(call, "%s", error);
    return false;
}

/* --- versions ----------------------------------------------------------- */

void
call_etag(struct call *call, uint64_t version)
{
    char etag[32];
    if (call->req == NULL)
        return;
    snprintf(etag, sizeof(etag), "\"v%" PRIu64 "\"", version);
    http_reply_header(call->req, "ETag", etag);
}

static bool
list_has(struct slice list, const char *etag)
{
    while (list.len > 0) {
        struct slice one = slice_trim(slice_split(&list, ','));
        if (slice_starts_with(one, "W/")) {
            one.data += 2;
            one.len -= 2;
        }
        if (slice_equal_text(one, "*") || slice_equal_text(one, etag))
            return true;
    }
    return false;
}

bool
call_has_version(const struct call *call, uint64_t version)
{
    char etag[32];
    const struct http_head *head = http_request_head(call->req);
    snprintf(etag, sizeof(etag), "\"v%" PRIu64 "\"", version);
    for (size_t i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (slice_equal_nocase(header->name, "if-none-match") &&
            list_has(header->value, etag))
            return true;
    }
    return false;
}

/* --- answers ------------------------------------------------------------ */

void
call_json(struct call *call, unsigned status, struct buffer *body)
{
    if (call->req != NULL)
        http_reply_buffer(call->req, status, TEXT_JSON, body);
    call->req = NULL;
    buffer_clear(body);
}

void
status_encode_job(const struct status *status, const struct job_view *view,
    struct buffer *out)
{
    struct job_view told = *view;
    const struct queue_stats *stats = numbers_get(status->numbers);
    const char *mode = status->service->marker != NULL
        ? strchr(status->service->marker, ' ')
        : NULL;
    if (view->result == NULL)
        told.simulated = mode != NULL && strcmp(mode + 1, "simulated") == 0;
    reason_tell(&told, stats, told.reason);
    job_view_encode(&told, status->service->origin, out);
}

void
call_job(struct call *call, unsigned status, const struct job_view *view)
{
    struct buffer body = {0};
    char seconds[16];
    if (call->req == NULL)
        return;
    call_etag(call, view->version);
    http_reply_header(call->req, "Cache-Control", "private, no-cache");
    if (!job_state_is_terminal(view->state)) {
        snprintf(seconds, sizeof(seconds), "%u", job_view_poll_after_s(view));
        http_reply_header(call->req, "Retry-After", seconds);
    }
    status_encode_job(call->status, view, &body);
    call_json(call, status, &body);
}

void
call_empty(struct call *call, unsigned status)
{
    if (call->req != NULL)
        http_reply(call->req, status, NULL, NULL, 0);
    call->req = NULL;
}

void
call_error(struct call *call, unsigned status, const char *type,
    const char *message, unsigned retry_after_s)
{
    if (call->req != NULL)
        http_reply_error(call->req, status, type, message, retry_after_s);
    call->req = NULL;
}

void
call_bad(struct call *call, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    call_error(call, 400, "invalid_request_error", message, 0);
}

/* Claude's SDKs try a 409 again unless they are told not to. */
void
call_conflict(struct call *call, const char *message)
{
    if (call->req != NULL)
        http_reply_header(call->req, "x-should-retry", "false");
    call_error(call, 409, "conflict_error", message, 0);
}

void
call_not_found(struct call *call)
{
    call_error(call, 404, "not_found_error", "there is no job with this id", 0);
}

void
call_gone(struct call *call)
{
    call_error(call, 410, "not_found_error", "this job was deleted", 0);
}

void
call_unavailable(struct call *call)
{
    call_error(call, 503, "api_error",
        "the job store does not answer at the moment; try again", 2);
}
