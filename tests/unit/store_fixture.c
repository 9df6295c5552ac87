#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

struct store_reply store_reply;

/* ---- open and close ---- */

static void
open_store(struct store_fixture *fixture)
{
    char error[512] = "";
    fixture->store = store_open(fixture->base, fixture->url,
        STORE_READ | STORE_WRITE, error, sizeof(error));
    if (fixture->store == NULL)
        print_error("%s\n", error);
    assert_non_null(fixture->store);
}

void
store_fixture_open(struct store_fixture *fixture)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(fixture->folder, sizeof(fixture->folder), "%s/store.XXXXXX",
        tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(
        fixture->path, sizeof(fixture->path), "%s/results.db", fixture->folder);
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s", fixture->path);
    fixture->base = event_base_new();
    open_store(fixture);
}

void
store_fixture_reopen(struct store_fixture *fixture)
{
    store_close(fixture->store);
    open_store(fixture);
}

struct store *
store_fixture_open_other(struct store_fixture *fixture, unsigned flags)
{
    char error[512];
    struct store *other =
        store_open(fixture->base, fixture->url, flags, error, sizeof(error));
    assert_non_null(other);
    return other;
}

static void
remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *at = readdir(dir); at != NULL; at = readdir(dir)) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", folder, at->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(folder);
}

void
store_fixture_close(struct store_fixture *fixture)
{
    store_close(fixture->store);
    event_base_free(fixture->base);
    store_fixture_clear_reply();
    remove_folder(fixture->folder);
}

/* ---- replies ---- */

void
store_fixture_clear_reply(void)
{
    for (size_t i = 0; i < store_reply.count; i++)
        job_result_clear(&store_reply.rows[i]);
    buffer_clear(&store_reply.bytes);
    memset(&store_reply, 0, sizeof(store_reply));
}

static void
take(enum store_status status)
{
    store_fixture_clear_reply();
    store_reply.came = true;
    store_reply.status = status;
}

static void
take_rows(const struct job_result *rows, size_t count)
{
    assert_true(
        count <= sizeof(store_reply.rows) / sizeof(store_reply.rows[0]));
    for (size_t i = 0; rows != NULL && i < count; i++) {
        store_reply.rows[i] = rows[i];
        job_meta_copy(&store_reply.rows[i].meta, &rows[i].meta);
        store_reply.count++;
    }
}

void
store_fixture_on_status(void *arg, enum store_status status)
{
    (void)arg;
    take(status);
}

void
store_fixture_on_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    (void)arg;
    take(status);
    take_rows(existing, 1);
}

void
store_fixture_on_row(void *arg, enum store_status status,
    const struct job_result *row, struct slice bytes)
{
    (void)arg;
    take(status);
    take_rows(row, 1);
    buffer_append_slice(&store_reply.bytes, bytes);
}

static void
on_rows(void *arg, enum store_status status, const struct job_result *rows,
    size_t count)
{
    (void)arg;
    take(status);
    take_rows(rows, count);
}

void
store_fixture_on_swept(
    void *arg, enum store_status status, unsigned count, bool more)
{
    (void)arg;
    take(status);
    store_reply.swept = count;
    store_reply.more = more;
}

void
store_fixture_on_marker(
    void *arg, enum store_status status, struct slice marker)
{
    (void)arg;
    take(status);
    buffer_append_slice(&store_reply.bytes, marker);
}

void
store_fixture_wait(struct store_fixture *fixture)
{
    while (!store_reply.came)
        event_base_loop(fixture->base, EVLOOP_ONCE);
}

/* ---- rows ---- */

void
store_fixture_id(char out[ID_SIZE], unsigned number)
{
    snprintf(out, ID_SIZE, "job_0199f6a2-%04x-7000-8000-%012x", number / 1000,
        number);
}

void
store_fixture_result(
    struct job_result *result, unsigned number, enum job_state state)
{
    memset(result, 0, sizeof(*result));
    store_fixture_id(result->id, number);
    result->state = state;
    result->version = 4;
    strcpy(result->model, "claude-opus-5-5");
    result->meta.created_ms = id_wall_ms(slice_of(result->id));
    result->started_ms = result->meta.created_ms + 10;
    result->finished_ms = result->meta.created_ms + 20;
    result->attempts = 2;
    result->unknown_calls = 1;
    result->takeovers = 3;
    result->dead = state == JOB_FAILED;
    strcpy(result->stop_reason, state == JOB_SUCCEEDED ? "end_turn" : "");
    result->usage = (struct job_usage){11, 22, 33, 44, 55};
    result->cost_usd_nanos = INT64_C(123456789012);
    if (state == JOB_FAILED) {
        strcpy(result->error.class_name, "bad_request");
        strcpy(result->error.type, "invalid_request_error");
        strcpy(result->error.message, "too long");
        result->error.status = 400;
    }
    strcpy(result->meta.model, "claude-opus-5-5");
    strcpy(result->meta.bucket, "opus-5-5");
    strcpy(result->meta.tenant, "default");
    result->meta.lane = JOB_LANE_STANDARD;
    result->meta.max_attempts = 8;
}

/* ---- calls ---- */

enum store_status
store_fixture_commit(struct store_fixture *fixture, struct store *store,
    const struct job_result *result, const char *answer, const char *request)
{
    store_fixture_clear_reply();
    store_commit(store, result, slice_of(answer), slice_of(request),
        store_fixture_on_committed, NULL);
    store_fixture_wait(fixture);
    return store_reply.status;
}

enum store_status
store_fixture_get(struct store_fixture *fixture, struct store *store,
    const char *id, int generation, enum store_part part)
{
    store_fixture_clear_reply();
    store_get(store, id, generation, part, store_fixture_on_row, NULL);
    store_fixture_wait(fixture);
    return store_reply.status;
}

enum store_status
store_fixture_list(struct store_fixture *fixture, struct store *store,
    const struct store_filter *filter, const char *before, unsigned limit)
{
    store_fixture_clear_reply();
    store_list(store, filter, before, limit, on_rows, NULL);
    store_fixture_wait(fixture);
    return store_reply.status;
}

/* ---- SQLite itself ---- */

static sqlite3_stmt *
query(sqlite3 **db, const char *path, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(
        sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(*db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    return stmt;
}

int64_t
store_fixture_sql_int(const struct store_fixture *fixture, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = query(&db, fixture->path, sql);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

bool
store_fixture_is_sound(const struct store_fixture *fixture)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = query(&db, fixture->path, "PRAGMA integrity_check");
    bool sound = strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return sound;
}
