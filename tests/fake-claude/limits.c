#include "tests/fake-claude/limits.h"

#include <math.h>

void
limits_init(struct limits *limits, const uint64_t *per_minute, double burst_s,
    int64_t now_ms)
{
    for (int i = 0; i < LIMIT_KINDS; i++) {
        struct limit *limit = &limits->kinds[i];
        limit->per_minute = per_minute[i];
        limit->capacity = fmax(1.0, (double)per_minute[i] * burst_s / 60.0);
        limit->level = limit->capacity;
        limit->at_ms = now_ms;
    }
}

static double
per_ms(const struct limit *limit)
{
    return (double)limit->per_minute / 60000.0;
}

static void
refill(struct limit *limit, int64_t now_ms)
{
    if (now_ms > limit->at_ms) {
        double gained = (double)(now_ms - limit->at_ms) * per_ms(limit);
        limit->level = fmin(limit->capacity, limit->level + gained);
        limit->at_ms = now_ms;
    }
}

static int64_t
ms_until(const struct limit *limit, double level)
{
    if (limit->per_minute == 0 || limit->level >= level)
        return 0;
    return (int64_t)ceil((level - limit->level) / per_ms(limit));
}

int64_t
limits_admit(struct limits *limits, uint64_t input_tokens, int64_t now_ms,
    enum limit_kind *kind)
{
    const double cost[LIMIT_KINDS] = {1.0, (double)input_tokens, 0.0};
    int64_t longest = 0;
    for (int i = 0; i < LIMIT_KINDS; i++) {
        struct limit *limit = &limits->kinds[i];
        refill(limit, now_ms);
        /* Output: anything above nothing will do. */
        double need = i == LIMIT_OUTPUT ? 1.0 : cost[i];
        int64_t wait = ms_until(limit, fmin(need, limit->capacity));
        if (wait > longest) {
            longest = wait;
            *kind = (enum limit_kind)i;
        }
    }
    if (longest > 0)
        return longest;
    for (int i = 0; i < LIMIT_KINDS; i++)
        limits->kinds[i].level -= cost[i];
    return 0;
}

void
limits_charge_output(struct limits *limits, uint64_t tokens, int64_t now_ms)
{
    struct limit *limit = &limits->kinds[LIMIT_OUTPUT];
    refill(limit, now_ms);
    limit->level -= (double)tokens;
}

void
limits_view(struct limits *limits, enum limit_kind kind, int64_t now_ms,
    struct limit_view *view)
{
    struct limit *limit = &limits->kinds[kind];
    refill(limit, now_ms);
    view->limit = limit->per_minute;
    view->remaining = limit->level > 0 ? (uint64_t)limit->level : 0;
    view->full_in_ms = ms_until(limit, limit->capacity);
}
