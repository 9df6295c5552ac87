/* Owning, retrying, canceling, expiring, parking against a real Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_suite.h"

static void
end(const struct queue_owner *owner, enum job_state state)
{
    assert_int_equal(do_finish(f, owner, state), QUEUE_OK);
    audit_empty(f);
}

/* As if the deadline had passed. */
static void
pass_deadline(const char *id)
{
    fixture_do(f, "HSET {}job:%s dl 1", id);
    fixture_do(f, "ZADD {}due 1 %s", id);
}

static void
make_due(const char *id)
{
    fixture_do(f, "ZADD {}retry 1 %s", id);
}

static void
nobody_but_the_owner_has_any_effect(void **state)
{
    struct queue_owner owner;
    struct queue_owner wrong[3];
    char other[ID_SIZE];
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    do_submit(f, other);
    owner = do_own(f, "w1", QUEUE_X, id);
    (void)do_own(f, "w1", QUEUE_X, other);
    wrong[0] = wrong[1] = wrong[2] = owner;
    wrong[0].consumer = "w2";
    wrong[1].fence = owner.fence + 1;
    wrong[2].id = other;
    for (int i = 0; i < 3; i++) {
        char before[600];
        (void)text_copy(before, sizeof(before),
            slice_of(fixture_do(f, "HGETALL {}job:%s", id)));
        assert_int_equal(
            do_finish(f, &wrong[i], JOB_SUCCEEDED), QUEUE_NOT_OWNER);
        assert_int_equal(do_bury(f, &wrong[i], 0, "x"), QUEUE_NOT_OWNER);
        assert_int_equal(do_retry(f, &wrong[i], 0, 1), QUEUE_NOT_OWNER);
        assert_int_equal(do_release(f, &wrong[i]), QUEUE_NOT_OWNER);
        assert_int_equal(ASK(f,
                             queue_park(f->queue, &wrong[i], slice_of("x"),
                                 on_status, NULL)),
            QUEUE_NOT_OWNER);
        assert_int_equal(
            ASK(f, queue_check(f->queue, &wrong[i], on_status, NULL)),
            QUEUE_NOT_OWNER);
        assert_memory_equal(
            before, fixture_do(f, "HGETALL {}job:%s", id), strlen(before));
    }
    audit(f);
    assert_int_equal(
        ASK(f, queue_check(f->queue, &owner, on_status, NULL)), QUEUE_OK);
}

static void
finish_sent_twice_is_ok_both_times(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    end(&owner, JOB_SUCCEEDED);
    end(&owner, JOB_SUCCEEDED);
    assert_int_equal(ASK(f, queue_check(f->queue, &owner, on_status, NULL)),
        QUEUE_NOT_OWNER);
    assert_string_equal(tombstone(f, id), "0 50 succeeded");
    /* The versions that readers saw were all lower. */
    assert_true(got.claims[0].version < 50);
}

static void
retry_waits_in_redis_until_it_is_due(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    /* An hour from the submit, whatever clock the submitter has. */
    assert_in_range(got.claims[0].left_ms, 3590000, 3600000);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    audit(f);
    assert_int_equal(do_retry(f, &owner, 60000, 2), QUEUE_NOT_OWNER);
    assert_int_equal(do_get(f, id), QUEUE_OK);
    assert_int_equal(got.view.state, JOB_RETRYING);
    assert_int_equal(got.view.attempts, 1);
    assert_int_equal(got.view.version, 3);
    assert_true(got.view.next_attempt_ms > got.view.started_ms + 59000);
    assert_string_equal(got.view.error.message, "later");
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, true), 0);
    make_due(id);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    audit(f);
    owner = do_own(f, "w2", QUEUE_X, id);
    assert_int_equal(got.claims[0].attempts, 1);
    assert_false(got.claims[0].first);
    assert_string_equal(got.claims[0].error.message, "later");
    assert_int_equal(got.claims[0].takeovers, 0);
    end(&owner, JOB_SUCCEEDED);
}

