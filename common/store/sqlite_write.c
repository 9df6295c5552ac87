#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/crash.h"
#include "common/base/log.h"
#include "common/store/sqlite.h"

/* The write-ahead log is copied into the database when it is longer than
 * this (4 MiB), and made to begin anew by force when readers kept it from
 * that for long (64 MiB). */
#define CHECKPOINT_PAGES 1024
#define RESTART_PAGES (16 * 1024)
#define RESTART_WAIT_MS 200

static const char *const sql[WRITE_STATEMENTS] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_INSERT_JOB] = SQLITE_ROW_INSERT,
    [WRITE_INSERT_CONTENT] =
        "INSERT INTO content (row, answer, answer_bytes, answer_zstd, "
        "request) VALUES (?, ?, ?, ?, ?)",
    [WRITE_INSERT_TAG] = "INSERT OR REPLACE INTO job_tag (tag, id, row) "
                         "SELECT ?1, id, row FROM job "
                         "WHERE row = ?2 AND listed = 1",
    [WRITE_TALLY] =
        "INSERT INTO batch_tally SELECT batch, state, 1, input_tokens, "
        "output_tokens, cache_read_tokens, cache_write_5m_tokens, "
        "cache_write_1h_tokens, max(cost_usd_nanos, 0), "
        "cost_usd_nanos < 0 AND input_tokens + output_tokens > 0 FROM job "
        "WHERE row = ?1 AND batch IS NOT NULL AND listed = 1 "
        "ON CONFLICT (batch, state) DO UPDATE SET "
        "jobs = jobs + 1, "
        "input_tokens = input_tokens + excluded.input_tokens, "
        "output_tokens = output_tokens + excluded.output_tokens, "
        "cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens, "
        "cache_write_5m_tokens = "
        "cache_write_5m_tokens + excluded.cache_write_5m_tokens, "
        "cache_write_1h_tokens = "
        "cache_write_1h_tokens + excluded.cache_write_1h_tokens, "
        "cost_usd_nanos = cost_usd_nanos + excluded.cost_usd_nanos, "
        "unpriced = unpriced + excluded.unpriced",
    [WRITE_SUPERSEDE] = "UPDATE job SET listed = 0, dead = 0 "
                        "WHERE id = ?1 AND generation < ?2",
    [WRITE_GET_ROW] = "SELECT " SQLITE_ROW_COLUMNS
                      " FROM job AS j WHERE j.id = ?1 AND j.generation = ?2",
    [WRITE_DELETE_CONTENT_OF_ID] =
        "DELETE FROM content WHERE row IN (SELECT row FROM job WHERE id = ?1)",
    [WRITE_DELETE_TAGS_OF_ID] =
        "DELETE FROM job_tag WHERE id = ?1 AND tag = ?2",
    [WRITE_DELETE_FIND] = "SELECT " SQLITE_ROW_COLUMNS
                          ", j.row FROM job AS j WHERE j.id = ?1 AND "
                          "j.generation > ?2 ORDER BY j.generation LIMIT 1",
    [WRITE_DELETE_ROW] =
        "UPDATE job SET deleted = 1, listed = 0, dead = 0, error = NULL, "
        "error_type = NULL, idempotency_key = NULL, meta = ?2 WHERE row = ?1",
    [WRITE_DROP_REQUEST] = "UPDATE content SET request = NULL WHERE row = "
                           "(SELECT row FROM job WHERE id = ?1 AND "
                           "generation = ?2) AND request IS NOT NULL",
    [WRITE_DROP_EMPTY] = "DELETE FROM content WHERE row = (SELECT row FROM "
                         "job WHERE id = ?1 AND generation = ?2) AND "
                         "answer IS NULL AND request IS NULL",
    [WRITE_DROP_DEAD] = "UPDATE job SET dead = 0 "
                        "WHERE id = ?1 AND generation = ?2",
    [WRITE_SWEEP_FIND] =
        "SELECT * FROM (SELECT row, id, meta FROM job WHERE dead = 0 "
        "AND batch IS NULL AND finished_ms < ?1 ORDER BY finished_ms LIMIT 1) "
        "UNION ALL "
        "SELECT * FROM (SELECT row, id, meta FROM job WHERE dead = 1 "
        "AND batch IS NULL AND finished_ms < ?2 ORDER BY finished_ms LIMIT 1) "
        "LIMIT 1",
    [WRITE_SWEEP_CONTENT] = "DELETE FROM content WHERE row = ?1",
    [WRITE_SWEEP_TAGS] =
        "DELETE FROM job_tag WHERE id = ?1 AND tag = ?2 AND row = ?3",
    [WRITE_SWEEP_JOB] = "DELETE FROM job WHERE row = ?1",
    [WRITE_BATCH_PUT] =
        "INSERT INTO batch (uuid, face, tenant, created_ms, expires_ms, "
        "cancel_ms, ended_ms, total, rejected, sha256, run, "
        "idempotency_key, meta, tally) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    [WRITE_BATCH_PUT_REJECTS] =
        "INSERT OR REPLACE INTO batch_reject (batch, lines) VALUES (?1, ?2)",
    [WRITE_BATCH_HAS] = "SELECT 1 FROM batch WHERE uuid = ?1",
    [WRITE_BATCH_FIND] =
        "SELECT row, id, meta, dead FROM job WHERE batch = ?1 LIMIT 1",
    [WRITE_BATCH_RELEASE] = "UPDATE job SET batch = NULL WHERE row = ?1",
    [WRITE_BATCH_DROP_TALLY] = "DELETE FROM batch_tally WHERE batch = ?1",
    [WRITE_BATCH_DROP_REJECTS] = "DELETE FROM batch_reject WHERE batch = ?1",
    [WRITE_BATCH_EMPTY] = "UPDATE batch SET deleted = 1, meta = NULL, "
                          "run = '', idempotency_key = NULL WHERE uuid = ?1",
    [WRITE_BATCH_FORGET] = "DELETE FROM batch WHERE uuid = ?1",
    [WRITE_MARKER_ADD] = "INSERT INTO installation (name, value) "
                         "VALUES ('marker', ?1) ON CONFLICT DO NOTHING",
    [WRITE_MARKER_GET] = "SELECT value FROM installation WHERE name = 'marker'",
};

