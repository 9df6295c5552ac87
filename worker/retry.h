#ifndef LH_WORKER_RETRY_H
#define LH_WORKER_RETRY_H

/*
 * retry: when a job may be tried again. Exponential backoff with full
 * jitter: a uniform delay in [0, min(cap, base * 2^(attempt - 1))]. Full
 * jitter spreads a crowd best. What the server asked for (retry-after) is a
 * floor that is kept exactly.
 */

#include <stdint.h>

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 60000

struct retry_policy {
    int64_t base_ms; /* >= 1 */
    int64_t cap_ms; /* >= base_ms */
};

/* base 1 s, cap 60 s. */
struct retry_policy retry_policy_default(void);

/* attempt: how many calls were made, >= 1. random: 64 uniform bits. */
int64_t retry_delay_ms(
    struct retry_policy policy, unsigned attempt, uint64_t random);

/*
 * The wall time of the next try. not_before_ms: what the server asked for
 * (outcome.retry_at_ms), 0 for none. The result is never before either.
 */
int64_t retry_next_ms(struct retry_policy policy, unsigned attempt,
    uint64_t random, int64_t now_ms, int64_t not_before_ms);

/* The wait of a retry for which there is no budget (see breaker.h): between
 * half of the cap and the cap. */
int64_t retry_patient_ms(struct retry_policy policy, uint64_t random);

#endif
