#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/store_suite.h"

static enum store_status
commit(const struct job_result *result, const char *answer, const char *request)
{
    return store_fixture_commit(
        &fixture, fixture.store, result, answer, request);
}

static enum store_status
get(const char *id, int generation, enum store_part part)
{
    return store_fixture_get(&fixture, fixture.store, id, generation, part);
}

static void
assert_bytes(const char *text)
{
    assert_int_equal(store_reply.bytes.len, strlen(text));
    if (text[0] != '\0')
        assert_memory_equal(store_reply.bytes.data, text, strlen(text));
}

static void
a_row_comes_back_with_all_its_members(void **state)
{
    (void)state;
    struct job_result row;
    store_fixture_result(&row, 1, JOB_FAILED);
    row.simulated = true;
    job_meta_add_tag(&row.meta, slice_of("nightly"));
    row.meta.beta = memory_dup("beta-1");
    row.meta.recipe = memory_dup("c1-2");
    assert_int_equal(commit(&row, "", "the request"), STORE_OK);
    store_fixture_reopen(&fixture);
    assert_int_equal(get(row.id, 0, STORE_ROW), STORE_OK);
    const struct job_result *back = &store_reply.rows[0];
    assert_string_equal(back->id, row.id);
    assert_int_equal(back->state, JOB_FAILED);
    assert_int_equal(back->version, 4);
    assert_string_equal(back->model, row.model);
    assert_int_equal(back->started_ms, row.started_ms);
    assert_int_equal(back->finished_ms, row.finished_ms);
    assert_int_equal(back->attempts, 2);
    assert_int_equal(back->unknown_calls, 1);
    assert_int_equal(back->takeovers, 3);
    assert_true(back->simulated && back->dead && !back->deleted);
    assert_memory_equal(&back->usage, &row.usage, sizeof(row.usage));
    assert_int_equal(back->cost_usd_nanos, row.cost_usd_nanos);
    assert_memory_equal(&back->error, &row.error, sizeof(row.error));
    assert_string_equal(back->meta.tags[0], "nightly");
    assert_string_equal(back->meta.beta, "beta-1");
    assert_string_equal(back->meta.recipe, "c1-2");
    assert_int_equal(back->meta.created_ms, row.meta.created_ms);
    assert_bytes("");
    assert_int_equal(get(row.id, -1, STORE_REQUEST), STORE_OK);
    assert_bytes("the request");
    assert_int_equal(get(row.id, 0, STORE_ANSWER), STORE_OK);
    assert_bytes("");
    job_result_clear(&row);
}

static void
absent_is_absent(void **state)
{
    (void)state;
    char id[ID_SIZE];
    struct job_result row;
    store_fixture_id(id, 1);
    assert_int_equal(get(id, -1, STORE_ROW), STORE_ABSENT);
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    assert_int_equal(commit(&row, "x", ""), STORE_OK);
    assert_int_equal(get(id, 1, STORE_ROW), STORE_ABSENT);
    assert_int_equal(get("", -1, STORE_ROW), STORE_ABSENT);
    assert_int_equal(get("job_' OR 1=1 --", -1, STORE_ROW), STORE_ABSENT);
}

static void
the_first_terminal_row_wins(void **state)
{
    (void)state;
    struct job_result first, late;
    store_fixture_result(&first, 7, JOB_SUCCEEDED);
    store_fixture_result(&late, 7, JOB_FAILED);
    late.version = 99;
    assert_int_equal(commit(&first, "first", ""), STORE_OK);
    assert_int_equal(commit(&late, "late", "r"), STORE_EXISTS);
    assert_int_equal(store_reply.count, 1);
    assert_int_equal(store_reply.rows[0].state, JOB_SUCCEEDED);
    assert_int_equal(store_reply.rows[0].version, 4);
    assert_int_equal(get(first.id, 0, STORE_ANSWER), STORE_OK);
    assert_bytes("first");
    assert_int_equal(get(first.id, 0, STORE_REQUEST), STORE_OK);
    assert_bytes("");
}

