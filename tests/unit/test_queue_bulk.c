/* Batches against a real Redis: upload, promotion, cancel, end. */

#include <stdio.h>
#include <string.h>

#include "bulk_helpers.h"
#include "common/net/redis.h"
#include "queue_suite.h"

static struct bulk bulk;
static char ids[16][ID_SIZE];

static int
clear(void **state)
{
    queue_suite_clear(state);
    make_bulk(&bulk);
    return 0;
}

/* Items row-0 ... of the batch, not revealed. */
static void
stage(unsigned count)
{
    assert_int_equal(do_open(f, &bulk), QUEUE_OK);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "row-%u", i);
        bulk_item_id(bulk.uuid, slice_of(name), ids[i]);
        assert_int_equal(do_stage(f, bulk.uuid, name, i + 1, NULL), QUEUE_OK);
    }
    audit(f);
}

static void
reveal(unsigned count)
{
    stage(count);
    assert_int_equal(do_reveal(f, bulk.uuid, count, 'a'), QUEUE_OK);
    audit(f);
}

static void
run_and_finish(const char *id)
{
    struct queue_owner owner = do_own(f, "w1", QUEUE_X, id);
    struct job_result result = {.state = JOB_SUCCEEDED,
        .generation = got.claims[0].generation,
        .version = 90};

    assert_int_equal(
        ASK(f, queue_finish(f->queue, &owner, &result, on_status, NULL)),
        QUEUE_OK);
}

static void
a_staged_batch_is_seen_by_nobody(void **state)
{
    (void)state;
    stage(3);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_ABSENT);
    assert_int_equal(do_bulk_list(f, NULL, false), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(do_items(f, bulk.uuid, 0), QUEUE_ABSENT);
    assert_int_equal(do_get(f, ids[0]), QUEUE_ABSENT);
    assert_int_equal(do_cancel(f, ids[0]), QUEUE_ABSENT);
    assert_int_equal(DO_BULK(f, cancel, bulk.uuid), QUEUE_ABSENT);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 5, false), 0);
}

static void
revealed_items_can_be_read_and_run(void **state)
{
    (void)state;
    memcpy(bulk.run, "nightly", 8);
    reveal(3);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.bulk.state, BATCH_IN_PROGRESS);
    assert_int_equal(got_bulk.bulk.total, 3);
    assert_string_equal(got_bulk.bulk.run, "nightly");
    assert_int_equal(got_bulk.bulk.created_ms, bulk.created_ms);
    assert_int_equal(got_bulk.view.promoted, 0);
    assert_int_equal(do_get(f, ids[0]), QUEUE_OK); /* in no queue yet */
    assert_int_equal(do_advance(f, 2), QUEUE_OK);
    assert_int_equal(got.moved, 2);
    assert_true(got.more);
    audit(f);
    assert_int_equal(do_advance(f, 2), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    assert_false(got.more);
    audit(f);
    for (unsigned i = 0; i < 3; i++)
        run_and_finish(ids[i]);
    audit_empty(f);
}

