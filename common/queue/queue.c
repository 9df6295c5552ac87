#include "common/queue/queue.h"

#include "common/queue/queue_private.h"

struct queue *
queue_new(struct event_base *base, struct redis *redis)
{
    struct queue *queue = memory_zalloc(1, sizeof(*queue));

    queue->base = base;
    queue->redis = redis;
    queue_batch_init(&queue->enqueues, queue, QUEUE_SCRIPT_ENQUEUE, 11);
    queue_batch_init(&queue->finishes, queue, QUEUE_SCRIPT_FINISH, 6);
    queue_batch_init(&queue->bulk_items, queue, QUEUE_SCRIPT_BATCH_STAGE, 14);
    queue_batch_init(&queue->bulk_rejects, queue, QUEUE_SCRIPT_BATCH_REJECT, 3);
    return queue;
}

void
queue_free(struct queue *queue)
{
    if (queue == NULL)
        return;
    queue_batch_clear(&queue->enqueues);
    queue_batch_clear(&queue->finishes);
    queue_batch_clear(&queue->bulk_items);
    queue_batch_clear(&queue->bulk_rejects);
    redis_unsubscribe(queue->redis, queue_key(QUEUE_KEY_NOTICE));
    redis_unsubscribe(queue->redis, queue_key(QUEUE_KEY_EVENTS));
    while (queue->consumers != NULL) {
        struct queue_consumer *consumer = queue->consumers;
        queue->consumers = consumer->next;
        queue_consumer_fail_waiting(consumer, QUEUE_UNKNOWN);
        queue_consumer_release(consumer);
    }
    memory_free(queue);
}

struct redis *
queue_redis(struct queue *queue)
{
    return queue->redis;
}

/* --- marker ------------------------------------------------------------ */

struct marker_call {
    struct queue_call call;
    void (*on_marker)(void *arg, enum queue_status status, struct slice marker);
    char *marker; /* that should be set, or NULL */
};

static void
on_marker(struct queue_call *call, const struct redisReply *reply)
{
    struct marker_call *mine = (struct marker_call *)call;
    enum queue_status status = queue_reply_error(reply);
    struct slice old = redis_reply_slice(reply);

    if (status != QUEUE_OK)
        old = SLICE_NULL;
    if (mine->marker == NULL) {
        mine->on_marker(call->arg, status, old);
    } else {
        if (old.len > 0 && !slice_equal_text(old, mine->marker))
            status = QUEUE_CONFLICT;
        call->on_status(call->arg, status);
    }
    memory_free(mine->marker);
    memory_free(mine);
}

int
queue_marker_get(struct queue *queue,
    void (*callback)(void *arg, enum queue_status status, struct slice marker),
    void *arg)
{
    struct marker_call *mine = queue_call_new(sizeof(*mine), on_marker, arg);
    struct queue_args args = {0};

    mine->on_marker = callback;
    queue_args_text(&args, "GET");
    queue_args_text(&args, queue_key(QUEUE_KEY_INSTALL));
    return queue_call_command(&mine->call, queue->redis, &args);
}

/* Sent twice: the second finds its own value. */
int
queue_marker_set(struct queue *queue, const char *marker,
    queue_on_status *on_status, void *arg)
{
    struct marker_call *mine = NULL;
    struct queue_args args = {0};

    if (redis_get_state(queue->redis) != REDIS_READY)
        return -1;
    mine = queue_call_new(sizeof(*mine), on_marker, arg);
    mine->call.on_status = on_status;
    mine->marker = memory_dup(marker);
    queue_args_text(&args, "SET");
    queue_args_text(&args, queue_key(QUEUE_KEY_INSTALL));
    queue_args_text(&args, marker);
    queue_args_text(&args, "NX");
    queue_args_text(&args, "GET");
    return queue_call_command(&mine->call, queue->redis, &args);
}

/* --- notices ----------------------------------------------------------- */

static void
on_notice(void *arg, struct slice message)
{
    struct queue *queue = arg;

    if (slice_equal_text(message, "wake"))
        queue->on_notice(queue->notice_arg, QUEUE_NOTICE_WAKE);
    else if (slice_equal_text(message, "hold"))
        queue->on_notice(queue->notice_arg, QUEUE_NOTICE_HOLD);
    else if (slice_equal_text(message, "abort"))
        queue->on_notice(queue->notice_arg, QUEUE_NOTICE_ABORT);
    else if (slice_equal_text(message, "batch"))
        queue->on_notice(queue->notice_arg, QUEUE_NOTICE_BATCH);
}

static void
on_notice_gap(void *arg)
{
    struct queue *queue = arg;

    queue->on_notice(queue->notice_arg, QUEUE_NOTICE_GAP);
}

void
queue_listen(struct queue *queue,
    void (*callback)(void *arg, enum queue_notice notice), void *arg)
{
    queue->on_notice = callback;
    queue->notice_arg = arg;
    redis_subscribe(queue->redis, queue_key(QUEUE_KEY_NOTICE), on_notice,
        on_notice_gap, queue);
}

static void
on_event(void *arg, struct slice message)
{
    struct queue *queue = arg;
    struct slice id = slice_split(&message, ' ');
    struct slice version = slice_split(&message, ' ');
    enum job_state state = JOB_QUEUED;
    uint64_t number = 0;

    if (text_parse_u64(version, INT64_MAX, &number) == 0 &&
        job_state_parse(message, &state) == 0)
        queue->on_change(queue->change_arg, id, number, state);
}

static void
on_event_gap(void *arg)
{
    struct queue *queue = arg;

    if (queue->on_change_gap != NULL)
        queue->on_change_gap(queue->change_arg);
}

void
queue_watch(struct queue *queue,
    void (*on_change)(
        void *arg, struct slice id, uint64_t version, enum job_state state),
    void (*on_gap)(void *arg), void *arg)
{
    queue->on_change = on_change;
    queue->on_change_gap = on_gap;
    queue->change_arg = arg;
    redis_subscribe(queue->redis, queue_key(QUEUE_KEY_EVENTS), on_event,
        on_event_gap, queue);
}

void
queue_watch_stop(struct queue *queue)
{
    redis_unsubscribe(queue->redis, queue_key(QUEUE_KEY_EVENTS));
}
