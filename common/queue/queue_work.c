/* What an owner does with its claim. */

#include "common/queue/queue_private.h"

struct bytes_call {
    struct queue_call call;
    void (*on_bytes)(void *arg, enum queue_status status, struct slice bytes);
};

static void
on_bytes(struct queue_call *call, const struct redisReply *reply)
{
    struct bytes_call *mine = (struct bytes_call *)call;
    enum queue_status status = queue_reply_error(reply);

    if (status == QUEUE_OK && reply->type != REDIS_REPLY_STRING)
        status = QUEUE_ABSENT;
    mine->on_bytes(call->arg, status,
        status == QUEUE_OK ? redis_reply_slice(reply) : SLICE_NULL);
    memory_free(mine);
}

static int
get_bytes(struct queue *queue, const char *command, enum queue_key key,
    const char *id, const char *index,
    void (*callback)(void *arg, enum queue_status status, struct slice bytes),
    void *arg)
{
    struct bytes_call *mine = queue_call_new(sizeof(*mine), on_bytes, arg);
    struct queue_args args = {0};
    struct buffer name = {0};
    int result = -1;

    mine->on_bytes = callback;
    queue_key_append(key, slice_of(id), &name);
    queue_args_text(&args, command);
    queue_args_slice(&args, buffer_slice(&name));
    if (index != NULL)
        queue_args_text(&args, index);
    result = queue_call_command(&mine->call, queue->redis, &args);
    buffer_clear(&name);
    return result;
}

int
queue_part_get(struct queue *queue, const char *id, unsigned index,
    void (*on_part)(void *arg, enum queue_status status, struct slice bytes),
    void *arg)
{
    struct buffer number = {0};
    int result = -1;

    buffer_append_u64(&number, index);
    result =
        get_bytes(queue, "HGET", QUEUE_KEY_BODY, id, number.data, on_part, arg);
    buffer_clear(&number);
    return result;
}

int
queue_parked_get(struct queue *queue, const char *id,
    void (*on_part)(void *arg, enum queue_status status, struct slice bytes),
    void *arg)
{
    return get_bytes(queue, "GET", QUEUE_KEY_PARKED, id, NULL, on_part, arg);
}

struct check_call {
    struct queue_call call;
    char *consumer;
    uint64_t fence;
};

static void
on_check(struct queue_call *call, const struct redisReply *reply)
{
    struct check_call *mine = (struct check_call *)call;
    enum queue_status status = queue_reply_error(reply);

    if (status == QUEUE_OK &&
        (!slice_equal_text(
             redis_reply_slice(redis_reply_at(reply, 0)), mine->consumer) ||
            queue_reply_u64(redis_reply_at(reply, 1)) != mine->fence))
        status = QUEUE_NOT_OWNER;
    call->on_status(call->arg, status);
    memory_free(mine->consumer);
    memory_free(mine);
}

int
queue_check(struct queue *queue, const struct queue_owner *owner,
    queue_on_status *on_status, void *arg)
{
    struct check_call *mine = NULL;
    struct queue_args args = {0};
    struct buffer name = {0};
    int result = -1;

    if (redis_get_state(queue->redis) != REDIS_READY)
        return -1;
    mine = queue_call_new(sizeof(*mine), on_check, arg);
    mine->call.on_status = on_status;
    mine->consumer = memory_dup(owner->consumer);
    mine->fence = owner->fence;
    queue_key_append(QUEUE_KEY_JOB, slice_of(owner->id), &name);
    queue_args_text(&args, "HMGET");
    queue_args_slice(&args, buffer_slice(&name));
    queue_args_text(&args, "own");
    queue_args_text(&args, "fence");
    result = queue_call_command(&mine->call, queue->redis, &args);
    buffer_clear(&name);
    return result;
}

int
queue_finish(struct queue *queue, const struct queue_owner *owner,
    const struct job_result *result, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_owner(&args, owner);
    queue_args_int(&args, result->generation);
    queue_args_int(&args, (int64_t)result->version);
    queue_args_text(&args, job_state_name(result->state));
    return queue_call_batched(
        &queue->finishes, queue_call_for_status(on_status, arg), &args);
}

int
queue_bury(struct queue *queue, const struct queue_owner *owner,
    const struct job_result *result, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};
    struct buffer error = {0};
    char fingerprint[17];
    int sent = -1;

    job_error_encode(&result->error, &error);
    job_error_fingerprint(&result->error, result->model, fingerprint);
    queue_args_owner(&args, owner);
    queue_args_int(&args, result->generation);
    queue_args_int(&args, (int64_t)result->version);
    queue_args_int(&args, result->attempts);
    queue_args_text(&args, job_lane_name(result->meta.lane));
    queue_args_text(&args, result->model);
    queue_args_text(&args, result->meta.tenant);
    queue_args_text(&args, fingerprint);
    queue_args_slice(&args, buffer_slice(&error));
    sent = queue_call_status(queue, QUEUE_SCRIPT_BURY, &args, on_status, arg);
    buffer_clear(&error);
    return sent;
}

int
queue_retry(struct queue *queue, const struct queue_owner *owner,
    int64_t delay_ms, unsigned attempts, const struct job_error *error,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};
    struct buffer json = {0};
    int result = -1;

    job_error_encode(error, &json);
    queue_args_owner(&args, owner);
    queue_args_int(&args, delay_ms > 0 ? delay_ms : 0);
    queue_args_int(&args, attempts);
    queue_args_slice(&args, buffer_slice(&json));
    result =
        queue_call_status(queue, QUEUE_SCRIPT_RETRY, &args, on_status, arg);
    buffer_clear(&json);
    return result;
}

int
queue_release(struct queue *queue, const struct queue_owner *owner,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_owner(&args, owner);
    return queue_call_status(
        queue, QUEUE_SCRIPT_RELEASE, &args, on_status, arg);
}

int
queue_park(struct queue *queue, const struct queue_owner *owner,
    struct slice answer, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_owner(&args, owner);
    queue_args_slice(&args, answer);
    return queue_call_status(queue, QUEUE_SCRIPT_PARK, &args, on_status, arg);
}
