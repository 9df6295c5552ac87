/* Dead letters: list, groups by cause, replay and discard. */

#include <string.h>

#include "common/base/clock.h"
#include "common/queue/queue_private.h"

#define LIST_MAX 1000

static struct slice
field(const struct redisReply *pairs, const char *name)
{
    size_t count = pairs == NULL ? 0 : pairs->elements;

    for (size_t i = 0; i + 1 < count; i += 2)
        if (slice_equal_text(redis_reply_slice(redis_reply_at(pairs, i)), name))
            return redis_reply_slice(redis_reply_at(pairs, i + 1));
    return SLICE_NULL;
}

static uint64_t
number(struct slice in)
{
    uint64_t value = 0;

    (void)!text_parse_u64(in, INT64_MAX, &value);
    return value;
}

/* An entry of XRANGE: [stream id, [name, value, ...]]. */
static void
read_dead(const struct redisReply *entry, struct queue_dead *dead)
{
    const struct redisReply *pairs = redis_reply_at(entry, 1);
    struct slice error = field(pairs, "e");

    memset(dead, 0, sizeof(*dead));
    (void)text_copy(dead->entry, sizeof(dead->entry),
        redis_reply_slice(redis_reply_at(entry, 0)));
    (void)text_copy(dead->id, sizeof(dead->id), field(pairs, "i"));
    dead->generation = (unsigned)number(field(pairs, "g"));
    dead->attempts = (unsigned)number(field(pairs, "a"));
    dead->dead_ms = (int64_t)number(field(pairs, "t"));
    (void)text_copy(dead->lane, sizeof(dead->lane), field(pairs, "l"));
    (void)text_copy(dead->model, sizeof(dead->model), field(pairs, "m"));
    (void)text_copy(dead->tenant, sizeof(dead->tenant), field(pairs, "n"));
    (void)text_copy(
        dead->fingerprint, sizeof(dead->fingerprint), field(pairs, "f"));
    if (error.len == 0 || job_error_decode(error, &dead->error) != 0)
        memset(&dead->error, 0, sizeof(dead->error));
}

struct list_call {
    struct queue_call call;
    void (*on_list)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count);
    void (*on_one)(
        void *arg, enum queue_status status, const struct queue_dead *dead);
};

static void
on_list(struct queue_call *call, const struct redisReply *reply)
{
    struct list_call *mine = (struct list_call *)call;
    enum queue_status status = queue_reply_error(reply);
    size_t count = status != QUEUE_OK || reply->type != REDIS_REPLY_ARRAY
        ? 0
        : reply->elements;
    struct queue_dead *dead = memory_zalloc(count + 1, sizeof(*dead));

    for (size_t i = 0; i < count; i++)
        read_dead(redis_reply_at(reply, i), &dead[i]);
    if (mine->on_one != NULL) {
        if (status == QUEUE_OK && count == 0)
            status = QUEUE_ABSENT;
        mine->on_one(call->arg, status, status == QUEUE_OK ? dead : NULL);
    } else {
        mine->on_list(call->arg, status, dead, count);
    }
    memory_free(dead);
    memory_free(mine);
}

int
queue_dead_list(struct queue *queue, const char *after, const char *until,
    unsigned limit,
    void (*on_dead)(void *arg, enum queue_status status,
        const struct queue_dead *dead, size_t count),
    void *arg)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_list, arg);
    struct queue_args args = {0};
    struct buffer from = {0};
    int result = -1;

    mine->on_list = on_dead;
    buffer_append_text(&from, after == NULL ? "-" : "(");
    buffer_append_text(&from, after == NULL ? "" : after);
    queue_args_text(&args, "XRANGE");
    queue_args_text(&args, queue_key(QUEUE_KEY_DEAD));
    queue_args_slice(&args, buffer_slice(&from));
    queue_args_text(&args, until == NULL ? "+" : until);
    queue_args_text(&args, "COUNT");
    queue_args_int(&args, limit > LIST_MAX ? LIST_MAX : limit);
    result = queue_call_command(&mine->call, queue->redis, &args);
    buffer_clear(&from);
    return result;
}

int
queue_dead_get(struct queue *queue, const char *id,
    void (*on_dead)(
        void *arg, enum queue_status status, const struct queue_dead *dead),
    void *arg)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_list, arg);
    struct queue_args args = {0};

    mine->on_one = on_dead;
    queue_args_text(&args, id);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_DEAD_GET, &args);
}

/* --- groups ------------------------------------------------------------ */

struct groups_call {
    struct queue_call call;
    void (*on_groups)(void *arg, enum queue_status status,
        const struct queue_dead_group *groups, size_t count);
};

