/* The keeper against a real Redis and a real SQLite: what it makes of batches
 * whose items others run. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bulk_helpers.h"
#include "common/base/clock.h"
#include "common/service/config.h"
#include "common/service/service.h"
#include "common/store/store.h"
#include "worker/claim.h"
#include "worker/keeper.h"
#include "worker/worker.h"

static struct fixture *f;
static struct bulk bulk;
static struct config config;
static struct service service;
static struct worker worker;
static struct keeper *keeper; /* of this test; earlier ones stopped */
static struct keeper *keepers[16];
static unsigned keeper_count;
static char path[200];

static struct {
    bool came;
    enum store_status status;
    struct bulk bulk; /* without what it owns */
    size_t rows;
    char lines[64];
} told;

static int
start(void **state)
{
    char url[256], error[256];

    (void)state;
    f = fixture_new();
    snprintf(path, sizeof(path), "%s/store.db", f->dir);
    snprintf(url, sizeof(url), "sqlite:%s", path);
    service.base = f->base;
    service.queue = f->queue;
    service.config = &config;
    config.retention_ms = 1000000;
    service.store = store_open(
        f->base, url, STORE_READ | STORE_WRITE, error, sizeof(error));
    assert_non_null(service.store);
    worker.service = &service;
    memcpy(worker.consumer, "w1", 3);
    worker.claimer = claimer_new(&worker);
    claimer_stop(worker.claimer);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    keeper_stop(keeper);
    store_close(service.store);
    claimer_free(worker.claimer);
    fixture_free(f); /* after which nothing calls a keeper */
    for (unsigned i = 0; i < keeper_count; i++)
        keeper_free(keepers[i]);
    return 0;
}

static int
clear(void **state)
{
    (void)state;
    if (keeper != NULL)
        keeper_stop(keeper); /* what it began may end in the new queue */
    fixture_clear(f);
    service.queue = f->queue;
    keeper = keepers[keeper_count++] = keeper_new(&worker);
    make_bulk(&bulk);
    return 0;
}

static void
on_stored(void *arg, enum store_status status, const struct bulk *batch)
{
    (void)arg;
    if (batch != NULL) {
        told.bulk = *batch;
        told.bulk.meta = told.bulk.idempotency_key = NULL;
    }
    told.status = status;
    told.came = true;
}

static enum store_status
stored(void)
{
    memset(&told, 0, sizeof(told));
    store_batch_get(service.store, bulk.uuid, on_stored, NULL);
    fixture_wait(f, &told.came);
    return told.status;
}

/* Ticks until `done` says so; fails after ten seconds. */
static void
keep_until(bool (*done)(void))
{
    int64_t until = clock_mono_ms() + 10000;

    while (!done()) {
        struct timeval tick = {0, 2000};
        assert_true(clock_mono_ms() < until);
        keeper_tick(keeper);
        event_base_loopexit(f->base, &tick);
        event_base_loop(f->base, EVLOOP_ONCE);
    }
}

static bool
is_stored(void)
{
    return stored() == STORE_OK && do_bulk_get(f, bulk.uuid) == QUEUE_ABSENT;
}

static bool
is_promoted(void)
{
    return do_bulk_get(f, bulk.uuid) == QUEUE_OK &&
        got_bulk.view.promoted == got_bulk.bulk.total;
}

static bool
is_deleted(void)
{
    return fixture_int(f, "ZCARD {}batches:deleted") == 0 &&
        stored() == STORE_OK && told.bulk.deleted;
}

static bool
is_forgotten(void)
{
    return stored() == STORE_ABSENT;
}

static void
upload(unsigned count)
{
    assert_int_equal(do_open(f, &bulk), QUEUE_OK);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "row-%u", i);
        assert_int_equal(do_stage(f, bulk.uuid, name, i + 1, NULL), QUEUE_OK);
    }
    assert_int_equal(ASK(f,
                         queue_bulk_reject(f->queue, bulk.uuid, 99,
                             slice_of("{\"line\":99}"), on_status, NULL)),
        QUEUE_OK);
    assert_int_equal(do_reveal(f, bulk.uuid, count, 'a'), QUEUE_OK);
}

static void
on_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    (void)arg;
    (void)existing;
    told.status = status;
    told.came = true;
}

/* Claims the next item and commits its row, without a word to Redis. */
static struct queue_owner
commit(char id[ID_SIZE], enum job_state state)
{
    struct queue_owner owner = {id, "w1", 0};
    struct job_result result = {.state = state, .version = 90};
    char custom_id[] = "row";

    assert_int_equal(do_claim(f, "w1", QUEUE_X, 1, false), 1);
    memcpy(id, got.claims[0].id, ID_SIZE);
    owner.fence = got.claims[0].fence;
    memcpy(result.id, id, ID_SIZE);
    make_meta(&result.meta);
    result.generation = got.claims[0].generation;
    result.finished_ms = clock_wall_ms();
    result.dead = state == JOB_FAILED;
    memcpy(result.meta.batch, bulk.uuid, BATCH_UUID_SIZE);
    result.meta.custom_id = custom_id;
    memset(&told, 0, sizeof(told));
    store_commit(service.store, &result, slice_of("{}"),
        result.dead ? slice_of("body") : SLICE_NULL, on_committed, NULL);
    fixture_wait(f, &told.came);
    assert_int_equal(told.status, STORE_OK);
    return owner;
}

