/* Death, takeover and lost answers against a real Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/net/redis.h"
#include "queue_suite.h"

static void
dead_workers_jobs_are_taken_over(void **state)
{
    struct queue_owner old;
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    assert_int_equal(got.beats, 1);
    old = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_reap(f, "w1", 1), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    assert_true(got.left);
    audit(f);
    assert_int_equal(do_reap(f, "w1", 1), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    assert_false(got.left);
    assert_int_equal(do_reap(f, "w1", 1), QUEUE_OK);
    assert_int_equal(fixture_int(f, "HEXISTS {}beat w1"), 0);
    assert_int_equal(do_finish(f, &old, JOB_SUCCEEDED), QUEUE_NOT_OWNER);
    owner = do_own(f, "w2", QUEUE_X, id);
    assert_int_equal(got.claims[0].takeovers, 1);
    assert_int_equal(got.claims[0].attempts, 0);
    assert_false(got.claims[0].suspect);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    audit_empty(f);
}

static void
woken_zombie_learns_that_it_is_dead(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    (void)do_own(f, "w1", QUEUE_X, id);
    die_and_reap(f, "w1");
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_NOT_OWNER);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 0);
    assert_int_equal(got.status, QUEUE_NOT_OWNER);
    audit(f);
    (void)do_own(f, "w2", QUEUE_X, id);
}

static void
moved_counter_prevents_the_reap(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    assert_int_equal(do_reap(f, "w1", 1), QUEUE_NOT_OWNER);
    assert_int_equal(got.moved, 0);
    assert_int_equal(
        ASK(f, queue_check(f->queue, &owner, on_status, NULL)), QUEUE_OK);
    audit(f);
}

static void
worker_that_claimed_before_its_first_beat_can_be_reaped(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    (void)do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_beat(f, "w2", "w1"), QUEUE_OK);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.beats, 0);
    die_and_reap(f, "w1");
    (void)do_own(f, "w2", QUEUE_X, id);
}

static void
orderly_leaver_hands_back_without_a_takeover(void **state)
{
    char id[2][ID_SIZE];

    (void)state;
    do_submit(f, id[0]);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    (void)do_own(f, "w1", QUEUE_X, id[0]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            ASK(f, queue_leave(f->queue, "w1", on_status, NULL)), QUEUE_OK);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_NOT_OWNER);
    do_submit(f, id[1]);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 0);
    assert_int_equal(got.status, QUEUE_NOT_OWNER);
    assert_int_equal(do_beat(f, "w2", "w1"), QUEUE_OK);
    assert_true(got.gone);
    die_and_reap(f, "w1");
    (void)do_own(f, "w2", QUEUE_X, id[0]);
    assert_int_equal(got.claims[0].takeovers, 0);
    assert_int_equal(got.claims[0].strikes, 0);
    (void)do_own(f, "w2", QUEUE_X, id[1]);
    audit(f);
    assert_int_equal(
        ASK(f, queue_leave(f->queue, "unknown", on_status, NULL)), QUEUE_OK);
    assert_int_equal(fixture_int(f, "HLEN {}beat"), 2); /* w2, reaper */
}

static void
reap_moves_a_hundred_at_a_time(void **state)
{
    unsigned moved = 0;
    int calls = 0;

    (void)state;
    for (int i = 0; i < 250; i++) {
        char id[ID_SIZE];
        do_submit(f, id);
    }
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 256, false), 250);
    assert_int_equal(do_beat(f, "w2", "w1"), QUEUE_OK);
    do {
        assert_int_equal(do_reap(f, "w1", 0), QUEUE_OK);
        moved += got.moved;
        calls++;
        audit(f);
    } while (got.left);
    assert_int_equal(moved, 250);
    assert_int_equal(calls, 4);
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 256, false), 250);
    assert_int_equal(fixture_int(f, "XLEN {}q:standard:x"), 0);
}

static void
killer_is_buried_and_its_neighbours_are_not(void **state)
{
    struct queue_owner owner;
    char killer[ID_SIZE];
    char good[ID_SIZE];
    char name[16];

    (void)state;
    do_submit(f, killer);
    do_submit(f, good);
    /* Twice they die together: nobody knows who did it. */
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "w%d", i);
        assert_int_equal(do_claim(f, name, QUEUE_X, 5, true), 2);
        assert_int_equal(got.claims[0].takeovers, i);
        die_and_reap(f, name);
        audit(f);
    }
    /* From now on each worker holds one of them at most. */
    assert_int_equal(do_claim(f, "none", QUEUE_X, 5, false), 0);
    owner = do_own(f, "w2", QUEUE_X, killer);
    assert_true(got.claims[0].suspect);
    assert_int_equal(got.claims[0].takeovers, 2);
    assert_int_equal(got.claims[0].strikes, 0);
    /* The good one runs alone and ends. */
    {
        struct queue_owner other = do_own(f, "w3", QUEUE_X, good);
        assert_int_equal(got.claims[0].strikes, 0);
        assert_int_equal(do_finish(f, &other, JOB_SUCCEEDED), QUEUE_OK);
    }
    for (int strike = 1; strike <= 3; strike++) {
        die_and_reap(f, owner.consumer);
        audit(f);
        if (strike == 3)
            break;
        snprintf(name, sizeof(name), "k%d", strike);
        owner = do_own(f, name, QUEUE_X, killer);
        assert_int_equal(got.claims[0].strikes, strike);
        assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_RUN);
    }
    assert_int_equal(do_claim(f, "w9", QUEUE_X, 5, true), 0);
    owner = do_own(f, "w9", "closing", killer);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_CRASH);
    assert_int_equal(do_bury(f, &owner, 0, "crash loop"), QUEUE_OK);
    audit_empty(f);
}

