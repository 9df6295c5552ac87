#include "worker/holds.h"

#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"

/* Every bucket of every pool, the pools and the lanes; one that were left out
 * would not hold anything. */
#define HOLDS_MAX 2176
/* Calls that are refused as one ask for pauses that differ by as little. */
#define PAUSE_SLACK_MS 1000
#define FOREVER INT64_MAX

struct hold {
    char scope[JOB_BUCKET_MAX + 80];
    char kind[16];
    int64_t until_ms; /* monotonic; FOREVER: until lifted */
};

struct holds {
    size_t count;
    struct hold hold[HOLDS_MAX];
};

struct holds *
holds_new(void)
{
    return memory_zalloc(1, sizeof(struct holds));
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

/* --- judging --------------------------------------------------------- */

static bool
is_kind(const struct holds *holds, const char *scope, const char *kind)
{
    const struct hold *hold = find(holds, scope);

    return hold != NULL && strcmp(hold->kind, kind) == 0;
}

bool
holds_is_broken(const struct holds *holds, const char *scope)
{
    return is_kind(holds, scope, "open");
}

bool
holds_is_paused(const struct holds *holds, const char *scope)
{
    return is_kind(holds, scope, "paused");
}

enum holds_gate
holds_gate(const struct holds *holds, const char *scope, int64_t now_ms)
{
    const struct hold *hold = find(holds, scope);
    bool is_breaker = holds_is_broken(holds, scope);

    if (hold == NULL)
        return HOLDS_OPEN;
    if (hold->until_ms > now_ms)
        return is_breaker || is_kind(holds, scope, "overloaded") ? HOLDS_BROKEN
                                                                 : HOLDS_SHUT;
    return is_breaker || holds_is_paused(holds, scope) ? HOLDS_PROBE
                                                       : HOLDS_OPEN;
}

bool
holds_lane_is_shut(const struct holds *holds, struct slice lane, int64_t now_ms)
{
    char scope[JOB_BUCKET_MAX + 80];

    (void)snprintf(scope, sizeof(scope), "lane:%.*s", (int)lane.len, lane.data);
    return holds_gate(holds, scope, now_ms) == HOLDS_SHUT;
}
