/* Batches as readers and the keeper see them. No script here writes. */

#include <string.h>

#include "common/base/log.h"
#include "common/queue/queue_bulk_private.h"

#define LIST_MAX 1000
#define READ_MAX 10000

/* --- one hash ------------------------------------------------------------ */

/* What the record knows beside the batch itself. */
struct extra {
    uint64_t promoted;
    uint64_t replays;
};

static char *
owned(struct slice value)
{
    return value.len > 0 ? memory_dup_bytes(value.data, value.len) : NULL;
}

static void
read_state(struct slice value, struct bulk *bulk)
{
    bulk->staging = slice_equal_text(value, "staging") ||
        slice_equal_text(value, "dropping");
    bulk->state = slice_equal_text(value, "canceling") ? BATCH_CANCELING
        : slice_equal_text(value, "ended")             ? BATCH_ENDED
                                                       : BATCH_IN_PROGRESS;
}

static void
read_text(struct slice name, struct slice value, struct bulk *bulk)
{
    if (slice_equal_text(name, "st"))
        read_state(value, bulk);
    else if (slice_equal_text(name, "tn"))
        (void)text_copy(bulk->tenant, sizeof(bulk->tenant), value);
    else if (slice_equal_text(name, "face"))
        (void)!bulk_face_parse(value, &bulk->face);
    else if (slice_equal_text(name, "sha"))
        (void)text_copy(bulk->sha256, sizeof(bulk->sha256), value);
    else if (slice_equal_text(name, "run"))
        (void)text_copy(bulk->run, sizeof(bulk->run), value);
    else if (slice_equal_text(name, "meta"))
        bulk->meta = owned(value);
    else if (slice_equal_text(name, "idem")) {
        (void)slice_split(&value, ':'); /* the tenant */
        bulk->idempotency_key = owned(value);
    } else if (slice_equal_text(name, "end") &&
        bulk_tally_decode(value, &bulk->tally) != 0)
        log_error("batch_unreadable", LOG_TEXT("batch", bulk->uuid));
}

static void
read_number(
    struct slice name, int64_t value, struct bulk *bulk, struct extra *extra)
{
    const struct {
        const char *name;
        int64_t *signed_to;
        uint64_t *to;
    } fields[] = {
        {"t", &bulk->created_ms, NULL},
        {"exp", &bulk->expires_ms, NULL},
        {"cxl", &bulk->cancel_ms, NULL},
        {"fin", &bulk->ended_ms, NULL},
        {"n", NULL, &bulk->total},
        {"bad", NULL, &bulk->rejected},
        {"pro", NULL, &extra->promoted},
        {"rep", NULL, &extra->replays},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!slice_equal_text(name, fields[i].name))
            continue;
        if (fields[i].to != NULL)
            *fields[i].to = value > 0 ? (uint64_t)value : 0;
        else
            *fields[i].signed_to = value;
        return;
    }
}

static void
read_all(struct slice uuid, const struct redisReply *fields, struct bulk *bulk,
    struct extra *extra)
{
    memset(bulk, 0, sizeof(*bulk));
    (void)text_copy(bulk->uuid, sizeof(bulk->uuid), uuid);
    for (size_t i = 0; fields != NULL && i + 1 < fields->elements; i += 2) {
        struct slice name = redis_reply_slice(redis_reply_at(fields, i));
        const struct redisReply *value = redis_reply_at(fields, i + 1);

        read_text(name, redis_reply_slice(value), bulk);
        read_number(name, redis_reply_int(value, 0), bulk, extra);
    }
}

void
queue_bulk_read(
    struct slice uuid, const struct redisReply *fields, struct bulk *bulk)
{
    struct extra extra = {0, 0};

    read_all(uuid, fields, bulk, &extra);
}

/* --- get, list ----------------------------------------------------------- */

struct list_call {
    struct queue_call call;
    void (*on_batch)(void *arg, enum queue_status status,
        const struct queue_bulk_view *view);
    void (*on_batches)(void *arg, enum queue_status status,
        const struct queue_bulk_view *views, size_t count,
        const struct slice *deleted, size_t deleted_count);
};

static void
read_view(const struct redisReply *in, struct bulk *bulk,
    struct queue_bulk_view *view)
{
    struct extra extra = {0, 0};

    read_all(redis_reply_slice(redis_reply_at(in, 0)), redis_reply_at(in, 1),
        bulk, &extra);
    view->batch = bulk;
    view->promoted = extra.promoted;
    view->replays = extra.replays;
    view->running = queue_reply_u64(redis_reply_at(in, 2));
    view->retrying = queue_reply_u64(redis_reply_at(in, 3));
    view->again = queue_reply_u64(redis_reply_at(in, 4));
}

static size_t
elements(const struct redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ARRAY ? reply->elements
                                                             : 0;
}

static struct slice *
slices(const struct redisReply *reply)
{
    size_t count = elements(reply);
    struct slice *texts = memory_zalloc(count + 1, sizeof(*texts));

    for (size_t i = 0; i < count; i++)
        texts[i] = redis_reply_slice(redis_reply_at(reply, i));
    return texts;
}