/* "count\nfirst\nlast\nsample\nmodel\nerror" */
static void
read_group(struct slice fingerprint, struct slice value,
    struct queue_dead_group *group)
{
    (void)text_copy(
        group->fingerprint, sizeof(group->fingerprint), fingerprint);
    group->count = number(slice_split(&value, '\n'));
    group->first_ms = (int64_t)number(slice_split(&value, '\n'));
    group->last_ms = (int64_t)number(slice_split(&value, '\n'));
    (void)text_copy(
        group->sample_id, sizeof(group->sample_id), slice_split(&value, '\n'));
    (void)text_copy(
        group->model, sizeof(group->model), slice_split(&value, '\n'));
    if (job_error_decode(value, &group->error) != 0)
        memset(&group->error, 0, sizeof(group->error));
}

static void
on_groups(struct queue_call *call, const struct redisReply *reply)
{
    struct groups_call *mine = (struct groups_call *)call;
    enum queue_status status = queue_reply_error(reply);
    size_t count = status != QUEUE_OK ? 0 : reply->elements / 2;
    struct queue_dead_group *groups = memory_zalloc(count + 1, sizeof(*groups));

    for (size_t i = 0; i < count; i++)
        read_group(redis_reply_slice(redis_reply_at(reply, 2 * i)),
            redis_reply_slice(redis_reply_at(reply, 2 * i + 1)), &groups[i]);
    mine->on_groups(call->arg, status, groups, count);
    memory_free(groups);
    memory_free(mine);
}

int
queue_dead_groups(struct queue *queue,
    void (*callback)(void *arg, enum queue_status status,
        const struct queue_dead_group *groups, size_t count),
    void *arg)
{
    struct groups_call *mine = queue_call_new(sizeof(*mine), on_groups, arg);
    struct queue_args args = {0};

    mine->on_groups = callback;
    queue_args_text(&args, "HGETALL");
    queue_args_text(&args, queue_key(QUEUE_KEY_DEADGROUP));
    return queue_call_command(&mine->call, queue->redis, &args);
}

/* --- the ends of a dead letter ----------------------------------------- */

struct replay_call {
    struct queue_call call;
    void (*on_replayed)(void *arg, enum queue_status status, uint64_t version);
};

static void
on_replayed(struct queue_call *call, const struct redisReply *reply)
{
    struct replay_call *mine = (struct replay_call *)call;

    mine->on_replayed(call->arg, queue_reply_status(reply),
        queue_reply_u64(redis_reply_at(reply, 1)));
    memory_free(mine);
}

int
queue_replay(struct queue *queue, const struct job_result *result,
    struct slice body,
    void (*callback)(void *arg, enum queue_status status, uint64_t version),
    void *arg)
{
    const struct job_meta *meta = &result->meta;
    int64_t for_ms = meta->expires_ms - meta->created_ms;
    struct job_meta again = *meta; /* borrows what meta owns */
    struct replay_call *mine = queue_call_new(sizeof(*mine), on_replayed, arg);
    struct queue_args args = {0};
    struct buffer json = {0};
    struct buffer idem = {0};
    char name[JOB_QUEUE_MAX + 1];
    int sent = -1;

    mine->on_replayed = callback;
    again.expires_ms = clock_wall_ms() + for_ms;
    job_meta_queue(meta, name);
    job_meta_encode(&again, &json);
    if (meta->idempotency_key != NULL)
        buffer_printf(&idem, "%s:%s", meta->tenant, meta->idempotency_key);
    queue_args_text(&args, result->id);
    queue_args_int(&args, result->generation);
    queue_args_int(&args, (int64_t)result->version + 1);
    queue_args_text(&args, name);
    queue_args_slice(&args, buffer_slice(&json));
    queue_args_slice(&args, meta->parts == 0 ? body : SLICE_NULL);
    queue_args_int(&args, (int64_t)meta->stored_bytes);
    queue_args_int(&args, meta->parts);
    queue_args_int(&args, for_ms);
    queue_args_slice(&args, buffer_slice(&idem));
    queue_args_text(&args, meta->sha256);
    queue_args_text(&args, meta->batch);
    sent = queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_REPLAY, &args);
    buffer_clear(&json);
    buffer_clear(&idem);
    return sent;
}

int
queue_discard(struct queue *queue, const char *id, unsigned generation,
    queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, id);
    queue_args_int(&args, generation);
    return queue_call_status(
        queue, QUEUE_SCRIPT_DISCARD, &args, on_status, arg);
}
