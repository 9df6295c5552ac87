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
#include "tests/unit/status_suite.h"

#define JOBS 60
#define MESSAGE "{\"type\":\"message\"}"

/* What the test knows of each job. */
static struct known {
    char id[ID_SIZE];
    enum job_state state;
    enum job_lane lane;
    const char *model;
    const char *tag;
    const char *tenant;
    bool deleted;
} known[JOBS];

static const char *const models[] = {"claude-opus-5-5", "claude-haiku-5-5"};
static const char *const tags[] = {"red", "green", "blue"};
static const char *const tenants[] = {"default", "acme"};
static const char *const queues[] = {
    "interactive:other", "standard:other", "bulk:other"};

static void
end_it(struct known *job, unsigned i)
{
    switch (i % 7) {
    case 0: rig_succeed(rig, job->id, MESSAGE); break;
    case 1: rig_fail(rig, job->id, "no"); break;
    case 2: rig_close(rig, job->id, JOB_EXPIRED); break;
    case 3: rig_retry(rig, job->id, 3600000); break;
    case 4: rig_close(rig, job->id, JOB_CANCELED); break;
    case 5:
        rig_fail(rig, job->id, "no");
        assert_int_equal(
            rig_post(rig, NULL, "/v1/dead-letters/%s/replay", job->id)->status,
            202);
        break;
    default:
        rig_succeed(rig, job->id, MESSAGE);
        assert_int_equal(
            rig_ask(rig, "DELETE", "", NULL, "/v1/jobs/%s", job->id)->status,
            204);
        job->deleted = true;
        break;
    }
}

static enum job_state
state_after(unsigned i)
{
    static const enum job_state states[] = {JOB_SUCCEEDED, JOB_FAILED,
        JOB_EXPIRED, JOB_RETRYING, JOB_CANCELED, JOB_QUEUED, JOB_SUCCEEDED};
    return states[i % 7];
}

/* Two thirds are claimed; of them the first half is ended in each way, the
 * others run on. */
static void
make_jobs(void)
{
    for (unsigned i = 0; i < JOBS; i++) {
        struct known *job = &known[i];
        job->lane = (enum job_lane)(i % 3);
        job->model = models[(i / 2) % 2];
        job->tag = tags[(i / 3) % 3];
        job->tenant = tenants[(i / 5) % 2];
        struct rig_job spec = {.lane = job->lane,
            .model = job->model,
            .tag = job->tag,
            .tenant = job->tenant};
        rig_submit(rig, &spec, job->id);
        if (i == JOBS * 2 / 3) {
            for (unsigned lane = 0; lane < 3; lane++)
                rig_claim_all(rig, queues[lane]);
        }
        job->state = i <= JOBS * 2 / 3 ? JOB_RUNNING : JOB_QUEUED;
    }
    for (unsigned i = 0; i < JOBS / 2; i++) {
        end_it(&known[i], i);
        known[i].state = state_after(i);
    }
}

static int
start(void **state)
{
    status_suite_start(state);
    make_jobs();
    return 0;
}

struct wish {
    unsigned states; /* 0: any */
    const char *lane;
    const char *model;
    const char *tag;
    const char *tenant;
};

static bool
is_wanted(const struct wish *wish, const struct known *job)
{
    return !job->deleted &&
        (wish->states == 0 || (wish->states & 1u << job->state) != 0) &&
        (wish->lane == NULL ||
            strcmp(wish->lane, job_lane_name(job->lane)) == 0) &&
        (wish->model == NULL || strcmp(wish->model, job->model) == 0) &&
        (wish->tag == NULL || strcmp(wish->tag, job->tag) == 0) &&
        (wish->tenant == NULL || strcmp(wish->tenant, job->tenant) == 0);
}

