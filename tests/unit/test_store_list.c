#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

#define JOBS 600
/* With the time that the fixture's ids have. */
#define BATCH "00000000-0001-7abc-8000-000000000001"

/* Lists against a model: all jobs in memory, filtered by the words of
 * store.h. */
static struct store_fixture fixture;
static struct job_result jobs[JOBS];
static bool gone[JOBS];
static unsigned pending;

static void
on_committed(void *arg, enum store_status status, const struct job_result *row)
{
    (void)arg;
    (void)row;
    assert_int_equal(status, STORE_OK);
    pending--;
}

static void
make_job(unsigned i, struct job_result *job)
{
    static const enum job_state states[] = {
        JOB_SUCCEEDED, JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELED, JOB_EXPIRED};
    static const char *const models[] = {
        "claude-opus-5-5", "claude-haiku-5-5", "mock-ok"};
    static const char *const tags[] = {"tag0", "tag1", "tag2", "tag3"};
    store_fixture_result(job, i * 7, states[i % 5]);
    snprintf(job->meta.tenant, sizeof(job->meta.tenant), "t%u", i % 4);
    job->meta.lane = (enum job_lane)(i % 3);
    snprintf(job->model, sizeof(job->model), "%s", models[i / 7 % 3]);
    if (job->state == JOB_FAILED && i % 2 == 0)
        strcpy(job->error.type, ""); /* then the class stands in */
    if (i % 5 == 1)
        strcpy(job->meta.batch, BATCH);
    for (unsigned t = 0; t < i % 3; t++)
        job_meta_add_tag(&job->meta, slice_of(tags[(i / 3 + t) % 4]));
}

static int
fill(void **state)
{
    (void)state;
    store_fixture_open(&fixture);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned at = i * 271 % JOBS; /* not in the order of the ids */
        make_job(at, &jobs[at]);
        pending++;
        store_commit(fixture.store, &jobs[at], slice_of("{}"), SLICE_NULL,
            on_committed, NULL);
    }
    for (unsigned i = 0; i < JOBS; i += 31) { /* deleted ones are not listed */
        store_fixture_clear_reply();
        gone[i] = true;
        store_delete(fixture.store, jobs[i].id, store_fixture_on_status, NULL);
        store_fixture_wait(&fixture);
        assert_int_equal(store_reply.status, STORE_OK);
    }
    assert_int_equal(pending, 0);
    return 0;
}

static int
empty(void **state)
{
    (void)state;
    store_fixture_close(&fixture);
    return 0;
}

static bool
has_tag(const struct job_result *job, const char *tag)
{
    for (unsigned i = 0; i < job->meta.tag_count; i++)
        if (strcmp(job->meta.tags[i], tag) == 0)
            return true;
    return false;
}

static bool
is(const char *wanted, const char *text)
{
    return wanted == NULL || strcmp(wanted, text) == 0;
}

static bool
passes(const struct store_filter *filter, const struct job_result *job)
{
    const char *type =
        job->error.type[0] != '\0' ? job->error.type : job->error.class_name;
    return (!filter->has_state || filter->state == job->state) &&
        is(filter->tenant, job->meta.tenant) && is(filter->model, job->model) &&
        is(filter->lane, job_lane_name(job->meta.lane)) &&
        is(filter->error_type, type) && is(filter->batch, job->meta.batch) &&
        (filter->tag == NULL || has_tag(job, filter->tag)) &&
        (filter->after_ms == 0 || job->meta.created_ms >= filter->after_ms) &&
        (filter->before_ms == 0 || job->meta.created_ms < filter->before_ms);
}

/* All pages of `limit` together must be what the model says. */
static unsigned
check(const struct store_filter *filter, unsigned limit)
{
    char before[ID_SIZE] = "";
    unsigned found = 0;
    int at = JOBS;
    for (;;) {
        assert_int_equal(store_fixture_list(&fixture, fixture.store, filter,
                             before[0] != '\0' ? before : NULL, limit),
            STORE_OK);
        assert_true(store_reply.count <= limit);
        for (size_t i = 0; i < store_reply.count; i++) {
            do
                at--;
            while (at >= 0 && (gone[at] || !passes(filter, &jobs[at])));
            assert_true(at >= 0);
            assert_string_equal(store_reply.rows[i].id, jobs[at].id);
            found++;
        }
        if (store_reply.count < limit)
            break;
        strcpy(before, store_reply.rows[store_reply.count - 1].id);
    }
    do
        at--;
    while (at >= 0 && (gone[at] || !passes(filter, &jobs[at])));
    assert_int_equal(at, -1);
    return found;
}