static void
of_two_stores_the_first_wins(void **state)
{
    (void)state;
    struct store *other =
        store_fixture_open_other(&fixture, STORE_READ | STORE_WRITE);
    struct job_result row;
    for (unsigned i = 0; i < 50; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        struct store *first = i % 2 == 0 ? fixture.store : other;
        struct store *second = i % 2 == 0 ? other : fixture.store;
        assert_int_equal(
            store_fixture_commit(&fixture, first, &row, "1", ""), STORE_OK);
        row.state = JOB_CANCELED;
        assert_int_equal(store_fixture_commit(&fixture, second, &row, "2", ""),
            STORE_EXISTS);
        assert_int_equal(store_reply.rows[0].state, JOB_SUCCEEDED);
    }
    store_close(other);
    assert_int_equal(
        store_fixture_sql_int(&fixture, "SELECT count(*) FROM job"), 50);
}

static void
a_replay_makes_a_newer_generation(void **state)
{
    (void)state;
    struct job_result row;
    store_fixture_result(&row, 3, JOB_FAILED);
    assert_int_equal(commit(&row, "", "request"), STORE_OK);
    row.generation = 1;
    row.state = JOB_SUCCEEDED;
    row.dead = false;
    assert_int_equal(commit(&row, "answer", ""), STORE_OK);
    assert_int_equal(get(row.id, -1, STORE_ANSWER), STORE_OK);
    assert_int_equal(store_reply.rows[0].generation, 1);
    assert_bytes("answer");
    assert_int_equal(get(row.id, 0, STORE_ROW), STORE_OK);
    assert_int_equal(store_reply.rows[0].state, JOB_FAILED);
    assert_false(store_reply.rows[0].dead);
    struct store_filter any = {.has_state = false};
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &any, NULL, 10), STORE_OK);
    assert_int_equal(store_reply.count, 1);
    assert_int_equal(store_reply.rows[0].generation, 1);
}

static void
an_older_generation_that_comes_late_is_only_history(void **state)
{
    (void)state;
    struct job_result row;
    store_fixture_result(&row, 3, JOB_SUCCEEDED);
    row.generation = 2;
    assert_int_equal(commit(&row, "new", ""), STORE_OK);
    row.generation = 1;
    assert_int_equal(commit(&row, "old", ""), STORE_OK);
    assert_int_equal(get(row.id, -1, STORE_ANSWER), STORE_OK);
    assert_bytes("new");
    struct store_filter any = {.has_state = false};
    assert_int_equal(
        store_fixture_list(&fixture, fixture.store, &any, NULL, 10), STORE_OK);
    assert_int_equal(store_reply.count, 1);
    assert_int_equal(store_reply.rows[0].generation, 2);
}

static void
answers_of_every_size_come_back_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4096, 4097, 70000, 3000000};
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < 5; i++) {
            struct job_result row;
            struct buffer answer = {0};
            store_fixture_result(&row, kind * 10 + i, JOB_SUCCEEDED);
            char *to = buffer_reserve(&answer, sizes[i]);
            if (kind == 0)
                memset(to, 'a', sizes[i]);
            else
                id_random_bytes(to, sizes[i]);
            answer.len = sizes[i];
            store_fixture_clear_reply();
            store_commit(fixture.store, &row, buffer_slice(&answer), SLICE_NULL,
                store_fixture_on_committed, NULL);
            store_fixture_wait(&fixture);
            assert_int_equal(store_reply.status, STORE_OK);
            assert_int_equal(get(row.id, 0, STORE_ANSWER), STORE_OK);
            assert_int_equal(store_reply.bytes.len, sizes[i]);
            assert_memory_equal(store_reply.bytes.data, answer.data, sizes[i]);
            buffer_clear(&answer);
        }
    assert_in_range(store_fixture_sql_int(&fixture,
                        "SELECT sum(length(answer)) FROM content "
                        "WHERE answer_zstd = 1"),
        1, 5000);
}

