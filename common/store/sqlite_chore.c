#include <string.h>

#include "common/store/sqlite.h"

/* The statement with the job and the generation bound, or NULL. */
static sqlite3_stmt *
for_row(struct sqlite_writer *writer, enum sqlite_write_statement which,
    const struct store_work *work)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, which);
    if (stmt == NULL)
        return NULL;
    sqlite_bind_text(stmt, 1, work->id);
    if (sqlite3_bind_parameter_count(stmt) > 1)
        sqlite3_bind_int64(stmt, 2, work->generation);
    return stmt;
}

static int
run_tags(struct sqlite_writer *writer, enum sqlite_write_statement which,
    const char *id, const struct job_meta *meta, sqlite3_int64 row)
{
    for (unsigned i = 0; i < meta->tag_count; i++) {
        sqlite3_stmt *stmt = sqlite_writer_get(writer, which);
        if (stmt == NULL)
            return sqlite3_errcode(writer->db);
        sqlite_bind_text(stmt, 1, id);
        sqlite_bind_text(stmt, 2, meta->tags[i]);
        if (sqlite3_bind_parameter_count(stmt) > 2)
            sqlite3_bind_int64(stmt, 3, row);
        int rc = sqlite_run(stmt);
        if (rc != SQLITE_DONE)
            return rc;
    }
    return SQLITE_OK;
}

/* ---- delete ---- */

/* What says whose job it was and when; nothing a client wrote. */
static void
encode_name(const struct job_meta *meta, struct buffer *out)
{
    struct job_meta name = {.lane = meta->lane,
        .created_ms = meta->created_ms,
        .expires_ms = meta->expires_ms,
        .max_attempts = meta->max_attempts,
        .custom_id = meta->custom_id}; /* results name every item */
    memcpy(name.model, meta->model, sizeof(name.model));
    memcpy(name.bucket, meta->bucket, sizeof(name.bucket));
    memcpy(name.tenant, meta->tenant, sizeof(name.tenant));
    memcpy(name.batch, meta->batch, sizeof(name.batch));
    job_meta_encode(&name, out);
}

static int
delete_row(struct sqlite_writer *writer, const struct job_result *result,
    sqlite3_int64 row)
{
    struct buffer name = {0};
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_DELETE_ROW);
    int rc = run_tags(
        writer, WRITE_DELETE_TAGS_OF_ID, result->id, &result->meta, row);
    if (stmt == NULL || rc != SQLITE_OK)
        return stmt == NULL ? sqlite3_errcode(writer->db) : rc;
    encode_name(&result->meta, &name);
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_text64(
        stmt, 2, name.data, name.len, SQLITE_STATIC, SQLITE_UTF8);
    rc = sqlite_run(stmt);
    sqlite3_clear_bindings(stmt);
    buffer_clear(&name);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The next generation of the job after `generation`: SQLITE_ROW, DONE. */
static int
find_next(struct sqlite_writer *writer, struct store_work *work,
    struct job_result *result, sqlite3_int64 *row)
{
    sqlite3_stmt *stmt = for_row(writer, WRITE_DELETE_FIND, work);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *row = sqlite3_column_int64(stmt, SQLITE_ROW_COLUMN_COUNT);
        if (sqlite_row_read(stmt, result) != 0)
            rc = SQLITE_MISMATCH;
    }
    sqlite3_reset(stmt);
    return rc;
}

