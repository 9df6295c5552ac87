#include "status-api/eta.h"

#include <stddef.h>

#define APART_MS 2000
#define SPAN_MIN_MS 3000
#define PROGRESS_MIN 10
#define AGE_MIN_MS 10000
#define DONE_MIN 100
#define SECONDS_MAX (INT64_C(31) * 86400)

static unsigned
place(const struct eta *eta, unsigned back)
{
    return (eta->next + ETA_SAMPLES - 1 - back) % ETA_SAMPLES;
}

void
eta_note(struct eta *eta, int64_t now_ms, uint64_t done)
{
    if (eta->count > 0 && now_ms - eta->samples[place(eta, 0)].at_ms < APART_MS)
        return;
    eta->samples[eta->next].at_ms = now_ms;
    eta->samples[eta->next].done = done;
    eta->next = (eta->next + 1) % ETA_SAMPLES;
    if (eta->count < ETA_SAMPLES)
        eta->count++;
}

static int64_t
seconds(uint64_t left, int64_t took_ms, uint64_t done)
{
    double s = (double)left * (double)took_ms / (double)done / 1000.0;
    return s >= (double)SECONDS_MAX ? -1 : (int64_t)(s + 0.999);
}

int64_t
eta_seconds(const struct eta *eta, int64_t now_ms, uint64_t done, uint64_t left,
    int64_t age_ms)
{
    int64_t span = 0;
    uint64_t progress = 0;
    if (left == 0)
        return 0;
    for (unsigned back = 0; back < eta->count; back++) {
        unsigned at = place(eta, back);
        if (now_ms - eta->samples[at].at_ms > ETA_WINDOW_MS)
            break;
        span = now_ms - eta->samples[at].at_ms;
        progress =
            done > eta->samples[at].done ? done - eta->samples[at].done : 0;
    }
    if (span >= SPAN_MIN_MS)
        return progress >= PROGRESS_MIN ? seconds(left, span, progress) : -1;
    if (age_ms >= AGE_MIN_MS && done >= DONE_MIN)
        return seconds(left, age_ms, done);
    return -1;
}
