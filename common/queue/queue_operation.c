/* Documents of operations, kept for the status API. */

#include "common/queue/queue_private.h"

static void
on_put(struct queue_call *call, const struct redisReply *reply)
{
    if (call->on_status != NULL)
        call->on_status(call->arg, queue_reply_error(reply));
    memory_free(call);
}

int
queue_operation_put(struct queue *queue, const char *id, struct slice document,
    queue_on_status *on_status, void *arg)
{
    struct queue_call *call = queue_call_new(sizeof(*call), on_put, arg);
    struct queue_args args = {0};

    call->on_status = on_status;
    queue_args_text(&args, document.len > 0 ? "HSET" : "HDEL");
    queue_args_text(&args, queue_key(QUEUE_KEY_OPERATION));
    queue_args_text(&args, id);
    if (document.len > 0)
        queue_args_slice(&args, document);
    return queue_call_command(call, queue->redis, &args);
}

struct list_call {
    struct queue_call call;
    void (*on_operations)(void *arg, enum queue_status status,
        const struct slice *documents, size_t count);
};

static void
on_list(struct queue_call *call, const struct redisReply *reply)
{
    struct list_call *mine = (struct list_call *)call;
    enum queue_status status = queue_reply_error(reply);
    size_t count = status != QUEUE_OK ? 0 : reply->elements;
    struct slice *documents = memory_zalloc(count + 1, sizeof(*documents));

    for (size_t i = 0; i < count; i++)
        documents[i] = redis_reply_slice(redis_reply_at(reply, i));
    mine->on_operations(call->arg, status, documents, count);
    memory_free(documents);
    memory_free(mine);
}

int
queue_operation_list(struct queue *queue,
    void (*on_operations)(void *arg, enum queue_status status,
        const struct slice *documents, size_t count),
    void *arg)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_list, arg);
    struct queue_args args = {0};

    mine->on_operations = on_operations;
    queue_args_text(&args, "HVALS");
    queue_args_text(&args, queue_key(QUEUE_KEY_OPERATION));
    return queue_call_command(&mine->call, queue->redis, &args);
}
