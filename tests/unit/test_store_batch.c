/* Batches in the result store: rows in order, tallies, ended batches. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/store_suite.h"

#define UUID "0199f6a2-5c1e-7abc-9def-0123456789ab"
#define OTHER "0199f6a2-5c1e-7abc-9def-0123456789ac"

static struct {
    bool came;
    enum store_status status;
    struct bulk_tally tally;
    size_t count;
    bool more;
    struct {
        int64_t row;
        char custom_id[16];
        unsigned generation;
        char answer[32];
        bool deleted;
    } rows[16];
    struct bulk bulks[4]; /* without what they own */
    char meta[32];
    char lines[64];
    unsigned erased;
} reply;

static void
wait_for_reply(void)
{
    while (!reply.came)
        event_base_loop(fixture.base, EVLOOP_ONCE);
}
#define ASK(call) (memset(&reply, 0, sizeof(reply)), (call), wait_for_reply())

static int
close_sound(void **state)
{
    assert_true(store_fixture_is_sound(&fixture));
    return store_suite_close(state);
}

static void
came(enum store_status status)
{
    assert_false(reply.came);
    reply.came = true;
    reply.status = status;
}

static void
on_status(void *arg, enum store_status status)
{
    (void)arg;
    came(status);
}

static void
on_tally(void *arg, enum store_status status, const struct bulk_tally *tally)
{
    (void)arg;
    reply.tally = *tally;
    came(status);
}

static void
on_rows(void *arg, enum store_status status, const struct store_batch_row *rows,
    size_t count, bool more)
{
    (void)arg;
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++) {
        reply.rows[i].row = rows[i].row;
        reply.rows[i].generation = rows[i].result.generation;
        reply.rows[i].deleted = rows[i].result.deleted;
        text_copy(reply.rows[i].custom_id, 16,
            slice_of(rows[i].result.meta.custom_id));
        text_copy(reply.rows[i].answer, 32, rows[i].answer);
    }
    reply.count = count;
    reply.more = more;
    came(status);
}

static void
on_batches(
    void *arg, enum store_status status, const struct bulk *bulks, size_t count)
{
    (void)arg;
    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++) {
        reply.bulks[i] = bulks[i];
        if (bulks[i].meta != NULL)
            text_copy(reply.meta, sizeof(reply.meta), slice_of(bulks[i].meta));
        reply.bulks[i].meta = reply.bulks[i].idempotency_key = NULL;
    }
    reply.count = count;
    came(status);
}

static void
on_batch(void *arg, enum store_status status, const struct bulk *bulk)
{
    on_batches(arg, status, bulk, bulk != NULL);
}

static void
on_lines(void *arg, enum store_status status, struct slice lines)
{
    (void)arg;
    text_copy(reply.lines, sizeof(reply.lines), lines);
    came(status);
}

static void
on_erased(void *arg, enum store_status status, unsigned count, bool more)
{
    (void)arg;
    reply.erased = count;
    reply.more = more;
    came(status);
}

/* Item "row-<number>" of UUID. */
static void
commit_item(unsigned number, unsigned generation, enum job_state state)
{
    struct job_result result;
    char answer[32];

    store_fixture_result(&result, number, state);
    result.generation = generation;
    result.dead = state == JOB_FAILED;
    result.usage = (struct job_usage){10, 3, 0, 0, 0};
    result.cost_usd_nanos = number % 2 == 0 ? 100 : -1;
    memcpy(result.meta.batch, UUID, sizeof(UUID));
    result.meta.custom_id = memory_alloc(16);
    snprintf(result.meta.custom_id, 16, "row-%u", number);
    snprintf(answer, sizeof(answer), "answer %u.%u", number, generation);
    assert_int_equal(
        store_fixture_commit(&fixture, fixture.store, &result,
            state == JOB_SUCCEEDED ? answer : "", result.dead ? "request" : ""),
        STORE_OK);
    job_result_clear(&result);
}

static void
tally(void)
{
    ASK(store_batch_tally(fixture.store, UUID, on_tally, NULL));
    assert_int_equal(reply.status, STORE_OK);
}

static void
rows(struct store_batch_query query)
{
    query.uuid = UUID;
    if (query.limit == 0)
        query.limit = 10;
    ASK(store_batch_rows(fixture.store, &query, on_rows, NULL));
    assert_int_equal(reply.status, STORE_OK);
}

