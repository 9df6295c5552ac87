#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/clock.h"
#include "common/job/outcome.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* 2026-11-20T14:32:10Z */
#define NOW INT64_C(1795185130000)

static struct outcome
classify(struct outcome_input input)
{
    struct outcome out;

    input.now_ms = NOW;
    outcome_classify(&input, &out);
    return out;
}

struct class_case {
    enum outcome_call call;
    int status;
    const char *type;
    const char *code;
    const char *message;
    const char *stop_reason;
    const char *class_name;
    enum outcome_verdict verdict;
};

#define OK OUTCOME_CALL_OK
#define INVALID "invalid_request_error"

static const struct class_case class_cases[] = {
    /* Results. */
    {OK, 200, "", "", "", "end_turn", "ok", OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "tool_use", "ok", OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "pause_turn", "pause_turn", OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "model_context_window_exceeded", "context_window",
        OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "a_new_reason", "ok", OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "refusal", "refusal", OUTCOME_SUCCEEDED},
    {OK, 200, "", "", "", "max_tokens", "max_tokens", OUTCOME_SUCCEEDED},
    /* The job's own fault. */
    {OK, 400, INVALID, "", "messages: required", "", "bad_request",
        OUTCOME_FAIL},
    {OK, 400, INVALID, "tool_name_conflict", "", "", "bad_request",
        OUTCOME_FAIL},
    {OK, 404, "not_found_error", "", "", "", "not_found", OUTCOME_FAIL},
    {OK, 404, "not_found_error", "thread_not_found", "", "", "not_found",
        OUTCOME_FAIL},
    {OK, 413, "request_too_large", "request_body_too_large_after_decoding", "",
        "", "too_large", OUTCOME_FAIL},
    {OK, 413, "request_too_large", "", "", "", "too_large", OUTCOME_FAIL},
    {OK, 413, "", "", "", "", "too_large", OUTCOME_FAIL},
    {OK, 422, INVALID, "", "", "", "bad_request", OUTCOME_FAIL},
    {OUTCOME_CALL_TOO_LARGE, 200, "", "", "", "", "answer_too_large",
        OUTCOME_FAIL},
    /* Trouble of the account. */
    {OK, 400, INVALID, "",
        "You have reached your specified API usage limits. You will regain "
        "access on 2026-12-01 at 00:00 UTC.",
        "", "spend_limit_own", OUTCOME_PAUSE_POOL},
    {OK, 400, INVALID, "",
        "You have reached your specified workspace API usage limits.", "",
        "spend_limit_own", OUTCOME_PAUSE_POOL},
    {OK, 400, INVALID, "",
        "messages.0: \"You have reached your specified API usage limits\"", "",
        "bad_request", OUTCOME_FAIL},
    {OK, 400, INVALID, "organization_on_hold", "", "", "account_hold",
        OUTCOME_PAUSE_POOL},
    {OK, 400, INVALID, "cmek_key_disabled", "", "", "account_hold",
        OUTCOME_PAUSE_POOL},
    {OK, 503, "api_error", "cmek_key_unreachable", "", "", "account_hold",
        OUTCOME_PAUSE_POOL},
    {OK, 400, INVALID, "claude_code_key_creator_not_member", "", "", "auth",
        OUTCOME_PAUSE_POOL},
    {OK, 402, "billing_error", "linked_organization_frozen", "", "", "billing",
        OUTCOME_PAUSE_POOL},
    {OK, 402, "", "", "", "", "billing", OUTCOME_PAUSE_POOL},
    {OK, 403, "", "", "", "", "permission", OUTCOME_PAUSE_POOL},
    {OK, 401, "authentication_error", "", "", "", "auth", OUTCOME_PAUSE_POOL},
    {OK, 401, "", "", "", "", "auth", OUTCOME_PAUSE_POOL},
    {OK, 402, "billing_error", "", "", "", "billing", OUTCOME_PAUSE_POOL},
    {OK, 403, "permission_error", "", "", "", "permission", OUTCOME_PAUSE_POOL},
    {OK, 429, "rate_limit_error", "enforced_spend_limit_reached", "", "",
        "spend_cap", OUTCOME_PAUSE_POOL},
    {OK, 429, "rate_limit_error", "contract_spend_limit_reached", "", "",
        "spend_cap", OUTCOME_PAUSE_POOL},
    {OK, 301, "", "", "", "", "redirect", OUTCOME_PAUSE_POOL},
    {OK, 307, "", "", "", "", "redirect", OUTCOME_PAUSE_POOL},
    /* To be tried again. */
    {OK, 408, "", "", "", "", "upstream_timeout", OUTCOME_RETRY},
    {OK, 409, "conflict_error", "", "", "", "conflict", OUTCOME_RETRY},
    {OK, 429, "rate_limit_error", "", "", "", "rate_limit", OUTCOME_RETRY},
    {OK, 429, "", "", "", "", "rate_limit", OUTCOME_RETRY},
    {OK, 429, "rate_limit_error", "some_new_code", "", "", "rate_limit",
        OUTCOME_RETRY},
    {OK, 429, "rate_limit_error", "ramp_limit_exceeded", "", "",
        "acceleration_limit", OUTCOME_RETRY},
    {OK, 500, "api_error", "", "", "", "api_error", OUTCOME_RETRY},
    {OK, 502, "", "", "", "", "api_error", OUTCOME_RETRY},
    {OK, 503, "api_error", "", "", "", "api_error", OUTCOME_RETRY},
    {OK, 503, "api_error", "cmek_context_unavailable", "", "", "api_error",
        OUTCOME_RETRY},
    {OK, 504, "timeout_error", "", "", "", "upstream_timeout", OUTCOME_RETRY},
    {OK, 529, "overloaded_error", "", "", "", "overloaded", OUTCOME_RETRY},
    {OK, 529, "", "", "", "", "overloaded", OUTCOME_RETRY},
    {OK, 599, "", "", "", "", "api_error", OUTCOME_RETRY},
    /* Not Claude at all: something on the way answered. */
    {OK, 400, "", "", "", "", "garbage", OUTCOME_RETRY},
    {OK, 404, "", "", "", "", "garbage", OUTCOME_RETRY},
    {OK, 418, "", "", "", "", "garbage", OUTCOME_RETRY},
    {OK, 204, "", "", "", "", "garbage", OUTCOME_RETRY},
    {OK, 0, "", "", "", "", "garbage", OUTCOME_RETRY},
    /* Errors inside a stream whose status is 200. */
    {OK, 200, "overloaded_error", "", "", "", "overloaded", OUTCOME_RETRY},
    {OK, 200, "api_error", "", "", "", "api_error", OUTCOME_RETRY},
    {OK, 200, "rate_limit_error", "", "", "", "rate_limit", OUTCOME_RETRY},
    {OK, 200, "rate_limit_error", "enforced_spend_limit_reached", "", "",
        "spend_cap", OUTCOME_PAUSE_POOL},
    {OK, 200, "timeout_error", "", "", "", "upstream_timeout", OUTCOME_RETRY},
    {OK, 200, INVALID, "", "", "", "bad_request", OUTCOME_FAIL},
    {OK, 200, "a_new_error", "", "", "", "api_error", OUTCOME_RETRY},
    /* The transfer. */
    {OUTCOME_CALL_CONNECT, 0, "", "", "", "", "network", OUTCOME_RETRY},
    {OUTCOME_CALL_DNS, 0, "", "", "", "", "dns", OUTCOME_RETRY},
    {OUTCOME_CALL_TLS, 0, "", "", "", "", "tls", OUTCOME_RETRY},
    {OUTCOME_CALL_TIMEOUT_CONNECT, 0, "", "", "", "", "network", OUTCOME_RETRY},
    {OUTCOME_CALL_TIMEOUT, 0, "", "", "", "", "timeout", OUTCOME_RETRY},
    {OUTCOME_CALL_TIMEOUT, 200, "", "", "", "", "timeout", OUTCOME_RETRY},
    {OUTCOME_CALL_CUT, 200, "", "", "", "end_turn", "cut", OUTCOME_RETRY},
    {OUTCOME_CALL_CUT, 0, "", "", "", "", "cut", OUTCOME_RETRY},
    {OUTCOME_CALL_GARBAGE, 200, "", "", "", "", "garbage", OUTCOME_RETRY},
    {OUTCOME_CALL_EMPTY, 200, "", "", "", "", "empty", OUTCOME_RETRY},
    /* An error status was an error, even if its body was cut. */
    {OUTCOME_CALL_CUT, 401, "", "", "", "", "auth", OUTCOME_PAUSE_POOL},
    {OUTCOME_CALL_CUT, 529, "", "", "", "", "overloaded", OUTCOME_RETRY},
};

