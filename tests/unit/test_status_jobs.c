#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "status-api/waiters.h"
#include "tests/unit/status_suite.h"

#define UNKNOWN "job_0199f6a2-5c1e-7abc-9def-0123456789ab"
#define QUEUE "interactive:other"
#define MESSAGE "{\"type\":\"message\",\"temperature\":0.7}"

static const struct rig_job plain;

static void
submit(char id[ID_SIZE])
{
    rig_submit(rig, &plain, id);
}

static void
a_job_is_found_in_every_state_of_its_life(void **state)
{
    char id[ID_SIZE], other[ID_SIZE];
    const struct rig_answer *got;
    (void)state;
    submit(other);
    submit(id);
    got = rig_get(rig, "/v1/jobs/%s", id);
    assert_int_equal(got->status, 200);
    assert_string_equal(rig_text("status"), "queued");
    assert_string_equal(rig_text("id"), id);
    assert_string_equal(
        rig_text("status_reason"), "queued: 1 job ahead in its queue");
    assert_string_equal(got->etag, "\"v1\"");
    assert_string_not_equal(got->retry_after, "");
    rig_claim_all(rig, QUEUE);
    rig_get(rig, "/v1/jobs/%s", id);
    assert_string_equal(rig_text("status"), "running");
    rig_retry(rig, id, 3600000);
    rig_get(rig, "/v1/jobs/%s", id);
    assert_string_equal(rig_text("status"), "retrying");
    assert_non_null(strstr(rig_text("status_reason"),
        "after attempt 1 of 8: overloaded_error (529): Overloaded"));
    rig_succeed(rig, other, MESSAGE);
    got = rig_get(rig, "/v1/jobs/%s", other);
    assert_int_equal(got->status, 200);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_string_equal(got->retry_after, "");
    assert_string_equal(rig_text("stop_reason"), "end_turn");
}

static void
an_unknown_job_is_404_whatever_its_form(void **state)
{
    static const char *const ids[] = {UNKNOWN, "job_1", "%41", "job_", "x%20y",
        "msg_0199f6a2-5c1e-7abc-9def-0123456789ab"};
    static const char *const tails[] = {"", "/result"};
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(
                rig_get(rig, "/v1/jobs/%s%s", ids[i], tails[j])->status, 404);
            assert_string_equal(rig_text("error.type"), "not_found_error");
        }
        assert_int_equal(
            rig_post(rig, NULL, "/v1/jobs/%s/cancel", ids[i])->status, 404);
        assert_int_equal(
            rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", ids[i])->status,
            404);
    }
}

static void
a_matching_etag_is_304_and_another_is_200(void **state)
{
    static const struct {
        const char *header;
        unsigned status;
    } rows[] = {{"If-None-Match: \"v1\"\r\n", 304},
        {"If-None-Match: W/\"v1\"\r\n", 304},
        {"If-None-Match: \"v0\", \"v1\"\r\n", 304},
        {"If-None-Match: \"v0\"\r\nIf-None-Match: \"v1\"\r\n", 304},
        {"If-None-Match: *\r\n", 304}, {"If-None-Match: \"v2\"\r\n", 200},
        {"If-None-Match: v1\r\n", 200}, {"If-None-Match: \"v11\"\r\n", 200}};
    char id[ID_SIZE];
    (void)state;
    submit(id);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rig_answer *got =
            rig_ask(rig, "GET", rows[i].header, NULL, "/v1/jobs/%s", id);
        assert_int_equal(got->status, rows[i].status);
        assert_string_equal(got->etag, "\"v1\"");
    }
}