static struct bulk
ended(const char *uuid)
{
    struct bulk bulk = {.face = BULK_NATIVE,
        .state = BATCH_ENDED,
        .created_ms = 1000,
        .expires_ms = 2000,
        .ended_ms = 3000,
        .total = 3,
        .rejected = 1,
        .tally = {.succeeded = 2, .failed = 1, .last_row = 3}};

    text_copy(bulk.uuid, sizeof(bulk.uuid), slice_of(uuid));
    memcpy(bulk.tenant, "acme", 5);
    memcpy(bulk.run, "nightly", 8);
    memset(bulk.sha256, 'a', 64);
    return bulk;
}

static enum store_status
put(const struct bulk *bulk, const char *rejects)
{
    ASK(store_batch_put(
        fixture.store, bulk, slice_of(rejects), on_status, NULL));
    return reply.status;
}

static void
a_tally_counts_newest_generations(void **state)
{
    (void)state;
    tally();
    assert_int_equal(bulk_tally_total(&reply.tally), 0);
    commit_item(0, 0, JOB_SUCCEEDED);
    commit_item(1, 0, JOB_FAILED);
    commit_item(2, 0, JOB_CANCELED);
    commit_item(3, 0, JOB_EXPIRED);
    tally();
    assert_int_equal(reply.tally.succeeded, 1);
    assert_int_equal(reply.tally.failed, 1);
    assert_int_equal(reply.tally.canceled, 1);
    assert_int_equal(reply.tally.expired, 1);
    assert_int_equal(reply.tally.usage.input_tokens, 40);
    assert_int_equal(reply.tally.cost_usd_nanos, 200);
    assert_int_equal(reply.tally.unpriced, 2);
    assert_int_equal(reply.tally.last_row, 4);
    commit_item(1, 1, JOB_SUCCEEDED);
    tally();
    assert_int_equal(reply.tally.succeeded, 2);
    assert_int_equal(reply.tally.failed, 0);
    assert_int_equal(reply.tally.usage.input_tokens, 40);
    assert_int_equal(reply.tally.last_row, 5);
    assert_int_equal(
        store_fixture_sql_int(&fixture,
            "SELECT (SELECT sum(jobs) FROM batch_tally) = count(*) FROM job "
            "WHERE batch IS NOT NULL AND listed = 1"),
        1);
}

static void
a_late_row_of_an_old_generation_is_not_counted(void **state)
{
    (void)state;
    commit_item(0, 1, JOB_SUCCEEDED);
    commit_item(0, 0, JOB_FAILED);
    tally();
    assert_int_equal(reply.tally.succeeded, 1);
    assert_int_equal(bulk_tally_total(&reply.tally), 1);
}

static void
a_deleted_item_counts_on_and_keeps_its_name(void **state)
{
    char id[ID_SIZE];

    (void)state;
    commit_item(0, 0, JOB_SUCCEEDED);
    store_fixture_id(id, 0);
    ASK(store_delete(fixture.store, id, on_status, NULL));
    tally();
    assert_int_equal(reply.tally.succeeded, 1);
    rows((struct store_batch_query){.answers = true});
    assert_int_equal(reply.count, 1);
    assert_true(reply.rows[0].deleted);
    assert_string_equal(reply.rows[0].custom_id, "row-0");
    assert_string_equal(reply.rows[0].answer, "");
}

static void
rows_come_in_order_of_commitment_page_by_page(void **state)
{
    int64_t last = 0;

    (void)state;
    for (unsigned i = 5; i > 0; i--)
        commit_item(i, 0, i == 3 ? JOB_FAILED : JOB_SUCCEEDED);
    rows((struct store_batch_query){.limit = 2, .answers = true});
    assert_int_equal(reply.count, 2);
    assert_true(reply.more);
    assert_string_equal(reply.rows[0].custom_id, "row-5");
    assert_string_equal(reply.rows[1].answer, "answer 4.0");
    last = reply.rows[1].row;
    rows((struct store_batch_query){.after = last, .answers = true});
    assert_int_equal(reply.count, 3);
    assert_false(reply.more);
    assert_string_equal(reply.rows[0].custom_id, "row-3");
    assert_string_equal(reply.rows[0].answer, "");
    assert_string_equal(reply.rows[2].answer, "answer 1.0");
    rows((struct store_batch_query){.answers = true, .max_bytes = 15});
    assert_int_equal(reply.count, 2);
    assert_true(reply.more);
    rows((struct store_batch_query){.dead = true});
    assert_int_equal(reply.count, 1);
    assert_string_equal(reply.rows[0].custom_id, "row-3");
    rows((struct store_batch_query){.until = last});
    assert_int_equal(reply.count, 2);
}