static struct outcome_input
input_of(const struct class_case *c)
{
    struct outcome_input input = {
        .call = c->call,
        .status = c->status,
        .error_type = slice_of(c->type),
        .error_code = slice_of(c->code),
        .message = slice_of(c->message),
        .stop_reason = slice_of(c->stop_reason),
    };

    return input;
}

static void
every_answer_has_its_class_and_verdict(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(class_cases); i++) {
        const struct class_case *c = &class_cases[i];
        struct outcome out = classify(input_of(c));

        if (strcmp(out.info->name, c->class_name) != 0)
            fail_msg("case %zu: %s, not %s", i, out.info->name, c->class_name);
        assert_int_equal(out.verdict, c->verdict);
        assert_int_equal(out.info->verdict, c->verdict);
        assert_ptr_equal(out.info, outcome_class(out.class_id));
        assert_int_equal(out.counts_as_attempt, out.info->counts_as_attempt);
        assert_int_equal(out.retry_at_ms, 0);
        assert_false(out.retry_after_absurd);
        /* A pause without an end would stay when the cause is gone; a rate
         * limit without a time is held for a moment. */
        assert_int_equal(out.hold_until_ms > NOW,
            c->verdict == OUTCOME_PAUSE_POOL || out.info->hold_ms > 0);
    }
}