static void
items_and_rejected_lines_are_read_in_pages(void **state)
{
    (void)state;
    stage(3);
    for (unsigned i = 12; i > 9; i--)
        assert_int_equal(ASK(f,
                             queue_bulk_reject(f->queue, bulk.uuid, i,
                                 slice_of(i == 11 ? "{\"line\":11}" : "{}"),
                                 on_status, NULL)),
            QUEUE_OK);
    assert_int_equal(do_reveal(f, bulk.uuid, 3, 'a'), QUEUE_OK);
    assert_int_equal(do_items(f, bulk.uuid, 0), QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got_bulk.items[1].id, ids[1]);
    assert_string_equal(got_bulk.texts[1], "row-1");
    assert_int_equal(do_items(f, bulk.uuid, 2), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(got_bulk.items[0].index, 2);
    assert_int_equal(do_items(f, bulk.uuid, 3), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(do_rejects(f, bulk.uuid, 10), QUEUE_OK);
    assert_string_equal(got_bulk.texts[0], "{\"line\":11}");
}

static void
a_repeated_custom_id_is_told_from_a_resent_line(void **state)
{
    (void)state;
    stage(2);
    assert_int_equal(do_stage(f, bulk.uuid, "row-1", 2, NULL), QUEUE_OK);
    assert_int_equal(do_stage(f, bulk.uuid, "row-1", 3, NULL), QUEUE_DUPLICATE);
    assert_int_equal(got_bulk.ordinal, 2);
    audit(f);
    assert_int_equal(do_reveal(f, bulk.uuid, 2, 'a'), QUEUE_OK);
    assert_int_equal(do_stage(f, bulk.uuid, "row-9", 9, NULL), QUEUE_NOT_OWNER);
}

static void
on_other(void *arg, enum queue_status status, uint64_t ordinal)
{
    (void)ordinal;
    on_status(arg, status);
}

static void
another_body_under_the_same_name_is_a_conflict(void **state)
{
    char custom_id[] = "row-0";
    struct job_meta meta;
    struct queue_bulk_item item = {
        .meta = &meta, .body = slice_of("else"), .ordinal = 1};

    (void)state;
    stage(1);
    make_meta(&meta);
    memset(meta.sha256, 'b', 64);
    memcpy(meta.batch, bulk.uuid, BATCH_UUID_SIZE);
    meta.custom_id = custom_id;
    item.id = ids[0];
    assert_int_equal(
        ASK(f, queue_bulk_stage(f->queue, &item, &no_limits, on_other, NULL)),
        QUEUE_CONFLICT);
    audit(f);
}

static void
a_broken_upload_goes_on_under_its_key(void **state)
{
    char key[] = "nightly 1";
    struct bulk again;

    (void)state;
    bulk.idempotency_key = key;
    stage(2);
    make_bulk(&again);
    again.idempotency_key = key;
    assert_int_equal(do_open(f, &again), QUEUE_OK);
    assert_true(got_bulk.continued);
    assert_string_equal(got_bulk.bulk.uuid, bulk.uuid);
    assert_int_equal(got_bulk.bulk.created_ms, bulk.created_ms);
    assert_string_equal(got_bulk.key, key);
    assert_int_equal(do_stage(f, bulk.uuid, "row-2", 3, NULL), QUEUE_OK);
    /* Another upload under this key: fewer items than were staged. */
    assert_int_equal(do_reveal(f, bulk.uuid, 2, 'a'), QUEUE_CONFLICT);
    assert_int_equal(do_reveal(f, bulk.uuid, 3, 'a'), QUEUE_OK);
    assert_int_equal(do_reveal(f, bulk.uuid, 3, 'a'), QUEUE_OK);
    assert_int_equal(do_reveal(f, bulk.uuid, 3, 'b'), QUEUE_CONFLICT);
    assert_int_equal(do_open(f, &again), QUEUE_DUPLICATE);
    assert_string_equal(got_bulk.bulk.uuid, bulk.uuid);
    assert_int_equal(strlen(got_bulk.bulk.sha256), 64);
    bulk.idempotency_key = NULL;
}

static void
a_resent_create_finds_the_batch_it_made(void **state)
{
    char first[BATCH_UUID_SIZE];

    (void)state;
    bulk.face = BULK_CLAUDE;
    reveal(1);
    memcpy(first, bulk.uuid, sizeof(first));
    make_bulk(&bulk);
    bulk.face = BULK_CLAUDE;
    stage(1);
    assert_int_equal(do_reveal(f, bulk.uuid, 1, 'R'), QUEUE_DUPLICATE);
    assert_string_equal(got_bulk.uuid, first);
    assert_int_equal(DO_BULK(f, drop, bulk.uuid), QUEUE_OK);
    /* The same body without the word that it is a resend: a new batch. */
    make_bulk(&bulk);
    bulk.face = BULK_CLAUDE;
    reveal(1);
    assert_string_not_equal(got_bulk.uuid, first);
}

static void
a_first_try_that_comes_last_finds_the_second(void **state)
{
    struct bulk slow;

    (void)state;
    bulk.face = BULK_CLAUDE;
    stage(1);
    slow = bulk;
    make_bulk(&bulk);
    bulk.face = BULK_CLAUDE;
    stage(1);
    assert_int_equal(do_reveal(f, bulk.uuid, 1, 'R'), QUEUE_OK);
    assert_int_equal(do_reveal(f, slow.uuid, 1, 'a'), QUEUE_DUPLICATE);
    assert_string_equal(got_bulk.uuid, bulk.uuid);
}

static void
what_is_dropped_leaves_nothing(void **state)
{
    char key[] = "k";

    (void)state;
    bulk.idempotency_key = key;
    stage(5);
    bulk.idempotency_key = NULL;
    assert_int_equal(DO_BULK(f, drop, bulk.uuid), QUEUE_OK);
    assert_int_equal(do_stage(f, bulk.uuid, "row-9", 9, NULL), QUEUE_NOT_OWNER);
    assert_int_equal(do_reveal(f, bulk.uuid, 5, 'a'), QUEUE_NOT_OWNER);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(do_advance(f, 2), QUEUE_OK);
        assert_int_equal(got.moved, i < 2 ? 2 : 1);
        audit(f);
    }
    audit_empty(f);
    assert_string_equal(fixture_do(f, "KEYS {}b*"), "lh:{0}:bytes");
    assert_int_equal(DO_BULK(f, drop, bulk.uuid), QUEUE_OK);
    reveal(1);
    assert_int_equal(DO_BULK(f, drop, bulk.uuid), QUEUE_NOT_OWNER);
}

static void
an_abandoned_upload_is_swept(void **state)
{
    (void)state;
    stage(2);
    fixture_do(f, "ZADD {}batches:staging 1 %s", bulk.uuid);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    audit_empty(f);
    assert_int_equal(do_reveal(f, bulk.uuid, 2, 'a'), QUEUE_NOT_OWNER);
}

static void
staging_is_admitted_like_enqueueing(void **state)
{
    struct queue_limits limits = {2, 0};
    struct job_meta meta;
    char id[ID_SIZE];

    (void)state;
    stage(2);
    make_meta(&meta);
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &limits), QUEUE_FULL_JOBS);
    assert_int_equal(do_stats(f), QUEUE_OK);
    assert_int_equal(got.stats.jobs, 2);
    assert_int_equal(got.stats.bytes, 8);
    assert_int_equal(got.stats.uploads, 1);
    assert_int_equal(got.stats.batches, 0);
    assert_int_equal(got.stats.unpromoted, 2);
}

