/* Jobs in flight as readers see them. No script of this file writes. */

#include <string.h>

#include "common/base/log.h"
#include "common/queue/queue_private.h"

#define LIST_MAX 1000

/* The order of view_fields. */
enum field {
    FIELD_QUEUE, /* the first three: as get.lua wants them */
    FIELD_PLACE,
    FIELD_BATCH,
    FIELD_STATE,
    FIELD_GENERATION,
    FIELD_VERSION,
    FIELD_ATTEMPTS,
    FIELD_TAKEOVERS,
    FIELD_STARTED,
    FIELD_DUE,
    FIELD_ERROR,
    FIELD_CANCEL,
    FIELD_SEQUENCE,
    FIELD_META,
    FIELD_OWNER,
    FIELDS
};
static const char *const view_fields[FIELDS] = {"q", "str", "b", "st", "gen",
    "ver", "att", "tko", "t0", "due", "err", "cxl", "seq", "meta", "own"};

static int64_t
ahead_of(const struct redisReply *fields, int64_t head)
{
    struct slice place = redis_reply_slice(redis_reply_at(fields, FIELD_PLACE));
    int64_t seq = redis_reply_int(redis_reply_at(fields, FIELD_SEQUENCE), 0);

    if (redis_reply_slice(redis_reply_at(fields, FIELD_OWNER)).len > 0)
        return -1;
    if (slice_equal_text(place, "a")) /* served before all new ones */
        return 0;
    if (!slice_equal_text(place, "n"))
        return -1;
    return seq > head + 1 ? seq - head - 1 : 0;
}

/* OK, ABSENT (no such job), BROKEN. On OK the caller clears *meta. */
static enum queue_status
read_view(struct slice id, const struct redisReply *fields, int64_t head,
    struct job_view *view, struct job_meta *meta)
{
    struct slice error = redis_reply_slice(redis_reply_at(fields, FIELD_ERROR));

    memset(view, 0, sizeof(*view));
    if (!queue_reply_state(redis_reply_at(fields, FIELD_STATE), &view->state))
        return QUEUE_ABSENT;
    if (job_meta_decode(
            redis_reply_slice(redis_reply_at(fields, FIELD_META)), meta) != 0) {
        log_error("job_unreadable", LOG_SLICE("job", id));
        return QUEUE_BROKEN;
    }
    (void)text_copy(view->id, sizeof(view->id), id);
    view->generation =
        queue_reply_unsigned(redis_reply_at(fields, FIELD_GENERATION));
    view->version = queue_reply_u64(redis_reply_at(fields, FIELD_VERSION));
    view->attempts =
        queue_reply_unsigned(redis_reply_at(fields, FIELD_ATTEMPTS));
    view->takeovers =
        queue_reply_unsigned(redis_reply_at(fields, FIELD_TAKEOVERS));
    view->started_ms =
        redis_reply_int(redis_reply_at(fields, FIELD_STARTED), 0);
    if (view->state == JOB_RETRYING)
        view->next_attempt_ms =
            redis_reply_int(redis_reply_at(fields, FIELD_DUE), 0);
    view->cancel_requested =
        redis_reply_int(redis_reply_at(fields, FIELD_CANCEL), 0) == 1;
    view->ahead = ahead_of(fields, head);
    if (error.len > 0 && job_error_decode(error, &view->error) != 0)
        memset(&view->error, 0, sizeof(view->error));
    view->meta = meta;
    return QUEUE_OK;
}

/* --- one job ----------------------------------------------------------- */

struct get_call {
    struct queue_call call;
    void (*on_job)(
        void *arg, enum queue_status status, const struct job_view *view);
    char id[ID_SIZE];
};

static void
on_get(struct queue_call *call, const struct redisReply *reply)
{
    struct get_call *mine = (struct get_call *)call;
    enum queue_status status = queue_reply_error(reply);
    struct job_meta meta = {0};
    struct job_view view;

    if (status == QUEUE_OK &&
        slice_equal_text(
            redis_reply_slice(redis_reply_at(reply, 0)), "NO_MARKER"))
        status = QUEUE_NO_MARKER;
    if (status == QUEUE_OK)
        status = read_view(slice_of(mine->id), redis_reply_at(reply, 1),
            redis_reply_int(redis_reply_at(reply, 0), 0), &view, &meta);
    mine->on_job(call->arg, status, status == QUEUE_OK ? &view : NULL);
    job_meta_clear(&meta);
    memory_free(mine);
}

static void
get_args(const char *id, struct queue_args *args)
{
    queue_args_text(args, id);
    for (size_t i = 0; i < FIELDS; i++)
        queue_args_text(args, view_fields[i]);
}

int
queue_get(struct queue *queue, const char *id,
    void (*on_job)(
        void *arg, enum queue_status status, const struct job_view *view),
    void *arg)
{
    struct get_call *mine = queue_call_new(sizeof(*mine), on_get, arg);
    struct queue_args args = {0};

    mine->on_job = on_job;
    (void)text_copy(mine->id, sizeof(mine->id), slice_of(id));
    get_args(id, &args);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_GET, &args);
}