static void
every_class_is_reached_and_complete(void **state)
{
    bool seen[OUTCOME_CLASS_COUNT] = {false};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(class_cases); i++)
        seen[classify(input_of(&class_cases[i])).class_id] = true;
    for (i = 0; i < OUTCOME_CLASS_COUNT; i++) {
        const struct outcome_class *info =
            outcome_class((enum outcome_class_id)i);

        assert_true(seen[i]);
        assert_true(strlen(info->name) > 1 && strlen(info->name) < 32);
        assert_true(strlen(info->text) > 10);
        assert_ptr_equal(outcome_class_find(slice_of(info->name)), info);
    }
    assert_null(outcome_class_find(slice_of("nothing")));
}

/* What is not the job's fault does not use up its attempts; what Claude may
 * have worked on may be billed. */
static void
attempts_bills_and_the_breaker_follow_the_cause(void **state)
{
    static const struct {
        const char *name;
        bool counts;
        bool billed;
        bool breaker;
    } rows[] = {
        {"bad_request", true, false, false},
        {"auth", false, false, false},
        {"spend_cap", false, false, false},
        {"rate_limit", false, false, false},
        {"acceleration_limit", false, false, false},
        {"overloaded", false, false, true},
        {"api_error", true, false, true},
        {"timeout", true, true, true},
        {"upstream_timeout", true, true, true},
        {"network", false, false, true},
        {"dns", false, false, true},
        {"tls", false, false, true},
        {"cut", true, true, true},
        {"garbage", true, true, true},
        {"empty", true, true, true},
        {"refusal", true, false, false},
        {"context_window", true, false, false},
        {"pause_turn", true, false, false},
        {"account_hold", false, false, false},
        {"billing", false, false, false},
        {"permission", false, false, false},
        {"spend_limit_own", false, false, false},
        {"redirect", false, false, false},
        {"conflict", true, false, false},
        {"answer_too_large", true, true, false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        const struct outcome_class *info =
            outcome_class_find(slice_of(rows[i].name));

        assert_non_null(info);
        assert_int_equal(info->counts_as_attempt, rows[i].counts);
        assert_int_equal(info->may_be_billed, rows[i].billed);
        assert_int_equal(info->breaker_counts, rows[i].breaker);
    }
}

/* ---- when ---- */

struct delay_case {
    const char *after_ms;
    const char *after;
    int64_t delay_ms; /* 0 = absent */
    bool absurd;
};

static const struct delay_case delay_cases[] = {
    {"", "", 0, false},
    {"", "5", 5000, false},
    {"", " 5 ", 5000, false},
    {"", "0.5", 500, false},
    {"", "3600", 3600000, false},
    {"", "2678400", INT64_C(2678400000), false}, /* 31 days */
    {"", "2678401", 0, true},
    {"", "1e300", 0, true},
    {"", "0", 0, false},
    {"", "-1", 0, false},
    {"", "soon", 0, false},
    {"", "5s", 0, false},
    {"", "nan", 0, false},
    {"", "inf", 0, false},
    {"", "0x10", 0, false},
    {"", "Fri, 20 Nov 2026 14:32:40 GMT", 30000, false},
    {"", "Friday, 20-Nov-26 14:32:40 GMT", 30000, false},
    {"", "Fri Nov 20 14:32:40 2026", 30000, false},
    {"", "Fri, 20 Nov 2026 14:32:00 GMT", 0, false}, /* past */
    {"", "Fri, 20 Nov 2026 14:32:10 GMT", 0, false}, /* now */
    {"", "Sun, 20 Dec 2026 14:32:10 GMT", INT64_C(2592000000), false},
    {"", "Fri, 20 Nov 2099 14:32:10 GMT", 0, true},
    {"", "Fri, 32 Nov 2026 14:32:40 GMT", 0, false},
    {"1500.2", "", 1501, false},
    {"1500", "60", 1500, false},
    {"0", "60", 60000, false},
    {"-5", "60", 60000, false},
    {"x", "60", 60000, false},
    {"2678400001", "60", 60000, true},
    {"0.1", "", 1, false},
};

static void
waits_as_long_as_the_server_asked(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(delay_cases); i++) {
        const struct delay_case *c = &delay_cases[i];
        struct outcome_input input = {
            .status = 429,
            .error_type = slice_of("rate_limit_error"),
            .retry_after_ms = slice_of(c->after_ms),
            .retry_after = slice_of(c->after),
        };
        struct outcome out = classify(input);
        int64_t at = c->delay_ms == 0 ? 0 : NOW + c->delay_ms;
        /* No time, or none to believe: a second. */
        int64_t hold = at == 0 ? NOW + 1000 : at;

        if (out.retry_at_ms != at)
            print_error("'%s' '%s'\n", c->after_ms, c->after);
        assert_int_equal(out.retry_at_ms, at);
        assert_int_equal(out.hold_until_ms, hold);
        assert_int_equal(out.retry_after_absurd, c->absurd);
    }
}