static void
suspect_stays_a_suspect_when_its_worker_leaves(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    fixture_do(f, "HSET {}job:%s tko 1", id);
    (void)do_own(f, "w1", QUEUE_X, id);
    die_and_reap(f, "w1");
    (void)do_own(f, "w2", QUEUE_X, id);
    assert_true(got.claims[0].suspect);
    assert_int_equal(
        ASK(f, queue_leave(f->queue, "w2", on_status, NULL)), QUEUE_OK);
    die_and_reap(f, "w2");
    (void)do_own(f, "w3", QUEUE_X, id);
    assert_true(got.claims[0].suspect);
    assert_int_equal(got.claims[0].strikes, 0);
    assert_int_equal(got.claims[0].takeovers, 2);
    audit(f);
}

static void
only_one_suspect_is_given_at_a_time(void **state)
{
    char id[3][ID_SIZE];

    (void)state;
    for (int i = 0; i < 3; i++) {
        do_submit(f, id[i]);
        if (i < 2)
            fixture_do(f, "HSET {}job:%s tko 1", id[i]);
    }
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 5, true), 3);
    die_and_reap(f, "w1");
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 5, true), 2);
    assert_true(got.claims[0].suspect);
    assert_false(got.claims[1].suspect);
    assert_string_equal(got.claims[1].id, id[2]);
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 5, false), 0);
}

static void
leftover_entries_are_cleared_away(void **state)
{
    char id[2][ID_SIZE];

    (void)state;
    do_submit(f, id[0]);
    do_submit(f, id[1]);
    fixture_do(f, "XADD {}q:standard:x * i job_nobody");
    fixture_do(f, "XADD {}q:standard:x * i %s", id[0]); /* a second entry */
    fixture_do(f, "XADD {}q:standard:x:again * i %s", id[1]);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 10, false), 2);
    audit(f);
    /* Pending ones as well. */
    fixture_do(f, "XADD {}q:standard:x * i job_nobody");
    fixture_do(f, "XREADGROUP GROUP w w1 COUNT 1 STREAMS {}q:standard:x >");
    die_and_reap(f, "w1");
    audit(f);
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 10, false), 2);
}

static void
jobs_survive_the_death_of_redis(void **state)
{
    struct queue_owner owner;
    char id[4][ID_SIZE];

    (void)state;
    for (int i = 0; i < 4; i++)
        do_submit(f, id[i]);
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[1]);
    assert_int_equal(do_cancel(f, id[2]), QUEUE_OK);
    fixture_kill_server(f);
    fixture_start_server(f);
    while (redis_get_state(f->redis) == REDIS_READY)
        event_base_loop(f->base, EVLOOP_ONCE);
    fixture_wait_ready(f);
    audit(f);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    owner = do_own(f, "w1", "closing", id[2]);
    assert_int_equal(do_finish(f, &owner, JOB_CANCELED), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[3]);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    fixture_do(f, "ZADD {}retry 1 %s", id[0]);
    assert_int_equal(do_tick(f), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(got.claims[0].attempts, 1);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    audit_empty(f);
}

/* --- lost answers ------------------------------------------------------ */

/* Sends with the server frozen until the connection is given up; the server
 * then carries it out all the same. */
#define LOSE(call) \
    do { \
        fixture_freeze_server(f, true); \
        assert_int_equal(ASK(f, (call)), QUEUE_UNKNOWN); \
        fixture_freeze_server(f, false); \
        fixture_wait_ready(f); \
    } while (0)

static void
on_claims_lost(void *arg, enum queue_status status, struct queue_claim *claims,
    size_t count)
{
    (void)claims;
    assert_int_equal(count, 0);
    on_status(arg, status);
}

static struct fixture *
impatient(void)
{
    struct redis_options options = {.url = f->url, .command_timeout_ms = 150};

    queue_free(f->queue);
    redis_free(f->redis);
    f->redis = redis_new(f->base, &options);
    f->queue = queue_new(f->base, f->redis);
    fixture_wait_ready(f);
    return f;
}

