#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "submitter/upload.h"

#define AGAIN_MS 100
/* Of what an item costs on its way, beside its body. */
#define ITEM_COST 1024

struct queue *
upload_queue(const struct upload *upload)
{
    return upload->owner->bulk.queue;
}

/* --- what is on its way --- */

bool
upload_is_backed_up(const struct upload *upload)
{
    return upload->op_count >= UPLOAD_OPS_MAX ||
        upload->op_bytes >= UPLOAD_OPS_BYTES;
}

static struct upload_op *
add_op(struct upload *upload, enum upload_op_kind kind,
    struct upload_item *item, struct slice bytes)
{
    struct upload_op *op = memory_zalloc(1, sizeof(*op));
    op->upload = upload;
    op->kind = kind;
    op->item = item;
    buffer_append_slice(&op->bytes, bytes);
    op->cost = ITEM_COST + bytes.len;
    if (kind == UPLOAD_OP_ITEM)
        op->cost += item->body.len;
    op->previous = upload->ops_last;
    if (op->previous != NULL)
        op->previous->next = op;
    else
        upload->ops = op;
    upload->ops_last = op;
    upload->op_count++;
    upload->op_bytes += op->cost;
    upload->unsent++;
    return op;
}

static void
unlink_op(struct upload *upload, struct upload_op *op)
{
    if (op->previous != NULL)
        op->previous->next = op->next;
    else
        upload->ops = op->next;
    if (op->next != NULL)
        op->next->previous = op->previous;
    else
        upload->ops_last = op->previous;
    upload->op_count--;
    upload->unsent -= !op->sent;
    upload->op_bytes -= op->cost;
}

static void
free_op(struct upload_op *op)
{
    if (op->kind == UPLOAD_OP_ITEM)
        upload_item_free(op->item);
    buffer_clear(&op->bytes);
    memory_free(op);
}

/* Its acknowledgement may still come and then frees it. */
static void
forget_op(struct upload *upload, struct upload_op *op)
{
    unlink_op(upload, op);
    op->forgotten = true;
    if (op->kind == UPLOAD_OP_PART)
        op->item->parts_due--;
    if (!op->sent)
        free_op(op);
}

static void
unstage(const struct upload_item *item)
{
    if (item->meta.parts > 0)
        queue_unstage(item->queue, item->id);
}

void
upload_forget_parts(struct upload *upload, struct upload_item *item)
{
    struct upload_op *op = upload->ops;
    while (op != NULL) {
        struct upload_op *next = op->next;
        if (op->kind == UPLOAD_OP_PART && op->item == item)
            forget_op(upload, op);
        op = next;
    }
    unstage(item);
}

void
upload_forget_ops(struct upload *upload)
{
    while (upload->ops != NULL) {
        struct upload_op *op = upload->ops;
        struct upload_item *item = op->item;
        bool waits = op->kind == UPLOAD_OP_PART && item->whole;
        forget_op(upload, op);
        if (waits && item->parts_due == 0) {
            unstage(item);
            upload_item_free(item);
        }
    }
}

void
upload_drop(struct upload *upload)
{
    upload_forget_ops(upload);
    /* Not ready, or not answered: the sweep does it. */
    if (upload->opened)
        (void)!queue_bulk_drop(
            upload_queue(upload), upload->batch.uuid, NULL, NULL);
    upload->opened = false;
}

/* --- acknowledgements --- */

void
upload_try_again(struct upload *upload)
{
    static const struct timeval pause = {0, AGAIN_MS * 1000};
    if (upload->trouble_ms == 0)
        upload->trouble_ms = clock_mono_ms();
    if (!evtimer_pending(upload->again, NULL))
        evtimer_add(upload->again, &pause);
}

void
upload_on_again(evutil_socket_t fd, short events, void *arg)
{
    struct upload *upload = arg;
    (void)fd;
    (void)events;
    if (upload->trouble_ms != 0 &&
        clock_mono_ms() - upload->trouble_ms >= UPLOAD_PATIENCE_MS) {
        upload_reply_status(upload, QUEUE_UNKNOWN);
        return;
    }
    switch (upload->state) {
    case UPLOAD_READING:
    case UPLOAD_SETTLING: upload_pace_offer(upload->owner); break;
    case UPLOAD_LOOKING: upload_look(upload); break;
    case UPLOAD_OPENING: upload_open(upload); break;
    case UPLOAD_REVEALING: upload_reveal(upload); break;
    case UPLOAD_SHOWING: upload_show(upload); break;
    case UPLOAD_COMPARING:
    case UPLOAD_ENDED: break;
    }
}