static void
cancel_reaches_items_wherever_they_are(void **state)
{
    struct queue_owner owner;

    (void)state;
    reveal(4);
    assert_int_equal(do_advance(f, 2), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, ids[0]);
    assert_int_equal(DO_BULK(f, cancel, bulk.uuid), QUEUE_OK);
    assert_int_equal(DO_BULK(f, cancel, bulk.uuid), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.bulk.state, BATCH_CANCELING);
    assert_true(got_bulk.bulk.cancel_ms > 0);
    assert_int_equal(got_bulk.view.running, 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(do_advance(f, 3), QUEUE_OK);
        audit(f);
    }
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 5, false), 0);
    assert_int_equal(do_claim(f, "w2", "closing", 5, false), 3);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_CANCEL);
    assert_int_equal(do_finish(f, &owner, JOB_CANCELED), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.view.running, 0);
    audit(f);
}

static void
one_item_can_be_canceled_before_it_is_promoted(void **state)
{
    struct queue_owner owner;

    (void)state;
    reveal(2);
    assert_int_equal(do_cancel(f, ids[1]), QUEUE_OK);
    audit(f);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    audit(f);
    owner = do_own(f, "w1", "closing", ids[1]);
    assert_int_equal(do_finish(f, &owner, JOB_CANCELED), QUEUE_OK);
    run_and_finish(ids[0]);
    audit_empty(f);
}