static int
delete_job(struct sqlite_writer *writer, struct store_work *work)
{
    struct job_result result;
    sqlite3_int64 row = 0;
    sqlite3_stmt *contents = for_row(writer, WRITE_DELETE_CONTENT_OF_ID, work);
    int rc = sqlite_run(contents);
    if (rc != SQLITE_DONE)
        return rc;
    work->status = STORE_ABSENT;
    work->generation = -1;
    while ((rc = find_next(writer, work, &result, &row)) == SQLITE_ROW) {
        work->status = STORE_OK;
        work->generation = (int)result.generation;
        rc = delete_row(writer, &result, row);
        job_result_clear(&result);
        if (rc != SQLITE_OK)
            return rc;
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- dead letters ---- */

static int
drop_request(struct sqlite_writer *writer, struct store_work *work)
{
    int rc = sqlite_run(for_row(writer, WRITE_DROP_REQUEST, work));
    if (rc == SQLITE_DONE)
        rc = sqlite_run(for_row(writer, WRITE_DROP_EMPTY, work));
    if (rc == SQLITE_DONE)
        rc = sqlite_run(for_row(writer, WRITE_DROP_DEAD, work));
    if (rc != SQLITE_DONE)
        return rc;
    work->status = sqlite3_changes(writer->db) > 0 ? STORE_OK : STORE_ABSENT;
    return SQLITE_OK;
}

/* ---- sweep ---- */

static int
sweep_row(struct sqlite_writer *writer, sqlite3_int64 row)
{
    static const enum sqlite_write_statement both[] = {
        WRITE_SWEEP_CONTENT, WRITE_SWEEP_JOB};
    for (size_t i = 0; i < 2; i++) {
        sqlite3_stmt *stmt = sqlite_writer_get(writer, both[i]);
        if (stmt == NULL)
            return sqlite3_errcode(writer->db);
        sqlite3_bind_int64(stmt, 1, row);
        int rc = sqlite_run(stmt);
        if (rc != SQLITE_DONE)
            return rc;
    }
    return SQLITE_OK;
}

int
sqlite_chore_sweep_row(struct sqlite_writer *writer, const char *id,
    const struct job_meta *meta, sqlite3_int64 row)
{
    int rc = run_tags(writer, WRITE_SWEEP_TAGS, id, meta, row);
    return rc == SQLITE_OK ? sweep_row(writer, row) : rc;
}

/* The oldest row that is due: SQLITE_ROW or DONE. */
static int
find_due(struct sqlite_writer *writer, const struct store_work *work,
    sqlite3_int64 *row, char **id, struct job_meta *meta)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_SWEEP_FIND);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite3_bind_int64(stmt, 1, work->finished_before_ms);
    sqlite3_bind_int64(stmt, 2, work->dead_before_ms);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *row = sqlite3_column_int64(stmt, 0);
        *id = memory_dup((const char *)sqlite3_column_text(stmt, 1));
        const char *json = (const char *)sqlite3_column_text(stmt, 2);
        if (job_meta_decode(slice_of(json), meta) != 0)
            memset(meta, 0, sizeof(*meta)); /* it goes all the same */
    }
    sqlite3_reset(stmt);
    return rc;
}

static int
sweep(struct sqlite_writer *writer, struct store_work *work)
{
    int rc = SQLITE_ROW;
    while (work->swept < work->limit) {
        sqlite3_int64 row = 0;
        char *id = NULL;
        struct job_meta meta;
        rc = find_due(writer, work, &row, &id, &meta);
        if (rc != SQLITE_ROW)
            break;
        int gone = sqlite_chore_sweep_row(writer, id, &meta, row);
        job_meta_clear(&meta);
        memory_free(id);
        if (gone != SQLITE_OK)
            return gone;
        work->swept++;
    }
    work->more = rc == SQLITE_ROW;
    work->status = STORE_OK;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- marker ---- */

static int
set_marker(struct sqlite_writer *writer, struct store_work *work)
{
    sqlite3_stmt *add = sqlite_writer_get(writer, WRITE_MARKER_ADD);
    sqlite3_stmt *get = sqlite_writer_get(writer, WRITE_MARKER_GET);
    if (add == NULL || get == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(add, 1, work->text);
    int rc = sqlite_run(add);
    if (rc != SQLITE_DONE)
        return rc;
    rc = sqlite3_step(get);
    if (rc == SQLITE_ROW) {
        const char *marker = (const char *)sqlite3_column_text(get, 0);
        bool same = strcmp(marker, work->text) == 0;
        work->status = same ? STORE_OK : STORE_EXISTS;
    }
    sqlite3_reset(get);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int
sqlite_chore_run(struct sqlite_writer *writer, struct store_work *work)
{
    switch (work->kind) {
    case STORE_WORK_DELETE: return delete_job(writer, work);
    case STORE_WORK_DISCARD:
    case STORE_WORK_FORGET_REQUEST: return drop_request(writer, work);
    case STORE_WORK_SWEEP: return sweep(writer, work);
    case STORE_WORK_MARKER_SET: return set_marker(writer, work);
    case STORE_WORK_BATCH_PUT:
    case STORE_WORK_BATCH_ERASE: return sqlite_batch_write(writer, work);
    case STORE_WORK_COMMIT:
    case STORE_WORK_GET:
    case STORE_WORK_GET_IDEMPOTENT:
    case STORE_WORK_LIST:
    case STORE_WORK_MARKER_GET:
    case STORE_WORK_BATCH_TALLY:
    case STORE_WORK_BATCH_ROWS:
    case STORE_WORK_BATCH_GET:
    case STORE_WORK_BATCH_LIST:
    case STORE_WORK_BATCH_REJECTS: break;
    }
    return SQLITE_MISUSE;
}
