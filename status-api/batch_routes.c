#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "status-api/batch_wait.h"
#include "status-api/batches.h"
#include "status-api/jobs.h"
#include "status-api/operations.h"
#include "status-api/params.h"
#include "status-api/wait.h"

/* One batch: reading, canceling, deleting. */
struct batch_call {
    struct call call;
    enum bulk_face face;
    char uuid[BATCH_UUID_SIZE];
    struct batch_wait *wait; /* NULL: none is waited for */
    bool conditional; /* If-None-Match is there */
    bool cancel_asked;
    struct operation_request again; /* retry-failed */
};

/* --- what the routes of batches share ------------------------------------ */

#define NO_BATCH "there is no batch with this id"

void
batches_begin(struct call *call, struct http_request *req, enum bulk_face face)
{
    call_begin(call, req);
    if (face == BULK_CLAUDE)
        http_reply_header(req, "request-id", http_request_id(req));
}

bool
batches_id(struct call *call, char uuid[BATCH_UUID_SIZE])
{
    if (batch_id_parse(http_request_param(call->req, "id"), uuid) == 0)
        return true;
    call_error(call, 404, "not_found_error", NO_BATCH, 0);
    return false;
}

bool
batches_is_there(
    struct call *call, enum bulk_face face, const struct batch_found *found)
{
    const char *tenant = found->view.tenant;
    bool may_see = call_may_see(call, tenant) ||
        (found->outcome == LOOKUP_DELETED && tenant[0] == '\0');
    bool deleted = found->outcome == LOOKUP_DELETED;
    if (found->outcome == LOOKUP_UNAVAILABLE)
        call_unavailable(call);
    else if (found->outcome == LOOKUP_ABSENT || !may_see ||
        (deleted && face == BULK_CLAUDE))
        call_error(call, 404, "not_found_error", NO_BATCH, 0);
    else if (deleted)
        call_error(call, 410, "not_found_error", "this batch was deleted", 0);
    else
        return true;
    return false;
}

void
batches_refuse(struct call *call, enum bulk_face face, const char *message)
{
    if (face == BULK_NATIVE) {
        call_conflict(call, message);
        return;
    }
    if (call->req != NULL)
        http_reply_header(call->req, "x-should-retry", "false");
    call_error(call, 400, "invalid_request_error", message, 0);
}

int64_t
batches_wait_ms(struct call *call, const struct params *params)
{
    const struct http_head *head = http_request_head(call->req);
    char error[128], applied[32];
    uint64_t seconds = 0;
    if (params_number(params, "wait", 0, JOBS_WAIT_MAX_S, 0, &seconds, error,
            sizeof(error)) != 0) {
        call_bad(call, "%s", error);
        return -1;
    }
    int64_t preferred = wait_preferred_s(head, JOBS_WAIT_MAX_S);
    if (params_get(params, "wait") != NULL || preferred < 0)
        return (int64_t)seconds * 1000;
    snprintf(applied, sizeof(applied), "wait=%" PRId64, preferred);
    http_reply_header(call->req, "Preference-Applied", applied);
    return preferred * 1000;
}

/* --- answers ------------------------------------------------------------- */

static void
answer(struct batch_call *one, unsigned status, const struct batch_found *found)
{
    struct buffer body = {0};
    const struct batch_view *view = &found->view;
    const char *origin = one->call.status->service->origin;
    if (one->call.req == NULL)
        return;
    if (one->face == BULK_NATIVE) {
        call_etag(&one->call, batch_view_version(view));
        http_reply_header(one->call.req, "Cache-Control", "private, no-cache");
        if (view->state != BATCH_ENDED)
            http_reply_header(one->call.req, "Retry-After",
                view->seconds_left > 60 ? "15" : "2");
        batch_view_encode(view, origin, SLICE_NULL, &body);
    } else {
        batch_view_encode_message(
            view, origin, view->state != BATCH_ENDED, &body);
    }
    call_json(&one->call, status, &body);
}