static void
a_refused_item_needs_no_call(void **state)
{
    struct job_error error = {.class_name = "bad_request"};
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    memcpy(error.message, "max_tokens: must be at least 1", 31);
    stage(1);
    assert_int_equal(do_stage(f, bulk.uuid, "bad", 2, &error), QUEUE_OK);
    bulk_item_id(bulk.uuid, slice_of("bad"), id);
    assert_int_equal(do_reveal(f, bulk.uuid, 2, 'a'), QUEUE_OK);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    owner = do_own(f, "w1", "closing", id);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_REFUSED);
    assert_string_equal(got.claims[0].error.message, error.message);
    assert_int_equal(got.claims[0].attempts, 0);
    die_and_reap(f, "w1");
    audit(f);
    owner = do_own(f, "w2", "closing", id);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_REFUSED);
    assert_int_equal(do_finish(f, &owner, JOB_FAILED), QUEUE_OK);
    audit(f);
}

static void
running_and_retrying_items_are_counted(void **state)
{
    struct queue_owner owner;

    (void)state;
    reveal(3);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, ids[0]);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, ids[1]);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.view.running, 1);
    assert_int_equal(got_bulk.view.retrying, 1);
    assert_int_equal(do_release(f, &owner), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.view.running, 0);
    audit(f);
}

/* The item of a batch of one, buried. */
static void
bury_the_one(void)
{
    struct queue_owner owner;

    reveal(1);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, ids[0]);
    assert_int_equal(do_bury(f, &owner, 0, "no"), QUEUE_OK);
}

static void
on_version(void *arg, enum queue_status status, uint64_t version)
{
    (void)version;
    on_status(arg, status);
}

static enum queue_status
replay_item(const char *id)
{
    struct job_result result = {.version = 9, .state = JOB_FAILED};

    make_meta(&result.meta);
    memcpy(result.id, id, ID_SIZE);
    memcpy(result.meta.batch, bulk.uuid, BATCH_UUID_SIZE);
    return ASK(
        f, queue_replay(f->queue, &result, slice_of("body"), on_version, NULL));
}

static void
a_replay_keeps_an_open_batch_from_ending(void **state)
{
    (void)state;
    bury_the_one();
    assert_int_equal(replay_item(ids[0]), QUEUE_OK);
    audit(f);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_CONFLICT);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.view.again, 1);
    assert_int_equal(got_bulk.view.replays, 1);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 1, 1), QUEUE_CONFLICT);
    run_and_finish(ids[0]);
    /* Whoever counted before the replay counts again. */
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_CONFLICT);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 1, 0), QUEUE_CONFLICT);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 1, 1), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.bulk.state, BATCH_ENDED);
    assert_true(got_bulk.bulk.ended_ms > 0);
    assert_int_equal(got_bulk.bulk.tally.succeeded, 1);
    assert_int_equal(got_bulk.bulk.tally.last_row, 7);
}

static void
a_replay_never_reopens_an_ended_batch(void **state)
{
    (void)state;
    bury_the_one();
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_OK);
    assert_int_equal(replay_item(ids[0]), QUEUE_OK);
    audit(f);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    assert_int_equal(got_bulk.bulk.state, BATCH_ENDED);
    assert_int_equal(got_bulk.view.again, 0);
    assert_int_equal(DO_BULK(f, cancel, bulk.uuid), QUEUE_CONFLICT);
    assert_int_equal(DO_BULK(f, leave, bulk.uuid), QUEUE_OK);
    run_and_finish(ids[0]);
    audit_empty(f);
    assert_string_equal(fixture_do(f, "KEYS {}batch*"), "");
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_ABSENT);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_ABSENT);
}

