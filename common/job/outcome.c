#include "common/job/outcome.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

/* A longer header value is no number and no date. */
#define HEADER_MAX 64

/* ---- by what the transfer, the code, the type or the status says ---- */

static const enum outcome_class_id by_call[] = {
    [OUTCOME_CALL_OK] = OUTCOME_CLASS_OK,
    [OUTCOME_CALL_CONNECT] = OUTCOME_CLASS_NETWORK,
    [OUTCOME_CALL_DNS] = OUTCOME_CLASS_DNS,
    [OUTCOME_CALL_TLS] = OUTCOME_CLASS_TLS,
    [OUTCOME_CALL_TIMEOUT_CONNECT] = OUTCOME_CLASS_NETWORK,
    [OUTCOME_CALL_TIMEOUT] = OUTCOME_CLASS_TIMEOUT,
    [OUTCOME_CALL_CUT] = OUTCOME_CLASS_CUT,
    [OUTCOME_CALL_TOO_LARGE] = OUTCOME_CLASS_ANSWER_TOO_LARGE,
    [OUTCOME_CALL_GARBAGE] = OUTCOME_CLASS_GARBAGE,
    [OUTCOME_CALL_EMPTY] = OUTCOME_CLASS_EMPTY,
};

struct text_row {
    const char *text;
    enum outcome_class_id class_id;
};

/* Codes that mean something else than their error type; an unknown code
 * means what the type does. */
static const struct text_row by_code[] = {
    {"enforced_spend_limit_reached", OUTCOME_CLASS_SPEND_CAP},
    {"contract_spend_limit_reached", OUTCOME_CLASS_SPEND_CAP},
    {"ramp_limit_exceeded", OUTCOME_CLASS_ACCELERATION_LIMIT},
    {"organization_on_hold", OUTCOME_CLASS_ACCOUNT_HOLD},
    {"cmek_key_disabled", OUTCOME_CLASS_ACCOUNT_HOLD},
    {"cmek_key_network_blocked", OUTCOME_CLASS_ACCOUNT_HOLD},
    {"cmek_key_unreachable", OUTCOME_CLASS_ACCOUNT_HOLD},
    /* Who made the key has left the organization: a 400. */
    {"claude_code_key_creator_not_member", OUTCOME_CLASS_AUTH},
    {NULL, OUTCOME_CLASS_OK}};

static const struct text_row by_type[] = {
    {"invalid_request_error", OUTCOME_CLASS_BAD_REQUEST},
    {"authentication_error", OUTCOME_CLASS_AUTH},
    {"billing_error", OUTCOME_CLASS_BILLING},
    {"permission_error", OUTCOME_CLASS_PERMISSION},
    {"not_found_error", OUTCOME_CLASS_NOT_FOUND},
    {"conflict_error", OUTCOME_CLASS_CONFLICT},
    {"request_too_large", OUTCOME_CLASS_TOO_LARGE},
    {"rate_limit_error", OUTCOME_CLASS_RATE_LIMIT},
    {"api_error", OUTCOME_CLASS_API_ERROR},
    {"timeout_error", OUTCOME_CLASS_UPSTREAM_TIMEOUT},
    {"overloaded_error", OUTCOME_CLASS_OVERLOADED}, {NULL, OUTCOME_CLASS_OK}};

/* Answers that were paid for, but are not all that was asked for. */
static const struct text_row by_stop[] = {{"refusal", OUTCOME_CLASS_REFUSAL},
    {"max_tokens", OUTCOME_CLASS_MAX_TOKENS},
    {"model_context_window_exceeded", OUTCOME_CLASS_CONTEXT_WINDOW},
    {"pause_turn", OUTCOME_CLASS_PAUSE_TURN}, {NULL, OUTCOME_CLASS_OK}};

/* bare: also without Claude's error envelope. A 400 or 404 without one came
 * from something else on the way and says nothing about the job. */
