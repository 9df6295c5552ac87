/* Numbers for gauges, from one script. */

#include <string.h>

#include "common/queue/queue_private.h"

typedef void on_stats_fn(
    void *arg, enum queue_status status, const struct queue_stats *stats);

struct stats_call {
    struct queue_call call;
    on_stats_fn *on_stats;
};

static uint64_t
info_number(struct slice info, const char *name)
{
    size_t len = strlen(name);
    uint64_t value = 0;

    while (info.len > 0) {
        struct slice line = slice_split(&info, '\n');
        if (!slice_starts_with(line, name) || line.len < len)
            continue;
        line = slice_make(line.data + len, line.len - len);
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (text_parse_u64(line, UINT64_MAX, &value) == 0)
            return value;
    }
    return 0;
}

/* {name, waiting, running, oldest id, ...} */
static size_t
read_queues(const struct redisReply *reply, struct queue_numbers **queues)
{
    size_t count = reply == NULL ? 0 : reply->elements / 4;

    *queues = memory_zalloc(count + 1, sizeof(**queues));
    for (size_t i = 0; i < count; i++) {
        struct queue_numbers *numbers = &(*queues)[i];
        struct slice oldest =
            redis_reply_slice(redis_reply_at(reply, 4 * i + 3));
        numbers->name = redis_reply_slice(redis_reply_at(reply, 4 * i));
        numbers->waiting = queue_reply_u64(redis_reply_at(reply, 4 * i + 1));
        numbers->running = queue_reply_u64(redis_reply_at(reply, 4 * i + 2));
        if (id_is_valid(oldest, JOB_ID_PREFIX))
            numbers->oldest_ms = id_wall_ms(oldest);
    }
    return count;
}

/* {scope, three levels, three limits, ...} */
static size_t
read_quotas(const struct redisReply *reply, struct queue_quota_shown **quotas)
{
    const size_t each = 1 + 2 * QUOTA_KINDS;
    size_t count = reply == NULL ? 0 : reply->elements / each;

    *quotas = memory_zalloc(count + 1, sizeof(**quotas));
    for (size_t i = 0; i < count; i++) {
        struct queue_quota_shown *shown = &(*quotas)[i];

        (void)text_copy(shown->scope, sizeof(shown->scope),
            redis_reply_slice(redis_reply_at(reply, each * i)));
        for (size_t kind = 0; kind < QUOTA_KINDS; kind++) {
            size_t at = each * i + 1 + kind;

            shown->state.level[kind] =
                redis_reply_int(redis_reply_at(reply, at), 0);
            shown->state.per_min[kind] =
                redis_reply_int(redis_reply_at(reply, at + QUOTA_KINDS), 0);
            shown->state.known[kind] = shown->state.per_min[kind] > 0;
        }
    }
    return count;
}

static void
tell(struct stats_call *mine, const struct redisReply *reply)
{
    struct slice memory = redis_reply_slice(redis_reply_at(reply, 10));
    struct queue_numbers *queues = NULL;
    struct queue_hold *holds = NULL;
    struct queue_pool *pools = NULL;
    struct queue_quota_shown *quotas = NULL;
    struct queue_stats stats = {
        .jobs = queue_reply_u64(redis_reply_at(reply, 0)),
        .bytes = queue_reply_u64(redis_reply_at(reply, 1)),
        .retrying = queue_reply_u64(redis_reply_at(reply, 2)),
        .closing = queue_reply_u64(redis_reply_at(reply, 3)),
        .dead = queue_reply_u64(redis_reply_at(reply, 4)),
        .submitted_total = queue_reply_u64(redis_reply_at(reply, 5)),
        .consumer_count = queue_reply_unsigned(redis_reply_at(reply, 6)),
        .redis_used_bytes = info_number(memory, "used_memory:"),
        .redis_max_bytes = info_number(memory, "maxmemory:"),
        .batches = queue_reply_u64(redis_reply_at(reply, 13)),
        .uploads = queue_reply_u64(redis_reply_at(reply, 14)),
        .unpromoted = queue_reply_u64(redis_reply_at(reply, 15)),
    };

    stats.queue_count = read_queues(redis_reply_at(reply, 9), &queues);
    stats.queues = queues;
    stats.hold_count = queue_holds_read(redis_reply_at(reply, 8),
        redis_reply_int(redis_reply_at(reply, 7), 0), &holds);
    stats.holds = holds;
    stats.pool_count = queue_pools_read(redis_reply_at(reply, 11), &pools);
    stats.pools = pools;
    stats.quota_count = read_quotas(redis_reply_at(reply, 12), &quotas);
    stats.quotas = quotas;
    mine->on_stats(mine->call.arg, QUEUE_OK, &stats);
    memory_free(quotas);
    memory_free(pools);
    memory_free(queues);
    memory_free(holds);
}

static void
on_stats(struct queue_call *call, const struct redisReply *reply)
{
    static const struct queue_stats none;
    struct stats_call *mine = (struct stats_call *)call;
    enum queue_status status = queue_reply_error(reply);

    if (status == QUEUE_OK)
        tell(mine, reply);
    else
        mine->on_stats(call->arg, status, &none);
    memory_free(mine);
}

int
queue_stats_get(struct queue *queue, on_stats_fn *callback, void *arg)
{
    struct stats_call *mine = queue_call_new(sizeof(*mine), on_stats, arg);
    struct queue_args args = {0};

    mine->on_stats = callback;
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_STATS, &args);
}