static void
put_query(const struct wish *wish, struct buffer *out)
{
    const char *comma = "status=";
    for (unsigned i = 0; i < 7; i++) {
        if ((wish->states & 1u << i) == 0)
            continue;
        buffer_printf(out, "%s%s", comma, job_state_name((enum job_state)i));
        comma = ",";
    }
    if (wish->lane != NULL)
        buffer_printf(out, "&lane=%s", wish->lane);
    if (wish->model != NULL)
        buffer_printf(out, "&model=%s", wish->model);
    if (wish->tag != NULL)
        buffer_printf(out, "&tag=%s", wish->tag);
    if (wish->tenant != NULL)
        buffer_printf(out, "&tenant=%s", wish->tenant);
}

/* Pages through the list and compares with what the test knows. */
static void
check_wish(const struct wish *wish, unsigned limit)
{
    struct buffer query = {0};
    char after[ID_SIZE] = "";
    int next = JOBS - 1;
    put_query(wish, &query);
    do {
        assert_int_equal(rig_get(rig, "/v1/jobs?limit=%u&%s%s%s", limit,
                             query.len > 0 ? query.data : "",
                             after[0] != '\0' ? "&after_id=" : "", after)
                             ->status,
            200);
        size_t count = json_array_size(rig_member("data"));
        /* So few are looked at that only the last page is short, whatever
         * was deleted. */
        assert_true(count == limit ||
            (count < limit && !json_is_true(rig_member("has_more"))));
        for (size_t i = 0; i < count; i++) {
            char path[48];
            while (next >= 0 && !is_wanted(wish, &known[next]))
                next--;
            assert_true(next >= 0);
            snprintf(path, sizeof(path), "data.%zu.id", i);
            assert_string_equal(rig_text(path), known[next].id);
            snprintf(path, sizeof(path), "data.%zu.status", i);
            assert_string_equal(
                rig_text(path), job_state_name(known[next].state));
            next--;
        }
        snprintf(after, sizeof(after), "%s", rig_text("last_id"));
    } while (json_is_true(rig_member("has_more")));
    while (next >= 0 && !is_wanted(wish, &known[next]))
        next--;
    assert_int_equal(next, -1);
    buffer_clear(&query);
}

static void
every_page_is_what_counting_by_hand_gives(void **state)
{
    static const unsigned limits[] = {1, 7, 20, 1000};
    static const unsigned states[] = {0, 1u << JOB_QUEUED, 1u << JOB_RUNNING,
        1u << JOB_FAILED, 1u << JOB_SUCCEEDED,
        1u << JOB_FAILED | 1u << JOB_CANCELED | 1u << JOB_EXPIRED,
        1u << JOB_FAILED | 1u << JOB_RETRYING};
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        for (unsigned j = 0; j < 4; j++) {
            struct wish wish = {.states = states[i]};
            check_wish(&wish, limits[j]);
        }
    }
    for (unsigned i = 0; i < 48; i++) {
        struct wish wish = {.states = states[i % 7],
            .lane = i % 2 == 0 ? NULL : job_lane_name((enum job_lane)(i % 3)),
            .model = i % 3 == 0 ? models[i % 2] : NULL,
            .tag = i % 4 == 1 ? tags[i % 3] : NULL,
            .tenant = i % 5 == 2 ? tenants[i % 2] : NULL};
        check_wish(&wish, limits[1 + i % 2]);
    }
}

static void
times_bound_the_list(void **state)
{
    char now[CLOCK_TEXT_SIZE], tomorrow[CLOCK_TEXT_SIZE];
    (void)state;
    clock_format_ms(clock_wall_ms() + 1000, now);
    clock_format_ms(clock_wall_ms() + 86400000, tomorrow);
    rig_get(rig, "/v1/jobs?limit=5&created_before=%s", now);
    assert_int_equal(json_array_size(rig_member("data")), 5);
    assert_string_equal(rig_text("data.0.id"), known[JOBS - 1].id);
    rig_get(rig, "/v1/jobs?created_after=%s", tomorrow);
    assert_int_equal(json_array_size(rig_member("data")), 0);
    assert_false(json_is_true(rig_member("has_more")));
    rig_get(rig, "/v1/jobs?created_before=2020-01-01T00:00:00Z");
    assert_int_equal(json_array_size(rig_member("data")), 0);
    assert_true(json_is_null(rig_member("first_id")));
}