sqlite3_stmt *
sqlite_writer_get(
    struct sqlite_writer *writer, enum sqlite_write_statement which)
{
    if (writer->statements[which] == NULL)
        writer->statements[which] = sqlite_prepare(writer->db, sql[which]);
    return writer->statements[which];
}

static int
run(struct sqlite_writer *writer, enum sqlite_write_statement which)
{
    int rc = sqlite_run(sqlite_writer_get(writer, which));
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
 * After a failed write or fsync nobody knows what is on the disk: the kernel
 * may have dropped the pages and report success the next time. So neither
 * it nor damage is ever retried by this process.
 */
static void
end_if_unsafe(struct sqlite_writer *writer, int rc)
{
    int primary = rc & 0xff;
    if (rc == SQLITE_IOERR_SHMSIZE) /* no room for the -shm file to grow */
        return;
    if (primary != SQLITE_IOERR && primary != SQLITE_CORRUPT &&
        primary != SQLITE_NOTADB && primary != SQLITE_NOMEM)
        return;
    log_error("store_unsafe_end", LOG_INT("code", rc),
        LOG_TEXT("message", sqlite3_errmsg(writer->db)),
        LOG_TEXT("store", writer->path));
    _exit(1);
}

/* ---- one commit ---- */

static int
insert_content(struct sqlite_writer *writer, const struct store_work *work,
    sqlite3_int64 row)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_INSERT_CONTENT);
    if (work->answer.len == 0 && work->request.len == 0)
        return SQLITE_OK;
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite3_clear_bindings(stmt);
    sqlite3_bind_int64(stmt, 1, row);
    if (work->answer.len > 0)
        sqlite3_bind_blob64(
            stmt, 2, work->answer.data, work->answer.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)work->answer_bytes);
    sqlite3_bind_int(stmt, 4, work->answer_zstd);
    if (work->request.len > 0)
        sqlite3_bind_blob64(
            stmt, 5, work->request.data, work->request.len, SQLITE_STATIC);
    int rc = sqlite_run(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
insert_tags(struct sqlite_writer *writer, const struct job_meta *meta,
    sqlite3_int64 row)
{
    int rc = SQLITE_DONE;
    for (unsigned i = 0; i < meta->tag_count && rc == SQLITE_DONE; i++) {
        sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_INSERT_TAG);
        if (stmt == NULL)
            return sqlite3_errcode(writer->db);
        sqlite_bind_text(stmt, 1, meta->tags[i]);
        sqlite3_bind_int64(stmt, 2, row);
        rc = sqlite_run(stmt);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The row counts in the numbers of its batch. */
static int
tally(struct sqlite_writer *writer, const struct job_meta *meta,
    sqlite3_int64 row)
{
    if (meta->batch[0] == '\0')
        return SQLITE_OK;
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_TALLY);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite3_bind_int64(stmt, 1, row);
    return run(writer, WRITE_TALLY);
}

/* Earlier generations are history now: not listed, no dead letters. */
static int
supersede(struct sqlite_writer *writer, const struct job_result *result)
{
    if (result->generation == 0)
        return SQLITE_OK;
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_SUPERSEDE);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(stmt, 1, result->id);
    sqlite3_bind_int64(stmt, 2, result->generation);
    return run(writer, WRITE_SUPERSEDE);
}