static void
retry_without_delay_is_first_in_line(void **state)
{
    struct queue_owner owner;
    char id[2][ID_SIZE];

    (void)state;
    do_submit(f, id[0]);
    do_submit(f, id[1]);
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_retry(f, &owner, 0, 1), QUEUE_OK);
    audit(f);
    assert_int_equal(do_get(f, id[0]), QUEUE_OK);
    assert_int_equal(got.view.ahead, 0);
    (void)do_own(f, "w1", QUEUE_X, id[0]);
}

static void
release_hands_back_at_once_and_counts_nothing(void **state)
{
    struct queue_owner owner;
    struct queue_owner old;
    char id[2][ID_SIZE];

    (void)state;
    do_submit(f, id[0]);
    do_submit(f, id[1]);
    old = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_release(f, &old), QUEUE_OK);
    assert_int_equal(do_release(f, &old), QUEUE_NOT_OWNER);
    audit(f);
    owner = do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(got.claims[0].takeovers, 0);
    assert_int_equal(got.claims[0].attempts, 0);
    assert_false(got.claims[0].first);
    assert_true(owner.fence > old.fence);
    assert_int_equal(do_finish(f, &old, JOB_FAILED), QUEUE_NOT_OWNER);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id[1]);
    end(&owner, JOB_SUCCEEDED);
}

/* --- cancel ------------------------------------------------------------ */

static void
close_as(const char *id, enum queue_claim_kind kind, enum job_state state)
{
    struct queue_owner owner;

    audit(f);
    assert_int_equal(do_claim(f, "w9", QUEUE_X, 5, true), 0);
    owner = do_own(f, "w9", "closing", id);
    assert_int_equal(got.claims[0].kind, kind);
    audit(f);
    end(&owner, state);
}

static void
cancel_of_a_queued_job_needs_no_call(void **state)
{
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    assert_int_equal(do_cancel(f, id), QUEUE_OK);
    assert_int_equal(got.version, 2);
    assert_int_equal(do_cancel(f, id), QUEUE_OK);
    assert_int_equal(got.version, 2);
    assert_int_equal(do_get(f, id), QUEUE_OK);
    assert_true(got.view.cancel_requested);
    assert_int_equal(got.view.state, JOB_QUEUED);
    close_as(id, QUEUE_CLAIM_CANCEL, JOB_CANCELED);
    assert_int_equal(do_cancel(f, id), QUEUE_ABSENT);
}

static void
cancel_of_a_retrying_job_needs_no_call(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    assert_int_equal(do_cancel(f, id), QUEUE_OK);
    close_as(id, QUEUE_CLAIM_CANCEL, JOB_CANCELED);
}

static void
cancel_of_a_running_job_reaches_its_worker(void **state)
{
    struct queue_owner owner;
    uint64_t seen = 0;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    seen = got.claims[0].version;
    assert_int_equal(do_cancel(f, id), QUEUE_OK);
    /* The row takes claim.version + 1: still another version. */
    assert_true(got.version <= seen);
    audit(f);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    assert_string_equal(got.text, id);
    assert_int_equal(do_beat(f, "w2", "w1"), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    end(&owner, JOB_CANCELED);
    assert_int_equal(do_beat(f, "w1", "w1"), QUEUE_OK);
    assert_int_equal(got.moved, 0);
}

static void
canceled_job_that_comes_back_is_not_run_again(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    for (int way = 0; way < 3; way++) {
        fixture_clear(f);
        do_submit(f, id);
        owner = do_own(f, "w1", QUEUE_X, id);
        assert_int_equal(do_cancel(f, id), QUEUE_OK);
        if (way == 0)
            assert_int_equal(do_release(f, &owner), QUEUE_OK);
        else if (way == 1)
            assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
        else
            die_and_reap(f, "w1");
        close_as(id, QUEUE_CLAIM_CANCEL, JOB_CANCELED);
    }
}

/* --- deadline ---------------------------------------------------------- */

static void
waiting_job_past_its_deadline_is_closed(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    pass_deadline(id);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    close_as(id, QUEUE_CLAIM_EXPIRE, JOB_EXPIRED);

    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    pass_deadline(id);
    assert_int_equal(do_tick(f), QUEUE_OK);
    close_as(id, QUEUE_CLAIM_EXPIRE, JOB_EXPIRED);
}

static void
claim_of_a_job_past_its_deadline_is_no_run(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    pass_deadline(id);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_EXPIRE);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    audit(f);
    end(&owner, JOB_EXPIRED);
}