static void
results_of_an_ended_batch_stay_what_they_were(void **state)
{
    int64_t last = 0;

    (void)state;
    commit_item(0, 0, JOB_FAILED);
    commit_item(1, 0, JOB_FAILED);
    commit_item(0, 1, JOB_SUCCEEDED);
    tally();
    last = reply.tally.last_row;
    struct bulk bulk = ended(UUID);
    assert_int_equal(put(&bulk, ""), STORE_OK);
    commit_item(1, 1, JOB_SUCCEEDED); /* replayed after the end */
    rows((struct store_batch_query){.newest = true, .until = last});
    assert_int_equal(reply.count, 2);
    assert_string_equal(reply.rows[0].custom_id, "row-1");
    assert_int_equal(reply.rows[0].generation, 0);
    assert_int_equal(reply.rows[1].generation, 1);
    rows((struct store_batch_query){.until = 0});
    assert_int_equal(reply.count, 4); /* found there, though not counted */
}

/* A cursor is the last row that was read. Rows of others go, with the
 * greatest numbers of all; what comes later is behind the cursor still. */
static void
later_rows_are_behind_every_cursor(void **state)
{
    struct job_result result;
    int64_t cursor;

    (void)state;
    commit_item(1, 0, JOB_SUCCEEDED);
    tally();
    cursor = reply.tally.last_row;
    for (unsigned i = 0; i < 3; i++) {
        store_fixture_result(&result, 20 + i, JOB_SUCCEEDED);
        store_fixture_commit(&fixture, fixture.store, &result, "a", "");
        job_result_clear(&result);
    }
    ASK(store_sweep(fixture.store, INT64_MAX, 0, 10, on_erased, NULL));
    assert_int_equal(reply.erased, 3);
    commit_item(9, 0, JOB_SUCCEEDED);
    tally();
    assert_true((int64_t)reply.tally.last_row > cursor);
}

static void
the_first_end_of_a_batch_wins(void **state)
{
    struct bulk bulk = ended(UUID);
    char meta[] = "{\"system\":1}";

    (void)state;
    bulk.meta = meta;
    assert_int_equal(put(&bulk, "{\"line\":1}\n"), STORE_OK);
    bulk.tally.succeeded = 3;
    assert_int_equal(put(&bulk, "{\"line\":2}\n"), STORE_EXISTS);
    ASK(store_batch_get(fixture.store, UUID, on_batch, NULL));
    assert_int_equal(reply.status, STORE_OK);
    assert_int_equal(reply.bulks[0].tally.succeeded, 2);
    assert_int_equal(reply.bulks[0].tally.last_row, 3);
    assert_int_equal(reply.bulks[0].ended_ms, 3000);
    assert_int_equal(reply.bulks[0].rejected, 1);
    assert_string_equal(reply.bulks[0].run, "nightly");
    assert_string_equal(reply.meta, meta);
    ASK(store_batch_rejects(fixture.store, UUID, on_lines, NULL));
    assert_string_equal(reply.lines, "{\"line\":1}\n");
    ASK(store_batch_get(fixture.store, OTHER, on_batch, NULL));
    assert_int_equal(reply.status, STORE_ABSENT);
    ASK(store_batch_rejects(fixture.store, OTHER, on_lines, NULL));
    assert_int_equal(reply.status, STORE_ABSENT);
}

