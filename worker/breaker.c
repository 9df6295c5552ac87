#include "worker/breaker.h"

#include <string.h>

void
breaker_init(struct breaker *breaker)
{
    memset(breaker, 0, sizeof(*breaker));
    breaker->budget = BREAKER_BUDGET_MAX * BREAKER_BUDGET_SHARE;
}

/* Moves the window on; slots that fell out of it are emptied. */
static void
advance(struct breaker *breaker, int64_t now_ms)
{
    int64_t steps;

    if (breaker->slot_start_ms == 0 || now_ms < breaker->slot_start_ms)
        breaker->slot_start_ms = now_ms;
    steps = (now_ms - breaker->slot_start_ms) / BREAKER_SLOT_MS;
    breaker->slot_start_ms += steps * BREAKER_SLOT_MS;
    for (int64_t i = 0; i < steps && i < BREAKER_SLOTS; i++) {
        breaker->slot = (breaker->slot + 1) % BREAKER_SLOTS;
        breaker->good[breaker->slot] = 0;
        breaker->bad[breaker->slot] = 0;
    }
}

static void
forget(struct breaker *breaker)
{
    memset(breaker->good, 0, sizeof(breaker->good));
    memset(breaker->bad, 0, sizeof(breaker->bad));
    breaker->row = 0;
}

void
breaker_record(struct breaker *breaker, int64_t now_ms, bool good)
{
    advance(breaker, now_ms);
    if (good) {
        breaker->row = 0;
        breaker->good[breaker->slot]++;
        if (breaker->budget < BREAKER_BUDGET_MAX * BREAKER_BUDGET_SHARE)
            breaker->budget++;
    } else {
        breaker->bad[breaker->slot]++;
        if (breaker->row++ == 0 || now_ms < breaker->row_ms)
            breaker->row_ms = now_ms;
    }
}

bool
breaker_should_open(struct breaker *breaker, int64_t now_ms)
{
    unsigned good = 0;
    unsigned bad = 0;

    advance(breaker, now_ms);
    if (breaker->row >= BREAKER_MIN_FAILURES &&
        now_ms - breaker->row_ms >= BREAKER_ROW_MS)
        return true;
    for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
        good += breaker->good[i];
        bad += breaker->bad[i];
    }
    return bad >= BREAKER_MIN_FAILURES && bad >= good;
}

int64_t
breaker_open_ms(
    struct breaker *breaker, int64_t now_ms, bool probe, uint64_t random)
{
    int64_t ms = BREAKER_OPEN_MIN_MS;

    /* One success between two failures is no calm: an upstream that is half
     * down would be asked every few seconds. */
    if (!probe &&
        (now_ms < breaker->until_ms - BREAKER_OPEN_MAX_MS ||
            now_ms - breaker->until_ms > BREAKER_CALM_MS))
        breaker->openings = 0;
    for (unsigned i = 0; i < breaker->openings && ms < BREAKER_OPEN_MAX_MS; i++)
        ms *= 2;
    if (ms > BREAKER_OPEN_MAX_MS)
        ms = BREAKER_OPEN_MAX_MS;
    breaker->openings++;
    forget(breaker);
    /* 80 % to 100 %: workers of several installations do not march. */
    ms -= (int64_t)(random % ((uint64_t)ms / 5 + 1));
    breaker->until_ms = now_ms + ms;
    return ms;
}

void
breaker_close(struct breaker *breaker)
{
    forget(breaker);
}

bool
breaker_affords_retry(struct breaker *breaker)
{
    if (breaker->budget < BREAKER_BUDGET_SHARE)
        return false;
    breaker->budget -= BREAKER_BUDGET_SHARE;
    return true;
}
