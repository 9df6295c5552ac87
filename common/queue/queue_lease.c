/* Signs of life, and what becomes of the jobs of those who give none. */

#include "common/queue/queue_private.h"

#define REAP_MOST 100

struct beat_call {
    struct queue_call call;
    struct queue_consumer *consumer;
    void (*on_beats)(
        void *arg, enum queue_status status, const struct queue_beats *beats);
};

static void
tell_beats(struct beat_call *mine, const struct redisReply *reply)
{
    const struct redisReply *pairs = redis_reply_at(reply, 1);
    const struct redisReply *ids = redis_reply_at(reply, 2);
    size_t count = pairs == NULL ? 0 : pairs->elements / 2;
    size_t aborts = ids == NULL ? 0 : ids->elements;
    struct queue_beat *beat = memory_zalloc(count + 1, sizeof(*beat));
    struct slice *abort_ids = memory_zalloc(aborts + 1, sizeof(*abort_ids));
    struct queue_beats beats = {.count = count,
        .beat = beat,
        .abort_count = aborts,
        .aborts = abort_ids};

    for (size_t i = 0; i < count; i++) {
        const struct redisReply *value = redis_reply_at(pairs, 2 * i + 1);
        beat[i].consumer = redis_reply_slice(redis_reply_at(pairs, 2 * i));
        beat[i].gone = slice_equal_text(redis_reply_slice(value), "gone");
        beat[i].beats = queue_reply_u64(value);
    }
    for (size_t i = 0; i < aborts; i++)
        abort_ids[i] = redis_reply_slice(redis_reply_at(ids, i));
    mine->on_beats(mine->call.arg, QUEUE_OK, &beats);
    memory_free(beat);
    memory_free(abort_ids);
}

static void
on_beat(struct queue_call *call, const struct redisReply *reply)
{
    static const struct queue_beats none;
    struct beat_call *mine = (struct beat_call *)call;
    enum queue_status status = queue_reply_status(reply);

    if (status == QUEUE_OK) {
        mine->consumer->known = true;
        tell_beats(mine, reply);
    } else {
        mine->on_beats(call->arg, status, &none);
    }
    queue_consumer_release(mine->consumer);
    memory_free(mine);
}

int
queue_beat(struct queue *queue, const char *consumer_name,
    void (*on_beats)(
        void *arg, enum queue_status status, const struct queue_beats *beats),
    void *arg)
{
    struct queue_consumer *consumer = queue_consumer_find(queue, consumer_name);
    struct beat_call *mine = queue_call_new(sizeof(*mine), on_beat, arg);
    struct queue_args args = {0};

    mine->consumer = consumer;
    mine->on_beats = on_beats;
    queue_args_text(&args, consumer_name);
    queue_args_text(&args, consumer->known ? "1" : "0");
    if (queue_call_script(
            &mine->call, queue->redis, QUEUE_SCRIPT_BEAT, &args) != 0)
        return -1;
    consumer->refs++;
    /* Lost claims must not wait until this worker wants more work. */
    (void)!queue_consumer_recover(consumer);
    return 0;
}

int
queue_leave(struct queue *queue, const char *consumer,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, consumer);
    return queue_call_status(queue, QUEUE_SCRIPT_LEAVE, &args, on_status, arg);
}

struct reap_call {
    struct queue_call call;
    void (*on_reaped)(
        void *arg, enum queue_status status, unsigned moved, bool left);
};

static void
on_reaped(struct queue_call *call, const struct redisReply *reply)
{
    struct reap_call *mine = (struct reap_call *)call;

    mine->on_reaped(call->arg, queue_reply_status(reply),
        queue_reply_unsigned(redis_reply_at(reply, 1)),
        queue_reply_unsigned(redis_reply_at(reply, 2)) == 1);
    memory_free(mine);
}

int
queue_reap(struct queue *queue, const char *consumer, uint64_t beats,
    void (*callback)(
        void *arg, enum queue_status status, unsigned moved, bool left),
    void *arg)
{
    struct reap_call *mine = queue_call_new(sizeof(*mine), on_reaped, arg);
    struct queue_args args = {0};

    mine->on_reaped = callback;
    queue_args_text(&args, consumer);
    queue_args_int(&args, (int64_t)beats);
    queue_args_int(&args, REAP_MOST);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_REAP, &args);
}
