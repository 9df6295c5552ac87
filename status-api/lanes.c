#include <string.h>

#include "common/base/clock.h"
#include "common/service/config.h"
#include "status-api/numbers.h"
#include "status-api/reason.h"
#include "status-api/status.h"

#define POOLS_MAX 64

static void
put_hold(const struct queue_hold *hold, struct buffer *out)
{
    struct buffer text = {0};
    char until[CLOCK_TEXT_SIZE];
    reason_hold_text(hold, &text);
    buffer_append_text(out, "{\"scope\":");
    buffer_append_json(out, slice_of(hold->scope));
    buffer_append_text(out, ",\"kind\":");
    buffer_append_json(out, slice_of(hold->kind));
    buffer_append_text(out, ",\"until\":");
    if (hold->until_ms > 0) {
        clock_format_ms(hold->until_ms, until);
        buffer_append_json(out, slice_of(until));
    } else {
        buffer_append_text(out, "null");
    }
    buffer_append_text(out, ",\"reason\":");
    buffer_append_json(out, slice_of(hold->reason));
    buffer_append_text(out, ",\"text\":");
    buffer_append_json(out, buffer_slice(&text));
    buffer_append_char(out, '}');
    buffer_clear(&text);
}

/* The holds for which `covers` says so, as an array. Returns how many. */
static unsigned
put_holds(const struct queue_stats *stats, const char *name,
    bool (*covers)(const struct queue_hold *hold, const char *name),
    struct buffer *out)
{
    unsigned count = 0;
    buffer_append_text(out, "\"holds\":[");
    for (size_t i = 0; i < stats->hold_count; i++) {
        if (!covers(&stats->holds[i], name))
            continue;
        if (count++ > 0)
            buffer_append_char(out, ',');
        put_hold(&stats->holds[i], out);
    }
    buffer_append_char(out, ']');
    return count;
}

static bool
covers_lane(const struct queue_hold *hold, const char *name)
{
    return strncmp(hold->scope, "lane:", 5) == 0 &&
        strcmp(hold->scope + 5, name) == 0;
}

struct slice
pools_of_scope(const char *scope)
{
    struct slice rest = slice_of(scope);
    struct slice what = slice_split(&rest, ':');
    if (slice_equal_text(what, "pool"))
        return rest;
    return slice_equal_text(what, "bucket") ? slice_split(&rest, '/')
                                            : SLICE_NULL;
}

static bool
covers_pool(const struct queue_hold *hold, const char *name)
{
    return slice_equal_text(pools_of_scope(hold->scope), name);
}

static void
put_queue(const struct queue_numbers *queue, struct buffer *out)
{
    int64_t age = clock_wall_ms() - queue->oldest_ms;
    buffer_append_text(out, "{\"name\":");
    buffer_append_json(out, queue->name);
    buffer_append_text(out, ",\"waiting\":");
    buffer_append_u64(out, queue->waiting);
    buffer_append_text(out, ",\"running\":");
    buffer_append_u64(out, queue->running);
    buffer_append_text(out, ",\"oldest_waiting_seconds\":");
    if (queue->oldest_ms > 0)
        buffer_append_i64(out, age > 0 ? age / 1000 : 0);
    else
        buffer_append_text(out, "null");
    buffer_append_char(out, '}');
}

void
lanes_put(const struct queue_stats *stats, const char *name, struct buffer *out)
{
    uint64_t waiting = 0, running = 0;
    unsigned count = 0;
    buffer_append_text(out, "{\"object\":\"lane\",\"name\":");
    buffer_append_json(out, slice_of(name));
    buffer_append_text(out, ",\"queues\":[");
    for (size_t i = 0; i < stats->queue_count; i++) {
        struct slice rest = stats->queues[i].name;
        if (!slice_equal_text(slice_split(&rest, ':'), name))
            continue;
        if (count++ > 0)
            buffer_append_char(out, ',');
        put_queue(&stats->queues[i], out);
        waiting += stats->queues[i].waiting;
        running += stats->queues[i].running;
    }
    buffer_append_text(out, "],\"waiting\":");
    buffer_append_u64(out, waiting);
    buffer_append_text(out, ",\"running\":");
    buffer_append_u64(out, running);
    buffer_append_char(out, ',');
    bool held = put_holds(stats, name, covers_lane, out) > 0;
    buffer_printf(out, ",\"paused\":%s}", held ? "true" : "false");
}