static void
run_items(unsigned count)
{
    keep_until(is_promoted);
    for (unsigned i = 0; i < count; i++) {
        char id[ID_SIZE];
        struct queue_owner owner = commit(id, JOB_SUCCEEDED);
        assert_int_equal(do_finish(f, &owner, JOB_SUCCEEDED), QUEUE_OK);
    }
}

static void
ignore(void *arg, enum store_status status)
{
    (void)arg;
    (void)status;
}

static void
on_lines(void *arg, enum store_status status, struct slice lines)
{
    (void)arg;
    (void)text_copy(told.lines, sizeof(told.lines), lines);
    told.status = status;
    told.came = true;
}

static void
a_batch_ends_when_each_item_has_a_row(void **state)
{
    (void)state;
    upload(3);
    run_items(2);
    for (unsigned i = 0; i < 20; i++) {
        keeper_tick(keeper);
        fixture_spin(f);
    }
    assert_int_equal(stored(), STORE_ABSENT);
    run_items(1);
    keep_until(is_stored);
    assert_int_equal(told.bulk.tally.succeeded, 3);
    assert_int_equal(told.bulk.rejected, 0);
    assert_true(told.bulk.ended_ms > 0);
    audit_empty(f);
    assert_string_equal(fixture_do(f, "KEYS {}batch*"), "");
    memset(&told, 0, sizeof(told));
    store_batch_rejects(service.store, bulk.uuid, on_lines, NULL);
    fixture_wait(f, &told.came);
    assert_string_equal(told.lines, "{\"line\":99}\n");
}

static void
an_empty_batch_ends_at_once(void **state)
{
    (void)state;
    upload(0);
    keep_until(is_stored);
    assert_int_equal(told.bulk.total, 0);
}

/* The keeper that decided died before it had the row. */
static void
an_end_that_was_decided_is_kept_by_the_next_keeper(void **state)
{
    (void)state;
    upload(2);
    run_items(2);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 2), QUEUE_OK);
    keep_until(is_stored);
    assert_int_equal(told.bulk.tally.last_row, 7); /* as it was decided */
}

/* It had the row, and died before Redis heard of it. */
static void
a_row_that_is_there_is_enough(void **state)
{
    (void)state;
    upload(1);
    run_items(1);
    assert_int_equal(do_bulk_end(f, bulk.uuid, 0, 1), QUEUE_OK);
    assert_int_equal(do_bulk_get(f, bulk.uuid), QUEUE_OK);
    store_batch_put(service.store, &got_bulk.bulk, slice_of(""), ignore, NULL);
    keep_until(is_stored);
}

static void
a_second_keeper_stands_by(void **state)
{
    (void)state;
    upload(0);
    assert_int_equal(
        ASK(f, queue_bulk_lock(f->queue, "w2", 60000, on_status, NULL)),
        QUEUE_OK);
    for (unsigned i = 0; i < 20; i++) {
        keeper_tick(keeper);
        fixture_spin(f);
    }
    assert_int_equal(stored(), STORE_ABSENT);
    fixture_do(f, "DEL {}oplock:keeper");
    keep_until(is_stored);
}

static void
a_deleted_batch_goes_with_its_dead_letters(void **state)
{
    char id[ID_SIZE];
    struct queue_owner owner;

    (void)state;
    upload(2);
    run_items(1);
    owner = commit(id, JOB_FAILED);
    assert_int_equal(do_bury(f, &owner, 0, "no"), QUEUE_OK);
    keep_until(is_stored);
    assert_int_equal(told.bulk.tally.failed, 1);
    assert_int_equal(DO_BULK(f, delete, bulk.uuid), QUEUE_OK);
    /* The letter is discarded; whose chore clears the row's mark. */
    while (fixture_int(f, "XLEN {}dead") > 0) {
        keeper_tick(keeper);
        fixture_spin(f);
    }
    store_discard(service.store, id, 0, ignore, NULL);
    keep_until(is_deleted);
}

static void
a_batch_past_its_time_is_forgotten(void **state)
{
    (void)state;
    upload(1);
    run_items(1);
    keep_until(is_stored);
    config.retention_ms = -1000000;
    keep_until(is_forgotten);
    config.retention_ms = 1000000;
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_ends_when_each_item_has_a_row),
        TEST(an_empty_batch_ends_at_once),
        TEST(an_end_that_was_decided_is_kept_by_the_next_keeper),
        TEST(a_row_that_is_there_is_enough),
        TEST(a_second_keeper_stands_by),
        TEST(a_deleted_batch_goes_with_its_dead_letters),
        TEST(a_batch_past_its_time_is_forgotten),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