static void
lists_everything_newest_first_in_pages(void **state)
{
    (void)state;
    struct store_filter any = {.has_state = false};
    unsigned all = JOBS - (JOBS + 30) / 31;
    assert_int_equal(check(&any, 1000), all);
    assert_int_equal(check(&any, 7), all);
    assert_int_equal(check(&any, all), all);
}

static void
every_combination_of_filters_agrees_with_the_model(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned bits = 0; bits < 512; bits++) {
        struct store_filter filter = {.has_state = (bits & 1) != 0,
            .state = (bits & 32) != 0 ? JOB_FAILED : JOB_SUCCEEDED,
            .tenant = (bits & 2) != 0 ? "t2" : NULL,
            .model = (bits & 4) != 0 ? "claude-haiku-5-5" : NULL,
            .lane = (bits & 8) != 0 ? "bulk" : NULL,
            .tag = (bits & 16) != 0 ? "tag1" : NULL,
            .error_type = (bits & 32) != 0 ? "bad_request" : NULL,
            .after_ms = (bits & 64) != 0 ? jobs[100].meta.created_ms : 0,
            .before_ms = (bits & 128) != 0 ? jobs[500].meta.created_ms : 0,
            .batch = (bits & 256) != 0 ? BATCH : NULL};
        found += check(&filter, 40);
    }
    assert_true(found > 4000);
}

static void
times_are_from_and_before(void **state)
{
    (void)state;
    struct store_filter one = {.after_ms = jobs[300].meta.created_ms,
        .before_ms = jobs[300].meta.created_ms + 1};
    assert_true(check(&one, 1000) > 0);
    struct store_filter none = {.after_ms = INT64_MAX / 2};
    assert_int_equal(check(&none, 10), 0);
    struct store_filter early = {.before_ms = 1};
    assert_int_equal(check(&early, 10), 0);
}

static void
a_batch_is_all_its_jobs_and_no_others(void **state)
{
    (void)state;
    struct store_filter batch = {.batch = BATCH};
    assert_true(check(&batch, 9) > 100);
    /* One of the same millisecond, and one of another. */
    struct store_filter other = {
        .batch = "00000000-0001-7abc-8000-000000000002"};
    assert_int_equal(check(&other, 9), 0);
    other.batch = "00000000-0002-7abc-8000-000000000001";
    assert_int_equal(check(&other, 9), 0);
}

static void
odd_filters_are_only_texts(void **state)
{
    (void)state;
    struct store_filter quote = {.tag = "' OR '1'='1"};
    assert_int_equal(check(&quote, 10), 0);
    struct store_filter empty_texts = {
        .tenant = "", .model = "", .tag = "", .lane = "", .error_type = ""};
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &empty_texts, NULL, 5),
        STORE_OK);
    assert_int_equal(store_reply.count, 5);
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &empty_texts, "job_0", 5),
        STORE_OK);
    assert_int_equal(store_reply.count, 0);
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &empty_texts, NULL, 0),
        STORE_OK);
    assert_int_equal(store_reply.count, 0);
}

static void
listed_rows_carry_their_members(void **state)
{
    (void)state;
    struct store_filter failed = {.has_state = true, .state = JOB_FAILED};
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &failed, NULL, 1),
        STORE_OK);
    const struct job_result *row = &store_reply.rows[0];
    assert_string_equal(row->error.message, "too long");
    assert_true(row->dead);
    assert_int_equal(row->usage.cache_write_1h_tokens, 55);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_everything_newest_first_in_pages),
        cmocka_unit_test(every_combination_of_filters_agrees_with_the_model),
        cmocka_unit_test(times_are_from_and_before),
        cmocka_unit_test(a_batch_is_all_its_jobs_and_no_others),
        cmocka_unit_test(odd_filters_are_only_texts),
        cmocka_unit_test(listed_rows_carry_their_members),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
