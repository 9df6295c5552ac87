#include "submitter/upload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/service/config.h"
#include "common/service/keys.h"
#include "submitter/submit_meta.h"

bool
upload_is_claude(const struct upload *upload)
{
    return upload->batch.face == BULK_CLAUDE;
}

/* --- life --- */

static void
link_upload(struct submitter *owner, struct upload *upload)
{
    upload->next = owner->uploads;
    if (upload->next != NULL)
        upload->next->previous = upload;
    owner->uploads = upload;
    owner->upload_count++;
}

static void
unlink_upload(struct submitter *owner, struct upload *upload)
{
    if (upload->previous != NULL)
        upload->previous->next = upload->next;
    else
        owner->uploads = upload->next;
    if (upload->next != NULL)
        upload->next->previous = upload->previous;
}

static void
free_upload(struct upload *upload)
{
    upload_pace_forget(upload->owner, upload);
    unlink_upload(upload->owner, upload);
    event_free(upload->pump);
    event_free(upload->again);
    EVP_MD_CTX_free(upload->hash);
    upload_query_clear(&upload->query);
    upload_names_clear(&upload->names);
    bulk_clear(&upload->batch);
    job_meta_clear(&upload->base);
    buffer_clear(&upload->errors);
    memory_free(upload);
}

void
upload_end(struct upload *upload, bool keep)
{
    assert(upload->state != UPLOAD_ENDED);
    upload->state = UPLOAD_ENDED;
    upload->req = NULL;
    upload->owner->upload_count--;
    evtimer_del(upload->pump);
    evtimer_del(upload->again);
    upload_item_stop(upload);
    upload_close_source(upload);
    buffer_clear(&upload->input);
    upload_forget_ops(upload);
    if (!keep || upload->batch.idempotency_key == NULL)
        upload_drop(upload);
    if (upload->callbacks == 0)
        free_upload(upload);
}

void
upload_hold(struct upload *upload)
{
    upload->callbacks++;
}

void
upload_release(struct upload *upload)
{
    assert(upload->callbacks > 0);
    upload->callbacks--;
    if (upload->state == UPLOAD_ENDED && upload->callbacks == 0)
        free_upload(upload);
}

/* The client left, or its body was refused. */
static void
on_gone(struct http_request *req, void *arg)
{
    struct upload *upload = arg;
    (void)req;
    /* What may have been revealed is not to be dropped; Redis knows. */
    upload_end(upload, true);
}

/* --- the pump --- */

static int64_t
turn_us(const struct submitter *owner)
{
    return upload_pace_is_shared(owner) ? UPLOAD_TURN_SHARED_US
                                        : UPLOAD_TURN_US;
}

void
upload_wake(struct upload *upload)
{
    static const struct timeval now = {0, 0};
    static const struct timeval rest = {0, UPLOAD_REST_US};
    struct submitter *owner = upload->owner;
    if (upload->state != UPLOAD_READING || evtimer_pending(upload->pump, NULL))
        return;
    if (owner->upload_worked_us < turn_us(owner)) {
        evtimer_add(upload->pump, &now);
        return;
    }
    owner->upload_worked_us = 0;
    evtimer_add(upload->pump, &rest);
}

/* The client is read again. */
static void
go_on(struct upload *upload)
{
    if (!upload->paused || upload->complete)
        return;
    upload->paused = false;
    http_request_resume(upload->req);
}

static void
settle(struct upload *upload)
{
    upload_close_source(upload);
    buffer_clear(&upload->input);
    upload_enter(upload, UPLOAD_SETTLING);
}

