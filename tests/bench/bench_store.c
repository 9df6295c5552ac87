/*
 * Speed of the result store: rows committed a second with 256 at a time in
 * flight, as a ratio to a bare loop that puts the same bytes into one table
 * of a SQLite file with the same settings, 64 rows a transaction. Medians of
 * three runs. Then how long lists take on what is there: the mean and the
 * slowest but one of a hundred pages, each from another place.
 *
 * usage: bench_store [ROWS] [FOLDER]
 *        bench_store lists [ROWS] [FOLDER]    lists alone, small answers
 */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/store/store.h"

#define RUNS 3
#define IN_FLIGHT 256
#define BARE_GROUP 64
#define ANSWER_BYTES 2000
#define FIRST_MS INT64_C(1795186700000)
#define PAGES 100

static char answer[ANSWER_BYTES];
static size_t answer_bytes = ANSWER_BYTES;
static struct event_base *base;

static void
fail(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static void
make_result(struct job_result *result, unsigned number)
{
    memset(result, 0, sizeof(*result));
    int64_t created_ms = FIRST_MS + number;
    snprintf(result->id, sizeof(result->id), "job_%08x-%04x-7000-8000-%012x",
        (unsigned)(created_ms >> 16), (unsigned)(created_ms & 0xffff), number);
    result->state = number % 50 == 0 ? JOB_FAILED : JOB_SUCCEEDED;
    result->version = 4;
    result->finished_ms = FIRST_MS + 100000 + number;
    result->attempts = 1;
    result->usage = (struct job_usage){1200, 400, 0, 0, 0};
    memcpy(result->model, "claude-opus-5-5", 16);
    memcpy(result->stop_reason, "end_turn", 9);
    memcpy(result->meta.model, "claude-opus-5-5", 16);
    memcpy(result->meta.bucket, "opus-5-5", 9);
    snprintf(result->meta.tenant, sizeof(result->meta.tenant), "tenant%u",
        number % 7);
    result->meta.lane =
        number % 5000 == 0 ? JOB_LANE_INTERACTIVE : JOB_LANE_STANDARD;
    result->meta.created_ms = created_ms;
    if (result->state == JOB_FAILED) {
        memcpy(result->error.class_name, "bad_request", 12);
        memcpy(result->error.type, "invalid_request_error", 22);
    }
    if (number % 1000 == 0)
        job_meta_add_tag(&result->meta, slice_of("rare"));
}

/* ---- the store ---- */

static unsigned committed;
static int64_t *latency_us; /* first the start, then what it took */

static void
on_committed(
    void *arg, enum store_status status, const struct job_result *existing)
{
    (void)existing;
    if (status != STORE_OK)
        fail("a commit failed");
    int64_t *at = arg;
    *at = clock_mono_us() - *at;
    committed++;
}

static double
commit_rows(struct store *store, unsigned rows)
{
    struct job_result result;
    int64_t start_us = clock_mono_us();
    committed = 0;
    for (unsigned i = 0; i < rows; i++) {
        while (i - committed >= IN_FLIGHT)
            event_base_loop(base, EVLOOP_ONCE);
        make_result(&result, i);
        latency_us[i] = clock_mono_us();
        store_commit(store, &result, slice_make(answer, answer_bytes),
            SLICE_NULL, on_committed, &latency_us[i]);
        job_result_clear(&result);
    }
    while (committed < rows)
        event_base_loop(base, EVLOOP_ONCE);
    return rows * 1e6 / (double)(clock_mono_us() - start_us);
}

/* ---- the bare loop ---- */

static void
execute(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
}

static void
insert(sqlite3_stmt *stmt, unsigned number)
{
    struct job_result result;
    struct buffer meta = {0};
    make_result(&result, number);
    job_meta_encode(&result.meta, &meta);
    sqlite3_bind_text(stmt, 1, result.id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, meta.data, (int)meta.len, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 3, answer, ANSWER_BYTES, SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        fail("an insert failed");
    sqlite3_reset(stmt);
    buffer_clear(&meta);
    job_result_clear(&result);
}

static double
insert_rows(const char *path, unsigned rows)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail("cannot open the file of the bare loop");
    execute(db, "PRAGMA journal_mode = WAL");
    execute(db, "PRAGMA synchronous = FULL");
    execute(db, "CREATE TABLE r (id TEXT PRIMARY KEY, meta TEXT, a BLOB)");
    sqlite3_prepare_v2(db, "INSERT INTO r VALUES (?, ?, ?)", -1, &stmt, NULL);
    int64_t start_us = clock_mono_us();
    for (unsigned i = 0; i < rows; i += BARE_GROUP) {
        execute(db, "BEGIN IMMEDIATE");
        for (unsigned j = i; j < i + BARE_GROUP && j < rows; j++)
            insert(stmt, j);
        execute(db, "COMMIT");
    }
    double rate = rows * 1e6 / (double)(clock_mono_us() - start_us);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return rate;
}

/* ---- lists ---- */

static bool listed;
static unsigned busy; /* took too long and was given up */

static void
on_rows(void *arg, enum store_status status, const struct job_result *rows,
    size_t count)
{
    (void)arg;
    (void)rows;
    (void)count;
    if (status == STORE_BUSY)
        busy++;
    else if (status != STORE_OK)
        fail("a list failed");
    listed = true;
}

static int
by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Pages of 50 from everywhere, the newest first. */
static void
time_list(struct store *store, const char *name,
    const struct store_filter *filter, unsigned rows)
{
    int64_t took_us[PAGES];
    int64_t all_us = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        struct job_result from;
        make_result(&from, rows - rows / PAGES * i);
        int64_t start_us = clock_mono_us();
        listed = false;
        store_list(store, filter, from.id, 50, on_rows, NULL);
        while (!listed)
            event_base_loop(base, EVLOOP_ONCE);
        took_us[i] = clock_mono_us() - start_us;
        job_result_clear(&from);
        all_us += took_us[i];
    }
    qsort(took_us, PAGES, sizeof(took_us[0]), by_value);
    printf("%-28s %9.2f ms, p99 %.2f ms", name, (double)all_us / PAGES / 1e3,
        (double)took_us[PAGES - 2] / 1e3);
    if (busy > 0)
        printf(", %u given up", busy);
    printf("\n");
    busy = 0;
}

