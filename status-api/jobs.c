#include "status-api/jobs.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/queue/queue.h"
#include "status-api/lookup.h"
#include "status-api/params.h"
#include "status-api/status.h"
#include "status-api/wait.h"
#include "status-api/waiters.h"

struct job_call {
    struct call call;
    struct waiter *waiter; /* NULL: none is waited for */
    char id[ID_SIZE];
    bool conditional; /* If-None-Match is there */
    bool cancel_asked;
};

static struct job_call *
begin(struct http_request *req)
{
    struct job_call *job = memory_zalloc(1, sizeof(*job));
    call_begin(&job->call, req);
    if (call_job_id(&job->call, job->id))
        return job;
    memory_free(job);
    return NULL;
}

/* False after the answer for a job that is not there for this key. */
static bool
is_there(struct job_call *job, const struct lookup_result *result)
{
    if (result->outcome == LOOKUP_UNAVAILABLE)
        call_unavailable(&job->call);
    else if (result->outcome == LOOKUP_ABSENT ||
        !call_may_see(&job->call, result->tenant))
        call_not_found(&job->call);
    else if (result->outcome == LOOKUP_DELETED)
        call_gone(&job->call);
    else
        return true;
    return false;
}

static void
look(struct job_call *job, enum store_part part,
    void (*on_done)(void *arg, const struct lookup_result *result))
{
    lookup_start(job->call.status, job->id, part, on_done, job);
}

/* --- waiting ------------------------------------------------------------- */

static void
on_waiter_gone(struct call *call)
{
    struct job_call *job = (struct job_call *)call;
    waiter_cancel(job->waiter);
    memory_free(job);
}

/* Somebody else's job must not be told from none by the time it takes. */
static bool
is_enough(void *arg, const struct job_view *view)
{
    struct job_call *job = arg;
    if (!call_may_see(&job->call, view->meta->tenant))
        return true;
    return job->conditional && !call_has_version(&job->call, view->version);
}

static void
wait_for(struct job_call *job, int64_t for_ms, bool terminal_only,
    void (*on_wake)(void *arg, const struct lookup_result *result))
{
    struct waiter_spec spec = {.id = job->id,
        .for_ms = for_ms,
        .terminal_only = terminal_only,
        .enough = is_enough,
        .on_wake = on_wake,
        .arg = job};
    job->call.on_gone = on_waiter_gone;
    job->waiter = waiter_add(job->call.status->waiters, &spec);
}

/* The waiter is gone; from here on the request is like any other. */
static void
waited(struct job_call *job)
{
    job->waiter = NULL;
    job->call.on_gone = NULL;
}

/* How long to wait in ms, 0: not at all; -1 after a 400 was sent. */
static int64_t
wanted_wait(struct job_call *job)
{
    static const char *const names[] = {"wait", NULL};
    const struct http_head *head = http_request_head(job->call.req);
    struct params params;
    char error[128];
    uint64_t seconds = 0;
    if (!call_params(&job->call, names, &params))
        return -1;
    bool given = params_get(&params, "wait") != NULL;
    int bad = params_number(
        &params, "wait", 0, JOBS_WAIT_MAX_S, 0, &seconds, error, sizeof(error));
    params_clear(&params);
    if (bad != 0) {
        call_bad(&job->call, "%s", error);
        return -1;
    }
    int64_t preferred = wait_preferred_s(head, JOBS_WAIT_MAX_S);
    if (given || preferred < 0)
        return (int64_t)seconds * 1000;
    char applied[32];
    snprintf(applied, sizeof(applied), "wait=%" PRId64, preferred);
    http_reply_header(job->call.req, "Preference-Applied", applied);
    return preferred * 1000;
}

/* --- GET /v1/jobs/{id} --------------------------------------------------- */