/* One turn's share. */
static void
on_pump(evutil_socket_t fd, short events, void *arg)
{
    struct upload *upload = arg;
    struct submitter *owner = upload->owner;
    int64_t began = clock_mono_us();
    int64_t until = began + turn_us(owner) / (int64_t)owner->upload_count;
    bool more = true;
    (void)fd;
    (void)events;
    upload_hold(upload);
    while (more && upload->state == UPLOAD_READING &&
        !upload_is_backed_up(upload) && clock_mono_us() < until)
        more = upload_step(upload);
    owner->upload_worked_us += clock_mono_us() - began;
    if (upload->state == UPLOAD_READING) {
        if (upload->finished && !upload->work.busy)
            settle(upload);
        else if (!more)
            go_on(upload);
        else if (!upload_is_backed_up(upload))
            upload_wake(upload); /* else an acknowledgement does */
    }
    upload_pace_offer(owner);
    upload_release(upload);
}

/* --- the body --- */

static void
feed_hash(struct upload *upload, struct slice data)
{
    if (EVP_DigestUpdate(upload->hash, data.data, data.len) != 1)
        abort(); /* only without memory */
}

void
upload_on_body(struct http_request *req, struct slice data)
{
    struct upload *upload = http_request_arg(req);
    feed_hash(upload, data);
    if (upload->state != UPLOAD_READING)
        return; /* COMPARING: nothing else counts */
    buffer_append_slice(&upload->input, data);
    upload->paused = true;
    http_request_pause(req);
    upload_wake(upload);
}

static void
finish_hash(struct upload *upload)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(upload->hash, digest, &len) != 1)
        abort(); /* only without memory */
    text_hex(digest, len, upload->batch.sha256);
}

void
upload_on_end(struct http_request *req)
{
    struct upload *upload = http_request_arg(req);
    crash_point("upload.complete");
    finish_hash(upload);
    upload->complete = true;
    if (upload->state == UPLOAD_COMPARING)
        upload_enter(upload, UPLOAD_SHOWING);
    else
        upload_wake(upload);
}

void
upload_enter(struct upload *upload, enum upload_state state)
{
    upload->state = state;
    upload->trouble_ms = 0;
    switch (state) {
    case UPLOAD_LOOKING: upload_look(upload); break;
    case UPLOAD_OPENING: upload_open(upload); break;
    case UPLOAD_READING:
        upload_open_source(upload);
        go_on(upload);
        upload_wake(upload);
        break;
    case UPLOAD_COMPARING:
        if (upload->complete)
            upload_enter(upload, UPLOAD_SHOWING);
        else
            go_on(upload);
        break;
    case UPLOAD_SETTLING:
        if (upload->op_count == 0)
            upload_enter(upload, UPLOAD_REVEALING);
        break;
    case UPLOAD_REVEALING: upload_reveal(upload); break;
    case UPLOAD_SHOWING: upload_show(upload); break;
    case UPLOAD_ENDED: abort(); /* upload_end() does it */
    }
}

/* --- the head --- */

static bool
refuse_load(struct submitter *owner, struct http_request *req)
{
    enum admission_verdict verdict =
        admission_decide(&owner->load, &owner->limits);
    if (service_cannot_serve(owner->service) != NULL) {
        submit_refuse(owner, req, 503, "not_ready",
            "The queue cannot take jobs at this moment.", 1);
        return true;
    }
    if (verdict != ADMISSION_OK) {
        submit_refuse(owner, req, 429, admission_verdict_name(verdict),
            admission_verdict_text(verdict),
            admission_retry_after_s(&owner->pace, &owner->limits));
        return true;
    }
    if (owner->upload_count >= UPLOADS_MAX) {
        submit_refuse(owner, req, 429, "uploads",
            "Too many batches are being uploaded at this moment.", 5);
        return true;
    }
    return false;
}

/* Same face, key and body: the hash covers what the query asks for too. */
static EVP_MD_CTX *
new_hash(const struct upload *upload, const struct http_head *head)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool fine =
        hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    if (fine && !upload_is_claude(upload)) {
        struct slice type = http_head_get(head, "content-type");
        fine = EVP_DigestUpdate(hash, type.data, type.len) == 1 &&
            EVP_DigestUpdate(hash, "\n", 1) == 1 &&
            EVP_DigestUpdate(hash, head->query.data, head->query.len) == 1 &&
            EVP_DigestUpdate(hash, "\n", 1) == 1;
    }
    if (!fine)
        abort(); /* only without memory */
    return hash;
}

