/* What workers tell each other about Claude's limits. */

#include "common/queue/queue_private.h"

struct quota_call {
    struct queue_call call;
    void (*on_state)(void *arg, enum queue_status status,
        const struct queue_quota_state *state);
};

static void
on_quota(struct queue_call *call, const struct redisReply *reply)
{
    struct quota_call *mine = (struct quota_call *)call;
    enum queue_status status = queue_reply_status(reply);
    struct queue_quota_state state = {0};

    for (size_t i = 0; status == QUEUE_OK && i < QUOTA_KINDS; i++) {
        state.level[i] = redis_reply_int(redis_reply_at(reply, 1 + i), 0);
        state.per_min[i] = redis_reply_int(redis_reply_at(reply, 4 + i), -1);
        state.known[i] = state.per_min[i] >= 0;
    }
    mine->on_state(call->arg, status, &state);
    memory_free(mine);
}

/* -1 is said as nothing: as before. */
static void
put_optional(struct queue_args *args, int64_t value)
{
    if (value < 0)
        queue_args_text(args, "");
    else
        queue_args_int(args, value);
}

int
queue_quota_report(struct queue *queue, const struct queue_quota_report *report,
    void (*on_state)(void *arg, enum queue_status status,
        const struct queue_quota_state *state),
    void *arg)
{
    struct quota_call *mine = queue_call_new(sizeof(*mine), on_quota, arg);
    struct queue_args args = {0};

    mine->on_state = on_state;
    queue_args_text(&args, report->scope);
    for (size_t i = 0; i < QUOTA_KINDS; i++)
        queue_args_int(&args, report->used[i]);
    for (size_t i = 0; i < QUOTA_KINDS; i++)
        put_optional(&args, report->per_min[i]);
    put_optional(&args, report->burst_ms);
    put_optional(&args, report->ramp_ms);
    queue_args_text(&args, report->empty ? "1" : "0");
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_QUOTA, &args);
}