static void
count_accepted(struct upload *upload, const struct upload_item *item)
{
    upload->accepted++;
    upload->lanes[item->meta.lane]++;
    upload->raw_bytes += item->meta.body_bytes;
    upload->stored_bytes += item->meta.stored_bytes;
}

/* One thing less is due. */
static void
go_on(struct upload *upload)
{
    upload->trouble_ms = 0;
    if (upload->state == UPLOAD_READING && !upload_is_backed_up(upload))
        upload_wake(upload);
    else if (upload->state == UPLOAD_SETTLING && upload->op_count == 0)
        upload_enter(upload, UPLOAD_REVEALING);
}

/* Redis said no, for certain. */
static void
refused(struct upload *upload, enum queue_status status)
{
    bool has_key = upload->batch.idempotency_key != NULL;
    if (status == QUEUE_NOT_OWNER && has_key) {
        /* Somebody else has revealed it under this key. */
        upload_item_stop(upload);
        upload_forget_ops(upload);
        upload_enter(upload, UPLOAD_OPENING);
    } else {
        upload_reply_status(upload, status);
    }
}

/* Takes the op, which has left the list. */
static void
finish_op(struct upload_op *op, enum queue_status status)
{
    struct upload *upload = op->upload;
    struct upload_item *item = op->item;
    bool last_part = false;
    if (op->kind == UPLOAD_OP_PART)
        last_part = --item->parts_due == 0 && item->whole;
    if (status == QUEUE_OK && op->kind == UPLOAD_OP_ITEM)
        count_accepted(upload, item);
    free_op(op);
    if (last_part && status == QUEUE_OK)
        upload_send_item(upload, item);
    if (last_part && status != QUEUE_OK) {
        unstage(item);
        upload_item_free(item);
    }
    if (status == QUEUE_OK)
        go_on(upload);
    else
        refused(upload, status);
}

static void
on_answer(void *arg, enum queue_status status)
{
    struct upload_op *op = arg;
    struct upload *upload = op->upload;
    struct submitter *owner = upload->owner;
    if (op->forgotten) {
        free_op(op);
    } else if (status == QUEUE_UNKNOWN) {
        op->sent = false;
        upload->unsent++;
        upload_try_again(upload);
    } else {
        unlink_op(upload, op);
        finish_op(op, status);
    }
    upload_release(upload);
    upload_pace_answered(owner);
}

static void
on_staged(void *arg, enum queue_status status, uint64_t ordinal)
{
    (void)ordinal; /* names are free: it is not one of this upload */
    on_answer(arg, status);
}

/* --- sending --- */

static int
stage_item(struct upload_op *op, struct queue *queue)
{
    const struct submitter *owner = op->upload->owner;
    const struct upload_item *item = op->item;
    struct queue_limits limits = {.max_jobs = owner->limits.max_jobs,
        .max_bytes = owner->limits.max_bytes};
    struct queue_bulk_item staged = {.id = item->id,
        .meta = &item->meta,
        .body = buffer_slice(&item->body),
        .ordinal = item->line,
        .refused = item->refused};
    return queue_bulk_stage(queue, &staged, &limits, on_staged, op);
}

static int
stage_part(struct upload_op *op, struct queue *queue)
{
    op->item->queue = queue;
    if (op->index == 0 && op->upload->continued)
        queue_unstage(queue, op->item->id); /* of the upload that broke */
    return queue_stage(queue, op->item->id, op->index, buffer_slice(&op->bytes),
        on_answer, op);
}

bool
upload_is_ready(const struct upload *upload)
{
    return upload->unsent > 0 && !evtimer_pending(upload->again, NULL);
}

size_t
upload_send_next(struct upload *upload, struct queue *queue)
{
    struct upload_op *op = upload->ops;
    int status = -1;
    while (op->sent)
        op = op->next;
    switch (op->kind) {
    case UPLOAD_OP_PART: status = stage_part(op, queue); break;
    case UPLOAD_OP_ITEM: status = stage_item(op, queue); break;
    case UPLOAD_OP_REJECT:
        status = queue_bulk_reject(queue, upload->batch.uuid, op->line,
            buffer_slice(&op->bytes), on_answer, op);
        break;
    }
    if (status != 0) {
        upload_try_again(upload);
        return 0;
    }
    op->sent = true;
    upload->unsent--;
    upload_hold(upload);
    return op->cost;
}

void
upload_send_part(
    struct upload *upload, struct upload_item *item, struct slice bytes)
{
    struct upload_op *op = add_op(upload, UPLOAD_OP_PART, item, bytes);
    op->index = item->meta.parts++;
    item->parts_due++;
}