static void
failed_jobs_are_found_by_their_error(void **state)
{
    (void)state;
    rig_get(rig, "/v1/jobs?error_type=invalid_request_error&limit=1000");
    assert_true(json_array_size(rig_member("data")) > 0);
    rig_get(rig, "/v1/jobs?error_type=overloaded_error&status=retrying");
    assert_true(json_array_size(rig_member("data")) > 0);
    rig_get(rig, "/v1/jobs?error_type=nothing_error");
    assert_int_equal(json_array_size(rig_member("data")), 0);
}

static void
parameters_that_cannot_be_are_told(void **state)
{
    static const struct {
        const char *query;
        const char *says;
    } rows[] = {{"limit=0", "limit"}, {"limit=1001", "limit"},
        {"limit=ten", "limit"}, {"stauts=failed", "did you mean status"},
        {"status=done", "status is a list"}, {"lane=fast", "lane"},
        {"created_after=yesterday", "created_after"},
        {"after_id=job_1", "after_id"}, {"model=a&model=b", "twice"},
        {"tag=%ff", "UTF-8"}, {"%zz=1", "malformed"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            rig_get(rig, "/v1/jobs?%s", rows[i].query)->status, 400);
        assert_non_null(strstr(rig_text("error.message"), rows[i].says));
    }
}

/* --- numbers ------------------------------------------------------------- */

static void
on_held(void *arg, enum queue_status status)
{
    assert_int_equal(status, QUEUE_OK);
    *(bool *)arg = true;
}

static void
hold(const char *scope, const char *kind, const char *reason)
{
    bool held = false;
    assert_int_equal(queue_hold_set(rig->service->queue, scope, kind, 600000,
                         reason, true, on_held, &held),
        0);
    while (!held)
        rig_turn(rig);
    numbers_refresh(rig->status->numbers);
    rig_turn_for(rig, 100);
}

static void
a_hold_is_told_to_those_who_wait(void **state)
{
    (void)state;
    hold("lane:bulk", "paused", "maintenance");
    rig_get(rig, "/v1/jobs?lane=bulk&status=queued&limit=1");
    assert_non_null(strstr(
        rig_text("data.0.status_reason"), "; lane bulk is paused until"));
    assert_non_null(strstr(rig_text("data.0.status_reason"), "Z: maintenance"));
    rig_get(rig, "/v1/jobs?lane=standard&status=queued&limit=1");
    assert_null(strstr(rig_text("data.0.status_reason"), "paused"));
    rig_get(rig, "/v1/lanes");
    assert_string_equal(rig_text("data.2.name"), "bulk");
    assert_true(json_is_true(rig_member("data.2.paused")));
    assert_string_equal(rig_text("data.2.holds.0.reason"), "maintenance");
    assert_false(json_is_true(rig_member("data.1.paused")));
    assert_true(rig_number("data.2.waiting") > 0);
    assert_true(rig_number("data.2.running") > 0);
    hold("pool:default", "paused", "no key");
    rig_get(rig, "/v1/pools");
    assert_string_equal(rig_text("data.0.name"), "default");
    assert_true(json_is_true(rig_member("data.0.paused")));
    assert_non_null(
        strstr(rig_text("data.0.status_reason"), "pool default is paused"));
    rig_get(rig, "/v1/jobs?lane=standard&status=queued&limit=1");
    assert_non_null(
        strstr(rig_text("data.0.status_reason"), "pool default is paused"));
}

static void
on_quota(
    void *arg, enum queue_status status, const struct queue_quota_state *quota)
{
    bool *told = arg;
    assert_int_equal(status, QUEUE_OK);
    assert_int_equal(quota->per_min[QUOTA_REQUESTS], 600);
    *told = true;
}