static struct batch_call *
begin(struct http_request *req, enum bulk_face face)
{
    struct batch_call *one = memory_zalloc(1, sizeof(*one));
    one->face = face;
    batches_begin(&one->call, req, face);
    if (batches_id(&one->call, one->uuid))
        return one;
    memory_free(one);
    return NULL;
}

/* --- GET ----------------------------------------------------------------- */

static void
on_got(void *arg, const struct batch_found *found)
{
    struct batch_call *one = arg;
    one->wait = NULL;
    one->call.on_gone = NULL;
    if (one->call.req != NULL &&
        batches_is_there(&one->call, one->face, found)) {
        uint64_t version = batch_view_version(&found->view);
        if (one->conditional && call_has_version(&one->call, version)) {
            call_etag(&one->call, version);
            call_empty(&one->call, 304);
        } else {
            answer(one, 200, found);
        }
    }
    memory_free(one);
}

/* Somebody else's batch must not be told from none by the time it takes. */
static bool
is_enough(void *arg, const struct batch_found *found)
{
    struct batch_call *one = arg;
    if (!call_may_see(&one->call, found->view.tenant))
        return true;
    return one->conditional &&
        !call_has_version(&one->call, batch_view_version(&found->view));
}

static void
on_waiter_gone(struct call *call)
{
    struct batch_call *one = (struct batch_call *)call;
    batch_wait_cancel(one->wait);
    memory_free(one);
}

void
batches_handle_get(struct http_request *req, void *program)
{
    static const char *const names[] = {"wait", NULL};
    struct batch_call *one = begin(req, BULK_NATIVE);
    struct status *status = program;
    struct params params;
    if (one == NULL)
        return;
    if (!call_params(&one->call, names, &params)) {
        memory_free(one);
        return;
    }
    int64_t wait_ms = batches_wait_ms(&one->call, &params);
    params_clear(&params);
    if (wait_ms < 0) {
        memory_free(one);
        return;
    }
    one->conditional =
        http_head_count(http_request_head(req), "if-none-match") > 0;
    if (wait_ms == 0) {
        batch_look(status, one->uuid, on_got, one);
        return;
    }
    struct batch_wait_spec spec = {.uuid = one->uuid,
        .for_ms = wait_ms,
        .enough = is_enough,
        .on_wake = on_got,
        .arg = one};
    one->call.on_gone = on_waiter_gone;
    one->wait = batch_wait_add(status->batch_waits, &spec);
}

void
message_batches_handle_get(struct http_request *req, void *program)
{
    struct batch_call *one = begin(req, BULK_CLAUDE);
    if (one != NULL)
        batch_look(program, one->uuid, on_got, one);
}

/* --- POST cancel --------------------------------------------------------- */

#define TOO_LATE "the batch has ended already; it cannot be canceled any more"

static void on_cancel_look(void *arg, const struct batch_found *found);

static void
on_cancel(void *arg, enum queue_status status)
{
    struct batch_call *one = arg;
    if (status == QUEUE_OK || status == QUEUE_ABSENT ||
        status == QUEUE_CONFLICT) {
        one->cancel_asked = status == QUEUE_OK;
        batch_look(one->call.status, one->uuid, on_cancel_look, one);
        return;
    }
    call_unavailable(&one->call);
    memory_free(one);
}

static void
on_cancel_look(void *arg, const struct batch_found *found)
{
    struct batch_call *one = arg;
    unsigned status = one->face == BULK_NATIVE ? 202 : 200;
    if (one->call.req == NULL ||
        !batches_is_there(&one->call, one->face, found)) {
        memory_free(one);
    } else if (one->cancel_asked) {
        answer(one, status, found);
        memory_free(one);
    } else if (found->view.state == BATCH_ENDED) {
        batches_refuse(&one->call, one->face, TOO_LATE);
        memory_free(one);
    } else if (queue_bulk_cancel(one->call.status->service->queue, one->uuid,
                   on_cancel, one) != 0) {
        call_unavailable(&one->call);
        memory_free(one);
    }
}

