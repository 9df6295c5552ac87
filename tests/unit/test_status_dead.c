#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "status-api/numbers.h"
#include "status-api/operations.h"
#include "tests/unit/status_suite.h"

#define UNKNOWN "job_0199f6a2-5c1e-7abc-9def-0123456789ab"
#define UNKNOWN_OP "op_0199f6a2-5c1e-7abc-9def-0123456789ab"
#define QUEUE "interactive:other"
#define MESSAGE "{\"type\":\"message\"}"

static const struct rig_job plain;

static void
kill_job(const struct rig_job *job, const char *message, char id[ID_SIZE])
{
    rig_submit(rig, job, id);
    rig_claim_all(rig, QUEUE);
    rig_fail(rig, id, message);
}

static void
bury(unsigned count, const char *message, char ids[][ID_SIZE])
{
    for (unsigned i = 0; i < count; i++)
        kill_job(&plain, message, ids[i]);
}

/* Asks for the operation until it has ended; its answer is the last one. */
static void
wait_until_ended(const char *id)
{
    int64_t until = clock_mono_ms() + 15000;
    do {
        assert_int_equal(rig_get(rig, "/v1/operations/%s", id)->status, 200);
        if (clock_mono_ms() > until)
            fail_msg("%s did not end", id);
    } while (strcmp(rig_text("status"), "running") == 0);
}

static unsigned
dead_count(void)
{
    return (unsigned)fixture_int(rig->redis, "XLEN {}dead");
}

/* --- one by one ---------------------------------------------------------- */

static void
a_dead_letter_is_shown_with_its_job(void **state)
{
    char id[ID_SIZE];
    (void)state;
    kill_job(&plain, "prompt is too long: 205612 tokens", id);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/%s", id)->status, 200);
    assert_string_equal(rig_text("object"), "dead_letter");
    assert_string_equal(rig_text("id"), id);
    assert_string_equal(rig_text("error.class"), "bad_request");
    assert_int_equal(rig_number("error.status"), 400);
    assert_string_equal(rig_text("job.status"), "failed");
    assert_true(json_is_true(rig_member("job.dead_letter")));
    assert_int_equal(strlen(rig_text("fingerprint")), 16);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/%s", UNKNOWN)->status, 404);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/x")->status, 404);
}

static void
a_replay_runs_the_same_id_again(void **state)
{
    char id[ID_SIZE];
    (void)state;
    kill_job(&plain, "no", id);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/replay", id)->status, 202);
    assert_string_equal(rig_text("id"), id);
    assert_string_equal(rig_text("status"), "queued");
    assert_int_equal(rig_number("generation"), 1);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/replay", id)->status, 404);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", id)->status, 202);
    rig_claim_all(rig, QUEUE);
    rig_succeed(rig, id, MESSAGE);
    assert_int_equal(rig_get(rig, "/v1/jobs/%s/result", id)->status, 200);
    rig_get(rig, "/v1/jobs/%s", id);
    assert_int_equal(rig_number("replays"), 1);
    assert_int_equal(dead_count(), 0);
}

static void
a_replayed_job_has_a_deadline_of_its_own(void **state)
{
    struct rig_job old = {
        .created_ms = clock_wall_ms() - INT64_C(8) * 86400 * 1000};
    char id[ID_SIZE];
    (void)state;
    /* It expired long ago, so it is only claimed to be closed. */
    rig_submit(rig, &old, id);
    fixture_do(rig->redis, "HSET {}job:%s dl 99999999999999", id);
    rig_claim_all(rig, QUEUE);
    rig_fail(rig, id, "no");
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/replay", id)->status, 202);
    int64_t expires_ms = 0;
    assert_int_equal(
        clock_parse_rfc3339(slice_of(rig_text("expires_at")), &expires_ms), 0);
    int64_t left_ms = expires_ms - clock_wall_ms();
    assert_true(left_ms > INT64_C(6) * 86400 * 1000);
    assert_true(left_ms < INT64_C(8) * 86400 * 1000);
}

