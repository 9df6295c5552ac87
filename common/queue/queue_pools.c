/* What workers tell of their upstreams. */

#include <stdio.h>

#include "common/queue/queue_private.h"

int
queue_pool_tell(struct queue *queue, const struct queue_pool *pool,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};
    struct buffer text = {0};
    int result;

    buffer_append_u64(&text, pool->weight);
    buffer_append_char(&text, '|');
    buffer_append_text(&text, pool->buckets);
    buffer_append_char(&text, '|');
    buffer_append_text(&text, pool->base_url);
    queue_args_text(&args, pool->name);
    queue_args_slice(&args, buffer_slice(&text));
    result =
        queue_call_status(queue, QUEUE_SCRIPT_POOLS, &args, on_status, arg);
    buffer_clear(&text);
    return result;
}

/* "told at|weight|buckets|base_url" */
static bool
read_pool(struct slice name, struct slice value, struct queue_pool *pool)
{
    struct slice told = slice_split(&value, '|');
    struct slice weight = slice_split(&value, '|');
    struct slice buckets = slice_split(&value, '|');

    if (told.len == 0 ||
        text_parse_u64(weight, INT64_MAX, &pool->weight) != 0 ||
        !text_copy(pool->name, sizeof(pool->name), name) ||
        !text_copy(pool->buckets, sizeof(pool->buckets), buckets))
        return false;
    (void)text_copy(pool->base_url, sizeof(pool->base_url), value);
    return true;
}

size_t
queue_pools_read(const struct redisReply *reply, struct queue_pool **pools)
{
    size_t pairs = reply == NULL || reply->type != REDIS_REPLY_ARRAY
        ? 0
        : reply->elements / 2;
    size_t count = 0;

    *pools = NULL;
    if (pairs == 0)
        return 0;
    *pools = memory_zalloc(pairs, sizeof(**pools));
    for (size_t i = 0; i < pairs; i++)
        if (read_pool(redis_reply_slice(redis_reply_at(reply, 2 * i)),
                redis_reply_slice(redis_reply_at(reply, 2 * i + 1)),
                &(*pools)[count]))
            count++;
    return count;
}