/* --- many: the ids, then each job in one pipeline ---------------------- */

struct listing {
    struct redis *redis;
    void (*on_jobs)(void *arg, enum queue_status status,
        const struct job_view *views, size_t count);
    void *arg;
    enum queue_status status;
    size_t waiting; /* answers still to come */
    size_t count; /* ids */
    struct job_view *views;
    struct job_meta *metas;
    char (*ids)[ID_SIZE];
};
struct list_call {
    struct queue_call call;
    struct listing *listing;
    size_t index;
};

/* Gaps (jobs that ended meanwhile) are closed. */
static void
finish_listing(struct listing *listing)
{
    size_t kept = 0;

    for (size_t i = 0; i < listing->count; i++) {
        if (listing->views[i].id[0] == '\0')
            continue;
        if (kept != i)
            listing->views[kept] = listing->views[i];
        kept++;
    }
    if (listing->status != QUEUE_OK)
        kept = 0;
    listing->on_jobs(listing->arg, listing->status, listing->views, kept);
    for (size_t i = 0; i < listing->count; i++)
        job_meta_clear(&listing->metas[i]);
    memory_free(listing->views);
    memory_free(listing->metas);
    memory_free(listing->ids);
    memory_free(listing);
}

static void
part_done(struct listing *listing, enum queue_status status)
{
    if (status != QUEUE_OK && status != QUEUE_ABSENT && status != QUEUE_BROKEN)
        listing->status = status;
    if (--listing->waiting == 0)
        finish_listing(listing);
}

static void
on_part(struct queue_call *call, const struct redisReply *reply)
{
    struct list_call *mine = (struct list_call *)call;
    struct listing *listing = mine->listing;
    size_t i = mine->index;
    enum queue_status status = queue_reply_error(reply);

    if (status == QUEUE_OK)
        status = read_view(slice_of(listing->ids[i]), redis_reply_at(reply, 1),
            redis_reply_int(redis_reply_at(reply, 0), 0), &listing->views[i],
            &listing->metas[i]);
    memory_free(mine);
    part_done(listing, status);
}

static void
ask_part(struct listing *listing, size_t index)
{
    struct list_call *mine = queue_call_new(sizeof(*mine), on_part, NULL);
    struct queue_args args = {0};

    mine->listing = listing;
    mine->index = index;
    get_args(listing->ids[index], &args);
    listing->waiting++;
    if (queue_call_script(
            &mine->call, listing->redis, QUEUE_SCRIPT_GET, &args) != 0)
        part_done(listing, QUEUE_UNKNOWN);
}

static void
on_ids(struct queue_call *call, const struct redisReply *reply)
{
    struct listing *listing = ((struct list_call *)call)->listing;
    enum queue_status status = queue_reply_error(reply);
    size_t count = status != QUEUE_OK ? 0 : reply->elements;

    memory_free(call);
    listing->views = memory_zalloc(count + 1, sizeof(*listing->views));
    listing->metas = memory_zalloc(count + 1, sizeof(*listing->metas));
    listing->ids = memory_zalloc(count + 1, ID_SIZE);
    listing->count = count;
    for (size_t i = 0; i < count; i++)
        (void)text_copy(listing->ids[i], ID_SIZE,
            redis_reply_slice(redis_reply_at(reply, i)));
    for (size_t i = 0; i < count; i++)
        ask_part(listing, i);
    part_done(listing, status);
}

int
queue_list(struct queue *queue, const char *before, unsigned limit,
    void (*on_jobs)(void *arg, enum queue_status status,
        const struct job_view *views, size_t count),
    void *arg)
{
    struct listing *listing = NULL;
    struct list_call *mine = NULL;
    struct queue_args args = {0};
    struct buffer below = {0};
    int result = -1;

    if (redis_get_state(queue->redis) != REDIS_READY)
        return -1;
    listing = memory_zalloc(1, sizeof(*listing));
    listing->redis = queue->redis;
    listing->on_jobs = on_jobs;
    listing->arg = arg;
    listing->waiting = 1;
    mine = queue_call_new(sizeof(*mine), on_ids, NULL);
    mine->listing = listing;
    buffer_append_text(&below, before == NULL ? "+" : "(");
    buffer_append_text(&below, before == NULL ? "" : before);
    queue_args_text(&args, "ZREVRANGEBYLEX");
    queue_args_text(&args, queue_key(QUEUE_KEY_IDS));
    queue_args_slice(&args, buffer_slice(&below));
    queue_args_text(&args, "-");
    queue_args_text(&args, "LIMIT");
    queue_args_int(&args, 0);
    queue_args_int(&args, limit > LIST_MAX ? LIST_MAX : limit);
    result = queue_call_command(&mine->call, queue->redis, &args);
    buffer_clear(&below);
    if (result != 0)
        memory_free(listing);
    return result;
}