static void
limits_are_shown_with_what_may_be_used_now(void **state)
{
    const struct queue_quota_report report = {.scope = "default/opus-5-5",
        .used = {50, 0, 0},
        .per_min = {600, 0, -1},
        .burst_ms = 1000,
        .ramp_ms = -1};
    bool told = false;
    (void)state;
    rig_get(rig, "/v1/pools");
    assert_int_equal(json_array_size(rig_member("data.0.limits")), 0);
    assert_int_equal(
        queue_quota_report(rig->service->queue, &report, on_quota, &told), 0);
    while (!told)
        rig_turn(rig);
    rig_turn_for(rig, 1200);
    rig_get(rig, "/v1/pools");
    assert_string_equal(rig_text("data.0.limits.0.bucket"), "opus-5-5");
    assert_int_equal(rig_number("data.0.limits.0.requests.per_minute"), 600);
    /* Ten were there, fifty were used, some ten a second refill. */
    assert_in_range(rig_number("data.0.limits.0.requests.now") + 40, 0, 39);
    assert_true(json_is_null(rig_member("data.0.limits.0.input_tokens")));
    assert_true(json_is_null(rig_member("data.0.limits.0.output_tokens")));
}

/* --- by hand ------------------------------------------------------------- */

static unsigned
steer(const char *path, const char *body)
{
    return rig_post(rig, body, "%s", path)->status;
}

static void
an_operator_stops_a_lane_and_lets_it_go_on(void **state)
{
    (void)state;
    assert_int_equal(steer("/v1/lanes/standard/pause",
                         "{\"for\":\"10m\",\"reason\":\"later\"}"),
        200);
    assert_true(json_is_true(rig_member("paused")));
    assert_string_equal(rig_text("holds.0.kind"), "stopped");
    assert_string_equal(rig_text("holds.0.reason"), "later");
    assert_string_equal(rig_text("holds.0.scope"), "lane:standard");
    assert_true(json_is_string(rig_member("holds.0.until")));
    rig_turn_for(rig, 100);
    rig_get(rig, "/v1/lanes");
    assert_true(json_is_true(rig_member("data.1.paused")));
    assert_int_equal(steer("/v1/lanes/standard/resume", ""), 200);
    assert_false(json_is_true(rig_member("paused")));
    assert_int_equal(json_array_size(rig_member("holds")), 0);
    assert_int_equal(steer("/v1/lanes/standard/resume", "{}"), 200);
}

static void
an_operator_stops_a_pool_and_resumes_whatever_held_it(void **state)
{
    struct queue_pool pool = {.name = "eu",
        .base_url = "http://eu",
        .buckets = "opus-5-5 other",
        .weight = 3};
    bool told = false;
    (void)state;
    assert_int_equal(steer("/v1/pools/eu/pause", ""), 404);
    assert_int_equal(
        queue_pool_tell(rig->service->queue, &pool, on_held, &told), 0);
    while (!told)
        rig_turn(rig);
    assert_int_equal(steer("/v1/pools/eu/pause", ""), 200);
    assert_string_equal(rig_text("base_url"), "http://eu");
    assert_int_equal(rig_number("weight"), 3);
    assert_string_equal(rig_text("models.1"), "other");
    assert_string_equal(rig_text("status_reason"),
        "pool eu is paused until it is lifted: paused by default");
    hold("bucket:eu/opus-5-5", "open", "down");
    hold("bucket:europe/opus-5-5", "open", "another pool's");
    assert_int_equal(steer("/v1/pools/eu/resume", "{}"), 200);
    assert_false(json_is_true(rig_member("paused")));
    assert_int_equal(json_array_size(rig_member("holds")), 0);
    rig_turn_for(rig, 100);
    rig_get(rig, "/v1/pools");
    assert_string_equal(rig_text("data.0.name"), "eu");
    assert_string_equal(rig_text("data.1.holds.0.scope"), "pool:default");
    assert_string_equal(
        rig_text("data.2.holds.0.scope"), "bucket:europe/opus-5-5");
}

