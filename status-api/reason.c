#include "status-api/reason.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/job/job_reason.h"
#include "common/service/config.h"

#define REASON_SIZE 256
/* What a hold may say of the whole. */
#define HOLD_MAX 160

static void
put_until(int64_t until_ms, struct buffer *out)
{
    char then[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    if (until_ms <= 0) {
        buffer_append_text(out, " until it is lifted");
        return;
    }
    clock_format_ms(until_ms, then);
    clock_format_ms(clock_wall_ms(), now);
    buffer_append_text(out, " until ");
    if (memcmp(then, now, 10) != 0)
        buffer_printf(out, "%.10s ", then);
    buffer_printf(out, "%.8sZ", then + 11);
}

static const char *
kind_text(const char *kind)
{
    if (strcmp(kind, "open") == 0)
        return "is not called, its circuit breaker is open";
    if (strcmp(kind, "limited") == 0)
        return "is rate limited";
    if (strcmp(kind, "overloaded") == 0)
        return "is overloaded";
    return "is paused";
}

void
reason_hold_text(const struct queue_hold *hold, struct buffer *out)
{
    struct slice name = slice_of(hold->scope);
    struct slice what = slice_split(&name, ':');
    if (slice_equal_text(what, "bucket")) {
        struct slice pool = slice_split(&name, '/');
        buffer_append_text(out, "model ");
        buffer_append_slice(out, name.len > 0 ? name : pool);
    } else {
        buffer_append_slice(out, what);
        buffer_append_char(out, ' ');
        buffer_append_slice(out, name);
    }
    buffer_printf(out, " %s", kind_text(hold->kind));
    put_until(hold->until_ms, out);
    if (hold->reason[0] != '\0')
        buffer_printf(out, ": %s", hold->reason);
}

/* Cuts between characters. */
static void
cut(struct buffer *text, size_t max)
{
    if (text->len <= max)
        return;
    size_t len = max - 3;
    while (len > 0 && (text->data[len] & 0xc0) == 0x80)
        len--;
    text->len = len;
    buffer_append(text, "...", 3);
}

/* --- which one matters --------------------------------------------------- */

static bool
is_scope(const struct queue_hold *hold, const char *kind, const char *name)
{
    size_t len = strlen(kind);
    return strncmp(hold->scope, kind, len) == 0 &&
        strcmp(hold->scope + len, name) == 0;
}

static const struct queue_hold *
find_lane_hold(const struct job_meta *meta, const struct queue_stats *stats)
{
    for (size_t i = 0; i < stats->hold_count; i++) {
        const struct queue_hold *hold = &stats->holds[i];
        if (hold->left_ms != 0 &&
            is_scope(hold, "lane:", job_lane_name(meta->lane)))
            return hold;
    }
    return NULL;
}

/* The widest hold of a pool, for a model bucket; one whose time is over holds
 * nothing any more. */
static const struct queue_hold *
find_pool_hold(
    const char *pool, const char *bucket, const struct queue_stats *stats)
{
    const struct queue_hold *found = NULL;
    char name[JOB_BUCKET_MAX + 80];
    (void)snprintf(name, sizeof(name), "%s/%s", pool, bucket);
    for (size_t i = 0; i < stats->hold_count; i++) {
        const struct queue_hold *hold = &stats->holds[i];
        if (hold->left_ms == 0)
            continue;
        if (is_scope(hold, "pool:", pool))
            return hold;
        if (is_scope(hold, "bucket:", name))
            found = hold;
    }
    return found;
}

static bool
serves(const struct queue_pool *pool, const char *bucket)
{
    struct slice rest = slice_of(pool->buckets);
    if (rest.len == 0)
        return true;
    while (rest.len > 0) {
        if (slice_equal_text(slice_split(&rest, ' '), bucket))
            return true;
    }
    return false;
}

static bool
ends_sooner(const struct queue_hold *a, const struct queue_hold *b)
{
    return a->left_ms >= 0 && (b->left_ms < 0 || a->left_ms < b->left_ms);
}

/* The pools of a job, as far as they are known. */
struct outlook {
    unsigned count; /* that serve its model */
    bool is_free; /* one of them may be called */
    const struct queue_hold *hold; /* the one that ends first */
};

static void
look_at(struct outlook *outlook, const char *pool, const struct job_meta *meta,
    const struct queue_stats *stats)
{
    const struct queue_hold *hold = find_pool_hold(pool, meta->bucket, stats);
    outlook->count++;
    if (hold == NULL)
        outlook->is_free = true;
    else if (outlook->hold == NULL || ends_sooner(hold, outlook->hold))
        outlook->hold = hold;
}

static struct outlook
look_around(const struct job_meta *meta, const struct queue_stats *stats)
{
    struct outlook outlook = {0};
    for (size_t i = 0; i < stats->pool_count; i++) {
        if (serves(&stats->pools[i], meta->bucket))
            look_at(&outlook, stats->pools[i].name, meta, stats);
    }
    /* No worker has told yet: there is this one, most likely. */
    if (stats->pool_count == 0)
        look_at(&outlook, CONFIG_POOL_DEFAULT, meta, stats);
    return outlook;
}

/* What stops the job, in words; empty: nothing does. */
static void
put_cause(const struct job_meta *meta, const struct queue_stats *stats,
    struct buffer *out)
{
    const struct outlook outlook = look_around(meta, stats);
    const struct queue_hold *lane = find_lane_hold(meta, stats);
    bool held = outlook.count > 0 && !outlook.is_free;
    if (outlook.count == 0 && meta->fallback_count == 0)
        buffer_printf(out, "no pool serves the model %s", meta->model);
    else if (held && (lane == NULL || outlook.hold->scope[0] == 'p'))
        reason_hold_text(outlook.hold, out);
    else if (lane != NULL)
        reason_hold_text(lane, out);
}

void
reason_tell(
    const struct job_view *view, const struct queue_stats *stats, char out[256])
{
    struct buffer base = {0}, held = {0};
    if (stats != NULL &&
        (view->state == JOB_QUEUED || view->state == JOB_RETRYING))
        put_cause(view->meta, stats, &held);
    out[0] = '\0';
    if (held.len > 0) {
        struct job_view plain = *view;
        plain.reason[0] = '\0';
        cut(&held, HOLD_MAX);
        job_reason_make(&plain, &base);
        cut(&base, REASON_SIZE - 3 - held.len);
        buffer_append_text(&base, "; ");
        buffer_append_slice(&base, buffer_slice(&held));
        text_copy(out, REASON_SIZE, buffer_slice(&base));
    }
    buffer_clear(&base);
    buffer_clear(&held);
}