static int
insert_job(struct sqlite_writer *writer, const struct job_result *result)
{
    struct buffer meta = {0}, error = {0};
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_INSERT_JOB);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    job_meta_encode(&result->meta, &meta);
    if (result->error.class_name[0] != '\0')
        job_error_encode(&result->error, &error);
    sqlite_row_bind(stmt, result, buffer_slice(&meta), buffer_slice(&error));
    int rc = run(writer, WRITE_INSERT_JOB);
    sqlite3_clear_bindings(stmt);
    buffer_clear(&meta);
    buffer_clear(&error);
    return rc;
}

/* The row that won. */
static int
get_existing(struct sqlite_writer *writer, struct store_work *work)
{
    sqlite3_stmt *stmt = sqlite_writer_get(writer, WRITE_GET_ROW);
    if (stmt == NULL)
        return sqlite3_errcode(writer->db);
    sqlite_bind_text(stmt, 1, work->result->id);
    sqlite3_bind_int64(stmt, 2, work->result->generation);
    int rc = sqlite3_step(stmt);
    struct job_result *row = store_work_rows(work, 1);
    if (rc == SQLITE_ROW)
        work->status =
            sqlite_row_read(stmt, row) == 0 ? STORE_EXISTS : STORE_FAILED;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int
commit_one(struct sqlite_writer *writer, struct store_work *work)
{
    int rc = insert_job(writer, work->result);
    if (rc != SQLITE_OK)
        return rc;
    if (sqlite3_changes(writer->db) == 0)
        return get_existing(writer, work);
    sqlite3_int64 row = sqlite3_last_insert_rowid(writer->db);
    rc = supersede(writer, work->result);
    if (rc == SQLITE_OK)
        rc = tally(writer, &work->result->meta, row);
    if (rc == SQLITE_OK)
        rc = insert_content(writer, work, row);
    if (rc == SQLITE_OK)
        rc = insert_tags(writer, &work->result->meta, row);
    crash_point("commit.inserted");
    work->status = STORE_OK;
    return rc;
}

/* ---- groups ---- */

static int
do_all(struct sqlite_writer *writer, struct store_work **group, size_t count)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        store_work_reset_reply(group[i]);
        if (group[i]->kind == STORE_WORK_COMMIT)
            rc = commit_one(writer, group[i]);
        else
            rc = sqlite_chore_run(writer, group[i]);
    }
    return rc;
}

static void
answer_all(struct store_work **group, size_t count, enum store_status status)
{
    for (size_t i = 0; i < count; i++) {
        store_work_reset_reply(group[i]);
        group[i]->status = status;
    }
}

/* One transaction. Anything but OK: nothing of it happened. */
static int
transact(struct sqlite_writer *writer, struct store_work **group, size_t count)
{
    int rc = run(writer, WRITE_BEGIN);
    if (rc != SQLITE_OK) {
        end_if_unsafe(writer, rc);
        return rc;
    }
    rc = do_all(writer, group, count);
    if (rc == SQLITE_OK)
        rc = run(writer, WRITE_COMMIT);
    bool was_full = writer->full;
    writer->full = sqlite_status(rc) == STORE_FULL;
    if (rc == SQLITE_OK)
        return rc;
    if (!was_full || !writer->full) /* said once, not for every row */
        sqlite_log(writer->db, "store_transaction_failed");
    end_if_unsafe(writer, rc);
    /* A full disk rolls back by itself. */
    if (!sqlite3_get_autocommit(writer->db) &&
        run(writer, WRITE_ROLLBACK) != SQLITE_OK)
        end_if_unsafe(writer, SQLITE_IOERR);
    return rc;
}

/* One bad apple, or one row too many for the disk, is not the others' fault:
 * then each gets a transaction of its own. */
