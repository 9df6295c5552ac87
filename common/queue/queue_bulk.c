/* Batches on their way in: open, stage, reject, reveal, drop. */

#include <string.h>

#include "common/queue/queue_bulk_private.h"

/* --- open ---------------------------------------------------------------- */

struct open_call {
    struct queue_call call;
    void (*on_opened)(void *arg, const struct queue_bulk_opened *result);
};

static void
on_opened(struct queue_call *call, const struct redisReply *reply)
{
    struct open_call *mine = (struct open_call *)call;
    struct queue_bulk_opened result = {.status = queue_reply_status(reply)};
    struct slice sha256 = redis_reply_slice(redis_reply_at(reply, 4));
    struct bulk bulk = {0};

    if (result.status == QUEUE_OK || result.status == QUEUE_DUPLICATE) {
        result.continued =
            slice_equal_text(redis_reply_slice(redis_reply_at(reply, 1)), "1");
        queue_bulk_read(redis_reply_slice(redis_reply_at(reply, 2)),
            redis_reply_at(reply, 3), &bulk);
        if (sha256.len > 0)
            (void)text_copy(bulk.sha256, sizeof(bulk.sha256), sha256);
        result.batch = &bulk;
    }
    mine->on_opened(call->arg, &result);
    bulk_clear(&bulk);
    memory_free(mine);
}

int
queue_bulk_open(struct queue *queue, const struct bulk *batch,
    void (*callback)(void *arg, const struct queue_bulk_opened *result),
    void *arg)
{
    struct open_call *mine = queue_call_new(sizeof(*mine), on_opened, arg);
    struct queue_args args = {0};
    struct buffer idem = {0};
    int sent = -1;

    mine->on_opened = callback;
    if (batch->idempotency_key != NULL)
        buffer_printf(&idem, "%s:%s", batch->tenant, batch->idempotency_key);
    queue_args_text(&args, batch->uuid);
    queue_args_text(&args, batch->tenant);
    queue_args_text(&args, bulk_face_name(batch->face));
    queue_args_int(&args, batch->created_ms);
    queue_args_int(&args, batch->expires_ms);
    queue_args_text(&args, batch->run);
    queue_args_text(&args, batch->meta != NULL ? batch->meta : "");
    queue_args_slice(&args, buffer_slice(&idem));
    sent = queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_OPEN, &args);
    buffer_clear(&idem);
    return sent;
}

/* --- items --------------------------------------------------------------- */

struct stage_call {
    struct queue_call call;
    void (*on_staged)(void *arg, enum queue_status status, uint64_t ordinal);
};

static void
on_staged(struct queue_call *call, const struct redisReply *reply)
{
    struct stage_call *mine = (struct stage_call *)call;

    mine->on_staged(call->arg, queue_reply_status(reply),
        queue_reply_u64(redis_reply_at(reply, 1)));
    memory_free(mine);
}

int
queue_bulk_stage(struct queue *queue, const struct queue_bulk_item *item,
    const struct queue_limits *limits,
    void (*callback)(void *arg, enum queue_status status, uint64_t ordinal),
    void *arg)
{
    const struct job_meta *meta = item->meta;
    struct stage_call *mine = NULL;
    struct queue_args args = {0};
    struct buffer json = {0};
    struct buffer refused = {0};
    char name[JOB_QUEUE_MAX + 1];
    int sent = -1;

    if (redis_get_state(queue->redis) != REDIS_READY)
        return -1;
    mine = queue_call_new(sizeof(*mine), on_staged, arg);
    mine->on_staged = callback;
    job_meta_queue(meta, name);
    job_meta_encode(meta, &json);
    if (item->refused != NULL)
        job_error_encode(item->refused, &refused);
    queue_args_text(&args, meta->batch);
    queue_args_text(&args, item->id);
    queue_args_text(&args, name);
    queue_args_slice(&args, buffer_slice(&json));
    queue_args_slice(&args, meta->parts == 0 ? item->body : SLICE_NULL);
    queue_args_int(&args, (int64_t)meta->stored_bytes);
    queue_args_int(&args, meta->parts);
    queue_args_int(&args, meta->expires_ms - meta->created_ms);
    queue_args_text(&args, meta->custom_id != NULL ? meta->custom_id : "");
    queue_args_int(&args, (int64_t)item->ordinal);
    queue_args_slice(&args, buffer_slice(&refused));
    queue_args_text(&args, meta->sha256);
    queue_args_int(&args, (int64_t)limits->max_jobs);
    queue_args_int(&args, (int64_t)limits->max_bytes);
    sent = queue_call_batched(&queue->bulk_items, &mine->call, &args);
    buffer_clear(&json);
    buffer_clear(&refused);
    return sent;
}

int
queue_bulk_reject(struct queue *queue, const char *uuid, uint64_t line,
    struct slice json, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, uuid);
    queue_args_int(&args, (int64_t)line);
    queue_args_slice(&args, json);
    return queue_call_batched(
        &queue->bulk_rejects, queue_call_for_status(on_status, arg), &args);
}

/* --- reveal, drop -------------------------------------------------------- */

struct reveal_call {
    struct queue_call call;
    void (*on_revealed)(void *arg, enum queue_status status, struct slice uuid);
};

static void
on_revealed(struct queue_call *call, const struct redisReply *reply)
{
    struct reveal_call *mine = (struct reveal_call *)call;

    mine->on_revealed(call->arg, queue_reply_status(reply),
        redis_reply_slice(redis_reply_at(reply, 1)));
    memory_free(mine);
}

int
queue_bulk_reveal(struct queue *queue, const struct queue_bulk_reveal *reveal,
    void (*callback)(void *arg, enum queue_status status, struct slice uuid),
    void *arg)
{
    struct reveal_call *mine = queue_call_new(sizeof(*mine), on_revealed, arg);
    struct queue_args args = {0};

    mine->on_revealed = callback;
    queue_args_text(&args, reveal->uuid);
    queue_args_int(&args, (int64_t)reveal->accepted);
    queue_args_int(&args, (int64_t)reveal->rejected);
    queue_args_text(&args, reveal->sha256);
    queue_args_text(&args, reveal->resent ? "1" : "0");
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_REVEAL, &args);
}

int
queue_bulk_drop(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, uuid);
    return queue_call_status(
        queue, QUEUE_SCRIPT_BATCH_DROP, &args, on_status, arg);
}
