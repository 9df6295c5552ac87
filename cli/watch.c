#include "cli/watch.h"

/* A look is due every second; a gap above this is our own. */
#define GAP_MS 3000

void
watch_started(struct watch *watch, int64_t now_ms)
{
    watch->started_ms = now_ms;
    watch->heard_ms = now_ms;
    watch->tick_ms = now_ms;
}

void
watch_heard(struct watch *watch, int64_t now_ms)
{
    watch->heard_ms = now_ms;
}

int64_t
watch_ended(struct watch *watch, int64_t now_ms)
{
    int64_t delay_ms = WATCH_BACKOFF_FIRST_MS;
    if (now_ms - watch->started_ms >= WATCH_HEALTHY_MS)
        watch->failures = 0;
    for (unsigned i = 0; i < watch->failures; i++) {
        delay_ms *= 2;
        if (delay_ms >= WATCH_BACKOFF_MAX_MS)
            break;
    }
    watch->failures++;
    return delay_ms < WATCH_BACKOFF_MAX_MS ? delay_ms : WATCH_BACKOFF_MAX_MS;
}

bool
watch_is_stuck(struct watch *watch, int64_t now_ms, int64_t limit_ms)
{
    int64_t gap_ms = now_ms - watch->tick_ms;
    watch->tick_ms = now_ms;
    if (gap_ms > GAP_MS)
        watch->heard_ms += gap_ms;
    return now_ms - watch->heard_ms >= limit_ms;
}
