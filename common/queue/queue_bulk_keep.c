/* What happens to revealed batches: cancel, delete, and the keeper's steps. */

#include "common/queue/queue_bulk_private.h"

static int
ask(struct queue *queue, enum queue_script script, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, uuid);
    return queue_call_status(queue, script, &args, on_status, arg);
}

int
queue_bulk_cancel(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    return ask(queue, QUEUE_SCRIPT_BATCH_CANCEL, uuid, on_status, arg);
}

int
queue_bulk_leave(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    return ask(queue, QUEUE_SCRIPT_BATCH_LEAVE, uuid, on_status, arg);
}

static int
ask_delete(struct queue *queue, const char *uuid, const char *done,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, uuid);
    queue_args_text(&args, done);
    return queue_call_status(
        queue, QUEUE_SCRIPT_BATCH_DELETE, &args, on_status, arg);
}

int
queue_bulk_delete(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    return ask_delete(queue, uuid, "0", on_status, arg);
}

int
queue_bulk_deleted(struct queue *queue, const char *uuid,
    queue_on_status *on_status, void *arg)
{
    return ask_delete(queue, uuid, "1", on_status, arg);
}

struct advance_call {
    struct queue_call call;
    void (*on_advanced)(
        void *arg, enum queue_status status, unsigned moved, bool more);
};

static void
on_advanced(struct queue_call *call, const struct redisReply *reply)
{
    struct advance_call *mine = (struct advance_call *)call;

    mine->on_advanced(call->arg, queue_reply_status(reply),
        queue_reply_unsigned(redis_reply_at(reply, 1)),
        queue_reply_unsigned(redis_reply_at(reply, 2)) == 1);
    memory_free(mine);
}

int
queue_bulk_advance(struct queue *queue, unsigned most,
    void (*callback)(
        void *arg, enum queue_status status, unsigned moved, bool more),
    void *arg)
{
    struct advance_call *mine = queue_call_new(sizeof(*mine), on_advanced, arg);
    struct queue_args args = {0};

    mine->on_advanced = callback;
    queue_args_int(&args, most > 0 ? most : 1);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_ADVANCE, &args);
}

int
queue_bulk_end(struct queue *queue, const char *uuid, uint64_t replays,
    const struct bulk_tally *tally, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};
    struct buffer json = {0};
    int sent = -1;

    bulk_tally_encode(tally, &json);
    queue_args_text(&args, uuid);
    queue_args_int(&args, (int64_t)replays);
    queue_args_slice(&args, buffer_slice(&json));
    queue_args_int(&args, (int64_t)bulk_tally_total(tally));
    sent =
        queue_call_status(queue, QUEUE_SCRIPT_BATCH_END, &args, on_status, arg);
    buffer_clear(&json);
    return sent;
}

int
queue_bulk_lock(struct queue *queue, const char *holder, int64_t for_ms,
    queue_on_status *on_status, void *arg)
{
    return queue_operation_lock(
        queue, "keeper", holder, for_ms, on_status, arg);
}
