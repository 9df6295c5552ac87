/* Dead letters, deletions, chores and operations against a real Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_suite.h"

static void
bury_new(char id[ID_SIZE], const char *message)
{
    struct queue_owner owner;

    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_bury(f, &owner, 0, message), QUEUE_OK);
}

static void
on_one(void *arg, enum queue_status status, const struct queue_dead *dead)
{
    (void)arg;
    if (dead != NULL)
        got.dead[0] = *dead;
    on_status(NULL, status);
}

static void
buried_job_is_one_dead_letter_with_its_reason(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    for (int i = 0; i < 2; i++)
        assert_int_equal(do_bury(f, &owner, 0, "too long"), QUEUE_OK);
    audit_empty(f);
    assert_int_equal(do_dead_list(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(
        ASK(f, queue_dead_get(f->queue, id, on_one, NULL)), QUEUE_OK);
    assert_string_equal(got.dead[0].id, id);
    assert_int_equal(got.dead[0].generation, 0);
    assert_int_equal(got.dead[0].attempts, 3);
    assert_true(got.dead[0].dead_ms > 1000000);
    assert_string_equal(got.dead[0].lane, "standard");
    assert_string_equal(got.dead[0].model, "claude-x");
    assert_string_equal(got.dead[0].tenant, "default");
    assert_int_equal(strlen(got.dead[0].fingerprint), 16);
    assert_string_equal(got.dead[0].error.message, "too long");
    assert_int_equal(got.dead[0].error.status, 400);
    assert_int_equal(ASK(f, queue_dead_get(f->queue, "job_none", on_one, NULL)),
        QUEUE_ABSENT);
    assert_string_equal(tombstone(f, id), "0 50 failed");
}

static void
on_dead(void *arg, enum queue_status status, const struct queue_dead *dead,
    size_t count)
{
    (void)arg;
    got.count = count;
    for (size_t i = 0; i < count && i < 8; i++)
        got.dead[i] = dead[i];
    on_status(NULL, status);
}

static void
list_pages_from_old_to_new_within_a_snapshot(void **state)
{
    char entry[2][48];
    char id[4][ID_SIZE];

    (void)state;
    for (int i = 0; i < 4; i++)
        bury_new(id[i], "a");
    assert_int_equal(
        ASK(f, queue_dead_list(f->queue, NULL, NULL, 2, on_dead, NULL)),
        QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.dead[0].id, id[0]);
    memcpy(entry[0], got.dead[1].entry, sizeof(entry[0]));
    assert_int_equal(
        ASK(f, queue_dead_list(f->queue, entry[0], NULL, 10, on_dead, NULL)),
        QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.dead[0].id, id[2]);
    memcpy(entry[1], got.dead[0].entry, sizeof(entry[1]));
    assert_int_equal(
        ASK(f,
            queue_dead_list(f->queue, entry[0], entry[1], 10, on_dead, NULL)),
        QUEUE_OK);
    assert_int_equal(got.count, 1);
}

static void
groups_count_by_cause(void **state)
{
    char id[3][ID_SIZE];
    int two = 0;

    (void)state;
    bury_new(id[0], "prompt of 17 tokens");
    bury_new(id[1], "prompt of 23456 tokens");
    bury_new(id[2], "quite another thing");
    assert_int_equal(do_groups(f), QUEUE_OK);
    assert_int_equal(got.count, 2);
    two = got.groups[0].count == 2 ? 0 : 1;
    assert_int_equal(got.groups[two].count, 2);
    assert_string_equal(got.groups[two].sample_id, id[1]);
    assert_string_equal(got.groups[two].model, "claude-x");
    assert_int_equal(got.groups[two].error.status, 400);
    assert_true(got.groups[two].first_ms <= got.groups[two].last_ms);
    assert_int_equal(got.groups[1 - two].count, 1);
    audit(f);
    /* The sample goes, the group stays. */
    assert_int_equal(
        ASK(f, queue_discard(f->queue, id[1], 0, on_status, NULL)), QUEUE_OK);
    assert_int_equal(do_groups(f), QUEUE_OK);
    two = strcmp(got.groups[0].sample_id, id[2]) == 0 ? 1 : 0;
    assert_int_equal(got.groups[two].count, 1);
    assert_string_equal(got.groups[two].sample_id, "");
    assert_int_equal(
        ASK(f, queue_discard(f->queue, id[0], 0, on_status, NULL)), QUEUE_OK);
    assert_int_equal(do_groups(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    audit(f);
}

static void
replay_twice_is_once(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    bury_new(id, "a");
    assert_int_equal(do_replay(f, id, 1), QUEUE_ABSENT);
    assert_int_equal(do_replay(f, id, 0), QUEUE_OK);
    assert_int_equal(got.version, 51);
    assert_int_equal(do_replay(f, id, 0), QUEUE_ABSENT);
    audit(f);
    assert_int_equal(do_dead_list(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(do_get(f, id), QUEUE_OK);
    assert_int_equal(got.view.generation, 1);
    assert_int_equal(got.view.state, JOB_QUEUED);
    assert_int_equal(got.view.version, 51);
    assert_int_equal(got.view.attempts, 0);
    /* The submit's resend still finds its job. */
    {
        struct job_meta meta;
        make_meta(&meta);
        assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_DUPLICATE);
        assert_int_equal(got.enqueued.generation, 1);
    }
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_true(got.claims[0].first);
    assert_string_equal(got.body, "body");
    /* A late finish of the old generation has no effect. */
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_NOT_OWNER);
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(do_bury(f, &owner, 1, "again"), QUEUE_OK);
    audit_empty(f);
    /* The old row's request is not needed any more. */
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.chores[0].kind, QUEUE_CHORE_FORGET_REQUEST);
    assert_string_equal(got.chores[0].id, id);
    assert_int_equal(got.chores[0].generation, 0);
    assert_int_equal(do_stats(f), QUEUE_OK);
    assert_int_equal(got.stats.submitted_total, 1);
    assert_int_equal(got.stats.dead, 1);
}