static void
running_job_past_its_deadline_keeps_its_chance(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    pass_deadline(id);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    assert_int_equal(
        ASK(f, queue_check(f->queue, &owner, on_status, NULL)), QUEUE_OK);
    /* If it does not make it, it is closed and not tried again. */
    assert_int_equal(do_retry(f, &owner, 60000, 1), QUEUE_OK);
    close_as(id, QUEUE_CLAIM_EXPIRE, JOB_EXPIRED);
}

/* An id that was made so long ago. */
static void
make_old_id(char id[ID_SIZE], int64_t age_ms)
{
    char hex[16];
    int64_t ms = 0;

    id_make(JOB_ID_PREFIX, id);
    ms = id_wall_ms(slice_of(id)) - age_ms;
    snprintf(hex, sizeof(hex), "%012llx", (unsigned long long)ms);
    memcpy(id + 4, hex, 8);
    memcpy(id + 13, hex + 8, 4);
}

static void
far_deadline_is_indexed_when_the_job_is_a_day_old(void **state)
{
    static const int64_t hour = 3600000;
    struct job_meta meta;
    char old[ID_SIZE];
    char older[ID_SIZE];
    char fresh[ID_SIZE];
    char soon[ID_SIZE];

    (void)state;
    make_meta(&meta);
    meta.expires_ms = meta.created_ms + 72 * hour;
    make_old_id(old, 25 * hour);
    make_old_id(older, 26 * hour);
    make_old_id(fresh, 23 * hour);
    id_make(JOB_ID_PREFIX, soon);
    assert_int_equal(do_enqueue(f, old, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(do_enqueue(f, fresh, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}due"), 0);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 0);
    assert_int_equal(fixture_int(f, "ZCARD {}due"), 1);
    assert_int_equal(fixture_int(f, "ZSCORE {}due %s", old),
        fixture_int(f, "HGET {}job:%s dl", old));
    assert_string_equal(fixture_do(f, "GET {}swept"), old);
    /* The sweep has passed this one's place already. */
    assert_int_equal(do_enqueue(f, older, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}due"), 2);
    meta.expires_ms = meta.created_ms + 24 * hour - 1;
    assert_int_equal(do_enqueue(f, soon, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}due"), 3);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(fixture_int(f, "ZCARD {}due"), 3);
    /* A day-old job whose deadline has passed goes in the same tick. */
    fixture_do(f, "DEL {}swept {}due");
    fixture_do(f, "HSET {}job:%s dl 1", old);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.moved, 1);
    (void)do_own(f, "w1", "closing", old);
    assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_EXPIRE);
    audit(f);
}

/* --- parked answers ---------------------------------------------------- */

static void
on_part(void *arg, enum queue_status status, struct slice bytes)
{
    (void)arg;
    (void)text_copy(got.body, sizeof(got.body), bytes);
    on_status(NULL, status);
}

static void
parked_answer_is_found_by_the_next_owner(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    for (int way = 0; way < 2; way++) {
        fixture_clear(f);
        do_submit(f, id);
        owner = do_own(f, "w1", QUEUE_X, id);
        for (int twice = 0; twice < 2; twice++)
            assert_int_equal(ASK(f,
                                 queue_park(f->queue, &owner,
                                     slice_of("answer"), on_status, NULL)),
                QUEUE_OK);
        audit(f);
        if (way == 0)
            assert_int_equal(do_release(f, &owner), QUEUE_OK);
        else
            die_and_reap(f, "w1");
        audit(f);
        /* A cancel or a deadline now is too late: the answer is there. */
        assert_int_equal(do_cancel(f, id), QUEUE_OK);
        pass_deadline(id);
        assert_int_equal(do_tick(f), QUEUE_OK);
        owner = do_own(f, "w2", "closing", id);
        assert_int_equal(got.claims[0].kind, QUEUE_CLAIM_PARKED);
        assert_int_equal(got.claims[0].takeovers, 0);
        assert_int_equal(
            ASK(f, queue_parked_get(f->queue, id, on_part, NULL)), QUEUE_OK);
        assert_string_equal(got.body, "answer");
        end(&owner, JOB_SUCCEEDED);
        assert_int_equal(ASK(f, queue_parked_get(f->queue, id, on_part, NULL)),
            QUEUE_ABSENT);
    }
}

/* --- holds, locks, notices --------------------------------------------- */

static enum queue_status
do_hold(const char *kind, int64_t for_ms, bool force)
{
    return ASK(f,
        queue_hold_set(f->queue, "bucket:main/x", kind, for_ms, "a|b", force,
            on_status, NULL));
}

static void
longer_hold_is_not_shortened_unless_forced(void **state)
{
    uint64_t epoch = 0;

    (void)state;
    assert_int_equal(do_hold("open", 60000, false), QUEUE_OK);
    assert_int_equal(do_hold("limited", 1000, false), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.holds[0].scope, "bucket:main/x");
    assert_string_equal(got.holds[0].kind, "open");
    assert_string_equal(got.holds[0].reason, "a|b");
    assert_in_range(got.holds[0].left_ms, 50000, 60000);
    epoch = got.holds[0].epoch;
    assert_int_equal(do_hold("limited", 1000, true), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_string_equal(got.holds[0].kind, "limited");
    assert_true(got.holds[0].epoch > epoch);
    assert_int_equal(do_hold("paused", -1, false), QUEUE_OK);
    assert_int_equal(do_hold("open", 3600000, false), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_string_equal(got.holds[0].kind, "paused");
    assert_int_equal(got.holds[0].left_ms, -1);
    assert_int_equal(
        ASK(f, queue_hold_clear(f->queue, "bucket:main/x", on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(
        ASK(f, queue_hold_clear(f->queue, "bucket:main/x", on_status, NULL)),
        QUEUE_ABSENT);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
}

static void
limit_passes_with_its_time_and_a_breaker_waits_for_its_probe(void **state)
{
    (void)state;
    assert_int_equal(do_hold("limited", 0, false), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(fixture_int(f, "HLEN {}hold"), 0);
    assert_int_equal(do_hold("open", 0, false), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.holds[0].left_ms, 0);
}

static enum queue_status
probe(const char *consumer)
{
    return ASK(f,
        queue_probe(
            f->queue, "bucket:main/x", consumer, 60000, on_status, NULL));
}

static void
one_worker_has_the_probe(void **state)
{
    (void)state;
    assert_int_equal(probe("w1"), QUEUE_OK);
    assert_int_equal(probe("w2"), QUEUE_CONFLICT);
    assert_int_equal(probe("w1"), QUEUE_OK);
    assert_in_range(fixture_int(f, "PTTL {}probe:bucket:main/x"), 50000, 60000);
    fixture_do(f, "DEL {}probe:bucket:main/x");
    assert_int_equal(probe("w2"), QUEUE_OK);
}

static unsigned notices[QUEUE_NOTICE_GAP + 1];
static bool noticed;

static void
on_notice(void *arg, enum queue_notice notice)
{
    (void)arg;
    notices[notice]++;
    noticed = true;
}

static void
wait_notice(enum queue_notice notice)
{
    noticed = false;
    while (notices[notice] == 0) {
        noticed = false;
        fixture_wait(f, &noticed);
    }
    memset(notices, 0, sizeof(notices));
}

static void
workers_hear_of_work_holds_and_cancels(void **state)
{
    char id[2][ID_SIZE];

    (void)state;
    memset(notices, 0, sizeof(notices));
    queue_listen(f->queue, on_notice, NULL);
    wait_notice(QUEUE_NOTICE_GAP); /* after the subscription */
    do_submit(f, id[0]);
    (void)do_own(f, "w1", QUEUE_X, id[0]);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 0);
    assert_int_equal(notices[QUEUE_NOTICE_WAKE], 0);
    do_submit(f, id[1]); /* the queue was found empty before */
    wait_notice(QUEUE_NOTICE_WAKE);
    assert_int_equal(do_cancel(f, id[0]), QUEUE_OK);
    wait_notice(QUEUE_NOTICE_ABORT);
    assert_int_equal(do_hold("open", 60000, false), QUEUE_OK);
    wait_notice(QUEUE_NOTICE_HOLD);
    /* A queued job's cancel is work for `closing`. */
    assert_int_equal(do_claim(f, "w1", "closing", 1, false), 0);
    memset(notices, 0, sizeof(notices));
    assert_int_equal(do_cancel(f, id[1]), QUEUE_OK);
    wait_notice(QUEUE_NOTICE_WAKE);
}

static char changes[512];
static bool changed;

static void
on_change(void *arg, struct slice id, uint64_t version, enum job_state state)
{
    size_t len = strlen(changes);

    (void)arg;
    assert_int_equal(id.len, ID_UUID_LEN + 4);
    snprintf(changes + len, sizeof(changes) - len, "%d:%s ", (int)version,
        job_state_name(state));
    changed = state == JOB_SUCCEEDED;
}

static void
on_change_gap(void *arg)
{
    (void)arg;
    changed = true;
}

static void
watchers_see_every_change_in_order(void **state)
{
    struct queue_owner owner;
    char id[ID_SIZE];

    (void)state;
    changes[0] = '\0';
    changed = false;
    queue_watch(f->queue, on_change, on_change_gap, NULL);
    fixture_wait(f, &changed);
    changed = false;
    do_submit(f, id);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_retry(f, &owner, 0, 1), QUEUE_OK);
    owner = do_own(f, "w1", QUEUE_X, id);
    assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    fixture_wait(f, &changed);
    assert_string_equal(
        changes, "2:running 3:retrying 4:running 50:succeeded ");
    queue_watch_stop(f->queue);
}

static void
tick_names_the_queues(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];

    (void)state;
    do_submit(f, id);
    make_meta(&meta);
    meta.lane = JOB_LANE_BULK;
    memcpy(meta.fallback_chain, "y", 2);
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(do_tick(f), QUEUE_OK);
    assert_non_null(strstr(got.text, "standard:x;"));
    assert_non_null(strstr(got.text, "bulk:x>y;"));
    assert_int_equal(strlen(got.text), strlen("standard:x;bulk:x>y;"));
    assert_false(got.more);
    assert_int_equal(do_claim(f, "w1", "bulk:x>y", 1, false), 1);
}

/* Whoever submits names the chain; streams must not grow with his ideas. */
static void
very_many_chains_make_no_more_queues(void **state)
{
    struct job_meta meta;
    char id[ID_SIZE];
    char name[JOB_QUEUE_MAX + 1];

    (void)state;
    for (unsigned i = 0; i < 520; i++) {
        make_meta(&meta);
        snprintf(meta.fallback_chain, sizeof(meta.fallback_chain), "y>z%u", i);
        id_make(JOB_ID_PREFIX, id);
        assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
        job_meta_queue(&meta, name);
        assert_int_equal(do_claim(f, "w1", name, 1, false), i < 512 ? 1 : 0);
    }
    assert_int_equal(do_claim(f, "w1", "standard:x", 20, false), 8);
    /* One that is known goes on. */
    snprintf(meta.fallback_chain, sizeof(meta.fallback_chain), "y>z7");
    id_make(JOB_ID_PREFIX, id);
    assert_int_equal(do_enqueue(f, id, &meta, &no_limits), QUEUE_OK);
    assert_int_equal(do_claim(f, "w1", "standard:x>y>z7", 1, false), 1);
}

static void
unreadable_job_is_told_and_owned(void **state)
{
    struct queue_owner owner = {NULL, "w1", 0};
    char id[2][ID_SIZE];

    (void)state;
    do_submit(f, id[0]);
    do_submit(f, id[1]);
    fixture_do(f, "HSET {}job:%s meta {broken", id[0]);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 2, false), 2);
    assert_int_equal(got.status, QUEUE_BROKEN);
    assert_string_equal(got.claims[0].id, id[0]);
    assert_string_equal(got.claims[0].meta.sha256, "");
    assert_string_equal(got.claims[1].meta.model, "claude-x");
    owner.id = id[0];
    owner.fence = got.claims[0].fence;
    assert_int_equal(do_bury(f, &owner, 0, "unreadable"), QUEUE_OK);
    audit(f);
}

static void
on_large(void *arg, const struct queue_enqueued *result)
{
    on_status(arg, result->status);
}

static void
claim_stops_at_a_megabyte(void **state)
{
    static char large[QUEUE_INLINE_MAX];
    struct job_meta meta;

    (void)state;
    memset(large, 'x', sizeof(large));
    make_meta(&meta);
    meta.stored_bytes = meta.body_bytes = sizeof(large);
    for (int i = 0; i < 40; i++) {
        char id[ID_SIZE];
        id_make(JOB_ID_PREFIX, id);
        got_reset();
        assert_int_equal(
            queue_enqueue(f->queue, id, &meta, slice_make(large, sizeof(large)),
                meta.expires_ms - meta.created_ms, &no_limits, on_large, NULL),
            0);
        fixture_wait(f, &got.done);
    }
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 256, false), 16);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 256, false), 16);
    assert_int_equal(do_claim(f, "w1", QUEUE_X, 256, false), 8);
    audit(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_but_the_owner_has_any_effect),
        TEST(finish_sent_twice_is_ok_both_times),
        TEST(retry_waits_in_redis_until_it_is_due),
        TEST(retry_without_delay_is_first_in_line),
        TEST(release_hands_back_at_once_and_counts_nothing),
        TEST(cancel_of_a_queued_job_needs_no_call),
        TEST(cancel_of_a_retrying_job_needs_no_call),
        TEST(cancel_of_a_running_job_reaches_its_worker),
        TEST(canceled_job_that_comes_back_is_not_run_again),
        TEST(waiting_job_past_its_deadline_is_closed),
        TEST(claim_of_a_job_past_its_deadline_is_no_run),
        TEST(running_job_past_its_deadline_keeps_its_chance),
        TEST(far_deadline_is_indexed_when_the_job_is_a_day_old),
        TEST(parked_answer_is_found_by_the_next_owner),
        TEST(longer_hold_is_not_shortened_unless_forced),
        TEST(limit_passes_with_its_time_and_a_breaker_waits_for_its_probe),
        TEST(one_worker_has_the_probe),
        TEST(workers_hear_of_work_holds_and_cancels),
        TEST(watchers_see_every_change_in_order),
        TEST(tick_names_the_queues),
        TEST(very_many_chains_make_no_more_queues),
        TEST(unreadable_job_is_told_and_owned),
        TEST(claim_stops_at_a_megabyte),
    };

    return cmocka_run_group_tests(tests, queue_suite_start, queue_suite_stop);
}
