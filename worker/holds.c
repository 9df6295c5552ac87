#include "worker/holds.h"

#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"

#define HOLDS_MAX 128
/* Calls that are refused as one ask for pauses that differ by as little. */
#define PAUSE_SLACK_MS 1000
#define FOREVER INT64_MAX

struct hold {
    char scope[JOB_BUCKET_MAX + 80];
    char kind[16];
    int64_t until_ms; /* monotonic; FOREVER: until lifted */
};

struct holds {
    char pool[JOB_TENANT_MAX + 1];
    size_t count;
    struct hold hold[HOLDS_MAX];
};

struct holds *
holds_new(const char *pool)
{
    struct holds *holds = memory_zalloc(1, sizeof(*holds));

    text_copy(holds->pool, sizeof(holds->pool), slice_of(pool));
    return holds;
}

void
holds_free(struct holds *holds)
{
    memory_free(holds);
}

static struct hold *
find(const struct holds *holds, const char *scope)
{
    for (size_t i = 0; i < holds->count; i++) {
        const struct hold *hold = &holds->hold[i];

        if (strcmp(hold->scope, scope) == 0)
            return (struct hold *)(uintptr_t)hold;
    }
    return NULL;
}

void
holds_set(struct holds *holds, const char *scope, const char *kind,
    int64_t for_ms, int64_t now_ms)
{
    struct hold *hold = find(holds, scope);

    if (hold == NULL) {
        if (holds->count == HOLDS_MAX)
            return;
        hold = &holds->hold[holds->count++];
        text_copy(hold->scope, sizeof(hold->scope), slice_of(scope));
    }
    text_copy(hold->kind, sizeof(hold->kind), slice_of(kind));
    hold->until_ms = for_ms < 0 ? FOREVER : now_ms + for_ms;
}

void
holds_replace(struct holds *holds, const struct queue_hold *list, size_t count,
    int64_t now_ms)
{
    holds->count = 0;
    for (size_t i = 0; i < count; i++)
        holds_set(holds, list[i].scope, list[i].kind, list[i].left_ms, now_ms);
}

void
holds_clear(struct holds *holds, const char *scope)
{
    struct hold *hold = find(holds, scope);

    if (hold != NULL)
        *hold = holds->hold[--holds->count];
}

bool
holds_cover(const struct holds *holds, const char *scope, const char *kind,
    int64_t for_ms, int64_t now_ms)
{
    const struct hold *hold = find(holds, scope);
    bool same = hold != NULL && strcmp(hold->kind, kind) == 0;
    int64_t slack_ms = same && strcmp(kind, "paused") == 0 ? PAUSE_SLACK_MS : 0;

    if (hold == NULL || hold->until_ms <= now_ms)
        return false;
    return hold->until_ms == FOREVER ||
        (for_ms >= 0 && hold->until_ms + slack_ms >= now_ms + for_ms);
}

void
holds_bucket_scope(
    const struct holds *holds, const char *bucket, char *out, size_t size)
{
    snprintf(out, size, "bucket:%s/%s", holds->pool, bucket);
}

void
holds_pool_scope(const struct holds *holds, char *out, size_t size)
{
    snprintf(out, size, "pool:%s", holds->pool);
}

/* --- judging --------------------------------------------------------- */

enum gate { OPEN, PROBE, SHUT, BROKEN };

/* What one scope says. BROKEN: shut because the upstream of the bucket is
 * down, which another model may get around. */
static enum gate
gate_of(const struct holds *holds, const char *scope, int64_t now_ms)
{
    const struct hold *hold = find(holds, scope);
    bool is_breaker;

    if (hold == NULL)
        return OPEN;
    is_breaker = strcmp(hold->kind, "open") == 0;
    if (hold->until_ms > now_ms)
        return is_breaker ? BROKEN : SHUT;
    return is_breaker || strcmp(hold->kind, "paused") == 0 ? PROBE : OPEN;
}

static enum gate
bucket_gate(const struct holds *holds, const char *bucket, int64_t now_ms)
{
    char scope[JOB_BUCKET_MAX + 80];

    holds_bucket_scope(holds, bucket, scope, sizeof(scope));
    return gate_of(holds, scope, now_ms);
}

bool
holds_is_broken(const struct holds *holds, const char *bucket)
{
    char scope[JOB_BUCKET_MAX + 80];
    const struct hold *hold;

    holds_bucket_scope(holds, bucket, scope, sizeof(scope));
    hold = find(holds, scope);
    return hold != NULL && strcmp(hold->kind, "open") == 0;
}

static void
judge_bucket(const struct holds *holds, struct slice buckets, int64_t now_ms,
    struct holds_verdict *verdict)
{
    struct slice first = slice_split(&buckets, '>');
    char fallback[JOB_BUCKET_MAX + 1];
    enum gate gate;

    text_copy(verdict->bucket, sizeof(verdict->bucket), first);
    text_copy(fallback, sizeof(fallback), buckets);
    gate = bucket_gate(holds, verdict->bucket, now_ms);
    if (gate == OPEN)
        return;
    if (gate == PROBE) {
        verdict->answer = HOLDS_PROBE;
        holds_bucket_scope(
            holds, verdict->bucket, verdict->scope, sizeof(verdict->scope));
        return;
    }
    verdict->answer = HOLDS_STOP;
    if (gate == BROKEN && fallback[0] != '\0' &&
        bucket_gate(holds, fallback, now_ms) == OPEN) {
        verdict->answer = HOLDS_FALLBACK;
        text_copy(verdict->bucket, sizeof(verdict->bucket), slice_of(fallback));
    }
}

void
holds_judge(const struct holds *holds, const char *queue_name, int64_t now_ms,
    struct holds_verdict *verdict)
{
    struct slice rest = slice_of(queue_name);
    struct slice lane = slice_split(&rest, ':');
    char scope[JOB_BUCKET_MAX + 80];
    enum gate pool;

    memset(verdict, 0, sizeof(*verdict));
    verdict->answer = HOLDS_STOP;
    snprintf(scope, sizeof(scope), "lane:%.*s", (int)lane.len, lane.data);
    if (gate_of(holds, scope, now_ms) == SHUT)
        return;
    holds_pool_scope(holds, scope, sizeof(scope));
    pool = gate_of(holds, scope, now_ms);
    if (pool == SHUT || pool == BROKEN)
        return;
    verdict->answer = HOLDS_GO;
    judge_bucket(holds, rest, now_ms, verdict);
    if (pool == PROBE && verdict->answer != HOLDS_STOP) {
        verdict->answer = HOLDS_PROBE;
        text_copy(verdict->scope, sizeof(verdict->scope), slice_of(scope));
    }
}