void
upload_send_item(struct upload *upload, struct upload_item *item)
{
    add_op(upload, UPLOAD_OP_ITEM, item, SLICE_NULL);
}

void
upload_send_reject(
    struct upload *upload, uint64_t line, const struct buffer *json)
{
    struct upload_op *op =
        add_op(upload, UPLOAD_OP_REJECT, NULL, buffer_slice(json));
    op->line = line;
}

/* --- open, reveal --- */

static void
on_key_batch(void *arg, enum store_status status, const struct bulk *batch)
{
    struct upload *upload = arg;
    if (upload->state != UPLOAD_LOOKING) {
        ;
    } else if (status == STORE_OK) {
        text_copy(
            upload->existing, sizeof(upload->existing), slice_of(batch->uuid));
        text_copy(upload->existing_sha256, sizeof(upload->existing_sha256),
            slice_of(batch->sha256));
        upload_enter(upload, UPLOAD_COMPARING);
    } else if (status == STORE_ABSENT) {
        upload_enter(upload, UPLOAD_OPENING);
    } else {
        upload_try_again(upload);
    }
    upload_release(upload);
}

void
upload_look(struct upload *upload)
{
    struct service *service = upload->owner->service;
    if (service->store == NULL) {
        upload_enter(upload, UPLOAD_OPENING);
        return;
    }
    upload_hold(upload);
    store_batch_get_idempotent(service->store, upload->batch.tenant,
        upload->batch.idempotency_key, on_key_batch, upload);
}

static void
take_opened(struct upload *upload, const struct queue_bulk_opened *result)
{
    struct bulk *batch = &upload->batch;
    bool again = upload->opened;
    upload->opened = true;
    upload->continued = result->continued;
    if (result->batch != NULL) {
        text_copy(
            batch->uuid, sizeof(batch->uuid), slice_of(result->batch->uuid));
        batch->created_ms = result->batch->created_ms;
        batch->expires_ms = result->batch->expires_ms;
    }
    if (again) /* what was staged is gone: the client has to begin again */
        upload_reply_status(upload, QUEUE_NOT_OWNER);
    else
        upload_enter(upload, UPLOAD_READING);
}

static void
on_opened(void *arg, const struct queue_bulk_opened *result)
{
    struct upload *upload = arg;
    if (upload->state != UPLOAD_OPENING) {
        /* The client has left; the sweep finds what was made. */
    } else if (result->status == QUEUE_OK) {
        take_opened(upload, result);
    } else if (result->status == QUEUE_DUPLICATE && result->batch != NULL) {
        text_copy(upload->existing, sizeof(upload->existing),
            slice_of(result->batch->uuid));
        text_copy(upload->existing_sha256, sizeof(upload->existing_sha256),
            slice_of(result->batch->sha256));
        upload->opened = false;
        upload_enter(upload, UPLOAD_COMPARING);
    } else if (result->status == QUEUE_UNKNOWN) {
        upload_try_again(upload);
    } else {
        upload_reply_status(upload, result->status);
    }
    upload_release(upload);
}

void
upload_open(struct upload *upload)
{
    if (queue_bulk_open(
            upload_queue(upload), &upload->batch, on_opened, upload) == 0)
        upload_hold(upload);
    else
        upload_try_again(upload);
}

static void
on_revealed(void *arg, enum queue_status status, struct slice uuid)
{
    struct upload *upload = arg;
    crash_point("upload.revealed");
    if (upload->state != UPLOAD_REVEALING) {
        ;
    } else if (status == QUEUE_OK) {
        upload->opened = false;
        upload_reply_new(upload);
    } else if (status == QUEUE_DUPLICATE) {
        text_copy(upload->existing, sizeof(upload->existing), uuid);
        upload_drop(upload);
        memcpy(upload->existing_sha256, upload->batch.sha256,
            sizeof(upload->existing_sha256));
        upload_enter(upload, UPLOAD_SHOWING);
    } else if (status == QUEUE_UNKNOWN) {
        upload_try_again(upload);
    } else {
        upload_reply_status(upload, status);
    }
    upload_release(upload);
}

void
upload_reveal(struct upload *upload)
{
    struct queue_bulk_reveal reveal = {.uuid = upload->batch.uuid,
        .accepted = upload->accepted,
        .rejected = upload->rejected,
        .sha256 = upload->batch.sha256,
        .resent = upload->resent};
    if (upload->doomed || upload->accepted == 0) {
        upload_reply_rejected(upload);
        return;
    }
    crash_point("upload.staged");
    if (queue_bulk_reveal(upload_queue(upload), &reveal, on_revealed, upload) ==
        0)
        upload_hold(upload);
    else
        upload_try_again(upload);
}