static void
write_group(
    struct sqlite_writer *writer, struct store_work **group, size_t count)
{
    int rc = transact(writer, group, count);
    if (rc == SQLITE_OK)
        return;
    enum store_status status = sqlite_status(rc);
    if (count == 1 || status == STORE_BUSY) {
        answer_all(group, count, status);
        return;
    }
    for (size_t i = 0; i < count; i++)
        write_group(writer, &group[i], 1);
}

/* ---- checkpoints; under the lock ---- */

static void
checkpoint(struct sqlite_writer *writer, int mode)
{
    int left = -1, copied = -1;
    if (mode != SQLITE_CHECKPOINT_PASSIVE)
        sqlite3_busy_timeout(writer->db, RESTART_WAIT_MS);
    int rc = sqlite3_wal_checkpoint_v2(writer->db, NULL, mode, &left, &copied);
    if (mode != SQLITE_CHECKPOINT_PASSIVE)
        sqlite3_busy_timeout(writer->db, SQLITE_BUSY_MS);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) {
        sqlite_log(writer->db, "store_checkpoint_failed");
        end_if_unsafe(writer, rc);
        return;
    }
    writer->copied_pages = copied > 0 ? copied : 0;
    writer->wal_pages = left > 0 ? left : 0;
}

/* Counted from the last one: while a reader keeps the log from beginning
 * anew it grows, and each checkpoint costs an fsync of the database. */
static void
checkpoint_when_due(struct sqlite_writer *writer)
{
    if (writer->wal_pages < writer->copied_pages)
        writer->copied_pages = 0; /* it did begin anew */
    if (writer->wal_pages - writer->copied_pages <= CHECKPOINT_PAGES)
        return;
    checkpoint(writer,
        writer->wal_pages > RESTART_PAGES ? SQLITE_CHECKPOINT_TRUNCATE
                                          : SQLITE_CHECKPOINT_PASSIVE);
}

static int
on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_writer *writer = arg;
    (void)db;
    (void)name;
    writer->wal_pages = pages;
    return SQLITE_OK;
}

/* ---- store_ops ---- */

void *
sqlite_writer_open(const char *path, char *error, size_t size)
{
    struct sqlite_writer *writer = memory_zalloc(1, sizeof(*writer));
    writer->db = sqlite_open_writing(path, &writer->lock, error, size);
    if (writer->db == NULL) {
        memory_free(writer);
        return NULL;
    }
    writer->path = memory_dup(path);
    writer->lock_wait_ms = SQLITE_BUSY_MS;
    sqlite3_wal_hook(writer->db, on_wal, writer);
    return writer;
}

/* The log is emptied for the next one, if that is possible at once. */
void
sqlite_writer_close(void *arg)
{
    struct sqlite_writer *writer = arg;
    if (sqlite_lock_take(&writer->lock, RESTART_WAIT_MS) == 0) {
        checkpoint(writer, SQLITE_CHECKPOINT_TRUNCATE);
        sqlite_lock_drop(&writer->lock);
    }
    for (size_t i = 0; i < WRITE_STATEMENTS; i++)
        sqlite3_finalize(writer->statements[i]);
    sqlite3_close(writer->db);
    sqlite_lock_clear(&writer->lock);
    memory_free(writer->path);
    memory_free(writer);
}

void
sqlite_writer_prepare(void *writer, struct store_work *work)
{
    (void)writer;
    if (work->kind == STORE_WORK_COMMIT)
        sqlite_content_pack(work);
}

void
sqlite_writer_run(void *arg, struct store_work **group, size_t count)
{
    struct sqlite_writer *writer = arg;
    /* Whoever keeps it that long is not about to give it back: what comes
     * next is told at once, so that answers are parked. */
    int64_t wait_ms =
        writer->lock_missed ? RESTART_WAIT_MS : writer->lock_wait_ms;
    writer->lock_missed = sqlite_lock_take(&writer->lock, wait_ms) != 0;
    if (writer->lock_missed) {
        log_warn("store_lock_busy", LOG_INT("waiting", count));
        answer_all(group, count, STORE_BUSY);
        return;
    }
    write_group(writer, group, count);
    checkpoint_when_due(writer);
    sqlite_lock_drop(&writer->lock);
}

void
sqlite_writer_idle(void *arg)
{
    struct sqlite_writer *writer = arg;
    if (writer->wal_pages == writer->copied_pages ||
        sqlite_lock_take(&writer->lock, RESTART_WAIT_MS) != 0)
        return;
    checkpoint(writer, SQLITE_CHECKPOINT_PASSIVE);
    sqlite_lock_drop(&writer->lock);
}