static void
name_batch(struct upload *upload)
{
    struct bulk *batch = &upload->batch;
    bulk_make_uuid(batch->uuid);
    batch->created_ms = id_wall_ms(slice_of(batch->uuid));
    batch->expires_ms = batch->created_ms + upload->query.options.expires_in_ms;
    text_copy(
        batch->tenant, sizeof(batch->tenant), slice_of(upload->base.tenant));
    text_copy(batch->run, sizeof(batch->run), slice_of(upload->query.run));
    batch->idempotency_key = upload->base.idempotency_key;
    upload->base.idempotency_key = NULL; /* items have none */
}

static bool
was_resent(const struct http_head *head)
{
    uint64_t count;
    return text_parse_u64(http_head_get(head, "x-stainless-retry-count"),
               UINT32_MAX, &count) == 0 &&
        count > 0;
}

/* Takes base and query over. */
static void
start(struct submitter *owner, struct http_request *req, enum bulk_face face,
    const struct job_meta *base, const struct upload_query *query)
{
    const struct http_head *head = http_request_head(req);
    const struct keys_identity *identity = http_request_identity(req);
    struct upload *upload = memory_zalloc(1, sizeof(*upload));
    upload->owner = owner;
    upload->req = req;
    upload->batch.face = face;
    upload->base = *base;
    upload->query = *query;
    text_copy(upload->base.tenant, sizeof(upload->base.tenant),
        slice_of(identity->tenant));
    name_batch(upload);
    upload->resent = face == BULK_CLAUDE && was_resent(head);
    upload->hash = new_hash(upload, head);
    upload->pump = evtimer_new(owner->service->base, on_pump, upload);
    upload->again = evtimer_new(owner->service->base, upload_on_again, upload);
    link_upload(owner, upload);
    http_request_set_arg(req, upload, on_gone);
    http_request_pause(req);
    upload->paused = true;
    upload_hold(upload);
    upload_enter(upload,
        upload->batch.idempotency_key != NULL ? UPLOAD_LOOKING
                                              : UPLOAD_OPENING);
    upload_release(upload);
}

static void
default_query(const struct service *service, struct upload_query *query)
{
    memset(query, 0, sizeof(*query));
    options_init(&query->options);
    query->options.lane = JOB_LANE_BULK;
    query->options.max_attempts = (unsigned)service->config->max_attempts;
}

void
upload_handle_claude(struct http_request *req, void *program)
{
    struct submitter *owner = program;
    struct job_meta base = {0};
    struct upload_query query;
    http_reply_header(req, "request-id", http_request_id(req));
    if (refuse_load(owner, req))
        return;
    const char *wrong = submit_meta_head(http_request_head(req), &base);
    if (wrong != NULL) {
        job_meta_clear(&base);
        submit_refuse(owner, req, 400, "bad_header", wrong, 0);
        return;
    }
    default_query(owner->service, &query);
    query.form = UPLOAD_ENVELOPE;
    query.options.expires_in_ms = UPLOAD_CLAUDE_EXPIRES_MS;
    start(owner, req, BULK_CLAUDE, &base, &query);
}

void
upload_handle_native(struct http_request *req, void *program)
{
    struct submitter *owner = program;
    const struct http_head *head = http_request_head(req);
    char error[UPLOAD_QUERY_ERROR_SIZE];
    struct job_meta base = {0};
    struct upload_query query;
    if (refuse_load(owner, req))
        return;
    default_query(owner->service, &query);
    unsigned status = upload_query_read(head, &query, error);
    const char *wrong = status != 0 ? error : submit_meta_head(head, &base);
    if (wrong != NULL) {
        upload_query_clear(&query);
        job_meta_clear(&base);
        submit_refuse(owner, req, status != 0 ? status : 400,
            status != 0 ? "bad_query" : "bad_header", wrong, 0);
        return;
    }
    start(owner, req, BULK_NATIVE, &base, &query);
}
