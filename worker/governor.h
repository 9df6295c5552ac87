#ifndef LH_WORKER_GOVERNOR_H
#define LH_WORKER_GOVERNOR_H

/*
 * governor: how much of Claude's rate limits may be used, and by which job.
 * Pure; time is an argument (any monotonic clock, the same in every call).
 *
 * The token buckets themselves (requests, input tokens, output tokens; for
 * each pool and model bucket) are in Redis, shared by all workers; a claim
 * takes from them what its jobs will need (see queue_claim and _quota.lua).
 * Here is what is known about them: the limits, as configured and as the
 * answers' headers say; what a job will need, as learnt from answers; and
 * what is to be told to the others: the limits, and the difference between
 * what was reserved and what was used.
 *
 * Source: Claude's documentation, "Rate limits": limits per minute with
 * continuous refill, perhaps enforced over a second; input tokens count
 * without cache reads; output tokens as they are produced; the headers
 * anthropic-ratelimit-*.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/queue/queue.h"

#define GOVERNOR_SCOPES_MAX 2048 /* every bucket of every pool */
#define GOVERNOR_REPORT_MS 100 /* how often at most a scope is reported */

struct governor_limits {
    uint64_t per_min[QUOTA_KINDS]; /* as configured; 0: learn */
    unsigned percent; /* of the limits that may be used, 1 to 100 */
};

/* What the headers of one answer said; -1: nothing, or nonsense. */
struct governor_headers {
    int64_t limit[QUOTA_KINDS];
    int64_t remaining[QUOTA_KINDS];
    int64_t reset_ms[QUOTA_KINDS]; /* wall: when all of it is there again */
};
/* Adds what one header says; others are ignored. */
void governor_read_header(
    struct governor_headers *headers, struct slice name, struct slice value);
struct governor_headers governor_no_headers(void);

struct governor;

struct governor *governor_new(void);
void governor_free(struct governor *governor);
/* A scope ("POOL/BUCKET") is known from its first mention on; limits are
 * copied. `factor`: of the models' tokenizer (models.json). */
void governor_add(struct governor *governor, const char *scope,
    const struct governor_limits *limits, double factor);
bool governor_has(const struct governor *governor, const char *scope);

/* --- before a claim -------------------------------------------------- */

/*
 * How many jobs of `want` may be asked for now. 0: ask again in *wait_ms.
 * While nothing is known of a scope's limits a few calls go ahead and find
 * out.
 */
unsigned governor_room(struct governor *governor, const char *scope,
    const char *queue_name, int64_t now_ms, unsigned want, int64_t *wait_ms);
/* Fills what a claim says; scope is kept by reference. */
void governor_quota(struct governor *governor, const char *scope,
    const char *queue_name, struct queue_quota *quota);
/* A claim found that the queue's next job has to wait. */
void governor_lacking(struct governor *governor, const char *scope,
    const char *queue_name, int64_t now_ms, int64_t wait_ms);

/* How busy a scope is, to choose between several. */
struct governor_load {
    double free; /* of what may be used at once; 1: all, or no limit known */
    unsigned running; /* calls of this worker */
};
struct governor_load governor_load(
    const struct governor *governor, const char *scope, int64_t now_ms);

/* --- calls ----------------------------------------------------------- */

/* One call, from the claim to its end. */
struct governor_call {
    bool counted; /* governor_start was called, governor_end was not */
    bool reserved; /* in the shared buckets */
    int64_t input;
    int64_t output;
};
void governor_start(struct governor *governor, const char *scope,
    struct governor_call *call, const struct queue_claim *claim);

enum governor_use {
    GOVERNOR_USED, /* the usage is known */
    GOVERNOR_UNUSED, /* Claude did no work: all is given back */
    GOVERNOR_UNKNOWN /* what was reserved counts */
};
struct governor_usage {
    enum governor_use use;
    int64_t input_tokens; /* that count: without cache reads */
    int64_t cached_tokens; /* read from the cache */
    int64_t output_tokens;
};
/* mix: of the job's text, to learn from; "" when not known. */
void governor_end(struct governor *governor, const char *scope,
    const char *queue_name, struct governor_call *call, const char *mix,
    const struct governor_usage *usage);

/* The headers of any answer. */
void governor_hear(struct governor *governor, const char *scope,
    const struct governor_headers *headers, int64_t now_ms);
/* Whether an answer has told something that others wait for: the first
 * limits. */
bool governor_is_news(const struct governor *governor, const char *scope);
/* Claude answered 429. ramp: because the use grew too fast. */
void governor_refused(
    struct governor *governor, const char *scope, bool ramp, int64_t now_ms);

/* Claude is back after an outage: the pace grows from a quarter of the limits
 * over ramp_ms, and nothing is in hand. */
void governor_recovered(
    struct governor *governor, const char *scope, int64_t ramp_ms);

/* --- sharing --------------------------------------------------------- */

/*
 * The next scope that has something to report; false: none has now. The
 * report is then on its way until governor_reported().
 */
bool governor_report(struct governor *governor, int64_t now_ms,
    struct queue_quota_report *report);
/* state NULL: it is not known whether it arrived. */
void governor_reported(struct governor *governor, const char *scope,
    const struct queue_quota_state *state, int64_t now_ms);

/* For /metrics and the API: what is known of a scope. */
struct governor_view {
    const char *scope;
    int64_t per_min[QUOTA_KINDS]; /* that we use; 0 no limit, -1 unknown */
    int64_t level[QUOTA_KINDS]; /* that may be used, when last heard of */
    double brake; /* 1: none; less: somebody else uses the same quota */
    /* Of this worker since it started. */
    int64_t reserved[QUOTA_KINDS];
    uint64_t refusals;
    struct governor_headers heard; /* what each header last said */
};
bool governor_get(const struct governor *governor, unsigned index,
    struct governor_view *view);

#endif
