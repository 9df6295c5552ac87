/* Batches in SQLite: rows in order of commitment, tallies, ended batches. */

#include <assert.h>
#include <string.h>

#include "common/base/log.h"
#include "common/store/sqlite.h"

/* ---- writing; inside a transaction ---- */

static int
run_for(struct sqlite_writer *writer, enum sqlite_write_statement which,
    const char *uuid)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, which);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(stmt, 1, uuid);
    int rc = sqlite_run(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
insert_batch(struct sqlite_writer *writer, const struct bulk *bulk)
{
    struct buffer tally = {0};
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_BATCH_PUT);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    bulk_tally_encode(&bulk->tally, &tally);
    sqlite_bind_text(stmt, 1, bulk->uuid);
    sqlite_bind_text(stmt, 2, bulk_face_name(bulk->face));
    sqlite_bind_text(stmt, 3, bulk->tenant);
    sqlite3_bind_int64(stmt, 4, bulk->created_ms);
    sqlite3_bind_int64(stmt, 5, bulk->expires_ms);
    sqlite3_bind_int64(stmt, 6, bulk->cancel_ms);
    sqlite3_bind_int64(stmt, 7, bulk->ended_ms);
    sqlite3_bind_int64(stmt, 8, (sqlite3_int64)bulk->total);
    sqlite3_bind_int64(stmt, 9, (sqlite3_int64)bulk->rejected);
    sqlite_bind_text(stmt, 10, bulk->sha256);
    sqlite_bind_text(stmt, 11, bulk->run);
    sqlite_bind_text(stmt, 12, bulk->idempotency_key);
    sqlite_bind_text(stmt, 13, bulk->meta);
    sqlite3_bind_text64(
        stmt, 14, tally.data, tally.len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite_run(stmt);
    sqlite3_clear_bindings(stmt);
    buffer_clear(&tally);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
put(struct sqlite_writer *writer, struct store_work *work)
{
    int rc = insert_batch(writer, &work->batch->bulk);
    if (rc != SQLITE_OK)
        return rc;
    work->status = STORE_OK;
    if (sqlite3_changes(writer->db) == 0) {
        work->status = STORE_EXISTS;
        return SQLITE_OK;
    }
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_BATCH_PUT_REJECTS);
    if (work->request.len == 0)
        return SQLITE_OK;
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(stmt, 1, work->batch->bulk.uuid);
    sqlite3_bind_blob64(
        stmt, 2, work->request.data, work->request.len, SQLITE_STATIC);
    rc = sqlite_run(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* One row of the batch: SQLITE_ROW, SQLITE_DONE when there is none. */
static int
find_item(struct sqlite_writer *writer, const char *uuid, sqlite3_int64 *row,
    char **id, struct job_meta *meta, bool *dead)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_BATCH_FIND);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(stmt, 1, uuid);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *json = (const char *)sqlite3_column_text(stmt, 2);
        *row = sqlite3_column_int64(stmt, 0);
        *id = memory_dup((const char *)sqlite3_column_text(stmt, 1));
        *dead = sqlite3_column_int(stmt, 3) != 0;
        if (job_meta_decode(slice_of(json), meta) != 0)
            memset(meta, 0, sizeof(*meta)); /* it goes all the same */
    }
    sqlite3_reset(stmt);
    return rc;
}