static void
the_result_is_claudes_bytes(void **state)
{
    char id[ID_SIZE];
    const struct rig_answer *got;
    (void)state;
    submit(id);
    got = rig_get(rig, "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 202);
    assert_string_equal(rig_text("status"), "queued");
    assert_string_not_equal(got->retry_after, "");
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, MESSAGE);
    got = rig_get(rig, "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 200);
    assert_string_equal(got->body.data, MESSAGE);
}

static void
a_result_that_the_client_has_is_304(void **state)
{
    char id[ID_SIZE], etag[80];
    const struct rig_answer *got;
    (void)state;
    submit(id);
    got = rig_ask(rig, "GET", "If-None-Match: \"v1\"\r\n", NULL,
        "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 304);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, MESSAGE);
    got = rig_ask(rig, "GET", "If-None-Match: \"v1\"\r\n", NULL,
        "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 200);
    assert_string_equal(got->body.data, MESSAGE);
    snprintf(etag, sizeof(etag), "If-None-Match: W/%s\r\n", got->etag);
    got = rig_ask(rig, "GET", etag, NULL, "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 304);
    assert_int_equal(got->body.len, 0);
    got = rig_ask(rig, "GET", etag, NULL, "/v1/jobs/%s/result?wait=30", id);
    assert_int_equal(got->status, 304);
}

static void
a_large_result_comes_whole(void **state)
{
    char id[ID_SIZE];
    struct buffer text = {0};
    (void)state;
    buffer_append_char(&text, '"');
    while (text.len < 5000000)
        buffer_append_u64(&text, text.len);
    buffer_append_char(&text, '"');
    submit(id);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, text.data);
    const struct rig_answer *got = rig_get(rig, "/v1/jobs/%s/result", id);
    assert_int_equal(got->status, 200);
    assert_int_equal(got->body.len, text.len);
    assert_memory_equal(got->body.data, text.data, text.len);
    buffer_clear(&text);
}

static void
a_failed_job_gives_409_with_claudes_error(void **state)
{
    char id[ID_SIZE];
    (void)state;
    submit(id);
    rig_claim_all(rig, QUEUE);
    rig_fail(rig, id, "prompt is too long");
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", id)->status, 409);
    assert_string_equal(rig_text("type"), "error");
    assert_string_equal(rig_text("error.type"), "invalid_request_error");
    assert_string_equal(
        rig_text("error.message"), "the job failed: prompt is too long");
    assert_string_equal(rig_text("job.id"), id);
    assert_string_equal(rig_text("job.error.request_id"), "req_upstream");
    assert_true(id_is_valid(slice_of(rig_text("request_id")), "req_"));
}

static void
canceled_and_expired_jobs_have_no_result(void **state)
{
    char id[ID_SIZE], late[ID_SIZE];
    (void)state;
    submit(late);
    rig_claim_all(rig, QUEUE);
    rig_close(rig, late, JOB_EXPIRED);
    submit(id);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/jobs/%s/cancel", id)->status, 202);
    assert_true(json_is_true(rig_member("cancel_requested")));
    rig_claim_all(rig, "closing");
    rig_close(rig, id, JOB_CANCELED);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", id)->status, 409);
    assert_non_null(strstr(rig_text("error.message"), "canceled"));
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", late)->status, 409);
    assert_non_null(strstr(rig_text("error.message"), "expired"));
}

static void
cancel_may_be_sent_again_and_loses_to_an_answer(void **state)
{
    char id[ID_SIZE], done[ID_SIZE];
    (void)state;
    submit(done);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, done, MESSAGE);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/jobs/%s/cancel", done)->status, 409);
    assert_non_null(strstr(rig_text("error.message"), "succeeded"));
    submit(id);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            rig_post(rig, "{}", "/v1/jobs/%s/cancel", id)->status, 202);
        assert_int_equal(rig_number("version"), 2);
    }
    rig_claim_all(rig, "closing");
    rig_close(rig, id, JOB_CANCELED);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/jobs/%s/cancel", id)->status, 200);
    assert_string_equal(rig_text("status"), "canceled");
}

static void
a_deleted_job_is_410_everywhere(void **state)
{
    char id[ID_SIZE];
    (void)state;
    submit(id);
    assert_int_equal(
        rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", id)->status, 409);
    assert_non_null(strstr(rig_text("error.message"), "cancel it first"));
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, MESSAGE);
    assert_int_equal(
        rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", id)->status, 204);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", id)->status, 410);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", id)->status, 410);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s?wait=5", id)->status, 410);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/jobs/%s/cancel", id)->status, 410);
    assert_int_equal(
        rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", id)->status, 410);
    rig_get(rig, "/v1/jobs?limit=1000");
    for (size_t i = 0; i < json_array_size(rig_member("data")); i++) {
        char path[32];
        snprintf(path, sizeof(path), "data.%zu.id", i);
        assert_string_not_equal(rig_text(path), id);
    }
}

/* --- waiting ------------------------------------------------------------- */

static void
a_long_poll_ends_with_the_job(void **state)
{
    char id[ID_SIZE];
    struct peer job, result;
    (void)state;
    submit(id);
    rig_send(rig, &job, "", "/v1/jobs/%s?wait=30", id);
    rig_send(rig, &result, "Prefer: respond-async, wait=40\r\n",
        "/v1/jobs/%s/result", id);
    rig_turn_for(rig, 50);
    rig_claim_all(rig, QUEUE);
    rig_turn_for(rig, 50);
    assert_int_equal(job.in.len + result.in.len, 0);
    assert_int_equal(waiters_count(rig->status->waiters), 2);
    int64_t began = clock_mono_ms();
    rig_succeed(rig, id, MESSAGE);
    assert_int_equal(rig_take(rig, &job)->status, 200);
    assert_string_equal(rig_text("status"), "succeeded");
    const struct rig_answer *got = rig_take(rig, &result);
    assert_int_equal(got->status, 200);
    assert_string_equal(got->body.data, MESSAGE);
    assert_string_equal(got->preference, "wait=40");
    assert_true(clock_mono_ms() - began < 1000);
    assert_int_equal(waiters_count(rig->status->waiters), 0);
}