static void
what_a_pause_may_say_is_checked(void **state)
{
    static const char *const bodies[] = {"{\"for\":\"soon\"}",
        "{\"for\":\"0\"}", "{\"for\":5}", "{\"reason\":\"\"}",
        "{\"reason\":\"a\\nb\"}", "{\"until\":\"x\"}", "[]", "{"};
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(steer("/v1/lanes/bulk/pause", bodies[i]), 400);
    assert_int_equal(steer("/v1/lanes/bulk/resume", "{\"for\":\"5m\"}"), 400);
    assert_int_equal(steer("/v1/lanes/fast/pause", ""), 404);
    assert_int_equal(steer("/v1/pools/fast/resume", ""), 404);
}

static void
the_metrics_count_the_queue(void **state)
{
    static const char *const lines[] = {
        "longhaul_jobs{queue=\"bulk:other\",state=\"queued\"}",
        "longhaul_jobs{queue=\"bulk:other\",state=\"running\"}",
        "longhaul_jobs{queue=\"all\",state=\"retrying\"}",
        "longhaul_jobs{queue=\"all\",state=\"staged\"}",
        "longhaul_batches{state=\"open\"}",
        "longhaul_batches{state=\"upload\"}",
        "longhaul_queue_oldest_ready_age_seconds{queue=\"bulk:other\"}",
        "longhaul_dead_letters ", "longhaul_lane_paused{queue=\"lane:bulk\"",
        "longhaul_store_bytes ", "longhaul_store_free_bytes ",
        "longhaul_longpoll_waiters 0",
        "longhaul_operations_running{kind=\"replay\"} 0"};
    (void)state;
    numbers_refresh(rig->status->numbers);
    rig_turn_for(rig, 100);
    const struct rig_answer *got = rig_get(rig, "/metrics");
    assert_int_equal(got->status, 200);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(got->body.data, lines[i]) == NULL)
            fail_msg("no %s", lines[i]);
    }
    assert_null(strstr(got->body.data, "job_0"));
}

/* The first read may come before Redis does. */
static void
lanes_are_told_as_soon_as_redis_is_there(void **state)
{
    (void)state;
    fixture_kill_server(rig->redis);
    rig_turn_for(rig, 50);
    numbers_free(rig->status->numbers);
    rig->status->numbers = numbers_new(rig->status);
    rig_turn_for(rig, 20);
    assert_int_equal(rig_get(rig, "/v1/lanes")->status, 503);
    fixture_start_server(rig->redis);
    rig_wait_ready(rig);
    assert_int_equal(rig_get(rig, "/v1/lanes")->status, 200);
    assert_string_equal(rig_text("data.2.name"), "bulk");
    assert_int_equal(rig_get(rig, "/v1/pools")->status, 200);
    assert_string_equal(rig_text("data.0.name"), "default");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_is_what_counting_by_hand_gives),
        cmocka_unit_test(times_bound_the_list),
        cmocka_unit_test(failed_jobs_are_found_by_their_error),
        cmocka_unit_test(parameters_that_cannot_be_are_told),
        cmocka_unit_test(a_hold_is_told_to_those_who_wait),
        cmocka_unit_test(the_metrics_count_the_queue),
        cmocka_unit_test(lanes_are_told_as_soon_as_redis_is_there),
        cmocka_unit_test(limits_are_shown_with_what_may_be_used_now),
        cmocka_unit_test(an_operator_stops_a_lane_and_lets_it_go_on),
        cmocka_unit_test(an_operator_stops_a_pool_and_resumes_whatever_held_it),
        cmocka_unit_test(what_a_pause_may_say_is_checked),
    };
    return cmocka_run_group_tests(tests, start, status_suite_stop);
}