static void
print_lists(struct store *store, unsigned rows)
{
    const struct {
        const char *name;
        struct store_filter filter;
    } lists[] = {{"list: newest 50", {.has_state = false}},
        {"list: failed", {.has_state = true, .state = JOB_FAILED}},
        {"list: canceled (none)", {.has_state = true, .state = JOB_CANCELED}},
        {"list: succeeded", {.has_state = true, .state = JOB_SUCCEEDED}},
        {"list: one tenant", {.tenant = "tenant3"}},
        {"list: a tenant's failed",
            {.tenant = "tenant3", .has_state = true, .state = JOB_FAILED}},
        {"list: a rare tag", {.tag = "rare"}},
        {"list: a model", {.model = "claude-opus-5-5"}},
        {"list: a model (none)", {.model = "claude-x"}},
        {"list: a lane", {.lane = "standard"}},
        {"list: a rare lane", {.lane = "interactive"}},
        {"list: a lane (none)", {.lane = "bulk"}},
        {"list: an error type", {.error_type = "invalid_request_error"}},
        {"list: created_before", {.before_ms = FIRST_MS + rows / 2}},
        {"list: created_after", {.after_ms = FIRST_MS + rows / 2}},
        {"list: a tenant (none)", {.tenant = "nobody"}}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        time_list(store, lists[i].name, &lists[i].filter, rows);
}

/* ---- all ---- */

static void
remove_files(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        char name[400];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int64_t
median(int64_t values[RUNS])
{
    qsort(values, RUNS, sizeof(values[0]), by_value);
    return values[RUNS / 2];
}

static void
run_once(const char *path, unsigned rows, bool last, int64_t *store_rate,
    int64_t *bare_rate)
{
    char error[512], url[400];
    remove_files(path);
    *bare_rate = (int64_t)insert_rows(path, rows);
    remove_files(path);
    snprintf(url, sizeof(url), "sqlite:%s", path);
    struct store *store =
        store_open(base, url, STORE_READ | STORE_WRITE, error, sizeof(error));
    if (store == NULL)
        fail(error);
    *store_rate = (int64_t)commit_rows(store, rows);
    if (last) {
        struct store_stats stats;
        store_get_stats(store, &stats);
        printf("%-28s %9.1f rows\n", "mean group",
            (double)stats.rows / (double)stats.commits);
        print_lists(store, rows);
    }
    store_close(store);
    remove_files(path);
}

static void
run_lists(const char *path, unsigned rows)
{
    char error[512], url[400];
    snprintf(url, sizeof(url), "sqlite:%s", path);
    struct store *store =
        store_open(base, url, STORE_READ | STORE_WRITE, error, sizeof(error));
    if (store == NULL)
        fail(error);
    answer_bytes = 100;
    printf("%-28s %9.0f rows/s\n", "store", commit_rows(store, rows));
    print_lists(store, rows);
    store_close(store);
    remove_files(path);
}

int
main(int argc, char **argv)
{
    bool lists = argc > 1 && strcmp(argv[1], "lists") == 0;
    argc -= lists;
    argv += lists;
    unsigned rows = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
    char folder[300], path[350];
    int64_t store_rate[RUNS], bare_rate[RUNS];
    snprintf(folder, sizeof(folder), "%s/bench-store.XXXXXX",
        argc > 2 ? argv[2] : ".");
    if (rows == 0 || mkdtemp(folder) == NULL)
        fail("usage: bench_store [ROWS] [FOLDER]");
    snprintf(path, sizeof(path), "%s/x.db", folder);
    for (size_t i = 0; i < ANSWER_BYTES; i++)
        answer[i] = (char)('a' + i * i % 23);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* as the store does */
    base = event_base_new();
    latency_us = memory_zalloc(rows, sizeof(*latency_us));
    if (lists) {
        run_lists(path, rows);
        rmdir(folder);
        return 0;
    }
    for (int i = 0; i < RUNS; i++)
        run_once(path, rows, i == RUNS - 1, &store_rate[i], &bare_rate[i]);
    int64_t store_median = median(store_rate), bare_median = median(bare_rate);
    qsort(latency_us, rows, sizeof(*latency_us), by_value);
    printf("%-28s %9lld rows/s\n", "store", (long long)store_median);
    printf("%-28s %9lld rows/s\n", "bare loop", (long long)bare_median);
    printf("%-28s %9.0f %%\n", "ratio",
        100.0 * (double)store_median / (double)bare_median);
    printf("%-28s %9.1f ms, p99 %.1f ms\n", "commit p50",
        (double)latency_us[rows / 2] / 1e3,
        (double)latency_us[(size_t)rows * 99 / 100] / 1e3);
    memory_free(latency_us);
    event_base_free(base);
    rmdir(folder);
    return 0;
}