static int
release(struct sqlite_writer *writer, sqlite3_int64 row)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_BATCH_RELEASE);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite3_bind_int64(stmt, 1, row);
    int rc = sqlite_run(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* SQLITE_ROW: there was one, and it is gone. */
static int
erase_item(struct sqlite_writer *writer, const char *uuid)
{
    sqlite3_int64 row = 0;
    char *id = NULL;
    struct job_meta meta;
    bool dead = false;
    int rc = find_item(writer, uuid, &row, &id, &meta, &dead);
    if (rc != SQLITE_ROW)
        return rc;
    rc = dead ? release(writer, row)
              : sqlite_chore_sweep_row(writer, id, &meta, row);
    job_meta_clear(&meta);
    memory_free(id);
    return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

static int
erase_rest(struct sqlite_writer *writer, const char *uuid, bool forget)
{
    int rc = run_for(writer, WRITE_BATCH_DROP_TALLY, uuid);
    if (rc == SQLITE_OK)
        rc = run_for(writer, WRITE_BATCH_DROP_REJECTS, uuid);
    if (rc == SQLITE_OK)
        rc = run_for(
            writer, forget ? WRITE_BATCH_FORGET : WRITE_BATCH_EMPTY, uuid);
    return rc;
}

static int
erase(struct sqlite_writer *writer, struct store_work *work)
{
    sqlite3_stmt *has = sqlite_writer_get(writer, WRITE_BATCH_HAS);
    if (has == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(has, 1, work->text);
    int rc = sqlite3_step(has);
    sqlite3_reset(has);
    work->status = rc == SQLITE_DONE ? STORE_ABSENT : STORE_OK;
    while (rc == SQLITE_ROW && work->swept < work->batch->limit) {
        rc = erase_item(writer, work->text);
        if (rc == SQLITE_ROW)
            work->swept++;
    }
    work->more = rc == SQLITE_ROW;
    if (rc == SQLITE_DONE && work->status == STORE_OK)
        return erase_rest(writer, work->text, work->batch->forget);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
sqlite_batch_write(struct sqlite_writer *writer, struct store_work *work)
{
    return work->kind == STORE_WORK_BATCH_PUT ? put(writer, work)
                                              : erase(writer, work);
}

/* ---- reading: the tally ---- */

static uint64_t
column_u64(sqlite3_stmt *stmt, int at)
{
    sqlite3_int64 value = sqlite3_column_int64(stmt, at);
    return value < 0 ? 0 : (uint64_t)value;
}

static void
add_tally(sqlite3_stmt *stmt, struct bulk_tally *tally)
{
    enum job_state state = JOB_FAILED;
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    uint64_t jobs = column_u64(stmt, 1);
    if (job_state_parse(slice_of(name), &state) != 0)
        return;
    if (state == JOB_SUCCEEDED)
        tally->succeeded += jobs;
    else if (state == JOB_CANCELED)
        tally->canceled += jobs;
    else if (state == JOB_EXPIRED)
        tally->expired += jobs;
    else
        tally->failed += jobs;
    tally->usage.input_tokens += column_u64(stmt, 2);
    tally->usage.output_tokens += column_u64(stmt, 3);
    tally->usage.cache_read_tokens += column_u64(stmt, 4);
    tally->usage.cache_write_5m_tokens += column_u64(stmt, 5);
    tally->usage.cache_write_1h_tokens += column_u64(stmt, 6);
    tally->cost_usd_nanos += sqlite3_column_int64(stmt, 7);
    tally->unpriced += column_u64(stmt, 8);
    tally->last_row = sqlite3_column_int64(stmt, 9);
}

static int
read_tally(sqlite3 *db, struct store_work *work)
{
    sqlite3_stmt *stmt = sqlite_prepare(db,
        "SELECT state, jobs, input_tokens, output_tokens, cache_read_tokens, "
        "cache_write_5m_tokens, cache_write_1h_tokens, cost_usd_nanos, "
        "unpriced, (SELECT row FROM job WHERE batch = ?1 ORDER BY row DESC "
        "LIMIT 1) FROM batch_tally WHERE batch = ?1");
    int rc = SQLITE_ROW;
    if (stmt == NULL)
        return sqlite3_errcode(db);
    sqlite_bind_text(stmt, 1, work->text);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        add_tally(stmt, &work->batch->tally);
    sqlite3_finalize(stmt);
    work->status = STORE_OK;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- reading: rows ---- */

static void
rows_statement(const struct store_batch_query *query, struct buffer *sql)
{
    buffer_append_text(sql, "SELECT " SQLITE_ROW_COLUMNS ", ");
    buffer_append_text(sql,
        query->answers ? "c.answer, c.answer_zstd, c.answer_bytes, j.row "
                       : "NULL, 0, 0, j.row ");
    buffer_append_text(sql,
        query->dead ? "FROM job AS j INDEXED BY job_batch_dead "
                    : "FROM job AS j INDEXED BY job_batch ");
    if (query->answers)
        buffer_append_text(sql, "LEFT JOIN content AS c ON c.row = j.row ");
    buffer_append_text(
        sql, "WHERE j.batch = ?1 AND j.row > ?2 AND j.row <= ?3 ");
    if (query->dead)
        buffer_append_text(sql, "AND j.dead = 1 AND j.batch IS NOT NULL ");
    if (query->newest)
        buffer_append_text(sql,
            "AND NOT EXISTS (SELECT 1 FROM job AS n WHERE n.id = j.id AND "
            "n.generation > j.generation AND n.row <= ?3) ");
    buffer_append_text(sql, "ORDER BY j.row LIMIT ?4");
}

/* 0, or -1 (logged) when the row makes no sense. */
static int
take_row(sqlite3_stmt *stmt, struct store_work *work)
{
    struct store_batch_work *batch = work->batch;
    struct store_batch_row *row = &batch->rows[batch->row_count];
    int at = SQLITE_ROW_COLUMN_COUNT;
    struct slice packed = slice_make(
        sqlite3_column_blob(stmt, at), (size_t)sqlite3_column_bytes(stmt, at));

    if (sqlite_row_read(stmt, &row->result) != 0)
        return -1;
    row->row = sqlite3_column_int64(stmt, at + 3);
    batch->row_count++;
    if (packed.len > 0 &&
        sqlite_content_unpack(packed, sqlite3_column_int(stmt, at + 1) != 0,
            (uint64_t)sqlite3_column_int64(stmt, at + 2), &work->bytes) != 0) {
        log_error("store_content_broken", LOG_TEXT("job", row->result.id));
        return -1;
    }
    batch->answer_ends[batch->row_count - 1] = work->bytes.len;
    return 0;
}

/* SQLITE_OK; the status is FAILED when a row is damaged. */
static int
take_rows(sqlite3_stmt *stmt, struct store_work *work)
{
    const struct store_batch_query *query = &work->batch->query;
    int rc = SQLITE_ROW;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        work->more = work->batch->row_count == query->limit ||
            (query->max_bytes > 0 && work->bytes.len >= query->max_bytes);
        if (work->more)
            break;
        if (take_row(stmt, work) != 0)
            return SQLITE_OK;
    }
    work->status = STORE_OK;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
read_rows(sqlite3 *db, struct store_work *work)
{
    const struct store_batch_query *query = &work->batch->query;
    struct buffer sql = {0};

    rows_statement(query, &sql);
    sqlite3_stmt *stmt = sqlite_prepare(db, sql.data);
    buffer_clear(&sql);
    if (stmt == NULL)
        return sqlite3_errcode(db);
    sqlite_bind_text(stmt, 1, work->text);
    sqlite3_bind_int64(stmt, 2, query->after);
    sqlite3_bind_int64(stmt, 3, query->until > 0 ? query->until : INT64_MAX);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)query->limit + 1);
    work->batch->rows =
        memory_zalloc(query->limit + 1, sizeof(*work->batch->rows));
    work->batch->answer_ends =
        memory_zalloc(query->limit + 1, sizeof(*work->batch->answer_ends));
    int rc = take_rows(stmt, work);
    sqlite3_finalize(stmt);
    if (work->status != STORE_OK)
        store_batch_work_reset_reply(work->batch);
    return rc;
}

/* ---- reading: ended batches ---- */

#define BATCH_COLUMNS \
    "uuid, face, tenant, created_ms, expires_ms, cancel_ms, ended_ms, " \
    "total, rejected, sha256, run, idempotency_key, meta, tally, deleted "

static struct slice
column(sqlite3_stmt *stmt, int at)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    return slice_make(text, (size_t)sqlite3_column_bytes(stmt, at));
}

static char *
column_owned(sqlite3_stmt *stmt, int at)
{
    struct slice text = column(stmt, at);
    return text.data != NULL ? memory_dup_bytes(text.data, text.len) : NULL;
}

static int
read_bulk(sqlite3_stmt *stmt, struct bulk *bulk)
{
    memset(bulk, 0, sizeof(*bulk));
    bulk->state = BATCH_ENDED;
    bulk->created_ms = sqlite3_column_int64(stmt, 3);
    bulk->expires_ms = sqlite3_column_int64(stmt, 4);
    bulk->cancel_ms = sqlite3_column_int64(stmt, 5);
    bulk->ended_ms = sqlite3_column_int64(stmt, 6);
    bulk->total = column_u64(stmt, 7);
    bulk->rejected = column_u64(stmt, 8);
    bulk->idempotency_key = column_owned(stmt, 11);
    bulk->meta = column_owned(stmt, 12);
    bulk->deleted = sqlite3_column_int(stmt, 14) != 0;
    if (text_copy(bulk->uuid, sizeof(bulk->uuid), column(stmt, 0)) &&
        bulk_face_parse(column(stmt, 1), &bulk->face) == 0 &&
        text_copy(bulk->tenant, sizeof(bulk->tenant), column(stmt, 2)) &&
        text_copy(bulk->sha256, sizeof(bulk->sha256), column(stmt, 9)) &&
        text_copy(bulk->run, sizeof(bulk->run), column(stmt, 10)) &&
        bulk_tally_decode(column(stmt, 13), &bulk->tally) == 0)
        return 0;
    log_error("store_batch_broken", LOG_SLICE("batch", column(stmt, 0)));
    bulk_clear(bulk);
    return -1;
}

/* All rows of the statement, at most `limit`; those that make no sense are
 * left out. Finalizes it. */
static int
take_bulks(sqlite3_stmt *stmt, size_t limit, struct store_work *work)
{
    struct store_batch_work *batch = work->batch;
    int rc = SQLITE_DONE;

    batch->bulks = memory_zalloc(limit + 1, sizeof(*batch->bulks));
    while (batch->bulk_count < limit && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        if (read_bulk(stmt, &batch->bulks[batch->bulk_count]) == 0)
            batch->bulk_count++;
    sqlite3_finalize(stmt);
    work->status = STORE_OK;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static sqlite3_stmt *
get_statement(sqlite3 *db, const struct store_work *work)
{
    const struct store_batch_work *batch = work->batch;
    sqlite3_stmt *stmt = NULL;

    if (work->text[0] != '\0') {
        stmt = sqlite_prepare(
            db, "SELECT " BATCH_COLUMNS "FROM batch WHERE uuid = ?1");
        if (stmt != NULL)
            sqlite_bind_text(stmt, 1, work->text);
    } else if (batch->run != NULL) {
        stmt = sqlite_prepare(db,
            "SELECT " BATCH_COLUMNS "FROM batch WHERE tenant = ?1 AND "
            "idempotency_key = ?2 ORDER BY uuid DESC LIMIT 1");
        if (stmt != NULL) {
            sqlite_bind_text(stmt, 1, batch->tenant);
            sqlite_bind_text(stmt, 2, batch->run);
        }
    } else {
        stmt = sqlite_prepare(db,
            "SELECT " BATCH_COLUMNS "FROM batch WHERE (face = 'claude' AND "
            "created_ms < ?1) OR (face <> 'claude' AND ended_ms < ?2) LIMIT 1");
        if (stmt != NULL) {
            sqlite3_bind_int64(stmt, 1, batch->claude_before_ms);
            sqlite3_bind_int64(stmt, 2, batch->ended_before_ms);
        }
    }
    return stmt;
}

static int
read_one(sqlite3 *db, struct store_work *work)
{
    sqlite3_stmt *stmt = get_statement(db, work);
    if (stmt == NULL)
        return sqlite3_errcode(db);
    int rc = take_bulks(stmt, 1, work);
    if (rc == SQLITE_OK && work->batch->bulk_count == 0)
        work->status = STORE_ABSENT;
    return rc;
}

static int
read_list(sqlite3 *db, struct store_work *work)
{
    const struct store_batch_filter *filter = &work->batch->filter;
    struct buffer sql = {0};
    const char *values[3];
    int count = 0;

    buffer_append_text(
        &sql, "SELECT " BATCH_COLUMNS "FROM batch WHERE deleted = 0");
    if (filter->tenant != NULL) {
        buffer_append_text(&sql, " AND tenant = ?");
        values[count++] = filter->tenant;
    }
    if (filter->run != NULL) {
        buffer_append_text(&sql, " AND run <> '' AND run = ?");
        values[count++] = filter->run;
    }
    if (filter->cursor != NULL) {
        buffer_append_text(
            &sql, filter->ascending ? " AND uuid > ?" : " AND uuid < ?");
        values[count++] = filter->cursor;
    }
    buffer_append_text(&sql,
        filter->ascending ? " ORDER BY uuid LIMIT ?"
                          : " ORDER BY uuid DESC LIMIT ?");
    sqlite3_stmt *stmt = sqlite_prepare(db, sql.data);
    buffer_clear(&sql);
    if (stmt == NULL)
        return sqlite3_errcode(db);
    for (int i = 0; i < count; i++)
        sqlite_bind_text(stmt, i + 1, values[i]);
    sqlite3_bind_int64(stmt, count + 1, filter->limit);
    return take_bulks(stmt, filter->limit, work);
}

static int
read_rejects(sqlite3 *db, struct store_work *work)
{
    sqlite3_stmt *stmt = sqlite_prepare(db,
        "SELECT r.lines FROM batch AS b LEFT JOIN batch_reject AS r "
        "ON r.batch = b.uuid WHERE b.uuid = ?1");
    if (stmt == NULL)
        return sqlite3_errcode(db);
    sqlite_bind_text(stmt, 1, work->text);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *lines = sqlite3_column_blob(stmt, 0);
        buffer_append_slice(&work->bytes,
            slice_make(lines, (size_t)sqlite3_column_bytes(stmt, 0)));
        work->status = STORE_OK;
    } else if (rc == SQLITE_DONE) {
        work->status = STORE_ABSENT;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
sqlite_batch_read(sqlite3 *db, struct store_work *work)
{
    switch ((int)work->kind) {
    case STORE_WORK_BATCH_TALLY: return read_tally(db, work);
    case STORE_WORK_BATCH_ROWS: return read_rows(db, work);
    case STORE_WORK_BATCH_GET: return read_one(db, work);
    case STORE_WORK_BATCH_LIST: return read_list(db, work);
    default: return read_rejects(db, work);
    }
}
