/* Submitting against a real Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_suite.h"

static void
finish_all(void)
{
    while (do_claim(f, "w1", QUEUE_X, 1, true) == 1) {
        struct queue_owner owner = {
            got.claims[0].id, "w1", got.claims[0].fence};
        char id[ID_SIZE];
        memcpy(id, got.claims[0].id, sizeof(id));
        owner.id = id;
        assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    }
    audit_empty(f);
}

static void
enqueued_job_is_claimed_with_all_it_needs(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(got.enqueued.version, 1);
    assert_int_equal(got.enqueued.ahead, 0);
    assert_string_equal(got.enqueued.id, id);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 10, false), 1);
    assert_string_equal(got.claims[0].id, id);
    assert_string_equal(got.body, "body");
    assert_string_equal(got.claims[0].meta.model, "claude-x");
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_RUN);
    assert_true(got.claims[0].first);
    assert_true(got.claims[0].started_ms > 1000000);
    assert_int_equal(got.claims[0].attempts, 0);
    audit(f);
}

static void
enqueue_sent_twice_is_one_job(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];

    (void)state;
    make_meta(&meta);
    do_submit(f, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_string_equal(got.enqueued.id, id);
    assert_int_equal(got.enqueued.version, 1);
    assert_int_equal(got.enqueued.state, JOB_QUEUED);
    assert_false(got.enqueued.finished);
    assert_int_equal(fixture_int(f, "XLEN {}q:standard:x"), 1);
    finish_all();
    /* Not even after it has ended. */
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_true(got.enqueued.finished);
    assert_int_equal(got.enqueued.state, JOB_SUCCEEDED);
    assert_int_equal(got.enqueued.version, 50);
    audit_empty(f);
}

