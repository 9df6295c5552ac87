#ifndef LH_WORKER_GOVERNOR_H
#define LH_WORKER_GOVERNOR_H

/*
 * governor: how many calls may start now. Pure; time is an argument.
 *
 * Per model bucket three token buckets with continuous refill (requests,
 * input tokens, output tokens; Claude counts them per minute and may enforce
 * them finer, so the burst is one second's worth). A start reserves an
 * estimate, its usage settles it; a bucket may go negative and then nothing
 * starts until it has refilled. Each worker takes an equal share of the
 * configured limits. A limit of 0 is no limit.
 *
 * A worker claims only what was granted here: nothing waits for quota in a
 * worker's hands.
 */

#include <stdint.h>

#define GOVERNOR_BUCKETS_MAX 64
#define GOVERNOR_NAME_MAX 64

struct governor_limits {
    uint64_t requests_per_min; /* of the whole installation; 0: none */
    uint64_t input_tokens_per_min;
    uint64_t output_tokens_per_min;
};

struct governor;

/* now_ms: any monotonic clock, the same in every call. */
struct governor *governor_new(
    const struct governor_limits *limits, int64_t now_ms);
void governor_free(struct governor *governor);

/* This worker's part is 1/workers (>= 1). */
void governor_set_workers(struct governor *governor, unsigned workers);

/* How many starts, at most `want`, the bucket has room for now. */
unsigned governor_grant(struct governor *governor, const char *bucket,
    int64_t now_ms, unsigned want);
/* What a start reserves; kept by the caller for settle. */
struct governor_reserve {
    int64_t input_tokens;
    int64_t output_tokens;
};
/* One call starts: input_tokens is its estimate. */
struct governor_reserve governor_start(struct governor *governor,
    const char *bucket, int64_t now_ms, int64_t input_tokens);
/* It ended: what it really used (0, 0 when Claude did not work). */
void governor_settle(struct governor *governor, const char *bucket,
    int64_t now_ms, const struct governor_reserve *reserve,
    int64_t input_tokens, int64_t output_tokens);

#endif