static void
a_long_poll_with_an_etag_ends_with_any_change(void **state)
{
    char id[ID_SIZE];
    struct peer peer;
    (void)state;
    submit(id);
    rig_send(
        rig, &peer, "If-None-Match: \"v1\"\r\n", "/v1/jobs/%s?wait=30", id);
    rig_turn_for(rig, 50);
    assert_int_equal(peer.in.len, 0);
    rig_claim_all(rig, QUEUE);
    assert_int_equal(rig_take(rig, &peer)->status, 200);
    assert_string_equal(rig_text("status"), "running");
    int64_t began = clock_mono_ms();
    assert_int_equal(rig_ask(rig, "GET", "If-None-Match: \"v1\"\r\n", NULL,
                         "/v1/jobs/%s?wait=30", id)
                         ->status,
        200);
    assert_true(clock_mono_ms() - began < 1000);
}

static void
a_long_poll_answers_the_state_at_its_deadline(void **state)
{
    char id[ID_SIZE];
    struct peer plainly, conditional, result;
    (void)state;
    submit(id);
    rig_send(rig, &plainly, "", "/v1/jobs/%s?wait=1", id);
    rig_send(rig, &conditional, "If-None-Match: \"v1\"\r\n",
        "/v1/jobs/%s?wait=1", id);
    rig_send(rig, &result, "", "/v1/jobs/%s/result?wait=1", id);
    assert_int_equal(rig_take(rig, &plainly)->status, 200);
    assert_string_equal(rig_text("status"), "queued");
    assert_int_equal(rig_take(rig, &conditional)->status, 304);
    assert_int_equal(rig_take(rig, &result)->status, 202);
}

static void
a_client_that_leaves_is_forgotten(void **state)
{
    char id[ID_SIZE];
    struct peer peer;
    (void)state;
    submit(id);
    rig_send(rig, &peer, "", "/v1/jobs/%s?wait=30", id);
    rig_turn_for(rig, 50);
    assert_int_equal(waiters_count(rig->status->waiters), 1);
    peer_close(&peer);
    int64_t until = clock_mono_ms() + 5000;
    while (waiters_count(rig->status->waiters) > 0 && clock_mono_ms() < until)
        rig_turn(rig);
    assert_int_equal(waiters_count(rig->status->waiters), 0);
}

static void
a_wait_that_cannot_be_is_told(void **state)
{
    static const char *const queries[] = {"wait=56", "wait=-1", "wait=1.5",
        "wait=5&wait=5", "wiat=5", "wait=5&x=1", "wait=%zz"};
    char id[ID_SIZE];
    (void)state;
    submit(id);
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        assert_int_equal(
            rig_get(rig, "/v1/jobs/%s?%s", id, queries[i])->status, 400);
        assert_string_equal(rig_text("error.type"), "invalid_request_error");
    }
    rig_get(rig, "/v1/jobs/%s?wiat=5", id);
    assert_non_null(strstr(rig_text("error.message"), "wait"));
}

static void
three_hundred_waiters_are_woken_within_a_second(void **state)
{
    enum { COUNT = 300 };
    static struct peer peers[COUNT];
    static char ids[COUNT][ID_SIZE];
    (void)state;
    for (int i = 0; i < COUNT; i++)
        submit(ids[i]);
    for (int i = 0; i < COUNT; i++)
        rig_send(rig, &peers[i], "", "/v1/jobs/%s?wait=55", ids[i]);
    int64_t until = clock_mono_ms() + 10000;
    while (
        waiters_count(rig->status->waiters) < COUNT && clock_mono_ms() < until)
        rig_turn(rig);
    assert_int_equal(waiters_count(rig->status->waiters), COUNT);
    rig_claim_all(rig, QUEUE);
    for (int i = 0; i < COUNT; i++)
        rig_succeed(rig, ids[i], MESSAGE);
    int64_t began = clock_mono_ms();
    while (waiters_count(rig->status->waiters) > 0 &&
        clock_mono_ms() - began < 1000)
        rig_turn(rig);
    assert_int_equal(waiters_count(rig->status->waiters), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(rig_take(rig, &peers[i])->status, 200);
}

/* --- trouble ------------------------------------------------------------- */

static void
without_redis_only_what_is_certain_is_said(void **state)
{
    char done[ID_SIZE], failed[ID_SIZE], queued[ID_SIZE];
    (void)state;
    submit(done);
    submit(failed);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, done, MESSAGE);
    rig_fail(rig, failed, "no");
    submit(queued);
    fixture_kill_server(rig->redis);
    rig_turn_for(rig, 50);
    int64_t began = clock_mono_ms();
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", done)->status, 200);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", done)->status, 200);
    const char *const unsure[] = {failed, queued, UNKNOWN};
    for (size_t i = 0; i < 3; i++) {
        const struct rig_answer *got = rig_get(rig, "/v1/jobs/%s", unsure[i]);
        assert_int_equal(got->status, 503);
        assert_string_not_equal(got->retry_after, "");
    }
    assert_int_equal(rig_get(rig, "/v1/jobs/%s?wait=30", queued)->status, 503);
    assert_int_equal(rig_get(rig, "/v1/jobs")->status, 503);
    assert_int_equal(rig_get(rig, "/v1/dead-letters")->status, 503);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/groups")->status, 503);
    assert_int_equal(rig_get(rig, "/v1/operations")->status, 503);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/jobs/%s/cancel", queued)->status, 503);
    assert_int_equal(
        rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", done)->status, 503);
    assert_true(clock_mono_ms() - began < 3000);
    fixture_start_server(rig->redis);
    rig_wait_ready(rig);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", queued)->status, 200);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", failed)->status, 200);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", UNKNOWN)->status, 404);
}