void
batches_handle_cancel(struct http_request *req, void *program)
{
    struct batch_call *one = begin(req, BULK_NATIVE);
    if (one != NULL)
        batch_look(program, one->uuid, on_cancel_look, one);
}

void
message_batches_handle_cancel(struct http_request *req, void *program)
{
    struct batch_call *one = begin(req, BULK_CLAUDE);
    if (one != NULL)
        batch_look(program, one->uuid, on_cancel_look, one);
}

/* --- DELETE -------------------------------------------------------------- */

#define TOO_EARLY "the batch has not ended yet: cancel it first, then delete it"

static void
on_delete(void *arg, enum queue_status status)
{
    struct batch_call *one = arg;
    struct buffer body = {0};
    if (status == QUEUE_CONFLICT) {
        batches_refuse(&one->call, one->face, TOO_EARLY);
    } else if (status != QUEUE_OK) {
        call_unavailable(&one->call);
    } else if (one->face == BULK_NATIVE) {
        call_empty(&one->call, 204);
    } else {
        buffer_printf(&body,
            "{\"id\":\"" BATCH_CLAUDE_PREFIX
            "%s\",\"type\":\"message_batch_deleted\"}",
            one->uuid);
        call_json(&one->call, 200, &body);
    }
    memory_free(one);
}

static void
on_delete_look(void *arg, const struct batch_found *found)
{
    struct batch_call *one = arg;
    if (one->call.req == NULL ||
        !batches_is_there(&one->call, one->face, found)) {
        memory_free(one);
    } else if (found->view.state != BATCH_ENDED) {
        batches_refuse(&one->call, one->face, TOO_EARLY);
        memory_free(one);
    } else if (queue_bulk_delete(one->call.status->service->queue, one->uuid,
                   on_delete, one) != 0) {
        call_unavailable(&one->call);
        memory_free(one);
    }
}

void
batches_handle_delete(struct http_request *req, void *program)
{
    struct batch_call *one = begin(req, BULK_NATIVE);
    if (one != NULL)
        batch_look(program, one->uuid, on_delete_look, one);
}

void
message_batches_handle_delete(struct http_request *req, void *program)
{
    struct batch_call *one = begin(req, BULK_CLAUDE);
    if (one != NULL)
        batch_look(program, one->uuid, on_delete_look, one);
}

/* --- POST retry-failed --------------------------------------------------- */

/* More than for dead letters of any kind: these are wanted by whoever sent
 * them, and they go into the lane of the batch. */
#define RETRY_RATE 100

static void
on_retry_look(void *arg, const struct batch_found *found)
{
    struct batch_call *one = arg;
    if (one->call.req != NULL && batches_is_there(&one->call, one->face, found))
        operations_create(one->call.req, &one->again);
    memory_free(one);
}

void
batches_handle_retry(struct http_request *req, void *program)
{
    static const char *const names[] = {"rate", "limit", NULL};
    struct batch_call *one = begin(req, BULK_NATIVE);
    struct params params;
    char error[128];
    uint64_t rate;
    if (one == NULL)
        return;
    if (!call_params(&one->call, names, &params)) {
        memory_free(one);
        return;
    }
    int bad = params_number(&params, "rate", 1, OPERATION_RATE_MAX, RETRY_RATE,
        &rate, error, sizeof(error));
    if (bad == 0)
        bad = params_number(&params, "limit", 1, INT64_C(1) << 52, 0,
            &one->again.limit, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&one->call, "%s", error);
        memory_free(one);
        return;
    }
    one->again.action = OPERATION_REPLAY;
    one->again.rate = (unsigned)rate;
    memcpy(one->again.filter.batch, one->uuid, sizeof(one->uuid));
    batch_look(program, one->uuid, on_retry_look, one);
}
