/* The tick, and holds: what is shared by all workers beside jobs. */

#include "common/queue/queue_private.h"

#define TICK_MOST 200

/* "kind|until|epoch|reason"; false when it is not that. */
static bool
read_hold(struct slice scope, struct slice value, int64_t now_ms,
    struct queue_hold *hold)
{
    struct slice kind = slice_split(&value, '|');
    struct slice until = slice_split(&value, '|');
    struct slice epoch = slice_split(&value, '|');

    if (text_parse_i64(until, 0, INT64_MAX, &hold->until_ms) != 0 ||
        text_parse_u64(epoch, INT64_MAX, &hold->epoch) != 0)
        return false;
    (void)text_copy(hold->scope, sizeof(hold->scope), scope);
    (void)text_copy(hold->kind, sizeof(hold->kind), kind);
    (void)text_copy(hold->reason, sizeof(hold->reason), value);
    hold->left_ms = hold->until_ms == 0 ? -1 : hold->until_ms - now_ms;
    if (hold->until_ms != 0 && hold->left_ms < 0)
        hold->left_ms = 0;
    return true;
}

size_t
queue_holds_read(
    const struct redisReply *reply, int64_t now_ms, struct queue_hold **holds)
{
    size_t pairs = reply == NULL || reply->type != REDIS_REPLY_ARRAY
        ? 0
        : reply->elements / 2;
    size_t count = 0;

    *holds = NULL;
    if (pairs == 0)
        return 0;
    *holds = memory_zalloc(pairs, sizeof(**holds));
    for (size_t i = 0; i < pairs; i++)
        if (read_hold(redis_reply_slice(redis_reply_at(reply, 2 * i)),
                redis_reply_slice(redis_reply_at(reply, 2 * i + 1)), now_ms,
                &(*holds)[count]))
            count++;
    return count;
}

struct tick_call {
    struct queue_call call;
    void (*on_tick)(
        void *arg, enum queue_status status, const struct queue_tick *tick);
};

static void
tell_tick(struct tick_call *mine, const struct redisReply *reply)
{
    const struct redisReply *names = redis_reply_at(reply, 4);
    size_t count = names == NULL ? 0 : names->elements;
    struct slice *queues = memory_zalloc(count + 1, sizeof(*queues));
    struct queue_hold *holds = NULL;
    struct queue_tick tick = {
        .promoted = queue_reply_unsigned(redis_reply_at(reply, 1)),
        .more = queue_reply_unsigned(redis_reply_at(reply, 2)) == 1,
        .queue_count = count,
        .queues = queues,
    };

    for (size_t i = 0; i < count; i++)
        queues[i] = redis_reply_slice(redis_reply_at(names, i));
    tick.hold_count = queue_holds_read(redis_reply_at(reply, 5),
        redis_reply_int(redis_reply_at(reply, 3), 0), &holds);
    tick.holds = holds;
    mine->on_tick(mine->call.arg, QUEUE_OK, &tick);
    memory_free(queues);
    memory_free(holds);
}

static void
on_tick(struct queue_call *call, const struct redisReply *reply)
{
    static const struct queue_tick none;
    struct tick_call *mine = (struct tick_call *)call;
    enum queue_status status = queue_reply_status(reply);

    if (status == QUEUE_OK)
        tell_tick(mine, reply);
    else
        mine->on_tick(call->arg, status, &none);
    memory_free(mine);
}

int
queue_tick(struct queue *queue,
    void (*callback)(
        void *arg, enum queue_status status, const struct queue_tick *tick),
    void *arg)
{
    struct tick_call *mine = queue_call_new(sizeof(*mine), on_tick, arg);
    struct queue_args args = {0};

    mine->on_tick = callback;
    queue_args_int(&args, TICK_MOST);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_TICK, &args);
}

int
queue_hold_set(struct queue *queue, const char *scope, const char *kind,
    int64_t for_ms, const char *reason, bool force, queue_on_status *on_status,
    void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, scope);
    queue_args_text(&args, kind);
    queue_args_int(&args, for_ms);
    queue_args_text(&args, reason);
    queue_args_text(&args, force ? "1" : "0");
    return queue_call_status(queue, QUEUE_SCRIPT_HOLD, &args, on_status, arg);
}

int
queue_hold_clear(struct queue *queue, const char *scope,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, scope);
    queue_args_text(&args, "");
    queue_args_int(&args, 0);
    queue_args_text(&args, "");
    queue_args_text(&args, "1");
    return queue_call_status(queue, QUEUE_SCRIPT_HOLD, &args, on_status, arg);
}

static int
lock(struct queue *queue, const char *kind, const char *name,
    const char *holder, int64_t for_ms, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};
    struct buffer key = {0};
    int result = -1;

    buffer_append_text(&key, kind);
    buffer_append_text(&key, name);
    queue_args_slice(&args, buffer_slice(&key));
    queue_args_text(&args, holder);
    queue_args_int(&args, for_ms > 0 ? for_ms : 1);
    result = queue_call_status(queue, QUEUE_SCRIPT_LOCK, &args, on_status, arg);
    buffer_clear(&key);
    return result;
}

int
queue_probe(struct queue *queue, const char *scope, const char *consumer,
    int64_t for_ms, queue_on_status *on_status, void *arg)
{
    return lock(queue, "probe:", scope, consumer, for_ms, on_status, arg);
}

int
queue_operation_lock(struct queue *queue, const char *id, const char *holder,
    int64_t for_ms, queue_on_status *on_status, void *arg)
{
    return lock(queue, "oplock:", id, holder, for_ms, on_status, arg);
}
