#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/queue/queue_private.h"

static const char *const status_names[] = {
    [QUEUE_OK] = "ok",
    [QUEUE_ABSENT] = "absent",
    [QUEUE_DUPLICATE] = "duplicate",
    [QUEUE_CONFLICT] = "conflict",
    [QUEUE_FULL_JOBS] = "full_jobs",
    [QUEUE_FULL_BYTES] = "full_bytes",
    [QUEUE_NOT_OWNER] = "not_owner",
    [QUEUE_NO_MARKER] = "no_marker",
    [QUEUE_BROKEN] = "broken",
    [QUEUE_UNKNOWN] = "unknown",
};
#define STATUS_COUNT (sizeof(status_names) / sizeof(status_names[0]))

const char *
queue_status_name(enum queue_status status)
{
    return status_names[status];
}

/* --- arguments --------------------------------------------------------- */

void
queue_args_slice(struct queue_args *args, struct slice in)
{
    assert(args->count < QUEUE_ARGS_MAX);
    args->slices[args->count++] = in;
}

void
queue_args_text(struct queue_args *args, const char *text)
{
    queue_args_slice(args, slice_of(text));
}

void
queue_args_int(struct queue_args *args, int64_t value)
{
    char *number = args->numbers[args->number_count++];

    assert(args->number_count <= 20);
    (void)text_i64(value, number);
    queue_args_text(args, number);
}

void
queue_args_owner(struct queue_args *args, const struct queue_owner *owner)
{
    queue_args_text(args, owner->id);
    queue_args_text(args, owner->consumer);
    queue_args_int(args, (int64_t)owner->fence);
}

/* --- calls ------------------------------------------------------------- */

void *
queue_call_new(size_t size,
    void (*on_reply)(struct queue_call *call, const struct redisReply *reply),
    void *arg)
{
    struct queue_call *call = memory_zalloc(1, size);

    call->on_reply = on_reply;
    call->arg = arg;
    return call;
}

static void
on_redis_reply(void *arg, const struct redisReply *reply)
{
    struct queue_call *call = arg;
    const char *script = call->script;

    if (script != NULL)
        crash_point_at(script, ".effect");
    call->on_reply(call, reply);
    if (script != NULL)
        crash_point_at(script, ".after");
}

int
queue_call_script(struct queue_call *call, struct redis *redis,
    enum queue_script script, const struct queue_args *args)
{
    struct slice argv[QUEUE_ARGS_MAX + 1];

    argv[0] = slice_of(QUEUE_PREFIX);
    memcpy(argv + 1, args->slices, args->count * sizeof(argv[0]));
    return queue_call_argv(call, redis, script, args->count + 1, argv);
}

int
queue_call_argv(struct queue_call *call, struct redis *redis,
    enum queue_script script, size_t argc, const struct slice *argv)
{
    call->script = queue_script(script)->name;
    crash_point_at(call->script, ".before");
    if (redis_eval(redis, queue_script(script), on_redis_reply, call, 1, argc,
            argv) != 0) {
        memory_free(call);
        return -1;
    }
    return 0;
}

int
queue_call_command(
    struct queue_call *call, struct redis *redis, const struct queue_args *args)
{
    if (redis_command(redis, on_redis_reply, call, args->count, args->slices) !=
        0) {
        memory_free(call);
        return -1;
    }
    return 0;
}

static void
on_status_reply(struct queue_call *call, const struct redisReply *reply)
{
    enum queue_status status = queue_reply_status(reply);

    if (call->on_status != NULL)
        call->on_status(call->arg, status);
    memory_free(call);
}

struct queue_call *
queue_call_for_status(queue_on_status *on_status, void *arg)
{
    struct queue_call *call =
        queue_call_new(sizeof(*call), on_status_reply, arg);

    call->on_status = on_status;
    return call;
}

int
queue_call_status(struct queue *queue, enum queue_script script,
    const struct queue_args *args, queue_on_status *on_status, void *arg)
{
    return queue_call_script(
        queue_call_for_status(on_status, arg), queue->redis, script, args);
}

/* --- answers ----------------------------------------------------------- */

/* ERR and WRONGTYPE mean that a script met what it cannot: ours to mend. The
 * rest (LOADING, BUSY, MISCONF, READONLY, ...) passes. */
static enum queue_status
error_status(struct slice text)
{
    if (slice_starts_with(text, "OOM"))
        return QUEUE_FULL_BYTES;
    if (slice_starts_with(text, "ERR") || slice_starts_with(text, "WRONGTYPE"))
        return QUEUE_BROKEN;
    return QUEUE_UNKNOWN;
}

enum queue_status
queue_reply_error(const struct redisReply *reply)
{
    enum queue_status status = QUEUE_OK;

    if (reply == NULL)
        return QUEUE_UNKNOWN;
    if (reply->type != REDIS_REPLY_ERROR)
        return QUEUE_OK;
    status = error_status(redis_reply_slice(reply));
    if (status == QUEUE_BROKEN)
        log_error("queue_script_failed",
            LOG_SLICE("error", redis_reply_slice(reply)));
    return status;
}

enum queue_status
queue_reply_status(const struct redisReply *reply)
{
    enum queue_status status = queue_reply_error(reply);
    struct slice name = redis_reply_slice(redis_reply_at(reply, 0));

    if (status != QUEUE_OK)
        return status;
    for (size_t i = 0; i < STATUS_COUNT; i++)
        if (slice_equal_nocase(name, status_names[i]))
            return (enum queue_status)i;
    log_error("queue_answer_strange", LOG_INT("type", reply->type));
    return QUEUE_BROKEN;
}

unsigned
queue_reply_unsigned(const struct redisReply *reply)
{
    int64_t value = redis_reply_int(reply, 0);

    return value < 0 || value > UINT32_MAX ? 0 : (unsigned)value;
}

uint64_t
queue_reply_u64(const struct redisReply *reply)
{
    int64_t value = redis_reply_int(reply, 0);

    return value < 0 ? 0 : (uint64_t)value;
}

bool
queue_reply_state(const struct redisReply *reply, enum job_state *state)
{
    return job_state_parse(redis_reply_slice(reply), state) == 0;
}