/* True after the 304 for a client that has this version already. */
static bool
is_unchanged(struct job_call *job, const struct job_view *view)
{
    if (!job->conditional || !call_has_version(&job->call, view->version))
        return false;
    call_etag(&job->call, view->version);
    call_empty(&job->call, 304);
    return true;
}

static bool
is_conditional(const struct http_request *req)
{
    return http_head_count(http_request_head(req), "if-none-match") > 0;
}

static void
on_got(void *arg, const struct lookup_result *result)
{
    struct job_call *job = arg;
    waited(job);
    if (job->call.req != NULL && is_there(job, result) &&
        !is_unchanged(job, result->view))
        call_job(&job->call, 200, result->view);
    memory_free(job);
}

void
jobs_handle_get(struct http_request *req, void *program)
{
    struct job_call *job = begin(req);
    (void)program;
    if (job == NULL)
        return;
    int64_t wait_ms = wanted_wait(job);
    if (wait_ms < 0) {
        memory_free(job);
        return;
    }
    job->conditional = is_conditional(req);
    if (wait_ms > 0)
        wait_for(job, wait_ms, !job->conditional, on_got);
    else
        look(job, STORE_ROW, on_got);
}

/* --- GET /v1/jobs/{id}/result -------------------------------------------- */

/* What kept the job from a result, as {"type":"error",...} with the job. */
static void
answer_without_result(struct job_call *job, const struct job_view *view)
{
    struct buffer body = {0}, message = {0};
    const char *type = "conflict_error";
    if (view->state == JOB_CANCELED) {
        buffer_append_text(&message, "the job was canceled; it has no result");
    } else if (view->state == JOB_EXPIRED) {
        buffer_append_text(
            &message, "the job expired before it was done; it has no result");
    } else {
        bool typed = view->error.type[0] != '\0';
        type = typed ? view->error.type : "api_error";
        buffer_printf(&message, "the job failed: %s",
            view->error.message[0] != '\0' ? view->error.message
                                           : view->error.class_name);
    }
    buffer_append_text(&body, "{\"type\":\"error\",\"error\":{\"type\":");
    buffer_append_json(&body, slice_of(type));
    buffer_append_text(&body, ",\"message\":");
    buffer_append_json(&body, buffer_slice(&message));
    buffer_append_text(&body, "},\"request_id\":");
    buffer_append_json(&body, slice_of(http_request_id(job->call.req)));
    buffer_append_text(&body, ",\"job\":");
    status_encode_job(job->call.status, view, &body);
    buffer_append_char(&body, '}');
    buffer_clear(&message);
    call_etag(&job->call, view->version);
    http_reply_header(job->call.req, "x-should-retry", "false");
    call_json(&job->call, 409, &body);
}

static void
on_result(void *arg, const struct lookup_result *result)
{
    struct job_call *job = arg;
    if (job->call.req == NULL || !is_there(job, result)) {
        memory_free(job);
        return;
    }
    const struct job_view *view = result->view;
    if (!job_state_is_terminal(view->state) && is_unchanged(job, view)) {
        /* still none, and the client knows the rest */
    } else if (!job_state_is_terminal(view->state)) {
        call_job(&job->call, 202, view);
    } else if (view->state != JOB_SUCCEEDED) {
        answer_without_result(job, view);
    } else if (result->bytes.len == 0) {
        call_error(&job->call, 500, "api_error",
            "the stored answer of this job cannot be read", 0);
    } else {
        call_etag(&job->call, view->version);
        http_reply_header(job->call.req, "Cache-Control", "private, no-cache");
        http_reply(job->call.req, 200, "application/json", result->bytes.data,
            result->bytes.len);
    }
    memory_free(job);
}

/* The answer is read once, when it is known that there is one and that the
 * client does not have it. */
