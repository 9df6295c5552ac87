#ifndef LH_FAKE_LIMITS_H
#define LH_FAKE_LIMITS_H

/*
 * limits: the token buckets behind 429 (Claude's documentation, "Rate
 * limits"): requests, input tokens without cache reads, and output tokens
 * per minute, each refilled continuously. Pure: time is an argument.
 *
 * A request is let in when there is room for it in the request and input
 * buckets and the output bucket is not overdrawn; output is charged as it is
 * produced, so that bucket can go below zero. A request that is larger than
 * the whole input bucket is let in when the bucket is full.
 */

#include <stdbool.h>
#include <stdint.h>

enum limit_kind { LIMIT_REQUESTS, LIMIT_INPUT, LIMIT_OUTPUT, LIMIT_KINDS };

struct limit {
    uint64_t per_minute; /* 0: unlimited */
    double capacity;
    double level;
    int64_t at_ms;
};

/* The limits of one model bucket. */
struct limits {
    struct limit kinds[LIMIT_KINDS];
};

/* Full buckets; per_minute[LIMIT_KINDS], burst_s seconds of them fit. */
void limits_init(struct limits *limits, const uint64_t *per_minute,
    double burst_s, int64_t now_ms);

/*
 * Takes one request of `input_tokens` if there is room and returns 0; or
 * takes nothing and returns the milliseconds until there will be (> 0), with
 * the kind that refused in *kind.
 */
int64_t limits_admit(struct limits *limits, uint64_t input_tokens,
    int64_t now_ms, enum limit_kind *kind);
void limits_charge_output(
    struct limits *limits, uint64_t tokens, int64_t now_ms);

struct limit_view {
    uint64_t limit; /* 0: unlimited, the rest means nothing */
    uint64_t remaining; /* never below 0 */
    int64_t full_in_ms;
};
void limits_view(struct limits *limits, enum limit_kind kind, int64_t now_ms,
    struct limit_view *view);

#endif