static void
a_very_long_header_is_no_time(void **state)
{
    char text[500];
    struct outcome_input input = {.status = 429};

    (void)state;
    memset(text, '1', sizeof(text));
    input.retry_after = slice_make(text, sizeof(text));
    input.retry_after_ms = input.retry_after;
    assert_int_equal(classify(input).retry_at_ms, 0);
}

static void
an_internal_error_holds_the_job_and_not_the_bucket(void **state)
{
    struct outcome_input input = {.status = 500, .retry_after = slice_of("7")};

    (void)state;
    assert_int_equal(classify(input).retry_at_ms, NOW + 7000);
    assert_int_equal(classify(input).hold_until_ms, 0);
}

static void
an_overload_without_a_time_is_left_to_the_breaker(void **state)
{
    struct outcome_input input = {.status = 529};

    (void)state;
    assert_int_equal(classify(input).hold_until_ms, 0);
    input.retry_after = slice_of("20");
    assert_int_equal(classify(input).hold_until_ms, NOW + 20000);
}

static void
the_spend_cap_holds_until_the_first_of_the_month(void **state)
{
    struct outcome_input input = {
        .status = 429,
        .error_code = slice_of("enforced_spend_limit_reached"),
    };
    int64_t first;

    (void)state;
    assert_int_equal(
        clock_parse_rfc3339(slice_of("2026-12-01T00:00:00Z"), &first), 0);
    assert_int_equal(classify(input).hold_until_ms, first);
    input.retry_after = slice_of("3600");
    assert_int_equal(classify(input).hold_until_ms, NOW + 3600000);
}