static void
idempotency_key_finds_the_first_job(void **state)
{
    struct job_meta meta;
    char first[ID_SIZE];
    char second[ID_SIZE];
    char key[] = "order 17";

    (void)state;
    make_meta(&meta);
    meta.idempotency_key = key;
    id_make(JOB_ID_PREFIX, first);
    id_make(JOB_ID_PREFIX, second);
    assert_int_equal(do_enqueue(f, first, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(do_enqueue(f, second, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_string_equal(got.enqueued.id, first);
    /* The lost answer of the first enqueue itself. */
    assert_int_equal(do_enqueue(f, first, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_string_equal(got.enqueued.id, first);
    meta.sha256[0] = 'b';
    assert_int_equal(do_enqueue(f, second, &meta, &no_limits), QUEUE_CONFLICT);
    assert_string_equal(got.enqueued.id, first);
    /* Another tenant's key is another key. */
    memcpy(meta.tenant, "other", 6);
    assert_int_equal(do_enqueue(f, second, &meta, &no_limits), QUEUE_OK);
    finish_all();
    memcpy(meta.tenant, "default", 8);
    meta.sha256[0] = 'a';
    id_make(JOB_ID_PREFIX, second);
    assert_int_equal(do_enqueue(f, second, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_string_equal(got.enqueued.id, first);
    assert_true(got.enqueued.finished);
}

static void
on_found(
    void *arg, enum queue_status status, struct slice id, struct slice sha256)
{
    (void)arg;
    (void)text_copy(got.text, sizeof(got.text), id);
    got.count = sha256.len;
    on_status(NULL, status);
}

static void
idempotency_record_lives_as_long_as_the_job_and_a_day(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];
    char key[] = "k";
    char name[] = "{}idem:default:k";

    (void)state;
    make_meta(&meta);
    meta.idempotency_key = key;
    assert_int_equal(
        ASK(f, queue_idempotency_get(f->queue, "default", "k", on_found, NULL)),
        QUEUE_ABSENT);
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_idempotency_get(f->queue, "default", "k", on_found, NULL)),
        QUEUE_OK);
    assert_string_equal(got.text, id);
    assert_int_equal(got.count, 64);
    assert_int_equal(fixture_int(f, "TTL %s", name), -1);
    finish_all();
    assert_in_range(fixture_int(f, "TTL %s", name), 86000, 86400);
}

static void
tombstone_answers_for_a_day_at_least(void **state)
{
    struct job_meta meta;
    struct queue_owner owner;
    char id[ID_SIZE];
    long long day = tomb_day();

    (void)state;
    make_meta(&meta);
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    /* Not for ever, even if no worker runs any more. */
    assert_in_range(
        fixture_int(f, "TTL {}tomb:%lld", day), 2 * 86400, 3 * 86400);
    fixture_do(f, "RENAME {}tomb:%lld {}tomb:%lld", day, day - 1);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_DUPLICATE);
    assert_int_equal(got.enqueued.state, JOB_SUCCEEDED);
    assert_int_equal(got.enqueued.version, 50);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    fixture_do(f, "RENAME {}tomb:%lld {}tomb:%lld", day - 1, day - 2);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(fixture_int(f, "EXISTS {}tomb:%lld", day - 2), 0);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_NOT_OWNER);
}

static void
limits_hold_at_the_limit(void **state)
{
    struct queue_limits two_jobs = {2, 0};
    struct queue_limits nine_bytes = {0, 9};
    struct job_meta meta;
    char id[3][ID_SIZE];

    (void)state;
    make_meta(&meta);
    for (int i = 0; i < 3; i++)
        id_make(JOB_ID_PREFIX, id[i]);
    assert_int_equal(do_enqueue(f, id[0], &meta, &two_jobs), QUEUE_OK);
    assert_int_equal(do_enqueue(f, id[1], &meta, &two_jobs), QUEUE_OK);
    assert_int_equal(do_enqueue(f, id[2], &meta, &two_jobs), QUEUE_FULL_JOBS);
    assert_int_equal(
        do_enqueue(f, id[2], &meta, &nine_bytes), QUEUE_FULL_BYTES);
    /* A resend is answered even when all is full. */
    assert_int_equal(do_enqueue(f, id[1], &meta, &two_jobs), QUEUE_DUPLICATE);
    audit(f);
    nine_bytes.max_bytes = 12;
    assert_int_equal(do_enqueue(f, id[2], &meta, &nine_bytes), QUEUE_OK);
    finish_all();
}

static void
full_memory_refuses_new_work_and_lets_old_work_drain(void **state)
{
    struct queue_owner owner;
    struct job_meta meta;
    char id[2][ID_SIZE];

    (void)state;
    make_meta(&meta);
    do_submit(f, id[0]);
    do_submit(f, id[1]);
    fixture_do(f, "CONFIG SET maxmemory 1");
    assert_int_equal(
        ASK(f, queue_stage(f->queue, id[1], 0, slice_of("x"), on_status, NULL)),
        QUEUE_FULL_BYTES);
    {
        char refused[ID_SIZE];
        id_make(JOB_ID_PREFIX, refused);
        assert_int_equal(
            do_enqueue(f, refused, &meta, &no_limits), QUEUE_FULL_BYTES);
    }
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_retry(f, &owner, 0, 1), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_bury(f, &owner, 0, "no"), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[1]);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(do_replay(f, id[0], 0), QUEUE_FULL_BYTES);
    audit_empty(f);
}

static void
emptied_redis_takes_and_gives_no_work(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];

    (void)state;
    make_meta(&meta);
    do_submit(f, id);
    fixture_do(f, "FLUSHALL");
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_NO_MARKER);
    /* It cannot be denied either: who knows what was here. */
    assert_int_equal(do_get(f, id), QUEUE_NO_MARKER);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 0);
    assert_int_equal(got.status, QUEUE_NO_MARKER);
    assert_int_equal(
        ASK(f, queue_stage(f->queue, id, 0, slice_of("x"), on_status, NULL)),
        QUEUE_NO_MARKER);
    assert_string_equal(fixture_do(f, "DBSIZE"), "0");
}

static void
on_marker(void *arg, enum queue_status status, struct slice marker)
{
    (void)arg;
    (void)text_copy(got.text, sizeof(got.text), marker);
    on_status(NULL, status);
}

static void
marker_is_set_once(void **state)
{
    (void)state;
    fixture_do(f, "FLUSHALL");
    assert_int_equal(
        ASK(f, queue_marker_get(f->queue, on_marker, NULL)), QUEUE_OK);
    assert_string_equal(got.text, "");
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            ASK(f, queue_marker_set(f->queue, "one real", on_status, NULL)),
            QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_marker_set(f->queue, "two simulated", on_status, NULL)),
        QUEUE_CONFLICT);
    assert_int_equal(
        ASK(f, queue_marker_get(f->queue, on_marker, NULL)), QUEUE_OK);
    assert_string_equal(got.text, "one real");
}

static void
on_part(void *arg, enum queue_status status, struct slice bytes)
{
    (void)arg;
    (void)text_copy(got.body, sizeof(got.body), bytes);
    on_status(NULL, status);
}

static void
stage_parts(const char *id, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(
            ASK(f,
                queue_stage(f->queue, id, i,
                    i == 0 ? slice_of("first") : slice_of("second"), on_status,
                    NULL)),
            QUEUE_OK);
}