static void
a_redis_that_stands_still_is_503_in_time(void **state)
{
    char id[ID_SIZE];
    (void)state;
    submit(id);
    fixture_freeze_server(rig->redis, true);
    int64_t began = clock_mono_ms();
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", id)->status, 503);
    assert_true(clock_mono_ms() - began < 5000);
    fixture_freeze_server(rig->redis, false);
    rig_wait_ready(rig);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s", id)->status, 200);
}

static void
a_waiter_outlives_a_restart_of_redis(void **state)
{
    char id[ID_SIZE];
    struct peer peer;
    (void)state;
    submit(id);
    rig_send(rig, &peer, "", "/v1/jobs/%s?wait=30", id);
    rig_turn_for(rig, 50);
    fixture_kill_server(rig->redis);
    rig_turn_for(rig, 300);
    assert_int_equal(peer.in.len, 0);
    fixture_start_server(rig->redis);
    rig_wait_ready(rig);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, MESSAGE);
    assert_int_equal(rig_take(rig, &peer)->status, 200);
    assert_string_equal(rig_text("status"), "succeeded");
}

/* The job ends while nobody here can hear it. */
static void
a_change_in_a_gap_is_found_after_it(void **state)
{
    struct job_result row = {
        .state = JOB_SUCCEEDED, .version = 3, .cost_usd_nanos = -1};
    char id[ID_SIZE];
    struct peer peer;
    (void)state;
    submit(id);
    rig_claim_all(rig, QUEUE);
    memcpy(row.id, id, sizeof(row.id));
    row.meta = rig_claim_of(rig, id)->meta;
    memcpy(row.model, row.meta.model, sizeof(row.model));
    row.finished_ms = clock_wall_ms();
    rig_send(rig, &peer, "", "/v1/jobs/%s?wait=50", id);
    rig_turn_for(rig, 50);
    fixture_kill_server(rig->redis);
    rig_commit(rig, &row, MESSAGE, "");
    fixture_start_server(rig->redis);
    fixture_do(rig->redis, "DEL {}job:%s", id);
    fixture_do(rig->redis, "ZREM {}ids %s", id);
    int64_t began = clock_mono_ms();
    assert_int_equal(rig_take(rig, &peer)->status, 200);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_true(clock_mono_ms() - began < 10000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(a_job_is_found_in_every_state_of_its_life),
        cmocka_unit_test(an_unknown_job_is_404_whatever_its_form),
        CLEAN(a_matching_etag_is_304_and_another_is_200),
        CLEAN(the_result_is_claudes_bytes),
        CLEAN(a_result_that_the_client_has_is_304),
        CLEAN(a_large_result_comes_whole),
        CLEAN(a_failed_job_gives_409_with_claudes_error),
        CLEAN(canceled_and_expired_jobs_have_no_result),
        CLEAN(cancel_may_be_sent_again_and_loses_to_an_answer),
        CLEAN(a_deleted_job_is_410_everywhere),
        CLEAN(a_long_poll_ends_with_the_job),
        CLEAN(a_long_poll_with_an_etag_ends_with_any_change),
        CLEAN(a_long_poll_answers_the_state_at_its_deadline),
        CLEAN(a_client_that_leaves_is_forgotten),
        CLEAN(a_wait_that_cannot_be_is_told),
        CLEAN(three_hundred_waiters_are_woken_within_a_second),
        CLEAN(without_redis_only_what_is_certain_is_said),
        CLEAN(a_redis_that_stands_still_is_503_in_time),
        CLEAN(a_waiter_outlives_a_restart_of_redis),
        CLEAN(a_change_in_a_gap_is_found_after_it),
    };
    return cmocka_run_group_tests(tests, status_suite_start, status_suite_stop);
}
