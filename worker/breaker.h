#ifndef LH_WORKER_BREAKER_H
#define LH_WORKER_BREAKER_H

/*
 * breaker: decides from the outcomes of calls whether the upstream of one
 * pool and model bucket is down, and how long to leave it alone. Pure: time
 * and randomness are arguments. The state itself is shared by all workers
 * through Redis (a hold of kind "open"); this is the judgement of one.
 *
 * Closed: it opens when, within the last 30 s, at least BREAKER_MIN_FAILURES
 * calls failed and they are at least half of all. Open: nothing is sent for
 * a time that doubles with each failed probe, 5 s up to 60 s, with jitter.
 * Half-open: one probe; its success closes, its failure opens again.
 */

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_SLOTS 6
#define BREAKER_SLOT_MS 5000
#define BREAKER_MIN_FAILURES 8
#ifdef LONGHAUL_TEST /* builds for chaos runs live faster */
#define BREAKER_OPEN_MIN_MS 500
#define BREAKER_OPEN_MAX_MS 3000
#else
#define BREAKER_OPEN_MIN_MS 5000
#define BREAKER_OPEN_MAX_MS 60000
#endif

struct breaker {
    int64_t slot_start_ms; /* of the newest slot */
    unsigned slot;
    unsigned good[BREAKER_SLOTS];
    unsigned bad[BREAKER_SLOTS];
    unsigned openings; /* in a row, without a success between */
};

void breaker_init(struct breaker *breaker);
/* A call that says nothing about the upstream's health is not recorded. */
void breaker_record(struct breaker *breaker, int64_t now_ms, bool good);
/* Whether the recorded failures are reason to open. */
bool breaker_should_open(struct breaker *breaker, int64_t now_ms);
/*
 * It opens now (also after a failed probe): how long it stays open, in ms.
 * Forgets the window. random: 64 uniform bits.
 */
int64_t breaker_open_ms(struct breaker *breaker, uint64_t random);
/* It was closed, by this worker's probe or another's. */
void breaker_close(struct breaker *breaker);

#endif