static void
large_body_is_staged_in_parts_and_revealed_by_the_enqueue(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];

    (void)state;
    make_meta(&meta);
    meta.parts = 2;
    id_make(JOB_ID_PREFIX, id);
    stage_parts(id, 1);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_ABSENT);
    audit(f);
    stage_parts(id, 2); /* the first one for the second time */
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(fixture_int(f, "EXISTS {}staging"), 0);
    /* A late part and a late unstage change nothing. */
    assert_int_equal(
        ASK(f, queue_stage(f->queue, id, 0, slice_of("late"), on_status, NULL)),
        QUEUE_OK);
    queue_unstage(f->queue, id);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 1);
    assert_string_equal(got.body, "");
    assert_int_equal(got.claims[0].meta.parts, 2);
    assert_int_equal(
        ASK(f, queue_part_get(f->queue, id, 0, on_part, NULL)), QUEUE_OK);
    assert_string_equal(got.body, "first");
    assert_int_equal(
        ASK(f, queue_part_get(f->queue, id, 1, on_part, NULL)), QUEUE_OK);
    assert_string_equal(got.body, "second");
    assert_int_equal(
        ASK(f, queue_part_get(f->queue, id, 2, on_part, NULL)), QUEUE_ABSENT);
    { /* Nothing stays of the body either. */
        long long fence = fixture_int(f, "HGET {}job:%s fence", id);
        struct queue_owner owner = {id, "w1", (uint64_t)fence};
        assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    }
    audit_empty(f);
}

static void
abandoned_staging_is_swept(void **state)
{
    char fresh[ID_SIZE];
    char stale[ID_SIZE];
    char thrown[ID_SIZE];

    (void)state;
    id_make(JOB_ID_PREFIX, fresh);
    id_make(JOB_ID_PREFIX, stale);
    id_make(JOB_ID_PREFIX, thrown);
    stage_parts(fresh, 2);
    stage_parts(stale, 2);
    stage_parts(thrown, 1);
    queue_unstage(f->queue, thrown);
    fixture_do(f, "ZINCRBY {}staging -3600001 %s", stale);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(fixture_int(f, "EXISTS {}body:%s", stale), 0);
    assert_int_equal(fixture_int(f, "EXISTS {}body:%s", thrown), 0);
    assert_int_equal(fixture_int(f, "EXISTS {}body:%s", fresh), 1);
    fixture_do(f, "ZINCRBY {}staging -3600001 %s", fresh);
    assert_int_equal(do_tick(f), QUEUE_OK);
    audit_empty(f);
}

static void
scripts_survive_a_flush_of_the_script_cache(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    fixture_do(f, "SCRIPT FLUSH");
    do_submit(f, id);
    fixture_do(f, "SCRIPT FLUSH");
    finish_all();
    assert_int_equal(fixture_int(f, "GET {}fence"), 2);
}

static void
position_counts_what_is_ahead(void **state)
{
    char id[3][ID_SIZE];

    (void)state;
    for (int i = 0; i < 3; i++) {
        do_submit(f, id[i]);
        assert_int_equal(got.enqueued.ahead, i);
    }
    assert_int_equal(do_get(f, id[2]), QUEUE_OK);
    assert_int_equal(got.view.ahead, 2);
    (void)do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_get(f, id[2]), QUEUE_OK);
    assert_int_equal(got.view.ahead, 1);
    assert_int_equal(do_get(f, id[0]), QUEUE_OK);
    assert_int_equal(got.view.ahead, -1);
    assert_int_equal(got.view.state, JOB_RUNNING);
    assert_int_equal(got.view.version, 2);
    (void)do_own(f, "w1", QUEUE_X, id[1]);
    (void)do_own(f, "w1", QUEUE_X, id[2]);
    do_submit(f, id[0]);
    assert_int_equal(got.enqueued.ahead, 0);
}

static void
on_jobs(void *arg, enum queue_status status, const struct job_view *views,
    size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count && i < 32; i++) {
        memcpy(got.ids[i], views[i].id, ID_SIZE);
        assert_string_equal(views[i].meta->tenant, "default");
        if (i == 0)
            got.view = views[i];
    }
    on_status(NULL, status);
}