static void
a_large_request_comes_back_byte_for_byte(void **state)
{
    struct rig_job large = {.body_bytes = 3 * QUEUE_PART_BYTES + 12345};
    struct buffer before = {0}, after = {0};
    char id[ID_SIZE];
    (void)state;
    rig_submit(rig, &large, id);
    for (unsigned part = 0; part < 4; part++)
        buffer_append_text(
            &before, fixture_do(rig->redis, "HGET {}body:%s %u", id, part));
    rig_claim_all(rig, QUEUE);
    rig_fail(rig, id, "no");
    assert_int_equal(fixture_int(rig->redis, "EXISTS {}body:%s", id), 0);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/replay", id)->status, 202);
    for (unsigned part = 0; part < 4; part++)
        buffer_append_text(
            &after, fixture_do(rig->redis, "HGET {}body:%s %u", id, part));
    assert_true(before.len >= large.body_bytes);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    rig_claim_all(rig, QUEUE);
    assert_int_equal(rig_claim_of(rig, id)->meta.parts, 4);
    buffer_clear(&before);
    buffer_clear(&after);
}

static void
a_discarded_letter_leaves_a_failed_job(void **state)
{
    char id[ID_SIZE];
    (void)state;
    kill_job(&plain, "no", id);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/discard", id)->status, 204);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/discard", id)->status, 404);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/replay", id)->status, 404);
    rig_get(rig, "/v1/jobs/%s", id);
    assert_string_equal(rig_text("status"), "failed");
}

/* --- lists --------------------------------------------------------------- */

static void
letters_are_paged_oldest_first(void **state)
{
    char ids[7][ID_SIZE];
    char after[64] = "";
    unsigned seen = 0;
    (void)state;
    bury(7, "no", ids);
    do {
        assert_int_equal(rig_get(rig, "/v1/dead-letters?limit=3%s%s",
                             after[0] ? "&after=" : "", after)
                             ->status,
            200);
        for (size_t i = 0; i < json_array_size(rig_member("data")); i++) {
            char path[32];
            snprintf(path, sizeof(path), "data.%zu.id", i);
            assert_string_equal(rig_text(path), ids[seen++]);
        }
        snprintf(after, sizeof(after), "%s", rig_text("last_entry"));
    } while (json_is_true(rig_member("has_more")));
    assert_int_equal(seen, 7);
}

static void
letters_are_filtered(void **state)
{
    static const struct {
        const char *query;
        unsigned count;
    } rows[] = {{"model=claude-haiku-5-5", 1}, {"tenant=acme", 1},
        {"lane=interactive", 3}, {"lane=bulk", 0}, {"status=400", 3},
        {"status=500", 0}, {"class=bad_request", 3},
        {"error_type=invalid_request_error&tenant=default", 2},
        {"error_type=api_error", 0}, {"fingerprint=0000000000000000", 0}};
    struct rig_job haiku = {.model = "claude-haiku-5-5"};
    struct rig_job acme = {.tenant = "acme"};
    char id[ID_SIZE];
    (void)state;
    kill_job(&plain, "one", id);
    kill_job(&haiku, "one", id);
    kill_job(&acme, "two", id);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_get(rig, "/v1/dead-letters?%s", rows[i].query);
        assert_int_equal(json_array_size(rig_member("data")), rows[i].count);
    }
    assert_int_equal(rig_get(rig, "/v1/dead-letters?tag=x")->status, 400);
    assert_int_equal(rig_get(rig, "/v1/dead-letters?after=x")->status, 400);
    assert_int_equal(rig_get(rig, "/v1/dead-letters?limit=0")->status, 400);
    assert_int_equal(rig_get(rig, "/v1/dead-letters?status=abc")->status, 400);
}