static void
on_replayed(void *arg, enum queue_status status, uint64_t version)
{
    got.version = version;
    on_status(arg, status);
}

static void
replay_of_a_large_request_wants_its_parts(void **state)
{
    struct job_result result = {.version = 50, .state = JOB_FAILED};
    char id[ID_SIZE];

    (void)state;
    bury_new(id, "a");
    memcpy(result.id, id, sizeof(result.id));
    make_meta(&result.meta);
    result.meta.parts = 1;
    assert_int_equal(
        ASK(f, queue_replay(f->queue, &result, SLICE_NULL, on_replayed, NULL)),
        QUEUE_BROKEN);
    assert_int_equal(
        ASK(f, queue_stage(f->queue, id, 0, slice_of("part"), on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_replay(f->queue, &result, SLICE_NULL, on_replayed, NULL)),
        QUEUE_OK);
    assert_int_equal(fixture_int(f, "EXISTS {}staging"), 0);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 1);
    assert_int_equal(got.claims[0].meta.parts, 1);
    audit(f);
}

static void
replay_keeps_the_idempotency_record(void **state)
{
    struct job_result result = {.version = 50, .state = JOB_FAILED};
    struct queue_owner owner;
    char key[] = "k";
    char id[ID_SIZE];

    (void)state;
    make_meta(&result.meta);
    result.meta.idempotency_key = key;
    result.dead = true;
    id_make(JOB_ID_PREFIX, id);
    memcpy(result.id, id, sizeof(result.id));
    assert_int_equal(do_enqueue(f, id, &result.meta, &no_limits), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_bury(f, &owner, 0, "a"), QUEUE_OK);
    assert_true(fixture_int(f, "TTL {}idem:default:k") > 0);
    assert_int_equal(ASK(f,
                         queue_replay(f->queue, &result, slice_of("body"),
                             on_replayed, NULL)),
        QUEUE_OK);
    assert_int_equal(fixture_int(f, "TTL {}idem:default:k"), -1);
    audit(f);
}