static void
on_list(struct queue_call *call, const struct redisReply *reply)
{
    struct list_call *mine = (struct list_call *)call;
    enum queue_status status = queue_reply_status(reply);
    const struct redisReply *list =
        status == QUEUE_OK ? redis_reply_at(reply, 1) : NULL;
    const struct redisReply *gone =
        status == QUEUE_OK ? redis_reply_at(reply, 2) : NULL;
    size_t count = elements(list);
    struct bulk *bulks = memory_zalloc(count + 1, sizeof(*bulks));
    struct queue_bulk_view *views = memory_zalloc(count + 1, sizeof(*views));
    struct slice *deleted = slices(gone);

    for (size_t i = 0; i < count; i++)
        read_view(redis_reply_at(list, i), &bulks[i], &views[i]);
    if (mine->on_batch != NULL)
        mine->on_batch(call->arg, status, count > 0 ? views : NULL);
    else
        mine->on_batches(
            call->arg, status, views, count, deleted, elements(gone));
    for (size_t i = 0; i < count; i++)
        bulk_clear(&bulks[i]);
    memory_free(bulks);
    memory_free(views);
    memory_free(deleted);
    memory_free(mine);
}

int
queue_bulk_get(struct queue *queue, const char *uuid,
    void (*on_batch)(void *arg, enum queue_status status,
        const struct queue_bulk_view *view),
    void *arg)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_list, arg);
    struct queue_args args = {0};

    mine->on_batch = on_batch;
    queue_args_text(&args, "one");
    queue_args_text(&args, uuid);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_LIST, &args);
}

int
queue_bulk_list(struct queue *queue, const char *cursor, bool ascending,
    unsigned limit,
    void (*on_batches)(void *arg, enum queue_status status,
        const struct queue_bulk_view *views, size_t count,
        const struct slice *deleted, size_t deleted_count),
    void *arg)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_list, arg);
    struct queue_args args = {0};

    mine->on_batches = on_batches;
    queue_args_text(&args, ascending ? "up" : "down");
    queue_args_text(&args, cursor != NULL ? cursor : "");
    queue_args_int(&args, limit > LIST_MAX ? LIST_MAX : limit);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_LIST, &args);
}

/* --- items, rejected lines ----------------------------------------------- */

struct read_call {
    struct queue_call call;
    uint64_t from;
    void (*on_items)(void *arg, enum queue_status status,
        const struct queue_bulk_entry *items, size_t count);
    void (*on_rejects)(void *arg, enum queue_status status,
        const struct slice *lines, size_t count);
};

static void
hand_items(struct read_call *mine, enum queue_status status,
    const struct slice *texts, size_t count)
{
    struct queue_bulk_entry *items = memory_zalloc(count + 1, sizeof(*items));

    for (size_t i = 0; i < count; i++) {
        items[i].index = mine->from + i;
        items[i].custom_id = texts[i];
        (void)text_copy(items[i].id, sizeof(items[i].id),
            slice_split(&items[i].custom_id, ' '));
    }
    mine->on_items(mine->call.arg, status, items, count);
    memory_free(items);
}

static void
on_read(struct queue_call *call, const struct redisReply *reply)
{
    struct read_call *mine = (struct read_call *)call;
    enum queue_status status = queue_reply_status(reply);
    const struct redisReply *list =
        status == QUEUE_OK ? redis_reply_at(reply, 1) : NULL;
    struct slice *texts = slices(list);

    if (mine->on_items != NULL)
        hand_items(mine, status, texts, elements(list));
    else
        mine->on_rejects(call->arg, status, texts, elements(list));
    memory_free(texts);
    memory_free(mine);
}

static int
ask_read(struct queue *queue, struct read_call *mine, const char *uuid,
    const char *what, unsigned limit)
{
    struct queue_args args = {0};

    queue_args_text(&args, uuid);
    queue_args_text(&args, what);
    queue_args_int(&args, (int64_t)mine->from);
    queue_args_int(&args, limit > READ_MAX ? READ_MAX : limit);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_BATCH_READ, &args);
}

int
queue_bulk_items(struct queue *queue, const char *uuid, uint64_t from,
    unsigned limit,
    void (*on_items)(void *arg, enum queue_status status,
        const struct queue_bulk_entry *items, size_t count),
    void *arg)
{
    struct read_call *mine = queue_call_new(sizeof(*mine), on_read, arg);

    mine->from = from;
    mine->on_items = on_items;
    return ask_read(queue, mine, uuid, "ids", limit);
}

int
queue_bulk_rejects(struct queue *queue, const char *uuid, uint64_t after,
    unsigned limit,
    void (*on_rejects)(void *arg, enum queue_status status,
        const struct slice *lines, size_t count),
    void *arg)
{
    struct read_call *mine = queue_call_new(sizeof(*mine), on_read, arg);

    mine->from = after;
    mine->on_rejects = on_rejects;
    return ask_read(queue, mine, uuid, "bad", limit);
}