static void
ended_batches_are_listed_and_found_by_key(void **state)
{
    struct bulk bulk = ended(UUID);
    char key[] = "k 1";
    struct store_batch_filter filter = {.limit = 4};

    (void)state;
    assert_int_equal(put(&bulk, ""), STORE_OK);
    bulk = ended(OTHER);
    bulk.idempotency_key = key;
    memcpy(bulk.run, "other", 6);
    assert_int_equal(put(&bulk, ""), STORE_OK);
    ASK(store_batch_list(fixture.store, &filter, on_batches, NULL));
    assert_int_equal(reply.count, 2);
    assert_string_equal(reply.bulks[0].uuid, OTHER);
    filter.cursor = OTHER;
    ASK(store_batch_list(fixture.store, &filter, on_batches, NULL));
    assert_int_equal(reply.count, 1);
    filter = (struct store_batch_filter){
        .limit = 4, .tenant = "acme", .ascending = true, .cursor = UUID};
    ASK(store_batch_list(fixture.store, &filter, on_batches, NULL));
    assert_int_equal(reply.count, 1);
    assert_string_equal(reply.bulks[0].uuid, OTHER);
    filter = (struct store_batch_filter){.limit = 4, .run = "nightly"};
    ASK(store_batch_list(fixture.store, &filter, on_batches, NULL));
    assert_string_equal(reply.bulks[0].uuid, UUID);
    assert_int_equal(reply.count, 1);
    filter.tenant = "nobody";
    ASK(store_batch_list(fixture.store, &filter, on_batches, NULL));
    assert_int_equal(reply.count, 0);
    ASK(store_batch_get_idempotent(fixture.store, "acme", key, on_batch, NULL));
    assert_string_equal(reply.bulks[0].uuid, OTHER);
    ASK(store_batch_get_idempotent(
        fixture.store, "acme", "k 2", on_batch, NULL));
    assert_int_equal(reply.status, STORE_ABSENT);
}

static void
erase(bool forget)
{
    ASK(store_batch_erase(fixture.store, UUID, 2, forget, on_erased, NULL));
}

static void
a_batch_is_erased_step_by_step(void **state)
{
    struct bulk bulk = ended(UUID);

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        commit_item(i, 0, i == 1 ? JOB_FAILED : JOB_SUCCEEDED);
    erase(false);
    assert_int_equal(reply.status, STORE_ABSENT); /* it has not ended */
    assert_int_equal(put(&bulk, "{}\n"), STORE_OK);
    for (unsigned i = 0; i < 2; i++) {
        erase(false);
        assert_int_equal(reply.erased, 2);
        assert_true(reply.more);
    }
    erase(false);
    assert_int_equal(reply.erased, 0);
    assert_false(reply.more);
    ASK(store_batch_get(fixture.store, UUID, on_batch, NULL));
    assert_true(reply.bulks[0].deleted);
    assert_int_equal(put(&bulk, ""), STORE_EXISTS);
    /* The dead letter lives on, for itself. */
    assert_int_equal(
        store_fixture_sql_int(&fixture, "SELECT sum(dead) FROM job"), 1);
    assert_int_equal(store_fixture_sql_int(
                         &fixture, "SELECT count(*) FROM job, batch_tally"),
        0);
    erase(true);
    ASK(store_batch_get(fixture.store, UUID, on_batch, NULL));
    assert_int_equal(reply.status, STORE_ABSENT);
}

static void
the_sweep_leaves_items_to_their_batch(void **state)
{
    struct bulk bulk = ended(UUID);

    (void)state;
    commit_item(0, 0, JOB_SUCCEEDED);
    ASK(store_sweep(fixture.store, INT64_MAX, INT64_MAX, 10, on_erased, NULL));
    assert_int_equal(reply.erased, 0);
    assert_int_equal(put(&bulk, ""), STORE_OK);
    ASK(store_batch_get_due(fixture.store, 5000, 3000, on_batch, NULL));
    assert_int_equal(reply.status, STORE_ABSENT); /* native: by its end */
    ASK(store_batch_get_due(fixture.store, 0, 3001, on_batch, NULL));
    assert_string_equal(reply.bulks[0].uuid, UUID);
    bulk = ended(OTHER);
    bulk.face = BULK_CLAUDE;
    assert_int_equal(put(&bulk, ""), STORE_OK);
    ASK(store_batch_get_due(fixture.store, 1001, 0, on_batch, NULL));
    assert_string_equal(reply.bulks[0].uuid, OTHER);
}

#define SOUND(name) \
    cmocka_unit_test_setup_teardown(name, store_suite_open, close_sound)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SOUND(a_tally_counts_newest_generations),
        SOUND(a_late_row_of_an_old_generation_is_not_counted),
        SOUND(a_deleted_item_counts_on_and_keeps_its_name),
        SOUND(rows_come_in_order_of_commitment_page_by_page),
        SOUND(results_of_an_ended_batch_stay_what_they_were),
        SOUND(later_rows_are_behind_every_cursor),
        SOUND(the_first_end_of_a_batch_wins),
        SOUND(ended_batches_are_listed_and_found_by_key),
        SOUND(a_batch_is_erased_step_by_step),
        SOUND(the_sweep_leaves_items_to_their_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