static void
letters_are_grouped_by_cause(void **state)
{
    char ids[3][ID_SIZE];
    (void)state;
    kill_job(&plain, "prompt is too long: 205612 tokens", ids[0]);
    kill_job(&plain, "prompt is too long: 300001 tokens", ids[1]);
    kill_job(&plain, "thinking is not supported", ids[2]);
    rig_get(rig, "/v1/dead-letters/groups");
    assert_int_equal(json_array_size(rig_member("data")), 2);
    assert_int_equal(rig_number("data.0.count"), 2);
    assert_int_equal(rig_number("data.1.count"), 1);
    assert_string_equal(rig_text("data.1.sample_id"), ids[2]);
    assert_string_equal(
        rig_text("data.1.error.message"), "thinking is not supported");
    rig_get(rig, "/v1/dead-letters/groups?limit=1");
    assert_int_equal(json_array_size(rig_member("data")), 1);
    assert_true(json_is_true(rig_member("has_more")));
}

/* --- operations ---------------------------------------------------------- */

static void
a_preview_touches_nothing(void **state)
{
    char ids[3][ID_SIZE];
    (void)state;
    bury(2, "one", ids);
    kill_job(&plain, "two", ids[2]);
    assert_int_equal(
        rig_post(rig, "{\"action\":\"replay\",\"filter\":{},\"dry_run\":true}",
            "/v1/operations")
            ->status,
        200);
    assert_int_equal(rig_number("eligible"), 3);
    assert_int_equal(json_array_size(rig_member("groups")), 2);
    assert_int_equal(rig_number("groups.0.count"), 2);
    assert_int_equal(dead_count(), 3);
    rig_get(rig, "/v1/operations");
    assert_int_equal(json_array_size(rig_member("data")), 0);
}

