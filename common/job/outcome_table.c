#include "common/job/outcome.h"

#include <assert.h>
#include <stddef.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS INT64_C(60000)

/*
 * Attempts are for what may be the job's own fault: a rate limit, an
 * overload or a broken line says nothing about the job, and an outage of an
 * hour must not bury ten thousand of them. Such a job ends at its deadline.
 */
static const struct outcome_class classes[OUTCOME_CLASS_COUNT] = {
    [OUTCOME_CLASS_OK] =
        {
            .name = "ok",
            .verdict = OUTCOME_SUCCEEDED,
            .counts_as_attempt = true,
            .text = "Claude answered.",
        },
    [OUTCOME_CLASS_REFUSAL] =
        {
            .name = "refusal",
            .verdict = OUTCOME_SUCCEEDED,
            .counts_as_attempt = true,
            .text = "Claude declined to answer; see stop_details.",
        },
    [OUTCOME_CLASS_MAX_TOKENS] =
        {
            .name = "max_tokens",
            .verdict = OUTCOME_SUCCEEDED,
            .counts_as_attempt = true,
            .text = "The answer was cut at max_tokens.",
        },
    [OUTCOME_CLASS_CONTEXT_WINDOW] =
        {
            .name = "context_window",
            .verdict = OUTCOME_SUCCEEDED,
            .counts_as_attempt = true,
            .text = "The answer was cut where the model's context window "
                    "ends.",
        },
    [OUTCOME_CLASS_PAUSE_TURN] =
        {
            .name = "pause_turn",
            .verdict = OUTCOME_SUCCEEDED,
            .counts_as_attempt = true,
            .text = "Claude paused in a long turn with server tools; submit "
                    "the answer's content unchanged to go on.",
        },
    [OUTCOME_CLASS_BAD_REQUEST] =
        {
            .name = "bad_request",
            .verdict = OUTCOME_FAIL,
            .counts_as_attempt = true,
            .text = "Claude refused the request as invalid.",
        },
    [OUTCOME_CLASS_SPEND_LIMIT_OWN] =
        {
            .name = "spend_limit_own",
            .verdict = OUTCOME_PAUSE_POOL,
            .hold_ms = 10 * MINUTE_MS,
            .text = "Paused: a spend limit that you have set at Claude is "
                    "reached.",
        },
    [OUTCOME_CLASS_ACCOUNT_HOLD] =
        {
            .name = "account_hold",
            .verdict = OUTCOME_PAUSE_POOL,
            .hold_ms = 10 * MINUTE_MS,
            .text = "Paused: the organization is on hold at Claude, or its "
                    "encryption key cannot be used.",
        },
    [OUTCOME_CLASS_AUTH] =
        {
            .name = "auth",
            .verdict = OUTCOME_PAUSE_POOL,
            .hold_ms = MINUTE_MS,
            .text = "Paused: Claude does not accept the API key.",
        },
    [OUTCOME_CLASS_BILLING] =
        {
            .name = "billing",
            .verdict = OUTCOME_PAUSE_POOL,
            .hold_ms = 10 * MINUTE_MS,
            .text = "Paused: Claude reports a problem with the payment.",
        },
    [OUTCOME_CLASS_PERMISSION] =
        {
            .name = "permission",
            .verdict = OUTCOME_PAUSE_POOL,
            .may_be_own = true,
            .hold_ms = MINUTE_MS,
            .text = "Paused: the API key has no permission for this.",
        },
    [OUTCOME_CLASS_NOT_FOUND] =
        {
            .name = "not_found",
            .verdict = OUTCOME_FAIL,
            .counts_as_attempt = true,
            .text = "Claude does not know the model or another thing that "
                    "the request names.",
        },
    [OUTCOME_CLASS_CONFLICT] =
        {
            .name = "conflict",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .text = "Claude reported a conflict of states.",
        },
    [OUTCOME_CLASS_TOO_LARGE] =
        {
            .name = "too_large",
            .verdict = OUTCOME_FAIL,
            .counts_as_attempt = true,
            .text = "The request is larger than Claude accepts (32 MB).",
        },
    [OUTCOME_CLASS_RATE_LIMIT] =
        {
            .name = "rate_limit",
            .verdict = OUTCOME_RETRY,
            .holds_bucket = true,
            .hold_ms = SECOND_MS,
            .text = "Claude's rate limit is reached.",
        },
    [OUTCOME_CLASS_ACCELERATION_LIMIT] =
        {
            .name = "acceleration_limit",
            .verdict = OUTCOME_RETRY,
            .holds_bucket = true,
            .hold_ms = 5 * SECOND_MS,
            .text = "The use of Claude grew too fast; the pace is lowered.",
        },
    [OUTCOME_CLASS_SPEND_CAP] =
        {
            .name = "spend_cap",
            .verdict = OUTCOME_PAUSE_POOL,
            .text = "Paused: the monthly spend cap of the account is "
                    "reached; it ends on the 1st at 00:00 UTC.",
        },
    [OUTCOME_CLASS_API_ERROR] =
        {
            .name = "api_error",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .breaker_counts = true,
            .text = "Claude had an internal error.",
        },
    [OUTCOME_CLASS_OVERLOADED] =
        {
            .name = "overloaded",
            .verdict = OUTCOME_RETRY,
            .breaker_counts = true,
            .holds_bucket = true,
            .text = "Claude is overloaded.",
        },
    [OUTCOME_CLASS_UPSTREAM_TIMEOUT] =
        {
            .name = "upstream_timeout",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .breaker_counts = true,
            .text = "Claude gave up on the request before it was done.",
        },
    [OUTCOME_CLASS_TIMEOUT] =
        {
            .name = "timeout",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .breaker_counts = true,
            .text = "Claude did not answer within the time-out.",
        },
    [OUTCOME_CLASS_NETWORK] =
        {
            .name = "network",
            .verdict = OUTCOME_RETRY,
            .breaker_counts = true,
            .text = "Claude could not be reached.",
        },
    [OUTCOME_CLASS_DNS] =
        {
            .name = "dns",
            .verdict = OUTCOME_RETRY,
            .breaker_counts = true,
            .text = "The host name of the API could not be resolved.",
        },
    [OUTCOME_CLASS_TLS] =
        {
            .name = "tls",
            .verdict = OUTCOME_RETRY,
            .breaker_counts = true,
            .text = "No trusted connection to Claude could be made.",
        },
    [OUTCOME_CLASS_CUT] =
        {
            .name = "cut",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .breaker_counts = true,
            .text = "The connection was lost before the answer was complete.",
        },
    [OUTCOME_CLASS_GARBAGE] =
        {
            .name = "garbage",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .breaker_counts = true,
            .text = "What came back is not an answer of Claude's.",
        },
    [OUTCOME_CLASS_EMPTY] =
        {
            .name = "empty",
            .verdict = OUTCOME_RETRY,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .breaker_counts = true,
            .text = "The answer had no body.",
        },
    [OUTCOME_CLASS_ANSWER_TOO_LARGE] =
        {
            .name = "answer_too_large",
            .verdict = OUTCOME_FAIL,
            .counts_as_attempt = true,
            .may_be_billed = true,
            .text = "The answer is larger than the limit of this worker.",
        },
    [OUTCOME_CLASS_REDIRECT] =
        {
            .name = "redirect",
            .verdict = OUTCOME_PAUSE_POOL,
            .hold_ms = MINUTE_MS,
            .text = "Paused: the API's address answers with a redirect, which "
                    "is not followed with a key; check the base URL.",
        },
};

const struct outcome_class *
outcome_class(enum outcome_class_id id)
{
    assert(id < OUTCOME_CLASS_COUNT);
    return &classes[id];
}

const struct outcome_class *
outcome_class_find(struct slice name)
{
    size_t i;

    for (i = 0; i < OUTCOME_CLASS_COUNT; i++)
        if (slice_equal_text(name, classes[i].name))
            return &classes[i];
    return NULL;
}
