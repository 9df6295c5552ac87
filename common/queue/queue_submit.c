#include "common/queue/queue_private.h"

int
queue_stage(struct queue *queue, const char *id, unsigned index,
    struct slice bytes, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, id);
    queue_args_int(&args, index);
    queue_args_slice(&args, bytes);
    return queue_call_status(queue, QUEUE_SCRIPT_STAGE, &args, on_status, arg);
}

void
queue_unstage(struct queue *queue, const char *id)
{
    struct queue_args args = {0};

    queue_args_text(&args, id);
    /* Not ready: the sweep does it. */
    (void)!queue_call_status(queue, QUEUE_SCRIPT_UNSTAGE, &args, NULL, NULL);
}

struct enqueue_call {
    struct queue_call call;
    void (*on_enqueued)(void *arg, const struct queue_enqueued *result);
    char id[ID_SIZE];
};

/* What the answer tells of a job that was there before. */
static void
read_earlier(const struct redisReply *reply, struct queue_enqueued *result)
{
    struct slice id = redis_reply_slice(redis_reply_at(reply, 1));

    if (id.len > 0)
        (void)text_copy(result->id, sizeof(result->id), id);
    result->version = queue_reply_u64(redis_reply_at(reply, 2));
    result->generation = queue_reply_unsigned(redis_reply_at(reply, 3));
    result->finished = redis_reply_int(redis_reply_at(reply, 5), 0) == 1;
    /* A tombstone that has expired keeps no state: it has ended. */
    if (!queue_reply_state(redis_reply_at(reply, 4), &result->state))
        result->state = result->finished ? JOB_SUCCEEDED : JOB_QUEUED;
}

static void
on_enqueued(struct queue_call *call, const struct redisReply *reply)
{
    struct enqueue_call *mine = (struct enqueue_call *)call;
    struct queue_enqueued result = {.status = queue_reply_status(reply),
        .state = JOB_QUEUED,
        .version = 1,
        .ahead = -1};

    (void)text_copy(result.id, sizeof(result.id), slice_of(mine->id));
    if (result.status == QUEUE_OK)
        result.ahead = redis_reply_int(redis_reply_at(reply, 1), -1);
    else
        read_earlier(reply, &result);
    mine->on_enqueued(call->arg, &result);
    memory_free(mine);
}

int
queue_enqueue(struct queue *queue, const char *id, const struct job_meta *meta,
    struct slice body, int64_t expires_in_ms, const struct queue_limits *limits,
    void (*callback)(void *arg, const struct queue_enqueued *result), void *arg)
{
    struct enqueue_call *mine = NULL;
    struct queue_args args = {0};
    struct buffer json = {0};
    struct buffer idem = {0};
    char name[JOB_QUEUE_MAX + 1];
    int result = -1;

    if (redis_get_state(queue->redis) != REDIS_READY)
        return -1;
    mine = queue_call_new(sizeof(*mine), on_enqueued, arg);
    mine->on_enqueued = callback;
    (void)text_copy(mine->id, sizeof(mine->id), slice_of(id));
    job_meta_queue(meta, name);
    job_meta_encode(meta, &json);
    if (meta->idempotency_key != NULL)
        buffer_printf(&idem, "%s:%s", meta->tenant, meta->idempotency_key);
    queue_args_text(&args, id);
    queue_args_text(&args, name);
    queue_args_slice(&args, buffer_slice(&json));
    queue_args_slice(&args, meta->parts == 0 ? body : SLICE_NULL);
    queue_args_int(&args, (int64_t)meta->stored_bytes);
    queue_args_int(&args, meta->parts);
    queue_args_int(&args, expires_in_ms);
    queue_args_slice(&args, buffer_slice(&idem));
    queue_args_text(&args, idem.len > 0 ? meta->sha256 : "");
    queue_args_int(&args, (int64_t)limits->max_jobs);
    queue_args_int(&args, (int64_t)limits->max_bytes);
    result = queue_call_batched(&queue->enqueues, &mine->call, &args);
    buffer_clear(&json);
    buffer_clear(&idem);
    return result;
}

struct idempotency_call {
    struct queue_call call;
    void (*on_found)(void *arg, enum queue_status status, struct slice id,
        struct slice sha256);
};

static void
on_idempotency(struct queue_call *call, const struct redisReply *reply)
{
    struct idempotency_call *mine = (struct idempotency_call *)call;
    enum queue_status status = queue_reply_error(reply);
    struct slice sha256 = redis_reply_slice(reply);
    struct slice id = SLICE_NULL;

    if (status != QUEUE_OK)
        sha256 = SLICE_NULL;
    else if (sha256.len == 0)
        status = QUEUE_ABSENT;
    else
        id = slice_split(&sha256, ' ');
    mine->on_found(call->arg, status, id, sha256);
    memory_free(mine);
}

int
queue_idempotency_get(struct queue *queue, const char *tenant, const char *key,
    void (*callback)(void *arg, enum queue_status status, struct slice id,
        struct slice sha256),
    void *arg)
{
    struct idempotency_call *mine =
        queue_call_new(sizeof(*mine), on_idempotency, arg);
    struct queue_args args = {0};
    struct buffer name = {0};
    int result = -1;

    mine->on_found = callback;
    queue_key_append(QUEUE_KEY_IDEM, slice_of(tenant), &name);
    buffer_append_char(&name, ':');
    buffer_append_text(&name, key);
    queue_args_text(&args, "GET");
    queue_args_slice(&args, buffer_slice(&name));
    result = queue_call_command(&mine->call, queue->redis, &args);
    buffer_clear(&name);
    return result;
}