static int committed;

static void
count_ok(void *arg, enum store_status status, const struct job_result *row)
{
    (void)arg;
    (void)row;
    assert_int_equal(status, STORE_OK);
    committed++;
}

static void
what_queues_up_is_committed_in_groups(void **state)
{
    (void)state;
    struct store_stats stats;
    struct job_result row;
    committed = 0;
    for (unsigned i = 0; i < 2000; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        store_commit(
            fixture.store, &row, slice_of("{}"), SLICE_NULL, count_ok, NULL);
        assert_int_equal(committed, 0); /* never before the call returned */
    }
    while (committed < 2000)
        event_base_loop(fixture.base, EVLOOP_ONCE);
    store_get_stats(fixture.store, &stats);
    assert_int_equal(stats.rows, 2000);
    assert_in_range(stats.commits, 2000 / 256, 500);
    assert_int_equal(stats.queue_length, 0);
    assert_true(stats.file_bytes > 2000 * 100 && stats.free_bytes > 0);
}

static void
one_group_with_the_same_row_twice_commits_one(void **state)
{
    (void)state;
    struct job_result row;
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    committed = 0;
    store_commit(
        fixture.store, &row, slice_of("1"), SLICE_NULL, count_ok, NULL);
    store_fixture_clear_reply();
    store_commit(fixture.store, &row, slice_of("2"), SLICE_NULL,
        store_fixture_on_committed, NULL);
    store_fixture_wait(&fixture);
    assert_int_equal(committed, 1);
    assert_int_equal(store_reply.status, STORE_EXISTS);
    assert_int_equal(get(row.id, 0, STORE_ANSWER), STORE_OK);
    assert_bytes("1");
}

static void
closing_commits_what_was_handed_over(void **state)
{
    (void)state;
    struct job_result row;
    committed = 0;
    for (unsigned i = 0; i < 700; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        store_commit(
            fixture.store, &row, slice_of("{}"), SLICE_NULL, count_ok, NULL);
    }
    store_fixture_reopen(&fixture);
    assert_int_equal(committed, 700);
    assert_int_equal(
        store_fixture_sql_int(&fixture, "SELECT count(*) FROM job"), 700);
}

static void
on_row_ask_again(void *arg, enum store_status status,
    const struct job_result *row, struct slice bytes)
{
    (void)bytes;
    (void)row;
    if (status == STORE_ABSENT)
        store_marker_set(arg, "late", store_fixture_on_status, NULL);
}

static void
what_a_callback_asks_of_a_closing_store_fails(void **state)
{
    (void)state;
    store_fixture_clear_reply();
    store_get(
        fixture.store, "job_x", -1, STORE_ROW, on_row_ask_again, fixture.store);
    store_fixture_reopen(&fixture);
    assert_true(store_reply.came);
    assert_int_equal(store_reply.status, STORE_FAILED);
}

static void
the_newest_job_of_an_idempotency_key_is_found(void **state)
{
    (void)state;
    struct job_result row;
    for (unsigned i = 1; i <= 3; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        row.meta.idempotency_key = memory_dup(i == 2 ? "other" : "order 17");
        strcpy(row.meta.sha256,
            "0123456789abcdef0123456789abcdef"
            "0123456789abcdef0123456789abcdef");
        assert_int_equal(commit(&row, "{}", ""), STORE_OK);
        job_result_clear(&row);
    }
    store_fixture_clear_reply();
    store_get_idempotent(
        fixture.store, "default", "order 17", store_fixture_on_row, NULL);
    store_fixture_wait(&fixture);
    assert_int_equal(store_reply.status, STORE_OK);
    char id[ID_SIZE];
    store_fixture_id(id, 3);
    assert_string_equal(store_reply.rows[0].id, id);
    assert_string_equal(store_reply.rows[0].meta.idempotency_key, "order 17");
    assert_int_equal(strlen(store_reply.rows[0].meta.sha256), 64);
    static const char *const others[][2] = {
        {"acme", "order 17"}, {"default", "order 18"}, {"default", ""}};
    for (size_t i = 0; i < 3; i++) {
        store_fixture_clear_reply();
        store_get_idempotent(fixture.store, others[i][0], others[i][1],
            store_fixture_on_row, NULL);
        store_fixture_wait(&fixture);
        assert_int_equal(store_reply.status, STORE_ABSENT);
    }
}