static void
on_result_wake(void *arg, const struct lookup_result *result)
{
    struct job_call *job = arg;
    waited(job);
    job->conditional = job->call.req != NULL && is_conditional(job->call.req);
    if (result->outcome != LOOKUP_FOUND ||
        !job_state_is_terminal(result->view->state)) {
        on_result(job, result);
    } else if (job->call.req != NULL && result->view->state == JOB_SUCCEEDED &&
        call_may_see(&job->call, result->tenant) &&
        is_unchanged(job, result->view)) {
        memory_free(job);
    } else {
        look(job, STORE_ANSWER, on_result);
    }
}

void
jobs_handle_result(struct http_request *req, void *program)
{
    struct job_call *job = begin(req);
    (void)program;
    if (job == NULL)
        return;
    int64_t wait_ms = wanted_wait(job);
    if (wait_ms < 0)
        memory_free(job);
    else if (wait_ms > 0)
        wait_for(job, wait_ms, true, on_result_wake);
    else if (is_conditional(req))
        look(job, STORE_ROW, on_result_wake);
    else
        look(job, STORE_ANSWER, on_result);
}

/* --- POST /v1/jobs/{id}/cancel ------------------------------------------- */

static void on_cancel_look(void *arg, const struct lookup_result *result);

static void
on_cancel(void *arg, enum queue_status status, uint64_t version)
{
    struct job_call *job = arg;
    (void)version;
    if (status == QUEUE_OK || status == QUEUE_ABSENT) {
        job->cancel_asked = status == QUEUE_OK;
        look(job, STORE_ROW, on_cancel_look);
        return;
    }
    call_unavailable(&job->call);
    memory_free(job);
}

/* True when the answer is given. */
static bool
answer_cancel(struct job_call *job, const struct job_view *view)
{
    char message[128];
    if (job->cancel_asked) {
        call_job(&job->call, 202, view);
        return true;
    }
    if (!job_state_is_terminal(view->state))
        return false;
    if (view->state == JOB_CANCELED) {
        call_job(&job->call, 200, view);
        return true;
    }
    snprintf(message, sizeof(message),
        "the job has ended already (%s); it cannot be canceled any more",
        job_state_name(view->state));
    call_conflict(&job->call, message);
    return true;
}

static void
on_cancel_look(void *arg, const struct lookup_result *result)
{
    struct job_call *job = arg;
    if (job->call.req == NULL || !is_there(job, result) ||
        answer_cancel(job, result->view)) {
        memory_free(job);
        return;
    }
    if (queue_cancel(
            job->call.status->service->queue, job->id, on_cancel, job) != 0) {
        call_unavailable(&job->call);
        memory_free(job);
    }
}

void
jobs_handle_cancel(struct http_request *req, void *program)
{
    struct job_call *job = begin(req);
    (void)program;
    if (job != NULL)
        look(job, STORE_ROW, on_cancel_look);
}

/* --- DELETE /v1/jobs/{id} ------------------------------------------------ */

#define DELETE_CONFLICT \
    "the job has not ended yet: cancel it first, then delete it"

static void
on_delete(void *arg, enum queue_status status)
{
    struct job_call *job = arg;
    if (status == QUEUE_OK)
        call_empty(&job->call, 204);
    else if (status == QUEUE_CONFLICT)
        call_conflict(&job->call, DELETE_CONFLICT);
    else
        call_unavailable(&job->call);
    memory_free(job);
}

static void
on_delete_look(void *arg, const struct lookup_result *result)
{
    struct job_call *job = arg;
    if (job->call.req == NULL || !is_there(job, result)) {
        memory_free(job);
        return;
    }
    if (!job_state_is_terminal(result->view->state)) {
        call_conflict(&job->call, DELETE_CONFLICT);
        memory_free(job);
        return;
    }
    if (queue_delete(
            job->call.status->service->queue, job->id, on_delete, job) != 0) {
        call_unavailable(&job->call);
        memory_free(job);
    }
}

void
jobs_handle_delete(struct http_request *req, void *program)
{
    struct job_call *job = begin(req);
    (void)program;
    if (job != NULL)
        look(job, STORE_ROW, on_delete_look);
}
