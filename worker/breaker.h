#ifndef LH_WORKER_BREAKER_H
#define LH_WORKER_BREAKER_H

/*
 * breaker: decides from the outcomes of calls whether the upstream of one
 * pool and model bucket is down, and how long to leave it alone. Pure: time
 * and randomness are arguments. The state itself is shared by all workers
 * through Redis (a hold of kind "open"); this is the judgement of one.
 *
 * Closed: it opens when, within the last 30 s, at least BREAKER_MIN_FAILURES
 * calls failed and they are at least half of all; or when as many failed in a
 * row, for at least a second: many that end at once may have shared one
 * connection. Open: nothing is sent for
 * a time that doubles with each opening, 5 s up to 15 s, with jitter: after
 * the end of an outage nobody waits longer. An opening that follows a calm of
 * half a minute begins at 5 s again. Half-open: one probe; its success closes,
 * its failure opens again. A probe that has not answered in time keeps nobody:
 * another job may probe beside it.
 *
 * The budget: a retry for trouble of the upstream's takes a token, ten calls
 * that went well bring one. While there is none, a retry is not hurried: it
 * waits about as long as any retry may.
 */

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_SLOTS 6
#define BREAKER_SLOT_MS 5000
#define BREAKER_MIN_FAILURES 8
#ifdef LONGHAUL_TEST /* builds for chaos runs live faster */
#define BREAKER_OPEN_MIN_MS 500
#define BREAKER_OPEN_MAX_MS 3000
#define BREAKER_PROBE_MS 5000
#else
#define BREAKER_OPEN_MIN_MS 5000
#define BREAKER_OPEN_MAX_MS 15000
#define BREAKER_PROBE_MS 15000 /* until another job may probe as well */
#endif
#define BREAKER_ROW_MS 1000
#define BREAKER_CALM_MS 30000
/* After it closes, the pace grows back from a quarter over this. */
#define BREAKER_RAMP_MS 5000
#define BREAKER_BUDGET_SHARE 10 /* successes that pay for one retry */
#define BREAKER_BUDGET_MAX 100 /* retries that may be saved up */

struct breaker {
    int64_t slot_start_ms; /* of the newest slot */
    unsigned slot;
    unsigned good[BREAKER_SLOTS];
    unsigned bad[BREAKER_SLOTS];
    unsigned row; /* failures without a success between */
    int64_t row_ms; /* when it began */
    unsigned openings; /* in a row, without a calm between */
    int64_t until_ms; /* when the last of them is over */
    unsigned budget; /* in successes; BREAKER_BUDGET_SHARE make a retry */
};

void breaker_init(struct breaker *breaker);
/* A call that says nothing about the upstream's health is not recorded. */
void breaker_record(struct breaker *breaker, int64_t now_ms, bool good);
/* Whether the recorded failures are reason to open. */
bool breaker_should_open(struct breaker *breaker, int64_t now_ms);
/*
 * It opens now: how long it stays open, in ms. Forgets the window. probe: a
 * probe has failed, so it was open until now, whoever opened it. random: 64
 * uniform bits.
 */
int64_t breaker_open_ms(
    struct breaker *breaker, int64_t now_ms, bool probe, uint64_t random);
/* It was closed, by this worker's probe or another's. */
void breaker_close(struct breaker *breaker);
/* Whether a retry may come as soon as its own backoff says; takes it from the
 * budget. */
bool breaker_affords_retry(struct breaker *breaker);

#endif