static void
an_open_batch_neither_leaves_nor_is_deleted(void **state)
{
    (void)state;
    reveal(1);
    assert_int_equal(DO_BULK(f, leave, bulk.uuid), QUEUE_CONFLICT);
    assert_int_equal(DO_BULK(f, delete, bulk.uuid), QUEUE_CONFLICT);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_OK);
    assert_int_equal(DO_BULK(f, delete, bulk.uuid), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_CONFLICT);
    assert_int_equal(do_bulk_list(f, NULL, false), QUEUE_OK);
    assert_int_equal(got_bulk.deleted, 1);
    assert_int_equal(DO_BULK(f, deleted, bulk.uuid), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
}

static void
batches_are_listed_both_ways(void **state)
{
    char uuids[3][BATCH_UUID_SIZE];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        make_bulk(&bulk);
        memcpy(uuids[i], bulk.uuid, BATCH_UUID_SIZE);
        reveal(1);
    }
    assert_int_equal(do_bulk_list(f, NULL, false), QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got_bulk.uuids[0], uuids[2]);
    assert_string_equal(got_bulk.uuids[1], uuids[1]);
    assert_int_equal(do_bulk_list(f, uuids[1], false), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_string_equal(got_bulk.uuids[0], uuids[0]);
    assert_int_equal(do_bulk_list(f, uuids[0], true), QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got_bulk.uuids[0], uuids[1]);
}

static void
one_keeper_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(
        ASK(f, queue_bulk_lock(f->queue, "w1", 60000, on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_bulk_lock(f->queue, "w2", 60000, on_status, NULL)),
        QUEUE_CONFLICT);
    assert_int_equal(
        ASK(f, queue_bulk_lock(f->queue, "w1", 60000, on_status, NULL)),
        QUEUE_OK);
}

static void
a_batch_survives_the_death_of_redis(void **state)
{
    (void)state;
    reveal(4);
    assert_int_equal(do_advance(f, 2), QUEUE_OK);
    fixture_kill_server(f);
    fixture_start_server(f);
    while (redis_get_state(f->redis) == REDIS_READY)
        event_base_loop(f->base, EVLOOP_ONCE);
    fixture_wait_ready(f);
    audit(f);
    assert_int_equal(do_advance(f, 500), QUEUE_OK);
    assert_int_equal(got.moved, 2);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 16, false), 4);
    audit(f);
}

#define FRESH(name) cmocka_unit_test_setup(name, clear)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(a_staged_batch_is_seen_by_nobody),
        FRESH(revealed_items_can_be_read_and_run),
        FRESH(items_and_rejected_lines_are_read_in_pages),
        FRESH(a_repeated_custom_id_is_told_from_a_resent_line),
        FRESH(another_body_under_the_same_name_is_a_conflict),
        FRESH(a_broken_upload_goes_on_under_its_key),
        FRESH(a_resent_create_finds_the_batch_it_made),
        FRESH(a_first_try_that_comes_last_finds_the_second),
        FRESH(what_is_dropped_leaves_nothing),
        FRESH(an_abandoned_upload_is_swept),
        FRESH(staging_is_admitted_like_enqueueing),
        FRESH(cancel_reaches_items_wherever_they_are),
        FRESH(one_item_can_be_canceled_before_it_is_promoted),
        FRESH(a_refused_item_needs_no_call),
        FRESH(running_and_retrying_items_are_counted),
        FRESH(a_replay_keeps_an_open_batch_from_ending),
        FRESH(a_replay_never_reopens_an_ended_batch),
        FRESH(an_open_batch_neither_leaves_nor_is_deleted),
        FRESH(batches_are_listed_both_ways),
        FRESH(one_keeper_at_a_time),
        FRESH(a_batch_survives_the_death_of_redis),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