static void
months_end_where_the_calendar_says(void **state)
{
    static const char *const rows[][2] = {
        {"2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"},
        {"2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"},
        {"2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"},
        {"2026-09-30T00:00:00Z", "2026-10-01T00:00:00Z"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        int64_t now;
        int64_t next;

        assert_int_equal(clock_parse_rfc3339(slice_of(rows[i][0]), &now), 0);
        assert_int_equal(clock_parse_rfc3339(slice_of(rows[i][1]), &next), 0);
        assert_int_equal(outcome_next_month_ms(now), next);
    }
}

static void
x_should_retry_has_the_last_word_but_never_fails_the_account(void **state)
{
    static const struct {
        int status;
        const char *value;
        enum outcome_verdict verdict;
        bool counts;
    } rows[] = {
        {400, "true", OUTCOME_RETRY, true},
        {400, "false", OUTCOME_FAIL, true},
        {401, "true", OUTCOME_PAUSE_POOL, false},
        {402, "true", OUTCOME_PAUSE_POOL, false},
        {401, "false", OUTCOME_PAUSE_POOL, false},
        {429, "true", OUTCOME_RETRY, false},
        {429, "false", OUTCOME_RETRY, false},
        {500, "false", OUTCOME_FAIL, true},
        {529, " false ", OUTCOME_FAIL, true},
        {500, "no", OUTCOME_RETRY, true},
        {200, "true", OUTCOME_SUCCEEDED, true},
        {200, "false", OUTCOME_SUCCEEDED, true},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct outcome_input input = {
            .status = rows[i].status,
            .error_type = slice_of(rows[i].status == 400 ? INVALID : ""),
            .should_retry = slice_of(rows[i].value),
            .stop_reason = slice_of("end_turn"),
        };
        struct outcome out = classify(input);

        assert_int_equal(out.verdict, rows[i].verdict);
        assert_int_equal(out.counts_as_attempt, rows[i].counts);
        assert_int_equal(out.hold_until_ms != 0,
            rows[i].verdict == OUTCOME_PAUSE_POOL ||
                (rows[i].status == 429 && rows[i].verdict == OUTCOME_RETRY));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_its_class_and_verdict),
        cmocka_unit_test(every_class_is_reached_and_complete),
        cmocka_unit_test(attempts_bills_and_the_breaker_follow_the_cause),
        cmocka_unit_test(waits_as_long_as_the_server_asked),
        cmocka_unit_test(a_very_long_header_is_no_time),
        cmocka_unit_test(an_internal_error_holds_the_job_and_not_the_bucket),
        cmocka_unit_test(an_overload_without_a_time_is_left_to_the_breaker),
        cmocka_unit_test(the_spend_cap_holds_until_the_first_of_the_month),
        cmocka_unit_test(months_end_where_the_calendar_says),
        cmocka_unit_test(
            x_should_retry_has_the_last_word_but_never_fails_the_account),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