static void
set_marker(struct store *store, const char *marker, enum store_status expected)
{
    store_fixture_clear_reply();
    store_marker_set(store, marker, store_fixture_on_status, NULL);
    store_fixture_wait(&fixture);
    assert_int_equal(store_reply.status, expected);
}

static void
the_marker_is_set_once(void **state)
{
    (void)state;
    store_marker_get(fixture.store, store_fixture_on_marker, NULL);
    store_fixture_wait(&fixture);
    assert_int_equal(store_reply.status, STORE_OK);
    assert_int_equal(store_reply.bytes.len, 0);
    set_marker(fixture.store, "uuid real", STORE_OK);
    set_marker(fixture.store, "uuid real", STORE_OK);
    set_marker(fixture.store, "uuid simulated", STORE_EXISTS);
    store_fixture_reopen(&fixture);
    store_fixture_clear_reply();
    store_marker_get(fixture.store, store_fixture_on_marker, NULL);
    store_fixture_wait(&fixture);
    assert_bytes("uuid real");
}

static void
files_are_for_their_owner_only(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    struct job_result row;
    store_fixture_result(&row, 1, JOB_SUCCEEDED);
    assert_int_equal(commit(&row, "{}", ""), STORE_OK);
    for (size_t i = 0; i < 4; i++) {
        char path[400];
        struct stat info;
        snprintf(path, sizeof(path), "%s%s", fixture.path, suffixes[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
}

static void
the_log_stays_short(void **state)
{
    (void)state;
    char path[400];
    struct stat info;
    struct job_result row;
    struct buffer answer = {0};
    memset(buffer_reserve(&answer, 3000), 'x', 3000);
    answer.len = 3000;
    committed = 0;
    for (unsigned i = 0; i < 8000; i++) {
        store_fixture_result(&row, i, JOB_SUCCEEDED);
        store_commit(fixture.store, &row, buffer_slice(&answer), SLICE_NULL,
            count_ok, NULL);
        while (i % 100 == 99 && committed < (int)i)
            event_base_loop(fixture.base, EVLOOP_ONCE);
    }
    while (committed < 8000)
        event_base_loop(fixture.base, EVLOOP_ONCE);
    buffer_clear(&answer);
    snprintf(path, sizeof(path), "%s-wal", fixture.path);
    assert_int_equal(stat(path, &info), 0);
    assert_in_range(info.st_size, 1, 12 << 20);
    store_fixture_reopen(&fixture); /* closing empties it */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_comes_back_with_all_its_members),
        TEST(absent_is_absent),
        TEST(the_first_terminal_row_wins),
        TEST(of_two_stores_the_first_wins),
        TEST(a_replay_makes_a_newer_generation),
        TEST(an_older_generation_that_comes_late_is_only_history),
        TEST(answers_of_every_size_come_back_whole),
        TEST(what_queues_up_is_committed_in_groups),
        TEST(one_group_with_the_same_row_twice_commits_one),
        TEST(closing_commits_what_was_handed_over),
        TEST(what_a_callback_asks_of_a_closing_store_fails),
        TEST(the_newest_job_of_an_idempotency_key_is_found),
        TEST(the_marker_is_set_once),
        TEST(files_are_for_their_owner_only),
        TEST(the_log_stays_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