static void
an_operation_replays_what_the_filter_means(void **state)
{
    struct rig_job acme = {.tenant = "acme"};
    char ids[5][ID_SIZE], other[ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(5, "no", ids);
    kill_job(&acme, "no", other);
    const struct rig_answer *got = rig_post(rig,
        "{\"action\":\"replay\",\"filter\":{\"tenant\":\"default\"},"
        "\"rate\":1000}",
        "/v1/operations");
    assert_int_equal(got->status, 202);
    assert_non_null(strstr(got->location, rig_text("id")));
    assert_int_equal(rig_number("eligible"), 5);
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    wait_until_ended(op);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_int_equal(rig_number("done"), 5);
    assert_int_equal(rig_number("skipped"), 0);
    assert_int_equal(rig_number("failed"), 0);
    assert_string_not_equal(rig_text("finished_at"), "");
    assert_int_equal(dead_count(), 1);
    for (int i = 0; i < 5; i++) {
        rig_get(rig, "/v1/jobs/%s", ids[i]);
        assert_string_equal(rig_text("status"), "queued");
    }
    rig_get(rig, "/v1/operations");
    assert_string_equal(rig_text("data.0.id"), op);
}

static void
letters_that_come_later_are_not_touched(void **state)
{
    char ids[3][ID_SIZE], later[ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(3, "no", ids);
    rig_post(rig, "{\"action\":\"discard\",\"filter\":{},\"rate\":2}",
        "/v1/operations");
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    kill_job(&plain, "no", later);
    wait_until_ended(op);
    assert_int_equal(rig_number("done"), 3);
    assert_int_equal(dead_count(), 1);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/%s", later)->status, 200);
}

static void
letters_that_others_took_count_as_skipped(void **state)
{
    char ids[4][ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(4, "no", ids);
    rig_post(rig, "{\"action\":\"discard\",\"filter\":{},\"rate\":2}",
        "/v1/operations");
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    assert_int_equal(
        rig_post(rig, NULL, "/v1/dead-letters/%s/discard", ids[3])->status,
        204);
    wait_until_ended(op);
    assert_int_equal(rig_number("done"), 3);
    assert_int_equal(rig_number("skipped"), 1);
}

static void
a_limit_ends_an_operation(void **state)
{
    char ids[4][ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(4, "no", ids);
    rig_post(rig,
        "{\"action\":\"discard\",\"filter\":{},\"limit\":2,\"rate\":1000}",
        "/v1/operations");
    assert_int_equal(rig_number("eligible"), 2);
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    wait_until_ended(op);
    assert_int_equal(rig_number("done"), 2);
    assert_int_equal(dead_count(), 2);
}

static void
an_operation_on_nothing_is_done_at_once(void **state)
{
    (void)state;
    assert_int_equal(
        rig_post(rig, "{\"action\":\"replay\",\"filter\":{}}", "/v1/operations")
            ->status,
        202);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_int_equal(rig_number("eligible"), 0);
}

static void
a_canceled_operation_stops(void **state)
{
    char ids[6][ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(6, "no", ids);
    rig_post(rig, "{\"action\":\"discard\",\"filter\":{},\"rate\":1}",
        "/v1/operations");
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    while (dead_count() == 6)
        rig_turn(rig);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/operations/%s/cancel", op)->status, 202);
    assert_true(json_is_true(rig_member("cancel_requested")));
    wait_until_ended(op);
    assert_string_equal(rig_text("status"), "canceled");
    assert_true(dead_count() >= 3);
    assert_int_equal(rig_number("done") + (int)dead_count(), 6);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/operations/%s/cancel", op)->status, 200);
}

/* The document and the lock that a process leaves behind when it dies. */
static void
leave_behind(const char *op, const char *cursor, const char *until, bool cancel)
{
    struct buffer document = {0};
    struct operation operation = {.action = OPERATION_DISCARD,
        .rate = 1000,
        .eligible = 4,
        .done = 1,
        .created_ms = clock_wall_ms()};
    snprintf(operation.id, sizeof(operation.id), "%s", op);
    snprintf(operation.cursor, sizeof(operation.cursor), "%s", cursor);
    snprintf(operation.snapshot_until, sizeof(operation.snapshot_until), "%s",
        until);
    operation_encode(&operation, &document);
    fixture_do(
        rig->redis, "SET {}oplock:%s somebody PX %d", op, cancel ? 100 : 700);
    fixture_do(rig->redis, "HSET {}op %s %s", op, document.data);
    buffer_reset(&document);
    if (cancel) {
        char id[ID_SIZE];
        operation_cancel_id(op, id);
        operation_cancel_encode(op, &document);
        fixture_do(rig->redis, "HSET {}op %s %s", id, document.data);
    }
    buffer_clear(&document);
}

static void
an_operation_outlives_the_process_that_ran_it(void **state)
{
    char ids[5][ID_SIZE], cursor[64], until[64];
    (void)state;
    bury(5, "no", ids);
    rig_get(rig, "/v1/dead-letters");
    snprintf(cursor, sizeof(cursor), "%s", rig_text("data.0.entry"));
    snprintf(until, sizeof(until), "%s", rig_text("data.3.entry"));
    /* The dead process had done the first one. */
    rig_post(rig, NULL, "/v1/dead-letters/%s/discard", ids[0]);
    leave_behind(UNKNOWN_OP, cursor, until, false);
    wait_until_ended(UNKNOWN_OP);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_int_equal(rig_number("done"), 4);
    assert_int_equal(dead_count(), 1);
    assert_int_equal(rig_get(rig, "/v1/dead-letters/%s", ids[4])->status, 200);
}

static void
a_wish_to_cancel_is_not_lost_with_the_process(void **state)
{
    char ids[2][ID_SIZE], until[64];
    (void)state;
    bury(2, "no", ids);
    rig_get(rig, "/v1/dead-letters");
    snprintf(until, sizeof(until), "%s", rig_text("data.1.entry"));
    leave_behind(UNKNOWN_OP, "", until, true);
    rig_get(rig, "/v1/operations/%s", UNKNOWN_OP);
    assert_true(json_is_true(rig_member("cancel_requested")));
    wait_until_ended(UNKNOWN_OP);
    assert_string_equal(rig_text("status"), "canceled");
    assert_int_equal(dead_count(), 2);
}

static void
an_operation_waits_for_redis(void **state)
{
    char ids[4][ID_SIZE], op[ID_SIZE];
    (void)state;
    bury(4, "no", ids);
    rig_post(rig, "{\"action\":\"discard\",\"filter\":{},\"rate\":3}",
        "/v1/operations");
    snprintf(op, sizeof(op), "%s", rig_text("id"));
    while (dead_count() == 4)
        rig_turn(rig);
    fixture_kill_server(rig->redis);
    rig_turn_for(rig, 400);
    fixture_start_server(rig->redis);
    rig_wait_ready(rig);
    wait_until_ended(op);
    assert_string_equal(rig_text("status"), "succeeded");
    assert_int_equal(rig_number("done") + rig_number("skipped"), 4);
    assert_int_equal(dead_count(), 0);
}

static void
requests_that_cannot_be_are_told(void **state)
{
    static const struct {
        const char *body;
        const char *says;
    } rows[] = {{"[]", "not a JSON object"}, {"{", "not a JSON object"},
        {"{\"filter\":{}}", "action is missing"},
        {"{\"action\":\"replay\"}", "filter is missing"},
        {"{\"action\":\"delete\",\"filter\":{}}", "action is"},
        {"{\"action\":\"replay\",\"filter\":[]}", "filter is an object"},
        {"{\"action\":\"replay\",\"filter\":{\"modle\":\"x\"}}", "model"},
        {"{\"action\":\"replay\",\"filter\":{\"status\":\"400\"}}", "status"},
        {"{\"action\":\"replay\",\"filter\":{},\"rate\":0}", "rate"},
        {"{\"action\":\"replay\",\"filter\":{},\"rate\":1001}", "rate"},
        {"{\"action\":\"replay\",\"filter\":{},\"limit\":-1}", "limit"},
        {"{\"action\":\"replay\",\"filter\":{},\"dry_run\":1}", "dry_run"},
        {"{\"action\":\"replay\",\"filter\":{\"model\":1}}",
            "filter.model must be a text"},
        {"{\"action\":\"replay\",\"filter\":{\"status\":\"404\"}}",
            "filter.status must be a whole number"},
        {"{\"action\":\"replay\",\"filter\":{\"modle\":\"x\"}}",
            "filter has no member modle; did you mean model"},
        {"{\"action\":\"replay\",\"filter\":{},\"dryrun\":true}", "dry_run"},
        {"{\"action\":\"replay\",\"action\":\"replay\",\"filter\":{}}",
            "not a JSON object"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            rig_post(rig, rows[i].body, "/v1/operations")->status, 400);
        assert_non_null(strstr(rig_text("error.message"), rows[i].says));
    }
    assert_int_equal(
        rig_get(rig, "/v1/operations/%s", UNKNOWN_OP)->status, 404);
    assert_int_equal(rig_get(rig, "/v1/operations/x")->status, 404);
    assert_int_equal(
        rig_post(rig, NULL, "/v1/operations/%s/cancel", UNKNOWN_OP)->status,
        404);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(a_dead_letter_is_shown_with_its_job),
        CLEAN(a_replay_runs_the_same_id_again),
        CLEAN(a_replayed_job_has_a_deadline_of_its_own),
        CLEAN(a_large_request_comes_back_byte_for_byte),
        CLEAN(a_discarded_letter_leaves_a_failed_job),
        CLEAN(letters_are_paged_oldest_first),
        CLEAN(letters_are_filtered),
        CLEAN(letters_are_grouped_by_cause),
        CLEAN(a_preview_touches_nothing),
        CLEAN(an_operation_replays_what_the_filter_means),
        CLEAN(letters_that_come_later_are_not_touched),
        CLEAN(letters_that_others_took_count_as_skipped),
        CLEAN(a_limit_ends_an_operation),
        CLEAN(an_operation_on_nothing_is_done_at_once),
        CLEAN(a_canceled_operation_stops),
        CLEAN(an_operation_outlives_the_process_that_ran_it),
        CLEAN(a_wish_to_cancel_is_not_lost_with_the_process),
        CLEAN(an_operation_waits_for_redis),
        CLEAN(requests_that_cannot_be_are_told),
    };
    return cmocka_run_group_tests(tests, status_suite_start, status_suite_stop);
}