static void
discard_is_once_and_leaves_a_chore(void **state)
{
    char id[ID_SIZE];

    (void)state;
    bury_new(id, "a");
    assert_int_equal(
        ASK(f, queue_discard(f->queue, id, 4, on_status, NULL)), QUEUE_ABSENT);
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(
        ASK(f, queue_discard(f->queue, id, 0, on_status, NULL)), QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_discard(f->queue, id, 0, on_status, NULL)), QUEUE_ABSENT);
    assert_int_equal(do_replay(f, id, 0), QUEUE_ABSENT);
    audit_empty(f);
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.chores[0].kind, QUEUE_CHORE_DISCARD);
    {
        struct queue_chore chore = got.chores[0];
        for (int i = 0; i < 2; i++)
            assert_int_equal(
                ASK(f, queue_chore_done(f->queue, &chore, on_status, NULL)),
                QUEUE_OK);
    }
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
}

static void
deletion_is_for_ended_jobs_and_takes_the_dead_letter_along(void **state)
{
    char id[ID_SIZE];
    char dead[ID_SIZE];

    (void)state;
    bury_new(dead, "a");
    do_submit(f, id);
    assert_int_equal(
        ASK(f, queue_delete(f->queue, id, on_status, NULL)), QUEUE_CONFLICT);
    assert_int_equal(ASK(f, queue_is_deleted(f->queue, dead, on_status, NULL)),
        QUEUE_ABSENT);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            ASK(f, queue_delete(f->queue, dead, on_status, NULL)), QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_is_deleted(f->queue, dead, on_status, NULL)), QUEUE_OK);
    assert_int_equal(do_dead_list(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(do_replay(f, dead, 0), QUEUE_ABSENT);
    assert_int_equal(do_chores(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.chores[0].kind, QUEUE_CHORE_DELETE);
    assert_string_equal(got.chores[0].id, dead);
    {
        struct queue_chore chore = got.chores[0];
        assert_int_equal(
            ASK(f, queue_chore_done(f->queue, &chore, on_status, NULL)),
            QUEUE_OK);
    }
    assert_int_equal(ASK(f, queue_is_deleted(f->queue, dead, on_status, NULL)),
        QUEUE_ABSENT);
    audit(f);
}

static void
on_operations(void *arg, enum queue_status status,
    const struct slice *documents, size_t count)
{
    (void)arg;
    got.count = count;
    if (count > 0)
        (void)text_copy(got.text, sizeof(got.text), documents[0]);
    on_status(NULL, status);
}

static void
operations_are_kept_and_locked(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(ASK(f,
                             queue_operation_put(f->queue, "op_1",
                                 slice_of("{\"a\":1}"), on_status, NULL)),
            QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_operation_list(f->queue, on_operations, NULL)), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.text, "{\"a\":1}");
    assert_int_equal(ASK(f,
                         queue_operation_lock(
                             f->queue, "op_1", "s1", 60000, on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(ASK(f,
                         queue_operation_lock(
                             f->queue, "op_1", "s2", 60000, on_status, NULL)),
        QUEUE_CONFLICT);
    assert_int_equal(
        ASK(f,
            queue_operation_put(f->queue, "op_1", SLICE_NULL, on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_operation_list(f->queue, on_operations, NULL)), QUEUE_OK);
    assert_int_equal(got.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buried_job_is_one_dead_letter_with_its_reason),
        TEST(list_pages_from_old_to_new_within_a_snapshot),
        TEST(groups_count_by_cause),
        TEST(replay_twice_is_once),
        TEST(replay_of_a_large_request_wants_its_parts),
        TEST(replay_keeps_the_idempotency_record),
        TEST(discard_is_once_and_leaves_a_chore),
        TEST(deletion_is_for_ended_jobs_and_takes_the_dead_letter_along),
        TEST(operations_are_kept_and_locked),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