static void
put_total(const char *key, uint64_t value, struct buffer *out)
{
    buffer_printf(out, ",\"%s\":", key);
    buffer_append_u64(out, value);
}

static void
put_lanes(const struct queue_stats *stats, struct buffer *out)
{
    buffer_append_text(out, "{\"data\":[");
    for (unsigned i = 0; i < JOB_LANES; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        lanes_put(stats, job_lane_name((enum job_lane)i), out);
    }
    buffer_append_char(out, ']');
    put_total("jobs", stats->jobs, out);
    put_total("bytes", stats->bytes, out);
    put_total("retrying", stats->retrying, out);
    put_total("closing", stats->closing, out);
    put_total("dead_letters", stats->dead, out);
    buffer_append_char(out, '}');
}

/* --- pools --------------------------------------------------------------- */

struct pool_names {
    size_t count;
    struct slice names[POOLS_MAX];
};

static void
add_name(struct pool_names *names, struct slice name)
{
    if (name.len == 0 || name.len > 64 || names->count == POOLS_MAX)
        return;
    for (size_t i = 0; i < names->count; i++) {
        if (slice_equal(names->names[i], name))
            return;
    }
    names->names[names->count++] = name;
}

static void
collect_names(const struct queue_stats *stats, struct pool_names *names)
{
    for (size_t i = 0; i < stats->pool_count; i++)
        add_name(names, slice_of(stats->pools[i].name));
    for (size_t i = 0; i < stats->hold_count; i++)
        add_name(names, pools_of_scope(stats->holds[i].scope));
    /* No worker has told yet: there is this one, most likely. */
    if (stats->pool_count == 0)
        add_name(names, slice_of(CONFIG_POOL_DEFAULT));
}

bool
pools_know(const struct queue_stats *stats, struct slice name)
{
    struct pool_names names = {0};
    collect_names(stats, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (slice_equal(names.names[i], name))
            return true;
    }
    return false;
}

/* What its workers told. */
static void
put_told(const struct queue_stats *stats, struct slice name, struct buffer *out)
{
    const struct queue_pool *pool = NULL;
    unsigned count = 0;
    for (size_t i = 0; i < stats->pool_count && pool == NULL; i++) {
        if (slice_equal_text(name, stats->pools[i].name))
            pool = &stats->pools[i];
    }
    if (pool == NULL) {
        buffer_append_text(
            out, ",\"base_url\":null,\"weight\":null,\"models\":null");
        return;
    }
    buffer_append_text(out, ",\"base_url\":");
    buffer_append_json(out, slice_of(pool->base_url));
    buffer_append_text(out, ",\"weight\":");
    buffer_append_u64(out, pool->weight);
    buffer_append_text(out, ",\"models\":[");
    for (struct slice rest = slice_of(pool->buckets); rest.len > 0;) {
        buffer_append_text(out, count++ > 0 ? "," : "");
        buffer_append_json(out, slice_split(&rest, ' '));
    }
    buffer_append_char(out, ']');
}

static void
put_quota(const struct queue_quota_shown *quota, struct slice bucket,
    struct buffer *out)
{
    static const char *const names[QUOTA_KINDS] = {
        "requests", "input_tokens", "output_tokens"};
    buffer_append_text(out, "{\"bucket\":");
    buffer_append_json(out, bucket);
    for (unsigned kind = 0; kind < QUOTA_KINDS; kind++) {
        buffer_printf(out, ",\"%s\":", names[kind]);
        if (!quota->state.known[kind]) {
            buffer_append_text(out, "null");
            continue;
        }
        buffer_append_text(out, "{\"per_minute\":");
        buffer_append_i64(out, quota->state.per_min[kind]);
        buffer_append_text(out, ",\"now\":");
        buffer_append_i64(out, quota->state.level[kind]);
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, '}');
}