static const struct status_row {
    int status;
    enum outcome_class_id class_id;
    bool bare;
} by_status[] = {
    {400, OUTCOME_CLASS_BAD_REQUEST, false},
    {401, OUTCOME_CLASS_AUTH, true},
    {402, OUTCOME_CLASS_BILLING, true},
    {403, OUTCOME_CLASS_PERMISSION, true},
    {404, OUTCOME_CLASS_NOT_FOUND, false},
    {408, OUTCOME_CLASS_UPSTREAM_TIMEOUT, true},
    {409, OUTCOME_CLASS_CONFLICT, true},
    {413, OUTCOME_CLASS_TOO_LARGE, true},
    {429, OUTCOME_CLASS_RATE_LIMIT, true},
    {504, OUTCOME_CLASS_UPSTREAM_TIMEOUT, true},
    {529, OUTCOME_CLASS_OVERLOADED, true},
};

static bool
find_text(const struct text_row *rows, struct slice text,
    enum outcome_class_id *class_id)
{
    for (; rows->text != NULL; rows++) {
        if (slice_equal_text(text, rows->text)) {
            *class_id = rows->class_id;
            return true;
        }
    }
    return false;
}

/* The only place where a message is looked at: Claude answers 400
 * invalid_request_error when a spend limit that the customer has set is
 * reached, and has no code for it. */
static bool
is_own_spend_limit(const struct outcome_input *in)
{
    static const char begin[] = "You have reached your specified ";
    static const char limits[] = "usage limits";

    return slice_starts_with(in->message, begin) &&
        memmem(in->message.data, in->message.len, limits, sizeof(limits) - 1) !=
        NULL;
}

static enum outcome_class_id
class_of_status(const struct outcome_input *in)
{
    bool bare = in->error_type.len == 0;
    size_t i;

    for (i = 0; i < sizeof(by_status) / sizeof(by_status[0]); i++)
        if (by_status[i].status == in->status && (by_status[i].bare || !bare))
            return by_status[i].class_id;
    if (in->status >= 500)
        return OUTCOME_CLASS_API_ERROR;
    if (in->status >= 300 && in->status < 400)
        return OUTCOME_CLASS_REDIRECT;
    if (in->status >= 400 && !bare)
        return OUTCOME_CLASS_BAD_REQUEST;
    return OUTCOME_CLASS_GARBAGE;
}

/* The status decides where it is one of Claude's; the type where it is not
 * (an error event inside a 200 stream). */
static enum outcome_class_id
class_of_error(const struct outcome_input *in)
{
    enum outcome_class_id class_id;

    if (find_text(by_code, in->error_code, &class_id))
        return class_id;
    if (in->status < 300 && in->error_type.len > 0) {
        if (!find_text(by_type, in->error_type, &class_id))
            class_id = OUTCOME_CLASS_API_ERROR;
    } else {
        class_id = class_of_status(in);
    }
    if (class_id == OUTCOME_CLASS_BAD_REQUEST && is_own_spend_limit(in))
        return OUTCOME_CLASS_SPEND_LIMIT_OWN;
    return class_id;
}

static enum outcome_class_id
class_of_message(const struct outcome_input *in)
{
    enum outcome_class_id class_id = OUTCOME_CLASS_OK;

    (void)find_text(by_stop, in->stop_reason, &class_id);
    return class_id;
}

/*
 * A status that is an error was an error, whatever became of its body; only
 * a success depends on the rest of the transfer.
 */
static enum outcome_class_id
class_of(const struct outcome_input *in)
{
    if (in->status >= 300)
        return class_of_error(in);
    if (in->call != OUTCOME_CALL_OK)
        return by_call[in->call];
    if (in->error_type.len > 0 || in->status != 200)
        return class_of_error(in);
    return class_of_message(in);
}

/* ---- when ---- */

/* Absent, unreadable, zero, negative: 0. Too long: 0 and *absurd. */
static int64_t
bounded_delay(double ms, bool *absurd)
{
    int64_t whole;

    if (!(ms > 0))
        return 0;
    if (ms > (double)OUTCOME_RETRY_AFTER_MAX_MS) {
        *absurd = true;
        return 0;
    }
    whole = (int64_t)ms;
    return (double)whole < ms ? whole + 1 : whole;
}

