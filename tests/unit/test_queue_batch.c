/* Calls that are given in one turn of the loop and travel together. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/id.h"
#include "queue_suite.h"

#define JOBS 70 /* more than two groups */

static enum queue_status status_of[JOBS];
static char ids[JOBS][ID_SIZE];
static size_t done_count;
static bool all_done;

static int
clear(void **state)
{
    queue_suite_clear(state);
    done_count = 0;
    all_done = false;
    return 0;
}

static void
note(size_t i, enum queue_status status)
{
    status_of[i] = status;
    all_done = ++done_count == JOBS;
}

static void
on_one_enqueued(void *arg, const struct queue_enqueued *result)
{
    size_t i = (size_t)(uintptr_t)arg;

    if (result->status == QUEUE_OK)
        assert_string_equal(result->id, ids[i]);
    note(i, result->status);
}

static void
on_one_finished(void *arg, enum queue_status status)
{
    note((size_t)(uintptr_t)arg, status);
}

static void
give_all(const struct queue_limits *limits, const char *body)
{
    struct job_meta meta;

    make_meta(&meta);
    for (size_t i = 0; i < JOBS; i++) {
        id_make("job_", ids[i]);
        assert_int_equal(queue_enqueue(f->queue, ids[i], &meta, slice_of(body),
                             meta.expires_ms - meta.created_ms, limits,
                             on_one_enqueued, (void *)(uintptr_t)i),
            0);
    }
}

static void
each_of_many_submits_gets_its_own_answer(void **state)
{
    (void)state;
    give_all(&no_limits, "{}");
    assert_int_equal(done_count, 0);
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), JOBS);
    audit(f);
}

static void
limit_holds_within_a_group(void **state)
{
    const struct queue_limits limits = {.max_jobs = 5};

    (void)state;
    give_all(&limits, "{}");
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], i < 5 ? QUEUE_OK : QUEUE_FULL_JOBS);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), 5);
    audit(f);
}

static void
one_key_in_a_group_makes_one_job(void **state)
{
    struct job_meta meta;
    char key[] = "the-key";

    (void)state;
    make_meta(&meta);
    meta.idempotency_key = key;
    for (size_t i = 0; i < JOBS; i++) {
        id_make("job_", ids[i]);
        assert_int_equal(queue_enqueue(f->queue, ids[i], &meta, slice_of("{}"),
                             meta.expires_ms - meta.created_ms, &no_limits,
                             on_one_enqueued, (void *)(uintptr_t)i),
            0);
    }
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], i == 0 ? QUEUE_OK : QUEUE_DUPLICATE);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), 1);
    audit(f);
}

static void
one_id_in_a_group_makes_one_job(void **state)
{
    struct job_meta meta;

    (void)state;
    make_meta(&meta);
    id_make("job_", ids[0]);
    for (size_t i = 0; i < JOBS; i++) {
        memcpy(ids[i], ids[0], sizeof(ids[i]));
        assert_int_equal(queue_enqueue(f->queue, ids[i], &meta, slice_of("{}"),
                             meta.expires_ms - meta.created_ms, &no_limits,
                             on_one_enqueued, (void *)(uintptr_t)i),
            0);
    }
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], i == 0 ? QUEUE_OK : QUEUE_DUPLICATE);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), 1);
    audit(f);
}

static void
finish_given_twice_in_a_group_counts_once(void **state)
{
    (void)state;
    give_all(&no_limits, "{}");
    fixture_wait(f, &all_done);
    done_count = 0;
    all_done = false;
    assert_int_equal(do_claim(f, "w1", QUEUE_X, JOBS / 2, false), JOBS / 2);
    for (size_t i = 0; i < JOBS; i++) {
        const struct queue_claim *claim = &got.claims[i / 2];
        struct queue_owner owner = {
            .id = claim->id, .consumer = "w1", .fence = claim->fence};
        struct job_result result = {
            .state = JOB_SUCCEEDED, .version = claim->version + 1};
        assert_int_equal(queue_finish(f->queue, &owner, &result,
                             on_one_finished, (void *)(uintptr_t)i),
            0);
    }
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), JOBS - JOBS / 2);
    audit(f);
}

static void
finish_of_many_tells_whose_claim_was_lost(void **state)
{
    (void)state;
    give_all(&no_limits, "{}");
    fixture_wait(f, &all_done);
    done_count = 0;
    all_done = false;
    assert_int_equal(do_claim(f, "w1", QUEUE_X, JOBS, false), JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        const struct queue_claim *claim = &got.claims[i];
        /* Every seventh says it is somebody else. */
        struct queue_owner owner = {.id = claim->id,
            .consumer = i % 7 == 0 ? "w2" : "w1",
            .fence = claim->fence};
        struct job_result result = {
            .state = JOB_SUCCEEDED, .version = claim->version + 1};
        assert_int_equal(queue_finish(f->queue, &owner, &result,
                             on_one_finished, (void *)(uintptr_t)i),
            0);
    }
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], i % 7 == 0 ? QUEUE_NOT_OWNER : QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}ids"), JOBS / 7);
    audit(f);
}

static void
everybody_hears_of_a_lost_connection(void **state)
{
    (void)state;
    fixture_kill_server(f);
    /* The loss is not known yet: the calls are taken. */
    give_all(&no_limits, "{}");
    fixture_wait(f, &all_done);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], QUEUE_UNKNOWN);
    fixture_start_server(f);
    fixture_wait_ready(f);
}

static void
what_was_not_sent_ends_with_the_queue(void **state)
{
    (void)state;
    give_all(&no_limits, "{}");
    queue_free(f->queue);
    assert_int_equal(done_count, JOBS);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(status_of[i], QUEUE_UNKNOWN);
    f->queue = queue_new(f->base, f->redis);
}

int
main(void)
{
#define FRESH(name) cmocka_unit_test_setup(name, clear)
    const struct CMUnitTest tests[] = {
        FRESH(each_of_many_submits_gets_its_own_answer),
        FRESH(limit_holds_within_a_group),
        FRESH(one_key_in_a_group_makes_one_job),
        FRESH(one_id_in_a_group_makes_one_job),
        FRESH(finish_given_twice_in_a_group_counts_once),
        FRESH(finish_of_many_tells_whose_claim_was_lost),
        FRESH(what_was_not_sent_ends_with_the_queue),
        FRESH(everybody_hears_of_a_lost_connection),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
