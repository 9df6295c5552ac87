#ifndef LH_JOB_OUTCOME_H
#define LH_JOB_OUTCOME_H

/*
 * outcome: what one call to Claude came to, and what follows. One pure
 * function and one table of classes, so that the worker, the API's texts
 * and the documentation cannot disagree.
 *
 * Facts: Claude's error page (status, type, details.error_code), and the
 * retry rules of the official SDKs (retry-after-ms, retry-after,
 * x-should-retry). Trouble of the account pauses the pool instead of
 * failing the jobs that happen to be in it; trouble that is not the job's
 * fault does not use up its attempts.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

enum outcome_verdict {
    OUTCOME_SUCCEEDED,
    OUTCOME_RETRY, /* this job again, later */
    OUTCOME_FAIL, /* this job to the dead letters */
    OUTCOME_PAUSE_POOL /* the job waits; nothing of the pool is started */
};

/* How the transfer itself ended. */
enum outcome_call {
    OUTCOME_CALL_OK, /* a complete answer with any status */
    OUTCOME_CALL_CONNECT, /* refused, unreachable, reset at once */
    OUTCOME_CALL_DNS, /* the host has no address */
    OUTCOME_CALL_TLS, /* handshake or certificate */
    OUTCOME_CALL_TIMEOUT_CONNECT, /* timed out before the request left */
    OUTCOME_CALL_TIMEOUT, /* timed out after it */
    OUTCOME_CALL_CUT, /* connection lost after it, or a stream
                                     without message_stop */
    OUTCOME_CALL_TOO_LARGE, /* the answer is over our limit */
    OUTCOME_CALL_GARBAGE, /* 200, but not a Message */
    OUTCOME_CALL_EMPTY /* 200 without a body */
};

enum outcome_class_id {
    OUTCOME_CLASS_OK,
    OUTCOME_CLASS_REFUSAL,
    OUTCOME_CLASS_MAX_TOKENS,
    OUTCOME_CLASS_CONTEXT_WINDOW,
    OUTCOME_CLASS_PAUSE_TURN,
    OUTCOME_CLASS_BAD_REQUEST,
    OUTCOME_CLASS_SPEND_LIMIT_OWN,
    OUTCOME_CLASS_ACCOUNT_HOLD,
    OUTCOME_CLASS_AUTH,
    OUTCOME_CLASS_BILLING,
    OUTCOME_CLASS_PERMISSION,
    OUTCOME_CLASS_NOT_FOUND,
    OUTCOME_CLASS_CONFLICT,
    OUTCOME_CLASS_TOO_LARGE,
    OUTCOME_CLASS_RATE_LIMIT,
    OUTCOME_CLASS_ACCELERATION_LIMIT,
    OUTCOME_CLASS_SPEND_CAP,
    OUTCOME_CLASS_API_ERROR,
    OUTCOME_CLASS_OVERLOADED,
    OUTCOME_CLASS_UPSTREAM_TIMEOUT,
    OUTCOME_CLASS_TIMEOUT,
    OUTCOME_CLASS_NETWORK,
    OUTCOME_CLASS_DNS,
    OUTCOME_CLASS_TLS,
    OUTCOME_CLASS_CUT,
    OUTCOME_CLASS_GARBAGE,
    OUTCOME_CLASS_EMPTY,
    OUTCOME_CLASS_ANSWER_TOO_LARGE,
    OUTCOME_CLASS_REDIRECT,
    OUTCOME_CLASS_COUNT
};

struct outcome_class {
    const char *name; /* "rate_limit": stored, shown, a metric label */
    enum outcome_verdict verdict;
    bool counts_as_attempt; /* against max_attempts */
    bool may_be_billed; /* whether Claude worked is not known */
    bool breaker_counts; /* as a failure of the upstream */
    bool holds_bucket; /* retry-after is meant for the whole bucket */
    bool may_be_own; /* of this one request, not of the account */
    /* Of the pool (PAUSE_POOL) or the bucket (holds_bucket), when the answer
     * says no time. */
    int64_t hold_ms;
    const char *text; /* one sentence for the user */
};

struct outcome_input {
    enum outcome_call call;
    int status; /* HTTP; 0 when there was none */
    /* Of the error body, or of the error event in a stream whose status is
     * 200; empty when absent. */
    struct slice error_type;
    struct slice error_code;
    struct slice message; /* only to recognise the own spend limit */
    /* Header values; empty when absent. */
    struct slice retry_after_ms;
    struct slice retry_after;
    struct slice should_retry;
    struct slice stop_reason; /* of a Message */
    int64_t now_ms; /* wall clock */
};

struct outcome {
    enum outcome_verdict verdict;
    enum outcome_class_id class_id;
    const struct outcome_class *info;
    /* As the class says, unless x-should-retry changed the verdict. */
    bool counts_as_attempt;
    /* RETRY: not before this wall time, in ms; 0 = only the backoff. */
    int64_t retry_at_ms;
    /* RETRY: hold the model bucket, PAUSE_POOL: the pool, until then;
     * 0 = no hold. */
    int64_t hold_until_ms;
    /* A retry-after over 31 days was seen and counts as absent. */
    bool retry_after_absurd;
};

#define OUTCOME_RETRY_AFTER_MAX_MS (INT64_C(31) * 86400 * 1000)

void outcome_classify(const struct outcome_input *input, struct outcome *out);

const struct outcome_class *outcome_class(enum outcome_class_id id);
/* By name; NULL when there is none. */
const struct outcome_class *outcome_class_find(struct slice name);
/* The first instant of the next month in UTC. */
int64_t outcome_next_month_ms(int64_t now_ms);

#endif
