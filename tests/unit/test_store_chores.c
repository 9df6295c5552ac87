#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/unit/store_suite.h"

static void
commit(const struct job_result *row, const char *answer, const char *request)
{
    assert_int_equal(
        store_fixture_commit(&fixture, fixture.store, row, answer, request),
        STORE_OK);
}

static enum store_status
get(const char *id, int generation, enum store_part part)
{
    return store_fixture_get(&fixture, fixture.store, id, generation, part);
}

static int64_t
count(const char *sql)
{
    return store_fixture_sql_int(&fixture, sql);
}

static enum store_status
chore_done(void)
{
    store_fixture_wait(&fixture);
    return store_reply.status;
}

static enum store_status
delete_job(const char *id)
{
    store_fixture_clear_reply();
    store_delete(fixture.store, id, store_fixture_on_status, NULL);
    return chore_done();
}

static enum store_status
discard(const char *id, unsigned generation)
{
    store_fixture_clear_reply();
    store_discard(fixture.store, id, generation, store_fixture_on_status, NULL);
    return chore_done();
}

static enum store_status
forget(const char *id, unsigned generation)
{
    store_fixture_clear_reply();
    store_forget_request(
        fixture.store, id, generation, store_fixture_on_status, NULL);
    return chore_done();
}

static void
sweep(int64_t finished, int64_t dead, unsigned limit, unsigned swept, bool more)
{
    store_fixture_clear_reply();
    store_sweep(
        fixture.store, finished, dead, limit, store_fixture_on_swept, NULL);
    assert_int_equal(chore_done(), STORE_OK);
    assert_int_equal(store_reply.swept, swept);
    assert_int_equal(store_reply.more, more);
}

static void
tagged(struct job_result *row, unsigned number, enum job_state state)
{
    store_fixture_result(row, number, state);
    job_meta_add_tag(&row->meta, slice_of("secret tag"));
}

static void
a_deleted_job_keeps_only_its_name(void **state)
{
    (void)state;
    struct job_result row;
    tagged(&row, 1, JOB_FAILED);
    row.meta.idempotency_key = memory_dup("secret key");
    row.meta.recipe = memory_dup("secret recipe");
    commit(&row, "", "secret request");
    row.generation = 1;
    row.state = JOB_SUCCEEDED;
    row.dead = false;
    commit(&row, "secret answer", "");
    assert_int_equal(delete_job(row.id), STORE_OK);
    assert_int_equal(delete_job(row.id), STORE_OK);
    for (int generation = -1; generation < 2; generation++) {
        assert_int_equal(get(row.id, generation, STORE_ANSWER), STORE_OK);
        assert_true(store_row_is_deleted(&store_reply.rows[0]));
        assert_true(job_state_is_terminal(store_reply.rows[0].state));
        assert_int_equal(store_reply.bytes.len, 0);
        assert_string_equal(store_reply.rows[0].error.message, "");
        assert_string_equal(store_reply.rows[0].meta.tenant, "default");
        assert_int_equal(store_reply.rows[0].meta.tag_count, 0);
        assert_null(store_reply.rows[0].meta.recipe);
    }
    struct store_filter any = {.has_state = false};
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &any, NULL, 9), STORE_OK);
    assert_int_equal(store_reply.count, 0);
    assert_int_equal(count("SELECT count(*) FROM content"), 0);
    assert_int_equal(count("SELECT count(*) FROM job_tag"), 0);
    assert_int_equal(count("SELECT count(*) FROM job WHERE dead = 1 OR "
                           "meta LIKE '%secret%' OR "
                           "idempotency_key IS NOT NULL"),
        0);
    assert_int_equal(delete_job("job_nobody"), STORE_ABSENT);
    job_result_clear(&row);
}

static bool
is_in_file(const char *piece)
{
    FILE *file = fopen(fixture.path, "rb");
    assert_non_null(file);
    char *bytes = memory_zalloc(1, 4 << 20);
    size_t len = fread(bytes, 1, 4 << 20, file);
    fclose(file);
    bool found = memmem(bytes, len, piece, strlen(piece)) != NULL;
    memory_free(bytes);
    return found;
}

static void
nothing_deleted_is_left_in_the_file(void **state)
{
    (void)state;
    struct job_result row;
    struct buffer secret = {0};
    for (int i = 0; i < 4000; i++) { /* what does not compress */
        char noise[16], hex[33];
        id_random_bytes(noise, sizeof(noise));
        text_hex(noise, sizeof(noise), hex);
        buffer_append_text(&secret, hex);
    }
    char piece[33] = "";
    memcpy(piece, secret.data + 60000, 32);
    store_fixture_result(&row, 1, JOB_FAILED);
    commit(&row, "", secret.data);
    store_fixture_reopen(&fixture);
    assert_true(is_in_file(piece));
    assert_int_equal(delete_job(row.id), STORE_OK);
    store_fixture_reopen(&fixture);
    assert_false(is_in_file(piece));
    buffer_clear(&secret);
}