/* What may be used of the pool's rate limits. */
static void
put_limits(
    const struct queue_stats *stats, struct slice name, struct buffer *out)
{
    unsigned count = 0;
    buffer_append_text(out, ",\"limits\":[");
    for (size_t i = 0; i < stats->quota_count; i++) {
        struct slice bucket = slice_of(stats->quotas[i].scope);
        if (!slice_equal(slice_split(&bucket, '/'), name))
            continue;
        buffer_append_text(out, count++ > 0 ? "," : "");
        put_quota(&stats->quotas[i], bucket, out);
    }
    buffer_append_char(out, ']');
}

static const struct queue_hold *
find_hold(const struct queue_stats *stats, const char *pool)
{
    for (size_t i = 0; i < stats->hold_count; i++) {
        const struct queue_hold *hold = &stats->holds[i];
        if (hold->scope[0] == 'p' && covers_pool(hold, pool))
            return hold;
    }
    return NULL;
}

void
pools_put(
    const struct queue_stats *stats, struct slice name, struct buffer *out)
{
    char text[65];
    struct buffer reason = {0};
    text_copy(text, sizeof(text), name);
    const struct queue_hold *hold = find_hold(stats, text);
    buffer_append_text(out, "{\"object\":\"pool\",\"name\":");
    buffer_append_json(out, name);
    put_told(stats, name, out);
    put_limits(stats, name, out);
    buffer_printf(out,
        ",\"paused\":%s,\"status_reason\":", hold != NULL ? "true" : "false");
    if (hold != NULL) {
        reason_hold_text(hold, &reason);
        buffer_append_json(out, buffer_slice(&reason));
    } else {
        buffer_append_text(out, "null");
    }
    buffer_append_char(out, ',');
    put_holds(stats, text, covers_pool, out);
    buffer_append_char(out, '}');
    buffer_clear(&reason);
}

static void
put_pools(const struct queue_stats *stats, struct buffer *out)
{
    struct pool_names names = {0};
    collect_names(stats, &names);
    buffer_append_text(out, "{\"data\":[");
    for (size_t i = 0; i < names.count; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        pools_put(stats, names.names[i], out);
    }
    buffer_append_char(out, ']');
    put_total("workers", stats->consumer_count, out);
    buffer_append_char(out, '}');
}

/* --- requests ------------------------------------------------------------ */

struct numbers_call {
    struct call call;
    void (*put)(const struct queue_stats *stats, struct buffer *out);
};

static void
on_stats(void *arg, enum queue_status status, const struct queue_stats *stats)
{
    struct numbers_call *numbers = arg;
    struct buffer out = {0};
    if (status == QUEUE_OK) {
        numbers->put(stats, &out);
        call_json(&numbers->call, 200, &out);
    } else {
        call_unavailable(&numbers->call);
    }
    memory_free(numbers);
}

/* From what is known, or from a read of its own: at the start, and after
 * Redis was away. */
static void
answer(struct http_request *req,
    void (*put)(const struct queue_stats *stats, struct buffer *out))
{
    struct numbers_call *numbers = memory_zalloc(1, sizeof(*numbers));
    call_begin(&numbers->call, req);
    numbers->put = put;
    struct status *status = numbers->call.status;
    const struct queue_stats *stats = numbers_get(status->numbers);
    if (stats != NULL)
        on_stats(numbers, QUEUE_OK, stats);
    else if (queue_stats_get(status->service->queue, on_stats, numbers) != 0)
        on_stats(numbers, QUEUE_UNKNOWN, NULL);
}

void
lanes_handle(struct http_request *req, void *program)
{
    (void)program;
    answer(req, put_lanes);
}

void
pools_handle(struct http_request *req, void *program)
{
    (void)program;
    answer(req, put_pools);
}
