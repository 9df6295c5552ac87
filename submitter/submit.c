#include "submitter/submit.h"
#include "submitter/submit_meta.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/service/config.h"
#include "common/service/keys.h"

/* --- life --- */

static void
link_submit(struct submitter *owner, struct submit *submit)
{
    submit->next = owner->submits;
    if (submit->next != NULL)
        submit->next->previous = submit;
    owner->submits = submit;
}

static void
unlink_submit(struct submitter *owner, struct submit *submit)
{
    if (submit->previous != NULL)
        submit->previous->next = submit->next;
    else
        owner->submits = submit->next;
    if (submit->next != NULL)
        submit->next->previous = submit->previous;
}

static void
free_submit(struct submit *submit)
{
    unlink_submit(submit->owner, submit);
    if (submit->again != NULL)
        event_free(submit->again);
    job_meta_clear(&submit->meta);
    memory_free(submit);
}

void
submit_end(struct submit *submit)
{
    assert(submit->state != SUBMIT_ENDED);
    submit->state = SUBMIT_ENDED;
    submit->req = NULL;
    /* Otherwise the parts are the job's, or swept in an hour. */
    if (submit->meta.parts > 0 && !submit->sent && !submit->maybe_there &&
        submit->owner->service->queue != NULL)
        queue_unstage(submit->owner->service->queue, submit->id);
    submit_clear_body(submit);
    if (submit->again != NULL)
        evtimer_del(submit->again);
    if (submit->callbacks == 0)
        free_submit(submit);
}

void
submit_callback_done(struct submit *submit)
{
    assert(submit->callbacks > 0);
    submit->callbacks--;
    if (submit->state == SUBMIT_ENDED && submit->callbacks == 0)
        free_submit(submit);
}

/* The client left. What was enqueued stays accepted; nobody was told, and
 * an Idempotency-Key finds it. */
static void
on_gone(struct http_request *req, void *arg)
{
    struct submit *submit = arg;
    (void)req;
    submit_end(submit);
}

/* --- the head --- */

static bool
refuse_too_large(
    struct submitter *owner, struct http_request *req, uint64_t max_bytes)
{
    char message[80];
    if (http_request_head(req)->length <= max_bytes)
        return false;
    snprintf(message, sizeof(message),
        "The body is over the limit of %" PRIu64 " bytes.", max_bytes);
    submit_refuse(owner, req, 413, "too_large", message, 0);
    return true;
}

/* Everything that can be said before the body. */
static bool
refuse_early(struct submitter *owner, struct http_request *req)
{
    struct service *service = owner->service;
    if (refuse_too_large(owner, req, service->config->max_body_bytes))
        return true;
    if (service_cannot_serve(service) != NULL) {
        submit_refuse(owner, req, 503, "not_ready",
            "The queue cannot take jobs at this moment.", 1);
        return true;
    }
    enum admission_verdict verdict =
        admission_decide(&owner->load, &owner->limits);
    if (verdict == ADMISSION_OK)
        return false;
    submit_refuse(owner, req, 429, admission_verdict_name(verdict),
        admission_verdict_text(verdict),
        admission_retry_after_s(&owner->pace, &owner->limits));
    return true;
}

void
submit_handle(struct http_request *req, void *program)
{
    struct submitter *owner = program;
    const struct http_head *head = http_request_head(req);
    const struct keys_identity *identity = http_request_identity(req);
    struct job_meta meta = {0};
    if (refuse_early(owner, req))
        return;
    const char *wrong = submit_meta_head(head, &meta);
    if (wrong != NULL) {
        job_meta_clear(&meta);
        submit_refuse(owner, req, 400, "bad_header", wrong, 0);
        return;
    }
    struct submit *submit = memory_zalloc(1, sizeof(*submit));
    submit->owner = owner;
    submit->req = req;
    submit->meta = meta;
    text_copy(submit->meta.tenant, sizeof(submit->meta.tenant),
        slice_of(identity->tenant));
    id_make(JOB_ID_PREFIX, submit->id);
    submit->begun_ms = clock_mono_ms();
    link_submit(owner, submit);
    http_request_set_arg(req, submit, on_gone);
    submit_start_body(submit);
}
