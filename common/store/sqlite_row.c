#include <assert.h>
#include <string.h>

#include "common/base/log.h"
#include "common/store/sqlite.h"

/* ---- statements ---- */

sqlite3_stmt *
sqlite_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int rc =
        sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc == SQLITE_OK)
        return stmt;
    sqlite_log(db, "store_prepare_failed");
    assert(rc != SQLITE_ERROR && rc != SQLITE_MISUSE);
    return NULL;
}

void
sqlite_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_text64(
            stmt, at, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
}

int
sqlite_run(sqlite3_stmt *stmt)
{
    if (stmt == NULL)
        return SQLITE_ERROR;
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc;
}

enum store_status
sqlite_status(int rc)
{
    if (rc == SQLITE_IOERR_SHMSIZE)
        return STORE_FULL;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW: return STORE_OK;
    case SQLITE_FULL: return STORE_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT: return STORE_BUSY;
    default: return STORE_FAILED;
    }
}

void
sqlite_log(sqlite3 *db, const char *event)
{
    log_error(event, LOG_INT("code", sqlite3_extended_errcode(db)),
        LOG_TEXT("message", sqlite3_errmsg(db)));
}

/* ---- writing a row ---- */

static void
bind_slice(sqlite3_stmt *stmt, int at, struct slice text)
{
    if (text.len == 0)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_text64(
            stmt, at, text.data, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void
bind_u64(sqlite3_stmt *stmt, int at, uint64_t value)
{
    sqlite3_bind_int64(
        stmt, at, value > INT64_MAX ? INT64_MAX : (sqlite3_int64)value);
}

static const char *
error_type(const struct job_error *error)
{
    if (error->class_name[0] == '\0')
        return NULL;
    return error->type[0] != '\0' ? error->type : error->class_name;
}

static void
bind_usage(sqlite3_stmt *stmt, int at, const struct job_usage *usage)
{
    bind_u64(stmt, at, usage->input_tokens);
    bind_u64(stmt, at + 1, usage->output_tokens);
    bind_u64(stmt, at + 2, usage->cache_read_tokens);
    bind_u64(stmt, at + 3, usage->cache_write_5m_tokens);
    bind_u64(stmt, at + 4, usage->cache_write_1h_tokens);
}

/* The numbers are the places in SQLITE_ROW_INSERT. */
void
sqlite_row_bind(sqlite3_stmt *stmt, const struct job_result *result,
    struct slice meta, struct slice error)
{
    bool answered = result->model[0] != '\0';
    sqlite_bind_text(stmt, 1, result->id);
    sqlite3_bind_int64(stmt, 2, result->generation);
    sqlite_bind_text(stmt, 3, job_state_name(result->state));
    bind_u64(stmt, 4, result->version);
    sqlite_bind_text(stmt, 5, result->meta.tenant);
    sqlite_bind_text(stmt, 6, job_lane_name(result->meta.lane));
    sqlite_bind_text(stmt, 7, answered ? result->model : result->meta.model);
    sqlite3_bind_int64(stmt, 8, result->meta.created_ms);
    sqlite3_bind_int64(stmt, 9, result->started_ms);
    sqlite3_bind_int64(stmt, 10, result->finished_ms);
    sqlite3_bind_int64(stmt, 11, result->attempts);
    sqlite3_bind_int64(stmt, 12, result->unknown_calls);
    sqlite3_bind_int(stmt, 13, result->simulated);
    sqlite_bind_text(stmt, 14, result->stop_reason);
    bind_usage(stmt, 15, &result->usage);
    sqlite3_bind_int64(stmt, 20, result->cost_usd_nanos);
    bind_slice(stmt, 21, error);
    sqlite_bind_text(stmt, 22, error_type(&result->error));
    bind_slice(stmt, 23, meta);
    sqlite_bind_text(stmt, 24, result->meta.idempotency_key);
    sqlite3_bind_int(stmt, 25, result->dead);
    sqlite3_bind_int64(stmt, 26, result->takeovers);
    bind_slice(stmt, 27, slice_of(result->meta.batch));
}

/* ---- reading a row ---- */

static struct slice
column(sqlite3_stmt *stmt, int at)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    return slice_make(text, (size_t)sqlite3_column_bytes(stmt, at));
}

static uint64_t
column_u64(sqlite3_stmt *stmt, int at)
{
    sqlite3_int64 value = sqlite3_column_int64(stmt, at);
    return value < 0 ? 0 : (uint64_t)value;
}

static unsigned
column_uint(sqlite3_stmt *stmt, int at)
{
    return (unsigned)(column_u64(stmt, at) & UINT32_MAX);
}

static void
read_numbers(sqlite3_stmt *stmt, struct job_result *result)
{
    result->generation = column_uint(stmt, 1);
    result->version = column_u64(stmt, 3);
    result->started_ms = sqlite3_column_int64(stmt, 5);
    result->finished_ms = sqlite3_column_int64(stmt, 6);
    result->attempts = column_uint(stmt, 7);
    result->unknown_calls = column_uint(stmt, 8);
    result->simulated = sqlite3_column_int(stmt, 9) != 0;
    result->takeovers = column_uint(stmt, 21);
    result->dead = sqlite3_column_int(stmt, 10) != 0;
    result->deleted = sqlite3_column_int(stmt, 11) != 0;
    result->usage.input_tokens = column_u64(stmt, 13);
    result->usage.output_tokens = column_u64(stmt, 14);
    result->usage.cache_read_tokens = column_u64(stmt, 15);
    result->usage.cache_write_5m_tokens = column_u64(stmt, 16);
    result->usage.cache_write_1h_tokens = column_u64(stmt, 17);
    result->cost_usd_nanos = sqlite3_column_int64(stmt, 18);
}

static int
read_texts(sqlite3_stmt *stmt, struct job_result *result)
{
    struct slice error = column(stmt, 19);
    if (!text_copy(result->id, sizeof(result->id), column(stmt, 0)) ||
        !text_copy(result->model, sizeof(result->model), column(stmt, 4)) ||
        !text_copy(result->stop_reason, sizeof(result->stop_reason),
            column(stmt, 12)) ||
        job_state_parse(column(stmt, 2), &result->state) != 0)
        return -1;
    if (error.len > 0 && job_error_decode(error, &result->error) != 0)
        return -1;
    return job_meta_decode(column(stmt, 20), &result->meta);
}

int
sqlite_row_read(sqlite3_stmt *stmt, struct job_result *result)
{
    memset(result, 0, sizeof(*result));
    read_numbers(stmt, result);
    if (read_texts(stmt, result) == 0)
        return 0;
    log_error("store_row_broken", LOG_SLICE("job", column(stmt, 0)),
        LOG_INT("generation", result->generation));
    job_result_clear(result);
    return -1;
}
