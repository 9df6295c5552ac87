#include "worker/breaker.h"

#include <string.h>

void
breaker_init(struct breaker *breaker)
{
    memset(breaker, 0, sizeof(*breaker));
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
}

void
breaker_record(struct breaker *breaker, int64_t now_ms, bool good)
{
    advance(breaker, now_ms);
    if (good) {
        breaker->good[breaker->slot]++;
        breaker->openings = 0;
    } else {
        breaker->bad[breaker->slot]++;
    }
}

bool
breaker_should_open(struct breaker *breaker, int64_t now_ms)
{
    unsigned good = 0;
    unsigned bad = 0;

    advance(breaker, now_ms);
    for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
        good += breaker->good[i];
        bad += breaker->bad[i];
    }
    return bad >= BREAKER_MIN_FAILURES && bad >= good;
}

int64_t
breaker_open_ms(struct breaker *breaker, uint64_t random)
{
    int64_t ms = BREAKER_OPEN_MIN_MS;

    for (unsigned i = 0; i < breaker->openings && ms < BREAKER_OPEN_MAX_MS; i++)
        ms *= 2;
    if (ms > BREAKER_OPEN_MAX_MS)
        ms = BREAKER_OPEN_MAX_MS;
    breaker->openings++;
    forget(breaker);
    /* 80 % to 100 %: workers of several installations do not march. */
    return ms - (int64_t)(random % ((uint64_t)ms / 5 + 1));
}

void
breaker_close(struct breaker *breaker)
{
    forget(breaker);
    breaker->openings = 0;
}