static void
jobs_of_a_lost_claim_come_back(void **state)
{
    struct queue_owner kept;
    struct queue_owner owner;
    char id[3][ID_SIZE];

    (void)state;
    impatient();
    for (int i = 0; i < 3; i++)
        do_submit(f, id[i]);
    kept = do_own(f, "w1", QUEUE_X, id[0]);
    LOSE(queue_claim(
        f->queue, "w1", QUEUE_X, 2, false, NULL, on_claims_lost, NULL));
    /* The server did it: they are pending for w1, which does not know. */
    assert_int_equal(fixture_int(f, "XPENDING {}q:standard:x w"), 3);
    /* The next claim hands them back first and then gets them. */
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 1);
    assert_string_equal(got.claims[0].id, id[1]);
    assert_int_equal(got.claims[0].takeovers, 0);
    assert_false(got.claims[0].first);
    owner.id = id[1];
    owner.consumer = "w1";
    owner.fence = got.claims[0].fence;
    audit(f);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    /* What it had before is untouched. */
    assert_int_equal(do_finish(f, &kept, JOB_SUCCEEDED), QUEUE_OK);
    owner = do_own(f, "w2", QUEUE_X, id[2]);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    audit_empty(f);
}

/* 150 that are known and 250 that are not: more than a slice of each. */
static void
many_lost_jobs_come_back_in_slices(void **state)
{
    char id[ID_SIZE];

    (void)state;
    impatient();
    for (int i = 0; i < 401; i++)
        do_submit(f, id);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 150, false), 150);
    LOSE(queue_claim(
        f->queue, "w1", QUEUE_X, 250, false, NULL, on_claims_lost, NULL));
    assert_int_equal(fixture_int(f, "XPENDING {}q:standard:x w"), 400);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 250, false), 250);
    assert_true(fixture_int(f, "HGET {}turn w1") >= 3);
    assert_int_equal(fixture_int(f, "XPENDING {}q:standard:x w"), 150);
    assert_int_equal(fixture_int(f, "XPENDING {}q:standard:x:again w"), 250);
    assert_int_equal(do_claim(f, "w2", QUEUE_X, 5, false), 1);
    audit(f);
}

static void
beat_brings_a_lost_claim_back_too(void **state)
{
    char id[ID_SIZE];
    int64_t until = clock_mono_ms() + 5000;

    (void)state;
    impatient();
    do_submit(f, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    LOSE(queue_claim(
        f->queue, "w1", QUEUE_X, 1, false, NULL, on_claims_lost, NULL));
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    while (do_claim(f, "w2", QUEUE_X, 1, false) == 0)
        assert_true(clock_mono_ms() < until);
    assert_string_equal(got.claims[0].id, id);
    audit(f);
}

static void
claim_of_an_older_turn_is_refused(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    fixture_do(f, "HSET {}turn w1 1");
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 0);
    assert_int_equal(got.status, QUEUE_UNKNOWN);
    assert_int_equal(do_get(f, id), QUEUE_OK);
    assert_int_equal(got.view.state, JOB_QUEUED);
}

static void
every_other_script_can_be_sent_again_after_a_lost_answer(void **state)
{
    struct queue_owner owner;
    struct job_result result = {.state = JOB_SUCCEEDED, .version = 9};
    struct job_error error = {.message = "later"};
    char id[ID_SIZE];

    (void)state;
    impatient();
    do_submit(f, id);
    /* The server must know the scripts, else a lost call does nothing. */
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_release(f, &owner), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_retry(f, &owner, 0, 0), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    LOSE(queue_park(f->queue, &owner, slice_of("a"), on_status, NULL));
    assert_int_equal(
        ASK(f, queue_park(f->queue, &owner, slice_of("a"), on_status, NULL)),
        QUEUE_OK);
    fixture_do(f, "HDEL {}job:%s parked", id);
    fixture_do(f, "DEL {}parked:%s", id);
    LOSE(queue_retry(f->queue, &owner, 0, 1, &error, on_status, NULL));
    assert_int_equal(do_retry(f, &owner, 0, 1), QUEUE_NOT_OWNER);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(got.claims[0].attempts, 1);
    LOSE(queue_release(f->queue, &owner, on_status, NULL));
    assert_int_equal(do_release(f, &owner), QUEUE_NOT_OWNER);
    owner = do_own(f, "w1", QUEUE_X, id);
    LOSE(queue_finish(f->queue, &owner, &result, on_status, NULL));
    assert_int_equal(
        ASK(f, queue_finish(f->queue, &owner, &result, on_status, NULL)),
        QUEUE_OK);
    audit_empty(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dead_workers_jobs_are_taken_over),
        TEST(woken_zombie_learns_that_it_is_dead),
        TEST(moved_counter_prevents_the_reap),
        TEST(worker_that_claimed_before_its_first_beat_can_be_reaped),
        TEST(orderly_leaver_hands_back_without_a_takeover),
        TEST(reap_moves_a_hundred_at_a_time),
        TEST(killer_is_buried_and_its_neighbours_are_not),
        TEST(suspect_stays_a_suspect_when_its_worker_leaves),
        TEST(only_one_suspect_is_given_at_a_time),
        TEST(leftover_entries_are_cleared_away),
        TEST(jobs_survive_the_death_of_redis),
        TEST(claim_of_an_older_turn_is_refused),
        TEST(jobs_of_a_lost_claim_come_back),
        TEST(many_lost_jobs_come_back_in_slices),
        TEST(beat_brings_a_lost_claim_back_too),
        TEST(every_other_script_can_be_sent_again_after_a_lost_answer),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