static void
list_goes_from_new_to_old_in_pages(void **state)
{
    char id[5][ID_SIZE];

    (void)state;
    assert_int_equal(
        ASK(f, queue_list(f->queue, NULL, 10, on_jobs, NULL)), QUEUE_OK);
    assert_int_equal(got.count, 0);
    for (int i = 0; i < 5; i++)
        do_submit(f, id[i]);
    assert_int_equal(
        ASK(f, queue_list(f->queue, NULL, 2, on_jobs, NULL)), QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.ids[0], id[4]);
    assert_string_equal(got.ids[1], id[3]);
    assert_int_equal(got.view.ahead, 4);
    assert_int_equal(
        ASK(f, queue_list(f->queue, id[3], 10, on_jobs, NULL)), QUEUE_OK);
    assert_int_equal(got.count, 3);
    assert_string_equal(got.ids[2], id[0]);
    assert_int_equal(do_get(f, "job_unknown"), QUEUE_ABSENT);
    finish_all();
}

static void
numbers_add_up(void **state)
{
    struct queue_owner owner;
    char id[3][ID_SIZE];

    (void)state;
    for (int i = 0; i < 3; i++)
        do_submit(f, id[i]);
    (void)do_own(f, "w1", QUEUE_X, id[0]);
    owner = do_own(f, "w1", QUEUE_X, id[1]);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    assert_int_equal(ASK(f,
                         queue_hold_set(f->queue, "lane:bulk", "paused", -1,
                             "by hand", false, on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(do_stats(f), QUEUE_OK);
    assert_int_equal(got.stats.jobs, 3);
    assert_int_equal(got.stats.bytes, 12);
    assert_int_equal(got.stats.retrying, 1);
    assert_int_equal(got.stats.closing, 0);
    assert_int_equal(got.stats.dead, 0);
    assert_int_equal(got.stats.submitted_total, 3);
    assert_int_equal(got.stats.consumer_count, 1);
    assert_int_equal(got.stats.hold_count, 1);
    assert_int_equal(got.stats.queue_count, 1);
    assert_int_equal(got.numbers.waiting, 1);
    assert_int_equal(got.numbers.running, 1);
    assert_int_equal(got.numbers.oldest_ms, id_wall_ms(slice_of(id[2])));
    assert_true(got.stats.redis_used_bytes > 100000);
    assert_int_equal(got.stats.redis_max_bytes, 0);
}

static void
on_filled(void *arg, const struct queue_enqueued *result)
{
    int *left = arg;

    assert_int_equal(result->status, QUEUE_OK);
    if (--*left == 0)
        on_status(NULL, QUEUE_OK);
}

static void
fill(int count)
{
    struct job_meta meta;

    make_meta(&meta);
    while (count > 0) {
        int left = count < 500 ? count : 500;
        count -= left;
        got_reset();
        for (int i = left; i > 0; i--) {
            char id[ID_SIZE];
            id_make(JOB_ID_PREFIX, id);
            assert_int_equal(
                queue_enqueue(f->queue, id, &meta, slice_of("body"),
                    meta.expires_ms - meta.created_ms, &no_limits, on_filled,
                    &left),
                0);
        }
        (void)got_wait(f);
    }
}

/* Printed, not judged: the machine may be busy. LONGHAUL_TEST_JOBS sets the
 * length of the long queue. */
static void
claims_from_a_long_queue(void **state)
{
    const char *wanted = getenv("LONGHAUL_TEST_JOBS");
    int sizes[] = {300, wanted != NULL ? (int)strtol(wanted, NULL, 10) : 3000};

    (void)state;
    for (int s = 0; s < 2; s++) {
        const char *at = NULL;
        fixture_clear(f);
        fill(sizes[s]);
        fixture_do(f, "CONFIG RESETSTAT");
        assert_int_equal(do_claim(f, "w1", QUEUE_X, 256, false), 256);
        at = strstr(fixture_do(f, "INFO commandstats"), "cmdstat_evalsha");
        print_message(
            "# claim of 256 from %d: %.60s\n", sizes[s], at == NULL ? "" : at);
        audit(f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enqueued_job_is_claimed_with_all_it_needs),
        TEST(enqueue_sent_twice_is_one_job),
        TEST(idempotency_key_finds_the_first_job),
        TEST(idempotency_record_lives_as_long_as_the_job_and_a_day),
        TEST(tombstone_answers_for_a_day_at_least),
        TEST(limits_hold_at_the_limit),
        TEST(full_memory_refuses_new_work_and_lets_old_work_drain),
        TEST(emptied_redis_takes_and_gives_no_work),
        TEST(marker_is_set_once),
        TEST(large_body_is_staged_in_parts_and_revealed_by_the_enqueue),
        TEST(abandoned_staging_is_swept),
        TEST(scripts_survive_a_flush_of_the_script_cache),
        TEST(position_counts_what_is_ahead),
        TEST(list_goes_from_new_to_old_in_pages),
        TEST(numbers_add_up),
        TEST(claims_from_a_long_queue),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