static void
a_discarded_dead_letter_stays_as_a_failed_row(void **state)
{
    (void)state;
    struct job_result row;
    tagged(&row, 1, JOB_FAILED);
    commit(&row, "", "request");
    job_meta_clear(&row.meta);
    assert_int_equal(discard(row.id, 1), STORE_ABSENT);
    assert_int_equal(discard(row.id, 0), STORE_OK);
    assert_int_equal(discard(row.id, 0), STORE_OK);
    assert_int_equal(get(row.id, 0, STORE_REQUEST), STORE_OK);
    assert_int_equal(store_reply.bytes.len, 0);
    assert_false(store_reply.rows[0].dead);
    assert_int_equal(store_reply.rows[0].state, JOB_FAILED);
    assert_string_equal(store_reply.rows[0].error.message, "too long");
    assert_int_equal(count("SELECT count(*) FROM content"), 0);
}

static void
a_forgotten_request_leaves_the_other_generation_alone(void **state)
{
    (void)state;
    struct job_result row;
    store_fixture_result(&row, 1, JOB_FAILED);
    commit(&row, "", "first");
    row.generation = 1;
    commit(&row, "", "second");
    assert_int_equal(forget(row.id, 0), STORE_OK);
    assert_int_equal(get(row.id, 0, STORE_REQUEST), STORE_OK);
    assert_int_equal(store_reply.bytes.len, 0);
    assert_int_equal(get(row.id, 1, STORE_REQUEST), STORE_OK);
    assert_int_equal(store_reply.bytes.len, 6);
    assert_true(store_reply.rows[0].dead);
    assert_int_equal(forget("job_nobody", 0), STORE_ABSENT);
}

static void
the_sweep_takes_what_is_old_in_steps(void **state)
{
    (void)state;
    struct job_result row;
    int64_t base_ms = 0;
    for (unsigned i = 0; i < 10; i++) {
        tagged(&row, i, i % 2 == 0 ? JOB_SUCCEEDED : JOB_FAILED);
        row.finished_ms = 1000000 + i * 1000;
        base_ms = 1000000;
        commit(&row, "{}", row.dead ? "request" : "");
        job_meta_clear(&row.meta);
    }
    sweep(base_ms, base_ms, 100, 0, false);
    sweep(base_ms + 8000, 0, 3, 3, true); /* 0, 2, 4 */
    sweep(base_ms + 8000, 0, 3, 1, false); /* 6; dead letters never */
    assert_int_equal(count("SELECT count(*) FROM job"), 6);
    sweep(base_ms + 8000, base_ms + 4000, 100, 2, false); /* 1, 3 */
    sweep(INT64_MAX, INT64_MAX, 100, 4, false);
    assert_int_equal(count("SELECT count(*) FROM job"), 0);
    assert_int_equal(count("SELECT count(*) FROM job_tag"), 0);
    assert_int_equal(count("SELECT count(*) FROM content"), 0);
    store_fixture_result(&row, 0, JOB_SUCCEEDED);
    assert_int_equal(get(row.id, -1, STORE_ROW), STORE_ABSENT);
}

static void
sweeping_history_keeps_the_tag_of_the_newest_generation(void **state)
{
    (void)state;
    struct job_result row;
    struct store_filter by_tag = {.tag = "secret tag"};
    tagged(&row, 1, JOB_FAILED);
    row.finished_ms = 1000;
    commit(&row, "", "request");
    row.generation = 1;
    row.finished_ms = 2000;
    commit(&row, "", "request");
    job_meta_clear(&row.meta);
    sweep(1500, 1500, 10, 1, false);
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &by_tag, NULL, 9),
        STORE_OK);
    assert_int_equal(store_reply.count, 1);
    assert_int_equal(store_reply.rows[0].generation, 1);
}

/* Another program with a mistake in it, say. */
static int
try_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture.path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_busy_timeout(db, 5000);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return rc;
}

static void
a_terminal_row_cannot_be_changed_by_hand(void **state)
{
    (void)state;
    static const char *const refused[] = {"UPDATE job SET state = 'failed'",
        "UPDATE job SET meta = '{}'", "UPDATE job SET version = 1",
        "UPDATE job SET id = 'job_other'", "UPDATE job SET generation = 7",
        "UPDATE job SET dead = 1", "UPDATE job SET cost_usd_nanos = 0",
        "UPDATE content SET answer = 'other'",
        "UPDATE content SET answer_bytes = 1",
        "UPDATE content SET request = 'other'",
        "INSERT INTO content VALUES (1, 'other', 5, 0, NULL)"};
    struct job_result row;
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    commit(&row, "answer", "");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(try_sql(refused[i]), SQLITE_CONSTRAINT);
    assert_int_equal(get(row.id, 0, STORE_ANSWER), STORE_OK);
    assert_int_equal(store_reply.bytes.len, 6);
    assert_int_equal(try_sql("DELETE FROM content"), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_deleted_job_keeps_only_its_name),
        TEST(nothing_deleted_is_left_in_the_file),
        TEST(a_discarded_dead_letter_stays_as_a_failed_row),
        TEST(a_forgotten_request_leaves_the_other_generation_alone),
        TEST(the_sweep_takes_what_is_old_in_steps),
        TEST(sweeping_history_keeps_the_tag_of_the_newest_generation),
        TEST(a_terminal_row_cannot_be_changed_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