/* A header value as retry-after-ms (unit 1) or retry-after (unit 1000). */
static int64_t
number_delay(struct slice value, double unit, bool *absurd)
{
    double number;

    value = slice_trim(value);
    if (value.len == 0 || value.len > HEADER_MAX ||
        text_parse_double(value, &number) != 0)
        return 0;
    return bounded_delay(number * unit, absurd);
}

static int64_t
date_delay(struct slice value, int64_t now_ms, bool *absurd)
{
    int64_t at_ms;

    value = slice_trim(value);
    if (value.len == 0 || value.len > HEADER_MAX ||
        clock_parse_http_date(value, &at_ms) != 0)
        return 0;
    return bounded_delay((double)(at_ms - now_ms), absurd);
}

static int64_t
server_delay_ms(const struct outcome_input *in, bool *absurd)
{
    int64_t delay = number_delay(in->retry_after_ms, 1, absurd);

    if (delay == 0)
        delay = number_delay(in->retry_after, 1000, absurd);
    if (delay == 0)
        delay = date_delay(in->retry_after, in->now_ms, absurd);
    return delay;
}

int64_t
outcome_next_month_ms(int64_t now_ms)
{
    char text[CLOCK_TEXT_SIZE];
    uint64_t year = 1970;
    uint64_t month = 1;
    int64_t next;
    int ok;

    clock_format_ms(now_ms, text);
    ok = text_parse_u64(slice_make(text, 4), 9998, &year) == 0 &&
        text_parse_u64(slice_make(text + 5, 2), 12, &month) == 0;
    year += month == 12 ? 1 : 0;
    month = month == 12 ? 1 : month + 1;
    (void)snprintf(text, sizeof(text), "%04u-%02u-01T00:00:00Z", (unsigned)year,
        (unsigned)month);
    if (!ok || clock_parse_rfc3339(slice_of(text), &next) != 0)
        return now_ms + OUTCOME_RETRY_AFTER_MAX_MS;
    return next;
}

static void
set_times(const struct outcome_input *in, struct outcome *out)
{
    int64_t delay = server_delay_ms(in, &out->retry_after_absurd);

    if (out->verdict == OUTCOME_RETRY && delay > 0)
        out->retry_at_ms = in->now_ms + delay;
    if (out->verdict == OUTCOME_RETRY && out->info->holds_bucket) {
        delay = delay > 0 ? delay : out->info->hold_ms;
        out->hold_until_ms = delay > 0 ? in->now_ms + delay : 0;
    }
    if (out->verdict != OUTCOME_PAUSE_POOL)
        return;
    if (delay > 0)
        out->hold_until_ms = in->now_ms + delay;
    else if (out->class_id == OUTCOME_CLASS_SPEND_CAP)
        out->hold_until_ms = outcome_next_month_ms(in->now_ms);
    else
        out->hold_until_ms = in->now_ms + out->info->hold_ms;
}

/* 429: what the pool may use is used up, whichever the job is. */
static bool
is_limit(const struct outcome_class *info)
{
    return info->holds_bucket && !info->breaker_counts;
}

/*
 * x-should-retry is the server's word about this request. It cannot make a
 * job fail for trouble of the account or a rate limit, however often the
 * job meets it; any other forced retry counts, so that it ends.
 */
static void
obey_should_retry(struct slice value, struct outcome *out)
{
    value = slice_trim(value);
    if (out->verdict == OUTCOME_SUCCEEDED ||
        out->verdict == OUTCOME_PAUSE_POOL || is_limit(out->info))
        return;
    if (slice_equal_text(value, "true")) {
        if (out->verdict != OUTCOME_RETRY)
            out->counts_as_attempt = true;
        out->verdict = OUTCOME_RETRY;
    } else if (slice_equal_text(value, "false") &&
        out->verdict == OUTCOME_RETRY) {
        out->verdict = OUTCOME_FAIL;
        out->counts_as_attempt = true;
    }
}

void
outcome_classify(const struct outcome_input *input, struct outcome *out)
{
    memset(out, 0, sizeof(*out));
    out->class_id = class_of(input);
    out->info = outcome_class(out->class_id);
    out->verdict = out->info->verdict;
    out->counts_as_attempt = out->info->counts_as_attempt;
    obey_should_retry(input->should_retry, out);
    set_times(input, out);
}
